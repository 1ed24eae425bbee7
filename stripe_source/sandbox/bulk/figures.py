"""What a bulk world counts: requests, pages and objects that were answered."""
from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

from stripe_source.sandbox.endpoints.routes import find

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
