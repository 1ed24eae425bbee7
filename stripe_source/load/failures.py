"""What a run raises when a step of dlt fails."""
from __future__ import annotations

import errno
import os

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import TerminalException
from dlt.common.storages.exceptions import LoadStorageException
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.destination.dlt_errors import causes_of, destination_error, wrapped_error
from stripe_source.resources.state import doubted_tables, forget_tables

MOVED = errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR  # what moves of files fail with that were cut short


def is_terminal(failure: BaseException) -> bool:
    """Whether dlt would fail again if it tried again."""
    return any(isinstance(cause, TerminalException) for cause in causes_of(failure))


def is_broken_folder(pipeline: dlt.Pipeline, failure: BaseException) -> bool:
    """Whether dlt cannot go on with what is in its own folder: a run was killed while it moved files there."""
    folder = os.path.realpath(pipeline.working_dir)
    for cause in causes_of(failure):
        names = (cause.filename, cause.filename2) if isinstance(cause, OSError) and cause.errno in MOVED else ()
        if any(isinstance(name, str) and os.path.realpath(name).startswith(folder) for name in names):
            return True
        if isinstance(cause, LoadStorageException):
            return True
    return False


def drop_packages(pipeline: dlt.Pipeline) -> None:
    """Drop what was read; dlt puts the state back to what it was before.

    That is not true of tables that the load was to put right, part of which it may have brought.
    """
    doubted = doubted_tables(pipeline)
    pipeline.abort_packages()
    if doubted:
        forget_tables(pipeline, doubted)


def error_of_step(pipeline: dlt.Pipeline, failure: PipelineStepFailed) -> BaseException:
    """What to raise for a failed step: the error of ours in it, a `DestinationError`, or the failure itself."""
    if wrapped := wrapped_error(failure):
        return wrapped  # a signal says nothing about the data: what was read is kept
    if failure.step == "load" and is_terminal(failure):
        drop_packages(pipeline)  # every later run would try to load them first, and fail likewise
    from_outside = any(isinstance(cause, (DestinationException, OSError)) for cause in causes_of(failure))
    return destination_error(pipeline, failure) if from_outside or failure.step in ("load", "sync") else failure
