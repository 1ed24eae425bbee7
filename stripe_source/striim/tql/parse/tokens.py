"""Words, texts, numbers and signs of a TQL program, each with its place."""
from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from stripe_source.errors import TqlSyntaxError

Kind = Literal["word", "text", "number", "sign", "end"]
_STATEMENT = re.compile(
    r"[ \t]*(?:(?:create|drop|deploy|undeploy|load|unload|import|alter)\s+[\w\"'.]|end\s+(?:application|flow)\b"
    r"|(?:use|start|stop|quiesce)\s+[\w.]+\s*(?:\w+\s*)?;)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d]\w*|\$[\w.]+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SIGN = re.compile(r"==|!=|<>|<=|>=|&&|\|\||::|->>|->|[-+*/%<>=!|&^~?@#.,:;()\[\]{}$\\`]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"


class Place(NamedTuple):
    """Where something stands: line and column, both from 1; a column is a character."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Token:
    """A piece of a program.

    Args:
        kind: what it is.
        value: what it says; of a text, without its quotes and escapes.
        start: where it begins in the program, in characters.
        end: where it ends.
        place: line and column of its beginning.
    """

    kind: Kind
    value: str = field(repr=False)
    start: int
    end: int
    place: Place

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words, in any case."""
        return self.kind == "word" and self.value.upper() in words

    def is_sign(self, *signs: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == "sign" and self.value in signs

    def __str__(self) -> str:
        """What an error calls it; never what a text says, which may be a key."""
        if self.kind == "sign" or (self.kind == "word" and re.fullmatch("[A-Za-z]{1,20}", self.value)):
            return f"`{self.value}`"
        return {"word": "a name", "text": "a text in quotes", "number": "a number"}.get(
            self.kind, "the end of the program")


class Source:
    """The text of a program, and the places in it.

    Args:
        text: the program.
        file: its name for errors.
    """

    def __init__(self, text: str, file: str | None = None) -> None:
        self.text = text
        self.file = file
        self._lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def place(self, offset: int) -> Place:
        """Line and column of an offset."""
        line = bisect_right(self._lines, offset)
        return Place(line, offset - self._lines[line - 1] + 1)

    def error(self, reason: str, where: int | Place) -> TqlSyntaxError:
        """An error that names a place."""
        line, column = self.place(where) if isinstance(where, int) else where
        return TqlSyntaxError(reason, line, column, self.file)


def tokenize(source: Source) -> tuple[list[Token], list[Place]]:
    """Cut a program into tokens; comments and white space go.

    Returns:
        The tokens, the last of which is the end; and the places of lines before the first statement that are neither
        comments nor statements, such as a heading.

    Raises:
        TqlSyntaxError: a text or a comment has no end, or there is a character that no program has.
    """
    begin, stray = _begin(source)
    return tokens_between(source, begin, len(source.text)), stray


def tokens_between(source: Source, begin: int, end: int) -> list[Token]:
    """The tokens of a part of a program; the last one is its end.

    Raises:
        TqlSyntaxError: as `tokenize`.
    """
    text, tokens, position = source.text, list[Token](), begin
    while position < end:
        char = text[position]
        if char.isspace() or char in "\ufeff\x00":
            position += 1
        elif text.startswith("--", position):
            position = _end_of_line(text, position)
        elif text.startswith("/*", position):
            position = _end_of_comment(source, position)
        else:
            token = _token(source, position)
            tokens.append(token)
            position = token.end
    tokens.append(Token("end", "", end, end, source.place(end)))
    return tokens


def _begin(source: Source) -> tuple[int, list[Place]]:
    """Where the first statement begins, and what stands before it that is no comment. 0 where none is found."""
    text, position, stray = source.text, 0, list[Place]()
    while position < len(text):
        end = _end_of_line(text, position)
        line = text[position:end].strip("\ufeff \t\r\n\x00")
        if _STATEMENT.match(text, position + (text[position] == "\ufeff")):
            return position, stray
        if line.startswith("/*"):
            position = _end_of_comment(source, text.index("/*", position))
            continue
        if line and not line.startswith("--"):
            stray.append(source.place(position))
        position = end + 1
    return 0, []


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _end_of_comment(source: Source, position: int) -> int:
    end = source.text.find("*/", position + 2)
    if end < 0:
        raise source.error("This comment has no end: `*/` is missing.", position)
    return end + 2


def _token(source: Source, start: int) -> Token:
    text = source.text
    place = source.place(start)
    if text[start] in "'\"":
        value, end = _quoted(source, start)
        return Token("text", value, start, end, place)
    kinds: tuple[tuple[Kind, re.Pattern[str]], ...] = (("word", _WORD), ("number", _NUMBER), ("sign", _SIGN))
    for kind, pattern in kinds:
        if match := pattern.match(text, start):
            return Token(kind, match[0], start, match.end(), place)
    if text[start] in _TYPOGRAPHIC:
        raise source.error("This is a typographic quote; a program has `'` or `\"`.", start)
    raise source.error(f"No program has the character U+{ord(text[start]):04X}.", start)


def _quoted(source: Source, start: int) -> tuple[str, int]:
    """What a text in quotes says, and where it ends. A quote inside is written with a backslash, or twice."""
    text, quote, said, position = source.text, source.text[start], list[str](), start + 1
    while position < len(text):
        char = text[position]
        following = text[position + 1:position + 2]
        if char == "\\" and following in _ESCAPES:
            said.append(_ESCAPES[following] if following else "")
            position += 2
        elif char == following == quote and (position > start + 1 or text[position + 2:position + 3] == quote):
            said.append(quote)
            position += 2
        elif char == quote:
            return "".join(said), position + 1
        else:
            said.append(char)
            position += 1
    raise source.error(f"This text has no end: a second `{quote}` is missing.", start)
