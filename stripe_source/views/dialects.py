"""How each dialect writes the steps that sqlglot does not know, or writes for other types than dlt's columns have."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from sqlglot import exp

from stripe_source.errors import InvalidOption
from stripe_source.views.object_json import (
    JSON_TEXT,
    LISTED,
    MEMBER,
    OBJECT,
    PART,
    QUOTED,
    SECONDS,
    json_value,
    object_text,
)

# Text as a JSON string where no function makes one
_BY_HAND = (r"""('"' || REPLACE(REPLACE(REPLACE(REPLACE(REPLACE({x}, '\\', '\\\\'), '"', '\\"'), CHR(10), '\\n'), """
            r"""CHR(13), '\\r'), CHR(9), '\\t') || '"')""")
_BIGQUERY_JSON = "COALESCE(JSON_VALUE({x}), TO_JSON_STRING({x}))"  # what came as text is a text in JSON there
_REDSHIFT_JSON = "CASE WHEN JSON_TYPEOF({x}) = 'string' THEN CAST({x} AS VARCHAR(MAX)) ELSE JSON_SERIALIZE({x}) END"
_WITHIN = "LISTAGG({x}, ',') WITHIN GROUP (ORDER BY {o})"


@dataclass(frozen=True)
class ViewDialect:
    """How one kind of database writes a view.

    Args:
        name: ours and sqlglot's.
        quoted: a text as a JSON string. Here and below, `{x}` is the value.
        seconds: unix seconds of a time.
        member: a scalar in a JSON column as text, at `{path}`, or at `{dotted}`: `a.b`.
        part: an object or list there, as JSON text.
        json_text: a JSON column of dlt's as text.
        path: "path": `{path}` is `$.a[0]`; "keys": a text for each key; "numbers": numbers of lists count from 1.
        listed: texts of a group with commas, in the order of `{o}`.
        json: the type of dlt's JSON columns.
        replace: a view is replaced by `CREATE OR REPLACE`; otherwise it is dropped and made.
        materialized: views cannot read another dataset: tables are made in their place.
        types: how a cast to a type of the maps is written, where sqlglot writes it otherwise.
        upper: dlt writes its names in capitals there.
        joins: what stands between dataset and table, as in dlt's names there.
    """

    name: str
    quoted: str
    seconds: str
    member: str
    part: str
    json_text: str = "CAST({x} AS TEXT)"
    path: str = "path"
    listed: str = _WITHIN
    json: str = "JSON"
    replace: bool = True
    materialized: bool = False
    types: tuple[tuple[str, str], ...] = ()
    upper: bool = False
    joins: str = "."


DIALECTS: dict[str, ViewDialect] = {dialect.name: dialect for dialect in (
    ViewDialect(
        "duckdb", "CAST(TO_JSON({x}) AS TEXT)", "CAST(EPOCH({x}) AS BIGINT)", "JSON_EXTRACT_STRING({x}, {path})",
        "NULLIF(CAST(JSON_EXTRACT({x}, {path}) AS TEXT), 'null')",
        listed="STRING_AGG({x}, ',' ORDER BY {o})"),
    ViewDialect(
        "postgres", "CAST(TO_JSON(CAST({x} AS TEXT)) AS TEXT)", "CAST(EXTRACT(EPOCH FROM {x}) AS BIGINT)",
        "JSONB_EXTRACT_PATH_TEXT(CAST({x} AS JSONB), {path})",
        "NULLIF(CAST(JSONB_EXTRACT_PATH(CAST({x} AS JSONB), {path}) AS TEXT), 'null')",
        path="keys", listed="STRING_AGG({x}, ',' ORDER BY {o})", replace=False),
    ViewDialect(
        "sqlite", "JSON_QUOTE({x})", "CAST(STRFTIME('%s', {x}) AS INTEGER)",
        "CAST(JSON_EXTRACT({x}, {path}) AS TEXT)", "JSON_EXTRACT({x}, {path})",
        listed="GROUP_CONCAT({x}, ',')", replace=False, materialized=True),
    ViewDialect(
        "snowflake", "TO_JSON(TO_VARIANT({x}))", "DATE_PART(EPOCH_SECOND, {x})",
        "CAST(GET_PATH(PARSE_JSON(CAST({x} AS VARCHAR)), {dotted}) AS VARCHAR)",
        "CAST(GET_PATH(PARSE_JSON(CAST({x} AS VARCHAR)), {dotted}) AS VARCHAR)", json="VARIANT",
        upper=True),
    ViewDialect(
        "bigquery", "TO_JSON_STRING({x})", "UNIX_SECONDS({x})", f"JSON_VALUE({_BIGQUERY_JSON}, {{path}})",
        f"JSON_QUERY({_BIGQUERY_JSON}, {{path}})",
        json_text=_BIGQUERY_JSON, listed="STRING_AGG({x}, ',' ORDER BY {o})"),
    ViewDialect(
        "redshift", _BY_HAND, "CAST(EXTRACT(EPOCH FROM {x}) AS BIGINT)",
        f"JSON_EXTRACT_PATH_TEXT({_REDSHIFT_JSON}, {{path}}, TRUE)",
        f"NULLIF(JSON_EXTRACT_PATH_TEXT({_REDSHIFT_JSON}, {{path}}, TRUE), '')", json_text=_REDSHIFT_JSON, path="keys",
        json="SUPER", replace=False),
    ViewDialect(
        "databricks", _BY_HAND, "UNIX_TIMESTAMP({x})", "GET_JSON_OBJECT({x}, {path})",
        "GET_JSON_OBJECT({x}, {path})", json="STRING"),
    ViewDialect(
        "clickhouse", "toJSONString({x})", "toUnixTimestamp({x})", "JSONExtract({x}, {path}, 'Nullable(String)')",
        "NULLIF(JSONExtractRaw({x}, {path}), '')",
        json_text="{x}", path="numbers", json="String", joins="___",
        types=(("TIMESTAMPTZ", "Nullable(DateTime64(6, 'UTC'))"),),
        listed="arrayStringConcat(arrayMap(p -> p.2, arraySort(p -> p.1, groupArray((tuple({o}), {x})))), ',')"),
    ViewDialect(
        "mysql", "JSON_QUOTE({x})", "TIMESTAMPDIFF(SECOND, CAST('1970-01-01' AS DATETIME), {x})",
        "JSON_VALUE({x}, {path})",
        "CAST(JSON_EXTRACT({x}, {path}) AS CHAR)", json_text="CAST({x} AS CHAR)",
        listed="GROUP_CONCAT({x} ORDER BY {o} SEPARATOR ',')",
        types=(("TIMESTAMPTZ", "DATETIME(6)"), ("BOOLEAN", "SIGNED"), ("JSON", "CHAR"))),
)}
ALIASES = {"mariadb": "mysql", "postgresql": "postgres", "motherduck": "duckdb"}


def view_dialect(name: str, option: str = "dialect") -> ViewDialect:
    """A dialect by its name, or one of `ALIASES`.

    Raises:
        InvalidOption: views are not written for such a database.
    """
    lower = name.lower()
    found = DIALECTS.get(ALIASES.get(lower, lower))
    if found is None:
        raise InvalidOption(option, name, DIALECTS)
    return found


def in_dialect(query: exp.Expr, dialect: ViewDialect) -> exp.Expr:
    """A resolved query in the words of a dialect; sqlglot does the rest when it is written."""
    if dialect.name == "sqlite":
        _order_groups(query)
    if dialect.name == "clickhouse":  # what a LEFT JOIN does not find would be "" and 0 there
        query.set("settings", [exp.EQ(this=exp.column("join_use_nulls"), expression=exp.Literal.number(1))])
    types = {"JSON": dialect.json, **dict(dialect.types)}
    for cast in query.find_all(exp.Cast):
        kind = cast.to.sql("duckdb")
        if kind in types and types[kind] != kind:
            cast.set("to", exp.DataType.build(types[kind], dialect=dialect.name))
    _write_steps(query, dialect)
    return query


def _write_steps(query: exp.Expr, dialect: ViewDialect) -> None:
    for cast in reversed(list(query.find_all(exp.Cast))):  # the inner ones first: what is around them takes their text
        if isinstance(cast.this, exp.Anonymous) and cast.this.name in _STEPS:
            cast.replace(exp.var(_written(cast.this, dialect)))


def _written(call: exp.Anonymous, dialect: ViewDialect) -> str:
    """A step as text."""
    if call.name == OBJECT:
        return object_text(call, lambda each: each.sql(dialect.name), _templates(dialect), _concat(dialect))
    first, *others = call.expressions
    dotted = "".join(f"[{key.name}]" if key.is_int else f".{key.name}" for key in others)
    path = [exp.Literal.string(f"${dotted}")] if dialect.path == "path" else [
        key if not key.is_int else exp.Literal.string(key.name) if dialect.path == "keys"
        else exp.Literal.number(int(key.name) + 1) for key in others]
    return _STEPS[call.name](dialect).format(
        x=first.sql(dialect.name), o=", ".join(each.sql(dialect.name) for each in others),
        path=", ".join(each.sql(dialect.name) for each in path),
        dotted=exp.Literal.string(dotted.removeprefix(".")).sql(dialect.name),
    )


@cache
def _templates(dialect: ViewDialect) -> dict[str, str]:
    """How a value of each type becomes JSON text, and a text loses its first character."""
    value = exp.var("{x}")
    templates: dict[str, exp.Expr] = {kind: exp.paren(json_value(value, kind)) for kind in (
        "text", "bigint", "double", "decimal", "bool", "timestamp", "json")}
    templates["rest"] = exp.paren(exp.Substring(this=value, start=exp.Literal.number(2)))
    for each in templates.values():
        _write_steps(each, dialect)
    return {kind: each.this.sql(dialect.name) for kind, each in templates.items()}


def _concat(dialect: ViewDialect) -> Callable[..., str]:
    if dialect.name == "mysql":  # where `||` means OR
        return lambda *texts: f"CONCAT({', '.join(texts)})"
    return lambda *texts: " || ".join(texts)


_STEPS: dict[str, Callable[[ViewDialect], str]] = {
    QUOTED: lambda dialect: dialect.quoted, SECONDS: lambda dialect: dialect.seconds,
    JSON_TEXT: lambda dialect: dialect.json_text, MEMBER: lambda dialect: dialect.member,
    PART: lambda dialect: dialect.part, LISTED: lambda dialect: dialect.listed, OBJECT: lambda dialect: "",
}


def _order_groups(query: exp.Expr) -> None:
    """SQLite before 3.44 takes no ORDER BY in GROUP_CONCAT: there the rows come ordered from a subquery."""
    for listed in list(query.find_all(exp.Anonymous)):
        select = listed.find_ancestor(exp.Select)
        if listed.name != LISTED or select is None:
            continue
        source = select.args["from_"].this
        inner = exp.select("*").from_(source.copy()).order_by(*(each.copy() for each in listed.expressions[1:]))
        if where := select.args.get("where"):
            inner.set("where", where.copy())
            select.set("where", None)
        source.replace(inner.subquery(source.alias_or_name))
