"""Test clocks, and how times are written."""
from __future__ import annotations

from datetime import datetime, timezone

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record


def clock_of(books: Books, record: Record) -> str | None:
    """Return the test clock of an object: its own, or that of its customer."""
    owner = books.find("customer", record.data.get("customer"))
    own: str | None = record.data.get("test_clock")
    theirs: str | None = owner.data.get("test_clock") if owner else None
    return own or theirs


def text(seconds: int) -> str:
    """Return a time as `/v2/` writes it: RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
