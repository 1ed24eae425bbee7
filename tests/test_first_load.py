"""A first load comes in portions, each committed: nothing is lost between them, and what is cut short goes on."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.destination.exceptions import DestinationTerminalException
from later import later, some_later
from truth import differences

from stripe_source import sandbox
from stripe_source.dlt_patches import duckdb as duckdb_patch
from stripe_source.errors import DestinationError
from stripe_source.load.sync import sync
from stripe_source.sandbox.bulk.world import Bulk

SMALL = (
    "import stripe_source.load.sync as load, stripe_source.extract.channel as channel; "
    "load.ROWS_PER_LOAD = load.ROWS_PER_FURTHER_TABLE = channel.ROWS_AHEAD = 500; "
)


@pytest.fixture
def portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads of 500 rows."""
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 500)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)
    monkeypatch.setattr("stripe_source.extract.channel.ROWS_AHEAD", 500)


def held(file: Path, table: str, dataset: str = "stripe") -> list[tuple[str, int]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(
            f"SELECT id, CAST(epoch(created) AS BIGINT) FROM {dataset}.{table} WHERE NOT _deleted ORDER BY 2, 1"
        ).fetchall()


def truth(bulk: Bulk, table: str) -> list[tuple[str, int]]:
    return sorted(bulk.truth(table), key=lambda pair: (pair[1], pair[0]))


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("spread", ["even", later("second"), later("gaps")])
def test_portions_add_up(spread: str, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """Several tables, one of them with children inside: every object once, in several loads, and no trace of them."""
    bulk = Bulk({"charges": 6_000, "customers": 1_500, "invoices": 1_200, "payouts": 40}, spread=spread)
    pipeline = new_pipeline()
    with sandbox.serve(world=bulk) as stripe:
        tables = "charges;customers;invoices;invoice_line_items;payouts"
        result = sync(pipeline, tables=tables, api_base=stripe.url, api_key=stripe.api_key)
        again = sync(pipeline, tables=tables, api_base=stripe.url, api_key=stripe.api_key)
    file = tmp_path / "test.duckdb"
    inside = [
        line["id"] for place in range(1_200) for line in bulk.object("invoices", place)["lines"]["data"]
    ]
    with duckdb.connect(str(file), read_only=True) as connection:
        lines = connection.execute("SELECT id FROM stripe.invoice_line_items ORDER BY id").fetchall()

    for table in ("charges", "customers", "invoices", "payouts"):
        assert held(file, table) == truth(bulk, table)
    assert [line for line, in lines] == sorted(inside)
    assert result.tables["charges"].new == 6_000
    assert len(result.load_ids) > 5
    assert "backfill" not in pipeline.state["sources"]["stripe"]
    assert sum(table.new + table.changed + table.gone for table in again.tables.values()) == 0


def test_stripe_is_read_while_the_tables_are_made(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination that takes long to make tables, or cannot: pages come meanwhile, and nobody reads on in vain."""
    bulk = Bulk({"charges": 250})
    load, given = dlt.Pipeline.load, 0
    troubles: list[Exception] = [DestinationTerminalException("no room for tables")]

    def slow(self: dlt.Pipeline) -> Any:
        until = time.monotonic() + 20
        while bulk.figures()["objects"] == given and time.monotonic() < until:
            time.sleep(0.01)
        if troubles:
            raise troubles.pop()
        return load(self)

    monkeypatch.setattr(dlt.Pipeline, "load", slow)
    with sandbox.serve(world=bulk) as stripe:
        options = {"tables": "charges", "api_base": stripe.url, "api_key": stripe.api_key}
        began = time.monotonic()
        with pytest.raises(DestinationError, match="no room for tables"):
            sync(new_pipeline(), **options)
        readers = [thread for thread in threading.enumerate() if thread.name == "stripe-extractor"]
        given = bulk.figures()["objects"]
        result = sync(new_pipeline(), **options)
        took = time.monotonic() - began

    assert took < 20  # nobody waited in vain
    assert readers == []
    assert held(tmp_path / "test.duckdb", "charges") == truth(bulk, "charges")
    assert result.tables["charges"].new == 250


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("marker", ["created", later("id"), later(None)])
def test_portions_by_any_marker(marker: str | None, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """With dlt's cursor as with the others: a cursor that is ahead of what was handed over would lose rows."""
    bulk = Bulk({"charges": 3_000, "refunds": 2_000}, spread="bursts")
    options = {"tables": "charges;refunds", "marker": marker}
    with sandbox.serve(world=bulk) as stripe:
        for _ in range(2):
            sync(new_pipeline(), api_base=stripe.url, api_key=stripe.api_key, **options)

    for table in ("charges", "refunds"):
        assert held(tmp_path / "test.duckdb", table) == truth(bulk, table)


@pytest.mark.soak
def test_killed_at_half_it_goes_on_from_there(tmp_path: Path) -> None:
    """kill -9 when half of the pages were given: the next run reads what was not committed, and equals the truth."""
    bulk = Bulk({"payouts": 30_000}, spread="growing")
    with sandbox.serve(world=bulk) as stripe:
        command = [sys.executable, "-c", SMALL + "from stripe_source.cli.main import main; main()", "run", "--api-base",
                   stripe.url, "--tables", "payouts", "--json"]
        environment = {**os.environ, "STRIPE_API_KEY": stripe.api_key, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        while bulk.figures()["objects"] < 15_000 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, check=True)
        given = bulk.figures()["objects"]

    assert held(tmp_path / "stripe.duckdb", "payouts", "stripe_data") == truth(bulk, "payouts")
    assert given - 30_000 <= 5_000  # 500 rows of a load, 500 that wait, and two pages of each span


@pytest.mark.usefixtures("portions", "hasty")
@pytest.mark.parametrize("marker", ["auto", later("created"), later("id"), later(None)])
def test_a_list_that_fails_in_the_middle_goes_on_from_there(
    marker: str | None, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """What was read before is loaded and not asked for again, and the table counts as failed until it is whole."""
    bulk = Bulk({"charges": 8_000})
    with sandbox.serve(world=bulk) as stripe:
        fault = bulk.faults.add("/v1/charges", status=500, after=50)
        options: Any = {"tables": "charges", "marker": marker, "api_base": stripe.url, "api_key": stripe.api_key}
        first = sync(new_pipeline(), **options)
        fault.remove()
        given = len(held(tmp_path / "test.duckdb", "charges"))
        bulk.reset_figures()
        second = sync(new_pipeline(), **options)

    assert (first.tables["charges"].status, second.tables["charges"].status) == ("failed", "ok")
    assert given >= 3_500
    assert held(tmp_path / "test.duckdb", "charges") == truth(bulk, "charges")
    assert bulk.figures()["objects"] <= 8_000 - given + 2_500  # two pages of each span that was cut short


@pytest.mark.usefixtures("portions")
@pytest.mark.parametrize("long", some_later([False, True], [True]))
def test_changes_during_a_first_load_arrive(
    long: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes and goes while portions are loaded is in the feed from before the first page on.

    The next run brings it, or the same one where it took long.
    """
    if long:
        monkeypatch.setattr("stripe_source.load.sync.LONG_RUN", 0.0)
    world = small.world
    doomed = [world.create("customer", name=f"Brief {number}")["id"] for number in range(700)]
    world.advance(60)
    moments = iter(range(1 if long else 3))

    class Meanwhile:
        def tables(self, names: list[str]) -> None: ...

        def page(self, table: str, objects: int) -> None: ...

        def phase(self, name: str) -> None:
            if name == "loading" and next(moments, None) is not None:
                world.delete("customer", doomed.pop())
                world.update("customer", doomed[0], name=f"Changed {len(doomed)}")
                world.advance(5)

    for progress in (Meanwhile(), None)[:1 if long else 2]:
        sync(new_pipeline(), tables="customers;customer_cards;charges", api_base=small.url, api_key=small.api_key,
             progress=progress)
    dump = world.dump()
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        account = dump["accounts"][0].object["id"]
        found = [
            line for name in ("customers", "customer_cards", "charges")
            for line in differences(connection, "stripe", name, dump[name], account)
        ]

    assert found == []


@pytest.mark.usefixtures("portions")
def test_ctrl_c_while_a_portion_is_loaded_ends_the_run_after_it(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt ends the load first; what it brought is kept, and the next run brings the rest."""
    bulk, merge = Bulk({"charges": 6_000}), duckdb_patch._merge_file
    asked = iter([False, True])

    def interrupted(*given: Any) -> None:
        if next(asked, False):
            os.kill(os.getpid(), signal.SIGINT)
        merge(*given)

    monkeypatch.setattr(duckdb_patch, "_merge_file", interrupted)
    with sandbox.serve(world=bulk) as stripe:
        with pytest.raises(KeyboardInterrupt):
            sync(new_pipeline(), tables="charges", api_base=stripe.url, api_key=stripe.api_key)
        there = len(held(tmp_path / "test.duckdb", "charges"))
        sync(new_pipeline(), tables="charges", api_base=stripe.url, api_key=stripe.api_key)

    assert 500 <= there <= 3_000
    assert held(tmp_path / "test.duckdb", "charges") == truth(bulk, "charges")


@pytest.mark.usefixtures("portions")
@pytest.mark.soak
def test_a_load_that_lacks_memory_gets_it(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB is kept small while a long load goes on; where that is too small, it is let go."""
    monkeypatch.setattr("stripe_source.destination.duckdb_session.DuckDBSession.LIMIT", "12MB")
    bulk = Bulk({"charges": 2_500})
    with sandbox.serve(world=bulk) as stripe:
        sync(new_pipeline(), tables="charges", api_base=stripe.url, api_key=stripe.api_key)

    assert held(tmp_path / "test.duckdb", "charges") == truth(bulk, "charges")


# ---- what has to be the same for a load that was cut short to go on

DAY = 86_400
BEGAN = 1_790_000_000
HOURLY = [BEGAN - 100 * DAY + 1_800 + number * 3_600 for number in range(2_700)]  # the last 300 are still to come


def hourly(count: int) -> Bulk:
    """A business with the first so many charges."""
    return Bulk({"charges": count}, spread=HOURLY[:count], now=BEGAN)


class Interrupted:
    """A first load of 2,400 charges that Stripe refused to go on with; and the run after it."""

    def __init__(self, pipeline: dlt.Pipeline, file: Path, pages: int = 12, **options: Any) -> None:
        self.pipeline, self.bulk = pipeline, hourly(2_400)
        fault = self.bulk.faults.add("/v1/charges", status=500, after=pages)
        self.run("failed", **options)
        fault.remove()
        self.held = len(held(file, "charges"))

    def run(self, status: str, **options: Any) -> int:
        """Run; how many objects Stripe gave."""
        self.bulk.reset_figures()
        with sandbox.serve(world=self.bulk) as stripe:
            result = sync(self.pipeline, tables="charges", api_base=stripe.url, api_key=stripe.api_key, **options)
        assert result.tables["charges"].status == status
        return int(self.bulk.figures()["objects"])


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("pages", [0, 12])
def test_what_came_since_a_load_was_cut_short_is_read_with_the_rest(
    pages: int, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """The list has grown meanwhile, and no event tells of it: the gaps are read, and what is newer, each once."""
    cut = Interrupted(new_pipeline(), tmp_path / "test.duckdb", pages)
    cut.bulk = hourly(2_700)
    cut.bulk.advance(20 * DAY)
    given = cut.run("ok")

    assert held(tmp_path / "test.duckdb", "charges") == truth(cut.bulk, "charges")
    assert 2_700 - cut.held <= given <= 2_700 - cut.held + 20  # one of each gap may come twice
    assert (cut.held > 400) is bool(pages)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("days", "goes_on"), some_later([(28, True), (30, False)], [(30, False)]))
def test_a_load_that_was_cut_short_long_ago_begins_again(
    days: int, goes_on: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """Stripe keeps events for 30 days: what changed of the rows that are there cannot be told after that."""
    cut = Interrupted(new_pipeline(), tmp_path / "test.duckdb")
    cut.bulk.advance(days * DAY)
    given = cut.run("ok", resync=None)

    assert held(tmp_path / "test.duckdb", "charges") == truth(cut.bulk, "charges")
    assert (given < 2_400) is goes_on


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("first", "then", "read"),
    [
        later({}, {"refresh": "charges"}, 2_400),
        ({"refresh": "charges"}, {}, 2_400),
        later({"start": HOURLY[500]}, {}, 2_400),
        ({"start": HOURLY[200], "end": HOURLY[2_000]}, {"start": HOURLY[200]}, 2_200),
    ],
    ids=["refreshed_then", "refreshed_first", "without_start", "without_end"],
)
def test_a_load_that_is_asked_for_otherwise_begins_again(
    first: dict[str, Any], then: dict[str, Any], read: int, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """What an earlier load lacks says nothing of one with other bounds, or of one that reads everything again."""
    cut = Interrupted(new_pipeline(), tmp_path / "test.duckdb", **first)
    given = cut.run("ok", **then)

    assert 400 < cut.held < 1_500
    assert held(tmp_path / "test.duckdb", "charges") == truth(cut.bulk, "charges")[2_400 - read:]
    assert read <= given <= read + 10  # with a few that were asked for one by one
