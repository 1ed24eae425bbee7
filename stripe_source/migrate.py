"""Puts a schema into a destination before the first row, without reading Stripe: `schema migrate`."""
from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import dlt
from dlt.extract import DltResource

from stripe_source.alone import alone
from stripe_source.comments import missing_comments, write_comments
from stripe_source.diff import compared
from stripe_source.errors import InvalidOption
from stripe_source.history import SUFFIX
from stripe_source.options import Tables, select_tables
from stripe_source.outline import Outline, as_dlt, of_tables
from stripe_source.prepare import empty, make_tables
from stripe_source.schema_map import table_map
from stripe_source.source import described
from stripe_source.tables import TABLES
from stripe_source.there import (
    TableWords,
    attached,
    columns_there,
    connected,
    destination_errors,
    location_of,
)
from stripe_source.versions import map_versions

_OF_TABLES = {table.name: table for table in TABLES}
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
    before: Outline = field(default_factory=dict)
    after: Outline = field(default_factory=dict)
    tables_added: Outline = field(default_factory=dict)
    columns_added: Outline = field(default_factory=dict)
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
    with alone(pipeline), destination_errors(pipeline):
        pipeline.activate()
        notes: list[str] = []
        if not dry_run:
            from stripe_source.loop import _finish  # what an earlier run left would be loaded in place of this

            _finish(pipeline, notes)
        with connected(pipeline) as client:
            before = columns_there(client, wanted) if client else {}
            missing = compared(before, of_tables(wanted))
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


def grown(pipeline: dlt.Pipeline, tables: Tables = None, exclude: Tables = None) -> list[dict[str, Any]]:
    """The tables of a pipeline's schema in dlt's words, with what was inferred; dlt's own are left out.

    Args:
        pipeline: whose schema it is.
        tables: names or patterns; None: all of them. The versions of a table come with it.
        exclude: likewise, what to leave out.
    """
    there: Any = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    chosen = {table.name for table in select_tables(tables or "%", exclude)}
    known = {name.removesuffix(SUFFIX) for name in there if name.removesuffix(SUFFIX) in _OF_TABLES}
    return [
        {**words, "name": name,
         "columns": {column: hint for column, hint in words["columns"].items() if "data_type" in hint}}
        for name, words in there.items()
        if not name.startswith("_dlt") and (
            name.removesuffix(SUFFIX) in chosen or (tables is None and name.removesuffix(SUFFIX) not in known))
    ]


def _wanted(
    pipeline: dlt.Pipeline, tables: Tables, exclude: Tables, from_pipeline: dlt.Pipeline | str | None
) -> tuple[TableWords, str]:
    """The tables that are to be there, in dlt's words, and where they come from."""
    if from_pipeline is None:
        shapes = [table_map(table) for table in select_tables(tables, exclude)]
        return {shape.table.name: as_dlt(shape) for shape in shapes}, f"maps:{map_versions()[-1].version}"
    other = attached(from_pipeline) if isinstance(from_pipeline, str) else from_pipeline
    if (other.pipeline_name, other.pipelines_dir) == (pipeline.pipeline_name, pipeline.pipelines_dir):
        raise InvalidOption(
            "from_pipeline", other.pipeline_name,
            reason="The new one needs a name of its own, so that each has its own cursors: `--pipeline`.",
        )
    return {words["name"]: words for words in grown(other, tables, exclude)}, f"pipeline:{other.pipeline_name}"


def _add(pipeline: dlt.Pipeline, wanted: TableWords, result: MigrateResult, is_grown: bool) -> None:
    """Make what is missing: by a load of dlt's, and where its notes say that it is there already, all the same."""
    names = [*result.tables_added, *result.columns_added]
    there: Any = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    lost = [name for name in names if name in there
            and _complete(there[name]["columns"], {**result.tables_added, **result.columns_added}[name])]
    if new := [name for name in names if name not in lost]:
        make_tables(pipeline, _resources(wanted, new, is_grown))
    with connected(pipeline) as client:
        if client is None:
            return
        if lost:
            client.update_stored_schema(only_tables=lost, force=True)
            result.notes.append(
                f"{', '.join(lost)}: had been made, and was gone from the destination, or some of its columns were. "
                "What was loaded is read again by `run --refresh`."
            )
        comments = missing_comments(client, wanted, columns_there(client, wanted))
        if comments:
            write_comments(client, comments)
        result.descriptions = len(comments)


def _complete(columns: Any, needed: dict[str, str]) -> bool:
    return all("data_type" in columns.get(name, {}) for name in needed)


def _resources(wanted: TableWords, names: list[str], is_grown: bool) -> Iterator[DltResource]:
    for name in names:
        yield _resource(wanted[name]) if is_grown else described(table_map(_OF_TABLES[name]), empty)


def _resource(words: Any) -> DltResource:
    """The resource of a table as another pipeline has it."""
    columns: Any = words["columns"]
    made: DltResource = dlt.resource(
        empty, name=words["name"], columns=columns, write_disposition="merge", file_format="parquet", section="stripe",
        primary_key=[name for name, hint in columns.items() if hint.get("primary_key")],
    )
    return made.apply_hints(additional_table_hints={key: value for key, value in words.items() if key not in _OURS})
