"""CREATE TABLE, COMMENT ON."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from stripe_source.schema.dialects import Dialect


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
