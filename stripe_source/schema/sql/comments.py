"""Descriptions of tables and columns in destinations for which dlt writes none: COMMENT ON.

dlt itself writes descriptions in Snowflake, BigQuery and Databricks. DuckDB and Postgres take comments, and show them.
"""
from __future__ import annotations

from typing import Any

from stripe_source.destination.sql.engines import stored_comments
from stripe_source.schema.snapshot import DltTables, SchemaSnapshot
from stripe_source.schema.sql.dialects import DIALECTS
from stripe_source.schema.sql.statements import statements


def missing_comments(client: Any, wanted: DltTables, existing: SchemaSnapshot) -> list[str]:
    """The statements that describe the tables and columns of a destination that lack their descriptions.

    Args:
        client: dlt's, connected.
        wanted: tables with their descriptions.
        existing: the tables and columns that the destination has.

    Returns:
        The statements; none for a destination whose comments we cannot read.
    """
    destination = client.config.destination_type.rpartition(".")[2]
    dataset = client.sql_client.dataset_name
    query = stored_comments(destination, dataset)
    if query is None:
        return []
    stored = {(table, column): text for table, column, text in client.sql_client.execute_sql(query)}

    def lacking(table: str, column: str, description: str) -> str:
        """A description that has to be written; "" where it is there."""
        return "" if description == stored.get((table, column), "") else description

    found = []
    for name, table in wanted.items():
        if name not in existing:
            continue
        columns = {
            column: {**hint, "description": text}
            for column, hint in table["columns"].items()
            if column in existing[name] and (text := lacking(name, column, hint.get("description", "")))
        }
        to_describe = {**table, "columns": columns, "description": lacking(name, "", table.get("description", ""))}
        found += statements(DIALECTS[destination], to_describe, dataset)[1:]
    return found


def write_comments(client: Any, comments: list[str]) -> None:
    """Run the statements, all or none of them."""
    with client.sql_client.begin_transaction():
        for statement in comments:
            client.sql_client.execute_sql(statement)
