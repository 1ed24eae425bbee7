"""The query of a view: parsed, checked against the native maps, every column of the type that the view declares."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from sqlglot import exp, parse_one
from sqlglot.errors import OptimizeError, ParseError, SchemaError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.schema import MappingSchema

from stripe_source.errors import ViewMapError
from stripe_source.errors.base import nearest_name
from stripe_source.tables.registry import WITH_REPORTS
from stripe_source.tables.schema_map import table_map
from stripe_source.views.object_json import (
    JSON_TEXT,
    LISTED,
    MEMBER,
    PART,
    SECONDS,
    bool_text,
    decimal_text,
    object_json,
    step,
)
from stripe_source.views.view_map import View, ViewColumn

LANGUAGE = "duckdb"  # whose SQL the maps are written in
SQL_TYPES = {"text": "TEXT", "bigint": "BIGINT", "double": "DOUBLE", "decimal": "DECIMAL(38, 12)", "bool": "BOOLEAN",
             "timestamp": "TIMESTAMPTZ", "json": "JSON"}
_NUMBERS = frozenset({"bigint", "double", "decimal"})


@dataclass(frozen=True, eq=False)
class TypedQuery:
    """The query of a view.

    Args:
        view: whose it is.
        query: a SELECT over native tables in the language of the maps, with the steps that dialects write each in its
            own way; None: the view has no rows.
        reads: the native tables that it reads, with their columns.
        values: the expression of each column after all rules, for people; none where it is always null.
    """

    view: View
    query: exp.Select | None
    reads: Mapping[str, tuple[str, ...]]
    values: Mapping[str, str]


@cache
def typed_query(view: View) -> TypedQuery:
    """Make the query of a view.

    Raises:
        ViewMapError: an expression cannot be parsed, names a table or column that the native maps do not have, or has a
            type that cannot become the declared one.
    """
    if view.source is None:
        return TypedQuery(view, None, {}, {})
    source = _source(view)
    selected = [_parse(view, column) for column in view.columns]
    query = source.select(*(exp.alias_(each, f"c{place}") for place, each in enumerate(selected)), append=False)
    _expand(view, query)
    checked = _checked(view, query, source)
    for column, projection in zip(view.columns, checked.selects, strict=True):
        projection.set("this", _converted(view, column, projection.this))
    values = {
        column.name: str(column.value) for column in view.columns if column.value is not None
    }
    return TypedQuery(view, checked, _reads(checked), values)


def _source(view: View) -> exp.Select:
    """The FROM and WHERE of a view."""
    text = f"SELECT 1 FROM {view.source}" + (f" WHERE {view.where}" if view.where else "")
    try:
        query = parse_one(text, dialect=LANGUAGE)
    except ParseError as error:
        raise ViewMapError(view.file, view.name, None, f"`from` and `where` are no SQL: {_first_line(error)}") from None
    assert isinstance(query, exp.Select)
    for table in query.find_all(exp.Table):
        if table.name not in WITH_REPORTS:
            nearest = nearest_name(table.name, WITH_REPORTS)
            hint = f" Did you mean `{nearest}`?" if nearest else ""
            raise ViewMapError(view.file, view.name, None, f"`{table.name}` is no native table.{hint}")
    return query


def _parse(view: View, column: ViewColumn) -> exp.Expr:
    if column.value is None:
        return exp.cast(exp.null(), SQL_TYPES[column.type], dialect=LANGUAGE)
    try:
        return parse_one(column.value, dialect=LANGUAGE)
    except ParseError as error:
        reason = f"`{column.value}` is no expression: {_first_line(error)}"
        raise ViewMapError(view.file, view.name, column.name, reason) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


# ---- what the language has beside DuckDB's functions

def _expand(view: View, query: exp.Select) -> None:
    """Write out the functions that only maps have: OBJECT_JSON, LIST_JSON, UNIX, and members of JSON."""
    for call in reversed(list(query.find_all(exp.Anonymous))):  # the inner ones first
        name, arguments = call.name.upper(), call.expressions
        if name == "OBJECT_JSON":
            call.replace(_object(view, call))
        elif name == "LIST_JSON":
            text = step(LISTED, *arguments)
            call.replace(exp.DPipe(this=exp.DPipe(this=exp.Literal.string("["), expression=text, safe=True),
                                   expression=exp.Literal.string("]"), safe=True))
        elif name == "UNIX":
            call.replace(step(SECONDS, *arguments, type="BIGINT"))
    for found in list(query.find_all(exp.JSONExtractScalar, exp.JSONExtract)):
        keys = [part.this for part in found.expression.expressions
                if isinstance(part, (exp.JSONPathKey, exp.JSONPathSubscript))]
        name = MEMBER if isinstance(found, exp.JSONExtractScalar) else PART
        found.replace(step(name, found.this, *(exp.convert(key) for key in keys)))


def _object(view: View, call: exp.Anonymous) -> exp.Expr:
    alias, path = (call.expressions[0].name, call.expressions[1].name) if len(call.expressions) == 2 else ("", "")
    select = call.find_ancestor(exp.Select)
    tables = {table.alias_or_name: table.name for table in select.find_all(exp.Table)} if select else {}
    if alias not in tables:
        raise ViewMapError(view.file, view.name, None, f"`{call.sql(LANGUAGE)}`: no table is called `{alias}`; write "
                                                       "`OBJECT_JSON(table, 'path')`.")
    found = object_json(tables[alias], alias, path)
    if found is None:
        reason = f"`{call.sql(LANGUAGE)}`: `{tables[alias]}` has no column below `{path}`."
        raise ViewMapError(view.file, view.name, None, reason)
    return found


# ---- names and types

def _checked(view: View, query: exp.Select, source: exp.Select) -> exp.Select:
    """The query with every name resolved and every type known."""
    try:
        return _resolved(query)
    except (OptimizeError, SchemaError) as error:
        _check(view, None, source.select("1", append=False), "`from` or `where`")
        for projection, column in zip(query.selects, view.columns, strict=True):
            _check(view, column, source.select(projection.copy(), append=False), f"`{column.value}`")
        raise ViewMapError(view.file, view.name, None, f"{_first_line(error)}.") from None


def _check(view: View, column: ViewColumn | None, query: exp.Select, what: str) -> None:
    """Name what a part of the query says wrong, if it does."""
    try:
        _resolved(query)
    except (OptimizeError, SchemaError) as error:
        named = re.search(r"[Cc]olumn:? ['\"]?(\w+)", str(error))
        if named is None:
            reason = f"{what}: {_first_line(error)}."
        else:
            known = [name for table in query.find_all(exp.Table) for name in _column_types(table.name)]
            nearest = nearest_name(named[1], known)
            hint = f" Did you mean `{nearest}`?" if nearest and nearest != named[1] else ""
            reason = f"{what}: no table in it has one column `{named[1]}`.{hint}"
        raise ViewMapError(view.file, view.name, column.name if column else None, reason) from None


def _resolved(query: exp.Select) -> exp.Select:
    used = {table.name for table in query.find_all(exp.Table)}
    schema = MappingSchema({name: _column_types(name) for name in used}, dialect=LANGUAGE, normalize=False)
    resolved = qualify(query.copy(), schema=schema, dialect=LANGUAGE, expand_stars=False)
    typed = annotate_types(resolved, schema=schema, dialect=LANGUAGE)
    assert isinstance(typed, exp.Select)
    return typed


@cache
def _column_types(table: str) -> dict[str, str]:
    return {column.name: SQL_TYPES.get(column.data_type, "TEXT") for column in table_map(WITH_REPORTS[table]).columns}


def _converted(view: View, column: ViewColumn, value: exp.Expr) -> exp.Expr:
    """A value in the type that its column declares."""
    if column.value is None:
        return value
    found = type_of(value)
    if found == column.type:
        return value
    if column.type == "text":
        if found == "json":
            return step(JSON_TEXT, value)
        if found == "bool":
            return bool_text(value)
        if found == "decimal":
            return decimal_text(value)
        if found in _NUMBERS:
            return exp.cast(value, "TEXT")
    if column.type in ("double", "decimal") and found in _NUMBERS:
        return exp.cast(value, SQL_TYPES[column.type], dialect=LANGUAGE)
    reason = f"`{column.value}` is {found or 'of no known type'}, and {column.type} is declared: write a CAST."
    raise ViewMapError(view.file, view.name, column.name, reason)


def type_of(value: exp.Expr) -> str | None:
    """The type of an annotated expression, in the words of the maps."""
    kind = value.type
    if kind is None:
        return None
    groups = {
        "text": exp.DataType.TEXT_TYPES, "bigint": exp.DataType.INTEGER_TYPES, "double": exp.DataType.FLOAT_TYPES,
        "bool": {exp.DataType.Type.BOOLEAN}, "json": {exp.DataType.Type.JSON},
        "timestamp": exp.DataType.TEMPORAL_TYPES, "decimal": {exp.DataType.Type.DECIMAL},
    }
    for name, types in groups.items():
        if kind.this in types:
            return name
    return None


def _reads(query: exp.Select) -> dict[str, tuple[str, ...]]:
    """The native tables of a resolved query with the columns that it reads of them, in the order of the maps."""
    found: dict[str, set[str]] = {}
    for table, column in native_columns(query):
        found.setdefault(table.name, set()).update([column.name] if column else [])
    return {
        name: tuple(column.name for column in table_map(WITH_REPORTS[name]).columns if column.name in columns)
        for name, columns in found.items()
    }


def native_columns(query: exp.Select) -> Iterator[tuple[exp.Table, exp.Column | None]]:
    """Each native table of a resolved query, alone, and with each column of it."""
    for scope in traverse_scope(query):
        sources = {name: each for name, each in scope.sources.items() if isinstance(each, exp.Table)}
        for table in sources.values():
            yield table, None
        for column in scope.columns:
            if column.table in sources:
                yield sources[column.table], column
