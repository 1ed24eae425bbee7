"""Spans drawn at random."""
from __future__ import annotations

from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

ROWS_PER_SPAN = 100  # rows of a span that a sample draws: one page of a list


def paths_below(child: Table, root: Table) -> bool:
    """Whether a table is found on objects of another, or on what is found there."""
    parents = [BY_NAME[found.parent] for found in child.placements if not found.fallback]
    return any(parent is root or (not parent.path and paths_below(parent, root)) for parent in parents)
