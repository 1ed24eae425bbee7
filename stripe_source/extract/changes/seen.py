"""Which events of the overlap a run has seen: kept in the state, for the next run to know what is new; no I/O.

Each event is remembered by a mark of 8 bytes. Where a run saw many, one mark for all events of a second is kept: if
the next run finds the very same ones in that second, it has seen them all, and else it looks at them once more.
"""
from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from stripe_source.tables.objects import Object, unix_second

MOST_EVENTS = 2_000  # events with a mark of their own: 21,000 characters of base64
MOST_SECONDS = 2_500  # seconds with a mark: 40,000 characters. The state as a whole must not pass 65,535: Redshift's
MARK, SECOND = 8, 4  # bytes
_ALONE, _TOGETHER = "e", "s"  # what the text begins with


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
        self._marks: list[bytes] = []
        self._sums: dict[int, int] = defaultdict(int)  # by second, in the order in which they come

    def add(self, events: Iterable[Object]) -> None:
        """Note events."""
        for event in events:
            second = unix_second(event.get("created")) or 0
            if second >= self._since:
                mark = event_mark(event)
                self._sums[second] += int.from_bytes(mark, "big")
                if len(self._marks) <= MOST_EVENTS:
                    self._marks.append(mark)

    def text(self) -> str:
        """What the state keeps."""
        if len(self._marks) <= MOST_EVENTS:
            return _ALONE + base64.b64encode(b"".join(self._marks)).decode()
        newest = list(self._sums.items())[:MOST_SECONDS]
        parts = (second.to_bytes(SECOND, "big") + _mark_of_sum(sum_) for second, sum_ in newest)
        return _TOGETHER + base64.b64encode(b"".join(parts)).decode()


class SeenEvents:
    """The events that the run before had seen.

    Args:
        kept: the text of `NotedEvents`, or a list of marks in base64, which releases before 0.2 kept.
    """

    def __init__(self, kept: str | Iterable[str] = "") -> None:
        self._marks: set[bytes] = set()
        self._seconds: dict[int, bytes] = {}
        if not isinstance(kept, str):
            self._marks = {base64.b64decode(f"{mark}=") for mark in kept}
            return
        packed = base64.b64decode(kept[1:])
        if kept[:1] == _TOGETHER:
            parts = [packed[first:first + SECOND + MARK] for first in range(0, len(packed), SECOND + MARK)]
            self._seconds = {int.from_bytes(part[:SECOND], "big"): part[SECOND:] for part in parts}
        else:
            self._marks = {packed[first:first + MARK] for first in range(0, len(packed), MARK)}

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
            if self._seconds.get(second) == _mark_of_sum(sum(marks.values())):
                seen |= marks.keys()
        return seen


def _mark_of_sum(sum_: int) -> bytes:
    return (sum_ % (1 << 8 * MARK)).to_bytes(MARK, "big")
