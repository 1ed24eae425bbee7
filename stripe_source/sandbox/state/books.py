"""Where the sandbox keeps objects: the books of an account hold one collection for each type of object."""
from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

import orjson

from stripe_source.sandbox.state.catalog import (
    EMBEDDED,
    HELD_WHOLE,
    INLINE,
    OLDEST_FIRST,
    blank,
    has_blank,
    prefix,
    shown,
)
from stripe_source.sandbox.state.faults import Faults
from stripe_source.sandbox.state.records import Data, Gone, Record, Shelf

EMBEDDED_MOST = 10  # a list inside an object is cut here
_LENGTHS = {"customer": 14, "product": 14, "subscription_item": 14, "coupon": 8, "account": 16, "plan": 24}
_ALWAYS = {
    name: [(field, kinds, path) for field, (kinds, path, expand) in fields.items() if not expand]
    for name, fields in EMBEDDED.items()
}


class WorldState(Protocol):
    """What accounts need of the world that they belong to; `World` explains its options."""

    rng: Random
    faults: Faults
    clock: int
    seq: int
    version: int
    events_from: int
    notices_from: int
    event_version: str
    request_id: str | None
    idempotency_key: str | None
    books: Books
    accounts: dict[str, Books]
    populated: set[str]

    @property
    def seed(self) -> int: ...
    @property
    def livemode(self) -> bool: ...
    @property
    def clocks_tell(self) -> bool: ...
    @property
    def payout_lists_itself(self) -> bool: ...
    @property
    def prices_bare(self) -> str: ...
    @property
    def schema_maps(self) -> Path | None: ...
    @property
    def now(self) -> int: ...
    @property
    def application_id(self) -> str: ...
    @property
    def connected(self) -> Sequence[str]: ...
    def at(self, moment: int, action: Callable[..., Any], *args: Any) -> None: ...


class Books:
    """All objects of one account, and the primitives that every change is made of."""

    def __init__(self, world: WorldState, account: str) -> None:
        self.world = world
        self.account = account
        self.shelves: dict[str, Shelf] = {}
        self.discounts: dict[str, Data] = {}  # every discount there ever was
        self.balance: dict[str, list[int]] = {}  # currency -> available, pending
        self.unswept: dict[str, list[Record]] = {}  # currency -> available and in no payout yet
        self.swept: dict[str, list[Record]] = {}  # payout -> its balance transactions
        self.waiting: dict[str, list[Record]] = {}  # customer -> invoice items that may be in no invoice yet
        self.counters: dict[str, int] = {}
        self.profile: Data = {}  # the account object of these books
        self.singles: dict[str, Data] = {}  # settings, of which an account has one each
        self.expanded: dict[tuple[str, str, tuple[str, ...]], tuple[int, bytes]] = {}
        self.past: dict[str, dict[str, list[tuple[int, Record | None]]]] = {}  # what lists go on showing, until when
        self.late: dict[str, int] = {}  # events that no list shows before that time
        self.listing = False  # a list is being answered: what is embedded in it by `expand[]` lags too
        self.untold = False  # what happens now has no events

    @property
    def now(self) -> int:
        """The world's time."""
        return self.world.clock

    def shelf(self, object: str) -> Shelf:
        """The shelf of an object type."""
        shelf = self.shelves.get(object)
        if shelf is None:
            shelf = self.shelves[object] = Shelf()
        return shelf

    def count(self, name: str) -> int:
        """1, 2, 3 …, each name by itself."""
        self.counters[name] = self.counters.get(name, 0) + 1
        return self.counters[name]

    def new_id(self, object: str, rng: Random | None = None) -> str:
        """An id that looks like Stripe's, the same in every world with the same seed."""
        length = _LENGTHS.get(object, 0)
        raw = base64.b64encode((rng or self.world.rng).randbytes(18), b"xY").decode()
        if object == "coupon":
            return raw[:length].upper()
        start = prefix(object)
        if object == "checkout.session":
            start = "cs_live_a1" if self.world.livemode else "cs_test_a1"
            return start + raw + base64.b64encode(self.world.rng.randbytes(24), b"xY").decode()
        return f"{start}_{raw[:length]}" if length else f"{start}_1{raw[1:]}"

    # --- reading

    def find(self, object: str, id: str | None) -> Record | None:
        """A record, or None."""
        shelf = self.shelves.get(object)
        return shelf.records.get(id) if shelf and id else None

    def get(self, object: str, id: str) -> Record:
        """A record that must exist."""
        record = self.find(object, id)
        if record is None:
            raise KeyError(f"There is no `{object}` `{id}` in account `{self.account}`.")
        return record

    def all(self, object: str) -> list[Record]:
        """All records of a type, oldest first."""
        return self.shelf(object).order()[0]

    def children(self, kinds: tuple[str, ...], parent: str) -> list[Record]:
        """The children of an object in the order of their list."""
        if len(kinds) == 1:
            found = self.shelf(kinds[0]).children.get(parent, [])
        else:
            found = sorted(
                (record for kind in kinds for record in self.shelf(kind).children.get(parent, ())),
                key=lambda record: record.place,
            )
        return found if kinds[0] in OLDEST_FIRST else found[::-1]

    def json(self, record: Record) -> bytes:
        """The object as a bare GET answers it; kept until it changes."""
        if record.cache is None:
            record.cache = orjson.dumps(self.show(record))
        return record.cache

    def show(self, record: Record) -> Data:
        """The object as a bare GET shows it: stored fields, whole objects inside, first pages of lists."""
        data = record.data
        inline, always = INLINE.get(record.object), _ALWAYS.get(record.object)
        if not inline and not always:
            return data
        data = dict(data)
        for field, target in (inline or {}).items():
            value = data.get(field)
            if isinstance(value, str):
                found = self.find(target, value)
                data[field] = self.show(found) if found else self.stub(target, value)
            elif value and isinstance(value, list):
                data[field] = [self.show(self.get(target, each)) if isinstance(each, str) else each for each in value]
        for field, kinds, path in always or ():
            if field in data:
                data[field] = self.embed(kinds, path, record.id)
        return data

    def embed(self, kinds: tuple[str, ...], path: str, parent: str, *, listed: bool = False) -> Data:
        """A list object as it comes inside its parent: at most ten members."""
        members = self.listed_children(kinds, parent) if listed else self.children(kinds, parent)
        return {
            "object": "list",
            "data": [orjson.Fragment(self.json(member)) for member in members[:EMBEDDED_MOST]],
            "has_more": len(members) > EMBEDDED_MOST,
            "total_count": len(members),
            "url": path.replace("{id}", parent),
        }

    def stub(self, object: str, id: str) -> Data:
        """What is left of a deleted object."""
        return {"id": id, "object": object, "deleted": True}

    def plain(self, record: Record) -> Data:
        """A copy of what `json` holds, as Python values."""
        return orjson.loads(self.json(record))  # type: ignore[no-any-return]  # an object

    # --- what lists show, which may be what was true a while ago, see `faults.Lag`

    def _past(self, object: str) -> dict[str, list[tuple[int, Record | None]]]:
        """Objects of a type that lists do not show as they are."""
        if not self.past:
            return {}
        if self.world.faults.lag is None:
            self.past.clear()
            return {}
        now = self.now
        held = {id: left for id, entries in self.past.get(object, {}).items()
                if (left := [entry for entry in entries if entry[0] > now])}
        self.past[object] = held
        return held

    def listed(self, object: str) -> list[Record]:
        """All records of a type as lists show them, oldest first."""
        past = self._past(object)
        if not past:
            return self.all(object)
        return sorted(_seen(self.all(object), past, self.shelf(object)), key=lambda record: record.place)

    def listed_children(self, kinds: tuple[str, ...], parent: str) -> list[Record]:
        """The children of an object as lists show them, in the order of their list."""
        pasts = [(self.shelf(kind), self._past(kind)) for kind in kinds] if self.past else []
        if not any(past for _, past in pasts):
            return self.children(kinds, parent)
        found = [record for shelf, past in pasts for record in _seen(shelf.children.get(parent, []), past, shelf)
                 if record.parent == parent]
        return sorted(found, key=lambda record: record.place, reverse=kinds[0] not in OLDEST_FIRST)

    def remember(self, record: Record, *, new: bool = False) -> None:
        """Before a change: lists go on showing what is now, for a time drawn by lot; so do lists of what embeds it."""
        lag = self.world.faults.lag
        if lag is None or not lag.lists:
            return
        owners = [self.find(owner, record.parent) for owner in _OWNERS.get(record.object, ()) if record.parent]
        about = [record, *(owner for owner in owners if owner is not None)]
        pasts = [self.past.setdefault(each.object, {}).setdefault(each.id, []) for each in about]
        # no change is seen before an earlier one of the same object, nor a child before its parent's list has it
        until = max([self.now + self.world.faults.rng.randint(0, lag.lists), *(past[-1][0] for past in pasts if past)])
        for each, past in zip(about, pasts, strict=True):
            if until > self.now:
                past.append((until, None if new and each is record else self._as_is(each)))

    def _as_is(self, record: Record) -> Record:
        """A copy that does not change any more."""
        body = self.json(record)
        copy = Record(record.object, orjson.loads(body), record.created, record.seq, record.parent, record.id)
        copy.also, copy.second, copy.hidden, copy.cache = record.also, record.second, record.hidden, body
        return copy

    # --- changing; each of these may be followed by an event, see `events.emit`

    def add(
        self, object: str, /, *, id: str | None = None, under: str | None = None, also: Data | None = None,
        hidden: bool = False, key: str | None = None, **fields: Any,
    ) -> Record:
        """Stores a new object: a blank with `fields`, an id and the time."""
        data: Data = blank(object) if has_blank(object) else {"id": "", "object": shown(object)}
        now = self.world.clock
        data["id"] = id or self.new_id(object)
        if "created" in data:
            data["created"] = now
        if self.world.livemode and "livemode" in data:
            data["livemode"] = True
        data.update(fields)
        self.world.seq += 1
        if "test_clock" in data and not data["test_clock"] and data.get("customer"):
            owner = self.find("customer", data["customer"]) if isinstance(data["customer"], str) else None
            data["test_clock"] = owner.data["test_clock"] if owner else None
        created = data.get("created") or data.get("date")
        record = Record(object, data, created if isinstance(created, int) else now, self.world.seq, under, key)
        record.also, record.hidden = also, hidden
        if self.world.faults.lag is not None:
            self.remember(record, new=True)
        self.shelf(object).put(record)
        self.touch(record, new=True)
        return record

    def touch(self, record: Record, *, new: bool = False) -> None:
        """Forgets what the object looked like, and those that show it."""
        self.world.version += 1
        record.cache = None
        if record.parent is not None:
            for owner in _OWNERS.get(record.object, ()):
                parent = self.find(owner, record.parent)
                if parent is not None:
                    parent.cache = None
        if record.object == "discount" and not new:
            holder = self.find("customer", record.data["customer"])
            if holder is not None:
                holder.cache = None
        if record.object in HELD_WHOLE and not new:
            for object, fields in INLINE.items():
                if record.object in fields.values() and object in self.shelves:
                    _forget(self, object)

    def remove(self, record: Record) -> None:
        """Takes an object away for good; its last state is remembered."""
        shelf = self.shelf(record.object)
        position = None
        if record.parent is not None:
            position = self.children((record.object,), record.parent).index(record)
        if self.world.faults.lag is not None:
            self.remember(record)
        last = self.plain(record)
        shelf.gone[record.id] = Gone(record, last, position)
        shelf.take(record)
        self.touch(record)


def _seen(
    records: list[Record], past: dict[str, list[tuple[int, Record | None]]], shelf: Shelf
) -> Iterator[Record]:
    """Each record as the oldest change that is not seen yet left it; those that are gone but still seen, too."""
    for record in records:
        was = past[record.id][0][1] if record.id in past else record
        if was is not None:
            yield was
    for id, entries in past.items():
        was = entries[0][1]
        if id not in shelf.records and was is not None:
            yield was


_OWNERS: dict[str, list[str]] = {}
for _owner, _fields in EMBEDDED.items():
    for _kinds, _path, _expand in _fields.values():
        for _kind in _kinds:
            if not _expand:
                _OWNERS.setdefault(_kind, []).append(_owner)


def _forget(books: Books, holder: str) -> None:
    for record in books.shelf(holder):
        if record.cache is not None:
            record.cache = None
            for owner in _OWNERS.get(holder, ()):
                parent = books.find(owner, record.parent)
                if parent is not None:
                    parent.cache = None
