"""The run loop: prepares the destination, loads, and says what became of every table. What the command line calls."""
from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.common.runtime import signals
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.api.pages import Figures
from stripe_source.destination.create_tables import create_tables, empty_table
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import Busy, redact
from stripe_source.extract.account import AccountIdentity, identify, run_async, run_async_beside
from stripe_source.load.failures import destination_error, error_of_step
from stripe_source.load.load_loop import Loaded, load_pending, load_portions
from stripe_source.load.process import collect_rarely, use_few_malloc_arenas
from stripe_source.load.progress import Progress, Silent, coverage_callback
from stripe_source.load.sync_result import SyncResult, add_results, sum_figures
from stripe_source.options import Options
from stripe_source.resources.history import SUFFIX
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.resource import history_resource, table_resource
from stripe_source.resources.run import Extraction
from stripe_source.rows.contract import EVOLVE
from stripe_source.source import resolve_options
from stripe_source.tables.schema_map import table_map

ROWS_PER_LOAD = 24_000  # rows of one load; a run that is killed has to read so many again, and what waits for the next load
ROWS_PER_FURTHER_TABLE = 2_000  # rows more for each further table, up to as many again: a load costs dlt some time for each
LONG_RUN = 600.0  # seconds after which a run looks once more what has happened meanwhile


def sync(
    pipeline: dlt.Pipeline, *, progress: Progress | None = None, refresh: Any = None, **options: Any
) -> SyncResult:
    """Load a Stripe account through a pipeline, until the destination has what Stripe has.

    Args:
        pipeline: where to.
        progress: is told how it goes.
        refresh: names of tables to read again from the beginning, whatever their cursor.
        options: those of `stripe_source`.

    Returns:
        What became of every table. A table that could not be read has a status other than "ok"; the others are loaded.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or the dataset holds other data.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
        DestinationError: the destination cannot be reached, or did not take the data. What was read stays in the
            pipeline's folder and is loaded by the next run.
        Busy: another process runs the pipeline.
    """
    progress = progress or Silent()
    began = time.monotonic()
    chosen = resolve_options(**options, refresh=refresh)
    use_few_malloc_arenas()
    notes: list[str] = []
    try:
        with (
            pipeline_lock(pipeline), run_async_beside(_identify(chosen)) as answer,
            collect_rarely(), dlt_patches(pipeline),  # which loads pyarrow for a while
        ):
            whose, asked = answer()  # before anything is made: a refused key leaves no table
            progress.tables([table.name for table in chosen.tables])
            progress.phase("preparing")
            load_pending(pipeline, notes)
            runs, loaded = _load(pipeline, chosen, whose, progress, notes)
            results = runs[-1].results
            if time.monotonic() - began > LONG_RUN and "events" in chosen.markers.values() and chosen.end is None:
                whose, again = run_async(_identify(chosen))  # much has happened since the first page
                later, more = _load(pipeline, _going_on(chosen), whose, progress, notes)
                results = {name: add_results(results[name], result) for name, result in later[-1].results.items()}
                runs, loaded.ids, asked = [*runs, *later], [*loaded.ids, *more.ids], sum_figures(asked, again)
    except PipelineStepFailed as failure:
        reason = error_of_step(pipeline, failure)
        if reason is failure:
            raise
        raise reason from failure
    except (DestinationException, OSError) as failure:
        raise destination_error(pipeline, failure) from failure
    finally:
        progress.phase("done")
    reader = runs[-1].extractor
    notes += reader.notes if reader else []
    order = [table.name for table in chosen.tables]
    return SyncResult(
        tables={name: results[name] for name in order},
        seconds=time.monotonic() - began,
        figures=sum_figures(asked, *(each.extractor.figures for each in runs if each.extractor and each.extractor.figures)),
        destination=pipeline.destination.destination_name or "",
        location=redact(loaded.location).removeprefix("duckdb:///"),
        dataset=pipeline.dataset_name or "",
        pipeline=pipeline.pipeline_name,
        account=reader.account if reader else "self",
        livemode=chosen.credentials.livemode,
        load_ids=loaded.ids,
        schema_version=pipeline.default_schema.version or 0,
        notes=notes,
    )


def _going_on(chosen: Options) -> Options:
    """The same options, for what has happened since."""
    return replace(chosen, mode="auto", refresh=frozenset())


def _load(
    pipeline: dlt.Pipeline, chosen: Options, whose: AccountIdentity, progress: Progress, notes: list[str]
) -> tuple[list[Extraction], Loaded]:
    """Read and load; once more where a process on another machine has loaded meanwhile."""
    runs: list[Extraction] = []
    while len(runs) < 2:
        portion = None if chosen.history else ROWS_PER_LOAD + min(ROWS_PER_FURTHER_TABLE * (len(chosen.tables) - 1), ROWS_PER_LOAD)
        runs.append(run := Extraction(chosen, progress.page, coverage_callback(progress), whose, rows_per_load=portion))
        try:
            with signals.intercepted_signals():
                _prepare(pipeline, run)
                signals.raise_if_signalled()
            with DuckDBSession(pipeline, len(chosen.tables)) as database:
                loaded = load_portions(pipeline, run, progress, database)
        finally:
            run.stop()
        if loaded is not None:
            return runs, loaded
        notes.append("Another process loaded the same pipeline meanwhile; what this run had read was read again.")
    raise Busy(pipeline.pipeline_name, dataset=pipeline.dataset_name)


async def _identify(o: Options) -> tuple[AccountIdentity, Figures]:
    async with o.client() as client:
        return await identify(client), client.figures


def _prepare(pipeline: dlt.Pipeline, run: Extraction) -> None:
    """Make every table with all its columns before the first row; where nothing was ever loaded, while reading."""
    there: Mapping[str, Any] = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    missing = [table for table in run.options.tables if table.name not in there]
    if run.options.contract.tables != EVOLVE:
        missing = []  # each of them is refused
    versions = [name for name in run.options.history if name + SUFFIX not in there]
    if not missing and not versions and not pipeline.first_run:
        return
    if pipeline.first_run and run.rows_per_load and missing:
        run.new_tables, run.creating_tables = {table.name for table in run.options.tables}, True
        return
    run.new_tables = {table.name for table in missing}
    create_tables(pipeline, [
        *(table_resource(run.options, table_map(table), empty_table) for table in missing),
        *(history_resource(table_map(next(t for t in run.options.tables if t.name == name)), empty_table)
          for name in versions),
    ])
