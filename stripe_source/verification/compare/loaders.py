"""Puts the objects that Stripe sends for one table into the scratch database, as the rows that a run would load."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.destination.row_reader import RowReader
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.verification.compare.scratch_db import ScratchDatabase, ScratchTable

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_WRITE = 5_000  # rows of a table that are put into the scratch database at once
EVENTS_PER_BATCH = 500  # WAEvents from which rows are built at once


class RowLoader:
    """Builds rows from the WAEvents of one table and writes them into a table of the scratch database."""

    def __init__(self, scratch: ScratchDatabase, reader: RowReader, table: Table) -> None:
        shape = table_map(table)
        self.side: ScratchTable = scratch.create_table(shape.columns)
        self._table, self._scratch = table, scratch
        self._builder = RowBuilder(shape, reader.known(table), reader.normalize)
        self._columns = {column.name: column for column in shape.columns}
        self._events: list[WAEvent] = []
        self._batches: list[pa.Table] = []

    def add(self, events: Sequence[WAEvent]) -> None:
        """Take events."""
        self._events += events
        if len(self._events) >= EVENTS_PER_BATCH:
            self._build()
        if sum(batch.num_rows for batch in self._batches) >= ROWS_PER_WRITE:
            self._write()

    def finish(self) -> None:
        """Write what waits."""
        if self._events:
            self._build()
        self._write()

    def ids(self) -> set[str]:
        """The ids of the objects."""
        return set(self._scratch.distinct_values(self.side, "id")) if "id" in self._table.key else set()

    def _build(self) -> None:
        self._batches.append(self._builder.rows(self._events).table)
        self._events = []

    def _write(self) -> None:
        import pyarrow as pa

        if self._batches:
            columns = {**self._columns, **self._builder.inferred}
            self._scratch.insert(self.side, pa.concat_tables(self._batches, promote_options="default"), columns)
        self._batches = []


class IdCollector:
    """Keeps the ids of the objects of one table, for tables that are read and not compared."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def add(self, events: Sequence[WAEvent]) -> None:
        """Take events."""
        self._ids.update(str(event.data.get("id")) for event in events)

    def finish(self) -> None:
        """Nothing waits."""

    def ids(self) -> set[str]:
        """The ids of the objects."""
        return self._ids
