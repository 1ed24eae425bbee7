"""Whole rows of the destination, read back in the shape in which they can be compared with Stripe's."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.values import arrow_type
from stripe_source.destination.connection import sql_client
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import ROWS_PER_FETCH, DestinationSql, portions
from stripe_source.destination.sql.values import unix_second
from stripe_source.tables.placement import Placement
from stripe_source.tables.schema_map import Column, table_map
from stripe_source.tables.table import Table

if TYPE_CHECKING:
    import dlt
    import pyarrow as pa
    from dlt import Schema
    from sqlglot import exp

WHOLE_ROWS_PER_FETCH = 2_000  # of 200 columns, say: 30 MB as Python has them
FEW_VALUES = 5_000  # values that are asked for by IN (...); with more the whole table is read


@dataclass(frozen=True)
class Span:
    """Unix seconds [since, until) of `created`; None: no bound."""

    since: int | None = None
    until: int | None = None

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None


def plain_type(column: Column) -> pa.DataType:
    """The Arrow type in which values are compared: that of rows, but for times, which are microseconds since 1970."""
    import pyarrow as pa

    return pa.int64() if column.data_type == "timestamp" else arrow_type(column)


class RowReader:
    """Reads the tables of one account in the dataset of a pipeline.

    Args:
        pipeline: whose destination is read.
        schema: dlt's schema of what was loaded.
        account: value of `_account_id`.
    """

    def __init__(self, pipeline: dlt.Pipeline, schema: Schema, account: str) -> None:
        self._client: Any = sql_client(pipeline)
        self._schema, self.account = schema, account
        self.sql = DestinationSql(self._client, schema, account)
        self._depth = 0

    def __enter__(self) -> RowReader:
        """Keep the connection for several questions: some destinations take long to open one."""
        self._depth += 1
        if self._depth == 1:
            self._client.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._depth -= 1
        if not self._depth:
            self._client.__exit__(*error)

    def columns(self, table: Table) -> list[Column]:
        """The columns that the destination has, as the schema map or else dlt's schema describes them."""
        declared = {self._normal(column.name): column for column in table_map(table).columns}
        return [
            declared.get(name)
            or Column(name, data_type, None, precision=hint.get("precision"), scale=hint.get("scale"))
            for name, hint in self._schema.tables[self._stored(table)]["columns"].items()
            if (data_type := hint.get("data_type")) and name != "_dlt_load_id"
        ]

    def known(self, table: Table) -> Mapping[str, Any]:
        """The columns of a table in dlt's words, as `RowMaker` takes them."""
        return self._schema.tables.get(self._stored(table), {}).get("columns", {})

    def normalize(self, path: Sequence[str]) -> str:
        """The name of the column for a path, by dlt's naming convention without a limit on the length."""
        return str(type(self._schema.naming)().normalize_path("__".join(path)))

    def loaded(self, table: Table) -> bool:
        """Whether the pipeline has made this table."""
        return self._stored(table) in self._schema.tables

    def hard(self, table: Table) -> bool:
        """Whether rows that Stripe no longer has are removed from this table, not flagged."""
        return bool(self.known(table).get(self._normal("_deleted"), {}).get("hard_delete"))

    def count(self, table: Table, span: Span, found: Placement | None = None) -> int:
        """The number of rows that are not flagged as deleted; 0 where the table is not there.

        Args:
            table: which.
            span: in which they were created.
            found: only those whose objects may have others of this kind, as far as their columns tell.
        """
        if not self.loaded(table):
            return 0
        tests, there = self.within(table, span), self.known(table)
        for name, value in found.where if found else ():
            if self._normal(name) in there:
                tests.append(self.sql.equals(name, value if value is None or isinstance(value, bool) else str(value)))
        if found and found.when and (name := found.when.replace(".", "__")) in there:
            tests.append(self.sql.equals(name, None).not_())
        return self._number(statements.count(self.sql, table.name, *tests))

    def elsewhere(self, table: Table) -> int:
        """The number of rows of other accounts."""
        return self._number(statements.count_of_others(self.sql, table.name))

    def newest(self, table: Table) -> int | None:
        """The newest `_changed_at` in unix seconds: when Stripe was last asked for something that is held here."""
        rows = self.ask(statements.newest(self.sql, table.name))
        return unix_second(rows[0][0]) if rows and rows[0][0] is not None else None

    def edges(self, table: Table, places: Iterable[int]) -> dict[int, int]:
        """When the rows at these places, counted from 0 in the order of their creation, were created."""
        wanted = [place + 1 for place in places]
        rows = self.ask(statements.places(self.sql, table.name, table.time or "", wanted)) if wanted else []
        return {int(place) - 1: unix_second(moment) for place, moment in rows}

    def rows(self, table: Table, span: Span) -> Iterator[pa.Table]:
        """The rows of a table, flagged ones too, in portions."""
        yield from self._portions(table, self.within(table, span))

    def rows_with(self, table: Table, column: str, values: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that have one of these values in a column of text."""
        for some in portions(values):
            yield from self._portions(table, [self.sql.one_of(column, some)])

    def _portions(self, table: Table, tests: Sequence[exp.Expr]) -> Iterator[pa.Table]:
        columns = self.columns(table)
        query = statements.rows(self.sql, table.name, [column.name for column in columns], *tests)
        for rows in self._fetch(query, WHOLE_ROWS_PER_FETCH, large=True):
            yield _arrow(self.sql, columns, rows)

    # ---- SQL

    def ask(self, query: exp.Expr) -> list[tuple[Any, ...]]:
        """All rows that a query answers."""
        return [row for rows in self._fetch(query) for row in rows]

    def _number(self, query: exp.Expr) -> int:
        rows = self.ask(query)
        return int(rows[0][0]) if rows else 0

    def _fetch(
        self, query: exp.Expr, rows_at_once: int = ROWS_PER_FETCH, *, large: bool = False
    ) -> Iterator[list[tuple[Any, ...]]]:
        with self:
            yield from self.sql.fetch_connected(query, rows_at_once, large=large)

    def within(self, table: Table, span: Span, of: str | None = None) -> list[exp.Expr]:
        """The tests for rows that were created in a span."""
        return self.sql.created_in(table.time, span.since, span.until, of) if table.time else []

    def _stored(self, table: Table) -> str:
        return self.sql.table_key(table.name)

    def _normal(self, column: str) -> str:
        return self.sql.column_key(column)


def _arrow(sql: DestinationSql, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    arrays = [
        pa.array([sql.python(value, column.data_type) for value in values], plain_type(column))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return pa.table(arrays, names=[column.name for column in columns])
