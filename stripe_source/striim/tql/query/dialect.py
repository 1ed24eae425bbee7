"""Striim's SELECT as a dialect of sqlglot, and the errors of one that is none."""
from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import TokenType, exp, parser, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError

from stripe_source.redaction import redact


class QueryError(Exception):
    """Something in a query that cannot be read, or cannot be carried over.

    Args:
        message: what it is.
        offset: where it stands in the query, in characters.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(redact(message))
        self.message, self.offset = redact(message), offset


class QuerySyntaxError(QueryError):
    """A query that is none."""


class Tql(Dialect):
    """Texts in single or double quotes, `==` and `&&`, lists that begin with 0; every function by its own name."""

    INDEX_OFFSET = 0
    UNESCAPED_SEQUENCES = {  # noqa: RUF012 - sqlglot declares it so
        "\\n": "\n", "\\t": "\t", "\\r": "\r", '\\"': '"', "\\'": "'", "\\/": "/", "\\\\": "\\"}

    class Tokenizer(tokens.Tokenizer):
        """Words of Striim's SELECT."""

        QUOTES: ClassVar[list[str | tuple[str, str]]] = ["'", '"']
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
        STRING_ESCAPES: ClassVar[list[str]] = ["'", '"', "\\"]
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            **tokens.Tokenizer.KEYWORDS, "&&": TokenType.AND}

    class Parser(parser.Parser):
        """Functions are not interpreted: `query/functions.py` says which there are."""

        FUNCTIONS: ClassVar[dict[str, object]] = {}  # type: ignore[assignment]  # it is read only
        FUNCTION_PARSERS: ClassVar[dict[str, object]] = {}  # type: ignore[assignment]  # likewise


def parse_select(select: str) -> exp.Select:
    """Read a query.

    Raises:
        QuerySyntaxError: it is none.
    """
    try:
        found = Tql().parse(select)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        message = re.split(r" but got | for <class", str(first.get("description") or "It cannot be read"))[0]
        raise QuerySyntaxError(f"{message}.", _offset(select, first)) from None
    except (SqlglotError, RecursionError, ValueError, IndexError, KeyError, TypeError, AttributeError):
        # what sqlglot 30 raises of texts that are no SQL at all
        raise QuerySyntaxError("This query cannot be read.", 0) from None
    if len(found) != 1 or not isinstance(found[0], exp.Select):
        raise QuerySyntaxError("Expected `SELECT … FROM … WHERE …`.", 0)
    return found[0]


def _offset(select: str, error: dict[str, object]) -> int:
    """Where an error of sqlglot's stands: it names the line, and the column of the last character."""
    line, column, what = error.get("line"), error.get("col"), error.get("highlight")
    if not isinstance(line, int) or not isinstance(column, int):
        return 0
    begin = sum(len(each) for each in select.splitlines(keepends=True)[:line - 1])
    return max(0, min(begin + column - len(str(what or "")), len(select) - 1))


