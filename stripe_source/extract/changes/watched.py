"""What changes without an event: lists that are read beside the feed, and rows whose time has come."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from stripe_source.api.lists import ListRequest, read_newest_first
from stripe_source.destination.stored_rows import Question, StoredRows
from stripe_source.errors import InvalidRequest
from stripe_source.extract.changes.apply import ChangeApplier
from stripe_source.extract.changes.listed import LIST_DELAY
from stripe_source.extract.plan import ListPlan, expansions, read_with_allowed_expansions
from stripe_source.tables.table import Watch

AheadQuestion = tuple[str, Callable[[StoredRows], Question]]  # with the name of its table
DUE_SPAN_GAP = 86_400  # seconds: what is due is read in spans of `created` without a longer gap than this
REMOVED_WITHIN = 7 * 86_400  # seconds after its time in which Stripe removes an object
DAY = 86_400  # seconds: objects that are not removed yet are looked at once in one


class WatchedLists(ChangeApplier):
    """Reads the lists that are watched, and applies what they show."""

    async def _read_watched_lists(self, root: ListPlan) -> None:
        """Read the lists that are watched."""
        for watch in root.table.watch if root.wanted or root.children else ():
            if watch.due is None:
                for number, extra in enumerate(root.table.variants):
                    given = {**root.table.params, **extra, **watch.params}
                    read = partial(self._read_watched_list, watch, given)
                    try:
                        await read_with_allowed_expansions(
                            root, read, self._emitter.fail, on_lost_fields=self._emitter.note_lost_fields
                        )
                    except InvalidRequest:
                        if number == 0:  # a further part of the list may be refused, as in a full pass
                            raise

    def _questions_of(self, root: ListPlan, watch: Watch) -> Iterator[AheadQuestion]:
        """What is asked of the destination about what is watched, however little has changed."""
        name, column, value = root.table.name, watch.column or "", watch.value
        low = self._oldest_watched(root, watch)
        if watch.due:
            due, now = watch.due, self._now
            yield name, lambda stored: stored.ask_due(column, str(value), due, now)
        elif watch.column:
            yield name, lambda stored: stored.ask_versions(column, value)
        if low is not None and root.table.time:
            yield name, lambda stored: stored.ask_versions(None, None, low)

    def _oldest_watched(self, root: ListPlan, watch: Watch) -> int | None:
        """From which second of `created` on a list is read; None: all of it."""
        if watch.lookback is None:
            return None
        position = min(self._requests[table.name].position or self._now for table in root.tables())
        return max(0, position - max(int(watch.lookback.total_seconds()), self._lookback))

    async def _read_watched_list(self, watch: Watch, params: Mapping[str, Any], root: ListPlan) -> None:
        table = root.table
        expand = [f"data.{path}" for path in expansions(root)]
        what = ListRequest(
            table.path or "", {**params, **({"expand": expand} if expand else {})}, limit=table.limit,
            time=table.time or "created", range=table.range,
        )
        low = self._oldest_watched(root, watch)
        async for batch in read_newest_first(self._client, what, low if table.created else None):
            for thing in batch.objects:
                if low is not None and any(time < low for time in what.times([thing])):
                    continue
                self._watched[table.name][str(thing.get("id"))] = (thing, batch.read_at)
            if low is not None and not table.created and any(time < low for time in what.times(batch.objects)):
                break

    async def _apply_watched(self, root: ListPlan) -> None:
        name = root.table.name
        found = self._watched.pop(name, {})
        fresh = {id: thing for id, thing in found.items() if id not in self._applied[name]}
        versions = await self._versions(root, list(fresh))
        to_refetch = []
        for id, (thing, read_at) in fresh.items():
            version = versions.get(id)
            same = version and not version.deleted and self._fingerprint_of(root, thing) == version.print
            if version and not same and version.changed_at >= read_at - LIST_DELAY:
                to_refetch.append(id)  # lists may be behind: which of the two is the newer one?
            elif not same or root.children:
                await self._emit_object(root, thing, read_at)
        for watch in root.table.watch if root.wanted else ():
            if watch.due:
                await self._read_due(root, watch)
            elif watch.column:
                stored = await self._ids_where(root.table, watch.column, [watch.value])
                to_refetch += [id for id in stored if id not in found and id not in self._applied[name]]
        await asyncio.gather(*(self._refetch(root, id) for id in dict.fromkeys(to_refetch)))

    def _removal_span(self, root: ListPlan) -> tuple[str, int, int] | None:
        """The column and the span of its times in which Stripe may have removed objects; None: it removes none."""
        removal, livemode = root.table.removal, self._client.credentials.livemode
        if removal is None or not root.wanted or (livemode is not None and removal.mode != ("test", "live")[livemode]):
            return None
        after = int(removal.after.total_seconds())
        position = self._requests[root.table.name].position or 0
        again = REMOVED_WITHIN if position // DAY != self._now // DAY else 0
        return removal.column, (position or self._now) - after - again, self._now - after

    async def _refetch_removed(self, root: ListPlan) -> None:
        """Fetch objects again that Stripe may have removed without an event, and what goes with them."""
        span = self._removal_span(root)
        if span is None or root.table.removal is None:
            return
        ids = await self._emitter.channel.ask(root.table.name, lambda stored: stored.ids_between(*span))
        stale = [id for id in ids or () if id not in self._applied[root.table.name]]
        removed = [id for id, is_gone in zip(stale, await asyncio.gather(
            *(self._refetch(root, id) for id in stale)), strict=True) if is_gone]
        for name, column in root.table.removal.with_them.items():
            other = next((each for each in self.roots if each.table.name == name and each.wanted), None)
            if other and removed:
                related = await self._ids_where(other.table, column, removed)
                await asyncio.gather(*(self._refetch(other, id) for id in related if id not in self._applied[name]))

    async def _read_due(self, root: ListPlan, watch: Watch) -> None:
        """Read again what was created in the seconds of rows whose time has come."""
        name, column, due = root.table.name, watch.column or "", watch.due or ""
        times = await self._emitter.channel.ask(
            root.table.name, lambda stored: stored.rows_due(column, str(watch.value), due, self._now)
        )
        spans: list[list[int]] = []
        for second in sorted(times or ()):
            if spans and second - spans[-1][1] <= DUE_SPAN_GAP:
                spans[-1][1] = second
            else:
                spans.append([second, second])
        table = root.table
        expand = [f"data.{path}" for path in expansions(root)]
        params = {**table.params, **({"expand": expand} if expand else {})}
        what = ListRequest(table.path or "", params, limit=table.limit)
        for low, high in spans:
            async for batch in read_newest_first(self._client, what, low, high + 1):
                fresh = [thing for thing in batch.objects if str(thing.get("id")) not in self._applied[name]]
                self._applied[name].update({str(thing.get("id")): True for thing in fresh})
                self._note_changed(name, (str(thing.get("id")) for thing in fresh))
                await self._emit(root, replace(batch, objects=fresh))
