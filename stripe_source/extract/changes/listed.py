"""Many objects that are to be fetched again, taken from pages of their list: 100 in one request."""
from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, read_newest_first
from stripe_source.extract.changes.events import ObjectChange, payload
from stripe_source.extract.plan import ListPlan, expansions
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.table import Table

LIST_DELAY = 60  # seconds: lists may be that far behind
MANY = 50  # objects from which on their list is tried
WORTH = 5  # objects of a page that make it cheaper than to fetch each: expansions and sizes are the same
LOST_PAGES = 2  # pages that may hold fewer, before the others are fetched one by one


def creation_times(table: Table, changes: Iterable[ObjectChange]) -> dict[str, int]:
    """When objects were created, by id, as far as events say it and the table's list can be read by that time."""
    plain = table.created and table.path and table.limit == 100 and len(table.variants) == 1 and not table.include
    if not plain or table.singleton or table.time is None:
        return {}
    seconds = {
        change.id: unix_second(payload(change.events[0]).get(table.time)) for change in changes if change.events
    }
    return {id: second for id, second in seconds.items() if second is not None}


def list_request(root: ListPlan) -> ListRequest:
    """The list of a table, with all that its tables want expanded."""
    table, expand = root.table, [f"data.{path}" for path in expansions(root)]
    params = {**table.params, **table.variants[0], **({"expand": expand} if expand else {})}
    return ListRequest(table.path or "", params, limit=table.limit, time=table.time or "created", range=table.range)


async def read_pages_of(
    client: Client, request: ListRequest, created: Mapping[str, int]
) -> AsyncIterator[tuple[list[Object], int]]:
    """Pages of a list, as long as they hold enough of some objects: those of them, and when they were read.

    What no page holds is not yielded: it is gone, or too far apart from the others.

    Args:
        client: asks Stripe.
        request: the list.
        created: when the objects were created, by id.
    """
    left = sorted(created, key=lambda id: created[id], reverse=True)
    pages, found = 0, set[str]()
    while left and pages <= LOST_PAGES + len(found) / WORTH:
        async for batch in read_newest_first(client, request, created[left[-1]], created[left[0]] + 1):
            here = [thing for thing in batch.objects if thing.get("id") in created and thing["id"] not in found]
            pages += 1
            found.update(thing["id"] for thing in here)
            if here:
                yield here, batch.read_at
            oldest = min(request.times(batch.objects), default=created[left[-1]])
            left = [id for id in left if created[id] <= oldest and id not in found] if batch.has_more else []
            if len(here) < WORTH or not left:
                left = [id for id in left if created[id] < oldest]
                break  # a gap: the list is read on from the next of them
