"""What a run tells while it runs."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stripe_source.extract.backfill.spans import BackfillProgress


class Progress(Protocol):
    """What a run tells while it runs. Calls come from several threads.

    Where it has a method `covered(table, coverage)` as well, that is told how far a table has been read: a `Coverage`
    with the share of its time line, and how many objects are probably left.
    """

    def tables(self, names: list[str]) -> None:
        """These tables will be read."""

    def page(self, table: str, objects: int) -> None:
        """So many more objects of a table were read."""

    def phase(self, name: str) -> None:
        """The run is at: "preparing", "reading", "loading" or "done"; a long one reads and loads several times."""


class Silent:
    """Says nothing."""

    def tables(self, names: list[str]) -> None: ...

    def page(self, table: str, objects: int) -> None: ...

    def phase(self, name: str) -> None: ...


def coverage_callback(progress: Progress) -> Callable[[str, BackfillProgress], None] | None:
    """What is told how far tables have been read, where it wants to know."""
    found: Callable[[str, BackfillProgress], None] | None = getattr(progress, "covered", None)
    return found
