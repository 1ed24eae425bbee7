"""The SQL statements that create tables and describe them: CREATE TABLE, COMMENT ON."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from stripe_source.schema.sql.dialects import Dialect


def script(tables: Iterable[Mapping[str, Any]]) -> str:
    """The answer of `schema_ddl` as one text, to be run by a database's own tool."""
    return "\n".join(
        f"-- {table['table']}; key: {', '.join(table['key'])}\n" + "".join(f"{each};\n" for each in table["sql"])
        for table in tables
    )


def statements(dialect: Dialect, table: Mapping[str, Any], dataset: str | None = None) -> list[str]:
    """CREATE TABLE, and the statements that describe the table and its columns, where the dialect has them."""
    columns = [column for column in table["columns"].values() if column.get("data_type")]
    name = _qualified(dialect, table["name"], dataset)
    key = ", ".join(_name(dialect, column["name"]) for column in columns if column.get("primary_key"))
    lines = [_column(dialect, column, table) for column in columns]
    if dialect.key and key:
        lines.append(dialect.key.format(key))
    tail = dialect.tail.format(
        comment=_text(dialect, table.get("description") or table["name"]), key=key,
        dataset=dataset or "stripe", table=table["name"],
    )
    create = f"CREATE TABLE {name} (\n  " + ",\n  ".join(lines) + "\n)" + (f"\n{tail}" if tail else "")
    if dialect.comment != "ON":
        return [create]
    description = table.get("description")
    comments = [f"COMMENT ON TABLE {name} IS {_text(dialect, description)}"] if description else []
    return [create, *comments, *(
        f"COMMENT ON COLUMN {name}.{_name(dialect, column['name'])} IS {_text(dialect, column['description'])}"
        for column in columns if column.get("description")
    )]


def _column(dialect: Dialect, column: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    type_ = column_type(dialect, column, table)
    nullable = column.get("nullable", True)
    if nullable and dialect.null == "Nullable":
        type_ = f"Nullable({type_})"
    parts = [_name(dialect, column["name"]), type_]
    if not nullable and dialect.null == "NOT NULL":
        parts.append("NOT NULL")
    if dialect.comment and dialect.comment != "ON" and column.get("description"):
        parts.append(dialect.comment.format(_text(dialect, column["description"])))
    return " ".join(parts)


def column_type(dialect: Dialect, column: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """The type that dlt would give a column in this kind of database."""
    if dialect.destination is None:
        digits = {"precision": column.get("precision") or 38, "scale": column.get("scale", 9)}
        return dialect.types[column["data_type"]].format(**digits)
    return str(_mapper(dialect.destination).to_destination_type(column, table))


@cache
def _mapper(destination: str) -> Any:
    """dlt's type mapper of a destination; it needs no client package of the database."""
    return _capabilities(destination).get_type_mapper()


@cache
def _capabilities(destination: str) -> Any:
    from dlt.common.destination.reference import DestinationReference

    return DestinationReference.find(destination)()._raw_capabilities()  # the public way looks for credentials


def _name(dialect: Dialect, name: str) -> str:
    """A name in the case and the quotes that dlt gives it in this kind of database."""
    from sqlglot import exp

    if dialect.destination:
        name = _capabilities(dialect.destination).casefold_identifier(name)
    return exp.to_identifier(name, quoted=dialect.quoted(name)).sql(_grammar(dialect))


def _qualified(dialect: Dialect, table: str, dataset: str | None) -> str:
    if not dataset:
        return _name(dialect, table)
    if dialect.joins != ".":
        return _name(dialect, f"{dataset}{dialect.joins}{table}")
    return f"{_name(dialect, dataset)}.{_name(dialect, table)}"


def _text(dialect: Dialect, text: str) -> str:
    from sqlglot import exp

    return exp.Literal.string(text).sql(_grammar(dialect))


def _grammar(dialect: Dialect) -> str:
    return "hive" if dialect.name == "athena" else dialect.name  # the grammar of Athena's DDL
