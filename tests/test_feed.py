"""Changes: what Stripe's events tell, what they do not, and what becomes of gaps, ties and versions."""
from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any

import dlt
import duckdb
import pytest
from account import Account
from later import later
from truth import differences

from stripe_source import sandbox
from stripe_source.errors import MixedData
from stripe_source.extract.changes.events import newest_event, object_before
from stripe_source.extract.changes.seen import NotedEvents, SeenEvents
from stripe_source.sandbox.state.faults import Lag
from stripe_source.source import stripe_source
from stripe_source.tables.registry import TABLES


@pytest.fixture
def account(small: Any, new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path) -> Account:
    return Account(small, new_pipeline, tmp_path / "test.duckdb")


# ---- what it costs


def test_nothing_changed_costs_next_to_nothing(account: Account) -> None:
    """Nothing is written again. At most 25 requests, and one for each table that can only be listed.

    No list of a table with events is read. The destination is asked five times: about the tables, and whether another
    process loads them.
    """
    account.run()
    before = account.rows()
    again = account.run()  # what happened just before the first run is seen once more by this one
    after = account.rows()
    soon = account.run()
    account.world.advance(3_600)
    first = len(account.world.requests)
    result = account.run()
    asked = [request.path for request in account.world.requests[first:]]
    only_listed = [table for table in TABLES if table.default and table.marker is None]

    assert {(t.new, t.changed, t.gone) for t in again.tables.values()} == {(0, 0, 0)}
    assert after == before
    assert len(asked) <= 25 + len(only_listed)
    assert not {"/v1/customers", "/v1/charges", "/v1/invoices", "/v1/subscriptions"} & set(asked)
    assert asked.count("/v1/events") == 1
    assert max(soon.statements, result.statements) <= 5


def test_many_objects_in_an_older_version_are_read_from_pages_of_their_list(account: Account) -> None:
    """Their events do not suffice. A hundred come with one request; one that was deleted is asked for by itself."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(600)]
    account.run("customers")
    account.world.event_version = "2024-06-20"
    for id in ids[:-1]:
        account.world.update("customer", id, name="Somebody else")
    account.world.update("customer", ids[-1], name="Going")
    account.world.delete("customer", ids[-1])
    account.world.advance(3_600)
    asked = account.asked("customers")

    assert account.differences("customers") == []
    assert account.query("SELECT count(*) FROM stripe.customers WHERE name = 'Somebody else'") == [(599,)]
    assert asked.count("/v1/customers") <= 8
    assert len([path for path in asked if path.startswith("/v1/customers/")]) <= 2


def test_a_few_objects_far_apart_are_asked_for_one_by_one(account: Account) -> None:
    """Pages between them would cost more than they hold."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(1_500)]
    account.run("customers")
    account.world.event_version = "2024-06-20"
    for id in ids[::25]:
        account.world.update("customer", id, name="Somebody else")
    account.world.advance(3_600)
    asked = account.asked("customers")

    assert account.differences("customers") == []
    assert asked.count("/v1/customers") <= 4
    assert len([path for path in asked if path.startswith("/v1/customers/")]) >= 45


@pytest.mark.parametrize("passes", [later(0), 3_600])
def test_a_thousand_changes_cost_ten_pages_of_events(account: Account, passes: int) -> None:
    """Payloads suffice: no customer is asked for again, whether or not a second has passed since they were made."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(1_000)]
    account.run("customers;products")
    idle = len(account.asked("customers;products"))
    account.world.advance(passes)
    for id in ids:
        account.world.update("customer", id, name="Somebody else")
    asked = account.asked("customers;products")

    assert account.differences("customers;products") == []
    assert len(asked) <= idle + 30


# ---- what is kept of events that were seen


def seen_events(number: int, seconds: int) -> list[dict[str, Any]]:
    """Events, newest first, evenly over some seconds."""
    return [{"id": f"evt_{place}", "created": 1_700_000_000 - place * seconds // number} for place in range(number)]


def kept(events: list[dict[str, Any]]) -> str:
    noted = NotedEvents(0)
    noted.add(events)
    return noted.text()


@pytest.mark.parametrize(("number", "seconds"), [(0, 1), (1, 1), (2_000, 600), (12_000, 600), (100_000, 600)])
def test_what_was_seen_is_known_to_the_next_run(number: int, seconds: int) -> None:
    """All of it, and nothing else; one by one where it is little, and else second by second."""
    events = seen_events(number, seconds)
    seen = SeenEvents(kept(events))
    others = [{"id": "evt_later", "created": 1_700_000_001}, {"id": "evt_older", "created": 1_600_000_000}]

    assert seen.among([*others, *events]) == {event["id"] for event in events}


def test_an_event_that_comes_late_makes_its_second_unknown_where_there_were_many() -> None:
    """What shares the second is looked at once more; all else is known."""
    events = seen_events(12_000, 600)
    late = {"id": "evt_late", "created": events[6_000]["created"]}
    same = {event["id"] for event in events if event["created"] == late["created"]}

    assert SeenEvents(kept(events)).among([late, *events]) == {event["id"] for event in events} - same
    assert SeenEvents(kept(events[:1_000])).among([late, *events[:1_000]]) == {e["id"] for e in events[:1_000]}


@pytest.mark.parametrize(("number", "seconds"), [(2_000, 600), (12_000, 600), (200_000, 600), (50_000, 40_000)])
def test_the_state_fits_into_65535_characters(number: int, seconds: int) -> None:
    """Redshift's longest text; as dlt packs it, beside the positions of all tables."""
    positions = {table.name: {"position": 1_700_000_000 + place, "last_full_read": 1_690_000_000 + place, "version": 1}
                 for place, table in enumerate(TABLES)}
    state = json.dumps({"feed": {"at": 1_700_000_000, "seen": kept(seen_events(number, seconds))}, "r": positions})

    assert len(base64.b64encode(zlib.compress(state.encode(), 9))) < 65_535


def test_marks_of_an_earlier_release_are_known() -> None:
    """A list of 11 characters each."""
    assert SeenEvents(["1lmuzTGlP0k"]).among([{"id": "evt_1", "created": 1}, {"id": "evt_2", "created": 1}]) == {
        "evt_1"}


def test_nothing_is_applied_twice_where_seconds_are_remembered(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run asks for nothing again, but for what shares a second with a late event."""
    monkeypatch.setattr("stripe_source.extract.changes.seen.MOST_EVENTS", 0)
    id = account.world.create("customer", name="Before")["id"]
    account.run("customers;products")
    account.world.update("customer", id, name="After")
    account.world.update("product", account.world.create("product", name="New")["id"], name="Newer")
    account.run("customers;products")
    result = account.run("customers;products")
    account.world.update("customer", id, name="At last")
    account.run("customers;products")

    assert {(each.new, each.changed) for each in result.tables.values()} == {(0, 0)}
    assert account.differences("customers;products") == []


# ---- what events tell


def test_the_newest_of_several_versions_counts(account: Account) -> None:
    """Five versions in three seconds: the copy has the last one, once."""
    account.run("customers")
    id = account.world.create("customer", name="0")["id"]
    for number in range(1, 6):
        account.world.advance(number % 2)
        account.world.update("customer", id, name=str(number))
    result = account.run("customers")

    assert account.query(f"SELECT name FROM stripe.customers WHERE id = '{id}'") == [("5",)]
    assert (result.tables["customers"].new, result.tables["customers"].changed) == (1, 0)


def test_a_canceled_subscription_is_not_deleted(account: Account) -> None:
    """`customer.subscription.deleted` is Stripe's word for canceled."""
    account.run("subscriptions;subscription_items")
    id = next(s.id for s in account.world.books.all("subscription") if s.data["status"] == "active")
    account.world.delete("subscription", id)
    account.run("subscriptions;subscription_items")

    assert account.query(f"SELECT status, _deleted FROM stripe.subscriptions WHERE id = '{id}'") == [
        ("canceled", False)
    ]
    assert account.differences("subscriptions;subscription_items") == []


@pytest.mark.parametrize("stubs", [False, True])
def test_a_deleted_customer_keeps_its_last_values(account: Account, stubs: bool) -> None:
    """Whatever the event carries; its cards and tax numbers go with it, flagged at the time of the event."""
    customer = account.world.create("customer", name="Ada", email="ada@example.com")["id"]
    card = account.world.create("card", customer=customer)["id"]
    account.run("customers;customer_cards;tax_ids")
    account.world.faults.deleted_stubs = stubs
    account.world.advance(100)
    account.world.delete("customer", customer)
    when = datetime.fromtimestamp(account.world.now, timezone.utc)
    result = account.run("customers;customer_cards;tax_ids")

    last = account.query(f"SELECT name, email, _deleted, _deleted_at FROM stripe.customers WHERE id = '{customer}'")
    assert last == [("Ada", "ada@example.com", True, when)]
    assert account.query(f"SELECT customer_id, _deleted FROM stripe.customer_cards WHERE id = '{card}'") == [
        (customer, True)
    ]
    assert (result.tables["customers"].gone, result.tables["customer_cards"].gone) == (1, 1)
    assert account.differences("customers;customer_cards;tax_ids") == []


def test_hard_deletes_remove_the_row_and_its_children(account: Account) -> None:
    """With `deletes="hard"`, what came and went between two runs leaves no trace either."""
    customer = account.world.create("customer")["id"]
    account.world.create("card", customer=customer)
    account.run("customers;customer_cards", deletes="hard")
    account.world.delete("customer", customer)
    account.world.delete("customer", account.world.create("customer")["id"])
    account.run("customers;customer_cards", deletes="hard")

    assert account.query("SELECT count(*) FROM stripe.customers WHERE _deleted") == [(0,)]
    assert account.query(f"SELECT count(*) FROM stripe.customer_cards WHERE customer_id = '{customer}'") == [(0,)]
    assert account.differences("customers;customer_cards") == []


def test_an_id_may_come_back(account: Account) -> None:
    """A product with an id of one's own is deleted and made again, in one second."""
    account.world.create("product", id="prod_mine", name="First")
    account.run("products")
    account.world.delete("product", "prod_mine")
    account.world.create("product", id="prod_mine", name="Second")
    account.run("products")

    assert account.query("SELECT name, _deleted FROM stripe.products WHERE id = 'prod_mine'") == [("Second", False)]


def test_children_are_compared_with_what_the_parent_has_now(account: Account) -> None:
    """A subscription item that was removed has no event: it is flagged because its subscription's set lacks it."""
    subscription = account.world.create("subscription")["id"]
    more = [account.world.create("subscription_item", subscription=subscription)["id"] for _ in range(12)]
    account.run("subscriptions;subscription_items")
    account.world.delete("subscription_item", more[3])
    account.run("subscriptions;subscription_items")

    assert account.query(f"SELECT _deleted FROM stripe.subscription_items WHERE id = '{more[3]}'") == [(True,)]
    assert account.differences("subscriptions;subscription_items") == []


def test_an_event_in_another_version_is_only_a_hint(account: Account) -> None:
    """The object is asked for in our version; nothing of the old shape gets into the table."""
    account.run("subscriptions;invoices")
    columns = account.query("SELECT column_name FROM information_schema.columns WHERE table_name = 'subscriptions'")
    account.world.event_version = "2024-06-20"
    made = account.world.create("subscription")["id"]
    asked = account.asked("subscriptions;invoices")

    assert f"/v1/subscriptions/{made}" in asked
    assert account.differences("subscriptions;invoices") == []
    assert account.query(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'subscriptions'"
    ) == columns


def test_events_that_carry_something_else_change_nothing(account: Account) -> None:
    """The preview of an invoice, a balance, an application: no row comes of them but in `events`."""
    account.run("customers;invoices;events")
    before_ = account.query("SELECT count(*) FROM stripe.invoices")
    for type in ("invoice.upcoming", "balance.available", "account.application.deauthorized", "capability.updated"):
        account.world.emit(type)
    result = account.run("customers;invoices;events")

    assert result.tables["events"].new >= 4
    assert account.query("SELECT count(*) FROM stripe.invoices") == before_


def test_a_refund_of_a_fee_tells_of_its_fee(account: Account) -> None:
    """`application_fee.refund.updated` carries the refund; the fee and its refunds are asked for."""
    fee = account.world.populate("application_fees", 1)[0]["id"]
    account.run("application_fees;application_fee_refunds")
    account.world.populate("application_fee_refunds", 1, parent=fee)
    account.run("application_fees;application_fee_refunds")

    assert account.differences("application_fees;application_fee_refunds") == []


# ---- what they do not tell


def test_transactions_turn_available_without_an_event(account: Account) -> None:
    """The rows whose time has come are read again, and no others: nothing is listed while none is due."""
    account.run("balance_transactions;charges")
    account.world.create("charge", amount=5_000)
    account.run("balance_transactions;charges")
    account.world.advance(10 * 86_400)
    account.run("balance_transactions;charges")
    pending = account.query("SELECT count(*) FROM stripe.balance_transactions WHERE status = 'pending'")
    quiet = account.asked("balance_transactions;charges")

    assert account.differences("balance_transactions;charges") == []
    assert pending == [(0,)]
    assert quiet.count("/v1/balance_transactions") == 1


def test_what_shows_a_changed_price_changes_with_it(account: Account) -> None:
    """Subscription items hold their price whole, and nobody says when it changes there."""
    tables = "subscriptions;subscription_items;prices"
    account.run(tables)
    price = next(each.data["price"] for each in account.world.books.all("subscription_item"))
    account.world.advance(60)
    account.world.update("price", price, nickname="Renamed")
    account.run(tables)

    shown = account.query(
        f"SELECT DISTINCT price__nickname FROM stripe.subscription_items WHERE price__id = '{price}' AND NOT _deleted"
    )
    assert shown == [("Renamed",)]


def test_open_checkouts_and_pending_items_are_watched(account: Account) -> None:
    """They change without any event: each run reads the lists of those that may."""
    tables = "checkout_sessions;checkout_session_line_items;invoice_items"
    session = account.world.create("checkout.session")["id"]
    item = account.world.create("invoiceitem")["id"]
    account.run(tables)
    account.world.update("checkout.session", session, metadata={"seat": "7"})
    account.world.update("invoiceitem", item, description="Changed")
    result = account.run(tables)

    assert (result.tables["checkout_sessions"].changed, result.tables["invoice_items"].changed) == (1, 1)
    assert account.differences("checkout_sessions;checkout_session_line_items;invoice_items") == []


# ---- gaps


def test_away_for_forty_days(account: Account) -> None:
    """Stripe keeps events for 30 days: tables with a gap are read whole, the run says so, and it is no failure."""
    tables = "customers;products;events"
    account.run(tables)
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.advance(40 * 86_400)
    result = account.run(tables)

    assert account.differences("customers;products") == []
    assert result.exit_code == 0
    assert ["40 days ago" in note and "customers, products" in note for note in result.notes] == [True]


def test_a_table_added_later_is_read_whole(account: Account) -> None:
    """It does not inherit the position of the others, which are not read again for it."""
    account.run("customers;products")
    account.world.advance(86_400)
    asked = account.asked("customers;products;refunds", resync=None)

    assert account.differences("customers;products;refunds") == []
    assert Counter(asked)["/v1/customers"] == 0
    assert Counter(asked)["/v1/refunds"] >= 1


def test_a_table_left_out_for_a_while_catches_up(account: Account) -> None:
    """What the others have seen meanwhile is not taken for applied to it."""
    account.run("customers;products")
    account.world.create("product", name="While nobody looked")
    account.run("customers")
    account.run("customers;products")

    assert account.differences("customers;products") == []


def test_children_left_out_for_a_while_catch_up(account: Account) -> None:
    """Their parents' events were seen and applied to the parents meanwhile (found by the soak)."""
    subscription = account.world.create("subscription")["id"]
    account.run("subscriptions;subscription_items")
    account.world.create("subscription_item", subscription=subscription)
    account.run("subscriptions")
    account.run("subscriptions;subscription_items")

    assert account.differences("subscriptions;subscription_items") == []


def test_a_bound_on_events_is_no_bound_on_changes(account: Account) -> None:
    """`events` comes later, and from a day on only: what happened to customers before that day arrives all the same."""
    account.run("customers")
    account.world.create("customer", name="Early")
    account.world.advance(5 * 86_400)
    account.run("customers;events", start=account.world.now - 86_400)
    account.run("customers;events")

    assert account.differences("customers") == []


@pytest.mark.soak
def test_prices_left_out_for_weeks_keep_what_no_list_shows(account: Account) -> None:
    """Inline prices are found where they are shown: tables that are up to date are read whole for them."""
    tables = "subscriptions;subscription_items;invoice_items;invoice_line_items;invoices"
    account.run(f"{tables};prices")
    for _ in range(2):
        account.world.advance(20 * 86_400)
        account.run(tables)
    account.run(f"{tables};prices")
    hidden = {each.id for each in account.world.books.all("price") if each.hidden}
    shown = {row[0] for row in account.query("SELECT price__id FROM stripe.subscription_items WHERE NOT _deleted")}

    assert hidden & shown
    flagged = {row[0] for row in account.query("SELECT id FROM stripe.prices WHERE _deleted")}
    assert (hidden & shown) & flagged == set()


def test_a_refused_feed_is_no_obstacle(account: Account) -> None:
    """A key without the permission for events: tables are read whole, deletions included, and the run says why."""
    account.stripe.api_key = account.world.restricted_key(["rak_customer_read", "rak_product_read"])
    account.run("customers;products")
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.create("product", name="New")
    result = account.run("customers;products")

    assert account.differences("customers;products", "self") == []  # nor may the key know whose it is
    assert result.exit_code == 0 and "list of events cannot be read" in " ".join(result.notes)


def test_no_events_at_all_are_no_obstacle(account: Account, hasty: None) -> None:
    """A server without the list: tables are read whole."""
    account.run("customers;products")
    fault = account.world.faults.add(path="/v1/events", status=404)
    account.world.create("product", name="New")
    result = account.run("customers;products")
    fault.remove()

    assert account.differences("customers;products") == []
    assert result.exit_code == 0 and "list of events cannot be read" in " ".join(result.notes)


def test_a_broken_object_is_the_trouble_of_its_table(account: Account, hasty: None) -> None:
    """What could not be asked for again is not forgotten: the next run has it."""
    account.run("customers;coupons")
    made = account.world.create("coupon", percent_off=15.0)["id"]
    account.world.create("customer", name="Grace")
    fault = account.world.faults.add(path=f"/v1/coupons/{made}", status=500)
    result = account.run("customers;coupons")
    fault.remove()
    assert (result.tables["customers"].status, result.tables["coupons"].status) == ("ok", "failed")

    assert account.run("customers;coupons").exit_code == 0
    assert account.differences("customers;coupons") == []


def test_what_may_not_be_expanded_does_not_make_customers_be_listed(account: Account) -> None:
    """A key without sources: their tables say so in every run, and customers still go by the feed."""
    account.stripe.api_key = account.world.restricted_key(["rak_customer_read", "rak_event_read"])
    account.run("customers;customer_cards")
    account.world.create("customer", name="New")
    first = len(account.world.requests)
    result = account.run("customers;customer_cards")
    pages = [r for r in account.world.requests[first:] if r.path == "/v1/customers" and "limit=100" in r.query]

    assert (result.tables["customers"].status, result.tables["customer_cards"].status) == ("ok", "no permission")
    assert pages == []
    assert account.differences("customers", "self") == []


# ---- delays


def test_lists_and_events_that_are_behind(account: Account) -> None:
    """New objects appear late, changed ones in their old state, events out of order: in the end nothing is lost."""
    tables = "customers;products;payment_methods"
    account.world.faults.lag = Lag(events=300, lists=300)
    for number in range(40):
        account.world.live(5)
        account.world.advance(7 * (number % 9))
        if number % 8 == 0:
            account.run(tables, mode="initial" if number == 16 else "auto")
    account.world.advance(300)
    account.run(tables)

    assert account.differences(tables) == []


def test_life_goes_on_while_the_first_load_reads(account: Account) -> None:
    """The position in the feed is taken before the first list."""
    tables = "customers;subscriptions;subscription_items;invoices;invoice_line_items"
    account.world.on_request = lambda number: account.world.live(2)
    account.run(tables)
    account.world.on_request = None
    account.run(tables)

    assert account.differences(tables) == []


# ---- deciding


def _event(data: dict[str, Any], previous: dict[str, Any] | None = None, type: str = "customer.updated") -> Any:
    return {"type": type, "data": {"object": data, **({"previous_attributes": previous} if previous else {})}}


def test_events_of_one_second_are_told_apart_by_what_they_changed() -> None:
    """Each but the last left the object as another one found it; in a circle, or with a gap, nobody can tell."""
    one = _event({"id": "c", "name": "A"}, type="customer.created")
    two = _event({"id": "c", "name": "B"}, {"name": "A"})
    three = _event({"id": "c", "name": "C"}, {"name": "B"})
    back = _event({"id": "c", "name": "A"}, {"name": "B"})
    gone = _event({"id": "c", "name": "C"}, type="customer.deleted")

    assert newest_event([two, one, three]) is three
    assert newest_event([three, two]) is three
    assert newest_event([two, back]) is None
    assert newest_event([one, three]) is None
    assert newest_event([gone, three]) is None
    assert newest_event([two, _event({"id": "c", "name": "B"}, {"name": "A"})]) is two
    assert newest_event([_event({"id": "c", "name": "A"}, type="customer.deleted"), two]) is None
    assert object_before(three) == {"id": "c", "name": "B"}


# ---- the resources


def test_changes_is_a_resource_without_rows(account: Account) -> None:
    """It stands beside the tables, is no table of the dataset, and leaving it out does no harm."""
    options = {"api_base": account.stripe.url, "api_key": account.stripe.api_key}
    pipeline = account.new_pipeline()
    pipeline.run(stripe_source(tables="customers", **options))
    account.world.create("customer", name="Later")
    pipeline.run(stripe_source(tables="customers", **options).with_resources("customers"))

    assert list(stripe_source(tables="customers", **options).resources) == ["customers", "changes"]
    assert "changes" not in pipeline.default_schema.tables
    assert account.differences("customers") == []


# ---- history


def test_every_version_is_kept_on_request(account: Account) -> None:
    """Versions from the first load, between two runs, and the end of what is deleted; one open version per row."""
    options: dict[str, Any] = {"history": ["customers"]}
    id = account.world.create("customer", name="One")["id"]
    other = account.world.create("customer", name="Other")["id"]
    made = account.world.now
    account.run("customers", **options)
    for name in ("Two", "Three"):
        account.world.advance(60)
        account.world.update("customer", id, name=name)
    account.run("customers", **options)
    account.run("customers", **options)
    account.world.advance(60)
    account.world.update("customer", id, name="Four")
    account.world.delete("customer", other)
    account.run("customers", **options)

    def told(which: str) -> list[tuple[Any, ...]]:
        return account.query(
            f"SELECT name, epoch(_valid_from)::BIGINT - {made}, epoch(_valid_to)::BIGINT - {made}"
            f" FROM stripe.customers_history WHERE id = '{which}' ORDER BY _valid_from"
        )

    assert told(id) == [("One", 0, 60), ("Two", 60, 120), ("Three", 120, 180), ("Four", 180, None)]
    assert told(other) == [("Other", 0, 180)]
    assert account.query(
        "SELECT count(*) FROM stripe.customers_history WHERE _valid_to IS NULL"
    ) == account.query("SELECT count(*) FROM stripe.customers WHERE NOT _deleted")


def test_history_begun_later_starts_with_what_is_there(account: Account) -> None:
    """A table that was loaded before has a version of each row from then on."""
    account.run("products")
    account.run("products", history=["products"])

    assert account.query("SELECT count(DISTINCT id), count(*) FROM stripe.products_history") == [
        account.query("SELECT count(*), count(*) FROM stripe.products")[0]
    ]
    assert sandbox.World(empty=True).dump()["products"] == []


# ---- never backwards


class Longest(Random):
    """Every delay is as long as it may be."""

    def randint(self, a: int, b: int) -> int:
        return b


def test_when_a_version_came_to_be_is_told(account: Account) -> None:
    """`_changed_at` is when a list or an object was read, or when the event happened that carried the object."""
    read, told = account.world.create("customer")["id"], account.world.create("customer")["id"]
    coupon = account.world.create("coupon", percent_off=5.0)["id"]
    start = account.world.now
    account.run("customers;coupons")
    account.world.advance(100)
    account.world.update("customer", told, name="Told")
    account.world.update("coupon", coupon, name="Asked for, because the event lacks what is expanded")
    account.world.advance(50)
    account.run("customers;coupons")
    at = dict(account.query(
        f"SELECT id, epoch(_changed_at)::BIGINT - {start} FROM stripe.customers"
        f" UNION ALL SELECT id, epoch(_changed_at)::BIGINT - {start} FROM stripe.coupons"
    ))

    assert (at[read], at[told], at[coupon]) == (0, 100, 150)


def test_events_that_were_applied_are_not_applied_again(account: Account) -> None:
    """The overlap of two runs is read twice; what had to be asked for is asked for once."""
    account.run("coupons")
    made = account.world.create("coupon", percent_off=15.0)["id"]
    account.world.advance(60)
    first = account.asked("coupons").count(f"/v1/coupons/{made}")
    account.world.advance(60)
    second = account.asked("coupons").count(f"/v1/coupons/{made}")

    assert (first, second) == (1, 0)


def test_away_for_longer_than_events_are_kept(account: Account) -> None:
    """An hour more than 30 days: the event of a deletion is gone, and the row is flagged all the same, by no resync."""
    account.run("customers", resync=None)
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.advance(30 * 86_400 + 3_600)
    account.run("customers", resync=None)

    assert account.differences("customers") == []


def test_an_event_that_shows_up_after_the_run_is_in_the_overlap(account: Account) -> None:
    """It happened before the last run and was in no list then."""
    account.run("customers")
    account.world.advance(60)
    account.world.create("customer", name="Late")
    account.world.advance(60)
    with account.late(account.newest_event()):
        account.run("customers")
    account.world.advance(3_600)
    account.run("customers")

    assert account.differences("customers") == []


def test_events_of_other_accounts_are_not_ours(account: Account) -> None:
    """A connected account has a product with the same id, and a customer: what becomes of them changes no row."""
    ours = account.world.create("product", id="prod_same", name="Ours")
    account.run("products;customers")
    account.world.advance(60)
    theirs = account.world.connected[0]
    for type, thing in (
        ("product.updated", {**ours, "name": "Theirs"}), ("product.deleted", {**ours, "name": "Theirs"}),
        ("customer.created", account.world.create("customer", account=theirs)),
    ):
        event = account.world.emit(type, thing)["id"]
        record = account.world.books.get("event", event)
        record.data["account"], record.cache = theirs, None
    account.run("products;customers")

    assert account.differences("products;customers") == []


def test_events_of_a_connected_account_are_its_own(account: Account) -> None:
    """Read with `account_id`, they name it."""
    connected = account.world.connected[0]
    account.run("products", account_id=connected)
    account.world.create("product", account=connected, name="New")
    account.run("products", account_id=connected)
    truths = account.world.dump(account=connected)["products"]
    with duckdb.connect(str(account.file), read_only=True) as connection:
        assert differences(connection, "stripe", "products", truths, connected) == []


def test_an_older_second_has_no_say(account: Account) -> None:
    """B to A, A to C and C to B, the second of them late: the newest event alone tells that it is B."""
    id = account.world.create("customer", name="B")["id"]
    account.run("customers")
    events = []
    for name in "ACB":
        account.world.advance(10)
        account.world.update("customer", id, name=name)
        events.append(account.newest_event())
    with account.late(events[1]):
        asked = account.asked("customers")

        assert account.differences("customers") == []
        assert f"/v1/customers/{id}" not in asked


def test_the_first_event_of_a_second_may_come_last(account: Account) -> None:
    """Two changes in one second, the older one late: the run that sees it keeps the newer version."""
    id = account.world.create("customer", name="A")["id"]
    account.run("customers")
    account.world.advance(60)
    account.world.update("customer", id, name="B")
    with account.late(account.newest_event()):
        account.world.update("customer", id, name="C")
        account.run("customers")
    account.run("customers")

    assert account.differences("customers") == []


def test_what_a_list_showed_outlives_events_of_its_second(account: Account) -> None:
    """Two changes in the second of the first load, which saw both; of their events the second is late."""
    id = account.world.create("customer", name="A")["id"]
    account.world.advance(60)
    account.world.update("customer", id, name="B")
    account.world.update("customer", id, name="C")
    with account.late(account.newest_event()):
        account.run("customers")
        account.run("customers")

        assert account.differences("customers") == []


def test_a_deletion_from_before_does_not_undo_what_was_read_since(account: Account) -> None:
    """A product was deleted and made again; the list shows it, while the event of the latter is late."""
    account.world.create("product", id="prod_mine", name="First")
    account.world.advance(10)
    account.world.delete("product", "prod_mine")
    account.world.advance(10)
    account.world.create("product", id="prod_mine", name="Second")
    with account.late(account.newest_event()):
        account.world.advance(10)
        account.run("products")
        account.run("products")

        assert account.differences("products") == []


def test_children_without_their_parents_do_not_go_backwards(account: Account) -> None:
    """Items of a subscription that is not loaded itself: an event between two that were applied is no news."""
    subscription = account.world.create("subscription")["id"]
    account.run("subscription_items")
    account.world.advance(60)
    account.world.create("subscription_item", subscription=subscription)
    account.world.advance(60)
    passing = account.world.create("subscription_item", subscription=subscription)["id"]
    with account.late(account.newest_event()):
        account.world.advance(60)
        account.world.delete("subscription_item", passing)
        account.run("subscription_items")
    account.run("subscription_items")

    assert account.differences("subscription_items") == []


def test_a_watched_list_that_is_behind_does_not_undo_an_event(account: Account) -> None:
    """The event brought the new description; half a minute later the list still shows the old one."""
    account.world.faults.lag, account.world.faults.rng = Lag(lists=50), Longest()
    intent = account.world.create("payment_intent", description="Old")["id"]
    account.world.advance(100)
    account.run("payment_intents")
    account.world.update("payment_intent", intent, description="New")
    account.world.emit("payment_intent.updated", intent)
    account.run("payment_intents")
    account.world.advance(30)
    account.run("payment_intents")

    assert account.query(f"SELECT description FROM stripe.payment_intents WHERE id = '{intent}'") == [("New",)]


def test_a_first_load_from_lists_that_are_behind_is_put_right_by_events(account: Account) -> None:
    """The list shows the old name, the event of the new one is there already: the next run applies it."""
    account.world.faults.lag, account.world.faults.rng = Lag(lists=50), Longest()
    customer = account.world.create("customer", name="Old")["id"]
    account.world.advance(100)
    account.world.update("customer", customer, name="New")
    account.run("customers")
    account.run("customers")

    assert account.query(f"SELECT name FROM stripe.customers WHERE id = '{customer}'") == [("New",)]


# ---- watched


def test_what_leaves_a_watched_list_is_asked_for(account: Account) -> None:
    """A pending invoice item is put on an invoice, without an event about it: the list of pending ones lacks it."""
    item = account.world.create("invoiceitem", customer=account.world.create("customer")["id"])
    account.run("invoice_items")
    account.world.advance(3_600)  # its event is not read again
    account.run("invoice_items")
    with account.untold():
        invoice = account.world.create("invoice", customer=item["customer"])["id"]
        account.world.update("invoiceitem", item["id"], invoice=invoice)
    account.run("invoice_items")

    assert account.query(f"SELECT invoice FROM stripe.invoice_items WHERE id = '{item['id']}'") == [(invoice,)]


def test_what_was_made_before_the_last_run_is_still_watched(account: Account) -> None:
    """A payment intent of half an hour before gets a description, without an event."""
    intent = account.world.create("payment_intent", description="Old")["id"]
    account.world.advance(1_800)
    account.run("payment_intents")
    with account.untold():
        account.world.update("payment_intent", intent, description="New")
    account.run("payment_intents")

    assert account.differences("payment_intents") == []


def test_a_transaction_is_available_in_the_second_in_which_it_is_due(account: Account) -> None:
    """Neither the last second of what is due nor the last second of the wait is left out."""
    account.world.create("charge", amount=5_000)
    account.run("balance_transactions")
    last = account.world.books.all("balance_transaction")[-1]
    account.world.advance(7_200)  # it is not among the newest any more
    account.run("balance_transactions")
    account.world.advance(last.data["available_on"] - account.world.now)
    account.run("balance_transactions")

    assert last.data["status"] == "available"
    assert account.differences("balance_transactions") == []


# ---- deletions


def test_a_row_is_flagged_once(account: Account) -> None:
    """A removed item has the time of its removal for good, whatever becomes of its subscription later."""
    subscription = account.world.create("subscription")["id"]
    item = account.world.create("subscription_item", subscription=subscription)["id"]
    account.run("subscriptions;subscription_items")
    account.world.advance(100)
    account.world.delete("subscription_item", item)
    when = datetime.fromtimestamp(account.world.now, timezone.utc)
    account.run("subscriptions;subscription_items")
    account.world.advance(100)
    account.world.create("subscription_item", subscription=subscription)
    by_feed = account.run("subscriptions;subscription_items").tables["subscription_items"]
    whole = account.run("subscriptions;subscription_items", mode="initial").tables["subscription_items"]

    assert (by_feed.gone, whole.gone) == (0, 0)
    assert account.query(f"SELECT _deleted_at FROM stripe.subscription_items WHERE id = '{item}'") == [(when,)]
    assert account.differences("subscriptions;subscription_items") == []


def test_a_deletion_that_is_told_again_changes_nothing(account: Account) -> None:
    """The table was left out once, so that the events of the overlap are applied once more."""
    customer = account.world.create("customer")["id"]
    account.run("customers;products")
    account.world.delete("customer", customer)
    account.run("customers;products")
    account.run("products")
    result = account.run("customers;products")

    assert result.tables["customers"].gone == 0
    assert account.differences("customers;products") == []


@pytest.mark.parametrize("stubs", [False, True])
def test_what_came_and_went_is_a_flagged_row_where_its_values_are_known(account: Account, stubs: bool) -> None:
    """The event of the deletion has them, or no more than the id, of which no row is made."""
    account.run("products")
    account.world.faults.deleted_stubs = stubs
    came = account.world.create("product", name="Short")["id"]
    account.world.advance(60)
    account.world.delete("product", came)
    account.run("products")

    assert account.query(f"SELECT name, _deleted FROM stripe.products WHERE id = '{came}'") == (
        [] if stubs else [("Short", True)])


def test_the_last_child_may_go(account: Account) -> None:
    """A draft loses its only line: the empty list that its invoice has now says so."""
    invoice = account.world.create("invoice")["id"]
    item = account.world.create("invoiceitem", invoice=invoice)["id"]
    account.run("invoices;invoice_line_items")
    account.world.advance(60)
    account.world.delete("invoiceitem", item)
    result = account.run("invoices;invoice_line_items")

    assert result.tables["invoice_line_items"].gone == 1
    assert account.differences("invoices;invoice_line_items") == []


def test_a_parent_that_cannot_have_children_any_more_has_none(account: Account) -> None:
    """A payment intent loses its details, and with them their line items."""
    tables = "payment_intents;payment_intent_amount_details_line_items"
    intent = account.world.create("payment_intent", amount_details={"tip": {}})["id"]
    account.world.populate("payment_intent_amount_details_line_items", 2, parent=intent)
    account.run(tables)
    account.world.advance(60)
    account.world.update("payment_intent", intent, amount_details=None)
    account.world.emit("payment_intent.amount_capturable_updated", intent)
    result = account.run(tables)

    assert result.tables["payment_intent_amount_details_line_items"].gone == 2


def test_a_list_that_is_refused_later_is_no_empty_list(account: Account) -> None:
    """An account is not under the platform's control any more: its persons are not known, which is not to be gone."""
    connected = account.world.books.all("account")[-1]
    connected.data["type"], connected.cache = "custom", None
    account.world.populate("account_persons", 2, parent=connected.id)
    account.run("accounts;account_persons")
    there = account.query(f"SELECT count(*) FROM stripe.account_persons WHERE account_id = '{connected.id}'")
    connected.data["type"], connected.cache = "standard", None
    result = account.run("accounts;account_persons")

    assert there[0][0] >= 2
    assert result.tables["account_persons"].gone == 0
    assert account.query("SELECT count(*) FROM stripe.account_persons WHERE _deleted") == [(0,)]


def test_events_that_stripe_forgets_are_kept(account: Account) -> None:
    """After 30 days they leave the list; a full pass does not take them for deleted."""
    account.run("events")
    before_ = account.query("SELECT count(*) FROM stripe.events")
    account.world.advance(31 * 86_400)
    result = account.run("events", mode="initial")

    assert before_ > [(0,)] and result.tables["events"].gone == 0
    assert account.query("SELECT count(*) FROM stripe.events WHERE _deleted") == [(0,)]


def test_two_accounts_in_one_dataset_leave_each_other_alone(account: Account) -> None:
    """Each has a pipeline of its own; both have a product of the same id, and one deletes it."""
    connected = account.world.connected[0]
    account.world.create("product", id="prod_same", name="Ours")
    account.world.create("product", id="prod_same", account=connected, name="Theirs")
    account.run("products")
    ours = {key: row for key, row in account.rows()["products"].items() if key[0] != connected}
    own, options = account.new_pipeline, {"tables": "products", "account_id": connected, "mode": "initial"}
    account.new_pipeline = lambda: own("theirs")
    account.run(**options)
    account.world.delete("product", "prod_same", account=connected)
    account.run(**options)
    rows = account.rows()["products"]

    assert (rows[connected, "prod_same"]["name"], rows[connected, "prod_same"]["_deleted"]) == ("Theirs", True)
    assert len(ours) > 1 and {key: row for key, row in rows.items() if key[0] != connected} == ours


def test_live_data_does_not_get_where_test_data_is(account: Account) -> None:
    """A live key is refused before anything is read."""
    account.run("products")
    with sandbox.serve(world=sandbox.World(seed=7, scale=0.01, livemode=True)) as live:
        with pytest.raises(MixedData, match="live"):
            account.run("products", api_base=live.url, api_key=live.api_key)

        assert [each.path for each in live.world.requests if each.path == "/v1/products"] == []
    assert account.differences("products") == []


def test_what_nobody_declared_is_kept_like_the_rest(account: Account) -> None:
    """Fields of a customer that no map has: by list, by event, and in the row that is flagged."""
    listed = account.world.create("customer", loyalty="gold", points=7)["id"]
    account.run("customers")
    account.world.advance(60)
    told = account.world.create("customer", loyalty="tin", points=1)["id"]
    account.world.update("customer", listed, points=8)
    account.run("customers")

    assert account.differences("customers") == []
    account.world.delete("customer", listed)
    account.run("customers")
    assert account.differences("customers") == []
    assert account.query(f"SELECT loyalty, points, _deleted FROM stripe.customers WHERE id IN ('{listed}', '{told}')"
                         " ORDER BY points") == [("tin", 1, False), ("gold", 8, True)]


def test_a_bound_that_moves_back_brings_what_is_older(account: Account) -> None:
    """What was loaded from a day on does not hold what came before it; a later bound takes nothing away."""
    times = sorted(each.data["created"] for each in account.world.books.all("customer"))
    middle = times[len(times) // 2]

    def held() -> int:
        return int(account.query("SELECT count(*) FROM stripe.customers WHERE NOT _deleted")[0][0])

    account.run("customers", start=middle)
    assert held() == sum(at >= middle for at in times)
    account.run("customers", start=times[0] - 1)
    assert account.differences("customers") == []
    account.run("customers", start=middle, mode="initial")
    account.run("customers", end=middle, marker=None)
    assert account.differences("customers") == []


def test_a_bound_includes_its_own_second(account: Account) -> None:
    """A full pass from a bound on knows the rows that are held from that very second on: none is new again."""
    first = min(each.data["created"] for each in account.world.books.all("charge"))
    again = {"marker": None, "start": first}
    account.run("charges", **again)
    result = account.run("charges", **again).tables["charges"]

    assert (result.new, result.changed, result.gone, result.unchanged) == (0, 0, 0, result.read)


# ---- what single lines decide


def test_events_that_show_up_late_are_in_their_table(account: Account) -> None:
    """Also where nothing but events is loaded."""
    account.run("events")
    account.world.advance(60)
    account.world.create("coupon")
    with account.late(account.newest_event()):
        account.run("events")
    account.world.advance(120)
    account.run("events")

    assert account.differences("events") == []


def test_a_full_pass_from_a_bound_on_flags_nothing_that_is_older(account: Account) -> None:
    """What is older than `start` was not looked for."""
    account.run("charges", marker=None)
    newest = max(each.created for each in account.world.books.all("charge"))
    result = account.run("charges", marker=None, start=newest)

    assert result.tables["charges"].gone == 0
    assert account.query("SELECT count(*) FROM stripe.charges WHERE _deleted") == [(0,)]


def test_what_came_and_went_between_two_runs_leaves_no_row_where_deletes_are_hard(account: Account) -> None:
    """The event of its end carries its values; there is nothing to remove, and nothing to keep."""
    account.run("customers", deletes="hard")
    account.world.advance(60)
    customer = account.world.create("customer")["id"]
    account.world.advance(60)
    account.world.delete("customer", customer)
    account.run("customers", deletes="hard")

    assert account.query(f"SELECT count(*) FROM stripe.customers WHERE id = '{customer}'") == [(0,)]
    assert account.differences("customers") == []


def test_limited_runs_lose_no_deletion(account: Account) -> None:
    """dlt's `add_limit` ends a table early: what was not handed over comes with a later run."""
    world, options = account.world, {"api_base": account.stripe.url, "api_key": account.stripe.api_key}
    account.run("customers;products")
    for limit in (1, 2, 3, 5):
        world.advance(60)
        world.delete("customer", world.books.all("customer")[limit].id)
        world.update("customer", world.books.all("customer")[-limit].id, name=f"Name {limit}")
        account.new_pipeline().run(stripe_source(tables="customers;products", **options).add_limit(limit))
    account.run("customers;products")

    assert account.differences("customers;products") == []


def test_a_run_with_an_end_leaves_no_position(account: Account) -> None:
    """What it left out is read by the next run."""
    middle = sorted(each.created for each in account.world.books.all("charge"))[20]
    account.run("charges", end=middle)
    account.world.advance(60)
    account.run("charges")

    assert account.differences("charges") == []
