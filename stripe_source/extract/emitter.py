"""Objects become WAEvents, each once, and go on their way to rows."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from stripe_source.arrow_rows.waevent import SELECT, UPDATE, WAEvent
from stripe_source.errors import StripeError
from stripe_source.extract.channel import Channel
from stripe_source.extract.verdicts import Verdicts, verdict_for
from stripe_source.tables.objects import Object
from stripe_source.tables.registry import parent_column
from stripe_source.tables.table import Table
from stripe_source.workers.batches import RowBatcher
from stripe_source.workers.process import WorkerProcess
from stripe_source.workers.protocol import PageHandle

ObjectKey = tuple[str, str | None]  # the id of an object, and that of its parent where that is part of the key


class Emitter:
    """Takes the objects that all sources of a run bring, and knows what was brought.

    Args:
        channel: takes the WAEvents of tables that nobody builds rows of, and answers questions to the destination.
        batcher: builds rows of the others.
        worker: the process that keeps pages.
        account: value of `_account_id`, until the owner of the key is known.
        on_page: called with (table, number of objects).
        with_history: tables of which versions between two runs are wanted as well.
    """

    def __init__(
        self, channel: Channel, batcher: RowBatcher, worker: WorkerProcess, account: str,
        on_page: Callable[[str, int], None], with_history: Iterable[str] = (),
    ) -> None:
        self.channel, self.account = channel, account
        self._batcher, self._worker, self._on_page = batcher, worker, on_page
        self.owner: str | None = None  # id of the account whose data it is, as far as it is known
        self.now: int | None = None  # unix second at Stripe, when the run began
        self.verdicts = Verdicts()
        self.by_change_feed: set[str] = set()  # tables that need not be read whole, because the feed tells what changed
        self.touched_ids: dict[str, set[str]] = defaultdict(set)  # by table: ids of objects that were read
        self.parents_read: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        # ^ by table and column: ids of the owners whose objects were read
        self.earlier_versions: dict[str, list[WAEvent]] = {name: [] for name in with_history}
        self.readers: dict[str, Callable[[], int]] = {}  # by table: how many readers bring pages of it side by side
        self.before: dict[tuple[str, str], Object] = {}  # by table and id: the object as it was before its only event
        self._emitted: dict[str, set[ObjectKey]] = {}  # of tables that are reached in several ways

    def emit_once(self, table: str) -> None:
        """Objects of a table are reached in several ways: only the first time counts."""
        self._emitted[table] = set()

    def emitted(self, table: str) -> set[ObjectKey]:
        """What was emitted of a table that is reached in several ways."""
        return self._emitted.get(table, set())

    def fail(self, table: Table, error: StripeError) -> None:
        """A table could not be read."""
        self.verdicts.set_failure(table.name, verdict_for(error))

    def event(
        self, table: Table, thing: Object, read_at: int, parent: str | None = None, position: int | None = None,
        pair: str | None = None,
    ) -> WAEvent:
        """The WAEvent of an object: read by a first or full load, or changed as far as the change feed tells.

        Whether the object is new is known when it is compared with what the destination holds.

        Args:
            table: where the object belongs.
            thing: the object.
            read_at: unix second from which on this version is known.
            parent: id of the object that it was found with.
            position: its place in the list of that object.
            pair: id of the second object that it was found with.
        """
        if parent_column(table) is None:
            parent = position = None  # found in several ways, which must not make its row differ
        operation, before = SELECT, None
        if table.name in self.by_change_feed:
            operation, before = UPDATE, self.before.get((table.name, str(thing.get("id"))))
        return WAEvent(table.name, operation, read_at, thing, self.account, parent, position, pair, before)

    async def put(self, table: Table, events: list[WAEvent], handle: PageHandle | None = None) -> None:
        """Hand WAEvents over.

        Args:
            table: theirs.
            events: of one page.
            handle: of the objects, if these are digests.
        """
        name = table.name
        if name in self._emitted:
            events = self._not_emitted_yet(table, events)
        if events:
            self._on_page(name, len(events))
        build = await self.channel.wait_for_builder(name) if events else None
        if build is None and handle:
            self._worker.forget(handle)  # nobody takes them
            return
        if not events:
            return
        if build is None:
            self.channel.put(name, events)
        else:
            some = handle and handle.select([event.data for event in events])
            readers = self.readers[name]() if name in self.readers else None
            await self._batcher.add(table, build, events, some, readers)
        await self.channel.wait_for_room()

    async def flush(self, tables: Iterable[str]) -> None:
        """Have rows built of what still waits for company."""
        for name in tables:
            await self._batcher.flush(name)

    def _not_emitted_yet(self, table: Table, events: Iterable[WAEvent]) -> list[WAEvent]:
        emitted, fresh = self._emitted[table.name], []
        for event in events:
            key = (str(event.data.get("id")), event.parent if table.key != ("id",) else None)
            if key not in emitted:
                emitted.add(key)
                fresh.append(event)
        return fresh
