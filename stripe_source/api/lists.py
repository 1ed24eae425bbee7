"""How lists are walked: newest first to the end, or onwards from an id. By spans of `created`: see `backfill`."""
from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from stripe_source.api.client import Client
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.table import CREATED, Range

if TYPE_CHECKING:
    from stripe_source.workers.protocol import PageHandle

ALL_TIME = 0  # Stripe was founded in 2010; nothing is older than unix second 0


@dataclass(frozen=True)
class ObjectBatch:
    """Objects of a list as they were read, when by Stripe's clock (unix seconds), and whether the list goes on.

    Where they are `kept` elsewhere, these are digests of them.
    """

    objects: list[Object]
    read_at: int
    has_more: bool = False
    handle: PageHandle | None = None


@dataclass(frozen=True)
class ListRequest:
    """One list to walk: where it is and what goes with every page.

    Args:
        path: of the list.
        params: sent with every page.
        account: the connected account to ask for, or None for the key's own.
        limit: page size; None where the list refuses the parameter.
        time: the field of an object that `created[...]` filters on.
        range: how the list spells a span of time.
    """

    path: str
    params: Mapping[str, Any]
    account: str | None = None
    limit: int | None = 100
    time: str = "created"
    range: Range = CREATED

    def between(self, low: int | None, high: int | None, limit: int | None = None) -> dict[str, Any]:
        """The parameters for objects created in [low, high)."""
        span: dict[str, Any] = {}
        if low is not None:
            span[self.range.low] = self._spelled(low - self.range.exclusive)
        if high is not None:
            span[self.range.high] = self._spelled(high)
        return {**self.params, **span, **({"limit": limit} if limit else {})}

    def _spelled(self, second: int) -> int | str:
        if not self.range.rfc3339:
            return second
        return datetime.fromtimestamp(max(second, 0), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def times(self, objects: Sequence[Object]) -> list[int]:
        """The seconds in which objects were created, of those that say it."""
        times: list[Any] = [thing.get(self.time) for thing in objects]
        if set(map(type, times)) == {int}:
            return times
        return [second for at in times if (second := unix_second(at)) is not None]


async def read_newest_first(
    client: Client, what: ListRequest, low: int | None = None, high: int | None = None
) -> AsyncIterator[ObjectBatch]:
    """All pages of a list, or of [low, high) of it, from the newest object to the oldest."""
    pages = client.pages(what.path, what.between(low, high), limit=what.limit, account=what.account)
    async for page in pages:
        yield ObjectBatch(page.objects, page.date, page.has_more)


async def read_onwards(client: Client, what: ListRequest, marker: str) -> AsyncIterator[ObjectBatch]:
    """The objects that came into the list after the object `marker`, oldest first.

    Raises:
        ResourceMissing: the object is gone, so that Stripe cannot tell what came after it.
    """
    while True:
        page = await client.page(
            what.path, {**what.between(None, None, what.limit), "ending_before": marker}, account=what.account
        )
        if page.objects:
            yield ObjectBatch(page.objects[::-1], page.date)
        if not page.has_more or not page.objects or page.objects[0].get("id") == marker:
            return
        marker = page.objects[0]["id"]
