"""A WAEvent: one object, and what happened to it. Striim's word for what travels from a reader to a writer."""
from __future__ import annotations

from typing import Any, NamedTuple

SELECT, INSERT, UPDATE, DELETE = "SELECT", "INSERT", "UPDATE", "DELETE"


class WAEvent(NamedTuple):
    """One object as it came from Stripe, with its table and what happened to it.

    Args:
        table: native table name.
        operation: SELECT: the object was read by a first load, or by one that reads all and compares nothing. INSERT,
            UPDATE: the destination does not hold its row, or holds an older version. DELETE: Stripe no longer has it.
        time: unix seconds by Stripe's clock: when the version in `data` came to be, or when it was read.
        data: the object, untouched.
        account: id of the account whose data it is, or "self".
        parent: id of the object that owns it, for children.
        position: place in the parent's list, from 0, for children.
        pair: id of the second object that owns it, where there are two.
        before: the object as it was before an update; None where Stripe does not say.
        event_id: id of Stripe's event that told of it; None where none did.
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
    event_id: str | None = None
