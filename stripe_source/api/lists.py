"""Reads a list newest first to its end, or onwards from an id. The backfill reads spans of `created`."""
from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.pages import Answer
from stripe_source.api.paging import OnSkip
from stripe_source.api.query import Params, fill
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.table import CREATED, Range, Table

OBJECTS_AT_ONCE = 16  # objects that are asked for one by one, side by side
ALL_TIME = 0  # Stripe was founded in 2010; nothing is older than unix second 0


@dataclass(frozen=True)
class ObjectBatch:
    """Objects of a list as they were read.

    Args:
        objects: the objects; with a handle, the digests of them that a `PageDecoder` returned.
        read_at: unix second by Stripe's clock.
        has_more: the list goes on.
        handle: what the `PageDecoder` returned with the page.
    """

    objects: list[Object]
    read_at: int
    has_more: bool = False
    handle: object | None = None


BatchHandler = Callable[[ObjectBatch], Awaitable[None]]


@dataclass(frozen=True)
class ListRequest:
    """One list to read: its path and what is sent for every page.

    Args:
        path: of the list.
        params: sent with every page.
        account: the connected account to act on, or None for the client's.
        limit: page size; None where the list refuses the parameter.
        time: the field of an object that `created[...]` filters on.
        range: how the list spells a span of time.
        on_skip: see `Client.pages`.
    """

    path: str
    params: Mapping[str, Any]
    account: str | None = None
    limit: int | None = 100
    time: str = "created"
    range: Range = CREATED
    on_skip: OnSkip | None = None

    def between(self, low: int | None, high: int | None, limit: int | None = None) -> dict[str, Any]:
        """The parameters for objects created in [low, high)."""
        span: dict[str, Any] = {}
        if low is not None:
            span[self.range.low] = self._time_value(low - self.range.exclusive)
        if high is not None:
            span[self.range.high] = self._time_value(high)
        return {**self.params, **span, **({"limit": limit} if limit else {})}

    def _time_value(self, second: int) -> int | str:
        """A second as this list spells it."""
        if not self.range.rfc3339:
            return second
        return datetime.fromtimestamp(max(second, 0), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def times(self, objects: Sequence[Object]) -> list[int]:
        """The unix seconds in which objects were created; objects without a time are left out."""
        times: list[Any] = [each.get(self.time) for each in objects]
        if set(map(type, times)) == {int}:
            return times
        return [second for value in times if (second := unix_second(value)) is not None]


async def read_object(client: Client, table: Table, id: str, params: Params | None = None) -> Answer:
    """One object of a table.

    Raises:
        ResourceMissing: there is none with this id.
        BrokenAnswer: each attempt brought another object.
    """
    path = fill(table.object_path or f"{table.path}/{{id}}", id=id)
    return await client.get_object(path, id, table.object, params)


async def read_newest_first(
    client: Client, request: ListRequest, low: int | None = None, high: int | None = None
) -> AsyncIterator[ObjectBatch]:
    """All pages of a list, or of [low, high) of it, from the newest object to the oldest."""
    params = request.between(low, high)
    async for page in client.pages(
        request.path, params, limit=request.limit, account=request.account, on_skip=request.on_skip
    ):
        yield ObjectBatch(page.objects, page.date, page.has_more)


async def read_onwards(client: Client, request: ListRequest, marker: str) -> AsyncIterator[ObjectBatch]:
    """The objects that came into the list after the object with the id `marker`, oldest first.

    Raises:
        ResourceMissing: the object is gone, so that Stripe cannot tell what came after it.
    """
    promised = False  # the page before said that there is more
    while True:
        params = {**request.between(None, None, request.limit), "ending_before": marker}
        page = await client.page(request.path, params, account=request.account)
        if promised and not page.objects and not page.has_more:
            page = await client.page(request.path, params, account=request.account)
        promised = page.has_more
        if page.objects:
            yield ObjectBatch(page.objects[::-1], page.date)
        if not page.has_more or not page.objects or page.objects[0].get("id") == marker:
            return
        marker = page.objects[0]["id"]
