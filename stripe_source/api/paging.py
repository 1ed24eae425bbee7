"""Reads a list page after page, in v1 and in v2, and stops at lists that never end."""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

from stripe_source.api.pages import Page, PageDecoder, endless_paging
from stripe_source.api.query import Params
from stripe_source.errors import BrokenAnswer, ResourceMissing
from stripe_source.redaction import redact

log = logging.getLogger("stripe_source")
IDS_TO_STEP_BACK = 100  # ids to go back to, one by one, when the object that a cursor names is gone
MOST_EMPTY_PAGES = 10  # in a row, in v2, whose tokens may change without an end


class ReadPage(Protocol):
    """Reads one page of a list, as `Client.page` does."""

    def __call__(
        self, path: str, params: Params | None = None, *, account: str | None = None, decode: PageDecoder | None = None
    ) -> Coroutine[Any, Any, Page]: ...


async def pages_v1(
    read_page: ReadPage, path: str, params: Callable[[], Params], starting_after: str | None, account: str | None,
    decoder: Callable[[], PageDecoder | None],
) -> AsyncIterator[Page]:
    """All pages of a v1 list. Where the object that the cursor names is gone, go back to the one before it."""
    cursor = starting_after
    last_ids: deque[str] = deque(maxlen=IDS_TO_STEP_BACK)  # in the list's order; the cursor is the last of them
    delivered: set[str] = set()  # ids that come a second time after a step back
    used: set[str] = set()  # cursors: one id per page, so that the longest list fits in memory
    while True:
        try:
            page = await read_page(path, {**params(), "starting_after": cursor}, account=account, decode=decoder())
        except ResourceMissing as error:
            if error.param != "starting_after" or len(last_ids) < 2:
                raise
            delivered.update(last_ids)
            used.discard(last_ids.pop())
            cursor = last_ids[-1]
            log.info("%s: the object that the cursor names is gone; going back to the one before it", redact(path))
            continue
        ids = [item["id"] for item in page.objects if isinstance(item.get("id"), str)]
        if page.has_more and not page.objects:
            log.warning("%s: an empty page says that there is more; taken for the end of the list", redact(path))
            page.has_more = False
        if page.has_more:
            known = set(last_ids)
            if not ids or ids[-1] in used or known.issuperset(ids):
                raise endless_paging(path, page, account)
            cursor = ids[-1]
            used.add(cursor)
        last_ids.extend(ids)
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
