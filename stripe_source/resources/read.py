"""What the resources do when dlt asks them for items."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from stripe_source.resources.declaration.selection import extracted_names, refuse_cursor
from stripe_source.resources.ground.check import void_state
from stripe_source.resources.marker import MARKERS, open_cursor
from stripe_source.resources.run import Extraction
from stripe_source.resources.state import SourceState, TableState
from stripe_source.tables.schema_map import TableMap


def read_table(run: Extraction, shape: TableMap, cursor: Any = None) -> Iterator[Any]:
    """The items of the resource of a table: rows as Arrow tables; None while Stripe has not answered yet.

    Args:
        run: the reading that all resources share.
        shape: the map of the table.
        cursor: dlt's cursor, where the table's marker has one.
    """
    name, options = shape.table.name, run.options
    source, own = dlt.current.source_state(), dlt.current.resource_state()
    if name in run.unfinished:
        open_cursor(cursor, run.resume(source, name))
    else:
        run.begin(source)
        if cursor is None:
            refuse_cursor(name, options.markers[name])
        ground = run.ground.of(name)
        void_state(own, cursor, ground)
        request = MARKERS[options.markers[name]].request(
            options, shape.table, TableState.load(own), SourceState.load(source).feed_state, cursor=cursor,
            first_load=run.is_first_load(name),
            reread=options.again(shape.table) or bool(ground.void and not ground.fresh),
        )
        open_cursor(cursor, request.since)
        run.register(request, extracted_names(), source)
    closed = True
    try:
        while run.extractor is None:
            yield None
        yield from run.load_table(shape, source, own)
        closed = False
    finally:
        run.finish(name, closed)
        if outbox := run.outbox_of(shape):
            outbox.done = True


def read_waevents(run: Extraction, shape: TableMap) -> Iterator[Any]:
    """The items of the resource of a table's WAEvents; none where nobody takes the table itself.

    Args:
        run: the reading that all resources share.
        shape: the map of the table.
    """
    outbox = run.outbox_of(shape)
    if outbox and shape.table.name in extracted_names():
        yield from outbox.items()


def read_changes(run: Extraction) -> Iterator[Any]:
    """The items of the resource `changes`: none. It keeps the change feed going while that is read."""
    if not run.options.markers.keys() & extracted_names():
        return  # it feeds other tables, and has no rows of its own
    while run.extractor is None or _goes_on(run):
        if run.extractor:
            run.extractor.channel.answer_questions()
        yield None
    if run.extractor.feed:
        feed = run.extractor.feed
        dlt.current.resource_metrics().update({"events": feed.read, "asked": feed.refetched})


def _goes_on(run: Extraction) -> bool:
    """Whether this load takes more of what is read."""
    channel = run.extractor.channel if run.extractor else None
    return channel is not None and not run.creating_tables and channel.reading and channel.checkpoint is None
