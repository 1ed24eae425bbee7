"""The environments of the contenders, made when they are needed first, in a folder that git ignores."""
from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / ".venvs"
DONE = "installed.txt"  # what is in an environment; written last, so that a half-made one is made again


def programs(name: str, packages: Sequence[str], say: Callable[[str], None] = print) -> Path:
    """The folder with the programs of an environment that has these packages."""
    home = FOLDER / name
    done = home / DONE
    wanted = "\n".join(packages) + "\n"
    if not done.exists() or done.read_text() != wanted:
        say(f"  installing {', '.join(packages)}")
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])
        done.write_text(wanted)
    return home / "bin"


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR")] or [ended.stderr[-300:]]
        raise RuntimeError(f"It cannot be installed: {errors[-1]}")
