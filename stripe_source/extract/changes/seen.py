"""Which events of the overlap were seen: kept in the state, for the next runs to know what is new; no I/O.

Each pass over the feed has a number, and notes the events that no pass before it had seen. So a table knows what it has
met by the number of the last pass that was applied to it, also where other passes were made for other tables since.

Each event is remembered by a mark of 8 bytes. Where a run saw many, one mark for all events of a second is kept: if
the next run finds the very same ones in that second, it has seen them all, and else it looks at them once more.
"""
from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stripe_source.tables.objects import Object, unix_second

MOST_EVENTS = 2_000  # events with a mark of their own: 21,000 characters of base64
MOST_SECONDS = 2_500  # seconds with a mark: 40,000 characters. The state as a whole must not pass 65,535: Redshift's
MOST_CHARACTERS = 40_000  # of all passes together
MARK, SECOND = 8, 4  # bytes
CLOCKS = 60  # seconds by which the time of an event may be ahead of that of the pass that saw it
_ALONE, _TOGETHER = "e", "s"  # what the text begins with


@dataclass(frozen=True)
class FeedPass:
    """What one pass over the change feed saw.

    Args:
        number: of the pass; later ones have greater numbers.
        at: unix second at Stripe when it began.
        seen: the events that no pass before had seen, as `NotedEvents.text` packs them.
    """

    number: int
    at: int
    seen: str | list[str]


@dataclass(frozen=True)
class FeedMemory:
    """What is known of the passes over the change feed.

    Args:
        number: of the last one.
        passes: those that are needed, the oldest first.
    """

    number: int = 0
    passes: Sequence[FeedPass] = ()

    def seen(self, until: int | None = None) -> SeenEvents:
        """The events that passes had seen, up to that with a number; None: all."""
        return SeenEvents(*(each.seen for each in self.passes if until is None or each.number <= until))


def needed_passes(
    passes: Sequence[FeedPass], tables: Collection[tuple[int, int]], lookback: int
) -> list[FeedPass]:
    """The passes that say which events of the overlaps to come were seen; of too much the newest.

    Args:
        passes: all, the oldest first.
        tables: of each table the number of the last pass that was applied to it, and the second when that began.
        lookback: seconds that are read again behind it.
    """
    kept: list[FeedPass] = []
    size = 0
    for each in reversed(passes):
        needed = any(each.number <= number and each.at >= at - lookback - CLOCKS for number, at in tables)
        size += len(each.seen) + 40 if needed else 0
        if needed and (size <= MOST_CHARACTERS or not kept):
            kept.append(each)
    return kept[::-1]


def event_mark(event: Mapping[str, Any]) -> bytes:
    """What is remembered of an event."""
    return hashlib.blake2b(str(event.get("id")).encode("utf-8", "surrogatepass"), digest_size=MARK).digest()


class NotedEvents:
    """The events of the overlap that a run sees, newest first.

    Args:
        since: unix second with which the overlap of the next run begins, at the earliest.
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._marks: list[tuple[int, bytes]] = []
        self._sums: dict[int, int] = defaultdict(int)  # by second, in the order in which they come

    def add(self, events: Iterable[Object]) -> None:
        """Note events."""
        for event in events:
            second = unix_second(event.get("created")) or 0
            if second >= self._since:
                mark = event_mark(event)
                self._sums[second] += int.from_bytes(mark, "big")
                if len(self._marks) <= MOST_EVENTS:
                    self._marks.append((second, mark))

    def text(self, known: SeenEvents | None = None) -> str:
        """What the state keeps; "" where all was known.

        Args:
            known: what passes before had seen, which is left out.
        """
        known = known or SeenEvents()
        if len(self._marks) <= MOST_EVENTS:
            news = [mark for second, mark in self._marks if not known.has(mark, second, self._sums[second])]
            return _ALONE + base64.b64encode(b"".join(news)).decode() if news else ""
        newest = [each for each in self._sums.items() if not known.has_second(*each)][:MOST_SECONDS]
        parts = (second.to_bytes(SECOND, "big") + _mark_of_sum(sum_) for second, sum_ in newest)
        return _TOGETHER + base64.b64encode(b"".join(parts)).decode() if newest else ""


class SeenEvents:
    """The events that earlier passes had seen.

    Args:
        passes: of each the text of `NotedEvents`, or a list of marks in base64, which releases before 0.2 kept.
    """

    def __init__(self, *passes: str | Iterable[str]) -> None:
        self._marks: set[bytes] = set()
        self._seconds: dict[int, bytes] = {}
        for kept in passes:
            self._add(kept)

    def _add(self, kept: str | Iterable[str]) -> None:
        if not isinstance(kept, str):
            self._marks |= {base64.b64decode(f"{mark}=") for mark in kept}
            return
        packed = base64.b64decode(kept[1:])
        if kept[:1] == _TOGETHER:
            parts = [packed[first:first + SECOND + MARK] for first in range(0, len(packed), SECOND + MARK)]
            self._seconds |= {int.from_bytes(part[:SECOND], "big"): part[SECOND:] for part in parts}
        else:
            self._marks |= {packed[first:first + MARK] for first in range(0, len(packed), MARK)}

    def has(self, mark: bytes, second: int, sum_: int) -> bool:
        """Whether an event had been seen, by its mark and the marks of all events of its second."""
        return mark in self._marks or self.has_second(second, sum_)

    def has_second(self, second: int, sum_: int) -> bool:
        """Whether the events of a second had been seen together."""
        return self._seconds.get(second) == _mark_of_sum(sum_)

    def among(self, events: Iterable[Object]) -> set[str]:
        """The ids of those events that had been seen.

        Args:
            events: all of each of their seconds.
        """
        seen: set[str] = set()
        by_second: dict[int, dict[str, int]] = defaultdict(dict)
        for event in events:
            id, mark = str(event.get("id")), event_mark(event)
            if mark in self._marks:
                seen.add(id)
            if self._seconds:
                by_second[unix_second(event.get("created")) or 0][id] = int.from_bytes(mark, "big")
        for second, marks in by_second.items():
            if self.has_second(second, sum(marks.values())):
                seen |= marks.keys()
        return seen


def _mark_of_sum(sum_: int) -> bytes:
    return (sum_ % (1 << 8 * MARK)).to_bytes(MARK, "big")
