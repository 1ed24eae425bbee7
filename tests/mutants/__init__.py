"""Wrong lines that the quick suite has to notice."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One wrong line, and the tests that fail with it.

    Args:
        old: a snippet that occurs once in the package, the sandbox left out.
        new: what stands there instead.
        found_by: a selection of pytest's, from the root on.
    """

    old: str
    new: str
    found_by: str
