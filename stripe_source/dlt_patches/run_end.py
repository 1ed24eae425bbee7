"""The end of a dlt run or step, as dlt reports it, and what it leaves in the folder of its pipeline."""
from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dlt.pipeline import trace

if TYPE_CHECKING:
    import dlt

_waiting: dict[int, tuple[dlt.Pipeline, list[Callable[[], None]]]] = {}  # by pipeline: what to call at its end
_lock = threading.Lock()


def call_at_run_end(pipeline: dlt.Pipeline, callback: Callable[[], None]) -> bool:
    """Call a function when the run of a pipeline that is under way ends, or its step where that was called alone.

    dlt's trace reports the end. Its list of trackers has one of ours as long as something is to be called.

    Returns:
        False, without an effect, where the pipeline has no trace (`enable_runtime_trace` is off).
    """
    if not pipeline.config.enable_runtime_trace:
        return False
    with _lock:
        _waiting.setdefault(id(pipeline), (pipeline, []))[1].append(callback)
        if _tracker not in trace.TRACKING_MODULES:
            trace.TRACKING_MODULES.append(_tracker)
    return True


def remove_loaded_files(pipeline: dlt.Pipeline, load_ids: Collection[str] | None = None) -> None:
    """Remove the files of our rows that are loaded: dlt keeps a second copy of them, until its folder is removed.

    Nothing is done where dlt's configuration says `delete_completed_jobs` under `[load]`, whatever it says.

    Args:
        pipeline: whose they are.
        load_ids: loads that are ours; None: all that are, as their schemas say.
    """
    import dlt

    if dlt.config.get("load.delete_completed_jobs", bool) is not None:
        return
    loaded = Path(pipeline.working_dir, "load", "loaded")
    if load_ids is None:
        load_ids = [package.name for package in loaded.iterdir()] if loaded.is_dir() else []
    for package in (loaded / load_id for load_id in load_ids):
        files, failed = package / "completed_jobs", package / "failed_jobs"
        if not files.is_dir() or (failed.is_dir() and any(failed.iterdir())):
            continue  # as dlt does where it removes them
        schema = package / "schema.json"
        if schema.is_file() and b"x-stripe-object" in schema.read_bytes():
            shutil.rmtree(files, ignore_errors=True)


def keep_private(pipeline: dlt.Pipeline) -> None:
    """Let nobody else look into the folder of a pipeline, where rows are until they are loaded.

    A group that may write there keeps what it may.
    """
    folder = Path(pipeline.working_dir)
    if os.name != "posix" or not folder.is_dir():
        return
    mode = folder.stat().st_mode & 0o777
    wanted = mode & (0o770 if mode & 0o020 else 0o700)
    if wanted != mode:
        with suppress(PermissionError):  # it is somebody else's, who has to see to it
            folder.chmod(wanted)


def _ended(_: Any, pipeline: dlt.Pipeline, __: bool) -> None:
    with _lock:
        _, callbacks = _waiting.pop(id(pipeline), (pipeline, []))
        if not _waiting:  # a new list: dlt is in the middle of the old one
            trace.TRACKING_MODULES = [each for each in trace.TRACKING_MODULES if each is not _tracker]
    for callback in reversed(callbacks):
        callback()


def _nothing(*_: Any) -> None: ...


_tracker: Any = SimpleNamespace(
    on_start_trace=_nothing, on_start_trace_step=_nothing, on_end_trace_step=_nothing, on_end_trace=_ended
)
