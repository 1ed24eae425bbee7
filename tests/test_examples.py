"""What we give people to copy runs: the script, the notebook, and every code block of the sandbox's page."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shell import ROOT, beyond_loopback, environment, run

QUICKSTART = str(ROOT / "pipelines" / "quickstart.py")
NOTEBOOK = ROOT / "notebooks" / "first_look.ipynb"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "sandbox.md").read_text(), re.DOTALL | re.MULTILINE)
FILES = {match[1]: code for _, code in BLOCKS if (match := re.match(r"# (\w+\.py)\n", code))}
SNIPPETS = [code for language, code in BLOCKS if language == "python" and code not in FILES.values()]
COMMANDS = [
    line.split("#")[0].split() for language, code in BLOCKS if language == "sh" for line in code.splitlines()
]


@pytest.mark.soak
def test_quickstart_shows_itself_on_the_sandbox(tmp_path: Path) -> None:
    """Without a key it loads the sandbox, a day of it, and what is paid; quietly, and without any network."""
    done = run(tmp_path, sys.executable, QUICKSTART)
    first, later = done.stdout.split("\nA day later:\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^charges +1,\d{3} new +0 changed +0 gone$", first, re.MULTILINE)
    assert re.search(r"^charges +\d+ new +\d+ changed +0 gone$", later, re.MULTILINE)
    assert re.search(r"^  usd: 1,\d{3} charges, [\d,]+$", later, re.MULTILINE)
    assert beyond_loopback(tmp_path).replace("telemetry.scalevector.ai\n", "") == ""  # dlt's own, as dlt is configured


@pytest.mark.soak
def test_quickstart_loads_the_account_of_a_key(tmp_path: Path, small: Any) -> None:
    """With `STRIPE_API_KEY` it loads that account, as often as it is run, into the folder where it was started."""
    import duckdb

    variables = {
        "STRIPE_API_KEY": small.api_key, "SOURCES__STRIPE__API_BASE": small.url, "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    before = set(os.listdir(ROOT / "pipelines"))
    first = run(tmp_path, sys.executable, "-B", QUICKSTART, **variables)
    small.world.create("charge", amount=900, currency="usd")
    second = run(tmp_path, sys.executable, "-B", QUICKSTART, **variables)

    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert re.search(r"^charges +1 new +\d changed +0 gone$", second.stdout, re.MULTILINE)
    with duckdb.connect(str(tmp_path / "stripe_quickstart.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM stripe_data.charges").fetchone() == (
            small.world.counts()["charges"],)
    assert small.api_key not in first.stdout + second.stdout
    assert set(os.listdir(ROOT / "pipelines")) == before
    assert {"stripe_quickstart.duckdb", "dlt"} <= set(os.listdir(tmp_path))
    assert beyond_loopback(tmp_path) == ""


@pytest.mark.soak
def test_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, in the Python that runs the tests; there is a plot, and the second load doubles nothing."""
    import nbformat
    from nbclient import NotebookClient

    kernel = tmp_path / "jupyter" / "kernels" / "python3"  # no kernel need be installed
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3", "language": "python",
    }))
    for name, value in environment(
        tmp_path, JUPYTER_PATH=str(tmp_path / "jupyter"), JUPYTER_PLATFORM_DIRS="1", RUNTIME__LOG_LEVEL="ERROR",
        RUNTIME__DLTHUB_TELEMETRY="false", IPYTHONDIR=str(tmp_path / "ipython"),
    ).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    counted = next(cell for cell in notebook.cells if "count(DISTINCT id)" in cell.source).outputs[0]
    row = counted["data"]["text/plain"].splitlines()[1].split()

    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert row[1] == row[2] and int(row[1]) > 1_000
    assert beyond_loopback(tmp_path) == ""


def test_notebook_is_kept_without_outputs() -> None:
    """Outputs make noise in diffs, and may hold data."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]

    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


def test_every_block_of_the_page_is_run_here() -> None:
    """None is in a language, or of a kind, that these tests do not know."""
    assert {"sh", "python"} == {language for language, _ in BLOCKS}
    assert {"conftest.py", "test_shop.py"} == set(FILES)
    assert len(SNIPPETS) > 9 and len(COMMANDS) > 3


def test_snippets_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Each goes on with what those above it made, as a reader would."""
    names: dict[str, Any] = {}
    for code in SNIPPETS:
        exec(compile(code, "docs/sandbox.md", "exec"), names)

    assert "http://127.0.0.1:" in capsys.readouterr().out


def test_tests_of_the_page_pass(tmp_path: Path) -> None:
    """The fixtures and the tests that people are shown, in a folder of their own."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)

    done = run(tmp_path, sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path))

    assert done.returncode == 0, done.stdout
    assert f"{FILES['test_shop.py'].count('def test_')} passed" in done.stdout
    assert beyond_loopback(tmp_path) == ""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_of_the_page_serve(words: list[str], tmp_path: Path) -> None:
    """Each listens, answers to the key that it prints, and ends with Ctrl-C."""
    from urllib.request import Request, urlopen

    assert words[0] == "stripe-source"
    served = subprocess.Popen(
        [sys.executable, "-m", "stripe_source.cli", *words[1:], "--port", "0"], cwd=tmp_path,
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert served.stdout
    told = "".join(iter(served.stdout.readline, "}\n" if "--json" in words else "Ctrl-C ends it.\n"))
    url, key = re.findall(r"http://127\.0\.0\.1:\d+", told)[0], re.findall(r"sk_(?:test|live)_\w+", told)[0]
    with urlopen(Request(f"{url}/v1/balance", headers={"Authorization": f"Bearer {key}"})) as answer:
        status = answer.status
    served.send_signal(signal.SIGINT)
    _, complaints = served.communicate(timeout=20)

    assert (status, served.returncode) == (200, 130)
    assert "Traceback" not in complaints
    if "--json" in words:
        assert json.loads(told + "}") == {"url": url, "api_key": key}
