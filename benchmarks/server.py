"""The Stripe that is measured against: a sandbox as a process of its own, so that its work is not counted as ours."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

ROOT = Path(__file__).parent.parent
WAIT = 60  # seconds that an answer to a question about the server may take


@dataclass(frozen=True)
class Behaviour:
    """How the server answers."""

    latency: float = 0.0
    limits: bool = False


CODE = Behaviour()  # no limits, no latency: what the code costs
USER = Behaviour(latency=0.25, limits=True)  # Stripe's limits, an answer in 250 ms: what a user gets


@dataclass(frozen=True)
class Account:
    """What the server has: rows of each table, and how they lie in time."""

    rows: Mapping[str, int] = field(default_factory=dict)
    spread: str = "even"
    years: float = 10


class Server:
    """A running server; a context manager.

    Attributes:
        url: where it listens.
        api_key: a key for it.
    """

    def __init__(self, command: list[str]) -> None:
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed when the server is
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=self._said, env=dict(os.environ),
        )
        try:
            told = self._listen()
        except BaseException:
            self.close()
            raise
        self.url, self.api_key = str(told["url"]), str(told["api_key"])

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; may be called twice."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def get(self, path: str) -> dict[str, Any]:
        """What it answers."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.api_key}"})
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return cast("dict[str, Any]", json.load(answer))

    def reset(self) -> None:
        """Counts from zero again."""
        self.get("/_figures?reset=1")

    def figures(self) -> dict[str, Any]:
        """What was asked since: requests, pages, objects, empty, rate_limited and by_endpoint."""
        return self.get("/_figures")

    def _listen(self) -> dict[str, Any]:
        """The JSON that it prints when it listens; it may have several lines."""
        assert self._process.stdout is not None
        text = b""
        for line in self._process.stdout:
            text += line
            try:
                return cast("dict[str, Any]", json.loads(text))
            except ValueError:
                continue
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        raise RuntimeError(f"The sandbox did not start:\n{said[-2000:]}")


def bulk(account: Account, behaviour: Behaviour) -> Server:
    """A server of many rows, live ones: the sandbox's bulk mode."""
    rows = [word for table, number in account.rows.items() for word in ("--bulk", f"{table}={number}")]
    return Server([
        "stripe_source.cli.main", "sandbox", "serve", "--port", "0", "--json", "--live", *rows,
        "--spread", account.spread, "--years", f"{account.years:g}", "--latency", str(behaviour.latency),
        *(["--limits"] if behaviour.limits else []),
    ])


def business(scale: float, latency: float) -> Server:
    """A server of an ordinary business, in which nothing happens while it is measured."""
    return Server(["benchmarks.business", "--scale", str(scale), "--latency", str(latency)])
