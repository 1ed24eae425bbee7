"""The tables that a pipeline or a destination really has, and the schemas that dlt keeps in a destination."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import dlt
from dlt import Schema

from stripe_source.destination.connection import open_client
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.resources.history import SUFFIX
from stripe_source.schema.snapshot import DltTables, SchemaSnapshot, map_as_dlt_table, snapshot_of_tables, type_text
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables


def pipeline_tables(pipeline: dlt.Pipeline) -> DltTables:
    """The tables of a pipeline's schema, dlt's own ones included; none where nothing was loaded."""
    tables: Any = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    return dict(tables)


def tables_with_inferred_columns(
    pipeline: dlt.Pipeline, tables: Tables = None, exclude: Tables = None
) -> list[dict[str, Any]]:
    """The tables of a pipeline's schema, with the columns that were inferred; dlt's own tables are left out.

    Args:
        pipeline: whose schema it is.
        tables: names or patterns; None: all of them. The history of a table comes with it.
        exclude: likewise, what to leave out.
    """
    existing = pipeline_tables(pipeline)
    selected = {table.name for table in select_tables(tables or "%", exclude)}

    def is_selected(name: str) -> bool:
        of_stripe = name.removesuffix(SUFFIX)
        return of_stripe in selected or (tables is None and of_stripe not in BY_NAME)

    return [
        {**table, "name": name, "columns": _with_type(table["columns"])}
        for name, table in existing.items() if not name.startswith("_dlt") and is_selected(name)
    ]


def _with_type(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that have a type already: a value came."""
    return {name: column for name, column in columns.items() if "data_type" in column}


def stored_columns(client: Any, wanted: DltTables) -> SchemaSnapshot:
    """The snapshot of these tables as the destination has them; without the tables that it does not have.

    Where the destination has no better type for a column, such as for JSON that it keeps as text, the wanted type is
    shown. Whether a column may be null is taken from what is wanted, since not every destination can say it.

    Args:
        client: dlt's, connected.
        wanted: the tables to look for.
    """
    if not hasattr(client, "type_mapper"):  # files: the schema that was stored beside them says what is in them
        stored = client.get_stored_schema(client.schema.name)
        tables = _parsed_schema(stored.schema).tables if stored else {}
        return {name: columns for name, columns in snapshot_of_tables(tables).items() if name in wanted}
    casefold = client.capabilities.casefold_identifier
    snapshot = {}
    for table, stored_table in client.get_storage_tables(list(wanted)):
        if stored_table:
            columns = wanted[table]["columns"]
            names = {casefold(name): name for name in columns}
            by_name = {names.get(name, name): column for name, column in stored_table.items()}
            snapshot[table] = {
                name: _stored_type(client.type_mapper, column, columns.get(name), wanted[table])
                for name, column in by_name.items()
            }
    return snapshot


def _stored_type(
    mapper: Any, stored: Mapping[str, Any], wanted: Mapping[str, Any] | None, table: Mapping[str, Any]
) -> str:
    """The type of a column in the destination; as it is wanted, where the destination keeps both types alike."""
    stored_type = type_text(stored["data_type"], stored.get("precision"), stored.get("scale"))
    if wanted is None:
        return stored_type
    wanted_type = type_text(wanted["data_type"], wanted.get("precision"), wanted.get("scale"))
    in_database = [
        str(mapper.to_destination_type({**column, "name": wanted["name"]}, table)) for column in (stored, wanted)
    ]
    is_same = stored_type == wanted_type or in_database[0] == in_database[1]
    return (wanted_type if is_same else stored_type) + ("" if wanted.get("nullable", True) else " not null")


def destination_snapshot(pipeline: dlt.Pipeline) -> SchemaSnapshot:
    """The snapshot of all our tables that a pipeline's destination has."""
    wanted: dict[str, Mapping[str, Any]] = {table.name: map_as_dlt_table(table_map(table)) for table in TABLES}
    for name, table in pipeline_tables(pipeline).items():
        if not name.startswith("_dlt"):
            declared = wanted.get(name, {}).get("columns", {})
            wanted[name] = {**table, "name": name, "columns": {**_with_type(table["columns"]), **declared}}
    with open_client(pipeline) as client:
        return stored_columns(client, wanted) if client else {}


def stored_schemas(pipeline: dlt.Pipeline) -> Iterator[tuple[Schema, datetime | None]]:
    """The schemas that a destination keeps, with the time when each was stored, the oldest first."""
    with open_client(pipeline) as client:
        if client is None:
            return
        if not hasattr(client, "type_mapper"):  # files
            stored = client.get_stored_schema(client.schema.name)
            if stored:
                yield _parsed_schema(stored.schema), stored.inserted_at
            return
        sql = DestinationSql(client.sql_client, client.schema)
        versions = [row[0] for rows in sql.fetch_connected(statements.schema_versions(sql)) for row in rows]
        for version_hash in versions:
            stored = client.get_stored_schema_by_hash(version_hash)
            yield _parsed_schema(stored.schema), stored.inserted_at


def _parsed_schema(text: str) -> Schema:
    """A schema from the JSON that a destination keeps."""
    return Schema.from_stored_schema(json.loads(text))
