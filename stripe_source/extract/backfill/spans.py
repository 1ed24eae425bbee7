"""The spans of time that a list is cut into: what was read, what is missing, how much is left. There is no I/O here."""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stripe_source.extract.backfill.both_ends import BothEnds

PAGES_WORTH_SPLITTING = 4.0  # pages that a span must have left to be split; more where splitting brought nothing
WORTH_DECAY = 0.98  # what remains of that "more" with each page: half of it after 34
MOST_PAGES_WORTH_SPLITTING = 32 * PAGES_WORTH_SPLITTING
MOST_DENSITY = 4  # times the usual density that a span is expected to have for long: a burst soon ends
NO_END = 253_402_300_799  # unix second: the last one of year 9999


@dataclass(eq=False)
class Span:
    """A stretch of time, [low, high) in unix seconds, and how far it has been read, newest first."""

    low: int
    high: int
    first_low: int = 0  # what `low` was at first
    split_off: bool = False  # it was split off another span for an idle reader
    started: bool = False
    done: bool = False
    pages: int = 0
    count: int = 0  # objects
    newest: int | None = None  # the newest second that was read
    oldest: int | None = None  # the oldest second that was read
    handed_over: int | None = None  # the oldest second that was handed over
    pages_of_one_second: int = 0  # the last so many pages are of one second
    ids_of_one_second: set[Any] = field(default_factory=set)  # on these pages
    both_ends: BothEnds | None = None  # the second that is read from both its ends

    def __post_init__(self) -> None:
        self.first_low = self.low

    def density(self) -> float:
        """Objects a second, as far as read; 0 where all are in one second."""
        if self.newest is None or self.oldest is None or self.newest <= self.oldest:
            return 0.0
        return self.count / (self.newest - self.oldest)

    def gap(self) -> tuple[int, int]:
        """What was not handed over of it. A second of which some objects were handed over counts as missing."""
        return self.low, self.high if self.handed_over is None else min(self.high, self.handed_over + 1)

    def add_times(self, ids: Iterable[Any], times: Sequence[int]) -> None:
        """Note the ids and times of a page, newest first."""
        if self.newest is None:
            self.newest = times[0]
        if times[0] != times[-1] or times[0] != self.oldest:
            self.pages_of_one_second, self.ids_of_one_second = 0, set()
        if times[0] == times[-1]:
            self.pages_of_one_second += 1
            self.ids_of_one_second.update(ids)
        self.oldest = times[-1]


@dataclass(frozen=True)
class BackfillProgress:
    """How far a list has been read.

    Args:
        share: of its time line, or of its objects as far as they can be estimated, whichever is less; it only grows.
        left: objects that are probably still to come; None while nothing can be said.
    """

    share: float
    left: int | None


class Spans:
    """The spans of a list, oldest first, and what they have shown of how its objects lie in time.

    Args:
        low: the unix second before which there are no objects, as far as is known.
        high: the unix second from which on there are none.
        gaps: what is to be read, as [low, high) each; None: everything.
        page_size: objects on a page; 0 if that is not known.
    """

    def __init__(self, low: int, high: int, gaps: Iterable[tuple[int, int]] | None, page_size: int) -> None:
        self.low, self.high = low, high
        if gaps is None:
            self.all = [Span(low, high)]
        else:
            self.all = [Span(start, end) for start, end in sorted(gaps) if start < end]
            self.low = min((span.low for span in self.all), default=high)
        self.head = self.all[-1] if gaps is None else None  # the newest pages, until it is known how far the list goes
        self.uncut: tuple[int, int] | None = None  # the stretch that no span was cut from yet
        self.next_seconds = 1  # length of the next span
        self.objects_read = 0
        self.pages_worth_splitting = PAGES_WORTH_SPLITTING
        self._page_size = page_size
        self._share = 0.0

    # ---- cutting

    def next_unread(self) -> Span | None:
        """The oldest span that nobody reads, cut now if need be."""
        span = next((span for span in self.all if not span.started), None)
        if self.uncut and (span is None or self.uncut[0] < span.low):
            low, high = self.uncut
            cut = min(low + max(self.next_seconds, 1), high)
            span = Span(low, cut)
            self.uncut = (cut, high) if cut < high else None
            self.insert(span)
        return span

    def has_unread(self) -> bool:
        """Whether a span waits for a reader."""
        return self.uncut is not None or not all(span.started for span in self.all)

    def insert(self, span: Span) -> None:
        """Add a span in its place."""
        place = next((i for i, other in enumerate(self.all) if other.low >= span.high), len(self.all))
        self.all.insert(place, span)

    def split(self, span: Span, middle: int) -> None:
        """Cut [low, middle) off a span, as a span of its own."""
        low, span.low = span.low, middle
        if low < middle:
            self.insert(Span(low, middle, split_off=True))

    def raise_low(self, low: int) -> None:
        """Nothing is older than this second: leave that out."""
        self.low = max(self.low, low)
        for span in self.all:
            span.low = max(span.low, min(low, span.high - 1))

    # ---- learning

    def add_page(self, span: Span, objects: int) -> None:
        """Count a page of a span."""
        span.pages += 1
        span.count += objects
        self.objects_read += objects
        self.pages_worth_splitting = max(self.pages_worth_splitting * WORTH_DECAY, PAGES_WORTH_SPLITTING)

    def learn_from(self, span: Span) -> None:
        """Set the length of the next span, and how readily spans are split, by what a span held that has been read."""
        if span.split_off and not span.count:
            self.pages_worth_splitting = min(2 * self.pages_worth_splitting, MOST_PAGES_WORTH_SPLITTING)
        elif span.split_off:
            self.pages_worth_splitting = max(self.pages_worth_splitting / 2, PAGES_WORTH_SPLITTING)
        if span.pages < 2 and self.uncut:
            self.next_seconds = max(self.next_seconds, 4 * (span.high - span.low))

    def usual_density(self) -> float:
        """Objects a second in all that has been read: one page of a burst says little of what is around it."""
        edges = [min(span.high, self.high) if span.oldest is None else span.oldest for span in self.all]
        missing = sum(edge - span.low for edge, span in zip(edges, self.all, strict=True))
        uncut = self.uncut[1] - self.uncut[0] if self.uncut else 0
        return self.objects_read / max(self.high - self.low - missing - uncut, 1)

    def likely_density(self, span: Span, usual: float) -> float:
        """Objects a second that a span probably has, where `usual` is the usual density."""
        return min(span.density() or usual, MOST_DENSITY * usual)

    def pages_left(self, span: Span, usual: float) -> float:
        """Pages of a span that are probably still to come, where `usual` is the usual density."""
        edge = span.high if span.oldest is None else span.oldest
        return max(edge - span.low, 0) * self.likely_density(span, usual) / (self._page_size or 1)

    def most_pages_left(self, usual: float) -> float:
        """Pages that are probably left of the longest span that is being read."""
        return max(self.pages_left(span, usual) for span in self.all if span.started and not span.done)

    # ---- what is missing

    def gaps(self) -> list[tuple[int, int]]:
        """What has not been handed over yet, as [low, high) each, oldest first."""
        missing = [span.gap() for span in self.all if not span.done]
        return sorted([*missing, self.uncut] if self.uncut else missing)

    def objects_left(self) -> float:
        """Objects that are probably still to be handed over."""
        left, usual = 0.0, self.usual_density()
        for span in self.all:
            edge = span.high if span.handed_over is None else span.handed_over
            left += 0 if span.done else max(edge - span.low, 0) * (span.density() or usual)
        return left + (self.uncut[1] - self.uncut[0]) * usual if self.uncut else left

    def progress(self) -> BackfillProgress:
        """How far the list has been read."""
        if self.head and not self.head.done:
            return BackfillProgress(0.0, None)  # it may end with the next page, or go back ten years
        whole = max(self.high - self.low, 1)
        missing = sum(end - start for start, end in self.gaps())
        left = self.objects_left()
        by_time, by_number = 1 - min(missing / whole, 1), self.objects_read / max(self.objects_read + left, 1)
        self._share = max(self._share, min(by_time, by_number) if missing else 1.0)
        return BackfillProgress(self._share, math.ceil(left))
