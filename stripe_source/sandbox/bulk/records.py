"""Records and collections of a bulk world: nothing is stored, all is rendered from numbers when it is read."""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, overload

import orjson

from stripe_source.sandbox.bulk.ids import MAX_NUMBER, IdSuffixes
from stripe_source.sandbox.bulk.templates import Templates
from stripe_source.sandbox.state.catalog import OLDEST_FIRST
from stripe_source.sandbox.state.records import Collection, Data, Record
from stripe_source.sandbox.state.requests import Refusal

Item = TypeVar("Item")


class LazySequence(Sequence[Item]):
    """A sequence whose items are computed when they are read."""

    def __init__(self, length: int, make: Callable[[int], Item]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> list[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | list[Item]:
        if isinstance(at, slice):
            return [self._make(each) for each in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(at)
        return self._make(at % self._length)


class LazyMapping(Mapping[str, Item]):
    """A mapping whose values are computed when they are read; it cannot be iterated, `order` is there for that."""

    def __init__(self, find: Callable[[str], Item | None]) -> None:
        self._find = find

    def __getitem__(self, id: str) -> Item:
        found = self._find(id)
        if found is None:
            raise KeyError(id)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _refuse() -> NoReturn:
    raise Refusal(400, "Objects in bulk are rendered, not stored: they cannot be made, changed or deleted.")


class BulkRecord(Record):
    """An object in bulk, rendered when it is read. Hot: one is created for every object of every page."""

    __slots__ = ("collection", "number")

    def __init__(self, collection: BulkCollection, number: int) -> None:
        self.collection, self.number = collection, number

    # The base class has slots of these names; here they have one value for all records, hence no slots.
    parent = second_parent = None
    hidden = False

    @property
    def object(self) -> str:  # type: ignore[override]  # read only, as all of these
        return self.collection.object

    @property
    def id(self) -> str:  # type: ignore[override]
        return self.collection.id(self.number)

    @property
    def created(self) -> int:  # type: ignore[override]
        return self.collection.times[self.number]

    @property
    def seq(self) -> int:  # type: ignore[override]
        return self.number + 1

    @property
    def data(self) -> Data:  # type: ignore[override]
        return orjson.loads(self.collection.render(self.number))  # type: ignore[no-any-return]  # an object

    @property
    def expand_only(self) -> Data | None:  # type: ignore[override]
        return self.collection.expand_only(self.number)

    @property
    def cache(self) -> bytes:
        return self.collection.render(self.number)

    @cache.setter
    def cache(self, value: bytes | None) -> None:
        _refuse()


class BulkCollection(Collection):
    """All objects of a table, none of which is stored.

    Args:
        object: Stripe's name of the objects.
        head: what their ids begin with.
        times: when each object was created, oldest first.
        id_suffixes: suffixes of ids.
    """

    def __init__(self, object: str, head: str, times: array[int], id_suffixes: IdSuffixes) -> None:
        super().__init__()
        assert len(times) <= MAX_NUMBER
        self.object, self.head, self.times = object, head, times
        self._suffixes = id_suffixes
        # set when the collections of all tables exist, because objects refer to other tables
        self.expand_only_templates: Templates | None = None
        self.render: Callable[[int], bytes]
        self.records = LazyMapping(self.find)  # type: ignore[assignment]  # a mapping that nobody may change
        self._set_order()

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def id(self, number: int) -> str:
        """Return the id of an object."""
        return self.head + self._suffixes.suffix(number).decode()

    def number(self, id: str) -> int | None:
        """Return the number of the object with that id, or None."""
        number = self._suffixes.number(id[len(self.head):]) if id.startswith(self.head) else None
        return number if number is not None and number < len(self.times) else None

    def number_of_holder(self, id: str) -> int | None:
        """Return the number of the object that embeds the object with this id: both have the same suffix."""
        number = self._suffixes.number(id[-12:])
        return number if number is not None and number < len(self.times) else None

    def find(self, id: str) -> BulkRecord | None:
        """Return the object with that id, or None."""
        number = self.number(id)
        return None if number is None else BulkRecord(self, number)

    def expand_only(self, number: int) -> Data | None:
        """Return the fields of an object that only `expand[]` shows."""
        return orjson.loads(self.expand_only_templates.render(number)) if self.expand_only_templates else None

    def _set_order(self) -> None:
        times = self.times
        self._all = LazySequence(len(times), lambda number: BulkRecord(self, number))
        self._keys = LazySequence(len(times), lambda number: (times[number], number + 1))  # type: ignore[assignment]

    def extend(self, times: array[int]) -> None:
        """Add objects that were created at these unix seconds, after all that are there."""
        assert len(self.times) + len(times) <= MAX_NUMBER
        self.times.extend(times)
        self._set_order()

    def order(self) -> tuple[Any, Any]:
        """Return records and sort keys as sequences that compute their items."""
        return self._all, self._keys

    def put(self, record: Record) -> None:
        """Refuse: objects in bulk cannot be changed."""
        _refuse()

    def remove(self, record: Record) -> None:
        """Refuse: objects in bulk cannot be changed."""
        _refuse()

    def drop_before(self, created: int) -> None:
        """Drop nothing: the time line of a bulk table may be older than 30 days."""


class EmbeddedCollection(Collection):
    """Objects that objects in bulk embed: lines of invoices, items of subscriptions.

    Args:
        owner: the collection of the objects that embed them.
        field: the field of the embedded list.
        kind: Stripe's name of the embedded objects.
    """

    def __init__(self, owner: BulkCollection, field: str, kind: str) -> None:
        super().__init__()
        self.owner, self.field, self.kind = owner, field, kind
        self.children = LazyMapping(self._of)  # type: ignore[assignment]  # a mapping that nobody may change
        self.records = LazyMapping(self._find)  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.owner)  # a lower bound: each embeds one or more

    def _members(self, number: int) -> list[Record]:
        holder = BulkRecord(self.owner, number)
        shown = holder.data[self.field]["data"]
        return [Record(self.kind, each, holder.created, number * 100 + place, holder.id)
                for place, each in enumerate(shown if self.kind in OLDEST_FIRST else shown[::-1])]

    def _of(self, parent: str) -> list[Record] | None:
        number = self.owner.number(parent)
        return None if number is None else self._members(number)

    def _find(self, id: str) -> Record | None:
        number = self.owner.number_of_holder(id)
        return None if number is None else next((each for each in self._members(number) if each.id == id), None)

    def order(self) -> tuple[list[Record], list[tuple[int, int]]]:
        """Return all of them, computed anew by each call: for small tables only."""
        found = [record for number in range(len(self.owner)) for record in self._members(number)]
        return found, [record.sort_key for record in found]

    def put(self, record: Record) -> None:
        """Refuse: objects in bulk cannot be changed."""
        _refuse()
