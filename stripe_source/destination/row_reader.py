"""Whole rows of the destination, read back in the shape in which they can be compared with Stripe's."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.values import arrow_type
from stripe_source.destination.connection import sql_client
from stripe_source.destination.sql import KEYS_PER_QUERY, DestinationSql, python_value, unix_second
from stripe_source.tables.placement import Placement
from stripe_source.tables.schema_map import Column, table_map
from stripe_source.tables.table import Table

if TYPE_CHECKING:
    import dlt
    import pyarrow as pa
    from dlt import Schema

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
        self._sql = DestinationSql(self._client, schema, account)
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
        tests, there = [self.alive(), *self.within(table, span)], self.known(table)
        for name, value in found.where if found else ():
            if self._normal(name) in there:
                literal = self.bool(value) if isinstance(value, bool) else self.text(str(value))
                tests.append(f"{self.column(name)} {'IS NULL' if value is None else f'= {literal}'}")
        if found and found.when and (name := found.when.replace(".", "__")) in there:
            tests.append(f"{self.column(name)} IS NOT NULL")
        return self._number(f"SELECT COUNT(*) FROM {self.name(table)} WHERE {' AND '.join(tests)}")

    def elsewhere(self, table: Table) -> int:
        """The number of rows of other accounts."""
        other = f"{self.column('_account_id')} <> {self.text(self.account)}"
        return self._number(f"SELECT COUNT(*) FROM {self.name(table)} WHERE {other}")

    def newest(self, table: Table) -> int | None:
        """The newest `_changed_at` in unix seconds: when Stripe was last asked for something that is held here."""
        rows = self.ask(f"SELECT MAX({self.column('_changed_at')}) FROM {self.name(table)} WHERE {self.ours()}")
        return unix_second(rows[0][0]) if rows and rows[0][0] is not None else None

    def edges(self, table: Table, places: Iterable[int]) -> dict[int, int]:
        """When the rows at these places, counted from 0 in the order of their creation, were created."""
        time = self.column(table.time or "")
        numbered = (
            f"SELECT {time} AS moment, ROW_NUMBER() OVER (ORDER BY {time}) AS place FROM {self.name(table)}"
            f" WHERE {self.alive()} AND {time} IS NOT NULL"
        )
        wanted = ", ".join(str(place + 1) for place in places)
        rows = self.ask(f"SELECT place, moment FROM ({numbered}) numbered WHERE place IN ({wanted})") if wanted else []
        return {int(place) - 1: unix_second(moment) for place, moment in rows}

    def rows(self, table: Table, span: Span) -> Iterator[pa.Table]:
        """The rows of a table, flagged ones too, in portions."""
        yield from self._portions(table, self.within(table, span))

    def rows_with(self, table: Table, column: str, values: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that have one of these values in a column of text."""
        for first in range(0, len(values), KEYS_PER_QUERY):
            some = ", ".join(map(self.text, values[first:first + KEYS_PER_QUERY]))
            yield from self._portions(table, [f"{self.column(column)} IN ({some})"])

    def _portions(self, table: Table, tests: Sequence[str]) -> Iterator[pa.Table]:
        columns = self.columns(table)
        names = ", ".join(self.column(column.name) for column in columns)
        where = " AND ".join([self.ours(), *tests])
        for rows in self._fetch(f"SELECT {names} FROM {self.name(table)} WHERE {where}"):
            yield _arrow(columns, rows)

    # ---- SQL

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """All rows that a query answers."""
        return [row for rows in self._fetch(query) for row in rows]

    def _number(self, query: str) -> int:
        rows = self.ask(query)
        return int(rows[0][0]) if rows else 0

    def _fetch(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        with self:
            yield from self._sql.fetch_connected(query)

    def name(self, table: Table) -> str:
        """A table as SQL names it."""
        return self._sql.table(table.name)

    def column(self, name: str) -> str:
        """A column as SQL names it."""
        return self._sql.column(name)

    def text(self, value: str) -> str:
        """A text as a literal."""
        return self._sql.text(value)

    def ours(self, prefix: str = "") -> str:
        """The test for rows of this account."""
        return self._sql.of_account(prefix)

    def alive(self, prefix: str = "") -> str:
        """The test for rows of this account that are not flagged as deleted."""
        return f"{self._sql.of_account(prefix)} AND {self._sql.not_deleted(prefix)}"

    def bool(self, value: bool) -> str:
        """A boolean as a literal."""
        return self._sql.bool(value)

    def within(self, table: Table, span: Span, prefix: str = "") -> list[str]:
        """The tests for rows that were created in a span."""
        if not table.time:
            return []
        time = prefix + self.column(table.time)
        tests = [(">=", span.since), ("<", span.until)]
        return [f"{time} {sign} {self._sql.moment(second)}" for sign, second in tests if second is not None]

    def _stored(self, table: Table) -> str:
        return self._sql.table_key(table.name)

    def _normal(self, column: str) -> str:
        return self._sql.column_key(column)


def _arrow(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    arrays = [
        pa.array([python_value(value, column.data_type) for value in values], plain_type(column))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return pa.table(arrays, names=[column.name for column in columns])
