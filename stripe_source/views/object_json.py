"""`OBJECT_JSON(…)`: an object of Stripe's as JSON text, made of the columns that it was flattened to."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from sqlglot import exp

from stripe_source.tables.registry import WITH_REPORTS
from stripe_source.tables.schema_map import Column, table_map

# Steps that each dialect writes in its own way: `dialects.py` has them
QUOTED, SECONDS, JSON_TEXT, MEMBER, PART, LISTED, OBJECT = (
    "_QUOTED", "_SECONDS", "_JSON_TEXT", "_MEMBER", "_PART", "_LISTED", "_OBJECT")
_Tree = dict[str, Any]  # member -> Column, or a tree of its own


def step(name: str, *arguments: exp.Expr, type: str = "TEXT") -> exp.Expr:
    """One of the steps above; its type is written around it, so that it is known when types are checked."""
    return exp.cast(exp.Anonymous(this=name, expressions=list(arguments)), type)


def object_json(table: str, alias: str, path: str) -> exp.Expr | None:
    """The object at a path of a native table's objects, as JSON text; null where it has no member.

    Members without a value are left out, and so are lists whose members are rows of another table.

    Args:
        table: the native table.
        alias: its name in the query.
        path: dotted; "" for the whole object.

    Returns:
        None where no column of the table lies below the path.
    """
    tree = _tree_at(table, path)
    if tree is None:
        return None
    columns = [exp.column(column.name, table=alias) for column in _columns(tree)]
    return step(OBJECT, exp.Literal.string(table), exp.Literal.string(path), *columns)


def _tree_at(table: str, path: str) -> _Tree | None:
    tree: Any = _tree(table)
    for part in path.split(".") if path else ():
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else None


@cache
def _tree(table: str) -> _Tree:
    """The columns of a table by their paths."""
    shape = table_map(WITH_REPORTS[table])
    tree: _Tree = {}
    for column in shape.columns:
        path = column.path
        if not path or any(path[:len(each)] == each for each in shape.children if each):
            continue
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})
        branch.setdefault(path[-1], column)
    return tree


def _columns(tree: _Tree) -> Iterator[Column]:
    for below in tree.values():
        if isinstance(below, dict):
            yield from _columns(below)
        else:
            yield below


def object_text(
    call: exp.Anonymous, sql: Callable[[exp.Expr], str], templates: Mapping[str, str], concat: Callable[..., str]
) -> str:
    """The step `OBJECT` as text. As text, since a tree of a thousand nodes for each object takes seconds.

    Args:
        call: the step.
        sql: writes a column.
        templates: how a value of each of dlt's types becomes JSON text, with `{x}`; and `rest`, a text without its
            first character.
        concat: writes texts one behind the other.
    """
    table, path, *columns = call.expressions
    tree = _tree_at(table.name, path.name)
    assert tree is not None
    written = iter([sql(column) for column in columns])

    def text_of(tree: _Tree) -> str:
        members = []
        for name, below in tree.items():
            value = text_of(below) if isinstance(below, dict) else templates[below.data_type].replace(
                "{x}", next(written))
            members.append(f"COALESCE({concat(_literal(f',{chr(34)}{name}{chr(34)}:'), value)}, '')")
        inner = templates["rest"].replace("{x}", concat(*members) if len(members) > 1 else members[0])
        return f"NULLIF({concat(_literal('{'), inner, _literal('}'))}, '{{}}')"

    return text_of(tree)


def _literal(text: str) -> str:
    return f"'{text}'"


def json_value(value: exp.Expr, data_type: str) -> exp.Expr:
    """A value of one of dlt's types as JSON text; an amount with decimals, which Stripe writes as text, as one."""
    if data_type == "timestamp":
        return exp.cast(step(SECONDS, value, type="BIGINT"), "TEXT")
    if data_type == "json":
        return step(JSON_TEXT, value)
    if data_type == "bool":
        return bool_text(value)
    if data_type == "decimal":
        quote = exp.Literal.string('"')
        return exp.DPipe(this=exp.DPipe(this=quote, expression=decimal_text(value), safe=True), expression=quote.copy(),
                         safe=True)
    return step(QUOTED, value) if data_type == "text" else exp.cast(value, "TEXT")


def bool_text(value: exp.Expr) -> exp.Expr:
    """A boolean as JSON and Striim write it."""
    return exp.Case(ifs=[
        exp.If(this=value.copy(), true=exp.Literal.string("true")),
        exp.If(this=exp.Not(this=value.copy()), true=exp.Literal.string("false")),
    ])


def decimal_text(value: exp.Expr) -> exp.Expr:
    """A decimal as text without the zeros that its scale adds."""
    text = exp.cast(value.copy(), "TEXT")
    has_point = exp.GT(this=exp.StrPosition(this=text.copy(), substr=exp.Literal.string(".")),
                       expression=exp.Literal.number(0))
    short: exp.Expr = text.copy()
    for end in ("0", "."):
        short = exp.Trim(this=short, expression=exp.Literal.string(end), position="TRAILING")
    return exp.Case(ifs=[exp.If(this=has_point, true=short)], default=text)
