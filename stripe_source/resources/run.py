"""One reading of Stripe: the extractor, and what becomes of each table, over one or several dlt loads."""
from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import dlt

from stripe_source.destination.connection import client_of_schema
from stripe_source.destination.create_tables import empty_table
from stripe_source.destination.sql.dialect import StatementCounter
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.destination.version_index import VersionCache
from stripe_source.errors import NotPickled
from stripe_source.extract.account import AccountIdentity, identify_by, run_async
from stripe_source.extract.backfill.spans import BackfillProgress
from stripe_source.extract.checkpoint import BackfillCheckpoint, new_checkpoints, resumable
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.lists.confirm import confirm_with
from stripe_source.extract.plan import plan_lists
from stripe_source.extract.table_request import TableRequest, follow_parents
from stripe_source.options import Options
from stripe_source.resources.declaration.selection import extracted_names
from stripe_source.resources.ground.check import Ground, check_ground, emptied_tables
from stripe_source.resources.history import SUFFIX, Versions, versions_map
from stripe_source.resources.lock import hold_current_run
from stripe_source.resources.outbox import Outbox, is_taken
from stripe_source.resources.reports.reading import ReportReading
from stripe_source.resources.state import SourceState, TableState, current_load_id
from stripe_source.resources.table_load import BYTES_PER_LOAD, TableLoad
from stripe_source.resources.table_result import TableResult
from stripe_source.tables.schema_map import TableMap
from stripe_source.tables.table import Table

log = logging.getLogger("stripe_source")


@dataclass
class Extraction(NotPickled):
    """One reading of Stripe. It may take several dlt extractions, and loads.

    Args:
        options: what was asked for.
        on_page: called with (table, number of objects) as pages come, from the extractor's thread.
        on_cover: likewise, with (table, how far its list has been read).
        identity: who the key belongs to, where that was asked before.
        results: by table, once the run has begun.
        extractor: once all resources are ready.
        new_tables: tables that were made just now.
        rows_per_load: rows after which a load is cut off from the next one; None: all is one load.
        counter: counts the statements that the destination is asked.
        creating_tables: this extraction only makes `new_tables`, while the reading begins; rows go into the next one.
        ground: what may be believed of each table, once the run has begun.
        reports: those that are read beside the lists.
    """

    options: Options
    on_page: Callable[[str, int], None] | None = None
    on_cover: Callable[[str, BackfillProgress], None] | None = None
    identity: AccountIdentity | None = None
    results: dict[str, TableResult] = field(default_factory=dict)
    extractor: Extractor | None = None
    new_tables: set[str] = field(default_factory=set)
    rows_per_load: int | None = None
    creating_tables: bool = False
    ground: Ground = field(default_factory=Ground)
    counter: StatementCounter = field(default_factory=StatementCounter)
    reports: ReportReading = field(default_factory=ReportReading)
    _first: threading.Lock = field(default_factory=threading.Lock)  # dlt may read resources in several threads
    _begun: bool = False
    _identity: AccountIdentity | None = None
    _resumed: set[str] = field(default_factory=set)  # tables whose first reading goes on
    _requests: dict[str, TableRequest] = field(default_factory=dict)
    _loads: dict[str, TableLoad] = field(default_factory=dict)  # of the tables that are not done
    _histories: dict[str, Versions] = field(default_factory=dict)
    _outboxes: dict[str, Outbox] = field(default_factory=dict)
    _stored: dict[str, StoredRows] = field(default_factory=dict)
    _asked: dict[str, VersionCache] = field(default_factory=lambda: defaultdict(VersionCache))
    _refused: set[str] = field(default_factory=set)
    _left: set[str] = field(default_factory=set)  # tables whose rows nobody takes any more, though there are some
    _objects_left: dict[str, int | None] = field(default_factory=dict)
    # of the load that is under way
    _load_id: str | None = None
    _state: dict[str, Any] = field(default_factory=dict)  # dlt's, of the source
    _rows: int = 0
    _bytes: int = 0
    _cut: bool = False
    _ended: set[str] = field(default_factory=set)  # tables whose resources have ended
    _client: Any = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _unlock: Callable[[], None] | None = None

    # ---- what the load loop asks

    @property
    def unfinished(self) -> list[str]:
        """The tables that a further extraction has to go on with; empty when all is done."""
        return [*self._loads, *self.reports.unfinished]

    @property
    def near_end(self) -> bool:
        """Whether what is still to be read of long lists fits into two more loads, as far as is known."""
        left = list(self._objects_left.values())
        return bool(left) and None not in left and sum(each or 0 for each in left) <= 2 * (self.rows_per_load or 0)

    @property
    def has_written(self) -> bool:
        """Whether rows were handed over; without any, nothing of another load can be lost or doubled."""
        return bool(self.new_tables) or any(each.new or each.changed or each.gone for each in self.results.values())

    @property
    def knows_changes(self) -> bool:
        """Whether Stripe's list of events can be read, so that another run finds what has changed meanwhile."""
        return self.extractor is not None and self.extractor.feed is not None

    @property
    def went_on_from(self) -> int | None:
        """The unix second from which on changes are unknown to lists that an earlier run began to read; None: none."""
        resumed = [each.position for each in self.extractor.backfills.values() if each.gaps] if self.extractor else []
        return min(resumed, default=None)

    def stop(self) -> None:
        """Nobody goes on."""
        if self.extractor:
            self.extractor.stop()
        self.reports.stop()
        self._loads.clear()
        self._close_client()

    # ---- what resources ask, in dlt's thread

    def begin(self, state: dict[str, Any]) -> None:
        """A resource is about to begin. The first one takes the lock, and sees what the destination holds.

        Args:
            state: dlt's state of the source.

        Raises:
            Busy: another run of the pipeline is under way.
            MixedData: the dataset holds data of another account, or of the other mode.
            InvalidOption: dlt was told to write rows in a way that would double or lose some.
        """
        with self._first:
            if self._begun:
                return
            self._begin()
            try:
                self._look(state)
            except BaseException:
                if self._unlock:
                    self._unlock()
                raise
            self._begun = True

    def register(self, request: TableRequest, extracted: Collection[str], state: dict[str, Any]) -> None:
        """A resource is ready to take its table; when all that are extracted are, the reading begins.

        Args:
            request: what is wanted of the table.
            extracted: names of all resources that dlt extracts, some of which may not be ours.
            state: dlt's state of the source.
        """
        table = request.table
        if table.name not in self._requests and table.name in self.options.history:
            self.history_of(self.options.shape(table)).begin(table.name + SUFFIX in extracted)
        self._requests[table.name] = request
        marker = self.options.markers[table.name]
        self.results[table.name] = TableResult(marker=marker, hidden=table.invisible_rows)
        if self.extractor is None and self._requests.keys() >= self.options.markers.keys() & set(extracted):
            self._read(SourceState.load(state))
            self._state = state

    def _begin(self) -> None:
        if current_load_id():
            self._unlock = hold_current_run()  # first of all: where it is refused, nothing has begun
        self.extractor, self._client, self._ended, self.results = None, None, set(), {}
        self._stored, self._refused, self._left, self._resumed = {}, set(), set(), set()
        self._identity, self.ground = self.identity, Ground()
        self._asked.clear()

    def _look(self, raw: dict[str, Any]) -> None:
        """See what the destination holds, and what the state is worth."""
        load_id = current_load_id()
        if load_id is None:
            return
        source = dlt.current.source()
        extracted = extracted_names(source)
        shapes = [self.options.shape(table) for table in self.options.tables if table.name in extracted]
        ours = [name for name in source.resources.selected if name.removesuffix(SUFFIX) in self.options.markers]
        emptied = emptied_tables(source, ours, dlt.current.load_package_state()["state"])
        if self._identity is None:
            self._identity = run_async(identify_by(self.options.client))
        self.ground = check_ground(
            dlt.current.pipeline(), dlt.current.source_schema(), shapes, self.options, self._identity, raw, emptied,
            self.counter,
        )
        for note in () if self.identity else (*self.options.notes, *self.ground.notes):  # else a result has them
            log.warning(note)
        if self.ground.lost_load:
            SourceState.note_load(raw, load_id)  # it tells the next run that there was this one

    def _read(self, state: SourceState) -> None:
        """Begin to read."""
        follow_parents(self._requests)
        now = self._identity.now if self._identity else int(time.time())
        plans = plan_lists([request.table for request in self._requests.values()])
        begun = {
            name: each for name, each in state.checkpoints.items()
            if not any(self.ground.of(table).void for table in each.tables)
        }
        resumed = resumable(begun, plans, self._requests, now)
        self._resumed = {name for each in resumed.values() for name in each.tables}
        others = [plan for plan in plans if plan.table.name not in resumed]
        self.extractor = Extractor(
            self.options.client, self.options.account_id, state.account_id or self.ground.account, self._identity,
            self.on_page,
            self.stored_rows, state.feed_state.memory, self.options.lookback, with_history=self._histories.keys(),
            backfills={**new_checkpoints(others, self._requests, now), **resumed}, builds_rows=True,
            on_cover=self._covered, masks=self.options.masks,
        )
        self.extractor.start(self._requests.values())

    def _covered(self, table: str, progress: BackfillProgress) -> None:
        """How far a table has been read; comes from the extractor's thread."""
        self._objects_left[table] = progress.left
        if self.on_cover:
            self.on_cover(table, progress)

    def load_table(self, shape: TableMap, source: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
        """What the resource of a table yields, now that the reading has begun; it may go on in a further extraction.

        Args:
            shape: the map of the table.
            source: dlt's state of the source.
            own: dlt's state of the resource.
        """
        name = shape.table.name
        assert self.extractor is not None
        if name not in self._loads:
            self._loads[name] = TableLoad(
                self, self.extractor, shape, self._requests[name], TableState.load(own)
            )
        if self.creating_tables:
            yield from empty_table()
            return
        load = self._loads[name]
        yield from load.items(source, own)
        if load.done:
            del self._loads[name]

    def resume(self, state: dict[str, Any], table: str) -> int | None:
        """A resource goes on in a further extraction, which has a state of its own; the first one opens it.

        Returns:
            The second of `created` from which on its table is read; None: from the beginning.
        """
        since = self._requests[table].since
        if self._load_id == (this := current_load_id()):
            return since
        self._load_id, self._state = this, state
        self._cut, self._rows, self._bytes, self._ended = False, 0, 0, set()
        if self.extractor:
            self.extractor.channel.resume()
        return since

    def finish(self, table: str, closed: bool) -> None:
        """A resource has ended.

        Args:
            table: its table.
            closed: nobody takes it any more.
        """
        self._ended.add(table)
        if closed:
            self._loads.pop(table, None)
            self._left.add(table)
        if table not in self._loads:
            if table in self._histories:
                self._histories[table].done = self._histories[table].wanted
            if self.extractor:
                self.extractor.leave(table)
        self.reports.lists_ended = self._requests.keys() <= self._ended
        self.end_load()

    def end_load(self) -> None:
        """A resource has ended. After the last one of this load, keep how far lists came; or all is done."""
        if not self._requests.keys() <= self._ended or self.reports.taking:
            return
        if self._loads:  # all have taken what belongs to this load: keep how far the lists came, and who goes on
            assert self.extractor is not None
            state = SourceState.load(self._state)
            self._keep(state, self.extractor.checkpoints_at_cut)
            state.save(self._state)
            self._requests = {name: request for name, request in self._requests.items() if name in self._loads}
            self._close_client()
            return
        if self._requests and self.extractor and self.extractor.channel.error is None:
            state = SourceState.load(self._state)
            self._keep(state, self.extractor.checkpoints())  # of what failed
            if self.extractor.feed:
                made = self.extractor.feed.made()
                state.keep_pass(made, self._state.get("resources", {}), self.options.lookback)
            state.save(self._state)
        self._close_client()
        self._requests, self._state, self.new_tables = {}, {}, set()
        if self.reports.unfinished:
            return
        self._begun = False  # the source may be run again
        if self._unlock:
            self._unlock()

    def _keep(self, state: SourceState, checkpoints: Mapping[str, BackfillCheckpoint]) -> None:
        """Note how far first readings came, but for tables whose rows were refused, or read and not taken."""
        lost = self._refused | self._left
        state.keep_checkpoints({name: each for name, each in checkpoints.items() if lost.isdisjoint(each.tables)})

    # ---- what tables ask: see `LoadContext`

    def is_first_load(self, name: str) -> bool:
        """Whether the destination holds nothing of a table, or nothing that what is read has to be compared with."""
        return current_load_id() is None or name in self._resumed or self.ground.of(name).fresh

    def stored_rows(self, name: str) -> StoredRows | None:
        """What the destination holds of a table; None where it holds nothing, or there is no destination."""
        if name in self._stored:
            return self._stored[name]
        if name not in self._requests or self.is_first_load(name) or self.extractor is None:
            return None
        client = self._sql_client()
        shape = self.options.shape(self._requests[name].table)
        schema, account = dlt.current.source_schema(), self.extractor.account
        mask, masked = self.options.masks.of(shape.table), self.ground.of(name).masked
        stored = StoredRows(client, schema, shape, account, self.counter, self._asked[name], mask, masked)
        return self._stored.setdefault(name, stored)

    def history_of(self, shape: TableMap) -> Versions:
        """What travels between the resource of a table and the one of its history."""
        return self._histories.setdefault(shape.table.name, Versions(shape))

    def outbox_of(self, shape: TableMap) -> Outbox | None:
        """What travels between the resource of a table and the one of its WAEvents; None where nobody takes these."""
        wanted = self.options.emit == "waevents" and is_taken(shape)
        return self._outboxes.setdefault(shape.table.name, Outbox(shape)) if wanted else None

    def stored_history(self, shape: TableMap) -> StoredRows | None:
        """What the destination holds of a table's history; the table itself may have been emptied."""
        if current_load_id() is None or self.extractor is None or not self.ground.of(shape.table.name).has_history:
            return None
        return StoredRows(
            self._sql_client(), dlt.current.source_schema(), versions_map(shape), self.extractor.account,
            mask=self.options.masks.of(shape.table), masked=self.ground.of(shape.table.name).history_masked,
        )

    def count_taken(self, rows: int, size: int) -> None:
        """So many rows, and bytes of Arrow, belong to this load. When that is enough for one, it is cut off."""
        self._rows += rows
        self._bytes += size
        enough = self.rows_per_load and (self._rows >= self.rows_per_load or self._bytes >= BYTES_PER_LOAD)
        if enough and not self._cut and self.extractor and self.extractor.channel.reading:
            self._cut = True
            self.extractor.request_checkpoint()

    def refuse_table(self, table: str, error: Exception) -> None:
        """The rows of a table are not loaded: that is its verdict, and how far its list was read does not count."""
        assert self.extractor is not None
        self._refused.add(table)
        self.extractor.refuse_table(table, error)

    def confirm_gone(self, table: Table, rows: int, ids: set[str]) -> set[str]:
        """Those of some objects that Stripe does not have any more; the others' rows stay as they are.

        Args:
            table: theirs.
            rows: how many rows the destination holds of it that are not flagged as deleted.
            ids: of the objects that its list no longer shows.
        """
        assert self.extractor is not None
        found = run_async(confirm_with(self.options.client, table, ids, self.extractor.figures))
        self.extractor.notes += found.notes(table.name, rows, len(ids))
        return found.gone

    def _sql_client(self) -> Any:
        """What reads the destination back, open until all tables are taken."""
        if self._client is None:
            self._client = client_of_schema(dlt.current.pipeline(), dlt.current.source_schema())
            self._stack.enter_context(self._client)
        return self._client

    def _close_client(self) -> None:
        self._stack.close()
        self._client, self._stored = None, {}
