"""Rows of long lists, made in a process of their own: Python lets one thread work at a time, and has two cores to fill.

The pages of a long list go to that process as they came. It answers with a `digest` of each, by which the reading goes
on, and makes rows of the objects that it keeps. Nothing depends on it: where it cannot be started, or ends, what it had
is done here. 200,000 charges cost this process 25.4 s of CPU without it, and 14.5 s with it (2026-11-26).
"""
from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from stripe_source.tables.schema_map import TableMap
from stripe_source.workers.protocol import ANSWER_HEAD, ORDER_HEAD, PageHandle, placement_to_dict, unpack_rows

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("stripe_source")
WORTH_A_WORKER = 10_000  # objects that are left of a list: with fewer, a process is not worth its start
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from stripe_source.workers.worker import main; main()"
)


class WorkerProcess:
    """The process, from this side. Its methods are called in one event loop, `stop` also after that."""

    def __init__(self) -> None:
        self.secrets: Sequence[str] = ()  # that it is not to find in its environment
        self.tried = False  # it was started, or could not be
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._orders: SimpleQueue[tuple[bytes, bytes] | None] = SimpleQueue()
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._number = 0
        self.ready = False  # it takes orders

    @classmethod
    def is_worth_starting(cls, objects_left: int) -> bool:
        """Whether a list with this many objects left gets faster by it."""
        return objects_left >= WORTH_A_WORKER and cls.is_useful()

    @staticmethod
    def is_useful() -> bool:
        """Whether there is a second core for it, and an interpreter to start, as there is not in other programs."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        python = Path(sys.executable or "").stem.lower().startswith(("python", "pypy"))
        return cores > 1 and python and not getattr(sys, "frozen", False)

    def start(self) -> None:
        """Start it. Where that fails, all goes on without."""
        self.tried = True
        path = json.dumps([os.path.abspath(each) for each in sys.path])
        environment = {
            name: value for name, value in os.environ.items() if not any(secret in value for secret in self.secrets)
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment,
            )
        except OSError as error:
            log.info("rows are made in this process: no other one can be started (%s)", error)
            return
        self.ready = True
        self._threads = [
            threading.Thread(target=self._write, args=[self._process.stdin], daemon=True),
            threading.Thread(target=self._read, args=[self._process.stdout, asyncio.get_running_loop()], daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def send_page(
        self, text: bytes, secrets: bool, members: Sequence[str]
    ) -> tuple[dict[str, Any], PageHandle] | None:
        """Give it a page; None where it could not read it, and keeps nothing.

        Args:
            text: the page, as Stripe sent it.
            secrets: keep `client_secret` and the like.
            members: of its objects that are needed here.
        """
        import orjson

        self._number += 1
        number = self._number
        answer = await self._do({"page": number, "secrets": secrets, "members": members}, text)
        if not answer:
            return None
        body = orjson.loads(answer)
        return body, PageHandle(number, text, secrets).select(body["data"])

    def forget(self, kept: PageHandle) -> None:
        """Nothing is wanted of a page."""
        if self.ready:
            self._send({"forget": kept.number}, b"")

    async def build_rows(
        self, shape: TableMap, account: str, pages: Sequence[tuple[PageHandle, int]]
    ) -> pa.Table | None:
        """Have rows made, as `RowBuilder.build` makes them; None where that is to be done here.

        Args:
            shape: of their table.
            account: whose data it is.
            pages: objects, each with the unix second in which they were read.
        """
        rows = [
            (kept.number, kept.places, read_at, list(map(placement_to_dict, kept.taken))) for kept, read_at in pages
        ]
        answer = await self._do({"table": shape.table.name, "account": account, "rows": rows}, b"")
        return unpack_rows(answer, shape) if answer else None

    def stop(self) -> None:
        """End it, and wait for that."""
        process, self._process, self.ready = self._process, None, False
        if process is None:
            return
        process.kill()
        process.wait()
        self._orders.put(None)
        for thread in self._threads:
            thread.join()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not written yet
                if pipe:
                    pipe.close()

    async def _do(self, order: dict[str, Any], body: bytes) -> bytes:
        return await self._send(order, body) if self.ready else b""

    def _send(self, order: dict[str, Any], body: bytes) -> asyncio.Future[bytes]:
        import orjson

        words = orjson.dumps(order)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._orders.put((ORDER_HEAD.pack(len(words), len(body)) + words, body))
        return answer

    def _write(self, pipe: IO[bytes]) -> None:
        """Give it orders, in a thread."""
        with suppress(OSError):  # it has ended, as the other thread sees
            while order := self._orders.get():
                pipe.writelines(order)
                pipe.flush()

    def _read(self, pipe: IO[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """Take its answers, in a thread, until it ends."""
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            while len(head := pipe.read(ANSWER_HEAD.size)) == ANSWER_HEAD.size:
                (size,) = ANSWER_HEAD.unpack(head)
                answer = pipe.read(size)
                if len(answer) < size:
                    break
                loop.call_soon_threadsafe(self._answered, answer)
            loop.call_soon_threadsafe(self._ended)

    def _answered(self, answer: bytes) -> None:
        waiting = self._answers.popleft()
        if not waiting.done():
            waiting.set_result(answer)

    def _ended(self) -> None:
        if self.ready:
            log.warning("the process that made rows has ended; rows are made in this one")
        self.ready = False
        while self._answers:
            self._answered(b"")
