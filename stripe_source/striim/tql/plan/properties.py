"""The properties of an adapter, asked for by name; what nobody asked for is a problem."""
from __future__ import annotations

import re

from stripe_source.api.credentials import Secret
from stripe_source.errors import InvalidOption
from stripe_source.options import duration
from stripe_source.striim.tql.parse.syntax import Adapter, Property
from stripe_source.striim.tql.parse.tokens import Place
from stripe_source.striim.tql.plan.problems import Lookup, Problems

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")
_MASKED = re.compile(r"(?:\*+|•+|x{4,}|X{4,}|<.*>|ENCRYPTED|encrypted)?", re.DOTALL)
_VARIABLE = re.compile(r"\$([\w.]+)(?::(.*))?", re.DOTALL)
_EXPORTED = ("uuid", "adaptername", "adapterversion", "version", "handler", "authenticationmechanism")


def plain(key: str) -> str:
    """A name without case, blanks and underscores."""
    return re.sub(r"[\s_-]", "", key).lower()


class Properties:
    """The properties of an adapter.

    Args:
        statement: such as `CREATE SOURCE Stripe`, for problems.
        adapter: whose they are.
        problems: takes what is wrong.
        lookup: the value of a variable, by its name.
    """

    def __init__(self, statement: str, adapter: Adapter, problems: Problems, lookup: Lookup) -> None:
        self.statement = statement
        self.problems = problems
        self._lookup = lookup
        self._adapter = adapter
        self._by_name: dict[str, Property] = {}
        self._asked: set[str] = set()
        for each in adapter.properties:
            if plain(each.key) in self._by_name:
                self.refuse(each, "It is there twice; the last one counts.")
            self._by_name[plain(each.key)] = each

    def find(self, *names: str) -> Property | None:
        """A property by one of its names."""
        self._asked.update(plain(name) for name in names)
        return next((self._by_name[plain(name)] for name in names if plain(name) in self._by_name), None)

    def text(self, *names: str) -> str:
        """What a property says; empty where it is not there."""
        found = self.find(*names)
        return "" if found is None else self._resolve(found).strip()

    def raw(self, *names: str) -> str | None:
        """What a property says, blanks included; None where it is not there."""
        found = self.find(*names)
        return None if found is None else self._resolve(found)

    def secret(self, *names: str) -> Secret | None:
        """A secret; None where it is masked, encrypted or not there: then it comes from the configuration."""
        found = self.find(*names)
        encrypted = self.find(*(f"{name}_encrypted" for name in names))
        if found is None or (encrypted and self._resolve(encrypted).lower() in _TRUE):
            return None
        if _MASKED.fullmatch(found.value.strip()):
            return None
        return Secret(self._resolve(found)) or None

    def flag(self, *names: str, default: bool = False) -> bool:
        """Whether a property is true."""
        found = self.find(*names)
        if found is None:
            return default
        value = self._resolve(found).strip().lower()
        if value not in (*_TRUE, *_FALSE):
            self.refuse(found, "It is `true` or `false`.")
        return value in _TRUE

    def seconds(self, *names: str, default: int) -> int:
        """A duration such as `5m`."""
        found = self.find(*names)
        if found is None:
            return default
        try:
            return duration(self._resolve(found).strip(), found.key)
        except InvalidOption:
            self.refuse(found, "It is a number and a unit: `30s`, `5m`, `2h` or `1d`.")
            return default

    def place(self, *names: str) -> Place:
        """Where a property stands; where it does not, where the adapter does."""
        found = self.find(*names)
        return self._adapter.place if found is None else found.place

    def refuse(self, property: Property, message: str) -> None:
        """Say that a property cannot be carried over."""
        self.problems.add(self.statement, property.key, message, property.place)

    def refuse_named(self, name: str, message: str) -> None:
        """Say that a property cannot be carried over, by its name; nothing where it is not there."""
        if found := self.find(name):
            self.refuse(found, message)

    def note(self, name: str, message: str) -> None:
        """Say what a person should know about a property; nothing where it is not there."""
        if found := self.find(name):
            self.problems.add(self.statement, found.key, message, found.place, "note")

    def ignore(self, *names: str) -> None:
        """Ask for properties that mean nothing here and whose absence nobody would notice."""
        self.find(*names)

    def refuse_rest(self) -> None:
        """Say of every property that nobody asked for that it cannot be carried over."""
        for name, each in self._by_name.items():
            if name in self._asked or name in _EXPORTED or name.endswith("encrypted"):
                continue
            self.refuse(each, f"`{self._adapter.name}` has no such property that is known here.")

    def _resolve(self, found: Property) -> str:
        """What a property says, a variable replaced by its value."""
        match = _VARIABLE.fullmatch(found.value.strip())
        if not match:
            return found.value
        value = self._lookup(match[1])
        if value is None:
            value = match[2]
        if value is None:
            self.refuse(found, f"The variable `{match[1]}` is not set: put it under `[sources.stripe.tql]` in "
                               f"`.dlt/secrets.toml`, or in `SOURCES__STRIPE__TQL__{match[1].upper()}`.")
        return value or ""
