"""Wrong lines that a careless change could bring, each with the tests that notice it: `python -m tests.mutants`."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Args:
        old: text of the package, which is there once.
        new: what it becomes.
        found_by: what pytest is told to run, such as `tests/test_limits.py -k "turns"`.
    """

    old: str
    new: str
    found_by: str
