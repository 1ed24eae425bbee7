"""What two schemas differ in: versions of the maps, pipelines, API versions of Stripe, and what a destination has."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stripe_source.errors import InvalidOption
from stripe_source.schema.api_versions import map_of_api_version
from stripe_source.schema.compare import SchemaDiff, compared
from stripe_source.schema.map_versions import map_version_of, map_versions
from stripe_source.schema.snapshot import SchemaSnapshot, snapshot_of_columns, snapshot_of_maps, snapshot_of_tables
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

if TYPE_CHECKING:
    import dlt

KINDS = ("maps", "maps:1", "pipeline:NAME", "api:2026-10-28.endive", "destination")


def schema_diff(
    a: str | dlt.Pipeline,
    b: str | dlt.Pipeline,
    *,
    tables: Tables = None,
    exclude: Tables = None,
    pipeline: dlt.Pipeline | None = None,
) -> SchemaDiff:
    """What two schemas differ in.

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
    held = {name for side in sides if side.held is not None for name in side.held}
    chosen = _chosen(tables, exclude, held, any(side.held is not None for side in sides))
    outlines = []
    for side in sides:
        outline = dict(side.outline)
        if side.held is None:  # versions of rows are declared where somebody keeps them
            outline.update(_of_histories(held))
        outlines.append({name: outline[name] for name in outline if {name, name.removesuffix("_history")} & chosen})
    return compared(outlines[0], outlines[1], sides[0].name, sides[1].name)


@dataclass(frozen=True)
class _Side:
    """One of two schemas; `held`: the tables that a pipeline has or should have, None where it is nobody's."""

    name: str
    outline: SchemaSnapshot
    held: frozenset[str] | None = None


def _chosen(tables: Tables, exclude: Tables, held: set[str], somebodys: bool) -> set[str]:
    """Names of the tables that are compared."""
    if tables:
        return {table.name for table in select_tables(tables, exclude)}
    default = select_tables() if somebodys else TABLES
    left_out = {table.name for table in select_tables(exclude)} if exclude else set()
    return (held or {table.name for table in default}) - left_out


def _of_histories(names: set[str]) -> SchemaSnapshot:
    """The outlines of those of these tables that keep every version of the rows of another one."""
    from stripe_source.resources.history import SUFFIX, versions_map

    return {
        table.name + SUFFIX: snapshot_of_columns(versions_map(table_map(table)).hints())
        for table in TABLES if table.name + SUFFIX in names
    }


def _side(what: str | dlt.Pipeline, pipeline: dlt.Pipeline | None) -> _Side:
    """The schema that is meant."""
    if not isinstance(what, str):
        return _of_pipeline(f"pipeline:{what.pipeline_name}", what)
    kind, _, name = what.partition(":")
    if kind == "maps" and not name:
        return _Side(what, snapshot_of_maps())
    if kind == "maps" or what.isdecimal() or what in {version.release for version in map_versions()}:
        return _Side(f"maps:{name or what}", map_version_of(name or what))
    if kind == "api" and name:
        return _Side(what, map_of_api_version(name))
    from stripe_source.destination.pipelines import attach_pipeline
    from stripe_source.schema.actual import destination_snapshot

    if kind == "pipeline" and name:
        return _of_pipeline(what, attach_pipeline(name))
    if kind == "destination" and not name:
        if pipeline is None:
            raise InvalidOption("schema", what, reason="Say which one with `--destination`, or `pipeline=`.")
        outline = destination_snapshot(pipeline)
        wanted = _of_pipeline(what, pipeline).outline if pipeline.default_schema_name else SchemaSnapshot()
        return _Side(what, outline, frozenset((*outline, *wanted)))
    raise InvalidOption("schema", what, KINDS)


def _of_pipeline(name: str, pipeline: dlt.Pipeline) -> _Side:
    outline = snapshot_of_tables(pipeline.default_schema.tables)
    return _Side(name, outline, frozenset(outline))
