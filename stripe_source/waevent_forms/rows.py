"""Rows as WAEvents: each row with what happened to it, many at once."""
from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.waevent import SELECT, UPDATE
from stripe_source.dlt_patches.tables import COMPRESSION_HINT
from stripe_source.tables.schema_map import Column, TableMap
from stripe_source.waevent_forms.form import StriimWAEvent, bitmap, bitmap_of_text, bitmap_text, type_uuid

if TYPE_CHECKING:
    import pyarrow as pa

LOAD = "_dlt_load_id"  # not among the values of a WAEvent: it says how a row came, not what it is
_LONG = {COMPRESSION_HINT: "zstd"}  # 6 us and 0.1 kB a row; what DuckDB takes by itself, 20 us and 1.3 kB (2026-11-30)
COLUMNS = (
    Column("_account_id", "text", None, False, "Id of the account whose data it is, or `self`."),
    Column("operation", "text", None, False, "SELECT (of a first load), INSERT, UPDATE or DELETE."),
    Column("time", "timestamp", None, False, "When the version in `data` came to be, or was read (UTC)."),
    Column("metadata", "json", None, False, "Striim's metadata: TableName, OperationName, TimeStamp, ColumnCount, and "
           "for changes that Stripe's events tell of TxnID, the id of the event."),
    Column("data", "json", None, False, "The row by column; a column that is not there is null.",
           hints=_LONG),
    Column("before", "json", None, True, "The row before an update, as far as Stripe's event tells.", hints=_LONG),
    Column("userdata", "json", None, True, "For what somebody on the way adds."),
    Column("data_presence_bitmap", "text", None, False, "Which columns `data` sets: base64, 7 columns a byte."),
    Column("before_presence_bitmap", "text", None, True, "Likewise of `before`."),
    Column("type_uuid", "text", None, False, "Id of the table's columns and their order."),
    Column("_position", "bigint", None, False, "Place in the load, from 0."),
    Column(LOAD, "text", None, False, "The dlt load that brought the row."),
)
KEY = ("_account_id", LOAD, "_position")
_QUOTES, _CONTROLS = "quotes", "controls"  # what texts have that JSON writes otherwise
_CONTROL_BYTES = bytes(range(32))


def column_names(shape: TableMap) -> tuple[str, ...]:
    """The columns of a table in the order of its WAEvents: all that the map declares but the load."""
    return tuple(column.name for column in shape.columns if column.name != LOAD)


def values_json(table: pa.Table) -> pa.Array:
    """The rows of a table as JSON objects, without what is null.

    Hot: a column at a time in Arrow, as one of 200 columns would take 100 microseconds a row in Python. All is joined
    at once, so that most values are copied once; what is the same in all rows is text beside the others' names.
    Times and decimals are texts, JSON is a text that holds it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        (json.dumps(field.name, ensure_ascii=False) + ":",
         column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
        for field, column in zip(table.schema, table.columns, strict=True)
        if field.name != LOAD and column.null_count < table.num_rows
    ]
    if not columns:
        return pa.repeat(pa.scalar("{}"), table.num_rows)
    if all(column.null_count for _, column in columns):
        members = pc.binary_join_element_wise(
            *(_joined(key, *_value(column), ",") for key, column in columns), "", null_handling="replace",
            null_replacement="")
        return _joined("{", pc.ascii_rtrim(members, ","), "}")
    pieces: list[Any] = ["{"]
    comma = ""  # before a member, once there is one that no row lacks
    for key, column in columns:
        if column.null_count:
            pieces.append(_joined(comma + key, *_value(column), "" if comma else ","))
            continue
        constant = _is_constant(column)
        value = (_joined(*_value(column[:1]))[0].as_py(),) if constant else _value(column)
        for piece in (comma + key, *value):
            if isinstance(piece, str) and isinstance(pieces[-1], str):
                pieces[-1] += piece
            else:
                pieces.append(piece)
        comma = ","
    if len(pieces) == 1:
        return pa.repeat(pa.scalar(pieces[0] + "}"), table.num_rows)
    return pc.binary_join_element_wise(*pieces, "}", "", null_handling="replace", null_replacement="")


def _is_constant(column: pa.Array) -> bool:
    """Whether all values are the same, none of which is null; of floating point nobody asks, where -0.0 equals 0.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        return False
    return bool(column[0] == column[-1]) and bool(pc.all(pc.equal(column, column[0])).as_py())


def _joined(*parts: Any) -> pa.Array:
    """Texts one behind the other; null where one of them is."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, "", null_handling="emit_null")


def _special(column: pa.Array) -> str | None:
    """What is in texts that JSON writes otherwise; looked for in all of them at once, as one by one takes ten times."""
    offsets, data = column.buffers()[1:]
    if data is None:
        return None
    begin, end = (int.from_bytes(memoryview(offsets)[4 * place:4 * place + 4], "little")
                  for place in (column.offset, column.offset + len(column)))
    text = bytes(memoryview(data)[begin:end])
    if len(text.translate(None, _CONTROL_BYTES)) < len(text):
        return _CONTROLS
    return _QUOTES if b'"' in text or b"\\" in text else None


def _value(column: pa.Array) -> tuple[Any, ...]:
    """The JSON of each value, in parts that are to be joined; null where there is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        with contextlib.suppress(pa.ArrowInvalid):  # parts of a second stay
            column = column.cast(pa.timestamp("s", tz="UTC"))
        text = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
    elif pa.types.is_string(kind) and (special := _special(column)):
        if special == _CONTROLS:
            texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in column.to_pylist()]
            return (pa.array(texts, pa.string()),)
        text = pc.replace_substring(pc.replace_substring(column, "\\", "\\\\"), '"', '\\"')
    else:
        text = column if pa.types.is_string(kind) else column.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_timestamp(kind) or pa.types.is_decimal(kind):
        return '"', text, '"'
    return (text,)


def waevent_rows(
    shape: TableMap, rows: pa.Table, inferred: Mapping[str, Column], first: int,
    told: Sequence[tuple[str, str | None, str | None]] | None,
) -> pa.Table:
    """The WAEvents of rows, as rows of a table of WAEvents, in the same order.

    Args:
        shape: the map of the rows' table.
        rows: as they are loaded.
        inferred: the columns that the map does not declare, by name.
        first: place of the first one in the load.
        told: of each row the operation, the id of Stripe's event, and `before` as JSON, as far as there are any; None:
            all were just read.
    """
    import pyarrow as pa

    declared = column_names(shape)
    more = tuple(name for name in rows.column_names if name not in declared and name != LOAD)
    names, name = (*declared, *more), shape.table.name
    bits = bitmap_text(bitmap([True] * len(names)))
    before_bits = bitmap_text(bitmap([True] * len(declared)))
    tail = f',"ColumnCount":{len(names)}'
    if more:
        tail += f',"InferredColumns":{json.dumps({each: _hint(inferred[each]) for each in more if each in inferred})}'
    length, constants = rows.num_rows, {"userdata": None, "data_presence_bitmap": bits, "type_uuid": type_uuid(
        name, names)}
    operation: Any = SELECT
    pk_update: Any = ""
    transaction: Any = ""
    changes: dict[str, Any] = {}
    if told is None:
        constants |= {"operation": SELECT, "before": None, "before_presence_bitmap": None}
    else:
        operations, events, befores = zip(*told, strict=True) if told else ((), (), ())
        operation = pa.array(operations, pa.string())
        pk_update = pa.array([',"PK_UPDATE":false' if each == UPDATE else "" for each in operations], pa.string())
        transaction = pa.array([f',"TxnID":{json.dumps(each)}' if each else "" for each in events], pa.string())
        changes = {"operation": operation, "before": pa.array(befores, pa.string()), "before_presence_bitmap": pa.array(
            [before_bits if each else None for each in befores], pa.string())}
    moments = rows.column("_changed_at").combine_chunks().cast(pa.timestamp("ms", tz="UTC"), safe=False)
    metadata = _joined(
        f'{{"TableName":"{name}","OperationName":"', operation, '","TimeStamp":',
        moments.cast(pa.int64()).cast(pa.string()), pk_update, transaction, tail + "}",
    )
    arrays: dict[str, Any] = {
        "_account_id": rows.column("_account_id"), "time": rows.column("_changed_at"), "metadata": metadata,
        "data": values_json(rows), "_position": pa.array(range(first, first + length), pa.int64()),
        LOAD: rows.column(LOAD), **changes,
        **{each: pa.repeat(pa.scalar(value, pa.string()), length) for each, value in constants.items()},
    }
    fields = [pa.field(each.name, arrays[each.name].type, each.nullable) for each in COLUMNS]
    return pa.table([arrays[each.name] for each in COLUMNS], schema=pa.schema(fields))


def _hint(column: Column) -> dict[str, Any]:
    return {key: value for key, value in column.hint().items() if key not in ("name", "nullable")}


def waevents_of(rows: pa.Table, names: Sequence[str]) -> Iterator[StriimWAEvent]:
    """The WAEvents that rows of a table of WAEvents are, with all columns: what is null is written, too.

    Args:
        rows: with the columns `COLUMNS`.
        names: the columns that the map of their table declares.
    """
    for row in rows.to_pylist():
        yield waevent_of(row, names)


def waevent_of(row: Mapping[str, Any], names: Sequence[str]) -> StriimWAEvent:
    """The WAEvent that a row of a table of WAEvents is; see `waevents_of`."""
    nulls = dict.fromkeys(names)
    metadata = _loads(row["metadata"])
    inferred = metadata.get("InferredColumns") or {}
    data, before = _loads(row["data"]), _loads(row["before"])
    return StriimWAEvent(
        metadata, {**nulls, **dict.fromkeys(inferred), **data}, before and {**nulls, **before},
        _loads(row["userdata"]), bitmap_of_text(row["data_presence_bitmap"]),
        bitmap_of_text(row["before_presence_bitmap"]), row["type_uuid"],
    )


def _loads(text: Any) -> Any:
    import orjson

    return orjson.loads(text) if isinstance(text, str) else text
