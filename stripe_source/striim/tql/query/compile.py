"""A continuous query of Striim's becomes SQL for DuckDB, or what of it cannot be carried over."""
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp

from stripe_source.errors import TqlSyntaxError
from stripe_source.striim.tql.parse.tokens import Source, tokens_between
from stripe_source.striim.tql.query.dialect import QueryError, QuerySyntaxError, parse_select
from stripe_source.striim.tql.query.functions import Part, call, cast, literal, method

_REFUSED = (
    ("distinct", "DISTINCT"), ("group", "GROUP BY"), ("having", "HAVING"), ("order", "ORDER BY"), ("limit", "LIMIT"),
    ("joins", "a join"), ("laterals", "a lateral join"), ("sample", "SAMPLE BY"), ("with_", "WITH"), ("with", "WITH"),
    ("windows", "WINDOW"), ("qualify", "QUALIFY"), ("offset", "OFFSET"), ("into", "INTO"), ("hint", "a hint"),
    ("locks", "FOR UPDATE"), ("connect", "CONNECT BY"), ("pivots", "PIVOT"), ("match", "MATCH_RECOGNIZE"),
)
_BINARY: dict[type[exp.Expr], str] = {
    exp.And: "AND", exp.Or: "OR", exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.Like: "LIKE", exp.DPipe: "||",
}
_COMPARING = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_COUNTING = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
DEEPEST = 60  # expressions in expressions


@dataclass(frozen=True)
class Item:
    """One value of SELECT.

    Args:
        name: of the field.
        sql: for DuckDB.
        raw: the place of `data[n]` where it is that alone: the value keeps its type.
    """

    name: str
    sql: str
    raw: int | None = None


@dataclass(frozen=True)
class Compiled:
    """A query for DuckDB.

    Args:
        source: the stream that it reads.
        where: the condition; None: all events.
        items: what SELECT makes; none where events go on as they are.
        userdata: what `putUserData` adds to an event, by key.
    """

    source: str
    where: str | None
    items: tuple[Item, ...]
    userdata: tuple[tuple[str, str], ...] = ()

    @property
    def passes(self) -> bool:
        """Whether events go on as they are."""
        return not self.items


def source_of(select: str) -> str:
    """The stream that a query reads.

    Raises:
        QueryError: it reads none, or several.
    """
    return _source(parse_select(_without_istream(select)))[0]


def compile_query(select: str, columns: tuple[str, ...] | None) -> Compiled:
    """Compile a query.

    Args:
        select: `SELECT … FROM … WHERE …`.
        columns: of the stream that it reads, where it has a type; None: it has WAEvents.

    Raises:
        QueryError: it is none, or something of it cannot be carried over.
    """
    tree = parse_select(_without_istream(select))
    stream, alias = _source(tree)
    for key, words in _REFUSED:
        if found := tree.args.get(key):
            node = found[0] if isinstance(found, list) else found
            raise QueryError(f"{words} needs more than one event; a query sees one at a time here.", _place(node, 0))
    if not tree.expressions:
        raise QuerySyntaxError("SELECT selects nothing.", 0)
    compiler = _Compiler(alias, columns)
    where = tree.args.get("where")
    condition = compiler.part(where.this).sql if where else None
    items, userdata = compiler.items(tree.expressions)
    return Compiled(stream, condition, tuple(items), tuple(userdata))


def _without_istream(select: str) -> str:
    """A query without ISTREAM, which is what a query does here anyway; places stay."""
    try:
        words = tokens_between(Source(select), 0, len(select))
    except TqlSyntaxError:
        raise QuerySyntaxError("This query cannot be read.", 0) from None
    for word, following in pairwise(words):
        if word.is_word("ISTREAM") and following.is_word("FROM"):
            select = select[:word.start] + " " * len(word.value) + select[word.end:]
        if word.is_word("LINK") and following.is_word("SOURCE"):
            raise QueryError("LINK SOURCE EVENT cannot be carried over: nothing keeps what an event was made from.",
                             word.start)
        if word.is_word("SAMPLE") and following.is_word("BY"):
            raise QueryError("SAMPLE BY cannot be carried over.", word.start)
    return select


def _source(tree: exp.Select) -> tuple[str, str]:
    """The stream in FROM, and the name that the query has for it."""
    found = tree.args.get("from_") or tree.args.get("from")
    if found is None:
        raise QuerySyntaxError("FROM is missing.", 0)
    table = found.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise QueryError("A query reads one stream.", _place(found, 0))
    if tree.args.get("joins"):
        raise QueryError("A join needs more than one event; a query sees one at a time here.", _place(found, 0))
    if table.args.get("pivots") or table.args.get("sample"):
        raise QueryError("A query reads a stream as it is.", _place(found, 0))
    parts = [part.name for part in table.parts]
    return ".".join(parts), table.alias or parts[-1]


def _place(node: object, default: int) -> int:
    """Where a part of the query begins."""
    if not isinstance(node, exp.Expr):
        return default
    starts = [each.meta["start"] for each in node.walk() if "start" in each.meta]
    return int(min(starts)) if starts else default


class _Compiler:
    """Compiles the expressions of a query over WAEvents, or over a stream with columns."""

    def __init__(self, alias: str, columns: tuple[str, ...] | None) -> None:
        self._alias = alias.lower()
        self._columns = None if columns is None else {name.lower(): name for name in columns}
        self._depth = 0
        self._rules: dict[type[exp.Expr], Callable[..., Part]] = {
            exp.Literal: self._literal, exp.Boolean: lambda node: Part("TRUE" if node.this else "FALSE", "bool"),
            exp.Null: lambda node: Part("NULL"), exp.Paren: self._paren, exp.Not: self._not, exp.Neg: self._negative,
            exp.Is: self._is, exp.In: self._in, exp.Between: self._between, exp.Case: self._case,
            exp.Column: self._column, exp.Identifier: self._column, exp.Bracket: self._bracket, exp.Dot: self._dot,
            exp.Anonymous: self._function,
        }

    def items(self, expressions: list[exp.Expr]) -> tuple[list[Item], list[tuple[str, str]]]:
        """What SELECT makes: items, or none where events go on as they are; and what is added to those."""
        if len(expressions) == 1:
            only = expressions[0].unalias()
            if isinstance(only, exp.Anonymous) and only.name.upper() == "PUTUSERDATA":
                return [], self._put_userdata(only)
            if self._is_event(only):
                return [], []
        made, names = list[Item](), set[str]()
        for number, expression in enumerate(expressions, 1):
            value = expression.unalias()
            if self._is_event(value):
                raise QueryError("An event goes on as it is, or as values; not both in one query.",
                                 _place(expression, 0))
            name = expression.alias_or_name or f"column{number}"
            if name.lower() in names:
                raise QueryError(f"The name `{name}` is there twice.", _place(expression, 0))
            names.add(name.lower())
            made.append(Item(name, self.part(value).sql, self._raw(value)))
        return made, []

    def part(self, node: exp.Expr) -> Part:
        """An expression."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise QueryError("Too many expressions stand in one another.", _place(node, 0))
        try:
            if type(node) in _BINARY:
                return self._binary(node)
            rule = self._rules.get(type(node))
            if rule is None:
                raise QueryError("This expression cannot be carried over.", _place(node, 0))
            return rule(node)
        finally:
            self._depth -= 1

    def _is_event(self, node: exp.Expr) -> bool:
        """Whether an expression is the event itself: `*`, `s`, `s.*`."""
        if isinstance(node, exp.Star):
            return True
        if not isinstance(node, exp.Column):
            return False
        if isinstance(node.this, exp.Star):
            return node.table.lower() == self._alias
        return not node.table and node.name.lower() == self._alias and self._column_name(node.name) is None

    def _column_name(self, name: str) -> str | None:
        return None if self._columns is None else self._columns.get(name.lower())

    def _raw(self, node: exp.Expr) -> int | None:
        """The place of `data[n]`, where an expression is that alone."""
        if self._columns is None and isinstance(node, exp.Bracket) and node.this.name.lower() == "data":
            return self._index(node)
        return None

    def _put_userdata(self, node: exp.Anonymous) -> list[tuple[str, str]]:
        arguments = node.expressions
        self._need_event(node, arguments[:1])
        keys, values = arguments[1::2], arguments[2::2]
        if not keys or len(keys) != len(values):
            raise QueryError("`putUserData` takes an event, and pairs of a key and a value.", _place(node, 0))
        return [(self._text(key), self.part(value).sql) for key, value in zip(keys, values, strict=True)]

    def _need_event(self, node: exp.Expr, arguments: list[exp.Expr]) -> None:
        if self._columns is not None:
            raise QueryError("This stream has values, and no WAEvents.", _place(node, 0))
        if len(arguments) != 1 or arguments[0].name.lower() != self._alias:
            raise QueryError("The first argument is the stream's name in this query.", _place(node, 0))

    def _text(self, node: exp.Expr) -> str:
        if not isinstance(node, exp.Literal) or not node.is_string or not re.fullmatch(r"[\w .:-]{1,100}", node.name):
            raise QueryError("Expected a name in quotes.", _place(node, 0))
        return str(node.name)

    def _literal(self, node: exp.Literal) -> Part:
        if node.is_string:
            return Part(literal(node.name), "text")
        if not re.fullmatch(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+", node.name):
            raise QueryError("This is no number.", _place(node, 0))
        return Part(node.name, "number")

    def _paren(self, node: exp.Paren) -> Part:
        inner = self.part(node.this)
        return Part(f"({inner.sql})", inner.type)

    def _not(self, node: exp.Not) -> Part:
        return Part(f"(NOT {self.part(node.this).sql})", "bool")

    def _negative(self, node: exp.Neg) -> Part:
        return Part(f"(-{_number(self.part(node.this)).sql})", "number")

    def _is(self, node: exp.Is) -> Part:
        if not isinstance(node.expression, (exp.Null, exp.Boolean)):
            raise QueryError("This expression cannot be carried over.", _place(node, 0))
        left, right = _alike(self.part(node.this), self.part(node.expression))
        return Part(f"({left.sql} IS {right.sql})", "bool")

    def _in(self, node: exp.In) -> Part:
        if not node.expressions or any(node.args.get(key) for key in ("query", "unnest", "field")):
            raise QueryError("IN takes a list of values.", _place(node, 0))
        left = self.part(node.this)
        pairs = [_alike(left, self.part(each)) for each in node.expressions]
        return Part("(" + " OR ".join(f"{one.sql} = {other.sql}" for one, other in pairs) + ")", "bool")

    def _between(self, node: exp.Between) -> Part:
        value = self.part(node.this)
        low, high = (_alike(value, self.part(node.args[key])) for key in ("low", "high"))
        return Part(f"({low[0].sql} >= {low[1].sql} AND {high[0].sql} <= {high[1].sql})", "bool")

    def _case(self, node: exp.Case) -> Part:
        of = self.part(node.this) if node.this else None
        words, types = ["CASE"], set[str]()
        for each in node.args["ifs"]:
            when = self.part(each.this)
            if of is not None:
                one, other = _alike(of, when)
                when = Part(f"({one.sql} = {other.sql})", "bool")
            then = self.part(each.args["true"])
            types.add(then.type)
            words.append(f"WHEN {when.sql} THEN {then.sql}")
        if default := node.args.get("default"):
            words.append(f"ELSE {self.part(default).sql}")
        return Part(f"({' '.join(words)} END)", "text" if types == {"text"} else "any")

    def _binary(self, node: exp.Expr) -> Part:
        sign = _BINARY[type(node)]
        if isinstance(node, exp.Connector):  # as many as there are stand beside one another
            return Part("(" + f" {sign} ".join(self.part(each).sql for each in node.flatten()) + ")", "bool")
        left, right = self.part(node.this), self.part(node.expression)
        if isinstance(node, _COUNTING):
            return Part(f"({_number(left).sql} {sign} {_number(right).sql})", "number")
        if isinstance(node, _COMPARING):
            left, right = _alike(left, right)
        return Part(f"({left.sql} {sign} {right.sql})", "text" if isinstance(node, exp.DPipe) else "bool")

    def _column(self, node: exp.Expr) -> Part:
        name, table = node.name, node.table if isinstance(node, exp.Column) else ""
        if table and table.lower() != self._alias:
            raise QueryError(f"There is no stream `{table}` in this query.", _place(node, 0))
        if found := self._column_name(name):
            return Part('"' + found.replace('"', '""') + '"')
        if self._columns is None and name.lower() == "timestamp":
            return Part("timestamp", "time")
        known = "`data[n]`, `before[n]` and `timeStamp`" if self._columns is None else ", ".join(
            f"`{each}`" for each in self._columns.values())
        raise QueryError(f"There is no `{name}` here. Known: {known}.", _place(node, 0))

    def _bracket(self, node: exp.Bracket) -> Part:
        name = node.this.name.lower()
        if self._columns is not None or name not in ("data", "before"):
            raise QueryError("Only `data[n]` and `before[n]` of WAEvents have a place in brackets.", _place(node, 0))
        return Part(f"{name}[{self._index(node) + 1}]", "text")

    def _index(self, node: exp.Bracket) -> int:
        places = node.expressions
        if isinstance(node.this, exp.Column) and node.this.table and node.this.table.lower() != self._alias:
            raise QueryError(f"There is no stream `{node.this.table}` in this query.", _place(node, 0))
        if len(places) != 1 or not isinstance(places[0], exp.Literal) or not re.fullmatch(r"\d{1,4}", places[0].name):
            raise QueryError("The place in brackets is a number from 0.", _place(node, 0))
        return int(places[0].name)

    def _dot(self, node: exp.Dot) -> Part:
        """A method: `META(s, 'TableName').toString()`, `DATA(s).get('Id')`."""
        if not isinstance(node.expression, exp.Anonymous):
            raise QueryError("This expression cannot be carried over.", _place(node, 0))
        name, arguments = node.expression.name, node.expression.expressions
        if isinstance(node.this, exp.Anonymous) and node.this.name.upper() in ("DATA", "BEFORE"):
            which = node.this.name.lower()
            self._need_event(node, node.this.expressions)
            if name.lower() == "get" and len(arguments) == 1:
                return Part(f"{which}[list_position(names, {literal(self._text(arguments[0]).lower())})]", "text")
        return self._checked(node, method(name, self.part(node.this), [self.part(each) for each in arguments]))

    def _function(self, node: exp.Anonymous) -> Part:
        name, arguments = node.name, node.expressions
        if name.upper() in ("META", "USERDATA"):
            self._need_event(node, arguments[:1])
            if len(arguments) != 2:
                raise QueryError(f"`{name}` takes an event and a name.", _place(node, 0))
            path = literal(f'$."{self._text(arguments[1])}"')
            return Part(f"json_extract_string({name.lower()}, {path})", "text")
        texts = [each.name if isinstance(each, exp.Literal) and each.is_string else None for each in arguments]
        return self._checked(node, call(name, [self.part(each) for each in arguments], texts))

    def _checked(self, node: exp.Expr, made: Part | str) -> Part:
        if isinstance(made, str):
            raise QueryError(made, _place(node, 0))
        return made


def _number(part: Part) -> Part:
    return part if part.type == "number" else cast(part, "DOUBLE", "number")


def _alike(left: Part, right: Part) -> tuple[Part, Part]:
    """Two values that are compared: a text is made what the other one is."""
    to = {"number": "DOUBLE", "bool": "BOOLEAN", "time": "TIMESTAMP"}
    if left.type == "text" and right.type in to:
        return cast(left, to[right.type], right.type), right
    if right.type == "text" and left.type in to:
        return left, cast(right, to[left.type], left.type)
    return left, right
