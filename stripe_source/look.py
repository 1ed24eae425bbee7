"""One look at some tables: Stripe is read, the destination is read back, and the rows of both are compared."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stripe_source.client import Client, fill
from stripe_source.errors import ResourceMissing
from stripe_source.listing import List, newest_first
from stripe_source.options import Options
from stripe_source.plan import Ask, Wanted, wanted
from stripe_source.readback import FEW, Readback, Span
from stripe_source.reader import Reader, Whose, wait_for
from stripe_source.rows import RowMaker
from stripe_source.schema_map import table_map
from stripe_source.spool import ALTERED, EXTRA, MISSING, Comparison, Difference, Pile, Spool
from stripe_source.table import Table
from stripe_source.tables import BY_NAME, parent_column
from stripe_source.verdict import Verdict
from stripe_source.waevent import WAEvent

if TYPE_CHECKING:
    import pyarrow as pa

PORTION = 5_000  # rows of a table that are put into the scratch database at once
PAGEFUL = 500  # WAEvents that are made into rows at once
TOGETHER = 16  # objects that are asked for one by one, side by side
EVENTS = "/v1/events"
OWNERS = "customer", "account", "invoice", "subscription"  # fields of objects that name what they belong to
MOST_EVENTS = 20_000  # since the last load; of what came before them it is not known whether it is late


@dataclass
class Sight:
    """What a look showed of one table."""

    table: Table
    span: Span
    verdict: Verdict
    stripe: Pile
    held: Pile
    comparison: Comparison = field(default_factory=Comparison)
    reason: str = ""


class _Side:
    """Takes the WAEvents of one table and puts their rows into a pile, or keeps their ids only."""

    def __init__(self, spool: Spool, back: Readback, table: Table, rows: bool) -> None:
        shape = table_map(table)
        self.ids: set[str] = set()
        self.pile = spool.pile(shape.columns) if rows else None
        self._maker = RowMaker(shape, back.known(table), back.normalize) if rows else None
        self._columns = {column.name: column for column in shape.columns}
        self._spool = spool
        self._waiting: list[WAEvent] = []
        self._ready: list[pa.Table] = []

    def take(self, events: Sequence[WAEvent]) -> None:
        if self._maker is None:
            self.ids.update(str(event.data.get("id")) for event in events)
            return
        self._waiting += events
        if len(self._waiting) >= PAGEFUL:
            self._make()
        if sum(part.num_rows for part in self._ready) >= PORTION:
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
class Look:
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
    back: Readback
    spool: Spool
    whose: Whose
    held_account: str | None
    on_page: Callable[[str, int], None]
    requests: int = 0

    def at(self, spans: Mapping[Table, Span]) -> dict[str, Sight]:
        """Look at tables, each in a span of creation times."""
        parents = dict(_parents(spans))
        asks = {table.name: Ask(table, span.since, span.until) for table, span in {**parents, **spans}.items()}
        for table, span in read_besides(spans, self.back).items():
            asks.setdefault(table.name, Ask(table, span.since, span.until))
        sides = {name: _Side(self.spool, self.back, ask.table, ask.table in spans) for name, ask in asks.items()}
        verdicts = self._read(asks.values(), sides)
        seen = {
            name: side.ids if side.pile is None else _ids(self.spool, side.pile, asks[name].table)
            for name, side in sides.items() if asks[name].table in parents
        }
        sights = {}
        with self.back:
            for table, span in spans.items():
                pile = sides[table.name].pile
                assert pile
                sights[table.name] = self._sight(table, span, verdicts[table.name], pile, seen)
        return sights

    def _read(self, asks: Iterable[Ask], sides: Mapping[str, _Side]) -> Mapping[str, Verdict]:
        reader = Reader(self.options.client, self.options.account_id, self.held_account, self.whose, self.on_page)
        reader.start(asks)
        left = list(sides)
        try:
            while left:
                for name in list(left):  # in turn: reading halts where too much waits for any of them
                    events = reader.handover.next(name)
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
        self, table: Table, span: Span, verdict: Verdict, stripe: Pile, seen: Mapping[str, set[str]]
    ) -> Sight:
        held = self.spool.pile(self.back.columns(table))
        sight = Sight(table, span, verdict, stripe, held, reason=verdict.reason)
        if verdict.status != "ok":
            return sight
        self.spool.once(stripe, ["_account_id", *table.key])
        scope = scope_of(table, span)
        if scope == "span":
            self.spool.within(stripe, table.time or "", span.since, span.until)
        parent = parent_column(table)
        if scope == "parents":
            assert parent
            owners = sorted(set().union(*(seen[found.parent] for found in table.found)))
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
        if scope == "span" and outside and len(outside) <= FEW and table.key == ("id",):
            for rows in self.back.rows_with(table, "id", outside):  # held with another time of creation
                self.spool.put(held, rows)
            comparison = self.spool.compare(table, stripe, held, extras=extras)
        unsure = scope == "span" and (table.found or len(table.passes) > 1)
        if (unsure or table.keeps) and table.path and not comparison.capped:
            self._confirm(table, comparison)
        sight.comparison = comparison
        if scope == "whole":
            self._orphans(table, comparison, seen)
        return sight

    def _hold(self, table: Table, held: Pile, column: str, values: Sequence[str]) -> None:
        if len(values) <= FEW:
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
        if table.keeps and not table.path:
            return None, f"rows that Stripe lacks are not looked for: {table.keeps}"
        if scope == "found":
            return None, "rows that Stripe lacks are not looked for: only a part of Stripe was read"
        if table.forgets and table.time:
            oldest = self.whose.now - int(table.forgets.total_seconds()) + 3600  # some leave while they are read
            return f'"{table.time}" >= {oldest * 1_000_000}', ""
        return "true", ""

    def _confirm(self, table: Table, comparison: Comparison) -> None:
        """Ask by its id for what seems to be too many: it may be what the lists that were read do not show."""
        extra = [d for d in comparison.differences if d.kind == EXTRA and not d.note]
        path = table.one or f"{table.path}/{{id}}"

        async def gone(client: Client, gate: asyncio.Semaphore, difference: Difference) -> bool:
            async with gate:
                try:
                    answer = await client.get(fill(path, id=str(difference.row[0])))
                except ResourceMissing:
                    return True
                return bool(answer.body.get("deleted"))

        async def ask() -> list[bool]:
            gate = asyncio.Semaphore(TOGETHER)
            async with self.options.client() as client:
                try:
                    return await asyncio.gather(*(gone(client, gate, each) for each in extra))
                finally:
                    self.requests += client.figures.requests

        there = {each.place for each, is_gone in zip(extra, wait_for(ask()), strict=True) if not is_gone}
        comparison.differences = [each for each in comparison.differences if each.place not in there]

    def _orphans(self, table: Table, comparison: Comparison, seen: Mapping[str, set[str]]) -> None:
        """Say which of the rows that are too many belong to nothing."""
        for found in table.found[:1]:
            for each in comparison.differences if found.parent in seen else ():
                if each.kind == EXTRA and not each.note and each.parent and each.parent not in seen[found.parent]:
                    each.note = f"an orphan: Stripe has no `{each.parent}` in {found.parent}"


def scope_of(table: Table, span: Span) -> str:
    """Which rows of the destination a look at a span of Stripe is compared with.

    "whole": all. "span": those created in it. "parents": those of the parents that were read. "found": those that
    Stripe showed, because it cannot be told which others belong to the span.
    """
    if not span:
        return "whole"
    if table.path:
        timed = "found" if table.created else "whole"  # asked for by a time that its objects do not show
        return "span" if table.time and not table.singleton else timed
    plain = all(found.id == "id" and not found.of for found in table.found)
    return "parents" if parent_column(table) and plain else "found"


def read_besides(spans: Mapping[Table, Span], back: Readback) -> dict[Table, Span]:
    """Loaded tables that are read though they are not compared, as a run reads them.

    Some name what the list of a compared table hides. Others are embedded in its objects, and what is taken out of an
    object is not in its fingerprint.
    """
    besides: dict[Table, Span] = {}
    for table, span in spans.items():
        for found in table.found:
            if found.spare and back.loaded(BY_NAME[found.parent]):
                besides.setdefault(BY_NAME[found.parent], Span())
        for child in BY_NAME.values():
            embedded = any(f.parent == table.name and f.at and not (f.expand or f.spare) for f in child.found)
            if embedded and back.loaded(child):
                besides.setdefault(child, span)
    return {table: span for table, span in besides.items() if table not in spans}


def _parents(spans: Mapping[Table, Span]) -> Iterator[tuple[Table, Span]]:
    """The tables whose ids tell which children belong to a look; their lists are read anyway."""
    for table, span in spans.items():
        if not table.path and parent_column(table):
            for found in table.found:
                parent = BY_NAME[found.parent]
                yield parent, span
                yield from _parents({parent: span})


def _ids(spool: Spool, pile: Pile, table: Table) -> set[str]:
    return set(spool.values(pile, "id")) if "id" in table.key else set()


# ---- late ones


@dataclass
class Changed:
    """Ids of what Stripe's events since the last load are about, and of what that belongs to."""

    objects: set[str] = field(default_factory=set)
    owners: set[str] = field(default_factory=set)
    whole: bool = True


async def changed_since(client: Client, since: int) -> Changed:
    """What Stripe's events tell since a second."""
    changed, read = Changed(), 0
    async for batch in newest_first(client, List(EVENTS, {}), since):
        for event in batch.objects:
            thing = (event.get("data") or {}).get("object")
            if isinstance(thing, dict):
                changed.objects.add(str(thing.get("id")))
                changed.owners.update(str(thing[name]) for name in OWNERS if isinstance(thing.get(name), str))
        read += len(batch.objects)
        if read >= MOST_EVENTS:
            changed.whole = False
            break
    return changed


def mark_late(spool: Spool, sight: Sight, loaded_at: int, changed: Changed) -> None:
    """Mark the differences that came about after the last load, as far as Stripe tells."""
    table, rows = sight.table, set[tuple[Any, ...]]()
    due: dict[str | None, set[tuple[Any, ...]]] = {}
    for watch in table.watch:
        if watch.due and watch.column:  # it changes without an event when its time comes
            came = spool.since(sight.stripe, table.key, watch.due, loaded_at)
            due = {**due, watch.column: came, "_dlt_id": came}
    names = [found.names for found in table.found if found.names]
    for pile in (sight.stripe, sight.held) if names else ():
        rows |= spool.naming(pile, table.key, names, changed.objects | changed.owners)
    for each in sight.comparison.differences:
        named = each.row in rows or each.row in due.get(each.column, ())
        each.late = each.late or named or _too_late(table, each, loaded_at, changed)


def _too_late(table: Table, difference: Difference, loaded_at: int, changed: Changed) -> bool:
    """Whether an object was created since the last load, an event is about it or its parent, or it has none at all.

    What has no events is a part of the account, such as its balance, and may change with everything that happens.
    """
    if table.singleton and changed.objects:
        return True
    if difference.kind != EXTRA and difference.created and _second(difference.created) >= loaded_at:
        return True
    rows = {str(part) for part in difference.row}
    return bool(changed.objects & rows) or difference.parent in changed.objects | changed.owners


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def agreed(first: Comparison, second: Comparison) -> Comparison:
    """What two looks both found. Where Stripe itself said something else the second time, the difference is late."""
    again = {each.place: each for each in second.differences}
    kept = []
    for each in first.differences:
        if (other := again.get(each.place)) is not None:
            other.note = other.note or each.note
            other.late = each.kind == ALTERED and each.stripe != other.stripe
            kept.append(other)
    rows = {each.row for each in kept}
    windows = first.windows
    for window in windows:
        window.differing = len({e.row for e in kept if (e.created or "all")[:7] == window.window}) if rows else 0
    return Comparison(first.stripe, first.destination, kept, windows)


# ---- cost


def expected_requests(tables: Mapping[Table, Span], back: Readback) -> int:
    """About how many requests it takes to read tables once, as far as the rows of the destination tell.

    Args:
        tables: what is read.
        back: counts rows.
    """
    bounds = {table.name: span for table, span in tables.items()}
    total, singletons = 0, set[str]()

    def below(node: Wanted, span: Span) -> int:
        cost = 0
        for found, kinds in node.children.items():
            if found.at is None and found.rest:
                owners = back.count(node.table, span, found)
                cost += owners * (back.count(BY_NAME[found.pair[0]], Span()) if found.pair else 1)
            cost += sum(below(kind, span) for kind in kinds if not kind.table.path)  # those count by their lists
        return cost

    for root in wanted(list(tables)):
        table = root.table
        if table.singleton:
            singletons.add(table.path or "")
            continue
        spans = [bounds[taker.name] for taker in root.tables() if taker.name in bounds]
        span = spans[0] if table.created and spans and all(each == spans[0] for each in spans) else Span()
        rows = back.count(table, span)
        total += max(1, -(-rows // (table.limit or 100))) + len(table.passes) - 1 + len(table.also)
        total += (rows if table.include else 0) + below(root, span)
    return total + len(singletons)
