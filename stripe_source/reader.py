"""The reader of a run: asks Stripe for the lists of all wanted tables side by side, in an event loop of a thread.

A list is read once, whatever number of tables live on it: the objects of children are taken out of their parents'
pages, and a child list is asked only when the embedded one was cut. What was read waits, as WAEvents, until dlt takes
it.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from stripe_source.apart import LONG as LONG_LIST
from stripe_source.apart import Apart, Kept
from stripe_source.backfill import NO_END, Coverage, Sweep
from stripe_source.client import Client, Keep, fill
from stripe_source.errors import (
    AuthenticationError,
    InvalidRequest,
    MixedData,
    NotEnabled,
    PermissionDenied,
    ResourceMissing,
    StripeError,
    StripeSourceError,
    redact,
)
from stripe_source.feed import HORIZON, Feed
from stripe_source.held import Held
from stripe_source.listing import Batch, List, Object, after, newest_first, unix_second
from stripe_source.piles import Made, Make, Piles
from stripe_source.plan import Ask, Wanted, asked, at, days, expansions, filled, members, refused, take, wanted, ways
from stripe_source.resume import Begun
from stripe_source.table import Found, Table
from stripe_source.tables import BY_NAME, parent_column
from stripe_source.waevent import INSERT, WAEvent

log = logging.getLogger("stripe_source")
T = TypeVar("T")

EVENTS = "/v1/events"
WAITING = 24_000  # WAEvents or rows read ahead of dlt, over all tables
LONG = 2_500  # bytes of Arrow: what a row may have that counts as one
FAN_OUT = 16  # child lists of one page of parents that are asked side by side


class Cut:
    """In place of more: what comes next belongs to the next load."""


CUT = Cut()

@dataclass
class Verdict:
    """How the reading of one table ended.

    Args:
        status: "ok", "no permission", "not enabled", "not loaded" or "failed".
        reason: what Stripe or the network said, and the way out.
        complete: everything that Stripe has was read, so that what was not seen is gone.
        error: what was raised.
        near: it is about the table's own list, or that of its parents; otherwise about one further away.
    """

    status: str = "ok"
    reason: str = ""
    complete: bool = True
    error: StripeSourceError | None = None
    near: bool = True


def judge(error: StripeSourceError) -> Verdict:
    """The verdict that an error means for a table."""
    status = "failed"
    if isinstance(error, PermissionDenied):
        status = "no permission"
    elif isinstance(error, NotEnabled):
        status = "not enabled"
    return Verdict(status, str(error), False, error)


@dataclass(frozen=True)
class _Family:
    """The objects that one owner has, or one pair of owners, and when they were read."""

    owner: str | None
    objects: list[Object]
    read_at: int
    pair: str | None = None


@dataclass(frozen=True)
class Whose:
    """Whose data a key reads, as far as it may know, and what time it is at Stripe (unix seconds)."""

    account: str | None
    now: int


async def identify(client: Client) -> Whose:
    """Ask who the key belongs to.

    Raises:
        AuthenticationError: the key was refused.
        Unreachable: nobody answers.
    """
    try:
        answer = await client.get("/v1/account")
    except StripeError as error:
        if error.status is None or isinstance(error, AuthenticationError):
            raise  # nobody there, or nobody that lets us in: no other request will do better
        return Whose(None, client.clock)  # the key may not read its own account
    known = answer.body.get("id")
    return Whose(known if isinstance(known, str) else None, answer.date)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Do asynchronous work and wait for it, also where an event loop runs already, as in a notebook."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


class Reader:
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
        whose: Whose | None = None,
        on_page: Callable[[str, int], None] | None = None,
        holds: Callable[[str], Held | None] = lambda table: None,
        seen: Iterable[str] = (),
        lookback: int = 600,
        past: Iterable[str] = (),
        begun: Mapping[str, Begun] | None = None,
        made: bool = False,
        on_cover: Callable[[str, Coverage], None] | None = None,
    ) -> None:
        self.begun: dict[str, Begun] = dict(begun or {})
        self.kept: dict[str, Begun] = {}  # how far the lists came, as of the last cut
        self.began: dict[str, int] = {}  # by table: when an earlier run began to read it, unix seconds
        for each in self.begun.values():
            if each.gaps:
                known = self.began
                known.update({name: min(each.position, known.get(name, each.position)) for name in each.tables})
        self.cut: int | None = None  # what was put after this belongs to the next load
        self._sweeps: dict[str, dict[str, Sweep]] = defaultdict(dict)
        self._over: set[str] = set()  # lists that were read to their end
        self._made = made
        self._makes: dict[str, Make | None] = {}
        self._told_makes: asyncio.Event | None = None
        self._apart = Apart()
        self._starting: asyncio.Task[None] | None = None
        self._piles = Piles(self._apart, self._queue)
        self._number = 0  # of what was put
        self.past: dict[str, list[WAEvent]] = {name: [] for name in past}
        self._make_client = client
        self._holds, self._before, self._lookback = holds, list(seen), lookback
        self._questions: deque[Callable[[], None]] = deque()
        self._held, self._whose = held, whose
        self.account = held or option or "self"
        self._on_page = on_page or (lambda table, objects: None)
        self._on_cover = on_cover or (lambda table, coverage: None)
        self._asks: dict[str, Ask] = {}
        self._queues: dict[str, deque[tuple[int, list[WAEvent] | Made]]] = {}
        self._open: set[str] = set()
        self._waiting = 0
        self._full = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._sources_left: dict[str, int] = defaultdict(int)
        self._seen: dict[str, set[tuple[str, str | None]]] = {}
        self._spare: dict[str, dict[str, WAEvent]] = {}
        self._refusals: dict[str, int] = defaultdict(int)
        self._all_ids: dict[str, asyncio.Future[list[str | None]]] = {}
        self.verdicts: dict[str, Verdict] = defaultdict(Verdict)
        self.fed: set[str] = set()
        self.families: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.dirty: dict[str, set[str]] = defaultdict(set)
        self.feed: Feed | None = None
        self.notes: list[str] = []
        self.error: BaseException | None = None
        self.figures: Any = None
        self.now: int | None = None

    # ---- the side of dlt

    def start(self, asks: Iterable[Ask]) -> None:
        """Begin to read. Returns at once."""
        self._asks = {ask.table.name: ask for ask in asks}
        self._queues = {name: deque() for name in self._asks}
        self._open = set(self._asks)
        self._thread = threading.Thread(target=self._run, name="stripe-reader", daemon=True)
        self._thread.start()

    def makes(self, table: str, make: Make | None) -> None:
        """Say how the rows of a table are made in here; None: its WAEvents are wanted."""
        self._makes[table] = make
        if self._told_makes:
            self._tell(self._told_makes.set)

    def next(self, table: str, patience: float = 0.05) -> list[WAEvent] | Made | Cut | None:
        """What comes next of a table: None if there is nothing yet, an empty list when the table is done.

        Raises:
            StripeSourceError: the whole run failed, not this table only (the key was refused, say).
        """
        queue = self._queues[table]
        with self._news:
            idle = not queue and not self._questions and table in self._open and self._waiting == 0
            if idle and self.cut is None:
                self._news.wait(patience)
        self.answer()
        with self._news:
            if queue and (self.cut is None or queue[0][0] <= self.cut):
                _, things = queue.popleft()
                self._waiting -= _size(things)
                if self._full and self._waiting < WAITING and self._room:
                    self._full = False
                    self._tell(self._room.set)
                return things
            if self.error is not None:
                raise self.error
            if queue or (self.cut is not None and table in self._open):
                return CUT
            return None if table in self._open else []

    def part(self) -> None:
        """Ask for a cut: what was put before it, and `kept`, belong to this load, and what comes after to the next."""
        self._tell(self._part)

    def go_on(self) -> None:
        """The next load has begun."""
        self.cut = None

    def unfinished(self) -> dict[str, Begun]:
        """How far the lists have come whose first reading is not over; asked in the reader's thread, or after it."""
        found = {}
        for name, begun in self.begun.items():
            sweeps = self._sweeps.get(name)
            if sweeps and name not in self._over:
                gaps = {number: tuple(sweep.gaps()) for number, sweep in sweeps.items()}
                since = begun.position if begun.gaps else self.now or begun.position
                found[name] = replace(begun, gaps={**begun.gaps, **gaps}, position=since, until=self._until(begun.end))
        return found

    def _until(self, end: int | None) -> int:
        """The second before which objects are read; that of the run's beginning is not over yet."""
        return end or (self.now or 0) + 1

    def _part(self) -> None:
        self.kept = self.unfinished()
        with self._news:
            self.cut = self._number
            self._news.notify_all()

    @property
    def reading(self) -> bool:
        """Whether there is more to come."""
        return bool(self._open) and self.error is None

    def answer(self) -> None:
        """Answer what the reader wants to know of the destination, in the thread that may ask it."""
        while self._questions:
            self._questions.popleft()()

    def leave(self, table: str) -> None:
        """Nobody will take this table any more. When no table is left, the reading stops."""
        with self._news:
            self._open.discard(table)
            self._waiting -= sum(_size(things) for _, things in self._queues.get(table, ()))
            self._queues[table] = deque()
            last = not self._open
            if self._room:
                self._tell(self._room.set)
        self.makes(table, None)
        if last:
            self.stop()

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        if self._main:
            self._tell(self._main.cancel)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    def _tell(self, what: Callable[[], Any]) -> None:
        """Do something in the reader's thread, if it is still there."""
        with contextlib.suppress(RuntimeError):  # the loop may close between a question and the call
            if self._loop:
                self._loop.call_soon_threadsafe(what)

    # ---- the side of Stripe

    def _run(self) -> None:
        try:
            asyncio.run(self._read_all())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # handed to the thread that waits for it
            self.error = error
        finally:
            with self._news:
                self._open.clear()
                self._news.notify_all()
            self._piles.close()

    async def _read_all(self) -> None:
        self._loop, self._main, self._room = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        self._told_makes = asyncio.Event()
        async with self._make_client() as client:
            self.figures = client.figures
            whose = self._whose or await identify(client)
            self.now = whose.now
            if self._held is None:
                self.account = whose.account or self.account
            elif whose.account and self._held not in (whose.account, "self"):
                raise MixedData("account", self._held, whose.account)
            lost = await self._still_refused(client)
            roots = wanted([ask.table for name, ask in self._asks.items() if name not in lost])
            fed = await self._open_feed(client, roots)
            readers = [asyncio.ensure_future(job) for job in self._jobs(client, roots, fed)]
            try:
                await asyncio.gather(*readers)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
                if self._starting:
                    await self._starting
                    await self._apart.stop()

    async def _open_feed(self, client: Client, roots: Sequence[Wanted]) -> list[Wanted]:
        """Decide what goes by the change feed in this run, and read its first page.

        Returns:
            The lists that need not be read, because the feed tells what changed in them.
        """
        feeding = [ask for ask in self._asks.values() if ask.feeds]
        if not feeding:
            return []
        fed = self._choose(roots)
        events = next((root for root in roots if root.taken and root.table.path == EVENTS and self._asks[
            root.table.name].feeds), None)
        lists = [root for root in fed if root is not events]
        self.feed = Feed(self, client, lists, self._asks, self._before, self._lookback, events)
        try:
            await self.feed.open()
        except AuthenticationError:
            raise
        except StripeError as error:
            self.feed, self.fed = None, set()
            self.notes.append(f"The list of events cannot be read, so that tables are read whole. {error}")
            return []
        return [*lists, *([events] if events else [])]

    async def _still_refused(self, client: Client) -> set[str]:
        """The tables that the run before was not allowed to expand, and this one is not either.

        One object is enough to know, so that the lists they are found in need not be read whole for them.
        """
        lost: set[str] = set()
        for name, ask in self._asks.items():
            for found in ask.table.found if ask.feeds and ask.refused and not ask.table.path else ():
                parent = BY_NAME[found.parent]
                if found.expand and parent.path and found.at:
                    try:
                        await client.page(parent.path, {**parent.params, "limit": 1, "expand": [f"data.{found.at}"]})
                    except PermissionDenied as error:
                        self.fail(ask.table, error)
                        lost.add(name)
        return lost

    def _choose(self, roots: Sequence[Wanted]) -> list[Wanted]:
        """The lists for which the change feed is enough; `fed` becomes the tables that need not be read whole."""
        now, late = self.now or 0, []
        for name, ask in self._asks.items():
            if not ask.feeds or ask.position is None:
                continue
            if now - ask.position >= HORIZON and ask.table.path != EVENTS:
                late.append(name)
                continue
            resync = ask.table.resync
            if resync is None or ask.whole_at is None or now - ask.whole_at < resync.total_seconds():
                self.fed.add(name)
        if late:
            days = max(now - (self._asks[name].position or 0) for name in late) // 86_400
            self.notes.append(
                f"The last run was {days} days ago, and Stripe keeps events for 30; read whole again: "
                f"{', '.join(late)}."
            )
        for name in list(self.fed):
            table = self._asks[name].table
            shared = not table.path and parent_column(table) is None  # what shows it has to be known
            if shared and not self.fed.issuperset(found.parent for found in table.found):
                self.fed.discard(name)

        def enough(root: Wanted) -> bool:
            return root.table.marker == "events" and all(table.name in self.fed for table, _ in ways(root))

        chosen = [root for root in roots if enough(root)]
        self.fed -= {root.table.name for root in roots if root not in chosen}
        return chosen

    async def ask_held(self, table: Table, question: Callable[[Held], T]) -> T | None:
        """Have a question about what the destination holds of a table answered by dlt's thread.

        Returns:
            The answer, or None where nothing is held.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T | None] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if not answered.done():
                answered.set_exception(error) if error else answered.set_result(result)

        def reply() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                held = self._holds(table.name)
                result = held and question(held)
            except Exception as trouble:  # the destination's, raised where it was asked
                error = trouble
            self._tell(partial(settle, result, error))

        with self._news:
            self._questions.append(reply)
            self._news.notify_all()
        return await answered

    def fail(self, table: Table, error: StripeError) -> None:
        """A table could not be read."""
        self._blame(table.name, judge(error))

    def _jobs(self, client: Client, roots: Sequence[Wanted], fed: Sequence[Wanted]) -> Iterable[Any]:
        singletons: dict[str, list[Wanted]] = defaultdict(list)
        livemode = client.credentials.livemode
        jobs: list[tuple[list[Wanted], Any]] = []
        for root in roots:
            if root.table.mode and livemode is not None and root.table.mode != ("live" if livemode else "test"):
                if root.taken:
                    self._blame(root.table.name, Verdict("not loaded", f"{root.table.mode} mode only", False))
            elif root.table.singleton:
                singletons[root.table.path or ""].append(root)
            elif root not in fed:
                jobs.append(([root], partial(self._read_list, client, root)))
        for path, alike in singletons.items():
            jobs.append((alike, partial(self._read_singleton, client, path, [root.table for root in alike])))
        if self.feed:
            jobs.append((list(fed), self.feed.run))
        for name in self.fed:
            self._seen[name] = set()
        for several, _ in jobs:
            for root in several:
                for table, found in ways(root):
                    self._sources_left[table.name] += 1
                    if found and found.spare:
                        self._spare.setdefault(table.name, {})
                    if len(table.found) + len(table.passes) + len(table.also) > 1:
                        self._seen[table.name] = set()
        for name, ask in self._asks.items():
            if ask.table.never:
                self._blame(name, Verdict("not loaded", ask.table.never, False))
            if not self._sources_left[name]:
                self._open.discard(name)
        return [self._guard(client, several, job) for several, job in jobs]

    async def _guard(self, client: Client, roots: list[Wanted], job: Callable[[], Any]) -> None:
        """Do a job. When it fails, that is the verdict of the tables that have no other way, and of no others."""
        failed: Verdict | None = None
        every = [(root, *way) for root in roots for way in ways(root)]  # as counted: some may be given up meanwhile
        try:
            await job()
        except AuthenticationError:
            raise
        except StripeError as error:
            failed = judge(error)
        except Exception as error:  # what Stripe sent is untrusted: a surprise in one table must not stop the others
            log.exception("reading %s failed", ", ".join(root.table.name for root in roots))
            failed = Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
        for root, table, found in every:
            if failed:
                near = found is None or found.parent == root.table.name
                self._fault(table, failed if near else replace(failed, near=False), own=found is None)
            if self._sources_left[table.name] == 1:
                await self._hand_spares(client, table)  # before it counts as done: what comes later is not taken
            self._sources_left[table.name] -= 1
        with self._news:
            self._open = {name for name in self._open if self._sources_left[name] > 0}
            self._news.notify_all()

    def _fault(self, table: Table, verdict: Verdict, *, own: bool) -> None:
        """One way to a table failed. It is the verdict if it was its own list or the only way; else it is not whole."""
        if own or (not table.path and len(table.found) == 1):
            self._blame(table.name, verdict)
        else:
            held = self.verdicts[table.name]
            held.complete, held.reason = False, held.reason or verdict.reason
            if verdict.status == "failed":
                self._blame(table.name, verdict)

    def _blame(self, name: str, verdict: Verdict) -> None:
        held = self.verdicts[name]
        if held.status == "ok" or (verdict.near and not held.near):
            self.verdicts[name] = verdict

    async def _read_singleton(self, client: Client, path: str, tables: list[Table]) -> None:
        answer = await client.get(path)
        for table in tables:
            things = answer.body if table.at == "" else answer.body.get(table.at)
            rows = things if isinstance(things, list) else [things] if isinstance(things, dict) else []
            await self.put(table, [self.event(table, row, answer.date) for row in rows])

    async def _read_list(self, client: Client, root: Wanted) -> None:
        await self._read_passes(client, root)
        self._over.add(root.table.name)

    async def _read_passes(self, client: Client, root: Wanted) -> None:
        table = root.table
        asks = [self._asks[taker.name] for taker in root.tables()]
        bound = Ask(
            table,
            min(ask.since or 0 for ask in asks) or None,
            None if any(ask.until is None for ask in asks) else max(ask.until or 0 for ask in asks),
            self._asks[table.name].after if root.taken and all(ask.since is not None for ask in asks) else None,
            root.taken and self._asks[table.name].ordered,
        )
        own = False
        for path in table.also:
            try:
                answer = await client.get(path)
            except (PermissionDenied, ResourceMissing, NotEnabled):
                continue  # the key may list, and still not read this one; other servers may not have it
            own = True
            await self.hand_on(client, root, Batch([answer.body], answer.date))
        for number, extra in enumerate(table.passes):
            try:
                await self._read_pass(client, root, bound, {**table.params, **extra}, str(number))
            except (NotEnabled, PermissionDenied, ResourceMissing, InvalidRequest) as error:
                if number == 0 and not (own and table.may_refuse):
                    raise
                log.warning("%s: a part of the table was refused: %s", table.name, error)
                self.verdicts[table.name].complete = False
                self.verdicts[table.name].reason = table.may_refuse or str(error)

    async def _read_pass(
        self, client: Client, root: Wanted, bound: Ask, params: Mapping[str, Any], number: str
    ) -> None:
        """Read a list once, with expansions for the tables that are found on its objects.

        A key that may read the list may lack the permission for what is expanded. Then the list is read without that.
        """
        try:
            await self._read_expanded(client, root, bound, params, number, expansions(root))
        except PermissionDenied as error:
            lesser, lost = refused(root, error)
            for table in lost:
                self._fault(table, judge(error), own=False)
            await self._read_pass(client, lesser, bound, params, number)

    async def _read_expanded(
        self, client: Client, root: Wanted, bound: Ask, params: Mapping[str, Any], number: str, expand: Sequence[str]
    ) -> None:
        table = root.table
        given = {**params, **({"expand": [f"data.{path}" for path in expand]} if expand else {})}
        what = List(table.path or "", given, limit=table.limit, time=table.time or "created", range=table.range)

        async def hand(batch: Batch) -> None:
            if table.include and table.one:
                batch = replace(batch, objects=await self._included(client, table, batch.objects))
            await self.hand_on(client, root, batch)
            if sweep := self._sweeps[table.name].get(number):
                self._on_cover(table.name, sweep.coverage())

        if table.created and bound.after is None:
            begun = self.begun.get(table.name)
            until = self._until(bound.until) if bound.ordered else bound.until or NO_END
            gaps = begun.left(number, until) if begun else None
            sweep = Sweep(
                client, what, bound.since, until, gaps=gaps, ordered=bound.ordered,
                keep=lambda: None if bound.ordered else self._keeper(root, sweep),
            )
            self._sweeps[table.name][number] = sweep
            await sweep.run(hand)
        else:
            async for batch in self._walk(client, what, bound):
                await hand(batch)

    def _keeper(self, root: Wanted, sweep: Sweep) -> Keep | None:
        """Who takes the next page of a list as it comes: the process that makes rows, once a list is a long one."""
        table = root.table
        plain = root.taken and self._makes.get(table.name) and not table.include and BY_NAME.get(table.name) is table
        if not plain or table.name not in self._open:
            return None
        if self._starting is None and (sweep.coverage().left or 0) >= LONG_LIST and Apart.useful():
            self._starting = asyncio.ensure_future(self._apart.start())
        return partial(self._apart.page, members=sorted(members(root))) if self._apart.ready else None

    async def _included(self, client: Client, table: Table, listed: Sequence[Object]) -> list[Object]:
        """The objects of a page with the sections that the list leaves out: one request each."""
        gate = asyncio.Semaphore(FAN_OUT)

        async def whole(thing: Object) -> Object:
            async with gate:
                try:
                    answer = await client.get(fill(table.one or "", id=str(thing["id"])), {"include": table.include})
                except ResourceMissing:
                    return thing  # it went meanwhile
                return answer.body

        return await asyncio.gather(*map(whole, listed))

    def _walk(self, client: Client, what: List, ask: Ask) -> AsyncIterator[Batch]:
        return newest_first(client, what) if ask.after is None else self._walk_after(client, what, ask)

    async def _walk_after(self, client: Client, what: List, ask: Ask) -> AsyncIterator[Batch]:
        """Onwards from the marker object; where that is gone, by `created`, or through the whole list."""
        assert ask.after is not None
        try:
            async for batch in after(client, what, ask.after):
                yield batch
        except ResourceMissing:
            log.warning(
                "%s: the object `%s`, where the last run ended, is gone; reading by `created` instead",
                ask.table.name, ask.after,
            )
            created = ask.table.created
            async for batch in newest_first(client, what, ask.since if created else None, None):
                yield batch

    async def hand_on(
        self, client: Client, root: Wanted, batch: Batch, skip: frozenset[Found] = frozenset()
    ) -> None:
        """Take the children out of a batch of objects, complete them, and hand over both."""
        table = root.table
        if self.fed:
            self.dirty[table.name].update(str(thing.get("id")) for thing in batch.objects)
        taken = []
        for found, kinds in root.children.items():
            if found.at is None and all(kind.table.path and kind.table.name in self.fed for kind in kinds):
                continue  # they have events of their own
            if found in skip:
                for thing in batch.objects:
                    take(thing, found)
            elif await self._children(client, found, kinds, batch.objects, batch.read_at) and found.at:
                taken.append(found)
        if root.taken:
            ask = self._asks[table.name]
            things = [
                thing for thing in batch.objects if _within(thing.get(table.time) if table.time else None, ask)
            ]
            kept = batch.kept and replace(batch.kept, taken=tuple(taken))
            await self.put(table, [self.event(table, thing, batch.read_at) for thing in things], kept)

    async def _children(
        self, client: Client, found: Found, kinds: list[Wanted], parents: Sequence[Object], read_at: int
    ) -> bool:
        """Take the objects that are found with these parents, complete them, and hand them over.

        Returns:
            Whether they were taken; not where the key may not read them.
        """
        below = [table for kind in kinds for table in kind.tables()]
        if not found.may_refuse and all(self.verdicts[table.name].status == "no permission" for table in below):
            return False  # asking for each parent again would say no more
        gate = asyncio.Semaphore(FAN_OUT)
        refused: list[StripeError] = []
        bare = False

        fed = any(table.name in self.fed for kind in kinds for table in kind.tables())

        async def of(parent: Object) -> list[_Family]:
            known = parent.get("id")
            nothing = _Family(str(known) if known is not None else None, [], read_at)
            nonlocal bare
            if not asked(parent, found):
                return [nothing] if fed else []
            things, more = take(parent, found)
            bare = bare or (more and not found.rest)
            family = replace(nothing, objects=things)
            if not more or not found.rest:
                return [family] if things or fed else []
            try:
                return await self._rest(client, found, kinds, parent, family, gate)
            except (NotEnabled, PermissionDenied) as error:
                if not found.may_refuse:
                    raise
                refused.append(error)
                return []

        try:
            families = [family for some in await asyncio.gather(*map(of, parents)) for family in some]
        except AuthenticationError:
            raise
        except StripeError as error:  # the children's trouble is not their parents'
            for kind in kinds:
                for table in kind.tables():
                    self._fault(table, judge(error), own=False)
            return True
        for kind in kinds:
            if bare:
                reason = f"`{found.at}` of {found.parent} came as ids: the key lacks `{kind.table.permission}`"
                for table in kind.tables():
                    self._fault(table, Verdict("no permission", reason, False), own=False)
            if refused:
                self._refused(kind.table, found, len(refused), refused[0])
            await self._family(client, kind, families, found)
        return True

    async def _family(self, client: Client, kind: Wanted, families: Sequence[_Family], found: Found) -> None:
        events: list[WAEvent] = []
        column = parent_column(kind.table) or found.names
        for family in families:
            if column and family.owner and kind.table.name in self.fed and not found.spare:
                self.families[kind.table.name][column].add(family.owner)
            mine = [  # the place is the one in the whole list, which may hold objects of other tables
                (place, thing) for place, thing in enumerate(family.objects)
                if thing.get("object", kind.table.object[0]) in kind.table.object
            ]
            for inner, inner_kinds in kind.children.items():
                await self._children(client, inner, inner_kinds, [thing for _, thing in mine], family.read_at)
            events += [
                self.event(kind.table, thing, family.read_at, family.owner, None if found.one else place, family.pair)
                for place, thing in mine
            ]
        if found.spare:
            for event in events:
                held = self._spare[kind.table.name].get(str(event.data.get("id")))
                if held is None or "object" not in held.data:
                    self._spare[kind.table.name][str(event.data.get("id"))] = event
        elif kind.taken:
            await self.put(kind.table, events)

    def _refused(self, table: Table, found: Found, number: int, error: StripeError) -> None:
        """Some parents' lists were refused, which is to be expected; that all are is the verdict."""
        self._refusals[table.name] += number
        verdict = self.verdicts[table.name]
        verdict.complete = False
        verdict.error = error
        verdict.reason = f"{self._refusals[table.name]} lists of {found.parent} were refused: {found.may_refuse}"

    async def _hand_spares(self, client: Client, table: Table) -> None:
        """Hand over what was found of a table elsewhere and is not in its own list."""
        seen = self._seen.get(table.name, set())
        spares = self._spare.pop(table.name, {})
        if spares and table.name in self.fed:
            ids = [(id,) for id in spares]
            held = await self.ask_held(table, lambda held: held.versions(ids))
            there = {key[0] for key, version in (held or {}).items() if not version.deleted}
            spares = {id: event for id, event in spares.items() if id not in there}
        gate = asyncio.Semaphore(FAN_OUT)

        async def whole(event: WAEvent) -> WAEvent | None:
            if "object" in event.data:
                return event
            async with gate:
                try:
                    expand = {"expand": table.expand} if table.expand else {}
                    answer = await client.get(fill(table.one or "", id=event.data["id"]), expand)
                except StripeError as error:
                    if not isinstance(error, ResourceMissing):
                        self._fault(table, judge(error), own=False)
                    return None
                return event._replace(data=answer.body, time=answer.date)

        lacking = [event for id, event in spares.items() if (id, None) not in seen]
        found = await asyncio.gather(*map(whole, lacking))
        await self.put(table, [event for event in found if event])

    async def _rest(
        self, client: Client, found: Found, kinds: list[Wanted], parent: Object, family: _Family,
        gate: asyncio.Semaphore,
    ) -> list[_Family]:
        """All children of one parent, by lists of their own. An owner that vanished meanwhile has none."""
        assert found.rest is not None
        given = filled(found.params, parent)
        owners = [str(owner) for owner in at(parent, found.id)]
        if found.through:
            async with gate:
                try:
                    answer = await client.get(found.through, {found.param or "id": parent["id"]})
                except ResourceMissing:
                    return []
            owners = [str(owner) for owner in at(answer.body, found.id)]
        if found.window:
            ask = self._asks[kinds[0].table.name]
            back = int(ask.table.lookback.total_seconds())
            begin = ask.since if ask.since is not None else max(0, (unix_second(parent.get("created")) or 0) - back)
            until = ask.until or self.now or 0
            if begin >= until:
                return []  # the parent is younger than what is asked for
            given.update(zip(found.window, days(begin, until), strict=True))
        limit = None if any(kind.table.limit is None for kind in kinds) else 100
        pairs = await self._ids(client, found.pair[0]) if found.pair else [None]

        def expand() -> list[str]:
            return [] if found.one else [f"data.{path}" for kind in kinds for path in expansions(kind)]

        async def ask_for(owner: str, pair: str | None) -> _Family:
            path = fill(found.rest or "", id=owner)
            params = {**given, **({found.param: owner} if found.param and not found.through else {})}
            if found.pair:
                params[found.pair[1]] = pair
            if paths := expand():
                params["expand"] = paths
            whole = _Family(owner, [], family.read_at, pair)
            try:
                async with gate:
                    if found.one:
                        answer = await client.get(path, params)
                        return replace(whole, objects=[answer.body], read_at=answer.date)
                    async for page in client.pages(path, params, limit=limit):
                        whole.objects.extend(page.objects)
                        whole = replace(whole, read_at=page.date)
            except ResourceMissing:
                return replace(family, pair=pair)
            except PermissionDenied as error:
                if paths == expand():  # else another parent's list has taught it meanwhile
                    self._forgo(kinds, error)
                return await ask_for(owner, pair)
            return whole

        return await asyncio.gather(*(ask_for(owner, pair) for owner in owners for pair in pairs))

    def _forgo(self, kinds: Sequence[Wanted], error: PermissionDenied) -> None:
        """Expand no more what the key may not read.

        Raises:
            PermissionDenied: the error itself, because it is about the list.
        """
        for kind in kinds:
            left, lost = refused(kind, error)
            kind.children = left.children
            for table in lost:
                self._fault(table, judge(error), own=False)

    async def _ids(self, client: Client, name: str) -> list[str | None]:
        """The ids of all objects of a table, read once a run."""
        if name not in self._all_ids:
            async def read() -> list[str | None]:
                table = BY_NAME[name]
                what = List(table.path or "", table.params, limit=table.limit)
                return [str(t["id"]) async for batch in newest_first(client, what) for t in batch.objects if "id" in t]

            self._all_ids[name] = asyncio.ensure_future(read())
        return await self._all_ids[name]

    def event(
        self, table: Table, thing: Object, read_at: int, parent: str | None = None, place: int | None = None,
        pair: str | None = None,
    ) -> WAEvent:
        if parent_column(table) is None:
            parent = place = None  # found in several ways, which must not make its row differ
        return WAEvent(table.name, INSERT, read_at, thing, self.account, parent, place, pair)

    async def put(self, table: Table, events: list[WAEvent], kept: Kept | None = None) -> None:
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
        make = await self._how(name) if events else None
        if make is None and kept:
            self._apart.forget(kept)  # nobody takes them
            return
        if not events:
            return
        if make is None:
            self._queue(name, events)
        else:
            readers = sum(sweep.readers for sweep in self._sweeps[name].values()) if name in self._sweeps else 1
            await self._piles.add(table, make, events, kept and kept.only([event.data for event in events]), readers)
        assert self._room is not None
        await self._room.wait() if self._waiting >= WAITING else await asyncio.sleep(0)

    def _queue(self, name: str, things: list[WAEvent] | Made) -> None:
        assert self._room is not None
        with self._news:
            if name in self._open:
                self._number += 1
                self._queues[name].append((self._number, things))
                self._waiting += _size(things)
                self._news.notify_all()
            if self._waiting >= WAITING:
                self._full = True
                self._room.clear()

    async def _how(self, name: str) -> Make | None:
        """How the rows of a table are made; who takes it says so at the beginning."""
        assert self._told_makes is not None
        while self._made and name not in self._makes and name in self._open:
            self._told_makes.clear()
            if name not in self._makes:
                await self._told_makes.wait()
        return self._makes.get(name)


def _size(things: list[WAEvent] | Made) -> int:
    """What counts towards `WAITING`: rows, and long ones for several."""
    return max(things.rows, things.size // LONG) if isinstance(things, Made) else len(things)


def _within(created: Any, ask: Ask) -> bool:
    second = unix_second(created)
    if second is None:
        return True
    return (ask.since is None or second >= ask.since) and (ask.until is None or second < ask.until)
