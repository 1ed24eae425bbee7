"""Reads Stripe for a reader of a program: all of it once, or onwards from a position in each poll."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from stripe_source.arrow_rows.waevent import INSERT, SELECT, WAEvent
from stripe_source.errors import InvalidOption
from stripe_source.generators import waevents
from stripe_source.striim.tql.columns import StriimTable, match_striim
from stripe_source.striim.tql.model import StripeReader
from stripe_source.striim.tql.run.events import TableEvent, table_event
from stripe_source.tables.registry import embedded_tables

LOOKBACK = 600  # seconds behind a position that are read again: Stripe's lists show some objects late


@dataclass
class Position:
    """How far a table was read.

    Args:
        created: the newest `created`, in unix seconds.
        recent: ids of the objects of the last `LOOKBACK` seconds, with their `created`.
        most: so many ids, and it is time to forget.
    """

    created: int
    recent: dict[str, int] = field(default_factory=dict)
    most: int = 20_000

    def take(self, event: WAEvent) -> bool:
        """Note an object; whether it is new."""
        name, created = str(event.data.get("id")), event.data.get("created")
        if not isinstance(created, int):
            return True
        if name in self.recent:
            return False
        self.created = max(self.created, created)
        self.recent[name] = created
        if len(self.recent) >= self.most:
            self.prune()
            self.most = max(self.most, 2 * len(self.recent))
        return True

    def prune(self) -> None:
        """Forget the objects that are not read again."""
        begin = self.created - LOOKBACK
        self.recent = {name: created for name, created in self.recent.items() if created >= begin}


class Reading:
    """The polls of a reader.

    Args:
        reader: what is read.
        options: of the command line: the address, the share of the limits and the like.
        positions: by native table, how far it was read; it is kept up to date.
    """

    def __init__(self, reader: StripeReader, options: dict[str, Any], positions: dict[str, Position]) -> None:
        self._reader = reader
        self._options = options
        self._positions = positions
        self._tables: defaultdict[str, list[StriimTable]] = defaultdict(list)
        for name in reader.tables:
            for table in match_striim(name)[0]:
                self._tables[table.table.name].append(table)
        self.problems: dict[str, str] = {}
        self._reached: dict[str, Position] = {}

    @property
    def tables(self) -> list[StriimTable]:
        """What is read, by Striim's names."""
        return [table for tables in self._tables.values() for table in tables]

    def poll(self) -> Iterator[TableEvent]:
        """One poll: everything, or what came since the last one. Positions move with `commit`.

        Raises:
            AuthenticationError: Stripe refuses the key.
        """
        self.problems.clear()
        self._reached.clear()
        for start, names in self._together():
            problems: dict[str, str] = {}
            begun = {name: Position(start or 0, dict(self._positions[name].recent) if name in self._positions else {})
                     for name in names}
            for event in waevents(names, problems=problems, start=start, **self._stripe_options()):
                if self._marker(event.table) and not begun[event.table].take(event):
                    continue
                for table in self._tables[event.table]:
                    yield table_event(table, event, INSERT if self._reader.incremental else SELECT)
            self.problems.update(problems)
            for name in names:
                if self._marker(name) and name not in problems:
                    before = self._positions.get(name)
                    begun[name].created = max(begun[name].created, before.created if before else 0)
                    begun[name].prune()
                    self._reached[name] = begun[name]

    def commit(self) -> None:
        """Move the positions: all targets have what the poll has read."""
        self._positions.update(self._reached)

    def _marker(self, native: str) -> str | None:
        """What a native table goes by; several tables of Striim's may be one of ours: the whole is read for one."""
        tables = self._tables[native]
        markers = {self._reader.markers.get(table.name) for table in tables}
        return "created" if self._reader.incremental and markers == {"created"} else None

    def _by_start(self) -> dict[int | None, list[str]]:
        """The tables by where their reading begins: those of one beginning are read side by side."""
        found: defaultdict[int | None, list[str]] = defaultdict(list)
        for native, tables in self._tables.items():
            begin: int | None = None
            if self._marker(native):
                position = self._positions.get(native)
                first = min(self._reader.start.get(table.name, 0) for table in tables)
                begin = max(position.created - LOOKBACK if position else 0, first) or None
            found[begin].append(native)
        return dict(found)

    def _together(self) -> Iterator[tuple[int | None, list[str]]]:
        """The tables that are read together, with where that begins.

        A table is not read with those whose objects are in lists of its objects: these lists would be taken out of
        them, and columns of Striim's have what is in them.
        """
        for start, names in self._by_start().items():
            inside = {child for name in names for child in embedded_tables(name)}
            for some in ([name for name in names if name not in inside], [name for name in names if name in inside]):
                if some:
                    yield start, some

    def _stripe_options(self) -> dict[str, Any]:
        reader = self._reader
        given = {
            "api_key": reader.api_key, "account_id": reader.account_id, "api_base": reader.api_base,
            "client_id": reader.client_id, "client_secret": reader.client_secret,
            "refresh_token": reader.refresh_token,
        }
        return {**self._options, **{name: value for name, value in given.items() if value is not None}}


def check_tables(reader: StripeReader) -> None:
    """Refuse a reader that names what is no table.

    Raises:
        InvalidOption: it does.
    """
    for name in reader.tables:
        if not match_striim(name)[0]:
            raise InvalidOption("tables", name, reason="There is no such table that can be read.")
