"""Ends of ids: numbers as twelve letters and digits, and back."""
from __future__ import annotations

from functools import lru_cache
from random import Random
from string import ascii_letters, digits

LENGTH = 12
MOST = 4096**3  # numbers that have an end of their own


class Tails:
    """The ends of all ids of a seed. Neighbours look as if drawn by lot; no two numbers have the same.

    >>> tails = Tails(1)
    >>> tails.number(tails.end(123_456).decode())
    123456
    """

    def __init__(self, seed: int) -> None:
        rng = Random(f"tails/{seed}")
        self._parts = [_part(rng) for _ in range(3)]
        self._places = [{part.decode(): place for place, part in enumerate(parts)} for parts in self._parts]

    def end(self, number: int) -> bytes:
        """The end of ids of that number; hot: several for each object that is rendered."""
        high, middle, low = self._parts
        return high[number >> 24] + middle[number >> 12 & 4095] + low[number & 4095]

    def number(self, end: str) -> int | None:
        """The number with that end, or None."""
        found = [places.get(end[at:at + 4]) for places, at in zip(self._places, (0, 4, 8), strict=True)]
        if len(end) != LENGTH or None in found:
            return None
        high, middle, low = (place or 0 for place in found)
        return high << 24 | middle << 12 | low


def _part(rng: Random) -> list[bytes]:
    found: dict[str, None] = {}
    while len(found) < 4096:
        found["".join(rng.choices(ascii_letters + digits, k=4))] = None
    return [each.encode() for each in found]


@lru_cache(maxsize=8)
def tails(seed: int) -> Tails:
    """The ends of a seed; making them takes longer than a small table."""
    return Tails(seed)
