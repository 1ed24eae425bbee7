"""`schema_diff`: compares versions of the maps, pipelines, API versions of Stripe, and what a destination has."""
from __future__ import annotations

from dataclasses import dataclass

import dlt

from stripe_source.destination.pipelines import attach_pipeline
from stripe_source.errors import InvalidOption
from stripe_source.resources.history import SUFFIX, versions_map
from stripe_source.schema.actual import destination_snapshot, pipeline_tables
from stripe_source.schema.compare import SchemaDiff, compared
from stripe_source.schema.snapshot import SchemaSnapshot, snapshot_of_columns, snapshot_of_maps, snapshot_of_tables
from stripe_source.schema.versions.api_versions import map_of_api_version
from stripe_source.schema.versions.map_versions import map_version_of, map_versions
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

KINDS = ("maps", "maps:1", "pipeline:NAME", "api:2026-10-28.endive", "destination")


def schema_diff(
    a: str | dlt.Pipeline,
    b: str | dlt.Pipeline,
    *,
    tables: Tables = None,
    exclude: Tables = None,
    pipeline: dlt.Pipeline | None = None,
) -> SchemaDiff:
    """Compare two schemas.

    Args:
        a: the one before: `maps` (the maps of this release), `maps:1` (a version of them, by number or release),
            `api:2025-09-30.clover` (the maps as that version of Stripe's API has it), `pipeline:NAME` (the schema of a
            pipeline of this machine, or a `Pipeline`), or `destination` (the columns that are really there).
        b: the one after, likewise.
        tables: names or patterns; None: all tables; beside a pipeline or destination, those that the pipeline has.
        exclude: likewise, what to leave out.
        pipeline: whose destination `destination` means.

    Raises:
        InvalidOption: there is no such version or pipeline.
        UnknownTable: a name means no table.
        DestinationError: the destination cannot be reached.
    """
    sides = [_side(side, pipeline) for side in (a, b)]
    loaded = {name for side in sides if side.loaded is not None for name in side.loaded}
    selected = _selected(tables, exclude, loaded, any(side.loaded is not None for side in sides))
    snapshots = []
    for side in sides:
        snapshot = dict(side.snapshot)
        if side.loaded is None:  # a map declares the history of a table only where a pipeline keeps it
            snapshot.update(_history_tables(loaded))
        snapshots.append({name: snapshot[name] for name in snapshot if {name, name.removesuffix(SUFFIX)} & selected})
    return compared(snapshots[0], snapshots[1], sides[0].name, sides[1].name)


@dataclass(frozen=True)
class _Side:
    """One of two schemas.

    Args:
        name: what it is called in the result.
        snapshot: its tables and columns.
        loaded: the tables that a pipeline has or should have; None where it is no pipeline's schema.
    """

    name: str
    snapshot: SchemaSnapshot
    loaded: frozenset[str] | None = None


def _selected(tables: Tables, exclude: Tables, loaded: set[str], of_pipeline: bool) -> set[str]:
    """Names of the tables that are compared."""
    if tables:
        return {table.name for table in select_tables(tables, exclude)}
    default = select_tables() if of_pipeline else TABLES
    excluded = {table.name for table in select_tables(exclude)} if exclude else set()
    return (loaded or {table.name for table in default}) - excluded


def _history_tables(names: set[str]) -> SchemaSnapshot:
    """The snapshots of those of these tables that keep every version of the rows of another one."""
    return {
        table.name + SUFFIX: snapshot_of_columns(versions_map(table_map(table)).hints())
        for table in TABLES if table.name + SUFFIX in names
    }


def _side(schema: str | dlt.Pipeline, pipeline: dlt.Pipeline | None) -> _Side:
    """The schema that an argument of `schema_diff` means."""
    if not isinstance(schema, str):
        return _pipeline_side(f"pipeline:{schema.pipeline_name}", schema)
    kind, _, name = schema.partition(":")
    if kind == "maps" and not name:
        return _Side(schema, snapshot_of_maps())
    if kind == "maps" or schema.isdecimal() or schema in {version.release for version in map_versions()}:
        return _Side(f"maps:{name or schema}", map_version_of(name or schema))
    if kind == "api" and name:
        return _Side(schema, map_of_api_version(name))
    if kind == "pipeline" and name:
        return _pipeline_side(schema, attach_pipeline(name))
    if kind == "destination" and not name:
        if pipeline is None:
            raise InvalidOption("schema", schema, reason="Say which one with `--destination`, or `pipeline=`.")
        snapshot = destination_snapshot(pipeline)
        return _Side(schema, snapshot, frozenset((*snapshot, *snapshot_of_tables(pipeline_tables(pipeline)))))
    raise InvalidOption("schema", schema, KINDS)


def _pipeline_side(name: str, pipeline: dlt.Pipeline) -> _Side:
    snapshot = snapshot_of_tables(pipeline.default_schema.tables)
    return _Side(name, snapshot, frozenset(snapshot))
