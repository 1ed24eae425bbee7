"""SQL in the dialect of a destination, and its values as Python has them: for all that is read back from there."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.values import EPOCH

if TYPE_CHECKING:
    from dlt import Schema

ROWS_PER_FETCH = 10_000  # rows that are taken from the destination at once
KEYS_PER_QUERY = 500  # values in one IN (...): within the limits of all destinations


def python_value(value: Any, data_type: str) -> Any:
    """A value as a database driver gave it, in the Python type of its column; a time in microseconds since 1970.

    >>> python_value(datetime(1970, 1, 1, 0, 0, 1), "timestamp"), python_value({"a": 1}, "json")
    (1000000, '{"a":1}')
    """
    if value is None:
        return None
    if data_type == "timestamp":
        return _microseconds(value)
    if data_type == "json":
        return value if isinstance(value, str) else dumps(value)
    if data_type == "decimal":
        return value if isinstance(value, Decimal) else Decimal(str(value))
    python: dict[str, Any] = {"text": str, "bigint": int, "bool": bool, "double": float}
    return python[data_type](value)


def unix_second(value: Any) -> int:
    """The unix second of a time as a database driver gave it."""
    return _microseconds(value) // 1_000_000


def _microseconds(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    past = moment - EPOCH
    return int((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds)


class DestinationSql:
    """Names, literals and filters in the dialect of a destination, for the rows of one account.

    Args:
        client: dlt's SQL client; opened for each query, unless it is open.
        schema: dlt's schema, for its naming convention.
        account: value of `_account_id`.
    """

    def __init__(self, client: Any, schema: Schema, account: str) -> None:
        self.client, self.schema, self.account = client, schema, account

    def table_key(self, name: str) -> str:
        """The name of a table in dlt's schema."""
        return self.schema.naming.normalize_table_identifier(name)

    def column_key(self, name: str) -> str:
        """The name of a column in dlt's schema."""
        return self.schema.naming.normalize_path(name)

    def table(self, name: str) -> str:
        """A table as SQL names it."""
        return str(self.client.make_qualified_table_name(self.table_key(name)))

    def column(self, name: str) -> str:
        """A column as SQL names it."""
        return str(self.client.escape_column_name(self.column_key(name)))

    def text(self, value: str) -> str:
        """A text as a literal."""
        from sqlglot import exp

        return exp.Literal.string(value).sql(dialect=self._dialect)

    def bool(self, value: bool) -> str:
        """A boolean as a literal."""
        from sqlglot import exp

        return (exp.true() if value else exp.false()).sql(dialect=self._dialect)

    def moment(self, second: int) -> str:
        """A unix second as a literal."""
        from sqlglot import exp

        text = datetime.fromtimestamp(second, timezone.utc).isoformat(sep=" ")
        return exp.cast(exp.Literal.string(text), "timestamptz").sql(dialect=self._dialect)

    def as_text(self, column: str) -> str:
        """A column of any type, as text."""
        from sqlglot import exp

        return f"CAST({self.column(column)} AS {exp.DataType.build('text').sql(dialect=self._dialect)})"

    def of_account(self, prefix: str = "") -> str:
        """The filter for rows of this account."""
        return f"{prefix}{self.column('_account_id')} = {self.text(self.account)}"

    def not_deleted(self, prefix: str = "") -> str:
        """The filter for rows that are not flagged as deleted."""
        return f"{prefix}{self.column('_deleted')} = {self.bool(False)}"

    def fetch(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows that a query answers, in portions; the client is opened for it, unless it is open."""
        with nullcontext() if getattr(self.client, "_conn", None) else self.client:
            yield from self.fetch_connected(query)

    def fetch_connected(self, query: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows that a query answers, in portions, by an open client; none where dlt does not know of a drop."""
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        if type(self.client).__module__.startswith("dlt.destinations.impl.sqlalchemy"):
            query = query.replace(":", r"\:")  # its `text` takes `:plan` in a literal for a parameter
        try:
            with self.client.execute_query(query) as cursor:
                while rows := cursor.fetchmany(ROWS_PER_FETCH):
                    yield rows
        except DatabaseUndefinedRelation:
            return  # a table was dropped behind dlt's back: nothing is stored

    @property
    def _dialect(self) -> Any:
        return self.client.capabilities.sqlglot_dialect
