"""A WAEvent in Striim's form: metadata, data and before by column, presence bitmaps, the id of the table's type."""
from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any, NamedTuple

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE")
COLUMNS_PER_BYTE = 7  # of a presence bitmap: column i is bit i % 7 of byte i // 7
Values = dict[str, Any] | list[Any]  # by name, or in the order of the table's columns


class StriimWAEvent(NamedTuple):
    """What happened to a row, as Striim's readers hand it to its writers.

    Args:
        metadata: `TableName`, `OperationName`, `TimeStamp` (milliseconds since 1970), `ColumnCount`, and what else is
            known of the operation.
        data: the values of the columns, by name or in the order of the table. None: there are none.
        before: likewise, as they were before an update.
        userdata: whatever somebody on the way has added.
        data_presence: which columns `data` sets, as a bitmap; None: all that it has.
        before_presence: likewise of `before`.
        type_uuid: id of the table's type, which is of its columns and their order.
    """

    metadata: dict[str, Any]
    data: Values | None
    before: Values | None = None
    userdata: dict[str, Any] | None = None
    data_presence: bytes | None = None
    before_presence: bytes | None = None
    type_uuid: str | None = None


class BadWAEvent(ValueError):
    """Something is no WAEvent, or none that can be understood; the text says why."""


def bitmap(present: Iterable[bool]) -> bytes:
    """The presence bitmap of columns.

    >>> bitmap([True, False, False, False, False, False, True, True]).hex()
    '4101'
    """
    made = bytearray()
    for place, is_set in enumerate(present):
        if place % COLUMNS_PER_BYTE == 0:
            made.append(0)
        made[-1] |= is_set << place % COLUMNS_PER_BYTE
    return bytes(made)


@lru_cache(maxsize=1_000)  # those of a table are mostly the same
def present(bits: bytes, columns: int) -> tuple[bool, ...]:
    """Which columns a presence bitmap sets; what lies behind its end is not set.

    >>> present(bytes.fromhex("4101"), 9)
    (True, False, False, False, False, False, True, True, False)
    """
    return tuple(
        place // COLUMNS_PER_BYTE < len(bits) and bool(bits[place // COLUMNS_PER_BYTE] >> place % COLUMNS_PER_BYTE & 1)
        for place in range(columns)
    )


@lru_cache(maxsize=1_000)
def all_present(bits: bytes, columns: int) -> bool:
    """Whether a presence bitmap sets all columns."""
    return all(present(bits, columns))


def bitmap_text(bits: bytes | None) -> str | None:
    """A presence bitmap as it is printed: base64."""
    return None if bits is None else base64.b64encode(bits).decode()


def bitmap_of_text(text: object) -> bytes | None:
    """A presence bitmap that was printed.

    A bitmap that sets nothing says nothing: Striim's readers of files print one beside data that is there.

    Raises:
        BadWAEvent: it is none.
    """
    if text is None:
        return None
    try:
        bits = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        bits = None
    if bits is None:
        raise BadWAEvent("a presence bitmap is not base64 text")
    return bits if any(bits) else None


def type_uuid(table: str, columns: Sequence[str]) -> str:
    """The id of a table's type: another one where its columns or their order are others."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\0".join(("waevent", table, *columns))))


def uuid_text(value: object) -> str | None:
    """The id of a type, as text or as Striim's object of it.

    Raises:
        BadWAEvent: it is neither.
    """
    if isinstance(value, dict):
        value = value.get("uuidstring")
    if value is None or isinstance(value, str):
        return value
    raise BadWAEvent("`typeUUID` is no text")


def named_values(values: Values, names: Sequence[str], bits: bytes | None) -> dict[str, Any]:
    """The values that are set, by name of their column.

    Args:
        values: by name, or in the order of the columns.
        names: of the columns, in their order.
        bits: the presence bitmap, if there is one. Of values by name it tells which of the columns that are not there
            are null.

    Raises:
        BadWAEvent: there are more values than columns.
    """
    if isinstance(values, dict):
        if bits is None:
            return values
        flags = dict(zip(names, present(bits, len(names)), strict=True))
        return {
            **{name: values.get(name) for name, is_set in flags.items() if is_set},
            **{name: value for name, value in values.items() if name not in flags},
        }
    if len(values) > len(names):
        raise BadWAEvent(f"`data` has {len(values)} values, and the table has {len(names)} columns")
    flags_in_order: Sequence[bool] = [True] * len(values) if bits is None else present(bits, len(values))
    return {name: value for name, value, is_set in zip(names, values, flags_in_order, strict=False) if is_set}


_JUST_DIGITS = re.compile(r"-?\d{1,17}", re.ASCII)
_NEW = 100_000_000_000  # what is less is seconds: in milliseconds it would be before March 1973


def milliseconds(value: object) -> int | None:
    """Milliseconds since 1970 of a time in metadata: a number of them or of seconds, or ISO text, UTC without a zone.

    None: it is no time.
    """
    if isinstance(value, str) and _JUST_DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) >= _NEW else value * 1000
    if isinstance(value, str):
        text = re.sub(r"(\d)([+-]\d\d)(\d\d)$", r"\1\2:\3", re.sub(r"[Zz]$", "+00:00", value.strip()))
        try:
            moment = datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", lambda found: "." + found[1].ljust(6, "0"), text))
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return int(moment.timestamp() * 1000)
    return None
