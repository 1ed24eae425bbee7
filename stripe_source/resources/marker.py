"""What a table goes by from run to run: what is wanted of Stripe, which cursor dlt keeps, what we keep in state.

Everything that a marker means stands here; `tables/markers.py` says which table goes by which.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dlt

from stripe_source.arrow_rows.values import EPOCH
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict
from stripe_source.options import Options
from stripe_source.resources.state import FeedState, TableState
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.table import Table


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
        feed_pass: number of this run's pass over the change feed; None: it made none.
        since: the second of `created` from which on it was read; None: from the beginning.
        until: that up to which it was; None: to the end.
    """

    verdict: Verdict
    now: int | None
    started_at: int | None
    by_change_feed: bool
    newest: tuple[int, str] | None
    resynced: tuple[int, int | None] | None = None
    feed_pass: int | None = None
    since: int | None = None
    until: int | None = None


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
            feed: which passes over the change feed were made.
            cursor: dlt's cursor, where there is one.
            first_load: the destination holds nothing of it.
            reread: it is read from the beginning, whatever is known of it.
        """
        return TableRequest(table, options.start, options.end, first_load=first_load, reread=reread)

    def begin(self, state: TableState, request: TableRequest) -> None:
        """Note in the state that rows are handed over, and that there are more."""

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
    """dlt's own cursor on the time of creation, with a lag behind it.

    Objects are handed over in any order, as that is how a list is read fast. So dlt's cursor is ahead of what is still
    missing until all was read; from where a reading began that is not over is in our state, and the next run goes back.
    """

    finds_gone = False

    def cursor(self, options: Options, table: Table) -> Any:
        """dlt's cursor; its lag covers how long rows of the table change."""
        start = None if options.start is None else _moment(options.start)
        end = None if options.end is None else _moment(options.end)
        if end and not start:
            start = EPOCH  # dlt takes no end without a start
        return dlt.sources.incremental[datetime](
            table.time or "created", initial_value=start, end_value=end, on_cursor_value_missing="include",
            lag=max(options.lookback, table.lookback.total_seconds()),
        )

    def request(
        self, options: Options, table: Table, state: TableState, feed: FeedState, *, cursor: Any, first_load: bool,
        reread: bool,
    ) -> TableRequest:
        """What is wanted of the table; a cursor with an end, of somebody's hints or of a scheduler, has both bounds."""
        since, until, missing = options.start, options.end, None
        if cursor is not None and cursor.cursor_path == (table.time or "created"):
            if cursor.end_value is not None:
                since, until = _second(cursor.initial_value), _second(cursor.end_value)
            elif not first_load and not reread and (last := _second(cursor.get_state()["last_value"])) is not None:
                missing = max(0, math.floor(last - (cursor.lag or 0)))
                missing = missing if state.unfinished is None else min(missing, state.unfinished)
                since = max(missing, options.start or 0) or None
        return TableRequest(table, since, until, first_load=first_load, reread=reread, missing_since=missing)

    def begin(self, state: TableState, request: TableRequest) -> None:
        """Note from which second on objects may be missing until all was read."""
        if request.until is None:
            state.unfinished = (request.since or 0) if request.missing_since is None else request.missing_since

    def keep(self, state: TableState, options: Options, outcome: Outcome) -> None:
        """Note that nothing is missing, but where this run's bound left something out."""
        if outcome.verdict.status == "ok" and outcome.until is None and (outcome.since or 0) <= (state.unfinished or 0):
            state.unfinished = None


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
        last_pass = None if position is None else feed.last_pass(state)
        return TableRequest(
            table, options.start, options.end, by_change_feed=feeds, position=position,
            last_full_read=state.last_full_read, refused=state.refused,
            feed_pass=last_pass, settled=last_pass is not None and not state.read_whole,
            first_load=first_load, reread=reread,
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
        state.feed_pass = outcome.feed_pass if outcome.started_at == outcome.now else None
        if not outcome.by_change_feed:
            state.last_full_read, state.start = outcome.started_at, options.start
            state.resynced_at, state.resync_next = outcome.now, None
        elif outcome.resynced is not None:
            state.resynced_at, state.resync_next = outcome.resynced


MARKERS: dict[str | None, Marker] = {
    None: Marker(), "parents": WithParents(), "created": ByCreated(), "id": ById(), EVENTS_MARKER: ByEvents(),
}


def open_cursor(cursor: Any, since: int | None) -> None:
    """Let dlt take rows that are older than others that it has taken.

    Args:
        cursor: dlt's, as it was bound for an extraction.
        since: unix second from which on rows come; None: from the beginning.
    """
    if cursor is None or cursor.end_value is not None:
        return
    if since is None:
        cursor.start_value = cursor.initial_value
    elif (_second(cursor.start_value) or 0) > since:  # in seconds: somebody's cursor may have times without a zone
        cursor.start_value = _moment(since)


def _moment(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


def _second(moment: Any) -> int | None:
    """The unix second of a value of dlt's cursor; None: there is none."""
    return max(0, math.floor(moment.timestamp())) if isinstance(moment, datetime) else None


def _covers(before: int | None, start: int | None) -> bool:
    """Whether what was loaded from a bound on, or from the beginning, holds all that is wanted now."""
    return before is None or (start is not None and start >= before)
