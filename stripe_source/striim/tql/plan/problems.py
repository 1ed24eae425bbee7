"""What cannot be carried over from a TQL program, and what comes out otherwise than in Striim."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from stripe_source.errors import TqlUnsupported
from stripe_source.redaction import redact
from stripe_source.striim.tql.parse.tokens import Place

Weight = Literal["unsupported", "note"]
Lookup = Callable[[str], str | None]
WAY_OUT = "Change the program, or run it without them: `--ignore-unsupported`."


@dataclass(frozen=True)
class Problem:
    """One thing that cannot be carried over, or that a person should know.

    Args:
        statement: such as `CREATE SOURCE Stripe`.
        property: its property or clause; empty where the whole statement is meant.
        message: what is so, and what to do.
        place: where it stands.
        weight: "unsupported" stops a run; "note" does not.
    """

    statement: str
    property: str
    message: str
    place: Place
    weight: Weight = "unsupported"

    def __str__(self) -> str:
        of = f", `{self.property}`" if self.property else ""
        return f"{self.place}: {self.statement}{of}: {self.message}"

    def asdict(self) -> dict[str, Any]:
        """The problem as JSON takes it."""
        return {
            "line": self.place.line, "column": self.place.column, "statement": self.statement,
            "property": self.property, "message": self.message, "weight": self.weight,
        }


@dataclass
class Problems:
    """The problems of a program.

    Args:
        secrets: texts that no problem shows.
        found: what was added.
    """

    secrets: tuple[str, ...] = ()
    found: list[Problem] = field(default_factory=list)

    def add(self, statement: str, property: str, message: str, place: Place, weight: Weight = "unsupported") -> None:
        """Add one."""
        named, of, said = (redact(text, self.secrets) for text in (statement, property, message))
        self.found.append(Problem(named, of, said, place, weight))

    @property
    def unsupported(self) -> list[Problem]:
        """Those that stop a run, in the order of the program."""
        return sorted((each for each in self.found if each.weight == "unsupported"), key=lambda each: each.place)

    @property
    def notes(self) -> list[Problem]:
        """The others, in the order of the program."""
        return sorted((each for each in self.found if each.weight == "note"), key=lambda each: each.place)

    def forget(self, property: str) -> None:
        """Drop what was said about a property that is not needed."""
        self.found = [each for each in self.found if each.property != property]

    def stop(self) -> None:
        """Refuse the program, where something cannot be carried over.

        Raises:
            TqlUnsupported: names each of it.
        """
        if self.unsupported:
            raise TqlUnsupported(map(str, self.unsupported), WAY_OUT)
