"""`status`: what a pipeline holds of Stripe, how far it is current, and what its last run did."""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from stripe_source.destination.connection import destination_errors, location_of, missing_file
from stripe_source.destination.pipelines import stripe_schema
from stripe_source.destination.row_reader import RowReader
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.values import unix_second
from stripe_source.extract.verdicts import FAILED
from stripe_source.load.extras.last_run import LastRun, last_run
from stripe_source.load.extras.striim_metrics import iso_time, position_of
from stripe_source.resources.state import TableState, sources_of, stored_state
from stripe_source.tables.registry import WITH_REPORTS
from stripe_source.tables.reports import unknown_report

if TYPE_CHECKING:
    import dlt


@dataclass
class TableStatus:
    """One table. Times are ISO text in UTC.

    Args:
        rows: that Stripe has, as far as is known; None: the destination does not have the table any more.
        deleted: rows that are flagged as deleted.
        last_change: the newest `_changed_at`: when the newest version came to be, or was read.
        position: up to when changes are known: by the change feed, a cursor, or when it was read whole; None: its rows
            come with those of other tables, or it was never read.
        lag: seconds from then to now, by this machine's clock.
        last_full_read: when it was last read whole.
        resynced_at: when a part of it was last compared again, beside the change feed.
        resync_next: where in time, by `created`, the next such part begins; None: at the oldest row.
        failed_parents: objects that could not be read and are tried again by the next run.
        last_run: what the last run that it was part of did: `at`, `status`, `reason`, `marker`, numbers of rows, and
            `metrics` under Striim's names; empty where this working folder knows of none.
    """

    rows: int | None = None
    deleted: int = 0
    last_change: str | None = None
    position: str | None = None
    lag: int | None = None
    last_full_read: str | None = None
    resynced_at: str | None = None
    resync_next: str | None = None
    failed_parents: int = 0
    last_run: dict[str, Any] = field(default_factory=dict)


@dataclass
class StatusResult:
    """What a pipeline holds, and how far it is current.

    Args:
        pipeline: its name.
        destination: its name, as dlt knows it.
        location: where the data is, without secrets.
        dataset: the dataset or schema.
        account: id of the account whose data it is, or "self"; None: nothing says it.
        livemode: whether the data is live; None where that is not known.
        checked_at: when this was asked; ISO text in UTC.
        last_load: id of the last dlt load that brought rows; None: there was none.
        pending: what a run has read waits in the working folder for the next run.
        last_run: what the last run in this working folder did.
        tables: by name, in the order of the registry, then reports: those that the pipeline has made.
    """

    pipeline: str
    destination: str
    location: str
    dataset: str
    account: str | None
    livemode: bool | None
    checked_at: str
    last_load: str | None = None
    pending: bool = False
    last_run: LastRun = field(default_factory=LastRun)
    tables: dict[str, TableStatus] = field(default_factory=dict)

    @property
    def failed(self) -> dict[str, TableStatus]:
        """The tables that could not be read by the last run that they were part of, or that are no longer there."""
        return {name: table for name, table in self.tables.items()
                if table.rows is None or table.last_run.get("status") in FAILED}

    @property
    def exit_code(self) -> int:
        """1: the last run ended early, or some table could not be read; else 0."""
        return 1 if self.last_run.error or self.failed else 0

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        words = asdict(self)
        del words["last_run"]["tables"]  # each table has its own
        return {**words, "exit_code": self.exit_code}


def status(pipeline: dlt.Pipeline) -> StatusResult:
    """Say what a pipeline holds of Stripe, and how far it is current. No key is needed.

    Where the working folder is new, or somebody else has loaded, dlt takes the pipeline's state from the destination.
    What the last run did is known in the working folder of that run only.

    Args:
        pipeline: what was loaded, and where.

    Raises:
        ConfigurationError: the pipeline has loaded nothing of Stripe.
        DestinationError: the destination cannot be read.
    """
    run = last_run(pipeline)  # before dlt may make the folder anew
    with destination_errors(pipeline):
        pipeline.activate()
        if not missing_file(pipeline.destination_client()):
            pipeline.sync_destination()
        schema = stripe_schema(pipeline)
        source, states = stored_state(pipeline, schema.name)
        raw: Mapping[str, Any] = sources_of(pipeline).get(schema.name, {}).get("resources", {})
        reader = RowReader(pipeline, schema, source.account_id or "self")
        names = [name for name, table in WITH_REPORTS.items() if reader.loaded(table)]
        names += [name for name in schema.tables if name not in WITH_REPORTS and unknown_report(name)]
        held = _held(reader, names)
    now = int(time.time())
    tables = {
        name: _table(held.get(name), states.get(name, TableState()), position_of(raw.get(name, {})), now,
                     run.tables.get(name, {}))
        for name in names
    }
    return StatusResult(
        pipeline=pipeline.pipeline_name, destination=pipeline.destination.destination_name or "",
        location=location_of(pipeline), dataset=pipeline.dataset_name or "", account=source.account_id,
        livemode=source.livemode, checked_at=str(iso_time(now)), last_load=source.last_load,
        pending=pipeline.has_pending_data, last_run=run, tables=tables,
    )


def _held(reader: RowReader, names: Sequence[str]) -> dict[str, tuple[int, int, int | None]]:
    """By table: living rows, flagged rows, and the second of the newest version; of those that are there."""
    rows = reader.ask(statements.contents(reader.sql, names)) if names else []
    if not rows and len(names) > 1:  # one that is not there leaves the statement without an answer
        return {name: held for each in names for name, held in _held(reader, [each]).items()}
    return {
        str(name): (int(number) - int(flagged or 0), int(flagged or 0), None if newest is None else unix_second(newest))
        for name, number, flagged, newest in rows
    }


def _table(
    held: tuple[int, int, int | None] | None, state: TableState, position: int | None, now: int, run: dict[str, Any]
) -> TableStatus:
    found = TableStatus(
        position=iso_time(position), lag=None if position is None else max(0, now - position),
        last_full_read=iso_time(state.last_full_read), resynced_at=iso_time(state.resynced_at),
        resync_next=iso_time(state.resync_next), failed_parents=sum(map(len, state.failed_parents.values())),
        last_run=run,
    )
    if held is not None:
        found.rows, found.deleted, found.last_change = held[0], held[1], iso_time(held[2])
    return found
