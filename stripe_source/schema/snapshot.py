"""A snapshot of a schema: each table's columns with their types, and nothing else; what is compared and versioned."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import TableMap, table_map
from stripe_source.tables.table import Table

SchemaSnapshot = dict[str, dict[str, str]]  # table -> column -> type, such as `text not null`
DltTables = Mapping[str, Mapping[str, Any]]  # tables by name, each as dlt's schema has it
UNKNOWN = "unknown"  # the type of a column of which only the name is known


def type_text(data_type: str, precision: int | None = None, scale: int | None = None) -> str:
    """The type of a column in dlt's words.

    >>> type_text("decimal", 38, 12)
    'decimal(38,12)'
    """
    return f"{data_type}({precision},{scale or 0})" if data_type == "decimal" and precision else data_type


def snapshot_of_columns(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The snapshot of one table's columns, given as dlt column schemas; columns without a type yet are left out."""
    return {
        name: type_text(column["data_type"], column.get("precision"), column.get("scale"))
        + ("" if column.get("nullable", True) else " not null")
        for name, column in columns.items() if column.get("data_type")
    }


def snapshot_of_maps(tables: Iterable[Table] = TABLES) -> SchemaSnapshot:
    """The snapshot of the schema maps of this release."""
    return {table.name: snapshot_of_columns(table_map(table).hints()) for table in tables}


def snapshot_of_tables(tables: DltTables) -> SchemaSnapshot:
    """The snapshot of tables of a dlt schema; dlt's own tables are left out."""
    return {
        name: snapshot_of_columns(table.get("columns", {}))
        for name, table in tables.items() if not name.startswith("_dlt")
    }


def map_as_dlt_table(shape: TableMap) -> dict[str, Any]:
    """A schema map as a table of a dlt schema."""
    columns = shape.hints()
    for name in shape.key:
        columns[name]["merge_key" if shape.table.report else "primary_key"] = True  # rows of a report have no key
    return {  # dlt's types depend on the format that is loaded: Postgres gets `json` from Parquet, and `jsonb` else
        "name": shape.table.name, "description": shape.description, "columns": columns, "file_format": "parquet",
    }
