"""The base of all errors, and how their texts name values."""
from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar

from stripe_source.redaction import redact


def quoted(values: Iterable[object]) -> str:
    return ", ".join(f"`{redact(value)}`" for value in values)


def _rebuild(cls: type[StripeSourceError], args: tuple[Any, ...], state: dict[str, Any]) -> StripeSourceError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class StripeSourceError(Exception):
    """Base of all errors of this package; the command line ends with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:  # the default calls __init__ with `args`, which loses keyword arguments
        return _rebuild, (type(self), self.args, self.__dict__)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    lower = {choice.lower(): choice for choice in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None
