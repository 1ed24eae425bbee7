"""The initial load of a list: spans of `created` are read side by side, the oldest ones first.

Stripe lists objects newest first, a hundred to a page, and answers in a quarter of a second: one page after the other
is 400 objects a second, a sixth of what one endpoint allows. So the sweep cuts a list into spans of time and reads them
side by side, each from its newest object to its oldest. It assumes no start year, and nothing of how the objects lie in
time:

- The sweep reads the newest pages first, one after the other. Most lists end there, and cost no further request.
- Meanwhile a few requests for one object each find out how far back the list goes (`oldest.py`).
- From the oldest end on, the sweep cuts spans that should hold `PAGES_PER_SPAN` pages. The density that the first page
  of a span shows sets the length of the next span. A span is split if it turns out dense, or if readers are idle.
  A second cannot be split: one that holds many objects is read from both its ends, before anything else.

Pages are handed over as they come, so that nothing waits in memory. `gaps` says what is missing: a load that was
interrupted resumes from there.
"""
from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.lists import ALL_TIME, BatchHandler, ListRequest, ObjectBatch
from stripe_source.api.pages import Page, PageDecoder
from stripe_source.errors import StripeError
from stripe_source.extract.backfill.both_ends import BothEnds
from stripe_source.extract.backfill.oldest import OldestObject, find_oldest, narrow_oldest
from stripe_source.extract.backfill.spans import NO_END, BackfillProgress, Span, Spans

HEAD_PAGES = 3  # pages that are read one after the other before anything else is requested
PAGES_PER_SPAN = 96  # that a span should have: the last page of each is half empty on average
MOST_SPANS = 64  # that a list is cut into at most, until more is known of it
LONGEST_SHARE = 0.7  # of the pages left of the longest span: only spans with more are split; each costs half a page
OLDEST_WITHIN = 0.8  # share of the time line by which the oldest object may be missed: empty time costs few requests
SPANS_ABOVE_OLDEST = 6  # above the oldest object found; from so many on no reader is idle soon and splits below it
PAGES_OF_ONE_SECOND = 2  # pages of one second after which it is read from both ends: that costs a request or two
MOST_IDS = 100_000  # ids that are kept, should the list have to be read again
UNLIMITED_RATE = 100.0  # requests a second to be ready for where there is no limit of ours: an account's limit
USUAL_LATENCY = 0.3  # seconds that an answer takes, where that is not known yet
LONGEST_QUEUE = 0.25  # seconds that a request may wait for its turn before further readers are of no use
READERS_PER_REQUEST = 1.6  # readers for each request that has to be under way: the others wait for their turn
FEWEST_READERS, MOST_READERS = 6, 40  # spans that are read side by side


class Sweep:
    """Reads the objects of a list that were created in [low, high), each once.

    Args:
        client: reads pages.
        request: the list.
        low: unix second; None: from the beginning.
        high: unix second, exclusive; `NO_END`: to the newest object.
        gaps: what an earlier sweep left over, as [low, high) each; it is read instead of everything.
        decoder: see `Client.pages`.
    """

    def __init__(
        self, client: Client, request: ListRequest, low: int | None, high: int, *,
        gaps: Iterable[tuple[int, int]] | None = None,
        decoder: Callable[[], PageDecoder | None] = lambda: None,
    ) -> None:
        self._client, self._request, self._decoder = client, request, decoder
        self._account, self._endpoint = request.account or client.account, endpoint_of(request.path)
        self._spans = Spans(low or ALL_TIME, high, gaps, request.limit or 0)
        self._search: asyncio.Task[OldestObject | None] | None = None
        self._unfiltered = False  # this server does not know `created`, or filters by something else
        self._begins_again = False
        self._handed_over: set[Any] = set()  # ids, up to `MOST_IDS`: should the list have to be read again
        self.readers = 0  # spans that are being read
        self._changed = asyncio.Event()  # there may be a span to read, or none any more
        self._seconds_from_both_ends = 0  # seconds that are read so at present
        self._other_requests = asyncio.Semaphore()  # how many other requests may be under way meanwhile

    def gaps(self) -> list[tuple[int, int]]:
        """What has not been handed over yet, as [low, high) each, oldest first.

        A second of which some objects were handed over is read again.
        """
        return self._spans.gaps()

    def progress(self) -> BackfillProgress:
        """How far the list has been read."""
        return self._spans.progress()

    async def run(self, handle: BatchHandler) -> None:
        """Read everything.

        Args:
            handle: takes a batch; several calls may be under way.

        Raises:
            StripeError: a page could not be read. What was handed over is not in `gaps` any more.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                while len(running) < self._most_readers() and (span := self._next_span()):
                    running.add(asyncio.ensure_future(self._read(span, handle)))
                if not running:
                    return
                self.readers = len(running)
                changed = asyncio.ensure_future(self._changed.wait())
                try:
                    done, _ = await asyncio.wait({*running, changed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                self._changed.clear()
                for task in running & done:
                    running.discard(task)
                    task.result()
                if self._begins_again:
                    await self._begin_again(running)
        finally:
            self.readers = 0
            self._report_remaining(0)
            tasks: list[asyncio.Task[Any]] = [*running, *([self._search] if self._search else [])]
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin_again(self, running: set[asyncio.Task[None]]) -> None:
        """Read the whole list in its own order, by one reader, because the server does not filter by `created`."""
        tasks: list[asyncio.Task[Any]] = [*running, *([self._search] if self._search else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        running.clear()
        self._begins_again, self._search = False, None
        self._spans = Spans(ALL_TIME, NO_END, [(ALL_TIME, NO_END)], self._request.limit or 0)

    # ---- readers

    def _report_remaining(self, objects: float) -> None:
        """Report how many objects are left, so that lists that are read side by side share the limits accordingly."""
        requests = objects / (self._request.limit or 1)
        self._client.governor.report_remaining(self._account, self._endpoint, self, requests)

    def _requests_at_once(self) -> float:
        """How many requests have to be under way to use the limits, beside other lists that are read."""
        client = self._client
        rate = client.governor.share(self._account, self._endpoint) or UNLIMITED_RATE
        return rate * (USUAL_LATENCY if client.latency is None else client.latency)

    def _most_readers(self) -> int:
        """How many spans to read side by side: enough to use the limits, while some readers wait for their turn."""
        return min(max(math.ceil(self._requests_at_once() * 2.0) + 4, FEWEST_READERS), MOST_READERS)

    def _needs_reader(self) -> bool:
        """Whether a further reader would be of use: not where a span waits for one, or its requests would only queue.

        A list that has fewer readers than its share of the limits needs would be the last one, and alone in the end.
        """
        queue = self._client.governor.backlog(self._account, self._endpoint)
        most = self._most_readers() if queue < LONGEST_QUEUE else READERS_PER_REQUEST * self._requests_at_once()
        return self.readers < most and not self._spans.has_unread()

    def _next_span(self) -> Span | None:
        """The oldest span that nobody reads; None where there is none."""
        span = self._spans.next_unread()
        if span:
            span.started = True
        return span

    async def _read(self, span: Span, handle: BatchHandler) -> None:
        """Read a span from its newest object to its oldest, and hand its pages over as they come."""
        request = self._request
        pages = self._client.pages(
            request.path, lambda: self._request.between(None, None) if self._unfiltered else request.between(
                span.low or None, None if span.high == NO_END else span.high),
            limit=request.limit, account=request.account, decoder=self._decoder, on_skip=request.on_skip,
        )
        next_page = asyncio.ensure_future(self._next_page(span, pages))
        from_oldest: asyncio.Task[None] | None = None
        try:
            while page := await next_page:
                times = request.times(page.objects)
                if self._is_given_up(span, times):
                    return
                self._learn_from_page(span, page, times)
                if span.both_ends:
                    from_oldest = from_oldest or asyncio.ensure_future(self._read_from_oldest(span.both_ends, handle))
                    span.both_ends.add_from_newest(page)
                if page.has_more:  # the next page is requested while this one is handed over
                    next_page = asyncio.ensure_future(self._next_page(span, pages))
                if self._unfiltered:
                    page.leave_out(self._handed_over)
                batch = ObjectBatch(page.objects, page.date, page.has_more, page.handle)
                await self._hand_over(handle, batch)
                span.handed_over = span.oldest if span.oldest is not None and page.has_more else span.handed_over
                if not page.has_more:
                    break
            if from_oldest and span.both_ends and span.both_ends.met:
                await from_oldest  # what it has read last is still to be handed over
        finally:
            next_page.cancel()
            if from_oldest:
                from_oldest.cancel()
                self._seconds_from_both_ends -= 1
            await asyncio.gather(next_page, *([from_oldest] if from_oldest else []), return_exceptions=True)
        self._spans.learn_from(span)
        span.done = True
        self._spans.all.remove(span)
        self._changed.set()

    async def _next_page(self, span: Span, pages: AsyncIterator[Page]) -> Page | None:
        """The next page of a span. While a second is read from both ends, its requests go before all others."""
        if span.both_ends or not self._seconds_from_both_ends:
            return await anext(pages, None)
        async with self._other_requests:
            return await anext(pages, None)

    async def _hand_over(self, handle: BatchHandler, batch: ObjectBatch) -> None:
        if len(self._handed_over) < MOST_IDS:
            self._handed_over.update(thing.get("id") for thing in batch.objects)
        await handle(batch)

    def _is_given_up(self, span: Span, times: Sequence[int]) -> bool:
        """Whether a span is not read further, because the list is not filtered by the times that its objects show.

        Some servers do not know `created`; others were seen to filter by another time than they show. Then nobody knows
        what the spans lack, and the whole list is read again without a filter.

        Args:
            span: the span.
            times: of the objects on its page.
        """
        if self._unfiltered:
            return self._begins_again
        if times and not (span.first_low <= min(times) and max(times) < span.high):
            self._unfiltered = self._begins_again = True
            self._changed.set()
        return self._begins_again

    # ---- where to cut

    def _learn_from_page(self, span: Span, page: Page, times: Sequence[int]) -> None:
        """Note what a page shows, and split its span if that is worth it, before the next page is requested."""
        spans = self._spans
        spans.add_page(span, len(page.objects))
        if spans.head is None or spans.head.done:
            self._report_remaining(spans.objects_left())
        if not page.has_more or self._request.limit is None or not times or len(times) < len(page.objects):
            return
        span.add_times((each.get("id") for each in page.objects), times)
        edge = times[-1]
        if span.pages_of_one_second >= PAGES_OF_ONE_SECOND and span is not spans.head:
            self._begin_both_ends(span, edge)
        if self._unfiltered or not span.low < edge < span.high:
            return
        if span is spans.head:
            spans.high = times[0] + 1 if span.newest is None else span.newest + 1
            self._cut_below_head(span, edge)
        else:
            self._split_if_worthwhile(span, edge, self._request.limit)

    def _split_if_worthwhile(self, span: Span, edge: int, limit: int) -> None:
        """Split a span that is too dense, or of which an idle reader can take a part.

        Args:
            span: the span.
            edge: the oldest second that was read of it.
            limit: objects on a page.
        """
        spans, density = self._spans, span.density()
        if not density:
            if self._needs_reader():
                self._split(span, edge)  # one second, so far: other readers may begin below it
            return
        usual = spans.usual_density()
        likely = spans.likely_density(span, usual)
        left = spans.pages_left(span, usual)
        if (
            left >= spans.pages_worth_splitting and self._needs_reader()
            and left >= LONGEST_SHARE * spans.most_pages_left(usual)
        ):
            self._split(span, (span.low + edge) // 2 + 1)
        if span.pages == 1:
            spans.next_seconds = max(math.ceil(PAGES_PER_SPAN * limit / likely), 1)

    def _split(self, span: Span, middle: int) -> None:
        """Leave [low, middle) of a span to another reader."""
        self._spans.split(span, middle)
        self._changed.set()

    # ---- a second with many objects

    def _begin_both_ends(self, span: Span, second: int) -> None:
        """Have a second with many objects read from both its ends, and leave what is older to other readers."""
        v2 = self._request.path.startswith("/v2/")  # its cursors are of one list with all its filters
        if span.both_ends or self._unfiltered or v2 or not span.low <= second < span.high:
            return
        span.both_ends = BothEnds(second, span.ids_of_one_second)
        self._seconds_from_both_ends += 1
        self._other_requests = asyncio.Semaphore(math.ceil(self._requests_at_once()) + 1)
        if span.low < second:
            self._split(span, second)

    def _read_from_oldest(self, both_ends: BothEnds, handle: BatchHandler) -> Coroutine[Any, Any, None]:
        def count(objects: int) -> None:
            self._spans.objects_read += objects

        return both_ends.read_from_oldest(self._client, self._request, self._decoder, count, handle)

    # ---- how far back the list goes

    def _cut_below_head(self, head: Span, edge: int) -> None:
        """Let readers begin on what is older than the newest pages, once it is known how far back the list goes.

        Args:
            head: the span of the newest pages.
            edge: the oldest second that was read of it.
        """
        if head.pages < HEAD_PAGES:
            return
        if self._search is None:
            scale = 0 if head.newest is None else head.newest - edge
            self._search = asyncio.ensure_future(
                find_oldest(self._client, self._request, head.low, edge, max(scale, 1), OLDEST_WITHIN)
            )
        if not self._search.done():
            return
        spans, oldest = self._spans, self._search.result()
        spans.head = None
        if oldest is None:
            self._unfiltered = self._begins_again = True
            self._changed.set()
            return
        density = head.density()
        enough = math.ceil(PAGES_PER_SPAN * (self._request.limit or 0) / density) if density else 0
        spans.low = begin = oldest.earliest
        head.low = min(max(edge - enough // 2, begin), edge)
        if head.low > begin:
            if begin <= oldest.latest < head.low - 1:  # it holds little, mostly at its newer end
                spans.insert(Span(begin, oldest.latest + 1))
                if (head.low - oldest.latest) // max(enough, 1) >= SPANS_ABOVE_OLDEST:
                    self._search = asyncio.ensure_future(self._leave_out_older(oldest))
                begin = oldest.latest + 1
            spans.uncut = (begin, head.low)
            spans.next_seconds = max((head.low - begin) // MOST_SPANS, enough, 1)
            self._changed.set()

    async def _leave_out_older(self, oldest: OldestObject) -> None:
        """Look more closely for the oldest object while the list is read, and leave out what is older.

        How much is left would be a bad guess otherwise, and lists that are read together would not end together.
        """
        found = None
        with suppress(StripeError):  # then the guess gets no better
            found = await narrow_oldest(self._client, self._request, oldest)
        if found:
            self._spans.raise_low(found.earliest)
