"""WAEvents of any number: sorted in files where they are many, and loaded in several loads."""
from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_source import load_waevents
from stripe_source.striim import newest
from stripe_source.striim.changes import Change
from stripe_source.striim.names import EventTables
from stripe_source.striim.newest import ChangeStore, Step

T = 1_790_000_000


def change(table: str, account: str, id: str, time: int, operation: str, **values: Any) -> Change:
    """A change of a row; an INSERT is whole."""
    found = EventTables(None).find(table)
    return Change(found, account, (id,), time, operation, operation == "INSERT", {"id": id, **values}, {})


def test_changes_in_many_files_come_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two tables and two accounts, in files that are merged more than once: as in one list that is sorted."""
    monkeypatch.setattr(newest, "FILES_AT_ONCE", 3)
    monkeypatch.setattr(newest, "BYTES_PER_READ", 200)
    chance = random.Random(5)
    given = [
        change(chance.choice(("customers", "charges")), chance.choice("ab"), f"x_{chance.randrange(40)}",
               chance.randrange(60), chance.choice(("INSERT", "UPDATE", "UPDATE")), n=number)
        for number in range(1_500)
    ]
    with ChangeStore(bytes_in_memory=800) as store:
        for each in given:
            store.add(each)
        for table in ("customers", "charges"):
            assert store.accounts(table) == ["a", "b"]
            for account in "ab":
                expected: dict[tuple[str, ...], list[Step]] = {}
                mine = [each for each in given if each.table.shape.table.name == table and each.account == account]
                for each in sorted(mine, key=lambda each: (json.dumps(each.key), each.time)):
                    expected.setdefault(each.key, []).append(
                        Step(each.time, each.operation, each.whole, json.dumps(each.values, separators=(",", ":"))))
                found = dict(store.by_key(table, account))

                assert list(found) == list(expected)
                for key, steps in expected.items():
                    last = max((place for place, step in enumerate(steps) if step.whole), default=0)
                    assert found[key] == [step._replace(values="") for step in steps[:last]] + steps[last:]
        folder = Path(store._folder.name)
    assert not folder.exists()


def test_many_changes_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 MB go through less than 6; DuckDB, which sorted them before, failed with 600 MB."""
    monkeypatch.setattr(newest, "BYTES_PER_READ", 20_000)
    seen, number, text = 0, 8_000, "x" * 3_000
    tracemalloc.start()
    try:
        with ChangeStore(bytes_in_memory=2_000_000) as store:
            for each in range(number):
                id = f"cus_{each * 7919 % number:06}"
                store.add(change("customers", "a", id, each, "INSERT", text=text + str(each)))
            for seen, (key, steps) in enumerate(store.by_key("customers", "a"), 1):
                assert key == (f"cus_{seen - 1:06}",) and len(steps) == 1
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seen == number
    assert most < 6_000_000


def customer(number: int, time: int, operation: str, **values: Any) -> str:
    """A WAEvent as JSON text."""
    said = {"TableName": "customers", "OperationName": operation, "TimeStamp": time * 1000}
    return json.dumps({"metadata": said, "data": {"id": f"cus_{number:02}", **values}, "before": None})


EVENTS = [*(customer(n, T, "INSERT", email=f"{n}@example.com") for n in range(25)), "{nonsense",
          *(customer(n, T + 5, "DELETE") for n in range(0, 25, 5)), "{more nonsense"]
EXPECTED = [(f"cus_{n:02}", f"{n}@example.com", n % 5 == 0) for n in range(25)]


def _held(tmp_path: Path) -> tuple[list[Any], list[Any]]:
    with duckdb.connect(str(tmp_path / "test.duckdb")) as db:
        customers = db.execute("SELECT id, email, _deleted FROM stripe.customers ORDER BY id").fetchall()
        return customers, db.execute("SELECT file, position FROM stripe._rejected ORDER BY 2").fetchall()


@pytest.fixture
def _in_small_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe_source.striim.load.ROWS_PER_LOAD", 8)
    monkeypatch.setattr("stripe_source.striim.resource.ROWS_PER_TABLE", 4)


@pytest.mark.usefixtures("_in_small_loads")
def test_a_long_input_travels_in_several_loads(new_pipeline: Any, tmp_path: Path) -> None:
    """Each has its own id, which its rows name; read once more, all is as it was."""
    pipeline = new_pipeline()
    first = load_waevents(pipeline, EVENTS)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as db:
        by_load = db.execute("SELECT _dlt_load_id, count(*) FROM stripe.customers GROUP BY 1 ORDER BY 1").fetchall()
        done = db.execute("SELECT load_id FROM stripe._dlt_loads WHERE status = 0 ORDER BY 1").fetchall()

    assert by_load == list(zip(first.load_ids, (8, 8, 8, 1), strict=True))
    assert [row[0] for row in done] == first.load_ids
    assert (first.counts.read, first.counts.rejected, first.counts.tables["customers"].rows) == (32, 2, 25)
    assert _held(tmp_path) == (EXPECTED, [("iterator", 26), ("iterator", 32)])
    load_waevents(pipeline, EVENTS)
    assert _held(tmp_path) == (EXPECTED, [("iterator", 26), ("iterator", 32)])


@pytest.mark.usefixtures("_in_small_loads")
@pytest.mark.parametrize("killed", [1, 3])
def test_a_run_killed_between_loads_is_started_again(
    new_pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    """Nothing is lost, and nothing is there twice."""
    import dlt

    pipeline, load, calls = new_pipeline(), dlt.Pipeline.load, 0

    def cut(self: Any, *args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == killed:
            raise KeyboardInterrupt
        return load(self, *args, **more)

    monkeypatch.setattr(dlt.Pipeline, "load", cut)
    with pytest.raises(KeyboardInterrupt):
        load_waevents(pipeline, EVENTS)
    load_waevents(pipeline, EVENTS)

    assert _held(tmp_path) == (EXPECTED, [("iterator", 26), ("iterator", 32)])
