"""The comparison of two sides of a table in the scratch database: rows by key, then values column by column."""
from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timezone
from typing import Any

from stripe_source.tables.registry import parent_column
from stripe_source.tables.table import Table
from stripe_source.verification.compare.differences import ALTERED, EXTRA, MISSING, Difference, Findings, Window
from stripe_source.verification.compare.scratch_db import (
    ScratchDatabase,
    ScratchTable,
    key_reader,
    moment_of,
    quoted,
    readable_value,
)

MOST_DIFFERENCES = 100_000  # differences of one table that are named one by one; the others are counted
BOOKKEEPING = frozenset({"_dlt_load_id", "_changed_at", "_deleted"})  # say when and how a row came, not what it holds


def compare_sides(
    scratch: ScratchDatabase, table: Table, stripe: ScratchTable, destination: ScratchTable, *, extras: str | None
) -> Findings:
    """Compare the two sides of a table.

    Args:
        scratch: where both are.
        table: which one; its key tells rows apart.
        stripe: the rows that Stripe has.
        destination: the rows that the destination has, flagged ones too.
        extras: condition in SQL for rows that the destination should not have when Stripe does not have them; None:
            that is not known of any row.
    """
    comparison = _SideComparison(scratch, table, stripe, destination)
    comparison.find_missing()
    if extras is not None:
        comparison.find_extra(extras)
    comparison.find_duplicates()
    comparison.find_altered()
    comparison.count_windows()
    return comparison.findings


class _SideComparison:
    """The comparison of one table. In SQL the side of Stripe is `s`, that of the destination `d`."""

    def __init__(
        self, scratch: ScratchDatabase, table: Table, stripe: ScratchTable, destination: ScratchTable
    ) -> None:
        self._scratch, self._table, self._stripe, self._destination = scratch, table, stripe, destination
        self._key_columns = ["_account_id", *table.key]
        self._same_key = " AND ".join(
            f"s.{quoted(name)} IS NOT DISTINCT FROM d.{quoted(name)}" for name in self._key_columns)
        self._time = table.time if stripe.has_time(table.time) and destination.has_time(table.time) else None
        self._read_key = key_reader(stripe, table.key)
        self._rows_by_month: dict[str, set[tuple[Any, ...]]] = {}
        self.findings = Findings(
            scratch.number(f"SELECT count(*) FROM {stripe.name}"),
            scratch.number(f"SELECT count(*) FROM {destination.name} WHERE NOT _deleted"),
        )

    def find_missing(self) -> None:
        """Add the rows that Stripe has and the destination does not, or has flagged as deleted."""
        names = ", ".join(map(quoted, self._key_columns))
        not_flagged = f"(SELECT {names} FROM {self._destination.name} WHERE NOT _deleted)"
        flagged = f"EXISTS (SELECT 1 FROM {self._destination.name} d WHERE {self._same_key} AND _deleted)"
        columns = ", ".join([*self._key_of("s"), *self._time_and_parent_of("s"), flagged])
        for row in self._scratch.fetch(
            f"SELECT {columns} FROM {self._stripe.name} s ANTI JOIN {not_flagged} d ON {self._same_key}"
        ):
            *_, created, parent, is_flagged = row
            note = "flagged as deleted" if is_flagged else ""
            self._add(Difference(MISSING, self._read_key(row), note=note), created, parent)

    def find_extra(self, condition: str) -> None:
        """Add the rows that the destination has and Stripe does not."""
        columns = ", ".join([*self._key_of("d"), *self._time_and_parent_of("d")])
        for row in self._scratch.fetch(
            f"SELECT {columns} FROM {self._destination.name} d ANTI JOIN {self._stripe.name} s ON {self._same_key}"
            f" WHERE NOT d._deleted AND ({condition})"
        ):
            self._add(Difference(EXTRA, self._read_key(row)), *row[-2:])

    def find_duplicates(self) -> None:
        """Add the keys that the destination has more than once."""
        group = ", ".join(f"d.{quoted(name)}" for name in self._key_columns)
        facts = [f"min({column})" for column in self._time_and_parent_of("d")]
        columns = ", ".join([*self._key_of("d"), *facts, "count(*)"])
        for row in self._scratch.fetch(
            f"SELECT {columns} FROM {self._destination.name} d GROUP BY {group} HAVING count(*) > 1"
        ):
            *_, created, parent, count = row
            self._add(Difference(EXTRA, self._read_key(row), note=f"{count} rows have this key"), created, parent)

    def find_altered(self) -> None:
        """Add the values that differ in rows that both sides have."""
        named: set[tuple[Any, ...]] = set()  # a key that the destination has twice may differ twice in one column
        for difference, stripe_created, parent, stored_created in self._altered_values():
            if difference.place not in named:
                named.add(difference.place)
                if self._time and stripe_created is not None and stored_created is not None:
                    self.findings.created_seconds.append(stored_created // 1_000_000)
                self._add(difference, stripe_created, parent)

    def _altered_values(self) -> Iterator[tuple[Difference, int | None, str | None, int | None]]:
        """Each value that differs, with the row's creation at Stripe, its parent, and its creation as it is stored."""
        stripe, destination = self._stripe, self._destination
        not_compared = BOOKKEEPING | {"_account_id", *self._table.key}
        names = [name for name in {**stripe.columns, **destination.columns} if name not in not_compared]
        left = [f"s.{quoted(name)}" if name in stripe.columns else "NULL" for name in names]
        right = [f"d.{quoted(name)}" if name in destination.columns else "NULL" for name in names]
        facts = [*self._time_and_parent_of("s"), self._time_and_parent_of("d")[0]]
        first, count = len(self._table.key), len(names)
        for row in self._scratch.fetch_differing(
            stripe, destination, self._key_columns, left, right, [*self._key_of("s"), *left, *right, *facts]
        ):
            wanted, stored = row[first:first + count], row[first + count:first + 2 * count]
            for name, value, stored_value in zip(names, wanted, stored, strict=True):
                data_type = (stripe.columns.get(name) or destination.columns[name]).data_type
                if value != stored_value and not (data_type == "json" and same_json(value, stored_value)):
                    difference = Difference(
                        ALTERED, self._read_key(row), name, readable_value(value, data_type),
                        readable_value(stored_value, data_type),
                    )
                    yield difference, *row[-3:]

    def count_windows(self) -> None:
        """Count the rows of both sides, and those that differ, by month of their creation."""
        windows: dict[str, Window] = {}
        month = f"strftime(make_timestamp({quoted(self._time)}), '%Y-%m')" if self._time else "NULL"
        for side, side_table, where in (
            ("stripe", self._stripe, ""), ("destination", self._destination, " WHERE NOT _deleted")
        ):
            query = f"SELECT {month}, count(*) FROM {side_table.name}{where} GROUP BY 1"
            for name, number in self._scratch.fetch(query):
                setattr(windows.setdefault(name or "all", Window(name or "all")), side, number)
        for name, rows in self._rows_by_month.items():
            windows.setdefault(name, Window(name)).differing = len(rows)
        self.findings.windows = [windows[name] for name in sorted(windows)]

    def _add(self, difference: Difference, created: int | None, parent: str | None) -> None:
        """Add a difference, with the row's creation (microseconds) and parent."""
        findings = self.findings
        if len(findings.differences) >= MOST_DIFFERENCES:
            findings.capped = True
            return
        difference.parent = parent
        month = "all"
        if created is None:
            findings.some_without_time = True
        else:
            moment = moment_of(created)
            difference.created = moment.isoformat()
            month = moment.astimezone(timezone.utc).strftime("%Y-%m")
            findings.created_seconds.append(created // 1_000_000)
        findings.differences.append(difference)
        self._rows_by_month.setdefault(month, set()).add(difference.row)

    def _key_of(self, side: str) -> list[str]:
        return [f"{side}.{quoted(name)}" for name in self._table.key]

    def _time_and_parent_of(self, side: str) -> list[str]:
        return [f"{side}.{quoted(name)}" if name else "NULL" for name in (self._time, parent_column(self._table))]


def same_json(one: str | None, other: str | None) -> bool:
    """Whether two texts are the same JSON, whatever the order of keys and the blanks.

    >>> same_json('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'), same_json('{"a": 1}', '{"a": true}')
    (True, False)
    """
    if one is None or other is None:
        return one is other
    try:
        return _canonical(one) == _canonical(other)
    except (ValueError, RecursionError):
        return one == other


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True)
