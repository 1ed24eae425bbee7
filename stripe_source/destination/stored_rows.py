"""What the destination holds of a table: keys and fingerprints, and the last known rows of what is gone.

Reading it back is what tells new rows from changed ones, spares the destination rows that did not change, and finds the
rows that Stripe no longer has. It also tells the change feed which of two versions is the newer one.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from stripe_source.arrow_rows.masking.masks import TableMask
from stripe_source.destination.fingerprint_index import FingerprintIndex
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import (
    PAIRS_PER_STATEMENT,
    VALUES_PER_STATEMENT,
    DestinationSql,
    StatementCounter,
    portions,
)
from stripe_source.destination.sql.rewrite import flags, rewritten_columns
from stripe_source.destination.sql.values import texts_in, unix_second
from stripe_source.destination.version_index import DUPLICATE, Key, StoredVersion, VersionCache
from stripe_source.tables.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt import Schema
    from dlt.destinations.sql_client import SqlClientBase
    from sqlglot import exp

__all__ = ["Key", "StoredRows"]


class Question(NamedTuple):
    """A question that is asked together with others.

    Args:
        stored: whom it is about.
        part: of the statement; None where there is nothing to ask.
        take: takes a row: its texts, fingerprint, whether it is flagged as deleted, and its time in unix seconds.
        done: called when all rows were taken.
    """

    stored: StoredRows
    part: statements.Part | None
    take: Callable[[Sequence[Any], str, bool, int], None]
    done: Callable[[], None]


def ask_together(questions: Iterable[Question]) -> None:
    """Ask several questions in one statement, so that their answers are there when they are wanted.

    Where one of the tables is not there any more, nothing is known, and each is asked for itself later.
    """
    asked = [(each, each.part) for each in questions if each.part]
    if not asked:
        return
    sql = asked[0][0].stored.sql
    for rows in sql.fetch(statements.together(sql, [part for _, part in asked])):
        for number, *texts, print_, deleted, moment in rows:
            asked[int(number)][0].take(texts, str(print_), bool(deleted), unix_second(moment))
    if not sql.missing:
        for each, _ in asked:
            each.done()


class StoredRows:
    """The rows of one table and account in the destination.

    Args:
        client: reads the dataset; opened for each question, unless it is open.
        schema: dlt's schema, for its naming convention and the columns that are there.
        shape: the map of the table.
        account: value of `_account_id`.
        counter: counts the statements.
        cache: what was asked of the table before, in the same run.
        mask: what is left out and hashed of rows that are read back whole; None: nothing.
        masked: what that is has changed, so that their fingerprints are keyed too.
    """

    def __init__(
        self, client: SqlClientBase[Any], schema: Schema, shape: TableMap, account: str,
        counter: StatementCounter | None = None, cache: VersionCache | None = None, mask: TableMask | None = None,
        masked: bool = False,
    ) -> None:
        self._mask, self._masked = mask, masked
        self._client, self._schema, self._shape, self._account = client, schema, shape, account
        self._counter, self._cache = counter, cache or VersionCache()
        self.sql = DestinationSql(client, schema, account, counter)
        self._table = self.sql.table_key(shape.table.name)
        stored = schema.tables.get(self._table, {}).get("columns", {})
        self._stored_columns = dict(stored)  # a load adds some before it ends
        self._whole: dict[int | None, FingerprintIndex] = {}  # what was asked ahead, until it is wanted
        self._answers: dict[tuple[str | None, ...], list[Any]] = {}

    def fingerprints(self, since: int | None = None) -> FingerprintIndex:
        """Everything that is stored; nothing if the table is not there yet.

        Args:
            since: only rows created at or after this unix second.
        """
        if since in self._whole:
            return self._whole.pop(since)
        width, found = len(self._shape.table.key), FingerprintIndex()
        for row in self._select([*self._shape.table.key, "_dlt_id", "_deleted"], *self._since(since), large=True):
            found.add(tuple(map(_key_part, row[:width])), str(row[width]), bool(row[width + 1]))
        return found

    def keys(self, since: int | None = None) -> Iterator[Key]:
        """The keys of the rows that are not flagged as deleted; those created at or after a unix second."""
        for row in self._select(self._shape.table.key, self.sql.not_deleted(), *self._since(since), large=True):
            yield tuple(map(_key_part, row))

    def versions(self, keys: Iterable[Key]) -> dict[Key, StoredVersion]:
        """What is stored of these keys. Each is asked for once in a run; of very many the whole table is read, once."""
        return self._cache.versions(keys, self._ask_versions, self._all_versions)

    def _ask_versions(self, keys: Sequence[Key]) -> Iterator[tuple[Key, StoredVersion]]:
        for some in self._portions(keys):
            yield from self._all_versions(self._any_of(some))

    def _all_versions(self, *tests: exp.Expr) -> Iterator[tuple[Key, StoredVersion]]:
        width = len(self._shape.table.key)
        names = [*self._shape.table.key, "_dlt_id", "_deleted", "_changed_at"]
        for row in self._select(names, *tests, large=not tests):
            version = StoredVersion(str(row[width]), bool(row[width + 1]), unix_second(row[width + 2]))
            yield tuple(map(_key_part, row[:width])), version

    def versions_between(self, low: int, high: int) -> dict[Key, StoredVersion]:
        """What is stored of the rows that were created in [low, high), in unix seconds."""
        time = self._shape.table.time or "created"
        return dict(self._all_versions(*self.sql.created_in(time, low, high)))

    def oldest(self) -> int | None:
        """The unix second in which the oldest row was created; None where there is none."""
        query = statements.oldest(self.sql, self._table, self._shape.table.time or "created")
        found = [row[0] for row in self._fetch(query) if row[0] is not None]
        return unix_second(found[0]) if found else None

    def rows_where(self, want: Sequence[str], column: str, values: Iterable[str | None]) -> list[tuple[Any, ...]]:
        """Columns of the rows, not flagged as deleted, that hold one of these values in a column."""
        given = set(values)
        question = (column, *given)
        if list(want) == ["id"] and question in self._answers:
            return self._answers[question]
        tests = [self.sql.equals(column, None)] if None in given else []
        texts = sorted(each for each in given if each is not None)
        tests += [self.sql.one_of(column, some) for some in portions(texts)]
        return [
            row[:-1] for test in tests for row in self._select([*want, column], self.sql.not_deleted(), test)
            if (None if row[-1] is None else str(row[-1])) in given  # some databases take `cus_A` for `cus_a`
        ]

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
        for some in portions(list(ids), PAIRS_PER_STATEMENT):
            wanted = set(some)
            for value, shown in self._select([want, column], self.sql.not_deleted(), self.sql.may_show(column, some)):
                for id in wanted & texts_in(shown):
                    found.setdefault(id, set()).add(str(value))
        return found

    def column_of(self, path: str) -> str | None:
        """The column that shows the object, or the ids, at a dotted path."""
        names = {column.name for column in self._shape.columns}
        flat = path.replace(".", "__")
        return next((name for name in (f"{flat}__id", flat) if name in names), None)

    def ids_between(self, column: str, low: int, high: int) -> list[str]:
        """Ids of the rows, not flagged as deleted, with a time in [low, high), in unix seconds, in a column."""
        if (column, str(low), str(high)) in self._answers:
            return self._answers[column, str(low), str(high)]
        tests = [self.sql.not_deleted(), *self.sql.created_in(column, low, high)]
        return [str(row[0]) for row in self._select(["id"], *tests)]

    def rows_due(self, column: str, value: str, when: str, now: int) -> list[int]:
        """When the rows were created, in unix seconds, that hold a value whose time has come."""
        assert self._shape.table.time
        if (column, value, when) in self._answers:
            return self._answers[column, value, when]
        query = statements.due(self.sql, self._shape.table.time, self._table, column, value, when, now)
        return [unix_second(row[0]) for row in self._fetch(query)]

    def deleted_rows(self, keys: Mapping[Key, int], load_id: str | None) -> Iterator[pa.Table]:
        """The last known rows of these keys, flagged as deleted at a unix second each, as Arrow tables."""
        columns = self._columns() if keys else []
        places = [[column.name for column in columns].index(name) for name in self._shape.table.key] if keys else []
        for some in self._portions(list(keys)):
            rows, times = [], []
            for row in self._select([column.name for column in columns], self._any_of(some)):
                second = keys.get(tuple(_key_part(row[place]) for place in places))
                if second is not None:
                    rows.append(row)
                    times.append(second)
            if rows:
                yield self._rewritten(columns, rows, flags(columns, rows, times, load_id))

    def whole_rows(self, skip: Callable[[Key], bool], load_id: str | None) -> Iterator[pa.Table]:
        """The rows of all keys but some, flagged ones too, as they are stored, as Arrow tables."""
        columns = self._columns()
        order = [column.name for column in columns]
        places = [order.index(name) for name in self._shape.table.key]
        query = statements.rows(self.sql, self._table, order)
        for fetched in self.sql.fetch(query, large=True) if self._table in self._schema.tables else ():
            rows = [row for row in fetched if not skip(tuple(_key_part(row[place]) for place in places))]
            if rows:
                yield self._rewritten(columns, rows, {"_dlt_load_id": [load_id] * len(rows)})

    def whole(self, keys: Sequence[Key]) -> Iterator[tuple[Key, dict[str, Any]]]:
        """The rows of these keys, flagged ones too: values by column, times in microseconds since 1970."""
        columns = self._columns()
        places = [[column.name for column in columns].index(name) for name in self._shape.table.key] if columns else []
        for some in self._portions(keys):
            for row in self._select([column.name for column in columns], self._any_of(some)):
                values = zip(columns, row, strict=True)
                yield tuple(_key_part(row[place]) for place in places), {
                    column.name: self.sql.python(value, column.data_type) for column, value in values}

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
        for some in self._portions(list(keys)):
            rows, times = [], []
            for row in self._select(order, self.sql.equals(until, None), self._any_of(some, names)):
                second = keys.get(tuple(_key_part(row[place]) for place in places), 0)
                if unix_second(row[begins]) < second:
                    rows.append(row)
                    times.append(second)
            if rows:
                yield self._rewritten(columns, rows, {
                    until: [second * 1_000_000 for second in times], "_dlt_load_id": [load_id] * len(rows)})

    def keys_of(self, rows: pa.Table) -> set[Key]:
        """The keys of rows that were read back whole."""
        return {tuple(map(_key_part, key)) for key in zip(
            *(rows.column(name).to_pylist() for name in self._shape.table.key), strict=True)}

    def _rewritten(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], others: Mapping[str, Sequence[Any]]
    ) -> pa.Table:
        """Rows with other values in some columns, and masked where they were not yet."""
        made = rewritten_columns(self.sql, columns, rows, others)
        if not self._mask:
            return made
        made = self._mask.read_back(made, {column.name: column.data_type for column in columns})
        return self._mask.with_keyed_prints(made) if self._masked else made

    # ---- asked ahead, together with other tables

    def ask_fingerprints(self, since: int | None) -> Question:
        """What `fingerprints` answers."""
        width, found = len(self._shape.table.key), FingerprintIndex()

        def take(texts: Sequence[Any], print_: str, deleted: bool, second: int) -> None:
            found.add(tuple(map(_key_part, texts[:width])), print_, deleted)

        def done() -> None:
            self._whole[since] = found

        return Question(self, self._part(self._shape.table.key, "_changed_at", *self._since(since)), take, done)

    def ask_versions(self, column: str | None, value: str | None, since: int | None = None) -> Question:
        """What `versions` answers about the rows with a value in a column, or created since a second; their ids."""
        assert self._shape.table.key == ("id",)
        found, ids = dict[Key, StoredVersion](), list[tuple[Any, ...]]()

        def take(texts: Sequence[Any], print_: str, deleted: bool, second: int) -> None:
            key = (str(texts[0]),)
            found[key] = StoredVersion(DUPLICATE if key in found else print_, deleted, second)
            if not deleted:
                ids.append((str(texts[0]),))

        def done() -> None:
            self._cache.learn(found)
            if column:
                self._answers[column, value] = ids

        tests = [self.sql.equals(column, value)] if column else self._since(since)
        return Question(self, self._part(["id"], "_changed_at", *tests), take, done)

    def ask_due(self, column: str, value: str, when: str, now: int) -> Question:
        """What `rows_due` answers."""
        assert self._shape.table.time
        seconds: list[int] = []

        def take(texts: Sequence[Any], print_: str, deleted: bool, second: int) -> None:
            seconds.append(second)

        def done() -> None:
            self._answers[column, value, when] = seconds

        tests = [self.sql.not_deleted(), *self.sql.due(column, value, when, now)]
        return Question(self, self._part([], self._shape.table.time, *tests), take, done)

    def ask_ids_between(self, column: str, low: int, high: int) -> Question:
        """What `ids_between` answers."""
        ids: list[str] = []

        def take(texts: Sequence[Any], print_: str, deleted: bool, second: int) -> None:
            ids.append(str(texts[0]))

        def done() -> None:
            self._answers[column, str(low), str(high)] = ids

        tests = [self.sql.not_deleted(), *self.sql.created_in(column, low, high)]
        return Question(self, self._part(["id"], "_changed_at", *tests), take, done)

    def _part(self, names: Sequence[str], time: str, *tests: exp.Expr) -> statements.Part | None:
        """A part of a statement; None where the table is not there, or its key is not text."""
        kinds = {column.name: column.data_type for column in self._shape.columns}
        if self._table not in self._schema.tables or any(kinds[name] != "text" for name in names):
            return None
        return statements.Part(self._table, names, time, tests)

    def _since(self, second: int | None) -> list[exp.Expr]:
        time = self._shape.table.time
        return self.sql.created_in(time, second, None) if time else []

    def _any_of(self, keys: Sequence[Key], names: Sequence[str] | None = None) -> exp.Expr:
        names = self._shape.table.key if names is None else names
        times = {each.name for each in self._shape.columns if each.data_type == "timestamp"}
        return statements.keys(self.sql, names, [
            [self.sql.moment(int(part)) if name in times else self.sql.text(part)
             for name, part in zip(names, key, strict=True)]
            for key in keys
        ])

    def _portions(self, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        """Keys in portions for one statement each."""
        return portions(keys, VALUES_PER_STATEMENT if len(self._shape.table.key) == 1 else PAIRS_PER_STATEMENT)

    def _columns(self) -> list[Column]:
        declared = {column.name: column for column in self._shape.columns}
        return [
            declared.get(name)
            or Column(name, data_type, None, precision=hint.get("precision"), scale=hint.get("scale"))
            for name, hint in self._stored_columns.items()
            if (data_type := hint.get("data_type"))
        ]

    def _select(self, names: Sequence[str], *tests: exp.Expr, large: bool = False) -> Iterator[tuple[Any, ...]]:
        return self._fetch(statements.rows(self.sql, self._table, names, *tests), large=large)

    def _fetch(self, query: exp.Expr, *, large: bool = False) -> Iterator[tuple[Any, ...]]:
        if self._table not in self._schema.tables:
            return
        for rows in self.sql.fetch(query, large=large):
            yield from rows


def _key_part(value: Any) -> str:
    """A part of a key as text; of a time its unix second, as `run` writes the keys of what is read."""
    if isinstance(value, datetime):
        value = int((value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp())
    return str(value)
