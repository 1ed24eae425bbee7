"""The engines that our statements are tried on, each with what dlt knows of a destination and without its client."""
from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
from sqlalchemy.dialects import registry

DATASET = "stripe"
NOT_SQL = {"destination", "dummy", "lance", "lancedb", "qdrant", "weaviate"}  # what dlt has besides databases
SQL = sorted(set(dlt.destinations.__all__) - NOT_SQL - {"sqlalchemy"})
BACKENDS = ("sqlite", "mysql", "mssql", "oracle", "postgresql")  # of the destination `sqlalchemy`

Run = Callable[[str], Sequence[Sequence[Any]]]


def capabilities(name: str) -> Any:
    """What dlt says of a destination, or of a backend of its destination `sqlalchemy`; without credentials."""
    if name in SQL:
        return getattr(dlt.destinations, name)()._raw_capabilities()
    found = dlt.destinations.sqlalchemy()._raw_capabilities()
    from dlt.destinations.impl.sqlalchemy.dialect import DialectCapabilities

    found.dialect_capabilities = DialectCapabilities(name)
    found.sqlglot_dialect = found.dialect_capabilities.sqlglot_dialect
    return found


class Client:
    """What our code uses of dlt's SQL clients.

    Args:
        name: of the destination.
        run: executes a statement, and answers its rows.
        path: what stands before the name of a table.
        joins: what stands between the dataset and the name of a table that are one name.
    """

    _conn = True  # it is open, so that it is not opened for each statement

    def __init__(self, name: str, run: Run | None = None, path: Sequence[str] = (DATASET,), joins: str = "") -> None:
        self.capabilities, self._run, self._path, self._joins = capabilities(name), run, list(path), joins
        self.dialect: Any = registry.load(name)() if name not in SQL else None
        self.sent: list[str] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None: ...

    def make_qualified_table_name_path(self, name: str, quote: bool = True) -> list[str]:
        assert not quote
        name = self.capabilities.casefold_identifier(name)
        return [f"{self._path[-1]}{self._joins}{name}"] if self._joins else [*self._path, name]

    def escape_column_name(self, name: str, quote: bool = True) -> str:
        assert not quote
        return str(self.capabilities.casefold_identifier(name))

    @contextmanager
    def execute_query(self, query: str) -> Iterator[Any]:
        assert self._run
        assert self.capabilities.sqlglot_dialect not in ("athena", "clickhouse") or not set(";%") & set(query)
        self.sent.append(query)
        rows = list(self._run(query))

        def fetchmany(number: int) -> list[Sequence[Any]]:
            some, rows[:number] = rows[:number], []
            return some

        yield SimpleNamespace(fetchmany=fetchmany)


@contextmanager
def duckdb_(folder: Path) -> Iterator[Client]:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"CREATE SCHEMA {DATASET}")
        yield Client("duckdb", lambda query: connection.cursor().execute(query).fetchall())


@contextmanager
def sqlite(folder: Path) -> Iterator[Client]:
    """SQLite, with the statement as SQLAlchemy hands it on."""
    from sqlalchemy import text
    from sqlalchemy.dialects.sqlite import dialect

    connection = sqlite3.connect(":memory:")
    connection.execute(f"ATTACH ':memory:' AS {DATASET}")
    try:
        yield Client("sqlite", lambda query: connection.execute(str(text(query).compile(dialect=dialect()))).fetchall())
    finally:
        connection.close()


@contextmanager
def clickhouse(folder: Path) -> Iterator[Client]:
    """ClickHouse in the process."""
    from chdb.session import Session

    session = Session(str(folder / "clickhouse"))

    def run(query: str) -> list[Sequence[Any]]:
        import pyarrow as pa

        answer = session.query(query, "Arrow").bytes()
        table = pa.ipc.open_file(answer).read_all() if answer else pa.table({})
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    try:
        yield Client("clickhouse", run, joins="___")
    finally:
        session.close()


@contextmanager
def snowflake(folder: Path) -> Iterator[Client]:
    """Snowflake's own connector, whose statements fakesnow executes by DuckDB."""
    import fakesnow
    import snowflake.connector

    with fakesnow.patch(), snowflake.connector.connect(database="PLACE", schema=DATASET.upper()) as connection:
        yield Client("snowflake", lambda query: connection.cursor().execute(query).fetchall(),
                     path=("PLACE", DATASET.upper()))


@contextmanager
def bigquery(folder: Path) -> Iterator[Client]:
    """Google's own client, whose statements bqemulator executes by DuckDB."""
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("bqemulator")), "start", "--rest-port", str(port), "--grpc-port", "0",
               "--project", "place", "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        client = bigquery.Client("place", AnonymousCredentials(), client_options=ClientOptions(
            api_endpoint=f"http://127.0.0.1:{port}"))
        client.create_dataset(DATASET)

        def run(query: str) -> list[Sequence[Any]]:
            said = query.replace("%%", "%") if query.startswith(("SELECT", "INSERT")) else query  # as `dbapi` does
            return [tuple(row.values()) for row in client.query(said).result()]

        yield Client("bigquery", run, path=("place", DATASET))
    finally:
        process.terminate()
        process.wait(30)


ENGINES: dict[str, tuple[str, Callable[[Path], Any]]] = {  # with the module that it needs
    "duckdb": ("duckdb", duckdb_), "sqlite": ("sqlite3", sqlite), "clickhouse": ("chdb", clickhouse),
    "snowflake": ("fakesnow", snowflake), "bigquery": ("bqemulator", bigquery),
}


def is_here(name: str) -> bool:
    return find_spec(ENGINES[name][0]) is not None
