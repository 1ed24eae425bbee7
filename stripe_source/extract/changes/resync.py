"""Compares tables that go by the change feed again, span by span of `created`: an event may be lost, or come too late.

Each table is compared within the option `resync`, a share of it a day. What is found says how good the feed is.
"""
from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stripe_source.api.lists import ListRequest, read_newest_first
from stripe_source.destination.version_index import StoredVersion
from stripe_source.extract.changes.listed import LIST_DELAY
from stripe_source.extract.changes.watched import WatchedLists
from stripe_source.extract.lists.confirm import confirm_gone
from stripe_source.extract.plan import ListPlan, expansions

STEP = 86_400  # seconds: a table is compared no oftener than this


@dataclass
class Resynced:
    """What a comparison of a span found.

    Args:
        at: unix second of the comparison.
        following: the second of `created` where the next one begins; None: at the oldest object.
        compared: objects that the list showed.
        different: of these and of the stored rows, those that the change feed had not brought up to date.
    """

    at: int
    following: int | None = None
    compared: int = 0
    different: int = 0


class Resync(WatchedLists):
    """Compares spans of lists with what is stored, and applies what differs."""

    resynced: dict[str, Resynced]

    async def _resync(self, root: ListPlan) -> None:
        """Compare the next span of a list, if it is time."""
        table, request = root.table, self._requests.get(root.table.name)
        if not root.wanted or not table.created or table.time is None or request is None or request.resync is None:
            return
        if request.resynced_at is None:
            self.resynced[table.name] = Resynced(self._now, request.resync_next)
            return
        since = self._now - request.resynced_at
        if since < STEP:
            return
        oldest = await self._emitter.channel.ask(table.name, lambda stored: stored.oldest())
        spans, following = _spans(self._now, oldest, since / request.resync, request.resync_next)
        result = Resynced(self._now, following)
        for low, high in spans:
            if max(low, request.since or 0) < high:
                await self._compare(root, max(low, request.since or 0), high, result)
        self.resynced[table.name] = result

    async def _compare(self, root: ListPlan, low: int, high: int, result: Resynced) -> None:
        """Compare the objects that were created in [low, high) with what is stored; apply and count what differs."""
        name, table = root.table.name, root.table
        stored = await self._emitter.channel.ask(name, lambda rows: rows.versions_between(low, high)) or {}
        expand = [f"data.{path}" for path in expansions(root)]
        params = {**table.params, **({"expand": expand} if expand else {})}
        request = ListRequest(table.path or "", params, limit=table.limit, time=table.time or "", range=table.range)
        shown: set[str] = set()
        for variant in table.variants:
            asked = replace(request, params={**params, **variant})
            async for batch in read_newest_first(self._client, asked, low or None, high):
                result.compared += len(batch.objects)
                shown.update(str(thing.get("id")) for thing in batch.objects)
                fresh, unsure = [], []
                for thing in batch.objects:
                    id = str(thing.get("id"))
                    if id in self._applied[name]:
                        continue
                    version = stored.get((id,))
                    if version is None or version.deleted or version.print != self._fingerprint_of(root, thing):
                        result.different += 1
                        self._note_changed(name, [id])
                        if version and version.changed_at >= batch.read_at - LIST_DELAY:
                            unsure.append(id)  # lists may be behind: which of the two is the newer one?
                            continue
                    self._applied[name][id] = True
                    fresh.append(thing)
                await self._emit(root, replace(batch, objects=fresh))
                await asyncio.gather(*(self._refetch(root, id) for id in unsure))
        result.different += await self._confirm(root, stored, shown)

    async def _confirm(self, root: ListPlan, stored: Mapping[tuple[str, ...], StoredVersion], shown: set[str]) -> int:
        """Flag what the list does not show and Stripe does not have; answers with their number."""
        name = root.table.name
        lacking = {
            key[0] for key, version in stored.items()
            if not version.deleted and key[0] not in shown and key[0] not in self._applied[name]
        }
        if not lacking or root.table.key != ("id",) or root.table.deletions_unknown or root.table.retention:
            return 0
        found = await confirm_gone(self._client, root.table, lacking)
        await self._emit_deleted(root, {id: (self._now, {}) for id in found.gone})
        return len(found.gone)


def _spans(
    now: int, oldest: int | None, share: float, following: int | None
) -> tuple[list[tuple[int, int]], int | None]:
    """The spans of `created` to compare, as [low, high), and where the next one begins; None: at the oldest object.

    A share that reaches beyond the newest object goes on at the oldest one, so that nothing waits for longer than one
    round takes.

    >>> _spans(1_000, 400, 0.5, None), _spans(1_000, 400, 0.5, 700)
    (([(0, 700)], 700), ([(700, 1000)], None))
    >>> _spans(1_000, 400, 0.5, 800), _spans(1_000, 400, 1.5, 800)
    (([(800, 1000), (0, 500)], 500), ([(0, 1000)], None))
    """
    if oldest is None or oldest >= now or share >= 1:
        return [(0, now)], None
    begin = following if following is not None and oldest < following < now else oldest
    high = begin + math.ceil((now - oldest) * share)
    first = (0 if begin == oldest else begin, min(high, now))
    if high <= now:
        return [first], high if high < now else None
    again = min(oldest + high - now, begin)
    return [first, (0, again)], again
