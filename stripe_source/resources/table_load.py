"""One table handed to dlt: batches of rows, with the columns decided of what no map declares, and the verdict."""
from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import dlt
from dlt.common.schema.utils import has_table_seen_data

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.contract import EVOLVE, FREEZE, Contract, contract_of
from stripe_source.arrow_rows.values import newest_second
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.destination.create_tables import empty_table
from stripe_source.destination.stored_rows import Key, StoredRows
from stripe_source.errors import SchemaFrozen
from stripe_source.extract.account import AccountIdentity
from stripe_source.extract.channel import Checkpoint
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict
from stripe_source.options import Options
from stripe_source.resources.compare import TableComparison
from stripe_source.resources.declaration.selection import extracted_names, is_limited
from stripe_source.resources.ground.check import Ground
from stripe_source.resources.history import TO, Versions
from stripe_source.resources.marker import MARKERS, Outcome
from stripe_source.resources.outbox import Outbox, waevents_map
from stripe_source.resources.state import SourceState, TableState, current_load_id
from stripe_source.resources.table_result import TableResult
from stripe_source.tables.schema_map import TableMap
from stripe_source.tables.table import Table
from stripe_source.workers.batches import RowBatch

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("stripe_source")
PAGE = 100  # rows of one where a user has limited their number
ROWS_PER_TABLE = 32_000  # rows of one Arrow table: dlt checks the schema of each for 30 ms, whatever its length
BYTES_PER_LOAD = 64_000_000  # bytes of Arrow, after which a load is cut off however few rows they are


class LoadContext(Protocol):
    """What one table has to know of the run that it belongs to."""

    identity: AccountIdentity | None  # of a run that gives a result; None in one of dlt's own
    options: Options
    results: dict[str, TableResult]
    new_tables: set[str]
    creating_tables: bool
    ground: Ground
    outboxes: dict[str, Any]

    def is_first_load(self, name: str) -> bool:
        """Whether the destination holds nothing of a table."""

    def stored_rows(self, name: str) -> StoredRows | None:
        """What the destination holds of a table."""

    def stored_history(self, shape: TableMap) -> StoredRows | None:
        """What the destination holds of a table's history."""

    def history_of(self, shape: TableMap) -> Versions:
        """What takes the versions of a table."""

    def count_taken(self, rows: int, size: int) -> None:
        """So many rows, and bytes of Arrow, belong to the load that is under way."""

    def refuse_table(self, table: str, error: Exception) -> None:
        """The rows of a table are not loaded."""

    def confirm_gone(self, table: Table, rows: int, ids: set[str]) -> set[str]:
        """Those of these ids that Stripe does not have any more."""


class TableLoad:
    """Takes one table from the extractor: rows that are new or changed, then those that are gone.

    Args:
        run: what it belongs to.
        extractor: brings the rows.
        table_map: of the table.
        request: what is wanted of the table.
        state: what is kept of the table.
    """

    def __init__(
        self, run: LoadContext, extractor: Extractor, table_map: TableMap, request: TableRequest, state: TableState
    ) -> None:
        self._run, self._map, self._extractor = run, table_map, extractor
        self._name, self._result = table_map.table.name, run.results[table_map.table.name]
        self._marker, self._request = MARKERS[self._result.marker], request
        self._ground = run.ground.of(self._name)
        self._rewrites = self._ground.rewrite or run.options.again(table_map.table)
        self._source: Any = {}  # dlt's state of the source, and of the resource, in the extraction that is under way
        self._own: Any = {}
        self._load_id = current_load_id()
        schema = dlt.current.source_schema()
        name_in_schema = schema.naming.normalize_table_identifier(self._name)
        table = schema.tables.get(name_in_schema)
        stored = table.get("columns", {}) if table else {}
        self._made = run.creating_tables or (table is not None and has_table_seen_data(table))
        self._known: Mapping[str, Any] = {**table_map.hints(), **stored} if run.creating_tables else stored
        naming = type(schema.naming)()  # without the destination's limit: names that are too long are not cut
        self._contract = _contract_of_table(run, table_map, self._known)
        self._rows = RowBuilder(
            table_map, self._known, lambda path: str(naming.normalize_path("__".join(path))), self._contract
        )
        self._versions = self._history()
        self._limited = is_limited(self._name)
        self._frozen: SchemaFrozen | None = None
        self.refused = self.done = self._started = self._written = False
        self._ready: list[RowBatch] = []
        self._comparison = TableComparison(
            table_map, run.options, self._rows, extractor.channel, extractor.emitter, run.stored_rows,
            since=request.since, reread=request.reread, rewrites=self._rewrites,
            first_load=run.is_first_load(self._name), versions=self._versions, in_history=state.history,
            keeps_newest=self._result.marker == "id", refuse=self._tell,
            load_id=lambda: self._load_id, confirm_gone=run.confirm_gone,
        )
        wanted = waevents_map(table_map).table.name in extracted_names()
        self._outbox: Outbox | None = run.outboxes.get(self._name) if wanted else None
        self._comparison.outbox = self._outbox
        if self._contract.tables != EVOLVE and not self._known:
            self._refuse(SchemaFrozen(self._name))
            if self._contract.tables != FREEZE:
                reason = "the destination does not have it, and the schema contract adds no table"
                extractor.verdicts[self._name] = Verdict("not loaded", reason, False)
        extractor.channel.set_builder(self._name, self._comparison)

    def _history(self) -> Versions | None:
        """What takes every version of the rows; None where nobody does."""
        versions = self._run.history_of(self._map) if self._name in self._run.options.history else None
        if versions is None or not versions.wanted:
            return None
        versions.decide_columns = self._rows.decide_columns
        return versions

    def items(self, source: Any, own: Any) -> Iterator[Any]:
        """Arrow tables of about `ROWS_PER_TABLE` rows, and None while there is nothing yet.

        Args:
            source: dlt's state of the source, in this extraction.
            own: dlt's state of the resource.
        """
        self._source, self._own, self._load_id, self._ready = source, own, current_load_id(), []
        while True:
            got = self._extractor.channel.next(self._name)
            if got is None:
                yield None
                continue
            if not self._started:
                self._started = True
                self._keep_account()
            if isinstance(got, RowBatch):
                self._take(got)
            over = not isinstance(got, RowBatch)
            if over or sum(batch.rows for batch in self._ready) >= (PAGE if self._limited else ROWS_PER_TABLE):
                yield from self._tables(over)
            if isinstance(got, Checkpoint):
                return
            if over:
                yield from self._end()
                self.done = True
                return

    def _take(self, batch: RowBatch) -> None:
        """Count a batch, and keep its rows until there are enough of them."""
        result = self._result
        result.read += batch.read
        result.unchanged += batch.unchanged
        if self._comparison.refused and not self.refused:
            self._drop()
        if self.refused:
            return
        result.new += batch.new
        result.changed += batch.changed
        result.gone += batch.gone
        self._run.count_taken(batch.rows + batch.changed, batch.size)  # what replaces a row takes twice the memory
        if batch.rows and self._contract.frozen and batch.undecided is not None:
            table = self._decide_columns(batch.table)  # what is refused is refused at once
            if table is not None:
                self._ready.append(RowBatch.of(table))
        elif batch.rows:
            self._ready.append(batch)

    def _tables(self, over: bool) -> Iterator[Any]:
        """What is ready, as one table; nothing yet where columns are to be decided and more may come."""
        import pyarrow as pa

        if not over and self._contract.frozen:
            return
        undecided = any(batch.undecided for batch in self._ready)
        if not over and undecided and sum(batch.size for batch in self._ready) < BYTES_PER_LOAD:
            return
        to_decide = [batch.table for batch in self._ready if batch.undecided is not None]
        parts: list[pa.Table | None] = [batch.table for batch in self._ready if batch.undecided is None]
        self._ready = []
        if to_decide:
            parts.append(self._decide_columns(pa.concat_tables(to_decide)))
        rows = [part for part in parts if part is not None and part.num_rows]
        if rows and not self.refused:
            table = self._of_this_load(pa.concat_tables(rows, promote_options="default"))
            for first in range(0, table.num_rows, PAGE if self._limited else table.num_rows):
                yield self._with_hints(table.slice(first, PAGE) if self._limited else table)

    def _of_this_load(self, rows: pa.Table) -> pa.Table:
        """The same rows: when they were built, nobody knew which load they would travel in."""
        import pyarrow as pa

        place = rows.schema.get_field_index("_dlt_load_id")
        ids = pa.repeat(pa.scalar(self._load_id, pa.string()), rows.num_rows)
        return rows.set_column(place, rows.schema.field(place), ids)

    def _decide_columns(self, rows: pa.Table) -> pa.Table | None:
        """Rows whose columns are decided; None where the table is refused."""
        try:
            made = self._rows.decide_columns(rows)
        except Exception as error:
            self._refuse(error)
            return None
        result = self._result
        result.inferred = sorted({*result.inferred, *(column.name for column in made.inferred)})
        for name, count in made.left_out.items():
            result.left_out[name] = result.left_out.get(name, 0) + count
        result.discarded += len(made.discarded)
        changed = sum(print_ in self._comparison.changed_prints for print_ in made.discarded)
        result.changed -= changed
        result.new -= len(made.discarded) - changed
        return made.table

    def _refuse(self, error: Exception) -> None:
        """Nothing of this load is written to the table, and its verdict says why."""
        self._tell(error)
        self._drop()

    def _tell(self, error: Exception) -> None:
        self._frozen = error if isinstance(error, SchemaFrozen) else self._frozen
        self._run.refuse_table(self._name, error)

    def _drop(self) -> None:
        self.refused = self._comparison.refused = True
        self._ready = []
        self._result.new = self._result.changed = self._result.gone = 0
        if self._versions:
            self._versions.ready.clear()

    def _with_hints(self, table: pa.Table) -> Any:
        """A table with dlt's hints for the inferred columns whose type Arrow does not show."""
        self._written = True
        self._result.note_activity(newest_second(table.column("_changed_at")))
        if self._outbox:
            self._outbox.add(table, self._load_id, self._rows.inferred)
        source, state = SourceState.load(self._source), TableState.load(self._own)
        source.last_load, state.held = self._load_id, True
        source.save(self._source)
        if self._ground.fresh:
            self._note_making(state)
        self._marker.begin(state, self._request)
        state.save(self._own)
        declared = {column.name for column in self._map.columns}
        hints: Any = {
            name: self._rows.inferred[name].hint()
            for name in table.column_names
            if name not in declared and name in self._rows.inferred
        }
        if not hints:
            return table
        return dlt.mark.with_hints(table, dlt.mark.make_hints(columns=hints))

    # ---- all was read

    def _end(self) -> Iterator[Any]:
        """What is gone, and the verdict."""
        verdict = self._extractor.verdicts[self._name]
        self._result.status, self._result.reason = verdict.status, verdict.reason
        self._result.other_kinds = self._extractor.emitter.kinds_of(self._name)
        if verdict.status != "ok":
            log.warning("%s: %s. %s", self._name, verdict.status, verdict.reason)
        if self._frozen and self._run.identity is None:
            raise self._frozen  # there is no result that would say it
        if self._comparison.refused and not self.refused:
            self._drop()
        if not self.refused:
            for batch in self._comparison.gone(self._marker.finds_gone, verdict.complete):
                self._result.gone += batch.gone
                yield self._with_hints(self._of_this_load(batch.table))
            if self._versions:
                self._finish_history(verdict)
        self._keep_state(verdict)
        figures: dict[str, Any] = {
            word: value for word, value in vars(self._result).items() if isinstance(value, int)
        }
        said = {} if verdict.status == "ok" else {"status": verdict.status, "reason": verdict.reason}
        dlt.current.resource_metrics().update({**figures, **said})
        if not self._made and not self._written and not (self.refused and self._contract.tables != EVOLVE):
            yield from empty_table()

    def _keep_account(self) -> None:
        """Note whose data it is, once that is known."""
        source, options = SourceState.load(self._source), self._run.options
        source.account_id = source.account_id or self._extractor.account
        source.owner = source.owner or self._run.ground.owner
        if source.livemode is None:
            source.livemode = options.credentials.livemode
        source.save(self._source)

    def _keep_state(self, verdict: Verdict) -> None:
        """Note how far the table was read."""
        extractor, state = self._extractor, TableState.load(self._own)
        by_feed, newest = self._comparison.by_change_feed, self._comparison.newest
        self._marker.keep(state, self._run.options, Outcome(
            verdict, extractor.now, extractor.started_at(self._name), by_feed, newest, self._note_resync(),
            since=self._request.since, until=self._request.until,
        ))
        state.failed_parents = verdict.failed_parents_by_table()
        if self._versions and not self.refused:
            state.history = verdict.status == "ok" or state.history
        if self._load_id:
            state.held = self._written or not self._ground.fresh
        again = not self._ground.void or (self._request.since, self._request.until) == (None, None)
        if (verdict.status == "ok" or verdict.failed_parents) and not self.refused and again:
            self._note_making(state)
            state.rewrite = state.rewrite and not self._rewrites
        state.save(self._own)

    def _note_resync(self) -> tuple[int, int | None] | None:
        """Count what was compared again beside the change feed; answers with when, and where the next span begins."""
        found = self._extractor.feed.resynced.get(self._name) if self._extractor.feed else None
        if found is None:
            return None
        self._result.resync_compared, self._result.resync_different = found.compared, found.different
        return found.at, found.following

    def _note_making(self, state: TableState) -> None:
        """Note how the rows that the destination holds were made."""
        if making := self._run.ground.making.get(self._name):
            state.api_version, state.map_hash = making.api_version, making.map_hash

    def _finish_history(self, verdict: Verdict) -> None:
        """Hand over the versions between this run and the one before, and close those that have ended."""
        assert self._versions is not None
        between: dict[Key, list[WAEvent]] = {}
        for event in self._extractor.emitter.earlier_versions.get(self._name, ()):
            between.setdefault(self._comparison.key(event), []).append(event)
        self._versions.add_earlier(between, self._rows, self._load_id)
        stored, table = self._run.stored_history(self._map), self._map.table
        whole = verdict.complete and (self._request.since, self._request.until) == (None, None)
        if stored and self._ground.fresh and whole and not (table.retention or table.deletions_unknown):
            opened = [key[:-1] for key in stored.keys_where(TO, [None])]  # of rows that the table itself has lost
            self._versions.end_others(opened, self._extractor.now or 0)
        self._versions.finish(stored, self._load_id)


def _contract_of_table(run: LoadContext, table_map: TableMap, known: Mapping[str, Any]) -> Contract:
    """The contract of a table: what was said to dlt of its resource or the source, or the option.

    It is kept here, table by table, so that dlt is told that all may evolve: dlt would end the run at the first table
    that is frozen, and does not count what it discards.
    """
    name = table_map.table.name
    resource = dlt.current.source().resources.get(name)  # None: a transformer alone takes it, and it is no table
    said: Any = (resource and resource.schema_contract) or dlt.current.source_schema().settings.get("schema_contract")
    contract = contract_of(said) if said else run.options.contract
    declared = any(column.description for column in table_map.columns if column.path)
    if not declared and name in run.new_tables | (set() if known else {name}):
        contract = replace(contract, columns=EVOLVE, data_type=EVOLVE)  # a private table, of which nothing is declared
    if resource is None:
        return contract
    resource.apply_hints(schema_contract="evolve")
    if known and contract.columns != EVOLVE:
        kept: Any = {column: words for column, words in table_map.hints().items() if column in known}
        resource.apply_hints(columns=[])
        resource.apply_hints(columns=kept)
    return contract
