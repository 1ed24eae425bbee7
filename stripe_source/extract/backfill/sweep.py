"""The initial load of a list: spans of `created` read side by side, the oldest ones first.

Stripe lists newest first, a hundred at a time, and answers in a quarter of a second: one page after the other is 400
objects a second, a sixth of what one endpoint allows. So the list is cut into spans of time that are read side by side,
each newest first to its end. No start year is assumed, and nothing is assumed of how the objects lie in time:

- The newest pages are read first, one after the other. Most lists end there, and cost what they always did.
- Meanwhile a few requests for one object each find out how far back the list goes (`_oldest`).
- From the oldest end on, spans are cut that should hold `PAGES` pages. What the first page of a span shows of its
  density sets the size of the next one; a span that turns out dense is split, and one that idle readers wait for, too.
  A second cannot be split: one that holds many objects is read from both its ends, before anything else.

What is read is handed over page by page as it comes, so that nothing has to wait in memory. `gaps` says what is
missing: a load that was cut short goes on from there. A table that goes by a cursor needs its objects in order; of such
a list (`ordered`) whole spans are held until everything older has been handed over.
"""
from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise

from stripe_source.api.client import Client
from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.lists import ALL_TIME, ListRequest, ObjectBatch
from stripe_source.api.pages import Page, PageDecoder
from stripe_source.errors import InvalidRequest, ResourceMissing, StripeError
from stripe_source.extract.backfill.oldest import OLDEST_WITHIN, ORDERED_OLDEST_WITHIN, PROBES, evenly_between
from stripe_source.extract.backfill.spans import (
    LONGEST_SHARE,
    MOST_SPANS,
    NO_END,
    ORDERED_PAGES_PER_SPAN,
    ORDERED_PARTS,
    ORDERED_WAITING,
    PAGES_PER_SPAN,
    WORTH_DECAY,
    WORTH_SPLITTING,
    BackfillProgress,
    Handle,
    Meeting,
    Span,
)

HEAD_PAGES = 3  # pages that are read one after the other before anything else is asked
UNLIMITED_RATE = 100.0  # requests a second to be ready for where there is no limit of ours: an account's limit
USUAL_LATENCY = 0.3  # seconds: what an answer takes, where that is not known yet
LONGEST_QUEUE = 0.25  # seconds that a request may wait for its turn before further readers are of no use
READERS_PER_REQUEST = 1.6  # readers for each request that has to be under way: the others wait for their turn
FEWEST_READERS, MOST_READERS = 6, 40  # spans that are read side by side
SPANS_ABOVE_OLDEST = 6  # spans above the oldest object found, from which on nobody is idle soon, and splits what is below it
PAGES_OF_ONE_SECOND = 2  # pages of one second after which it is read from both ends: that costs a request or two


class Sweep:
    """Reads the objects of a list that were created in [low, high), each once.

    Args:
        client: asks Stripe.
        what: the list.
        low: unix second; None: from the beginning.
        high: unix second, exclusive; `NO_END`: to the newest object.
        gaps: what an earlier sweep left over, as [low, high) each; instead of everything.
        ordered: hand over oldest first.
        keep: asked before each page for who takes it, see `Client.page`.
    """

    def __init__(
        self, client: Client, what: ListRequest, low: int | None, high: int, *, gaps: Iterable[tuple[int, int]] | None = None,
        ordered: bool = False, keep: Callable[[], PageDecoder | None] = lambda: None,
    ) -> None:
        self._client, self._what, self._ordered, self._keep = client, what, ordered, keep
        self._low, self._high = low or ALL_TIME, high  # between which objects may be, as far as is known
        self._asked = what.account or client.account, endpoint_of(what.path)  # whose limit, and which
        self._pages = ORDERED_PAGES_PER_SPAN if ordered else PAGES_PER_SPAN
        self._spans: list[Span] = []  # oldest first
        self._rest: tuple[int, int] | None = None  # what no span was cut from yet
        self._step = 1  # seconds of the next span
        self._head: Span | None = None
        self._search: asyncio.Task[tuple[int, int] | None] | None = None
        self._newest: Span | None = None  # where the list begins
        self._unfiltered = False  # this server does not know `created`
        self._count = 0
        self._share = 0.0
        self._worth = WORTH_SPLITTING
        self.readers = 0  # spans that are being read
        self._waiting = 0  # objects that wait for their turn
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self._dense = 0  # seconds that are read from both ends
        self._others = asyncio.Semaphore()  # requests of all others meanwhile
        if gaps is None:
            self._head = self._newest = Span(self._low, high)
            self._spans = [self._head]
        else:
            self._spans = [Span(start, end) for start, end in sorted(gaps) if start < end]
            self._low = min((span.low for span in self._spans), default=high)
            self._newest = self._spans[-1] if self._spans else None

    def gaps(self) -> list[tuple[int, int]]:
        """What has not been handed over yet, as [low, high) each, oldest first. A second that was begun is read again.

        Nothing is handed over in order in here where it is not; a gap may be small and another one long.
        """
        found = [
            (span.low, span.high if span.handed is None else min(span.high, span.handed + 1))
            for span in self._spans if not span.done
        ]
        return sorted([*found, self._rest] if self._rest else found)

    def coverage(self) -> BackfillProgress:
        """How far the list has been read."""
        whole = max(self._high - self._low, 1)
        if self._head and not self._head.done:
            return BackfillProgress(0.0, None)  # it may end with the next page, or go back ten years
        missing = sum(end - start for start, end in self.gaps())
        left = self._left()
        by_time, by_number = 1 - min(missing / whole, 1), self._count / max(self._count + left, 1)
        self._share = max(self._share, min(by_time, by_number) if missing else 1.0)
        return BackfillProgress(self._share, math.ceil(left))

    def _left(self) -> float:
        """Objects that are probably still to be handed over."""
        left, typical = 0.0, self._typical()
        for span in self._spans:
            edge = span.high if span.handed is None else span.handed
            left += 0 if span.done else max(edge - span.low, 0) * (span.density() or typical)
        return left + (self._rest[1] - self._rest[0]) * typical if self._rest else left

    async def run(self, handle: Handle) -> None:
        """Read everything.

        Args:
            handle: takes a batch; several calls may be under way, unless in order.

        Raises:
            StripeError: a page could not be read. What was handed over is not in `gaps` any more.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                while len(running) < self._readers() and (span := self._next()):
                    running.add(asyncio.ensure_future(self._read(span, handle)))
                if not running:
                    return
                self.readers = len(running)
                news = asyncio.ensure_future(self._news.wait())
                try:
                    done, _ = await asyncio.wait({*running, news}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
                self._news.clear()
                for task in running & done:
                    running.discard(task)
                    task.result()
        finally:
            self.readers = 0
            self._expect(0)
            if self._search:
                running.add(self._search)  # type: ignore[arg-type]  # it is only cancelled
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _expect(self, objects: float) -> None:
        """Let those who read other lists know how many objects of this one are left."""
        self._client.governor.report_remaining(*self._asked, self, objects / (self._what.limit or 1))

    def _under_way(self) -> float:
        """How many requests have to be under way to use the limits, beside other lists that are read."""
        client = self._client
        flow = client.governor.share(*self._asked) or UNLIMITED_RATE
        return flow * (USUAL_LATENCY if client.latency is None else client.latency)

    def _readers(self) -> int:
        """How many spans to read side by side: enough to use the limits, with some who wait for their turn."""
        return min(max(math.ceil(self._under_way() * 2.0) + 4, FEWEST_READERS), MOST_READERS)

    def _spare(self) -> bool:
        """Whether a further reader would be of use: not where a span waits for one, or its requests would only queue.

        A list that has fewer readers than its share of the limits needs would be the last one, and alone in the end.
        """
        queue = self._client.governor.backlog(*self._asked)
        waiting = self._rest or not all(span.begun for span in self._spans)
        use = self.readers < (self._readers() if queue < LONGEST_QUEUE else READERS_PER_REQUEST * self._under_way())
        return use and not waiting

    def _next(self) -> Span | None:
        """The oldest span that nobody reads; None where there is none, or too much waits in memory already."""
        span = next((span for span in self._spans if not span.begun), None)
        if self._rest and (span is None or self._rest[0] < span.low):
            low, high = self._rest
            cut = min(low + max(self._step, 1), high)
            span = Span(low, cut)
            self._rest = (cut, high) if cut < high else None
            self._insert(span)
        if span and self._ordered and self._waiting > ORDERED_WAITING and span is not self._spans[0]:
            return None
        if span:
            span.begun = True
        return span

    def _insert(self, span: Span) -> None:
        place = next((i for i, other in enumerate(self._spans) if other.low >= span.high), len(self._spans))
        self._spans.insert(place, span)

    async def _read(self, span: Span, handle: Handle) -> None:
        what = self._what
        pages = self._client.pages(
            what.path, lambda: what.between(span.low or None, None if span.high == NO_END else span.high),
            limit=what.limit, account=what.account, decoder=self._keep,
        )
        upcoming = asyncio.ensure_future(self._page(span, pages))
        below: asyncio.Task[None] | None = None
        try:
            while page := await upcoming:
                times = what.times(page.objects)
                if self._strays(span, times):
                    return
                self._look(span, page, times)
                if span.meeting:
                    below = below or asyncio.ensure_future(self._from_below(span.meeting, handle))
                    self._meet(span.meeting, page)
                if page.has_more:  # asked for while this one is handed over
                    upcoming = asyncio.ensure_future(self._page(span, pages))
                batch = ObjectBatch(page.objects, page.date, page.has_more, page.handle)
                if self._ordered:
                    span.kept.append(batch)
                    self._waiting += len(batch.objects)
                else:
                    await handle(batch)
                    span.handed = span.edge if span.edge is not None and page.has_more else span.handed
                if not page.has_more:
                    break
            if below and span.meeting and span.meeting.met:
                await below  # what it has read last is still to be handed over
        finally:
            upcoming.cancel()
            if below:
                below.cancel()
                self._dense -= 1
            await asyncio.gather(upcoming, *([below] if below else []), return_exceptions=True)
        self._pace(span)
        span.done = True
        if self._ordered:
            await self._hand_on(handle)
        else:
            self._spans.remove(span)
        self._news.set()

    async def _page(self, span: Span, pages: AsyncIterator[Page]) -> Page | None:
        """The next page of a span. Where others read a second that cannot be split, they shall not have to queue."""
        if span.meeting or not self._dense:
            return await anext(pages, None)
        async with self._others:
            return await anext(pages, None)

    # ---- a second with many objects

    def _meet(self, meeting: Meeting, page: Page) -> None:
        """Leave to the other one what it has read from below, and end where that begins."""
        there = len(page.objects)
        page.leave_out(meeting.below)
        meeting.above.update(thing.get("id") for thing in page.objects)
        if len(page.objects) < there:
            meeting.met, page.has_more = True, False

    async def _from_below(self, meeting: Meeting, handle: Handle) -> None:
        """Read a second from its oldest object on, until what has been read from above.

        Cursors are places in a list, whatever it is filtered by: with `ending_before` an object that is older, the
        page holds what came next (docs.stripe.com/api/pagination; the SDK pages backwards like this, 2026-11).
        Whatever is not as it should be is left to who reads from above, who would find it all.
        """
        what, client = self._what, self._client
        older = await client.page(what.path, what.between(None, meeting.second, 1), account=what.account)
        marker = older.objects[0].get("id") if older.objects else None
        while marker and not meeting.met:
            given = {**what.between(None, None, what.limit), "ending_before": marker}
            try:
                page = await client.page(what.path, given, account=what.account, decode=self._keep())
            except (ResourceMissing, InvalidRequest):
                return  # that object is gone
            if not page.objects or {thing.get(what.time) for thing in page.objects} != {meeting.second}:
                return
            marker = page.objects[0].get("id")
            there = len(page.objects)
            page.leave_out(meeting.above)
            met = len(page.objects) < there
            page.leave_out(meeting.below)
            if not page.objects and not met:
                return
            meeting.below.update(thing.get("id") for thing in page.objects)
            self._count += len(page.objects)
            await handle(ObjectBatch(page.objects, page.date, True, page.handle))
            meeting.met = meeting.met or met

    async def _hand_on(self, handle: Handle) -> None:
        """Hand over, oldest first, the spans that nothing older is missing before."""
        async with self._turn:
            while self._spans and self._spans[0].done and not (self._rest and self._rest[0] < self._spans[0].low):
                span = self._spans[0]
                while span.kept:
                    batch = span.kept.pop()
                    self._waiting -= len(batch.objects)
                    await handle(ObjectBatch(batch.objects[::-1], batch.read_at))
                self._spans.pop(0)
            self._news.set()

    def _strays(self, span: Span, times: Sequence[int]) -> bool:
        """Whether a span is given up, because the list is not filtered: then the newest one reads all of it."""
        if times and not (span.floor <= min(times) and max(times) < span.high) and not self._unfiltered:
            self._unfiltered = True
            self._head, self._rest = None, None
            self._spans = [each for each in self._spans if each is self._newest]
            self._news.set()
        return self._unfiltered and span is not self._newest

    # ---- where to cut

    def _look(self, span: Span, page: Page, times: Sequence[int]) -> None:
        """Note what a page shows, and split its span where that is worth it, before the next page is asked for."""
        span.pages += 1
        span.count += len(page.objects)
        self._count += len(page.objects)
        self._worth = max(self._worth * WORTH_DECAY, WORTH_SPLITTING)
        if self._head is None or self._head.done:
            self._expect(self._left())
        if not page.has_more or self._what.limit is None or not times or len(times) < len(page.objects):
            return
        span.first = times[0] if span.first is None else span.first
        if times[0] != times[-1] or times[0] != span.edge:
            span.alike, span.ids = 0, set()
        if times[0] == times[-1]:
            span.alike += 1
            span.ids.update(thing.get("id") for thing in page.objects)
        span.edge = edge = times[-1]
        if span.alike >= PAGES_OF_ONE_SECOND and span is not self._head:
            self._take_turns(span, edge)
        if self._unfiltered or not span.low < edge < span.high:
            return
        if span is self._head:
            self._high = span.first + 1
            self._spread(span, edge)
            return
        density = span.density()
        if not density:
            if self._spare():  # one second, so far: the others may begin below it
                self._split(span, edge, 1)
            return
        typical = self._typical()
        likely = min(density, 4 * typical)
        left = self._pages_left(span, typical)
        if self._ordered and left > 2 * self._pages:  # it would wait in memory for too long
            keep = math.ceil(self._pages * self._what.limit / density)
            self._split(span, max(edge - keep, span.low + 1), ORDERED_PARTS)
        elif left >= self._worth and self._spare() and left >= LONGEST_SHARE * max(
            self._pages_left(each, typical) for each in self._spans if each.begun and not each.done
        ):
            self._split(span, (span.low + edge) // 2 + 1, 1)
        if span.pages == 1:
            self._step = max(math.ceil(self._pages * self._what.limit / likely), 1)

    def _pages_left(self, span: Span, typical: float) -> float:
        """How many pages of a span are probably still to come, where so many objects a second are usual."""
        edge = span.high if span.edge is None else span.edge
        return max(edge - span.low, 0) * min(span.density() or typical, 4 * typical) / (self._what.limit or 1)

    def _take_turns(self, span: Span, second: int) -> None:
        """Have a second with many objects read from both ends, and what is older by others."""
        v2 = self._what.path.startswith("/v2/")  # its cursors are of one list with all its filters
        if span.meeting or self._unfiltered or self._ordered or v2 or not span.low <= second < span.high:
            return
        span.meeting = Meeting(second, span.ids)
        self._dense += 1
        self._others = asyncio.Semaphore(math.ceil(self._under_way()) + 1)
        if span.low < second:
            self._split(span, second, 1)

    def _typical(self) -> float:
        """Objects a second in all that has been read: one page of a burst says little of what is around it."""
        edges = [min(span.high, self._high) if span.edge is None else span.edge for span in self._spans]
        missing = sum(edge - span.low for edge, span in zip(edges, self._spans, strict=True))
        rest = self._rest[1] - self._rest[0] if self._rest else 0
        return self._count / max(self._high - self._low - missing - rest, 1)

    def _pace(self, span: Span) -> None:
        """Set the size of the next span, and how readily spans are split, by what one held that has been read."""
        if span.split:
            self._worth = min(2 * self._worth, 32 * WORTH_SPLITTING) if not span.count else max(self._worth / 2, WORTH_SPLITTING)
        if span.pages < 2 and self._rest:
            self._step = max(self._step, 4 * (span.high - span.low))

    def _split(self, span: Span, middle: int, parts: int) -> None:
        """Leave [low, middle) of a span to others, in so many parts."""
        low = span.low
        bounds = [low + (middle - low) * part // parts for part in range(parts + 1)]
        span.low = middle
        for start, end in pairwise(bounds):
            if start < end:
                self._insert(Span(start, end, split=True))
        self._news.set()

    def _spread(self, head: Span, edge: int) -> None:
        """Let others read what is older than the newest pages, once it is known how far back the list goes."""
        if head.pages < HEAD_PAGES:
            return
        if self._search is None:
            first = edge if head.first is None else head.first
            self._search = asyncio.ensure_future(self._oldest(head.low, edge, max(first - edge, 1)))
        if not self._search.done():
            return
        found = self._search.result()
        if found is None:
            self._unfiltered, self._head = True, None  # the list is read as it comes
            return
        oldest, there = found
        density = head.density()
        enough = math.ceil(self._pages * (self._what.limit or 0) / density) if density else 0
        self._low, self._head = oldest, None
        head.low = min(max(edge - enough // 2, oldest), edge)
        if head.low > oldest:
            if not self._ordered and oldest <= there < head.low - 1:  # little may be there, mostly at its newer end
                self._insert(Span(oldest, there + 1))
                if (head.low - there) // max(enough, 1) >= SPANS_ABOVE_OLDEST:
                    self._search = asyncio.ensure_future(self._closer(oldest, there))
                oldest = there + 1
            self._rest = (oldest, head.low)
            self._step = max((head.low - oldest) // MOST_SPANS, enough, 1)
            self._news.set()

    async def _oldest(self, low: int, edge: int, scale: int) -> tuple[int, int] | None:
        """A second that no object is older than, and not much older than the oldest object; and one with an object.

        Args:
            low: nothing older is wanted.
            edge: something is there, or was a moment ago, at or before this second.
            scale: seconds that the pages read so far go back.

        Returns:
            Both seconds; None where the server does not filter by `created`.
        """
        floor, there, reach = low, edge, scale
        for _ in range(0 if low > ALL_TIME else 2 * PROBES):  # a bound that was asked for is near enough
            if there - floor <= (ORDERED_OLDEST_WITHIN if self._ordered else OLDEST_WITHIN) * (edge - floor) or there - floor <= PROBES:
                break
            if floor == low and there - reach > low:
                moments = [there - reach * 4**power for power in range(1, PROBES + 1)]
                reach *= 4**PROBES
            else:
                moments = evenly_between(floor, there)
            moments = [moment for moment in moments if floor < moment < there]
            if not moments:
                reach = there - floor  # the scale was too coarse: evenly from here
                continue
            found = await self._ask(moments, floor, there)
            if found is None:
                return None
            floor, there = found
        return floor, there

    async def _closer(self, floor: int, there: int) -> None:
        """Look for the oldest object while the list is read, and leave out what is older.

        How much is left would be a bad guess otherwise, and lists that are read together would not end together.
        """
        found = None
        with suppress(StripeError):  # then the guess gets no better
            found = await self._ask(evenly_between(floor, there), floor, there)
        if found:
            self._low = max(self._low, found[0])
            for span in self._spans:
                span.low = max(span.low, min(found[0], span.high - 1))

    async def _ask(self, moments: Sequence[int], floor: int, there: int) -> tuple[int, int] | None:
        """The two seconds of `_oldest`, by what is older than some between them; None where nothing is filtered."""
        for moment, at in zip(moments, await asyncio.gather(*map(self._newest_before, moments)), strict=True):
            if at is None:
                floor = max(floor, moment)
            elif at >= moment:
                return None
            else:
                there = min(there, at)
        return floor, there

    async def _newest_before(self, moment: int) -> int | None:
        """When the newest object was created that is older than a second; None where there is none."""
        page = await self._client.page(
            self._what.path, self._what.between(None, moment, 1), account=self._what.account
        )
        times = self._what.times(page.objects)
        return times[0] if times else None
