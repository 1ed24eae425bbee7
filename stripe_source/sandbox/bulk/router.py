"""Answers of a bulk world: those of any world, and what it counts of them."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from stripe_source.sandbox.bulk.records import BulkRecord
from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.sandbox.endpoints.routes import Router
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record
from stripe_source.sandbox.state.requests import Answer

FIGURES = "/_figures"


class BulkRouter(Router):
    """Answers the requests of a bulk world."""

    world: Bulk
    aside = frozenset({FIGURES})

    def answer(self, method: str, path: str, query: str, headers: Any, body: bytes = b"") -> Answer:
        """As any router; `/_figures` needs no key."""
        if path != FIGURES:
            return super().answer(method, path, query, headers, body)
        shown = orjson.dumps(self.world.figures())
        if "reset" in query:
            self.world.reset_figures()
        return Answer(200, shown, {"Content-Type": "application/json"})

    def sent(self, path: str, query: str, status: int, objects: int | None) -> None:
        """Counts what was sent."""
        with self.world.lock:
            self.world.counted.add(path, query, status, objects)

    def shown(self, books: Books, records: Sequence[Record], paths: tuple[str, ...]) -> list[bytes]:
        """The objects of a list, with `paths` expanded; from templates where what is expanded is of the object."""
        if paths and records and isinstance(records[0], BulkRecord):
            render = self.world.expanding(records[0].shelf, paths)
            if render is not None:
                return [render(record.number) for record in records]  # type: ignore[attr-defined]  # all are
        return super().shown(books, records, paths)

    def listed(self, bodies: list[bytes], more: bool, path: str) -> bytes:
        """A whole list."""
        if not self.world.pretty:
            return super().listed(bodies, more, path)
        return b'{\n  "object": "list",\n  "data": [%b],\n  "has_more": %b,\n  "url": "%b"\n}' % (
            b"\n    %b\n  " % b",\n    ".join(bodies) if bodies else b"", b"true" if more else b"false", path.encode())
