"""Time lines: at which seconds the objects of a table were created."""
from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from stripe_source.sandbox.errors import InvalidSetting

HOUR, DAY, YEAR = 3600, 86_400, 31_557_600
IN_ONE_SECOND = 5_000
Spread = str | Sequence[int] | Callable[[int, int, int], Iterable[int]]


def even(n: int, start: int, end: int) -> Iterable[int]:
    """Return times at equal distances."""
    return (start + (end - start) * (2 * number + 1) // (2 * n) for number in range(n))


def growing(n: int, start: int, end: int) -> Iterable[int]:
    """Return ever more times: twenty times as many a day at the end as at the start."""
    return (start + int((end - start) * math.log1p(19 * (number + 0.5) / n) / math.log(20)) for number in range(n))


def day(n: int, start: int, end: int) -> Iterable[int]:
    """Return times on one day, UTC, in the middle."""
    midnight = (start + end) // 2 // DAY * DAY
    return even(n, midnight, midnight + DAY)


def second(n: int, start: int, end: int) -> Iterable[int]:
    """Return one second in the middle 5,000 times, or for all objects; the others are spread evenly around it."""
    crowd = min(n, IN_ONE_SECOND)
    before = (n - crowd) // 2
    middle = (start + end) // 2
    return chain(even(before, start, middle), [middle] * crowd, even(n - crowd - before, middle + 1, end))


def gaps(n: int, start: int, end: int) -> Iterable[int]:
    """Return times in every second year; in the first half only, where there are no two years."""
    each = min(YEAR, (end - start) // 2)
    starts = range(start, end - each + 1, 2 * each)
    return (starts[number * len(starts) // n] + each * (number * len(starts) % n) // n for number in range(n))


def pair(n: int, start: int, end: int) -> Iterable[int]:
    """Return two times, one at each end, however many objects are wanted."""
    return [start, end - 1][:n]


def bursts(n: int, start: int, end: int) -> Iterable[int]:
    """Return nine of ten times within at most a hundred busy hours; the others are spread evenly."""
    busy, hours = n * 9 // 10, max(1, min(100, n // 100))
    first = [start + (end - start) * (2 * hour + 1) // (2 * hours) for hour in range(hours)]
    return sorted(chain(
        even(n - busy, start, end),
        (min(end - 1, first[number % hours] + HOUR * number // busy) for number in range(busy)),
    ))


SPREADS: dict[str, Callable[[int, int, int], Iterable[int]]] = {
    each.__name__: each for each in (even, growing, day, second, gaps, pair, bursts)
}


def timeline(spread: Spread, n: int, start: int, end: int) -> array[int]:
    """Return the times of `n` objects in `start <= time < end`, oldest first; a custom spread may return others."""
    if callable(spread):
        return array("q", sorted(spread(n, start, end)))
    if isinstance(spread, str):
        if spread not in SPREADS:
            raise InvalidSetting("spread", spread, SPREADS)
        return array("q", SPREADS[spread](n, start, end))
    if len(spread) != n:
        raise InvalidSetting("spread", f"{len(spread)} seconds", reason=f"There are {n} objects.")
    return array("q", sorted(spread))
