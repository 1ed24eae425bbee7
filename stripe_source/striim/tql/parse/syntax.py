"""The statements of a TQL program, as it says them; every part knows its place."""
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from stripe_source.api.credentials import Secret
from stripe_source.striim.tql.parse.tokens import Place, Source

_SECRET = re.compile(
    r"(?:key|secret|password|passphrase|token|credential\w*)$|connectionurl$|^(?:auth|access)\w*$", re.IGNORECASE)
_NO_SECRET = re.compile(r"^(?:authmode|primarykey|messagekey|partitionkey|serviceaccountkey)$", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Whether the value of a property is one that nobody may see."""
    return bool(_SECRET.search(key)) and not _NO_SECRET.match(key)


@dataclass(frozen=True)
class Property:
    """`Key: value`.

    Args:
        key: as it is written.
        value: what it says; a `Secret` where it may be one.
        quoted: whether it stands in quotes.
        place: of the key.
        value_place: of the value.
    """

    key: str
    value: str = field(repr=False)
    quoted: bool
    place: Place
    value_place: Place


@dataclass(frozen=True)
class Adapter:
    """`USING Global.X VERSION '…' ( properties )`, also of a parser or a formatter.

    Args:
        name: without `Global.`.
        properties: in their order.
        place: of the name.
        version: what `VERSION` says.
    """

    name: str
    properties: tuple[Property, ...]
    place: Place
    version: str | None = None


@dataclass(frozen=True)
class Output:
    """`OUTPUT TO stream`, with what is said about it.

    Args:
        stream: its name.
        place: of the name.
        query: where in the program `SELECT …` stands.
        mapped: the table of `MAP (Table:'T')`.
        persist: the property set of `PERSIST USING`.
    """

    stream: str
    place: Place
    query: slice | None = None
    mapped: Property | None = None
    persist: Place | None = None


@dataclass(frozen=True)
class Statement:
    """A statement.

    Args:
        name: of what it makes, or is about.
        place: of its first word.
    """

    name: str
    place: Place


@dataclass(frozen=True)
class SourceStatement(Statement):
    """`CREATE SOURCE`."""

    reader: Adapter
    outputs: tuple[Output, ...]
    parser: Adapter | None = None


@dataclass(frozen=True)
class TargetStatement(Statement):
    """`CREATE TARGET`."""

    writer: Adapter
    input: str
    input_place: Place
    formatter: Adapter | None = None


@dataclass(frozen=True)
class QueryStatement(Statement):
    """`CREATE CQ`: `query` is where in the program its SELECT stands."""

    into: str
    into_place: Place
    query: slice


@dataclass(frozen=True)
class StreamStatement(Statement):
    """`CREATE STREAM`; `clauses` are PARTITION BY, PERSIST and GRACE PERIOD, each with its place."""

    of_type: str
    clauses: tuple[tuple[str, Place], ...] = ()


@dataclass(frozen=True)
class TypeField:
    """A field of a type."""

    name: str
    type: str
    key: bool
    place: Place


@dataclass(frozen=True)
class TypeStatement(Statement):
    """`CREATE TYPE`."""

    fields: tuple[TypeField, ...]


@dataclass(frozen=True)
class OtherStatement(Statement):
    """A statement that makes nothing here.

    Args:
        what: its first words, such as `CREATE WINDOW`.
        harmless: whether nothing is lost without it.
    """

    what: str
    harmless: bool


@dataclass(frozen=True)
class Block(Statement):
    """`CREATE APPLICATION` or `CREATE FLOW`, up to its END.

    Args:
        kind: which of them.
        clauses: RECOVERY, EXCEPTIONHANDLER and the like, each with its place.
        statements: what stands in it.
    """

    kind: str
    clauses: tuple[tuple[str, Place], ...] = ()
    statements: tuple[Statement, ...] = ()


@dataclass
class Program:
    """A program.

    Args:
        source: its text, and the places in it.
        statements: at the top.
        stray: places of lines before the first statement that say nothing.
    """

    source: Source
    statements: list[Statement]
    stray: list[Place] = field(default_factory=list)

    def walk(self) -> Iterator[Statement]:
        """Every statement, those in blocks after their block."""
        waiting = list(reversed(self.statements))
        while waiting:
            statement = waiting.pop()
            yield statement
            if isinstance(statement, Block):
                waiting.extend(reversed(statement.statements))

    def secrets(self) -> tuple[str, ...]:
        """Every value that may be a secret."""
        found = []
        for statement in self.walk():
            adapters: tuple[Adapter | None, ...] = ()
            if isinstance(statement, SourceStatement):
                adapters = statement.reader, statement.parser
            elif isinstance(statement, TargetStatement):
                adapters = statement.writer, statement.formatter
            found += [each.value for adapter in adapters if adapter for each in adapter.properties
                      if isinstance(each.value, Secret)]
        return tuple(found)
