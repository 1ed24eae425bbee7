"""One value -> its column's type; Arrow arrays."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from stripe_source.rows.json_text import clean, dumps
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_PLAIN: dict[str, frozenset[type]] = {  # Python types that Arrow takes as they are, by data type
    "text": frozenset({str, type(None)}),
    "bigint": frozenset({int, type(None)}),
    "timestamp": frozenset({int, type(None)}),
    "bool": frozenset({bool, type(None)}),
    "double": frozenset({float, type(None)}),
}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
COLUMN_TYPES = frozenset({*_PLAIN, "json", "decimal"})  # data types that we make columns of
_INT64 = range(-(2**63), 2**63)
_SECONDS = range(-62135596800, 253402300800)  # years 1 to 9999: what Python and all destinations have dates for


# ---- fitting values to types


def _microseconds(value: Any) -> int | None:
    """Microseconds since 1970 of a unix time, an RFC 3339 text, or a unix time in text; None if it is none of them."""
    micro = 0
    if isinstance(value, str):
        if match := _RFC3339.fullmatch(value):
            zone = (match[3] or "Z").upper().replace("Z", "+00:00")
            try:
                moment = datetime.fromisoformat(match[1] + zone)
            except ValueError:
                return None
            value = (moment - EPOCH) // timedelta(seconds=1)
            micro = int((match[2] or "")[:6].ljust(6, "0"))
        else:
            value = _integer(value)
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value * 1_000_000 + micro if type(value) is int and value in _SECONDS else None


def _integer(text: str) -> int | None:
    """The integer that a text is, if it is nothing but that."""
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,18}", text, re.ASCII) else None


def _decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    """The exact decimal, or None where precision and scale would cut it."""
    if type(value) not in (str, int, float) or not _NUMBER.fullmatch(text := str(value)):
        return None
    number = Decimal(text)
    exponent = int(number.as_tuple().exponent)
    return None if -exponent > scale or number.adjusted() >= precision - scale else number


def convert(value: Any, column: Column) -> Any:
    """The value as the column's type holds it (timestamps: microseconds), or None where something would be lost."""
    kind = column.data_type
    if kind == "json":
        return dumps(value)
    if kind == "text":
        if type(value) is str:
            return clean(value)
        return dumps(value) if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)) else None
    if kind == "timestamp":
        return _microseconds(value)
    if kind == "decimal":
        return _decimal(value, *_digits(column))
    if kind == "bool":
        return value if type(value) is bool else None
    if kind == "double":
        return float(value) if type(value) is float or (type(value) is int and abs(value) <= 2**53) else None
    if type(value) is str:
        value = _integer(value)  # 64-bit integers of /v2/ travel as text
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def _digits(column: Column) -> tuple[int, int]:
    """Precision and scale of a decimal column."""
    return column.precision or 38, 12 if column.scale is None else column.scale


def nulls(held_as: pa.DataType, length: int) -> pa.Array:
    """Nulls; batches share them, as far as they go."""
    import pyarrow as pa

    if length > NULLS_PER_ARRAY:
        return pa.nulls(length, held_as)
    if held_as not in _nulls:
        _nulls[held_as] = pa.nulls(NULLS_PER_ARRAY, held_as)
    return _nulls[held_as].slice(0, length)


NULLS_PER_ARRAY = 4_096
_nulls: dict[pa.DataType, pa.Array] = {}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    return _arrow_type(column.data_type, *_digits(column))


@cache
def _arrow_type(data_type: str, precision: int, scale: int) -> pa.DataType:
    import pyarrow as pa

    return {
        "text": pa.string(), "json": pa.string(), "bigint": pa.int64(), "bool": pa.bool_(), "double": pa.float64(),
        "timestamp": pa.timestamp("us", tz="UTC"), "decimal": pa.decimal128(precision, scale),
    }[data_type]


def _has_nul(array: pa.Array) -> bool:
    """Whether there is NUL in an array of text that was just made: 1 microsecond for 10 kB of it."""
    offsets, data = array.buffers()[1:]
    if data is None:
        return False
    end = int.from_bytes(memoryview(offsets)[4 * len(array):4 * len(array) + 4], "little")
    return b"\0" in bytes(memoryview(data)[:end])


def column_array(values: Sequence[Any], column: Column, misfit: Callable[[int, Any], Any]) -> pa.Array:
    """An Arrow array of the column's type, with misfit(index, value) in place of a value that it cannot hold."""
    import pyarrow as pa

    kind, held_as = column.data_type, arrow_type(column)
    if not values or (values[0] is None and values.count(None) == len(values)):  # most columns of a wide table
        return nulls(held_as, len(values))
    plain = _PLAIN.get(kind)
    if kind == "text" or (plain is not None and plain.issuperset(map(type, values))):
        try:
            if kind != "timestamp":
                made = pa.array(values, held_as)
                if kind != "text" or not _has_nul(made):
                    return made
                raise UnicodeError("NUL")
            there = [second for second in values if second is not None]
            if min(there) in _SECONDS and max(there) in _SECONDS:
                return pa.array(values, pa.int64()).view(pa.timestamp("s", tz="UTC")).cast(held_as)
        except (OverflowError, UnicodeError, pa.ArrowTypeError):
            pass  # too large, no text, or text that is not what destinations take: one by one
    fitted: list[Any] = []
    for index, value in enumerate(values):
        held = None if value is None else convert(value, column)
        if held is None and value is not None:
            held = misfit(index, value)
        fitted.append(held)
    if kind == "timestamp":
        return pa.array(fitted, pa.int64()).cast(held_as)
    return pa.array(fitted, held_as)
