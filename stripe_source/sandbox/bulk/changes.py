"""Changes in a bulk world: objects with another value in `metadata`, and the events that tell of them."""
from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from stripe_source.sandbox.bulk.ids import id_suffixes
from stripe_source.sandbox.bulk.records import BulkCollection
from stripe_source.sandbox.errors import InvalidSetting

if TYPE_CHECKING:
    from stripe_source.sandbox.bulk.world import Bulk

_METADATA = b'"metadata":{'
_CHANGED = b'"metadata":{"changed":"1",'


class Changes:
    """The objects of one table that have changed, and their events. Both are rendered when they are read.

    Args:
        collection: the objects.
        numbers: of those that have changed, in the order of their events.
    """

    def __init__(self, collection: BulkCollection, numbers: range) -> None:
        self.collection, self.numbers = collection, numbers

    def rendering(self, plain: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return what renders objects as they are after the change."""
        def render(number: int) -> bytes:
            body = plain(number)
            if number not in self.numbers:
                return body
            return body.replace(_METADATA, _CHANGED, 1).replace(b'"1",}', b'"1"}', 1)

        return render


def change(bulk: Bulk, collection: BulkCollection, objects: int, seconds: int) -> Changes:
    """Change some objects of a table, from the oldest to the newest of it; the clock goes on meanwhile.

    Args:
        bulk: the world.
        collection: the objects.
        objects: how many change.
        seconds: how long it takes; the events lie in them evenly.

    Raises:
        InvalidSetting: there are fewer objects, they have no metadata, or some have changed before.
    """
    if not 0 < objects <= len(collection) or seconds < 1:
        raise InvalidSetting("change", objects, reason=f"There are {len(collection)} objects, and a second or more.")
    if _METADATA not in collection.render(0) or bulk.books.collections.get("event"):
        raise InvalidSetting("change", collection.object, reason="Objects with metadata change once in bulk.")
    changes = Changes(collection, range(0, len(collection), len(collection) // objects)[:objects])
    collection.render = render = changes.rendering(collection.render)
    start = bulk.clock
    bulk.advance(seconds=seconds)
    times = array("q", (start + seconds * place // objects for place in range(objects)))
    events = BulkCollection("event", "evt_", times, id_suffixes(bulk.seed))
    rest = orjson.dumps({"livemode": bulk.livemode, "pending_webhooks": 0, "type": f"{collection.object}.updated",
                         "request": {"id": None, "idempotency_key": None}})[1:]

    def render_event(number: int) -> bytes:
        head = orjson.dumps({"id": events.id(number), "object": "event", "api_version": bulk.event_version,
                             "created": times[number]})[:-1]
        return b'%b,"data":{"object":%b,"previous_attributes":{"metadata":{}}},%b' % (
            head, render(changes.numbers[number]), rest)

    events.render = render_event
    bulk.books.collections["event"] = events
    return changes
