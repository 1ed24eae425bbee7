"""What the sandbox answers, asked through a port or without one, and the events of what is done in it."""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from stripe_source import sandbox
from stripe_source.sandbox.endpoints.routes import Router

Data = dict[str, Any]
Answer = tuple[int, Any, dict[str, str]]


def ask(
    box: sandbox.Sandbox, path: str, params: dict[str, Any] | None = None, *, key: str | None = None,
    headers: dict[str, str] | None = None, form: dict[str, Any] | None = None, method: str | None = None,
) -> Answer:
    """Status, body and headers of one answer."""
    query = "?" + urlencode(params, doseq=True) if params else ""
    data = urlencode(form).encode() if form is not None else None
    request = Request(box.url + path + query, method=method, data=data, headers={
        "Authorization": f"Bearer {key or box.api_key}", **(headers or {})})
    try:
        with urlopen(request) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def read(box: sandbox.Sandbox, path: str, params: dict[str, Any] | None = None, **rest: Any) -> list[dict[str, Any]]:
    """All objects of a list, page after page."""
    found: list[dict[str, Any]] = []
    params = {"limit": 100, **(params or {})}
    while True:
        status, page, _ = ask(box, path, params, **rest)
        assert status == 200, page
        found += page["data"]
        if not page["has_more"]:
            return found
        params["starting_after"] = found[-1]["id"]


def error(answer: Answer) -> tuple[int, str | None, str | None]:
    """Status, code and parameter of a refusal."""
    status, body, _ = answer
    return status, body["error"].get("code"), body["error"].get("param")


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
