"""Fake time for tests of code that waits: a clock, an event loop, and what is counted by them."""
from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any


class Clock:
    """A clock that goes on only when somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, in which waiting takes no real time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        ready = selector.select

        def select(timeout: float | None = None) -> Any:
            self.now += timeout or 0.0
            return ready(0)

        selector.select = select

    def time(self) -> float:
        return self.now


def busiest_second(moments: Sequence[float]) -> int:
    """How many there are in the second that has most."""
    moments = sorted(moments)
    return max(bisect_left(moments, moment + 1 - 1e-6) - place for place, moment in enumerate(moments))
