"""Stripe's own sample objects, through the real maps: every value of theirs is in a row of the table or its children.

The samples come with Stripe's OpenAPI document and are not part of this repository: where their folder is not beside
the checkout, these tests are skipped.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.waevent import INSERT, WAEvent
from stripe_source.codegen.added import read_fields
from stripe_source.codegen.maps import OBJECTS
from stripe_source.tables.placement import Placement, extract_children
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "reference" / "stripe_fixtures.json"
pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="Stripe's sample objects are not beside this checkout")
LISTED = frozenset({"object", "has_more", "url", "total_count"})  # of a list object, beside its data


def samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every sample, and every object inside one that says what it is."""

    def walk(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(value, dict):
            if isinstance(value.get("object"), str):
                yield place, value
            for key, inner in value.items():
                yield from walk(inner, f"{place}.{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from walk(inner, f"{place}.{index}")

    if SAMPLES.exists():
        for name, sample in json.loads(SAMPLES.read_text(encoding="utf-8"))["resources"].items():
            yield from walk(sample, name)


def cases() -> Iterator[Any]:
    for place, sample in samples():
        for table in TABLES:
            if sample["object"] in table.object:
                yield pytest.param(table, sample, id=f"{place}-{table.name}")


CASES = list(cases())
UNSAMPLED = {  # newer than the samples; and of /v2/ there is none
    ("apps.install",), ("billing.feedback_option",), ("product_catalog.trial_offer",), ("tax.location",),
    ("three_d_secure.authentication",),
}


def leaves(value: Any) -> Iterator[str]:
    """The leaves of a value, as JSON; a whole number is the same in a column of doubles."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    elif value is not None:
        yield json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def held(table: Table, thing: dict[str, Any], parent: str | None) -> Counter[str]:
    """What the cells of an object's row hold, as JSON, in every form that counts."""
    made = RowBuilder(table_map(table)).rows([WAEvent(table.name, INSERT, 1, thing, "acct_x", parent, 0)], "load")
    found: Counter[str] = Counter()
    kinds = {column.name: column.data_type for column in (*table_map(table).columns, *made.inferred)}
    for name in set(made.table.column_names) - {"_account_id", "_dlt_id", "_dlt_load_id", "_changed_at", "_deleted"}:
        column = made.table[name]
        if kinds[name] == "timestamp":
            value = column.cast(pa.int64())[0].as_py()
            found.update([] if value is None else [str(value // 10**6)])
        elif kinds[name] == "json":
            found.update(leaves(json.loads(column[0].as_py() or "null")))
        elif kinds[name] == "decimal":
            value = column[0].as_py()
            found.update([] if value is None else [json.dumps(f"{value.normalize():f}")])
        else:
            found.update(leaves(column[0].as_py()))
    return found


def expected(thing: dict[str, Any], expanded: set[str]) -> Counter[str]:
    """All leaves, but for the wrappers of lists that we asked for only because of what is in them."""
    whole = copy.deepcopy(thing)
    for at in expanded:
        value = whole.get(at)
        if isinstance(value, dict) and isinstance(value.get("data"), list):
            whole[at] = {key: inner for key, inner in value.items() if key not in LISTED}
    return Counter(leaves(whole))


def split(table: Table, thing: dict[str, Any]) -> Iterator[tuple[Table, dict[str, Any], str | None]]:
    """The object and what belongs to tables of its own, as the reader splits them."""
    embedded: dict[Placement, list[Table]] = {}
    for child in TABLES:
        for found in child.placements:
            if found.parent == table.name:
                embedded.setdefault(found, []).append(child)
    for found, children in embedded.items():
        for inner in extract_children(thing, found)[0]:
            for child in children:
                if inner.get("object") in child.object:
                    for own, its, parent in split(child, inner):
                        yield own, its, parent or str(thing.get("id"))
    yield table, thing, None


@pytest.mark.parametrize(("table", "sample"), CASES)
def test_every_value_of_a_sample_is_in_a_row(table: Table, sample: dict[str, Any]) -> None:
    """Counted, not only looked for: a value that is there twice is kept twice."""
    found: Counter[str] = Counter()
    for own, thing, parent in split(table, copy.deepcopy(sample)):
        rows = [thing] if not own.singleton else thing[own.at] if own.at else [thing]
        for row in rows:
            found += held(own, row, parent)
    own_part = sample if not table.singleton or not table.at else {"rows": sample[table.at]}
    expanded = {f.at for child in TABLES for f in child.placements if f.parent == table.name and f.expand and f.at}

    assert expected(own_part, expanded) - found == Counter()


def test_the_samples_cover_the_tables() -> None:
    """176 samples have objects of every table, alone or inside others."""
    covered = {case.values[0].name for case in CASES}
    objects = {case.values[1]["object"] for case in CASES}

    lacking = {table.object for table in TABLES if table.name not in covered}
    newer = {(name,) for name in read_fields(OBJECTS)}
    assert {names for names in lacking if not names[0].startswith("v2.")} <= UNSAMPLED | newer
    assert len(CASES) > 200 and len(objects) > 110
