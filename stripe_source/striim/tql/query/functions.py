"""Functions and methods of Striim's queries, each as DuckDB has it."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

Type = Literal["text", "number", "bool", "time", "any"]


class Part(NamedTuple):
    """A part of a query: SQL for DuckDB, and what it yields."""

    sql: str
    type: Type = "any"


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''").replace("\x00", "") + "'"


def cast(part: Part, to: str, type: Type) -> Part:
    """A value as another type; what cannot be one is null."""
    return Part(f"TRY_CAST({part.sql} AS {to})", type)


def as_text(part: Part) -> Part:
    """A value as text."""
    return part if part.type == "text" else Part(f"CAST({part.sql} AS VARCHAR)", "text")


_CASTS: dict[str, tuple[str, Type]] = {
    "TO_LONG": ("BIGINT", "number"), "TO_INT": ("INTEGER", "number"), "TO_INTEGER": ("INTEGER", "number"),
    "TO_SHORT": ("SMALLINT", "number"), "TO_DOUBLE": ("DOUBLE", "number"), "TO_FLOAT": ("REAL", "number"),
    "TO_BOOLEAN": ("BOOLEAN", "bool"), "TO_DATE": ("TIMESTAMP", "time"),
}
# name: how many arguments, what it yields, its SQL; `{0}` is the first argument
_PLAIN: dict[str, tuple[tuple[int, int], Type, str]] = {
    "UPPER": ((1, 1), "text", "upper({0})"), "LOWER": ((1, 1), "text", "lower({0})"),
    "TRIM": ((1, 1), "text", "trim({0})"), "LENGTH": ((1, 1), "number", "length({0})"),
    "CONCAT": ((1, 99), "text", "concat({all})"), "REPLACE": ((3, 3), "text", "replace({0}, {1}, {2})"),
    "COALESCE": ((1, 99), "any", "coalesce({all})"), "NVL": ((2, 2), "any", "coalesce({0}, {1})"),
    "IFNULL": ((2, 2), "any", "coalesce({0}, {1})"), "NULLIF": ((2, 2), "any", "nullif({0}, {1})"),
    "ABS": ((1, 1), "number", "abs(TRY_CAST({0} AS DOUBLE))"),
    "ROUND": ((1, 2), "number", "round(TRY_CAST({0} AS DOUBLE){rest})"),
    "FLOOR": ((1, 1), "number", "floor(TRY_CAST({0} AS DOUBLE))"),
    "CEIL": ((1, 1), "number", "ceil(TRY_CAST({0} AS DOUBLE))"),
}
# methods of a value, which Striim takes over from Java
_METHODS: dict[str, tuple[int, Type, str]] = {
    "tostring": (0, "text", "{0}"), "length": (0, "number", "length({0})"), "trim": (0, "text", "trim({0})"),
    "touppercase": (0, "text", "upper({0})"), "tolowercase": (0, "text", "lower({0})"),
    "contains": (1, "bool", "contains({0}, {1})"), "startswith": (1, "bool", "starts_with({0}, {1})"),
    "endswith": (1, "bool", "ends_with({0}, {1})"), "equals": (1, "bool", "({0} = {1})"),
    "equalsignorecase": (1, "bool", "(lower({0}) = lower({1}))"),
    "replace": (2, "text", "replace({0}, {1}, {2})"), "isempty": (0, "bool", "({0} = '')"),
}
_DATE = re.compile(r"'[^']*'|([A-Za-z])\1*|[^A-Za-z']+")
_DATE_WORDS = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "MMM": "%b", "MMMM": "%B", "dd": "%d", "HH": "%H", "hh": "%I", "mm": "%M",
    "ss": "%S", "SSS": "%g", "a": "%p", "Z": "%z", "EEE": "%a", "EEEE": "%A",
}


def date_format(joda: str) -> str | None:
    """A format of Striim's (Joda) as DuckDB has it; None where it has a word that DuckDB does not have.

    >>> date_format("yyyy-MM-dd'T'HH:mm:ss")
    '%Y-%m-%dT%H:%M:%S'
    """
    made = []
    for match in _DATE.finditer(joda):
        word = match[0]
        if word.startswith("'"):
            made.append(word.strip("'").replace("%", "%%") or "'")
        elif match[1]:
            if word not in _DATE_WORDS:
                return None
            made.append(_DATE_WORDS[word])
        else:
            made.append(word.replace("%", "%%"))
    return "".join(made)


def call(name: str, arguments: list[Part], texts: list[str | None]) -> Part | str:
    """A function.

    Args:
        name: as it is written.
        arguments: its arguments.
        texts: of each argument that is a literal text, the text.

    Returns:
        The part; or what is wrong.
    """
    upper = name.upper()
    if upper in ("TO_STRING", "TO_DATEF") or (upper == "TO_DATE" and len(arguments) == 2):
        return _dated(upper, arguments, texts)
    if upper in _CASTS:
        if len(arguments) != 1:
            return f"`{name}` takes one argument here."
        return cast(arguments[0], *_CASTS[upper])
    if upper not in _PLAIN:
        return f"The function `{name}` cannot be carried over. Known: {', '.join(sorted(known_functions()))}."
    (least, most), yields, template = _PLAIN[upper]
    if not least <= len(arguments) <= most:
        return f"`{name}` takes {least if least == most else f'{least} to {most}'} arguments."
    sqls = [part.sql for part in (map(as_text, arguments) if yields == "text" else arguments)]
    return Part(template.format(*sqls, all=", ".join(sqls), rest="".join(f", {sql}" for sql in sqls[1:])), yields)


def _dated(name: str, arguments: list[Part], texts: list[str | None]) -> Part | str:
    """Functions with the format of a date."""
    if name == "TO_STRING" and len(arguments) == 1:
        return as_text(arguments[0])
    pattern = texts[1] if len(arguments) == 2 else None
    if pattern is None:
        return f"`{name}` takes a value and a format, such as `'yyyy-MM-dd'`."
    form = date_format(pattern)
    if form is None:
        return "This format of a date cannot be carried over."
    if name == "TO_STRING":
        return Part(f"strftime({cast(arguments[0], 'TIMESTAMP', 'time').sql}, {literal(form)})", "text")
    return Part(f"try_strptime({as_text(arguments[0]).sql}, {literal(form)})", "time")


def method(name: str, value: Part, arguments: list[Part]) -> Part | str:
    """A method of a value, such as `.toString()`; or what is wrong."""
    lower = name.lower()
    text = as_text(value)
    if lower == "substring" and len(arguments) in (1, 2):
        begin = arguments[0].sql
        length = f", ({arguments[1].sql}) - ({begin})" if len(arguments) == 2 else ""
        return Part(f"substring({text.sql}, ({begin}) + 1{length})", "text")
    if lower not in _METHODS or _METHODS[lower][0] != len(arguments):
        return f"The method `{name}` cannot be carried over."
    _, yields, template = _METHODS[lower]
    return Part(template.format(text.sql, *(as_text(part).sql for part in arguments)), yields)


def known_functions() -> set[str]:
    """The names of all functions, those of WAEvents included."""
    return {*_CASTS, *_PLAIN, "TO_STRING", "TO_DATEF", "META", "DATA", "BEFORE", "USERDATA", "putUserData"}


Caller = Callable[[str, list[Part], list["str | None"]], "Part | str"]
