"""Programs in processes of their own, as a user starts them: in a scratch folder, with no network beyond loopback."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
GUARD = '''
import os, sys

def guard(event, values):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = values[0] if event == "socket.getaddrinfo" else values[1][0] if isinstance(values[1], tuple) else None
        if host not in (None, "", "127.0.0.1", "::1", "localhost", "0.0.0.0"):
            with open(os.environ["BEYOND_LOOPBACK"], "a") as file:
                print(host, file=file)
            raise OSError(f"no network in tests: {host}")

sys.addaudithook(guard)
'''


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables for a process that is alone: no key, dlt's folder in `folder`, and a guard before the network."""
    guard = folder / "guard"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD)
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("RUNTIME__", "SOURCES__", "STRIPE", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTEST"))
    }
    return {
        **kept, "PYTHONPATH": os.pathsep.join([str(guard), str(ROOT)]), "HOME": str(folder),
        "DLT_DATA_DIR": str(folder / "dlt"), "BEYOND_LOOPBACK": str(folder / "beyond_loopback"), **more,
    }


def beyond_loopback(folder: Path) -> str:
    """Hosts that a process of this folder tried to reach; "" where it was content with this machine."""
    file = folder / "beyond_loopback"
    return file.read_text() if file.exists() else ""


def ours(*words: str) -> list[str]:
    """A command of ours, run by the Python that runs the tests."""
    return [sys.executable, "-m", "stripe_source.cli", *words]


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder and wait for its end."""
    return subprocess.run(
        words, cwd=folder, env=environment(folder, **more), capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )
