"""All that this source changes in dlt: for how long, and for which pipeline.

There are two kinds:

- Settings of a pipeline's own destination object, by dlt's official ways (`prepare_destination`): capabilities, and
  destinations and job clients derived from dlt's. They hold as long as the pipeline object, for our tables only.
- Patches, which replace a function of dlt in the whole process (`performance.py`). They are entered with a run and
  left with it; the runs of several threads share them. They change no result.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from stripe_source.dlt_patches.performance import PATCHES
from stripe_source.dlt_patches.quiet_log import hide_expected_warnings
from stripe_source.dlt_patches.tables import is_ours

if TYPE_CHECKING:
    import dlt


@contextmanager
def dlt_patches(pipeline: dlt.Pipeline, *, to_the_end: bool = True) -> Iterator[None]:
    """Let a pipeline load our tables rightly, and faster, until this is left.

    Args:
        pipeline: whose run it is.
        to_the_end: all that is read is loaded before this is left, or by a later run that enters it as well. So files
            may have a format that only jobs of ours load rightly.
    """
    with ExitStack() as stack:
        prepare_destination(pipeline)
        if to_the_end:
            stack.enter_context(_faster_format(pipeline))
        for change in (hide_expected_warnings, *PATCHES):
            stack.enter_context(change())
        yield


def prepare_destination(pipeline: dlt.Pipeline) -> None:
    """Give a pipeline's destination the settings by which our tables arrive as they are, in this and later loads.

    A second time it does nothing. Only dlt's own destination classes are concerned, not classes derived from them.
    """
    from dlt import destinations

    destination: Any = pipeline.destination
    if type(destination) is destinations.postgres:
        from stripe_source.dlt_patches.postgres import CsvPostgres, inserts_for_our_tables

        pipeline.destination = destination = _derived(destination, CsvPostgres)
        destination.caps_params.setdefault("loader_file_format_selector", inserts_for_our_tables)
    elif type(destination) is destinations.duckdb:
        from stripe_source.dlt_patches.duckdb import MERGE_FROM_PARQUET, MergingDuckDb

        if MERGE_FROM_PARQUET.usable():
            pipeline.destination = _derived(destination, MergingDuckDb)
    elif type(destination) is destinations.sqlalchemy:
        from stripe_source.dlt_patches.sqlalchemy import type_mapper

        destination.caps_params.setdefault("type_mapper", type_mapper)
    elif type(destination) is destinations.bigquery:
        destination.caps_params.setdefault("loader_file_format_selector", json_lines_for_json)
    elif type(destination) is destinations.filesystem and not destination.is_hf:
        from stripe_source.dlt_patches.iceberg import MergingFilesystem

        pipeline.destination = _derived(destination, MergingFilesystem)


def json_lines_for_json(preferred: Any, supported: Sequence[Any], /, *, table_schema: Any) -> tuple[Any, Sequence[Any]]:
    """Select lines of JSON for our tables with JSON columns, which dlt does not load from Parquet into BigQuery."""
    has_json = is_ours(table_schema) and any(
        hint.get("data_type") == "json" for hint in table_schema["columns"].values()
    )
    return ("jsonl", ["jsonl"]) if has_json and "jsonl" in supported else (preferred, supported)


def _derived(destination: Any, derived: Any) -> Any:
    """A destination like another one, of a class that is derived from its class."""
    return derived(**destination.config_params, **destination.caps_params)


@contextmanager
def _faster_format(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Let a Postgres destination take our tables as CSV, unless its file format was chosen."""
    from dlt import destinations

    if not isinstance(pipeline.destination, destinations.postgres):
        yield
        return
    from stripe_source.dlt_patches.postgres import COPY_CSV, CsvPostgres, csv_for_our_tables, inserts_for_our_tables

    key, capabilities = "loader_file_format_selector", pipeline.destination.caps_params
    ours = isinstance(pipeline.destination, CsvPostgres) and capabilities.get(key) is inserts_for_our_tables
    if ours and COPY_CSV.usable():
        capabilities[key] = csv_for_our_tables
    try:
        yield
    finally:
        if ours:
            capabilities[key] = inserts_for_our_tables
