"""CREATE TABLE statements for many databases, without a connection and without the client package of any.

Types are those that dlt chooses for its destination of that kind, by dlt's own type mappers. Where dlt goes through
SQLAlchemy (SQLite, MySQL, Oracle, Trino), they are what its SQLAlchemy mapper writes. dlt itself declares no keys; here
they are declared wherever the types of the key's columns allow it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption
from stripe_source.options import Tables, select_tables
from stripe_source.outline import as_dlt
from stripe_source.schema_map import table_map

if TYPE_CHECKING:
    import dlt

_SQLALCHEMY = {"bigint": "BIGINT", "double": "DOUBLE", "json": "JSON", "date": "DATE", "binary": "BLOB",
               "wei": "NUMERIC(38, 0)", "decimal": "NUMERIC({precision}, {scale})", "text": "TEXT"}
# what Oracle takes for words of its own; SQLAlchemy quotes these and what begins with `_`, and leaves the rest to be
# read in capitals
_ORACLE = """all alter and any as asc between by char check cluster comment compress connect create current
    date decimal default delete desc distinct drop else exclusive exists float for from grant group having identified in
    index insert integer intersect into is level like lock long minus mode nocompress not nowait null number of on
    option or order pctfree prior public raw rename resource revoke select set share size smallint start synonym table
    then to trigger uid union unique update user values varchar varchar2 view where with """


@dataclass(frozen=True)
class Dialect:
    """How one kind of database writes a table.

    Args:
        name: ours, and sqlglot's for its grammar.
        destination: the destination of dlt that chooses types and spelling of names; None: `types` does.
        types: dlt's data types -> types of the database.
        key: the clause that declares the key, with `{}` for its columns; None where it cannot be declared on the types
            that the columns have.
        null: "NOT NULL": written behind a column; "Nullable": around the type of the others; "": cannot be said.
        comment: what carries a column's description, with `{}` for the text; "ON": statements of their own; None:
            nothing does.
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


def schema_ddl(
    dialect: str,
    tables: Tables = None,
    exclude: Tables = None,
    *,
    dataset: str | None = None,
    pipeline: dlt.Pipeline | None = None,
) -> list[dict[str, Any]]:
    """The statements that make tables in a database of some kind. Nothing is connected to.

    Args:
        dialect: the kind: one of `DIALECTS`, or an alias.
        tables: names or patterns; None: what an ordinary account uses.
        exclude: likewise, what to leave out.
        dataset: the dataset or schema that the tables are in; it is not made.
        pipeline: its schema in place of the schema maps: columns that were inferred are in it.

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
        from stripe_source.migrate import grown

        wanted = grown(pipeline, tables, exclude)
    else:
        wanted = [as_dlt(table_map(table)) for table in select_tables(tables, exclude)]
    return [
        {
            "table": table["name"],
            "key": [name for name, words in table["columns"].items() if words.get("primary_key")],
            "sql": statements(kind, table, dataset),
        }
        for table in wanted
    ]


def script(tables: Iterable[Mapping[str, Any]]) -> str:
    """What `schema_ddl` answers as one text, to be run by a database's own tool."""
    return "\n".join(
        f"-- {table['table']}; key: {', '.join(table['key'])}\n" + "".join(f"{each};\n" for each in table["sql"])
        for table in tables
    )


def statements(kind: Dialect, table: Mapping[str, Any], dataset: str | None = None) -> list[str]:
    """CREATE TABLE, and what gives the table and its columns their descriptions."""
    columns = [words for words in table["columns"].values() if words.get("data_type")]
    name = _qualified(kind, table["name"], dataset)
    key = ", ".join(_name(kind, words["name"]) for words in columns if words.get("primary_key"))
    lines = [_column(kind, words, table) for words in columns]
    if kind.key and key:
        lines.append(kind.key.format(key))
    tail = kind.tail.format(
        comment=_text(kind, table.get("description") or table["name"]), key=key,
        dataset=dataset or "stripe", table=table["name"],
    )
    create = f"CREATE TABLE {name} (\n  " + ",\n  ".join(lines) + "\n)" + (f"\n{tail}" if tail else "")
    if kind.comment != "ON":
        return [create]
    comments = [f"COMMENT ON TABLE {name} IS {_text(kind, table['description'])}"] if table.get("description") else []
    return [create, *comments, *(
        f"COMMENT ON COLUMN {name}.{_name(kind, words['name'])} IS {_text(kind, words['description'])}"
        for words in columns if words.get("description")
    )]


def _column(kind: Dialect, words: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    type_ = column_type(kind, words, table)
    nullable = words.get("nullable", True)
    if nullable and kind.null == "Nullable":
        type_ = f"Nullable({type_})"
    parts = [_name(kind, words["name"]), type_]
    if not nullable and kind.null == "NOT NULL":
        parts.append("NOT NULL")
    if kind.comment and kind.comment != "ON" and words.get("description"):
        parts.append(kind.comment.format(_text(kind, words["description"])))
    return " ".join(parts)


def column_type(kind: Dialect, words: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """The type that dlt would give a column in such a database."""
    if kind.destination is None:
        digits = {"precision": words.get("precision") or 38, "scale": words.get("scale", 9)}
        return kind.types[words["data_type"]].format(**digits)
    return str(_mapper(kind.destination).to_destination_type(words, table))


@cache
def _mapper(destination: str) -> Any:
    """dlt's type mapper of a destination, which needs no package of the database."""
    return _capabilities(destination).get_type_mapper()


@cache
def _capabilities(destination: str) -> Any:
    from dlt.common.destination.reference import DestinationReference

    return DestinationReference.find(destination)()._raw_capabilities()  # the public way looks for credentials


def _name(kind: Dialect, name: str) -> str:
    """A name as dlt spells it in such a database, in its quotes."""
    from sqlglot import exp

    if kind.destination:
        name = _capabilities(kind.destination).casefold_identifier(name)
    return exp.to_identifier(name, quoted=kind.quoted(name)).sql(_grammar(kind))


def _qualified(kind: Dialect, table: str, dataset: str | None) -> str:
    if not dataset:
        return _name(kind, table)
    if kind.joins != ".":
        return _name(kind, f"{dataset}{kind.joins}{table}")
    return f"{_name(kind, dataset)}.{_name(kind, table)}"


def _text(kind: Dialect, text: str) -> str:
    from sqlglot import exp

    return exp.Literal.string(text).sql(_grammar(kind))


def _grammar(kind: Dialect) -> str:
    return "hive" if kind.name == "athena" else kind.name  # the grammar of Athena's DDL
