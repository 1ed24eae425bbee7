"""Windows and macOS, as far as they can be imitated here: what only POSIX or Linux has is taken away."""
from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from later import later

from stripe_source.c_library import give_memory_back, use_few_malloc_arenas
from stripe_source.load.sync import sync
from stripe_source.workers import worker
from stripe_source.workers.process import WorkerProcess


@pytest.fixture(params=["win32", later("darwin")])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another system: no affinity and no fcntl; on Windows no C library by `None`, no modes of files."""
    loaded = ctypes.CDLL

    def library(name: str | None, *args: Any, **options: Any) -> Any:
        if name is None and request.param == "win32":
            raise TypeError("argument of type 'NoneType' is not iterable")  # what Python says there
        return loaded(name, *args, **options)

    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr("stripe_source.c_library.sys", SimpleNamespace(platform=request.param, modules=sys.modules))
    if request.param == "win32":
        monkeypatch.setattr("stripe_source.dlt_patches.run_end.os", SimpleNamespace(name="nt"))
    return str(request.param)


def test_a_run_needs_nothing_that_only_linux_has(
    system: str, small: Any, new_pipeline: Any, tmp_path: Path
) -> None:
    """It loads, twice; also objects from a time that Windows takes no timestamp of."""
    given = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    codes = [sync(new_pipeline(), **given).exit_code for _ in range(2)]
    codes.append(sync(new_pipeline("early"), start="1969-12-31", marker="created", **given).exit_code)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        rows = connection.execute("SELECT count(*) FROM stripe.customers").fetchone()

    assert (codes, rows) == ([0, 0, 0], (small.world.counts()["customers"],))


def test_the_machinery_around_a_run_does_without(system: str) -> None:
    """The C library's memory, the number of cores, the width of a pipe."""
    use_few_malloc_arenas()
    give_memory_back()
    worker._widen(0)

    assert WorkerProcess.is_useful() is ((os.cpu_count() or 1) > 1)
