"""Stored objects: a record for each object, a collection for all objects of one type."""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

Data = dict[str, Any]


class Record:
    """One stored object, and what lists need to know about it."""

    __slots__ = ("cache", "created", "data", "expand_only", "hidden", "id", "object", "parent", "second_parent", "seq")

    def __init__(
        self, object: str, data: Data, created: int, seq: int, parent: str | None, key: str | None = None
    ) -> None:
        self.id: str = key or data["id"]
        self.object = object
        self.created = created
        self.seq = seq
        self.data = data
        self.expand_only: Data | None = None
        self.parent = parent
        self.second_parent: str | None = None  # a second owner that no field of the object names
        self.hidden = False  # a GET by id finds it, lists leave it out
        self.cache: bytes | None = None

    @property
    def sort_key(self) -> tuple[int, int]:
        """What lists are sorted by: time, then order of creation."""
        return self.created, self.seq


class DeletedObject:
    """The last state of a deleted object."""

    __slots__ = ("data", "hidden", "id", "object", "parent", "position", "second_parent")

    def __init__(self, record: Record, data: Data, position: int | None) -> None:
        self.id, self.object, self.parent, self.hidden = record.id, record.object, record.parent, record.hidden
        self.data = data
        self.position, self.second_parent = position, record.second_parent


class Collection:
    """All objects of one type in one account, oldest first, and the deleted ones."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.children: dict[str, list[Record]] = {}
        self.deleted: dict[str, DeletedObject] = {}
        self._order: list[Record] = []
        self._keys: list[tuple[int, int]] = []
        self._stale = False

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())

    def put(self, record: Record) -> None:
        """Add a record; an id that is used again no longer counts as deleted."""
        self.records[record.id] = record
        if self.deleted:
            self.deleted.pop(record.id, None)
        if record.parent is not None:
            self.children.setdefault(record.parent, []).append(record)
        if not self._stale:
            if self._keys and record.sort_key < self._keys[-1]:
                self._stale = True
            else:
                self._order.append(record)
                self._keys.append(record.sort_key)

    def remove(self, record: Record) -> None:
        """Remove a record."""
        del self.records[record.id]
        if record.parent is not None:
            self.children[record.parent].remove(record)
        self._stale = True

    def drop_before(self, created: int) -> None:
        """Drop the records that were created before that time, as Stripe drops events after 30 days."""
        count = bisect_left(self.order()[1], (created, 0))
        if count:
            for record in self._order[:count]:
                del self.records[record.id]
            del self._order[:count], self._keys[:count]

    def order(self) -> tuple[list[Record], list[tuple[int, int]]]:
        """Return the records, oldest first, and their sort keys for a binary search."""
        if self._stale:
            self._order = sorted(self.records.values(), key=lambda record: record.sort_key)
            self._keys = [record.sort_key for record in self._order]
            self._stale = False
        return self._order, self._keys
