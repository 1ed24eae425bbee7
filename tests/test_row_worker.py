"""Rows of long lists are made in a process of their own: they are the same rows, and nothing depends on it."""
from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from later import some_later
from truth import differences

from stripe_source import sandbox
from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.waevent import INSERT, WAEvent
from stripe_source.dlt_patches import duckdb as duckdb_patch
from stripe_source.errors import DestinationError
from stripe_source.load.sync import sync
from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.workers.process import WorkerProcess

TABLES = (
    "charges;customers;customer_bank_accounts;customer_cards;customer_sources;discounts;invoices;invoice_items;"
    "invoice_line_items;payment_intents;prices;refunds;reviews;subscriptions;subscription_items;tax_ids"
)


class Seen:
    """What the process is asked, and by which number the system knows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: Callable[[int], None] = lambda pages: None) -> None:
        self.pages = self.rows = 0
        self.numbers: list[int] = []
        self.orders: list[dict[str, Any]] = []
        start, send = WorkerProcess.start, WorkerProcess._send

        def started(apart: WorkerProcess) -> None:
            start(apart)
            if apart._process:
                self.numbers.append(apart._process.pid)

        def sent(apart: WorkerProcess, order: dict[str, Any], body: bytes) -> Any:
            self.orders.append(order)
            self.pages += "page" in order
            self.rows += "rows" in order
            answer = send(apart, order, body)
            after(self.pages)
            return answer

        monkeypatch.setattr(WorkerProcess, "start", started)
        monkeypatch.setattr(WorkerProcess, "_send", sent)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for short lists."""
    monkeypatch.setattr("stripe_source.workers.process.WORTH_A_WORKER", 0)
    monkeypatch.setattr(WorkerProcess, "is_useful", staticmethod(lambda: True))


def content(file: Path) -> dict[str, list[Any]]:
    """All rows of all Stripe tables, without the load that they came in."""
    with duckdb.connect(str(file), read_only=True) as connection:
        names = [name for name, in connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'stripe' AND table_name NOT LIKE '\\_dlt%' "
            "ESCAPE '\\'"
        ).fetchall()]
        return {
            name: connection.execute(f"SELECT * EXCLUDE (_dlt_load_id) FROM stripe.{name} ORDER BY ALL").fetchall()
            for name in names
        }


@pytest.mark.usefixtures("at_once")
def test_rows_made_apart_are_the_rows_that_are_made_here(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables with children inside, expanded, spare and cut: every value is Stripe's, and every fingerprint the same."""
    with sandbox.serve(seed=7, scale=0.7) as stripe:
        options = {"tables": TABLES, "api_base": stripe.url, "api_key": stripe.api_key}
        with monkeypatch.context() as patch:
            seen = Seen(patch)
            sync(new_pipeline("apart", "apart.duckdb"), **options)
        monkeypatch.setattr(WorkerProcess, "is_useful", staticmethod(lambda: False))
        sync(new_pipeline("here", "here.duckdb"), **options)
        dump = stripe.world.dump()
    account = dump["accounts"][0].object["id"]
    with duckdb.connect(str(tmp_path / "apart.duckdb"), read_only=True) as connection:
        found = [
            line for name in TABLES.split(";") for line in differences(connection, "stripe", name, dump[name], account)
        ]
    taken = {place["at"] for order in seen.orders for page in order.get("rows", ()) for place in page[3]}

    assert found == []
    assert content(tmp_path / "apart.duckdb") == content(tmp_path / "here.duckdb")
    assert {"sources", "lines", "items", "discounts"} <= taken
    assert seen.pages > 10 and seen.rows > 5


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("signal_", some_later([signal.SIGKILL, signal.SIGTERM], [signal.SIGKILL]))
def test_a_process_that_is_killed_takes_nothing_along(
    signal_: int, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it had is done again in this process, and so is all that follows."""
    bulk = Bulk({"charges": 6_000}, spread="growing")

    def after(pages: int) -> None:
        if pages == 20:
            os.kill(seen.numbers[0], signal_)

    seen = Seen(monkeypatch, after)
    with sandbox.serve(world=bulk) as stripe:
        result = sync(new_pipeline(), tables="charges", api_base=stripe.url, api_key=stripe.api_key)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT id, CAST(epoch(created) AS BIGINT) FROM stripe.charges").fetchall()

    assert sorted(rows) == sorted(bulk.truth("charges"))
    assert result.tables["charges"].new == 6_000
    assert [record.getMessage() for record in caplog.records if "has ended" in record.getMessage()] == [
        "the process that made rows has ended; rows are made in this one"
    ]


@pytest.mark.usefixtures("at_once")
def test_where_no_process_can_be_started_rows_are_made_here(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As inside of other programs, or where the system allows none."""
    bulk = Bulk({"charges": 2_000})
    seen = Seen(monkeypatch)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with sandbox.serve(world=bulk) as stripe:
        sync(new_pipeline(), tables="charges", api_base=stripe.url, api_key=stripe.api_key)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT id, CAST(epoch(created) AS BIGINT) FROM stripe.charges").fetchall()

    assert sorted(rows) == sorted(bulk.truth("charges"))
    assert (seen.numbers, seen.pages) == ([], 0)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show the environment")
@pytest.mark.usefixtures("at_once")
def test_the_process_knows_no_key(
    new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its command nor its environment has it, wherever this process has it from."""
    shown: list[bytes] = []

    def after(pages: int) -> None:
        if pages == 1 and not shown:
            place = Path(f"/proc/{seen.numbers[0]}")
            shown.extend([(place / "environ").read_bytes(), (place / "cmdline").read_bytes()])

    seen = Seen(monkeypatch, after)
    with sandbox.serve(world=Bulk({"charges": 2_000})) as stripe:
        monkeypatch.setenv("STRIPE_API_KEY", stripe.api_key)
        monkeypatch.setenv("SOURCES__STRIPE__API_KEY", f" {stripe.api_key} ")
        monkeypatch.setenv("SOMETHING_ELSE", "that stays")
        sync(new_pipeline(), tables="charges", api_base=stripe.url)

    assert len(shown) == 2
    assert b"that stays" in shown[0]
    assert not any(stripe.api_key.encode() in each for each in shown)


@pytest.mark.usefixtures("at_once")
@pytest.mark.soak
def test_it_ends_with_the_run_also_where_that_fails(
    new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process is left, and none is started for lists that are short."""
    bulk = Bulk({"charges": 3_000})
    seen, merge = Seen(monkeypatch), duckdb_patch._merge_file

    def refuse(*job: Any) -> None:
        """No rows; the tables are made before."""
        if len(seen.numbers) == 2:
            raise OSError("no")
        merge(*job)

    with sandbox.serve(world=bulk) as stripe:
        options = {"tables": "charges", "api_base": stripe.url, "api_key": stripe.api_key}
        sync(new_pipeline("one", "one.duckdb"), **options)
        with monkeypatch.context() as patch, pytest.raises(DestinationError):
            patch.setattr(duckdb_patch, "_merge_file", refuse)
            sync(new_pipeline("two", "two.duckdb"), **options)
        monkeypatch.setattr("stripe_source.workers.process.WORTH_A_WORKER", 10_000)
        sync(new_pipeline("three", "three.duckdb"), **options)

    assert len(seen.numbers) == 2
    for number in seen.numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "data", "x", "y z"]), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["amount", "currency", "customer", "livemode", "metadata", "created", "review", "new", "card"])
THINGS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(THINGS, st.data())
def test_any_objects_come_back_as_rows_of_their_own_process(things: list[dict[str, Any]], data: st.DataObject) -> None:
    """Whatever Stripe sends, and whichever objects of a page are wanted."""
    page = {"object": "list", "has_more": False, "url": "/v1/charges",
            "data": [{"id": f"ch_{number}", **thing} for number, thing in enumerate(things)]}
    places = data.draw(st.sets(st.integers(0, len(things) - 1), min_size=1))
    shape = table_map(BY_NAME["charges"])

    async def made() -> tuple[Any, Any]:
        decoded = await _process.send_page(json.dumps(page).encode(), False, ["id", "created"])
        assert decoded is not None
        body, handle = decoded
        wanted = handle.select([thing for place, thing in enumerate(body["data"]) if place in places])
        return body, await _process.build_rows(shape, "acct_1", [(wanted, 7)])

    body, rows = _loop.run_until_complete(made())
    here = [WAEvent("charges", INSERT, 7, page["data"][place], "acct_1") for place in sorted(places)]

    assert rows.equals(RowBuilder(shape).build(here))
    assert [thing["id"] for thing in body["data"]] == [f"ch_{number}" for number in range(len(things))]
    assert {name: body[name] for name in ("object", "has_more", "url")} == {
        "object": "list", "has_more": False, "url": "/v1/charges"
    }


def test_what_is_found_on_objects_is_taken_out_there_too() -> None:
    """The process makes rows of objects without the children that were taken out here, and leaves none to us."""
    shape, found = table_map(BY_NAME["customers"]), BY_NAME["customer_cards"].placements[0]
    page = {"data": [{"id": "cus_1", "sources": {"object": "list", "data": [{"id": "card_1"}], "has_more": False}}]}

    async def made() -> Any:
        decoded = await _process.send_page(json.dumps(page).encode(), False, ["id"])
        assert decoded is not None
        body, handle = decoded
        wanted = replace(handle.select(body["data"]), taken=(found,))
        return await _process.build_rows(shape, "acct_1", [(wanted, 7)])

    rows = _loop.run_until_complete(made())

    assert rows is not None
    assert rows.equals(RowBuilder(shape).build([WAEvent("customers", INSERT, 7, {"id": "cus_1"}, "acct_1")]))


@pytest.mark.parametrize("secrets", [False, True])
def test_secrets_are_left_out_there_too(secrets: bool) -> None:
    """Of the rows that the process makes, and of the objects that are read again where it has ended."""
    shape = table_map(BY_NAME["payment_intents"])
    page = {"data": [{"id": "pi_1", "client_secret": "pi_1_secret_2", "metadata": {"secret": "of the user"}}]}

    async def made() -> Any:
        decoded = await _process.send_page(json.dumps(page).encode(), secrets, ["id", "client_secret"])
        assert decoded is not None
        body, handle = decoded
        rows = await _process.build_rows(shape, "acct_1", [(handle, 7)])
        return body["data"][0]["client_secret"], rows, handle.objects()

    known, rows, objects = _loop.run_until_complete(made())
    wanted = "pi_1_secret_2" if secrets else None
    thing = {**page["data"][0], "client_secret": wanted}

    assert known == wanted
    assert rows.equals(RowBuilder(shape).build([WAEvent("payment_intents", INSERT, 7, thing, "acct_1")]))
    assert objects == [thing]


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b'{"data": 3}', b'{"data": [3]}', b'{"data": ["id"]}', b'{"error": {"message": "no"}}',
    b'{"data": [{"id": "\\ud800"}]}',
])
def test_what_is_no_page_is_not_kept(text: bytes) -> None:
    """It is read here, where errors have their place; the next page is taken again."""
    assert _loop.run_until_complete(_process.send_page(text, False, ["id"])) is None
    assert _loop.run_until_complete(_process.send_page(b'{"data": []}', False, ["id"])) is not None


_loop = asyncio.new_event_loop()
_process = WorkerProcess()


@pytest.fixture(scope="module", autouse=True)
def process() -> Any:
    async def start() -> None:
        _process.start()

    _loop.run_until_complete(start())
    yield
    _process.stop()
    _loop.close()
