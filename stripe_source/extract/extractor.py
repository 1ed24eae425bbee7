"""The extractor of a run: asks Stripe for the lists of all wanted tables side by side, in an event loop of a thread.

A list is read once, whatever number of tables live on it: the objects of children are taken out of their parents'
pages, and a child list is asked only when the embedded one was cut. What was read waits, as rows, until dlt takes it.
"""
from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ObjectBatch
from stripe_source.arrow_rows.masking.masks import NO_MASKS, Masks
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.errors import (
    AuthenticationError,
    InvalidRequest,
    MixedData,
    NotEnabled,
    PermissionDenied,
    ResourceMissing,
    StripeError,
    StripeSourceError,
)
from stripe_source.extract.account import AccountIdentity, identify
from stripe_source.extract.backfill.spans import BackfillProgress
from stripe_source.extract.changes.feed import ChangeFeed
from stripe_source.extract.changes.seen import FeedMemory
from stripe_source.extract.changes.tables import tables_by_feed
from stripe_source.extract.channel import Channel, ListPage
from stripe_source.extract.checkpoint import BackfillCheckpoint
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.lists.children import Children
from stripe_source.extract.lists.list_reader import ListSource, Reading, SingletonSource, Source
from stripe_source.extract.plan import ListPlan, left_out_children, placements_of, plan_lists
from stripe_source.extract.table_request import EVENTS_KEPT, TableRequest
from stripe_source.extract.verdicts import Verdict, Verdicts, verdict_for
from stripe_source.tables.placement import Placement
from stripe_source.tables.registry import BY_NAME, table_with_role
from stripe_source.workers.batches import RowBatcher
from stripe_source.workers.process import WorkerProcess

log = logging.getLogger("stripe_source")


@dataclass
class _Job:
    """One source, and the lists that it brings objects of."""

    plans: Sequence[ListPlan]
    source: Source


class Extractor:
    """Reads what a run wants, in a thread of its own, and hands it over table by table.

    Args:
        client: makes the client; called in the extractor's thread.
        account_option: the option `account_id`.
        stored_account: what `_account_id` was at the first load; it stays that.
        identity: who the key belongs to, where that was asked before.
        on_page: called with (table, number of objects) as pages come.
        stored_rows: what the destination holds of a table; asked in the thread that calls `channel.next`.
        feed_memory: what the state keeps of the events that earlier passes over the change feed had seen.
        lookback: seconds of the change feed that are read again.
        with_history: tables whose versions between two runs are wanted as well.
        backfills: lists that are read for the first time, and how far an earlier run came with them.
        builds_rows: somebody says of each table, by `channel.set_builder`, how its rows are built.
        on_cover: called with (table, how far its list has been read) as pages come.
        takes_pages: the pages of the lists are wanted as they come, in place of WAEvents.
        masks: what is left out and hashed of rows.
    """

    def __init__(
        self,
        client: Callable[[], Client],
        account_option: str | None = None,
        stored_account: str | None = None,
        identity: AccountIdentity | None = None,
        on_page: Callable[[str, int], None] | None = None,
        stored_rows: Callable[[str], StoredRows | None] = lambda table: None,
        feed_memory: FeedMemory = FeedMemory(),  # noqa: B008 - frozen
        lookback: int = 600,
        with_history: Iterable[str] = (),
        backfills: Mapping[str, BackfillCheckpoint] | None = None,
        builds_rows: bool = False,
        on_cover: Callable[[str, BackfillProgress], None] | None = None,
        takes_pages: bool = False,
        masks: Masks = NO_MASKS,
    ) -> None:
        self._make_client, self._stored_account, self._identity = client, stored_account, identity
        self._account_option = account_option
        self._feed_memory, self._lookback = feed_memory, lookback
        self._takes_pages = takes_pages
        self._on_cover = on_cover or (lambda table, coverage: None)
        self.backfills: dict[str, BackfillCheckpoint] = dict(backfills or {})
        self.checkpoints_at_cut: dict[str, BackfillCheckpoint] = {}  # how far the lists came, as of the last cut
        self.channel = Channel(stored_rows, builds_rows)
        self._worker = WorkerProcess()
        self._batcher = RowBatcher(self._worker, self.channel.put)
        self.emitter = Emitter(
            self.channel, self._batcher, self._worker, stored_account or account_option or "self",
            on_page or (lambda table, objects: None), with_history, masks,
        )
        for backfill in self.backfills.values():
            for table, parents in backfill.failed_parents.items():
                self.verdicts.restore_failed_parents(table, parents)
        self._requests: dict[str, TableRequest] = {}
        self._children = Children(self.emitter, self._requests)
        self._lists: dict[str, ListSource] = {}
        self._sources_left: dict[str, int] = defaultdict(int)  # by table
        self._thread: threading.Thread | None = None
        self._main: asyncio.Task[None] | None = None
        self.feed: ChangeFeed | None = None
        self.notes: list[str] = []
        self.figures: Any = None

    @property
    def account(self) -> str:
        """Value of `_account_id`."""
        return self.emitter.account

    @property
    def now(self) -> int | None:
        """Unix second at Stripe when the run began; None until that is known."""
        return self.emitter.now

    @property
    def verdicts(self) -> Verdicts:
        """How the reading of each table ended; "ok" until something is said."""
        return self.emitter.verdicts

    # ---- called by dlt's thread

    def start(self, requests: Iterable[TableRequest]) -> None:
        """Begin to read. Returns at once."""
        self._requests.update({request.table.name: request for request in requests})
        self.channel.begin(self._requests)
        self._thread = threading.Thread(target=self._run, name="stripe-extractor", daemon=True)
        self._thread.start()

    def request_checkpoint(self) -> None:
        """Ask for a cut: what was put before, and `checkpoints_at_cut`, belong to this load, all else to the next."""
        def cut() -> None:
            self.checkpoints_at_cut = self.checkpoints()
            self.channel.mark_checkpoint()

        self.channel.call_in_extractor(cut)

    def checkpoints(self) -> dict[str, BackfillCheckpoint]:
        """How far the lists came whose first reading is not over; asked in the extractor's thread, or after it.

        A list on which some table has failed is read from the beginning: its gaps do not say what is lacking.
        """
        found = {}
        for name, backfill in self.backfills.items():
            source = self._lists.get(name)
            verdicts = {table: self.verdicts[table] for table in backfill.tables}
            whole = all(
                verdict.status == "ok" or verdict.failed_parents or verdict.resumable for verdict in verdicts.values()
            )
            if source and source.sweeps and not source.finished and whole:
                position = backfill.position if backfill.gaps else self.now or backfill.position
                until = backfill.end or (self.now or 0) + 1  # the second of the run's beginning is not over yet
                gaps = {**backfill.gaps, **source.gaps()}
                failed = {table: verdict.failed_parents_by_table() for table, verdict in verdicts.items()
                          if verdict.failed_parents}
                found[name] = replace(backfill, gaps=gaps, position=position, until=until, failed_parents=failed)
        return found

    def started_at(self, table: str) -> int | None:
        """The unix second in which the first reading of a table began, in this run or in an earlier one."""
        before = [each.position for each in self.backfills.values() if each.gaps and table in each.tables]
        return min(before, default=self.now)

    def leave(self, table: str) -> None:
        """Nobody will take this table any more. When no table is left, the reading stops."""
        if self.channel.close_table(table):
            self.stop()

    def refuse_table(self, table: str, error: Exception) -> None:
        """The rows of a table could not be built: that is its verdict, and the others go on."""
        if not isinstance(error, StripeSourceError):
            log.error("rows of %s could not be built", table, exc_info=error)
        self.verdicts[table] = verdict_for(error)

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        if self._main:
            self.channel.call_in_extractor(self._main.cancel)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    # ---- the extractor's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._read_all())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # handed to the thread that waits for it
            self.channel.error = error
        finally:
            self.channel.keep_open(())
            self._batcher.close()
            self._worker.stop()

    async def _read_all(self) -> None:
        self._main = asyncio.current_task()
        self.channel.enter()
        async with self._make_client() as client:
            self.figures = client.figures
            salt = self.emitter.masks.salt
            self._worker.secrets = (*client.credentials.secrets, *([salt] if salt else []))
            await self._know_account(client)
            lost = await self._still_refused(client)
            tables = [request.table for name, request in self._requests.items() if name not in lost]
            plans = plan_lists(tables)
            self.notes += [
                f"{parent} came without the rows of {', '.join(children)}, which Stripe embeds in its objects: "
                "select these tables too where they are wanted."
                for parent, children in left_out_children(tables).items()
            ]
            by_feed = await self._open_feed(client, plans)
            self._ask_ahead()
            jobs = self._jobs(client, plans, by_feed)
            self._count_sources(jobs)
            readers = [asyncio.ensure_future(self._do(client, job)) for job in jobs]
            try:
                await asyncio.gather(*readers)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
                self.notes += self.emitter.data_notes()

    async def _know_account(self, client: Client) -> None:
        """Find out whose data it is, and what time it is at Stripe."""
        identity = self._identity or await identify(client)
        self.emitter.now = identity.now
        self.emitter.owner = identity.account or self._account_option or identity.named
        if self._stored_account is None:
            self.emitter.account = identity.account or self.emitter.account
        elif identity.account and self._stored_account not in (identity.account, "self"):
            raise MixedData("account", self._stored_account, identity.account)

    async def _still_refused(self, client: Client) -> set[str]:
        """The tables that the run before was not allowed to expand, and this one is not either.

        One object is enough to know, so that the lists they are found in need not be read whole for them.
        """
        lost: set[str] = set()
        for name, request in self._requests.items():
            table = request.table
            for found in table.placements if request.by_change_feed and request.refused and not table.path else ():
                parent = BY_NAME[found.parent]
                if found.expand and parent.path and found.at:
                    try:
                        await client.page(parent.path, {**parent.params, "limit": 1, "expand": [f"data.{found.at}"]})
                    except PermissionDenied as error:
                        self.emitter.fail(table, error)
                        lost.add(name)
        return lost

    async def _open_feed(self, client: Client, plans: Sequence[ListPlan]) -> list[ListPlan]:
        """Decide what goes by the change feed in this run, and read its first page.

        Returns:
            The lists that need not be read, because the feed tells what changed in them.
        """
        if not any(request.by_change_feed for request in self._requests.values()):
            return []
        found = tables_by_feed(self._requests, plans, self.now or 0)
        self.emitter.by_change_feed = found.names
        self.notes += found.notes
        feed_table = table_with_role("change feed")
        events = next((plan for plan in plans if plan.wanted and plan.table is feed_table and self._requests[
            plan.table.name].by_change_feed), None)
        lists = [plan for plan in found.plans if plan is not events]
        self.feed = ChangeFeed(
            self.emitter, client, lists, self._requests, self._feed_memory, self._lookback, events
        )
        try:
            await self.feed.open()
        except AuthenticationError:
            raise
        except StripeError as error:
            self.feed, self.emitter.by_change_feed = None, set()
            if isinstance(error, (PermissionDenied, NotEnabled, InvalidRequest, ResourceMissing)):
                self.notes.append(f"The list of events cannot be read, so that tables are read whole. {error}")
                return []
            for name in found.names:  # the next run will do better, and for much less than reading them whole
                self.emitter.fail(self._requests[name].table, error)
        return [*lists, *([events] if events else [])]

    def _ask_ahead(self) -> None:
        """Ask the destination at once what each run asks: small tables, which are read whole, and what is watched."""
        recent = (self.now or 0) - EVENTS_KEPT
        whole = [
            (name, partial(StoredRows.ask_fingerprints, since=request.since))
            for name, request in self._requests.items() if name not in self.emitter.by_change_feed
            and not request.first_load and (not request.by_change_feed or (request.position or 0) > recent)
        ]
        self.channel.ask_ahead([*whole, *(self.feed.questions() if self.feed else ())])

    def _jobs(self, client: Client, plans: Sequence[ListPlan], by_feed: Sequence[ListPlan]) -> list[_Job]:
        """The sources of this run."""
        reading = Reading(client, self.emitter, self._requests, self._worker, self.backfills, self._on_cover)
        mode = client.credentials.livemode
        singletons: dict[str, list[ListPlan]] = defaultdict(list)
        jobs = []
        for plan in plans:
            table = plan.table
            if table.mode and mode is not None and table.mode != ("live" if mode else "test"):
                if plan.wanted:
                    reason = Verdict("not loaded", f"{table.mode} mode only", False)
                    self.emitter.verdicts.set_failure(table.name, reason)
            elif table.singleton:
                singletons[table.path or ""].append(plan)
            elif plan not in by_feed:
                source = self._lists[table.name] = ListSource(reading, plan)
                jobs.append(_Job([plan], source))
        jobs += [_Job(alike, SingletonSource(client, path, alike)) for path, alike in singletons.items()]
        return [*jobs, _Job(list(by_feed), self.feed)] if self.feed else jobs

    def _count_sources(self, jobs: Sequence[_Job]) -> None:
        """Find out from how many sources each table comes, and which tables' objects are reached in several ways."""
        for name in self.emitter.by_change_feed:
            self.emitter.emit_once(name)
        for job in jobs:
            for plan in job.plans:
                for table, found in placements_of(plan):
                    self._sources_left[table.name] += 1
                    if found and found.fallback:
                        self._children.look_for(table)
                    if len(table.placements) + len(table.variants) + len(table.extra_paths) > 1:
                        self.emitter.emit_once(table.name)
        for name, request in self._requests.items():
            if request.table.unsupported_reason:
                reason = Verdict("not loaded", request.table.unsupported_reason, False)
                self.emitter.verdicts.set_failure(name, reason)
            if not self._sources_left[name]:
                self.channel.open.discard(name)

    async def _do(self, client: Client, job: _Job) -> None:
        """Run a source. When it fails, that is the verdict of the tables that have no other one, and of no others."""
        failed: Verdict | None = None
        # as counted: some may be given up meanwhile
        every = [(plan, *placement) for plan in job.plans for placement in placements_of(plan)]
        try:
            await job.source.run(partial(self._emit, client))
        except AuthenticationError:
            raise
        except StripeError as error:
            failed = verdict_for(error)
        except Exception as error:  # a surprise in one table must not stop the others
            log.exception("reading %s failed", ", ".join(plan.table.name for plan in job.plans))
            failed = verdict_for(error)
        for plan, table, found in every:
            if failed:
                near = found is None or found.parent == plan.table.name
                verdict = replace(failed, near=near, resumable=True)
                self.emitter.verdicts.set_partial(table, verdict, own=found is None)
            if self._sources_left[table.name] == 1:
                # before it counts as done: what comes later is not taken
                await self._children.emit_fallbacks(client, table)
                await self.emitter.flush([table.name])
            self._sources_left[table.name] -= 1
        self.channel.keep_open(name for name, left in self._sources_left.items() if left > 0)

    async def _emit(
        self, client: Client, plan: ListPlan, batch: ObjectBatch, skip: frozenset[Placement] = frozenset()
    ) -> None:
        if not self._takes_pages:
            await self._children.split(client, plan, batch, skip)
        elif batch.objects:
            self.channel.put(next(iter(plan.tables())).name, ListPage(plan.table.name, batch.objects, batch.read_at))
            await self.channel.wait_for_room()
