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
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from stripe_source.client import Client, fill
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
from stripe_source.listing import Batch, List, Object, after, newest_first, oldest_first
from stripe_source.tables import BY_NAME, Found, Table, parent_column
from stripe_source.waevent import INSERT, WAEvent

log = logging.getLogger("stripe_source")
T = TypeVar("T")

WAITING = 20_000  # WAEvents read ahead of dlt, over all tables
FAN_OUT = 16  # child lists of one page of parents that are asked side by side


@dataclass(frozen=True)
class Ask:
    """What a run wants of one table.

    Args:
        table: the table.
        since: objects created at or after this unix second; None: from the beginning.
        until: objects created before this unix second; None: to the end.
        after: the id of the object that the last run ended with (marker `id`).
        ordered: oldest first, because a cursor follows what is handed over.
        follows: it may go by the cursor of its parents.
    """

    table: Table
    since: int | None = None
    until: int | None = None
    after: str | None = None
    ordered: bool = False
    follows: bool = False


@dataclass
class Verdict:
    """How the reading of one table ended.

    Args:
        status: "ok", "no permission", "not enabled" or "failed".
        reason: what Stripe or the network said, and the way out.
        complete: everything that Stripe has was read, so that what was not seen is gone.
        error: what was raised.
    """

    status: str = "ok"
    reason: str = ""
    complete: bool = True
    error: StripeSourceError | None = None
    read_at: int | None = None


def judge(error: StripeSourceError) -> Verdict:
    """The verdict that an error means for a table."""
    status = "failed"
    if isinstance(error, PermissionDenied):
        status = "no permission"
    elif isinstance(error, NotEnabled):
        status = "not enabled"
    return Verdict(status, str(error), False, error)


@dataclass
class Wanted:
    """One list to read, or a child list: which tables take from it, and what is found on its objects."""

    table: Table
    taken: bool = False
    children: dict[Found, list[Wanted]] = field(default_factory=dict)

    def tables(self) -> Iterable[Table]:
        """All tables that take something from here."""
        if self.taken:
            yield self.table
        for kinds in self.children.values():
            for kind in kinds:
                yield from kind.tables()


def wanted(tables: Sequence[Table]) -> list[Wanted]:
    """The lists that have to be read for these tables, with what is to be taken out of their objects.

    A table that is found with others makes their lists be read too, although their rows may not be wanted.
    """
    taken = {table.name for table in tables}

    def look_inside(table: Table, trail: tuple[str, ...]) -> Wanted | None:
        node = Wanted(table, taken=table.name in taken)
        for child in {**BY_NAME, **{own.name: own for own in tables}}.values():
            for found in child.found:
                if found.parent == table.name and child.name not in trail:
                    inner = look_inside(child, (*trail, child.name))
                    if inner:
                        node.children.setdefault(found, []).append(inner)
        return node if node.taken or node.children else None

    roots = {table.name: table for table in (*BY_NAME.values(), *tables) if table.path}
    return [node for table in roots.values() if (node := look_inside(table, (table.name,)))]


def expansions(node: Wanted, prefix: str = "") -> list[str]:
    """The `expand[]` paths that a list needs, relative to one of its objects."""
    paths = [prefix + field for field in node.table.expand] if node.taken else []
    for found, kinds in node.children.items():
        if found.at is None:
            continue
        if found.expand:
            paths.append(prefix + found.at)
        for kind in kinds:
            inner = expansions(kind, f"{prefix}{found.at}.data.")
            paths += [path for path in inner if path.count(".") < 4]
    return list(dict.fromkeys(paths))


def take(thing: Object, found: Found) -> tuple[list[Object], bool]:
    """Take the objects of a child table out of their parent's object.

    The parent is left as it would have come without our asking for expansion, so that its row does not depend on which
    other tables are loaded: an expanded list goes, expanded references become ids, and of a list that is always
    embedded only the wrapper stays.

    Returns:
        The child objects, and whether there may be more than these.
    """
    if found.at is None:
        return [], True
    *way, last = found.at.split(".")
    here: Any = thing
    for step in way:
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict) or last not in here:
        return [], found.expand
    value = here[last]
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        if found.expand:
            del here[last]
        else:
            here[last] = {key: inner for key, inner in value.items() if key != "data"}
        return [item for item in value["data"] if isinstance(item, dict)], bool(value.get("has_more"))
    if isinstance(value, list):
        if found.expand:
            here[last] = [item.get("id") if isinstance(item, dict) else item for item in value]
        return [item for item in value if isinstance(item, dict)], False
    if isinstance(value, dict):
        if found.expand:
            here[last] = value.get("id")
        return [value], False
    return [], False


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
        return Whose(None, int(time.time()))  # the key may not read its own account
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
    """

    def __init__(
        self,
        client: Callable[[], Client],
        option: str | None = None,
        held: str | None = None,
        whose: Whose | None = None,
        on_page: Callable[[str, int], None] | None = None,
    ) -> None:
        self._make_client = client
        self._held, self._whose = held, whose
        self.account = held or option or "self"
        self._on_page = on_page or (lambda table, objects: None)
        self._asks: dict[str, Ask] = {}
        self._queues: dict[str, deque[list[WAEvent]]] = {}
        self._open: set[str] = set()
        self._waiting = 0
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._sources_left: dict[str, int] = defaultdict(int)
        self._seen: dict[str, set[tuple[str, str | None]]] = {}
        self.verdicts: dict[str, Verdict] = defaultdict(Verdict)
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

    def next(self, table: str, patience: float = 0.05) -> list[WAEvent] | None:
        """The next WAEvents of a table: None if there are none yet, an empty list when the table is done.

        Raises:
            StripeSourceError: the whole run failed, not this table only (the key was refused, say).
        """
        queue = self._queues[table]
        with self._news:
            if not queue and table in self._open and self._waiting == 0:
                self._news.wait(patience)
            if queue:
                events = queue.popleft()
                self._waiting -= len(events)
                if self._waiting < WAITING and self._room:
                    self._tell(self._room.set)
                return events
            if self.error is not None:
                raise self.error
            return None if table in self._open else []

    def leave(self, table: str) -> None:
        """Nobody will take this table any more. When no table is left, the reading stops."""
        with self._news:
            self._open.discard(table)
            self._waiting -= sum(map(len, self._queues.get(table, ())))
            self._queues[table] = deque()
            last = not self._open
            if self._room:
                self._tell(self._room.set)
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

    async def _read_all(self) -> None:
        self._loop, self._main, self._room = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        async with self._make_client() as client:
            self.figures = client.figures
            whose = self._whose or await identify(client)
            self.now = whose.now
            if self._held is None:
                self.account = whose.account or self.account
            elif whose.account and self._held not in (whose.account, "self"):
                raise MixedData("account", self._held, whose.account)
            roots = wanted([ask.table for ask in self._asks.values()])
            readers = [asyncio.ensure_future(job) for job in self._jobs(client, roots)]
            try:
                await asyncio.gather(*readers)
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)

    def _jobs(self, client: Client, roots: Sequence[Wanted]) -> Iterable[Any]:
        singletons: dict[str, list[Table]] = defaultdict(list)
        for root in roots:
            for table in root.tables():
                self._sources_left[table.name] += 1
                if len(table.found) + len(table.passes) + len(table.also) > 1:
                    self._seen[table.name] = set()
        for root in roots:
            if root.table.singleton:
                singletons[root.table.path or ""].append(root.table)
            else:
                yield self._guard(list(root.tables()), self._read_list(client, root))
        for path, tables in singletons.items():
            yield self._guard(tables, self._read_singleton(client, path, tables))

    async def _guard(self, tables: list[Table], job: Any) -> None:
        """Do a job; when it fails, that is the verdict of its tables and of no others."""
        failed: Verdict | None = None
        try:
            await job
        except AuthenticationError:
            raise
        except StripeError as error:
            failed = judge(error)
        except Exception as error:  # what Stripe sent is untrusted: a surprise in one table must not stop the others
            log.exception("reading %s failed", ", ".join(sorted({table.name for table in tables})))
            failed = Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
        with self._news:
            for name in {table.name for table in tables}:
                number = sum(table.name == name for table in tables)
                if failed:
                    self._blame(name, failed)
                self._sources_left[name] -= number
                if self._sources_left[name] <= 0:
                    self._open.discard(name)
            self._news.notify_all()

    def _blame(self, name: str, verdict: Verdict) -> None:
        if self.verdicts[name].status == "ok":
            self.verdicts[name] = verdict

    async def _read_singleton(self, client: Client, path: str, tables: list[Table]) -> None:
        answer = await client.get(path)
        for table in tables:
            things = answer.body if table.at == "" else answer.body.get(table.at)
            rows = things if isinstance(things, list) else [things] if isinstance(things, dict) else []
            await self._put(table, [self._event(table, row, answer.date) for row in rows])

    async def _read_list(self, client: Client, root: Wanted) -> None:
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
            await self._hand_on(client, root, Batch([answer.body], answer.date))
        expand = [f"data.{path}" for path in expansions(root) if path.count(".") < 3]  # Stripe expands 4 levels
        for number, extra in enumerate(table.passes):
            params = {**table.params, **extra, **({"expand": expand} if expand else {})}
            what = List(table.path or "", params, limit=table.limit, time=table.time or "created")
            try:
                async for batch in self._walk(client, what, bound):
                    await self._hand_on(client, root, batch)
            except (NotEnabled, PermissionDenied, ResourceMissing, InvalidRequest) as error:
                if number == 0 and not (own and table.may_refuse):
                    raise
                log.warning("%s: a part of the table was refused: %s", table.name, error)
                self.verdicts[table.name].complete = False
                self.verdicts[table.name].reason = table.may_refuse or str(error)

    def _walk(self, client: Client, what: List, ask: Ask) -> AsyncIterator[Batch]:
        table = ask.table
        if ask.after is not None:
            return self._walk_after(client, what, ask)
        if table.created and ask.ordered:
            return oldest_first(client, what, ask.since, ask.until or (self.now or int(time.time())) + 1)
        return newest_first(client, what, ask.since if table.created else None, ask.until if table.created else None)

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

    async def _hand_on(self, client: Client, root: Wanted, batch: Batch) -> None:
        """Take the children out of a batch of objects, complete them, and hand over both."""
        table = root.table
        for found, kinds in root.children.items():
            await self._children(client, found, kinds, batch.objects, batch.read_at)
        if root.taken:
            ask = self._asks[table.name]
            await self._put(table, [
                self._event(table, thing, batch.read_at)
                for thing in batch.objects
                if _within(thing.get(table.time) if table.time else None, ask)
            ])

    async def _children(
        self, client: Client, found: Found, kinds: list[Wanted], parents: Sequence[Object], read_at: int
    ) -> None:
        gate = asyncio.Semaphore(FAN_OUT)

        async def of(parent: Object) -> tuple[list[Object], int]:
            things, more = take(parent, found)
            asked = found.rest and all(parent.get(key) == value for key, value in found.where)
            if not more or not asked or not isinstance(parent.get("id"), str):
                return things, read_at
            async with gate:
                return await self._rest(client, found, kinds, parent["id"], things, read_at)

        taken = [thing for kind in kinds for thing in kind.tables()]
        try:
            answers = await asyncio.gather(*map(of, parents))
        except AuthenticationError:
            raise
        except StripeError as error:  # the children's trouble is not their parents'
            for table in taken:
                self._blame(table.name, judge(error))
            return
        for kind in kinds:
            events: list[WAEvent] = []
            for parent, (things, at) in zip(parents, answers, strict=True):
                mine = [  # the place is the one in the whole list, which may hold objects of other tables
                    (place, thing) for place, thing in enumerate(things)
                    if thing.get("object", kind.table.object[0]) in kind.table.object
                ]
                for inner, inner_kinds in kind.children.items():
                    await self._children(client, inner, inner_kinds, [thing for _, thing in mine], at)
                events += [self._event(kind.table, thing, at, parent.get("id"), place) for place, thing in mine]
            if kind.taken:
                await self._put(kind.table, events)

    async def _rest(
        self, client: Client, found: Found, kinds: list[Wanted], parent: str, first: list[Object], read_at: int
    ) -> tuple[list[Object], int]:
        """All children of one parent, by their own list. A parent that vanished meanwhile has none."""
        assert found.rest is not None
        expand = [f"data.{path}" for kind in kinds for path in expansions(kind)]
        params: dict[str, Any] = {found.param: parent} if found.param else {}
        if expand:
            params["expand"] = expand
        things: list[Object] = []
        try:
            async for page in client.pages(fill(found.rest, id=parent), params, limit=100):
                things += page.objects
                read_at = page.date
        except ResourceMissing:
            return first, read_at
        return things, read_at

    def _event(
        self, table: Table, thing: Object, read_at: int, parent: str | None = None, place: int | None = None
    ) -> WAEvent:
        if parent_column(table) is None:
            parent = place = None  # found in several ways, which must not make its row differ
        return WAEvent(table.name, INSERT, read_at, thing, self.account, parent, place)

    async def _put(self, table: Table, events: list[WAEvent]) -> None:
        name = table.name
        if name in self._seen:  # reached in several ways: the first one counts
            seen, fresh = self._seen[name], []
            for event in events:
                key = (str(event.data.get("id")), event.parent if table.key != ("id",) else None)
                if key not in seen:
                    seen.add(key)
                    fresh.append(event)
            events = fresh
        if not events:
            return
        self._on_page(name, len(events))
        assert self._room is not None
        with self._news:
            if name in self._open:
                self._queues[name].append(events)
                self._waiting += len(events)
                self._news.notify_all()
            if self._waiting >= WAITING:
                self._room.clear()
        await self._room.wait() if self._waiting >= WAITING else await asyncio.sleep(0)


def _within(created: Any, ask: Ask) -> bool:
    if not isinstance(created, (int, float)):
        return True
    return (ask.since is None or created >= ask.since) and (ask.until is None or created < ask.until)
