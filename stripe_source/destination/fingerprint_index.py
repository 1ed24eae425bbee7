"""The fingerprints of all rows of a table in 32 bytes a row, for a pass that compares every one of them.

As a dictionary of texts two million rows take 1.1 GB; here 64 MB.
"""
from __future__ import annotations

import hashlib
from array import array
from binascii import Error, a2b_base64, b2a_base64
from bisect import bisect_left
from typing import Any

from stripe_source.destination.version_index import DUPLICATE, Key, StoredVersion

_PRINT = 15  # bytes that a fingerprint stands for
_FEW = 10_000  # rows: that many are sorted without pyarrow's functions, whose import takes 30 ms and 9 MB
_DELETED, _UNEQUAL, _SEEN = 1, 2, 4  # flags of a row: `_UNEQUAL` if its fingerprint equals none of ours


class FingerprintIndex:
    """Keys and fingerprints of the rows of one table.

    A key is known by 128 bits of its hash, as the content of a row is known by the 120 bits of its fingerprint.
    """

    def __init__(self) -> None:
        self._high, self._low = array("Q"), array("Q")  # halves of the hashes
        self._prints, self._flags = bytearray(), bytearray()
        self._sorted = False

    def add(self, key: Key, print_: str, deleted: bool) -> None:
        """Take a row of the destination; all are taken before the first is looked up."""
        high, low = _halves(key)
        self._high.append(high)
        self._low.append(low)
        raw = _raw(print_)
        self._prints += raw or bytes(_PRINT)
        self._flags.append((_DELETED if deleted else 0) | (0 if raw else _UNEQUAL))

    def see(self, key: Key) -> StoredVersion | None:
        """What is stored of a key, which counts as seen; without `changed_at`. None: nothing."""
        places = self._places(key)
        if not places:
            return None
        deleted = all(self._flags[place] & _DELETED for place in places)
        unequal = len(places) > 1 or self._flags[places[0]] & _UNEQUAL
        for place in places:
            self._flags[place] |= _SEEN
        raw = self._prints[places[0] * _PRINT:(places[0] + 1) * _PRINT]
        return StoredVersion(DUPLICATE if unequal else b2a_base64(raw, newline=False).decode(), deleted)

    def unseen(self, key: Key) -> bool:
        """Whether a row with this key, not flagged as deleted, was not seen yet."""
        return any(not self._flags[place] & (_DELETED | _SEEN) for place in self._places(key))

    def seen(self, key: Key) -> bool:
        """Whether a row with this key was seen."""
        return any(self._flags[place] & _SEEN for place in self._places(key))

    def counts(self) -> tuple[int, int]:
        """The number of rows that are not flagged as deleted, and of those among them that were not seen."""
        alive = sum(self._flags.count(flags) for flags in range(8) if not flags & _DELETED)
        return alive, sum(self._flags.count(flags) for flags in range(8) if not flags & (_DELETED | _SEEN))

    def _places(self, key: Key) -> list[int]:
        """Where the rows of a key are: more than one after two loads at once."""
        if not self._sorted:
            self._sort()
        (high, low), found = _halves(key), []
        place = bisect_left(self._high, high)
        while place < len(self._high) and self._high[place] == high:
            if self._low[place] == low:
                found.append(place)
            place += 1
        return found

    def _sort(self) -> None:
        """Bring the rows into the order of their hashes."""
        self._sort_few() if len(self._high) <= _FEW else self._sort_many()
        self._sorted = True

    def _sort_few(self) -> None:
        order = sorted(range(len(self._high)), key=self._high.__getitem__)
        self._high, self._low = (array("Q", map(half.__getitem__, order)) for half in (self._high, self._low))
        self._prints = bytearray().join(self._prints[_PRINT * place:_PRINT * (place + 1)] for place in order)
        self._flags = bytearray(map(self._flags.__getitem__, order))

    def _sort_many(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        order = pc.array_sort_indices(_column(pa.uint64(), self._high))
        self._low = array("Q", _taken(pa.uint64(), self._low, order))
        self._prints = bytearray(_taken(pa.binary(_PRINT), self._prints, order))
        self._flags = bytearray(_taken(pa.uint8(), self._flags, order))
        self._high = array("Q", _taken(pa.uint64(), self._high, order))


def _column(kind: Any, values: array[int] | bytearray) -> Any:
    import pyarrow as pa

    held = memoryview(values).nbytes
    return pa.Array.from_buffers(kind, held * 8 // kind.bit_width, [None, pa.py_buffer(values)])


def _taken(kind: Any, values: array[int] | bytearray, order: Any) -> bytes:
    """The bytes of a column in another order."""
    if not values:
        return b""
    return bytes(_column(kind, values).take(order).buffers()[1].to_pybytes()[:memoryview(values).nbytes])


def _halves(key: Key) -> tuple[int, int]:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _raw(print_: str) -> bytes:
    """The bytes that a fingerprint of ours stands for; none for another text."""
    try:
        raw = a2b_base64(print_) if len(print_) == 20 else b""
    except (Error, ValueError):
        return b""
    return raw if len(raw) == _PRINT else b""
