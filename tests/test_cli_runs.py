"""`run` as a person meets it: what came, again and again, after failures, Ctrl-C, another key."""
from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from command_line import STOPPED, Say, saying, started
from shell import beyond_loopback, ours, run
from truth import differences

from stripe_source import sandbox
from stripe_source.sandbox.world import World

LOADED = ("charges", "customers", "invoice_line_items", "refunds", "subscriptions")
DUCKDB_TYPES = {
    "text": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "json": "JSON",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "decimal(38,12)": "DECIMAL(38,12)",
}


def until(happened: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something that another process or thread does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def wrong(stripe: Any, folder: Path, *tables: str) -> list[str]:
    """Where the database of `run` differs from the sandbox's dump."""
    dump = stripe.world.dump()
    with duckdb.connect(str(folder / "stripe.duckdb"), read_only=True) as connection:
        return [
            line for table in tables
            for line in differences(connection, "stripe_data", table, dump[table], dump["accounts"][0].object["id"])
        ]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command in this process; no part of the key that it is given may be printed."""
    return saying(capsys, monkeypatch)


def test_run_in_json_counts_as_the_sandbox_does(say: Say, small: Any, tmp_path: Path) -> None:
    """Rows and requests of the first run; the second finds nothing new; `schema show` shows what is in the file."""
    argv = ("run", "--json", "--api-base", small.url, "--tables", ";".join(LOADED))
    first = say(*argv, key=small.api_key)
    asked = len(small.world.requests)
    second = say(*argv, key=small.api_key)
    truth = small.world.counts()
    counts = {table: truth[table] for table in LOADED}

    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    assert counts == {name: table["new"] for name, table in first.json["tables"].items()}
    assert {(0, 0, 0)} == {(each["new"], each["changed"], each["gone"]) for each in second.json["tables"].values()}
    assert [asked, len(small.world.requests)] == [
        first.json["figures"]["requests"], asked + second.json["figures"]["requests"]]
    assert wrong(small, tmp_path, *LOADED) == []
    assert Path(first.json["location"]) == tmp_path / "stripe.duckdb"
    for table in LOADED:
        with duckdb.connect(str(tmp_path / "stripe.duckdb"), read_only=True) as connection:
            held = {row[0]: row[1] for row in connection.sql(f"DESCRIBE stripe_data.{table}").fetchall()}
        told = say("schema", "show", table, "--json").json["columns"]
        assert held == {column["name"]: DUCKDB_TYPES[column["type"]] for column in told}


def test_run_tells_a_person_what_came_and_what_changed(say: Say, small: Any) -> None:
    """Numbers per table at first, then only what moved, then that nothing did; plain text where no terminal is."""
    world = small.world
    argv = ("run", "--api-base", small.url, "--tables", "coupons;customers", "--marker", "none")
    counts = {table: world.counts()[table] for table in ("coupons", "customers")}
    first = say(*argv, key=small.api_key)
    renamed, gone = [truth.object["id"] for truth in world.dump()["customers"] if not truth.deleted][:2]
    world.update("customer", renamed, name="Ada Lovelace")
    world.delete("customer", gone)
    world.create("customer", name="Charles Babbage")
    second, third = say(*argv, key=small.api_key), say(*argv, key=small.api_key)
    numbers = re.search(r"^customers +(\d+) +(\d+) +(\d+) +(\d+)$", second.out, re.MULTILINE)

    assert [0, 0, 0] == [said.code for said in (first, second, third)]
    assert [(name, str(rows)) for name, rows in counts.items()] == re.findall(r"([a-z_]+) +(\d+)", first.out)[:2]
    assert f"\n{sum(counts.values())} rows in 2 tables\n" in first.out
    assert numbers and [1, 1, 1, counts["customers"] - 2] == [int(number) for number in numbers.groups()]
    assert re.search(rf"^1 other table +{counts['coupons']}$", second.out, re.MULTILINE)
    assert third.out.startswith(f"Nothing new, changed or gone; {sum(counts.values())} rows unchanged\n")
    assert first.err.splitlines() == [
        "Preparing 2 tables", "Reading", f"Read {sum(counts.values())} objects of 2 tables", "Loading"]
    assert "\x1b" not in "".join(said.out + said.err for said in (first, second, third))


def test_run_again_and_again_until_ctrl_c(small: Any, tmp_path: Path) -> None:
    """With `--every`, each run is one line of JSON; after Ctrl-C a kind sentence, 130, and a database that is whole."""
    tables = ("charges", "customers")
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", ";".join(tables), "--every", "1s", "--json",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        small.world.create("customer", name="Ada")
        later = [json.loads(process.stdout.readline())]
        while not later[-1]["tables"]["customers"]["new"] and len(later) < 3:  # it had already asked
            later.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=60)

    assert (process.returncode, rest, complaints) == (130, "", STOPPED)
    assert first["tables"]["customers"]["new"] == small.world.counts()["customers"] - 1
    assert later[-1]["tables"]["customers"]["new"] == 1 and later[-1]["tables"]["charges"]["new"] == 0
    assert small.api_key[-16:] not in json.dumps([first, *later])
    assert wrong(small, tmp_path, *tables) == []
    assert beyond_loopback(tmp_path) == ""


@pytest.mark.soak
def test_run_again_and_again_goes_on_when_a_reader_lets_go_of_the_file(small: Any, tmp_path: Path) -> None:
    """One line for each try, and then the rows; a key that is revoked meanwhile ends it, with its exit code."""
    reader = duckdb.connect(str(tmp_path / "stripe.duckdb"))
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "customers", "--every", "1s", "--json",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        assert process.stdout and process.stderr
        tries = [process.stderr.readline() for _ in range(2)]
        reader.close()
        loaded = json.loads(process.stdout.readline())
        small.world.keys.revoke(small.api_key)
        code = process.wait(60)
        rest = process.stderr.read()

    one_try = r"Error: Destination `duckdb` failed: .*lock.* Next try at \d\d:\d\d:\d\d; Ctrl-C ends it\n"
    assert all(re.fullmatch(one_try, line) for line in tries)
    assert loaded["tables"]["customers"]["new"] == small.world.counts()["customers"]
    assert code == 3 and "Stripe answered 401" in rest


@pytest.mark.parametrize(("pause", "expected"), [
    (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1]),
    (600.0, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]),
])
def test_pauses_after_failures_grow_and_end(
    pause: float, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a run that went well they begin anew; an error that no try mends is raised."""
    from stripe_source.cli.repeat import run_again_and_again
    from stripe_source.errors import Busy, DestinationError, MixedData, RateLimited, Unreachable

    kinds = [Unreachable("no"), DestinationError("full"), Busy("stripe"), RateLimited("slow"), OSError("disk")]
    outcomes: list[Any] = [*(kinds * 3)[:11], 0, Unreachable("again"), 1, MixedData("mode", "live", "test")]
    waits, lines = list[float](), list[str]()
    monkeypatch.setattr("stripe_source.cli.repeat.time.sleep", waits.append)

    def once() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    with pytest.raises(MixedData):
        run_again_and_again(once, pause, lines.append, lambda text: None)

    assert waits == [*expected, min(5, pause), pause]
    assert len(lines) == 12 and all("\n" not in line for line in lines)


def test_a_key_of_the_other_mode_is_refused_at_once(small: Any, tmp_path: Path) -> None:
    """And one of another account: exit code 2 and the way out, by a process that ends."""
    load = ("run", "--tables", "coupons")
    first = run(tmp_path, *ours(*load, "--api-base", small.url), STRIPE_API_KEY=small.api_key)
    with sandbox.serve(world=World(seed=7, scale=0.01, livemode=True)) as live:
        second = run(tmp_path, *ours(*load, "--api-base", live.url), STRIPE_API_KEY=live.api_key)

    assert (first.returncode, second.returncode) == (0, 2)
    assert re.sub(r"\s+", " ", second.stderr).endswith(
        "of mode `test`, and the key reads mode `live`. Use the key of `test`, or load `live` into a dataset of its "
        "own (`--dataset`). ")


def test_the_causes_of_an_error_have_an_end(small: Any, new_pipeline: Any) -> None:
    """Whoever follows them, by `__cause__` or `__context__`, comes to the first one."""
    from stripe_source.errors import MixedData
    from stripe_source.load.sync import sync

    sync(new_pipeline(), tables="coupons", api_base=small.url, api_key=small.api_key)
    with sandbox.serve(world=World(seed=7, scale=0.01, livemode=True)) as live, pytest.raises(MixedData) as caught:
        sync(new_pipeline(), tables="coupons", api_base=live.url, api_key=live.api_key)
    seen, waiting = list[BaseException](), [caught.value]
    while waiting and len(seen) < 50:
        seen.append(waiting.pop())
        waiting += [each for each in (seen[-1].__cause__, seen[-1].__context__) if each is not None]

    assert len(seen) < 50


def test_stopped_in_the_middle_of_a_list_it_goes_on_later(say: Say, small: Any, tmp_path: Path) -> None:
    """Ctrl-C while Stripe is slow to answer: no traceback, and nobody is blamed; the next run loads all."""
    fault = small.world.faults.add("/v1/customers", delay=60)
    argv = ("run", "--api-base", small.url, "--tables", "charges;customers")
    with started(tmp_path, *argv, STRIPE_API_KEY=small.api_key) as process:
        until(lambda: any(request.path == "/v1/charges" for request in small.world.requests))
        process.send_signal(signal.SIGINT)
        out, complaints = process.communicate(timeout=60)
    fault.remove()
    again = say(*argv, key=small.api_key)

    assert (process.returncode, out) == (130, "")
    assert complaints == f"Preparing 2 tables\nReading\n{STOPPED}"
    assert again.code == 0
    assert wrong(small, tmp_path, "charges", "customers") == []
