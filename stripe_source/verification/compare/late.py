"""Differences that came about after the last load: what Stripe's events since then are about."""
from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, read_newest_first
from stripe_source.tables.registry import table_with_role
from stripe_source.tables.table import Table
from stripe_source.verification.compare.comparison_pass import TableComparison
from stripe_source.verification.compare.differences import EXTRA, Difference
from stripe_source.verification.compare.scratch_db import ScratchDatabase

EVENTS = table_with_role("change feed").path or ""
OWNER_FIELDS = "customer", "account", "invoice", "subscription"  # fields of objects that name what they belong to
MOST_EVENTS = 20_000  # since the last load; it is not known whether what came before them is late


@dataclass
class ChangedSince:
    """Ids of the objects that Stripe's events since a time are about, and of what these belong to.

    Args:
        objects: ids of the objects.
        owners: ids of customers, accounts and the like that the objects name.
        complete: all events were read.
    """

    objects: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    complete: bool = True


async def changed_since(client: Client, since: int) -> ChangedSince:
    """Read Stripe's events since a second, the newest first, up to `MOST_EVENTS`."""
    changed, count = ChangedSince(), 0
    async for batch in read_newest_first(client, ListRequest(EVENTS, {}), since):
        for event in batch.objects:
            changed_object = (event.get("data") or {}).get("object")
            if isinstance(changed_object, dict):
                changed.objects.add(str(changed_object.get("id")))
                values = (changed_object.get(name) for name in OWNER_FIELDS)
                changed.owners.update(value for value in values if isinstance(value, str))
        count += len(batch.objects)
        if count >= MOST_EVENTS:
            changed.complete = False
            break
    return changed


def mark_late(scratch: ScratchDatabase, comparison: TableComparison, loaded_at: int, changed: ChangedSince) -> None:
    """Mark the differences that came about after the last load, as far as Stripe tells."""
    table = comparison.table
    due_rows: dict[str | None, set[tuple[Any, ...]]] = {}  # by column: what changes without an event, at a known time
    for watch in table.watch:
        if watch.due and watch.column:
            rows_due = scratch.keys_since(comparison.stripe, table.key, watch.due, loaded_at)
            due_rows = {**due_rows, watch.column: rows_due, "_dlt_id": rows_due}
    id_columns = [found.parent_id_column for found in table.placements if found.parent_id_column]
    named_rows = set[tuple[Any, ...]]()
    for side in (comparison.stripe, comparison.destination) if id_columns else ():
        named_rows |= scratch.keys_with_ids(side, table.key, id_columns, changed.objects | changed.owners)
    for each in comparison.findings.differences:
        changed_later = each.row in named_rows or each.row in due_rows.get(each.column, ())
        each.late = each.late or changed_later or _is_late(table, each, loaded_at, changed)


def _is_late(table: Table, difference: Difference, loaded_at: int, changed: ChangedSince) -> bool:
    """Whether an object was created since the last load, or an event since then is about it or its parent.

    A table without events of its own is a part of the account, such as its balance: every event may change it.
    """
    if table.singleton and changed.objects:
        return True
    if difference.kind != EXTRA and difference.created and _unix_second(difference.created) >= loaded_at:
        return True
    key = {str(value) for value in difference.row}
    parent = difference.parent  # of each difference, so that no set is made of the others
    return bool(changed.objects & key) or parent in changed.objects or parent in changed.owners


def _unix_second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
