"""Any object at all: every leaf of it is in its row, by whichever way it is read."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaves import JSON, KEYS, Leaf, leaves
from made_rows import NOW, event, shape, snake_case

from stripe_source.arrow_rows.builder import RowBuilder, Rows
from stripe_source.arrow_rows.reading import plain_values, read_columns, readable_columns
from stripe_source.arrow_rows.undeclared import MAX_COLUMNS
from stripe_source.arrow_rows.values import convert
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.schema_map import Column, TableMap, table_map
from stripe_source.tables.table import Table

every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def missing(data: Mapping[str, Any], made: Rows, index: int, the_map: TableMap) -> list[Any]:
    """The leaves of an object that are not in its row, as often as they are in the object."""
    kinds = {column.name: column.data_type for column in (*the_map.columns, *made.inferred)}
    found: Counter[tuple[str, Any]] = Counter()
    for name in made.table.column_names:
        if name in ("_account_id", "_dlt_id", "_dlt_load_id", "_changed_at", "_deleted", "_deleted_at"):
            continue
        column = made.table[name]
        column = column.cast(pa.int64()) if kinds[name] == "timestamp" else column
        found.update(Leaf.held(column[index].as_py(), kinds[name]))
    lost = []
    for leaf in leaves(data, the_map.children):
        form = next((form for form in Leaf.of(leaf) if found[form] > 0), None)
        if form is None:
            lost.append(leaf)
        else:
            found[form] -= 1
    return lost


OBJECTS = st.dictionaries(KEYS, JSON, max_size=8)
RIGHT = {
    "text": st.text(max_size=8),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "timestamp": st.integers(0, 2**33),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "json": JSON,
    "decimal": st.decimals(-(10**9), 10**9, places=6).map(str),
}
WIDE = [
    "charges",
    "invoices",
    "payment_methods",
    "subscriptions",
    "events",
    "balance_transactions",
    "prices",
    "transfers",
]


@st.composite
def like_stripe(draw: st.DrawFn, the_map: TableMap) -> dict[str, Any]:
    """An object with values at paths of the map, mostly of the right type, and some that the map does not know."""
    declared = [column for column in the_map.columns if column.path is not None]
    thing: dict[str, Any] = {"id": "x_1"}
    for column in draw(st.lists(st.sampled_from(declared), max_size=12, unique_by=lambda column: column.name)):
        assert column.path is not None
        here = thing
        for step in column.path[:-1]:
            inner = here.setdefault(step, {})
            if not isinstance(inner, dict):
                break
            here = inner
        else:
            right = draw(st.integers(0, 3)) > 0
            here[column.path[-1]] = draw(RIGHT[column.data_type] if right else JSON)
            here.update(draw(st.dictionaries(KEYS, JSON, max_size=1)))
    return thing


def check_nothing_is_lost(the_map: TableMap, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
    maker = RowBuilder(the_map, normalize=snake_case)
    tables = []
    for objects in batches:
        made = maker.rows([event(data) for data in objects], "load")
        assert made.table.num_rows == len(objects)
        assert [missing(data, made, index, the_map) for index, data in enumerate(objects)] == [[]] * len(objects)
        assert (
            len(made.table.column_names)
            == len(set(made.table.column_names))
            <= max(MAX_COLUMNS, len(the_map.columns)) + 1
        )
        tables.append(made.table)
    pq.write_table(pa.concat_tables(tables, promote_options="default"), pa.BufferOutputStream())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(OBJECTS, max_size=3), min_size=1, max_size=3))
def test_nothing_is_lost_of_any_object(batches: list[list[dict[str, Any]]]) -> None:
    """A private table of which nothing is known: every leaf of every object is in its row."""
    check_nothing_is_lost(
        shape(
            amount="bigint",
            a__b="text",
            created="timestamp",
            lines__has_more="bool",
            children=[("lines",)],
            type="text",
        ),
        batches,
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_is_lost_of_objects_like_stripes(data: st.DataObject) -> None:
    """The real maps, right and wrong values, known and unknown fields."""
    the_map = table_map(BY_NAME[data.draw(st.sampled_from(WIDE))])
    batch = st.lists(like_stripe(the_map), min_size=1, max_size=2)
    check_nothing_is_lost(the_map, [data.draw(batch), data.draw(batch)])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_reading_by_columns_is_reading_object_by_object(data: st.DataObject) -> None:
    """`plain_values` is the definition; the other is fast. What it calls odd is what has more than the map knows."""
    the_map = table_map(BY_NAME[data.draw(st.sampled_from(WIDE))])
    objects = data.draw(st.lists(st.one_of(like_stripe(the_map), OBJECTS), min_size=1, max_size=3))
    columns, tree = readable_columns(the_map)
    odd: set[int] = set()
    cells: list[list[Any] | None] = [None] * len(columns)
    read_columns(tree, objects, cells, odd.add)
    values = [tuple(cell[index] if cell else None for cell in cells) for index in range(len(objects))]

    assert values == [plain_values(thing, columns) for thing in objects]
    for index, thing in enumerate(objects):
        unread = Counter(map(repr, leaves(thing, the_map.children)))
        read = Counter(repr(leaf) for value in plain_values(thing, columns) for leaf in leaves(value))
        assert index in odd or unread <= read


@every_table
def test_every_map_can_be_read(table: Table) -> None:
    """An object that has every column of its map is read without anything being odd, and each value comes back."""
    the_map = table_map(table)
    samples = {
        "text": "x",
        "bigint": 1,
        "bool": True,
        "timestamp": NOW,
        "double": 0.5,
        "json": [1],
        "decimal": "1.5",
    }
    thing: dict[str, Any] = {}
    deepest_last = sorted(
        (column for column in the_map.columns if column.path), key=lambda column: -len(column.path or ())
    )
    for column in deepest_last:
        here = thing
        for step in (column.path or ())[:-1]:
            here = here.setdefault(step, {})
        here.setdefault((column.path or ())[-1], samples[column.data_type])
    made = RowBuilder(the_map).rows([event(thing, table.name, parent="p", position=0)], "load")

    assert [column.name for column in made.inferred if not column.name.endswith(("__expanded", "__v_json"))] == []
    assert missing(thing, made, 0, the_map) == []


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(["text", "bigint", "bool", "double", "timestamp", "decimal"]))
def test_what_fits_can_be_read_back(value: Any, kind: str) -> None:
    """A value that `fit` lets into a column is one of the forms that the column then holds."""
    held = convert(value, Column("v", kind, ("v",)))
    if held is None or value is None:
        return

    assert set(Leaf.held(held, kind)) & set(Leaf.of(value))
