"""Striim's tables: their columns in the order of `data[n]`, and the values of a Stripe object in that order."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import orjson

from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.tables.registry import BY_NAME, parent_column
from stripe_source.tables.schema_map import MAPS, table_map
from stripe_source.tables.table import Table

_TYPES = {"text": "String", "bigint": "Integer", "timestamp": "Datetime", "bool": "Boolean", "decimal": "Decimal",
          "double": "Double", "json": "String", "date": "Datetime"}


@dataclass(frozen=True)
class StriimColumn:
    """A column of a table of Striim's.

    Args:
        name: Striim's.
        type: String, Integer, Datetime, Boolean, Decimal or Double.
        paths: where its value is on Stripe's object; the first that there is counts. `^` is the parent's id.
        key: whether it identifies a row.
    """

    name: str
    type: str
    paths: tuple[tuple[str, ...], ...]
    key: bool = False


@dataclass(frozen=True)
class StriimTable:
    """A table as Striim's reader has it.

    Args:
        name: Striim's; the native one where Striim has no such table.
        table: the entry of the registry.
        columns: in the order of `data[n]`.
    """

    name: str
    table: Table
    columns: tuple[StriimColumn, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row."""
        return tuple(column.name for column in self.columns if column.key)

    def position(self, name: str) -> int | None:
        """The place of a column, from 0; case does not matter."""
        lower = name.lower()
        return next((place for place, column in enumerate(self.columns) if column.name.lower() == lower), None)

    def values(self, event: WAEvent, data: Mapping[str, Any]) -> list[Any]:
        """An object's values in the order of the columns."""
        return [_value(column, event, data) for column in self.columns]


@cache
def _declared() -> dict[str, Any]:
    import yaml

    file = MAPS / "striim_columns.yaml"
    read: dict[str, Any] = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return read


@cache
def striim_tables() -> tuple[StriimTable, ...]:
    """The tables of Striim's reader that can be read, by name."""
    found = []
    for name, words in _declared()["tables"].items():
        columns = tuple(
            StriimColumn(column, said[1], tuple(tuple(path.split(".")) for path in said[0].split("|")), "key" in said)
            for column, said in words["columns"].items()
        )
        found.append(StriimTable(name, BY_NAME[words["table"]], columns))
    return tuple(found)


def unavailable_tables() -> dict[str, str]:
    """The tables of Striim's reader that cannot be read, with the reason."""
    reasons: dict[str, str] = _declared()["unavailable"]
    return reasons


@cache
def native_table(table: Table) -> StriimTable:
    """A table that Striim does not have: the columns of its schema map, in their order."""
    columns = tuple(
        StriimColumn(column.name, _TYPES.get(column.data_type, "String"), (column.path or (f"^{column.name}",),),
                     column.name in table.key)
        for column in table_map(table).columns if column.path or column.name == parent_column(table)
    )
    return StriimTable(table.name, table, columns)


def match_striim(pattern: str) -> tuple[list[StriimTable], list[str]]:
    """The tables that a name or a pattern with `%` means: those that can be read, and the names of those that cannot.

    Striim's names come first; a name that is none of them may be a native one.
    """
    wanted = re.compile(".*".join(re.escape(part) for part in re.split("%+", pattern)), re.IGNORECASE)
    found = [table for table in striim_tables() if wanted.fullmatch(table.name)]
    missing = [name for name in unavailable_tables() if wanted.fullmatch(name)]
    if not found and not missing and "%" not in pattern and (table := BY_NAME.get(pattern.lower())):
        found = [native_table(table)]
    return found, missing


def _value(column: StriimColumn, event: WAEvent, data: Mapping[str, Any]) -> Any:
    for path in column.paths:
        value: Any = event.parent if path[0].startswith("^") else data
        for part in () if path[0].startswith("^") else path:
            value = _member(value, part)
        if value is not None:
            return _typed(column, value)
    return None


def _member(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and not isinstance(value, str) and part.isdigit():
        return value[int(part)] if int(part) < len(value) else None
    return None


def _typed(column: StriimColumn, value: Any) -> Any:
    """A value as its column has it; a time is ISO text in UTC, an object or a list JSON text."""
    of_type = column.type
    if isinstance(value, Mapping) and "id" in value and "object" in value and not column.name.endswith("Aggregate"):
        return value["id"]  # a reference that came expanded
    if isinstance(value, (Mapping, list)):
        return orjson.dumps(value).decode()
    if of_type == "Datetime" and isinstance(value, int) and not isinstance(value, bool):
        return iso_time(value * 1000)
    if of_type == "String" and not isinstance(value, str):
        return orjson.dumps(value).decode()
    if of_type == "Decimal" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value


def iso_time(milliseconds: int) -> str:
    """ISO text in UTC, with milliseconds.

    >>> iso_time(1700000000000)
    '2023-11-14T22:13:20.000Z'
    """
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
