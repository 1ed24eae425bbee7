"""Which rows a pass compares, which other tables are read with them, and how many requests a pass takes."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.extract.plan import ListPlan, plan_lists
from stripe_source.preflight.estimate import requests_of_child_lists, requests_of_list
from stripe_source.tables.registry import BY_NAME, parent_column
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Table


def scope_of(table: Table, span: Span) -> str:
    """Which stored rows are compared with what Stripe has in a span.

    "whole": all. "span": those created in it. "parents": those of the parents that were read. "found": those that
    Stripe showed, because nothing tells which others belong to the span.
    """
    if not span:
        return "whole"
    if table.path:
        without_time = "found" if table.created else "whole"  # the list takes a time that its objects do not show
        return "span" if table.time and not table.singleton else without_time
    plain = all(found.id == "id" and not found.of for found in table.placements)
    return "parents" if parent_column(table) and plain else "found"


def tables_read_besides(spans: Mapping[Table, Span], reader: RowReader) -> dict[Table, Span]:
    """Loaded tables that are read though they are not compared, as a run reads them.

    Some name what the list of a compared table hides. Others are embedded in its objects, and what is taken out of an
    object is not in its fingerprint.
    """
    besides: dict[Table, Span] = {}
    for table, span in spans.items():
        for found in table.placements:
            if found.fallback and reader.loaded(BY_NAME[found.parent]):
                besides.setdefault(BY_NAME[found.parent], Span())
        for child in BY_NAME.values():
            embedded = any(f.parent == table.name and f.at and not (f.expand or f.fallback) for f in child.placements)
            if embedded and reader.loaded(child):
                besides.setdefault(child, span)
    return {table: span for table, span in besides.items() if table not in spans}


def parents_of(spans: Mapping[Table, Span]) -> Iterator[tuple[Table, Span]]:
    """The tables whose ids tell which children belong to a pass; their lists are read anyway."""
    for table, span in spans.items():
        if not table.path and parent_column(table):
            for found in table.placements:
                parent = BY_NAME[found.parent]
                yield parent, span
                yield from parents_of({parent: span})


def expected_requests(tables: Mapping[Table, Span], reader: RowReader) -> int:
    """About how many requests it takes to read tables once, as far as the stored rows tell.

    Args:
        tables: what is read.
        reader: counts rows.
    """
    bounds = {table.name: span for table, span in tables.items()}
    singletons = set[str]()
    total = 0.0
    for root in plan_lists(list(tables)):
        table = root.table
        if table.singleton:
            singletons.add(table.path or "")
            continue
        spans = [bounds[wanted.name] for wanted in root.tables() if wanted.name in bounds]
        same_span = table.created and spans and all(span == spans[0] for span in spans)
        span = spans[0] if same_span else Span()
        total += sum(requests_of_list(table, reader.count(table, span)).values())
        total += _requests_for_children(root, span, reader)
    return round(total) + len(singletons)


def _requests_for_children(node: ListPlan, span: Span, reader: RowReader) -> float:
    """Requests for what is found on the objects of a list, and on what is found there."""
    total = 0.0
    for found, children in node.children.items():
        if found.at is None and found.child_path:
            parents = reader.count(node.table, span, found)
            lists = parents * (reader.count(BY_NAME[found.second_parent[0]], Span()) if found.second_parent else 1)
            total += sum(requests_of_child_lists(found, parents, lists).values())
        # a child with a list of its own counts by that
        total += sum(_requests_for_children(child, span, reader) for child in children if not child.table.path)
    return total


def named_tables(tables: Any) -> set[str]:
    """Names of tables that were selected one by one, not by a pattern."""
    words = re.split(r"[;,]", tables) if isinstance(tables, str) else tables or ()
    plain = [word.strip() for word in words if isinstance(word, str) and "%" not in word]
    return {table.name for word in plain if word for table in match_tables(word)}
