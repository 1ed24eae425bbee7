"""What the destination holds of a table: keys and fingerprints, and the last known rows of what is gone.

Reading it back is what tells new rows from changed ones, spares the destination rows that did not change, and finds the
rows that Stripe no longer has.
"""
from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from stripe_source.rows import EPOCH, dumps
from stripe_source.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt import Schema
    from dlt.destinations.sql_client import SqlClientBase

Key = tuple[str, ...]
CHUNK = 500  # keys in one IN (...): within the limits of all destinations


class Held:
    """The rows of one table and account in the destination.

    Args:
        client: reads the dataset; opened for each question.
        schema: dlt's schema, for its naming convention and the columns that are there.
        shape: the map of the table.
        account: value of `_account_id`.
    """

    def __init__(self, client: SqlClientBase[Any], schema: Schema, shape: TableMap, account: str) -> None:
        self._client, self._schema, self._shape, self._account = client, schema, shape, account
        self._table = schema.naming.normalize_table_identifier(shape.table.name)

    def fingerprints(self, since: int | None = None) -> dict[Key, tuple[str, bool]]:
        """Key -> fingerprint and whether it is flagged as deleted; {} if the table is not there yet.

        Args:
            since: only rows created at or after this unix second.
        """
        if self._table not in self._schema.tables:
            return {}
        names = [*self._shape.table.key, "_dlt_id", "_deleted"]
        where = ""
        if since is not None and self._shape.table.time:
            moment = datetime.fromtimestamp(since, timezone.utc).isoformat(sep=" ")
            where = f" AND {self._name(self._shape.table.time)} >= {self._timestamp(moment)}"
        width = len(self._shape.table.key)
        return {
            tuple(map(_key_part, row[:width])): (str(row[width]), bool(row[width + 1]))
            for row in self._select(names, where)
        }

    def gone(self, keys: Sequence[Key], at: int, load_id: str | None) -> Iterator[pa.Table]:
        """The last known rows of these keys, flagged as deleted at a unix second, as Arrow tables."""
        columns = self._columns() if keys else []
        for first in range(0, len(keys), CHUNK):
            some = keys[first:first + CHUNK]
            rows = list(self._select([column.name for column in columns], f" AND ({self._any_of(some)})"))
            if rows:
                yield _flagged(columns, rows, at, load_id)

    def _any_of(self, keys: Sequence[Key]) -> str:
        names = self._shape.table.key
        if len(names) == 1:
            return f"{self._name(names[0])} IN ({', '.join(self._text(key[0]) for key in keys)})"
        return " OR ".join(
            "(" + " AND ".join(f"{self._name(n)} = {self._value(n, v)}" for n, v in zip(names, key, strict=True)) + ")"
            for key in keys
        ) if names else "1 = 1"  # one row per account

    def _columns(self) -> list[Column]:
        there = self._schema.tables[self._table]["columns"]
        declared = {column.name: column for column in self._shape.columns}
        return [
            declared.get(name)
            or Column(name, data_type, None, precision=hint.get("precision"), scale=hint.get("scale"))
            for name, hint in there.items()
            if (data_type := hint.get("data_type"))
        ]

    def _select(self, names: Sequence[str], where: str) -> Iterator[tuple[Any, ...]]:
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        with self._client as client:
            query = (
                f"SELECT {', '.join(map(self._name, names))} FROM {client.make_qualified_table_name(self._table)}"
                f" WHERE {self._name('_account_id')} = {self._text(self._account)}{where}"
            )
            try:
                with client.execute_query(query) as cursor:
                    while rows := cursor.fetchmany(10_000):
                        yield from rows
            except DatabaseUndefinedRelation:
                return  # dropped behind dlt's back: nothing is held

    @property
    def _dialect(self) -> Any:
        return self._client.capabilities.sqlglot_dialect

    def _name(self, column: str) -> str:
        return str(self._client.escape_column_name(self._schema.naming.normalize_path(column)))

    def _value(self, column: str, part: str) -> str:
        """A part of a key as SQL: text, or the time that its unix second means."""
        if next(c.data_type for c in self._shape.columns if c.name == column) != "timestamp":
            return self._text(part)
        return self._timestamp(datetime.fromtimestamp(int(part), timezone.utc).isoformat(sep=" "))

    def _text(self, value: str) -> str:
        from sqlglot import exp

        return exp.Literal.string(value).sql(dialect=self._dialect)

    def _timestamp(self, moment: str) -> str:
        from sqlglot import exp

        return exp.cast(exp.Literal.string(moment), "timestamptz").sql(dialect=self._dialect)


def _flagged_print(print_: str) -> str:
    """The fingerprint of a row that is flagged now, from the one that it had."""
    return base64.b64encode(hashlib.blake2b(f"{print_}\0gone".encode(), digest_size=15).digest()).decode()


def _key_part(value: Any) -> str:
    """A part of a key as text; of a time its unix second, as `run` writes the keys of what is read."""
    if isinstance(value, datetime):
        value = int((value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp())
    return str(value)


def _flagged(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], at: int, load_id: str | None) -> pa.Table:
    import pyarrow as pa

    from stripe_source.rows import arrow_type

    arrays, fields = [], []
    for place, column in enumerate(columns):
        values = [row[place] for row in rows]
        if column.name == "_deleted":
            values = [True] * len(rows)
        elif column.name in ("_deleted_at", "_changed_at"):
            values = [at * 1_000_000] * len(rows)
        elif column.name == "_dlt_load_id":
            values = [load_id] * len(rows)
        elif column.name == "_dlt_id":
            values = [_flagged_print(value) for value in values]
        else:
            values = [None if value is None else _python(value, column.data_type) for value in values]
        kind = arrow_type(column)
        array = pa.array(values, pa.int64()).cast(kind) if column.data_type == "timestamp" else pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))


def _python(value: Any, data_type: str) -> Any:
    """A value as a database driver gave it, as Arrow takes it for the type (timestamps: microseconds)."""
    if data_type == "json":
        return value if isinstance(value, str) else dumps(value)
    if data_type == "bool":
        return bool(value)
    if data_type == "timestamp":
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return round((moment - EPOCH).total_seconds() * 1_000_000)
    if data_type == "text":
        return str(value)
    if data_type == "double":
        return float(value)
    return value
