"""One run of a pipeline at a time on this machine, and what is held as long as a run lasts.

The lock is a file beside the folder of the pipeline, `<pipelines_dir>/<pipeline>.lock`. The operating system holds it
for a process and takes it back when that process ends, however it ends; the file itself stays, and means nothing. The
process that holds it is named beside it, in `<pipeline>.run`, for the message to another one.
"""
from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
from filelock import FileLock, Timeout

from stripe_source.dlt_patches.apply import dlt_patches, prepare_destination
from stripe_source.dlt_patches.run_end import call_at_run_end, keep_private, remove_loaded_files
from stripe_source.errors import Busy


@contextmanager
def pipeline_lock(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Hold the lock of a pipeline.

    Raises:
        Busy: another run holds it.
    """
    release = _acquire(pipeline)
    try:
        yield
    finally:
        release()


def hold_current_run() -> Callable[[], None]:
    """Hold the lock of the pipeline that is extracting now, and the patches of dlt, until its run has ended.

    Where `pipeline_lock` holds the lock for it already, nothing is done: its caller sees to the patches as well. Where
    dlt does not report the end of the run, no patch is entered, and the lock is held until the extraction has ended.

    Returns:
        What to call when the extraction has ended.
    """
    pipeline = dlt.current.pipeline()
    if _locks.get(_file(pipeline)) is pipeline:
        return _nothing
    with ExitStack() as stack:
        stack.callback(_acquire(pipeline))
        prepare_destination(pipeline)
        keep_private(pipeline)
        stack.callback(remove_loaded_files, pipeline)
        held = stack.pop_all()
    if not call_at_run_end(pipeline, held.close):
        return held.close
    held.enter_context(dlt_patches(pipeline, to_the_end=False))
    return _nothing


_locks: dict[Path, dlt.Pipeline] = {}  # the locks that this process holds, and for which pipeline


def _file(pipeline: dlt.Pipeline) -> Path:
    return Path(pipeline.pipelines_dir, f"{pipeline.pipeline_name}.lock").absolute()


def _acquire(pipeline: dlt.Pipeline) -> Callable[[], None]:
    """Take the lock of a pipeline, and note which process did; return the function that releases it."""
    file = _file(pipeline)
    note = file.with_suffix(".run")
    lock = FileLock(file, timeout=0, mode=0o600, thread_local=False)  # dlt may read a resource in another thread
    try:
        lock.acquire()
    except Timeout:
        raise Busy(pipeline.pipeline_name, **_owner_of(note)) from None
    _locks[file] = pipeline
    since = datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds")

    def release() -> None:
        _locks.pop(file, None)
        note.unlink(missing_ok=True)
        lock.release()

    try:
        _write_note(note, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
    except OSError:
        release()
        raise
    return release


def _write_note(note: Path, text: str) -> None:
    """Write a file of our own, of mode 0600: not through a link that somebody put in its place, nor into their file."""
    note.unlink(missing_ok=True)
    with open(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _owner_of(note: Path) -> dict[str, Any]:
    """The process that holds the lock, as far as it was noted."""
    with suppress(OSError, ValueError):
        noted = json.loads(note.read_text())
        return {name: noted.get(name) for name in ("pid", "host", "since")}
    return {}


def _nothing() -> None: ...
