"""The dialect of a destination: names, literals and tests as sqlglot expressions, and how they are sent.

A value becomes part of a statement here and nowhere else. What differs between destinations beyond what sqlglot knows
stands in the constants.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from stripe_source.destination.sql import engines
from stripe_source.destination.sql.values import python_value, unwrapped_json

if TYPE_CHECKING:
    from dlt import Schema

ROWS_PER_FETCH = 10_000  # rows that are taken from the destination at once
VALUES_PER_STATEMENT = 2_000  # in one IN (...); SQL Server is slow above that
PAIRS_PER_STATEMENT = 400  # keys of several columns: SQLite takes expressions of a depth of 1,000
CHARACTERS_PER_STATEMENT = 100_000  # of values: ClickHouse takes statements of 256 KB
_BITS = frozenset({"tsql", "fabric", "oracle", "sqlite"})  # booleans are 0 and 1, and no literal is one
_NAIVE_TIMES = frozenset({"athena", "doris", "dremio", "fabric", "mysql", "starrocks"})  # dlt's times have no zone
_TAKEN_BY_CLIENT = {  # what dlt's clients cut statements at, or take for parameters, in literals or not
    "athena": r"([;%\\])", "clickhouse": r"([;%])",  # and sqlglot's Athena reads `\` as Hive does
}
_JSON_AS_TEXT = {"bigquery": "TO_JSON_STRING", "redshift": "JSON_SERIALIZE"}  # elsewhere a cast does it
_TEXT_IN_JSON = frozenset({"bigquery", "redshift", "snowflake"})  # JSON that came as text may be a text in JSON there
_POSITION_UNKNOWN = frozenset({"", "dremio"})  # sqlglot does not know how they look for a text in another


@dataclass
class StatementCounter:
    """How many statements were sent."""

    number: int = 0


class DestinationSql:
    """What statements for a destination are made of, for the rows of one account.

    Args:
        client: dlt's SQL client; opened for each statement, unless it is open.
        schema: dlt's schema, for its naming convention.
        account: value of `_account_id`.
        counter: counts what is sent.
    """

    def __init__(
        self, client: Any, schema: Schema, account: str = "", counter: StatementCounter | None = None
    ) -> None:
        self.client, self.schema, self.account = client, schema, account
        self._counter = counter or StatementCounter()
        self.missing = False  # the last query was about a table that is not there
        name = str(client.capabilities.sqlglot_dialect or "")
        self.dialect = name if Dialect.get(name) else ""
        self._sqlalchemy = client.capabilities.dialect_capabilities is not None

    # ---- names

    def table_key(self, name: str) -> str:
        """The name of a table in dlt's schema."""
        return self.schema.naming.normalize_table_identifier(name)

    def column_key(self, name: str) -> str:
        """The name of a column in dlt's schema."""
        return self.schema.naming.normalize_path(name)

    def table(self, name: str, alias: str | None = None) -> exp.Table:
        """A table."""
        path = self.client.make_qualified_table_name_path(self.table_key(name), quote=False)
        parts = [exp.to_identifier(self._stored_name(each), quoted=True) for each in reversed(path)]
        return exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)),
                         alias=exp.TableAlias(this=exp.to_identifier(alias)) if alias else None)

    def column(self, name: str, of: str | None = None) -> exp.Column:
        """A column, of the table with an alias where there are several."""
        stored = self._stored_name(self.client.escape_column_name(self.column_key(name), quote=False))
        return exp.column(exp.to_identifier(stored, quoted=True), table=of)

    def _stored_name(self, name: str) -> str:
        """A name as the database has it: SQLAlchemy knows some in small letters that stand there in capitals."""
        if self._sqlalchemy and self.client.dialect.requires_name_normalize:
            return str(self.client.dialect.denormalize_name(name))
        return name

    # ---- values

    def text(self, value: str) -> exp.Expr:
        """A text as a literal; what dlt's client would not leave alone, as the number of its character."""
        if self.dialect in ("tsql", "fabric") and not value.isascii():
            return exp.National(this=value)
        parts = re.split(_TAKEN_BY_CLIENT[self.dialect], value) if self.dialect in _TAKEN_BY_CLIENT else [value]
        if len(parts) == 1:
            return exp.Literal.string(value)
        return exp.Concat(expressions=[
            exp.Chr(expressions=[exp.Literal.number(ord(part))]) if place % 2 else exp.Literal.string(part)
            for place, part in enumerate(parts)
        ], safe=False, coalesce=False)

    def boolean(self, value: bool) -> exp.Expr:
        """A boolean as a literal."""
        if self.dialect in _BITS:
            return exp.Literal.number(int(value))
        return exp.true() if value else exp.false()

    def moment(self, second: int) -> exp.Expr:
        """A unix second as a literal of the type that dlt gives to times."""
        text = datetime.fromtimestamp(second, timezone.utc).replace(tzinfo=None).isoformat(sep=" ")
        if self.dialect == "sqlite":
            return exp.Literal.string(f"{text}.000000")  # SQLAlchemy keeps times as text there
        if self.dialect == "clickhouse":
            return exp.func("toDateTime64", exp.Literal.string(text), exp.Literal.number(6), exp.Literal.string("UTC"))
        if self.dialect == "oracle":
            form = exp.Literal.string("YYYY-MM-DD HH24:MI:SS TZH:TZM")
            return exp.Anonymous(this="TO_TIMESTAMP_TZ", expressions=[exp.Literal.string(f"{text} +00:00"), form])
        if self.dialect in _NAIVE_TIMES:
            return exp.cast(exp.Literal.string(text), "datetime" if self.dialect == "mysql" else "timestamp")
        return exp.cast(exp.Literal.string(f"{text} UTC" if self.dialect == "trino" else f"{text}+00:00"),
                        "timestamptz")

    def python(self, value: Any, data_type: str) -> Any:
        """A value that the destination answered, as `python_value` has it."""
        found = python_value(value, data_type)
        return unwrapped_json(found) if found and data_type == "json" and self.dialect in _TEXT_IN_JSON else found

    # ---- tests

    def ours(self, of: str | None = None) -> exp.Expr:
        """The test for rows of this account."""
        return self.column("_account_id", of).eq(self.text(self.account))

    def alive(self, of: str | None = None) -> exp.Expr:
        """The test for rows of this account that are not flagged as deleted."""
        return exp.and_(self.ours(of), self.not_deleted(of))

    def not_deleted(self, of: str | None = None) -> exp.Expr:
        """The test for rows that are not flagged as deleted."""
        return self.column("_deleted", of).eq(self.boolean(False))

    def equals(self, column: str, value: str | bool | None) -> exp.Expr:
        """The test for a value; None: for none."""
        if value is None:
            return self.column(column).is_(exp.null())
        return self.column(column).eq(self.boolean(value) if isinstance(value, bool) else self.text(value))

    def one_of(self, column: str, values: Iterable[str]) -> exp.Expr:
        """The test for one of several texts."""
        return exp.In(this=self.column(column), expressions=[self.text(value) for value in values])

    def created_in(self, column: str, since: int | None, until: int | None, of: str | None = None
                   ) -> list[exp.Expr]:
        """The tests for a time in [since, until), unix seconds; None: no bound."""
        time = self.column(column, of)
        bounds = [(exp.GTE, since), (exp.LT, until)]
        return [sign(this=time.copy(), expression=self.moment(second)) for sign, second in bounds if second is not None]

    def due(self, column: str, value: str, when: str, now: int) -> list[exp.Expr]:
        """The tests for a value whose time has come."""
        return [self.equals(column, value), exp.LTE(this=self.column(when), expression=self.moment(now))]

    def may_show(self, column: str, ids: Collection[str]) -> exp.Expr:
        """The test for JSON that shows one of these ids; it lets through more, never less.

        It looks for letters and digits of an id, which are written alike in JSON in any form.
        """
        needles = [max(re.findall(r"[A-Za-z0-9_]+", id), key=len, default="") for id in ids]
        if not all(needles):
            return exp.true() if self.dialect not in _BITS else exp.Literal.number(1).eq(1)
        return exp.or_(*(self._holds(column, needle) for needle in dict.fromkeys(needles)))

    def _holds(self, column: str, needle: str) -> exp.Expr:
        text: exp.Expr = self.column(column)
        if self.dialect in _JSON_AS_TEXT:
            text = exp.Anonymous(this=_JSON_AS_TEXT[self.dialect], expressions=[text])
        elif self.dialect != "oracle":
            text = exp.cast(text, "text")
        if self.dialect in _POSITION_UNKNOWN:
            return exp.Like(this=text, expression=exp.Literal.string(f"%{needle}%"))
        found: exp.Expr = exp.StrPosition(this=text, substr=exp.Literal.string(needle))
        return exp.GT(this=found, expression=exp.Literal.number(0))

    # ---- sending

    def statement(self, query: exp.Expr) -> str:
        """A statement as dlt's client takes it."""
        said = query.sql(dialect=self.dialect)
        if self._sqlalchemy:
            return said.replace(":", "\\:")  # `sa.text` takes a colon for the beginning of a parameter
        return said.replace("%", "%%") if self.dialect == "bigquery" else said  # its client makes one of two

    def fetch(self, query: exp.Expr, *, large: bool = False) -> Iterator[list[tuple[Any, ...]]]:
        """The rows that a query answers, in portions; the client is opened for it, unless it is open."""
        with nullcontext() if getattr(self.client, "_conn", None) else self.client:
            yield from self.fetch_connected(query, large=large)

    def fetch_connected(
        self, query: exp.Expr, rows_at_once: int = ROWS_PER_FETCH, *, large: bool = False
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows that a query answers, in portions, by an open client; none where dlt does not know of a drop.

        Args:
            query: what is asked.
            rows_at_once: rows of a portion.
            large: the answer may be larger than memory.
        """
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        self.missing = False
        self._counter.number += 1
        said = self.statement(query)
        try:
            connection = getattr(self.client, "native_connection", None)
            if large and self.dialect == engines.POSTGRES and getattr(connection, "autocommit", False):
                yield from self._fetch_by_cursor(said, rows_at_once)
                return
            with self.client.execute_query(said) as cursor:
                while rows := cursor.fetchmany(rows_at_once):
                    yield rows
        except DatabaseUndefinedRelation:
            self.missing = True  # a table was dropped behind dlt's back: nothing is stored

    def _fetch_by_cursor(self, said: str, rows_at_once: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows from a cursor of the server: psycopg2 takes a whole answer into memory before the first row.

        One transaction holds it, so that it also works behind a pool that gives each transaction another connection.
        """
        with self.client.begin_transaction():
            self.client.execute_sql(engines.cursor_for(said))
            try:
                while rows := self.client.execute_sql(engines.rows_of_cursor(rows_at_once)):
                    yield rows
            except GeneratorExit:  # nobody wants the rest, and dlt ends a transaction after errors only
                self.client.rollback_transaction()
                raise


def portions(values: Sequence[Any], most: int = VALUES_PER_STATEMENT) -> Iterator[Sequence[Any]]:
    """Texts, or tuples of them, in portions that fit into one statement of any destination."""
    first = size = 0
    for place, value in enumerate(values):
        length = (len(value) if isinstance(value, str) else sum(map(len, value))) + 4
        size += length
        if place > first and (place - first >= most or size > CHARACTERS_PER_STATEMENT):
            yield values[first:place]
            first, size = place, length
    if values:
        yield values[first:]
