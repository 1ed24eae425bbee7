"""Under Airflow and Dagster: three rounds, each twice, by the scripts of `pipelines/`; `.ci/run` installs them."""
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TASKS = 4  # tables of `scheduler_rounds.py`


def rounds(folder: Path, scheduler: str, how: str) -> list[dict[str, Any]]:
    """What the runs took, and what was wrong after each."""
    if importlib.util.find_spec(scheduler) is None:
        pytest.skip(f"{scheduler} is not installed; the extra `{scheduler}` has it")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    script = [sys.executable, str(ROOT / "tests" / "scheduler_rounds.py"), scheduler, how]
    done = subprocess.run(
        script, cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]
    found: list[dict[str, Any]] = json.loads((folder / "rounds.json").read_text())
    return found


@pytest.mark.parametrize(("scheduler", "how"), [("airflow", "none"), ("dagster", "together")])
def test_all_tables_in_one_task_cost_what_a_plain_run_costs(tmp_path: Path, scheduler: str, how: str) -> None:
    """Though the task begins without a folder, and has its state from the destination. The tables equal the dump.

    How many requests a first load takes depends on how fast pages come.
    """
    runs = rounds(tmp_path, scheduler, how)

    assert [run["wrong"] for run in runs] == [[]] * 6
    assert [run["scheduled"] for run in runs[1:]] == [run["plain"] for run in runs[1:]]


@pytest.mark.parametrize(
    ("scheduler", "how"), [("airflow", "serialize"), ("airflow", "parallel-isolated"), ("dagster", "single")],
)
def test_a_task_for_each_table_costs_what_it_asks_for_itself(tmp_path: Path, scheduler: str, how: str) -> None:
    """Each asks whose key it is, and reads the events. Invoices that changed are asked for by each of their tables."""
    runs = rounds(tmp_path, scheduler, how)

    assert [run["wrong"] for run in runs] == [[]] * 6
    assert all(run["scheduled"] <= TASKS * run["plain"] for run in runs)
