"""Conversion of values to the types of their columns, and Arrow arrays of them."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.json_text import clean, dumps
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
    """Convert a value to its column's type (a timestamp to microseconds); None where that would lose something."""
    kind = column.data_type
    if kind == "json":
        return dumps(value)
    if kind == "text":
        if type(value) is str:
            return clean(value)
        if type(value) is float:
            return repr(value) if math.isfinite(value) else None  # orjson writes exponents by its version
        return dumps(value) if type(value) in (int, bool) else None
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


def nulls(data_type: pa.DataType, length: int) -> pa.Array:
    """An array of nulls; batches share one array per type, up to `NULLS_PER_ARRAY` rows."""
    import pyarrow as pa

    if length > NULLS_PER_ARRAY:
        return pa.nulls(length, data_type)
    if data_type not in _nulls:
        _nulls[data_type] = pa.nulls(NULLS_PER_ARRAY, data_type)
    return _nulls[data_type].slice(0, length)


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
    """Whether an array of text that was just made has NUL in it: takes 1 microsecond for 10 kB of text."""
    offsets, data = array.buffers()[1:]
    if data is None:
        return False
    end = int.from_bytes(memoryview(offsets)[4 * len(array):4 * len(array) + 4], "little")
    return b"\0" in bytes(memoryview(data)[:end])


def column_array(values: Sequence[Any], column: Column, misfit: Callable[[int, Any], Any]) -> pa.Array:
    """Make an Arrow array of the column's type, with misfit(index, value) in place of a value that it cannot hold."""
    import pyarrow as pa

    kind, target = column.data_type, arrow_type(column)
    if not values or (values[0] is None and values.count(None) == len(values)):  # most columns of a wide table
        return nulls(target, len(values))
    plain = _PLAIN.get(kind)
    if kind == "text" or (plain is not None and plain.issuperset(map(type, values))):
        try:
            if kind != "timestamp":
                made = pa.array(values, target)
                if kind != "text" or not _has_nul(made):
                    return made
                raise UnicodeError("NUL")
            seconds = [second for second in values if second is not None]
            if min(seconds) in _SECONDS and max(seconds) in _SECONDS:
                return pa.array(values, pa.int64()).view(pa.timestamp("s", tz="UTC")).cast(target)
        except (OverflowError, UnicodeError, pa.ArrowTypeError):
            pass  # a value is too large, is no text, or is text that destinations refuse: convert one by one
    converted: list[Any] = []
    for index, value in enumerate(values):
        cell = None if value is None else convert(value, column)
        if cell is None and value is not None:
            cell = misfit(index, value)
        converted.append(cell)
    if kind == "timestamp":
        return pa.array(converted, pa.int64()).cast(target)
    return pa.array(converted, target)


def newest_second(times: pa.ChunkedArray) -> int | None:
    """The newest of some times, in unix seconds; None where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: int | None = pc.max(times.cast(pa.int64())).as_py()
    return None if found is None else found // 1_000_000
