"""The WAEvents of a run, on their way from the resource of a table to the one of its WAEvents: `emit="waevents"`.

Each row that a load writes to `charges` is one row of `charges_waevents`, in the same load: what was loaded, no more
and no less. Their key is the load and a place in it, which are the same when a load that was killed goes on.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.arrow_rows.builder import UNDECIDED, RowBuilder
from stripe_source.arrow_rows.fingerprint import flagged_fingerprint, partial_fingerprint
from stripe_source.arrow_rows.waevent import DELETE, SELECT, WAEvent
from stripe_source.destination.create_tables import empty_table
from stripe_source.errors import InvalidOption
from stripe_source.resources.declaration.row_functions import row_steps
from stripe_source.resources.declaration.selection import extracted_names
from stripe_source.tables.schema_map import Column, TableMap
from stripe_source.waevent_forms.rows import COLUMNS, KEY, values_json, waevent_rows

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = "_waevents"
ROWS_PER_PART = 8_000  # rows that become WAEvents at once: each takes 3 kB
Told = tuple[str, "str | None", "str | None"]  # operation, id of Stripe's event, before as JSON
_READ: Told = (SELECT, None, None)
_GONE: Told = (DELETE, None, None)


@cache
def waevents_map(shape: TableMap) -> TableMap:
    """The declared shape of the table that has the WAEvents of another one."""
    table = replace(shape.table, name=shape.table.name + SUFFIX, key=KEY[1:], marker=None, placements=())
    return replace(shape, table=table, columns=COLUMNS, description=f"The WAEvents of `{shape.table.name}`.")


def is_taken(shape: TableMap) -> bool:
    """Whether the WAEvents of a table are extracted.

    Raises:
        InvalidOption: they are, and its rows go through functions of a user, which WAEvents would not.
    """
    name = shape.table.name
    if name + SUFFIX not in extracted_names():
        return False
    if (resource := dlt.current.source().resources.get(name)) and row_steps(resource):
        raise InvalidOption("emit", "waevents", reason=(
            f"Rows of `{name}` go through functions of yours, and its WAEvents would have what these change. "
            f"Load them without functions, or only the rows: `source.{name}{SUFFIX}.selected = False`."))
    return True


class Outbox:
    """The WAEvents of one table.

    Args:
        shape: the map of the table.
    """

    def __init__(self, shape: TableMap) -> None:
        self.shape = shape
        self.ready: deque[pa.Table] = deque()
        self.done = False
        self._told: dict[str, Told] = {}  # by fingerprint of the row; what is not there was just read
        self._load_id: str | None = None
        self._position = 0

    def note(self, events: Sequence[WAEvent], prints: Sequence[str], builder: RowBuilder) -> None:
        """What happened to rows that will be written.

        Args:
            events: WAEvents with their operations.
            prints: the fingerprints of their rows.
            builder: makes rows of what was before.
        """
        befores = self._befores([event for event in events if event.before is not None], builder)
        for event, print_ in zip(events, prints, strict=True):
            if event.operation != SELECT:
                before = befores.pop() if event.before is not None else None
                told: Told = (event.operation, event.event_id, before)
                self._told[print_] = told
                if builder.contract.lacks:
                    self._told[partial_fingerprint(print_)] = told

    def note_gone(self, event: WAEvent, stored: str) -> None:
        """A row that is stored will be flagged, because of this WAEvent."""
        self._told[flagged_fingerprint(stored)] = (DELETE, event.event_id, None)

    @staticmethod
    def _befores(events: Sequence[WAEvent], builder: RowBuilder) -> list[str]:
        """The rows as they were before, as JSON, the last one first."""
        if not events:
            return []
        rows = builder.build([event._replace(data=event.before or {}, before=None) for event in events])
        unknown = [UNDECIDED, "_dlt_id", "_changed_at"]  # of the version before nobody knows these
        texts: list[str] = values_json(rows.drop_columns(unknown)).to_pylist()
        return texts[::-1]

    def add(self, rows: pa.Table, load_id: str | None, inferred: Mapping[str, Column]) -> None:
        """Rows that are written, as they are handed over.

        Args:
            rows: of one load.
            load_id: the load.
            inferred: the columns that the map does not declare, by name.
        """
        if load_id != self._load_id:
            self._load_id, self._position = load_id, 0
        import pyarrow as pa

        parts = range(0, rows.num_rows, ROWS_PER_PART)
        if parts:  # one table: dlt takes as long for the schema of a small one
            made = [self._part(rows.slice(begin, ROWS_PER_PART), inferred) for begin in parts]
            self.ready.append(pa.concat_tables(made))

    def _part(self, rows: pa.Table, inferred: Mapping[str, Column]) -> pa.Table:
        import pyarrow.compute as pc

        told = None
        if self._told or pc.any(rows.column("_deleted")).as_py():
            prints, gone = rows.column("_dlt_id").to_pylist(), rows.column("_deleted").to_pylist()
            told = [self._told.pop(print_, _GONE if flag else _READ) for print_, flag in zip(prints, gone, strict=True)]
        made = waevent_rows(self.shape, rows, inferred, self._position, told)
        self._position += rows.num_rows
        return made

    def items(self) -> Iterator[Any]:
        """What the resource of the WAEvents does: Arrow tables, and None while there is nothing yet."""
        any_ = False
        while self.ready or not self.done:
            if self.ready:
                any_ = True
                yield self.ready.popleft()
            else:
                yield None
        self.done = False  # the source may be run again
        if not any_:
            yield from empty_table()
