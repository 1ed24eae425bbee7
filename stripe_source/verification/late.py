"""Differences younger than the last load."""
from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, read_newest_first
from stripe_source.tables.registry import table_with_role
from stripe_source.tables.table import Table
from stripe_source.verification.comparison_pass import TableComparison
from stripe_source.verification.differences import EXTRA, Difference
from stripe_source.verification.scratch_db import ScratchDatabase

EVENTS = table_with_role("change feed").path or ""
OWNER_FIELDS = "customer", "account", "invoice", "subscription"  # fields of objects that name what they belong to
MOST_EVENTS = 20_000  # since the last load; of what came before them it is not known whether it is late


# ---- late ones


@dataclass
class ChangedSince:
    """Ids of what Stripe's events since the last load are about, and of what that belongs to."""

    objects: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    whole: bool = True


async def changed_since(client: Client, since: int) -> ChangedSince:
    """What Stripe's events tell since a second."""
    changed, read = ChangedSince(), 0
    async for batch in read_newest_first(client, ListRequest(EVENTS, {}), since):
        for event in batch.objects:
            thing = (event.get("data") or {}).get("object")
            if isinstance(thing, dict):
                changed.objects.add(str(thing.get("id")))
                changed.owners.update(str(thing[name]) for name in OWNER_FIELDS if isinstance(thing.get(name), str))
        read += len(batch.objects)
        if read >= MOST_EVENTS:
            changed.whole = False
            break
    return changed


def mark_late(spool: ScratchDatabase, sight: TableComparison, loaded_at: int, changed: ChangedSince) -> None:
    """Mark the differences that came about after the last load, as far as Stripe tells."""
    table, rows = sight.table, set[tuple[Any, ...]]()
    due: dict[str | None, set[tuple[Any, ...]]] = {}
    for watch in table.watch:
        if watch.due and watch.column:  # it changes without an event when its time comes
            came = spool.since(sight.stripe, table.key, watch.due, loaded_at)
            due = {**due, watch.column: came, "_dlt_id": came}
    names = [found.parent_id_column for found in table.placements if found.parent_id_column]
    for pile in (sight.stripe, sight.held) if names else ():
        rows |= spool.naming(pile, table.key, names, changed.objects | changed.owners)
    for each in sight.comparison.differences:
        named = each.row in rows or each.row in due.get(each.column, ())
        each.late = each.late or named or _too_late(table, each, loaded_at, changed)


def _too_late(table: Table, difference: Difference, loaded_at: int, changed: ChangedSince) -> bool:
    """Whether an object was created since the last load, an event is about it or its parent, or it has none at all.

    What has no events is a part of the account, such as its balance, and may change with everything that happens.
    """
    if table.singleton and changed.objects:
        return True
    if difference.kind != EXTRA and difference.created and _second(difference.created) >= loaded_at:
        return True
    rows = {str(part) for part in difference.row}
    return bool(changed.objects & rows) or difference.parent in changed.objects | changed.owners


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
