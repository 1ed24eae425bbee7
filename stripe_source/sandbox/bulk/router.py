"""Answers of a bulk world: those of any world, and what it counts of them."""
from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from stripe_source.sandbox.bulk.shelves import BulkRecord
from stripe_source.sandbox.endpoints.routes import Router, find
from stripe_source.sandbox.state.requests import Answer
from stripe_source.sandbox.state.store import Books, Record

if TYPE_CHECKING:
    from stripe_source.sandbox.bulk.world import Bulk

FIGURES = "/_figures"
LAST = 1000  # requests that the log holds


class Figures:
    """What a bulk world counts."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Back to zero."""
        self._counts: Counter[str] = Counter()
        self._endpoints: Counter[str] = Counter()
        self._log: deque[dict[str, Any]] = deque(maxlen=LAST)
        self._began = time.monotonic()

    def add(self, path: str, query: str, status: int, objects: int | None) -> None:
        """One answer; `objects` are those of a list."""
        self._counts["requests"] += 1
        if objects is not None:
            self._counts["pages"] += 1
            self._counts["objects"] += objects
            self._counts["empty"] += not objects
        self._counts["rate_limited"] += status == 429
        route = find(path)
        self._endpoints[route[0] if route else path] += 1
        self._log.append({"at": time.monotonic() - self._began, "path": path, "query": query, "status": status,
                          "objects": objects})

    def asdict(self) -> dict[str, Any]:
        """All of them."""
        names = ("requests", "pages", "objects", "empty", "rate_limited")
        return {**{name: self._counts[name] for name in names}, "by_endpoint": dict(self._endpoints),
                "log": list(self._log)}


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
