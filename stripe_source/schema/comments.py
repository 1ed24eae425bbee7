"""Descriptions of tables and columns in the destination, where dlt writes none: by COMMENT ON.

dlt itself carries descriptions to Snowflake, BigQuery and Databricks. DuckDB and Postgres take comments, and tell them.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_source.schema.dialects import DIALECTS
from stripe_source.schema.snapshot import SchemaSnapshot
from stripe_source.schema.statements import statements

if TYPE_CHECKING:
    from stripe_source.schema.actual import TableSchema

# table, column ("" for the table itself), comment: of one schema
_HELD = {
    "duckdb": "SELECT table_name, column_name, comment FROM duckdb_columns()"
              " WHERE schema_name = %s AND database_name = current_database() AND comment IS NOT NULL"
              " UNION ALL SELECT table_name, '', comment FROM duckdb_tables()"
              " WHERE schema_name = %s AND database_name = current_database() AND comment IS NOT NULL",
    "postgres": "SELECT c.relname, COALESCE(a.attname, ''), d.description FROM pg_description d"
                " JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass"
                " JOIN pg_namespace n ON n.oid = c.relnamespace"
                " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0"
                " WHERE n.nspname IN (%s, %s)",
}


def missing_comments(client: Any, wanted: TableSchema, there: SchemaSnapshot) -> list[str]:
    """The statements that give tables and columns of a destination the descriptions that they have not.

    Args:
        client: dlt's, connected.
        wanted: tables in dlt's words.
        there: the tables and columns that the destination has.

    Returns:
        The statements; none for a destination of which we do not know what comments it has.
    """
    kind = client.config.destination_type.rpartition(".")[2]
    if kind not in _HELD:
        return []
    dataset = client.sql_client.dataset_name
    rows = client.sql_client.execute_sql(_HELD[kind], dataset, dataset)
    held = {(table, column): text for table, column, text in rows}
    found = []
    for name, words in wanted.items():
        if name not in there:
            continue
        columns = {column: {**hint, "description": hint.get("description", "")}
                   for column, hint in words["columns"].items()
                   if column in there[name] and hint.get("description", "") != held.get((name, column), "")}
        about = words.get("description", "")
        table = {**words, "columns": columns, "description": "" if about == held.get((name, ""), "") else about}
        found += statements(DIALECTS[kind], table, dataset)[1:]
    return found


def write_comments(client: Any, commands: list[str]) -> None:
    """Run the statements, all or none of them."""
    with client.sql_client.begin_transaction():
        for command in commands:
            client.sql_client.execute_sql(command)
