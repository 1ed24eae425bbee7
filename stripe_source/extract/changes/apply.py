"""What becomes of a change: the object is taken from its event, fetched again, or emitted as deleted."""
from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import OBJECTS_AT_ONCE, ObjectBatch, read_object
from stripe_source.api.pages import Answer
from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.waevent import DELETE, WAEvent
from stripe_source.destination.version_index import StoredVersion
from stripe_source.errors import AuthenticationError, ResourceMissing, StripeError
from stripe_source.extract.changes.events import (
    ObjectChange,
    ends_object,
    newest_event,
    object_before,
    payload,
    payload_suffices,
)
from stripe_source.extract.changes.listed import LIST_DELAY, MANY, creation_times, list_request, read_pages_of
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.lists.list_reader import Emit
from stripe_source.extract.plan import ListPlan, expansions, placements_of, read_with_allowed_expansions
from stripe_source.extract.table_request import TableRequest
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import Placement, extract_children
from stripe_source.tables.registry import parent_column
from stripe_source.tables.table import Table


class ChangeApplier:
    """Takes objects from events where these are enough and certain, and fetches the others.

    Args:
        emitter: takes deletions, and has the questions to the destination answered.
        client: asks Stripe.
        roots: the lists whose tables go by the feed.
        requests: what the run wants, by table.
        lookback: seconds that are read again behind every position.
    """

    _emit: Emit

    def __init__(
        self, emitter: Emitter, client: Client, roots: Sequence[ListPlan], requests: Mapping[str, TableRequest],
        lookback: int,
    ) -> None:
        self._emitter, self._client, self._requests, self._lookback = emitter, client, requests, lookback
        self.roots = list(roots)
        self._now = emitter.now or 0
        self._slots = asyncio.Semaphore(OBJECTS_AT_ONCE)
        self.refetched = 0
        self._applied: dict[str, dict[str, bool]] = defaultdict(dict)
        # ^ by table: ids of what was emitted, and whether with everything found on it
        self._changed_ids: dict[str, set[str]] = defaultdict(set)  # of tables whose objects others show copies of
        self._copied = {other for root in roots for table in root.tables() for other in table.copies.values()}
        self._failed: set[str] = set()
        self._watched: dict[str, dict[str, tuple[Object, int]]] = defaultdict(dict)

    async def _apply(self, root: ListPlan, changes: Mapping[tuple[str, str], ObjectChange]) -> None:
        mine = [change for (name, id), change in changes.items() if name == root.table.name and self._is_open(change)]
        versions = await self._versions(root, [change.id for change in mine])
        gone: dict[str, tuple[int, Object]] = {}
        to_refetch: list[ObjectChange] = []
        payloads = []
        for change in mine:
            event = newest_event(change.events) if change.events and not change.refetch else None
            version = versions.get(change.id)
            for told in (event,) if event else change.events[:1]:
                self._emitter.event_ids[root.table.name, change.id] = str(told.get("id"))
            if event is None:
                to_refetch.append(change)
            elif ends_object(event) and not root.table.survives_deleted_event:
                if version and not version.deleted and version.changed_at > change.at:
                    to_refetch.append(change)  # read later than that: it may have come back
                elif self._is_within_bounds(root, payload(event)):
                    gone[change.id] = (change.at, self._last_known(event))
            else:
                payloads.append(self._apply_payload(change, event, version, to_refetch))
        await asyncio.gather(*payloads)
        await self._emit_deleted(root, gone)
        await self._refetch_listed(root, to_refetch)
        left = [change for change in to_refetch if not self._applied[root.table.name].get(change.id)]
        await asyncio.gather(*(self._refetch(root, change.id, change.at) for change in left))

    async def _refetch_listed(self, root: ListPlan, changes: Sequence[ObjectChange]) -> None:
        """Take many objects from the pages of their list, where these hold several of them each."""
        before = self._now - LIST_DELAY
        created = creation_times(root.table, (change for change in changes if change.at < before))
        if len(created) < MANY:
            return

        async def read(allowed: ListPlan) -> None:
            request = list_request(allowed)
            async for found, read_at in read_pages_of(self._client, request, created):
                self.refetched += len(found)
                self._applied[root.table.name].update({str(thing["id"]): True for thing in found})
                self._note_changed(root.table.name, (str(thing["id"]) for thing in found))
                inside = [thing for thing in found if self._is_within_bounds(root, thing)]
                await self._emit(root, ObjectBatch(inside, read_at))

        await read_with_allowed_expansions(root, read, self._emitter.fail)

    def _last_pass(self, root: ListPlan) -> int | None:
        """The number of the last pass over the feed that all tables of a list were part of; None: that is not known."""
        passes = [self._requests[table.name].feed_pass for table in root.tables()]
        known = [number for number in passes if number is not None]
        return min(known) if known and len(known) == len(passes) else None

    def _is_open(self, change: ObjectChange) -> bool:
        """Whether something is left to do: a newer event may have been dealt with, though not all that is found on it.

        A second look is worth it only where an event tells of what was left aside.
        """
        done = self._applied[change.root.table.name].get(change.id)
        return done is None or (not done and change.refetch)

    async def _apply_payload(
        self, change: ObjectChange, event: Object, version: StoredVersion | None, to_refetch: list[ObjectChange]
    ) -> None:
        """Take the object from its event, leave it, or add the change to those whose object is fetched again."""
        root, thing = change.root, copy.deepcopy(payload(event))
        skip: set[Placement] = set()
        unsure = change.id.startswith(root.table.refetched_ids)
        doubtful = unsure or event.get("api_version") not in (None, self._client.api_version) or any(
            watch.column and not watch.due and thing.get(watch.column) == watch.value
            and change.id not in self._watched[root.table.name]  # the list does not show it like this any more
            for watch in root.table.watch
        )
        if doubtful or not payload_suffices(thing, root, skip, self._emitter.by_change_feed):
            to_refetch.append(change)
            return
        if version is not None and version.changed_at >= change.at:
            if not version.deleted and self._fingerprint_of(root, thing) == version.print:
                if change.known and self._last_pass(root) is not None:
                    return
            elif version.changed_at > change.at or version.deleted or change.known or (
                root.table.changes_without_event or change.at < (self._requests[root.table.name].position or 0)
            ):
                to_refetch.append(change)
                return
        elif not root.wanted and change.known:
            to_refetch.append(change)
            return
        if change.number == 1 and version and (before := object_before(event)):
            self._emitter.before[root.table.name, change.id] = before
        await self._emit_object(root, thing, change.at, skip)

    def _last_known(self, event: Object) -> Object:
        """What an event says of an object that is gone; next to nothing where it speaks another version."""
        thing = payload(event)
        if event.get("api_version") in (None, self._client.api_version):
            return thing
        return {name: thing[name] for name in ("id", "object") if name in thing}

    def _fingerprint_of(self, root: ListPlan, thing: Object) -> str:
        """The fingerprint that the row of an object would have."""
        bare = copy.deepcopy(thing)
        for found in root.children:
            extract_children(bare, found)
        whole = fingerprint(self._emitter.event(root.table, bare, 0), False)
        return self._emitter.masks.of(root.table).keyed(whole)

    async def _versions(self, root: ListPlan, ids: Sequence[str]) -> dict[str, StoredVersion]:
        """What the destination holds of the objects of a list."""
        if not root.wanted or not ids:
            return {}
        found = await self._emitter.channel.ask(root.table.name, lambda stored: stored.versions([(id,) for id in ids]))
        return {key[0]: version for key, version in (found or {}).items()}

    async def _emit_object(self, root: ListPlan, thing: Object, second: int, skip: Iterable[Placement] = ()) -> None:
        id = str(thing.get("id"))
        self._applied[root.table.name][id] = not skip
        self._note_changed(root.table.name, [id])
        if self._is_within_bounds(root, thing):
            async with self._slots:
                await self._emit(root, ObjectBatch([thing], second), frozenset(skip))

    def _note_changed(self, table: str, ids: Iterable[str]) -> None:
        """Objects of a table changed, came or went: what shows copies of them is fetched again."""
        if table in self._copied:
            self._changed_ids[table].update(ids)

    def _is_within_bounds(self, root: ListPlan, thing: Object) -> bool:
        requests = [self._requests[table.name] for table in root.tables()]
        created = unix_second(thing.get(root.table.time or ""))
        return created is None or any(each.since is None or created >= each.since for each in requests)

    async def _refetch(self, root: ListPlan, id: str, second: int | None = None) -> bool:
        """Fetch an object, and emit what it is now, or that it is gone.

        Returns:
            Whether it is gone.
        """
        async with self._slots:
            self.refetched += 1
            self._applied[root.table.name][id] = True
            answer = await self._get_object(root, id)
        if answer is None:
            await self._emit_deleted(root, {id: (second or self._now, {})})
        else:
            await self._emit_object(root, answer[0], answer[1])
        return answer is None

    async def _get_object(self, root: ListPlan, id: str) -> tuple[Object, int] | None:
        async def get(allowed: ListPlan) -> Answer:
            expand = expansions(allowed)
            return await read_object(self._client, root.table, id, {"expand": expand} if expand else {})

        try:
            answer = await read_with_allowed_expansions(
                root, get, self._emitter.fail, on_lost_fields=self._emitter.note_lost_fields
            )
        except ResourceMissing:
            return None
        return None if answer.body.get("deleted") is True else (answer.body, answer.date)

    async def _emit_deleted(self, node: ListPlan, ids: Mapping[str, tuple[int, Object]]) -> None:
        """Emit that objects are gone, with all that goes with them.

        Args:
            node: what is wanted of them.
            ids: id -> since when, and the last that is known.
        """
        if not ids:
            return
        name = node.table.name
        self._applied[name].update({id: True for id in ids})
        self._note_changed(name, ids)
        self._emitter.touched_ids[name].update(ids)
        if node.wanted:
            await self._emitter.put(node.table, [
                WAEvent(name, DELETE, second, {**data, "id": id}, self._emitter.account,
                        event_id=self._emitter.event_ids.get((name, id)))
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
                    inner = await self._ids_where(kind.table, column, ids)
                    newest = max(second for second, _ in ids.values())
                    await self._emit_deleted(kind, {id: (newest, {}) for id in inner})

    async def _ids_where(self, table: Table, column: str, values: Iterable[str | None]) -> list[str]:
        """Ids of the rows that hold one of these values in a column."""
        found = await self._emitter.channel.ask(table.name, lambda stored: stored.rows_where(["id"], column, values))
        return [str(row[0]) for row in found or ()]

    async def _isolated(self, root: ListPlan, work: Any) -> None:
        """Do something for one list. A failure is that of its tables only, and their positions stay where they were."""
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

    async def _refetch_failed_parents(self, root: ListPlan) -> None:
        """Fetch the objects again whose children the last run could not read."""
        ids = {
            id for table in root.tables() for id in self._requests[table.name].failed_parents.get(root.table.name, ())
        }
        async def refetch(id: str) -> None:
            try:
                await self._refetch(root, id)
            except AuthenticationError:
                raise
            except StripeError as error:  # one object that cannot be read is no failure of the others
                for table in root.tables():
                    self._emitter.verdicts.add_failed_parents(table, root.table, {id: error})

        await asyncio.gather(*(refetch(id) for id in ids if not self._applied[root.table.name].get(id)))

    async def _refetch_copies(self) -> None:
        """Fetch again what shows copies of objects that changed."""
        changed = {name: sorted(ids) for name, ids in self._changed_ids.items()}
        for root in self.roots:
            direct = [(root.table, "id", root.wanted)]
            direct += [
                (kind.table, parent_column(kind.table) or "", kind.wanted)
                for kinds in root.children.values() for kind in kinds
            ]
            for table, want, taken in direct:
                for column, other in table.copies.items() if taken and want else ():
                    if changed.get(other):
                        await self._isolated(root, self._refetch_referencing(root, table, want, column, changed[other]))

    async def _refetch_referencing(
        self, root: ListPlan, table: Table, want: str, column: str, ids: Sequence[str]
    ) -> None:
        """Fetch the objects again whose rows show one of these ids in a column."""
        found = await self._emitter.channel.ask(table.name, lambda stored: stored.rows_referencing(want, column, ids))
        shown = {id for owners in (found or {}).values() for id in owners}
        stale = [id for id in sorted(shown) if not self._applied[root.table.name].get(id)]
        await asyncio.gather(*(self._refetch(root, id) for id in stale))
