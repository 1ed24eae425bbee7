"""What a run wants of one table."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stripe_source.tables.objects import unix_second
from stripe_source.tables.table import Table

EVENTS_KEPT = 29 * 86_400  # seconds: Stripe keeps events for 30 days; an older cursor has a gap behind it


@dataclass(frozen=True)
class TableRequest:
    """What a run wants of one table.

    Args:
        table: the table.
        since: objects created at or after this unix second; None: from the beginning.
        until: objects created before this unix second; None: to the end.
        after_id: the id of the object that the last run ended with (marker `id`).
        follows_parents: it may go by the cursor of its parents.
        by_change_feed: it goes by the change feed.
        position: the unix second up to which the feed has been applied; None: it has to be read whole.
        refused: the run before was not allowed to read it.
        last_full_read: when it was last read whole, unix seconds.
        feed_pass: number of the last pass over the change feed that it was part of; None: that is not known.
        settled: what that pass had seen was applied to it; False after it was read whole.
        first_load: the destination holds nothing of it, or what a first load that was cut short brought.
        reread: it is to be read from the beginning, whatever is known of it.
        resync: seconds within which all rows are compared again beside the change feed; None: never.
        resynced_at: unix second of the last such comparison.
        resync_next: the second of `created` where the next one begins; None: at the oldest object.
        missing_since: from which second of `created` on objects may be missing (marker `created`), also where `since`
            is later, so that this run does not read them; None: as `since`.
        failed_parents: by the parents' table, ids of those whose objects the last run could not read.
    """

    table: Table
    since: int | None = None
    until: int | None = None
    after_id: str | None = None
    follows_parents: bool = False
    by_change_feed: bool = False
    position: int | None = None
    refused: bool = False
    last_full_read: int | None = None
    feed_pass: int | None = None
    settled: bool = False
    first_load: bool = False
    reread: bool = False
    resync: int | None = None
    resynced_at: int | None = None
    resync_next: int | None = None
    missing_since: int | None = None
    failed_parents: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)

    def wants_created(self, created: object) -> bool:
        """Whether an object that was created then is within the bounds; one without a time of creation is."""
        second = unix_second(created)
        if second is None:
            return True
        return (self.since is None or second >= self.since) and (self.until is None or second < self.until)


def follow_parents(requests: dict[str, TableRequest]) -> None:
    """Let children that were loaded before go by their parents' cursor, where the parents are read as well.

    Args:
        requests: by table; they are replaced.
    """
    for name, request in requests.items():
        parents = [requests.get(found.parent) for found in request.table.placements]
        if request.follows_parents and all(parent and parent.since for parent in parents):
            since = min(parent.since or 0 for parent in parents if parent)
            requests[name] = replace(request, since=since)
