"""Puts the rows that a run would load of one table, built from what Stripe sends, into the scratch database."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.destination.row_reader import RowReader
from stripe_source.extract.channel import Batch
from stripe_source.options import Options
from stripe_source.resources.declaration.row_functions import columns_of, through_steps
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.verification.compare.scratch_db import ScratchDatabase, ScratchTable
from stripe_source.workers.batches import BatchBuilder, PlainBuilder, RowBatch

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_WRITE = 5_000  # rows of a table that are put into the scratch database at once


class RowLoader:
    """Writes the rows of one table into a table of the scratch database, and says how they are built."""

    def __init__(self, scratch: ScratchDatabase, reader: RowReader, table: Table, options: Options) -> None:
        shape = options.shape(table)
        self.side: ScratchTable = scratch.create_table(shape.columns)
        self._table, self._scratch = table, scratch
        self._steps = options.row_steps.get(table.name, ())
        self._rows = RowBuilder(
            table_map(table), reader.known(table), reader.normalize, mask=options.masks.of(table))
        self._columns = {column.name: column for column in shape.columns}
        self._batches: list[pa.Table] = []

    def builder(self, refuse: Callable[[Exception], None]) -> BatchBuilder:
        """What builds the rows; `refuse` is told of an error that keeps them from being built."""
        return PlainBuilder(self._rows, refuse)

    def add(self, batch: Batch) -> None:
        """Take rows; an empty list says that these were all."""
        if isinstance(batch, RowBatch):
            self._batches.append(batch.table)
        if not isinstance(batch, RowBatch) or sum(rows.num_rows for rows in self._batches) >= ROWS_PER_WRITE:
            self._write()

    def ids(self) -> set[str]:
        """The ids of the objects."""
        return set(self._scratch.distinct_values(self.side, "id")) if "id" in self._table.key else set()

    def _write(self) -> None:
        import pyarrow as pa

        if self._batches:
            rows = self._rows.decide_columns(pa.concat_tables(self._batches)).table
            if self._steps:
                rows = through_steps(self._steps, rows)
            if rows is not None:
                columns = {**self._columns, **self._rows.inferred}
                self._scratch.insert(self.side, rows, {**columns_of(rows, columns), **columns})
        self._batches = []


class IdCollector:
    """Keeps the ids of the objects of one table, for tables that are read and not compared."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def builder(self, refuse: Callable[[Exception], None]) -> None:
        """No rows are built."""

    def add(self, batch: Batch) -> None:
        """Take WAEvents."""
        if isinstance(batch, list):
            self._ids.update(str(event.data.get("id")) for event in batch)

    def ids(self) -> set[str]:
        """The ids of the objects."""
        return self._ids
