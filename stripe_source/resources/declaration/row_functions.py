"""Functions that a user gives to a resource: they get rows as dicts, or Arrow tables, whichever they are made for.

The items of our resources are Arrow tables, and dlt hands each as one. A filter such as `lambda row: row["paid"]` would
keep whole batches, a map that is made for dicts would fail with a riddle. So a function is tried with the first row. If
it answers with what it is asked for, it gets rows; if it fails or answers with something else, it gets tables.
"""
from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dlt.extract import DltResource
from dlt.extract.items_transform import FilterItem, MapItem, YieldMapItem

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.errors import RowFunctionFailed
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa

Rows = list[dict[str, Any]]
R = TypeVar("R")
Step = Callable[[Any], Any]


@dataclass
class CurrentRun(Generic[R]):
    """The reading that the resources of one source take part in. `sync` puts readings of its own into that place."""

    extraction: R


class StripeResource(DltResource):
    """A resource of Arrow tables, whose maps and filters may also be made for one row, as a dict.

    Names are those of the columns, times are `datetime` in UTC, JSON is parsed. What a row lacks is NULL; columns that
    begin with `_` stay. A function gets tables where its parameter is annotated as `pa.Table`, or where it fails on a
    row. One that is made for a row and fails raises `RowFunctionFailed`.
    """

    run: CurrentRun[Any] | None = None  # that of the source; clones have it too

    def _clone(
        self, *, new_name: Any = None, new_section: Any = None, with_parent: bool = False
    ) -> StripeResource:
        made = super()._clone(new_name=new_name, new_section=new_section, with_parent=with_parent)
        made.run = self.run
        return made

    def add_map(self, item_map: Any, insert_at: Any = None) -> StripeResource:
        """Add a function from a row to a row, or from a table to a table; None leaves the row out."""
        return super().add_map(self._adapted("add_map", item_map, _mapped), insert_at)

    def add_yield_map(self, item_map: Any, insert_at: Any = None) -> StripeResource:
        """Add a function that yields any number of rows for a row, or of tables for a table."""
        adapted = self._adapted("add_yield_map", item_map, _yielded)

        def tables(item: Any, meta: Any = None) -> Iterator[Any]:
            made = adapted(item, meta)
            yield from made if isinstance(made, list) else [made]

        return super().add_yield_map(tables, insert_at)

    def add_filter(self, item_filter: Any, insert_at: Any = None) -> StripeResource:
        """Add a function that says whether a row is kept; from a table: whether it is, or a mask of its rows."""
        return super().add_map(self._adapted("add_filter", item_filter, _filtered), insert_at)

    def _adapted(self, method: str, function: Callable[..., Any], by_row: ByRow) -> RowFunction:
        return RowFunction(f"{method} of {self.name}", function, by_row, lambda: {
            name for name, column in self.compute_table_schema().get("columns", {}).items()
            if column.get("data_type") == "json"
        })


def row_steps(resource: DltResource | None) -> list[Step]:
    """The functions that were given to a resource, in their order; each takes what it yields."""
    steps = resource._pipe.steps if resource is not None else []
    return [step for step in steps if isinstance(step, (FilterItem, MapItem, YieldMapItem))]


def through_steps(steps: Sequence[Step], table: pa.Table) -> pa.Table | None:
    """What functions make of a table; None where nothing is left."""
    import pyarrow as pa

    tables = [table]
    for step in steps:
        made = [step(each) for each in tables]
        tables = [inner for each in made for inner in (each if isinstance(each, (list, Iterator)) else [each])
                  if inner is not None]
    return pa.concat_tables(tables, promote_options="default") if tables else None


def columns_of(table: pa.Table, known: Collection[str]) -> dict[str, Column]:
    """The columns of a table that are not known, as functions have added them, with dlt's types."""
    from dlt.common.libs.pyarrow import get_column_type_from_py_arrow

    found = {}
    for field in table.schema:
        if field.name not in known:
            words: Any = get_column_type_from_py_arrow(field.type)
            found[field.name] = Column(
                field.name, words["data_type"], None, precision=words.get("precision"), scale=words.get("scale"))
    return found


def _mapped(row: dict[str, Any], answer: Any) -> Rows | None:
    """The rows that a map makes of one; None: it is no answer of a map of rows."""
    if answer is None:
        return []
    return [answer] if isinstance(answer, dict) else None


def _yielded(row: dict[str, Any], answer: Any) -> Rows | None:
    rows = list(answer) if inspect.isgenerator(answer) or isinstance(answer, list) else None
    return rows if rows is not None and all(isinstance(each, dict) for each in rows) else None


def _filtered(row: dict[str, Any], answer: Any) -> Rows | None:
    return [row] if answer else []


ByRow = Callable[[dict[str, Any], Any], "Rows | None"]


class RowFunction:
    """A function of rows or of tables, as a function of tables.

    Args:
        what: which function it is, for errors.
        function: takes a row or a table, and dlt's `meta` if it has a second parameter.
        by_row: makes rows of its answer.
        json_columns: names the columns whose texts are JSON.
    """

    def __init__(
        self, what: str, function: Callable[..., Any], by_row: ByRow, json_columns: Callable[[], set[str]]
    ) -> None:
        self._what, self._function, self._by_row, self._json_columns = what, function, by_row, json_columns
        parameters = list(inspect.signature(function).parameters.values())
        self._with_meta = len(parameters) > 1
        annotation = str(getattr(parameters[0].annotation, "__name__", parameters[0].annotation)) if parameters else ""
        self._takes_rows: bool | None = False if annotation.rpartition(".")[2] in ("Table", "RecordBatch") else None

    def __call__(self, item: Any, meta: Any = None) -> Any:
        """What becomes of a table; anything else goes to the function as it is."""
        import pyarrow as pa

        if not isinstance(item, pa.Table):
            return self._call(item, meta)
        if self._takes_rows is None and item.num_rows:
            self._takes_rows = self._is_for_rows(item, meta)
        if self._takes_rows:
            return self._of_rows(item, meta)
        if self._takes_rows is None:
            return item  # a table that is made and has no row yet
        made = self._call(item, meta)
        if self._by_row is not _filtered:
            return made
        if isinstance(made, (bool, type(None))):
            return item if made else item.slice(0, 0)
        return item.filter(made)

    def _call(self, item: Any, meta: Any) -> Any:
        return self._function(item, meta) if self._with_meta else self._function(item)

    def _is_for_rows(self, table: pa.Table, meta: Any) -> bool:
        """Whether the function answers to the first row as one of rows does; else it has to take the table."""
        json_columns = self._json_columns()
        (row,) = _rows(table.slice(0, 1), json_columns)
        try:
            answer = self._by_row(row, self._call(dict(row), meta))
        except Exception as failure:
            try:
                self._call(table, meta)
            except Exception as other:
                raise RowFunctionFailed(self._what, failure, other) from failure
            return False
        return answer is not None

    def _of_rows(self, table: pa.Table, meta: Any) -> pa.Table | None:
        """The table of the rows that the function makes."""
        json_columns = self._json_columns()
        before, after = [], []
        for row in _rows(table, json_columns):
            try:
                made = self._by_row(row, self._call(dict(row), meta))
            except Exception as failure:
                raise RowFunctionFailed(self._what, failure) from failure
            after += made or []
            before += [row] * len(made or [])
        if self._by_row is _filtered and len(after) == table.num_rows:
            return table
        return self._table(table, before, after, json_columns)

    def _table(self, table: pa.Table, before: Rows, after: Rows, json_columns: set[str]) -> pa.Table:
        """A table of rows that were made of others, with the types of the table that those were in."""
        import pyarrow as pa

        names = dict.fromkeys(name for row in after for name in row)
        kept = [name for name in table.column_names if name in names or name.startswith("_")]
        fields, arrays = [], []
        for name in (*kept, *(name for name in names if name not in table.column_names)):
            field = table.schema.field(name) if name in table.column_names else None
            values = [
                row.get(name, old.get(name) if name.startswith("_") else None)
                for row, old in zip(after, before, strict=True)
            ]
            if name in json_columns:
                values = [_text(value) for value in values]
            try:
                array = pa.array(values, field.type if field else None)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as failure:
                raise RowFunctionFailed(f"{self._what}, column {name}", failure) from failure
            if field is None and pa.types.is_null(array.type):
                continue  # dlt makes no column of what has no value
            fields.append((field or pa.field(name, array.type)).with_nullable(True))
            arrays.append(array)
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _rows(table: pa.Table, json_columns: set[str]) -> Rows:
    """The rows of a table as dicts, with JSON parsed."""
    rows: Rows = table.to_pylist()
    for name in json_columns.intersection(table.column_names):
        for row in rows:
            if isinstance(row[name], str):
                row[name] = json.loads(row[name])
    return rows


def _text(value: Any) -> str | None:
    return None if value is None else dumps(value)
