"""Answers that are wrong, empty or about something else, and failures that must stay small: no "ok" without reason."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from account import Account
from later import some_later

from stripe_source import sandbox
from stripe_source.errors import ConfigurationError
from stripe_source.load.sync import sync
from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.tables.registry import BY_NAME, TABLES

LINES = "Could not find line items for this Checkout Session. They may be missing for old testmode Checkout Sessions."
OLD_ID = "Old `id` values cannot be used to specify an invoice line item in this API version."
SOURCES = ("The provided key 'rk_test_***abcd' does not have the required permissions for this endpoint on account "
           "'acct_1'. Enabling Sources Read ('source_read') permissions on this key would allow this request.")
UNKNOWN = "Unrecognized request URL (GET: /v1/x). Please see https://stripe.com/docs."


@pytest.fixture
def crowd(new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path) -> Any:
    """An account with more charges than fit on a page."""
    with sandbox.serve(world=Bulk({"charges": 250})) as stripe:
        yield Account(stripe, new_pipeline, tmp_path / "test.duckdb")


def counted(account: Account, table: str = "charges") -> tuple[Any, ...]:
    return account.query(f"SELECT count(*), count(*) FILTER (_deleted) FROM stripe.{table}")[0]


def status(result: Any) -> dict[str, str]:
    return {name: table.status for name, table in result.tables.items()}


# ---- an answer that is not what it seems


@pytest.mark.parametrize("marker", ["auto", None])
def test_a_page_without_objects_that_says_that_there_is_more_is_asked_for_again(
    crowd: Any, hasty: None, marker: str | None
) -> None:
    """It was seen at the real Stripe. Nothing after it is taken for gone, in a first load and in a full pass."""
    crowd.world.faults.add("/v1/charges", wrong="empty", after=2, times=1)
    first = sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=marker))
    crowd.world.faults.clear()
    crowd.world.faults.add("/v1/charges", wrong="empty", after=2, times=1)
    second = sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=marker, mode="initial"))

    assert (status(first), status(second)) == ({"charges": "ok"}, {"charges": "ok"})
    assert counted(crowd) == (250, 0)


def test_a_list_that_stays_empty_in_the_middle_is_no_whole_list(crowd: Any, hasty: None) -> None:
    """The table is named as failed, and no row is flagged; the next run brings the rest."""
    sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=None))
    fault = crowd.world.faults.add("/v1/charges", wrong="empty", query="starting_after")
    result = sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=None))
    fault.remove()

    assert status(result) == {"charges": "failed"} and result.exit_code == 1
    assert "says that there is more" in result.tables["charges"].reason
    assert counted(crowd) == (250, 0)


def test_an_answer_about_another_object_is_asked_for_again(account: Account, hasty: None) -> None:
    """A misrouted 200: the coupon has its new name, and no row of the other object is there."""
    coupon = account.world.create("coupon", name="v1")["id"]
    account.run("coupons")
    account.world.advance(60)
    account.world.update("coupon", coupon, name="v2")
    newest = account.world.books.find("event", account.newest_event())
    newest.data["api_version"] = "2019-05-16"  # so that the object is fetched
    account.world.faults.add(
        f"/v1/coupons/{coupon}", status=200, body='{"object": "customer", "id": "cus_9", "name": "somebody"}', times=1
    )
    account.run("coupons")

    assert account.query(f"SELECT name FROM stripe.coupons WHERE id = '{coupon}'") == [("v2",)]
    assert account.query("SELECT count(*) FROM stripe.coupons WHERE id = 'cus_9'") == [(0,)]
    assert account.differences("coupons") == []


def test_a_page_of_another_list_is_asked_for_again(account: Account, hasty: None) -> None:
    """A misrouted 200 with charges where products were asked for."""
    page = '{"object": "list", "url": "/v1/charges", "has_more": false, "data": [{"id": "ch_9", "object": "charge"}]}'
    account.world.faults.add("/v1/products", status=200, body=page, times=1)
    account.run("products")

    assert account.differences("products") == []
    assert account.query("SELECT count(*) FROM stripe.products WHERE id = 'ch_9'") == [(0,)]


def test_what_a_list_no_longer_shows_is_asked_for_before_it_is_flagged(account: Account, hasty: None) -> None:
    """A list hides an object for once; the object says that it is there. What is gone is flagged all the same."""
    rate, gone = (account.world.create("webhook_endpoint", url=f"https://{name}.example.com")["id"] for name in "ab")
    account.run("webhook_endpoints")
    page = '{"object": "list", "data": [], "has_more": false, "url": "/v1/webhook_endpoints"}'
    account.world.delete("webhook_endpoint", gone)
    account.world.faults.add("/v1/webhook_endpoints", status=200, body=page, times=1)
    result = account.run("webhook_endpoints")

    assert account.query("SELECT id, _deleted FROM stripe.webhook_endpoints WHERE id IN "
                         f"('{rate}', '{gone}') ORDER BY _deleted") == [(rate, False), (gone, True)]
    assert (result.tables["webhook_endpoints"].gone, result.exit_code) == (1, 0)


def test_many_rows_that_a_list_no_longer_shows_are_looked_for_once_more(crowd: Any, hasty: None) -> None:
    """One wrong answer, 250 rows: the list is read a second time, nothing is flagged, and the result says so."""
    sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=None))
    page = '{"object": "list", "data": [], "has_more": false, "url": "/v1/charges"}'
    crowd.world.faults.add("/v1/charges", status=200, body=page, times=1)
    result = sync(crowd.new_pipeline(), **options(crowd, tables="charges", marker=None))

    assert counted(crowd) == (250, 0)
    assert [note for note in result.notes if "250 of 250 rows; read a second time, 0 of them are gone" in note]


def test_a_list_that_filters_by_another_time_than_it_shows_is_read_without_a_filter(account: Account) -> None:
    """Some charges show another `created` than the list goes by: all are loaded, as the spans cannot be trusted."""
    for record in account.world.books.all("charge")[::7]:
        record.data["created"] -= 400 * 86_400
    account.run("charges")

    assert counted(account) == (len([one for one in account.world.dump()["charges"] if not one.deleted]), 0)
    assert [request for request in account.world.requests if request.path == "/v1/charges"][-1].query.count(
        "created") == 0


def test_cards_of_the_older_api_are_gone_when_they_are_detached(account: Account) -> None:
    """Their event shows them without a customer, as if they were there. A payment method proper stays."""
    world, books = account.world, account.world.books
    card, method = [each.id for each in books.all("payment_method") if each.data["customer"]][:2]
    record = books.find("payment_method", card)
    books.collection("payment_method").remove(record)
    old = {**books.to_dict(record), "id": "card_1"}
    world.create("payment_method", **{name: value for name, value in old.items() if name not in ("object",)})
    account.run("payment_methods")
    world.advance(60)
    world.update("payment_method", method, customer=None)
    with account.untold():
        books.collection("payment_method").remove(books.find("payment_method", "card_1"))
    world.emit("payment_method.detached", {**old, "customer": None}, previous={"customer": old["customer"]})
    account.run("payment_methods")

    assert account.query("SELECT id, customer, _deleted FROM stripe.payment_methods WHERE id IN "
                         f"('card_1', '{method}') ORDER BY _deleted") == [
        (method, None, False), ("card_1", old["customer"], True)]


# ---- failures stay small


def test_pages_that_are_cut_are_asked_for_with_fewer_objects(crowd: Any, hasty: None) -> None:
    """Answers of more than 64 kB end in the middle, with status 200: all rows arrive, by smaller pages."""
    crowd.world.faults.add("/v1/charges", cut=65_536)
    result = sync(crowd.new_pipeline(), **options(crowd, tables="charges"))

    assert status(result) == {"charges": "ok"}
    assert counted(crowd) == (250, 0)


def test_an_object_that_cannot_be_read_is_named_and_stepped_over(account: Account, hasty: None) -> None:
    """One customer is too long for what lies between; the others arrive, and it does when it can be read again."""
    world, tables = account.world, "customers;customer_cards"
    big = world.books.all("customer")[20].id
    world.update("customer", big, description="x" * 200_000)
    fault = world.faults.add(r"/v1/customers.*", cut=150_000, query="expand")
    first = account.run(tables)
    here = {id for id, in account.query("SELECT id FROM stripe.customers")}
    asked = account.asked(tables)
    fault.remove()
    last = account.run(tables)

    assert first.exit_code == 1 and set(status(last).values()) == {"ok"}
    assert set(status(first).values()) == {"failed"}
    assert f"/v1/customers/{big}" in asked and "/v1/customers" not in asked
    assert big not in here and len(here) > 50
    assert account.differences("customers;customer_cards") == []


@pytest.mark.parametrize(("query", "url"), [
    ("starting_after", "/v1/customers"), ("starting_after", "/v1/other"), ("^(?!.*starting_after)", "/v1/other"),
])
@pytest.mark.parametrize("marker", some_later(["auto", "id"], ["auto"]))
def test_an_empty_page_ends_no_list_that_was_to_go_on(
    query: str, url: str, marker: str, account: Account, hasty: None
) -> None:
    """Once, a page is empty though the one before says that there is more, or it is a page of another list."""
    account.world.faults.add(
        "/v1/customers", query=query, times=1,
        body=json.dumps({"object": "list", "data": [], "has_more": False, "url": url}),
    )
    result = account.run("customers", marker=marker)

    assert result.exit_code == 0
    assert account.differences("customers") == []


def test_one_bad_parent_does_not_take_the_children_of_others_along(account: Account, hasty: None) -> None:
    """The lines of one old invoice cannot be read. It is named, tried again by itself, and the lists are not."""
    world = account.world
    bad = world.create("invoice", lines=[{"amount": 10 + number} for number in range(30)])["id"]
    fault = world.faults.add(f"/v1/invoices/{bad}/lines", status=400, message=OLD_ID)
    first = account.run("invoices;invoice_line_items")
    world.advance(3_600)
    asked = account.asked("invoices;invoice_line_items")
    fault.remove()
    last = account.run("invoices;invoice_line_items")

    assert (status(first)["invoice_line_items"], status(first)["invoices"]) == ("failed", "ok")
    assert bad in first.tables["invoice_line_items"].reason and first.exit_code == 1
    assert "/v1/invoices" not in asked and f"/v1/invoices/{bad}" in asked
    assert last.exit_code == 0
    assert account.differences("invoices;invoice_line_items") == []


def test_a_list_of_children_that_is_not_there_is_empty(account: Account, hasty: None) -> None:
    """Old sessions of test mode have no lines: 404, without a code. The table is whole, and the feed goes on."""
    tables, world = "checkout_sessions;checkout_session_line_items", account.world
    old = world.books.all("checkout.session")[0].id
    world.faults.add("/v1/checkout/sessions", status=400, query="expand.*line_items",
                     message="This property cannot be expanded (line_items).")
    world.faults.add(f"/v1/checkout/sessions/{old}/line_items", status=404, message=LINES)
    result = account.run(tables)
    kept = {id for id, in account.query("SELECT DISTINCT checkout_session_id FROM stripe.checkout_session_line_items")}
    asked = account.asked(tables)

    assert result.exit_code == 0, result.tables
    assert old not in kept and len(kept) == len(world.books.all("checkout.session")) - 1
    assert asked.count("/v1/checkout/sessions") <= 3  # those that are open are watched, for once with the expansion


def test_a_permission_that_a_refusal_names_in_the_newer_way_costs_one_expansion(account: Account) -> None:
    """The key lacks sources only; tax ids, which come with the same customers, are loaded."""
    account.world.faults.add(r"/v1/customers.*", status=403, query="expand.*sources", message=SOURCES,
                             code="more_permissions_required")
    result = account.run("customers;customer_cards;tax_ids")

    assert status(result) == {"customers": "ok", "customer_cards": "no permission", "tax_ids": "ok"}
    assert account.differences("customers;tax_ids") == []


def test_a_permission_that_a_refusal_does_not_name_costs_one_expansion(account: Account) -> None:
    """What is refused is found out by asking for one object with each expansion."""
    account.world.faults.add(r"/v1/customers.*", status=403, query="expand.*sources", message="You may not.")
    result = account.run("customers;customer_cards;tax_ids")

    assert status(result) == {"customers": "ok", "customer_cards": "no permission", "tax_ids": "ok"}
    assert account.differences("customers;tax_ids") == []


def test_a_feed_that_fails_for_a_while_makes_nobody_read_everything(account: Account, hasty: None) -> None:
    """The tables that go by it fail, and keep their place; the others are read. The next run catches up."""
    tables = "customers;products;webhook_endpoints"
    account.run(tables)
    account.world.update("customer", account.world.books.all("customer")[0].id, name="New")
    fault = account.world.faults.add("/v1/events", status=500)
    first = len(account.world.requests)
    result = account.run(tables)
    asked = {request.path for request in account.world.requests[first:]}
    fault.remove()
    account.run(tables)

    assert status(result) == {"customers": "failed", "products": "failed", "webhook_endpoints": "ok"}
    assert asked == {"/v1/account", "/v1/events", "/v1/webhook_endpoints"}
    assert account.differences("customers;products") == []


def test_a_list_that_this_stripe_does_not_know_is_no_failure(account: Account) -> None:
    """404 "Unrecognized request URL": named, with exit code 0. Where nothing is known, `api_base` is wrong."""
    fault = account.world.faults.add("/v1/climate/orders", status=404, message=UNKNOWN)
    result = account.run("climate_orders;customers")
    fault.remove()
    account.world.faults.add(status=404, message=UNKNOWN)

    assert (status(result), result.exit_code) == ({"climate_orders": "not enabled", "customers": "ok"}, 0)
    with pytest.raises(ConfigurationError, match="What answers there is not Stripe's API"):
        account.run("climate_orders;customers")


def test_a_list_of_children_that_this_stripe_does_not_know_is_asked_for_once(account: Account) -> None:
    """Not for every parent."""
    account.world.faults.add("/v1/customers/.*/balance_transactions", status=404, message=UNKNOWN)
    asked = account.asked("customers;customer_balance_transactions")

    assert len([path for path in asked if path.endswith("/balance_transactions")]) == 1
    assert account.differences("customers") == []


def test_an_expansion_that_this_stripe_does_not_know_is_left_out(account: Account) -> None:
    """The table is loaded without it, and what is only found there is named."""
    account.world.faults.add(r"/v1/customers.*", status=400, query="expand.*tax_ids",
                             message="This property cannot be expanded (tax_ids).")
    result = account.run("customers;tax_ids;customer_cards")

    assert status(result)["customers"] == status(result)["customer_cards"] == "ok"
    assert account.differences("customers;customer_cards") == []


# ---- what no event says


def test_what_stripe_removes_of_test_data_goes_with_what_hangs_on_it(account: Account) -> None:
    """A subscription of test mode is removed 30 days after it ended, with its items and invoices, without any event."""
    tables, world = "subscriptions;subscription_items;invoices;invoice_line_items", account.world
    ended = next(
        each.data["parent"]["subscription_details"]["subscription"] for each in world.books.all("invoice")
        if (each.data.get("parent") or {}).get("subscription_details"))
    account.run(tables)
    world.advance(60)
    world.delete("subscription", ended)
    account.run(tables)
    asked_for_it = []
    for seconds in (15 * 86_400, 15 * 86_400 + 3_600, 60):  # the last run is on the day of the one before
        world.advance(seconds)
        first = len(world.requests)
        account.run(tables)
        asked_for_it.append(sum(ended in request.path for request in world.requests[first:]))
    invoices = [each.id for each in world.books.all("invoice")
                if ((each.data.get("parent") or {}).get("subscription_details") or {}).get("subscription") == ended]
    with account.untold():
        for kind, ids in (("invoice", invoices), ("subscription", [ended])):
            for id in ids:
                world.books.collection(kind).remove(world.books.find(kind, id))
    world.advance(86_400)
    account.run(tables)

    assert asked_for_it == [0, 1, 0]
    assert account.query(f"SELECT _deleted FROM stripe.subscriptions WHERE id = '{ended}'") == [(True,)]
    assert account.query(f"SELECT DISTINCT _deleted FROM stripe.subscription_items WHERE subscription_id = '{ended}'"
                         ) == [(True,)]
    assert account.query("SELECT DISTINCT _deleted FROM stripe.invoices WHERE "
                         f"parent__subscription_details__subscription = '{ended}'") == [(True,)]
    assert account.query("SELECT count(*) FROM stripe.subscriptions WHERE NOT _deleted") > [(0,)]


def test_payment_methods_that_their_list_does_not_show_are_read_by_customer(account: Account) -> None:
    """Stripe's documents differ in what the bare list holds. Others name what it lacks; nothing is flagged by it."""
    world = account.world
    customers = [one for one in world.dump()["customers"] if one.listed and not one.deleted]
    listed = {one.object["id"] for one in customers if not one.object["test_clock"]}
    attached = {each.id for each in world.books.all("payment_method") if each.data["customer"] in listed}
    account.run("payment_methods;customers")
    page = '{"object": "list", "data": [], "has_more": false, "url": "/v1/payment_methods"}'
    world.faults.add("/v1/payment_methods", status=200, body=page, query=r"^(?!.*=custom)")
    account.file.unlink()
    empty = account.run("payment_methods;customers", mode="initial")
    loaded = {id for id, in account.query("SELECT id FROM stripe.payment_methods WHERE NOT _deleted")}
    again = account.run("payment_methods;customers", mode="initial")

    assert attached <= loaded
    assert "so it was read customers by customers" in empty.tables["payment_methods"].reason
    assert again.tables["payment_methods"].gone == 0


@pytest.mark.parametrize("table", some_later(
    [each.name for each in TABLES if each.named_by and not each.owners_list], ("customers", "transfers")))
def test_an_empty_list_whose_objects_others_name_is_no_empty_table(table: str, account: Account) -> None:
    """Nothing is flagged by it, and the result says which object it lacks, of how ever many it is true."""
    world, path = account.world, BY_NAME[table].path or ""
    paid_on = world.dump()["transfers"][0].object["id"]
    world.create("charge", amount=100, currency="usd", transfer=paid_on)  # no other charge of the sandbox names one
    held = account.run(table).tables[table].new
    page = f'{{"object": "list", "data": [], "has_more": false, "url": "{path}"}}'
    world.faults.add(path, status=200, body=page)
    world.advance(3_600)
    empty = account.run(table, mode="initial").tables[table]

    assert held > 0
    assert (empty.gone, empty.status) == (0, "ok")
    assert re.search(r"its list does not show `\w+`: it is not whole, so no row is taken for deleted", empty.reason)


def test_what_came_a_moment_ago_is_rightly_in_no_list(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """A charge names a customer that was made after the list was read: the list is whole all the same."""
    page = '{"object": "list", "data": [], "has_more": false, "url": "/v1/customers"}'
    with sandbox.serve(world=sandbox.World(empty=True)) as stripe:
        customer = stripe.world.create("customer")["id"]
        stripe.world.create("charge", amount=100, currency="usd", customer=customer)
        stripe.world.faults.add("/v1/customers", status=200, body=page)
        given: Any = {"tables": "customers", "api_base": stripe.url, "api_key": stripe.api_key, "mode": "initial"}
        now = sync(new_pipeline(), **given).tables["customers"]
        stripe.world.advance(3_600)
        later = sync(new_pipeline(), **given).tables["customers"]

    assert (now.reason, now.status) == ("", "ok")
    assert customer in later.reason


def test_a_run_with_a_bound_loses_no_change_of_what_is_older(account: Account) -> None:
    """A job with a moving `start` on a table that is loaded whole: later runs without it still bring every change."""
    world = account.world
    account.run("customers")
    world.advance(60)
    world.update("customer", world.books.all("customer")[0].id, name="Changed")
    world.delete("customer", world.books.all("customer")[1].id)
    account.run("customers", start=world.now - 3_600)
    world.advance(60)
    account.run("customers")

    assert account.differences("customers") == []


def test_an_id_that_people_use_again_is_no_marker(account: Account) -> None:
    """A coupon was deleted and made again under its id: what came between is not skipped."""
    world = account.world
    world.create("coupon", id="GOLD")
    world.advance(86_400)
    account.run("coupons", marker="id")
    world.delete("coupon", "GOLD")
    world.advance(86_400)
    between = world.create("coupon", id="SILVER")["id"]
    world.advance(86_400)
    world.create("coupon", id="GOLD", name="Another")
    account.run("coupons", marker="id")

    assert account.query(f"SELECT count(*) FROM stripe.coupons WHERE id = '{between}'") == [(1,)]


def options(account: Any, **more: Any) -> dict[str, Any]:
    return {"api_base": account.stripe.url, "api_key": account.stripe.api_key, **more}


class Killed(BaseException):
    """A process that ended in the middle."""


def test_children_that_failed_before_a_first_load_was_cut_are_tried_again(
    account: Account, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of an old invoice cannot be read, and the run is killed: what goes on knows it, and does not say ok."""
    world, tables = account.world, "invoices;invoice_line_items"
    for number in range(250):
        world.create("invoice", lines=[{"amount": number}])
    bad = world.create("invoice", lines=[{"amount": 10 + number} for number in range(30)])["id"]
    fault = world.faults.add(f"/v1/invoices/{bad}/lines", status=400, message=OLD_ID)
    load, held = dlt.Pipeline.load, 0

    def killed(pipeline: Any, *given: Any, **options: Any) -> Any:
        nonlocal held
        done = load(pipeline, *given, **options)
        rows = pipeline.default_schema.tables.keys() >= {"invoices"} and pipeline.dataset().invoices.fetchall()
        if rows and not held:
            held = len(rows)
            raise Killed
        return done

    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 20)
    monkeypatch.setattr("stripe_source.extract.channel.ROWS_AHEAD", 20)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)
    monkeypatch.setattr(dlt.Pipeline, "load", killed)
    with pytest.raises(Killed):
        account.run(tables)
    fault.remove()
    goes_on, last = account.run(tables), account.run(tables)

    assert 0 < held < account.query("SELECT count(*) FROM stripe.invoices")[0][0]
    assert bad in goes_on.tables["invoice_line_items"].reason
    assert status(goes_on) == {"invoices": "ok", "invoice_line_items": "failed"}
    assert status(last) == {"invoices": "ok", "invoice_line_items": "ok"}
    assert account.differences(tables) == []
