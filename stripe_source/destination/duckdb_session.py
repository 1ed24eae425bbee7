"""A DuckDB file in a long run: open between its loads, in little memory, and written while more is read."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.c_library import give_memory_back
from stripe_source.destination.connection import sql_client
from stripe_source.destination.sql import engines

if TYPE_CHECKING:
    import dlt

_OURS = {"memory_limit", "max_memory", "threads", "checkpoint_threshold", "wal_autocheckpoint"}  # unless one is chosen


class DuckDBSession:
    """Keeps a DuckDB file open between the loads of a long run, and its memory small; nothing elsewhere.

    dlt closes the file after every job, and DuckDB writes what is in its log each time. An open database keeps all that
    it touched in memory, up to 80 % of the machine's; the limit is lower here, and `raise_memory_limit` lifts it where
    a load does not fit. Committed rows wait in the log, from which DuckDB writes them into the tables while the next
    rows are read, as nobody else can write meanwhile. No other process can read the file as long as it is open.

    What is written becomes a group of rows of its own, and DuckDB makes one of several small ones when it writes the
    log: 390,000 rows in 16 loads, written after each, cost 15 s of its work, and 4 s without that (DuckDB 2.0.1,
    2026-11-26). It is left to the first later run that changes something, which does it once.

    Args:
        pipeline: whose destination it is.
        tables: how many are loaded.
        documents: each row is loaded as a JSON document of some 3 kB as well.
    """

    LIMIT = "150MB"  # a block of each of 216 columns takes 55 MB; with 100 MB a first load takes 2 % longer
    LIMIT_OF_CHANGES = "100MB"  # once rows are replaced: then the process needs more for what it reads back
    LIMIT_WITH_DOCUMENTS = "300MB"  # those of a load take 75 MB, which have to be in one piece
    LOG = 96_000_000  # bytes that may wait in the log while more is read: what three loads write
    FURTHER = 16_000_000  # bytes more for each further table: groups of a few thousand rows take twice the room
    MANY = 160_000_000  # but no more than so many: the last of it is written when all has been read
    MOST = 4  # times as many, after which DuckDB writes them itself

    def __init__(self, pipeline: dlt.Pipeline, tables: int = 1, documents: bool = False) -> None:
        self._pipeline = pipeline
        self._log = min(self.LOG + self.FURTHER * (tables - 1), self.MANY)
        self._limit = self.LIMIT_WITH_DOCUMENTS if documents else self.LIMIT
        self._client: Any = None
        self._limited = self._has_final_limit = False
        self._writing: threading.Thread | None = None

    def __enter__(self) -> DuckDBSession:
        return self

    def _is_duckdb(self) -> bool:
        destination = self._pipeline.destination
        return destination is not None and destination.destination_type == "dlt.destinations.duckdb"

    def keep_open(self, changes: bool = False) -> None:
        """Open the file, as a further load follows.

        Args:
            changes: rows are replaced, or read back.
        """
        if self._client or not self._is_duckdb():
            return
        self._client = sql_client(self._pipeline)
        self._client.open_connection()
        credentials: Any = self._client.credentials
        chosen = {**(credentials.global_config or {}), **(credentials.local_config or {})}
        if _OURS.isdisjoint(chosen) and not credentials.pragmas:
            self._has_final_limit = changes and self._limit == self.LIMIT
            limit = self.LIMIT_OF_CHANGES if self._has_final_limit else self._limit
            for statement in engines.settings(limit, self.MOST * self._log // 1_000_000):
                self._client.execute_sql(statement)
            self._limited = True

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Keep the file open in little memory: DuckDB would keep all that is read of it."""
        with self:
            self.keep_open(changes=True)
            yield

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Keep the file open from one step of a load to the next: dlt opens it ten times, and each takes 25 ms."""
        if self._client or not self._is_duckdb():
            yield
            return
        with sql_client(self._pipeline):
            yield

    def write_in_background(self, at_last: bool = False, changes: bool = False) -> None:
        """Let DuckDB write its log into the tables, as a load is over and rows are read for the next one.

        Args:
            at_last: few loads follow, so that what is not written now is written when all has been read.
            changes: rows were replaced, which takes twice the memory until it is written.
        """
        if self._limited and changes and not self._has_final_limit and self._limit == self.LIMIT:
            self._client.execute_sql(engines.memory_limit(self.LIMIT_OF_CHANGES))
            self._has_final_limit = True
        if self._limited and (at_last or self._waiting() >= (self._log // 4 if changes else self._log)):
            self._writing = threading.Thread(
                target=self._write, args=[self._client.native_connection.cursor(), changes])
            self._writing.start()

    def wait_for_writing(self) -> None:
        """Wait until DuckDB has written, as a load begins."""
        if self._writing:
            self._writing.join()
            self._writing = None

    def _waiting(self) -> int:
        """Bytes in the log."""
        files = self._client.execute_sql(engines.DATABASE_FILE)
        log = Path(f"{files[0][0]}.wal") if files and files[0][0] else None
        return log.stat().st_size if log and log.exists() else 0

    @staticmethod
    def _write(connection: Any, changes: bool) -> None:
        import duckdb

        with suppress(duckdb.Error), connection:  # a later one writes it, at the latest when the file is closed
            connection.execute(engines.CHECKPOINT)
        give_memory_back(with_arrow=changes)

    def __exit__(self, *_: object) -> None:
        from dlt.destinations.exceptions import DatabaseException

        self.wait_for_writing()
        if self._client is None:
            return
        with suppress(DatabaseException):  # what does not fit is written when the last connection is closed
            self._client.execute_sql(engines.CHECKPOINT)  # in little memory, which is given back only then
        if self._limited:
            for name in engines.RESET:
                self._client.execute_sql(engines.reset(name))
        self._client.close_connection()
        self._client = None

    def raise_memory_limit(self, failure: BaseException) -> bool:
        """Give DuckDB the memory that a load lacked; False where the load failed for another reason."""
        if not self._limited or "memory" not in str(failure).lower():
            return False
        self._client.execute_sql(engines.reset("memory_limit"))
        self._has_final_limit = True
        return True
