"""Rows of long lists, made in a process of their own: Python lets one thread work at a time, and has two cores to fill.

The pages of a long list go to that process as they came. It answers with a `digest` of each, by which the reading goes
on, and makes rows of the objects that it keeps. Nothing depends on it: where it cannot be started, or ends, what it had
is done here. Of 80 microseconds that a row cost Python in this process, 50 went away (2026-11-26, 200,000 charges).
"""
from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.row_process import ANSWER, ORDER, WHERE, spelled, without_children
from stripe_source.rows import unpacked_rows
from stripe_source.schema_map import TableMap
from stripe_source.table import Found

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("stripe_source")

LONG = 10_000  # objects that are left of a list: with fewer, a process is not worth its start
_AT_ONCE = 4_000_000  # bytes of answers that may wait
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from stripe_source.row_process import main; main()"


@dataclass(frozen=True)
class Kept:
    """Objects of a page that the process keeps.

    Args:
        number: of the page.
        text: the page, should the process end.
        body: the digest of it.
        places: of the objects on the page.
        taken: places on these objects from which those of other tables were taken.
    """

    number: int
    text: bytes
    body: dict[str, Any]
    places: tuple[int, ...] = ()
    taken: tuple[Found, ...] = ()

    def only(self, things: Sequence[dict[str, Any]]) -> Kept:
        """Some of them, by their digests."""
        return replace(self, places=tuple(thing[WHERE] for thing in things))

    def objects(self) -> Sequence[dict[str, Any]]:
        """The objects, read again."""
        import orjson

        page = orjson.loads(self.text)["data"]
        return without_children([page[place] for place in self.places], self.taken)


class Apart:
    """The process, from this side. Its methods are called in one event loop."""

    def __init__(self) -> None:
        self.secrets: Sequence[str] = ()  # that it is not to find in its environment
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._listening: asyncio.Task[None] | None = None
        self._number = 0

    @staticmethod
    def useful() -> bool:
        """Whether there is a second core for it, and an interpreter to start, as there is not in other programs."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        python = Path(sys.executable or "").stem.lower().startswith(("python", "pypy"))
        return cores > 1 and python and not getattr(sys, "frozen", False)

    @property
    def ready(self) -> bool:
        """Whether it takes orders."""
        return self._process is not None

    @property
    def wanted(self) -> bool:
        """Whether somebody wants it."""
        return self._starting is not None

    def want(self) -> None:
        """Start it, and go on meanwhile."""
        self._starting = asyncio.ensure_future(self.start())

    async def start(self) -> None:
        """Start it. Where that fails, all goes on without."""
        path = json.dumps([os.path.abspath(each) for each in sys.path])
        environment = {
            name: value for name, value in os.environ.items() if not any(secret in value for secret in self.secrets)
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _START, path, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_AT_ONCE,
                env=environment,
            )
        except (OSError, NotImplementedError, RuntimeError) as error:
            log.info("rows are made in this process: no other one can be started (%s)", error)
            return
        self._listening = asyncio.ensure_future(self._listen(self._process))

    async def page(self, text: bytes, members: Sequence[str]) -> Kept | None:
        """Give it a page; None where it could not read it, and keeps nothing."""
        import orjson

        self._number += 1
        number = self._number
        answer = await self._do({"page": number, "members": members}, text)
        if not answer:
            return None
        body = orjson.loads(answer)
        return Kept(number, text, body).only(body["data"])

    def forget(self, kept: Kept) -> None:
        """Nothing is wanted of a page."""
        if self.ready:
            self._send({"forget": kept.number}, b"")

    async def rows(self, shape: TableMap, account: str, pages: Sequence[tuple[Kept, int]]) -> pa.Table | None:
        """Have rows made, as `RowMaker.loose` makes them; None where that is to be done here.

        Args:
            shape: of their table.
            account: whose data it is.
            pages: objects, each with the unix second in which they were read.
        """
        rows = [(kept.number, kept.places, read_at, list(map(spelled, kept.taken))) for kept, read_at in pages]
        answer = await self._do({"table": shape.table.name, "account": account, "rows": rows}, b"")
        return unpacked_rows(answer, shape) if answer else None

    async def stop(self) -> None:
        """End it."""
        if self._starting:
            await self._starting
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.kill()
        if self._listening:
            await asyncio.gather(self._listening, return_exceptions=True)
        await process.wait()

    async def _do(self, order: dict[str, Any], body: bytes) -> bytes:
        return await self._send(order, body) if self.ready else b""

    def _send(self, order: dict[str, Any], body: bytes) -> asyncio.Future[bytes]:
        import orjson

        assert self._process is not None and self._process.stdin is not None
        words = orjson.dumps(order)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._process.stdin.write(ORDER.pack(len(words), len(body)) + words)
        self._process.stdin.write(body)
        return answer

    async def _listen(self, process: Process) -> None:
        """Hand out answers, until it ends."""
        assert process.stdout is not None
        try:
            while True:
                (size,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
                answer = await process.stdout.readexactly(size)
                waiting = self._answers.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        except (asyncio.IncompleteReadError, OSError):
            if self._process is not None:
                log.warning("the process that made rows has ended; rows are made in this one")
        finally:
            self._process = None
            for waiting in self._answers:
                if not waiting.done():
                    waiting.set_result(b"")
            self._answers.clear()
