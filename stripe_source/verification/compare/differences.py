"""What a comparison found: each difference, the months of `created` that were compared, and both for one table."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MISSING, EXTRA, ALTERED = "missing", "extra", "altered"


@dataclass
class Difference:
    """One thing that differs.

    Args:
        kind: "missing" (Stripe has the row and the destination does not, or has it flagged as deleted), "extra" (the
            destination has it and Stripe does not), or "altered" (a column holds something else).
        key: the columns that tell the row apart, with their values.
        column: the column of an altered row.
        stripe: what the column should hold.
        destination: what it holds.
        note: more about it.
        late: it came about after the last load: it is not loaded yet.
        created: when the object was created, where it says (UTC).
        parent: id of the object that it belongs to, for tables of children.
    """

    kind: str
    key: dict[str, Any]
    column: str | None = None
    stripe: Any = None
    destination: Any = None
    note: str = ""
    late: bool = False
    created: str | None = None
    parent: str | None = None

    @property
    def row(self) -> tuple[Any, ...]:
        """The key's values."""
        return tuple(self.key.values())

    @property
    def place(self) -> tuple[Any, ...]:
        """What tells one difference of a table from another."""
        return (self.kind, self.row, self.column)

    @property
    def month(self) -> str:
        """The month in which the object was created; "all" where it does not say."""
        return (self.created or "all")[:7]


@dataclass
class Window:
    """A month of `created`, or all time ("all"): rows that are not deleted on either side, and rows that differ."""

    window: str
    stripe: int = 0
    destination: int = 0
    differing: int = 0


@dataclass
class Findings:
    """How one table compares.

    Args:
        stripe: rows that Stripe has.
        destination: rows that the destination has, without those that it flags as deleted.
        differences: each thing that differs.
        windows: both counts by month.
        created_seconds: unix seconds in which rows that differ were created.
        some_without_time: some rows that differ do not say when they were created.
        capped: there are more differences than these.
    """

    stripe: int = 0
    destination: int = 0
    differences: list[Difference] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    created_seconds: list[int] = field(default_factory=list)
    some_without_time: bool = False
    capped: bool = False


def found_twice(first: Findings, second: Findings) -> Findings:
    """Keep the differences that two passes both found.

    A difference is late where Stripe itself said something else in the second pass.
    """
    seen_again = {difference.place: difference for difference in second.differences}
    confirmed = []
    for difference in first.differences:
        if (again := seen_again.get(difference.place)) is not None:
            again.note = again.note or difference.note
            again.late = difference.kind == ALTERED and difference.stripe != again.stripe
            confirmed.append(again)
    windows = first.windows
    for window in windows:
        window.differing = len({each.row for each in confirmed if each.month == window.window})
    return Findings(first.stripe, first.destination, confirmed, windows)


def merged(*several: list[Window]) -> list[Window]:
    """Add up windows of the same month."""
    sums: dict[str, Window] = {}
    for window in (window for windows in several for window in windows):
        total = sums.setdefault(window.window, Window(window.window))
        total.stripe += window.stripe
        total.destination += window.destination
        total.differing += window.differing
    return [sums[month] for month in sorted(sums)]
