"""The server: it runs in a thread of its own, with its own event loop."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from stripe_source.sandbox.bulk.router import BulkRouter
from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.sandbox.endpoints.routes import Router
from stripe_source.sandbox.state.faults import Fault
from stripe_source.sandbox.world import World

_WRONG = {
    "list": b'{"object":"list","data":[],"has_more":false,"url":"/v1/other"}', "object": b'{"id":"x","object":"x"}',
    "empty": b'{"object":"list","data":[],"has_more":true,"url":"/v1/other"}', "null": b"null",
    "error": b'{"error":{"type":"api_error","message":"An error in disguise."}}',
}


class Sandbox:
    """A running sandbox; a context manager.

    Attributes:
        url: the URL that it listens on.
        api_key: a secret key of the world.
        world: the world that it serves.
    """

    def __init__(self, world: World, host: str, port: int, life_every: int | None = None) -> None:
        self.world = world
        self.api_key = world.keys.secret
        self.router = BulkRouter(world, life_every) if isinstance(world, Bulk) else Router(world, life_every)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stripe-sandbox", daemon=True)
        self._thread.start()
        self._closed = False
        try:
            self.port = self._call(self._start(host, port))
        except BaseException:
            self._stop_loop()
            raise
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __repr__(self) -> str:
        return f"Sandbox({self.url})"

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end the thread; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._call(self._runner.cleanup())
            self._stop_loop()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, host: str, port: int) -> int:
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        assert site._server is not None and isinstance(site._server, asyncio.Server)
        return int(site._server.sockets[0].getsockname()[1])

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = request.path, request.rel_url.raw_query_string
        if path in self.router.internal_paths:
            answer = self.router.answer(request.method, path, query, request.headers)
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        faults = self.world.faults
        if faults.latency:
            await asyncio.sleep(faults.latency)
        fault = faults.pick(request.method, path, unquote(query)) if faults.active else None
        body = await request.read() if request.method == "POST" else b""
        if fault is not None:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            if fault.disconnect:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
        refused = fault is not None and (fault.status or fault.wrong or fault.garbage or fault.body is not None)
        # a request that a fault refuses changes nothing, so that it may be sent again
        method = "GET" if refused and request.method != "GET" else request.method
        answer = self.router.answer(method, path, query, request.headers, body)
        self.router.on_sent(path, query, fault.status or answer.status if fault else answer.status,
                            None if refused else answer.objects)
        if fault is None:
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        return await self._faulty(request, fault, answer.status, answer.body, answer.headers)

    async def _faulty(
        self, request: web.BaseRequest, fault: Fault, status: int, body: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        status = fault.status or status
        if fault.status:
            body = orjson.dumps(fault.error())
            note = self.world.requests[-1]
            self.world.requests[-1] = type(note)(note.method, note.path, note.query, note.account, note.version,
                                                 status, note.key)
        if fault.wrong:
            body = _WRONG[fault.wrong]
        if fault.garbage:
            body = b"<html><body>502 Bad Gateway \xff</body></html>"
        if fault.body is not None:
            body = fault.body
        if fault.cut is not None:
            body = body[:fault.cut]
        headers = {**headers, **fault.headers}
        if not fault.truncate:
            return web.Response(body=body, status=status, headers=headers)
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


def serve(
    port: int = 0, seed: int = 1, scale: float = 1.0, *, world: World | None = None, host: str = "127.0.0.1",
    life_every: int | None = None,
) -> Sandbox:
    """Start a sandbox on a port; return when it listens.

    Args:
        port: port to listen on; 0 takes any free one.
        seed: see `World`.
        scale: see `World`.
        world: the world to serve, instead of a new one.
        host: address to listen on.
        life_every: with N, one random thing happens before every N-th GET is answered.

    >>> with serve(scale=0.01) as sandbox:
    ...     sandbox.url.startswith("http://127.0.0.1:")
    True
    """
    return Sandbox(world or World(seed, scale), host, port, life_every)
