"""dlt wraps an error of one of its steps several times: what caused it, and which of our errors it is."""
from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stripe_source.errors import DestinationError, StripeSourceError
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import dlt

FULL_DISK = 100_000  # bytes; a disk with less room than this is full


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, the deepest last. dlt carries the cause of a failed step as `exception`."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "exception", None)
        error = inner if isinstance(inner, BaseException) and id(inner) not in seen else error.__cause__


def wrapped_error(error: BaseException) -> BaseException | None:
    """The error of ours, or the signal, that dlt wrapped; None where the error is about something else."""
    return next((each for each in causes_of(error) if isinstance(each, (StripeSourceError, KeyboardInterrupt))), None)


def cause_to_raise(error: BaseException, failure: BaseException) -> BaseException | None:
    """What an error is raised from for a failure of dlt's: the failure, or its own cause where it is a part of that.

    `__cause__` would go in a circle there, without an end for whoever follows it.
    """
    return error.__cause__ if any(each is error for each in causes_of(failure)) else failure


def our_error(pipeline: dlt.Pipeline, error: BaseException) -> BaseException:
    """What to raise for an error of dlt's: the error of ours or the signal in it, else a `DestinationError`."""
    return wrapped_error(error) or destination_error(pipeline, error)


def destination_error(pipeline: dlt.Pipeline, error: BaseException) -> DestinationError:
    """The `DestinationError` for an error of dlt's or of the operating system."""
    causes = list(causes_of(error))
    name = pipeline.destination.destination_name if pipeline.destination else None
    no_room = any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in causes)
    if no_room or _free_space(pipeline.working_dir) < FULL_DISK:  # dlt may fail later, on what could not be written
        return DestinationError(f"The disk is full: {pipeline.working_dir} has no room left.", destination=name)
    return DestinationError(redact(str(causes[-1]).strip() or repr(causes[-1])), destination=name)


def _free_space(folder: str) -> int:
    """Bytes that are free where a folder is, or would be."""
    path = Path(folder)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
