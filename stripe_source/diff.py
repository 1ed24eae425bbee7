"""What two schemas differ in: versions of the maps, pipelines, API versions of Stripe, and what a destination has."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from stripe_source.api_versions import of_api_version
from stripe_source.errors import InvalidOption
from stripe_source.options import Tables, select_tables
from stripe_source.outline import Outline, of_columns, of_maps, of_tables
from stripe_source.schema_map import table_map
from stripe_source.tables import TABLES
from stripe_source.versions import map_versions, of_version

if TYPE_CHECKING:
    import dlt

KINDS = ("maps", "maps:1", "pipeline:NAME", "api:2026-10-28.endive", "destination")


@dataclass(frozen=True)
class SchemaDiff:
    """What is in one schema and not in the other.

    Args:
        a: the one before.
        b: the one after.
        tables_added: tables that only `b` has, with their columns and types.
        tables_removed: tables that only `a` has, likewise.
        columns_added: of tables that both have: the columns that only `b` has, with their types.
        columns_removed: the columns that only `a` has, likewise.
        columns_changed: the columns of which the type or nullability differs: [in `a`, in `b`].
    """

    a: str
    b: str
    tables_added: Outline = field(default_factory=dict)
    tables_removed: Outline = field(default_factory=dict)
    columns_added: Outline = field(default_factory=dict)
    columns_removed: Outline = field(default_factory=dict)
    columns_changed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not any(value for name, value in asdict(self).items() if name not in ("a", "b"))

    @property
    def exit_code(self) -> int:
        """0: equal. 4: there is a difference."""
        return 0 if self.equal else 4

    def asdict(self) -> dict[str, Any]:
        """The difference as JSON takes it."""
        return {**asdict(self), "equal": self.equal, "exit_code": self.exit_code}


def compared(a: Outline, b: Outline, name_a: str = "a", name_b: str = "b") -> SchemaDiff:
    """What two outlines differ in.

    >>> compared({"t": {"x": "text"}}, {"t": {"x": "bigint", "y": "text"}}).columns_changed
    {'t': {'x': ['text', 'bigint']}}
    """
    both = [table for table in a if table in b]

    def only(these: Outline, others: Outline) -> Outline:
        found = {table: {name: type_ for name, type_ in these[table].items() if name not in others[table]}
                 for table in both}
        return {table: columns for table, columns in found.items() if columns}

    changed = {
        table: {name: [type_, b[table][name]] for name, type_ in a[table].items()
                if name in b[table] and b[table][name] != type_}
        for table in both
    }
    return SchemaDiff(
        name_a, name_b,
        tables_added={table: columns for table, columns in b.items() if table not in a},
        tables_removed={table: columns for table, columns in a.items() if table not in b},
        columns_added=only(b, a), columns_removed=only(a, b),
        columns_changed={table: columns for table, columns in changed.items() if columns},
    )


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
    outline: Outline
    held: frozenset[str] | None = None


def _chosen(tables: Tables, exclude: Tables, held: set[str], somebodys: bool) -> set[str]:
    """Names of the tables that are compared."""
    if tables:
        return {table.name for table in select_tables(tables, exclude)}
    default = select_tables() if somebodys else TABLES
    left_out = {table.name for table in select_tables(exclude)} if exclude else set()
    return (held or {table.name for table in default}) - left_out


def _of_histories(names: set[str]) -> Outline:
    """The outlines of those of these tables that keep every version of the rows of another one."""
    from stripe_source.history import SUFFIX, versions_map

    return {
        table.name + SUFFIX: of_columns(versions_map(table_map(table)).hints())
        for table in TABLES if table.name + SUFFIX in names
    }


def _side(what: str | dlt.Pipeline, pipeline: dlt.Pipeline | None) -> _Side:
    """The schema that is meant."""
    if not isinstance(what, str):
        return _of_pipeline(f"pipeline:{what.pipeline_name}", what)
    kind, _, name = what.partition(":")
    if kind == "maps" and not name:
        return _Side(what, of_maps())
    if kind == "maps" or what.isdecimal() or what in {version.release for version in map_versions()}:
        return _Side(f"maps:{name or what}", of_version(name or what))
    if kind == "api" and name:
        return _Side(what, of_api_version(name))
    from stripe_source.there import attached, in_destination

    if kind == "pipeline" and name:
        return _of_pipeline(what, attached(name))
    if kind == "destination" and not name:
        if pipeline is None:
            raise InvalidOption("schema", what, reason="Say which one with `--destination`, or `pipeline=`.")
        outline = in_destination(pipeline)
        wanted = _of_pipeline(what, pipeline).outline if pipeline.default_schema_name else Outline()
        return _Side(what, outline, frozenset((*outline, *wanted)))
    raise InvalidOption("schema", what, KINDS)


def _of_pipeline(name: str, pipeline: dlt.Pipeline) -> _Side:
    outline = of_tables(pipeline.default_schema.tables)
    return _Side(name, outline, frozenset(outline))
