"""Commands of ours in this process and in one of their own, and what they said."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from shell import environment, ours

from stripe_source.cli.main import main

STOPPED = "Stopped. What was loaded is kept; the next run goes on from there.\n"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Say = Callable[..., Said]


def saying(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command in this process; no part of the key that it is given may be printed."""

    def run(*argv: str, key: str | None = None) -> Said:
        if key:
            monkeypatch.setenv("STRIPE_API_KEY", key)
        try:
            code: Any = main(argv)
        except SystemExit as end:  # argparse, after --help and --version
            code = end.code
        printed = capsys.readouterr()
        assert not key or key[-16:] not in printed.out + printed.err
        return Said(code, printed.out, printed.err)

    return run


@contextmanager
def started(folder: Path, *words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A command of ours as a process of its own, which is gone afterwards."""
    streams = {name: more.pop(name, subprocess.PIPE) for name in ("stdout", "stderr")}
    with subprocess.Popen(
        ours(*words), cwd=folder, env=environment(folder, RUNTIME__DLTHUB_TELEMETRY="false", **more), text=True,
        stdin=subprocess.DEVNULL, **streams,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
