"""Every version of a table's rows, with the time from which and until which it was the one: option `history`.

The versions of `customers` are in the table `customers_history`: the same columns, `_valid_from` and `_valid_to`. The
version that is the one now has no `_valid_to`; of what is deleted no version has none. Versions between two runs are
there as far as events carry the whole object (see `payload_suffices`).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.arrow_rows.builder import UNDECIDED, RowBuilder, Rows
from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.destination.create_tables import empty_table
from stripe_source.destination.stored_rows import Key, StoredRows
from stripe_source.tables.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = "_history"
ROWS_PER_TABLE = 20_000  # rows that are handed over at once
FROM, TO = "_valid_from", "_valid_to"


@cache
def versions_map(shape: TableMap) -> TableMap:
    """The declared shape of the table that has the versions of another one."""
    key = (*shape.table.key, FROM)
    table = replace(shape.table, name=shape.table.name + SUFFIX, key=key, marker=None, placements=())
    bounds = (
        Column(FROM, "timestamp", None, False, "From when on this version was the one (UTC)."),
        Column(TO, "timestamp", None, True, "When the next version came, or the end (UTC); null: it is the one now."),
    )
    return replace(
        shape, table=table, columns=(*shape.columns, *bounds),
        description=f"Every version of the rows of `{shape.table.name}`.",
    )


class Versions:
    """The versions that a run learns of, on their way from the resource of a table to the one of its history.

    Args:
        shape: the map of the table.
    """

    def __init__(self, shape: TableMap) -> None:
        self.shape = shape
        self.ready: deque[pa.Table] = deque()
        self.decide_columns: Callable[[pa.Table], Rows] | None = None  # decides the columns of what is not declared
        self.wanted = True
        self.done = False
        self._since: dict[Key, int] = {}  # when the version that was open was followed by another one, or ended
        self._added: set[Key] = set()  # keys of the versions that this run adds

    def begin(self, wanted: bool) -> None:
        """A run begins, in which somebody takes the versions, or nobody does."""
        self.wanted = wanted
        self._since.clear()
        self._added.clear()

    def rows(self, table: pa.Table, keys: Sequence[Key], times: Sequence[int]) -> None:
        """New versions, open for now."""
        import pyarrow as pa

        moment = table.schema.field("_changed_at").type
        bounds = table.append_column(pa.field(FROM, moment, nullable=False), table.column("_changed_at"))
        self.ready.append(bounds.append_column(pa.field(TO, moment), pa.nulls(table.num_rows, moment)))
        for key, second in zip(keys, times, strict=True):
            self._added.add((*key, str(second)))
            self.end(key, second)

    def end(self, key: Key, second: int) -> None:
        """The open version of a key has ended."""
        self._since[key] = min(second, self._since.get(key, second))

    def end_others(self, keys: Iterable[Key], second: int) -> None:
        """The open versions of these keys have ended, but for those of rows that were read."""
        for key in set(keys) - self._since.keys():
            self.end(key, second)

    def add_earlier(self, versions: dict[Key, list[WAEvent]], rows: RowBuilder, load_id: str | None) -> None:
        """Add versions that were followed by others before this run, by key, in any order."""
        import pyarrow as pa

        events, ends = [], []
        for key, several in versions.items():
            if key not in self._since:
                continue  # what followed was not taken
            chain = sorted((event for event in several if event.time < self._since[key]), key=lambda event: event.time)
            after_each = [*(event.time for event in chain[1:]), self._since[key]] if chain else []
            for event, after in zip(chain, after_each, strict=True):
                events.append(event)
                ends.append(after)
                self._added.add((*key, str(event.time)))
            if chain:
                self.end(key, chain[0].time)
        if events:
            prints = [fingerprint(event, False) for event in events]
            made = rows.build(events, load_id, prints)
            moment = made.schema.field("_changed_at").type
            bounds = made.append_column(pa.field(FROM, moment, nullable=False), made.column("_changed_at"))
            until = pa.array([second * 1_000_000 for second in ends], pa.int64()).cast(moment)
            self.ready.append(bounds.append_column(pa.field(TO, moment), until))

    def finish(self, stored: StoredRows | None, load_id: str | None, masked: bool = False) -> None:
        """Close the versions that the destination holds open; nothing comes after this.

        Args:
            stored: what the destination holds of the history.
            load_id: the dlt load that is under way.
            masked: all versions are written again, as what is left out or hashed of them has changed.
        """
        for rows in stored.closed(self._since, TO, FROM, load_id) if stored else ():
            self.ready.append(rows)
            self._added |= stored.keys_of(rows) if stored and masked else set()
        if stored and masked:
            self.ready.extend(stored.whole_rows(self._added.__contains__, load_id))
        self.done = True

    def items(self) -> Iterator[Any]:
        """What the resource of the history does: Arrow tables, and None while there is nothing yet."""
        any_ = False
        while self.ready or not self.done:
            any_ = any_ or bool(self.ready)
            if self.done or sum(part.num_rows for part in self.ready) >= ROWS_PER_TABLE:
                yield from self._tables()
            else:
                yield None
        self.done = False  # the source may be run again
        if not any_:
            yield from empty_table()

    def _tables(self) -> Iterator[Any]:
        import pyarrow as pa

        parts: list[pa.Table] = []
        undecided: list[pa.Table] = []
        while self.ready:
            part = self.ready.popleft()
            (undecided if UNDECIDED in part.column_names else parts).append(part)
        hints: dict[str, Any] = {}
        if undecided and self.decide_columns:
            made = self.decide_columns(pa.concat_tables(undecided))
            hints = {column.name: column.hint() for column in made.inferred}
            parts.append(made.table)
        if parts:
            table = pa.concat_tables(parts, promote_options="default")
            yield dlt.mark.with_hints(table, dlt.mark.make_hints(columns=hints)) if hints else table
