"""A server on loopback that answers as its script says, a client of it, and what becomes of one GET."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stripe_source.api.client import Client
from stripe_source.api.credentials import ApiKey
from stripe_source.api.pages import Answer
from stripe_source.errors import StripeSourceError

T = TypeVar("T")
BODY = "4eC39HqLyjWDarjtT1zdp7dc"  # the part of a key that must never be seen
KEY = f"sk_test_{BODY}"
NOON = "Mon, 23 Nov 2026 12:00:00 GMT"
NOON_SECONDS = 1795435200


@dataclass(frozen=True)
class Reply:
    """What the server answers: JSON, or `raw` bytes; `cut` drops the connection after so many of them."""

    status: int = 200
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: int | None = None
    chunked: bool = False
    delay: float = 0.0


def listing(*ids: str, more: bool = False, **rest: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": id} for id in ids], "has_more": more, "url": "/v1/charges", **rest}


def failure(status: int, message: str = "No.", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    return Reply(status, {"error": {"message": message, **error}}, headers or {})


FINE = Reply(json={"ok": True})


class Server:
    """Answers with its script, one reply a request, the last one for ever; or with what `answer` makes of a request."""

    def __init__(self, script: Iterable[Reply] | Callable[[web.Request], Reply]) -> None:
        self.requests: list[web.Request] = []
        self.forms: list[dict[str, str]] = []
        self.busy = self.most = 0  # requests under way, now and at most
        self._answer = script if callable(script) else None
        self._script = [] if callable(script) else list(script)
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        if self._answer is not None:
            reply = self._answer(request)
        else:
            reply = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self.busy -= 1
        text = orjson.dumps(reply.json) if reply.raw is None else reply.raw
        if reply.cut is None:
            headers = {"Date": NOON, "Request-Id": "req_1", "Content-Type": "application/json", **reply.headers}
            return web.Response(status=reply.status, body=text, headers=headers)
        assert request.transport is not None
        if reply.cut == 0:
            request.transport.abort()
            return web.Response()
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if reply.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(text)
        await response.prepare(request)
        await response.write(text[: reply.cut])
        request.transport.close()
        return response


@asynccontextmanager
async def serving(*script: Reply | Callable[[web.Request], Reply]) -> AsyncIterator[Server]:
    first = script[0]
    server = Server([reply for reply in script if isinstance(reply, Reply)] if isinstance(first, Reply) else first)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as http:
        server.url = str(http.make_url("")).rstrip("/")
        yield server


class Waits(list[float]):
    """A sleep that takes no time and keeps what was asked of it."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def client_of(server: Server, waits: Waits | None = None, **options: Any) -> Client:
    options = {"sleep": Waits() if waits is None else waits, "jitter": lambda: 1.0, **options}
    return Client(options.pop("credentials", None) or ApiKey(KEY), api_base=server.url, **options)


async def asked(
    *script: Reply | Callable[[web.Request], Reply], path: str = "/v1/balance", **options: Any
) -> tuple[Answer, Server, Waits, Client]:
    """The answer to one GET, and what happened meanwhile."""
    waits = Waits()
    async with serving(*script) as server, client_of(server, waits, **options) as client:
        return await client.get(path), server, waits, client


async def refused(
    kind: type[T], *script: Reply | Callable[[web.Request], Reply], page: bool = False, **options: Any
) -> tuple[T, Server, Waits, Client]:
    """The error of one GET, and what happened meanwhile."""
    waits = Waits()
    async with serving(*script) as server, client_of(server, waits, **options) as client:
        with pytest.raises(StripeSourceError) as caught:
            await (client.page("/v1/charges") if page else client.get("/v1/charges"))
        assert type(caught.value) is kind
        return caught.value, server, waits, client


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)
