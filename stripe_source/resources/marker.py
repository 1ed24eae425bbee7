"""What a table goes by from run to run: what is wanted of Stripe, which cursor dlt keeps, what we keep in state.

Everything that a marker means stands here; `tables/markers.py` says which table goes by which.
"""
from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dlt

from stripe_source.arrow_rows.values import EPOCH
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict
from stripe_source.options import Options
from stripe_source.resources.state import FeedState, TableState
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.table import Table

LAG_BEHIND_ALL = 100 * 365 * 86400.0  # seconds: a lag that reaches behind any object


@dataclass(frozen=True)
class Outcome:
    """How the reading of a table ended.

    Args:
        verdict: of the table.
        now: unix second at Stripe when the run began; None where it did not come so far.
        started_at: unix second in which the first reading of it began, in this run or an earlier one.
        by_change_feed: the feed told what changed; the table was not read whole.
        newest: unix second and id of the newest object that is older than the lookback.
        resynced: unix second of a comparison beside the feed, and the second of `created` where the next one begins.
    """

    verdict: Verdict
    now: int | None
    started_at: int | None
    by_change_feed: bool
    newest: tuple[int, str] | None
    resynced: tuple[int, int | None] | None = None


class Marker:
    """No marker: the table is read whole by each run.

    Attributes:
        finds_gone: a full reading shows all that Stripe has, so that what it does not show is gone.
    """

    finds_gone = True

    def cursor(self, options: Options, table: Table) -> Any:
        """The cursor that dlt keeps of the table; None where it keeps none."""
        return None

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table.

        Args:
            options: of the source.
            table: the table.
            state: what the runs before kept of it.
            feed: how far the change feed was read.
            cursor: dlt's cursor, where there is one.
            first_load: the destination holds nothing of it.
            reread: it is read from the beginning, whatever is known of it.
        """
        return TableRequest(table, options.start, options.end, first_load=first_load, reread=reread)

    def keep(self, state: TableState, options: Options, outcome: Outcome) -> None:
        """Note in the state how far the table was read."""


class WithParents(Marker):
    """Children that no list shows on their own: they go by the cursor of their parents."""

    finds_gone = False

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table."""
        return TableRequest(
            table, options.start, options.end, follows_parents=state.complete and not reread, first_load=first_load,
            reread=reread,
        )

    def keep(self, state: TableState, options: Options, outcome: Outcome) -> None:
        """Note whether all was read; else all of it is read again."""
        state.complete = outcome.verdict.status == "ok" and outcome.verdict.complete


class ByCreated(Marker):
    """dlt's own cursor on the time of creation, with a lag behind it."""

    finds_gone = False

    def cursor(self, options: Options, table: Table) -> Any:
        """dlt's cursor; its lag covers how long rows of the table change."""
        start = None if options.start is None else EPOCH + timedelta(seconds=options.start)
        end = None if options.end is None else EPOCH + timedelta(seconds=options.end)
        if end and not start:
            start = EPOCH  # dlt takes no end without a start
        lag = LAG_BEHIND_ALL if options.again(table) else max(options.lookback, table.lookback.total_seconds())
        return dlt.sources.incremental(
            table.time or "created", initial_value=start, end_value=end, lag=lag, on_cursor_value_missing="include"
        )

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table: oldest first, as the cursor follows what is handed over."""
        since = options.start
        if cursor is not None and cursor.start_value is not None:
            since = max(0, int(cursor.start_value.timestamp())) or None
        return TableRequest(table, since, options.end, ordered=True, first_load=first_load, reread=reread)


class ById(Marker):
    """The id of the newest object that is older than the lookback; lists go on from it with `ending_before`."""

    finds_gone = False

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table."""
        since, after_id = options.start, None
        if not reread and options.end is None:
            after_id = state.last_id
            since = options.start if state.last_id_created is None else state.last_id_created
        return TableRequest(table, since, options.end, after_id, first_load=first_load, reread=reread)

    def keep(self, state: TableState, options: Options, outcome: Outcome) -> None:
        """Note the object that the next run goes on from."""
        if outcome.verdict.status == "ok" and outcome.newest:
            state.last_id_created, state.last_id = outcome.newest


class ByEvents(Marker):
    """Stripe's change feed: its position is kept for each table."""

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table: all of it where it has no position, or none that can be gone on from."""
        feeds = options.end is None
        goes_on = not reread and _covers(state.start, options.start)
        if table.name in options.history and not state.history:
            goes_on = False  # every row is a version, for once
        position = state.position if feeds and goes_on else None
        return TableRequest(
            table, options.start, options.end, by_change_feed=feeds, position=position,
            last_full_read=state.last_full_read, refused=state.refused,
            settled=position is not None and position == feed.at and not state.read_whole,
            missed_last_run=position is not None and position != feed.at, first_load=first_load, reread=reread,
            failed_parents=state.failed_parents if position is not None else {}, resync=options.resync,
            resynced_at=state.last_full_read if state.resynced_at is None else state.resynced_at,
            resync_next=state.resync_next,
        )

    def keep(self, state: TableState, options: Options, outcome: Outcome) -> None:
        """Note up to when the change feed was applied to the table; a run with an end leaves no position."""
        if options.end is not None:
            return
        state.refused = outcome.verdict.status == "no permission"
        narrower = options.start is not None and (state.start is None or options.start > state.start)
        if outcome.by_change_feed and narrower:
            return  # changes of objects that are older than this run's bound were left out
        failed_as_a_whole = outcome.verdict.status != "ok" and not outcome.verdict.failed_parents
        if failed_as_a_whole or outcome.now is None:
            return
        state.position, state.read_whole = outcome.started_at, not outcome.by_change_feed
        if not outcome.by_change_feed:
            state.last_full_read, state.start = outcome.started_at, options.start
            state.resynced_at, state.resync_next = outcome.now, None
        elif outcome.resynced is not None:
            state.resynced_at, state.resync_next = outcome.resynced


MARKERS: dict[str | None, Marker] = {
    None: Marker(), "parents": WithParents(), "created": ByCreated(), "id": ById(), EVENTS_MARKER: ByEvents(),
}


def _covers(before: int | None, start: int | None) -> bool:
    """Whether what was loaded from a bound on, or from the beginning, holds all that is wanted now."""
    return before is None or (start is not None and start >= before)
