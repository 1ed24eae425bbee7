"""What a run raises when a step of dlt fails."""
from __future__ import annotations

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import TerminalException
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.destination.dlt_errors import causes_of, destination_error, wrapped_error


def is_terminal(failure: BaseException) -> bool:
    """Whether dlt would fail again if it tried again."""
    return any(isinstance(cause, TerminalException) for cause in causes_of(failure))


def error_of_step(pipeline: dlt.Pipeline, failure: PipelineStepFailed) -> BaseException:
    """What to raise for a failed step: the error of ours in it, a `DestinationError`, or the failure itself."""
    if wrapped := wrapped_error(failure):
        return wrapped  # a signal says nothing about the data: what was read is kept
    if failure.step == "load" and is_terminal(failure):
        pipeline.abort_packages()  # every later run would try to load them first, and fail likewise
    from_outside = any(isinstance(cause, (DestinationException, OSError)) for cause in causes_of(failure))
    return destination_error(pipeline, failure) if from_outside or failure.step in ("load", "sync") else failure
