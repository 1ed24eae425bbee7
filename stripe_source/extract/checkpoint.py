"""How far a first load has come, list by list, so that it goes on where it was cut short."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stripe_source.extract.plan import ListPlan
from stripe_source.extract.table_request import EVENTS_KEPT, TableRequest


@dataclass(frozen=True)
class BackfillCheckpoint:
    """A list whose first reading has begun.

    Args:
        tables: what is taken from it.
        position: the unix second before the first page: events from here on tell what has changed since.
        start: the bounds that were asked for, unix seconds.
        end: likewise.
        reread: everything was to be read again.
        until: up to which second it is read.
        gaps: what is missing, by pass, as [low, high) in unix seconds; of a pass that has not begun nothing is there.
        failed_parents: by table and by the parents' table, ids of parents whose objects could not be read.
    """

    tables: tuple[str, ...]
    position: int
    start: int | None = None
    end: int | None = None
    reread: bool = False
    until: int = 0
    gaps: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    failed_parents: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def missing(self, number: str, until: int) -> list[tuple[int, int]] | None:
        """What is missing of a pass, with what has come since; None: all of it."""
        if number not in self.gaps:
            return None
        before = [(low, min(high, self.until)) for low, high in self.gaps[number] if low < self.until]
        return [*before, *([(self.until, until)] if until > self.until else [])]

    @classmethod
    def load(cls, words: Mapping[str, Any]) -> BackfillCheckpoint:
        """Read what `asdict` wrote."""
        gaps = {number: tuple((low, high) for low, high in gaps) for number, gaps in words["gaps"].items()}
        return cls(**{**words, "tables": tuple(words["tables"]), "gaps": gaps})

    def asdict(self) -> dict[str, Any]:
        """As dlt's state keeps it."""
        return {
            "tables": list(self.tables), "position": self.position, "start": self.start, "end": self.end,
            "reread": self.reread, "until": self.until,
            "gaps": {number: [list(gap) for gap in gaps] for number, gaps in self.gaps.items()},
            **({"failed_parents": self.failed_parents} if self.failed_parents else {}),
        }


def resumable(
    before: Mapping[str, BackfillCheckpoint], roots: Iterable[ListPlan], asks: Mapping[str, TableRequest], now: int
) -> dict[str, BackfillCheckpoint]:
    """The lists that need not be read from the beginning, because a first load of the same tables had begun to.

    Args:
        before: how far it came.
        roots: the lists that are to be read.
        asks: what is wanted of each table.
        now: unix second.
    """
    found = {}
    for root in roots:
        begun = before.get(root.table.name)
        taken = [asks[table.name] for table in root.tables()]
        if begun and all(
            ask.table.name in begun.tables and ask.position is None and ask.reread == begun.reread
            and (ask.since, ask.until) == (begun.start, begun.end) for ask in taken
        ) and now - begun.position < EVENTS_KEPT:
            found[root.table.name] = begun
    return found


def new_checkpoints(
    roots: Iterable[ListPlan], asks: Mapping[str, TableRequest], now: int
) -> dict[str, BackfillCheckpoint]:
    """The lists that are read for the first time, and whose reading may be cut short.

    Where the destination holds rows already, what is gone is found by all that was read; so those are read in one go.
    """
    found = {}
    for root in roots:
        taken = [asks[table.name] for table in root.tables()]
        bounds = {(ask.since, ask.until, ask.reread) for ask in taken}
        whole = all(
            ask.first_load and ask.position is None and ask.after_id is None for ask in taken
        )
        if root.table.created and whole and len(bounds) == 1:
            (start, end, again), = bounds
            found[root.table.name] = BackfillCheckpoint(
                tuple(ask.table.name for ask in taken), now, start, end, again, until=end or now + 1
            )
    return found
