"""The run loop: prepares the destination, loads, and says what became of every table. What the command line calls."""
from __future__ import annotations

import errno
import gc
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import dlt
from dlt.common.destination.exceptions import DestinationException
from dlt.common.runtime import signals
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.alone import Loads, alone
from stripe_source.backfill import Coverage
from stripe_source.client import Figures
from stripe_source.contract import EVOLVE
from stripe_source.destinations import suit
from stripe_source.errors import Busy, DestinationError, StripeSourceError, redact
from stripe_source.history import SUFFIX
from stripe_source.open_duckdb import OpenDuckDB
from stripe_source.options import Options
from stripe_source.pace import at_pace, few_arenas
from stripe_source.prepare import empty, make_tables
from stripe_source.reader import Whose, identify, meanwhile, wait_for
from stripe_source.run import Run, TableResult
from stripe_source.schema_map import table_map
from stripe_source.source import history_resource, resource, stripe_source
from stripe_source.source import options as check_options

LOADS = "stripe_loads"  # in dlt's local state: how many loads the destination had when the pending one was begun
PORTION = 24_000  # rows of one load; a run that is killed has to read so many again, and what waits for the next load
FURTHER = 2_000  # rows more for each further table, up to as many again: a load costs dlt some time for each
LONG = 600.0  # seconds after which a run looks once more what has happened meanwhile
LITTLE = 100_000  # bytes; with less than this left, a disk is full


class Progress(Protocol):
    """What a run tells while it runs. Calls come from several threads.

    Where it has a method `covered(table, coverage)` as well, that is told how far a table has been read: a `Coverage`
    with the share of its time line, and how many objects are probably left.
    """

    def tables(self, names: list[str]) -> None:
        """These tables will be read."""

    def page(self, table: str, objects: int) -> None:
        """So many more objects of a table were read."""

    def phase(self, name: str) -> None:
        """The run is at: "preparing", "reading", "loading" or "done"; a long one reads and loads several times."""


class Silent:
    """Says nothing."""

    def tables(self, names: list[str]) -> None: ...

    def page(self, table: str, objects: int) -> None: ...

    def phase(self, name: str) -> None: ...


@dataclass
class SyncResult:
    """What a run did.

    Args:
        tables: by name, in the order of the registry.
        seconds: wall time.
        figures: requests, pages, bytes, retries.
        destination: its name, as dlt knows it.
        location: where the data is, without secrets.
        dataset: the dataset or schema.
        pipeline: name of the pipeline.
        account: id of the account, or "self".
        livemode: whether the data is live; None where that is not known.
        load_ids: the dlt loads of this run.
        schema_version: dlt's version of the schema after it.
        notes: what a person should know.
    """

    tables: dict[str, TableResult]
    seconds: float
    figures: Figures
    destination: str
    location: str
    dataset: str
    pipeline: str
    account: str
    livemode: bool | None
    load_ids: list[str]
    schema_version: int
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> dict[str, TableResult]:
        """The tables that could not be read although they should."""
        return {name: result for name, result in self.tables.items() if result.status in ("no permission", "failed")}

    @property
    def absent(self) -> dict[str, TableResult]:
        """The tables that this account or this key's mode does not have, or that are never loaded."""
        return {name: result for name, result in self.tables.items() if result.status in ("not enabled", "not loaded")}

    @property
    def exit_code(self) -> int:
        """0: done; what an account does not have is no failure. 1: some failed. 3: Stripe let us read nothing."""
        if not self.failed:
            return 0
        refused = all(result.status == "no permission" for result in self.tables.values())
        return 3 if refused else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "exit_code": self.exit_code}


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
    chosen = check_options(**options, refresh=refresh)
    few_arenas()
    notes: list[str] = []
    try:
        with alone(pipeline), meanwhile(_identify(chosen)) as answer, at_pace():  # which loads pyarrow for a while
            whose, asked = answer()  # before anything is made: a refused key leaves no table
            progress.tables([table.name for table in chosen.tables])
            progress.phase("preparing")
            suit(pipeline)
            _finish(pipeline, notes)
            runs, loaded = _load(pipeline, chosen, whose, progress, notes)
            results = runs[-1].results
            if time.monotonic() - began > LONG and "events" in chosen.markers.values() and chosen.end is None:
                whose, again = wait_for(_identify(chosen))  # much has happened since the first page
                later, more = _load(pipeline, _going_on(chosen), whose, progress, notes)
                results = {name: _added(results[name], result) for name, result in later[-1].results.items()}
                runs, loaded.ids, asked = [*runs, *later], [*loaded.ids, *more.ids], _sum(asked, again)
    except PipelineStepFailed as failure:
        reason = _reason(pipeline, failure)
        if reason is failure:
            raise
        raise reason from failure
    except (DestinationException, OSError) as failure:
        raise _trouble(pipeline, failure) from failure
    finally:
        progress.phase("done")
    reader = runs[-1].reader
    notes += reader.notes if reader else []
    order = [table.name for table in chosen.tables]
    return SyncResult(
        tables={name: results[name] for name in order},
        seconds=time.monotonic() - began,
        figures=_sum(asked, *(each.reader.figures for each in runs if each.reader and each.reader.figures)),
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


def _added(before: TableResult, later: TableResult) -> TableResult:
    """What two readings of a table did together; how the later one ended counts."""
    counts = {word: getattr(before, word) + getattr(later, word) for word in ("read", "new", "changed", "gone")}
    inferred = sorted({*before.inferred, *later.inferred})
    return replace(later, **counts, unchanged=before.unchanged + later.unchanged, inferred=inferred)


def _load(
    pipeline: dlt.Pipeline, chosen: Options, whose: Whose, progress: Progress, notes: list[str]
) -> tuple[list[Run], _Loaded]:
    """Read and load; once more where a process on another machine has loaded meanwhile."""
    runs: list[Run] = []
    while len(runs) < 2:
        portion = None if chosen.history else PORTION + min(FURTHER * (len(chosen.tables) - 1), PORTION)
        runs.append(run := Run(chosen, progress.page, _covered(progress), whose, portion=portion))
        try:
            with signals.intercepted_signals():
                _prepare(pipeline, run)
                signals.raise_if_signalled()
            with OpenDuckDB(pipeline, len(chosen.tables)) as database:
                loaded = _portions(pipeline, run, progress, database)
        finally:
            run.stop()
        if loaded is not None:
            return runs, loaded
        notes.append("Another process loaded the same pipeline meanwhile; what this run had read was read again.")
    raise Busy(pipeline.pipeline_name, dataset=pipeline.dataset_name)


def _covered(progress: Progress) -> Callable[[str, Coverage], None] | None:
    """What is told how far tables have been read, where it wants to know."""
    found: Callable[[str, Coverage], None] | None = getattr(progress, "covered", None)
    return found


@dataclass
class _Loaded:
    """What dlt has loaded in a run: ids of the loads, and where to. dlt's own records of a load are not small."""

    ids: list[str] = field(default_factory=list)
    location: str = ""


def _portions(pipeline: dlt.Pipeline, run: Run, progress: Progress, database: OpenDuckDB) -> _Loaded | None:
    """Load what is read, in portions, while the reading goes on; None where another process has loaded meanwhile.

    The first of them may be the tables themselves, without a row, while the first pages are read.
    """
    loaded = _Loaded()
    mine: list[str] = []
    there = Loads(pipeline)
    others, own = there.count()
    while True:
        cursors = pipeline.state.get("sources", {})
        pipeline.set_local_state_val(LOADS, others + own)
        progress.phase("reading")
        pipeline.extract(stripe_source(_run=run), loader_file_format="parquet")
        if run.left and not run.making:
            database.keep_open()
        with signals.intercepted_signals():  # dlt ends a load in peace, and forgets that it was asked to stop
            pipeline.normalize()
            if not run.making:
                progress.phase("loading")
            if there.count(mine)[0] != others:
                _go_back(pipeline)
                return None
            database.settle()
            try:
                done = pipeline.load()
            except PipelineStepFailed as failure:
                if not database.relax(failure):
                    raise
                done = pipeline.load()
            mine += done.loads_ids
            loaded.ids += [] if run.making else done.loads_ids
            before, (others, own) = others, there.count(mine)
            if others != before:
                _go_back(pipeline, cursors)  # two loads went on at once, and may have lost or doubled each other's rows
                return None
            pipeline.set_local_state_val(LOADS, None)
            if run.left:
                signals.raise_if_signalled()
        if not run.left:
            loaded.location = str(done.destination_displayable_credentials)
            return loaded
        if run.making:
            run.making = False
        elif run.reader and run.reader.handover.reading:
            database.loaded(run.at_last)
        if len(mine) % 3 == 0:
            gc.collect()  # dlt leaves its schemas in cycles, and the collector comes rarely


def _go_back(pipeline: dlt.Pipeline, cursors: Mapping[str, Any] | None = None) -> None:
    """Drop what was read, and take state and schema from the destination.

    Args:
        cursors: state of the sources to go on from in place of the destination's, where that may be ahead of its rows.
    """
    pipeline.abort_packages()
    pipeline.set_local_state_val(LOADS, None)
    pipeline.sync_destination()
    if cursors is None:
        return
    with pipeline.managed_state() as state:
        held = state.get("sources", {}).get("stripe", {})
        whose: dict[str, Any] = {name: held[name] for name in ("account_id", "livemode") if name in held}
        state["sources"] = {**cursors, "stripe": {**cursors.get("stripe", {}), **whose}}


async def _identify(o: Options) -> tuple[Whose, Figures]:
    async with o.client() as client:
        return await identify(client), client.figures


def _sum(*figures: Figures) -> Figures:
    return Figures(*map(sum, zip(*map(astuple, figures), strict=True)))


def _finish(pipeline: dlt.Pipeline, notes: list[str]) -> None:
    """Load what an earlier run read and did not get into the destination."""
    pipeline.activate()
    pipeline.sync_destination()
    if not pipeline.has_pending_data:
        return
    loads = pipeline.state["_local"].get(LOADS)
    pending = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    if loads is not None and Loads(pipeline).count(pending)[0] != loads:
        pipeline.abort_packages()  # puts the cursors back; part of it may be loaded, over the rows of the other process
        _go_back(pipeline, pipeline.state.get("sources", {}))
        notes.append("An earlier run had read data that was not loaded yet, and another process has loaded since; it "
                     "was dropped and is read again.")
        return
    notes.append("An earlier run had read data that was not loaded yet; it was loaded first.")
    try:
        pipeline.normalize()
        pipeline.load()
    except PipelineStepFailed as failure:
        if not _terminal(failure):
            raise
        pipeline.abort_packages()
        notes[-1] = "An earlier run left data that the destination refused; it was dropped and is read again."


def _prepare(pipeline: dlt.Pipeline, run: Run) -> None:
    """Make every table with all its columns before the first row; where nothing was ever loaded, while reading."""
    there: Mapping[str, Any] = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    missing = [table for table in run.options.tables if table.name not in there]
    if run.options.contract.tables != EVOLVE:
        missing = []  # each of them is refused
    versions = [name for name in run.options.history if name + SUFFIX not in there]
    if not missing and not versions and not pipeline.first_run:
        return
    if pipeline.first_run and run.portion and missing:
        run.fresh, run.making = {table.name for table in run.options.tables}, True
        return
    run.fresh = {table.name for table in missing}
    make_tables(pipeline, [
        *(resource(run.options, table_map(table), empty) for table in missing),
        *(history_resource(table_map(next(t for t in run.options.tables if t.name == name)), empty)
          for name in versions),
    ])


def _terminal(failure: BaseException) -> bool:
    from dlt.common.exceptions import TerminalException

    return any(isinstance(error, TerminalException) for error in _chain(failure))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, the deepest last. dlt carries the cause of a failed step as `exception`."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = getattr(error, "exception", None)
        error = inner if isinstance(inner, BaseException) and id(inner) not in seen else error.__cause__


def _reason(pipeline: dlt.Pipeline, failure: PipelineStepFailed) -> BaseException:
    """What to raise for a failed step: our own error, the destination's trouble, or the failure as it is."""
    errors = list(_chain(failure))
    for error in errors:
        if isinstance(error, (StripeSourceError, KeyboardInterrupt)):
            return error  # a signal says nothing about the data: what was read is kept
    if failure.step == "load" and _terminal(failure):
        pipeline.abort_packages()  # it would be tried again by every later run, and stand in the way of each
    if failure.step in ("load", "sync") or any(isinstance(error, (DestinationException, OSError)) for error in errors):
        return _trouble(pipeline, failure)
    return failure


def _trouble(pipeline: dlt.Pipeline, failure: BaseException) -> StripeSourceError:
    errors = list(_chain(failure))
    name = pipeline.destination.destination_name if pipeline.destination else None
    full = any(isinstance(error, OSError) and error.errno == errno.ENOSPC for error in errors)
    if full or _room(pipeline.working_dir) < LITTLE:  # dlt may stumble over what could not be written, later
        return DestinationError(f"The disk is full: {pipeline.working_dir} has no room left.", destination=name)
    return DestinationError(redact(str(errors[-1]).strip() or repr(errors[-1])), destination=name)


def _room(folder: str) -> int:
    """Bytes that are free where a folder is, or would be."""
    path = Path(folder)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
