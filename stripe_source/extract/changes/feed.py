"""The change feed: one pass over Stripe's events for all tables that go by it, and what has to be fetched besides.

An event carries its object as it was then. That is used where it is enough and certain; otherwise the object is fetched
again, which settles every doubt: two events in one second, an event that became visible late, another API version,
an embedded list that was cut. What Stripe has no events about is read from lists: see `Watch`.

Facts (checked 2026-11-24 in stripe-python 16.1.0 and public connectors): events go back 30 days, newest first; they may
become visible late and out of order; two of them may tell one change; `previous_attributes` is there on `*.updated`
only; the payload is in the version that the event names, without expansions, with the first page of embedded lists.
"""
from __future__ import annotations

import asyncio
import copy
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.errors import StripeError
from stripe_source.extract.changes.events import (
    PREVIEW_PREFIX,
    ObjectChange,
    ends_object,
    newest_event,
    payload,
    payload_suffices,
)
from stripe_source.extract.changes.resync import Resync, Resynced
from stripe_source.extract.changes.seen import FeedMemory, FeedPass, NotedEvents
from stripe_source.extract.changes.watched import AheadQuestion
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.lists.list_reader import Emit
from stripe_source.extract.plan import ListPlan
from stripe_source.extract.table_request import TableRequest
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import extract_children, values_at
from stripe_source.tables.registry import BY_NAME, table_with_role

log = logging.getLogger("stripe_source")
EVENTS_PER_STEP = 1_000  # events that are decided on together, in 25 MB: each step may ask the destination


class ChangeFeed(Resync):
    """Reads the change feed, and emits what changed.

    Args:
        emitter: takes deletions, and has the questions to the destination answered.
        client: asks Stripe.
        roots: the lists whose tables go by the feed.
        requests: what the run wants, by table.
        memory: what the state keeps of the events that earlier passes had seen.
        lookback: seconds that are read again behind every position.
        events: the list of events itself, where that table is loaded.
    """

    def __init__(
        self, emitter: Emitter, client: Client, roots: Sequence[ListPlan], requests: Mapping[str, TableRequest],
        memory: FeedMemory, lookback: int, events: ListPlan | None,
    ) -> None:
        super().__init__(emitter, client, roots, requests, lookback)
        self.events = events
        self.number = memory.number + 1
        self._seen = memory.seen()
        self._seen_until = {number: memory.seen(number) for number in set(map(self._last_pass, self.roots))}
        self.resynced: dict[str, Resynced] = {}
        self.noted = NotedEvents(self._now - lookback)
        self.read = 0
        self._low = self._oldest_second_needed()
        self._pages: AsyncIterator[ObjectBatch] | None = None
        self._first: ObjectBatch | None = None
        self._lists_by_object: dict[str, ListPlan] = {}
        self._event_sources: dict[str, list[tuple[ListPlan, str]]] = defaultdict(list)
        self._event_types: list[tuple[str, ListPlan, str]] = []
        mine = {table.name for root in self.roots for table in root.tables()}
        self._copied_elsewhere = {  # object -> its table, which does not go by this feed, while others show copies
            object_: name for name in self._copied - mine for object_ in BY_NAME[name].object
        }
        for root in self.roots:
            self._lists_by_object.update(dict.fromkeys(root.table.object, root))
            for found, kinds in root.children.items():
                if any(not kind.table.path for kind in kinds):
                    for object_, path in (*found.event_sources, *found.more_event_sources):
                        if (root, path) not in self._event_sources[object_]:
                            self._event_sources[object_].append((root, path))
                    self._event_types += [(prefix, root, path) for prefix, path in found.event_types]

    def made(self) -> FeedPass:
        """What this pass adds to what is known of the events."""
        return FeedPass(self.number, self._now, self.noted.text(self._seen))

    def _oldest_second_needed(self) -> int | None:
        """From when on events are read; None: all that there are."""
        wants: list[int] = [self._now - self._lookback]
        for root in self.roots:
            for table in root.tables():
                position = self._requests[table.name].position
                wants += [] if position is None else [position - self._lookback]
        if self.events:
            request = self._requests[self.events.table.name]
            if request.position is None and request.since is None:
                return None
            wants.append(request.since or 0 if request.position is None else request.position - self._lookback)
        return min(wants)

    async def open(self) -> None:
        """Read the first page.

        Raises:
            StripeError: the list of events is refused.
        """
        table = table_with_role("change feed") if self.events is None else self.events.table
        what = ListRequest(table.path or "", table.params, limit=table.limit, on_skip=self._skip)
        self._pages = read_newest_first(self._client, what, self._low)
        self._first = await anext(self._pages, None)

    def _skip(self, id: str, error: StripeError) -> None:
        """An event cannot be read: what it tells of is not known, unless another one tells of it."""
        self._emitter.unreadable_events[id] = error
        if self.events:
            self._emitter.verdicts.add_failed_parents(self.events.table, self.events.table, {id: error})

    def questions(self) -> Iterator[AheadQuestion]:
        """What is asked of the destination in any case: also which events it holds of those that are read again."""
        known = self._requests[self.events.table.name].position if self.events else None
        if self.events and known is not None:
            yield self.events.table.name, partial(
                StoredRows.ask_versions, column=None, value=None, since=known - self._lookback)
        for root in self.roots:
            for watch in root.table.watch if root.wanted else ():
                yield from self._questions_of(root, watch)
            if (span := self._removal_span(root)) is not None:
                yield root.table.name, partial(StoredRows.ask_ids_between, column=span[0], low=span[1], high=span[2])

    async def run(self, emit: Emit) -> None:
        """Read the feed to its end, and all that is watched; emit what changed."""
        self._emit = emit
        await asyncio.gather(*(self._isolated(root, self._read_watched_lists(root)) for root in self.roots))
        async for events, read_at in self._events_by_second():
            await self._emit_events(events, read_at)
            changes = self._changes(events)
            await asyncio.gather(*(self._isolated(root, self._apply(root, changes)) for root in self.roots))
        await asyncio.gather(*(self._isolated(root, self._apply_watched(root)) for root in self.roots))
        await asyncio.gather(*(self._isolated(root, self._refetch_failed_parents(root)) for root in self.roots))
        await asyncio.gather(*(self._isolated(root, self._refetch_removed(root)) for root in self.roots))
        await asyncio.gather(*(self._isolated(root, self._resync(root)) for root in self.roots))
        await self._refetch_copies()

    async def _events_by_second(self) -> AsyncIterator[tuple[list[Object], int]]:
        """The events, newest first, in parts that cut no second."""
        waiting: list[Object] = []
        batch = self._first
        assert self._pages is not None
        while batch is not None:
            waiting += batch.objects
            read_at = batch.read_at
            batch = await anext(self._pages, None)
            if batch is None:
                yield waiting, read_at
            elif len(waiting) >= EVENTS_PER_STEP:
                edge = waiting[-1].get("created")
                ready = [event for event in waiting if event.get("created") != edge]
                if ready:
                    waiting = [event for event in waiting if event.get("created") == edge]
                    yield ready, read_at

    async def _emit_events(self, events: list[Object], read_at: int) -> None:
        self.read += len(events)
        self.noted.add(events)
        if self.events:
            await self._emit(self.events, ObjectBatch(events, read_at))

    def _changes(self, events: Sequence[Object]) -> dict[tuple[str, str], ObjectChange]:
        """What events say, object by object: the newest second counts."""
        changes: dict[tuple[str, str], ObjectChange] = {}
        applied: dict[tuple[str, str], int] = {}
        seen_until = {number: seen.among(events) for number, seen in self._seen_until.items()}
        seen_ids = {root.table.name: seen_until[self._last_pass(root)] for root in self.roots}
        for event in events:
            second, whose = unix_second(event.get("created")), event.get("account") or None
            if second is None or (whose and self._emitter.owner and whose != self._emitter.owner):
                continue
            event_id = str(event.get("id"))
            other = self._copied_elsewhere.get(str(payload(event).get("object")))
            if other and not self._is_applied(event_id, seen_ids):
                self._note_changed(other, [str(payload(event).get("id"))])
            for root, id, itself in self._objects_of(event):
                key, seen = (root.table.name, id), event_id in seen_ids[root.table.name]
                old = self._was_applied(root)
                if seen and old:
                    applied[key] = max(second, applied.get(key, second))
                    continue
                if itself and not seen and root.table.name in self._emitter.earlier_versions:
                    self._keep_version(root, event, second)
                change = changes.setdefault(key, ObjectChange(root, id, second, [], known=seen))
                change.refetch |= not itself or (whose is not None and not self._emitter.owner)
                change.number += 1
                if second == change.at and itself:
                    change.events.append(event)
                    change.known &= seen
        for key, second in applied.items():
            if key in changes and second >= changes[key].at:
                changes[key].refetch |= not self._is_next_change(events, changes[key], second)
        return changes

    def _keep_version(self, root: ListPlan, event: Object, second: int) -> None:
        """Keep an event as a version of its object, for the table's history."""
        thing = copy.deepcopy(payload(event))
        alive = root.table.survives_deleted_event or not ends_object(event)
        told = alive and event.get("api_version") in (None, self._client.api_version)
        if told and payload_suffices(thing, root, set(), self._emitter.by_change_feed):
            for found in root.children:
                extract_children(thing, found)
            self._emitter.earlier_versions[root.table.name].append(self._emitter.event(root.table, thing, second))

    def _is_next_change(self, events: Iterable[Object], change: ObjectChange, second: int) -> bool:
        """Whether a change is the next one after those of the same second that were applied by the run before."""
        if second != change.at:
            return False  # it became visible late
        same = [
            event for event in events
            if event.get("created") == second and any(
                root is change.root and id == change.id and itself for root, id, itself in self._objects_of(event)
            )
        ]
        last = newest_event(same)
        if last is None or last not in change.events:
            return False
        change.events = [last]
        return True

    def _is_applied(self, event: str, seen: Mapping[str, Collection[str]]) -> bool:
        """Whether an event was applied to all tables.

        Args:
            event: its id.
            seen: by list, ids of the events that it had met.
        """
        return all(event in seen[root.table.name] and self._was_applied(root) for root in self.roots)

    def _was_applied(self, root: ListPlan) -> bool:
        """Whether what the run before had seen of the feed was applied to all tables of a list."""
        return all(self._requests[table.name].settled for table in root.tables())

    def _objects_of(self, event: Object) -> Iterator[tuple[ListPlan, str, bool]]:
        """The objects that an event is about: their list, their id, and whether the event carries the object itself."""
        thing = payload(event)
        kind, id = str(thing.get("object")), thing.get("id")
        root = self._lists_by_object.get(kind)
        if root is not None and isinstance(id, str) and not id.startswith(PREVIEW_PREFIX):
            yield root, id, True
        told = self._event_sources.get(kind) or [
            (owners, path) for prefix, owners, path in self._event_types if str(event.get("type")).startswith(prefix)
        ]
        for root, path in told:
            for owner in values_at(thing, path):
                known = owner.get("id") if isinstance(owner, dict) else owner
                if isinstance(known, str):
                    yield root, known, False
