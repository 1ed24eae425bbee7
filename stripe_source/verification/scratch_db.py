"""A scratch database on this machine, where the rows of Stripe and those of the destination lie side by side.

Tables may be larger than memory: both sides are streamed in, DuckDB compares them, and what is too much goes to disk.
"""
from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from stripe_source.destination.row_reader import plain_type
from stripe_source.rows.values import EPOCH
from stripe_source.tables.registry import parent_column
from stripe_source.tables.schema_map import Column
from stripe_source.tables.table import Table
from stripe_source.verification.differences import ALTERED, EXTRA, MISSING, Comparison, Difference, Window

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIFFERENCES = 100_000  # differences of one table that are named one by one; the others are counted
MEMORY_LIMIT = "1GB"  # with more, what lies here goes to disk
BOOKKEEPING = frozenset({"_dlt_load_id", "_changed_at", "_deleted"})  # say when and how a row came, not what it holds
_TYPES = {"text": "VARCHAR", "json": "VARCHAR", "bigint": "BIGINT", "bool": "BOOLEAN", "double": "DOUBLE",
          "timestamp": "BIGINT"}
_PORTION = 2_000


class ScratchTable:
    """One side of one table: a table of the scratch database, and its columns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns: dict[str, Column] = {}


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sql_type(column: Column) -> str:
    if column.data_type == "decimal":
        return str(plain_type(column)).replace("decimal128", "DECIMAL")
    return _TYPES[column.data_type]


class ScratchDatabase:
    """The scratch database. Use it in `with`: its folder goes at the end."""

    def __init__(self) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="stripe-source-", ignore_cleanup_errors=True)
        self._db = duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "temp_directory": self._folder.name})
        self._piles = 0

    def __enter__(self) -> ScratchDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def pile(self, columns: Iterable[Column]) -> ScratchTable:
        """An empty side of a table."""
        self._piles += 1
        made = ScratchTable(f"pile_{self._piles}")
        made.columns = {column.name: column for column in columns if column.name != "_dlt_load_id"}
        declared = ", ".join(f"{_q(name)} {_sql_type(column)}" for name, column in made.columns.items())
        self._db.execute(f"CREATE TABLE {made.name} ({declared})")
        return made

    def put(self, pile: ScratchTable, rows: pa.Table, more: Mapping[str, Column] | None = None) -> None:
        """Add rows, with columns among `more` that the pile does not have yet."""
        import pyarrow as pa

        if "_dlt_load_id" in rows.column_names:
            rows = rows.drop_columns(["_dlt_load_id"])
        for name in rows.column_names:
            if name not in pile.columns and more:
                pile.columns[name] = more[name]
                self._db.execute(f"ALTER TABLE {pile.name} ADD COLUMN {_q(name)} {_sql_type(more[name])}")
        arrays = [
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in rows.columns
        ]
        self._db.register("incoming", pa.table(arrays, names=rows.column_names))
        self._db.execute(f"INSERT INTO {pile.name} BY NAME SELECT * FROM incoming")
        self._db.unregister("incoming")

    def drop(self, *piles: ScratchTable | None) -> None:
        """Forget piles."""
        for pile in piles:
            if pile:
                self._db.execute(f"DROP TABLE IF EXISTS {pile.name}")

    def once(self, pile: ScratchTable, keys: Sequence[str]) -> None:
        """Keep what came last of each key: a list may show an object twice while it is walked."""
        names = ", ".join(map(_q, keys))
        if self._number(f"SELECT count(*) FROM (SELECT {names} FROM {pile.name} GROUP BY {names} HAVING count(*) > 1)"):
            self._db.execute(f"DELETE FROM {pile.name} WHERE rowid NOT IN"
                             f" (SELECT max(rowid) FROM {pile.name} GROUP BY {names})")

    def within(self, pile: ScratchTable, column: str, since: int | None, until: int | None) -> None:
        """Keep rows with a time in a span, and those without any."""
        for test in ([f"< {since * 1_000_000}"] if since is not None else []) + (
            [f">= {until * 1_000_000}"] if until is not None else []
        ):
            self._db.execute(f"DELETE FROM {pile.name} WHERE {_q(column)} {test}")

    def keep(self, pile: ScratchTable, column: str, values: Sequence[str]) -> None:
        """Keep rows that have one of these values in a column."""
        self._given(values)
        self._db.execute(f"DELETE FROM {pile.name} WHERE {_q(column)} NOT IN (SELECT value FROM kept)")

    def naming(
        self, pile: ScratchTable, keys: Sequence[str], columns: Sequence[str], ids: Collection[str]
    ) -> set[tuple[Any, ...]]:
        """Keys, as differences name them, of the rows that have one of these ids in one of these columns."""
        self._given(ids)
        tests = [f"{_q(name)} IN (SELECT value FROM kept)" for name in columns if name in pile.columns]
        return self.keys(pile, keys, " OR ".join(tests)) if tests else set()

    def _given(self, values: Collection[str]) -> None:
        import pyarrow as pa

        self._db.execute("CREATE OR REPLACE TABLE kept (value VARCHAR)")
        self._db.register("incoming", pa.table({"value": pa.array(list(values), pa.string())}))
        self._db.execute("INSERT INTO kept SELECT value FROM incoming")
        self._db.unregister("incoming")

    def values(self, pile: ScratchTable, column: str) -> list[str]:
        """The different values of a column of text."""
        query = f"SELECT DISTINCT {_q(column)} FROM {pile.name} WHERE {_q(column)} IS NOT NULL"
        return [str(row[0]) for row in self._db.execute(query).fetchall()]

    def sums(self, pile: ScratchTable, by: Sequence[str], column: str) -> dict[tuple[str, ...], int]:
        """The sum of a column for each combination of others."""
        names = ", ".join(map(_q, by))
        query = f"SELECT {names}, sum({_q(column)}) FROM {pile.name} GROUP BY ALL"
        return {tuple(map(str, row[:-1])): int(row[-1] or 0) for row in self._db.execute(query).fetchall()}

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchall()[0][0])  # all of them: DuckDB 2.0 minds an unfinished result

    # ---- comparing

    def compare(self, table: Table, stripe: ScratchTable, held: ScratchTable, *, extras: str | None) -> Comparison:
        """Compare the two sides of a table.

        Args:
            table: which one; its key tells rows apart.
            stripe: what Stripe has.
            held: what the destination holds, flagged rows too.
            extras: condition in SQL for rows that the destination should not have when Stripe does not; None: it
                cannot be told of any.
        """
        keys = ["_account_id", *table.key]
        s, h = stripe.name, held.name
        both = " AND ".join(f"s.{_q(key)} IS NOT DISTINCT FROM h.{_q(key)}" for key in keys)
        time = table.time if table.time and _is_time(stripe, table.time) and _is_time(held, table.time) else None
        result = Comparison(
            self._number(f"SELECT count(*) FROM {s}"), self._number(f"SELECT count(*) FROM {h} WHERE NOT _deleted")
        )
        parent, facts = parent_column(table), dict[str, list[str]]()
        for side in "sh":
            facts[side] = [f"{side}.{_q(name)}" if name else "NULL" for name in (time, parent)]
        months: dict[str, set[tuple[Any, ...]]] = {}
        read = _keys(stripe, table.key)

        def add(difference: Difference, at: int | None, of: str | None) -> None:
            if len(result.differences) >= MOST_DIFFERENCES:
                result.capped = True
                return
            difference.parent = of
            if at is not None:
                difference.created = _readable(at, "timestamp")
                result.times.append(at // 1_000_000)
            else:
                result.timeless = True
            result.differences.append(difference)
            months.setdefault("all" if at is None else _month(at), set()).add(difference.row)

        s_keys, h_keys = ([f"{side}.{_q(key)}" for key in table.key] for side in "sh")
        alive = f"(SELECT {', '.join(map(_q, keys))} FROM {h} WHERE NOT _deleted)"
        flagged = f"EXISTS (SELECT 1 FROM {h} h WHERE {both} AND _deleted)"
        lacking = ", ".join([*s_keys, *facts["s"], flagged])
        for row in self._fetch(f"SELECT {lacking} FROM {s} s ANTI JOIN {alive} h ON {both}"):
            add(Difference(MISSING, read(row), note="flagged as deleted" if row[-1] else ""), *row[-3:-1])
        if extras is not None:
            surplus = ", ".join([*h_keys, *facts["h"]])
            for row in self._fetch(f"SELECT {surplus} FROM {h} h ANTI JOIN {s} s ON {both}"
                                   f" WHERE NOT h._deleted AND ({extras})"):
                add(Difference(EXTRA, read(row)), *row[-2:])
        group = ", ".join(f"h.{_q(key)}" for key in keys)
        twice = ", ".join([*h_keys, *(f"min({fact})" for fact in facts["h"]), "count(*)"])
        for row in self._fetch(f"SELECT {twice} FROM {h} h GROUP BY {group} HAVING count(*) > 1"):
            add(Difference(EXTRA, read(row), note=f"{row[-1]} rows have this key"), *row[-3:-1])
        told: set[tuple[Any, ...]] = set()
        for difference, facts_of in self._altered(table, stripe, held, both, [*facts["s"], *facts["h"]]):
            if difference.place not in told:
                told.add(difference.place)
                if time and None not in (facts_of[0], facts_of[2]):
                    result.times.append(facts_of[2] // 1_000_000)
                add(difference, *facts_of[:2])
        result.windows = self._windows(stripe, held, time, months)
        return result

    def _altered(
        self, table: Table, stripe: ScratchTable, held: ScratchTable, both: str, facts: Sequence[str]
    ) -> Iterator[tuple[Difference, tuple[Any, ...]]]:
        """What differs in rows that both sides have, value by value, with the facts of the row."""
        apart = BOOKKEEPING | {"_account_id", *table.key}
        columns = [name for name in {**stripe.columns, **held.columns} if name not in apart]
        s = [f"s.{_q(name)}" if name in stripe.columns else "NULL" for name in columns]
        h = [f"h.{_q(name)}" if name in held.columns else "NULL" for name in columns]
        differs = " OR ".join(f"{one} IS DISTINCT FROM {other}" for one, other in zip(s, h, strict=True)) or "false"
        keys = [f"s.{_q(key)}" for key in table.key]
        read, width, number = _keys(stripe, table.key), len(table.key), len(columns)
        query = (
            f"SELECT {', '.join([*keys, *s, *h, *facts])} FROM {stripe.name} s JOIN {held.name} h ON {both}"
            f" WHERE NOT h._deleted AND ({differs})"
        )
        for row in self._fetch(query):
            ours, theirs = row[width:width + number], row[width + number:width + 2 * number]
            for name, one, other in zip(columns, ours, theirs, strict=True):
                kind = (stripe.columns.get(name) or held.columns[name]).data_type
                if one != other and not (kind == "json" and same_json(one, other)):
                    yield Difference(
                        ALTERED, read(row), name, _readable(one, kind), _readable(other, kind)
                    ), row[-len(facts):]

    def _windows(
        self, stripe: ScratchTable, held: ScratchTable, time: str | None, months: Mapping[str, set[tuple[Any, ...]]]
    ) -> list[Window]:
        windows: dict[str, Window] = {}
        for pile, side, where in ((stripe, "stripe", ""), (held, "destination", " WHERE NOT _deleted")):
            month = f"strftime(make_timestamp({_q(time)}), '%Y-%m')" if time else "NULL"
            for name, number in self._fetch(f"SELECT {month}, count(*) FROM {pile.name}{where} GROUP BY 1"):
                setattr(windows.setdefault(name or "all", Window(name or "all")), side, number)
        for name, rows in months.items():
            windows.setdefault(name, Window(name)).differing = len(rows)
        return [windows[name] for name in sorted(windows)]

    def _fetch(self, query: str) -> Iterator[tuple[Any, ...]]:
        cursor = self._db.cursor().execute(query)  # of its own: the caller may ask something else meanwhile
        while rows := cursor.fetchmany(_PORTION):
            yield from rows

    # ---- rows to write

    def since(self, pile: ScratchTable, keys: Sequence[str], column: str, second: int) -> set[tuple[Any, ...]]:
        """Keys of the rows with a time at or after a unix second."""
        return self.keys(pile, keys, f"{_q(column)} >= {second * 1_000_000}") if column in pile.columns else set()

    def keys(self, pile: ScratchTable, names: Sequence[str], test: str = "true") -> set[tuple[Any, ...]]:
        """The keys of rows, as differences name them."""
        read, columns = _keys(pile, names), ", ".join(map(_q, names)) or "1"
        return {tuple(read(row).values()) for row in self._fetch(f"SELECT {columns} FROM {pile.name} WHERE {test}")}

    def portions(
        self, pile: ScratchTable, keys: Sequence[str], wanted: Sequence[tuple[Any, ...]] | None,
        without: Collection[tuple[Any, ...]] = (),
    ) -> Iterator[pa.Table]:
        """Rows as Arrow tables in the compared types: times are microseconds.

        Args:
            pile: where from.
            keys: the columns that tell rows apart.
            wanted: keys of the rows; None: all.
            without: keys of rows that are left out.
        """
        import pyarrow as pa

        names = list(pile.columns)
        kinds = [pile.columns[key].data_type for key in keys]
        chosen = None if wanted is None else set(wanted)
        places = [names.index(key) for key in keys]
        waiting: list[tuple[Any, ...]] = []

        def table() -> pa.Table:
            arrays = [
                pa.array(values, plain_type(pile.columns[name]))
                for name, values in zip(names, zip(*waiting, strict=True), strict=True)
            ]
            return pa.table(arrays, names=names)

        for row in self._fetch(f"SELECT * FROM {pile.name}"):
            key = tuple(_readable(row[place], kind) for place, kind in zip(places, kinds, strict=True))
            if (chosen is None or key in chosen) and key not in without:
                waiting.append(row)
            if len(waiting) >= _PORTION:
                yield table()
                waiting = []
        if waiting:
            yield table()


def _keys(pile: ScratchTable, names: Sequence[str]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Reads the key, as people take it, from the first values of a row."""
    kinds = [pile.columns[name].data_type for name in names]

    def read(row: Sequence[Any]) -> dict[str, Any]:
        return {name: _readable(value, kind) for name, value, kind in zip(names, row, kinds, strict=False)}

    return read


def _is_time(pile: ScratchTable, name: str) -> bool:
    return name in pile.columns and pile.columns[name].data_type == "timestamp"


def _moment(micro: int) -> datetime:
    return EPOCH + timedelta(microseconds=micro)


def _month(micro: int) -> str:
    return _moment(micro).astimezone(timezone.utc).strftime("%Y-%m")


def _readable(value: Any, data_type: str) -> Any:
    """A compared value as a person and JSON take it."""
    if value is None or data_type in ("text", "json", "bigint", "bool", "double"):
        return value
    return _moment(value).isoformat() if data_type == "timestamp" else str(value)


def same_json(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same JSON, whatever the order of keys and the blanks.

    >>> same_json('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'), same_json('{"a": 1}', '{"a": true}')
    (True, False)
    """
    if one is None or other is None:
        return one is other
    try:
        return _canonical(one) == _canonical(other)
    except (ValueError, RecursionError):
        return one == other


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)
