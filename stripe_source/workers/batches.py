"""WAEvents of a table become rows together: page by page, each one takes twice as long."""
from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stripe_source.arrow_rows.builder import UNDECIDED, RowBuilder
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.workers.process import WorkerProcess
from stripe_source.workers.protocol import PageHandle

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_BATCH = 500  # WAEvents that are made into rows together
LONGEST_WAIT = 0.2  # seconds that a page waits for others


@dataclass(frozen=True)
class RowBatch:
    """Rows of one table, and what was compared for them.

    Args:
        table: the rows, as `RowBuilder.build` makes them, or with all columns decided.
        rows: how many.
        size: bytes of Arrow, about.
        undecided: some of them have something that no declared column holds; None where all columns are decided.
        read: WAEvents that these rows come of; those that brought no row are counted too.
        new: rows that the destination does not hold.
        changed: rows that it holds otherwise.
        unchanged: WAEvents whose rows it holds as they are.
        gone: rows that it holds and that are flagged as deleted now.
    """

    table: pa.Table
    rows: int
    size: int
    undecided: bool | None
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0

    @classmethod
    def of(
        cls, table: pa.Table, *, read: int = 0, new: int = 0, changed: int = 0, unchanged: int = 0, gone: int = 0
    ) -> RowBatch:
        """What is known of rows, found out once: a table of 200 columns takes a while to ask."""
        place, undecided = table.schema.get_field_index(UNDECIDED), None
        if place >= 0:
            undecided = table.column(place).null_count < table.num_rows
        size = table.get_total_buffer_size()
        return cls(table, table.num_rows, size, undecided, read, new, changed, unchanged, gone)


class BatchBuilder(Protocol):
    """Builds the rows of one table.

    Attributes:
        compares: it compares WAEvents with what the destination holds; else the worker may build the rows in its place.
    """

    compares: bool

    def note(self, events: Sequence[WAEvent]) -> None:
        """See WAEvents as they come; their objects may be digests."""

    async def prepare(self, events: Sequence[WAEvent]) -> None:
        """Ask the destination what has to be known of these WAEvents before their rows are built."""

    def build(self, events: Sequence[WAEvent]) -> RowBatch:
        """Build rows; called in the thread that does nothing else."""

    async def finish(self) -> Sequence[RowBatch]:
        """Rows that follow those just built: the last known ones of objects that are gone."""


class PlainBuilder:
    """Builds a row of each WAEvent of a table, and compares none with anything.

    Args:
        builder: of the table.
        refuse: told of an error that keeps rows from being built; then no more are.
    """

    compares = False

    def __init__(self, builder: RowBuilder, refuse: Callable[[Exception], None]) -> None:
        self._builder, self._refuse, self._refused = builder, refuse, False

    def note(self, events: Sequence[WAEvent]) -> None:
        """Nothing is kept."""

    async def prepare(self, events: Sequence[WAEvent]) -> None:
        """Nothing is asked."""

    def build(self, events: Sequence[WAEvent]) -> RowBatch:
        """Build rows."""
        try:
            if not self._refused:
                return RowBatch.of(self._builder.build(events), read=len(events), new=len(events))
        except Exception as error:  # the other tables that are read from the same list go on
            self._refused = True
            self._refuse(error)
        return RowBatch.of(self._builder.build([]), read=len(events))

    async def finish(self) -> Sequence[RowBatch]:
        """Nothing follows."""
        return ()


class _Pending:
    """WAEvents of one table that are made into rows together, by page; the worker keeps the objects of some."""

    def __init__(self, table: Table, builder: BatchBuilder) -> None:
        self.table, self.builder = table, builder
        self.pages: list[tuple[list[WAEvent], PageHandle | None]] = []
        self.size = 0
        self.enough = asyncio.Event()
        self.error: BaseException | None = None
        self.done = False

    def add(self, events: list[WAEvent], handle: PageHandle | None) -> None:
        self.pages.append((events, handle))
        self.size += len(events)

    def events(self) -> list[WAEvent]:
        """All of them, with their objects."""
        found: list[WAEvent] = []
        for events, handle in self.pages:
            found += events if handle is None else [
                event._replace(data=thing) for event, thing in zip(events, handle.objects(), strict=True)
            ]
        return found


class RowBatcher:
    """Has rows built: by the worker where it keeps the pages, else in a thread that does nothing else.

    Args:
        worker: the worker.
        ready: takes rows of a table.
    """

    def __init__(self, worker: WorkerProcess, ready: Callable[[str, RowBatch], None]) -> None:
        self._worker, self._ready = worker, ready
        self._awaited: dict[str, _Pending] = {}  # somebody waits until these are built
        self._gathered: dict[str, _Pending] = {}  # nobody does
        self._building: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._pool = ThreadPoolExecutor(1, "stripe-rows")

    def close(self) -> None:
        """No more rows."""
        self._pool.shutdown(wait=False)

    async def add(
        self, table: Table, builder: BatchBuilder, events: list[WAEvent], handle: PageHandle | None,
        readers: int | None,
    ) -> None:
        """Take WAEvents of a table, and have rows built as soon as there are enough.

        Args:
            table: their table.
            builder: builds the rows, in this process.
            events: of one page.
            handle: of the objects, if these are digests.
            readers: how many bring pages side by side, each of which returns when its rows are built. A page waits
                for others, but not where nobody is left who could bring one. None: return at once, and have rows built
                of what was gathered when it is enough or `flush` is called.
        """
        if readers is None:
            pending = self._gathered.setdefault(table.name, _Pending(table, builder))
            pending.add(events, handle)
            if pending.size >= ROWS_PER_BATCH:
                await self.flush(table.name)
            return
        pending = self._awaited.setdefault(table.name, _Pending(table, builder))
        pending.add(events, handle)
        if pending.size >= ROWS_PER_BATCH or len(pending.pages) >= readers:
            pending.enough.set()
        async with self._building[table.name]:
            if not pending.done:
                if not pending.enough.is_set():
                    patience = asyncio.get_running_loop().call_later(LONGEST_WAIT, pending.enough.set)
                    await pending.enough.wait()
                    patience.cancel()
                self._awaited.pop(table.name)
                pending.done = True
                try:
                    await self._build(pending)
                except BaseException as error:
                    pending.error = error
                    raise
            elif pending.error is not None:
                raise pending.error

    async def flush(self, table: str) -> None:
        """Have rows built of what was gathered of a table."""
        async with self._building[table]:
            if pending := self._gathered.pop(table, None):
                await self._build(pending)

    async def _build(self, pending: _Pending) -> None:
        builder, name = pending.builder, pending.table.name
        handles = [(handle, events[0].time) for events, handle in pending.pages if handle]
        if len(handles) == len(pending.pages):
            rows = await self._worker.build_rows(table_map(pending.table), pending.pages[0][0][0].account, handles)
            if rows is not None:
                self._ready(name, RowBatch.of(rows, read=rows.num_rows, new=rows.num_rows))
                return
        else:
            for handle, _ in handles:
                self._worker.forget(handle)
        events = pending.events()
        await builder.prepare(events)
        made = await asyncio.get_running_loop().run_in_executor(self._pool, builder.build, events)
        for batch in self._some([made, *await builder.finish()]):
            self._ready(name, batch)

    @staticmethod
    def _some(batches: Iterable[RowBatch]) -> Iterable[RowBatch]:
        """Those that say something."""
        return (batch for batch in batches if batch.rows or batch.read)
