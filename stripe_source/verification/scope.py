"""Which rows a pass covers, and its cost."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.extract.plan import ListPlan, plan_lists
from stripe_source.tables.registry import BY_NAME, parent_column
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Table


def scope_of(table: Table, span: Span) -> str:
    """Which rows of the destination a look at a span of Stripe is compared with.

    "whole": all. "span": those created in it. "parents": those of the parents that were read. "found": those that
    Stripe showed, because it cannot be told which others belong to the span.
    """
    if not span:
        return "whole"
    if table.path:
        timed = "found" if table.created else "whole"  # asked for by a time that its objects do not show
        return "span" if table.time and not table.singleton else timed
    plain = all(found.id == "id" and not found.of for found in table.placements)
    return "parents" if parent_column(table) and plain else "found"


def tables_read_besides(spans: Mapping[Table, Span], back: RowReader) -> dict[Table, Span]:
    """Loaded tables that are read though they are not compared, as a run reads them.

    Some name what the list of a compared table hides. Others are embedded in its objects, and what is taken out of an
    object is not in its fingerprint.
    """
    besides: dict[Table, Span] = {}
    for table, span in spans.items():
        for found in table.placements:
            if found.fallback and back.loaded(BY_NAME[found.parent]):
                besides.setdefault(BY_NAME[found.parent], Span())
        for child in BY_NAME.values():
            embedded = any(f.parent == table.name and f.at and not (f.expand or f.fallback) for f in child.placements)
            if embedded and back.loaded(child):
                besides.setdefault(child, span)
    return {table: span for table, span in besides.items() if table not in spans}


def parents_of(spans: Mapping[Table, Span]) -> Iterator[tuple[Table, Span]]:
    """The tables whose ids tell which children belong to a look; their lists are read anyway."""
    for table, span in spans.items():
        if not table.path and parent_column(table):
            for found in table.placements:
                parent = BY_NAME[found.parent]
                yield parent, span
                yield from parents_of({parent: span})


# ---- cost


def expected_requests(tables: Mapping[Table, Span], back: RowReader) -> int:
    """About how many requests it takes to read tables once, as far as the rows of the destination tell.

    Args:
        tables: what is read.
        back: counts rows.
    """
    bounds = {table.name: span for table, span in tables.items()}
    total, singletons = 0, set[str]()

    def below(node: ListPlan, span: Span) -> int:
        cost = 0
        for found, kinds in node.children.items():
            if found.at is None and found.child_path:
                owners = back.count(node.table, span, found)
                cost += owners * (back.count(BY_NAME[found.second_parent[0]], Span()) if found.second_parent else 1)
            cost += sum(below(kind, span) for kind in kinds if not kind.table.path)  # those count by their lists
        return cost

    for root in plan_lists(list(tables)):
        table = root.table
        if table.singleton:
            singletons.add(table.path or "")
            continue
        spans = [bounds[taker.name] for taker in root.tables() if taker.name in bounds]
        span = spans[0] if table.created and spans and all(each == spans[0] for each in spans) else Span()
        rows = back.count(table, span)
        total += max(1, -(-rows // (table.limit or 100))) + len(table.variants) - 1 + len(table.extra_paths)
        total += (rows if table.include else 0) + below(root, span)
    return total + len(singletons)


def named_tables(tables: Any) -> set[str]:
    """Names of tables that were asked for one by one, not by a pattern."""
    words = re.split(r"[;,]", tables) if isinstance(tables, str) else tables or ()
    plain = [word.strip() for word in words if isinstance(word, str) and "%" not in word]
    return {table.name for word in plain if word for table in match_tables(word)}
