"""schema_show and schema_history: the declared columns, and how they came to be."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stripe_source.schema.map_versions import map_versions, version_within
from stripe_source.schema.snapshot import snapshot_of_tables, type_text
from stripe_source.tables.registry import parent_column
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import match_tables, select_tables

if TYPE_CHECKING:
    import dlt

def schema_show(name: str, pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """The columns of one table: name, type, whether it may be null, what it refers to, where its value comes from.

    Args:
        name: of the table.
        pipeline: its schema is looked at too: for columns that the map does not declare, and for tables that are not
            in the registry, such as `charges_history`.

    Returns:
        Of each column also the description, and whether it was inferred from what Stripe sent.

    Raises:
        UnknownTable: there is no such table.
    """
    there: Mapping[str, Any] = pipeline.default_schema.tables if pipeline and pipeline.default_schema_name else {}
    if name in there and not name.startswith("_dlt") and not match_tables(name):
        table_words = there[name]
        columns = table_words["columns"]
        return {
            "table": name,
            "description": table_words.get("description", ""),
            "key": [column for column, words in columns.items() if words.get("primary_key")],
            "parent_column": None,
            "columns": [_shown(words, None, False) for words in columns.values() if "data_type" in words],
        }
    table = select_tables([name])[0]
    shape = table_map(table)
    declared = {column.name: column for column in shape.columns}
    columns = there.get(table.name, {}).get("columns", {})
    return {
        "table": table.name,
        "description": shape.description,
        "key": list(shape.key),
        "parent_column": parent_column(table),
        "columns": [
            *(_shown(column.hint(), ".".join(column.path) if column.path else None, False)
              for column in shape.columns),
            *(_shown(words, None, True) for words in columns.values()
              if words["name"] not in declared and "data_type" in words),
        ],
    }


def _shown(words: Mapping[str, Any], path: str | None, inferred: bool) -> dict[str, Any]:
    return {
        "name": words["name"],
        "type": type_text(words["data_type"], words.get("precision"), words.get("scale")),
        "nullable": words.get("nullable", True),
        "references": words.get("x-references"),
        "description": words.get("description", ""),
        "path": path,
        "inferred": inferred,
    }


def schema_history(pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """The versions of the schema maps, and those of dlt's schema in a destination.

    Args:
        pipeline: whose destination is looked at; None: only the maps' versions.

    Returns:
        `maps`: see `MapVersion`. `dlt`: of each schema version in the destination, the oldest first, its number, hash,
        name, when it was stored, how many tables and columns it has, and which version of the maps it has in it.
        `location`: where that is.

    Raises:
        DestinationError: the destination cannot be reached.
    """
    maps = [asdict(version) for version in map_versions()]
    if pipeline is None:
        return {"maps": maps, "dlt": [], "location": None}
    from stripe_source.destination.connection import location_of
    from stripe_source.schema.actual import stored_schemas

    stored = []
    for schema, moment in stored_schemas(pipeline):
        outline = snapshot_of_tables(schema.tables)
        stored.append({
            "version": schema.version,
            "hash": schema.version_hash,
            "schema": schema.name,
            "stored_at": moment.isoformat() if moment else None,
            "tables": len(outline),
            "columns": sum(map(len, outline.values())),
            "maps": version_within(outline),
        })
    return {"maps": maps, "dlt": stored, "location": location_of(pipeline)}
