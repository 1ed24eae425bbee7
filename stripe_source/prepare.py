"""Makes tables with all their columns before the first row: at the start of a run, and for `schema migrate`."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import dlt
from dlt.extract import DltResource


def empty(cursor: Any = None) -> Iterator[Any]:
    """The items of a table that is to be made and gets no row."""
    yield dlt.mark.materialize_table_schema()


def make_tables(pipeline: dlt.Pipeline, resources: Iterable[DltResource]) -> None:
    """Let dlt make the tables of these resources, and the columns that they lack.

    dlt 1.31 wipes what a first run extracted when it is killed before the dataset exists; after this it does exist.
    """

    @dlt.source(name="stripe", section="stripe")
    def tables() -> Any:
        yield from resources

    pipeline.run(tables(), loader_file_format="parquet")
