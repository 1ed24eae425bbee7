"""Reads a TQL program into its statements."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stripe_source.striim.tql.parse.cursor import Cursor
from stripe_source.striim.tql.parse.syntax import (
    Adapter,
    Block,
    OtherStatement,
    Output,
    Program,
    QueryStatement,
    SourceStatement,
    Statement,
    StreamStatement,
    TargetStatement,
    TypeField,
    TypeStatement,
)
from stripe_source.striim.tql.parse.tokens import Place, Source, Token, tokenize

DEEPEST = 16  # blocks in blocks; Striim has flows in applications, and no more
_MADE = ("WINDOW", "JUMPING", "SLIDING", "SESSION", "CACHE", "EXTERNAL", "WACTIONSTORE", "SORTER", "ROUTER",
         "SUBSCRIPTION", "DASHBOARD", "USER", "ROLE", "PROPERTYSET", "PROPERTYVARIABLE", "VAULT", "ALERT", "PAGE",
         "QUERYVISUALIZATION", "DG", "EXCEPTIONSTORE", "EVENTTABLE", "CONNECTIONPROFILE", "CONNECTION")
_HARMLESS = ("USE", "DROP", "DEPLOY", "UNDEPLOY", "START", "STOP", "QUIESCE", "SET")
_COMMANDS = (*_HARMLESS, "LOAD", "UNLOAD", "IMPORT", "ALTER", "GRANT", "REVOKE", "EXPORT", "BACKUP", "RECOMPILE")


def parse(text: str, file: str | None = None) -> Program:
    """Read a program.

    Args:
        text: the program.
        file: its name for errors.

    Raises:
        TqlSyntaxError: it is none; the error names line and column.
    """
    source = Source(text, file)
    tokens, stray = tokenize(source)
    parser = _Parser(source, tokens)
    return Program(source, parser.statements(None), stray)


class _Parser:
    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self._cursor = Cursor(source, tokens)
        self._depth = 0
        self._made: dict[str, Callable[[Token], Statement]] = {
            "APPLICATION": self._block, "FLOW": self._block, "SOURCE": self._source, "TARGET": self._target,
            "CQ": self._query, "STREAM": self._stream, "TYPE": self._type,
        }

    def statements(self, block: Block | None) -> list[Statement]:
        """The statements up to the end of the program, or of a block."""
        cursor, found = self._cursor, list[Statement]()
        while True:
            while cursor.skip_sign(";"):
                pass
            if cursor.token.kind == "end":
                if block:
                    raise cursor.error(f"`END {block.kind} {block.name};` is missing.")
                if not found:
                    raise cursor.error("There is no statement, such as `CREATE APPLICATION …;`.")
                return found
            if block and cursor.token.is_word("END"):
                self._end(block)
                return found
            found.append(self._statement())

    def _statement(self) -> Statement:
        cursor = self._cursor
        first = cursor.token
        if not cursor.skip_words("CREATE"):
            if first.is_word(*_COMMANDS):
                return self._other(first, 1, harmless=first.is_word(*_HARMLESS))
            raise cursor.expected("a statement, such as `CREATE SOURCE`")
        if cursor.skip_words("OR") and not cursor.skip_words("REPLACE"):
            raise cursor.expected("`REPLACE`")
        kind = cursor.token
        if kind.is_word(*self._made):
            cursor.take()
            return self._made[kind.value.upper()](replace(kind, place=first.place))
        if cursor.skip_words("NAMESPACE"):
            return self._other(first, 0, what="CREATE NAMESPACE", harmless=True)
        if cursor.skip_words("OPEN", "PROCESSOR"):
            return self._other(first, 0, what="CREATE OPEN PROCESSOR")
        if kind.is_word(*_MADE):
            cursor.take()
            return self._other(first, 0, what=f"CREATE {kind.value.upper()}")
        raise cursor.expected("what to make: `APPLICATION`, `FLOW`, `SOURCE`, `STREAM`, `TYPE`, `CQ` or `TARGET`")

    def _other(self, first: Token, skipped: int, what: str = "", harmless: bool = False) -> Statement:
        """A statement that makes nothing here, up to its end."""
        cursor = self._cursor
        for _ in range(skipped):
            cursor.take()
        name = next((token.value for token in (cursor.token, cursor.ahead()) if token.kind in ("word", "text")), "")
        if not cursor.token.is_sign(";"):
            cursor.text_until_end()
        cursor.end_of_statement()
        return OtherStatement(name, first.place, what or first.value.upper(), harmless)

    def _block(self, kind: Token) -> Statement:
        cursor = self._cursor
        if self._depth >= DEEPEST:
            raise cursor.error("Too many blocks stand in one another.", kind)
        name, _ = cursor.name(f"the {kind.value.lower()}")
        clauses = []
        while not cursor.token.is_sign(";"):
            place = cursor.token.place
            clauses.append((self._clause(), place))
        cursor.end_of_statement()
        block = Block(name, kind.place, kind.value.upper(), tuple(clauses))
        self._depth += 1
        statements = self.statements(block)
        self._depth -= 1
        return replace(block, statements=tuple(statements))

    def _clause(self) -> str:
        """One of the clauses of an application."""
        cursor = self._cursor
        if cursor.skip_words("WITH", "ENCRYPTION"):
            return "WITH ENCRYPTION"
        if cursor.skip_words("RECOVERY"):
            self._number("seconds")
            cursor.need_words("SECOND", "INTERVAL")
            return "RECOVERY"
        if cursor.skip_words("EXCEPTIONHANDLER"):
            if cursor.token.is_sign("("):
                cursor.properties()
            return "EXCEPTIONHANDLER"
        if cursor.skip_words("USE", "EXCEPTIONSTORE"):
            if cursor.skip_words("TTL"):
                cursor.skip_sign(":")
                if cursor.token.kind not in ("text", "number", "word"):
                    raise cursor.expected("a time, such as `'7d'`")
                cursor.take()
            return "USE EXCEPTIONSTORE"
        if cursor.skip_words("AUTORESUME"):
            for word in ("MAXRETRIES", "RETRYINTERVAL"):
                if cursor.skip_words(word):
                    self._number("number")
            return "AUTORESUME"
        raise cursor.expected("`;`, or a clause such as `RECOVERY 10 SECOND INTERVAL`")

    def _number(self, what: str) -> str:
        token = self._cursor.token
        if token.kind != "number" or len(token.value) > 12:
            raise self._cursor.expected(f"a number of {what}" if what != "number" else "a number")
        return self._cursor.take().value

    def _end(self, block: Block) -> None:
        cursor = self._cursor
        cursor.need_words("END")
        cursor.need_words(block.kind)
        token = cursor.token
        name, _ = cursor.name(f"the {block.kind.lower()}")
        if name.rsplit(".", 1)[-1].lower() != block.name.rsplit(".", 1)[-1].lower():
            raise cursor.error(f"This ends another {block.kind.lower()} than the one that is open, which began at "
                               f"{block.place}.", token)
        if cursor.token.kind != "end":
            cursor.end_of_statement()

    def _source(self, kind: Token) -> Statement:
        cursor = self._cursor
        name, _ = cursor.name("the source")
        cursor.need_words("USING")
        reader = cursor.adapter("a reader")
        parser = cursor.adapter("a parser") if cursor.skip_words("PARSE", "USING") else None
        cursor.need_words("OUTPUT", "TO")
        outputs = [self._output()]
        while cursor.skip_sign(","):
            cursor.need_words("OUTPUT", "TO")
            outputs.append(self._output())
        cursor.end_of_statement()
        return SourceStatement(name, kind.place, reader, tuple(outputs), parser)

    def _output(self) -> Output:
        cursor = self._cursor
        stream, place = cursor.name("a stream")
        query = mapped = persist = None
        while not cursor.token.is_sign(",", ";"):
            here = cursor.token.place
            if cursor.token.is_word("SELECT"):
                query = cursor.text_until_end(before_output=True)
            elif cursor.skip_words("MAP"):
                if not cursor.token.is_sign("("):
                    raise cursor.expected("`(`")
                token = cursor.token
                mapped = next((each for each in cursor.properties() if each.key.lower() == "table"), None)
                if mapped is None:
                    raise cursor.error("Expected `MAP (Table: '…')`.", token)
            elif cursor.skip_words("PERSIST"):
                cursor.skip_words("USING")
                cursor.name("a property set")
                persist = here
            else:
                raise cursor.expected("`;`, `,`, `SELECT`, `MAP` or `PERSIST`")
        return Output(stream, place, query, mapped, persist)

    def _target(self, kind: Token) -> Statement:
        cursor = self._cursor
        name, _ = cursor.name("the target")
        cursor.need_words("USING")
        writer = cursor.adapter("a writer")
        formatter: Adapter | None = None
        stream: tuple[str, Place] | None = None
        while not cursor.token.is_sign(";"):
            if formatter is None and cursor.skip_words("FORMAT", "USING"):
                formatter = cursor.adapter("a formatter")
            elif stream is None and cursor.skip_words("INPUT", "FROM"):
                stream = cursor.name("a stream")
            else:
                raise cursor.expected("`INPUT FROM`" if stream is None else "`;`")
        if stream is None:
            raise cursor.expected("`INPUT FROM`")
        cursor.end_of_statement()
        return TargetStatement(name, kind.place, writer, *stream, formatter)

    def _query(self, kind: Token) -> Statement:
        cursor = self._cursor
        name, _ = cursor.name("the query")
        cursor.need_words("INSERT", "INTO")
        into, place = cursor.name("a stream")
        if not cursor.token.is_word("SELECT"):
            raise cursor.expected("`SELECT`")
        query = cursor.text_until_end()
        cursor.end_of_statement()
        return QueryStatement(name, kind.place, into, place, query)

    def _stream(self, kind: Token) -> Statement:
        cursor = self._cursor
        name, _ = cursor.name("the stream")
        cursor.need_words("OF")
        of_type, _ = cursor.name("a type")
        clauses = []
        while not cursor.token.is_sign(";"):
            place = cursor.token.place
            for words in (("PARTITION", "BY"), ("PERSIST",), ("GRACE", "PERIOD")):
                if cursor.skip_words(*words):
                    clauses.append((" ".join(words), place))
                    break
            else:
                raise cursor.expected("`;`, `PARTITION BY`, `PERSIST` or `GRACE PERIOD`")
            while not cursor.token.is_sign(";") and not cursor.token.is_word("PARTITION", "PERSIST", "GRACE"):
                if cursor.token.kind == "end":
                    raise cursor.expected("`;`")
                cursor.take()
        cursor.end_of_statement()
        return StreamStatement(name, kind.place, of_type, tuple(clauses))

    def _type(self, kind: Token) -> Statement:
        cursor = self._cursor
        name, _ = cursor.name("the type")
        cursor.need_sign("(")
        fields: list[TypeField] = []
        while not cursor.skip_sign(")"):
            if fields:
                cursor.need_sign(",")
            field, place = cursor.name("a field")
            of_type, _ = cursor.name("a type")
            while cursor.skip_sign("["):
                cursor.need_sign("]")
                of_type += "[]"
            fields.append(TypeField(field, of_type, cursor.skip_words("KEY"), place))
        cursor.end_of_statement()
        return TypeStatement(name, kind.place, tuple(fields))
