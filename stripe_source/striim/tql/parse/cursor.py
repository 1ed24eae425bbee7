"""A cursor over the tokens of a program: names, properties and adapters, which several statements have."""
from __future__ import annotations

from stripe_source.api.credentials import Secret
from stripe_source.errors import TqlSyntaxError
from stripe_source.striim.tql.parse.syntax import Adapter, Property, is_secret
from stripe_source.striim.tql.parse.tokens import Place, Source, Token

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")


class Cursor:
    """Goes through tokens from left to right.

    Args:
        source: the program.
        tokens: its tokens, the last of which is the end.
    """

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.position = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def ahead(self, number: int = 1) -> Token:
        """The token so many after the next one."""
        return self.tokens[min(self.position + number, len(self.tokens) - 1)]

    def take(self) -> Token:
        """The next token, and go on."""
        token = self.token
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def error(self, reason: str, token: Token | None = None) -> TqlSyntaxError:
        """An error at a token; without one, at the next."""
        return self.source.error(reason, (token or self.token).place)

    def expected(self, what: str) -> TqlSyntaxError:
        """An error: something else was to stand here."""
        return self.error(f"Expected {what}, found {self.token}.")

    def skip_words(self, *words: str) -> bool:
        """Go over these words, one after the other, if all of them stand here."""
        if all(self.ahead(number).is_word(word) for number, word in enumerate(words)):
            self.position += len(words)
            return True
        return False

    def skip_sign(self, sign: str) -> bool:
        """Go over a sign, if it stands here."""
        if self.token.is_sign(sign):
            self.take()
            return True
        return False

    def need_words(self, *words: str) -> Token:
        """The first of these words, which have to stand here."""
        first = self.token
        if not self.skip_words(*words):
            raise self.expected(f"`{' '.join(words)}`")
        return first

    def need_sign(self, sign: str) -> None:
        """A sign that has to stand here."""
        if not self.skip_sign(sign):
            raise self.expected(f"`{sign}`")

    def name(self, what: str) -> tuple[str, Place]:
        """A name, which may have dots in it or stand in quotes, and its place."""
        token = self.token
        if token.kind not in ("word", "text") or not token.value.strip():
            raise self.expected(f"the name of {what}")
        self.take()
        parts = [token.value]
        while self.token.is_sign(".") and self.ahead().kind in ("word", "text"):
            self.take()
            parts.append(self.take().value)
        return ".".join(parts), token.place

    def end_of_statement(self) -> None:
        """The `;` at the end of a statement, or several."""
        self.need_sign(";")
        while self.skip_sign(";"):
            pass

    def adapter(self, what: str) -> Adapter:
        """`Global.X VERSION '…' ( properties )`; the properties may be left out."""
        name, place = self.name(what)
        version = None
        if self.skip_words("VERSION"):
            if self.token.kind not in ("text", "number", "word"):
                raise self.expected("a version")
            version = self.take().value
            while self.token.is_sign(".") or self.token.kind == "number":
                version += self.take().value
        properties = self.properties() if self.token.is_sign("(") else ()
        return Adapter(name.rsplit(".", 1)[-1], properties, place, version)

    def properties(self) -> tuple[Property, ...]:
        """`( Key: value, … )`."""
        opening = self.take()
        found: list[Property] = []
        while not self.skip_sign(")"):
            if self.token.kind == "end":
                raise self.error("These properties have no end: `)` is missing.", opening)
            if found and not self.skip_sign(","):
                raise self.expected("`,` or `)`")
            if self.skip_sign(")"):
                break
            found.append(self._property())
        return tuple(found)

    def _property(self) -> Property:
        key = self.token
        if key.kind not in ("word", "text"):
            raise self.expected("the name of a property")
        self.take()
        self.need_sign(":")
        first = self.token
        value = self.take().value if first.kind == "text" else self._bare_value(key)
        if is_secret(key.value):
            value = Secret(value)
        return Property(key.value, value, first.kind == "text", key.place, first.place)

    def _bare_value(self, key: Token) -> str:
        """A value without quotes: what stands up to the next `,` or `)`."""
        first, last, depth = self.token, None, 0
        while self.token.kind != "end":
            token = self.token
            if depth == 0 and token.is_sign(",", ")", ";", ":"):
                break
            depth += token.is_sign(*_OPENING) - token.is_sign(*_CLOSING)
            last = self.take()
        if last is None:
            raise self.expected(f"a value of `{key.value}`" if len(key.value) <= 40 else "a value")
        return self.source.text[first.start:last.end]

    def text_until_end(self, *, before_output: bool = False) -> slice:
        """Where a query stands: from here to the `;` that ends it, or to `, OUTPUT TO`."""
        first, last = self.token, None
        depth = 0
        while not (depth <= 0 and self.token.is_sign(";")):
            if self.token.kind == "end":
                raise self.error("This query has no end: `;` is missing.", first)
            if before_output and self.token.is_sign(",") and self.ahead().is_word("OUTPUT"):
                break
            depth += self.token.is_sign(*_OPENING) - self.token.is_sign(*_CLOSING)
            last = self.take()
        if last is None:
            raise self.expected("`SELECT`")
        return slice(first.start, last.end)
