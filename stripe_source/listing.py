"""How lists are walked: newest first to the end, oldest first by windows of `created`, or onwards from an id.

Stripe lists newest first and has no ascending order. A table with a cursor has to be handed over oldest first all the
same: a walk that is cut short (a limit, a failure) may then keep its cursor, because nothing older is missing.
"""
from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from stripe_source.client import Client

Object = dict[str, Any]
WINDOW = 2_000  # objects that a window of `created` should hold: about what one batch of rows is made of
ALL_TIME = 0  # Stripe was founded in 2010; nothing is older than unix second 0

@dataclass(frozen=True)
class Batch:
    """Objects of a list as they were read, and when by Stripe's clock (unix seconds)."""

    objects: list[Object]
    read_at: int

@dataclass(frozen=True)
class List:
    """One list to walk: where it is and what goes with every page.

    Args:
        path: of the list.
        params: sent with every page.
        account: the connected account to ask for, or None for the key's own.
        limit: page size; None where the list refuses the parameter.
        time: the field of an object that `created[...]` filters on.
    """

    path: str
    params: Mapping[str, Any]
    account: str | None = None
    limit: int | None = 100
    time: str = "created"

    def between(self, low: int | None, high: int | None, limit: int | None = None) -> dict[str, Any]:
        """The parameters for objects created in [low, high)."""
        created = {bound: at for bound, at in (("gte", low), ("lt", high)) if at is not None}
        return {**self.params, **({"created": created} if created else {}), **({"limit": limit} if limit else {})}

async def newest_first(client: Client, what: List, low: int | None = None, high: int | None = None) -> AsyncIterator[Batch]:
    """All pages of a list, or of [low, high) of it, from the newest object to the oldest."""
    pages = client.pages(what.path, what.between(low, high), limit=what.limit, account=what.account)
    async for page in pages:
        yield Batch(page.objects, page.date)

async def oldest_first(client: Client, what: List, low: int | None, high: int) -> AsyncIterator[Batch]:
    """The objects created in [low, high), window by window, each window oldest first.

    The first page shows how dense the list is; the oldest object is looked for by doubling steps; windows grow and
    shrink so that each holds about `WINDOW` objects, and a second that holds more is paged through.
    """
    def when(thing: Object) -> int:
        return int(thing.get(what.time) or 0)

    first = await client.page(what.path, what.between(low, high, what.limit), account=what.account)
    if not first.has_more or not first.objects:
        yield Batch(first.objects[::-1], first.date)
        return
    newest, edge = when(first.objects[0]), when(first.objects[-1])
    width = max(1, (newest - edge) * WINDOW // len(first.objects))
    floor, step = low, width
    while floor is None:
        older = await client.page(what.path, what.between(None, max(edge - step, 1), 1), account=what.account)
        if not older.objects:
            floor = max(edge - step, ALL_TIME)
        elif when(older.objects[0]) >= edge - step or edge - step <= ALL_TIME:  # a server that ignores the filter
            async for batch in newest_first(client, what):
                yield batch
            return
        else:
            edge, step = when(older.objects[0]), step * 2
    while floor < high:
        top = min(floor + width, high)
        held: list[Object] = []
        read_at = first.date
        async for batch in newest_first(client, what, floor, top):
            read_at = batch.read_at
            held += batch.objects
            seen = max(1, top - when(held[-1])) if held else 1
            if len(held) >= WINDOW // 4 and len(held) * (top - floor) > 4 * WINDOW * seen and top - floor > seen > 0:
                break  # far too dense: leave the window and take a smaller one
        else:
            yield Batch(held[::-1], read_at)
            width = max(1, min(width * 4, width * WINDOW // max(len(held), 1)))
            floor = top
            continue
        width = max(1, (top - floor) // 8)

async def after(client: Client, what: List, marker: str) -> AsyncIterator[Batch]:
    """The objects that came into the list after the object `marker`, oldest first.

    Raises:
        ResourceMissing: the object is gone, so that Stripe cannot tell what came after it.
    """
    while True:
        page = await client.page(
            what.path, {**what.between(None, None, what.limit), "ending_before": marker}, account=what.account
        )
        if page.objects:
            yield Batch(page.objects[::-1], page.date)
        if not page.has_more or not page.objects or page.objects[0].get("id") == marker:
            return
        marker = page.objects[0]["id"]
