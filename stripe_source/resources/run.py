"""One extraction: what each resource asks of the reader, and how what it reads becomes rows for dlt."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import dlt

from stripe_source.destination.connection import sql_client
from stripe_source.destination.create_tables import empty_table
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.errors import MixedData, StripeSourceError, redact
from stripe_source.extract.account import AccountIdentity
from stripe_source.extract.backfill.spans import BackfillProgress
from stripe_source.extract.checkpoint import (
    BACKFILL_KEY,
    BackfillCheckpoint,
    load_checkpoints,
    new_checkpoints,
    resumable,
)
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.plan import plan_lists
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict, verdict_for
from stripe_source.options import Options
from stripe_source.resources.history import SUFFIX, Versions, versions_map
from stripe_source.resources.load_id import current_load_id
from stripe_source.resources.lock import hold_current_run
from stripe_source.resources.table_load import BYTES_PER_LOAD, TableLoad
from stripe_source.resources.table_result import CHANGES, TableResult
from stripe_source.tables.schema_map import TableMap, table_map

log = logging.getLogger("stripe_source")


@dataclass
class Extraction:
    """One reading of Stripe: the reader, and what became of each table. It may take several extractions, and loads.

    Args:
        options: what was asked for.
        on_page: called with (table, number of objects) as pages come, from the reader's thread.
        on_cover: likewise, with (table, how far its list has been read).
        whose: who the key belongs to, where that was asked before.
        results: by table, once the run has begun.
        reader: once all resources are ready.
        fresh: tables that were made just now, and hold nothing.
        portion: rows after which a load is cut off from the next one; None: all is one load.
        making: this extraction only makes the `fresh` tables, while the reading begins; rows go into the next one.
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
    _taking: dict[str, TableLoad] = field(default_factory=dict)
    _taken: int = 0
    _ahead: dict[str, int | None] = field(default_factory=dict)
    _bytes: int = 0
    _parting: bool = False
    _round: str | None = None
    _sql: Any = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _free: Callable[[], None] | None = None
    _asks: dict[str, TableRequest] = field(default_factory=dict)
    _left: set[str] = field(default_factory=set)
    _held: dict[str, StoredRows] = field(default_factory=dict)
    _versions: dict[str, Versions] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _state: dict[str, Any] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[str]:
        """The tables that a further extraction has to go on with; empty when all is done."""
        return list(self._taking)

    def covered(self, table: str, coverage: BackfillProgress) -> None:
        """How far a table has been read; comes from the reader's thread."""
        self._ahead[table] = coverage.left
        if self.on_cover:
            self.on_cover(table, coverage)

    @property
    def near_end(self) -> bool:
        """Whether what is still to be read of long lists fits into two more loads, as far as is known."""
        ahead = list(self._ahead.values())
        return bool(ahead) and None not in ahead and sum(left or 0 for left in ahead) <= 2 * (self.rows_per_load or 0)

    def count_taken(self, rows: int, size: int) -> None:
        """So many rows, and bytes, were taken from the reader. When that is enough for one load, it is cut off."""
        self._taken += rows
        self._bytes += size
        enough = self.rows_per_load and (self._taken >= self.rows_per_load or self._bytes >= BYTES_PER_LOAD)
        if enough and not self._parting and self.extractor and self.extractor.channel.reading:
            self._parting = True
            self.extractor.request_checkpoint()

    def register(self, ask: TableRequest, selected: Sequence[str], state: dict[str, Any]) -> None:
        """A resource is ready to take its table; when all selected ones are, the reading begins."""
        if not self._asks:
            self._free = hold_current_run() if current_load_id() else None  # first of all: where it is refused, nothing has begun
            self.extractor, self._sql, self._left, self.results, self._held = None, None, set(), {}, {}
            self._refused = set()
        if ask.table.name not in self._asks and ask.table.name in self.options.history:
            self.history_of(table_map(ask.table)).begin(ask.table.name + SUFFIX in selected)
        self._asks[ask.table.name] = ask
        self.results[ask.table.name] = TableResult(marker=self.options.markers[ask.table.name], hidden=ask.table.invisible_rows)
        if self.extractor is None and self._asks.keys() >= {name for name in selected if not self._follows(name)}:
            self._follow()
            mode, held = self.options.credentials.livemode, state.get("livemode")
            if None not in (mode, held) and mode != held:
                raise MixedData("mode", _mode_name(held), _mode_name(mode))
            now = self.identity.now if self.identity else int(time.time())
            roots = plan_lists([each.table for each in self._asks.values()])
            begun = resumable(load_checkpoints(state), roots, self._asks, now)
            self.new_tables |= {name for each in begun.values() for name in each.tables}
            begun = {**new_checkpoints([root for root in roots if root.table.name not in begun], self._asks, now), **begun}
            self.extractor = Extractor(
                self.options.client, self.options.account_id, state.get("account_id"), self.identity, self.on_page,
                self.stored_rows, state.get("feed", {}).get("seen", ()), self.options.lookback,
                past=self._versions.keys(), begun=begun, made=True, on_cover=self.covered,
            )
            self._state = state
            self.extractor.start(self._asks.values())

    def _follow(self) -> None:
        """Let children that were loaded before go by their parents' cursor, where the parents are read as well."""
        for name, ask in self._asks.items():
            parents = [self._asks.get(found.parent) for found in ask.table.placements]
            if ask.follows_parents and all(parent and parent.since for parent in parents):
                since = min(parent.since or 0 for parent in parents if parent)
                self._asks[name] = replace(ask, since=since)

    def _follows(self, resource: str) -> bool:
        """Whether a resource only takes what others bring."""
        return resource == CHANGES or resource in {name + SUFFIX for name in self.options.history}

    def history_of(self, shape: TableMap) -> Versions:
        """What travels between the resource of a table and the one of its history."""
        return self._versions.setdefault(shape.table.name, Versions(shape))

    def stored_history(self, shape: TableMap) -> StoredRows | None:
        """What the destination holds of a table's history."""
        of_rows = self.stored_rows(shape.table.name)
        return of_rows and of_rows.for_map(versions_map(shape))

    def stored_rows(self, name: str) -> StoredRows | None:
        """What the destination holds of a table; None where it holds nothing, or there is no destination."""
        if name not in self._held:
            client = None if current_load_id() is None or name in self.new_tables or name not in self._asks else self.sql_client()
            if client is None or self.extractor is None:
                return None
            shape = table_map(self._asks[name].table)
            self._held[name] = StoredRows(client, dlt.current.source_schema(), shape, self.extractor.account)
        return self._held[name]

    def sql_client(self) -> Any:
        """What reads the destination back, open until all tables are taken; None where there is nothing yet."""
        if self._sql is None and not dlt.current.pipeline().first_run:
            self._sql = sql_client(dlt.current.pipeline())
            self._stack.enter_context(self._sql)
        return self._sql

    def is_first_load(self, name: str) -> bool:
        """Whether the destination holds nothing of a table, or nothing that what is read has to be compared with."""
        return current_load_id() is None or name in self.new_tables or bool(dlt.current.pipeline().first_run)

    def since(self, table: str) -> int | None:
        """From when on a table is read; None: from the beginning."""
        return self._asks[table].since

    def load_table(self, shape: TableMap, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
        """What the resource of a table yields, now that the reading has begun; it may go on in a further extraction."""
        name = shape.table.name
        taking = self._taking.get(name)
        if taking is None:
            taking = self._taking[name] = TableLoad(self, shape, self.since(name))
        if self.creating_tables:
            yield from empty_table()
            return
        yield from taking.all(state, own)
        if taking.done:
            del self._taking[name]

    def resume(self, state: dict[str, Any]) -> None:
        """A resource goes on in a further extraction, which has a state of its own; the first one opens it."""
        if self._round == (this := current_load_id()):
            return
        self._round, self._state = this, state
        self._parting, self._taken, self._bytes, self._left = False, 0, 0, set()
        if self.extractor:
            self.extractor.channel.resume()

    def refuse_table(self, table: str, error: Exception) -> None:
        """The rows of a table are not loaded: that is its verdict, and how far its list was read does not count."""
        assert self.extractor is not None
        self._refused.add(table)
        if isinstance(error, StripeSourceError):
            verdict = verdict_for(error)
        else:  # what Stripe sent is untrusted: a surprise in one table must not stop the others
            log.error("rows of %s could not be made", table, exc_info=error)
            verdict = Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
        self.extractor.verdicts[table] = verdict

    def finish(self, table: str, closed: bool) -> None:
        """A resource has ended.

        Args:
            table: its table.
            closed: nobody takes it any more.
        """
        self._left.add(table)
        if closed:
            self._taking.pop(table, None)
        if table not in self._taking:
            if table in self._versions:
                self._versions[table].done = self._versions[table].wanted
            if self.extractor:
                self.extractor.leave(table)
        if self._left < self._asks.keys():
            return
        if self._taking:
            self._pause()
            return
        if self.extractor and self.extractor.channel.error is None:
            self._keep(self.extractor.checkpoints())  # of what failed
            if self.extractor.feed:
                self._state["feed"] = {"at": self.extractor.now, "seen": self.extractor.feed.noted}
        self._close()
        self._asks, self._state, self.new_tables = {}, {}, set()  # the source may be run again
        if self._free:
            self._free()

    def _pause(self) -> None:
        """All resources have taken what belongs to this load: keep how far the lists came, and who goes on."""
        assert self.extractor is not None
        self._keep(self.extractor.checkpoints_at_cut)
        self._asks = {name: ask for name, ask in self._asks.items() if name in self._taking}
        self._close()

    def _keep(self, begun: Mapping[str, BackfillCheckpoint]) -> None:
        self._state.pop(BACKFILL_KEY, None)
        begun = {name: each for name, each in begun.items() if self._refused.isdisjoint(each.tables)}
        if begun:
            self._state[BACKFILL_KEY] = {name: each.asdict() for name, each in begun.items()}

    def _close(self) -> None:
        self._stack.close()
        self._sql, self._held = None, {}

    def stop(self) -> None:
        """Nobody goes on."""
        if self.extractor:
            self.extractor.stop()
        self._taking.clear()
        self._close()


def _mode_name(livemode: bool | None) -> str:
    return "live" if livemode else "test"
