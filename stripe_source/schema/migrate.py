"""Puts a schema into a destination before the first row, without reading Stripe: `schema migrate`."""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import dlt
from dlt.extract import DltResource

from stripe_source.destination.connection import destination_errors, location_of, open_client
from stripe_source.destination.create_tables import create_tables, empty_table
from stripe_source.destination.pipelines import attach_pipeline
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import InvalidOption
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.resource import describe_resource
from stripe_source.schema.actual import TABLE_HINTS, TableSchema, changed_columns, stored_columns
from stripe_source.schema.comments import missing_comments, write_comments
from stripe_source.schema.compare import compared
from stripe_source.schema.map_versions import map_versions
from stripe_source.schema.snapshot import SchemaSnapshot, map_as_dlt_table, snapshot_of_tables
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

_OURS = frozenset({"name", "columns", "resource", "schema_contract", "x-normalizer", "x-extractor", "parent",
                   "write_disposition", "file_format"})  # what dlt sets on its tables by itself, or we below


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
        before: the selected tables as they were there, with their columns and types.
        after: as they are now, or would be.
        tables_added: the tables that were made.
        columns_added: of tables that were there: the columns that were added.
        columns_different: columns that are there with another type: [there, wanted]. They stay as they are.
        descriptions: how many descriptions of tables and columns were written.
        schema_version: dlt's version of the schema after it.
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
    """Make every selected table in a destination, with all its columns. Stripe is not asked, and no key is needed.

    What is there stays as it is: tables and columns are added, never changed and never removed. Again, it does nothing.

    Args:
        pipeline: where to; a run of it goes on from here.
        tables: names or patterns; None: what an ordinary account uses, or all that `from_pipeline` has.
        exclude: likewise, what to leave out.
        from_pipeline: a pipeline, or the name of one of this machine, whose schema is put there in place of the schema
            maps: with the columns that were inferred from its data.
        dry_run: only say what would be added.

    Raises:
        InvalidOption: there is no such pipeline, or it is the same one.
        UnknownTable: a name means no table.
        DestinationError: the destination cannot be reached, or refuses.
        Busy: another process runs the pipeline.
    """
    began = time.monotonic()
    wanted, source = _wanted(pipeline, tables, exclude, from_pipeline)
    with pipeline_lock(pipeline), destination_errors(pipeline), dlt_patches(pipeline):
        pipeline.activate()
        notes: list[str] = []
        if not dry_run:
            from stripe_source.load.load_loop import (
                load_pending,  # what an earlier run left would be loaded in place of this
            )

            load_pending(pipeline, notes)
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
            _add(pipeline, wanted, result, from_pipeline is not None)
        result.after = {
            name: {**missing.tables_added.get(name, {}), **before.get(name, {}), **missing.columns_added.get(name, {})}
            for name in (*before, *missing.tables_added)
        }
    if pipeline.default_schema_name:
        result.schema_version = pipeline.default_schema.version or 0
        result.schema_hash = pipeline.default_schema.version_hash or ""
    result.seconds = time.monotonic() - began
    return result


def _wanted(
    pipeline: dlt.Pipeline, tables: Tables, exclude: Tables, from_pipeline: dlt.Pipeline | str | None
) -> tuple[TableSchema, str]:
    """The tables that are to be there, in dlt's words, and where they come from."""
    if from_pipeline is None:
        shapes = [table_map(table) for table in select_tables(tables, exclude)]
        return {shape.table.name: map_as_dlt_table(shape) for shape in shapes}, f"maps:{map_versions()[-1].version}"
    other = attach_pipeline(from_pipeline) if isinstance(from_pipeline, str) else from_pipeline
    if (other.pipeline_name, other.pipelines_dir) == (pipeline.pipeline_name, pipeline.pipelines_dir):
        raise InvalidOption(
            "from_pipeline", other.pipeline_name,
            reason="The new one needs a name of its own, so that each has its own cursors: `--pipeline`.",
        )
    return {words["name"]: words for words in changed_columns(other, tables, exclude)}, f"pipeline:{other.pipeline_name}"


def _add(pipeline: dlt.Pipeline, wanted: TableSchema, result: MigrateResult, is_grown: bool) -> None:
    """Make what is missing: by a load of dlt's, and where its notes say that it is there already, all the same."""
    names = [*result.tables_added, *result.columns_added]
    there: Any = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    lost = [name for name in names if name in there
            and _complete(there[name]["columns"], {**result.tables_added, **result.columns_added}[name])]
    if new := [name for name in names if name not in lost]:
        create_tables(pipeline, _resources(wanted, new, is_grown))
    with open_client(pipeline) as client:
        if client is None:
            return
        if lost:
            client.update_stored_schema(only_tables=lost, force=True)
            result.notes.append(
                f"{', '.join(lost)}: had been made, and was gone from the destination, or some of its columns were. "
                "What was loaded is read again by `run --refresh`."
            )
        comments = missing_comments(client, wanted, stored_columns(client, wanted))
        if comments:
            write_comments(client, comments)
        result.descriptions = len(comments)


def _complete(columns: Any, needed: dict[str, str]) -> bool:
    return all("data_type" in columns.get(name, {}) for name in needed)


def _resources(wanted: TableSchema, names: list[str], is_grown: bool) -> Iterator[DltResource]:
    for name in names:
        yield _resource(wanted[name]) if is_grown else describe_resource(table_map(TABLE_HINTS[name]), empty_table)


def _resource(words: Any) -> DltResource:
    """The resource of a table as another pipeline has it."""
    columns: Any = words["columns"]
    made: DltResource = dlt.resource(
        empty_table, name=words["name"], columns=columns, write_disposition="merge", file_format="parquet", section="stripe",
        primary_key=[name for name, hint in columns.items() if hint.get("primary_key")],
    )
    return made.apply_hints(additional_table_hints={key: value for key, value in words.items() if key not in _OURS})
