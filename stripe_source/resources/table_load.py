"""One table handed to dlt."""
from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.destination.create_tables import empty_table
from stripe_source.destination.stored_rows import Key, StoredRows, StoredVersion
from stripe_source.errors import SchemaFrozen
from stripe_source.extract.channel import CHECKPOINT, Checkpoint
from stripe_source.extract.verdicts import Verdict
from stripe_source.resources.compare import has_content
from stripe_source.resources.load_id import current_load_id
from stripe_source.rows.builder import RowBuilder
from stripe_source.rows.contract import EVOLVE, FREEZE, Contract, contract_of
from stripe_source.rows.fingerprint import fingerprint, partial_fingerprint
from stripe_source.rows.waevent import DELETE, WAEvent
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.objects import unix_second
from stripe_source.tables.registry import BY_NAME, pair_column, parent_column
from stripe_source.tables.schema_map import TableMap
from stripe_source.workers.batches import RowBatch

if TYPE_CHECKING:
    import pyarrow as pa

    from stripe_source.resources.run import Extraction

log = logging.getLogger("stripe_source")
ROWS_PER_TABLE = 32_000  # rows of one Arrow table: dlt checks the schema of each for 30 ms, whatever its length
BYTES_PER_LOAD = 64_000_000  # bytes of Arrow, after which a load is cut off however few rows they are
EVENTS_PER_BATCH = 500  # WAEvents that are made into rows at once


class TableLoad:
    """Takes one table from the reader: rows that are new or changed, then those that are gone."""

    def __init__(self, run: Extraction, shape: TableMap, since: int | None) -> None:
        assert run.extractor is not None
        self.run, self.shape, self.since = run, shape, since
        self.state: dict[str, Any] = {}
        self.own: dict[str, Any] = {}
        self.reader = run.extractor
        self.name = shape.table.name
        self.result = run.results[self.name]
        schema = dlt.current.source_schema()
        there = schema.tables.get(schema.naming.normalize_table_identifier(self.name), {}).get("columns", {})
        self.known: Mapping[str, Any] = {**shape.hints(), **there} if run.creating_tables else there
        naming = type(schema.naming)()  # without the destination's limit: names that are too long are not cut
        self.contract = _contract_of_table(run, shape, self.known)
        self.rows = RowBuilder(
            shape, self.known, lambda path: str(naming.normalize_path("__".join(path))), self.contract
        )
        self.refused = False
        self.changed_prints: set[str] = set()
        self.load_id = current_load_id()
        named = {column.name: column for column in shape.columns}
        self.key_columns = [named[name] for name in shape.table.key]
        self.held: dict[Key, StoredVersion] = {}
        self.fed = self.started = self.done = self.written = False
        self.versions = run.history_of(shape) if self.name in run.options.history else None
        if self.versions and not self.versions.wanted:
            self.versions = None  # nobody takes them
        if self.versions:
            self.versions.settle = self.rows.decide_columns
        self.seen: set[Key] = set()
        self.destination: StoredRows | None = None
        self.held_versions: StoredRows | None = None
        self.newest: tuple[int, str] | None = None
        if self.contract.tables != EVOLVE and not self.known:
            self._refuse(SchemaFrozen(self.name))
            if self.contract.tables != FREEZE:
                reason = "the destination does not have it, and the schema contract adds no table"
                self.reader.verdicts[self.name] = Verdict("not loaded", reason, False)
        plain = not self.refused and run.is_first_load(self.name) and self.versions is None and self.result.marker != "id"
        self.reader.channel.set_builder(self.name, self._make if plain else None)

    def _make(self, events: Sequence[WAEvent]) -> RowBatch:
        """Rows of a table of which nothing is held yet: new ones all. Called in the thread that makes rows."""
        try:
            return RowBatch.of(self.rows.build(events))
        except Exception as error:  # the other tables that are read from the same list go on
            self.run.refuse_table(self.name, error)
            self.refused = True
            return RowBatch.of(self.rows.build([]))

    def all(self, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
        """Arrow tables of about `BATCH` rows, and None while there is nothing yet.

        Args:
            state: of the source, in this extraction.
            own: of the resource.
        """
        self.state, self.own, self.load_id = state, own, current_load_id()
        waiting: list[WAEvent] = []
        self.ready: list[RowBatch] = []
        got: list[WAEvent] | RowBatch | Checkpoint | None = None
        while not (got == [] or isinstance(got, Checkpoint)):
            got = self.reader.channel.next(self.name)
            if got is None:
                yield None
                continue
            if not self.started:
                self.started = True
                self._look_up()
            if isinstance(got, RowBatch):
                self.result.read += got.rows
                self.result.new += 0 if self.refused else got.rows
                self._add(got)
            elif not isinstance(got, Checkpoint):
                waiting += got
            done = got == [] or got is CHECKPOINT
            if len(waiting) >= EVENTS_PER_BATCH or (done and waiting):
                for table in () if self.refused else self._made(waiting):
                    self._add(RowBatch.of(table))
                waiting = []
            if done or sum(part.rows for part in self.ready) >= ROWS_PER_TABLE:
                yield from self._settled(done)
        if got == []:
            yield from self._end()
            self.done = True

    def _add(self, made: RowBatch) -> None:
        """Rows that are ready, but for what has to be decided with those that come."""
        self.run.count_taken(made.rows, made.size)
        if not self.refused and self.contract.frozen and made.undecided is not None:
            table = self._settle(made.table)  # there is nothing to decide, and what is refused is refused at once
            if table is not None:
                self.ready.append(RowBatch.of(table))
        elif not self.refused:
            self.ready.append(made)

    def _settled(self, done: bool) -> Iterator[Any]:
        """What is ready, as one table; nothing yet where columns are to be decided and more may come."""
        import pyarrow as pa

        if not done and self.contract.frozen:
            return
        undecided = any(part.undecided for part in self.ready)
        if not done and undecided and sum(part.size for part in self.ready) < BYTES_PER_LOAD:
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
            made = self.rows.decide_columns(loose)
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
        self.run.refuse_table(self.name, error)
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
        if self.result.marker == EVENTS_MARKER and self.run.options.end is None:
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
            yield from empty_table()

    def _finish_versions(self, verdict: Verdict) -> None:
        """Hand over the versions between this run and the one before, and close those that have ended."""
        assert self.versions is not None
        between: dict[Key, list[WAEvent]] = {}
        for event in self.reader.earlier_versions.get(self.name, ()):
            between.setdefault(self._key(event), []).append(event)
        self.versions.past(between, self.rows, self.load_id)
        self.versions.finish(self.held_versions, self.load_id)
        self.own["history"] = verdict.status == "ok" or bool(self.own.get("history"))

    def _look_up(self) -> None:
        """Read what the destination holds, once the account is known."""
        self.state.setdefault("account_id", self.reader.account)
        if self.run.options.credentials.livemode is not None:
            self.state.setdefault("livemode", self.run.options.credentials.livemode)
        self.destination = None if self.run.is_first_load(self.name) else self.run.stored_rows(self.name)
        self.held_versions = self.run.stored_history(self.shape) if self.versions else None
        self.fed = self.name in self.reader.by_change_feed
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
            if event.operation == DELETE and (before is not None or not has_content(event)):
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
            made = self.rows.build([each[0] for each in known], self.load_id, [each[1] for each in known])
            self.versions.rows(made, [each[2] for each in known], [each[0].time for each in known])
        if fresh:
            made = self.rows.build(fresh, self.load_id, prints)
            if self.versions:
                self.versions.rows(made, fresh_keys, [event.time for event in fresh])
            yield made
        yield from self._flag(ended)

    def _same(self, held: str, print_: str) -> bool:
        """Whether a row is as it is held: whole, or without what the contract still keeps out."""
        return held == print_ or (self.contract.lacks and held == partial_fingerprint(print_))

    def _flag(self, keys: Mapping[Key, int]) -> Iterator[pa.Table]:
        """The last known rows of what is gone since a unix second each."""
        if self.versions:
            for key, second in keys.items():
                self.versions.end(key, second)
        if self.destination:
            for part in self.destination.deleted_rows(keys, self.load_id):
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
        whole = self.result.marker in (None, EVENTS_MARKER) or o.again(table)
        partial = self.since is not None or o.end is not None or not whole or table.retention or table.deletions_unknown
        if partial or not verdict.complete or self.destination is None:
            return
        keys = {key for key, version in self.held.items() if not version.deleted and key not in self.seen}
        yield from self._flag(dict.fromkeys(keys, self.reader.now or 0))

    def _left(self) -> Iterator[pa.Table]:
        """What the destination holds of owners whose objects were read, and that is not among them any more."""
        table, gone = self.shape.table, set[Key]()
        if self.destination is None or table.deletions_unknown or table.retention:
            return
        for column, owners in self.reader.parents_read[self.name].items():
            gone |= self.destination.keys_where(column, owners) - self.seen
        if not table.path and parent_column(table) is None:
            gone -= {(id,) for id in self._shown([key[0] for key in gone])}
        yield from self._flag(dict.fromkeys(gone, self.reader.now or 0))

    def _shown(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids that objects still show which were not read by this run."""
        shown: set[str] = set()
        for found in self.shape.table.placements if ids else ():
            parent = BY_NAME[found.parent]
            held, owner = self.run.stored_rows(parent.name), parent_column(parent)
            if held is None or found.at is None:
                continue
            column = held.column_of(found.at)
            read = self.reader.parents_read[parent.name][owner] if owner else self.reader.touched_ids[parent.name]
            if column:
                by_id = held.rows_referencing(owner or "id", column, ids)
                shown |= {id for id, owners in by_id.items() if owners - read}
        return shown

    def _move(self, verdict: Verdict) -> None:
        """Keep how far the change feed has been applied to the table."""
        self.own["refused"] = verdict.status == "no permission"
        if verdict.status != "ok" or self.reader.now is None:
            return
        began = self.reader.started_at.get(self.name, self.reader.now)
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


def _contract_of_table(run: Extraction, shape: TableMap, known: Mapping[str, Any]) -> Contract:
    """The contract of a table: what was said to dlt of its resource or the source, or the option.

    It is kept here, table by table, so that dlt is told that all may evolve: dlt would end the run at the first table
    that is frozen, and does not count what it discards.
    """
    made = dlt.current.source().resources[shape.table.name]
    said: Any = made.schema_contract or dlt.current.source_schema().settings.get("schema_contract")
    contract = contract_of(said) if said else run.options.contract
    if not any(column.description for column in shape.columns if column.path) and shape.table.name in run.new_tables | (
        set() if known else {shape.table.name}
    ):
        contract = replace(contract, columns=EVOLVE, data_type=EVOLVE)  # a private table, of which nothing is declared
    made.apply_hints(schema_contract="evolve")
    if known and contract.columns != EVOLVE:
        there: Any = {name: words for name, words in shape.hints().items() if name in known}
        made.apply_hints(columns=[])
        made.apply_hints(columns=there)
    return contract
