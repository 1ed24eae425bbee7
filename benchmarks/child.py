"""A command as a child process: how long it took, how much memory it had at most, how it ended."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICK = 0.01  # seconds between two looks
LOOK = 0.5  # seconds between two looks at the memory of all


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        seconds: wall time, from its start to its end.
        megabytes: the most memory that one of its processes had, as the system tells it at its end.
        together: the sum of what each had at most, those included that they started, as looked at twice a second; 0
            where the system does not tell. Pages that they share are counted for each.
        codes: the exit code of each of its processes.
        stopped: why it was killed; None where it ended by itself.
        said: the end of what it wrote on its error output.
        cpu: seconds of CPU of all its processes.
    """

    seconds: float
    megabytes: float
    together: float
    codes: tuple[int, ...]
    stopped: str | None
    said: str
    cpu: float = 0

    @property
    def trouble(self) -> str | None:
        """Why its figures do not count; None where they do."""
        if self.stopped:
            return self.stopped
        if any(self.codes):
            last = self.said.strip().splitlines()[-1:] or ["it said nothing"]
            return f"exit code {max(self.codes, key=abs)}: {last[0][:200]}"
        return None


def run(
    commands: Sequence[Sequence[str]], folder: Path, env: Mapping[str, str], timeout: float,
    enough: Callable[[], bool] | None = None,
) -> Ended:
    """Run one command, or several with a pipe from each to the next; the last one writes to `out`, in the folder.

    Args:
        commands: what to run.
        folder: where.
        env: variables besides those of this process.
        timeout: seconds after which it is killed.
        enough: asked again and again; it is killed with -9 when the answer is yes.
    """
    began = time.monotonic()
    deadline = began + timeout
    children: list[subprocess.Popen[bytes]] = []
    codes: dict[int, int] = {}
    peak, cpu, looked, stopped = 0, 0.0, began, None
    most: dict[int, int] = {}
    with (folder / "out").open("wb") as out, (folder / "err").open("ab") as err:
        try:
            for number, command in enumerate(commands):
                last = number == len(commands) - 1
                source = children[-1].stdout if children else subprocess.DEVNULL
                children.append(subprocess.Popen(
                    command, cwd=folder, stdin=source, stdout=out if last else subprocess.PIPE, stderr=err,
                    env={**os.environ, **env}, start_new_session=True,
                ))
                if number and children[-2].stdout is not None:
                    children[-2].stdout.close()  # who writes must notice when nobody reads
            while len(codes) < len(commands):
                for child in children:
                    if child.pid in codes:
                        continue
                    pid, status, used = os.wait4(child.pid, os.WNOHANG)
                    if pid:
                        codes[pid] = child.returncode = os.waitstatus_to_exitcode(status)
                        peak = max(peak, used.ru_maxrss)
                        cpu += used.ru_utime + used.ru_stime
                if stopped is None and len(codes) < len(commands):
                    if time.monotonic() > deadline:
                        stopped = f"not done after {timeout:.0f} s"
                    elif enough is not None and enough():
                        stopped = "killed"
                    if stopped:
                        _kill(children, codes)
                if time.monotonic() - looked >= LOOK:
                    looked = time.monotonic()
                    most.update(_memory({child.pid for child in children}))
                time.sleep(TICK)
            seconds = time.monotonic() - began
        finally:
            _kill(children, codes)
    said = (folder / "err").read_bytes()[-4000:].decode(errors="replace")
    ended = tuple(codes[child.pid] for child in children)
    return Ended(seconds, peak / 1024, sum(most.values()) / 1024, ended, stopped, said, cpu)


def _memory(sessions: set[int]) -> dict[int, int]:
    """Kilobytes that each process of some sessions has had at most: a look at its pages would slow it down."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            session = int((place / "stat").read_text().rpartition(")")[2].split()[3])
            if session in sessions:
                told = (place / "status").read_text()
                found[int(place.name)] = sum(
                    int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM:")
                )
    return found


def _kill(children: list[subprocess.Popen[bytes]], codes: Mapping[int, int]) -> None:
    """Kills what still runs, with all that it started."""
    for child in children:
        if child.pid not in codes:
            os.killpg(child.pid, signal.SIGKILL)
