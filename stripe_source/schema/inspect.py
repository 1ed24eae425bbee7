"""`schema_show` and `schema_history`: the declared columns, and the versions of the schema."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stripe_source.schema.snapshot import snapshot_of_tables, type_text
from stripe_source.schema.versions.map_versions import map_versions, version_within
from stripe_source.tables.registry import parent_column
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import match_tables, select_tables

if TYPE_CHECKING:
    import dlt


def schema_show(name: str, pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """The columns of one table: name, type, whether it may be null, what it refers to, where its value comes from.

    Args:
        name: of the table.
        pipeline: its schema adds columns that the map does not declare, and tables that are not in the registry, such
            as `charges_history`.

    Returns:
        Of each column also the description, and whether it was inferred from what Stripe sent.

    Raises:
        UnknownTable: there is no such table.
    """
    existing: Mapping[str, Any] = pipeline.default_schema.tables if pipeline and pipeline.default_schema_name else {}
    if name in existing and not name.startswith("_dlt") and not match_tables(name):
        columns = existing[name]["columns"]
        return {
            "table": name,
            "description": existing[name].get("description", ""),
            "key": [each for each, column in columns.items() if column.get("primary_key")],
            "parent_column": None,
            "columns": [_column(column, None, False) for column in columns.values() if "data_type" in column],
        }
    table = select_tables([name])[0]
    shape = table_map(table)
    declared = {column.name for column in shape.columns}
    columns = existing.get(table.name, {}).get("columns", {})
    return {
        "table": table.name,
        "description": shape.description,
        "key": list(shape.key),
        "parent_column": parent_column(table),
        "columns": [
            *(_column(column.hint(), ".".join(column.path) if column.path else None, False)
              for column in shape.columns),
            *(_column(column, None, True) for column in columns.values()
              if column["name"] not in declared and "data_type" in column),
        ],
    }


def _column(column: Mapping[str, Any], path: str | None, inferred: bool) -> dict[str, Any]:
    return {
        "name": column["name"],
        "type": type_text(column["data_type"], column.get("precision"), column.get("scale")),
        "nullable": column.get("nullable", True),
        "references": column.get("x-references"),
        "description": column.get("description", ""),
        "path": path,
        "inferred": inferred,
    }


def schema_history(pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """The versions of the schema maps, and those of dlt's schema in a destination.

    Args:
        pipeline: of whose destination the versions are listed; None: only the maps' versions.

    Returns:
        `maps`: see `MapVersion`. `dlt`: of each schema version in the destination, the oldest first, its number, hash,
        name, when it was stored, how many tables and columns it has, and the newest version of the maps that is
        contained in it. `location`: where the destination is.

    Raises:
        DestinationError: the destination cannot be reached.
    """
    maps = [asdict(version) for version in map_versions()]
    if pipeline is None:
        return {"maps": maps, "dlt": [], "location": None}
    from stripe_source.destination.connection import location_of
    from stripe_source.schema.actual import stored_schemas  # imports dlt, which the maps alone do not need

    stored = []
    for schema, moment in stored_schemas(pipeline):
        snapshot = snapshot_of_tables(schema.tables)
        stored.append({
            "version": schema.version,
            "hash": schema.version_hash,
            "schema": schema.name,
            "stored_at": moment.isoformat() if moment else None,
            "tables": len(snapshot),
            "columns": sum(map(len, snapshot.values())),
            "maps": version_within(snapshot),
        })
    return {"maps": maps, "dlt": stored, "location": location_of(pipeline)}
