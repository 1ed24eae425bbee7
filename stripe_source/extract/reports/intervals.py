"""Which intervals of a report are read: whole months or days of UTC, as far as Stripe has the data; no I/O."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple


class Interval(NamedTuple):
    """What one report is about: [low, high) in unix seconds, which lies in the month or day that begins at `start`.

    The first one may begin later than its month, and the last one end before, where Stripe has no more data.
    """

    start: int
    low: int
    high: int


@dataclass(frozen=True)
class Cursor:
    """How far a report was read with some parameters; all in unix seconds.

    Args:
        first: where the first interval began.
        next: where the next interval to read begins.
        seen: up to where it was read; behind `next` where that interval was not over.
        unit: "month" or "day".
    """

    first: int
    next: int
    seen: int
    unit: str

    def asdict(self) -> dict[str, Any]:
        """As state keeps it."""
        return asdict(self)


def intervals(
    unit: str, data: tuple[int, int], start: int | None, end: int | None, cursor: Cursor | None = None
) -> Iterator[Interval]:
    """The intervals to read, the oldest first. An interval that was read before it was over is read again.

    Args:
        unit: "month" or "day".
        data: from when to when Stripe has data: the first second, and the first that it has none of yet.
        start: the first second that is wanted; the month or day that it lies in is read whole. None: all there is.
        end: the first second that is no longer wanted; None: all there is.
        cursor: how far the report was read; None: not at all.

    >>> [tuple(each) for each in intervals("day", (90_000, 180_000), None, None)]
    [(86400, 90000, 172800), (172800, 172800, 180000)]
    """
    low, high = max(data[0], start or 0), min(data[1], data[1] if end is None else end)
    at, seen = floor(low, unit), 0
    if cursor is not None and cursor.unit == unit and cursor.first <= at <= cursor.next:
        at, seen = cursor.next, cursor.seen
    while at < high:
        after = following(at, unit)
        interval = Interval(at, max(at, data[0]), min(after, high))
        if interval.low < interval.high and interval.high > seen:
            yield interval
        at = after


def moved(cursor: Cursor | None, interval: Interval, unit: str) -> Cursor:
    """The cursor once an interval was read."""
    over = interval.high >= following(interval.start, unit)
    goes_on = cursor is not None and cursor.unit == unit and cursor.first <= interval.start <= cursor.next
    first = cursor.first if cursor is not None and goes_on else interval.start
    return Cursor(first, interval.high if over else interval.start, interval.high, unit)


def floor(second: int, unit: str) -> int:
    """The first second of the month or day of UTC that a second lies in."""
    at = _utc(second).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((at.replace(day=1) if unit == "month" else at).timestamp())


def following(start: int, unit: str) -> int:
    """The first second of the month or day after the one that begins with a second."""
    return floor(start + int(timedelta(days=32 if unit == "month" else 1).total_seconds()), unit)


def days_within(interval: Interval) -> list[int]:
    """The first seconds of the days of an interval's month, but the first one."""
    found, at = [], following(interval.start, "day")
    while at < following(interval.start, "month"):
        found.append(at)
        at = following(at, "day")
    return found


def _utc(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)
