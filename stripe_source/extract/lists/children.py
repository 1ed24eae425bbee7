"""The objects that come with, or under, those of another table: taken out of their parents' pages, and completed."""
from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first, read_object
from stripe_source.api.query import fill
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.errors import (
    ApiError,
    AuthenticationError,
    InvalidRequest,
    NotEnabled,
    PermissionDenied,
    RateLimited,
    ResourceMissing,
    StripeError,
    Unreachable,
)
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.plan import ListPlan, drop_named_expansions, expansions, with_lists
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict, verdict_for
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import (
    Placement,
    extract_children,
    fill_params,
    may_have_children,
    values_at,
    whole_days,
)
from stripe_source.tables.registry import BY_NAME, parent_column
from stripe_source.tables.table import Table
from stripe_source.workers.protocol import PageHandle

CLOSED = "no permission", "not enabled"  # verdicts that are the same for all parents
LISTS_OF_AN_OUTAGE = 3  # lists of a page's parents that fail as if Stripe were down
CHILD_LISTS_AT_ONCE = 16  # child lists of one page of parents that are asked side by side


@dataclass(frozen=True)
class _Family:
    """The objects that one owner has, or one pair of owners, and when they were read."""

    owner: str | None
    objects: list[Object]
    read_at: int
    pair: str | None = None
    cut: bool = False  # there are more, and they could not be read


def _expansions(found: Placement, kinds: Sequence[ListPlan]) -> list[str]:
    """What is expanded on the objects of a list of children."""
    return [] if found.single_object else [f"data.{path}" for kind in kinds for path in expansions(kind)]


def _is_outage(errors: Iterable[StripeError]) -> bool:
    """Whether so many parents' lists failed, after all attempts, that more requests would not do better."""
    return sum(isinstance(error, (ApiError, RateLimited, Unreachable)) for error in errors) >= LISTS_OF_AN_OUTAGE


@dataclass
class _ChildLists:
    """The lists of children of one page of parents, and what went wrong with them.

    Args:
        client: sends the requests.
        found: where the children are.
        kinds: what is wanted of them.
        read_at: unix second in which the parents were read.
        by_change_feed: some of the tables go by the change feed, so that a parent without children counts.
        gate: how many lists are read side by side.
        refused: refusals that are to be expected.
        failed: by the parent's id, why its list could not be read.
        bare: only ids came of what is expanded.
    """

    client: Client
    found: Placement
    kinds: Sequence[ListPlan]
    read_at: int
    by_change_feed: bool
    gate: asyncio.Semaphore
    refused: list[StripeError] = field(default_factory=list)
    failed: dict[str, StripeError] = field(default_factory=dict)
    bare: bool = False


class Children:
    """Takes children out of their parents, asks for the rest of them, and hands them over.

    Args:
        emitter: takes the objects, and knows how the reading of each table goes.
        requests: what is wanted of each table.
    """

    def __init__(self, emitter: Emitter, requests: Mapping[str, TableRequest]) -> None:
        self._emitter, self._requests = emitter, requests
        self._verdicts = emitter.verdicts
        self._fallbacks: dict[str, dict[str, WAEvent]] = {}
        self._refusals: dict[str, int] = defaultdict(int)
        self._answered: set[str | None] = {None}  # paths of lists of children that were read once
        self._all_ids: dict[str, asyncio.Future[list[str | None]]] = {}

    def look_for(self, table: Table) -> None:
        """Objects of a table are found in places that count only for what its own list lacks."""
        self._fallbacks.setdefault(table.name, {})

    async def split(
        self, client: Client, plan: ListPlan, batch: ObjectBatch, skip: frozenset[Placement] = frozenset()
    ) -> None:
        """Take the children out of a batch of objects, complete them, and emit both.

        Args:
            client: asks for the rest of lists that were cut.
            plan: what is wanted of the objects.
            batch: the objects.
            skip: places whose objects are taken out and left, because other events tell of them.
        """
        table = plan.table
        if self._emitter.by_change_feed and plan.children:
            self._emitter.touched_ids[table.name].update(str(thing.get("id")) for thing in batch.objects)
        extracted = []
        for found, kinds in plan.children.items():
            if found.at is None and all(
                kind.table.path and kind.table.name in self._emitter.by_change_feed for kind in kinds
            ):
                continue  # they have events of their own
            if found in skip:
                for thing in batch.objects:
                    extract_children(thing, found)
            elif await self._extract(client, found, kinds, batch.objects, batch.read_at) and found.at:
                extracted.append(found)
        if plan.wanted:
            request = self._requests[table.name]
            things = [
                thing for thing in batch.objects
                if request.wants_created(thing.get(table.time) if table.time and not table.singleton else None)
            ]
            handle = None
            if isinstance(batch.handle, PageHandle):
                handle = replace(batch.handle, taken=tuple(extracted))
            for thing in things:
                if "object" in thing and not table.at and thing["object"] not in table.object:
                    self._emitter.note_other_kind(f"`{table.path}`", thing["object"], table.name)
            events = [self._emitter.event(table, thing, batch.read_at) for thing in things]
            await self._emitter.put(table, events, handle)

    async def _extract(
        self, client: Client, found: Placement, kinds: list[ListPlan], parents: Sequence[Object], read_at: int
    ) -> bool:
        """Take the objects that are found with these parents, complete them, and hand them over.

        Returns:
            Whether they were taken; not where the key may not read them.
        """
        below = [table for kind in kinds for table in kind.tables()]
        if not found.refusal_expected and all(self._verdicts[table.name].status in CLOSED for table in below):
            return False  # asking for each parent again would say no more
        parents = with_lists(found, parents)
        by_change_feed = any(table.name in self._emitter.by_change_feed for kind in kinds for table in kind.tables())
        lists = _ChildLists(client, found, kinds, read_at, by_change_feed, asyncio.Semaphore(CHILD_LISTS_AT_ONCE))
        try:
            several = await self._families(lists, parents)
        except AuthenticationError:
            raise
        except StripeError as error:  # the children's trouble is not their parents'
            for table in below:
                self._verdicts.set_partial(table, verdict_for(error), own=False)
            return True
        families = [family for some in several for family in some]
        self._note_other_kinds(found, kinds, families)
        for kind in kinds:
            self._note_failures(lists, kind)
            await self._family(client, kind, families, found)
        return True

    async def _families(self, lists: _ChildLists, parents: Sequence[Object]) -> list[list[_Family]]:
        """The children of all parents of a page; a list that nobody knows is asked for once."""
        path, several = lists.found.child_path, list[list[_Family]]()
        rest = iter(parents)
        while path not in self._answered:
            parent = next(rest, None)
            if parent is None:
                return several
            several.append(await self._families_of(lists, parent))
        return [*several, *await asyncio.gather(*(self._families_of(lists, parent) for parent in rest))]

    async def _families_of(self, lists: _ChildLists, parent: Object) -> list[_Family]:
        """The children of one parent; the failure of its list is noted, and is not that of other parents' children."""
        found, known = lists.found, parent.get("id")
        nothing = _Family(str(known) if known is not None else None, [], lists.read_at)
        if not may_have_children(parent, found):
            return [nothing] if lists.by_change_feed else []
        things, more = extract_children(parent, found)
        lists.bare = lists.bare or (more and not found.child_path)
        family = replace(nothing, objects=things)
        if not more or not found.child_path:
            return [family] if things or lists.by_change_feed else []
        try:
            families = await self._rest(lists, parent, family)
            self._answered.add(found.child_path)
            return families
        except AuthenticationError:
            raise
        except (NotEnabled, PermissionDenied) as error:
            if not found.refusal_expected:
                raise
            lists.refused.append(error)
            return []
        except StripeError as error:
            lists.failed[str(known)] = error
            if _is_outage(lists.failed.values()):
                raise
            return [replace(family, cut=True)]

    def _note_failures(self, lists: _ChildLists, kind: ListPlan) -> None:
        """Note in the verdicts what could not be read."""
        found = lists.found
        for table in kind.tables() if lists.bare else ():
            reason = f"`{found.at}` of {found.parent} came as ids: the key lacks `{kind.table.permission}`"
            self._verdicts.set_partial(table, Verdict("no permission", reason, False), own=False)
        if lists.refused:
            self._note_refusals(kind.table, found, len(lists.refused), lists.refused[0])
        for table in kind.tables() if lists.failed else ():
            self._verdicts.add_failed_parents(table, BY_NAME[found.parent], lists.failed)

    async def _family(self, client: Client, kind: ListPlan, families: Sequence[_Family], found: Placement) -> None:
        events: list[WAEvent] = []
        column = parent_column(kind.table) or found.parent_id_column
        for family in families:
            compared = kind.table.name in self._emitter.by_change_feed and not found.fallback and not family.cut
            if column and family.owner and compared:
                self._emitter.parents_read[kind.table.name][column].add(family.owner)
            mine = [  # the place is the one in the whole list, which may hold objects of other tables
                (place, thing) for place, thing in enumerate(family.objects)
                if kind.takes(thing) or (found.fallback and "object" not in thing)  # of some copies only ids are there
            ]
            for inner, inner_kinds in kind.children.items():
                await self._extract(client, inner, inner_kinds, [thing for _, thing in mine], family.read_at)
            events += [
                self._emitter.event(
                    kind.table, thing, family.read_at, family.owner, None if found.single_object else place, family.pair
                )
                for place, thing in mine
            ]
        if found.fallback:
            for event in events:
                kept = self._fallbacks[kind.table.name].get(str(event.data.get("id")))
                if kept is None or "object" not in kept.data:
                    self._fallbacks[kind.table.name][str(event.data.get("id"))] = event
        elif kind.wanted:
            await self._emitter.put(kind.table, events)

    def _note_other_kinds(self, found: Placement, kinds: Sequence[ListPlan], families: Sequence[_Family]) -> None:
        """Objects that no table names which is found here: they are rows of one of them, and the result says so."""
        if found.fallback:
            return
        taker = next((kind.table.name for kind in kinds if kind.other_kinds and kind.wanted), None)
        for family in families:
            for thing in family.objects:
                if (kind := thing.get("object")) is not None and kind not in kinds[0].named:
                    self._emitter.note_other_kind(f"`{found.at or found.child_path}` of {found.parent}", kind, taker)

    def _note_refusals(self, table: Table, found: Placement, number: int, error: StripeError) -> None:
        """Some parents' lists were refused, which is to be expected; that all are is the verdict."""
        self._refusals[table.name] += number
        verdict = self._verdicts[table.name]
        verdict.complete = False
        verdict.error = error
        verdict.reason = f"{self._refusals[table.name]} lists of {found.parent} were refused: {found.refusal_expected}"

    async def emit_fallbacks(self, client: Client, table: Table) -> None:
        """Hand over what was found of a table elsewhere and is not in its own list.

        Args:
            client: asks for what is known by its id only.
            table: the table.
        """
        seen = self._emitter.emitted(table.name)
        fallbacks = self._fallbacks.pop(table.name, {})
        if fallbacks and table.name in self._emitter.by_change_feed:
            ids = [(id,) for id in fallbacks]
            stored = await self._emitter.channel.ask(table.name, lambda stored: stored.versions(ids))
            alive = {key[0] for key, version in (stored or {}).items() if not version.deleted}
            fallbacks = {id: event for id, event in fallbacks.items() if id not in alive}
        gate = asyncio.Semaphore(CHILD_LISTS_AT_ONCE)

        async def whole(event: WAEvent) -> WAEvent | None:
            if "object" in event.data:
                return event
            async with gate:
                try:
                    expand = {"expand": table.expand} if table.expand else {}
                    answer = await read_object(client, table, event.data["id"], expand)
                except StripeError as error:
                    if not isinstance(error, ResourceMissing):
                        self._verdicts.set_partial(table, verdict_for(error), own=False)
                    return None
                return event._replace(data=answer.body, time=answer.date)

        lacking = [event for id, event in fallbacks.items() if id not in seen and (id, None) not in seen]
        found = await asyncio.gather(*map(whole, lacking))
        await self._emitter.put(table, [event for event in found if event])

    async def _rest(self, lists: _ChildLists, parent: Object, family: _Family) -> list[_Family]:
        """All children of one parent, by lists of their own. An owner that vanished meanwhile has none."""
        found, client = lists.found, lists.client
        given = fill_params(found.params, parent)
        owners = [str(owner) for owner in values_at(parent, found.id)]
        if found.via_path:
            async with lists.gate:
                try:
                    answer = await client.get(found.via_path, {found.param or "id": parent["id"]})
                except ResourceMissing:
                    return []
            owners = [str(owner) for owner in values_at(answer.body, found.id)]
        if found.window:
            window = self._window(lists.kinds[0].table, parent)
            if window is None:
                return []
            given.update(zip(found.window, window, strict=True))
        pairs = await self._ids(client, found.second_parent[0]) if found.second_parent else [None]
        return await asyncio.gather(
            *(self._list_of_owner(lists, given, family, owner, pair) for owner in owners for pair in pairs)
        )

    def _window(self, table: Table, parent: Object) -> tuple[int, int] | None:
        """The whole days that are asked for; None where the parent is younger than what is wanted."""
        request = self._requests[table.name]
        back = int(table.lookback.total_seconds())
        created = unix_second(parent.get("created")) or 0
        begin = request.since if request.since is not None else max(0, created - back)
        until = request.until or self._emitter.now or 0
        return None if begin >= until else whole_days(begin, until)

    async def _list_of_owner(
        self, lists: _ChildLists, params: Mapping[str, Any], family: _Family, owner: str, pair: str | None
    ) -> _Family:
        """One list of children, read to its end; without what the key may not expand."""
        found, kinds = lists.found, lists.kinds
        path = fill(found.child_path or "", id=owner)
        given = {**params, **({found.param: owner} if found.param and not found.via_path else {})}
        if found.second_parent:
            given[found.second_parent[1]] = pair
        if paths := _expansions(found, kinds):
            given["expand"] = paths
        whole = _Family(owner, [], family.read_at, pair)
        limit = None if any(kind.table.limit is None for kind in kinds) else 100
        try:
            async with lists.gate:
                if found.single_object:
                    answer = await lists.client.get(path, given)
                    return replace(whole, objects=[answer.body], read_at=answer.date)
                async for page in lists.client.pages(path, given, limit=limit):
                    whole.objects.extend(page.objects)
                    whole = replace(whole, read_at=page.date)
        except ResourceMissing:
            return replace(family, pair=pair)
        except InvalidRequest as error:
            if error.status != 404:  # of old Checkout Sessions in test mode: "Could not find line items", 2026-11
                raise
            return replace(family, pair=pair)
        except PermissionDenied as error:
            if paths == _expansions(found, kinds):  # else another parent's list has taught it meanwhile
                self._stop_expanding(kinds, error)
            return await self._list_of_owner(lists, params, family, owner, pair)
        return whole

    def _stop_expanding(self, kinds: Sequence[ListPlan], error: PermissionDenied) -> None:
        """Expand no more what the key may not read.

        Raises:
            PermissionDenied: the error itself, because it is about the list.
        """
        for kind in kinds:
            left, lost = drop_named_expansions(kind, error)
            kind.children = left.children
            for table in lost:
                self._verdicts.set_partial(table, verdict_for(error), own=False)

    async def _ids(self, client: Client, name: str) -> list[str | None]:
        """The ids of all objects of a table, read once a run."""
        if name not in self._all_ids:
            async def read() -> list[str | None]:
                table = BY_NAME[name]
                what = ListRequest(table.path or "", table.params, limit=table.limit)
                batches = read_newest_first(client, what)
                return [str(thing["id"]) async for batch in batches for thing in batch.objects if "id" in thing]

            self._all_ids[name] = asyncio.ensure_future(read())
        return await self._all_ids[name]
