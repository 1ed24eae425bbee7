"""Proves that the destination equals Stripe, row by row and value by value, and that the money adds up."""
from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import dlt

from stripe_source.configured import hide_secrets
from stripe_source.destination.connection import destination_errors
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.errors import InvalidOption
from stripe_source.load.progress import Progress, Silent
from stripe_source.load.user_source import UserSource, refuse_without_functions
from stripe_source.options import Options
from stripe_source.resources.lock import pipeline_lock
from stripe_source.source import resolve_options
from stripe_source.verification.compare.scratch_db import ScratchDatabase
from stripe_source.verification.repair import repair_rows
from stripe_source.verification.result import VerifyResult
from stripe_source.verification.scope import named_tables
from stripe_source.verification.session import Verification


def verify(
    pipeline: dlt.Pipeline,
    *,
    source: Any = None,
    tables: Any = None,
    exclude: Any = None,
    sample: int | None = None,
    seed: int | None = None,
    repair: bool = False,
    settled: bool = False,
    progress: Progress | None = None,
    on_cost: Callable[[int], None] | None = None,
    **options: Any,
) -> VerifyResult:  # long: the description of each option
    """Compare what a pipeline has loaded with what Stripe has now, row by row and value by value.

    Args:
        pipeline: what was loaded, and where.
        source: what `stripe_source` answers, with the functions that its rows were loaded with, in place of options:
            what is read of Stripe goes through them before it is compared, and written by a repair.
        tables: names or patterns; None: every table that the pipeline has loaded.
        exclude: likewise, what to leave out.
        sample: of a table with more rows than this, only about so many are compared, in spans of `created` drawn at
            random, with the rows of other tables that belong to them. Tables whose lists take no span of `created` are
            compared whole.
        seed: of the sample; None draws another one each time.
        repair: write what is missing or altered, flag what is extra, and verify again.
        settled: what came about after the last load is named, and counts neither as a difference nor for the exit code.
        progress: reports what is read.
        on_cost: called with the approximate number of requests that it will take, before it begins.
        options: connection and bounds (`start`, `end`), as `stripe_source` takes them.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or the pipeline has loaded nothing.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
        DestinationError: the destination cannot be read or, with `repair`, did not take the data.
        Busy: with `repair`, another process runs the pipeline.
    """
    hide_secrets(options)
    if source is not None:
        chosen = UserSource(source, {**options, "tables": tables, "exclude": exclude}).options()
    else:
        given = {**options, "tables": "%" if tables is None else tables}
        if exclude is not None:
            given["exclude"] = exclude
        chosen = resolve_options(**given, check_columns=False)  # `Verification` sees that they are as in the last run
    _check_sample(sample, chosen)
    if sample is not None and seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    progress = progress or Silent()

    def new_verification() -> Verification:
        return Verification(pipeline, chosen, named_tables(tables), sample, seed, settled, progress)

    try:
        with destination_errors(pipeline), pipeline_lock(pipeline) if repair else nullcontext():
            verification = new_verification()
            if repair and source is None:
                refuse_without_functions(pipeline, [table.name for table in chosen.tables])
            with ScratchDatabase() as scratch:
                with DuckDBSession(pipeline).limited():
                    result = verification.run(scratch, on_cost)
                if not repair:
                    return result
                written = repair_rows(
                    pipeline, chosen, verification.reader, scratch, verification.comparisons, verification.identity.now)
            if not written:
                result.repaired = {}
                return result
            verification = new_verification()
            with ScratchDatabase() as scratch, DuckDBSession(pipeline).limited():
                after = verification.run(scratch)
            after.repaired, after.before = written, result
            return after
    finally:
        progress.phase("done")


def _check_sample(sample: int | None, options: Options) -> None:
    if sample is None:
        return
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise InvalidOption("sample", sample, reason="It is a number of rows, 1 or more.")
    if options.start is not None or options.end is not None:
        raise InvalidOption("sample", sample, reason="It is drawn from all rows; leave out `start` and `end`.")
