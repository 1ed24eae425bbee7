"""The sandbox in bulk answers as the sandbox does, and what it renders is what it says there is."""
from __future__ import annotations

import json
import re
import signal
import subprocess
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import dlt
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from later import some_later
from shell import environment, ours, run

from stripe_source.load.sync import sync
from stripe_source.sandbox.bulk.figures import LOG_LENGTH
from stripe_source.sandbox.bulk.ids import MAX_NUMBER, IdSuffixes
from stripe_source.sandbox.bulk.router import ADD, CHANGE, FIGURES, BulkRouter
from stripe_source.sandbox.bulk.shapes import SHAPES
from stripe_source.sandbox.bulk.timelines import SPREADS
from stripe_source.sandbox.bulk.world import TABLES, Bulk
from stripe_source.sandbox.endpoints.routes import Router
from stripe_source.sandbox.errors import InvalidSetting
from stripe_source.sandbox.server import serve
from stripe_source.sandbox.state.records import Record
from stripe_source.sandbox.world import World

YEAR = 31_557_600
Told = tuple[int, Any, dict[str, str]]


def ask(
    router: Router, path: str, params: dict[str, Any] | None = None, method: str = "GET", body: bytes = b"",
    **headers: str,
) -> Told:
    """Status, body and headers of an answer, without a port."""
    given = {"Authorization": f"Bearer {router.world.keys.secret}", **headers}
    answer = router.answer(method, path, urlencode(params or {}, doseq=True), given, body)
    return answer.status, orjson.loads(answer.body), answer.headers


def fetch(url: str, key: str = "", method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer, through a port."""
    request = Request(url, method=method, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urlopen(request) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


@cache
def ordinary() -> dict[str, list[dict[str, Any]]]:
    """What the tables of an ordinary business hold."""
    return {table: [each.object for each in truths] for table, truths in World(1, 0.2).dump().items()}


# --- the objects


def test_numbers_have_ends_of_their_own() -> None:
    """Each end leads back to its number, up to the last one; what is none leads nowhere."""
    suffixes = IdSuffixes(3)
    numbers = [*range(5_000), 4096**2 - 1, 4096**2, MAX_NUMBER - 1]
    ends = [suffixes.suffix(number).decode() for number in numbers]

    assert numbers == [suffixes.number(end) for end in ends]
    assert {True} == {re.fullmatch("[A-Za-z0-9]{12}", end) is not None for end in ends}
    assert [None] * 3 == [suffixes.number(end) for end in ("", "x" * 12, ends[0] + "a")]


@pytest.mark.parametrize("table", some_later(TABLES, [*SHAPES, *list(TABLES)[::5]]))
def test_every_table_that_can_be_had_in_bulk_is_right(table: str) -> None:
    """Ids are unique and lead back; times agree with the truth; the fields are those of the sandbox's objects."""
    bulk = Bulk({table: 70})
    objects = [bulk.object(table, number) for number in range(70)]
    fields = {name for each in ordinary().get(table) or World(empty=True).populate(table, 1) for name in each}

    assert len({each["id"] for each in objects}) == 70
    assert list(range(70)) == [bulk.number(table, each["id"]) for each in objects]
    times = [each.get("created", each.get("date")) for each in objects]
    assert list(bulk.truth(table)) == [
        (each["id"], told if at is None else at)
        for each, at, (_, told) in zip(objects, times, bulk.truth(table), strict=True)]
    assert {name for each in objects for name in each} <= fields
    assert {each["livemode"] for each in objects if "livemode" in each} <= {False}


def test_charges_are_as_big_and_as_various_as_real_ones() -> None:
    """No column that tells one charge from the next is the same in all of them."""
    bulk = Bulk({"charges": 600, "customers": 150, "balance_transactions": 600})
    charges = [bulk.object("charges", number) for number in range(600)]
    sizes = [len(orjson.dumps(each)) for each in charges]

    assert 2_400 < sum(sizes) / 600 < 3_000
    assert re.fullmatch("ch_[A-Za-z0-9]{24}", charges[7]["id"])
    for name in ("amount", "customer", "currency", "refunded", "status", "description", "balance_transaction"):
        assert len({each[name] for each in charges}) > 1, name
    assert [each["amount"] if each["refunded"] else 0 for each in charges] == [
        each["amount_refunded"] for each in charges]
    for number, each in enumerate(charges):
        assert each["customer"] in (None, bulk.object("customers", number // 4)["id"])
        assert each["balance_transaction"] in (None, bulk.object("balance_transactions", number)["id"])


def test_net_is_amount_less_fee() -> None:
    """In every balance transaction."""
    bulk = Bulk({"balance_transactions": 200})

    for number in range(200):
        each = bulk.object("balance_transactions", number)
        assert each["net"] == each["amount"] - each["fee"]


def test_invoices_hold_one_or_two_lines() -> None:
    """And show no more of them elsewhere."""
    bulk = Bulk({"invoices": 60})
    lines = [bulk.object("invoices", number)["lines"] for number in range(60)]

    assert {1, 2} == {len(each["data"]) for each in lines}
    assert {False} == {each["has_more"] for each in lines}
    assert 60 * 2 - sum(len(each["data"]) == 1 for each in lines) == len(
        {line["id"] for each in lines for line in each["data"]})


def test_the_same_seed_makes_the_same_objects() -> None:
    """And another one makes others."""
    one, same, other = (Bulk({"charges": 10}, seed=seed) for seed in (1, 1, 2))

    assert [one.object("charges", n) for n in range(10)] == [same.object("charges", n) for n in range(10)]
    assert not {id for id, _ in one.truth("charges")} & {id for id, _ in other.truth("charges")}


def test_live_mode_has_live_keys_and_objects() -> None:
    """As a world has."""
    bulk = Bulk({"charges": 1}, livemode=True)

    assert bulk.keys.secret.startswith("sk_live_")
    assert bulk.object("charges", 0)["livemode"] is True


# --- time lines


@pytest.mark.parametrize("n", [0, 1, 2, 3, 100, 7_003])
@pytest.mark.parametrize("spread", SPREADS)
def test_every_time_line_is_in_order_and_within_its_years(spread: str, n: int) -> None:
    """As many as were asked for, but for the pair."""
    bulk = Bulk({"charges": n}, spread=spread, years=10)
    times = [created for _, created in bulk.truth("charges")]

    assert len(times) == (min(n, 2) if spread == "pair" else n)
    assert times == sorted(times)
    assert all(bulk.now - 10 * YEAR <= each < bulk.now for each in times)


@pytest.mark.soak
def test_time_lines_look_as_they_are_called() -> None:
    """What each is for can be seen in it."""
    def times(spread: str, n: int = 12_000) -> list[int]:
        return [created for _, created in Bulk({"charges": n}, spread=spread, years=10).truth("charges")]

    start = Bulk({}).now - 10 * YEAR
    even, growing, bursts = times("even"), times("growing"), times("bursts")
    years = [Counter((each - start) // YEAR for each in times("gaps"))[year] for year in range(10)]
    steps = [after - before for before, after in pairwise(even)]
    halves = [bisect_left(each, start + 5 * YEAR) for each in (even, growing)]

    assert max(steps) - min(steps) <= 1
    assert halves[0] == 6_000 and halves[1] < 3_000
    assert len({each // 86_400 for each in times("day")}) == 1
    assert max(Counter(times("second")).values()) == 5_000 and max(Counter(times("second", 300)).values()) == 300
    assert years == [2_400, 0] * 5
    assert times("pair")[0] == start and times("pair")[1] == start + 10 * YEAR - 1
    assert sum(after - before <= 40 for before, after in pairwise(bursts)) > 0.85 * len(bursts)


def test_a_time_line_may_be_ones_own() -> None:
    """Seconds, in any order, or what makes them."""
    def mine(n: int, start: int, end: int) -> list[int]:
        return [end - 1, start] * n

    given = Bulk({"charges": 3}, spread=[30, 10, 20])
    made = Bulk({"charges": 2}, spread=mine, years=1)

    assert [10, 20, 30] == [created for _, created in given.truth("charges")]
    assert [made.now - YEAR] * 2 + [made.now - 1] * 2 == [created for _, created in made.truth("charges")]


@pytest.mark.parametrize(("wrong", "said"), [
    ({"tables": {"chargs": 1}}, "Did you mean `charges`?"),
    ({"tables": {"payment_methods": 1}}, "whose list takes `created`"),
    ({"tables": {"charges": -1}}, "`charges=-1`"),
    ({"tables": {"charges": 1.5}}, "`charges=1.5`"),
    ({"tables": {"charges": 1}, "spread": "evenly"}, "Did you mean `even`?"),
    ({"tables": {"charges": 2}, "spread": [1]}, "There are 2 objects"),
    ({"tables": {"charges": 1}, "years": 0}, "`years`"),
])
def test_what_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    """With the way out."""
    with pytest.raises(InvalidSetting, match=re.escape(said)):
        Bulk(**wrong)


# --- lists


def listed(objects: list[tuple[str, int]], params: dict[str, Any]) -> tuple[list[tuple[str, int]], bool]:
    """What Stripe's reference says that a list of these answers: newest first, bounds, cursors, `has_more`."""
    tests = {"gte": int.__ge__, "gt": int.__gt__, "lte": int.__le__, "lt": int.__lt__}
    there = [each for each in objects[::-1] if all(
        each[1] == value if name == "created" else tests[name[8:-1]](each[1], value)
        for name, value in params.items() if name.startswith("created"))]
    limit, place = params.get("limit", 10), {id: at for at, (id, _) in enumerate(objects)}
    if "starting_after" in params:
        there = [each for each in there if place[each[0]] < place[params["starting_after"]]]
    if "ending_before" in params:
        there = [each for each in there if place[each[0]] > place[params["ending_before"]]]
        return there[-limit:], len(there) > limit
    return there[:limit], len(there) > limit


LINES = {spread: Bulk({"charges": 230}, spread=spread) for spread in SPREADS}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SPREADS)), st.data())
def test_pages_are_those_of_the_reference(spread: str, data: st.DataObject) -> None:
    """Whatever is asked for, of whatever time line."""
    bulk = LINES[spread]
    truth = list(bulk.truth("charges"))
    seconds = st.sampled_from([at + by for _, at in truth for by in (-1, 0, 1)])
    params = data.draw(st.fixed_dictionaries({}, optional={
        "limit": st.integers(1, 100),
        **{f"created[{name}]": seconds for name in ("gte", "gt", "lte", "lt")},
    }))
    if not any(name.startswith("created") for name in params) and data.draw(st.booleans()):
        params["created"] = data.draw(seconds)
    cursor = data.draw(st.sampled_from(["", "starting_after", "ending_before"]))
    if cursor:
        params[cursor] = data.draw(st.sampled_from(truth))[0]
    status, page, _ = ask(BulkRouter(bulk), "/v1/charges", params)
    expected, more = listed(truth, params)

    assert (200, "list", "/v1/charges", more) == (status, page["object"], page["url"], page["has_more"])
    assert [bulk.object("charges", bulk.number("charges", id) or 0) for id, _ in expected] == page["data"]


def stored(bulk: Bulk) -> World:
    """An ordinary world with the same objects, made and kept."""
    world = World(bulk.seed, empty=True)
    for table, count in bulk.counts().items():
        for number, (_, created) in enumerate(bulk.truth(table)):
            data = bulk.object(table, number)
            record = Record(data["object"], data, created, number + 1, None)
            record.cache = orjson.dumps(data)
            world.books.collection(record.object).put(record)
        assert len(world.books.collection(record.object)) == count
    return world


def test_answers_are_those_of_a_world_that_keeps_its_objects() -> None:
    """Whole answers: filters, `expand[]`, single objects, and everything that is refused."""
    bulk = Bulk({"charges": 90, "customers": 30, "payment_intents": 90, "prices": 20, "subscriptions": 20, "events": 5})
    one, other = BulkRouter(bulk), Router(stored(bulk))
    customer, charge = bulk.object("customers", 3)["id"], bulk.object("charges", 50)["id"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/v1/charges", {"limit": 100}), ("/v1/charges", {"customer": customer}),
        ("/v1/charges", {"customer": "cus_nobody"}), ("/v1/charges", {"limit": 3, "expand[]": "data.customer"}),
        ("/v1/charges", {"limit": 100, "expand[]": ["data.review", "data.payment_intent.customer"]}),
        ("/v1/charges", {"expand[]": "data.amount"}), ("/v1/charges", {"expand[]": "data.refunds"}),
        ("/v1/customers", {"limit": 30, "expand[]": ["data.sources", "data.tax_ids", "data.cash_balance"]}),
        ("/v1/customers", {"email": "customer.7@example.com"}), (f"/v1/customers/{customer}", {}),
        (f"/v1/charges/{charge}", {"expand[]": "customer"}), (f"/v1/charges/{charge[:-1]}", {}),
        ("/v1/charges/ch_none", {}), (f"/v1/customers/{charge}", {}),
        ("/v1/charges", {"limit": 101}), ("/v1/charges", {"limit": 0}), ("/v1/charges", {"limit": "many"}),
        ("/v1/charges", {"starting_after": "ch_none"}), ("/v1/charges", {"ending_before": customer}),
        ("/v1/charges", {"starting_after": charge, "ending_before": charge}), ("/v1/charges", {"status": "paid"}),
        ("/v1/charges", {"created[from]": 1}), ("/v1/charges", {"created": "today"}),
        ("/v1/subscriptions", {"limit": 100}), ("/v1/subscriptions", {"limit": 100, "status": "all"}),
        ("/v1/prices", {"limit": 100}), ("/v1/prices", {"active": "false"}), ("/v1/events", {}),
        ("/v1/events", {"type": "charge.*", "limit": 2}), ("/v1/test_helpers/test_clocks", {}),
        ("/v1/customers", {"test_clock": "clock_none"}), ("/v1/customers", {}), ("/v1/nothing", {}),
    ]

    for path, params in asked:
        assert ask(one, path, params) == ask(other, path, params), (path, params)


def test_what_is_embedded_has_lists_of_its_own() -> None:
    """Lines of an invoice, items of a subscription: the list shows what the object holds."""
    bulk = Bulk({"invoices": 30, "subscriptions": 30})
    router = BulkRouter(bulk)

    for number in range(30):
        invoice, subscription = bulk.object("invoices", number), bulk.object("subscriptions", number)
        lines = ask(router, f"/v1/invoices/{invoice['id']}/lines")[1]["data"]
        items = ask(router, "/v1/subscription_items", {"subscription": subscription["id"]})[1]["data"]
        assert (invoice["lines"]["data"], subscription["items"]["data"]) == (lines, items)
        assert items[0] == ask(router, f"/v1/subscription_items/{items[0]['id']}")[1]


def test_everything_else_is_an_empty_account() -> None:
    """Its own account, its balance, lists without objects."""
    bulk = Bulk({"charges": 3})
    router, empty = BulkRouter(bulk), World(empty=True)

    assert ask(router, "/v1/account")[1] == ask(Router(empty), "/v1/account")[1]
    assert ask(router, "/v1/balance")[1]["object"] == "balance"
    for path in ("/v1/events", "/v1/customers", "/v1/coupons", "/v2/core/events"):
        assert (200, []) == (ask(router, path)[0], ask(router, path)[1]["data"])


def test_keys_and_headers_are_looked_at() -> None:
    """401 without a key and with a wrong one; the clock stands still; the version comes back."""
    bulk = Bulk({"charges": 3}, now=1_800_000_000)
    router = BulkRouter(bulk)
    status, _, headers = ask(router, "/v1/charges", **{"Stripe-Version": "2026-01-01"})

    assert (200, "2026-01-01") == (status, headers["Stripe-Version"])
    assert headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT" and headers["Request-Id"].startswith("req_")
    assert [401, 401] == [
        ask(router, "/v1/charges", Authorization=key)[0] for key in ("", "Bearer sk_test_" + "x" * 24)]
    assert [] == ask(router, "/v1/charges", **{"Stripe-Account": bulk.connected[0]})[1]["data"]


def test_objects_in_bulk_cannot_be_changed() -> None:
    """They are rendered from their number; the answer says so."""
    bulk = Bulk({"customers": 3})
    before = bulk.object("customers", 1)
    refused = [ask(BulkRouter(bulk), path, method=method, body=b"name=Ada")[:2] for path, method in (
        ("/v1/customers", "POST"), (f"/v1/customers/{before['id']}", "POST"),
        (f"/v1/customers/{before['id']}", "DELETE"))]

    assert [400] * 3 == [status for status, _ in refused]
    assert "rendered, not stored" in refused[0][1]["error"]["message"]
    assert before == bulk.object("customers", 1)
    with pytest.raises(ValueError, match="Nothing happens"):
        bulk.live(3)


def test_lists_may_be_indented() -> None:
    """With two spaces, as Stripe's; the values are the same."""
    plain, pretty = Bulk({"charges": 12, "invoices": 12}), Bulk({"charges": 12, "invoices": 12}, pretty=True)
    headers = {"Authorization": f"Bearer {pretty.keys.secret}"}

    for path in ("/v1/charges", "/v1/invoices", "/v1/refunds"):
        body = BulkRouter(pretty).answer("GET", path, "limit=12", headers).body
        assert body == orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2)
        assert orjson.loads(body) == ask(BulkRouter(plain), path, {"limit": 12})[1]


# --- what is counted, and what goes wrong


def test_figures_say_what_was_asked_for() -> None:
    """Requests, pages, objects; read by anybody, and set back."""
    with serve(world=Bulk({"charges": 250})) as stripe:
        for query in ("?limit=100", "?limit=100&created[lt]=5", "?status=x"):
            fetch(f"{stripe.url}/v1/charges{query}", stripe.api_key)
        fetch(f"{stripe.url}/v1/charges/ch_none", stripe.api_key)
        figures = json.loads(fetch(stripe.url + FIGURES)[1])
        before = json.loads(fetch(f"{stripe.url}{FIGURES}?reset=1", method="POST")[1])
        after = json.loads(fetch(stripe.url + FIGURES)[1])
        log = figures.pop("log")

    assert figures == {
        "requests": 4, "pages": 2, "objects": 100, "empty": 1, "rate_limited": 0,
        "by_endpoint": {"/v1/charges": 3, "/v1/charges/{id}": 1},
    }
    assert [(200, 100), (200, 0), (400, None), (404, None)] == [(each["status"], each["objects"]) for each in log]
    assert [before["requests"], after["requests"], after["log"]] == [4, 0, []]


def test_what_a_fault_keeps_back_is_not_counted_as_sent() -> None:
    """Faults are the world's; figures go by what was sent."""
    bulk = Bulk({"charges": 5})
    bulk.faults.add("/v1/charges", status=503, times=1)
    bulk.faults.add("/v1/charges", garbage=True, times=1)
    with serve(world=bulk) as stripe:
        answers = [fetch(f"{stripe.url}/v1/charges", stripe.api_key) for _ in range(3)]
    figures = bulk.figures()

    assert [503, 200, 200] == [status for status, _, _ in answers]
    assert [(503, None), (200, None), (200, 5)] == [(each["status"], each["objects"]) for each in figures["log"]]
    assert (3, 1, 5) == (figures["requests"], figures["pages"], figures["objects"])


def test_limits_answer_429_with_the_reason() -> None:
    """Those of the faults, by endpoint and by account."""
    bulk = Bulk({"charges": 5, "customers": 5}, limits=True, livemode=True)
    bulk.faults.clock = lambda: 1.0
    bulk.faults.per_account = 40
    with serve(world=bulk) as stripe:
        told = [fetch(f"{stripe.url}/v1/{table}", stripe.api_key) for table in ["charges"] * 26 + ["customers"] * 16]
    reasons = Counter(headers.get("Stripe-Rate-Limited-Reason") for status, _, headers in told if status == 429)

    assert reasons == {"endpoint-rate": 1, "global-rate": 1}
    assert bulk.figures()["rate_limited"] == 2


def test_memory_does_not_grow_with_requests() -> None:
    """Neither requests nor expanded objects are kept; the log has the last thousand."""
    bulk = Bulk({"charges": 20, "customers": 5})
    router = BulkRouter(bulk)
    for _ in range(2 * LOG_LENGTH + 10):
        ask(router, "/v1/charges", {"limit": 1, "expand[]": "data.customer"})
        router.on_sent("/v1/charges", "", 200, 1)

    assert len(bulk.requests) <= 2 * LOG_LENGTH
    assert len(bulk.figures()["log"]) == LOG_LENGTH
    assert not bulk.books.expansion_cache


def test_a_load_equals_the_truth(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """Each charge once, with its time."""
    bulk = Bulk({"charges": 3_000}, spread="bursts")
    pipeline = new_pipeline()
    with serve(world=bulk) as stripe:
        sync(pipeline, tables="charges", api_base=stripe.url, api_key=stripe.api_key, rate=None)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT id, epoch(created)::BIGINT FROM charges")

    assert sorted(bulk.truth("charges")) == sorted((id, created) for id, created in rows or ())


def test_changed_objects_and_their_events_reach_the_copy(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """As many of the oldest to the newest as were asked for; the others stay as they are."""
    bulk, pipeline = Bulk({"charges": 2_000, "customers": 5}), new_pipeline()
    with serve(world=bulk) as stripe:
        options: Any = {"tables": "charges;customers", "api_base": stripe.url, "api_key": stripe.api_key, "rate": None}
        sync(pipeline, **options)
        answer = json.loads(fetch(f"{stripe.url}{CHANGE}?table=charges&objects=150")[1])
        result = sync(pipeline, **options)
        ids = [id for id, _ in bulk.truth("charges")][::13][:150]
        shown = json.loads(fetch(f"{stripe.url}/v1/charges/{ids[3]}", stripe.api_key)[1])
        event = json.loads(fetch(f"{stripe.url}/v1/events?limit=1", stripe.api_key)[1])["data"][0]
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT id FROM charges WHERE metadata->>'$.changed' = '1'")

    assert answer == {"changed": 150}
    assert (result.tables["charges"].changed, result.tables["customers"].changed) == (150, 0)
    assert sorted(ids) == sorted(row[0] for row in rows or ())
    assert shown["metadata"]["changed"] == "1" and shown == bulk.object("charges", bulk.number("charges", ids[3]) or 0)
    assert (event["type"], event["data"]["object"]["id"]) == ("charge.updated", ids[-1])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (CHANGE + "?table=charges&objects=51", "There are 50 objects."), (CHANGE + "?table=charges", "50 objects."),
        (ADD + "?table=charges&objects=x", "It is more than 0."), (CHANGE + "?table=nothing&objects=1", "`nothing`"),
    ],
)
def test_changes_that_cannot_be_are_refused(asked: str, said: str) -> None:
    """400 and a sentence, as everything that cannot be asked for; so is a second change, as objects change once."""
    with serve(world=Bulk({"charges": 50})) as stripe:
        refused = fetch(stripe.url + asked)
        done = fetch(f"{stripe.url}{CHANGE}?table=charges&objects=5")
        again = [fetch(f"{stripe.url}{path}?table=charges&objects=5") for path in (CHANGE, ADD)]

    assert refused[0] == 400 and said in json.loads(refused[1])["error"]["message"]
    assert (done[0], json.loads(done[1])) == (200, {"changed": 5})
    assert [each[0] for each in again] == [400, 400]
    assert all("Objects in bulk change once." in json.loads(each[1])["error"]["message"] for each in again)


@pytest.mark.parametrize("marker", ["auto", "created"])
def test_added_objects_and_their_events_reach_the_copy(marker: str, new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """By the change feed and by a cursor: as many as were added, and all that there are."""
    bulk, pipeline = Bulk({"charges": 2_000, "customers": 5}), new_pipeline()
    with serve(world=bulk) as stripe:
        options: Any = {"tables": "charges;customers", "api_base": stripe.url, "api_key": stripe.api_key, "rate": None,
                        "marker": marker}
        sync(pipeline, **options)
        answer = json.loads(fetch(f"{stripe.url}{ADD}?table=charges&objects=150")[1])
        result = sync(pipeline, **options)
        event = json.loads(fetch(f"{stripe.url}/v1/events?limit=1", stripe.api_key)[1])["data"][0]
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT id, epoch(created)::BIGINT FROM charges")

    assert answer == {"added": 150}
    assert (result.tables["charges"].new, result.tables["customers"].new) == (150, 0)
    assert sorted(bulk.truth("charges")) == sorted((id, created) for id, created in rows or ())
    assert len(rows or ()) == 2_150
    assert event["type"] == "charge.created" and event["data"] == {"object": bulk.object("charges", 2_149)}


@pytest.mark.parametrize("objects", [0, 4])
def test_more_than_there_is_cannot_change(objects: int) -> None:
    """Nor the same table twice."""
    bulk = Bulk({"customers": 3})
    with pytest.raises(InvalidSetting, match="There are 3 objects"):
        bulk.change("customers", objects)
    bulk.change("customers", 3)

    assert [bulk.object("customers", number)["metadata"]["changed"] for number in range(3)] == ["1"] * 3
    for change in (bulk.change, bulk.add):
        with pytest.raises(InvalidSetting, match="change once"):
            change("customers", 1)


# --- the command


def test_the_command_serves_in_bulk(tmp_path: Path) -> None:
    """With what it was told, until Ctrl-C."""
    words = ("sandbox", "serve", "--bulk", "charges=1000", "--bulk", "customers=20", "--spread", "day", "--years", "4",
             "--live", "--latency", "0.01", "--limits", "--port", "0", "--json")
    with subprocess.Popen(ours(*words), cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        page = json.loads(fetch(f"{told['url']}/v1/charges?limit=100", told["api_key"])[1])
        figures = json.loads(fetch(told["url"] + FIGURES)[1])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    same = Bulk({"charges": 1_000}, spread="day", years=4, livemode=True)

    assert [(each["id"], each["created"]) for each in page["data"]] == list(same.truth("charges"))[:-101:-1]
    assert told["api_key"].startswith("sk_live_")
    assert (1, 100) == (figures["requests"], figures["objects"])


@pytest.mark.parametrize(("words", "said"), [
    (["--bulk", "chargs=1"], "Did you mean `charges`?"), (["--bulk", "charges=much"], "like `charges=200000`"),
    (["--bulk", "charges"], "like `charges=200000`"), (["--bulk", "charges=1", "--spread", "evn"], "`even`"),
    (["--bulk", "charges=1", "--years", "0"], "option `years`"), (["--latency", "slow"], "option `latency`"),
    (["--bulk", "charges=1", "--scale", "2"], "does not go with `--bulk`"),
    (["--bulk", "charges=1", "--life", "10s"], "does not go with `--bulk`"), (["--spread", "day"], "add `--bulk`"),
])
def test_the_command_refuses_what_makes_no_sense(tmp_path: Path, words: list[str], said: str) -> None:
    """Exit code 2, and the way out."""
    done = run(tmp_path, *ours("sandbox", "serve", "--port", "0", *words), COLUMNS="400")

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
