"""Commands on a terminal and before a pipe: progress, colours, and readers that have seen enough."""
from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import STOPPED, started

COLOUR = re.compile(r"\x1b\[(?:\d+;)*[39][0-7]m")


def shown(terminal: int, word: str | None = None) -> str:
    """What arrives on a terminal until it holds a word, or until nobody writes to it any more."""
    text = b""
    while word is None or word.encode() not in text:
        assert select.select([terminal], [], [], 60)[0], text
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other end is closed
            piece = b""
        if not piece:
            break
        text += piece
    return text.decode()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: the end that shows, and the end for a process to write to, which the test closes."""
    screen, end = pytest.importorskip("pty").openpty()
    yield screen, end
    os.close(screen)


def test_progress_is_drawn_where_somebody_looks(small: Any, tmp_path: Path, terminal: tuple[int, int]) -> None:
    """On a terminal: phase and tables while they come in, wiped afterwards; stdout stays clean for pipes."""
    small.world.faults.latency = 0.1
    screen, end = terminal
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "customers", "--every", "1h", stderr=end, TERM="xterm",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        os.close(end)
        drawn = shown(screen, "Ctrl-C ends it")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        last = shown(screen)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn)
    customers = small.world.counts()["customers"]

    assert process.returncode == 130
    assert f" 1 of 1 table, {customers} objects" in plain
    assert re.search(rf"^  customers +{customers}\r", plain, re.MULTILINE)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1  # the cursor is back
    assert last.replace("\r", "").endswith(STOPPED)
    assert "\x1b" not in out and out.splitlines()[0] == f"customers  {customers}"
    assert small.api_key[-16:] not in drawn + last + out


def test_progress_on_a_terminal_that_cannot_draw_is_plain(
    small: Any, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    """TERM=dumb, as in an editor's shell, gets the lines that a log gets, and not nothing."""
    screen, end = terminal
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "coupons", stderr=end, TERM="dumb",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        os.close(end)
        drawn = shown(screen)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert drawn.replace("\r", "").splitlines() == [
        "Preparing 1 table", "Reading", f"Read {small.world.counts()['coupons']} objects of 1 table", "Loading"]


@pytest.mark.parametrize("argv", [("tables", "charges"), ("tables", "chrges")], ids=" ".join)
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_left_out_on_request(
    tmp_path: Path, terminal: tuple[int, int], argv: tuple[str, ...], variables: dict[str, str], coloured: bool
) -> None:
    """On a terminal there are some, on stdout and stderr alike; none with NO_COLOR."""
    screen, end = terminal
    with started(tmp_path, *argv, stdout=end, stderr=end, TERM="xterm", **variables):
        os.close(end)
        text = shown(screen)

    assert "charges" in text
    assert coloured is bool(COLOUR.search(text))


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    """`| head` closes the pipe: no traceback, exit code 0."""
    with started(tmp_path, "tables", "--json") as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        complaints = process.stderr.read()
        code = process.wait(timeout=60)

    assert (code, complaints) == (0, "")
