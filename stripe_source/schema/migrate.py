"""`schema_migrate`: creates tables with all columns in a destination before the first row, without reading Stripe."""
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import dlt
from dlt.extract import DltResource

from stripe_source.destination.connection import destination_errors, location_of, open_client
from stripe_source.destination.create_tables import create_tables, empty_table
from stripe_source.destination.pipelines import attach_pipeline
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import InvalidOption
from stripe_source.load.load_loop import load_pending
from stripe_source.resources.declaration.resource import describe_resource, report_resource
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.reports.load import empty_report
from stripe_source.resources.state import note_lost_columns
from stripe_source.schema.actual import pipeline_tables, stored_columns, tables_with_inferred_columns
from stripe_source.schema.compare import compared
from stripe_source.schema.snapshot import DltTables, SchemaSnapshot, map_as_dlt_table, snapshot_of_tables
from stripe_source.schema.sql.comments import missing_comments, write_comments
from stripe_source.schema.versions.map_versions import map_versions
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

# hints that dlt sets on its tables by itself, or `_resource_of_table` sets
_SET_ELSEWHERE = frozenset({"name", "columns", "resource", "schema_contract", "x-normalizer", "x-extractor", "parent",
                            "write_disposition", "file_format"})


@dataclass
class MigrateResult:
    """What a migration did, or would do.

    Args:
        destination: its name, as dlt knows it.
        location: where it is, without secrets.
        dataset: the dataset or schema.
        pipeline: name of the pipeline.
        source: `maps:1`, a version of the schema maps, or `pipeline:NAME`.
        dry_run: nothing was written.
        before: the selected tables that the destination had, with their columns and types.
        after: those that it has now, or would have.
        tables_added: the tables that were created.
        columns_added: the columns that were added to existing tables.
        columns_different: existing columns with another type: [existing, wanted]. They stay as they are.
        descriptions: how many descriptions of tables and columns were written.
        schema_version: dlt's version of the schema afterwards.
        schema_hash: dlt's hash of it.
        seconds: wall time.
        notes: what a person should know.
    """

    destination: str
    location: str
    dataset: str
    pipeline: str
    source: str
    dry_run: bool
    before: SchemaSnapshot = field(default_factory=dict)
    after: SchemaSnapshot = field(default_factory=dict)
    tables_added: SchemaSnapshot = field(default_factory=dict)
    columns_added: SchemaSnapshot = field(default_factory=dict)
    columns_different: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    descriptions: int = 0
    schema_version: int = 0
    schema_hash: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, written."""
        return bool(self.tables_added or self.columns_added or self.descriptions)

    @property
    def exit_code(self) -> int:
        """0: everything is there, or would be."""
        return 0

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "changed": self.changed, "exit_code": self.exit_code}


def schema_migrate(
    pipeline: dlt.Pipeline,
    tables: Tables = None,
    exclude: Tables = None,
    *,
    from_pipeline: dlt.Pipeline | str | None = None,
    dry_run: bool = False,
) -> MigrateResult:
    """Create every selected table in a destination, with all its columns. It reads nothing of Stripe and needs no key.

    Tables and columns are added, never changed and never removed. A second migration does nothing.

    Args:
        pipeline: where to; a run of it goes on from here.
        tables: names or patterns; None: what an ordinary account uses, or all that `from_pipeline` has.
        exclude: likewise, what to leave out.
        from_pipeline: a pipeline, or the name of one of this machine, whose schema is taken in place of the schema
            maps: with the columns that were inferred from its data.
        dry_run: only say what would be added.

    Raises:
        InvalidOption: there is no such pipeline, or it is the same one.
        UnknownTable: a name means no table.
        DestinationError: the destination cannot be reached, or refuses.
        Busy: another process runs the pipeline.
    """
    began = time.monotonic()
    wanted, source = _wanted_tables(pipeline, tables, exclude, from_pipeline)
    with pipeline_lock(pipeline), destination_errors(pipeline), dlt_patches(pipeline):
        pipeline.activate()
        notes: list[str] = []
        if not dry_run:
            load_pending(pipeline, notes)  # dlt would load what an earlier run left in place of this
        with open_client(pipeline) as client:
            before = stored_columns(client, wanted) if client else {}
            missing = compared(before, snapshot_of_tables(wanted))
            comments = missing_comments(client, wanted, before) if client and dry_run else []
        result = MigrateResult(
            destination=pipeline.destination.destination_name or "", location=location_of(pipeline),
            dataset=pipeline.dataset_name or "", pipeline=pipeline.pipeline_name, source=source, dry_run=dry_run,
            before=before, tables_added=missing.tables_added, columns_added=missing.columns_added,
            columns_different=missing.columns_changed, descriptions=len(comments), notes=notes,
        )
        if not dry_run:
            _add_missing(pipeline, wanted, result, from_pipeline is not None)
        result.after = {
            name: {**missing.tables_added.get(name, {}), **before.get(name, {}), **missing.columns_added.get(name, {})}
            for name in (*before, *missing.tables_added)
        }
    if pipeline.default_schema_name:
        result.schema_version = pipeline.default_schema.version or 0
        result.schema_hash = pipeline.default_schema.version_hash or ""
    result.seconds = time.monotonic() - began
    return result


def _wanted_tables(
    pipeline: dlt.Pipeline, tables: Tables, exclude: Tables, from_pipeline: dlt.Pipeline | str | None
) -> tuple[DltTables, str]:
    """The tables that the destination shall have, and where their schema comes from."""
    if from_pipeline is None:
        shapes = [table_map(table) for table in select_tables(tables, exclude)]
        return {shape.table.name: map_as_dlt_table(shape) for shape in shapes}, f"maps:{map_versions()[-1].version}"
    other = attach_pipeline(from_pipeline) if isinstance(from_pipeline, str) else from_pipeline
    if (other.pipeline_name, other.pipelines_dir) == (pipeline.pipeline_name, pipeline.pipelines_dir):
        raise InvalidOption(
            "from_pipeline", other.pipeline_name,
            reason="The new one needs a name of its own, so that each has its own cursors: `--pipeline`.",
        )
    wanted = tables_with_inferred_columns(other, tables, exclude)
    return {table["name"]: table for table in wanted}, f"pipeline:{other.pipeline_name}"


def _add_missing(pipeline: dlt.Pipeline, wanted: DltTables, result: MigrateResult, from_pipeline: bool) -> None:
    """Create what is missing.

    A load of dlt's does it. It skips the tables and columns that dlt's schema says to exist; those that were removed
    from the destination behind dlt's back are created by the client.
    """
    existing = pipeline_tables(pipeline)
    missing = {**result.tables_added, **result.columns_added}
    removed = [name for name in missing if name in existing and _has_all(existing[name]["columns"], missing[name])]
    if new := [name for name in missing if name not in removed]:
        create_tables(pipeline, _resources(wanted, new, from_pipeline))
    with open_client(pipeline) as client:
        if client is None:
            return
        if removed:
            client.update_stored_schema(only_tables=removed, force=True)
            note_lost_columns(pipeline, result.columns_added.keys() & {*removed})
            result.notes.append(
                f"{', '.join(removed)}: had been made, and was gone from the destination, or some of its columns were. "
                "What was loaded is read again by the next run."
            )
        comments = missing_comments(client, wanted, stored_columns(client, wanted))
        if comments:
            write_comments(client, comments)
        result.descriptions = len(comments)


def _has_all(columns: Any, names: Iterable[str]) -> bool:
    return all("data_type" in columns.get(name, {}) for name in names)


def _resources(wanted: DltTables, names: Iterable[str], from_pipeline: bool) -> Iterator[DltResource]:
    for name in names:
        if from_pipeline:
            yield _resource_of_table(wanted[name])
        elif name in BY_NAME:
            yield describe_resource(table_map(BY_NAME[name]), empty_table)
        else:
            for table in select_tables([name]):
                yield report_resource(table, partial(empty_report, table))


def _resource_of_table(table: Any) -> DltResource:
    """The resource of a table as another pipeline has it."""
    columns: Any = table["columns"]
    resource: DltResource = dlt.resource(
        empty_table, name=table["name"], columns=columns, write_disposition="merge", file_format="parquet",
        section="stripe", primary_key=[name for name, hint in columns.items() if hint.get("primary_key")],
        merge_key=[name for name, hint in columns.items() if hint.get("merge_key")],
    )
    hints = {name: value for name, value in table.items() if name not in _SET_ELSEWHERE}
    return resource.apply_hints(additional_table_hints=hints)
