"""`load_waevents`: reads WAEvents into the tables of a pipeline, and says what it read."""
from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.runtime import signals

from stripe_source.c_library import give_memory_back
from stripe_source.destination.connection import destination_errors, location_of
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.destination.pipelines import check_file_name
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.dlt_patches.run_end import remove_loaded_files
from stripe_source.load.load_loop import load_normalized, load_pending
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.table_load import BYTES_PER_LOAD
from stripe_source.striim.inputs import Source
from stripe_source.striim.names import ColumnMap
from stripe_source.striim.resource import (
    REJECTED,
    WAEventCounts,
    WAEventReading,
    check_waevents,
    waevents_resource,
)

if TYPE_CHECKING:
    from dlt import Pipeline

ROWS_PER_LOAD = 30_000  # what is in memory of DuckDB at a time, and of what is merged


@dataclass
class WAEventsLoaded:
    """What was read and loaded.

    Args:
        counts: WAEvents that were read, bad ones, and what became of each table.
        rejected_table: the table that has the bad ones; None where there were none.
        seconds: wall time.
        destination: its name, as dlt knows it.
        location: where the data is, without secrets.
        dataset: the dataset or schema.
        pipeline: name of the pipeline.
        load_ids: the dlt loads.
        notes: what a person should know.
    """

    counts: WAEventCounts
    rejected_table: str | None
    seconds: float
    destination: str
    location: str
    dataset: str
    pipeline: str
    load_ids: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all were loaded. 1: some were bad, and the others are loaded."""
        return int(self.counts.rejected > 0)

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "exit_code": self.exit_code}


def load_waevents(
    pipeline: Pipeline, source: Source, *, columns: ColumnMap | None = None, account_id: str | None = None,
    deletes: str = "soft", format: str = "auto",
) -> WAEventsLoaded:
    """Load WAEvents into the native tables of a pipeline.

    A run that is killed is to be started again with the same files: nothing is lost, and nothing is there twice.

    Args:
        pipeline: where to.
        source: a path, a pattern, `-` for standard input, a list of these, or an iterable of WAEvents.
        columns: names of columns in the destination for names in WAEvents, by table as WAEvents name it.
        account_id: value of `_account_id` where WAEvents do not say it; None: that of the dataset, or `self`.
        deletes: "soft": a deleted row stays, with `_deleted` and `_deleted_at`. "hard": it goes.
        format: "json", "avro", or "auto": as each file shows.

    Raises:
        InvalidOption: an option has a value that it cannot have, or there is no such file.
        DestinationError: the destination cannot be reached, or refuses.
        Busy: another process runs the pipeline.
    """
    began, counts, notes = time.monotonic(), WAEventCounts(), list[str]()
    check_waevents(source, deletes, format)
    reading = WAEventReading(source, columns, account_id, deletes, format, counts)
    with closing(reading), pipeline_lock(pipeline), destination_errors(pipeline), dlt_patches(pipeline):
        check_file_name(pipeline)
        pipeline.activate()
        load_pending(pipeline, notes)  # dlt would load what an earlier run left in place of this
        load_ids = _load_all(pipeline, reading)
    return WAEventsLoaded(
        counts=counts, rejected_table=REJECTED if counts.rejected else None, seconds=time.monotonic() - began,
        destination=pipeline.destination.destination_name or "" if pipeline.destination else "",
        location=location_of(pipeline), dataset=pipeline.dataset_name or "", pipeline=pipeline.pipeline_name,
        load_ids=load_ids, notes=notes,
    )


def _load_all(pipeline: Pipeline, reading: WAEventReading) -> list[str]:
    """Load what a reading gives, so much at a time as is little memory; ids of the loads."""
    @dlt.source(name="stripe", section="stripe")
    def waevents() -> Any:
        yield waevents_resource(lambda: reading.items(ROWS_PER_LOAD, BYTES_PER_LOAD))

    load_ids: list[str] = []
    with DuckDBSession(pipeline) as database:
        while not reading.done:
            pipeline.extract(waevents())
            if not reading.done:
                database.keep_open(changes=True)
            with signals.intercepted_signals():  # dlt ends a load in peace, and forgets that it was asked to stop
                pipeline.normalize()
                with database.held_open():
                    info = load_normalized(pipeline, database)
                remove_loaded_files(pipeline, info.loads_ids)
                load_ids += info.loads_ids
                if not reading.done:
                    signals.raise_if_signalled()
            if not reading.done:
                database.write_in_background(changes=True)
                give_memory_back()
    return load_ids
