"""Repairs what a verification found: rows are written as Stripe has them, and what Stripe does not have is flagged."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.destination.row_reader import RowReader
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.options import Options
from stripe_source.resources.resource import table_resource
from stripe_source.rows.fingerprint import repair_fingerprint
from stripe_source.rows.values import arrow_type
from stripe_source.tables.schema_map import Column, table_map
from stripe_source.verification.comparison_pass import TableComparison
from stripe_source.verification.differences import EXTRA
from stripe_source.verification.scratch_db import ScratchDatabase, ScratchTable

if TYPE_CHECKING:
    import pyarrow as pa

def repair(
    pipeline: dlt.Pipeline, o: Options, back: RowReader, spool: ScratchDatabase, sights: Sequence[TableComparison], now: int
) -> dict[str, int]:
    """Write the rows that differ, as the last look at Stripe showed them, in one load.

    A run would take rows whose fingerprint is right for unchanged, and rows behind a cursor for old; this does not.

    Returns:
        The number of rows that were written, flagged ones included, by table.
    """
    written: dict[str, int] = {}
    several: dict[str, list[TableComparison]] = {}
    for sight in sights:
        if sight.comparison.differences:
            several.setdefault(sight.table.name, []).append(sight)
    if not several:
        return {}

    @dlt.source(name="stripe", section="stripe")
    def tables() -> Any:
        for name, alike in several.items():
            table = alike[0].table

            def rows(cursor: Any = None, alike: Sequence[TableComparison] = alike) -> Iterator[Any]:
                for portion in _rows(back, spool, alike, now):
                    written[alike[0].table.name] = written.get(alike[0].table.name, 0) + portion.num_rows
                    yield _hinted(back, alike, portion)

            marked: dict[str, str | None] = {**o.markers, name: None}  # no cursor, which would drop older rows
            options = replace(o, markers=marked, deletes="hard" if back.hard(table) else "soft")
            yield table_resource(options, table_map(table), rows)

    with dlt_patches(pipeline):
        pipeline.extract(tables(), loader_file_format="parquet")
        pipeline.normalize()
        pipeline.load()
    return written


def _rows(back: RowReader, spool: ScratchDatabase, sights: Sequence[TableComparison], now: int) -> Iterator[pa.Table]:
    import pyarrow as pa

    load_id = str(dlt.current.load_package_state()["load_id"])
    dlt.current.source_state()["loaded"] = load_id  # tells other machines that there was a load
    done: set[tuple[Any, ...]] = set()
    for sight in sights:
        keys, differences = sight.table.key, sight.comparison.differences
        wanted = None if sight.comparison.capped else [each.row for each in differences]
        for portion in spool.portions(sight.stripe, keys, wanted, without=done):
            yield _resources_for_dlt(sight, sight.stripe, portion, load_id)
        done |= spool.keys(sight.stripe, keys)
        gone = [each.row for each in differences if each.kind == EXTRA]
        for portion in spool.portions(sight.held, keys, gone, without=done):
            prints = [repair_fingerprint(print_) for print_ in portion["_dlt_id"].to_pylist()]
            for name, values in (
                ("_deleted", pa.array([True] * portion.num_rows)), ("_dlt_id", pa.array(prints)),
                *((name, pa.array([now * 1_000_000] * portion.num_rows)) for name in ("_deleted_at", "_changed_at")),
            ):
                portion = portion.set_column(portion.column_names.index(name), name, values)
            yield _resources_for_dlt(sight, sight.held, portion, load_id)


def _resources_for_dlt(sight: TableComparison, pile: ScratchTable, portion: pa.Table, load_id: str) -> pa.Table:
    """Rows in the types in which they are loaded."""
    import pyarrow as pa

    shape = {column.name: column for column in table_map(sight.table).columns}
    columns: dict[str, Column] = {**pile.columns, **shape}
    arrays, fields = [], []
    for name, column in columns.items():
        kind = arrow_type(column)
        if name == "_dlt_load_id":
            array = pa.array([load_id] * portion.num_rows, kind)
        elif name in portion.column_names:
            array = portion[name].cast(kind)
        else:
            array = pa.nulls(portion.num_rows, kind)
        arrays.append(array)
        fields.append(pa.field(name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))


def _hinted(back: RowReader, sights: Sequence[TableComparison], portion: pa.Table) -> Any:
    """A table with dlt's hints for columns that neither the map nor the destination has."""
    known = back.known(sights[0].table)
    declared = {column.name for column in table_map(sights[0].table).columns}
    hints: Any = {
        name: column.hint()
        for sight in sights for name, column in sight.stripe.columns.items()
        if name not in declared and name not in known and name in portion.column_names
    }
    return dlt.mark.with_hints(portion, dlt.mark.make_hints(columns=hints)) if hints else portion
