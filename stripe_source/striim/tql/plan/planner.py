"""From a TQL program to what can be run, with all that cannot be carried over."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from stripe_source.striim.tql.model import Flow, StripeReader, Target
from stripe_source.striim.tql.parse.parser import parse
from stripe_source.striim.tql.parse.syntax import (
    Block,
    OtherStatement,
    Program,
    QueryStatement,
    SourceStatement,
    Statement,
    StreamStatement,
    TargetStatement,
    TypeStatement,
)
from stripe_source.striim.tql.plan.problems import Lookup, Problems
from stripe_source.striim.tql.plan.properties import plain
from stripe_source.striim.tql.plan.reader import make_reader
from stripe_source.striim.tql.plan.streams import (
    Candidate,
    Columns,
    Streams,
    candidate_of,
    outputs_of,
    stream_key,
)
from stripe_source.striim.tql.plan.targets import make_target

_CLAUSES = {
    "RECOVERY": "Positions are kept when a poll ends; the interval has no meaning here.",
    "WITH ENCRYPTION": "Nothing goes from server to server here.",
    "EXCEPTIONHANDLER": "An error ends the run, and is named.",
    "USE EXCEPTIONSTORE": "There is no exception store; an error ends the run, and is named.",
    "AUTORESUME": "Requests are tried again; a run that failed is started again by who started it.",
}


@dataclass
class Plan:
    """A program, and what becomes of it.

    Args:
        program: what was read.
        flow: what can be run of it.
        problems: what cannot be carried over, and notes.
        streams: what each stream has: WAEvents, or columns.
    """

    program: Program
    flow: Flow
    problems: Problems
    streams: dict[str, Columns] = field(default_factory=dict)


def make_plan(text: str, file: str | None = None, lookup: Lookup = lambda name: None) -> Plan:
    """Read a program, and find out what becomes of it.

    Args:
        text: the program.
        file: its name, for errors.
        lookup: the value of a variable such as `$NAME`, or None.

    Raises:
        TqlSyntaxError: it is none.
    """
    program = parse(text, file)
    return _Planner(program, lookup).plan()


class _Planner:
    def __init__(self, program: Program, lookup: Lookup) -> None:
        self._program = program
        self._lookup = lookup
        self._problems = Problems(program.secrets())
        self._readers: list[StripeReader] = []
        self._candidates: list[Candidate] = []
        self._targets: list[tuple[TargetStatement, Target]] = []
        self._declared: dict[str, StreamStatement] = {}
        self._types: dict[str, TypeStatement] = {}
        self._made: dict[tuple[str, str], Statement] = {}
        self._name = ""
        self._recovery = False

    def plan(self) -> Plan:
        """What becomes of the program."""
        for place in self._program.stray:
            self._problems.add("Before the first statement", "", "This line says nothing, and is left out.", place,
                               "note")
        for statement in self._program.walk():
            self._once(statement)
            self._take(statement)
        streams = Streams(self._program.source, self._problems, self._declared, self._types)
        read = tuple(name for reader in self._readers for name in reader.streams)
        queries, known = streams.resolve(read, self._candidates)
        targets = tuple(target for statement, target in self._targets if self._is_fed(statement, known))
        if not self._readers:
            self._problems.add("Program", "", "It has no source that reads Stripe.", self._program.source.place(0))
        elif not self._targets:
            self._problems.add("Program", "", "It has no target.", self._program.source.place(0), "note")
        flow = Flow(self._name or "tql", tuple(self._readers), tuple(queries), targets, self._recovery)
        return Plan(self._program, flow, self._problems, known)

    def _once(self, statement: Statement) -> None:
        """A name is made once."""
        kind = type(statement).__name__
        if isinstance(statement, (OtherStatement, Block)):
            return
        key = kind, statement.name.lower()
        if key in self._made:
            self._problems.add(_title(statement), "", f"This name was made before, at {self._made[key].place}.",
                               statement.place)
        self._made[key] = statement

    def _take(self, statement: Statement) -> None:
        if isinstance(statement, Block):
            self._block(statement)
        elif isinstance(statement, SourceStatement):
            self._source(statement)
        elif isinstance(statement, TargetStatement):
            target = make_target(statement, self._problems, self._lookup)
            if target:
                self._targets.append((statement, target))
        elif isinstance(statement, QueryStatement):
            self._candidates.append(candidate_of(statement, self._program.source))
        elif isinstance(statement, StreamStatement):
            self._declared[stream_key(statement.name)] = statement
            for clause, place in statement.clauses:
                self._problems.add(_title(statement), clause, "Streams are neither divided nor kept here.", place,
                                   "note")
        elif isinstance(statement, TypeStatement):
            self._types[stream_key(statement.name)] = statement
        elif isinstance(statement, OtherStatement):
            if statement.harmless:
                self._problems.add(statement.what, "", "This has no meaning here.", statement.place, "note")
            else:
                self._problems.add(statement.what, "", "This statement cannot be carried over.", statement.place)

    def _block(self, block: Block) -> None:
        if block.kind == "APPLICATION":
            if self._name:
                self._problems.add(f"CREATE APPLICATION {block.name}", "", "A program has one application here; put "
                                   "the second one into a file of its own.", block.place)
            self._name = self._name or block.name
        for clause, place in block.clauses:
            self._recovery = self._recovery or clause == "RECOVERY"
            self._problems.add(f"CREATE {block.kind} {block.name}", clause, _CLAUSES[clause], place, "note")

    def _source(self, statement: SourceStatement) -> None:
        if plain(statement.reader.name) != "stripereader":
            self._problems.add(_title(statement), statement.reader.name, "Only StripeReader can be carried over.",
                               statement.reader.place)
            return
        streams, candidates = outputs_of(statement, self._program.source, self._problems)
        self._candidates += candidates
        self._readers.append(make_reader(statement, streams, self._problems, self._lookup))

    def _is_fed(self, statement: TargetStatement, known: dict[str, Any]) -> bool:
        if stream_key(statement.input) in known:
            return True
        self._problems.add(_title(statement), "INPUT FROM", f"Nothing that can be carried over writes the stream "
                           f"`{statement.input}`.", statement.input_place)
        return False


def _title(statement: Statement) -> str:
    kinds = {SourceStatement: "SOURCE", TargetStatement: "TARGET", QueryStatement: "CQ", StreamStatement: "STREAM",
             TypeStatement: "TYPE"}
    return f"CREATE {kinds[type(statement)]} {statement.name}"


def with_api_base(flow: Flow, api_base: str | None) -> Flow:
    """A flow whose readers that name no address read from this one."""
    if not api_base:
        return flow
    readers = (reader if reader.api_base else replace(reader, api_base=api_base) for reader in flow.readers)
    return replace(flow, readers=tuple(readers))
