"""Extract, normalize, load, portion by portion."""
from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dlt
from dlt.common.runtime import signals
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.load.failures import is_terminal
from stripe_source.load.other_loads import OtherLoads
from stripe_source.load.progress import Progress
from stripe_source.resources.run import Extraction
from stripe_source.source import stripe_source

LOADS = "stripe_loads"  # in dlt's local state: how many loads the destination had when the pending one was begun


@dataclass
class Loaded:
    """What dlt has loaded in a run: ids of the loads, and where to. dlt's own records of a load are not small."""

    ids: list[str] = field(default_factory=list)
    location: str = ""


def load_portions(pipeline: dlt.Pipeline, run: Extraction, progress: Progress, database: DuckDBSession) -> Loaded | None:
    """Load what is read, in portions, while the reading goes on; None where another process has loaded meanwhile.

    The first of them may be the tables themselves, without a row, while the first pages are read.
    """
    loaded = Loaded()
    mine: list[str] = []
    there = OtherLoads(pipeline)
    others, own = there.count()
    while True:
        cursors = pipeline.state.get("sources", {})
        pipeline.set_local_state_val(LOADS, others + own)
        progress.phase("reading")
        pipeline.extract(stripe_source(_run=run), loader_file_format="parquet")
        if run.unfinished and not run.creating_tables:
            database.keep_open()
        with signals.intercepted_signals():  # dlt ends a load in peace, and forgets that it was asked to stop
            pipeline.normalize()
            if not run.creating_tables:
                progress.phase("loading")
            if there.count(mine)[0] != others:
                drop_and_restore(pipeline)
                return None
            database.wait_for_writing()
            try:
                done = pipeline.load()
            except PipelineStepFailed as failure:
                if not database.raise_memory_limit(failure):
                    raise
                done = pipeline.load()
            mine += done.loads_ids
            loaded.ids += [] if run.creating_tables else done.loads_ids
            before, (others, own) = others, there.count(mine)
            if others != before:
                drop_and_restore(pipeline, cursors)  # two loads went on at once, and may have lost or doubled each other's rows
                return None
            pipeline.set_local_state_val(LOADS, None)
            if run.unfinished:
                signals.raise_if_signalled()
        if not run.unfinished:
            loaded.location = str(done.destination_displayable_credentials)
            return loaded
        if run.creating_tables:
            run.creating_tables = False
        elif run.extractor and run.extractor.channel.reading:
            database.write_in_background(run.near_end)
        if len(mine) % 3 == 0:
            gc.collect()  # dlt leaves its schemas in cycles, and the collector comes rarely


def drop_and_restore(pipeline: dlt.Pipeline, cursors: Mapping[str, Any] | None = None) -> None:
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


def load_pending(pipeline: dlt.Pipeline, notes: list[str]) -> None:
    """Load what an earlier run read and did not get into the destination."""
    pipeline.activate()
    pipeline.sync_destination()
    if not pipeline.has_pending_data:
        return
    loads = pipeline.state["_local"].get(LOADS)
    pending = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    if loads is not None and OtherLoads(pipeline).count(pending)[0] != loads:
        pipeline.abort_packages()  # puts the cursors back; part of it may be loaded, over the rows of the other process
        drop_and_restore(pipeline, pipeline.state.get("sources", {}))
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
        pipeline.abort_packages()
        notes[-1] = "An earlier run left data that the destination refused; it was dropped and is read again."
