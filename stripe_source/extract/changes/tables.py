"""Which tables go by the change feed in a run, and which have to be read whole; no I/O."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stripe_source.extract.plan import ListPlan, placements_of
from stripe_source.extract.table_request import EVENTS_KEPT, TableRequest
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.registry import parent_column, table_with_role


@dataclass
class FeedTables:
    """The tables for which the change feed is enough.

    Args:
        plans: the lists that need not be read, because the feed tells what changed in them.
        names: the tables on them.
        notes: what a person should know.
    """

    plans: list[ListPlan] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def tables_by_feed(requests: Mapping[str, TableRequest], plans: Sequence[ListPlan], now: int) -> FeedTables:
    """Decide for which tables the change feed is enough.

    Args:
        requests: what is wanted of each table.
        plans: the lists of the run.
        now: unix second at Stripe.
    """
    names, late = _current(requests, now)
    for name in list(names):
        table = requests[name].table
        shared = not table.path and parent_column(table) is None  # what shows it has to be known
        if shared and not names.issuperset(found.parent for found in table.placements):
            names.discard(name)
    chosen = [
        plan for plan in plans
        if plan.table.marker == EVENTS_MARKER and all(table.name in names for table, _ in placements_of(plan))
    ]
    names -= {plan.table.name for plan in plans if plan not in chosen}
    notes = []
    if late:
        days = max(now - (requests[name].position or 0) for name in late) // 86_400
        notes.append(
            f"The last run was {days} days ago, and Stripe keeps events for 30; read whole again: {', '.join(late)}."
        )
    return FeedTables(chosen, names, notes)


def _longest_without_full_read(request: TableRequest) -> float:
    """Seconds after which a table is read whole again: as its entry says, or where no part of it can be compared."""
    table, longest = request.table, math.inf
    if table.resync is not None:
        longest = table.resync.total_seconds()
    if request.resync is not None and table.path and not table.created:
        longest = min(longest, request.resync)
    return longest


def _current(requests: Mapping[str, TableRequest], now: int) -> tuple[set[str], list[str]]:
    """The tables whose position is not too old, and whose next full reading is not due; and those with a gap."""
    names, late = set(), []
    for name, request in requests.items():
        if not request.by_change_feed or request.position is None:
            continue
        if now - request.position >= EVENTS_KEPT and request.table is not table_with_role("change feed"):
            late.append(name)
            continue
        last = request.last_full_read
        if last is None or now - last < _longest_without_full_read(request):
            names.add(name)
    return names, late
