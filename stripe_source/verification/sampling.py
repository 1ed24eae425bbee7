"""What a verification compares in each of its passes; a sample is made of spans of `created` drawn at random."""
from __future__ import annotations

import random
from collections.abc import Sequence

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

ROWS_PER_SPAN = 100  # rows of a span that a sample draws: one page of a list


def sampled_passes(
    tables: Sequence[Table], reader: RowReader, sample: int, seed: int | None
) -> list[dict[Table, Span]]:
    """The tables of each pass, with their spans: one pass for each span that is drawn, and one for all small tables.

    Args:
        tables: what is compared.
        reader: counts rows.
        sample: a table with more rows than this is drawn from, if its list can be asked for a span of `created`.
        seed: of the draw.
    """
    large = {
        table: count for table in tables
        if table.created and table.path and table.time and (count := reader.count(table, Span())) > sample
    }
    draw = random.Random(seed)
    passes: list[dict[Table, Span]] = []
    assigned: set[str] = set()
    for table, count in large.items():
        children = [
            child for child in tables
            if not child.path and child.name not in assigned and is_found_on(child, table)
        ]
        assigned |= {child.name for child in children}
        for span in _drawn_spans(table, count, reader, sample, draw):
            passes.append({each: span for each in (table, *children)})
    whole = {table: Span() for table in tables if table not in large and table.name not in assigned}
    return [whole, *passes] if whole else passes


def _drawn_spans(table: Table, count: int, reader: RowReader, sample: int, draw: random.Random) -> list[Span]:
    """Spans with about `sample` rows together; the table is cut into spans of `ROWS_PER_SPAN` stored rows each."""
    spans = -(-count // ROWS_PER_SPAN)
    drawn = sorted(draw.sample(range(spans), min(spans, -(-sample // ROWS_PER_SPAN))))
    ends = {end for number in drawn for end in (number, number + 1) if 0 < end < spans}  # the outer ends are open
    seconds = reader.edges(table, [end * ROWS_PER_SPAN for end in ends])
    found = []
    for number in drawn:
        low, high = seconds.get(number * ROWS_PER_SPAN), seconds.get((number + 1) * ROWS_PER_SPAN)
        if low is not None and low == high:
            high = low + 1  # one second has more rows than a span
        found.append(Span(low, high))
    return found


def is_found_on(child: Table, table: Table) -> bool:
    """Whether a table is found on objects of another, or on what is found there."""
    parents = [BY_NAME[found.parent] for found in child.placements if not found.fallback]
    return any(parent is table or (not parent.path and is_found_on(parent, table)) for parent in parents)
