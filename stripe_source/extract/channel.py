"""Between two threads: what the extractor has read, on its way to dlt, and what each has to tell the other."""
from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.destination.stored_rows import Question, StoredRows, ask_together
from stripe_source.workers.batches import BatchBuilder, RowBatch

T = TypeVar("T")
ROWS_AHEAD = 24_000  # WAEvents or rows read ahead of dlt, over all tables
BYTES_PER_ROW = 2_500  # bytes of Arrow: what a row may have that counts as one


class Checkpoint:
    """In place of more: what comes next belongs to the next load."""


CHECKPOINT = Checkpoint()


class ListPage(NamedTuple):
    """Objects of one list of Stripe, as they were read.

    Args:
        table: native name of the list's table.
        objects: untouched, with what was expanded in them.
        read_at: unix second by Stripe's clock.
    """

    table: str
    objects: list[dict[str, Any]]
    read_at: int


Batch = list[WAEvent] | RowBatch | ListPage


class Channel:
    """Takes what is read, table by table, in the extractor's event loop, and gives it to the thread of dlt.

    Args:
        stored_rows: what the destination holds of a table; asked in dlt's thread.
        builds_rows: somebody says of each table, by `set_builder`, how its rows are built before they come here.
    """

    def __init__(self, stored_rows: Callable[[str], StoredRows | None], builds_rows: bool) -> None:
        self._stored_rows, self._builds_rows = stored_rows, builds_rows
        self.open: set[str] = set()  # tables of which there is more to come
        self.checkpoint: int | None = None  # what was put after this belongs to the next load
        self.error: BaseException | None = None  # that ended the reading
        self._queues: dict[str, deque[tuple[int, Batch]]] = {}
        self._number = 0  # of what was put
        self._waiting = 0
        self._full = False
        self._builders: dict[str, BatchBuilder | None] = {}
        self._asked: set[str] = set()
        self._questions: deque[Callable[[], None]] = deque()
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room: asyncio.Event | None = None
        self._builder_set: asyncio.Event | None = None

    # ---- the side of dlt

    def begin(self, tables: Iterable[str]) -> None:
        """These tables will come."""
        self._queues = {name: deque() for name in tables}
        self.open = set(self._queues)

    def set_builder(self, table: str, builder: BatchBuilder | None) -> None:
        """Say how the rows of a table are built before they come here; None: its WAEvents are wanted."""
        self._builders[table] = builder
        if self._builder_set:
            self.call_in_extractor(self._builder_set.set)

    def next(self, table: str, patience: float = 0.05) -> Batch | Checkpoint | None:
        """What comes next of a table: None if there is nothing yet, an empty list when the table is done.

        Raises:
            StripeSourceError: the whole run failed, not this table only (the key was refused, say).
        """
        queue = self._queues[table]
        with self._news:
            idle = not queue and not self._questions and table in self.open and self._waiting == 0
            if idle and self.checkpoint is None and table in self._asked:
                self._news.wait(patience)
            self._asked.add(table)  # who is asked first does not wait: other tables have not begun
        self.answer_questions()
        with self._news:
            if queue and (self.checkpoint is None or queue[0][0] <= self.checkpoint):
                _, batch = queue.popleft()
                self._waiting -= _size(batch)
                if self._full and self._waiting < ROWS_AHEAD and self._room:
                    self._full = False
                    self.call_in_extractor(self._room.set)
                return batch
            if self.error is not None:
                raise self.error
            if queue or (self.checkpoint is not None and table in self.open):
                return CHECKPOINT
            return None if table in self.open else []

    def batches(self, tables: Iterable[str]) -> Iterator[tuple[str, Batch]]:
        """What comes of these tables, in turn, until all are done; an empty list says that one is.

        Raises:
            StripeSourceError: the whole run failed.
        """
        left = list(tables)
        while left:
            for name in list(left):  # in turn: reading halts where too much waits for any of them
                batch = self.next(name)
                if batch is None:
                    continue
                assert not isinstance(batch, Checkpoint)  # only a run of dlt asks for one
                if batch == []:
                    left.remove(name)
                yield name, batch

    def resume(self) -> None:
        """The next load has begun."""
        self.checkpoint = None

    @property
    def reading(self) -> bool:
        """Whether there is more to come."""
        return bool(self.open) and self.error is None

    def answer_questions(self) -> None:
        """Answer what the extractor wants to know of the destination, in the thread that may ask it."""
        while self._questions:
            self._questions.popleft()()

    def close_table(self, table: str) -> bool:
        """Nobody will take this table any more.

        Returns:
            Whether it was the last one.
        """
        with self._news:
            self.open.discard(table)
            self._waiting -= sum(_size(batch) for _, batch in self._queues.get(table, ()))
            self._queues[table] = deque()
            last = not self.open
            if self._room:
                self.call_in_extractor(self._room.set)
        self.set_builder(table, None)
        return last

    def call_in_extractor(self, what: Callable[[], Any]) -> None:
        """Do something in the extractor's thread, if it is still there."""
        with contextlib.suppress(RuntimeError):  # the loop may close between a question and the call
            if self._loop:
                self._loop.call_soon_threadsafe(what)

    # ---- the side of the extractor

    def enter(self) -> None:
        """Called first, in the extractor's event loop."""
        self._loop, self._room, self._builder_set = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def put(self, table: str, batch: Batch) -> None:
        """Hand something over; not where nobody takes the table any more."""
        assert self._room is not None
        with self._news:
            if table in self.open:
                self._number += 1
                self._queues[table].append((self._number, batch))
                self._waiting += _size(batch)
                self._news.notify_all()
            if self._waiting >= ROWS_AHEAD:
                self._full = True
                self._room.clear()

    async def wait_for_room(self) -> None:
        """Wait until there is room for more."""
        assert self._room is not None
        await self._room.wait() if self._waiting >= ROWS_AHEAD else await asyncio.sleep(0)

    async def wait_for_builder(self, table: str) -> BatchBuilder | None:
        """How the rows of a table are built; who takes it says so at the beginning."""
        assert self._builder_set is not None
        while self._builds_rows and table not in self._builders and table in self.open:
            self._builder_set.clear()
            if table not in self._builders:
                await self._builder_set.wait()
        return self._builders.get(table)

    def builder_of(self, table: str) -> BatchBuilder | None:
        """How the rows of a table are built, as far as that was said and it is still taken."""
        return self._builders.get(table) if table in self.open else None

    async def ask(self, table: str, question: Callable[[StoredRows], T]) -> T | None:
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
                stored = self._stored_rows(table)
                result = stored and question(stored)
            except Exception as trouble:  # the destination's, which ends the run
                error = self.error = trouble
            self.call_in_extractor(partial(settle, result, error))

        with self._news:
            self._questions.append(reply)
            self._news.notify_all()
        return await answered

    def ask_ahead(self, questions: Sequence[tuple[str, Callable[[StoredRows], Question]]]) -> None:
        """Have questions answered, in one statement, before those that are put later; the answers wait there.

        Args:
            questions: the table of each, and what makes it.
        """
        def reply() -> None:
            try:
                ask_together([make(stored) for table, make in questions if (stored := self._stored_rows(table))])
            except Exception as trouble:  # the destination's, which ends the run
                self.error = trouble

        with self._news:
            self._questions.append(reply)
            self._news.notify_all()

    def mark_checkpoint(self) -> None:
        """What was put so far belongs to this load, and what comes after to the next."""
        with self._news:
            self.checkpoint = self._number
            self._news.notify_all()

    def keep_open(self, tables: Iterable[str]) -> None:
        """Only these have more to come."""
        with self._news:
            self.open &= set(tables)
            self._news.notify_all()


def _size(batch: Batch) -> int:
    """What counts towards `ROWS_AHEAD`: WAEvents, objects, or rows, of which long or changed ones count for several."""
    if isinstance(batch, ListPage):
        return len(batch.objects)
    return max(batch.rows + batch.changed, batch.size // BYTES_PER_ROW) if isinstance(batch, RowBatch) else len(batch)
