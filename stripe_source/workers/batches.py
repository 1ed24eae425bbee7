"""Pages of a table become rows together: one by one, each page takes twice as long."""
from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stripe_source.rows.builder import UNDECIDED
from stripe_source.rows.waevent import WAEvent
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
    """WAEvents that were made into rows already, which needs no look at the destination where it holds nothing.

    Args:
        table: the rows, as `RowBuilder.build` makes them.
        rows: how many.
        size: bytes of Arrow, about.
        undecided: some of them have something that no declared column holds; None where all columns are decided.
    """

    table: pa.Table
    rows: int
    size: int
    undecided: bool | None

    @classmethod
    def of(cls, table: pa.Table) -> RowBatch:
        """What is known of rows, found out once: a table of 200 columns takes a while to ask."""
        place, undecided = table.schema.get_field_index(UNDECIDED), None
        if place >= 0:
            undecided = table.column(place).null_count < table.num_rows
        return cls(table, table.num_rows, table.get_total_buffer_size(), undecided)


BuildRows = Callable[[Sequence[WAEvent]], RowBatch]


class _Pending:
    """WAEvents of one table that are made into rows together, by page; of some the objects are kept elsewhere."""

    def __init__(self) -> None:
        self.pages: list[tuple[list[WAEvent], PageHandle | None]] = []
        self.size = 0
        self.enough = asyncio.Event()
        self.error: BaseException | None = None
        self.done = False

    def events(self) -> list[WAEvent]:
        """All of them, with their objects."""
        found: list[WAEvent] = []
        for events, kept in self.pages:
            found += events if kept is None else [
                event._replace(data=thing) for event, thing in zip(events, kept.objects(), strict=True)
            ]
        return found


class RowBatcher:
    """Makes rows: in a process of its own where the pages are kept there, else in a thread that does nothing else.

    Args:
        apart: that process.
        ready: takes rows of a table.
    """

    def __init__(self, apart: WorkerProcess, ready: Callable[[str, RowBatch], None]) -> None:
        self._apart, self._ready = apart, ready
        self._piles: dict[str, _Pending] = {}
        self._making: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._pool = ThreadPoolExecutor(1, "stripe-rows")

    def close(self) -> None:
        """No more rows."""
        self._pool.shutdown(wait=False)

    async def add(self, table: Table, make: BuildRows, events: list[WAEvent], kept: PageHandle | None, readers: int) -> None:
        """Make rows, and return when they are made.

        Pages wait for each other, but not where nobody is left who could bring another one.

        Args:
            table: their table.
            make: how, in this process.
            events: of one page.
            kept: where the objects are, if these are digests only.
            readers: who bring pages.
        """
        pile = self._piles.setdefault(table.name, _Pending())
        pile.pages.append((events, kept))
        pile.size += len(events)
        if pile.size >= ROWS_PER_BATCH or len(pile.pages) >= readers:
            pile.enough.set()
        async with self._making[table.name]:
            if not pile.done:
                if not pile.enough.is_set():
                    patience = asyncio.get_running_loop().call_later(LONGEST_WAIT, pile.enough.set)
                    await pile.enough.wait()
                    patience.cancel()
                self._piles.pop(table.name)
                pile.done = True
                try:
                    made = await self._made(table, make, pile)
                except BaseException as error:
                    pile.error = error
                    raise
                self._ready(table.name, made)
            elif pile.error is not None:
                raise pile.error

    async def _made(self, table: Table, make: BuildRows, pile: _Pending) -> RowBatch:
        pages = [(kept, events[0].time) for events, kept in pile.pages if kept]
        if len(pages) == len(pile.pages):
            rows = await self._apart.build_rows(table_map(table), pile.pages[0][0][0].account, pages)
            if rows is not None:
                return RowBatch.of(rows)
        else:
            for kept, _ in pages:
                self._apart.forget(kept)
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: make(pile.events()))
