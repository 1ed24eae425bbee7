"""Proves that the destination equals Stripe, row by row and value by value, and that the money adds up."""
from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.destination.connection import translated
from stripe_source.errors import InvalidOption
from stripe_source.load.progress import Progress, Silent
from stripe_source.resources.lock import pipeline_lock
from stripe_source.source import resolve_options
from stripe_source.verification.result import VerifyResult
from stripe_source.verification.scratch_db import ScratchDatabase


def verify(
    pipeline: dlt.Pipeline,
    *,
    tables: Any = None,
    exclude: Any = None,
    sample: int | None = None,
    seed: int | None = None,
    repair: bool = False,
    settled: bool = False,
    progress: Progress | None = None,
    on_cost: Callable[[int], None] | None = None,
    **options: Any,
) -> VerifyResult:
    """Compare what a pipeline has loaded with what Stripe has now, row by row and value by value.

    Args:
        pipeline: what was loaded, and where.
        tables: names or patterns; None: every table that the pipeline has loaded.
        exclude: likewise, what to leave out.
        sample: tables with more rows than this that can be asked for spans of `created` are read in spans drawn at
            random, with about so many rows in all, and what belongs to these rows. The others are read whole.
        seed: of the sample; None draws another one each time.
        repair: write what was missing or altered, flag what was extra, and verify again.
        settled: what came about after the last load is named, and counts neither as a difference nor for the exit code.
        progress: is told how it goes.
        on_cost: is told about how many requests it will take, before it begins.
        options: connection and bounds (`start`, `end`), as `stripe_source` takes them.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or the pipeline has loaded nothing.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
        DestinationError: the destination cannot be read or, with `repair`, did not take the data.
        Busy: with `repair`, another process runs the pipeline.
    """
    from stripe_source.verification.repair import repair as repair_rows
    from stripe_source.verification.scope import named_tables
    from stripe_source.verification.session import Verification

    given = {**options, "tables": "%" if tables is None else tables}
    if exclude is not None:
        given["exclude"] = exclude
    o = resolve_options(**given)
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int) or sample < 1):
        raise InvalidOption("sample", sample, reason="It is a number of rows, 1 or more.")
    if sample is not None and (o.start is not None or o.end is not None):
        raise InvalidOption("sample", sample, reason="It is drawn from all rows; leave out `start` and `end`.")
    if sample is not None and seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    told = progress or Silent()
    try:
        with pipeline_lock(pipeline) if repair else nullcontext():
            work = Verification(pipeline, o, named_tables(tables), sample, seed, settled, told)
            with ScratchDatabase() as spool:
                result = work.done(spool, on_cost or (lambda cost: None))
                if not repair:
                    return result
                repaired = repair_rows(pipeline, o, work.back, spool, work.sights, work.whose.now)
            if not repaired:
                result.repaired = {}
                return result
            work = Verification(pipeline, o, named_tables(tables), sample, seed, settled, told)
            with ScratchDatabase() as spool:
                after = work.done(spool)
            after.repaired, after.before = repaired, result
            return after
    except (DestinationException, PipelineStepFailed, OSError) as error:
        raise translated(pipeline, error) from error
    finally:
        told.phase("done")
