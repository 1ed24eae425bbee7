"""What the resource of a report does when dlt asks for its items: files of report runs become rows of this load."""
from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.c_library import give_memory_back
from stripe_source.errors import StripeSourceError
from stripe_source.extract.reports.intervals import Interval, days_within, moved
from stripe_source.extract.reports.payouts import Payout
from stripe_source.extract.reports.reader import ReportFile, ReportReader
from stripe_source.extract.verdicts import Verdict, verdict_for
from stripe_source.resources.reports.reading import ReportState, parameters_key
from stripe_source.resources.run import Extraction
from stripe_source.resources.state import SourceState, current_load_id
from stripe_source.resources.table_result import TableResult
from stripe_source.tables.schema_map import MISFIT, table_map
from stripe_source.tables.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

CANNOT_REPLACE = (
    "this destination cannot put the rows of a report in the place of those of the same interval: load reports into "
    "one that deletes and inserts, such as DuckDB or Postgres"
)
PATIENCE = 0.05  # seconds that a resource waits where nothing is there, and nothing else is read


def read_report(run: Extraction, table: Table) -> Iterator[Any]:
    """The items of the resource of a report: rows as Arrow tables; None while Stripe has none yet.

    Args:
        run: the reading that all resources share.
        table: the entry of the report.
    """
    name, reports = table.name, run.reports
    source, own = dlt.current.source_state(), dlt.current.resource_state()
    request = None
    if name not in reports.unfinished:
        run.begin(source)
        run.results[name] = result = TableResult(marker=run.options.report_options.interval)
        if current_load_id() and not _replaces_rows():
            result.status, result.reason = "failed", CANNOT_REPLACE
            yield None
            run.end_load()
            return
        state = ReportState.load(own)
        if state.held and name in run.ground.emptied_reports:
            state = ReportState()
        request = state.request(table, parameters_key(run.options, table), again=run.options.again(table))
        state.save(own)
    load = _Load(run, reports.open(run.options, request, name, current_load_id()), table, source, own)
    try:
        yield None  # others begin, before the first one may end
        if name not in dlt.current.source_schema().data_table_names(seen_data_only=True):
            yield from empty_report(table)
        if run.creating_tables:
            load.done = False
        else:
            yield from load.items()
    finally:
        reports.close(name, load.done)
        run.end_load()


def _replaces_rows() -> bool:
    """Whether the destination can delete the rows of an interval and insert others."""
    destination = dlt.current.pipeline().destination
    strategies = destination.capabilities().supported_merge_strategies if destination else None
    return "delete-insert" in (strategies or ())


def empty_report(table: Table) -> Iterator[Any]:
    """The items of a report's table that is to be made and gets no row: an Arrow table of its columns."""
    yield _schema(table).empty_table()


def _schema(table: Table) -> pa.Schema:
    import pyarrow as pa

    from stripe_source.extract.reports.csv_rows import arrow_type

    return pa.schema([pa.field(each.name, arrow_type(each), each.nullable) for each in table_map(table).columns])


@dataclass
class _Load:
    """The rows of a report in one load.

    Args:
        run: the reading that all resources share.
        reader: gives the files.
        table: the entry of the report.
        source: dlt's state of the source.
        own: dlt's state of the resource.
        done: no more is wanted of the report after this load; so it is where nobody takes its items to the end.
    """

    run: Extraction
    reader: ReportReader
    table: Table
    source: Any
    own: Any
    done: bool = True

    def items(self) -> Iterator[Any]:
        """Rows as Arrow tables; None while there are none yet."""
        run, name = self.run, self.table.name
        while True:
            reads_lists = len(run.unfinished) > len(run.reports.unfinished)  # who reads them waits for them
            item = self.reader.next(name, 0.0 if reads_lists else PATIENCE)
            if isinstance(item, ReportFile):
                verdict = yield from self._rows(item)
            else:
                verdict = item
            if verdict is not None:
                self._end(verdict)
                return
            if run.rows_per_load is not None and run.reports.enough:
                self.done = False
                return
            if item is None:
                yield None

    def _rows(self, file: ReportFile) -> Generator[Any, None, Verdict | None]:
        """The rows of a file; where it cannot be read, the verdict."""
        from stripe_source.extract.reports.csv_rows import CsvRows

        result = self.run.results[self.table.name]
        rows = CsvRows(file.path, {column.name: column for column in table_map(self.table).columns if column.path})
        state = ReportState.load(self.own)
        try:
            for piece in rows.tables():
                self._keep_account()
                made = self._complete(piece, file, rows.number)
                yield made
                result.read, result.new = result.read + made.num_rows, result.new + made.num_rows
                self.run.reports.count(made.num_rows)
                if self.run.on_page:
                    self.run.on_page(self.table.name, made.num_rows)
        except StripeSourceError as error:
            return verdict_for(error)
        finally:
            file.release()
            give_memory_back(with_arrow=True)  # dlt loads next, and DuckDB takes what it gets
        if rows.broken:
            return Verdict("failed", f"run `{file.run.get('id')}`, lines that cannot be read: {rows.broken[0]}", False)
        if state.held and (gone := self._gone(file.about, state.units, empty=not rows.number)):
            yield self._marks(gone)
        result.inferred = sorted({*result.inferred, *(name + MISFIT for name in rows.misfits)})
        self._keep_cursor(state, file.about, held=rows.number > 0)
        return None

    def _complete(self, piece: pa.Table, file: ReportFile, offset: int) -> pa.Table:
        """The rows with all columns of their table, in its order, and with what we note of each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        number = piece.num_rows
        run = str(file.run.get("id"))
        places = pa.array(range(offset, offset + number), pa.int64())
        own = {
            **self._constants(file.about), "_report_run_id": run, "_parameters": dumps(file.parameters),
            "_deleted": False, "_changed_at": int(file.run.get("succeeded_at") or file.run.get("created") or 0),
        }
        columns: dict[str, pa.Array] = {}
        for field in _schema(self.table):
            name = field.name
            if name == "_row":
                columns[name] = places
            elif name == "_dlt_id":
                columns[name] = pc.binary_join_element_wise(run, places.cast(pa.string()), "_")
            elif name in own:
                columns[name] = pa.repeat(_scalar(own[name], field.type), number)
            else:
                columns[name] = piece[name] if name in piece.column_names else pa.nulls(number, field.type)
        known = {*columns}
        columns.update({name: piece[name] for name in piece.column_names if name not in known})
        return pa.table(columns)

    def _constants(self, about: Interval | Payout) -> dict[str, Any]:
        """What all rows of a report have."""
        of = {"_payout_id": about.id} if isinstance(about, Payout) else {
            "_interval_start": about.start, "_interval_end": about.high}
        return {"_account_id": self._account(), "_dlt_load_id": current_load_id() or "", **of}

    def _gone(self, about: Interval | Payout, units: list[str], *, empty: bool) -> list[Interval | Payout]:
        """What there may be rows of that the report does not replace: its own where it is empty, or those of days."""
        found: list[Interval | Payout] = [about] if empty else []
        if isinstance(about, Interval) and "day" in units and self.run.options.report_options.interval == "month":
            found += [Interval(day, day, day) for day in days_within(about)]
        return found

    def _marks(self, gone: list[Interval | Payout]) -> pa.Table:
        """Rows that are not stored, and by which dlt removes those of the same intervals or payouts."""
        import pyarrow as pa

        schema = _schema(self.table)
        made = []
        for about in gone:
            words = {**self._constants(about), "_deleted": True}
            words["_dlt_id"] = "_".join(str(value) for value in words.values())
            made.append(pa.table({
                each.name: pa.array([_scalar(words[each.name], each.type)]) if each.name in words
                else pa.nulls(1, each.type) for each in schema
            }))
        return pa.concat_tables(made)

    def _keep_cursor(self, state: ReportState, about: Interval | Payout, *, held: bool) -> None:
        """Note how far the report was read."""
        options = self.run.options
        if isinstance(about, Interval):
            unit = options.report_options.interval
            state.cursor = moved(state.interval_cursor, about, unit).asdict()
            state.units = sorted({*state.units, unit})
        elif about.created:
            state.payouts = state.payout_cursor.moved(about, options.start).asdict()
        state.held = state.held or held
        state.save(self.own)

    def _account(self) -> str:
        """Value of `_account_id`."""
        ground, stored = self.run.ground, SourceState.load(self.source).account_id
        return stored or ground.account or ground.key_account or self.run.options.account_id or "self"

    def _keep_account(self) -> None:
        """Note whose data it is, and that there is a load with rows."""
        state = SourceState.load(self.source)
        state.account_id = self._account()
        state.owner = state.owner or self.run.ground.owner
        if state.livemode is None:
            state.livemode = self.run.options.credentials.livemode
        state.last_load = current_load_id() or state.last_load
        state.save(self.source)

    def _end(self, verdict: Verdict) -> None:
        """Note how the reading ended."""
        result = self.run.results[self.table.name]
        result.status, result.reason = verdict.status, verdict.reason
        said = {} if verdict.status == "ok" else {"status": verdict.status, "reason": verdict.reason}
        dlt.current.resource_metrics().update({"read": result.read, "new": result.new, **said})


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        value = int(value) * 1_000_000
    return pa.scalar(value, kind)
