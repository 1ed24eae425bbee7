"""Reads a list page after page, in v1 and in v2, and stops at lists that never end."""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from stripe_source.api.pages import TIMED_OUT, Page, PageDecoder, endless_paging
from stripe_source.api.query import Params
from stripe_source.errors import ApiError, BrokenAnswer, ResourceMissing, StripeError, Unreachable
from stripe_source.redaction import redact

log = logging.getLogger("stripe_source")
IDS_TO_STEP_BACK = 100  # ids to go back to, one by one, when the object that a cursor names is gone
ATTEMPTS_OF_A_SIZE = 2  # before a page is asked for with fewer objects
SMALLER_PAGES = (50, 20, 10, 1)  # objects
PAGES_OF_A_SIZE = 10  # after so many pages of a smaller size, more are asked for again
MOST_SKIPPED = 10  # objects of one list that are stepped over; with more, the list has failed
MOST_EMPTY_PAGES = 10  # in a row, in v2, whose tokens may change without an end


OnSkip = Callable[[str, StripeError], None]


class ReadPage(Protocol):
    """Reads one page of a list, as `Client.page` does."""

    def __call__(
        self, path: str, params: Params | None = None, *, account: str | None = None,
        decode: PageDecoder | None = None, attempts: int | None = None, on_skip: OnSkip | None = None,
    ) -> Coroutine[Any, Any, Page]: ...


@dataclass
class ListWalk:
    """A v1 list that is read page after page.

    A page that comes broken twice, or not at all, is asked for with fewer objects: answers that are cut at 131,072
    bytes, and long pages that time out, were reported in public up to 2026-11. An object that cannot be read even
    alone, or is no JSON among others that are, is stepped over, where somebody takes its name.

    Args:
        read_page: reads one page.
        path: of the list.
        params: what is sent, called before each page; `limit` is in it, but for lists that refuse it.
        account: the account to act on.
        decoder: called before each page, returns what decodes it.
        on_skip: called with the id of an object that cannot be read, and why; None: that is the list's failure.
        size: objects that the next page is asked for; None: as many as `params` says.
    """

    read_page: ReadPage
    path: str
    params: Callable[[], Params]
    account: str | None
    decoder: Callable[[], PageDecoder | None]
    on_skip: OnSkip | None = None
    size: int | None = None
    _pages_of_size: int = 0
    _skipped: int = 0

    async def page(self, cursor: str | None) -> Page:
        """The page after a cursor, with as many objects as Stripe manages to send."""
        while True:
            params = {**self.params(), "starting_after": cursor}
            full = params.get("limit")
            size = full if self.size is None else self.size
            if not isinstance(full, int) or not isinstance(size, int) or size == 1:
                return await self._page_of_one(params, cursor)
            try:
                page = await self.read_page(
                    self.path, {**params, "limit": size}, account=self.account, decode=self.decoder(),
                    attempts=ATTEMPTS_OF_A_SIZE, on_skip=self.on_skip,
                )
            except (BrokenAnswer, ApiError, Unreachable) as error:
                if isinstance(error, Unreachable) and error.code != TIMED_OUT:
                    raise
                self.size, self._pages_of_size = next(each for each in SMALLER_PAGES if each < size), 0
                log.info("%s: asking for %d objects a page: %s", redact(self.path), self.size, error.message)
                continue
            self._grow(full)
            return page

    async def _page_of_one(self, params: Params, cursor: str | None) -> Page:
        """The page after a cursor as it is asked for, or with one object; one that cannot be read is stepped over."""
        one = {**params, "limit": 1} if "limit" in params else params
        try:
            page = await self.read_page(
                self.path, one, account=self.account, decode=self.decoder(), on_skip=self.on_skip)
        except (BrokenAnswer, ApiError, Unreachable) as error:
            if self.on_skip is None or self.size != 1 or self._skipped >= MOST_SKIPPED:
                raise
            return await self._without_expansions(one, error)
        if self.size == 1:
            self._grow(int(params.get("limit") or 1))
        return page

    async def _without_expansions(self, params: Params, error: StripeError) -> Page:
        """Find out the id of an object that cannot be read, and step over it.

        Raises:
            StripeError: the one that is given, as the id cannot be found out either.
        """
        bare = {name: value for name, value in params.items() if name != "expand"}
        try:
            page = await self.read_page(self.path, bare, account=self.account, attempts=ATTEMPTS_OF_A_SIZE)
        except StripeError:
            raise error from None
        for thing in page.objects:
            if self.on_skip and isinstance(thing.get("id"), str):
                self._skipped += 1
                self.on_skip(thing["id"], error)
        page.skipped = True
        return page

    def _grow(self, full: int) -> None:
        """Ask for more a page again, once some pages of a smaller size have come."""
        if self.size is None:
            return
        self._pages_of_size += 1
        if self._pages_of_size >= PAGES_OF_A_SIZE:
            larger = [each for each in SMALLER_PAGES if each > self.size]
            self.size, self._pages_of_size = (larger[-1] if larger and larger[-1] < full else None), 0

    async def pages(self, starting_after: str | None) -> AsyncIterator[Page]:
        """All pages. Where the object that the cursor names is gone, go back to the one before it."""
        cursor, path = starting_after, self.path
        last_ids: deque[str] = deque(maxlen=IDS_TO_STEP_BACK)  # in the list's order; the cursor is the last of them
        delivered: set[str] = set()  # ids that come a second time after a step back
        used: set[str] = set()  # cursors: one id per page, so that the longest list fits in memory
        promised = False  # the page before said that there is more
        while True:
            try:
                page = await self.page(cursor)
                if promised and not page.objects and not page.has_more:
                    log.info("%s: the list was to go on, and ends with an empty page; asking again", redact(path))
                    page = await self.page(cursor)  # it may have ended meanwhile: what it says twice is believed
            except ResourceMissing as error:
                if error.param != "starting_after" or len(last_ids) < 2:
                    raise
                delivered.update(last_ids)
                used.discard(last_ids.pop())
                cursor = last_ids[-1]
                log.info("%s: the object that the cursor names is gone; going back to the one before it", redact(path))
                continue
            promised = page.has_more
            ids = [item["id"] for item in page.objects if isinstance(item.get("id"), str)]
            if page.has_more:
                known = set(last_ids)
                if not ids or ids[-1] in used or known.issuperset(ids):
                    raise endless_paging(path, page, self.account)
                cursor = ids[-1]
                used.add(cursor)
            last_ids.extend(ids)
            if page.skipped:
                page.objects = []
            if delivered.isdisjoint(ids):
                delivered.clear()
            else:
                page.leave_out(delivered)
            if page.objects or not page.has_more:
                yield page
            if not page.has_more:
                return


async def pages_v2(
    read_page: ReadPage, path: str, params: Params, account: str | None, api_base: str
) -> AsyncIterator[Page]:
    """All pages of a v2 list: each names the URL of the next one."""
    target, query = path, params
    used: set[str] = set()  # URLs of pages
    previous_ids: set[str] = set()
    empty = 0  # pages in a row
    while True:
        page = await read_page(target, query, account=account)
        next_url = page.next_page_url
        if next_url is not None:
            ids = {item["id"] for item in page.objects if isinstance(item.get("id"), str)}
            empty = 0 if page.objects else empty + 1
            if next_url in used or empty >= MOST_EMPTY_PAGES or (ids and ids <= previous_ids):
                raise endless_paging(path, page, account)
            used.add(next_url)
            previous_ids = ids
            target, query = _path_on_same_host(next_url, api_base, path, page), {}
        yield page
        if next_url is None:
            return


def _path_on_same_host(url: str, api_base: str, path: str, page: Page) -> str:
    """`url` as a path; the key must not reach another host."""
    if url.startswith("/") and not url.startswith("//"):
        return url
    if url.startswith(f"{api_base}/"):
        return url[len(api_base):]
    raise BrokenAnswer(
        f"The next page is said to be at another host, `{redact(urlsplit(url).hostname)}`",
        path=path, request_id=page.request_id,
    )
