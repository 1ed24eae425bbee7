"""Suffixes of ids: a number as twelve letters and digits, and back."""
from __future__ import annotations

from functools import lru_cache
from random import Random
from string import ascii_letters, digits

LENGTH = 12
MAX_NUMBER = 4096**3  # so many numbers have a suffix


class IdSuffixes:
    """The id suffixes of a seed: they look random, and no two numbers have the same.

    >>> suffixes = IdSuffixes(1)
    >>> suffixes.number(suffixes.suffix(123_456).decode())
    123456
    """

    def __init__(self, seed: int) -> None:
        rng = Random(f"tails/{seed}")
        self._parts = [_part(rng) for _ in range(3)]
        self._places = [{part.decode(): place for place, part in enumerate(parts)} for parts in self._parts]

    def suffix(self, number: int) -> bytes:
        """Return the suffix of a number; hot: it runs several times for each object that is rendered."""
        high, middle, low = self._parts
        return high[number >> 24] + middle[number >> 12 & 4095] + low[number & 4095]

    def number(self, suffix: str) -> int | None:
        """Return the number with that suffix, or None."""
        found = [places.get(suffix[at:at + 4]) for places, at in zip(self._places, (0, 4, 8), strict=True)]
        if len(suffix) != LENGTH or None in found:
            return None
        high, middle, low = (place or 0 for place in found)
        return high << 24 | middle << 12 | low


def _part(rng: Random) -> list[bytes]:
    found: dict[str, None] = {}
    while len(found) < 4096:
        found["".join(rng.choices(ascii_letters + digits, k=4))] = None
    return [each.encode() for each in found]


@lru_cache(maxsize=8)
def id_suffixes(seed: int) -> IdSuffixes:
    """Return the suffixes of a seed; cached, as making them takes longer than a small table."""
    return IdSuffixes(seed)
