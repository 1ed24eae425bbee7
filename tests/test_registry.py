"""The registry: complete, checked against what Stripe documents, and open for private tables."""
from __future__ import annotations

import ast
import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from stripe_source import sandbox
from stripe_source.codegen.added import read_fields
from stripe_source.codegen.maps import OBJECTS
from stripe_source.extract.plan import expansions, plan_lists
from stripe_source.load.sync import sync
from stripe_source.source import stripe_source
from stripe_source.tables import catalog
from stripe_source.tables.registry import BY_NAME, TABLES, table_with_role
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Role, Table

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT.parent / "shared" / "reference"
NEWER = {table.name for table in TABLES if set(table.object) & read_fields(OBJECTS).keys()}  # than Stripe's documents
beside = pytest.mark.skipif(not REFERENCE.exists(), reason="Stripe's documents are not beside this checkout")


@beside
def test_every_table_that_stripe_has_is_in_the_registry() -> None:
    """The canonical list without reports and removed tables, no more and no fewer but what is newer than the list.

    `balance` is the whole object of which the list has two parts.
    """
    with open(REFERENCE / "tables.csv", encoding="utf-8") as file:
        listed = {row["table"] for row in csv.DictReader(file) if row["kind"] not in ("report", "legacy")}

    assert {table.name for table in TABLES} - NEWER == {*listed, "balance"}


@beside
def test_every_request_is_one_that_stripe_documents() -> None:
    """Paths and parameters against Stripe's OpenAPI document; what it lacks is newer than it."""
    with gzip.open(REFERENCE / "stripe-spec3-2026-08-26.dahlia.json.gz") as file:
        paths = {_plain(path): verbs for path, verbs in json.load(file)["paths"].items()}
    catalog = json.loads((REFERENCE / "stripe_catalog.json").read_text(encoding="utf-8"))
    newer = {
        _plain(each["list_path"]): {param["name"] for param in each["list_params"]} for each in catalog["endpoints"]
    }
    wrong = []
    for table in TABLES:
        if table.name in NEWER:
            continue
        asks: list[tuple[str | None, set[str]]] = [(table.path, {name.split("[")[0] for each in table.variants
                                                                 for name in {**table.params, **each}})]
        if table.created and table.path:
            asks[0][1].add(table.range.low.split("[")[0])
        asks += [
            (found.child_path,
             {name.split("[")[0] for name in found.params} | ({found.param} if found.param else set()))
            for found in table.placements if not found.via_path
        ]
        for path, given in asks:
            if path is None:
                continue
            verbs = paths.get(_plain(path))
            known = {param["name"] for param in verbs["get"].get("parameters", ())} if verbs else set()
            known |= newer.get(_plain(path), set())
            if not known and not verbs and _plain(path) not in newer:
                wrong.append(f"{table.name}: {path} is not documented")
            wrong += [f"{table.name}: {path} does not take {name}" for name in given if name not in known]

    assert wrong == []


def _plain(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def test_no_table_is_too_wide() -> None:
    """At most 250 columns, bookkeeping included."""
    widths = {table.name: len(table_map(table).columns) for table in TABLES}

    assert max(widths.values()) <= 250


def test_stripe_expands_four_levels_and_no_card_numbers() -> None:
    """No request asks for more than Stripe allows, nor for numbers of cards and documents."""
    paths = {path for root in plan_lists(TABLES) for path in expansions(root)}

    assert all(len(f"data.{path}".split(".")) <= 4 for path in paths)
    assert not any(part in ("number", "cvc", "verified_outputs") for path in paths for part in path.split("."))


def test_a_table_is_off_for_a_reason() -> None:
    """What is not in the default selection says why, what is in it does not."""
    assert [table.name for table in TABLES if table.default == bool(table.opt_in_reason or table.fan_out)] == []


def test_references_between_entries_lead_somewhere() -> None:
    """Parents, pairs and `under` are tables; the columns of each key exist."""
    names = [found.parent for table in TABLES for found in table.placements]
    names += [found.second_parent[0] for table in TABLES for found in table.placements if found.second_parent]
    names += [found.only_below for table in TABLES for found in table.placements if found.only_below]

    assert set(names) <= BY_NAME.keys()
    for table in TABLES:
        assert set(table.key) <= {column.name for column in table_map(table).columns}


# Words that happen to be a table's name as well, by file, with what they are there.
HOMONYMS = {
    ("codegen/sandbox_lists.py", "events"): "a word of the sandbox's description of the API",
    ("money/reconcile.py", "payouts"): "a category of Stripe's balance report",
    ("options.py", "accounts"): "an option of the source",
    ("resources/read.py", "events"): "a metric of dlt's resource",
    ("striim/inputs.py", "files"): "an argument, in an error",
    ("striim/tql/plan/targets.py", "events"): "a rolling policy of Striim's, and the name of a file",
    ("tables/markers.py", "events"): "a marker",
    ("waevent_forms/rows.py", "quotes"): "characters that JSON escapes",
}


def test_nothing_but_the_registry_names_a_table() -> None:
    """What is special about a table is a field of its entry, so that no other module knows it by name or path."""
    package = ROOT / "stripe_source"
    paths = {table.path for table in TABLES}
    named = set()
    for file in package.rglob("*.py"):
        name = str(file.relative_to(package))
        if name.startswith(("sandbox/", "tables/entries/")):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and (node.value in BY_NAME or node.value in paths - {None}):
                named.add((name, node.value))
    limits = {each for each in named if each[0] == "api/endpoints.py"}  # rates of endpoints, writes included

    assert named - limits == set(HOMONYMS)


def test_each_role_has_one_table() -> None:
    """What the package itself works with is found by its role."""
    roles = [table.role for table in TABLES if table.role]

    assert sorted(roles) == sorted(get_args(Role))
    assert [table_with_role(role) for role in roles] == [table for table in TABLES if table.role]


def test_the_page_of_tables_is_made_from_the_registry() -> None:
    """docs/tables.md says what the registry says."""
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == catalog.markdown()


def test_a_private_table_takes_one_entry(new_pipeline: Any) -> None:
    """A list that the registry does not know: one `Table(...)`, and it loads, typed by what comes."""
    mine = Table("my_coupons", ("coupon",), "Coupons, once more.", path="/v1/coupons")
    with sandbox.serve(seed=7, scale=0.05) as stripe:
        pipeline = new_pipeline()
        result = sync(pipeline, tables=[mine], api_base=stripe.url, api_key=stripe.api_key)
        there = sum(not truth.deleted for truth in stripe.world.dump()["coupons"])
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT count(*), count(DISTINCT id), count(percent_off) FROM my_coupons")

    assert result.tables["my_coupons"].new == there > 0
    assert rows and rows[0][:2] == (there, there) and rows[0][2] > 0


def test_a_run_of_three_tables_reads_three_maps() -> None:
    """Maps are read when their table is asked for, not before."""
    table_map.cache_clear()
    stripe_source(tables="charges;customers;refunds", api_key="sk_test_" + "x" * 24)

    assert table_map.cache_info().misses == 3


@pytest.mark.parametrize("code", ["import stripe_source", "from stripe_source.cli.main import main"])
def test_what_is_imported_stays_small(code: str) -> None:
    """The package and its command line pull in neither dlt nor pyarrow nor aiohttp until they are used."""
    heavy = "import sys; print(sorted({'dlt', 'pyarrow', 'aiohttp', 'stripe', 'duckdb', 'yaml'} & set(sys.modules)))"
    command = [sys.executable, "-c", f"{code}; {heavy}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)

    assert done.stdout.strip() == "[]"
