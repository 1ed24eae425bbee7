"""One look at some tables: Stripe is read, the destination is read back, and the rows of both are compared."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stripe_source.api.client import Client
from stripe_source.api.query import fill
from stripe_source.destination.row_reader import FEW_VALUES, RowReader, Span
from stripe_source.errors import ResourceMissing
from stripe_source.extract.account import AccountIdentity, run_async
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict
from stripe_source.options import Options
from stripe_source.rows.builder import RowBuilder
from stripe_source.rows.waevent import WAEvent
from stripe_source.tables.registry import parent_column
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.verification.differences import EXTRA, MISSING, Comparison, Difference
from stripe_source.verification.scope import parents_of, scope_of, tables_read_besides
from stripe_source.verification.scratch_db import ScratchDatabase, ScratchTable

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_WRITE = 5_000  # rows of a table that are put into the scratch database at once
EVENTS_PER_BATCH = 500  # WAEvents that are made into rows at once
OBJECTS_AT_ONCE = 16  # objects that are asked for one by one, side by side


@dataclass
class TableComparison:
    """What a look showed of one table."""

    table: Table
    span: Span
    verdict: Verdict
    stripe: ScratchTable
    held: ScratchTable
    comparison: Comparison = field(default_factory=Comparison)
    reason: str = ""


class SideLoader:
    """Takes the WAEvents of one table and puts their rows into a pile, or keeps their ids only."""

    def __init__(self, spool: ScratchDatabase, back: RowReader, table: Table, rows: bool) -> None:
        shape = table_map(table)
        self.ids: set[str] = set()
        self.pile = spool.pile(shape.columns) if rows else None
        self._maker = RowBuilder(shape, back.known(table), back.normalize) if rows else None
        self._columns = {column.name: column for column in shape.columns}
        self._spool = spool
        self._waiting: list[WAEvent] = []
        self._ready: list[pa.Table] = []

    def take(self, events: Sequence[WAEvent]) -> None:
        if self._maker is None:
            self.ids.update(str(event.data.get("id")) for event in events)
            return
        self._waiting += events
        if len(self._waiting) >= EVENTS_PER_BATCH:
            self._make()
        if sum(part.num_rows for part in self._ready) >= ROWS_PER_WRITE:
            self._put()

    def end(self) -> None:
        if self._waiting:
            self._make()
        self._put()

    def _make(self) -> None:
        assert self._maker
        self._ready.append(self._maker.rows(self._waiting).table)
        self._waiting = []

    def _put(self) -> None:
        import pyarrow as pa

        if self._ready and self._maker and self.pile:
            more = {**self._columns, **self._maker.inferred}
            self._spool.put(self.pile, pa.concat_tables(self._ready, promote_options="default"), more)
        self._ready = []


@dataclass
class ComparisonPass:
    """What all looks of one verification have in common.

    Args:
        options: what was asked for.
        back: reads the destination.
        spool: the scratch database.
        whose: who the key belongs to.
        held_account: what `_account_id` was at the first load.
        on_page: is told of pages as they come.
        requests: that were made.
    """

    options: Options
    back: RowReader
    spool: ScratchDatabase
    whose: AccountIdentity
    held_account: str | None
    on_page: Callable[[str, int], None]
    requests: int = 0

    def at(self, spans: Mapping[Table, Span]) -> dict[str, TableComparison]:
        """Look at tables, each in a span of creation times."""
        parents = dict(parents_of(spans))
        asks = {table.name: TableRequest(table, span.since, span.until) for table, span in {**parents, **spans}.items()}
        for table, span in tables_read_besides(spans, self.back).items():
            asks.setdefault(table.name, TableRequest(table, span.since, span.until))
        sides = {name: SideLoader(self.spool, self.back, ask.table, ask.table in spans) for name, ask in asks.items()}
        verdicts = self._read(asks.values(), sides)
        seen = {
            name: side.ids if side.pile is None else _ids_of(self.spool, side.pile, asks[name].table)
            for name, side in sides.items() if asks[name].table in parents
        }
        sights = {}
        with self.back:
            for table, span in spans.items():
                pile = sides[table.name].pile
                assert pile
                sights[table.name] = self._sight(table, span, verdicts[table.name], pile, seen)
        return sights

    def _read(self, asks: Iterable[TableRequest], sides: Mapping[str, SideLoader]) -> Mapping[str, Verdict]:
        reader = Extractor(self.options.client, self.options.account_id, self.held_account, self.whose, self.on_page)
        reader.start(asks)
        left = list(sides)
        try:
            while left:
                for name in list(left):  # in turn: reading halts where too much waits for any of them
                    events = reader.channel.next(name)
                    if isinstance(events, list) and events:
                        sides[name].take(events)
                    elif events is not None:
                        sides[name].end()
                        left.remove(name)
        finally:
            reader.stop()
            if reader.figures:
                self.requests += reader.figures.requests
        return reader.verdicts

    def _sight(
        self, table: Table, span: Span, verdict: Verdict, stripe: ScratchTable, seen: Mapping[str, set[str]]
    ) -> TableComparison:
        held = self.spool.pile(self.back.columns(table))
        sight = TableComparison(table, span, verdict, stripe, held, reason=verdict.reason)
        if verdict.status != "ok":
            return sight
        self.spool.once(stripe, ["_account_id", *table.key])
        scope = scope_of(table, span)
        if scope == "span":
            self.spool.within(stripe, table.time or "", span.since, span.until)
        parent = parent_column(table)
        if scope == "parents":
            assert parent
            owners = sorted(set().union(*(seen[found.parent] for found in table.placements)))
            self.spool.keep(stripe, parent, owners)
            self._hold(table, held, parent, owners)
        elif scope == "found":
            self._hold(table, held, table.key[0], self.spool.values(stripe, table.key[0]))
        else:
            for rows in self.back.rows(table, span if scope == "span" else Span()):
                self.spool.put(held, rows)
        extras, untold = self._extras(table, scope, verdict)
        sight.reason = sight.reason or untold
        comparison = self.spool.compare(table, stripe, held, extras=extras)
        outside = [d.row[0] for d in comparison.differences if d.kind == MISSING and not d.note]
        if scope == "span" and outside and len(outside) <= FEW_VALUES and table.key == ("id",):
            for rows in self.back.rows_with(table, "id", outside):  # held with another time of creation
                self.spool.put(held, rows)
            comparison = self.spool.compare(table, stripe, held, extras=extras)
        unsure = scope == "span" and (table.placements or len(table.variants) > 1)
        if (unsure or table.deletions_unknown) and table.path and not comparison.capped:
            self._confirm(table, comparison)
        sight.comparison = comparison
        if scope == "whole":
            self._orphans(table, comparison, seen)
        return sight

    def _hold(self, table: Table, held: ScratchTable, column: str, values: Sequence[str]) -> None:
        if len(values) <= FEW_VALUES:
            for rows in self.back.rows_with(table, column, values):
                self.spool.put(held, rows)
            return
        for rows in self.back.rows(table, Span()):
            self.spool.put(held, rows)
        self.spool.keep(held, column, values)

    def _extras(self, table: Table, scope: str, verdict: Verdict) -> tuple[str | None, str]:
        """The condition for rows that are too many, and why some or all of them cannot be told."""
        if not verdict.complete:
            return None, verdict.reason
        if table.deletions_unknown and not table.path:
            return None, f"rows that Stripe lacks are not looked for: {table.deletions_unknown}"
        if scope == "found":
            return None, "rows that Stripe lacks are not looked for: only a part of Stripe was read"
        if table.retention and table.time:
            oldest = self.whose.now - int(table.retention.total_seconds()) + 3600  # some leave while they are read
            return f'"{table.time}" >= {oldest * 1_000_000}', ""
        return "true", ""

    def _confirm(self, table: Table, comparison: Comparison) -> None:
        """Ask by its id for what seems to be too many: it may be what the lists that were read do not show."""
        extra = [d for d in comparison.differences if d.kind == EXTRA and not d.note]
        path = table.object_path or f"{table.path}/{{id}}"

        async def gone(client: Client, gate: asyncio.Semaphore, difference: Difference) -> bool:
            async with gate:
                try:
                    answer = await client.get(fill(path, id=str(difference.row[0])))
                except ResourceMissing:
                    return True
                return bool(answer.body.get("deleted"))

        async def ask() -> list[bool]:
            gate = asyncio.Semaphore(OBJECTS_AT_ONCE)
            async with self.options.client() as client:
                try:
                    return await asyncio.gather(*(gone(client, gate, each) for each in extra))
                finally:
                    self.requests += client.figures.requests

        there = {each.place for each, is_gone in zip(extra, run_async(ask()), strict=True) if not is_gone}
        comparison.differences = [each for each in comparison.differences if each.place not in there]

    def _orphans(self, table: Table, comparison: Comparison, seen: Mapping[str, set[str]]) -> None:
        """Say which of the rows that are too many belong to nothing."""
        for found in table.placements[:1]:
            for each in comparison.differences if found.parent in seen else ():
                if each.kind == EXTRA and not each.note and each.parent and each.parent not in seen[found.parent]:
                    each.note = f"an orphan: Stripe has no `{each.parent}` in {found.parent}"


def _ids_of(spool: ScratchDatabase, pile: ScratchTable, table: Table) -> set[str]:
    return set(spool.values(pile, "id")) if "id" in table.key else set()
