"""Changes in a bulk world: objects with another value in `metadata`, and the events that tell of them."""
from __future__ import annotations

from array import array
from collections.abc import Callable

import orjson

from stripe_source.sandbox.bulk.ids import id_suffixes
from stripe_source.sandbox.bulk.records import BulkCollection
from stripe_source.sandbox.errors import InvalidSetting

_METADATA = b'"metadata":{'
_CHANGED = b'"metadata":{"changed":"1",'


class Changes:
    """The objects of one table that have changed or come, and their events. Both are rendered when they are read.

    Args:
        collection: the objects.
        numbers: of those that have changed or come, in the order of their events.
        verb: what the types of their events end with.
    """

    def __init__(self, collection: BulkCollection, numbers: range, verb: str) -> None:
        self.collection, self.numbers, self.verb = collection, numbers, verb

    def rendering(self, plain: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """Return what renders objects as they are after the change."""
        def render(number: int) -> bytes:
            body = plain(number)
            if number not in self.numbers:
                return body
            return body.replace(_METADATA, _CHANGED, 1).replace(b'"1",}', b'"1"}', 1)

        return render


def changes_of(collection: BulkCollection, objects: int) -> Changes:
    """Change some objects of a table, from the oldest to the newest of it.

    Args:
        collection: the objects.
        objects: how many change.

    Raises:
        InvalidSetting: there are fewer objects, or they have no metadata.
    """
    if not 0 < objects <= len(collection):
        raise InvalidSetting("change", objects, reason=f"There are {len(collection)} objects.")
    if _METADATA not in collection.render(0):
        raise InvalidSetting("change", collection.object, reason="Only objects with metadata change in bulk.")
    changes = Changes(collection, range(0, len(collection), len(collection) // objects)[:objects], "updated")
    collection.render = changes.rendering(collection.render)
    return changes


def events_of(changes: Changes, times: array[int], seed: int, api_version: str, livemode: bool) -> BulkCollection:
    """Return the events that tell of what changed or came, at these unix seconds."""
    events = BulkCollection("event", "evt_", times, id_suffixes(seed))
    type = f"{changes.collection.object}.{changes.verb}"
    rest = orjson.dumps({"livemode": livemode, "pending_webhooks": 0, "type": type,
                         "request": {"id": None, "idempotency_key": None}})[1:]

    before = b"" if changes.verb == "created" else b',"previous_attributes":{"metadata":{}}'

    def render(number: int) -> bytes:
        head = orjson.dumps({"id": events.id(number), "object": "event", "api_version": api_version,
                             "created": times[number]})[:-1]
        about = changes.collection.render(changes.numbers[number])
        return b'%b,"data":{"object":%b%b},%b' % (head, about, before, rest)

    events.render = render
    return events
