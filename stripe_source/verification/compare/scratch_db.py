"""A scratch database on this machine that holds the rows of Stripe and those of the destination side by side.

Tables may be larger than memory: both sides are streamed in, DuckDB compares them and writes to disk what does not fit.
"""
from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.values import EPOCH
from stripe_source.c_library import give_memory_back
from stripe_source.destination.row_reader import plain_type
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = {"memory_limit": "150MB", "threads": 1}  # DuckDB writes what goes beyond it to disk; each thread wants some
ROWS_PER_FETCH = 2_000
INSERTS_BEFORE_TRIM = 10  # of some 2,000 rows; DuckDB frees what it wrote, and the C library keeps it
PAIRS_PER_FETCH = 5_000  # pairs of rows that differ; of some destinations all do, which write JSON in their own way
_TYPES = {"text": "VARCHAR", "json": "VARCHAR", "bigint": "BIGINT", "bool": "BOOLEAN", "double": "DOUBLE",
          "timestamp": "BIGINT"}


class ScratchTable:
    """One side of one table: a table of the scratch database, and its columns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns: dict[str, Column] = {}

    def has_time(self, column: str | None) -> bool:
        """Whether a column is there and holds times."""
        return column in self.columns and self.columns[column].data_type == "timestamp"


def quoted(name: str) -> str:
    """A name as DuckDB reads it, whatever letters it has."""
    return '"' + name.replace('"', '""') + '"'


def _sql_type(column: Column) -> str:
    if column.data_type == "decimal":
        return str(plain_type(column)).replace("decimal128", "DECIMAL")
    return _TYPES[column.data_type]


class ScratchDatabase:
    """The scratch database. Use it in `with`: its folder is removed at the end."""

    def __init__(self) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="stripe-source-", ignore_cleanup_errors=True)
        config: dict[str, Any] = {**SETTINGS, "temp_directory": self._folder.name}
        self._db = duckdb.connect(f"{self._folder.name}/scratch.duckdb", config=config)
        self._tables_made = self._inserted = 0

    def __enter__(self) -> ScratchDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def number(self, query: str) -> int:
        """The number that a query answers."""
        return int(self._db.execute(query).fetchall()[0][0])  # all of them: DuckDB 2.0 minds an unfinished result

    def fetch(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows that a query answers."""
        cursor = self._db.cursor().execute(query)  # of its own: the caller may run another query meanwhile
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            yield from rows

    def fetch_differing(
        self, stripe: ScratchTable, destination: ScratchTable, key: Sequence[str], left: Sequence[str],
        right: Sequence[str], wanted: Sequence[str],
    ) -> Iterator[tuple[Any, ...]]:
        """Pairs of rows with the same key that differ in one of their values, or in how it is written.

        Rows are joined by key with 128 bits of hash over their values, as hundreds of columns of millions of rows do
        not fit into little memory; only of those whose hashes differ the values are fetched.

        Args:
            stripe: in the expressions below `s`.
            destination: likewise `d`; rows flagged as deleted are left out.
            key: the columns that tell rows apart.
            left: what is compared of `s`.
            right: what is compared of `d`, in the same order.
            wanted: what is fetched.
        """
        names = ", ".join(map(quoted, key))
        same = " AND ".join(f"s.{quoted(name)} IS NOT DISTINCT FROM d.{quoted(name)}" for name in key)
        sides = []
        for table, side, values, where in ((stripe, "s", left, ""), (destination, "d", right, "WHERE NOT d._deleted")):
            one, two = ", ".join(["1", *values]), ", ".join(["2", *reversed(values)])
            sides.append(f"(SELECT {names}, {side}.rowid AS _place, hash({one}) AS _one, hash({two}) AS _two "
                         f"FROM {table.name} {side} {where}) {side}")
        self._db.execute(
            "CREATE OR REPLACE TABLE differing AS"
            " SELECT row_number() OVER () AS _pair, s._place AS _s, d._place AS _d"
            f" FROM {sides[0]} JOIN {sides[1]} ON {same} WHERE s._one <> d._one OR s._two <> d._two")
        for first in range(0, self.number("SELECT count(*) FROM differing"), PAIRS_PER_FETCH):
            yield from self.fetch(
                f"SELECT {', '.join(wanted)} FROM differing JOIN {stripe.name} s ON s.rowid = differing._s"
                f" JOIN {destination.name} d ON d.rowid = differing._d"
                f" WHERE _pair > {first} AND _pair <= {first + PAIRS_PER_FETCH}")

    # ---- writing

    def create_table(self, columns: Iterable[Column]) -> ScratchTable:
        """Make an empty table for one side."""
        self._tables_made += 1
        table = ScratchTable(f"side_{self._tables_made}")
        table.columns = {column.name: column for column in columns if column.name != "_dlt_load_id"}
        declared = ", ".join(f"{quoted(name)} {_sql_type(column)}" for name, column in table.columns.items())
        self._db.execute(f"CREATE TABLE {table.name} ({declared})")
        return table

    def insert(self, table: ScratchTable, rows: pa.Table, new_columns: Mapping[str, Column] | None = None) -> None:
        """Add rows; columns that the table does not have yet are declared by `new_columns`."""
        import pyarrow as pa

        if "_dlt_load_id" in rows.column_names:
            rows = rows.drop_columns(["_dlt_load_id"])
        for name in rows.column_names:
            if name not in table.columns and new_columns:
                table.columns[name] = new_columns[name]
                self._db.execute(f"ALTER TABLE {table.name} ADD COLUMN {quoted(name)} {_sql_type(new_columns[name])}")
        arrays = [
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in rows.columns
        ]
        self._db.register("incoming", pa.table(arrays, names=rows.column_names))
        self._db.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming")
        self._db.unregister("incoming")
        self._inserted += 1
        if self._inserted % INSERTS_BEFORE_TRIM == 0:
            give_memory_back()

    def drop(self, *tables: ScratchTable) -> None:
        """Remove tables."""
        for table in tables:
            self._db.execute(f"DROP TABLE IF EXISTS {table.name}")

    def drop_duplicates(self, table: ScratchTable, key: Sequence[str]) -> None:
        """Keep the last row of each key: a list may show an object twice while it is read."""
        names = ", ".join(map(quoted, key))
        if self.number(f"SELECT count(*) FROM (SELECT {names} FROM {table.name} GROUP BY {names} HAVING count(*) > 1)"):
            self._db.execute(f"DELETE FROM {table.name} WHERE rowid NOT IN"
                             f" (SELECT max(rowid) FROM {table.name} GROUP BY {names})")

    def keep_span(self, table: ScratchTable, column: str, since: int | None, until: int | None) -> None:
        """Keep the rows with a time in [since, until) in a column, and those without a time."""
        for sign, second in (("<", since), (">=", until)):
            if second is not None:
                self._db.execute(f"DELETE FROM {table.name} WHERE {quoted(column)} {sign} {second * 1_000_000}")

    def keep_values(self, table: ScratchTable, column: str, values: Sequence[str]) -> None:
        """Keep the rows that have one of these values in a column."""
        self._store_values(values)
        self._db.execute(f"DELETE FROM {table.name} WHERE {quoted(column)} NOT IN (SELECT value FROM wanted)")

    def _store_values(self, values: Collection[str]) -> None:
        """Put values into the table `wanted`, in which the next statement looks them up."""
        import pyarrow as pa

        self._db.execute("CREATE OR REPLACE TABLE wanted (value VARCHAR)")
        self._db.register("incoming", pa.table({"value": pa.array(list(values), pa.string())}))
        self._db.execute("INSERT INTO wanted SELECT value FROM incoming")
        self._db.unregister("incoming")

    # ---- reading

    def distinct_values(self, table: ScratchTable, column: str) -> list[str]:
        """The different values of a column of text."""
        query = f"SELECT DISTINCT {quoted(column)} FROM {table.name} WHERE {quoted(column)} IS NOT NULL"
        return [str(row[0]) for row in self.fetch(query)]

    def sums(self, table: ScratchTable, by: Sequence[str], column: str) -> dict[tuple[str, ...], int]:
        """The sum of a column for each combination of others."""
        names = ", ".join(map(quoted, by))
        query = f"SELECT {names}, sum({quoted(column)}) FROM {table.name} GROUP BY ALL"
        return {tuple(map(str, row[:-1])): int(row[-1] or 0) for row in self.fetch(query)}

    def keys(self, table: ScratchTable, key: Sequence[str], condition: str = "true") -> set[tuple[Any, ...]]:
        """The keys of rows, as differences name them."""
        read, columns = key_reader(table, key), ", ".join(map(quoted, key)) or "1"
        query = f"SELECT {columns} FROM {table.name} WHERE {condition}"
        return {tuple(read(row).values()) for row in self.fetch(query)}

    def keys_since(self, table: ScratchTable, key: Sequence[str], column: str, second: int) -> set[tuple[Any, ...]]:
        """The keys of the rows with a time at or after a unix second in a column."""
        if column not in table.columns:
            return set()
        return self.keys(table, key, f"{quoted(column)} >= {second * 1_000_000}")

    def keys_with_ids(
        self, table: ScratchTable, key: Sequence[str], columns: Sequence[str], ids: Collection[str]
    ) -> set[tuple[Any, ...]]:
        """The keys of the rows that have one of these ids in one of these columns."""
        self._store_values(ids)
        conditions = [f"{quoted(name)} IN (SELECT value FROM wanted)" for name in columns if name in table.columns]
        return self.keys(table, key, " OR ".join(conditions)) if conditions else set()

    def batches(
        self, table: ScratchTable, key: Sequence[str], wanted: Sequence[tuple[Any, ...]] | None,
        without: Collection[tuple[Any, ...]] = (),
    ) -> Iterator[pa.Table]:
        """Rows as Arrow tables in the types in which they were compared: times are microseconds.

        Args:
            table: where they are.
            key: the columns that tell rows apart.
            wanted: keys of the rows; None: all.
            without: keys of rows that are left out.
        """
        import pyarrow as pa

        names = list(table.columns)
        key_types = [table.columns[name].data_type for name in key]
        key_places = [names.index(name) for name in key]
        chosen = None if wanted is None else set(wanted)

        def arrow_table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
            arrays = [
                pa.array(values, plain_type(table.columns[name]))
                for name, values in zip(names, zip(*rows, strict=True), strict=True)
            ]
            return pa.table(arrays, names=names)

        batch: list[tuple[Any, ...]] = []
        for row in self.fetch(f"SELECT * FROM {table.name}"):
            values = tuple(readable_value(row[place], kind) for place, kind in zip(key_places, key_types, strict=True))
            if (chosen is None or values in chosen) and values not in without:
                batch.append(row)
            if len(batch) >= ROWS_PER_FETCH:
                yield arrow_table(batch)
                batch = []
        if batch:
            yield arrow_table(batch)


def key_reader(table: ScratchTable, key: Sequence[str]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Make a function that reads the key, as a person takes it, from the first values of a row."""
    data_types = [table.columns[name].data_type for name in key]

    def read(row: Sequence[Any]) -> dict[str, Any]:
        return {name: readable_value(value, kind) for name, value, kind in zip(key, row, data_types, strict=False)}

    return read


def moment_of(microseconds: int) -> datetime:
    """The time of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def readable_value(value: Any, data_type: str) -> Any:
    """A compared value as a person and JSON take it."""
    if value is None or data_type in ("text", "json", "bigint", "bool", "double"):
        return value
    return moment_of(value).isoformat() if data_type == "timestamp" else str(value)
