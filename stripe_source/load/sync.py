"""`sync`: prepares the destination, loads until it has what Stripe has, and says what became of every table."""
from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.common.runtime import signals
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.api.pages import Figures
from stripe_source.arrow_rows.contract import EVOLVE
from stripe_source.c_library import use_few_malloc_arenas
from stripe_source.configured import hide_secrets
from stripe_source.destination.create_tables import create_tables, empty_table
from stripe_source.destination.dlt_errors import cause_to_raise, destination_error
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.destination.pipelines import check_file_name
from stripe_source.destination.sql.dialect import StatementCounter
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import Busy
from stripe_source.extract.account import AccountIdentity, identify, run_async, run_async_beside
from stripe_source.load.extras.last_run import failures_kept, keep_result
from stripe_source.load.extras.striim_metrics import Columns, columns_of, run_metrics
from stripe_source.load.extras.view_refresh import WantedViews, check_views, refresh_views, take_views
from stripe_source.load.failures import error_of_step
from stripe_source.load.load_loop import Loaded, load_pending, load_until_done, own_source
from stripe_source.load.process import collect_rarely
from stripe_source.load.progress import Progress, Silent, coverage_callback
from stripe_source.load.sync_result import SyncResult, add_results, sum_figures
from stripe_source.load.user_source import UserSource, refuse_without_functions
from stripe_source.options import Options
from stripe_source.redaction import redact
from stripe_source.resources.declaration.resource import (
    history_resource,
    report_resource,
    table_resource,
    waevents_resource,
)
from stripe_source.resources.history import SUFFIX
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.outbox import SUFFIX as WAEVENTS
from stripe_source.resources.reports.load import empty_report
from stripe_source.resources.run import Extraction
from stripe_source.resources.state import sources_of
from stripe_source.resources.table_result import TableResult
from stripe_source.source import resolve_options
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.views.result import ViewsResult

ROWS_PER_LOAD = 24_000  # what a run that is killed has to read again, and what waits in memory for the next load
ROWS_PER_FURTHER_TABLE = 2_000  # added for each further table, up to as many again: each costs dlt time in each load
LONG_RUN = 600.0  # seconds; a run that takes longer reads once more what has happened meanwhile
ATTEMPTS = 2  # to load what no other process loads at the same time


def sync(
    pipeline: dlt.Pipeline, *, source: Any = None, progress: Progress | None = None, refresh: Any = None, **options: Any
) -> SyncResult:
    """Load a Stripe account through a pipeline, until the destination has what Stripe has.

    Args:
        pipeline: where to.
        source: what `stripe_source` answers, with hints, functions, selected resources and resources of your own, in
            place of options. Resources that are not ours are extracted once in a run.
        progress: reports what is read and loaded.
        refresh: names of tables to read again from the beginning, whatever their cursor.
        options: those of `stripe_source`, and `views`: maps whose views are made in a dataset beside the data and made
            again when the data has more, like `"striim"` or `{"striim": "dataset"}`. A `schema_map` that is one of
            these is made as tables, anew by each run.

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
    began = time.monotonic()
    hide_secrets(options)
    views = take_views(options)
    own = UserSource(source, options) if source is not None else None
    resolved = own.options(refresh) if own else resolve_options(**options, refresh=refresh)
    run = _Run(pipeline, resolved, progress or Silent(), own)
    use_few_malloc_arenas()
    with failures_kept(pipeline):
        result = _perform(run, views, began)
    keep_result(pipeline, result)
    return result


def _perform(run: _Run, views: Sequence[WantedViews], began: float) -> SyncResult:
    """Load, and make the views; errors of dlt and the destination become ours."""
    pipeline = run.pipeline
    try:
        check_file_name(pipeline)
        with (
            pipeline_lock(pipeline),
            _refresh_once(pipeline) as run.refresh,
            run_async_beside(_identify(run.options)) as answer,
            collect_rarely(),
            dlt_patches(pipeline),  # imports pyarrow while Stripe answers
        ):
            run.columns = columns_of(pipeline)
            check_views(pipeline, views)
            identity, figures = answer()  # before anything is made: a refused key leaves no table
            run.figures.append(figures)
            run.load_all(identity, began)
            run.views = refresh_views(pipeline, views)
    except PipelineStepFailed as failure:
        error = error_of_step(pipeline, failure)
        if error is failure:
            raise
        cause = cause_to_raise(error, failure)
    except (DestinationException, OSError) as failure:
        raise destination_error(pipeline, failure) from failure
    else:
        return run.result(time.monotonic() - began)
    finally:
        run.progress.phase("done")
    raise error from cause  # out here, as its context would be the failure of which it is a part


@dataclass
class _Run:
    """A run: its extractions, and what came of them so far."""

    pipeline: dlt.Pipeline
    options: Options
    progress: Progress
    source: UserSource | None = None  # the user's own
    notes: list[str] = field(default_factory=list)
    figures: list[Figures] = field(default_factory=list)
    load_ids: list[str] = field(default_factory=list)
    location: str = ""
    results: dict[str, TableResult] = field(default_factory=dict)
    extraction: Extraction | None = None
    refresh: Any = None  # dlt's, of the pipeline
    views: list[ViewsResult] = field(default_factory=list)
    counter: StatementCounter = field(default_factory=StatementCounter)
    columns: Columns = field(default_factory=dict)  # of all tables, before it

    def load_all(self, identity: AccountIdentity, began: float) -> None:
        """Load everything; where that took long, load again what has happened since the first page."""
        self.progress.tables([table.name for table in (*self.options.tables, *self.options.reports)])
        self.progress.phase("preparing")
        self.notes += self.options.notes
        load_pending(self.pipeline, self.notes)
        if self.source is None:
            refuse_without_functions(self.pipeline, [table.name for table in self.options.tables])
        self._load(self.options, identity)
        follows_feed = EVENTS_MARKER in self.options.markers.values() and self.options.end is None
        went_on = self.extraction.went_on_from if self.extraction else None
        behind = time.monotonic() - began if went_on is None else identity.now - went_on
        if behind > LONG_RUN and follows_feed and self.extraction and self.extraction.knows_changes:
            identity, figures = run_async(_identify(self.options))
            self.figures.append(figures)
            self.refresh = None
            self._load(replace(self.options, mode="auto", refresh=frozenset(), reports=[]), identity)

    def _load(self, options: Options, identity: AccountIdentity) -> None:
        """Read and load; once more where a process on another machine has loaded meanwhile.

        Raises:
            Busy: another process has loaded each time.
        """
        further_rows = min(ROWS_PER_FURTHER_TABLE * (len(options.tables) - 1), ROWS_PER_LOAD)
        for _ in range(ATTEMPTS):
            self.extraction = extraction = Extraction(
                options, self.progress.page, coverage_callback(self.progress), identity,
                rows_per_load=None if options.history else ROWS_PER_LOAD + further_rows, counter=self.counter,
            )
            try:
                with signals.intercepted_signals():
                    if self.source is None:
                        _prepare_tables(self.pipeline, extraction)
                    else:
                        self.source.with_others = not self.load_ids
                    signals.raise_if_signalled()
                with DuckDBSession(self.pipeline, len(options.tables), options.emit == "waevents") as database:
                    loaded = load_until_done(
                        self.pipeline, extraction, self.progress, database, self.refresh,
                        self.source.extracted if self.source else own_source)
            finally:
                extraction.stop()
            if extraction.extractor and extraction.extractor.figures:
                self.figures.append(extraction.extractor.figures)
                self.notes += extraction.extractor.notes
            self.figures.append(extraction.reports.figures)
            self.notes += extraction.reports.notes(options)
            if loaded is not None:
                self._add(loaded, extraction.results)
                self.notes += extraction.ground.notes
                return
            self.notes.append(
                "Another process loaded the same pipeline meanwhile; what this run had read was read again.")
        raise Busy(self.pipeline.pipeline_name, dataset=self.pipeline.dataset_name)

    def _add(self, loaded: Loaded, results: Mapping[str, TableResult]) -> None:
        self.load_ids += loaded.ids
        self.location = loaded.location
        self.results |= {
            name: add_results(self.results[name], result) if name in self.results else result
            for name, result in results.items()
        }

    def result(self, seconds: float) -> SyncResult:
        """What the run did."""
        extractor = self.extraction.extractor if self.extraction else None
        return SyncResult(
            tables={table.name: self.results[table.name] for table in (*self.options.tables, *self.options.reports)},
            seconds=seconds,
            figures=sum_figures(*self.figures),
            destination=self.pipeline.destination.destination_name or "",
            location=redact(self.location).removeprefix("duckdb:///"),
            dataset=self.pipeline.dataset_name or "",
            pipeline=self.pipeline.pipeline_name,
            account=extractor.account if extractor else "self",
            livemode=self.options.credentials.livemode,
            load_ids=self.load_ids,
            schema_version=self.pipeline.default_schema.version or 0,
            statements=self.counter.number,
            notes=list(dict.fromkeys(self.notes)),
            views=self.views,
            striim_metrics=run_metrics(
                self.results, seconds, extractor.now if extractor else None,
                sources_of(self.pipeline).get("stripe", {}), self.columns, columns_of(self.pipeline),
            ),
        )


@contextmanager
def _refresh_once(pipeline: dlt.Pipeline) -> Iterator[Any]:
    """What dlt was told to drop or empty: it would do so in each load of a run, and is to do it in the first one."""
    refresh, pipeline.refresh = pipeline.refresh, None
    try:
        yield refresh
    finally:
        pipeline.refresh = refresh


async def _identify(options: Options) -> tuple[AccountIdentity, Figures]:
    async with options.client() as client:
        return await identify(client), client.figures


def _prepare_tables(pipeline: dlt.Pipeline, extraction: Extraction) -> None:
    """Make every table with all its columns before the first row; where nothing was ever loaded, while reading."""
    options = extraction.options
    existing: Mapping[str, Any] = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    missing = [table for table in options.tables if table.name not in existing]
    if options.contract.tables != EVOLVE:
        missing = []  # each of them is refused
    histories = [
        table for table in options.tables if table.name in options.history and table.name + SUFFIX not in existing
    ]
    emitted = options.tables if options.emit == "waevents" else []
    outboxes = [table for table in emitted if table.name + WAEVENTS not in existing]
    reports = [table for table in options.reports if table.name not in existing]
    if options.contract.tables != EVOLVE:
        reports = []
    if not missing and not histories and not outboxes and not reports and not pipeline.first_run:
        return
    if pipeline.first_run and extraction.rows_per_load and missing:
        extraction.new_tables, extraction.creating_tables = {table.name for table in options.tables}, True
        return
    extraction.new_tables = {table.name for table in missing}
    create_tables(pipeline, [
        *(table_resource(options, options.shape(table), empty_table) for table in missing),
        *(history_resource(options.shape(table), empty_table) for table in histories),
        *(waevents_resource(options.shape(table), empty_table) for table in outboxes),
        *(report_resource(table, partial(empty_report, table)) for table in reports),
    ])
