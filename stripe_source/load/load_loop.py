"""The loop over loads: extract, normalize and load, a part of the rows at a time, while reading goes on."""
from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dlt
from dlt.common.pipeline import LoadInfo
from dlt.common.runtime import signals
from dlt.common.storages.exceptions import LoadStorageException
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.c_library import give_memory_back
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.dlt_patches.run_end import keep_private, remove_loaded_files
from stripe_source.load.failures import drop_packages, is_broken_folder, is_terminal
from stripe_source.load.other_loads import OtherLoads
from stripe_source.load.progress import Progress
from stripe_source.resources.run import Extraction
from stripe_source.resources.state import (
    doubted_tables,
    forget_tables,
    keep_doubted_tables,
    keep_pending_loads,
    pending_loads,
    put_back,
    sources_of,
)
from stripe_source.source import stripe_source


@dataclass
class Loaded:
    """What dlt has loaded in a run: ids of the loads, and where to. dlt's own records of a load are not small."""

    ids: list[str] = field(default_factory=list)
    location: str = ""


def own_source(extraction: Extraction) -> Any:
    """A source that has all tables of a reading that are not done."""
    return stripe_source(_run=extraction)


def load_until_done(
    pipeline: dlt.Pipeline, extraction: Extraction, progress: Progress, database: DuckDBSession, refresh: Any = None,
    source: Callable[[Extraction], Any] = own_source,
) -> Loaded | None:
    """Load what is read, one load after the other, while reading goes on; the first one may only create the tables.

    Args:
        pipeline: where to.
        extraction: what is read.
        progress: is told of the phases.
        database: the destination, where it is a DuckDB file.
        refresh: what dlt drops or empties in the first load, and only there.
        source: makes what is extracted in the next load.

    Returns:
        What was loaded; None where another process has loaded meanwhile, and what was read is dropped.
    """
    loaded, own_ids = Loaded(), list[str]()
    others, own = (loads := OtherLoads(pipeline, extraction.counter)).count()
    while True:
        state_before = sources_of(pipeline)
        keep_pending_loads(pipeline, others + own)
        progress.phase("reading")
        pipeline.extract(source(extraction), refresh=refresh)
        refresh = None
        keep_doubted_tables(pipeline, () if own_ids else extraction.ground.doubted)
        if extraction.unfinished and not extraction.creating_tables:
            database.keep_open(_takes_room(extraction))
        with signals.intercepted_signals():  # dlt ends a load in peace, and forgets that it was asked to stop
            pipeline.normalize()
            if not extraction.creating_tables:
                progress.phase("loading")
            with database.held_open():
                if loads.count(own_ids)[0] != others:
                    drop_and_restore(pipeline)
                    return None
                info = load_normalized(pipeline, database)
                remove_loaded_files(pipeline, info.loads_ids)
                own_ids += info.loads_ids
                loaded.ids += [] if extraction.creating_tables else info.loads_ids
                if extraction.unfinished or extraction.has_written:
                    others_before, (others, own) = others, loads.count(own_ids)
                    if others != others_before:  # two loads went on at once: each may have lost or doubled rows
                        drop_and_restore(pipeline, state_before)
                        return None
            keep_pending_loads(pipeline, None)
            keep_doubted_tables(pipeline, ())
            if extraction.unfinished:
                signals.raise_if_signalled()
        if not extraction.unfinished:
            loaded.location = str(info.destination_displayable_credentials)
            return loaded
        if extraction.creating_tables:
            extraction.creating_tables = False
        elif extraction.extractor and extraction.extractor.channel.reading:
            changed = any(each.changed for each in extraction.results.values())
            database.write_in_background(extraction.near_end, changed)
            give_memory_back(with_arrow=changed)  # rows that replace others are read back, and take twice the memory
        if len(own_ids) % 3 == 0:
            gc.collect()  # dlt leaves its schemas in cycles, and the collector comes rarely


def _takes_room(extraction: Extraction) -> bool:
    """Whether the process needs memory beside that of DuckDB: rows are read back, or reports come in large loads."""
    return bool(extraction.reports.unfinished) or any(each.changed for each in extraction.results.values())


def load_normalized(pipeline: dlt.Pipeline, database: DuckDBSession) -> LoadInfo:
    """Load what is normalized; once more with more memory where it did not fit."""
    database.wait_for_writing()
    try:
        return pipeline.load()
    except PipelineStepFailed as failure:
        if not database.raise_memory_limit(failure):
            raise
        return pipeline.load()


def drop_and_restore(pipeline: dlt.Pipeline, source_state: Mapping[str, Any] | None = None) -> None:
    """Drop what was read, and take state and schema from the destination.

    Args:
        pipeline: whose data is dropped.
        source_state: state of the sources to go on from in place of the destination's, where that may be ahead of its
            rows.
    """
    doubted = doubted_tables(pipeline)
    pipeline.abort_packages()
    keep_pending_loads(pipeline, None)
    keep_doubted_tables(pipeline, ())
    pipeline.sync_destination()
    if source_state is not None:
        with pipeline.managed_state() as state:
            put_back(state, source_state)
    if doubted:
        forget_tables(pipeline, doubted)


def load_pending(pipeline: dlt.Pipeline, notes: list[str]) -> None:
    """Load what an earlier run read and did not get into the destination.

    Where that run was killed while dlt moved its files, dlt can never go on: then the working folder is made anew from
    what the destination holds, and all that was read is read again.
    """
    try:
        _load_pending(pipeline, notes)
    except (PipelineStepFailed, LoadStorageException, OSError) as failure:
        if not is_broken_folder(pipeline, failure):
            raise
        folder = pipeline.working_dir
        pipeline.drop()
        pipeline.sync_destination()
        notes.append(
            f"An earlier run was killed while dlt moved its files in `{folder}`; they were dropped, and what was not "
            "loaded yet is read again."
        )


def _load_pending(pipeline: dlt.Pipeline, notes: list[str]) -> None:
    pipeline.activate()
    pipeline.sync_destination()
    keep_private(pipeline)
    remove_loaded_files(pipeline)  # of earlier releases too
    if not pipeline.has_pending_data:
        return
    loads_before = pending_loads(pipeline)
    pending = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    if loads_before is not None and OtherLoads(pipeline).count(pending)[0] != loads_before:
        drop_packages(pipeline)  # puts the cursors back; part of it may be loaded, over the rows of the other process
        drop_and_restore(pipeline, sources_of(pipeline))
        notes.append("An earlier run had read data that was not loaded yet, and another process has loaded since; it "
                     "was dropped and is read again.")
        return
    notes.append("An earlier run had read data that was not loaded yet; it was loaded first.")
    try:
        pipeline.normalize()
        pipeline.load()
    except PipelineStepFailed as failure:
        if not is_terminal(failure):
            raise
        drop_packages(pipeline)
        notes[-1] = "An earlier run left data that the destination refused; it was dropped and is read again."
