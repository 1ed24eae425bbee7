"""One run of a pipeline at a time: a lock on this machine, and a look at the destination for runs on other machines.

The lock is a file beside the folder of the pipeline, `<pipelines_dir>/<pipeline>.lock`. The operating system holds it
for a process and takes it back when that ends, however it ends; the file itself stays, and means nothing. Who runs is
noted beside it, in `<pipeline>.run`, for the message that the other one gets.
"""
from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
from dlt import Schema
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.pipeline import trace
from filelock import FileLock, Timeout

from stripe_source.errors import Busy
from stripe_source.held import sql_client


@contextmanager
def alone(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Hold the lock of a pipeline.

    Raises:
        Busy: another run holds it.
    """
    free = _take(pipeline)
    try:
        yield
    finally:
        free()


def hold() -> Callable[[], None]:
    """Hold the lock of the pipeline that is extracting now, until its run has ended; `alone` may hold it already.

    Returns:
        What to call when the reading has ended: it lets go of the lock where dlt will not tell when the run has.
    """
    pipeline = dlt.current.pipeline()
    if _mine.get(_file(pipeline)) is pipeline:
        return _nothing
    free = _take(pipeline)
    if not pipeline.config.enable_runtime_trace:
        return free
    _held[id(pipeline)] = free
    if _runs not in trace.TRACKING_MODULES:
        trace.TRACKING_MODULES.append(_runs)
    return _nothing


class Loads:
    """The loads that a pipeline of this name has in the destination, from any machine, that moved its state.

    Every load with rows moves it: `run` notes the load in it. What asks is made once: dlt takes a while for that.
    """

    def __init__(self, pipeline: dlt.Pipeline) -> None:
        self._pipeline = pipeline
        self._asking: tuple[Any, Schema] | None = None

    def count(self, mine: Collection[str] = ()) -> tuple[int, int]:
        """How many there are, by one query.

        Args:
            mine: ids of loads to be counted apart.

        Returns:
            The number of others, and that of `mine`.
        """
        if not self._pipeline.default_schema_name:
            return 0, 0
        if self._asking is None:
            self._asking = sql_client(self._pipeline), self._pipeline.default_schema
        client, schema = self._asking
        query = _loads_query(client, schema, len(mine))
        try:
            with client, client.execute_query(query, *mine, self._pipeline.pipeline_name) as cursor:
                whole, own = cursor.fetchall()[0]
                return int(whole) - int(own or 0), int(own or 0)
        except DestinationUndefinedEntity:
            return 0, 0  # nothing was ever loaded


def _loads_query(client: Any, schema: Schema, mine: int) -> str:
    def table(name: str) -> str:
        return str(client.make_qualified_table_name(schema.naming.normalize_table_identifier(name)))

    def column(name: str) -> str:
        return str(client.escape_column_name(schema.naming.normalize_path(name)))

    among = f"l.{column('load_id')} IN ({', '.join(['%s'] * mine)})" if mine else "1 = 0"
    return (
        f"SELECT COUNT(*), SUM(CASE WHEN {among} THEN 1 ELSE 0 END)"
        f" FROM {table(schema.state_table_name)} s JOIN {table(schema.loads_table_name)} l"
        f" ON l.{column('load_id')} = s.{column('_dlt_load_id')}"
        f" WHERE s.{column('pipeline_name')} = %s AND l.{column('status')} = 0"
    )


_mine: dict[Path, dlt.Pipeline] = {}  # the locks that this process holds, and for whom


def _file(pipeline: dlt.Pipeline) -> Path:
    return Path(pipeline.pipelines_dir, f"{pipeline.pipeline_name}.lock").absolute()


def _take(pipeline: dlt.Pipeline) -> Callable[[], None]:
    """Take the lock of a pipeline, and note who did; answers with what lets go of it."""
    file = _file(pipeline)
    note = file.with_suffix(".run")
    lock = FileLock(file, timeout=0, thread_local=False)  # dlt may read a resource in another thread
    try:
        lock.acquire()
    except Timeout:
        raise Busy(pipeline.pipeline_name, **_noted(note)) from None
    _mine[file] = pipeline
    since = datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds")

    def free() -> None:
        _mine.pop(file, None)
        note.unlink(missing_ok=True)
        lock.release()

    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
    except OSError:
        free()
        raise
    return free


def _noted(note: Path) -> dict[str, Any]:
    """Who runs, as far as it was noted."""
    with suppress(OSError, ValueError):
        noted = json.loads(note.read_text())
        return {name: noted.get(name) for name in ("pid", "host", "since")}
    return {}


def _nothing(*_: Any) -> None: ...


def _ended(_: Any, pipeline: dlt.Pipeline, __: bool) -> None:
    _held.pop(id(pipeline), _nothing)()


_held: dict[int, Callable[[], None]] = {}  # what lets go of the locks that `hold` took, by pipeline
_runs = SimpleNamespace(  # dlt calls it when the run of a pipeline begins and ends
    on_start_trace=_nothing, on_start_trace_step=_nothing, on_end_trace_step=_nothing, on_end_trace=_ended
)
