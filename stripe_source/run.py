"""One extraction: what each resource asks of the reader, and how what it reads becomes rows for dlt."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.alone import hold
from stripe_source.backfill import Coverage
from stripe_source.contract import EVOLVE, FREEZE, Contract, contract_of
from stripe_source.destinations import suit
from stripe_source.errors import MixedData, SchemaFrozen, StripeSourceError, redact
from stripe_source.handover import CUT, Cut
from stripe_source.held import Held, Key, Version, sql_client
from stripe_source.history import SUFFIX, Versions, versions_map
from stripe_source.listing import unix_second
from stripe_source.options import Options
from stripe_source.piles import Made
from stripe_source.plan import Ask, wanted
from stripe_source.prepare import empty
from stripe_source.reader import Reader, Whose
from stripe_source.resume import KEPT, Begun, begins, goes_on, kept
from stripe_source.rows import RowMaker, fingerprint, lacking
from stripe_source.schema_map import TableMap, table_map
from stripe_source.tables import BY_NAME, pair_column, parent_column
from stripe_source.verdict import Verdict, judge
from stripe_source.waevent import DELETE, WAEvent

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("stripe_source")

CHANGES = "changes"  # the resource of the change feed; no table has that name
BATCH = 32_000  # rows of one Arrow table: dlt checks the schema of each for 30 ms, whatever its length
BULK = 64_000_000  # bytes of Arrow, after which a load is cut off however few rows they are
PAGEFUL = 500  # WAEvents that are made into rows at once


@dataclass
class TableResult:
    """What a run did to one table. Rows are counted; `unchanged` ones were read and not written again.

    `hidden` says which rows no list of Stripe's shows, so that they could not be read. `discarded` rows were kept out
    by the schema contract, and of `left_out` fields the values, so many of each.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    status: str = "ok"
    reason: str = ""
    marker: str | None = None
    inferred: list[str] = field(default_factory=list)
    hidden: str | None = None
    discarded: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
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
    on_cover: Callable[[str, Coverage], None] | None = None
    whose: Whose | None = None
    results: dict[str, TableResult] = field(default_factory=dict)
    reader: Reader | None = None
    fresh: set[str] = field(default_factory=set)
    portion: int | None = None
    making: bool = False
    _taking: dict[str, _Taking] = field(default_factory=dict)
    _taken: int = 0
    _ahead: dict[str, int | None] = field(default_factory=dict)
    _bytes: int = 0
    _parting: bool = False
    _round: str | None = None
    _sql: Any = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _free: Callable[[], None] | None = None
    _asks: dict[str, Ask] = field(default_factory=dict)
    _left: set[str] = field(default_factory=set)
    _held: dict[str, Held] = field(default_factory=dict)
    _versions: dict[str, Versions] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _state: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> list[str]:
        """The tables that a further extraction has to go on with; empty when all is done."""
        return list(self._taking)

    def covered(self, table: str, coverage: Coverage) -> None:
        """How far a table has been read; comes from the reader's thread."""
        self._ahead[table] = coverage.left
        if self.on_cover:
            self.on_cover(table, coverage)

    @property
    def at_last(self) -> bool:
        """Whether what is still to be read of long lists fits into two more loads, as far as is known."""
        ahead = list(self._ahead.values())
        return bool(ahead) and None not in ahead and sum(left or 0 for left in ahead) <= 2 * (self.portion or 0)

    def took(self, rows: int, size: int) -> None:
        """So many rows, and bytes, were taken from the reader. When that is enough for one load, it is cut off."""
        self._taken += rows
        self._bytes += size
        enough = self.portion and (self._taken >= self.portion or self._bytes >= BULK)
        if enough and not self._parting and self.reader and self.reader.handover.reading:
            self._parting = True
            self.reader.part()

    def join(self, ask: Ask, selected: Sequence[str], state: dict[str, Any]) -> None:
        """A resource is ready to take its table; when all selected ones are, the reading begins."""
        if not self._asks:
            if _load_id():
                suit(dlt.current.pipeline())
            self._free = hold() if _load_id() else None  # first of all: where it is refused, nothing has begun
            self.reader, self._sql, self._left, self.results, self._held = None, None, set(), {}, {}
            self._refused = set()
        if ask.table.name not in self._asks and ask.table.name in self.options.history:
            self.versions(table_map(ask.table)).begin(ask.table.name + SUFFIX in selected)
        self._asks[ask.table.name] = ask
        self.results[ask.table.name] = TableResult(marker=self.options.markers[ask.table.name], hidden=ask.table.hidden)
        if self.reader is None and self._asks.keys() >= {name for name in selected if not self._follows(name)}:
            self._follow()
            mode, held = self.options.credentials.livemode, state.get("livemode")
            if None not in (mode, held) and mode != held:
                raise MixedData("mode", _mode_name(held), _mode_name(mode))
            now = self.whose.now if self.whose else int(time.time())
            roots = wanted([each.table for each in self._asks.values()])
            begun = goes_on(kept(state), roots, self._asks, now)
            self.fresh |= {name for each in begun.values() for name in each.tables}
            begun = {**begins([root for root in roots if root.table.name not in begun], self._asks, now), **begun}
            self.reader = Reader(
                self.options.client, self.options.account_id, state.get("account_id"), self.whose, self.on_page,
                self.held, state.get("feed", {}).get("seen", ()), self.options.lookback,
                past=self._versions.keys(), begun=begun, made=True, on_cover=self.covered,
            )
            self._state = state
            self.reader.start(self._asks.values())

    def _follow(self) -> None:
        """Let children that were loaded before go by their parents' cursor, where the parents are read as well."""
        for name, ask in self._asks.items():
            parents = [self._asks.get(found.parent) for found in ask.table.found]
            if ask.follows and all(parent and parent.since for parent in parents):
                since = min(parent.since or 0 for parent in parents if parent)
                self._asks[name] = replace(ask, since=since)

    def _follows(self, resource: str) -> bool:
        """Whether a resource only takes what others bring."""
        return resource == CHANGES or resource in {name + SUFFIX for name in self.options.history}

    def versions(self, shape: TableMap) -> Versions:
        """What travels between the resource of a table and the one of its history."""
        return self._versions.setdefault(shape.table.name, Versions(shape))

    def held_versions(self, shape: TableMap) -> Held | None:
        """What the destination holds of a table's history."""
        of_rows = self.held(shape.table.name)
        return of_rows and of_rows.of(versions_map(shape))

    def held(self, name: str) -> Held | None:
        """What the destination holds of a table; None where it holds nothing, or there is no destination."""
        if name not in self._held:
            client = None if _load_id() is None or name in self.fresh or name not in self._asks else self.sql_client()
            if client is None or self.reader is None:
                return None
            shape = table_map(self._asks[name].table)
            self._held[name] = Held(client, dlt.current.source_schema(), shape, self.reader.account)
        return self._held[name]

    def sql_client(self) -> Any:
        """What reads the destination back, open until all tables are taken; None where there is nothing yet."""
        if self._sql is None and not dlt.current.pipeline().first_run:
            self._sql = sql_client(dlt.current.pipeline())
            self._stack.enter_context(self._sql)
        return self._sql

    def first(self, name: str) -> bool:
        """Whether the destination holds nothing of a table, or nothing that what is read has to be compared with."""
        return _load_id() is None or name in self.fresh or bool(dlt.current.pipeline().first_run)

    def since(self, table: str) -> int | None:
        """From when on a table is read; None: from the beginning."""
        return self._asks[table].since

    def take(self, shape: TableMap, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
        """What the resource of a table yields, now that the reading has begun; it may go on in a further extraction."""
        name = shape.table.name
        taking = self._taking.get(name)
        if taking is None:
            taking = self._taking[name] = _Taking(self, shape, self.since(name))
        if self.making:
            yield from empty()
            return
        yield from taking.all(state, own)
        if taking.done:
            del self._taking[name]

    def again(self, state: dict[str, Any]) -> None:
        """A resource goes on in a further extraction, which has a state of its own; the first one opens it."""
        if self._round == (this := _load_id()):
            return
        self._round, self._state = this, state
        self._parting, self._taken, self._bytes, self._left = False, 0, 0, set()
        if self.reader:
            self.reader.handover.go_on()

    def refuse(self, table: str, error: Exception) -> None:
        """The rows of a table are not loaded: that is its verdict, and how far its list was read does not count."""
        assert self.reader is not None
        self._refused.add(table)
        if isinstance(error, StripeSourceError):
            verdict = judge(error)
        else:  # what Stripe sent is untrusted: a surprise in one table must not stop the others
            log.error("rows of %s could not be made", table, exc_info=error)
            verdict = Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
        self.reader.verdicts[table] = verdict

    def leave(self, table: str, closed: bool) -> None:
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
            if self.reader:
                self.reader.leave(table)
        if self._left < self._asks.keys():
            return
        if self._taking:
            self._pause()
            return
        if self.reader and self.reader.handover.error is None:
            self._keep(self.reader.unfinished())  # of what failed
            if self.reader.feed:
                self._state["feed"] = {"at": self.reader.now, "seen": self.reader.feed.noted}
        self._close()
        self._asks, self._state, self.fresh = {}, {}, set()  # the source may be run again
        if self._free:
            self._free()

    def _pause(self) -> None:
        """All resources have taken what belongs to this load: keep how far the lists came, and who goes on."""
        assert self.reader is not None
        self._keep(self.reader.kept)
        self._asks = {name: ask for name, ask in self._asks.items() if name in self._taking}
        self._close()

    def _keep(self, begun: Mapping[str, Begun]) -> None:
        self._state.pop(KEPT, None)
        begun = {name: each for name, each in begun.items() if self._refused.isdisjoint(each.tables)}
        if begun:
            self._state[KEPT] = {name: each.asdict() for name, each in begun.items()}

    def _close(self) -> None:
        self._stack.close()
        self._sql, self._held = None, {}

    def stop(self) -> None:
        """Nobody goes on."""
        if self.reader:
            self.reader.stop()
        self._taking.clear()
        self._close()


def changes(run: Run) -> Iterator[Any]:
    """What the resource `changes` does: it keeps the change feed going while it is read, and has its figures."""
    if set(dlt.current.source().resources.selected) == {CHANGES}:
        return  # it feeds other tables, and has no rows of its own
    while run.reader is None or (not run.making and run.reader.handover.reading and run.reader.handover.cut is None):
        if run.reader:
            run.reader.handover.answer()
        yield None
    if run.reader.feed:
        dlt.current.resource_metrics().update({"events": run.reader.feed.read, "asked": run.reader.feed.asked})


def _mode_name(livemode: bool | None) -> str:
    return "live" if livemode else "test"


def read(run: Run, shape: TableMap, cursor: Any = None) -> Iterator[Any]:
    """What the resource of a table does: rows as Arrow tables; None while Stripe has not answered yet."""
    table, o = shape.table, run.options
    name, marker = table.name, o.markers[table.name]
    state, own = dlt.current.source_state(), dlt.current.resource_state()
    if name in run.left:
        run.again(state)
        yield from _taken(run, shape, state, own)
        return
    since, after_id = o.start, None
    if cursor is not None and cursor.start_value is not None:
        since = max(0, int(cursor.start_value.timestamp())) or None
    if marker == "id" and not o.again(table) and o.end is None:
        after_id, since = own.get("id"), own.get("id_created", o.start)
    feeds = marker == "events" and o.end is None
    goes_on = not o.again(table) and _reaches(own.get("start"), o.start)
    if name in o.history and not own.get("history"):
        goes_on = False  # every row is a version, for once
    position = own.get("position") if feeds and goes_on else None
    at_last = state.get("feed", {}).get("at")
    run.join(
        Ask(
            table, since, o.end, after_id, ordered=marker == "created",
            follows=marker == "parents" and bool(own.get("loaded")) and not o.again(table),
            feeds=feeds, position=position, whole_at=own.get("whole_at"), refused=bool(own.get("refused")),
            settled=position is not None and position == at_last and not own.get("whole"),
            behind=position is not None and position != at_last, first=run.first(name), again=o.again(table),
        ),
        list(dlt.current.source().resources.selected), state,
    )
    yield from _taken(run, shape, state, own)


def _taken(run: Run, shape: TableMap, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
    closed = True
    try:
        while run.reader is None:
            yield None
        yield from run.take(shape, state, own)
        closed = False
    finally:
        run.leave(shape.table.name, closed)


def _reaches(before: int | None, start: int | None) -> bool:
    """Whether what was loaded from a bound on, or from the beginning, holds all that is wanted now."""
    return before is None or (start is not None and start >= before)


class _Taking:
    """Takes one table from the reader: rows that are new or changed, then those that are gone."""

    def __init__(self, run: Run, shape: TableMap, since: int | None) -> None:
        assert run.reader is not None
        self.run, self.shape, self.since = run, shape, since
        self.state: dict[str, Any] = {}
        self.own: dict[str, Any] = {}
        self.reader = run.reader
        self.name = shape.table.name
        self.result = run.results[self.name]
        schema = dlt.current.source_schema()
        there = schema.tables.get(schema.naming.normalize_table_identifier(self.name), {}).get("columns", {})
        self.known: Mapping[str, Any] = {**shape.hints(), **there} if run.making else there
        naming = type(schema.naming)()  # without the destination's limit: names that are too long are not cut
        self.contract = _contract(run, shape, self.known)
        self.rows = RowMaker(
            shape, self.known, lambda path: str(naming.normalize_path("__".join(path))), self.contract
        )
        self.refused = False
        self.changed_prints: set[str] = set()
        self.load_id = _load_id()
        named = {column.name: column for column in shape.columns}
        self.key_columns = [named[name] for name in shape.table.key]
        self.held: dict[Key, Version] = {}
        self.fed = self.started = self.done = self.written = False
        self.versions = run.versions(shape) if self.name in run.options.history else None
        if self.versions and not self.versions.wanted:
            self.versions = None  # nobody takes them
        if self.versions:
            self.versions.settle = self.rows.settle
        self.seen: set[Key] = set()
        self.destination: Held | None = None
        self.held_versions: Held | None = None
        self.newest: tuple[int, str] | None = None
        if self.contract.tables != EVOLVE and not self.known:
            self._refuse(SchemaFrozen(self.name))
            if self.contract.tables != FREEZE:
                reason = "the destination does not have it, and the schema contract adds no table"
                self.reader.verdicts[self.name] = Verdict("not loaded", reason, False)
        plain = not self.refused and run.first(self.name) and self.versions is None and self.result.marker != "id"
        self.reader.handover.makes(self.name, self._make if plain else None)

    def _make(self, events: Sequence[WAEvent]) -> Made:
        """Rows of a table of which nothing is held yet: new ones all. Called in the thread that makes rows."""
        try:
            return Made.of(self.rows.loose(events))
        except Exception as error:  # the other tables that are read from the same list go on
            self.run.refuse(self.name, error)
            self.refused = True
            return Made.of(self.rows.loose([]))

    def all(self, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
        """Arrow tables of about `BATCH` rows, and None while there is nothing yet.

        Args:
            state: of the source, in this extraction.
            own: of the resource.
        """
        self.state, self.own, self.load_id = state, own, _load_id()
        waiting: list[WAEvent] = []
        self.ready: list[Made] = []
        got: list[WAEvent] | Made | Cut | None = None
        while not (got == [] or isinstance(got, Cut)):
            got = self.reader.handover.next(self.name)
            if got is None:
                yield None
                continue
            if not self.started:
                self.started = True
                self._look_up()
            if isinstance(got, Made):
                self.result.read += got.rows
                self.result.new += 0 if self.refused else got.rows
                self._add(got)
            elif not isinstance(got, Cut):
                waiting += got
            done = got == [] or got is CUT
            if len(waiting) >= PAGEFUL or (done and waiting):
                for table in () if self.refused else self._made(waiting):
                    self._add(Made.of(table))
                waiting = []
            if done or sum(part.rows for part in self.ready) >= BATCH:
                yield from self._settled(done)
        if got == []:
            yield from self._end()
            self.done = True

    def _add(self, made: Made) -> None:
        """Rows that are ready, but for what has to be decided with those that come."""
        self.run.took(made.rows, made.size)
        if not self.refused and self.contract.frozen and made.undecided is not None:
            table = self._settle(made.table)  # there is nothing to decide, and what is refused is refused at once
            if table is not None:
                self.ready.append(Made.of(table))
        elif not self.refused:
            self.ready.append(made)

    def _settled(self, done: bool) -> Iterator[Any]:
        """What is ready, as one table; nothing yet where columns are to be decided and more may come."""
        import pyarrow as pa

        if not done and self.contract.frozen:
            return
        undecided = any(part.undecided for part in self.ready)
        if not done and undecided and sum(part.size for part in self.ready) < BULK:
            return
        loose = [part.table for part in self.ready if part.undecided is not None]
        parts: list[pa.Table | None] = [part.table for part in self.ready if part.undecided is None]
        self.ready = []
        if loose:
            parts.append(self._settle(pa.concat_tables(loose)))
        rows = [part for part in parts if part is not None and part.num_rows]
        if rows and not self.refused:
            yield self._hinted(self._of_this_load(pa.concat_tables(rows, promote_options="default")))

    def _of_this_load(self, rows: pa.Table) -> pa.Table:
        """The same rows: those that the reader made do not know yet which load they travel in."""
        import pyarrow as pa

        place = rows.schema.get_field_index("_dlt_load_id")
        ids = pa.repeat(pa.scalar(self.load_id, pa.string()), rows.num_rows)
        return rows.set_column(place, rows.schema.field(place), ids)

    def _settle(self, loose: pa.Table) -> pa.Table | None:
        """Rows whose columns are decided; None where the table is refused."""
        try:
            made = self.rows.settle(loose)
        except Exception as error:
            self._refuse(error)
            return None
        result = self.result
        result.inferred = sorted({*result.inferred, *(column.name for column in made.inferred)})
        for name, count in made.left_out.items():
            result.left_out[name] = result.left_out.get(name, 0) + count
        result.discarded += len(made.discarded)
        changed = sum(print_ in self.changed_prints for print_ in made.discarded)
        result.changed -= changed
        result.new -= len(made.discarded) - changed
        return made.table

    def _refuse(self, error: Exception) -> None:
        """Nothing of this load is written to the table."""
        self.run.refuse(self.name, error)
        self.refused, self.ready = True, []
        self.result.new = self.result.changed = self.result.gone = 0
        if self.versions:
            self.versions.ready.clear()

    def _end(self) -> Iterator[Any]:
        """What is gone, and the verdict."""
        verdict = self.reader.verdicts[self.name]
        self.result.status, self.result.reason = verdict.status, verdict.reason
        if verdict.status != "ok":
            log.warning("%s: %s. %s", self.name, verdict.status, verdict.reason)
        elif self.result.marker == "id":
            self._remember()
        if self.result.marker == "parents":
            self.own["loaded"] = verdict.status == "ok" and verdict.complete  # else all of it is read again
        if self.result.marker == "events" and self.run.options.end is None:
            self._move(verdict)
        if not self.refused:
            for gone in self._gone(verdict):
                yield self._hinted(gone)
            if self.versions:
                self._finish_versions(verdict)
        dlt.current.resource_metrics().update(
            {word: value for word, value in vars(self.result).items() if isinstance(value, int)}
        )
        if not self.known and not self.written and not (self.refused and self.contract.tables != EVOLVE):
            yield from empty()

    def _finish_versions(self, verdict: Verdict) -> None:
        """Hand over the versions between this run and the one before, and close those that have ended."""
        assert self.versions is not None
        between: dict[Key, list[WAEvent]] = {}
        for event in self.reader.past.get(self.name, ()):
            between.setdefault(self._key(event), []).append(event)
        self.versions.past(between, self.rows, self.load_id)
        self.versions.finish(self.held_versions, self.load_id)
        self.own["history"] = verdict.status == "ok" or bool(self.own.get("history"))

    def _look_up(self) -> None:
        """Read what the destination holds, once the account is known."""
        self.state.setdefault("account_id", self.reader.account)
        if self.run.options.credentials.livemode is not None:
            self.state.setdefault("livemode", self.run.options.credentials.livemode)
        self.destination = None if self.run.first(self.name) else self.run.held(self.name)
        self.held_versions = self.run.held_versions(self.shape) if self.versions else None
        self.fed = self.name in self.reader.fed
        if self.destination and not self.fed:
            self.held = self.destination.fingerprints(self.since)

    def _key(self, event: WAEvent) -> Key:
        parts = []
        for column in self.key_columns:
            second = column.name == pair_column(self.shape.table)
            value: Any = (event.pair if second else event.parent) if column.path is None else event.data
            for step in column.path or ():
                value = value.get(step) if isinstance(value, dict) else None
            parts.append(str(unix_second(value) if column.data_type == "timestamp" else value))
        return tuple(parts)

    def _made(self, events: list[WAEvent]) -> Iterator[pa.Table]:
        fresh, prints, fresh_keys, known, result = [], [], [], [], self.result
        result.read += len(events)
        keys = [self._key(event) for event in events] if self.destination else [()] * len(events)
        if self.fed and self.destination:
            self.held.update(self.destination.versions(key for key in keys if key not in self.held))
        ended: dict[Key, int] = {}
        for event, key in zip(events, keys, strict=True):
            before = self.held.get(key) if self.destination else None
            if self.destination:
                self.seen.add(key)
            if event.operation == DELETE and (before is not None or not _tells(event)):
                if before and not before.deleted:
                    ended[key] = event.time
                continue
            deleted = event.operation == DELETE
            if deleted and self.run.options.deletes == "hard":
                continue  # it came and went between two runs
            print_ = fingerprint(event, deleted)
            if before and not before.deleted and self._same(before.print, print_):
                result.unchanged += 1
                if self.versions and not self.own.get("history"):
                    known.append((event, print_, key))
                continue
            result.new += before is None
            result.changed += before is not None
            if before is not None:
                self.changed_prints.add(print_)
            if result.marker == "id":
                self._note(event)
            fresh.append(event)
            prints.append(print_)
            fresh_keys.append(key)
        if self.versions and known:
            made = self.rows.loose([each[0] for each in known], self.load_id, [each[1] for each in known])
            self.versions.rows(made, [each[2] for each in known], [each[0].time for each in known])
        if fresh:
            made = self.rows.loose(fresh, self.load_id, prints)
            if self.versions:
                self.versions.rows(made, fresh_keys, [event.time for event in fresh])
            yield made
        yield from self._flag(ended)

    def _same(self, held: str, print_: str) -> bool:
        """Whether a row is as it is held: whole, or without what the contract still keeps out."""
        return held == print_ or (self.contract.lacks and held == lacking(print_))

    def _flag(self, keys: Mapping[Key, int]) -> Iterator[pa.Table]:
        """The last known rows of what is gone since a unix second each."""
        if self.versions:
            for key, second in keys.items():
                self.versions.end(key, second)
        if self.destination:
            for part in self.destination.gone(keys, self.load_id):
                self.result.gone += part.num_rows
                yield part

    def _hinted(self, table: pa.Table) -> Any:
        """A table with dlt's hints for the inferred columns whose type Arrow does not show."""
        self.written = True
        self.state["loaded"] = self.load_id  # rows move the state, which tells other machines that there was a load
        declared = {column.name for column in self.shape.columns}
        hints: Any = {
            name: self.rows.inferred[name].hint()
            for name in table.column_names
            if name not in declared and name in self.rows.inferred
        }
        if not hints:
            return table
        return dlt.mark.with_hints(table, dlt.mark.make_hints(columns=hints))

    def _gone(self, verdict: Verdict) -> Iterator[pa.Table]:
        """What the destination holds and a complete reading did not bring."""
        o, table = self.run.options, self.shape.table
        if self.fed:
            yield from self._left()
            return
        whole = self.result.marker in (None, "events") or o.again(table)
        partial = self.since is not None or o.end is not None or not whole or table.forgets or table.keeps
        if partial or not verdict.complete or self.destination is None:
            return
        keys = {key for key, version in self.held.items() if not version.deleted and key not in self.seen}
        yield from self._flag(dict.fromkeys(keys, self.reader.now or 0))

    def _left(self) -> Iterator[pa.Table]:
        """What the destination holds of owners whose objects were read, and that is not among them any more."""
        table, gone = self.shape.table, set[Key]()
        if self.destination is None or table.keeps or table.forgets:
            return
        for column, owners in self.reader.families[self.name].items():
            gone |= self.destination.keys_where(column, owners) - self.seen
        if not table.path and parent_column(table) is None:
            gone -= {(id,) for id in self._shown([key[0] for key in gone])}
        yield from self._flag(dict.fromkeys(gone, self.reader.now or 0))

    def _shown(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids that objects still show which were not read by this run."""
        shown: set[str] = set()
        for found in self.shape.table.found if ids else ():
            parent = BY_NAME[found.parent]
            held, owner = self.run.held(parent.name), parent_column(parent)
            if held is None or found.at is None:
                continue
            column = held.column_of(found.at)
            read = self.reader.families[parent.name][owner] if owner else self.reader.dirty[parent.name]
            if column:
                by_id = held.showing(owner or "id", column, ids)
                shown |= {id for id, owners in by_id.items() if owners - read}
        return shown

    def _move(self, verdict: Verdict) -> None:
        """Keep how far the change feed has been applied to the table."""
        self.own["refused"] = verdict.status == "no permission"
        if verdict.status != "ok" or self.reader.now is None:
            return
        began = self.reader.began.get(self.name, self.reader.now)
        self.own.update(position=began, whole=not self.fed)
        if not self.fed:
            self.own.update(whole_at=began, start=self.run.options.start)

    def _note(self, event: WAEvent) -> None:
        """Keep the newest object that is older than the lookback: where marker `id` goes on from."""
        created = event.data.get(self.shape.table.time or "")
        at = created if isinstance(created, int) else 0
        if at <= (self.reader.now or 0) - self.run.options.lookback and (self.newest is None or at > self.newest[0]):
            self.newest = (at, str(event.data.get("id")))

    def _remember(self) -> None:
        if self.newest:
            self.own["id_created"], self.own["id"] = self.newest


def _contract(run: Run, shape: TableMap, known: Mapping[str, Any]) -> Contract:
    """The contract of a table: what was said to dlt of its resource or the source, or the option.

    It is kept here, table by table, so that dlt is told that all may evolve: dlt would end the run at the first table
    that is frozen, and does not count what it discards.
    """
    made = dlt.current.source().resources[shape.table.name]
    said: Any = made.schema_contract or dlt.current.source_schema().settings.get("schema_contract")
    contract = contract_of(said) if said else run.options.contract
    if not any(column.description for column in shape.columns if column.path) and shape.table.name in run.fresh | (
        set() if known else {shape.table.name}
    ):
        contract = replace(contract, columns=EVOLVE, data_type=EVOLVE)  # a private table, of which nothing is declared
    made.apply_hints(schema_contract="evolve")
    if known and contract.columns != EVOLVE:
        there: Any = {name: words for name, words in shape.hints().items() if name in known}
        made.apply_hints(columns=[])
        made.apply_hints(columns=there)
    return contract


def _tells(event: WAEvent) -> bool:
    """Whether there is more of an object that is gone than its id."""
    return bool(event.data.keys() - {"id", "object", "deleted"})


def _load_id() -> str | None:
    """The load that this extraction belongs to; None outside a pipeline, where a resource is only iterated."""
    from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

    try:
        return str(dlt.current.load_package_state()["load_id"])
    except CurrentLoadPackageStateNotAvailable:
        return None
