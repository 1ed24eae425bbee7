"""What events say of an object; no I/O."""
from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stripe_source.extract.plan import ListPlan
from stripe_source.tables.objects import Object
from stripe_source.tables.placement import Placement, extract_children, values_at

PREVIEW_PREFIX = "upcoming"  # the preview of an invoice has no id, or one that begins like this and cannot be fetched


@dataclass
class ObjectChange:
    """What the feed says of one object.

    Args:
        root: the list that the object is in.
        id: its id.
        at: when its newest event was created, unix seconds.
        events: those of that second that are about the object itself.
        refetch: the object has to be fetched again, whatever they say.
        known: a pass before had seen the newest of them; where all tables of the list know their last pass, that one.
        number: of all events about it that this run has read.
    """

    root: ListPlan
    id: str
    at: int
    events: list[Object]
    refetch: bool = False
    known: bool = False
    number: int = 0


def object_before(event: Object) -> Any:
    """The object as it was before an event, as far as the event says; None where it does not."""
    data = event.get("data")
    previous = data.get("previous_attributes") if isinstance(data, dict) else None
    if not isinstance(previous, dict):
        return None
    return _put_back(payload(event), previous)


def _put_back(now: Any, previous: Any) -> Any:
    if not isinstance(now, dict) or not isinstance(previous, dict):
        return previous
    return {**now, **{name: _put_back(now.get(name), value) for name, value in previous.items()}}


def payload(event: Object) -> Object:
    """The object that an event carries; empty where it carries none."""
    data = event.get("data")
    thing = data.get("object") if isinstance(data, dict) else None
    return thing if isinstance(thing, dict) else {}


def newest_event(events: Sequence[Object]) -> Object | None:
    """The last of the events about an object that share a second, where they themselves tell; else None.

    They tell if they say the same, or if each but one left the object as another one found it.
    """
    if all(payload(event) == payload(events[0]) and ends_object(event) == ends_object(events[0]) for event in events):
        return events[0]
    if any(map(ends_object, events)):
        return None
    found = [object_before(event) for event in events]
    last = [
        event for place, event in enumerate(events)
        if not any(payload(event) == state for other, state in enumerate(found) if other != place)
    ]
    first = [
        event for event, state in zip(events, found, strict=True)
        if state is None or not any(payload(other) == state for other in events if other is not event)
    ]
    return last[0] if len(last) == 1 and len(first) == 1 and first[0] is not last[0] else None


def ends_object(event: Object) -> bool:
    """Whether an event is of a type that ends an object's life; what does not end by it says so in the registry."""
    return str(event.get("type")).endswith(".deleted")


def payload_suffices(thing: Object, node: ListPlan, skip: set[Placement], by_change_feed: Iterable[str]) -> bool:
    """Whether an object as an event carries it is all that we need; fills `skip` with what other events tell.

    Args:
        thing: the object.
        node: what is wanted of it.
        skip: receives the places whose objects need not be looked for here.
        by_change_feed: tables that go by the change feed.
    """
    if node.wanted and (node.table.include or any(_adds_something(thing, path) for path in node.expand)):
        return False
    for found, kinds in node.children.items():
        own = not found.fallback and all(kind.table.path and kind.table.name in by_change_feed for kind in kinds)
        if own or (found.event_sources and found.expand):
            skip.add(found)
        elif found.at is not None:
            values = list(values_at(thing, found.at))
            if found.expand and any(value not in ("", [], {}) for value in values):
                return False
            if not values and not found.fallback and not _has_field(thing, found.at):
                return False
            inner, _ = extract_children(copy.deepcopy(thing), found)
            if not found.fallback and not all(
                payload_suffices(each, kind, skip, by_change_feed) for each in inner for kind in kinds
            ):
                return False
    return True


def _adds_something(thing: Object, path: str) -> bool:
    """Whether the expansion of a field may add something: not where there is no object that it could be in."""
    above = path.rpartition(".")[0]
    return not above or any(isinstance(value, dict) for value in values_at(thing, above))


def _has_field(thing: Any, path: str) -> bool:
    """Whether a field is there at all, if only as null."""
    step, _, rest = path.partition(".")
    if not isinstance(thing, dict) or step not in thing:
        return False
    return not rest or thing[step] is None or _has_field(thing[step], rest)
