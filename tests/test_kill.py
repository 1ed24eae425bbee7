"""Killed anywhere and started again: every table equals Stripe, and nothing is there twice."""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from later import later, some_later
from truth import differences

from stripe_source.load.sync import sync

TABLES = ("charges", "customers", "invoices", "invoice_line_items", "balance_transactions", "events")


def run(stripe: Any, folder: Path, kill_after: float | None = None) -> int:
    """`stripe-source run` as a process of its own, killed with -9 after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stripe_source.cli", "run", "--api-base", stripe.url, "--tables", ";".join(TABLES),
         "--json"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "STRIPE_API_KEY": stripe.api_key, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        _, said = process.communicate(timeout=kill_after)
        assert process.returncode == 0, said.decode()
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode


@pytest.mark.parametrize("moments", [(0.8, 1.4, 2.0), later((1.1, 1.7, 2.4))])
def test_killed_and_started_again(small: Any, tmp_path: Path, moments: tuple[float, ...]) -> None:
    """kill -9 at several moments of the first load and of a later one; then one run to its end."""
    for moment in moments:
        run(small, tmp_path, kill_after=moment)
        small.world.advance(86_400)
    run(small, tmp_path)
    run(small, tmp_path)  # the run before may have had to load what a killed one had read
    dump = small.world.dump()
    account = dump["accounts"][0].object["id"]
    with duckdb.connect(str(tmp_path / "stripe.duckdb"), read_only=True) as connection:
        found = [line for name in TABLES for line in differences(connection, "stripe_data", name, dump[name], account)]

    assert found == []


@pytest.mark.soak
def test_a_crash_in_the_middle_of_a_load_is_finished_by_the_next_run(small: Any, tmp_path: Path) -> None:
    """What was read before the crash is loaded first, then what came after is read."""
    began = time.monotonic()
    run(small, tmp_path)
    whole = time.monotonic() - began
    small.world.advance(3 * 86_400)
    run(small, tmp_path, kill_after=whole * 0.7)
    run(small, tmp_path)
    dump = small.world.dump()
    with duckdb.connect(str(tmp_path / "stripe.duckdb"), read_only=True) as connection:
        account = dump["accounts"][0].object["id"]
        assert differences(connection, "stripe_data", "charges", dump["charges"], account) == []


@pytest.mark.parametrize("moved", some_later(["extracted", "normalized", "half"], ["half"]))
def test_killed_while_dlt_moved_its_files(
    small: Any, new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """A package in two places, or without its files: dlt would fail with it for ever. The next run puts that right."""
    normalize = dlt.Pipeline.normalize
    options = {"tables": "customers;charges", "api_base": small.url, "api_key": small.api_key}
    sync(new_pipeline(), **options)
    small.world.live(20)

    def killed(self: dlt.Pipeline, *args: Any, **given: Any) -> Any:
        extracted = Path(self.working_dir) / "normalize" / "extracted"
        (package,) = self.list_extracted_load_packages()
        shutil.copytree(extracted / package, tmp_path / "copy")
        normalize(self, *args, **given)
        normalized = Path(self.working_dir) / "load" / "normalized" / package
        if moved == "extracted":
            shutil.copytree(tmp_path / "copy", extracted / package, dirs_exist_ok=True)
        elif moved == "normalized":
            shutil.rmtree(normalized / "new_jobs")
        else:
            (normalized / "package_completed.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(dlt.Pipeline, "normalize", killed)
    with pytest.raises(KeyboardInterrupt):
        sync(new_pipeline(), **options)
    monkeypatch.undo()
    result = sync(new_pipeline(), **options)
    dump = small.world.dump()
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        found = [line for name in ("customers", "charges")
                 for line in differences(connection, "stripe", name, dump[name], small.world.books.account)]

    assert found == []
    assert result.exit_code == 0
