"""What reports the progress of a run: `Progress`, which a caller may implement."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stripe_source.extract.backfill.spans import BackfillProgress


class Progress(Protocol):
    """Reports the progress of a run. It is called from several threads.

    If it has a method `covered(table, progress)` as well, this is called with how far a table has been read: a
    `BackfillProgress` with the share of its time line, and how many objects are probably left.
    """

    def tables(self, names: list[str]) -> None:
        """These tables will be read."""

    def page(self, table: str, objects: int) -> None:
        """So many more objects of a table were read."""

    def phase(self, name: str) -> None:
        """A phase begins: "preparing", "reading", "loading" or "done"; a long run reads and loads several times."""


class Silent:
    """Reports nothing."""

    def tables(self, names: list[str]) -> None: ...

    def page(self, table: str, objects: int) -> None: ...

    def phase(self, name: str) -> None: ...


def coverage_callback(progress: Progress) -> Callable[[str, BackfillProgress], None] | None:
    """The method `covered` of a progress, where it has one."""
    method: Callable[[str, BackfillProgress], None] | None = getattr(progress, "covered", None)
    return method
