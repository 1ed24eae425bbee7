"""Answers of a bulk world, `/_figures` with its counters; `/_change` changes objects, `/_add` adds some."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson

from stripe_source.sandbox.bulk.records import BulkRecord
from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.sandbox.endpoints.routes import Router
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record
from stripe_source.sandbox.state.requests import Answer

FIGURES = "/_figures"
CHANGE, ADD = "/_change", "/_add"  # ?table=charges&objects=1000


class BulkRouter(Router):
    """Answers the requests of a bulk world."""

    world: Bulk
    internal_paths = frozenset({FIGURES, CHANGE, ADD})

    def answer(self, method: str, path: str, query: str, headers: Any, body: bytes = b"") -> Answer:
        """Answer a request as every router does; those that are not Stripe's need no key."""
        if path in (CHANGE, ADD):
            return self._changed(path, dict(parse_qsl(query)))
        if path != FIGURES:
            return super().answer(method, path, query, headers, body)
        bodies_of = orjson.dumps(self.world.figures())
        if "reset" in query:
            self.world.reset_figures()
        return Answer(200, bodies_of, {"Content-Type": "application/json"})

    def _changed(self, path: str, wanted: dict[str, str]) -> Answer:
        """Change or add objects, and tell how many, or why that cannot be."""
        change, verb = (self.world.change, "changed") if path == CHANGE else (self.world.add, "added")
        number, said = wanted.get("objects", ""), dict[str, Any]()
        try:
            status, said = 200, {verb: len(change(wanted.get("table", ""), int(number) if number.isdecimal() else 0))}
        except (KeyError, ValueError) as error:
            status, said = 400, {"error": {"type": "invalid_request_error", "message": str(error.args[0])}}
        return Answer(status, orjson.dumps(said), {"Content-Type": "application/json"})

    def on_sent(self, path: str, query: str, status: int, objects: int | None) -> None:
        """Count an answer that was sent."""
        with self.world.lock:
            self.world.counted.add(path, query, status, objects)

    def bodies_of(self, books: Books, records: Sequence[Record], paths: tuple[str, ...]) -> list[bytes]:
        """Return the bodies of a list; expanded ones come from templates where expansion needs no other objects."""
        if paths and records and isinstance(records[0], BulkRecord):
            render = self.world.expanding(records[0].collection, paths)
            if render is not None:
                return [render(record.number) for record in records]  # type: ignore[attr-defined]  # all are
        return super().bodies_of(books, records, paths)

    def list_body(self, bodies: list[bytes], more: bool, path: str) -> bytes:
        """Return the body of a list."""
        if not self.world.pretty:
            return super().list_body(bodies, more, path)
        return b'{\n  "object": "list",\n  "data": [%b],\n  "has_more": %b,\n  "url": "%b"\n}' % (
            b"\n    %b\n  " % b",\n    ".join(bodies) if bodies else b"", b"true" if more else b"false", path.encode())
