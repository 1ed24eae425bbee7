"""What the sandbox answers, asked without a port, and the events of what is done in it."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from stripe_source import sandbox
from stripe_source.sandbox.endpoints.routes import Router

Data = dict[str, Any]


class Reader:
    """Asks a world without a port."""

    def __init__(self, world: sandbox.World) -> None:
        self.world = world
        self.router = Router(world)

    def ask(self, path: str, params: Data | None = None, **headers: str) -> tuple[int, Data]:
        """Status and body of one answer."""
        key = {"Authorization": f"Bearer {self.world.keys.secret}"}
        answer = self.router.answer("GET", path, urlencode(params or {}, doseq=True), {**key, **headers})
        return answer.status, json.loads(answer.body)

    def get(self, path: str, params: Data | None = None, **headers: str) -> Data:
        """One answer that must be there."""
        status, body = self.ask(path, params, **headers)
        assert status == 200, body
        return body

    def read(self, path: str, params: Data | None = None, limit: int = 100) -> list[Data]:
        """All objects of a list, page after page."""
        found: list[Data] = []
        params = {"limit": limit, **(params or {})}
        while True:
            page = self.get(path, params)
            found += page["data"]
            if not page["has_more"]:
                return found
            params["starting_after"] = found[-1]["id"]


def ids(objects: list[Data]) -> list[str]:
    return [each["id"] for each in objects]


def new(world: sandbox.World, act: Callable[[], Any]) -> list[Data]:
    """Events of what is done, oldest first."""
    before = {record.id for record in world.books.all("event")}
    act()
    return [world.books.to_dict(record) for record in world.books.all("event") if record.id not in before]
