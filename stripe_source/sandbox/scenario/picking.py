"""How a random happening picks the object that it happens to."""
from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record

Condition = Callable[[Record], bool]
# Something that may happen; it returns what happened in a few words, or None where no object fits.
Happening = Callable[[Books, Random], "str | None"]
_ATTEMPTS = 30


def any_record(
    books: Books, rng: Random, object: str, condition: Condition = lambda _: True
) -> Record | None:
    """Return a random listed record that meets the condition; None if none was drawn in 30 attempts."""
    records = books.all(object)
    for _ in range(_ATTEMPTS if records else 0):
        record = records[rng.randrange(len(records))]
        if not record.hidden and condition(record):
            return record
    return None


def having(**values: Any) -> Condition:
    """Return the condition that an object's fields have these values."""
    return lambda record: all(record.data.get(name) == value for name, value in values.items())
