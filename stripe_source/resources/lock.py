"""One run of a pipeline at a time: a lock on this machine, and a look at the destination for runs on other machines.

The lock is a file beside the folder of the pipeline, `<pipelines_dir>/<pipeline>.lock`. The operating system holds it
for a process and takes it back when that ends, however it ends; the file itself stays, and means nothing. Who runs is
noted beside it, in `<pipeline>.run`, for the message that the other one gets.
"""
from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
from dlt.pipeline import trace
from filelock import FileLock, Timeout

from stripe_source.errors import Busy


@contextmanager
def pipeline_lock(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Hold the lock of a pipeline.

    Raises:
        Busy: another run holds it.
    """
    free = _acquire(pipeline)
    try:
        yield
    finally:
        free()


def lock_current_pipeline() -> Callable[[], None]:
    """Hold the lock of the pipeline that is extracting now, until its run has ended; `alone` may hold it already.

    Returns:
        What to call when the reading has ended: it lets go of the lock where dlt will not tell when the run has.
    """
    pipeline = dlt.current.pipeline()
    if _locks.get(_file(pipeline)) is pipeline:
        return _nothing
    free = _acquire(pipeline)
    if not pipeline.config.enable_runtime_trace:
        return free
    _releases[id(pipeline)] = free
    if _release_after_run not in trace.TRACKING_MODULES:
        trace.TRACKING_MODULES.append(_release_after_run)
    return _nothing


_locks: dict[Path, dlt.Pipeline] = {}  # the locks that this process holds, and for whom


def _file(pipeline: dlt.Pipeline) -> Path:
    return Path(pipeline.pipelines_dir, f"{pipeline.pipeline_name}.lock").absolute()


def _acquire(pipeline: dlt.Pipeline) -> Callable[[], None]:
    """Take the lock of a pipeline, and note who did; answers with what lets go of it."""
    file = _file(pipeline)
    note = file.with_suffix(".run")
    lock = FileLock(file, timeout=0, thread_local=False)  # dlt may read a resource in another thread
    try:
        lock.acquire()
    except Timeout:
        raise Busy(pipeline.pipeline_name, **_owner_of(note)) from None
    _locks[file] = pipeline
    since = datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds")

    def free() -> None:
        _locks.pop(file, None)
        note.unlink(missing_ok=True)
        lock.release()

    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
    except OSError:
        free()
        raise
    return free


def _owner_of(note: Path) -> dict[str, Any]:
    """Who runs, as far as it was noted."""
    with suppress(OSError, ValueError):
        noted = json.loads(note.read_text())
        return {name: noted.get(name) for name in ("pid", "host", "since")}
    return {}


def _nothing(*_: Any) -> None: ...


def _ended(_: Any, pipeline: dlt.Pipeline, __: bool) -> None:
    _releases.pop(id(pipeline), _nothing)()


_releases: dict[int, Callable[[], None]] = {}  # what lets go of the locks that `hold` took, by pipeline
_release_after_run = SimpleNamespace(  # dlt calls it when the run of a pipeline begins and ends
    on_start_trace=_nothing, on_start_trace_step=_nothing, on_end_trace_step=_nothing, on_end_trace=_ended
)
