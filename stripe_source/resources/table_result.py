"""Counts and status of one table."""
from __future__ import annotations

from dataclasses import dataclass, field

CHANGES = "changes"  # the resource of the change feed; no table has that name


@dataclass
class TableResult:
    """What a run did to one table. Rows are counted; `unchanged` ones were read, and written again by a refresh only.

    `hidden` says which rows no list of Stripe's shows, so that they could not be read. `discarded` rows were kept out
    by the schema contract, and of `left_out` fields the values, so many of each. `resync_compared` objects were read
    again beside the change feed, and it had not told of `resync_different` of them. `other_kinds` are rows of kinds
    that no table is for, by Stripe's name of the object. `latest_activity` is the newest `_changed_at` of the rows that
    were written, in unix seconds.
    """

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    status: str = "ok"
    reason: str = ""
    marker: str | None = None
    inferred: list[str] = field(default_factory=list)
    hidden: str | None = None
    discarded: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    resync_compared: int = 0
    resync_different: int = 0
    other_kinds: dict[str, int] = field(default_factory=dict)
    latest_activity: int | None = None

    def note_activity(self, second: int | None) -> None:
        """Rows were written, the newest of which is of this unix second."""
        if second is not None:
            self.latest_activity = max(second, self.latest_activity or second)
