"""Makes tables with all their columns before the first row: at the start of a run, and for `schema migrate`."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dlt
from dlt.extract import DltResource

from stripe_source.arrow_rows.values import COLUMN_TYPES, arrow_type
from stripe_source.tables.schema_map import Column


def empty_table(cursor: Any = None) -> Iterator[Any]:
    """The items of a table that is to be made and gets no row: an Arrow table of its columns.

    dlt 1.31 has a mark for it, which fails where rows are merged by `upsert`: on Delta and Iceberg.
    """
    import pyarrow as pa

    resource = dlt.current.source().resources.get(dlt.current.resource_name())
    if resource is None:
        return  # a transformer alone takes its items
    hints: Any = resource.columns
    columns = [
        Column(name, hint["data_type"], None, precision=hint.get("precision"), scale=hint.get("scale"),
               nullable=hint.get("nullable", True))
        for name, hint in hints.items() if hint.get("data_type") in COLUMN_TYPES
    ]
    yield pa.schema([pa.field(each.name, arrow_type(each), each.nullable) for each in columns]).empty_table()


def create_tables(pipeline: dlt.Pipeline, resources: Iterable[DltResource]) -> None:
    """Let dlt make the tables of these resources, and the columns that they lack.

    dlt 1.31 wipes what a first run extracted when it is killed before the dataset exists; after this it does exist.
    """

    @dlt.source(name="stripe", section="stripe")
    def tables() -> Any:
        yield from resources

    pipeline.run(tables())
