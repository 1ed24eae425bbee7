"""`schema_ddl`: CREATE TABLE for many databases, without a connection and without the client package of any.

Types are those that dlt chooses for its destination of that kind, by dlt's own type mappers. Where dlt goes through
SQLAlchemy (SQLite, MySQL, Oracle, Trino), they are what its SQLAlchemy mapper writes. dlt itself declares no keys; here
they are declared wherever the types of the key's columns allow it.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption
from stripe_source.schema.snapshot import map_as_dlt_table
from stripe_source.schema.sql.dialects import ALIASES, DIALECTS
from stripe_source.schema.sql.statements import statements
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import Tables, select_tables

if TYPE_CHECKING:
    import dlt


def schema_ddl(
    dialect: str,
    tables: Tables = None,
    exclude: Tables = None,
    *,
    dataset: str | None = None,
    pipeline: dlt.Pipeline | None = None,
) -> list[dict[str, Any]]:
    """Write the statements that create tables in a kind of database. It connects to nothing.

    Args:
        dialect: the kind: one of `DIALECTS`, or an alias.
        tables: names or patterns; None: what an ordinary account uses.
        exclude: likewise, what to leave out.
        dataset: the dataset or schema that the tables are in; it is not created.
        pipeline: its schema is taken in place of the schema maps, with the columns that were inferred.

    Returns:
        For each table its name, key, and statements: CREATE TABLE, and COMMENT ON where descriptions go that way.

    Raises:
        InvalidOption: there is no such dialect.
        UnknownTable: a name means no table.
    """
    kind = DIALECTS.get(ALIASES.get(dialect.lower(), dialect.lower()))
    if kind is None:
        raise InvalidOption("dialect", dialect, DIALECTS)
    if pipeline is not None:
        from stripe_source.schema.actual import tables_with_inferred_columns  # imports dlt

        wanted = tables_with_inferred_columns(pipeline, tables, exclude)
    else:
        wanted = [map_as_dlt_table(table_map(table)) for table in select_tables(tables, exclude)]
    return [
        {
            "table": table["name"],
            "key": [name for name, column in table["columns"].items() if column.get("primary_key")],
            "sql": statements(kind, table, dataset),
        }
        for table in wanted
    ]
