"""Pages of lists: order, cursors and `has_more`, as at Stripe."""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from stripe_source.sandbox.endpoints.filters import COMMON, ENDED, filters
from stripe_source.sandbox.endpoints.list_parameters import bounds, limit_of
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, EMBEDDED, LISTS, prefix
from stripe_source.sandbox.state.records import Record
from stripe_source.sandbox.state.requests import Refusal, missing


def page(books: Books, object: str, params: dict[str, Any], known: dict[str, Any]) -> tuple[list[Record], bool]:
    """Return one page of all objects of a type, and whether there are more."""
    limit = limit_of(params, known)
    order, keys = _order(books, object)
    wanted = filters(books, object, params, known)
    low, high = 0, len(order)
    if "created" in params:
        first, last = bounds(params["created"])
        low, high = bisect_left(keys, (first,)), bisect_left(keys, (last + 1,))
    cursor = _cursor(books, (object,), params)
    if cursor is not None:
        hidden = object == "subscription" and "status" not in params and cursor.data["status"] in ENDED
        if hidden:  # seen on Stripe when a subscription is canceled between two pages
            raise missing(object, cursor.id, "starting_after" if "starting_after" in params else "ending_before", 400)
        place = _shuffled(cursor) if object == "event" and books.world.faults.shuffle_ties else cursor.sort_key
        if "starting_after" in params:
            high = min(high, bisect_left(keys, place))
        else:
            low = max(low, bisect_right(keys, place))
    backwards = "ending_before" in params
    found: list[Record] = []
    simple = len(wanted) == 1
    for at in range(low, high) if backwards else range(high - 1, low - 1, -1):
        record = order[at]
        if (not record.hidden) if simple else all(test(record) for test in wanted):
            found.append(record)
            if len(found) > limit:
                break
    more = len(found) > limit
    del found[limit:]
    return (found[::-1] if backwards else found), more


def _shuffled(record: Record) -> tuple[Any, ...]:
    """Return a sort key that orders the events of one second by id, which is random."""
    return record.created, record.id


def _order(books: Books, object: str) -> tuple[list[Record], Sequence[tuple[Any, ...]]]:
    """Return the records as lists show them, oldest first, and their sort keys."""
    faults = books.world.faults
    if object != "event":
        if not books.stale_versions:
            return books.collection(object).order()
        records = books.listed(object)
        return records, [record.sort_key for record in records]
    if books.delayed_events:
        now = books.now if faults.lag is not None else 2**62
        books.delayed_events = {id: at for id, at in books.delayed_events.items() if at > now}
    if not books.delayed_events and not faults.shuffle_ties:
        return books.collection(object).order()
    records = [record for record in books.all(object) if record.id not in books.delayed_events]
    if faults.shuffle_ties:
        records.sort(key=_shuffled)
        return records, [_shuffled(record) for record in records]
    return records, [record.sort_key for record in records]


def children_page(
    books: Books, kinds: tuple[str, ...], parent: str, params: dict[str, Any], known: dict[str, Any]
) -> tuple[list[Record], bool]:
    """Return one page of the children of an object."""
    limit = limit_of(params, known)
    everything = books.listed_children(kinds, parent)
    if "created" in params:
        first, last = bounds(params["created"])
        everything = [record for record in everything if first <= record.created <= last]
    others = {name: value for name, value in params.items() if name not in COMMON}
    if others:
        wanted = filters(books, kinds[0], others, known)
        everything = [record for record in everything if all(test(record) for test in wanted)]
    cursor = _cursor(books, kinds, params)
    return _slice(everything, cursor, limit, params, kinds[0])


def page_of_found(everything: list[Record], params: dict[str, Any], known: dict[str, Any]) -> tuple[list[Record], bool]:
    """Return one page of records that were already found."""
    id = params.get("starting_after") or params.get("ending_before")
    cursor = next((record for record in everything if record.id == id), None)
    if id and cursor is None:
        raise missing(everything[0].object if everything else "object", id, status=400)
    return _slice(everything, cursor, limit_of(params, known), params, "")


def _slice(
    everything: list[Record], cursor: Record | None, limit: int, params: dict[str, Any], object: str
) -> tuple[list[Record], bool]:
    if cursor is None:
        return everything[:limit], len(everything) > limit
    at = next((place for place, record in enumerate(everything) if record.id == cursor.id), None)
    if at is None:
        name = "starting_after" if "starting_after" in params else "ending_before"
        raise missing(object, cursor.id, name, 400)
    if "starting_after" in params:
        return everything[at + 1:at + 1 + limit], len(everything) > at + 1 + limit
    return everything[max(0, at - limit):at], at > limit


def _cursor(books: Books, kinds: tuple[str, ...], params: dict[str, Any]) -> Record | None:
    for name in ("starting_after", "ending_before"):
        id = params.get(name)
        if id is None:
            continue
        for kind in kinds:
            record = books.find(kind, id)
            if record is not None:
                return record
        if kinds[0] == "event" and id.startswith(prefix("event")):
            raise Refusal(400, f"Event '{id}' is no longer available because it's aged out of our retention policy.",
                          code="resource_missing", param=name)
        raise missing(kinds[0], id, name, 400)
    return None


def embedded_paths() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the paths of lists below one parent: path -> (object of the parent, objects of the members)."""
    found = {path: (owner, kinds) for owner, fields in EMBEDDED.items() for kinds, path, _ in fields.values()
             if "?" not in path and path != "/v1/customers/{id}/subscriptions"}
    for path, entry in LISTS.items():
        if "{id}" in path and path not in found and entry["table"] in CHILDREN:
            _, kinds, owner = CHILDREN[entry["table"]]
            found[path] = (owner, kinds)
    return found
