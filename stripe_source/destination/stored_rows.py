"""What the destination holds of a table: keys and fingerprints, and the last known rows of what is gone.

Reading it back is what tells new rows from changed ones, spares the destination rows that did not change, and finds the
rows that Stripe no longer has. It also tells the change feed which of two versions is the newer one.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stripe_source.arrow_rows.fingerprint import flagged_fingerprint
from stripe_source.destination.sql import KEYS_PER_QUERY, DestinationSql, python_value, unix_second
from stripe_source.tables.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt import Schema
    from dlt.destinations.sql_client import SqlClientBase

Key = tuple[str, ...]
T = TypeVar("T")
DUPLICATE = ""  # the fingerprint of a key that is stored twice, after two loads at once: so it is written again


class StoredVersion(NamedTuple):
    """What is stored of a row: its fingerprint, whether it is flagged as deleted, and `_changed_at` in unix seconds."""

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
        self._schema, self._shape = schema, shape
        self._sql = DestinationSql(client, schema, account)
        self._table = self._sql.table_key(shape.table.name)
        stored = schema.tables.get(self._table, {}).get("columns", {})
        self._stored_columns = dict(stored)  # a load adds some before it ends

    def fingerprints(self, since: int | None = None) -> dict[Key, StoredVersion]:
        """Everything that is stored, without the times; {} if the table is not there yet.

        Args:
            since: only rows created at or after this unix second.
        """
        where = ""
        if since is not None and self._shape.table.time:
            where = f"{self._sql.column(self._shape.table.time)} >= {self._sql.moment(since)}"
        width = len(self._shape.table.key)
        names = [*self._shape.table.key, "_dlt_id", "_deleted"]
        found: dict[Key, StoredVersion] = {}
        for row in self._select(names, where):
            key = tuple(map(_key_part, row[:width]))
            print_ = DUPLICATE if key in found else str(row[width])
            found[key] = StoredVersion(print_, bool(row[width + 1]))
        return found

    def versions(self, keys: Iterable[Key]) -> dict[Key, StoredVersion]:
        """What is stored of these keys."""
        width = len(self._shape.table.key)
        found: dict[Key, StoredVersion] = {}
        names = [*self._shape.table.key, "_dlt_id", "_deleted", "_changed_at"]
        for some in _chunks(list(keys)):
            for row in self._select(names, self._any_of(some)):
                key = tuple(map(_key_part, row[:width]))
                print_ = DUPLICATE if key in found else str(row[width])
                found[key] = StoredVersion(print_, bool(row[width + 1]), unix_second(row[width + 2]))
        return found

    def versions_between(self, low: int, high: int) -> dict[Key, StoredVersion]:
        """What is stored of the rows that were created in [low, high), in unix seconds."""
        time = self._sql.column(self._shape.table.time or "created")
        where = f"{time} >= {self._sql.moment(low)} AND {time} < {self._sql.moment(high)}"
        names, width = [*self._shape.table.key, "_dlt_id", "_deleted", "_changed_at"], len(self._shape.table.key)
        return {
            tuple(map(_key_part, row[:width])): StoredVersion(
                str(row[width]), bool(row[width + 1]), unix_second(row[width + 2]))
            for row in self._select(names, where)
        }

    def oldest(self) -> int | None:
        """The unix second in which the oldest row was created; None where there is none."""
        if self._table not in self._schema.tables:
            return None
        time, table = self._sql.column(self._shape.table.time or "created"), self._sql.table(self._table)
        query = f"SELECT MIN({time}) FROM {table} WHERE {self._sql.of_account()}"
        found = [row[0] for rows in self._sql.fetch(query) for row in rows if row[0] is not None]
        return unix_second(found[0]) if found else None

    def rows_where(self, want: Sequence[str], column: str, values: Iterable[str | None]) -> list[tuple[Any, ...]]:
        """Columns of the rows, not flagged as deleted, that hold one of these values in a column."""
        given, found = list(values), []
        tests = [f"{self._sql.column(column)} IS NULL"] if None in given else []
        for some in _chunks([value for value in given if value is not None]):
            tests.append(f"{self._sql.column(column)} IN ({', '.join(map(self._sql.text, some))})")
        for test in tests:
            found += list(self._select(want, f"{self._sql.not_deleted()} AND {test}"))
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
        text = self._sql.as_text(column)
        for some in _chunks(list(ids)):
            likes = " OR ".join(f"{text} LIKE {self._sql.text(_quoted(id, '%'))}" for id in some)
            for value, shown in self._select([want, column], f"{self._sql.not_deleted()} AND ({likes})"):
                for id in some:
                    if _quoted(id) in str(python_value(shown, "json")):
                        found.setdefault(id, set()).add(str(value))
        return found

    def column_of(self, path: str) -> str | None:
        """The column that shows the object, or the ids, at a dotted path."""
        names = {column.name for column in self._shape.columns}
        flat = path.replace(".", "__")
        return next((name for name in (f"{flat}__id", flat) if name in names), None)

    def ids_between(self, column: str, low: int, high: int) -> list[str]:
        """Ids of the rows, not flagged as deleted, with a time in [low, high), in unix seconds, in a column."""
        name = self._sql.column(column)
        test = f"{name} >= {self._sql.moment(low)} AND {name} < {self._sql.moment(high)}"
        return [str(row[0]) for row in self._select(["id"], f"{self._sql.not_deleted()} AND {test}")]

    def rows_due(self, column: str, value: str, when: str, now: int) -> list[int]:
        """When the rows were created, in unix seconds, that hold a value whose time has come."""
        assert self._shape.table.time
        moment = self._sql.moment(now)
        test = f"{self._sql.column(column)} = {self._sql.text(value)} AND {self._sql.column(when)} <= {moment}"
        rows = self._select([self._shape.table.time], f"{self._sql.not_deleted()} AND {test}")
        return [unix_second(row[0]) for row in rows]

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
            test = f"{self._sql.column(until)} IS NULL AND ({self._any_of(some, names)})"
            rows, times = [], []
            for row in self._select(order, test):
                second = keys[tuple(_key_part(row[place]) for place in places)]
                if unix_second(row[begins]) < second:
                    rows.append(row)
                    times.append(second)
            if rows:
                yield _rewritten_columns(columns, rows, {until: [second * 1_000_000 for second in times],
                                                 "_dlt_load_id": [load_id] * len(rows)})

    def _any_of(self, keys: Sequence[Key], names: Sequence[str] | None = None) -> str:
        names = self._shape.table.key if names is None else names
        if len(names) == 1:
            return f"{self._sql.column(names[0])} IN ({', '.join(self._sql.text(key[0]) for key in keys)})"
        pairs = [
            [f"{self._sql.column(name)} = {self._value(name, part)}" for name, part in zip(names, key, strict=True)]
            for key in keys
        ]
        return " OR ".join(f"({' AND '.join(each)})" for each in pairs) if names else "1 = 1"  # one row per account

    def _columns(self) -> list[Column]:
        declared = {column.name: column for column in self._shape.columns}
        return [
            declared.get(name)
            or Column(name, data_type, None, precision=hint.get("precision"), scale=hint.get("scale"))
            for name, hint in self._stored_columns.items()
            if (data_type := hint.get("data_type"))
        ]

    def _select(self, names: Sequence[str], where: str = "") -> Iterator[tuple[Any, ...]]:
        if self._table not in self._schema.tables:
            return
        columns, table = ", ".join(map(self._sql.column, names)), self._sql.table(self._table)
        query = f"SELECT {columns} FROM {table} WHERE {self._sql.of_account()}{f' AND ({where})' if where else ''}"
        for rows in self._sql.fetch(query):
            yield from rows

    def _value(self, column: str, part: str) -> str:
        """A part of a key as SQL: text, or the time that its unix second means."""
        if next(c.data_type for c in self._shape.columns if c.name == column) != "timestamp":
            return self._sql.text(part)
        return self._sql.moment(int(part))


def _quoted(id: str, around: str = "") -> str:
    """An id as it stands in JSON text."""
    return f'{around}"{id}"{around}'


def _chunks(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(things), KEYS_PER_QUERY):
        yield things[first:first + KEYS_PER_QUERY]


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

    from stripe_source.arrow_rows.values import arrow_type

    arrays, fields = [], []
    for place, column in enumerate(columns):
        if column.name in others:
            values = list(others[column.name])
        else:
            values = [python_value(row[place], column.data_type) for row in rows]
        kind = arrow_type(column)
        array = pa.array(values, pa.int64()).cast(kind) if column.data_type == "timestamp" else pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))
