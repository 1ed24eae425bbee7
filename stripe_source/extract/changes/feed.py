"""The change feed: one pass over Stripe's events for all tables that go by it, and what has to be asked for besides.

An event carries its object as it was then. That is used where it is enough and certain; otherwise the object is asked
for again, which settles every doubt: two events in one second, an event that became visible late, another API version,
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
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first
from stripe_source.api.query import fill
from stripe_source.destination.stored_rows import StoredVersion
from stripe_source.errors import AuthenticationError, InvalidRequest, PermissionDenied, ResourceMissing, StripeError
from stripe_source.extract.changes.events import (
    PREVIEW_PREFIX,
    ObjectChange,
    ends_object,
    event_mark,
    newest_event,
    object_before,
    payload,
    payload_suffices,
)
from stripe_source.extract.changes.watched import DUE_SPAN_GAP, LIST_DELAY
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.list_reader import Emit
from stripe_source.extract.plan import ListPlan, drop_forbidden_expansions, expansions, placements_of
from stripe_source.extract.table_request import TableRequest
from stripe_source.rows.fingerprint import fingerprint
from stripe_source.rows.waevent import DELETE, WAEvent
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import Placement, extract_children, values_at
from stripe_source.tables.registry import parent_column, table_with_role
from stripe_source.tables.table import Table, Watch

log = logging.getLogger("stripe_source")
EVENTS_PER_STEP = 1_000  # events that are decided on together
OBJECTS_AT_ONCE = 16  # objects that are asked for at a time
MOST_MARKS = 20_000  # events whose ids are remembered for the next run; older ones are only looked at once more


class ChangeFeed:
    """Reads the change feed, and emits what changed.

    Args:
        emitter: takes deletions, and has the questions to the destination answered.
        client: asks Stripe.
        roots: the lists whose tables go by the feed.
        asks: what the run wants, by table.
        seen: marks of the events that the run before had seen.
        lookback: seconds that are read again behind every position.
        events: the list of events itself, where that table is loaded.
    """

    def __init__(
        self, emitter: Emitter, client: Client, roots: Sequence[ListPlan], asks: Mapping[str, TableRequest], seen: Iterable[str],
        lookback: int, events: ListPlan | None,
    ) -> None:
        self._emitter, self._client, self._asks, self._lookback = emitter, client, asks, lookback
        self.roots, self.events = list(roots), events
        self._seen = set(seen)
        self._now = emitter.now or 0
        self._gate = asyncio.Semaphore(OBJECTS_AT_ONCE)
        self.noted: list[str] = []
        self.read = self.asked = 0
        self._low = self._from()
        self._pages: AsyncIterator[ObjectBatch] | None = None
        self._first: ObjectBatch | None = None
        self._done: dict[tuple[str, str], bool] = {}  # what was handed over, and whether with everything found on it
        self._changed: dict[str, set[str]] = defaultdict(set)
        self._failed: set[str] = set()
        self._watched: dict[str, dict[str, tuple[Object, int]]] = defaultdict(dict)
        self._own: dict[str, ListPlan] = {}
        self._told: dict[str, list[tuple[ListPlan, str]]] = defaultdict(list)
        for root in self.roots:
            self._own.update(dict.fromkeys(root.table.object, root))
            for found, kinds in root.children.items():
                if any(not kind.table.path for kind in kinds):
                    for object_, path in found.event_sources:
                        if (root, path) not in self._told[object_]:
                            self._told[object_].append((root, path))

    def _from(self) -> int | None:
        """From when on events are read; None: all that there are."""
        wants: list[int] = [self._now - self._lookback]
        for root in self.roots:
            for table in root.tables():
                position = self._asks[table.name].position
                wants += [] if position is None else [position - self._lookback]
        if self.events:
            ask = self._asks[self.events.table.name]
            if ask.position is None and ask.since is None:
                return None
            wants.append(ask.since or 0 if ask.position is None else ask.position - self._lookback)
        return min(wants)

    async def open(self) -> None:
        """Read the first page.

        Raises:
            StripeError: the list of events is refused.
        """
        table = table_with_role("change feed") if self.events is None else self.events.table
        what = ListRequest(table.path or "", table.params, limit=table.limit)
        self._pages = read_newest_first(self._client, what, self._low)
        self._first = await anext(self._pages, None)

    async def run(self, emit: Emit) -> None:
        """Read the feed to its end, and all that is watched; emit what changed."""
        self._emit = emit
        await asyncio.gather(*(self._safely(root, self._watch(root)) for root in self.roots))
        async for events, read_at in self._seconds():
            await self._hand_events(events, read_at)
            changes = self._changes(events)
            await asyncio.gather(*(self._safely(root, self._apply(root, changes)) for root in self.roots))
        await asyncio.gather(*(self._safely(root, self._apply_watched(root)) for root in self.roots))
        await self._apply_copies()

    async def _safely(self, root: ListPlan, work: Any) -> None:
        """Do something for one list. What fails is the trouble of its tables only, and they stay where they were."""
        if root.table.name in self._failed:
            work.close()
            return
        try:
            await work
        except AuthenticationError:
            raise
        except StripeError as error:
            self._failed.add(root.table.name)
            for table, _ in placements_of(root):
                self._emitter.fail(table, error)

    # ---- events

    async def _seconds(self) -> AsyncIterator[tuple[list[Object], int]]:
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

    async def _hand_events(self, events: list[Object], read_at: int) -> None:
        self.read += len(events)
        for event in events:
            recent = (unix_second(event.get("created")) or 0) >= self._now - self._lookback
            if recent and len(self.noted) < MOST_MARKS:  # the newest come first
                self.noted.append(event_mark(event))
        if self.events:
            await self._emit(self.events, ObjectBatch(events, read_at))

    def _changes(self, events: Iterable[Object]) -> dict[tuple[str, str], ObjectChange]:
        """What events say, object by object: the newest second counts."""
        changes: dict[tuple[str, str], ObjectChange] = {}
        applied: dict[tuple[str, str], int] = {}
        for event in events:
            second = unix_second(event.get("created"))
            if second is None or event.get("account") not in (None, "", self._emitter.account):
                continue
            seen = event_mark(event) in self._seen
            for root, id, itself in self._about(event):
                key = (root.table.name, id)
                old = self._settled(root)
                if seen and old:
                    applied[key] = max(second, applied.get(key, second))
                    continue
                if itself and not seen and root.table.name in self._emitter.earlier_versions:
                    self._keep(root, event, second)
                change = changes.setdefault(key, ObjectChange(root, id, second, [], known=seen))
                change.ask |= not itself
                change.number += 1
                if second == change.at and itself:
                    change.events.append(event)
                    change.known &= seen
        for key, second in applied.items():
            if key in changes and second >= changes[key].at:
                changes[key].ask |= not self._follows(events, changes[key], second)
        return changes

    def _keep(self, root: ListPlan, event: Object, second: int) -> None:
        """Keep an event as a version of its object, for the table's history."""
        thing = copy.deepcopy(payload(event))
        told = event.get("api_version") in (None, self._client.api_version) and (root.table.survives_deleted_event or not ends_object(event))
        if told and payload_suffices(thing, root, set(), self._emitter.by_change_feed):
            for found in root.children:
                extract_children(thing, found)
            self._emitter.earlier_versions[root.table.name].append(self._emitter.event(root.table, thing, second))

    def _follows(self, events: Iterable[Object], change: ObjectChange, second: int) -> bool:
        """Whether a change is the next one after those of the same second that were applied by the run before."""
        if second != change.at:
            return False  # it became visible late
        same = [
            event for event in events
            if event.get("created") == second and any(
                root is change.root and id == change.id and itself for root, id, itself in self._about(event)
            )
        ]
        last = newest_event(same)
        if last is None or last not in change.events:
            return False
        change.events = [last]
        return True

    def _settled(self, root: ListPlan) -> bool:
        """Whether what the run before had seen of the feed was applied to all tables of a list."""
        return all(self._asks[table.name].settled for table in root.tables())

    def _about(self, event: Object) -> Iterator[tuple[ListPlan, str, bool]]:
        """The objects that an event is about: their list, their id, and whether the event carries the object itself."""
        thing = payload(event)
        kind, id = str(thing.get("object")), thing.get("id")
        root = self._own.get(kind)
        if root is not None and isinstance(id, str) and not id.startswith(PREVIEW_PREFIX):
            yield root, id, True
        for root, path in self._told.get(kind, ()):
            for owner in values_at(thing, path):
                known = owner.get("id") if isinstance(owner, dict) else owner
                if isinstance(known, str):
                    yield root, known, False

    # ---- deciding

    async def _apply(self, root: ListPlan, changes: Mapping[tuple[str, str], ObjectChange]) -> None:
        mine = [change for (name, id), change in changes.items() if name == root.table.name and self._open(change)]
        versions = await self._versions(root, [change.id for change in mine])
        gone: dict[str, tuple[int, Object]] = {}
        asks: list[ObjectChange] = []
        uses = []
        for change in mine:
            event = newest_event(change.events) if change.events and not change.ask else None
            version = versions.get(change.id)
            if event is None:
                asks.append(change)
            elif ends_object(event) and not root.table.survives_deleted_event:
                if version and not version.deleted and version.changed_at > change.at:
                    asks.append(change)  # read later than that: it may have come back
                elif self._within(root, payload(event)):
                    gone[change.id] = (change.at, self._remains(event))
            else:
                uses.append(self._use(change, event, version, asks))
        await asyncio.gather(*uses)
        await self._gone(root, gone)
        await asyncio.gather(*(self._ask(root, change.id, change.at) for change in asks))

    def _open(self, change: ObjectChange) -> bool:
        """Whether something is left to do: a newer event may have been dealt with, though not all that is found on it.

        A second look is worth it only where an event tells of what was left aside.
        """
        done = self._done.get((change.root.table.name, change.id))
        return done is None or (not done and change.ask)

    async def _use(self, change: ObjectChange, event: Object, version: StoredVersion | None, asks: list[ObjectChange]) -> None:
        """Take the object from its event, leave it, or have it asked for."""
        root, thing = change.root, copy.deepcopy(payload(event))
        skip: set[Placement] = set()
        doubtful = event.get("api_version") not in (None, self._client.api_version) or any(
            watch.column and not watch.due and thing.get(watch.column) == watch.value
            and change.id not in self._watched[root.table.name]  # the list does not show it like this any more
            for watch in root.table.watch
        )
        if doubtful or not payload_suffices(thing, root, skip, self._emitter.by_change_feed):
            asks.append(change)
            return
        if version is not None and version.changed_at >= change.at:
            if not version.deleted and self._print(root, thing) == version.print:
                if change.known and not any(self._asks[table.name].missed_last_run for table in root.tables()):
                    return
            elif version.changed_at > change.at or version.deleted or root.table.changes_without_event or change.known or (
                change.at < (self._asks[root.table.name].position or 0)
            ):
                asks.append(change)
                return
        elif not root.wanted and change.known:
            asks.append(change)
            return
        if change.number == 1 and version and (before := object_before(event)):
            self._emitter.before[root.table.name, change.id] = before
        await self._deliver(root, thing, change.at, skip)

    def _remains(self, event: Object) -> Object:
        """What an event says of an object that is gone; next to nothing where it speaks another version."""
        thing = payload(event)
        if event.get("api_version") in (None, self._client.api_version):
            return thing
        return {name: thing[name] for name in ("id", "object") if name in thing}

    def _print(self, root: ListPlan, thing: Object) -> str:
        """The fingerprint that the row of an object would have."""
        bare = copy.deepcopy(thing)
        for found in root.children:
            extract_children(bare, found)
        return fingerprint(self._emitter.event(root.table, bare, 0), False)

    async def _versions(self, root: ListPlan, ids: Sequence[str]) -> dict[str, StoredVersion]:
        """What the destination holds of the objects of a list."""
        if not root.wanted or not ids:
            return {}
        found = await self._emitter.channel.ask(root.table.name, lambda held: held.versions([(id,) for id in ids]))
        return {key[0]: version for key, version in (found or {}).items()}

    # ---- handing over

    async def _deliver(self, root: ListPlan, thing: Object, at_: int, skip: Iterable[Placement] = ()) -> None:
        id = str(thing.get("id"))
        self._done[root.table.name, id] = not skip
        self._changed[root.table.name].add(id)
        if self._within(root, thing):
            async with self._gate:
                await self._emit(root, ObjectBatch([thing], at_), frozenset(skip))

    def _within(self, root: ListPlan, thing: Object) -> bool:
        asks = [self._asks[table.name] for table in root.tables()]
        created = unix_second(thing.get(root.table.time or ""))
        return created is None or any(ask.since is None or created >= ask.since for ask in asks)

    async def _ask(self, root: ListPlan, id: str, second: int | None = None) -> None:
        """Ask for an object and hand over what it is now, or that it is gone."""
        async with self._gate:
            self.asked += 1
            self._done[root.table.name, id] = True
            answer = await self._one(root, id)
        if answer is None:
            await self._gone(root, {id: (second or self._now, {})})
        else:
            await self._deliver(root, answer[0], answer[1])

    async def _one(self, root: ListPlan, id: str) -> tuple[Object, int] | None:
        path = fill(root.table.object_path or f"{root.table.path}/{{id}}", id=id)
        expand = expansions(root)
        try:
            answer = await self._client.get(path, {"expand": expand} if expand else {})
        except ResourceMissing:
            return None
        except PermissionDenied as error:
            return await self._one(self._lesser(root, error), id)
        return None if answer.body.get("deleted") is True else (answer.body, answer.date)

    def _lesser(self, root: ListPlan, error: PermissionDenied) -> ListPlan:
        """What is left of a list when something that is expanded may not be read."""
        lesser, lost = drop_forbidden_expansions(root, error)
        for table in lost:
            self._emitter.fail(table, error)
        return lesser

    async def _gone(self, node: ListPlan, ids: Mapping[str, tuple[int, Object]]) -> None:
        """Hand over that objects are gone, with all that goes with them.

        Args:
            node: what is wanted of them.
            ids: id -> since when, and the last that is known.
        """
        if not ids:
            return
        name = node.table.name
        self._done.update({(name, id): True for id in ids})
        self._changed[name].update(ids)
        self._emitter.touched_ids[name].update(ids)
        if node.wanted:
            await self._emitter.put(node.table, [
                WAEvent(name, DELETE, second, {**data, "id": id}, self._emitter.account)
                for id, (second, data) in ids.items()
            ])
        for found, kinds in node.children.items():
            for kind in kinds:
                column = parent_column(kind.table) or found.parent_id_column
                if found.fallback or column is None:
                    continue
                if not kind.table.path:
                    self._emitter.parents_read[kind.table.name][column].update(ids)
                elif kind.wanted:
                    inner = await self._where(kind.table, column, ids)
                    await self._gone(kind, {id: (max(at_ for at_, _ in ids.values()), {}) for id in inner})

    async def _where(self, table: Table, column: str, values: Iterable[str | None]) -> list[str]:
        """Ids of the rows that hold one of these values in a column."""
        found = await self._emitter.channel.ask(table.name, lambda held: held.rows_where(["id"], column, values))
        return [str(row[0]) for row in found or ()]

    # ---- what has no events

    async def _watch(self, root: ListPlan) -> None:
        """Read the lists that are watched."""
        for watch in root.table.watch if root.wanted else ():
            if watch.due is None:
                for number, extra in enumerate(root.table.variants):
                    given = {**root.table.params, **extra, **watch.params}
                    try:
                        await self._read_watched(root, watch, given)
                    except PermissionDenied as error:
                        await self._read_watched(self._lesser(root, error), watch, given)
                    except InvalidRequest:
                        if number == 0:  # a further part of the list may be refused, as in a full pass
                            raise

    async def _read_watched(self, root: ListPlan, watch: Watch, params: Mapping[str, Any]) -> None:
        table = root.table
        expand = [f"data.{path}" for path in expansions(root)]
        what = ListRequest(
            table.path or "", {**params, **({"expand": expand} if expand else {})}, limit=table.limit,
            time=table.time or "created", range=table.range,
        )
        low = None
        if watch.lookback is not None:
            position = self._asks[table.name].position or self._now
            low = max(0, position - max(int(watch.lookback.total_seconds()), self._lookback))
        async for batch in read_newest_first(self._client, what, low if table.created else None):
            for thing in batch.objects:
                self._watched[table.name][str(thing.get("id"))] = (thing, batch.read_at)
            if low is not None and not table.created and any(time < low for time in what.times(batch.objects)):
                break

    async def _apply_watched(self, root: ListPlan) -> None:
        name = root.table.name
        found = self._watched.pop(name, {})
        news = {id: thing for id, thing in found.items() if (name, id) not in self._done}
        versions = await self._versions(root, list(news))
        asks = []
        for id, (thing, read_at) in news.items():
            version = versions.get(id)
            same = version and not version.deleted and self._print(root, thing) == version.print
            if version and not same and version.changed_at >= read_at - LIST_DELAY:
                asks.append(id)  # lists may be behind: which of the two is the newer one?
            elif not same or root.children:
                await self._deliver(root, thing, read_at)
        for watch in root.table.watch if root.wanted else ():
            if watch.due:
                await self._read_due(root, watch)
            elif watch.column:
                held = await self._where(root.table, watch.column, [watch.value])
                asks += [id for id in held if id not in found and (name, id) not in self._done]
        await asyncio.gather(*(self._ask(root, id) for id in dict.fromkeys(asks)))

    async def _read_due(self, root: ListPlan, watch: Watch) -> None:
        """Read again what was created in the seconds of rows whose time has come."""
        name, column, due = root.table.name, watch.column or "", watch.due or ""
        times = await self._emitter.channel.ask(
            root.table.name, lambda held: held.rows_due(column, str(watch.value), due, self._now)
        )
        spans: list[list[int]] = []
        for second in sorted(times or ()):
            if spans and second - spans[-1][1] <= DUE_SPAN_GAP:
                spans[-1][1] = second
            else:
                spans.append([second, second])
        table = root.table
        expand = [f"data.{path}" for path in expansions(root)]
        what = ListRequest(table.path or "", {**table.params, **({"expand": expand} if expand else {})}, limit=table.limit)
        for low, high in spans:
            async for batch in read_newest_first(self._client, what, low, high + 1):
                fresh = [thing for thing in batch.objects if (name, str(thing.get("id"))) not in self._done]
                self._done.update({(name, str(thing.get("id"))): True for thing in fresh})
                self._changed[name].update(str(thing.get("id")) for thing in fresh)
                await self._emit(root, replace(batch, objects=fresh))

    async def _apply_copies(self) -> None:
        """Ask again for what shows copies of objects that changed."""
        changed = {name: sorted(ids) for name, ids in self._changed.items()}
        for root in self.roots:
            direct = [(root.table, "id", root.wanted)]
            direct += [
                (kind.table, parent_column(kind.table) or "", kind.wanted)
                for kinds in root.children.values() for kind in kinds
            ]
            for table, want, taken in direct:
                for column, other in table.copies.items() if taken and want else ():
                    if changed.get(other):
                        await self._safely(root, self._ask_showing(root, table, want, column, changed[other]))

    async def _ask_showing(self, root: ListPlan, table: Table, want: str, column: str, ids: Sequence[str]) -> None:
        found = await self._emitter.channel.ask(table.name, lambda held: held.rows_referencing(want, column, ids))
        shown = {id for owners in (found or {}).values() for id in owners if not self._done.get((root.table.name, id))}
        await asyncio.gather(*(self._ask(root, id) for id in sorted(shown)))
