"""Reads a second with many objects from both its ends: a second cannot be split, but it has two ends."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import BatchHandler, ListRequest, ObjectBatch
from stripe_source.api.pages import Page, PageDecoder
from stripe_source.errors import InvalidRequest, ResourceMissing


class BothEnds:
    """One second with two readers: one from its newest object on, one from its oldest. They stop where they meet.

    Args:
        second: the second; all that the reader from the oldest object hands over is of it.
        ids: of the objects that were read from the newest one on so far.
    """

    def __init__(self, second: int, ids: set[Any]) -> None:
        self.second = second
        self.met = False  # nothing is left
        self._ids_from_newest = ids
        self._ids_from_oldest: set[Any] = set()

    def add_from_newest(self, page: Page) -> None:
        """Leave out of a page what the other reader has read, and make it the last page where that begins."""
        number = len(page.objects)
        page.leave_out(self._ids_from_oldest)
        self._ids_from_newest.update(each.get("id") for each in page.objects)
        if len(page.objects) < number:
            self.met, page.has_more = True, False

    async def read_from_oldest(
        self, client: Client, request: ListRequest, decoder: Callable[[], PageDecoder | None],
        count: Callable[[int], None], handle: BatchHandler,
    ) -> None:
        """Read the second from its oldest object on, until what the other reader has read.

        Cursors are places in a list, whatever it is filtered by: with `ending_before` an object that is older, the
        page holds what came next (docs.stripe.com/api/pagination; the SDK pages backwards like this, 2026-11).
        Where a page is not as it should be, this reader stops: the other one finds all objects without it.

        Args:
            client: reads pages.
            request: the list.
            decoder: see `Client.pages`.
            count: takes the number of objects of a page before they are handed over.
            handle: takes a batch.
        """
        older = await client.page(request.path, request.between(None, self.second, 1), account=request.account)
        marker = older.objects[0].get("id") if older.objects else None
        while marker and not self.met:
            params = {**request.between(None, None, request.limit), "ending_before": marker}
            try:
                page = await client.page(request.path, params, account=request.account, decode=decoder())
            except (ResourceMissing, InvalidRequest):
                return  # the marker object is gone
            if not page.objects or {each.get(request.time) for each in page.objects} != {self.second}:
                return
            marker = page.objects[0].get("id")
            met = self._add_from_oldest(page)
            if not page.objects and not met:
                return
            count(len(page.objects))
            await handle(ObjectBatch(page.objects, page.date, True, page.handle))
            self.met = self.met or met

    def _add_from_oldest(self, page: Page) -> bool:
        """Leave out of a page what was read already; whether the other reader has read some of it."""
        number = len(page.objects)
        page.leave_out(self._ids_from_newest)
        met = len(page.objects) < number
        page.leave_out(self._ids_from_oldest)
        self._ids_from_oldest.update(each.get("id") for each in page.objects)
        return met
