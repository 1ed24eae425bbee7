"""Repairs what a verification found: writes rows as Stripe has them, and flags rows that Stripe does not have."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.arrow_rows.fingerprint import repair_fingerprint
from stripe_source.arrow_rows.values import arrow_type
from stripe_source.destination.row_reader import RowReader
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.options import Options
from stripe_source.resources.declaration.resource import table_resource
from stripe_source.resources.state import SourceState
from stripe_source.tables.schema_map import Column, TableMap
from stripe_source.verification.compare.comparison_pass import TableComparison
from stripe_source.verification.compare.differences import EXTRA
from stripe_source.verification.compare.scratch_db import ScratchDatabase, ScratchTable

if TYPE_CHECKING:
    import pyarrow as pa


def repair_rows(
    pipeline: dlt.Pipeline, options: Options, reader: RowReader, scratch: ScratchDatabase,
    comparisons: Sequence[TableComparison], now: int,
) -> dict[str, int]:
    """Write the rows that differ, as the last pass read them of Stripe, in one load.

    An ordinary run would skip some of them: rows with the right fingerprint and a wrong value, and rows older than the
    cursor.

    Args:
        pipeline: where to.
        options: those of the verification.
        reader: reads the destination.
        scratch: has the rows of both sides.
        comparisons: what differs.
        now: Stripe's time, in unix seconds.

    Returns:
        The number of rows that were written, flagged ones included, by table.
    """
    written: dict[str, int] = {}
    by_table: dict[str, list[TableComparison]] = {}
    for comparison in comparisons:
        if comparison.findings.differences:
            by_table.setdefault(comparison.table.name, []).append(comparison)
    if not by_table:
        return {}

    @dlt.source(name="stripe", section="stripe")
    def tables() -> Any:
        for name, of_table in by_table.items():
            table = of_table[0].table

            def rows(
                cursor: Any = None, name: str = name, of_table: Sequence[TableComparison] = of_table
            ) -> Iterator[Any]:
                for batch in _repaired_rows(scratch, options, of_table, now):
                    written[name] = written.get(name, 0) + batch.num_rows
                    yield _with_hints(reader, options.shape(of_table[0].table), of_table, batch)

            markers: dict[str, str | None] = {**options.markers, name: None}  # no cursor, which would drop older rows
            deletes = "hard" if reader.hard(table) else "soft"
            chosen = replace(options, markers=markers, deletes=deletes)
            yield table_resource(chosen, options.shape(table), rows)

    with dlt_patches(pipeline):
        pipeline.extract(tables())
        pipeline.normalize()
        pipeline.load()
    return written


def _repaired_rows(
    scratch: ScratchDatabase, options: Options, comparisons: Sequence[TableComparison], now: int
) -> Iterator[pa.Table]:
    """The rows of one table to write: those of Stripe, then the flagged ones; each key once."""
    load_id = str(dlt.current.load_package_state()["load_id"])
    SourceState.note_load(dlt.current.source_state(), load_id)
    written: set[tuple[Any, ...]] = set()
    for comparison in comparisons:
        key, findings, shape = comparison.table.key, comparison.findings, options.shape(comparison.table)
        mask = options.masks.of(comparison.table)
        stored_types = {name: column.data_type for name, column in comparison.destination.columns.items()}
        wanted = None if findings.capped else [each.row for each in findings.differences]
        for batch in scratch.batches(comparison.stripe, key, wanted, without=written):
            yield _as_loaded(shape, comparison.stripe, batch, load_id)
        written |= scratch.keys(comparison.stripe, key)
        extra = [each.row for each in findings.differences if each.kind == EXTRA]
        for batch in scratch.batches(comparison.destination, key, extra, without=written):
            flagged = mask.read_back(_flagged(batch, now), stored_types)
            yield _as_loaded(shape, comparison.destination, flagged, load_id)


def _flagged(rows: pa.Table, now: int) -> pa.Table:
    """Stored rows, flagged as deleted."""
    import pyarrow as pa

    times = pa.array([now * 1_000_000] * rows.num_rows)
    for name, values in (
        ("_deleted", pa.array([True] * rows.num_rows)),
        ("_dlt_id", pa.array([repair_fingerprint(stored) for stored in rows["_dlt_id"].to_pylist()])),
        ("_deleted_at", times), ("_changed_at", times),
    ):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def _as_loaded(shape: TableMap, side: ScratchTable, rows: pa.Table, load_id: str) -> pa.Table:
    """Compared rows in the types in which they are loaded."""
    import pyarrow as pa

    declared = {column.name: column for column in shape.columns}
    columns: dict[str, Column] = {**side.columns, **declared}
    arrays, fields = [], []
    for name, column in columns.items():
        kind = arrow_type(column)
        if name == "_dlt_load_id":
            array = pa.array([load_id] * rows.num_rows, kind)
        elif name in rows.column_names:
            array = rows[name].cast(kind)
        else:
            array = pa.nulls(rows.num_rows, kind)
        arrays.append(array)
        fields.append(pa.field(name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))


def _with_hints(
    reader: RowReader, shape: TableMap, comparisons: Sequence[TableComparison], rows: pa.Table
) -> Any:
    """Rows with dlt's hints for the columns that the map does not have."""
    known = reader.known(shape.table)
    declared = {column.name for column in shape.columns}
    hints: Any = {
        name: column.hint()
        for comparison in comparisons for name, column in comparison.stripe.columns.items()
        if name not in declared and name not in known and name in rows.column_names
    }
    hints.update({name: dict(known[name]) for name in rows.column_names if name in known and name not in declared})
    return dlt.mark.with_hints(rows, dlt.mark.make_hints(columns=hints)) if hints else rows
