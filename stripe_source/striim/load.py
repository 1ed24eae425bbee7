"""`load_waevents`: reads WAEvents into the tables of a pipeline, and says what it read."""
from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.destination.connection import destination_errors, location_of
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.load.load_loop import load_pending
from stripe_source.resources.lock import pipeline_lock
from stripe_source.striim.inputs import Source
from stripe_source.striim.names import ColumnMap
from stripe_source.striim.resource import REJECTED, WAEventCounts, rows_from_waevents

if TYPE_CHECKING:
    from dlt import Pipeline


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
    made = rows_from_waevents(
        source, columns=columns, account_id=account_id, deletes=deletes, format=format, counts=counts)

    @dlt.source(name="stripe", section="stripe")
    def waevents() -> Any:
        yield made

    with pipeline_lock(pipeline), destination_errors(pipeline), dlt_patches(pipeline):
        pipeline.activate()
        load_pending(pipeline, notes)  # dlt would load what an earlier run left in place of this
        info = pipeline.run(waevents())
    return WAEventsLoaded(
        counts=counts, rejected_table=REJECTED if counts.rejected else None, seconds=time.monotonic() - began,
        destination=pipeline.destination.destination_name or "" if pipeline.destination else "",
        location=location_of(pipeline), dataset=pipeline.dataset_name or "", pipeline=pipeline.pipeline_name,
        load_ids=list(info.loads_ids), notes=notes,
    )
