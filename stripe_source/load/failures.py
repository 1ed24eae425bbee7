"""A failed dlt step -> our error."""
from __future__ import annotations

import errno
import shutil
from pathlib import Path

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.destination.connection import causes_of, translated
from stripe_source.errors import DestinationError, StripeSourceError

LITTLE_ROOM = 100_000  # bytes; with less than this left, a disk is full


def is_terminal(failure: BaseException) -> bool:
    from dlt.common.exceptions import TerminalException

    return any(isinstance(error, TerminalException) for error in causes_of(failure))


def error_of_step(pipeline: dlt.Pipeline, failure: PipelineStepFailed) -> BaseException:
    """What to raise for a failed step: our own error, the destination's trouble, or the failure as it is."""
    errors = list(causes_of(failure))
    for error in errors:
        if isinstance(error, (StripeSourceError, KeyboardInterrupt)):
            return error  # a signal says nothing about the data: what was read is kept
    if failure.step == "load" and is_terminal(failure):
        pipeline.abort_packages()  # it would be tried again by every later run, and stand in the way of each
    if failure.step in ("load", "sync") or any(isinstance(error, (DestinationException, OSError)) for error in errors):
        return destination_error(pipeline, failure)
    return failure


def destination_error(pipeline: dlt.Pipeline, failure: BaseException) -> StripeSourceError:
    errors = list(causes_of(failure))
    full = any(isinstance(error, OSError) and error.errno == errno.ENOSPC for error in errors)
    name = pipeline.destination.destination_name if pipeline.destination else None
    if full or free_space(pipeline.working_dir) < LITTLE_ROOM:  # dlt may stumble over what could not be written, later
        return DestinationError(f"The disk is full: {pipeline.working_dir} has no room left.", destination=name)
    return translated(pipeline, failure)


def free_space(folder: str) -> int:
    """Bytes that are free where a folder is, or would be."""
    path = Path(folder)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
