"""Stored objects: a record for each object, a collection for all objects of one type."""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

Data = dict[str, Any]


class Record:
    """One stored object, with what its list needs to know of it."""

    __slots__ = ("also", "cache", "created", "data", "hidden", "id", "object", "parent", "second", "seq")

    def __init__(
        self, object: str, data: Data, created: int, seq: int, parent: str | None, key: str | None = None
    ) -> None:
        self.id: str = key or data["id"]
        self.object = object
        self.created = created
        self.seq = seq
        self.data = data
        self.also: Data | None = None
        self.parent = parent
        self.second: str | None = None  # another owner, where the object itself does not name it
        self.hidden = False  # readable by id, but in no list
        self.cache: bytes | None = None

    @property
    def place(self) -> tuple[int, int]:
        """What lists are sorted by."""
        return self.created, self.seq


class Gone:
    """What is remembered of a deleted object."""

    __slots__ = ("data", "hidden", "id", "object", "parent", "position", "second")

    def __init__(self, record: Record, data: Data, position: int | None) -> None:
        self.id, self.object, self.parent, self.hidden = record.id, record.object, record.parent, record.hidden
        self.data = data
        self.position, self.second = position, record.second


class Shelf:
    """All objects of one type, oldest first, and what was on the shelf before."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.children: dict[str, list[Record]] = {}
        self.gone: dict[str, Gone] = {}
        self._order: list[Record] = []
        self._keys: list[tuple[int, int]] = []
        self._stale = False

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())

    def put(self, record: Record) -> None:
        """Adds a record; one that was deleted is no longer gone when it is made anew."""
        self.records[record.id] = record
        if self.gone:
            self.gone.pop(record.id, None)
        if record.parent is not None:
            self.children.setdefault(record.parent, []).append(record)
        if not self._stale:
            if self._keys and record.place < self._keys[-1]:
                self._stale = True
            else:
                self._order.append(record)
                self._keys.append(record.place)

    def take(self, record: Record) -> None:
        """Removes a record."""
        del self.records[record.id]
        if record.parent is not None:
            self.children[record.parent].remove(record)
        self._stale = True

    def drop_before(self, created: int) -> None:
        """Forgets what is older: events, after 30 days."""
        count = bisect_left(self.order()[1], (created, 0))
        if count:
            for record in self._order[:count]:
                del self.records[record.id]
            del self._order[:count], self._keys[:count]

    def order(self) -> tuple[list[Record], list[tuple[int, int]]]:
        """Records oldest first, and their places for a binary search."""
        if self._stale:
            self._order = sorted(self.records.values(), key=lambda record: record.place)
            self._keys = [record.place for record in self._order]
            self._stale = False
        return self._order, self._keys
