"""Events: how the sandbox tells what changed."""
from __future__ import annotations

from typing import Any

import orjson

from .catalog import blank
from .store import Books, Data, Record

KEPT_SECONDS = 30 * 86400


def emit(books: Books, type: str, about: Record | Data, previous: Data | None = None) -> Record | None:
    """Adds an event of that type with a snapshot of `about`; none for the time before events are kept.

    Args:
        books: the account where it happened.
        type: Stripe's event type.
        about: the object.
        previous: old values of the top-level fields that changed.
    """
    world = books.world
    if world.clock < world.events_from:
        return None
    snapshot = books.json(about) if isinstance(about, Record) else orjson.dumps(about)
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
    world.seq += 1
    record = Record("event", event, world.clock, world.seq, None)
    books.shelf("event").put(record)
    world.version += 1
    return record


def change(books: Books, record: Record, event: str | None = None, /, **fields: Any) -> Data:
    """Changes fields of an object and tells it; returns what they were before."""
    previous: Data = {}
    told = books.world.clock >= books.world.events_from
    for name, value in fields.items():
        old = record.data.get(name)
        if old != value:
            if told:
                previous[name] = _differing(old, value) if isinstance(old, dict) and isinstance(value, dict) else old
            record.data[name] = value
    books.touch(record)
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
