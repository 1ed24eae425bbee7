"""What the destination holds of a table: keys and fingerprints, and the last known rows of what is gone.

Reading it back is what tells new rows from changed ones, spares the destination rows that did not change, and finds the
rows that Stripe no longer has. It also tells the change feed which of two versions is the newer one.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stripe_source.rows.fingerprint import flagged_fingerprint
from stripe_source.rows.json_text import dumps
from stripe_source.rows.values import EPOCH
from stripe_source.tables.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt import Schema
    from dlt.destinations.sql_client import SqlClientBase

Key = tuple[str, ...]
T = TypeVar("T")
DUPLICATE = ""  # the fingerprint of a key that is there twice, after two loads at once: like none, so that it is written
KEYS_PER_QUERY = 500  # keys in one IN (...): within the limits of all destinations


class StoredVersion(NamedTuple):
    """What is held of a row: its fingerprint, whether it is flagged as deleted, and `_changed_at` in unix seconds."""

    print: str
    deleted: bool
    changed_at: int = 0


class StoredRows:
    """The rows of one table and account in the destination.

    Args:
        client: reads the dataset; opened for each question, unless it is open.
        schema: dlt's schema, for its naming convention and the columns that are there.
        shape: the map of the table.
        account: value of `_account_id`.
    """

    def __init__(self, client: SqlClientBase[Any], schema: Schema, shape: TableMap, account: str) -> None:
        self._client, self._schema, self._shape, self._account = client, schema, shape, account
        self._table = schema.naming.normalize_table_identifier(shape.table.name)
        self._there = dict(schema.tables.get(self._table, {}).get("columns", {}))  # a load adds some before it ends

    def for_map(self, shape: TableMap) -> StoredRows:
        """The same of another table."""
        return StoredRows(self._client, self._schema, shape, self._account)

    def fingerprints(self, since: int | None = None) -> dict[Key, StoredVersion]:
        """Everything that is held, without the times; {} if the table is not there yet.

        Args:
            since: only rows created at or after this unix second.
        """
        where = ""
        if since is not None and self._shape.table.time:
            moment = datetime.fromtimestamp(since, timezone.utc).isoformat(sep=" ")
            where = f"{self._name(self._shape.table.time)} >= {self._timestamp(moment)}"
        width = len(self._shape.table.key)
        names = [*self._shape.table.key, "_dlt_id", "_deleted"]
        found: dict[Key, StoredVersion] = {}
        for row in self._select(names, where):
            key = tuple(map(_key_part, row[:width]))
            print_ = DUPLICATE if key in found else str(row[width])
            found[key] = StoredVersion(print_, bool(row[width + 1]))
        return found

    def versions(self, keys: Iterable[Key]) -> dict[Key, StoredVersion]:
        """What is held of these keys."""
        width = len(self._shape.table.key)
        found: dict[Key, StoredVersion] = {}
        names = [*self._shape.table.key, "_dlt_id", "_deleted", "_changed_at"]
        for some in _chunks(list(keys)):
            for row in self._select(names, self._any_of(some)):
                key = tuple(map(_key_part, row[:width]))
                print_ = DUPLICATE if key in found else str(row[width])
                found[key] = StoredVersion(print_, bool(row[width + 1]), _second(row[width + 2]))
        return found

    def rows_where(self, want: Sequence[str], column: str, values: Iterable[str | None]) -> list[tuple[Any, ...]]:
        """Columns of the rows, not flagged as deleted, that hold one of these values in a column."""
        given, found = list(values), []
        tests = [f"{self._name(column)} IS NULL"] if None in given else []
        for some in _chunks([value for value in given if value is not None]):
            tests.append(f"{self._name(column)} IN ({', '.join(map(self._text, some))})")
        for test in tests:
            found += list(self._select(want, f"{self._alive()} AND {test}"))
        return found

    def keys_where(self, column: str, values: Iterable[str | None]) -> set[Key]:
        """Keys of the rows, not flagged as deleted, that hold one of these values in a column."""
        return {tuple(map(_key_part, row)) for row in self.rows_where(self._shape.table.key, column, values)}

    def rows_referencing(self, want: str, column: str, ids: Iterable[str]) -> dict[str, set[str]]:
        """For each of these ids the values of a column in rows that show the id in another, which may be JSON."""
        found: dict[str, set[str]] = {}
        if next(c.data_type for c in self._shape.columns if c.name == column) != "json":
            for value, shown in self.rows_where([want, column], column, ids):
                found.setdefault(str(shown), set()).add(str(value))
            return found
        text = f"CAST({self._name(column)} AS {self._type_of_text()})"
        for some in _chunks(list(ids)):
            likes = " OR ".join(f"{text} LIKE {self._text(_quoted(id, '%'))}" for id in some)
            for value, shown in self._select([want, column], f"{self._alive()} AND ({likes})"):
                for id in some:
                    if _quoted(id) in str(_python_value(shown, "json")):
                        found.setdefault(id, set()).add(str(value))
        return found

    def column_of(self, path: str) -> str | None:
        """The column that shows the object, or the ids, at a dotted path."""
        names = {column.name for column in self._shape.columns}
        flat = path.replace(".", "__")
        return next((name for name in (f"{flat}__id", flat) if name in names), None)

    def rows_due(self, column: str, value: str, when: str, now: int) -> list[int]:
        """When the rows were created, in unix seconds, that hold a value whose time has come."""
        assert self._shape.table.time
        moment = self._timestamp(datetime.fromtimestamp(now, timezone.utc).isoformat(sep=" "))
        test = f"{self._name(column)} = {self._text(value)} AND {self._name(when)} <= {moment}"
        return [_second(row[0]) for row in self._select([self._shape.table.time], f"{self._alive()} AND {test}")]

    def deleted_rows(self, keys: Mapping[Key, int], load_id: str | None) -> Iterator[pa.Table]:
        """The last known rows of these keys, flagged as deleted at a unix second each, as Arrow tables."""
        columns = self._columns() if keys else []
        places = [[column.name for column in columns].index(name) for name in self._shape.table.key] if keys else []
        for some in _chunks(list(keys)):
            rows = list(self._select([column.name for column in columns], self._any_of(some)))
            if rows:
                times = [keys[tuple(_key_part(row[place]) for place in places)] for row in rows]
                yield _flagged_rows(columns, rows, times, load_id)

    def closed(self, keys: Mapping[Key, int], until: str, since: str, load_id: str | None) -> Iterator[pa.Table]:
        """The rows that have nothing in a column with a time yet, with a unix second for each key in it.

        Args:
            keys: the key, without the column `since`, -> the second.
            until: the column.
            since: the last column of the key: when a row begins. One that does not begin before the second stays.
            load_id: the dlt load.
        """
        columns, names = self._columns(), self._shape.table.key[:-1]
        order = [column.name for column in columns]
        places, begins = [order.index(name) for name in names], order.index(since) if keys else 0
        for some in _chunks(list(keys)):
            test = f"{self._name(until)} IS NULL AND ({self._any_of(some, names)})"
            rows, times = [], []
            for row in self._select(order, test):
                second = keys[tuple(_key_part(row[place]) for place in places)]
                if _second(row[begins]) < second:
                    rows.append(row)
                    times.append(second)
            if rows:
                yield _rewritten_columns(columns, rows, {until: [second * 1_000_000 for second in times],
                                                 "_dlt_load_id": [load_id] * len(rows)})

    def _any_of(self, keys: Sequence[Key], names: Sequence[str] | None = None) -> str:
        names = self._shape.table.key if names is None else names
        if len(names) == 1:
            return f"{self._name(names[0])} IN ({', '.join(self._text(key[0]) for key in keys)})"
        return " OR ".join(
            "(" + " AND ".join(f"{self._name(n)} = {self._value(n, v)}" for n, v in zip(names, key, strict=True)) + ")"
            for key in keys
        ) if names else "1 = 1"  # one row per account

    def _columns(self) -> list[Column]:
        declared = {column.name: column for column in self._shape.columns}
        return [
            declared.get(name)
            or Column(name, data_type, None, precision=hint.get("precision"), scale=hint.get("scale"))
            for name, hint in self._there.items()
            if (data_type := hint.get("data_type"))
        ]

    def _select(self, names: Sequence[str], where: str = "") -> Iterator[tuple[Any, ...]]:
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        if self._table not in self._schema.tables:
            return
        with nullcontext(self._client) if getattr(self._client, "_conn", None) else self._client as client:
            query = (
                f"SELECT {', '.join(map(self._name, names))} FROM {client.make_qualified_table_name(self._table)}"
                f" WHERE {self._name('_account_id')} = {self._text(self._account)}"
                f"{f' AND ({where})' if where else ''}"
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

    def _alive(self) -> str:
        from sqlglot import exp

        false = exp.false().sql(dialect=self._dialect)
        return f"{self._name('_deleted')} = {false}"

    def _type_of_text(self) -> str:
        from sqlglot import exp

        return exp.DataType.build("text").sql(dialect=self._dialect)

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


def _quoted(id: str, around: str = "") -> str:
    """An id as it stands in JSON text."""
    return f'{around}"{id}"{around}'


def _chunks(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(things), KEYS_PER_QUERY):
        yield things[first:first + KEYS_PER_QUERY]


def _second(value: Any) -> int:
    """Unix seconds of a time as a database driver gave it."""
    return int(_python_value(value, "timestamp") // 1_000_000)


def _key_part(value: Any) -> str:
    """A part of a key as text; of a time its unix second, as `run` writes the keys of what is read."""
    if isinstance(value, datetime):
        value = int((value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp())
    return str(value)


def _flagged_rows(
    columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], times: Sequence[int], load_id: str | None
) -> pa.Table:
    """Rows flagged as deleted at a unix second each."""
    moments = [second * 1_000_000 for second in times]
    place = [column.name for column in columns].index("_dlt_id")
    return _rewritten_columns(columns, rows, {
        "_deleted": [True] * len(rows), "_deleted_at": moments, "_changed_at": moments,
        "_dlt_load_id": [load_id] * len(rows), "_dlt_id": [flagged_fingerprint(str(row[place])) for row in rows],
    })


def _rewritten_columns(
    columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], others: Mapping[str, Sequence[Any]]
) -> pa.Table:
    """Rows as a database driver gave them as an Arrow table, with other values in some columns."""
    import pyarrow as pa

    from stripe_source.rows.values import arrow_type

    arrays, fields = [], []
    for place, column in enumerate(columns):
        if column.name in others:
            values = list(others[column.name])
        else:
            values = [None if row[place] is None else _python_value(row[place], column.data_type) for row in rows]
        kind = arrow_type(column)
        array = pa.array(values, pa.int64()).cast(kind) if column.data_type == "timestamp" else pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))


def _python_value(value: Any, data_type: str) -> Any:
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
