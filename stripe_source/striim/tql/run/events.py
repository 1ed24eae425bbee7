"""What flows through a program: WAEvents in Striim's positional form, and rows that queries make."""
from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.striim.tql.columns import StriimTable

_BITS = 7  # of a byte of a presence bitmap


@dataclass(frozen=True)
class TableEvent:
    """A WAEvent in Striim's form.

    Args:
        table: whose columns its data has.
        operation: SELECT, INSERT or UPDATE.
        time: when that was, in milliseconds.
        data: the values, in the order of the columns.
        before: likewise, before an update; None where Stripe does not say.
        userdata: what a query added.
    """

    table: StriimTable
    operation: str
    time: int
    data: Sequence[Any]
    before: Sequence[Any] | None = None
    userdata: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, Any]:
        """The map `metadata` of a WAEvent."""
        return {"TableName": self.table.name, "ColumnCount": len(self.data), "OperationName": self.operation,
                "TimeStamp": self.time}

    def named(self, values: Sequence[Any] | None) -> dict[str, Any] | None:
        """Values by the names of the columns."""
        if values is None:
            return None
        return {column.name: value for column, value in zip(self.table.columns, values, strict=True)}


@dataclass(frozen=True)
class RowEvent:
    """What a query makes of an event.

    Args:
        type_name: of the stream.
        fields: values by name.
        time: that of the event, in milliseconds.
    """

    type_name: str
    fields: dict[str, Any]
    time: int


Event = TableEvent | RowEvent


def table_event(table: StriimTable, event: WAEvent, operation: str) -> TableEvent:
    """A WAEvent of ours in Striim's form."""
    before = None if event.before is None else table.values(event, event.before)
    return TableEvent(table, operation, event.time * 1000, table.values(event, event.data), before)


def presence_bitmap(values: Iterable[Any] | None, columns: int) -> str:
    """Which columns are set, seven to a byte, in base64.

    >>> presence_bitmap(["a", None, 1], 3), presence_bitmap(None, 8)
    ('BQ==', 'AAA=')
    """
    bits = bytearray(max(1, -(-columns // _BITS)))
    for place, value in enumerate(values or ()):
        if value is not None:
            bits[place // _BITS] |= 1 << place % _BITS
    return base64.b64encode(bits).decode()
