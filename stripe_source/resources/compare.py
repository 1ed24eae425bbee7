"""What was read of a table beside what the destination holds of it: new, changed, unchanged, gone.

One `TableComparison` compares one table in one run. Its WAEvents come in the extractor's event loop, rows are built in
the thread that does nothing else, and what is asked of the destination is answered by dlt's thread.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.fingerprint import fingerprint, partial_fingerprint
from stripe_source.arrow_rows.waevent import DELETE, INSERT, UPDATE, WAEvent
from stripe_source.destination.fingerprint_index import FingerprintIndex
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.destination.version_index import Key, StoredVersion
from stripe_source.extract.channel import Channel
from stripe_source.extract.emitter import Emitter
from stripe_source.extract.lists.confirm import can_be_confirmed
from stripe_source.options import Options
from stripe_source.resources.history import Versions
from stripe_source.resources.outbox import Outbox
from stripe_source.tables.objects import unix_second
from stripe_source.tables.registry import BY_NAME, pair_column, parent_column
from stripe_source.tables.schema_map import TableMap
from stripe_source.tables.table import Table
from stripe_source.workers.batches import RowBatch

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class _Compared:
    """What one batch of WAEvents comes to."""

    events: list[WAEvent] = field(default_factory=list)  # whose rows are written
    prints: list[str] = field(default_factory=list)  # their fingerprints
    keys: list[Key] = field(default_factory=list)
    unwritten: list[tuple[WAEvent, str, Key]] = field(default_factory=list)  # unchanged, and not in the history yet
    rewritten: list[tuple[WAEvent, str]] = field(default_factory=list)  # unchanged, and written all the same
    ended: dict[Key, int] = field(default_factory=dict)  # by key: since which unix second the object is gone
    new: int = 0
    changed: int = 0
    unchanged: int = 0


class TableComparison:
    """Builds the rows of one table that are new or changed, and finds those that are gone.

    Args:
        table_map: of the table.
        options: of the source.
        builder: builds the rows.
        channel: has questions to the destination answered.
        emitter: knows what was read.
        stored_rows: what the destination holds of a table; asked in dlt's thread.
        since: unix second from which on the table is read; None: from the beginning.
        reread: it is read from the beginning, whatever is known of it.
        rewrites: rows are written that the destination holds as they are.
        first_load: the destination holds nothing that what is read has to be compared with.
        versions: takes every version of a row, where a history is kept.
        in_history: the history holds a version of every row already.
        keeps_newest: note the newest object that is older than the lookback.
        refuse: told of an error that keeps the table's rows from being loaded.
        load_id: the dlt load that is under way; versions of rows travel in it.
        confirm_gone: says which of these ids Stripe really does not have any more, before their rows are flagged.
        masked: all rows that are stored are written again, also those that were not read.
    """

    def __init__(
        self, table_map: TableMap, options: Options, builder: RowBuilder, channel: Channel, emitter: Emitter,
        stored_rows: Callable[[str], StoredRows | None], *, since: int | None, reread: bool, rewrites: bool,
        first_load: bool,
        versions: Versions | None, in_history: bool, keeps_newest: bool, refuse: Callable[[Exception], None],
        load_id: Callable[[], str | None], confirm_gone: Callable[[Table, int, set[str]], set[str]], masked: bool,
    ) -> None:
        self._map, self._table, self._options, self._builder = table_map, table_map.table, options, builder
        self._channel, self._emitter, self._stored_rows, self._since = channel, emitter, stored_rows, since
        self._reread, self._rewrites = reread, rewrites
        self._versions, self._in_history, self._keeps_newest = versions, in_history, keeps_newest
        self._refuse, self._load_id, self._confirm_gone = refuse, load_id, confirm_gone
        self.refused = False
        self.compares = not first_load or versions is not None  # else the worker may build the rows
        named = {column.name: column for column in table_map.columns}
        self._key_columns = [named[name] for name in self._table.key]
        self._asks = not first_load
        self._looked_up = False
        self._whole = FingerprintIndex()  # of a table that is read whole
        self._known: dict[Key, StoredVersion] = {}  # of the batch of one that the change feed tells of
        self._seen: set[Key] = set()  # that were read, where owners may leave some out
        self._ended: dict[Key, int] = {}
        self._masked, self._flagged = masked, set[Key]()  # keys of rows that were flagged now
        self._passed_over: set[Key] = set()  # keys that were seen, and whose rows stay as they are
        self.changed_prints: set[str] = set()  # of rows that were there in another version, where some may be discarded
        self.newest: tuple[int, str] | None = None
        self.outbox: Outbox | None = None  # is told what happens to rows

    @property
    def by_change_feed(self) -> bool:
        """Whether the change feed tells what changed in the table, and it is not read whole."""
        return self._table.name in self._emitter.by_change_feed

    # ---- what `BatchBuilder` asks for

    def note(self, events: Sequence[WAEvent]) -> None:
        """Keep the newest object that is older than the lookback: where marker `id` goes on from."""
        before = (self._emitter.now or 0) - self._options.lookback
        for event in events if self._keeps_newest else ():
            created = event.data.get(self._table.time or "")
            at = created if isinstance(created, int) else 0
            if at <= before and (self.newest is None or at > self.newest[0]):
                self.newest = (at, str(event.data.get("id")))

    async def prepare(self, events: Sequence[WAEvent]) -> None:
        """Ask the destination for what it holds of these WAEvents."""
        if self._asks and not self.refused:
            keys = [self.key(event) for event in events]
            await self._channel.ask(self._table.name, lambda stored: self._look_up(stored, keys))

    def build(self, events: Sequence[WAEvent]) -> RowBatch:
        """Rows of what is new or changed."""
        compared = self._compare(events)
        counts = {"read": len(events), "new": compared.new, "changed": compared.changed,
                  "unchanged": compared.unchanged}
        try:
            if not self.refused:
                return RowBatch.of(self._rows(compared), **counts)
        except Exception as error:  # the other tables that are read from the same list go on
            self.refused = True
            self._refuse(error)
        return RowBatch.of(self._builder.build([]), read=len(events))

    async def finish(self) -> Sequence[RowBatch]:
        """The last known rows of what was found to be gone, flagged."""
        ended, self._ended = self._ended, {}
        if not ended or self.refused:
            return ()
        found = await self._channel.ask(self._table.name, lambda stored: list(stored.deleted_rows(ended, None)))
        return [RowBatch.of(rows, gone=rows.num_rows) for rows in found or ()]

    # ---- comparing

    def key(self, event: WAEvent) -> Key:
        """The key of a WAEvent's row, as text."""
        parts = []
        for column in self._key_columns:
            second = column.name == pair_column(self._table)
            value: object = (event.pair if second else event.parent) if column.path is None else event.data
            for step in column.path or ():
                value = value.get(step) if isinstance(value, dict) else None
            if value is None and column.data_type == "text":
                value = fingerprint(event, False)  # what the row has as its key, where the object has none
            parts.append(str(unix_second(value) if column.data_type == "timestamp" else value))
        return tuple(parts)

    def _look_up(self, stored: StoredRows, keys: Sequence[Key]) -> None:
        """Read the versions of these keys, or once those of the whole table; called in dlt's thread."""
        if self.by_change_feed:
            self._known = stored.versions(keys)
        elif not self._looked_up:
            self._whole = stored.fingerprints(self._since)
        self._looked_up = True

    def _see(self, key: Key) -> StoredVersion | None:
        """What is stored of a key that was read."""
        if not self.by_change_feed:
            return self._whole.see(key)
        if self._table.placements:
            self._seen.add(key)
        return self._known.get(key)

    def _compare(self, events: Sequence[WAEvent]) -> _Compared:
        found = _Compared()
        hard = self._options.deletes == "hard"
        for event in events:
            key = self.key(event) if self.compares else ()
            stored = self._see(key) if self._looked_up else None
            deleted = event.operation == DELETE
            if deleted and (stored is not None or not has_content(event)):
                if stored and not stored.deleted:
                    found.ended[key] = event.time
                    if self.outbox:
                        self.outbox.note_gone(event, stored.print)
                else:
                    self._passed_over.add(key)
                continue
            if deleted and hard:
                continue  # it came and went between two runs
            print_ = fingerprint(event, deleted)
            if stored and not stored.deleted and self._same(stored.print, print_):
                found.unchanged += 1
                if self._rewrites:
                    found.rewritten.append((event, print_))
                if self._versions and not self._in_history:
                    found.unwritten.append((event, print_, key))
                continue
            if stored is None:
                found.new += 1
            else:
                found.changed += 1
                if not self._builder.contract.evolves:
                    self.changed_prints.add(print_)
            if self._asks and not deleted:
                event = event._replace(operation=INSERT if stored is None or stored.deleted else UPDATE)
            found.events.append(event)
            found.prints.append(print_)
            found.keys.append(key)
        return found

    def _rows(self, compared: _Compared) -> pa.Table:
        """Rows of what is written; versions of rows go to the history."""
        versions = self._versions
        if self.outbox:
            self.outbox.note(compared.events, compared.prints, self._builder)
        if versions and compared.unwritten:
            events, prints, keys = zip(*compared.unwritten, strict=True)
            versions.rows(self._builder.build(events, self._load_id(), prints), keys, [event.time for event in events])
        made = self._builder.build(compared.events, self._load_id(), compared.prints)
        if versions and compared.events:
            versions.rows(made, compared.keys, [event.time for event in compared.events])
        self._end(compared.ended)
        self._ended.update(compared.ended)
        if compared.rewritten:
            events, prints = zip(*compared.rewritten, strict=True)
            made = self._builder.build([*events, *compared.events], self._load_id(), [*prints, *compared.prints])
        return made

    def _end(self, keys: Mapping[Key, int]) -> None:
        """The versions of these keys that are open in the history have ended."""
        for key, second in keys.items() if self._versions else ():
            assert self._versions
            self._versions.end(key, second)

    def _same(self, stored: str, print_: str) -> bool:
        """Whether a row is as it is stored: whole, or without what the contract still keeps out."""
        prints = [print_, *([partial_fingerprint(print_)] if self._builder.contract.lacks else [])]
        return stored in prints or stored in map(self._options.masks.of(self._table).keyed, prints)

    # ---- what is gone, when all was read; called in dlt's thread

    def gone(self, finds_gone: bool, complete: bool) -> Iterator[RowBatch]:
        """The last known rows of what the destination holds and the reading did not bring, flagged.

        Args:
            finds_gone: a full reading of the table shows all that Stripe has.
            complete: the table was read to the end.
        """
        stored = self._stored_rows(self._table.name) if self._asks else None
        if stored is None:
            return
        self._look_up(stored, ())
        keys = self._left_out_by_owners(stored) if self.by_change_feed else self._not_seen(stored, finds_gone, complete)
        now = self._emitter.now or 0
        ended = dict.fromkeys(keys, now)
        self._end(ended)
        for rows in stored.deleted_rows(ended, None):
            yield RowBatch.of(rows, gone=rows.num_rows)
        self._flagged.update(ended)

    def others(self) -> Iterator[RowBatch]:
        """The stored rows that were neither read nor flagged, where all are written again, after `gone`."""
        stored = self._stored_rows(self._table.name) if self._asks and self._masked else None

        def is_written(key: Key) -> bool:
            return key in self._flagged or (self._whole.seen(key) and key not in self._passed_over)

        for rows in stored.whole_rows(is_written, None) if stored else ():
            yield RowBatch.of(rows)

    def _not_seen(self, stored: StoredRows, finds_gone: bool, complete: bool) -> set[Key]:
        """Keys that a full reading did not bring."""
        table, whole = self._table, finds_gone or self._reread
        bounded = self._since is not None or self._options.end is not None
        if not whole or bounded or not complete or table.retention or table.deletions_unknown:
            return set()
        alive, unseen = self._whole.counts()
        gone = {key for key in stored.keys(self._since) if self._whole.unseen(key)} if unseen else set()
        if gone and can_be_confirmed(table):
            confirmed = self._confirm_gone(table, alive, {key[0] for key in gone})
            gone = {key for key in gone if key[0] in confirmed}
        return gone

    def _left_out_by_owners(self, stored: StoredRows) -> set[Key]:
        """Keys of owners whose objects were read, and that are not among them any more."""
        table, gone = self._table, set[Key]()
        if table.deletions_unknown or table.retention:
            return gone
        for column, owners in self._emitter.parents_read[table.name].items():
            gone |= stored.keys_where(column, owners) - self._seen
        if not table.path and parent_column(table) is None:
            gone -= {(id,) for id in self._shown_elsewhere([key[0] for key in gone])}
        return gone

    def _shown_elsewhere(self, ids: Sequence[str]) -> set[str]:
        """Those of these ids that objects still show which were not read by this run."""
        shown: set[str] = set()
        for found in self._table.placements if ids else ():
            parent = BY_NAME[found.parent]
            stored, owner = self._stored_rows(parent.name), parent_column(parent)
            if stored is None or found.at is None:
                continue
            column = stored.column_of(found.at)
            emitter = self._emitter
            read = emitter.parents_read[parent.name][owner] if owner else emitter.touched_ids[parent.name]
            if column:
                by_id = stored.rows_referencing(owner or "id", column, ids)
                shown |= {id for id, owners in by_id.items() if owners - read}
        return shown


def has_content(event: WAEvent) -> bool:
    """Whether there is more of an object that is gone than its id."""
    return bool(event.data.keys() - {"id", "object", "deleted"})
