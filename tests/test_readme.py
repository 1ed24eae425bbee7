"""The README is what happens: its commands are run, and the transcript is compared with what the demo prints.

`python tests/test_readme.py` writes the transcript anew.
"""
from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from shell import ROOT, beyond_loopback, environment, run

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
DEMO = next(code for language, code in BLOCKS if language == "sh" and "demo" in code).split("&&")[-1].strip()
TRANSCRIPT = next((code for language, code in BLOCKS if language == "text"), "")
SCRIPT = """#!{python}
import sys
from stripe_source.cli.main import main
sys.exit(main())
"""


def installed(folder: Path) -> None:
    """A `.venv` as the README's first command makes it, with the checkout and what is installed here inside."""
    venv.create(folder / ".venv", with_pip=False, symlinks=os.name != "nt")
    places = dict.fromkeys([str(ROOT), *(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))])
    sites = next((folder / ".venv").glob("lib/python*/site-packages"))
    (sites / "checkout.pth").write_text("\n".join(places) + "\n")
    script = folder / ".venv" / "bin" / "stripe-source"
    script.write_text(SCRIPT.format(python=folder / ".venv" / "bin" / "python"))
    script.chmod(0o755)


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Paste a command into a shell whose PATH has no Python that could help."""
    variables = {**environment(folder), "PATH": "/usr/bin:/bin"}
    variables["PYTHONPATH"] = variables["PYTHONPATH"].split(os.pathsep)[0]  # the guard before the network
    return subprocess.run(
        command, shell=True, cwd=folder, env=variables, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )


def timeless(text: str) -> str:
    """Without what may differ from one machine to the next: requests, megabytes and seconds."""
    return re.sub(r"[\d,]+ requests, [\d.,]+ MB of JSON, [\d.,]+ s", "… requests, … MB of JSON, … s", text)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo, run once as the README says, and the folder in which it was run."""
    folder = tmp_path_factory.mktemp("newcomer")
    installed(folder)
    return folder, shell(folder, DEMO)


def test_the_demo_prints_what_the_readme_shows(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Line by line; progress goes to the other stream, and nothing beyond this machine is asked for anything."""
    folder, done = demo

    assert done.returncode == 0, done.stderr
    assert timeless(TRANSCRIPT) == timeless(done.stdout), "run `python tests/test_readme.py`"
    assert done.stderr.splitlines()[0].startswith("Preparing ") and done.stderr.splitlines()[-1] == "Loading"
    assert beyond_loopback(folder) == ""


def test_the_command_to_try_works(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Pasted into the same shell, it shows the charges of each currency."""
    folder, done = demo
    command = done.stdout.split("Try it:\n")[1].strip()

    tried = shell(folder, command)

    assert (tried.returncode, tried.stderr) == (0, "")
    assert re.search(r"usd.* 1,?\d{3} ", tried.stdout) and "amount" in tried.stdout


def test_lines_of_the_readme_can_be_read() -> None:
    """The transcript needs no scrolling, but for the command that is to be copied."""
    lines = TRANSCRIPT.splitlines()

    assert all(len(line) <= 120 for line in lines[:-1]) and len(lines) < 30
    assert all(line == line.rstrip() for line in lines)


def test_the_python_of_the_readme_runs(tmp_path: Path, small: Any) -> None:
    """With a key in the environment, as it says."""
    code = next(code for language, code in BLOCKS if language == "python")

    done = run(
        tmp_path, sys.executable, "-c", code, STRIPE_API_KEY=small.api_key, SOURCES__STRIPE__API_BASE=small.url,
        RUNTIME__DLTHUB_TELEMETRY="false",
    )

    assert done.returncode == 0, done.stderr
    assert small.api_key not in done.stdout + done.stderr
    assert beyond_loopback(tmp_path) == ""


def _write() -> None:
    """Put what the demo prints into the README."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        installed(Path(name))
        done = shell(Path(name), DEMO)
    if done.returncode:
        raise SystemExit(done.stderr)
    block = f"```text\n{done.stdout}```"
    pattern = r"^TRANSCRIPT$|^```text\n.*?^```"
    README.write_text(re.sub(pattern, lambda _: block, TEXT, count=1, flags=re.DOTALL | re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    _write()
