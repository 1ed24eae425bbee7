"""Rows that were read back, as Arrow tables with other values in some columns: to be written again."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.fingerprint import flagged_fingerprint
from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa


def flags(
    columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], times: Sequence[int], load_id: str | None
) -> dict[str, Sequence[Any]]:
    """The values of rows that are flagged as deleted at a unix second each, in the columns that change by that."""
    moments = [second * 1_000_000 for second in times]
    place = [column.name for column in columns].index("_dlt_id")
    return {
        "_deleted": [True] * len(rows), "_deleted_at": moments, "_changed_at": moments,
        "_dlt_load_id": [load_id] * len(rows), "_dlt_id": [flagged_fingerprint(str(row[place])) for row in rows],
    }


def rewritten_columns(
    sql: DestinationSql, columns: Sequence[Column], rows: Sequence[tuple[Any, ...]], others: Mapping[str, Sequence[Any]]
) -> pa.Table:
    """Rows as a database driver gave them as an Arrow table, with other values in some columns."""
    import pyarrow as pa

    from stripe_source.arrow_rows.values import arrow_type

    arrays, fields = [], []
    for place, column in enumerate(columns):
        if column.name in others:
            values = list(others[column.name])
        else:
            values = [sql.python(row[place], column.data_type) for row in rows]
        kind = arrow_type(column)
        array = pa.array(values, pa.int64()).cast(kind) if column.data_type == "timestamp" else pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.table(arrays, schema=pa.schema(fields))
