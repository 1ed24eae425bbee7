"""What a destination or pipeline really has."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dlt

from stripe_source.destination.connection import open_client
from stripe_source.resources.history import SUFFIX
from stripe_source.schema.snapshot import SchemaSnapshot, map_as_dlt_table, snapshot_of_tables, type_text
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

if TYPE_CHECKING:
    from dlt import Schema

TABLE_HINTS = {table.name: table for table in TABLES}


def changed_columns(pipeline: dlt.Pipeline, tables: Tables = None, exclude: Tables = None) -> list[dict[str, Any]]:
    """The tables of a pipeline's schema in dlt's words, with what was inferred; dlt's own are left out.

    Args:
        pipeline: whose schema it is.
        tables: names or patterns; None: all of them. The versions of a table come with it.
        exclude: likewise, what to leave out.
    """
    there: Any = pipeline.default_schema.tables if pipeline.default_schema_name else {}
    chosen = {table.name for table in select_tables(tables or "%", exclude)}
    known = {name.removesuffix(SUFFIX) for name in there if name.removesuffix(SUFFIX) in TABLE_HINTS}
    return [
        {**words, "name": name,
         "columns": {column: hint for column, hint in words["columns"].items() if "data_type" in hint}}
        for name, words in there.items()
        if not name.startswith("_dlt") and (
            name.removesuffix(SUFFIX) in chosen or (tables is None and name.removesuffix(SUFFIX) not in known))
    ]


TableSchema = Mapping[str, Mapping[str, Any]]  # tables in dlt's words, by name


def stored_columns(client: Any, wanted: TableSchema) -> SchemaSnapshot:
    """The outline of these tables as the destination has them; without those that it has not.

    A type is shown as it is wanted where the destination has no better one for it (JSON that is kept as text), and
    whether a column may be null is taken as wanted, since not every destination can say it.

    Args:
        client: dlt's, connected.
        wanted: the tables that are asked for.
    """
    if not hasattr(client, "type_mapper"):  # files: the schema that was stored beside them says what is in them
        stored = client.get_stored_schema(client.schema.name)
        tables = _schema(stored.schema).tables if stored else {}
        return {name: columns for name, columns in snapshot_of_tables(tables).items() if name in wanted}
    fold = client.capabilities.casefold_identifier
    outline = {}
    for table, storage in client.get_storage_tables(list(wanted)):
        if storage:
            words = wanted[table]["columns"]
            folded = {fold(name): name for name in words}
            named = {folded.get(name, name): each for name, each in storage.items()}
            outline[table] = {
                name: _type(client.type_mapper, each, words.get(name), wanted[table]) for name, each in named.items()
            }
    return outline


def _type(mapper: Any, there: Mapping[str, Any], wanted: Mapping[str, Any] | None, table: Mapping[str, Any]) -> str:
    found = type_text(there["data_type"], there.get("precision"), there.get("scale"))
    if wanted is None:
        return found
    asked = type_text(wanted["data_type"], wanted.get("precision"), wanted.get("scale"))
    kept = [str(mapper.to_destination_type({**each, "name": wanted["name"]}, table)) for each in (there, wanted)]
    same = found == asked or kept[0] == kept[1]
    return (asked if same else found) + ("" if wanted.get("nullable", True) else " not null")


def destination_snapshot(pipeline: dlt.Pipeline) -> SchemaSnapshot:
    """The outline of all our tables that a pipeline's destination has."""
    wanted = {table.name: map_as_dlt_table(table_map(table)) for table in TABLES}
    if pipeline.default_schema_name:
        grown: Any = pipeline.default_schema.tables
        for name, words in grown.items():
            if not name.startswith("_dlt"):
                columns = {each: hint for each, hint in words["columns"].items() if "data_type" in hint}
                declared = wanted.get(name, {}).get("columns", {})
                wanted[name] = {**words, "name": name, "columns": {**columns, **declared}}
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
                yield _schema(stored.schema), stored.inserted_at
            return
        naming, sql = client.schema.naming, client.sql_client
        columns = [sql.escape_column_name(naming.normalize_path(name)) for name in ("version_hash", "inserted_at")]
        table = sql.make_qualified_table_name(client.schema.version_table_name)
        rows = sql.execute_sql(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[1]}")
        for version_hash, _ in rows:
            stored = client.get_stored_schema_by_hash(version_hash)
            yield _schema(stored.schema), stored.inserted_at


def _schema(text: str) -> Schema:
    """A schema from how a destination keeps it."""
    import json

    from dlt import Schema

    return Schema.from_stored_schema(json.loads(text))
