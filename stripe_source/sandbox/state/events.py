"""Events of what changed, and the primitive that changes an object and emits its event."""
from __future__ import annotations

from typing import Any

import orjson

from stripe_source.sandbox.state import api_versions
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import API_VERSION, blank
from stripe_source.sandbox.state.records import Data, Record

KEPT_SECONDS = 30 * 86400
_ENDS = "customer.subscription.deleted"  # an ended subscription still exists, so there is no stub of it


def emit(books: Books, type: str, about: Record | Data, previous: Data | None = None) -> Record | None:
    """Add an event of that type with a snapshot of `about`; none is added for times that Stripe keeps no events of.

    Args:
        books: the account where it happened.
        type: Stripe's event type.
        about: the object.
        previous: old values of the top-level fields that changed.
    """
    world = books.world
    if world.clock < world.events_from or books.events_suppressed:
        return None
    faults = world.faults
    snapshot = books.to_json(about) if isinstance(about, Record) else orjson.dumps(about)
    if world.event_version != API_VERSION:
        snapshot = orjson.dumps(api_versions.render_in_version(books, orjson.loads(snapshot), world.event_version))
    if faults.deleted_stubs and type.endswith(".deleted") and type != _ENDS:
        last = orjson.loads(snapshot)
        snapshot = orjson.dumps(books.stub(last["object"], last["id"]))
    data: Data = {"object": orjson.Fragment(snapshot)}
    if previous is not None and type.endswith("updated"):
        data["previous_attributes"] = previous
    event = blank("event")
    event.update(
        id=books.new_id("event"), api_version=world.event_version, created=world.clock, data=data, type=type,
        livemode=world.livemode, request={"id": world.request_id, "idempotency_key": world.idempotency_key},
        pending_webhooks=world.rng.choice((0, 0, 1, 2)),
    )
    if books is not world.books:
        event["account"] = books.account
    record = _store_event(books, event)
    if faults.duplicates and faults.rng.random() < faults.duplicates:
        _store_event(books, {**event, "id": books.new_id("event", faults.rng)})
    return record


def _store_event(books: Books, event: Data) -> Record:
    world, lag = books.world, books.world.faults.lag
    world.seq += 1
    record = Record("event", event, world.clock, world.seq, None)
    books.collection("event").put(record)
    if lag is not None and lag.events:
        books.delayed_events[record.id] = world.clock + world.faults.rng.randint(0, lag.events)
    world.revision += 1
    return record


def announce(books: Books, type: str, about: Record | Data) -> None:
    """Add an event that announces something without a change; none is added during the history of a new world."""
    if books.now >= books.world.announcements_from:
        emit(books, type, about)


def change(books: Books, record: Record, event: str | None = None, /, **fields: Any) -> Data:
    """Change fields of an object and emit its event; return the old values of the fields that changed."""
    previous: Data = {}
    if books.world.faults.lag is not None:
        books.keep_for_stale_lists(record)
    recorded = books.world.clock >= books.world.events_from
    for name, value in fields.items():
        old = record.data.get(name)
        if old != value:
            if recorded:
                previous[name] = _differing(old, value) if isinstance(old, dict) and isinstance(value, dict) else old
            record.data[name] = value
    books.invalidate(record)
    if event:
        emit(books, event, record, previous)
    return previous


def _differing(old: Data, new: Data) -> Data:
    found: Data = {}
    for name in {**old, **new}:
        before, after = old.get(name), new.get(name)
        if before != after:
            both = isinstance(before, dict) and isinstance(after, dict)
            found[name] = _differing(before, after) if both else before  # type: ignore[arg-type]  # both are dicts
    return found
