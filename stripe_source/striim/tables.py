"""States of rows, by column, as Arrow tables with the types of their table."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from stripe_source.arrow_rows.json_text import clean, dumps
from stripe_source.arrow_rows.undeclared_values import as_json, type_of
from stripe_source.arrow_rows.values import COLUMN_TYPES, arrow_type, column_array, nulls
from stripe_source.striim.changes import Change
from stripe_source.striim.newest import iso_time
from stripe_source.tables.schema_map import Column, TableMap
from stripe_source.waevent_forms.form import milliseconds
from stripe_source.waevent_forms.rows import LOAD

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_NAME = 63  # bytes; Postgres cuts longer identifiers
LAST_SECOND = 253_402_300_799  # of the year 9999; a number beyond it is milliseconds
ASIDE = "__v_json"  # of the column beside another one, for values that this cannot hold


class TableRows:
    """Makes the rows of one table.

    Args:
        shape: the map of the table.
    """

    def __init__(self, shape: TableMap) -> None:
        self.shape = shape
        self.inferred: dict[str, Column] = {}
        self._declared = {column.name: column for column in shape.columns}
        self._hints: dict[str, Mapping[str, Any]] = {}
        self._kinds: dict[str, dict[type, Any]] = {}  # by undeclared column: a value of each type that it has

    def note(self, change: Change) -> None:
        """See a change: its undeclared columns get their types from all that is seen."""
        for name in change.values.keys() - self._declared.keys():
            if name in change.hints:
                self._hints.setdefault(name, change.hints[name])
            elif (value := change.values[name]) is not None:
                self._kinds.setdefault(name, {})[type(value)] = value

    def decide(self, known: Mapping[str, Mapping[str, Any]], normalize: Callable[[str], str]) -> None:
        """Decide the columns that no map declares.

        Args:
            known: the columns that the destination has, as dlt column schemas: one among them keeps its type.
            normalize: dlt's naming convention.
        """
        for name, hint in known.items():  # of rows that changes build on
            if name not in self._declared and hint.get("data_type") in COLUMN_TYPES:
                self.inferred[name] = _column(name, hint)
        for given in (*self._hints, *self._kinds):
            name = normalize(clean(given))
            if given in self.inferred or not name or len(name.encode()) > LONGEST_NAME or name in self._declared:
                continue
            hint = self._hints.get(given) or {
                "data_type": type_of([_packed(value) for value in self._kinds[given].values()])}
            if known.get(name, {}).get("data_type") in COLUMN_TYPES:
                hint = known[name]
            if hint.get("data_type") not in COLUMN_TYPES:
                hint = {"data_type": "json"}
            self.inferred[given] = _column(name, hint)

    def table(self, rows: Sequence[Mapping[str, Any]], load_id: str | None) -> tuple[pa.Table, dict[str, Any]]:
        """An Arrow table of rows, and dlt's hints of the columns that no map declares."""
        import pyarrow as pa

        there = {name for row in rows for name in row}
        aside: dict[str, dict[int, Any]] = {}
        arrays: dict[str, pa.Array] = {}
        fields: list[pa.Field] = []
        columns = [(name, column) for name, column in self._declared.items()]
        columns += [(name, column) for name, column in self.inferred.items() if name in there]
        prints = [row["_dlt_id"] for row in rows]
        for given, column in columns:
            array = self._array(given, column, rows, load_id, aside) if given in there or given == LOAD else nulls(
                arrow_type(column), len(rows))
            if not column.nullable and array.null_count and given != LOAD:
                defaults: Sequence[Any] = prints if column.data_type == "text" else [0] * len(rows)
                filled = [value if value is not None else other
                          for value, other in zip(array.to_pylist(), defaults, strict=True)]
                array = column_array(filled, column, lambda index, value: None)
            arrays[column.name] = array
            fields.append(pa.field(column.name, array.type, column.nullable))
        hints = {column.name: column.hint() for name, column in self.inferred.items() if name in there}
        self._add_aside(arrays, fields, hints, aside, len(rows))
        return pa.table(list(arrays.values()), schema=pa.schema(fields)), hints

    @staticmethod
    def _array(
        given: str, column: Column, rows: Sequence[Mapping[str, Any]], load_id: str | None,
        aside: dict[str, dict[int, Any]],
    ) -> pa.Array:
        """The values of a column; those that it cannot hold go aside."""
        import pyarrow as pa

        kind = column.data_type
        if given == LOAD:
            return pa.array([load_id] * len(rows), pa.string())
        if kind == "json":
            return pa.array([_json(row.get(given)) for row in rows], pa.string())
        cells = [row.get(given) for row in rows]
        if kind in ("bool", "double", "timestamp"):
            cells = [_prepared(value, kind) for value in cells]

        def misfit(index: int, value: Any) -> None:
            aside.setdefault(column.name, {})[index] = value

        return column_array(cells, column, misfit)

    @staticmethod
    def _add_aside(
        arrays: dict[str, pa.Array], fields: list[pa.Field], hints: dict[str, Any],
        aside: Mapping[str, Mapping[int, Any]], length: int,
    ) -> None:
        """Keep values that their columns cannot hold as JSON beside these."""
        import pyarrow as pa

        for name, cells in aside.items():
            beside = Column(name + ASIDE, "json", None)
            if beside.name in arrays:
                texts = arrays[beside.name].to_pylist()
            else:
                texts = [None] * length
                fields.append(pa.field(beside.name, pa.string()))
                hints[beside.name] = beside.hint()
            for index, value in cells.items():
                texts[index] = dumps(value)
            arrays[beside.name] = pa.array(texts, pa.string())


def _packed(value: Any) -> Any:
    return as_json(value) if isinstance(value, (dict, list)) else value


def _column(name: str, hint: Mapping[str, Any]) -> Column:
    return Column(
        name, str(hint["data_type"]), None, precision=_number(hint.get("precision")), scale=_number(hint.get("scale")),
        hints={word: value for word, value in hint.items() if word.startswith("x-")},
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _json(value: Any) -> str | None:
    """A value of a JSON column as JSON text, which it may be already."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            orjson.loads(value)
            return clean(value)
        except ValueError:
            pass
    return dumps(value)


def _prepared(value: Any, kind: str) -> Any:
    """A value as the conversion to the column's type takes it: WAEvents may have texts where rows have others."""
    if isinstance(value, str):
        if kind == "bool":
            return {"true": True, "false": False}.get(value.lower(), value)
        if kind == "double":
            try:
                return float(value)
            except ValueError:
                return value
        if kind == "timestamp" and value[-1:] not in ("Z", "z") and not value.isdigit():
            moment = milliseconds(value)
            return value if moment is None else iso_time(moment * 1000)
    if kind == "timestamp" and isinstance(value, int) and abs(value) > LAST_SECOND:
        moment = milliseconds(value)
        return value if moment is None or abs(moment) > LAST_SECOND * 1000 else iso_time(moment * 1000)
    return value
