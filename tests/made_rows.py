"""Rows made of objects without any load: a small map, events, and the rows as Python values."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from dlt.common.normalizers.naming.snake_case import NamingConvention

from stripe_source.arrow_rows.builder import RowBuilder, Rows
from stripe_source.arrow_rows.waevent import INSERT, WAEvent
from stripe_source.tables.schema_map import Column, TableMap, table_map
from stripe_source.tables.table import Table

THINGS = Table("things", ("thing",), "Things.", path="/v1/things")
NOW = 1_700_000_000


def snake_case(path: Sequence[str]) -> str:
    """Names as dlt makes them, the way a run asks for them."""
    return str(NamingConvention().normalize_path("__".join(path)))


def shape(
    json_kinds: Sequence[tuple[str, ...]] = (),
    children: Sequence[tuple[str, ...]] = (),
    table: Table = THINGS,
    **types: Any,
) -> TableMap:
    """A small map: columns in dlt's words, paths by their names, `decimal_10_2` with its digits."""
    bare = table_map(table)
    end = next(i for i, column in enumerate(bare.columns) if column.name in ("_position", "_deleted"))
    declared = []
    for name, words in types.items():
        kind, *digits = words.split("_")
        precision, scale = map(int, digits) if digits else (None, None)
        declared.append(Column(name, kind, tuple(name.split("__")), precision=precision, scale=scale))
    return replace(
        bare,
        columns=(*bare.columns[:end], *declared, *bare.columns[end:]),
        json_kinds=frozenset(json_kinds),
        children=frozenset(children),
    )


def event(data: dict[str, Any], table: str = "things", **rest: Any) -> WAEvent:
    return WAEvent(table, rest.pop("operation", INSERT), rest.pop("time", NOW), data, "acct_1", **rest)


def cells(made: Rows) -> list[dict[str, Any]]:
    """All rows as Python values: JSON parsed, times as datetimes; what is null is left out."""
    kinds = {field.name: field.type for field in made.table.schema}
    as_json = {column.name for column in made.inferred if column.data_type == "json"}
    rows = []
    for row in made.table.to_pylist():
        held = {name: value for name, value in row.items() if value is not None}
        rows.append({name: json.loads(value) if name in as_json else value for name, value in held.items()})
        assert all(kinds[name] == pa.string() for name in as_json & held.keys())
    return rows


def content(made: Rows) -> list[dict[str, Any]]:
    """Rows without bookkeeping."""
    ours = {"_account_id", "_deleted", "_deleted_at", "_changed_at", "_dlt_load_id", "_dlt_id", "_position"}
    return [{name: value for name, value in row.items() if name not in ours} for row in cells(made)]


def rows_of(the_map: TableMap, *objects: dict[str, Any], **known: Any) -> list[dict[str, Any]]:
    return content(RowBuilder(the_map, known.get("known"), snake_case).rows([event(data) for data in objects]))


def row_of(the_map: TableMap, **data: Any) -> dict[str, Any]:
    """The row of one object with id "t", without its id."""
    (row,) = rows_of(the_map, {"id": "t", **data})
    assert row.pop("id") == "t"
    return row


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


def nested(depth: int, make: str = "dict") -> Any:
    value: Any = 7
    for _ in range(depth):
        value = {"a": value} if make == "dict" else [value]
    return value
