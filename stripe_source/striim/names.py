"""Names of tables and columns in WAEvents: the native ones, and those of Striim's Stripe Reader."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from stripe_source.errors import UnknownTable
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import Column, TableMap, table_map
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Table
from stripe_source.views.view_map import view_map
from stripe_source.waevent_forms.rows import column_names

ColumnMap = Mapping[str, Mapping[str, str]]  # by table and name in a WAEvent: the column of the destination


@cache
def striim_columns() -> dict[str, dict[str, str]]:
    """The columns of the 60 tables of Striim's Stripe Reader in their order, by table, with dlt's types: `striim`'s."""
    return {name: {column.name: column.type for column in view.columns}
            for name, view in view_map("striim").views.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def snake_case(name: str) -> str:
    """A name as dlt would write it: `CustomerId` becomes `customer_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().replace("__", "_")


@dataclass(frozen=True, eq=False)
class EventTable:
    """A table as WAEvents name it: what its columns are called there, and in the destination.

    Args:
        shape: the map of the destination's table.
        names: the columns in the order of WAEvents by position.
        types: dlt's types of the columns that the map does not declare, as far as they are known, by name there.
        native: WAEvents of this package name it so, whose columns are those of the map.
        given: the destination's columns, where somebody says it, by name in WAEvents.
    """

    shape: TableMap
    names: tuple[str, ...]
    types: Mapping[str, str]
    native: bool
    given: Mapping[str, str]
    _found: dict[str, str] = field(default_factory=dict)

    def column(self, name: str) -> str:
        """The column of the destination for a name in WAEvents.

        It is the one of that name, the one that was given, or the one that has the same letters and digits, also
        without Striim's ending `Aggregate` or `Id`; else a column of its own.
        """
        if name not in self._found:
            self._found[name] = self._resolve(name)
        return self._found[name]

    def _resolve(self, name: str) -> str:
        declared = {column.name for column in self.shape.columns}
        if name in self.given:
            return self.given[name]
        if name in declared or self.native:
            return name
        by_letters = {_plain(column.name): column for column in reversed(self.shape.columns) if column.path}
        by_letters |= {_plain(column.name): column for column in self.shape.columns if not column.path}
        plain = _plain(name)
        endings = [plain, plain.removesuffix("aggregate"), plain.removesuffix("id"), plain.removesuffix("at")]
        for each in endings:
            column = by_letters.get(each)
            if column and (each == plain or self._ends(name, column)) and column.name not in self._found.values():
                return column.name
        made = snake_case(name)
        return made if made not in declared else f"{made}_striim"

    @staticmethod
    def _ends(name: str, column: Column) -> bool:
        """Whether a column may stand for a name with one of Striim's endings."""
        if name.endswith("Aggregate"):
            return column.data_type == "json"
        if name.endswith("Id"):
            return column.data_type == "text"
        return name == "CreatedAt" and column.data_type == "timestamp"


class EventTables:
    """The tables that WAEvents are of.

    Args:
        columns: the destination's columns for names in WAEvents, by table as WAEvents name it.
    """

    def __init__(self, columns: ColumnMap | None = None) -> None:
        self._given, self._found = columns or {}, dict[str, EventTable]()

    def find(self, name: object) -> EventTable:
        """The table of that name: a native one or Striim's; a schema before it, with a dot between, does not matter.

        Raises:
            UnknownTable: there is none.
        """
        text = str(name)
        if text not in self._found:
            self._found[text] = self._find(text)
        return self._found[text]

    def _find(self, name: str) -> EventTable:
        last = name.rpartition(".")[2]
        given = self._given.get(name) or self._given.get(last) or {}
        named = [table for table in TABLES if table.name == last]
        if named:
            shape = table_map(named[0])
            return EventTable(shape, column_names(shape), {}, True, given)
        columns = striim_columns().get(last, {})
        found = [] if not last or "%" in last else match_tables(last, TABLES)
        if not found and not columns:
            raise UnknownTable(name, [table.name for table in TABLES], striim_columns())
        shape = table_map(found[0]) if found else _private(last, tuple(columns))
        types = {each: "json" if each.endswith("Aggregate") else kind for each, kind in columns.items()}
        return EventTable(shape, tuple(columns) or column_names(shape), types, not columns, given)


@cache
def _private(name: str, columns: Sequence[str]) -> TableMap:
    """The map of a table that only Striim has: reports have no key, so that a row is told apart by all of it."""
    key = ("id",) if "Id" in columns and not name.endswith("Report") else ("_dlt_id",)
    return table_map(Table(snake_case(name), (name,), f"Striim's table {name}.", key=key, time=None))


def inferred_hints(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a WAEvent of this package says of its columns that no schema map declares, by name."""
    found = metadata.get("InferredColumns")
    hints = found if isinstance(found, dict) else {}
    return {name: hint for name, hint in hints.items() if isinstance(hint, dict) and "data_type" in hint}
