"""Counters of a bulk world: requests, pages and objects that were answered."""
from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

from stripe_source.sandbox.endpoints.routes import find

LOG_LENGTH = 1000  # requests in the log


class Figures:
    """Counters of answers, and a log of the last ones."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set all counters back to zero."""
        self._counts: Counter[str] = Counter()
        self._endpoints: Counter[str] = Counter()
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._began = time.monotonic()

    def add(self, path: str, query: str, status: int, objects: int | None) -> None:
        """Count one answer; `objects` is the number of objects if it is a list."""
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
        """Return all counters and the log."""
        names = ("requests", "pages", "objects", "empty", "rate_limited")
        return {**{name: self._counts[name] for name in names}, "by_endpoint": dict(self._endpoints),
                "log": list(self._log)}
