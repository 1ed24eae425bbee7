"""What a resource does when dlt asks."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from stripe_source.extract.table_request import TableRequest
from stripe_source.resources.run import Extraction
from stripe_source.resources.table_result import CHANGES
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.schema_map import TableMap


def read_changes(run: Extraction) -> Iterator[Any]:
    """What the resource `changes` does: it keeps the change feed going while it is read, and has its figures."""
    if set(dlt.current.source().resources.selected) == {CHANGES}:
        return  # it feeds other tables, and has no rows of its own
    while run.extractor is None or (not run.creating_tables and run.extractor.channel.reading and run.extractor.channel.checkpoint is None):
        if run.extractor:
            run.extractor.channel.answer_questions()
        yield None
    if run.extractor.feed:
        dlt.current.resource_metrics().update({"events": run.extractor.feed.read, "asked": run.extractor.feed.asked})


def read_table(run: Extraction, shape: TableMap, cursor: Any = None) -> Iterator[Any]:
    """What the resource of a table does: rows as Arrow tables; None while Stripe has not answered yet."""
    table, o = shape.table, run.options
    name, marker = table.name, o.markers[table.name]
    state, own = dlt.current.source_state(), dlt.current.resource_state()
    if name in run.unfinished:
        run.resume(state)
        yield from load_table(run, shape, state, own)
        return
    since, after_id = o.start, None
    if cursor is not None and cursor.start_value is not None:
        since = max(0, int(cursor.start_value.timestamp())) or None
    if marker == "id" and not o.again(table) and o.end is None:
        after_id, since = own.get("id"), own.get("id_created", o.start)
    feeds = marker == EVENTS_MARKER and o.end is None
    goes_on = not o.again(table) and covers_start(own.get("start"), o.start)
    if name in o.history and not own.get("history"):
        goes_on = False  # every row is a version, for once
    position = own.get("position") if feeds and goes_on else None
    at_last = state.get("feed", {}).get("at")
    run.register(
        TableRequest(
            table, since, o.end, after_id, ordered=marker == "created",
            follows_parents=marker == "parents" and bool(own.get("loaded")) and not o.again(table),
            by_change_feed=feeds, position=position, last_full_read=own.get("whole_at"), refused=bool(own.get("refused")),
            settled=position is not None and position == at_last and not own.get("whole"),
            missed_last_run=position is not None and position != at_last, first_load=run.is_first_load(name), reread=o.again(table),
        ),
        list(dlt.current.source().resources.selected), state,
    )
    yield from load_table(run, shape, state, own)


def load_table(run: Extraction, shape: TableMap, state: dict[str, Any], own: dict[str, Any]) -> Iterator[Any]:
    closed = True
    try:
        while run.extractor is None:
            yield None
        yield from run.load_table(shape, state, own)
        closed = False
    finally:
        run.finish(shape.table.name, closed)


def covers_start(before: int | None, start: int | None) -> bool:
    """Whether what was loaded from a bound on, or from the beginning, holds all that is wanted now."""
    return before is None or (start is not None and start >= before)
