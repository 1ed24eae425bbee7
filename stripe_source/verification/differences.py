"""Difference, Window, Comparison."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def same_findings(first: Comparison, second: Comparison) -> Comparison:
    """What two looks both found. Where Stripe itself said something else the second time, the difference is late."""
    again = {each.place: each for each in second.differences}
    kept = []
    for each in first.differences:
        if (other := again.get(each.place)) is not None:
            other.note = other.note or each.note
            other.late = each.kind == ALTERED and each.stripe != other.stripe
            kept.append(other)
    rows = {each.row for each in kept}
    windows = first.windows
    for window in windows:
        window.differing = len({e.row for e in kept if (e.created or "all")[:7] == window.window}) if rows else 0
    return Comparison(first.stripe, first.destination, kept, windows)


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


@dataclass
class Window:
    """A month of `created`, or all time ("all"): rows that are not deleted on either side, and rows that differ."""

    window: str
    stripe: int = 0
    destination: int = 0
    differing: int = 0


@dataclass
class Comparison:
    """How one table compares: rows on both sides, what differs, and where in time."""

    stripe: int = 0
    destination: int = 0
    differences: list[Difference] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    times: list[int] = field(default_factory=list)  # unix seconds in which rows that differ were created
    timeless: bool = False  # some of these rows do not say when
    capped: bool = False
