"""The end of a dlt run or step, as dlt reports it."""
from __future__ import annotations

import threading
from collections.abc import Callable
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
