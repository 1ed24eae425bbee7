"""`rows_from_waevents`: a dlt resource that reads WAEvents and yields the rows of all their tables."""
from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import dlt
from dlt.extract import DltResource

from stripe_source.arrow_rows.json_text import clean
from stripe_source.destination.connection import client_of_schema
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.dlt_patches.tables import OBJECT_HINT
from stripe_source.errors import InvalidOption
from stripe_source.options import DELETES
from stripe_source.resources.state import SourceState, current_load_id
from stripe_source.striim.changes import Change, ChangeReader
from stripe_source.striim.inputs import Entry, Source, check_source, entries
from stripe_source.striim.names import ColumnMap, EventTables
from stripe_source.striim.newest import ChangeStore, in_portions, iso_time, needs_stored, newest
from stripe_source.striim.tables import TableRows
from stripe_source.tables.schema_map import Column, TableMap
from stripe_source.waevent_forms.form import BadWAEvent

if TYPE_CHECKING:
    import pyarrow as pa

REJECTED = "_rejected"
ROWS_PER_TABLE = 10_000  # rows of one Arrow table
REASONS_KEPT = 20
_REJECTED_COLUMNS = (
    Column("file", "text", None, False, "Where it was read: a path, `-` for standard input, `iterator`."),
    Column("position", "bigint", None, False, "Its number in that, from 1."),
    Column("reason", "text", None, False, "Why it is no change of a row."),
    Column("raw", "text", None, True, "Its text, as far as there is one."),
    Column("_dlt_load_id", "text", None, False, "The dlt load that brought the row."),
)


@dataclass
class TableCounts:
    """WAEvents of one table: by operation, those older than what the destination holds, and the rows made of them."""

    selects: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    outdated: int = 0
    rows: int = 0


@dataclass
class WAEventCounts:
    """What was read.

    Args:
        read: WAEvents, bad ones too.
        rejected: bad ones.
        tables: by name in the destination.
        reasons: file, position and reason of the first bad ones.
    """

    read: int = 0
    rejected: int = 0
    tables: dict[str, TableCounts] = field(default_factory=dict)
    reasons: list[dict[str, Any]] = field(default_factory=list)

    def asdict(self) -> dict[str, Any]:
        """The counts as JSON takes them."""
        return asdict(self)


def rows_from_waevents(
    source: Source, *, columns: ColumnMap | None = None, account_id: str | None = None, deletes: str = "soft",
    format: str = "auto", counts: WAEventCounts | None = None,
) -> DltResource:
    """The rows that WAEvents are about, table by table, as a dlt resource that merges them.

    All are read first, and put in the order of their `TimeStamp` and their place; of each row its newest state is
    handed over. An update that sets some columns leaves the others as they are. What is older than the row that the
    destination holds changes nothing, so that a file may be loaded twice. What is no WAEvent goes to `_rejected`.

    Args:
        source: a path, a pattern, `-` for standard input, a list of these, or an iterable of WAEvents.
        columns: names of columns in the destination for names in WAEvents, by table as WAEvents name it, where they
            are not those that are found by themselves.
        account_id: value of `_account_id` where WAEvents do not say it; None: that of the dataset, or `self`.
        deletes: "soft": a deleted row stays, with `_deleted` and `_deleted_at`. "hard": it goes.
        format: "json", "avro", or "auto": as each file shows.
        counts: takes what was read.

    Raises:
        InvalidOption: an option has a value that it cannot have, or there is no such file.
    """
    check_waevents(source, deletes, format)
    kept = counts if counts is not None else WAEventCounts()

    def items() -> Iterator[Any]:
        with closing(WAEventReading(source, columns, account_id, deletes, format, kept)) as reading:
            yield from reading.items()

    return waevents_resource(items)


def check_waevents(source: Source, deletes: str, form: str) -> None:
    """See whether WAEvents can be read, before any is.

    Raises:
        InvalidOption: an option has a value that it cannot have, or there is no such file.
    """
    if deletes not in DELETES:
        raise InvalidOption("deletes", deletes, DELETES)
    check_source(source, form)


def waevents_resource(items: Callable[[], Iterator[Any]]) -> DltResource:
    """The resource of what a reading yields.

    Args:
        items: see `WAEventReading.items`.
    """
    def waevents() -> Iterator[Any]:
        yield from items()

    made: DltResource = dlt.resource(waevents, name="waevents", section="stripe", file_format="parquet")
    return made


class WAEventReading:
    """One reading of an input, whose rows may travel in several loads. It has a folder until it is closed.

    Args:
        source: see `rows_from_waevents`.
        columns: likewise.
        account: likewise.
        deletes: likewise.
        form: likewise, `format`.
        counts: takes what was read.
    """

    def __init__(
        self, source: Source, columns: ColumnMap | None, account: str | None, deletes: str, form: str,
        counts: WAEventCounts,
    ) -> None:
        self._tables, self._hard, self._counts, self._account = EventTables(columns), deletes == "hard", counts, account
        self._load_id: str | None = None
        self._rows: dict[str, TableRows] = {}
        self._bad: list[Entry] = []
        self._given = 0  # rows, bad ones too
        self._size = 0  # bytes of Arrow
        self._client: Any = None  # reads the destination back
        self._items = self._all(source, form)
        self.done = False

    def close(self) -> None:
        """Remove the folder."""
        self._items.close()

    def items(self, rows: int | None = None, size: int | None = None) -> Iterator[Any]:
        """Arrow tables, each with the name and hints of its table, from where the last call has ended.

        Args:
            rows: end when it was so many; None: when all were given.
            size: likewise, bytes of Arrow.
        """
        self._load_id, self._given, self._size = current_load_id(), 0, 0
        for item in self._items:
            yield item
            if (rows and self._given >= rows) or (size and self._size >= size):
                return
        self.done = True
        if self._load_id is not None:
            metrics = {"read": self._counts.read, "rejected": self._counts.rejected}
            dlt.current.resource_metrics().update(metrics)

    def _all(self, source: Source, form: str) -> Generator[Any]:
        account = self._account
        if account is None and self._load_id is not None:
            account = SourceState.load(dlt.current.source_state()).account_id
        reader = ChangeReader(self._tables, account or "self", int(time.time() * 1000))
        with ChangeStore() as store:
            for entry in entries(source, form):
                self._counts.read += 1
                try:
                    if entry.event is None:
                        raise BadWAEvent(entry.reason)
                    change = reader.read(entry.event)
                except BadWAEvent as error:
                    self._reject(entry._replace(reason=str(error)))
                    if len(self._bad) >= ROWS_PER_TABLE:
                        yield self._rejected()
                    continue
                store.add(change)
                self._note(change)
            for name, rows in self._rows.items():
                yield from self._table(store, name, rows)
        if self._bad:
            yield self._rejected()

    def _note(self, change: Change) -> None:
        name = change.table.shape.table.name
        if name not in self._rows:
            self._rows[name] = TableRows(change.table.shape)
        self._rows[name].note(change)
        counts = self._counts.tables.setdefault(name, TableCounts())
        word = f"{change.operation.lower()}s"
        setattr(counts, word, getattr(counts, word) + 1)

    def _reject(self, entry: Entry) -> None:
        self._counts.rejected += 1
        self._bad.append(entry)
        if len(self._counts.reasons) < REASONS_KEPT:
            self._counts.reasons.append({"file": entry.file, "position": entry.position, "reason": entry.reason})

    # ---- the rows

    def _table(self, store: ChangeStore, name: str, rows: TableRows) -> Iterator[Any]:
        known: Mapping[str, Any] = {}
        normalize: Callable[[str], str] = str
        if self._load_id is not None:
            schema = dlt.current.source_schema()
            known = schema.tables.get(schema.naming.normalize_table_identifier(name), {}).get("columns", {})
            normalize = schema.naming.normalize_path
        rows.decide(known, normalize)
        counts = self._counts.tables[name]
        for account in store.accounts(name):
            stored = self._stored(rows.shape, account) if known else None
            for portion in in_portions(store.by_key(name, account), ROWS_PER_TABLE):
                with self._client if stored else nullcontext():
                    held, whole = _held(stored, rows.shape, portion)
                states = []
                for key, steps in portion:
                    state, outdated = newest(steps, whole.get(key), held.get(key))
                    counts.outdated += outdated
                    if state is not None:
                        states.append({**dict(zip(rows.shape.table.key, key, strict=True)), "_account_id": account,
                                       **state})
                if states:
                    counts.rows += len(states)
                    yield self._item(rows, states)

    def _stored(self, shape: TableMap, account: str) -> StoredRows:
        if self._client is None:
            self._client = client_of_schema(dlt.current.pipeline(), dlt.current.source_schema())
        return StoredRows(self._client, dlt.current.source_schema(), shape, account)

    def _item(self, rows: TableRows, states: list[dict[str, Any]]) -> Any:
        table, inferred = rows.table(states, self._load_id or "")
        self._given += table.num_rows
        self._size += table.get_total_buffer_size()
        shape, hints = rows.shape, rows.shape.hints()
        if self._hard:
            hints["_deleted"]["hard_delete"] = True
        more = {"description": shape.description, OBJECT_HINT: ", ".join(shape.table.object)}
        return _with_hints(table, shape.table.name, shape.key, {**hints, **inferred}, more)

    def _rejected(self) -> Any:
        import pyarrow as pa

        bad, self._bad = self._bad, []
        self._given += len(bad)
        cells = [[each.file for each in bad], [each.position for each in bad],
                 [clean(each.reason or "") for each in bad], [clean(each.raw()) for each in bad],
                 [self._load_id or ""] * len(bad)]
        arrays = [pa.array(each, pa.int64() if column.data_type == "bigint" else pa.string())
                  for each, column in zip(cells, _REJECTED_COLUMNS, strict=True)]
        fields = [pa.field(column.name, array.type, column.nullable)
                  for column, array in zip(_REJECTED_COLUMNS, arrays, strict=True)]
        hints = {column.name: column.hint() for column in _REJECTED_COLUMNS}
        more = {"description": "What was no WAEvent, or none that is a change of a row."}
        return _with_hints(pa.table(arrays, schema=pa.schema(fields)), REJECTED, ("file", "position"), hints, more)


def _held(
    stored: StoredRows | None, shape: TableMap, portion: list[tuple[tuple[str, ...], list[Any]]]
) -> tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], dict[str, Any]]]:
    """When the versions came that the destination holds of these rows; and those that are needed, whole."""
    if stored is None:
        return {}, {}
    held = {key: version.changed_at for key, version in stored.versions(key for key, _ in portion).items()}
    wanted = [key for key, steps in portion if key in held and (
        needs_stored(steps) or any(step.time // 1000 < held[key] for step in steps))]
    whole = {}
    times = {column.name for column in shape.columns if column.data_type == "timestamp"}
    for key, values in stored.whole(wanted):
        whole[key] = {
            name: iso_time(value) if name in times else str(value) if type(value).__name__ == "Decimal" else value
            for name, value in values.items() if value is not None
        }
    return held, whole


def _with_hints(table: pa.Table, name: str, key: tuple[str, ...], columns: Any, more: dict[str, Any]) -> Any:
    """An Arrow table as a variant of the resource, which dlt merges into a table of its own."""
    hints = dlt.mark.make_hints(
        table_name=name, write_disposition="merge", primary_key=list(key), columns=columns, file_format="parquet",
        additional_table_hints=more,
    )
    return dlt.mark.with_hints(table, hints, create_table_variant=True)
