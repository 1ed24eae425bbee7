"""The store of the sandbox: the books of an account hold one collection for each type of object."""
from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Protocol

import orjson

from stripe_source.sandbox.reports.settings import Reports
from stripe_source.sandbox.state.catalog import (
    EMBEDDED,
    INLINE,
    INLINED_OBJECTS,
    OLDEST_FIRST,
    blank,
    has_blank,
    prefix,
    stripe_name,
)
from stripe_source.sandbox.state.faults import Faults
from stripe_source.sandbox.state.records import Collection, Data, DeletedObject, Record

EMBEDDED_LIMIT = 10  # members that a list inside of an object has at most
_LENGTHS = {"customer": 14, "product": 14, "subscription_item": 14, "coupon": 8, "account": 16, "plan": 24}
_ALWAYS_EMBEDDED = {
    name: [(field, kinds, path) for field, (kinds, path, expand) in fields.items() if not expand]
    for name, fields in EMBEDDED.items()
}


class WorldState(Protocol):
    """What accounts need of the world that they belong to; `World` explains its options."""

    rng: Random
    faults: Faults
    reports: Reports
    clock: int
    seq: int
    revision: int
    events_from: int
    announcements_from: int
    event_version: str
    request_id: str | None
    idempotency_key: str | None
    books: Books
    accounts: dict[str, Books]
    populated: set[str]

    @property
    def seed(self) -> int: ...
    @property
    def currencies(self) -> tuple[str, ...]: ...
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
    def call_at(self, moment: int, action: Callable[..., Any], *args: Any) -> None: ...


class Books:
    """All objects of one account, with its balance and counters, and the primitives that every change is made of.

    The name is that of bookkeeping: the books of a company are the record of all that happened in it.
    """

    def __init__(self, world: WorldState, account: str) -> None:
        self.world = world
        self.account = account
        self.collections: dict[str, Collection] = {}
        self.discounts: dict[str, Data] = {}  # all discounts, the ended ones included
        self.balance: dict[str, list[int]] = {}  # currency -> available, pending
        self.not_paid_out: dict[str, list[Record]] = {}  # currency -> available, in no payout yet
        self.payout_transactions: dict[str, list[Record]] = {}  # payout -> its balance transactions
        self.pending_items: dict[str, list[Record]] = {}  # customer -> invoice items without an invoice, or once so
        self.counters: dict[str, int] = {}
        self.profile: Data = {}  # the account object
        self.singletons: dict[str, Data] = {}  # objects that an account has one of, such as settings
        self.expansion_cache: dict[tuple[str, str, tuple[str, ...]], tuple[int, bytes]] = {}
        # object -> id -> (until when lists show it, the version that they show; None: they do not show the object)
        self.stale_versions: dict[str, dict[str, list[tuple[int, Record | None]]]] = {}
        self.delayed_events: dict[str, int] = {}  # event -> when lists begin to show it
        self.answering_list = False  # lists that `expand[]` embeds in a list lag as well
        self.events_suppressed = False  # changes emit no events at the moment

    @property
    def now(self) -> int:
        """The world's time in unix seconds."""
        return self.world.clock

    def collection(self, object: str) -> Collection:
        """Return the collection of an object type; an empty one is made where there is none."""
        collection = self.collections.get(object)
        if collection is None:
            collection = self.collections[object] = Collection()
        return collection

    def count(self, name: str) -> int:
        """Return 1, 2, 3 …: how often this name has been counted."""
        self.counters[name] = self.counters.get(name, 0) + 1
        return self.counters[name]

    def new_id(self, object: str, rng: Random | None = None) -> str:
        """Return an id that looks like Stripe's; worlds with the same seed give the same ids."""
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
        """Return the record with that id, or None."""
        collection = self.collections.get(object)
        return collection.records.get(id) if collection and id else None

    def get(self, object: str, id: str) -> Record:
        """Return the record with that id; raise KeyError if there is none."""
        record = self.find(object, id)
        if record is None:
            raise KeyError(f"There is no `{object}` `{id}` in account `{self.account}`.")
        return record

    def all(self, object: str) -> list[Record]:
        """Return all records of a type, oldest first."""
        return self.collection(object).order()[0]

    def children(self, kinds: tuple[str, ...], parent: str) -> list[Record]:
        """Return the children of an object in the order of their list."""
        if len(kinds) == 1:
            found = self.collection(kinds[0]).children.get(parent, [])
        else:
            found = sorted(
                (record for kind in kinds for record in self.collection(kind).children.get(parent, ())),
                key=lambda record: record.sort_key,
            )
        return found if kinds[0] in OLDEST_FIRST else found[::-1]

    def to_json(self, record: Record) -> bytes:
        """Return the body that a plain GET of the object answers; it is cached until the object changes."""
        if record.cache is None:
            record.cache = orjson.dumps(self.render(record))
        return record.cache

    def render(self, record: Record) -> Data:
        """Return the object as a plain GET shows it: its fields, embedded objects, and first pages of its lists."""
        data = record.data
        inline, always = INLINE.get(record.object), _ALWAYS_EMBEDDED.get(record.object)
        if not inline and not always:
            return data
        data = dict(data)
        for field, target in (inline or {}).items():
            value = data.get(field)
            if isinstance(value, str):
                found = self.find(target, value)
                data[field] = self.render(found) if found else self.stub(target, value)
            elif value and isinstance(value, list):
                data[field] = [self.render(self.get(target, each)) if isinstance(each, str) else each for each in value]
        for field, kinds, path in always or ():
            if field in data:
                data[field] = self.embedded_list(kinds, path, record.id)
        return data

    def embedded_list(self, kinds: tuple[str, ...], path: str, parent: str, *, listed: bool = False) -> Data:
        """Return the list object that is embedded in its parent, with at most ten members."""
        members = self.listed_children(kinds, parent) if listed else self.children(kinds, parent)
        return {
            "object": "list",
            "data": [orjson.Fragment(self.to_json(member)) for member in members[:EMBEDDED_LIMIT]],
            "has_more": len(members) > EMBEDDED_LIMIT,
            "total_count": len(members),
            "url": path.replace("{id}", parent),
        }

    def stub(self, object: str, id: str) -> Data:
        """Return what Stripe answers for a deleted object."""
        return {"id": id, "object": object, "deleted": True}

    def to_dict(self, record: Record) -> Data:
        """Return the object as a plain GET shows it, as a new dict."""
        return orjson.loads(self.to_json(record))  # type: ignore[no-any-return]  # an object

    # --- reading as lists do, which may be behind, see `faults.Lag`

    def _unexpired_versions(self, object: str) -> dict[str, list[tuple[int, Record | None]]]:
        """Return the stale versions of a type that lists still show, by id."""
        if not self.stale_versions:
            return {}
        if self.world.faults.lag is None:
            self.stale_versions.clear()
            return {}
        now = self.now
        held = {id: left for id, entries in self.stale_versions.get(object, {}).items()
                if (left := [entry for entry in entries if entry[0] > now])}
        self.stale_versions[object] = held
        return held

    def listed(self, object: str) -> list[Record]:
        """Return all records of a type as lists show them, oldest first."""
        past = self._unexpired_versions(object)
        if not past:
            return self.all(object)
        return sorted(_as_listed(self.all(object), past, self.collection(object)), key=lambda record: record.sort_key)

    def listed_children(self, kinds: tuple[str, ...], parent: str) -> list[Record]:
        """Return the children of an object as lists show them, in the order of their list."""
        if not self.stale_versions:
            return self.children(kinds, parent)
        collections = [(self.collection(kind), self._unexpired_versions(kind)) for kind in kinds]
        if not any(stale for _, stale in collections):
            return self.children(kinds, parent)
        found = [record for collection, stale in collections
                 for record in _as_listed(collection.children.get(parent, []), stale, collection)
                 if record.parent == parent]
        return sorted(found, key=lambda record: record.sort_key, reverse=kinds[0] not in OLDEST_FIRST)

    def keep_for_stale_lists(self, record: Record, *, new: bool = False) -> None:
        """Let lists show the present version of a record, and of what embeds it, for a random time after a change."""
        lag = self.world.faults.lag
        if lag is None or not lag.lists:
            return
        embedding = _EMBEDDING_OBJECTS.get(record.object, ()) if record.parent else ()
        owners = [self.find(owner, record.parent) for owner in embedding]
        about = [record, *(owner for owner in owners if owner is not None)]
        pasts = [self.stale_versions.setdefault(each.object, {}).setdefault(each.id, []) for each in about]
        # lists show the changes of one object in their order, and a child not before its parent's list has it
        until = max([self.now + self.world.faults.rng.randint(0, lag.lists), *(past[-1][0] for past in pasts if past)])
        for each, past in zip(about, pasts, strict=True):
            if until > self.now:
                past.append((until, None if new and each is record else self._frozen_copy(each)))

    def _frozen_copy(self, record: Record) -> Record:
        """Return a copy of a record that later changes do not reach."""
        body = self.to_json(record)
        copy = Record(record.object, orjson.loads(body), record.created, record.seq, record.parent, record.id)
        copy.expand_only, copy.second_parent = record.expand_only, record.second_parent
        copy.hidden, copy.cache = record.hidden, body
        return copy

    # --- changing: callers emit the event that a change may have, see `events.emit`

    def add(
        self, object: str, /, *, id: str | None = None, parent_id: str | None = None, expand_only: Data | None = None,
        hidden: bool = False, key: str | None = None, **fields: Any,
    ) -> Record:
        """Store a new object: a blank one with an id, the time and these fields.

        Args:
            object: Stripe's name of its type.
            id: its id; a new one if None.
            parent_id: id of the object whose child it is.
            expand_only: fields that only `expand[]` shows.
            hidden: whether lists leave it out.
            key: where it is stored, if its id is not unique in the account.
            **fields: its other fields.
        """
        data: Data = blank(object) if has_blank(object) else {"id": "", "object": stripe_name(object)}
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
        record = Record(object, data, created if isinstance(created, int) else now, self.world.seq, parent_id, key)
        record.expand_only, record.hidden = expand_only, hidden
        if self.world.faults.lag is not None:
            self.keep_for_stale_lists(record, new=True)
        self.collection(object).put(record)
        self.invalidate(record, new=True)
        return record

    def invalidate(self, record: Record, *, new: bool = False) -> None:
        """Drop the cached bodies of a record, and of the records that embed it."""
        self.world.revision += 1
        record.cache = None
        if record.parent is not None:
            for owner in _EMBEDDING_OBJECTS.get(record.object, ()):
                parent = self.find(owner, record.parent)
                if parent is not None:
                    parent.cache = None
        if record.object == "discount" and not new:
            holder = self.find("customer", record.data["customer"])
            if holder is not None:
                holder.cache = None
        if record.object in INLINED_OBJECTS and not new:
            for object, fields in INLINE.items():
                if record.object in fields.values() and object in self.collections:
                    _invalidate_holders(self, object)

    def remove(self, record: Record) -> None:
        """Delete an object; its last state is kept among the deleted ones."""
        collection = self.collection(record.object)
        position = None
        if record.parent is not None:
            position = self.children((record.object,), record.parent).index(record)
        if self.world.faults.lag is not None:
            self.keep_for_stale_lists(record)
        last = self.to_dict(record)
        collection.deleted[record.id] = DeletedObject(record, last, position)
        collection.remove(record)
        self.invalidate(record)


def _as_listed(
    records: list[Record], past: dict[str, list[tuple[int, Record | None]]], collection: Collection
) -> Iterator[Record]:
    """Yield the version of each record that lists still show, deleted records included."""
    for record in records:
        was = past[record.id][0][1] if record.id in past else record
        if was is not None:
            yield was
    for id, entries in past.items():
        was = entries[0][1]
        if id not in collection.records and was is not None:
            yield was


_EMBEDDING_OBJECTS: dict[str, list[str]] = {}
for _owner, _fields in EMBEDDED.items():
    for _kinds, _path, _expand in _fields.values():
        for _kind in _kinds:
            if not _expand:
                _EMBEDDING_OBJECTS.setdefault(_kind, []).append(_owner)


def _invalidate_holders(books: Books, holder: str) -> None:
    for record in books.collection(holder):
        if record.cache is not None:
            record.cache = None
            for owner in _EMBEDDING_OBJECTS.get(holder, ()):
                parent = books.find(owner, record.parent)
                if parent is not None:
                    parent.cache = None
