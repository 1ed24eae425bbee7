"""Two runs of one pipeline at once: one is refused or starts over; no row is lost, doubled or set back."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import duckdb
import pytest
import shell
from dlt.pipeline.exceptions import PipelineStepFailed
from truth import differences

from stripe_source.errors import Busy
from stripe_source.load.sync import sync
from stripe_source.resources.lock import pipeline_lock
from stripe_source.source import stripe_source

TABLES = ("customers", "balance_transactions")
Make = Callable[..., dlt.Pipeline]


def wrong(stripe: Any, file: Path, dataset: str = "stripe", tables: tuple[str, ...] = TABLES) -> list[str]:
    """Every difference between the sandbox and what was loaded; the comparison fails on a key that is there twice."""
    dump = stripe.world.dump()
    account = dump["accounts"][0].object["id"]
    with duckdb.connect(str(file)) as connection:  # it may be open in this process
        return [line for name in tables for line in differences(connection, dataset, name, dump[name], account)]


def load(stripe: Any, pipeline: dlt.Pipeline, **options: Any) -> Any:
    """A run of ours; of full passes, so that whatever is there is compared."""
    return sync(pipeline, api_base=stripe.url, api_key=stripe.api_key, tables=list(TABLES), marker="none", **options)


def source(stripe: Any, *tables: str) -> Any:
    """The source for a plain run of dlt."""
    return stripe_source(list(tables or TABLES), api_base=stripe.url, api_key=stripe.api_key, marker="none")


@pytest.fixture
def slow(small: Any, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A `stripe-source run` in a process of its own, that is reading and will not end soon."""
    small.world.faults.latency = 0.2
    process = subprocess.Popen(
        words(small.url), cwd=tmp_path, env=shell.environment(tmp_path, STRIPE_API_KEY=small.api_key),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    until(lambda: len(small.world.requests) > 0)
    small.world.faults.latency = 60.0
    yield SimpleNamespace(process=process, note=tmp_path / "dlt" / "pipelines" / "stripe.run")
    process.kill()
    process.wait()


def words(url: str) -> list[str]:
    """`stripe-source run` into the DuckDB file of the folder."""
    return shell.ours("run", "--api-base", url, "--tables", ";".join(TABLES))


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_second_run_is_refused_and_goes_well_when_the_first_has_ended(
    small: Any, slow: SimpleNamespace, tmp_path: Path
) -> None:
    """At once, with who runs and what to do; kill -9 of the first frees the pipeline, whatever files it leaves."""
    noted = json.loads(slow.note.read_text())
    nobody = "http://127.0.0.1:9"  # it asks nobody: another error would say so
    refused = shell.run(tmp_path, *words(nobody), STRIPE_API_KEY=small.api_key)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.split() == (
        f"Error: Pipeline `stripe` is being run by another process, pid {slow.process.pid} on `{noted['host']}`, since "
        f"{noted['since']}. Nothing was read. Run again when it has ended, or end it; to load side by side, give each "
        "its own `--pipeline` and `--dataset`."
    ).split()

    slow.process.send_signal(signal.SIGKILL)
    slow.process.wait()
    small.world.faults.latency = 0.0
    after = shell.run(tmp_path, *words(small.url), STRIPE_API_KEY=small.api_key)

    assert after.returncode == 0, after.stderr
    assert wrong(small, tmp_path / "stripe.duckdb", "stripe_data") == []
    assert not slow.note.exists()


def test_what_dead_processes_left_does_not_block(small: Any, new_pipeline: Make) -> None:
    """Nor does another pipeline. Files alone mean nothing: who is noted there is only for the message."""
    pipeline = new_pipeline()
    Path(pipeline.pipelines_dir, "stripe_test.lock").touch()
    Path(pipeline.pipelines_dir, "stripe_test.run").write_text('{"pid": 1, "host": "x", "sin')

    with pipeline_lock(new_pipeline("other", "other.duckdb")):
        assert load(small, pipeline).exit_code == 0
    with pipeline_lock(pipeline):
        Path(pipeline.pipelines_dir, "stripe_test.run").write_text('{"pid": 1, "host": "x", "sin')
        with pytest.raises(Busy, match=r"is being run by another process\. Nothing was read"):
            load(small, new_pipeline())


def test_a_plain_run_of_dlt_is_refused_as_well(small: Any, tmp_path: Path, new_pipeline: Make) -> None:
    """When it begins to read; the same source and pipeline do when the other run has ended."""
    pipeline, tables = new_pipeline(), source(small)
    with pipeline_lock(new_pipeline()), pytest.raises(PipelineStepFailed) as refused:
        pipeline.run(tables)
    busy: Any = refused.value
    while busy and not isinstance(busy, Busy):
        busy = busy.__cause__
    pipeline.run(tables)

    assert busy.pid == os.getpid()
    assert wrong(small, tmp_path / "test.duckdb") == []


def test_a_plain_run_of_dlt_keeps_others_out_until_it_has_loaded(
    small: Any, tmp_path: Path, new_pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sources in one run, read by dlt's threads, are one run; a run that fails lets go as well."""
    pipeline, said, real = new_pipeline(), [], dlt.Pipeline.load

    def loading(self: dlt.Pipeline, *args: Any, **options: Any) -> Any:
        with pytest.raises(Busy) as busy:
            load(small, new_pipeline())
        said.append(busy.value.pid)
        return real(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", loading)
        pipeline.run([source(small, "customers").parallelize(), source(small, *TABLES[1:]).parallelize()])
    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "normalize", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipeline.run(source(small))
    result = load(small, new_pipeline())

    assert said == [os.getpid()]
    assert result.exit_code == 0
    assert wrong(small, tmp_path / "test.duckdb") == []


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], dlt.Pipeline]:
    """The pipeline on a machine: each has its own folder of dlt, and all load into one dataset."""

    def on(name: str) -> dlt.Pipeline:
        return dlt.pipeline(
            "stripe_test", pipelines_dir=str(tmp_path / name), dataset_name="stripe",
            destination=dlt.destinations.duckdb(str(tmp_path / "test.duckdb")),
        )

    return on


class Before:
    """Progress that does something before the first loads begin."""

    def __init__(self, *deeds: Callable[[], Any]) -> None:
        self.deeds = list(deeds)

    def tables(self, names: list[str]) -> None: ...

    def page(self, table: str, objects: int) -> None: ...

    def phase(self, name: str) -> None:
        if name == "loading" and self.deeds:
            self.deeds.pop(0)()


def a_day(stripe: Any) -> None:
    """New, changed and deleted objects; one customer changes every day."""
    world = stripe.world
    world.advance(86_400)
    world.live(10)
    known = [truth.object for truth in world.dump()["customers"] if truth.listed and not truth.deleted]
    first = min(known, key=lambda customer: (customer["created"], customer["id"]))
    world.update("customer", first["id"], name=f"Customer of {world.now}")
    world.create("charge", amount=100, currency="usd")


AGAIN = "Another process loaded the same pipeline meanwhile; what this run had read was read again."


@pytest.mark.parametrize("loaded", [False, True], ids=["first load", "later load"])
def test_who_loads_later_notices_and_starts_over(
    small: Any, tmp_path: Path, machine: Callable[[str], dlt.Pipeline], loaded: bool
) -> None:
    """It has read older versions than those that are loaded now: it drops them."""
    if loaded:
        load(small, machine("here"))
        a_day(small)

    def elsewhere() -> None:
        a_day(small)
        load(small, machine("there"))

    result = load(small, machine("here"), progress=Before(elsewhere))

    assert result.notes == [AGAIN]
    assert sum(table.new + table.changed + table.gone for table in result.tables.values()) == 0
    assert wrong(small, tmp_path / "test.duckdb") == []


def test_who_is_overtaken_twice_gives_up(
    small: Any, tmp_path: Path, machine: Callable[[str], dlt.Pipeline]
) -> None:
    """It does not load what it has read, and says so; the next run is an ordinary one."""

    def elsewhere() -> None:
        a_day(small)
        load(small, machine("there"))

    with pytest.raises(Busy, match="twice it loaded into dataset `stripe`") as busy:
        load(small, machine("here"), progress=Before(elsewhere, elsewhere))

    assert busy.value.exit_code == 1
    assert load(small, machine("here")).notes == []
    assert wrong(small, tmp_path / "test.duckdb") == []


def test_two_loads_at_the_same_time_are_put_right_by_the_later_one(
    small: Any, tmp_path: Path, machine: Callable[[str], dlt.Pipeline]
) -> None:
    """Older versions over newer ones, rows lost and rows doubled: all that can come of two loads into one staging."""
    file, found, real = tmp_path / "test.duckdb", [], dlt.Pipeline.load
    load(small, machine("here"))
    a_day(small)

    def together(self: dlt.Pipeline, *args: Any, **options: Any) -> Any:
        patch.undo()
        a_day(small)
        load(small, machine("there"))
        done = real(self, *args, **options)
        with duckdb.connect(str(file)) as connection:
            connection.execute("DELETE FROM stripe.balance_transactions WHERE created = "
                               "(SELECT max(created) FROM stripe.balance_transactions)")
        found.extend(wrong(small, file))
        with duckdb.connect(str(file)) as connection:
            connection.execute("INSERT INTO stripe.customers SELECT * FROM stripe.customers LIMIT 1")
        return done

    patch = pytest.MonkeyPatch()
    patch.setattr(dlt.Pipeline, "load", together)
    result = load(small, machine("here"))

    assert any("instead of" in line for line in found)
    assert any("is missing" in line for line in found)
    assert result.notes == [AGAIN]
    assert wrong(small, file) == []


def test_what_a_killed_run_left_is_dropped_where_another_machine_has_loaded_since(
    small: Any, tmp_path: Path, machine: Callable[[str], dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read before what is loaded now. Where nobody has, it is loaded."""

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    def reads_and_is_killed() -> None:
        a_day(small)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(dlt.Pipeline, "normalize", killed)
            load(small, machine("here"))

    load(small, machine("here"))
    reads_and_is_killed()
    loaded = load(small, machine("here"))
    reads_and_is_killed()
    a_day(small)
    load(small, machine("there"))
    dropped = load(small, machine("here"))

    assert [note.split("; ")[-1] for note in loaded.notes + dropped.notes] == [
        "it was loaded first.", "it was dropped and is read again."
    ]
    assert wrong(small, tmp_path / "test.duckdb") == []
