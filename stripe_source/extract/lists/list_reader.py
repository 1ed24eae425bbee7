"""Sources of objects: a list, read by spans, onwards from an id, or as it comes; and a single object."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first, read_object, read_onwards
from stripe_source.api.pages import PageDecoder
from stripe_source.api.query import Params, fill
from stripe_source.errors import InvalidRequest, NotEnabled, PermissionDenied, ResourceMissing, StripeError
from stripe_source.extract.backfill.spans import NO_END, BackfillProgress
from stripe_source.extract.backfill.sweep import Sweep
from stripe_source.extract.checkpoint import BackfillCheckpoint
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.lists.children import CHILD_LISTS_AT_ONCE
from stripe_source.extract.lists.witness import lacks_objects
from stripe_source.extract.plan import ListPlan, expansions, fields_needed, read_with_allowed_expansions
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import verdict_for
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import Placement
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table
from stripe_source.workers.process import WorkerProcess

log = logging.getLogger("stripe_source")


class Emit(Protocol):
    """Takes a batch of objects, with the plan of their list, and places on them that are left aside."""

    def __call__(
        self, plan: ListPlan, batch: ObjectBatch, skip: frozenset[Placement] = frozenset()
    ) -> Awaitable[None]: ...


class Source(Protocol):
    """Brings objects of Stripe: all of a list, or those that changed."""

    async def run(self, emit: Emit) -> None:
        """Read to the end, and emit batch by batch; several calls of `emit` may be under way.

        Raises:
            StripeError: something could not be read.
        """


@dataclass
class SingletonSource:
    """One object that the account has once; its rows may be inside of it.

    Args:
        client: asks Stripe.
        path: of the object.
        plans: of the tables whose rows are in it.
    """

    client: Client
    path: str
    plans: Sequence[ListPlan]

    async def run(self, emit: Emit) -> None:
        """Read it, and emit the rows of each table."""
        answer = await self.client.get(self.path)
        for plan in self.plans:
            things = answer.body if plan.table.at == "" else answer.body.get(plan.table.at)
            rows = things if isinstance(things, list) else [things] if isinstance(things, dict) else []
            await emit(plan, ObjectBatch(rows, answer.date))


@dataclass
class Reading:
    """What the lists of one run have in common.

    Args:
        client: asks Stripe.
        emitter: knows how the reading of each table goes.
        requests: what is wanted of each table.
        worker: keeps the pages of long lists.
        backfills: lists that are read for the first time, and how far an earlier run came with them.
        on_cover: called with (table, how far its list has been read).
    """

    client: Client
    emitter: Emitter
    requests: Mapping[str, TableRequest]
    worker: WorkerProcess
    backfills: Mapping[str, BackfillCheckpoint]
    on_cover: Callable[[str, BackfillProgress], None]


@dataclass
class ListSource:
    """One list of Stripe, read in all its variants, with what is expanded for the tables that are found on its objects.

    Args:
        reading: what it shares with the other lists.
        plan: of the list.
        sweeps: by number of the variant: its reading by spans.
        finished: the list was read to its end.
    """

    reading: Reading
    plan: ListPlan
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    finished: bool = False

    async def run(self, emit: Emit) -> None:
        """Read all of the list that its tables want."""
        table, client = self.plan.table, self.reading.client
        bounds, shown = self._bounds(), 0

        async def take(plan: ListPlan, batch: ObjectBatch, skip: frozenset[Placement] = frozenset()) -> None:
            nonlocal shown
            shown += len(batch.objects)
            await emit(plan, batch, skip)

        if table.name in self.reading.backfills:
            for each in self.plan.tables():
                self.reading.emitter.readers[each.name] = self._readers if each is table else lambda: 1
        found_alone = False
        for path in table.extra_paths:
            try:
                answer = await client.get(path)
            except (PermissionDenied, ResourceMissing, NotEnabled):
                continue  # the key may list, and still not read this one; other servers may not have it
            found_alone = True
            await take(self.plan, ObjectBatch([answer.body], answer.date))
        for number, variant in enumerate(table.variants):
            try:
                await self._read_variant(take, self.plan, bounds, {**table.params, **variant}, str(number))
            except (NotEnabled, PermissionDenied, ResourceMissing, InvalidRequest) as error:
                if number == 0 and not (found_alone and table.refusal_expected):
                    raise
                log.warning("%s: a part of the table was refused: %s", table.name, error)
                verdict = self.reading.emitter.verdicts[table.name]
                verdict.complete, verdict.reason = False, table.refusal_expected or str(error)
        whole = self.plan.wanted and bounds.since is None and bounds.until is None
        if table.named_by and whole and (table.owners_list or not shown):
            await self._look_for_lacking(emit)
        self.finished = True

    async def _look_for_lacking(self, emit: Emit) -> None:
        """Where others name objects that the list does not show, flag nothing; read the list of each owner, if any."""
        table, client, emitter = self.plan.table, self.reading.client, self.reading.emitter
        shown = {key if isinstance(key, str) else key[0] for key in emitter.emitted(table.name)}
        lacking = await lacks_objects(client, table, shown, emitter.now or 0)
        if lacking is None:
            return
        owner, path = table.owners_list or ("", "")
        verdict = emitter.verdicts[table.name]
        verdict.complete = False
        so = f", so it was read {owner} by {owner}" if owner else ": it is not whole, so no row is taken for deleted"
        verdict.reason = verdict.reason or f"its list does not show `{lacking}`{so}"
        log.warning("%s: %s", table.name, verdict.reason)
        if not owner:
            return
        slots = asyncio.Semaphore(CHILD_LISTS_AT_ONCE)

        async def read(id: str) -> None:
            async with slots:
                with suppress(ResourceMissing):
                    request = ListRequest(fill(path, id=id), table.params, limit=table.limit)
                    async for batch in read_newest_first(client, request):
                        await emit(self.plan, batch)

        owners = BY_NAME[owner]
        async for batch in read_newest_first(client, ListRequest(owners.path or "", owners.params)):
            await asyncio.gather(*(read(str(thing.get("id"))) for thing in batch.objects))

    def gaps(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """What is missing, by number of the variant, as [low, high) in unix seconds each."""
        return {number: tuple(sweep.gaps()) for number, sweep in self.sweeps.items()}

    def _readers(self) -> int:
        return sum(sweep.readers for sweep in self.sweeps.values())

    def _bounds(self) -> TableRequest:
        """What all tables that take something from the list want of it."""
        table = self.plan.table
        requests = [self.reading.requests[each.name] for each in self.plan.tables()]
        own = self.reading.requests.get(table.name) if self.plan.wanted else None
        return TableRequest(
            table,
            min(request.since or 0 for request in requests) or None,
            None if any(request.until is None for request in requests)
            else max(request.until or 0 for request in requests),
            own.after_id if own and all(request.since is not None for request in requests) else None,
        )

    async def _read_variant(
        self, emit: Emit, plan: ListPlan, bounds: TableRequest, params: Params, number: str
    ) -> None:
        """Read a list once, with expansions for the tables that are found on its objects.

        A key that may read the list may lack the permission for what is expanded. Then the list is read without that.
        """
        verdicts = self.reading.emitter.verdicts
        await read_with_allowed_expansions(
            plan, lambda allowed: self._read_expanded(emit, allowed, bounds, params, number),
            lambda table, error: verdicts.set_partial(table, verdict_for(error), own=False),
            lambda allowed: self._probe(allowed, params), self.reading.emitter.note_lost_fields,
        )

    async def _probe(self, plan: ListPlan, params: Params) -> None:
        """Ask for one object, to see whether its expansions are refused."""
        expand = {"expand": [f"data.{path}" for path in paths]} if (paths := expansions(plan)) else {}
        limit = {"limit": 1} if plan.table.limit else {}
        await self.reading.client.page(plan.table.path or "", {**params, **expand, **limit})

    async def _read_expanded(
        self, emit: Emit, plan: ListPlan, bounds: TableRequest, params: Params, number: str
    ) -> None:
        table, client, expand = plan.table, self.reading.client, expansions(plan)
        given = {**params, **({"expand": [f"data.{path}" for path in expand]} if expand else {})}
        request = ListRequest(table.path or "", given, limit=table.limit, time=table.time or "created",
                              range=table.range, on_skip=partial(self._skip, plan))

        async def take(batch: ObjectBatch) -> None:
            if table.include and table.object_path:
                batch = replace(batch, objects=await self._complete(table, batch.objects))
            await emit(plan, batch)
            if sweep := self.sweeps.get(number):
                self.reading.on_cover(table.name, sweep.progress())

        if table.created and bounds.after_id is None:
            sweep = self.sweeps[number] = self._sweep(plan, request, bounds, number)
            await sweep.run(take)
        elif bounds.after_id is not None:
            async for batch in self._read_after(request, bounds):
                await take(batch)
        else:
            async for batch in read_newest_first(client, request):
                await take(batch)

    def _skip(self, plan: ListPlan, id: str, error: StripeError) -> None:
        """An object cannot be read: name it; the next run tries again."""
        for table in plan.tables():
            self.reading.emitter.verdicts.add_failed_parents(table, plan.table, {id: error})

    def _sweep(self, plan: ListPlan, request: ListRequest, bounds: TableRequest, number: str) -> Sweep:
        backfill = self.reading.backfills.get(plan.table.name)
        until = bounds.until or NO_END
        sweep = Sweep(
            self.reading.client, request, bounds.since, until,
            gaps=backfill.missing(number, until) if backfill else None,
            decoder=lambda: self._decoder(plan, sweep),
        )
        return sweep

    def _decoder(self, plan: ListPlan, sweep: Sweep) -> PageDecoder | None:
        """What takes the next page of the list as it comes: the worker, once the list is a long one."""
        table, worker = plan.table, self.reading.worker
        builder = self.reading.emitter.channel.builder_of(table.name)
        plain = plan.wanted and not table.include and BY_NAME.get(table.name) is table
        if not plain or builder is None or builder.compares:
            return None
        if not worker.tried and WorkerProcess.is_worth_starting(sweep.progress().left or 0):
            worker.start()
        return partial(worker.send_page, members=sorted(fields_needed(plan))) if worker.ready else None

    async def _complete(self, table: Table, listed: Sequence[Object]) -> list[Object]:
        """The objects of a page with the sections that the list leaves out: one request each."""
        gate = asyncio.Semaphore(CHILD_LISTS_AT_ONCE)

        async def whole(thing: Object) -> Object:
            if thing.get("object") not in (None, *table.object):
                return thing  # of a kind that no table is for, and as the list has it
            async with gate:
                include = {"include": table.include}
                try:
                    answer = await read_object(self.reading.client, table, str(thing["id"]), include)
                except ResourceMissing:
                    return thing  # it went meanwhile
                return answer.body

        return await asyncio.gather(*map(whole, listed))

    async def _check_marker_object(self, id: str, created: int | None) -> None:
        """See whether the object where the last run ended is still that one: people choose ids, and use them again.

        Raises:
            ResourceMissing: it is another one, or gone.
        """
        table = self.plan.table
        if created is None or table.time is None:
            return
        try:
            answer = await read_object(self.reading.client, table, id)
        except ResourceMissing:
            raise
        except InvalidRequest:
            return  # there is no path for a single one
        if unix_second(answer.body.get(table.time)) != created:
            raise ResourceMissing(f"`{id}` is another object than before", path=table.path, param="ending_before")

    async def _read_after(self, request: ListRequest, bounds: TableRequest) -> AsyncIterator[ObjectBatch]:
        """Onwards from the marker object; where that is gone, by `created`, or through the whole list."""
        client = self.reading.client
        assert bounds.after_id is not None
        try:
            await self._check_marker_object(bounds.after_id, bounds.since)
            async for batch in read_onwards(client, request, bounds.after_id):
                yield batch
        except ResourceMissing:
            log.warning(
                "%s: the object `%s`, where the last run ended, is gone; reading by `created` instead",
                bounds.table.name, bounds.after_id,
            )
            since = bounds.since if bounds.table.created else None
            async for batch in read_newest_first(client, request, since, None):
                yield batch
