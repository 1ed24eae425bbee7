"""The dlt resource of a table, with all hints, and the class of the source."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dlt
from dlt.extract import DltResource, DltSource

from stripe_source.dlt_patches.tables import OBJECT_HINT
from stripe_source.errors import NotPickled
from stripe_source.options import Options
from stripe_source.resources.declaration.row_functions import CurrentRun, StripeResource
from stripe_source.resources.history import versions_map
from stripe_source.resources.marker import MARKERS
from stripe_source.resources.outbox import waevents_map
from stripe_source.tables.schema_map import TableMap, table_map
from stripe_source.tables.table import Table


class StripeSource(NotPickled, DltSource):
    """The source; it is made in the process that runs it."""


def history_resource(shape: TableMap, rows: Callable[[], Iterator[Any]]) -> DltResource:
    """The resource of the versions of a table.

    Args:
        shape: the map of the table.
        rows: makes its items.
    """
    return _following_resource(versions_map(shape), rows)


def waevents_resource(shape: TableMap, rows: Callable[[], Iterator[Any]]) -> DltResource:
    """The resource of the WAEvents of a table.

    Args:
        shape: the map of the table.
        rows: makes its items.
    """
    return _following_resource(waevents_map(shape), rows)


def _following_resource(shape: TableMap, rows: Callable[[], Iterator[Any]]) -> DltResource:
    """A resource that gets what another one leaves for it."""
    def items() -> Iterator[Any]:
        yield from rows()

    columns: Any = shape.hints()
    made: DltResource = dlt.resource(
        items, name=shape.table.name, primary_key=list(shape.key), write_disposition="merge", columns=columns,
        file_format="parquet", section="stripe", schema_contract="evolve",  # it follows its table
    )
    return made.apply_hints(additional_table_hints=_table_hints(shape))


def table_resource(
    options: Options, shape: TableMap, rows: Callable[..., Iterator[Any]], run: CurrentRun[Any] | None = None
) -> DltResource:
    """The resource of one table.

    Args:
        options: of the source.
        shape: the map of the table.
        rows: makes its items; called with dlt's cursor where the table goes by `created`.
        run: the reading that it takes part in.
    """
    marker = MARKERS[options.markers[shape.table.name]]
    if (cursor := marker.cursor(options, shape.table)) is not None:

        def items(cursor: Any = cursor) -> Iterator[Any]:
            yield from rows(cursor)
    else:

        def items() -> Iterator[Any]:  # type: ignore[misc]  # dlt finds the cursor among the parameters
            yield from rows()

    made = describe_resource(shape, items, hard=options.deletes == "hard")
    made.run = run
    return made


def report_resource(
    table: Table, rows: Callable[[], Iterator[Any]], run: CurrentRun[Any] | None = None
) -> DltResource:
    """The resource of a financial report, whose rows replace those of the same interval or payout.

    Args:
        table: the entry of the report.
        rows: makes its items.
        run: the reading that it takes part in.
    """
    def items() -> Iterator[Any]:
        yield from rows()

    shape = table_map(table)
    columns: Any = shape.hints()
    resource: Any = dlt.resource(
        items, name=table.name, merge_key=list(shape.key), write_disposition="merge", columns=columns,
        file_format="parquet", section="stripe", _impl_cls=StripeResource,
    )
    made: StripeResource = resource.apply_hints(additional_table_hints=_table_hints(shape))
    made.run = run
    return made


def describe_resource(shape: TableMap, items: Callable[..., Iterator[Any]], hard: bool = False) -> StripeResource:
    """The resource of one table, with all that its map says of it.

    Args:
        shape: the map of the table.
        items: makes its items.
        hard: rows that are gone are removed.
    """
    table = shape.table
    columns: Any = shape.hints()
    references: Any = shape.references()
    if hard:
        columns["_deleted"]["hard_delete"] = True
    resource: Any = dlt.resource(
        items, name=table.name, primary_key=list(shape.key), write_disposition="merge", columns=columns,
        file_format="parquet", references=references, section="stripe", _impl_cls=StripeResource,
    )
    made: StripeResource = resource.apply_hints(additional_table_hints=_table_hints(shape))
    return made


def _table_hints(shape: TableMap) -> Any:
    """What a table says of itself, besides its columns."""
    return {"description": shape.description, OBJECT_HINT: ", ".join(shape.table.object)}
