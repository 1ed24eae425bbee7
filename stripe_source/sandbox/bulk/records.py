"""Shelves of a bulk world: they hold no objects, and are read as the sandbox's other shelves are."""
from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, overload

import orjson

from stripe_source.sandbox.bulk.ids import MOST, Tails
from stripe_source.sandbox.bulk.templates import Templates
from stripe_source.sandbox.state.catalog import OLDEST_FIRST
from stripe_source.sandbox.state.records import Data, Record, Shelf
from stripe_source.sandbox.state.requests import Refusal

Item = TypeVar("Item")


class Lazy(Sequence[Item]):
    """A sequence whose items are made when they are asked for."""

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


class Found(Mapping[str, Item]):
    """A mapping that computes what is asked for; to go through it, there is the shelf's order."""

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


def _fixed() -> NoReturn:
    raise Refusal(400, "Objects in bulk are rendered, not stored: they cannot be made, changed or deleted.")


class BulkRecord(Record):
    """An object in bulk: what it consists of is rendered when it is looked at. Made for every object of every page."""

    __slots__ = ("number", "shelf")

    def __init__(self, shelf: BulkShelf, number: int) -> None:
        self.shelf, self.number = shelf, number

    # The base has slots of these names; what is not the object's own is the same for all, hence no slot.
    parent = second = None
    hidden = False

    @property
    def object(self) -> str:  # type: ignore[override]  # read only, as all of these
        return self.shelf.object

    @property
    def id(self) -> str:  # type: ignore[override]
        return self.shelf.id(self.number)

    @property
    def created(self) -> int:  # type: ignore[override]
        return self.shelf.times[self.number]

    @property
    def seq(self) -> int:  # type: ignore[override]
        return self.number + 1

    @property
    def data(self) -> Data:  # type: ignore[override]
        return orjson.loads(self.shelf.render(self.number))  # type: ignore[no-any-return]  # an object

    @property
    def also(self) -> Data | None:  # type: ignore[override]
        return self.shelf.also(self.number)

    @property
    def cache(self) -> bytes:
        return self.shelf.render(self.number)

    @cache.setter
    def cache(self, value: bytes | None) -> None:
        _fixed()


class BulkShelf(Shelf):
    """All objects of a table, none of which is kept.

    Args:
        object: Stripe's name of the objects.
        head: how their ids begin.
        times: when each was created, oldest first.
        tails: ends of ids.
    """

    def __init__(self, object: str, head: str, times: array[int], tails: Tails) -> None:
        super().__init__()
        assert len(times) <= MOST
        self.object, self.head, self.times = object, head, times
        self._tails = tails
        self.templates: Templates  # what renders them, and what comes with `expand[]` only; made when all tables are
        self.extras: Templates | None = None
        self.render: Callable[[int], bytes]
        self.records = Found(self.find)  # type: ignore[assignment]  # a mapping that nobody may change
        self._all = Lazy(len(times), lambda number: BulkRecord(self, number))
        self._keys = Lazy(len(times), lambda number: (times[number], number + 1))  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def id(self, number: int) -> str:
        """The id of an object."""
        return self.head + self._tails.end(number).decode()

    def number(self, id: str) -> int | None:
        """The number of the object with that id, or None."""
        number = self._tails.number(id[len(self.head):]) if id.startswith(self.head) else None
        return number if number is not None and number < len(self.times) else None

    def behind(self, id: str) -> int | None:
        """The number of the object that holds what has this id: both end in the same way."""
        number = self._tails.number(id[-12:])
        return number if number is not None and number < len(self.times) else None

    def find(self, id: str) -> BulkRecord | None:
        """The object with that id."""
        number = self.number(id)
        return None if number is None else BulkRecord(self, number)

    def also(self, number: int) -> Data | None:
        """What an object shows with `expand[]` only."""
        return orjson.loads(self.extras.render(number)) if self.extras else None

    def order(self) -> tuple[Any, Any]:
        """As sequences, which compute what is looked at."""
        return self._all, self._keys

    def put(self, record: Record) -> None:
        """Refused."""
        _fixed()

    def take(self, record: Record) -> None:
        """Refused."""
        _fixed()

    def drop_before(self, created: int) -> None:
        """Nothing is dropped: events are there as long as their spread says."""


class Below(Shelf):
    """What objects in bulk hold as a list: lines of invoices, items of subscriptions.

    Args:
        owner: where those objects are.
        field: of the list in them.
        kind: Stripe's name of what is in it.
    """

    def __init__(self, owner: BulkShelf, field: str, kind: str) -> None:
        super().__init__()
        self.owner, self.field, self.kind = owner, field, kind
        self.children = Found(self._of)  # type: ignore[assignment]  # a mapping that nobody may change
        self.records = Found(self._find)  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.owner)  # at least

    def _held(self, number: int) -> list[Record]:
        holder = BulkRecord(self.owner, number)
        shown = holder.data[self.field]["data"]
        return [Record(self.kind, each, holder.created, number * 100 + place, holder.id)
                for place, each in enumerate(shown if self.kind in OLDEST_FIRST else shown[::-1])]

    def _of(self, parent: str) -> list[Record] | None:
        number = self.owner.number(parent)
        return None if number is None else self._held(number)

    def _find(self, id: str) -> Record | None:
        number = self.owner.behind(id)
        return None if number is None else next((each for each in self._held(number) if each.id == id), None)

    def order(self) -> tuple[list[Record], list[tuple[int, int]]]:
        """All of them, made anew each time: for small tables only."""
        found = [record for number in range(len(self.owner)) for record in self._held(number)]
        return found, [record.place for record in found]

    def put(self, record: Record) -> None:
        """Refused."""
        _fixed()
