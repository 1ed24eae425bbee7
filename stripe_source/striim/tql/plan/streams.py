"""The streams of a program: which queries can be carried over, in which order, and what each stream has."""
from __future__ import annotations

from dataclasses import dataclass, replace

from stripe_source.striim.tql.columns import StriimTable, match_striim
from stripe_source.striim.tql.model import Query
from stripe_source.striim.tql.parse.syntax import (
    Output,
    QueryStatement,
    SourceStatement,
    StreamStatement,
    TypeStatement,
)
from stripe_source.striim.tql.parse.tokens import Place, Source, tokens_between
from stripe_source.striim.tql.plan.problems import Problems
from stripe_source.striim.tql.query.compile import compile_query, source_of
from stripe_source.striim.tql.query.dialect import QueryError, QuerySyntaxError

Columns = tuple[str, ...] | None  # None: WAEvents


def stream_key(name: str) -> str:
    """A stream's name without namespace and case."""
    return name.rsplit(".", 1)[-1].lower()


@dataclass(frozen=True)
class Candidate:
    """A query that a program has, before it is known whether it can be carried over.

    Args:
        query: as it may become.
        statement: such as `CREATE CQ Failed`.
        place: of the statement.
        text_begin: where its text begins in the program.
        inserted: where something was put into the text, and how long that is.
    """

    query: Query
    statement: str
    place: Place
    text_begin: int
    inserted: tuple[int, int] = (0, 0)

    def place_of(self, source: Source, offset: int) -> Place:
        """The place in the program of an offset in the query's text."""
        at, length = self.inserted
        if offset >= at + length:
            offset -= length
        return source.place(min(self.text_begin + offset, len(source.text)))


def candidate_of(statement: QueryStatement, source: Source) -> Candidate:
    """A `CREATE CQ`."""
    query = Query(statement.name, "", statement.into, source.text[statement.query])
    return Candidate(query, f"CREATE CQ {statement.name}", statement.place, statement.query.start)


def outputs_of(
    statement: SourceStatement, source: Source, problems: Problems
) -> tuple[tuple[str, ...], list[Candidate]]:
    """The streams that a source writes as it reads, and the queries that its outputs are."""
    named = f"CREATE SOURCE {statement.name}"
    plain = [output.stream for output in statement.outputs if output.query is None and output.mapped is None]
    hidden = f"{stream_key(statement.name)}__all"
    candidates: list[Candidate] = []
    for output in statement.outputs:
        if output.persist:
            problems.add(named, "PERSIST USING", "Streams are not kept here.", output.persist, "note")
        if output.mapped:
            candidate = _mapped(statement, output, hidden, problems)
            candidates += [candidate] if candidate else []
        elif output.query:
            candidates.append(_selected(statement, output, output.query, hidden, source))
    return (*plain, *([hidden] if candidates else [])), candidates


def _mapped(statement: SourceStatement, output: Output, hidden: str, problems: Problems) -> Candidate | None:
    """`OUTPUT TO stream MAP (Table: 'T')`: the events of one table, as values."""
    assert output.mapped
    named = f"CREATE SOURCE {statement.name}"
    found, _ = match_striim(output.mapped.value.rsplit(".", 1)[-1].strip())
    if len(found) != 1:
        problems.add(named, "MAP", "There is no such table of Stripe's.", output.mapped.value_place)
        return None
    table = found[0]
    query = Query(f"{statement.name} to {output.stream}", hidden, output.stream, _select_all(table, hidden))
    return Candidate(query, named, output.place, 0)


def _select_all(table: StriimTable, stream: str) -> str:
    values = ", ".join(f"data[{place}] AS {column.name}" for place, column in enumerate(table.columns))
    return f"SELECT {values} FROM {stream} s WHERE META(s, 'TableName') == '{table.name}'"


def _selected(
    statement: SourceStatement, output: Output, where: slice, hidden: str, source: Source
) -> Candidate:
    """`OUTPUT TO stream SELECT (…) WHERE …`: a query that does not name what it reads."""
    text = source.text[where]
    words = tokens_between(source, where.start, where.stop)
    at = next((word.start for word in words if word.is_word("WHERE")), where.stop) - where.start
    inserted = (0, 0)
    if not any(word.is_word("FROM") for word in words):
        if len(words) > 2 and words[1].is_sign("("):
            closing = max(word.start for word in words if word.is_sign(")") and word.start - where.start < at) \
                if any(word.is_sign(")") and word.start - where.start < at for word in words) else None
            opening = words[1].start - where.start
            if closing is not None:
                closing -= where.start
                text = text[:opening] + " " + text[opening + 1:closing] + " " + text[closing + 1:]
        words_in = f" FROM {hidden} s "
        text = text[:at] + words_in + text[at:]
        inserted = (at, len(words_in))
    query = Query(f"{statement.name} to {output.stream}", hidden, output.stream, text)
    return Candidate(query, f"CREATE SOURCE {statement.name}", output.place, where.start, inserted)


@dataclass
class Streams:
    """What each stream of a program has.

    Args:
        source: the program.
        problems: takes what cannot be carried over.
        declared: by stream, the type that the program says it has.
        types: by name, the fields of a type.
    """

    source: Source
    problems: Problems
    declared: dict[str, StreamStatement]
    types: dict[str, TypeStatement]

    def resolve(self, read: tuple[str, ...], candidates: list[Candidate]) -> tuple[list[Query], dict[str, Columns]]:
        """The queries that can be carried over, each after those whose stream it reads; and the columns of streams.

        Args:
            read: the streams that sources write.
            candidates: the queries of the program.
        """
        known: dict[str, Columns] = {stream_key(name): None for name in read}
        waiting, made = list(candidates), list[Query]()
        names: dict[int, str] = {}
        for number, candidate in enumerate(candidates):
            try:
                names[number] = source_of(candidate.query.select)
            except QueryError as error:
                self._refuse(candidate, error)
        waiting = [candidate for number, candidate in enumerate(candidates) if number in names]
        froms = {id(candidate): names[number] for number, candidate in enumerate(candidates) if number in names}
        while ready := [each for each in waiting if stream_key(froms[id(each)]) in known]:
            for candidate in ready:
                waiting.remove(candidate)
                source = froms[id(candidate)]
                query = self._query(replace(candidate.query, source=source), candidate, known[stream_key(source)])
                if query is None:
                    continue
                made.append(query)
                columns = self._columns(query, known[stream_key(source)])
                into = stream_key(query.into)
                if _reaches(made[:-1], into, stream_key(source)):
                    self.problems.add(candidate.statement, "", f"`{query.into}` would get what comes out of itself.",
                                      candidate.place)
                    made.pop()
                    continue
                if into in known and known[into] != columns:
                    self.problems.add(candidate.statement, "", f"`{query.into}` gets events of another kind too.",
                                      candidate.place)
                    made.pop()
                    continue
                known[into] = columns
        for candidate in waiting:
            self.problems.add(candidate.statement, "", f"Nothing that can be carried over writes the stream "
                              f"`{froms[id(candidate)]}`.", candidate.place)
        return made, known

    def _query(self, query: Query, candidate: Candidate, columns: Columns) -> Query | None:
        try:
            compiled = compile_query(query.select, columns)
        except QueryError as error:
            self._refuse(candidate, error)
            return None
        stream = self.declared.get(stream_key(query.into))
        declared = self.types.get(stream_key(stream.of_type)) if stream else None
        fields = tuple(field.name for field in declared.fields) if declared and not compiled.passes else ()
        if fields and len(fields) != len(compiled.items):
            self.problems.add(candidate.statement, "", f"It makes {len(compiled.items)} values, and the type "
                              f"`{declared.name if declared else ''}` has {len(fields)} fields.", candidate.place)
            return None
        return replace(query, columns=fields, type_name=declared.name if declared else "")

    def _columns(self, query: Query, columns: Columns) -> Columns:
        compiled = compile_query(query.select, columns)
        if compiled.passes:
            return columns
        return query.columns or tuple(item.name for item in compiled.items)

    def _refuse(self, candidate: Candidate, error: QueryError) -> None:
        """A query that is none ends the reading; one that cannot be carried over is a problem.

        Raises:
            TqlSyntaxError: it is none.
        """
        place = candidate.place_of(self.source, error.offset)
        if isinstance(error, QuerySyntaxError):
            raise self.source.error(error.message, place)
        self.problems.add(candidate.statement, "SELECT", error.message, place)


def _reaches(queries: list[Query], begin: str, end: str) -> bool:
    """Whether what is in one stream gets into another."""
    reached, waiting = {begin}, [begin]
    while waiting:
        stream = waiting.pop()
        following = {stream_key(query.into) for query in queries if stream_key(query.source) == stream} - reached
        reached |= following
        waiting += following
    return end in reached
