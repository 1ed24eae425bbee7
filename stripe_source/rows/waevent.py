"""A WAEvent: one object, and what happened to it. Striim's word for what goes from a reader to a writer."""
from __future__ import annotations

from typing import Any, NamedTuple

INSERT, UPDATE, DELETE = "INSERT", "UPDATE", "DELETE"


class WAEvent(NamedTuple):
    """One object as it came from Stripe, with its table and what happened to it.

    Args:
        table: native table name.
        operation: INSERT, UPDATE or DELETE.
        time: unix seconds by Stripe's clock: when Stripe made the version in `data`, or when it was read.
        data: the object, untouched.
        account: id of the account whose data it is, or "self".
        parent: id of the object that owns it, for children.
        position: place in the parent's list, from 0, for children.
        pair: id of the second object that owns it, where two do.
        before: attributes that an update changed, with their old values; None where Stripe does not say.
    """

    table: str
    operation: str
    time: int
    data: dict[str, Any]
    account: str
    parent: str | None = None
    position: int | None = None
    pair: str | None = None
    before: dict[str, Any] | None = None
