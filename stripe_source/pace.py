"""Where a run saves time and memory in what surrounds it: Python, the steps of dlt, and a DuckDB file."""
from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml
from dlt.common import json

from stripe_source.held import sql_client

if TYPE_CHECKING:
    import dlt

OFTEN = 100_000  # new objects between two collections; Python's 700 spends a third of a run on looking at JSON
AT_ONCE = 8_000_000  # bytes
MANY = 20  # schemas whose hash is remembered
_OURS = {"memory_limit", "max_memory", "threads", "checkpoint_threshold", "wal_autocheckpoint"}  # unless one is chosen
_NOT_HASHED = {"version", "version_hash", "imported_version_hash", "previous_hashes"}

Change = Callable[[], Iterator[None]]


def _shared(change: Change) -> Callable[[], AbstractContextManager[None]]:
    """A change of the process that is made once, and holds as long as one of the runs in its threads needs it."""
    lock, under_way = threading.Lock(), 0
    made: AbstractContextManager[None] | None = None

    @wraps(change)
    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal under_way, made
        with lock:
            if not under_way:
                made = contextmanager(change)()
                made.__enter__()
            under_way += 1
        try:
            yield
        finally:
            with lock:
                under_way -= 1
                if made and not under_way:
                    made.__exit__(None, None, None)

    return hold


@_shared
def collecting_rarely() -> Iterator[None]:
    """Let the collector look less often: parsed JSON holds no cycles, and there is much of it.

    Measured 2026-11-25: parsing a page takes 5 us an object in place of 14, making rows 17 in place of 20.
    """
    before = gc.get_threshold()
    if 0 < before[0] < OFTEN:
        gc.set_threshold(OFTEN, *before[1:])
        gc.freeze()  # what is there already need not be looked at again
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@_shared
def brief_notes() -> Iterator[None]:
    """Let dlt note the hints of its resources in YAML by the C library.

    dlt 1.31 notes them for its trace at the end of every extraction, with Python's own YAML: 20 ms a table.
    """
    from dlt.extract import extract as module

    extract: Any = module
    dumper, theirs = getattr(yaml, "CDumper", None), extract.yaml
    if dumper is not None:
        extract.yaml = SimpleNamespace(dump=partial(yaml.dump, Dumper=dumper))
    yield
    extract.yaml = theirs


@_shared
def known_hashes() -> Iterator[None]:
    """Let dlt compute the hash of a schema once.

    dlt 1.31 computes it 200 times in a load, each time of all columns of all tables: 3 ms with 68 tables, in place of
    one (measured 2026-11-26).
    """
    from dlt.common.schema import utils

    theirs = utils.generate_version_hash
    known: dict[bytes, str] = {}

    def generate_version_hash(stored_schema: Any) -> str:
        plain = {name: value for name, value in stored_schema.items() if name not in _NOT_HASHED}
        key = json.dumpb(plain)  # columns in their order, which counts
        found = known.get(key)
        if found is None:
            if len(known) >= MANY:
                known.clear()
            found = known[key] = theirs(stored_schema)
        return found

    utils.generate_version_hash = generate_version_hash
    yield
    utils.generate_version_hash = theirs


@_shared
def whole_writes() -> Iterator[None]:
    """Let pyarrow write the Parquet files of dlt by 8 MB, or a table.

    It writes every column by itself, each time in Python, which has to wait for the lock that the other threads hold:
    2.9 s for 16,000 rows of 216 columns beside a busy thread, in place of 0.1 (measured 2026-11-26).
    """
    import pyarrow as pa
    from dlt.common.data_writers.writers import ParquetDataWriter

    theirs = ParquetDataWriter._create_writer

    def create_writer(self: Any, schema: pa.Schema) -> Any:
        file = self._f
        self.sink = self._f = sink = pa.BufferedOutputStream(pa.PythonFile(file, mode="w"), AT_ONCE)
        try:
            writer = theirs(self, schema)
        finally:
            self._f = file
        plain = type(writer).write_table

        def write_table(table: pa.Table, row_group_size: int | None = None) -> None:
            plain(writer, table, row_group_size)
            sink.flush()  # dlt looks at how long the file is

        writer.write_table = write_table
        writer.file_handle = SimpleNamespace(close=sink.flush)  # pyarrow closes it after the footer
        return writer

    ParquetDataWriter._create_writer = create_writer  # type: ignore[method-assign]
    yield
    ParquetDataWriter._create_writer = theirs  # type: ignore[method-assign]


def few_arenas() -> None:
    """Let the C library keep the memory of all threads in two heaps, where it is glibc: 35 MB less of a run's 320.

    It makes a heap for each new thread otherwise, and gives little of it back.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX; answers 0 where it is refused


class OpenDuckDB:
    """Keeps a DuckDB file open between the loads of a long run, and its memory small; nothing elsewhere.

    dlt closes the file after every job, and DuckDB rewrites what was written last each time. An open database keeps all
    that it touched in memory, up to 80 % of the machine's; this limit is `relax`ed where a load does not fit. What was
    committed waits in the log, from which DuckDB writes it into the table while the next rows are read, not while it
    loads. Measured 2026-11-26, 200,000 charges in loads of 16,000: 18 s of DuckDB's work with its own threshold for the
    log of 16 MB, 8 s with this one. As long as the file is open no other process can read it.

    DuckDB writes whole groups of 122,880 rows, the last one of each table again and again, and nobody else can write
    meanwhile: the more tables grow at a time, the longer that takes, and the more may wait. Eight tables of 200,000
    rows under Stripe's limits: 261 s with 128 MB, 202 s with 400 MB (2026-11-26, on a slow machine).

    Args:
        pipeline: whose destination it is.
        tables: how many are loaded.
    """

    LIMIT = "150MB"
    LOG = 128_000_000  # bytes that may wait in the log while more is read
    FURTHER = 32_000_000  # bytes more for each further table
    MANY = 400_000_000  # but no more than so many
    MOST = 4  # times as many, after which DuckDB writes them itself

    def __init__(self, pipeline: dlt.Pipeline, tables: int = 1) -> None:
        self._pipeline = pipeline
        self._log = min(self.LOG + self.FURTHER * (tables - 1), self.MANY)
        self._client: Any = None
        self._limited = False
        self._writing: threading.Thread | None = None

    def __enter__(self) -> OpenDuckDB:
        return self

    def keep_open(self) -> None:
        """A further load follows."""
        destination = self._pipeline.destination
        if self._client or destination is None or destination.destination_type != "dlt.destinations.duckdb":
            return
        self._client = sql_client(self._pipeline)
        self._client.open_connection()
        credentials: Any = self._client.credentials
        chosen = {**(credentials.global_config or {}), **(credentials.local_config or {})}
        if _OURS.isdisjoint(chosen) and not credentials.pragmas:
            self._client.execute_sql("SET threads = 1")  # a load is one row group, which one thread writes
            self._client.execute_sql(f"SET memory_limit = '{self.LIMIT}'")
            self._client.execute_sql(f"SET checkpoint_threshold = '{self.MOST * self._log // 1_000_000}MB'")
            self._limited = True

    def loaded(self) -> None:
        """A load is over, and rows are read for the next one: DuckDB may write meanwhile."""
        if self._limited and self._waiting() >= self._log:
            self._writing = threading.Thread(target=self._write, args=[self._client.native_connection.cursor()])
            self._writing.start()

    def settle(self) -> None:
        """A load begins."""
        if self._writing:
            self._writing.join()
            self._writing = None

    def _waiting(self) -> int:
        """Bytes in the log."""
        files = self._client.execute_sql("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
        log = Path(f"{files[0][0]}.wal") if files and files[0][0] else None
        return log.stat().st_size if log and log.exists() else 0

    @staticmethod
    def _write(connection: Any) -> None:
        import duckdb

        with suppress(duckdb.Error), connection:  # a later one writes it, at the latest when the file is closed
            connection.execute("CHECKPOINT")

    def __exit__(self, *_: object) -> None:
        from dlt.destinations.exceptions import DatabaseException

        self.settle()
        if self._client is None:
            return
        with suppress(DatabaseException):  # what does not fit is written when the last connection is closed
            self._client.execute_sql("CHECKPOINT")  # in little memory, which is given back only then
        if self._limited:
            for name in ("threads", "memory_limit", "checkpoint_threshold"):
                self._client.execute_sql(f"RESET {name}")
        self._client.close_connection()
        self._client = None

    def relax(self, failure: BaseException) -> bool:
        """Give DuckDB the memory that a load lacked; False where that was not the trouble."""
        if not self._limited or "memory" not in str(failure).lower():
            return False
        self._client.execute_sql("RESET memory_limit")
        return True
