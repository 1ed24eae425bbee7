"""How each kind of database writes a table: types, keys, comments, names."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_SQLALCHEMY = {"bigint": "BIGINT", "double": "DOUBLE", "json": "JSON", "date": "DATE", "binary": "BLOB",
               "wei": "NUMERIC(38, 0)", "decimal": "NUMERIC({precision}, {scale})", "text": "TEXT"}
# Oracle's reserved words. SQLAlchemy quotes these and names that begin with `_`; Oracle reads the others in capitals.
_ORACLE = """all alter and any as asc between by char check cluster comment compress connect create current
    date decimal default delete desc distinct drop else exclusive exists float for from grant group having identified in
    index insert integer intersect into is level like lock long minus mode nocompress not nowait null number of on
    option or order pctfree prior public raw rename resource revoke select set share size smallint start synonym table
    then to trigger uid union unique update user values varchar varchar2 view where with """


@dataclass(frozen=True)
class Dialect:
    """How one kind of database writes a table.

    Args:
        name: our name of it, which is also sqlglot's name of its grammar.
        destination: the destination of dlt that chooses types and the case of names; None: `types` chooses them.
        types: dlt's data types -> types of the database.
        key: the clause that declares the key, with `{}` for its columns; None where columns of these types cannot be in
            a key.
        null: "NOT NULL" is written behind a column; "Nullable" is written around the type of the other columns; "": the
            database cannot say it.
        comment: the clause for a column's description, with `{}` for the text; "ON": separate statements; None: the
            database takes no description.
        tail: what follows the columns, with `{comment}`, `{key}`, `{dataset}` and `{table}`.
        joins: what stands between dataset and table; "." makes two names of them.
        quoted: whether a name is put into quotes.
    """

    name: str
    destination: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    key: str | None = "PRIMARY KEY ({})"
    null: str = "NOT NULL"
    comment: str | None = None
    tail: str = ""
    joins: str = "."
    quoted: Callable[[str], bool] = lambda name: True


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (
        Dialect("athena", "athena", key=None, null="", comment="COMMENT {}",  # dlt merges into Iceberg tables only
                tail="COMMENT {comment}\nLOCATION 's3://your-bucket/{dataset}/{table}'\n"
                     "TBLPROPERTIES ('table_type'='ICEBERG')"),
        Dialect("bigquery", "bigquery", key="PRIMARY KEY ({}) NOT ENFORCED", comment="OPTIONS (description={})",
                tail="OPTIONS (description={comment})"),
        Dialect("clickhouse", "clickhouse", key=None, null="Nullable", comment="COMMENT {}", joins="___",
                tail="ENGINE = MergeTree\nPRIMARY KEY ({key})\nCOMMENT {comment}"),
        Dialect("databricks", "databricks", comment="COMMENT {}", tail="COMMENT {comment}"),
        Dialect("dremio", "dremio", key=None, null=""),
        Dialect("duckdb", "duckdb", comment="ON"),
        Dialect("fabric", "fabric", key=None),  # a key is an ALTER TABLE there, and no type of text without bounds
        Dialect("mysql", types={**_SQLALCHEMY, "bool": "BOOL", "timestamp": "DATETIME(6)", "time": "TIME(6)"},
                key=None, comment="COMMENT {}", tail="COMMENT={comment}"),  # TEXT is in a key only up to a length
        Dialect("oracle", types={**_SQLALCHEMY, "text": "CLOB", "bigint": "NUMBER(19)", "double": "DOUBLE PRECISION",
                                 "bool": "BOOLEAN", "timestamp": "DATE", "time": "TIME"},
                key=None, comment="ON",  # CLOB is in no key
                quoted=lambda name: name.startswith("_") or name in _ORACLE.split()),
        Dialect("postgres", "postgres", comment="ON"),
        Dialect("redshift", "redshift", comment="ON"),
        Dialect("snowflake", "snowflake", comment="COMMENT {}", tail="COMMENT = {comment}"),
        Dialect("spark", "databricks", key=None, comment="COMMENT {}", tail="COMMENT {comment}"),  # dlt has none itself
        Dialect("sqlite", types={**_SQLALCHEMY, "bool": "BOOLEAN", "timestamp": "DATETIME", "time": "TIME"}),
        Dialect("trino", types={**_SQLALCHEMY, "text": "VARCHAR", "json": "VARCHAR", "bool": "BOOLEAN",
                                "timestamp": "TIMESTAMP WITH TIME ZONE", "time": "TIME WITH TIME ZONE",
                                "decimal": "DECIMAL({precision}, {scale})", "wei": "DECIMAL(38, 0)",
                                "binary": "VARCHAR"},
                key=None, comment="COMMENT {}", tail="COMMENT {comment}"),
        Dialect("tsql", "mssql", key=None),  # nvarchar(max) is in no key
    )
}
ALIASES = {"mssql": "tsql", "sqlserver": "tsql", "postgresql": "postgres", "mariadb": "mysql", "motherduck": "duckdb",
           "presto": "trino", "delta": "spark"}
