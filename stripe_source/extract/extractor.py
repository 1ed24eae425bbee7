"""The reader of a run: asks Stripe for the lists of all wanted tables side by side, in an event loop of a thread.

A list is read once, whatever number of tables live on it: the objects of children are taken out of their parents'
pages, and a child list is asked only when the embedded one was cut. What was read waits, as WAEvents, until dlt takes
it.
"""
from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first, read_onwards
from stripe_source.api.pages import PageDecoder
from stripe_source.api.query import fill
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.errors import (
    AuthenticationError,
    InvalidRequest,
    MixedData,
    NotEnabled,
    PermissionDenied,
    ResourceMissing,
    StripeError,
    redact,
)
from stripe_source.extract.account import AccountIdentity, identify
from stripe_source.extract.backfill.spans import NO_END, BackfillProgress
from stripe_source.extract.backfill.sweep import Sweep
from stripe_source.extract.changes.feed import ChangeFeed
from stripe_source.extract.channel import Channel
from stripe_source.extract.checkpoint import BackfillCheckpoint
from stripe_source.extract.children import CHILD_LISTS_AT_ONCE, Children
from stripe_source.extract.plan import (
    ListPlan,
    drop_forbidden_expansions,
    expansions,
    fields_needed,
    placements_of,
    plan_lists,
)
from stripe_source.extract.table_request import EVENTS_KEPT, TableRequest
from stripe_source.extract.verdicts import Verdict, Verdicts, verdict_for
from stripe_source.rows.waevent import INSERT, WAEvent
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import Placement, extract_children
from stripe_source.tables.registry import BY_NAME, parent_column, table_with_role
from stripe_source.tables.table import Table
from stripe_source.workers.batches import RowBatcher
from stripe_source.workers.process import WORTH_A_WORKER as LONG_LIST
from stripe_source.workers.process import WorkerProcess
from stripe_source.workers.protocol import PageHandle

log = logging.getLogger("stripe_source")


class Extractor:
    """Reads what a run wants, in a thread of its own, and hands it over table by table.

    Args:
        client: makes the client; called in the reader's thread.
        option: the option `account_id`.
        held: what `_account_id` was at the first load; it stays that.
        whose: who the key belongs to, where that was asked before.
        on_page: called with (table, number of objects) as pages come.
        holds: what the destination holds of a table; asked in the thread that calls `next`.
        seen: marks of the events that the run before had seen.
        lookback: seconds of the change feed that are read again.
        past: tables whose versions between two runs are wanted as well; what is found of them is in `past`.
        begun: lists that an earlier run began to read, and how far it came.
        made: somebody says of each table, by `makes`, whether its rows are made in here.
        on_cover: called with (table, how far its list has been read) as pages come.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        option: str | None = None,
        held: str | None = None,
        whose: AccountIdentity | None = None,
        on_page: Callable[[str, int], None] | None = None,
        holds: Callable[[str], StoredRows | None] = lambda table: None,
        seen: Iterable[str] = (),
        lookback: int = 600,
        past: Iterable[str] = (),
        begun: Mapping[str, BackfillCheckpoint] | None = None,
        made: bool = False,
        on_cover: Callable[[str, BackfillProgress], None] | None = None,
    ) -> None:
        self.backfills: dict[str, BackfillCheckpoint] = dict(begun or {})
        self.checkpoints_at_cut: dict[str, BackfillCheckpoint] = {}  # how far the lists came, as of the last cut
        self.started_at: dict[str, int] = {}  # by table: when an earlier run began to read it, unix seconds
        for each in self.backfills.values():
            if each.gaps:
                known = self.started_at
                known.update({name: min(each.position, known.get(name, each.position)) for name in each.tables})
        self._sweeps: dict[str, dict[str, Sweep]] = defaultdict(dict)
        self._over: set[str] = set()  # lists that were read to their end
        self.channel = Channel(holds, made)
        self._apart = WorkerProcess()
        self._piles = RowBatcher(self._apart, self.channel.put)
        self.earlier_versions: dict[str, list[WAEvent]] = {name: [] for name in past}
        self._make_client = client
        self._before, self._lookback = list(seen), lookback
        self._held, self._whose = held, whose
        self.account = held or option or "self"
        self._on_page = on_page or (lambda table, objects: None)
        self._on_cover = on_cover or (lambda table, coverage: None)
        self._asks: dict[str, TableRequest] = {}
        self._thread: threading.Thread | None = None
        self._main: asyncio.Task[None] | None = None
        self._sources_left: dict[str, int] = defaultdict(int)
        self._seen: dict[str, set[tuple[str, str | None]]] = {}
        self.verdicts = Verdicts()
        self.by_change_feed: set[str] = set()
        self._children = Children(self, self._asks)
        self.parents_read = self._children.families  # owners whose children were read, by table and column
        self.touched_ids: dict[str, set[str]] = defaultdict(set)
        self.feed: ChangeFeed | None = None
        self.notes: list[str] = []
        self.figures: Any = None
        self.now: int | None = None

    # ---- the side of dlt

    def start(self, asks: Iterable[TableRequest]) -> None:
        """Begin to read. Returns at once."""
        self._asks.update({ask.table.name: ask for ask in asks})
        self.channel.begin(self._asks)
        self._thread = threading.Thread(target=self._run, name="stripe-reader", daemon=True)
        self._thread.start()

    def request_checkpoint(self) -> None:
        """Ask for a cut: what was put before it, and `kept`, belong to this load, and what comes after to the next."""
        def part() -> None:
            self.checkpoints_at_cut = self.checkpoints()
            self.channel.mark_checkpoint()

        self.channel.call_in_extractor(part)

    def checkpoints(self) -> dict[str, BackfillCheckpoint]:
        """How far the lists have come whose first reading is not over; asked in the reader's thread, or after it."""
        found = {}
        for name, begun in self.backfills.items():
            sweeps = self._sweeps.get(name)
            if sweeps and name not in self._over:
                gaps = {number: tuple(sweep.gaps()) for number, sweep in sweeps.items()}
                since = begun.position if begun.gaps else self.now or begun.position
                found[name] = replace(begun, gaps={**begun.gaps, **gaps}, position=since, until=self._until(begun.end))
        return found

    def _until(self, end: int | None) -> int:
        """The second before which objects are read; that of the run's beginning is not over yet."""
        return end or (self.now or 0) + 1

    def leave(self, table: str) -> None:
        """Nobody will take this table any more. When no table is left, the reading stops."""
        if self.channel.close_table(table):
            self.stop()

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        if self._main:
            self.channel.call_in_extractor(self._main.cancel)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    # ---- the side of Stripe

    def _run(self) -> None:
        try:
            asyncio.run(self._read_all())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # handed to the thread that waits for it
            self.channel.error = error
        finally:
            self.channel.keep_open(())
            self._piles.close()
            self._apart.stop()

    async def _read_all(self) -> None:
        self._main = asyncio.current_task()
        self.channel.enter()
        async with self._make_client() as client:
            self.figures = client.figures
            self._apart.secrets = client.credentials.secrets
            whose = self._whose or await identify(client)
            self.now = whose.now
            if self._held is None:
                self.account = whose.account or self.account
            elif whose.account and self._held not in (whose.account, "self"):
                raise MixedData("account", self._held, whose.account)
            lost = await self._still_refused(client)
            roots = plan_lists([ask.table for name, ask in self._asks.items() if name not in lost])
            fed = await self._open_feed(client, roots)
            readers = [asyncio.ensure_future(job) for job in self._jobs(client, roots, fed)]
            try:
                await asyncio.gather(*readers)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)

    async def _open_feed(self, client: Client, roots: Sequence[ListPlan]) -> list[ListPlan]:
        """Decide what goes by the change feed in this run, and read its first page.

        Returns:
            The lists that need not be read, because the feed tells what changed in them.
        """
        feeding = [ask for ask in self._asks.values() if ask.by_change_feed]
        if not feeding:
            return []
        fed = self._choose(roots)
        events_path = table_with_role("change feed").path
        events = next((root for root in roots if root.wanted and root.table.path == events_path and self._asks[
            root.table.name].by_change_feed), None)
        lists = [root for root in fed if root is not events]
        self.feed = ChangeFeed(self, client, lists, self._asks, self._before, self._lookback, events)
        try:
            await self.feed.open()
        except AuthenticationError:
            raise
        except StripeError as error:
            self.feed, self.by_change_feed = None, set()
            self.notes.append(f"The list of events cannot be read, so that tables are read whole. {error}")
            return []
        return [*lists, *([events] if events else [])]

    async def _still_refused(self, client: Client) -> set[str]:
        """The tables that the run before was not allowed to expand, and this one is not either.

        One object is enough to know, so that the lists they are found in need not be read whole for them.
        """
        lost: set[str] = set()
        for name, ask in self._asks.items():
            for found in ask.table.placements if ask.by_change_feed and ask.refused and not ask.table.path else ():
                parent = BY_NAME[found.parent]
                if found.expand and parent.path and found.at:
                    try:
                        await client.page(parent.path, {**parent.params, "limit": 1, "expand": [f"data.{found.at}"]})
                    except PermissionDenied as error:
                        self.fail(ask.table, error)
                        lost.add(name)
        return lost

    def _choose(self, roots: Sequence[ListPlan]) -> list[ListPlan]:
        """The lists for which the change feed is enough; `fed` becomes the tables that need not be read whole."""
        now, late = self.now or 0, []
        events_path = table_with_role("change feed").path
        for name, ask in self._asks.items():
            if not ask.by_change_feed or ask.position is None:
                continue
            if now - ask.position >= EVENTS_KEPT and ask.table.path != events_path:
                late.append(name)
                continue
            resync = ask.table.resync
            if resync is None or ask.last_full_read is None or now - ask.last_full_read < resync.total_seconds():
                self.by_change_feed.add(name)
        if late:
            days = max(now - (self._asks[name].position or 0) for name in late) // 86_400
            self.notes.append(
                f"The last run was {days} days ago, and Stripe keeps events for 30; read whole again: "
                f"{', '.join(late)}."
            )
        for name in list(self.by_change_feed):
            table = self._asks[name].table
            shared = not table.path and parent_column(table) is None  # what shows it has to be known
            if shared and not self.by_change_feed.issuperset(found.parent for found in table.placements):
                self.by_change_feed.discard(name)

        def enough(root: ListPlan) -> bool:
            return root.table.marker == EVENTS_MARKER and all(table.name in self.by_change_feed for table, _ in placements_of(root))

        chosen = [root for root in roots if enough(root)]
        self.by_change_feed -= {root.table.name for root in roots if root not in chosen}
        return chosen

    def fail(self, table: Table, error: StripeError) -> None:
        """A table could not be read."""
        self.verdicts.set_failure(table.name, verdict_for(error))

    def _jobs(self, client: Client, roots: Sequence[ListPlan], fed: Sequence[ListPlan]) -> Iterable[Any]:
        singletons: dict[str, list[ListPlan]] = defaultdict(list)
        livemode = client.credentials.livemode
        jobs: list[tuple[list[ListPlan], Any]] = []
        for root in roots:
            if root.table.mode and livemode is not None and root.table.mode != ("live" if livemode else "test"):
                if root.wanted:
                    self.verdicts.set_failure(root.table.name, Verdict("not loaded", f"{root.table.mode} mode only", False))
            elif root.table.singleton:
                singletons[root.table.path or ""].append(root)
            elif root not in fed:
                jobs.append(([root], partial(self._read_list, client, root)))
        for path, alike in singletons.items():
            jobs.append((alike, partial(self._read_singleton, client, path, [root.table for root in alike])))
        if self.feed:
            jobs.append((list(fed), self.feed.run))
        for name in self.by_change_feed:
            self._seen[name] = set()
        for several, _ in jobs:
            for root in several:
                for table, found in placements_of(root):
                    self._sources_left[table.name] += 1
                    if found and found.fallback:
                        self._children.look_for(table)
                    if len(table.placements) + len(table.variants) + len(table.extra_paths) > 1:
                        self._seen[table.name] = set()
        for name, ask in self._asks.items():
            if ask.table.unsupported_reason:
                self.verdicts.set_failure(name, Verdict("not loaded", ask.table.unsupported_reason, False))
            if not self._sources_left[name]:
                self.channel.open.discard(name)
        return [self._guard(client, several, job) for several, job in jobs]

    async def _guard(self, client: Client, roots: list[ListPlan], job: Callable[[], Any]) -> None:
        """Do a job. When it fails, that is the verdict of the tables that have no other way, and of no others."""
        failed: Verdict | None = None
        every = [(root, *way) for root in roots for way in placements_of(root)]  # as counted: some may be given up meanwhile
        try:
            await job()
        except AuthenticationError:
            raise
        except StripeError as error:
            failed = verdict_for(error)
        except Exception as error:  # what Stripe sent is untrusted: a surprise in one table must not stop the others
            log.exception("reading %s failed", ", ".join(root.table.name for root in roots))
            failed = Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
        for root, table, found in every:
            if failed:
                near = found is None or found.parent == root.table.name
                self.verdicts.set_partial(table, failed if near else replace(failed, near=False), own=found is None)
            if self._sources_left[table.name] == 1:
                # before it counts as done: what comes later is not taken
                await self._children.hand_spares(client, table, self._seen.get(table.name, set()))
            self._sources_left[table.name] -= 1
        self.channel.keep_open(name for name, left in self._sources_left.items() if left > 0)

    async def _read_singleton(self, client: Client, path: str, tables: list[Table]) -> None:
        answer = await client.get(path)
        for table in tables:
            things = answer.body if table.at == "" else answer.body.get(table.at)
            rows = things if isinstance(things, list) else [things] if isinstance(things, dict) else []
            await self.put(table, [self.event(table, row, answer.date) for row in rows])

    async def _read_list(self, client: Client, root: ListPlan) -> None:
        await self._read_passes(client, root)
        self._over.add(root.table.name)

    async def _read_passes(self, client: Client, root: ListPlan) -> None:
        table = root.table
        asks = [self._asks[taker.name] for taker in root.tables()]
        bound = TableRequest(
            table,
            min(ask.since or 0 for ask in asks) or None,
            None if any(ask.until is None for ask in asks) else max(ask.until or 0 for ask in asks),
            self._asks[table.name].after_id if root.wanted and all(ask.since is not None for ask in asks) else None,
            root.wanted and self._asks[table.name].ordered,
        )
        own = False
        for path in table.extra_paths:
            try:
                answer = await client.get(path)
            except (PermissionDenied, ResourceMissing, NotEnabled):
                continue  # the key may list, and still not read this one; other servers may not have it
            own = True
            await self.hand_on(client, root, ObjectBatch([answer.body], answer.date))
        for number, extra in enumerate(table.variants):
            try:
                await self._read_pass(client, root, bound, {**table.params, **extra}, str(number))
            except (NotEnabled, PermissionDenied, ResourceMissing, InvalidRequest) as error:
                if number == 0 and not (own and table.refusal_expected):
                    raise
                log.warning("%s: a part of the table was refused: %s", table.name, error)
                self.verdicts[table.name].complete = False
                self.verdicts[table.name].reason = table.refusal_expected or str(error)

    async def _read_pass(
        self, client: Client, root: ListPlan, bound: TableRequest, params: Mapping[str, Any], number: str
    ) -> None:
        """Read a list once, with expansions for the tables that are found on its objects.

        A key that may read the list may lack the permission for what is expanded. Then the list is read without that.
        """
        try:
            await self._read_expanded(client, root, bound, params, number, expansions(root))
        except PermissionDenied as error:
            lesser, lost = drop_forbidden_expansions(root, error)
            for table in lost:
                self.verdicts.set_partial(table, verdict_for(error), own=False)
            await self._read_pass(client, lesser, bound, params, number)

    async def _read_expanded(
        self, client: Client, root: ListPlan, bound: TableRequest, params: Mapping[str, Any], number: str, expand: Sequence[str]
    ) -> None:
        table = root.table
        given = {**params, **({"expand": [f"data.{path}" for path in expand]} if expand else {})}
        what = ListRequest(table.path or "", given, limit=table.limit, time=table.time or "created", range=table.range)

        async def hand(batch: ObjectBatch) -> None:
            if table.include and table.object_path:
                batch = replace(batch, objects=await self._included(client, table, batch.objects))
            await self.hand_on(client, root, batch)
            if sweep := self._sweeps[table.name].get(number):
                self._on_cover(table.name, sweep.coverage())

        if table.created and bound.after_id is None:
            begun = self.backfills.get(table.name)
            until = self._until(bound.until) if bound.ordered else bound.until or NO_END
            gaps = begun.missing(number, until) if begun else None
            sweep = Sweep(
                client, what, bound.since, until, gaps=gaps, ordered=bound.ordered,
                keep=lambda: None if bound.ordered else self._keeper(root, sweep),
            )
            self._sweeps[table.name][number] = sweep
            await sweep.run(hand)
        else:
            async for batch in self._walk(client, what, bound):
                await hand(batch)

    def _keeper(self, root: ListPlan, sweep: Sweep) -> PageDecoder | None:
        """Who takes the next page of a list as it comes: the process that makes rows, once a list is a long one."""
        table = root.table
        plain = root.wanted and not table.include and BY_NAME.get(table.name) is table
        if not plain or self.channel.builder_of(table.name) is None:
            return None
        if not self._apart.tried and (sweep.coverage().left or 0) >= LONG_LIST and WorkerProcess.is_useful():
            self._apart.start()
        return partial(self._apart.send_page, members=sorted(fields_needed(root))) if self._apart.ready else None

    async def _included(self, client: Client, table: Table, listed: Sequence[Object]) -> list[Object]:
        """The objects of a page with the sections that the list leaves out: one request each."""
        gate = asyncio.Semaphore(CHILD_LISTS_AT_ONCE)

        async def whole(thing: Object) -> Object:
            async with gate:
                try:
                    answer = await client.get(fill(table.object_path or "", id=str(thing["id"])), {"include": table.include})
                except ResourceMissing:
                    return thing  # it went meanwhile
                return answer.body

        return await asyncio.gather(*map(whole, listed))

    def _walk(self, client: Client, what: ListRequest, ask: TableRequest) -> AsyncIterator[ObjectBatch]:
        return read_newest_first(client, what) if ask.after_id is None else self._walk_after(client, what, ask)

    async def _walk_after(self, client: Client, what: ListRequest, ask: TableRequest) -> AsyncIterator[ObjectBatch]:
        """Onwards from the marker object; where that is gone, by `created`, or through the whole list."""
        assert ask.after_id is not None
        try:
            async for batch in read_onwards(client, what, ask.after_id):
                yield batch
        except ResourceMissing:
            log.warning(
                "%s: the object `%s`, where the last run ended, is gone; reading by `created` instead",
                ask.table.name, ask.after_id,
            )
            created = ask.table.created
            async for batch in read_newest_first(client, what, ask.since if created else None, None):
                yield batch

    async def hand_on(
        self, client: Client, root: ListPlan, batch: ObjectBatch, skip: frozenset[Placement] = frozenset()
    ) -> None:
        """Take the children out of a batch of objects, complete them, and hand over both."""
        table = root.table
        if self.by_change_feed:
            self.touched_ids[table.name].update(str(thing.get("id")) for thing in batch.objects)
        taken = []
        for found, kinds in root.children.items():
            if found.at is None and all(kind.table.path and kind.table.name in self.by_change_feed for kind in kinds):
                continue  # they have events of their own
            if found in skip:
                for thing in batch.objects:
                    extract_children(thing, found)
            elif await self._children.of(client, found, kinds, batch.objects, batch.read_at) and found.at:
                taken.append(found)
        if root.wanted:
            ask = self._asks[table.name]
            things = [
                thing for thing in batch.objects if is_within(thing.get(table.time) if table.time else None, ask)
            ]
            kept = batch.handle and replace(batch.handle, taken=tuple(taken))
            await self.put(table, [self.event(table, thing, batch.read_at) for thing in things], kept)

    def event(
        self, table: Table, thing: Object, read_at: int, parent: str | None = None, place: int | None = None,
        pair: str | None = None,
    ) -> WAEvent:
        if parent_column(table) is None:
            parent = place = None  # found in several ways, which must not make its row differ
        return WAEvent(table.name, INSERT, read_at, thing, self.account, parent, place, pair)

    async def put(self, table: Table, events: list[WAEvent], kept: PageHandle | None = None) -> None:
        """Hand WAEvents over.

        Args:
            table: theirs.
            events: of one page.
            kept: where their objects are, if they have digests only.
        """
        name = table.name
        if name in self._seen:  # reached in several ways: the first one counts
            seen, fresh = self._seen[name], []
            for event in events:
                key = (str(event.data.get("id")), event.parent if table.key != ("id",) else None)
                if key not in seen:
                    seen.add(key)
                    fresh.append(event)
            events = fresh
        if events:
            self._on_page(name, len(events))
        make = await self.channel.wait_for_builder(name) if events else None
        if make is None and kept:
            self._apart.forget(kept)  # nobody takes them
            return
        if not events:
            return
        if make is None:
            self.channel.put(name, events)
        else:
            readers = sum(sweep.readers for sweep in self._sweeps[name].values()) if name in self._sweeps else 1
            await self._piles.add(table, make, events, kept and kept.select([event.data for event in events]), readers)
        await self.channel.wait_for_room()


def is_within(created: Any, ask: TableRequest) -> bool:
    second = unix_second(created)
    if second is None:
        return True
    return (ask.since is None or second >= ask.since) and (ask.until is None or second < ask.until)
