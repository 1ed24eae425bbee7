"""What all tests share: a folder of dlt's own for each test, a small sandbox, no telemetry, no key from outside."""
from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import dlt
    from account import Account

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "ERROR"
LONGEST, LONGEST_SOAK = 300, 3_300  # seconds for one test; one that hangs ends the suite, with what all threads do
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so a shell starts what it does not wait for
    with contextlib.suppress(ValueError):  # not in a thread
        signal.signal(signal.SIGINT, signal.default_int_handler)  # children that are sent Ctrl-C take it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that waits for ever ends by itself."""
    seconds = LONGEST_SOAK if item.get_closest_marker("soak") else LONGEST
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees neither the machine's dlt folder, nor its keys, nor the checkout as working directory."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr("stripe_source.api.client.FIRST_WAIT", 0.001)
    monkeypatch.setattr("stripe_source.api.client.LONGEST_WAIT", 0.01)


@pytest.fixture
def small() -> Iterator[Any]:
    """A sandbox of a few hundred objects that a test may change."""
    from stripe_source import sandbox

    with sandbox.serve(seed=7, scale=0.05) as stripe:
        yield stripe


@pytest.fixture
def new_pipeline(tmp_path: Path) -> Callable[..., dlt.Pipeline]:
    """Makes a pipeline into a DuckDB file of the test's folder."""
    import dlt

    def make(name: str = "stripe_test", file: str = "test.duckdb", **options: Any) -> dlt.Pipeline:
        given = {"destination": dlt.destinations.duckdb(str(tmp_path / file)), "dataset_name": "stripe", **options}
        return dlt.pipeline(name, pipelines_dir=str(tmp_path / "pipelines"), **given)

    return make


@pytest.fixture
def account(small: Any, new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path) -> Account:
    """That small sandbox, and its copy in DuckDB."""
    from account import Account

    return Account(small, new_pipeline, tmp_path / "test.duckdb")
