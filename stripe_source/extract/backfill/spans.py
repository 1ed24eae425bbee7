"""What is read, what is missing; no I/O."""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from stripe_source.api.lists import ObjectBatch

PAGES_PER_SPAN = 96  # that a span should have: the last page of each is half empty on average
ORDERED_PAGES_PER_SPAN = 20  # likewise, where spans wait in memory for their turn
ORDERED_WAITING = 10_000  # objects that may wait so before only the oldest span is read
WORTH_SPLITTING = 4.0  # pages that must be left of a span for idle readers to get half of it; more where that was for nothing
WORTH_DECAY = 0.98  # what remains of that "more" with each page: half of it after 34
LONGEST_SHARE = 0.7  # share of what is left of the longest span, below which another one is not split: each costs half a page
ORDERED_PARTS = 2  # that the older part of a dense span is split into, where spans wait in memory
MOST_SPANS = 64  # that a list is cut into at the most, until more is known of it
NO_END = 253_402_300_799  # unix second: the last one of year 9999
Handle = Callable[[ObjectBatch], Awaitable[None]]


@dataclass(eq=False)
class Span:
    """A stretch of time, [low, high) in unix seconds, and how far it has been read, newest first."""

    low: int
    high: int
    floor: int = 0  # what `low` was at first
    split: bool = False  # it was taken off another one for an idle reader
    begun: bool = False
    done: bool = False
    pages: int = 0
    count: int = 0
    first: int | None = None  # the newest second of what was read
    edge: int | None = None  # the oldest second of what was read
    handed: int | None = None  # the oldest second of what was handed over
    kept: list[ObjectBatch] = field(default_factory=list)  # what waits for its turn
    alike: int = 0  # the last so many pages are of one second
    ids: set[Any] = field(default_factory=set)  # on these
    meeting: Meeting | None = None  # of those who read it from both ends

    def __post_init__(self) -> None:
        self.floor = self.low

    def density(self) -> float:
        """Objects a second, as far as read; 0 where all are in one second."""
        if self.first is None or self.edge is None or self.first <= self.edge:
            return 0.0
        return self.count / (self.first - self.edge)


@dataclass(eq=False)
class Meeting:
    """Two readers of one second: from its newest object on, and from its oldest. They stop where they meet.

    Args:
        second: which; all that one of them hands over is of it.
        above: ids of what the first one has read.
        below: ids of what the other one has read.
        met: nothing is left.
    """

    second: int
    above: set[Any] = field(default_factory=set)
    below: set[Any] = field(default_factory=set)
    met: bool = False


@dataclass(frozen=True)
class BackfillProgress:
    """How far a list has been read.

    Args:
        share: of its time line, or of its objects as far as they can be guessed, whichever is less; it only grows.
        left: objects that are probably still to come; None while nothing can be said.
    """

    share: float
    left: int | None
