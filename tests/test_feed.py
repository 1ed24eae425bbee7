"""Changes: what Stripe's events tell, what they do not, and what becomes of gaps, ties and versions."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from truth import differences

from stripe_source import sandbox
from stripe_source.extract.changes.events import newest_event, object_before
from stripe_source.load.sync import sync
from stripe_source.sandbox.state.faults import Lag
from stripe_source.source import stripe_source
from stripe_source.tables.registry import TABLES


class Account:
    """A small account, and its copy in DuckDB."""

    def __init__(self, stripe: Any, new_pipeline: Callable[..., dlt.Pipeline], file: Path) -> None:
        self.stripe, self.world, self.new_pipeline, self.file = stripe, stripe.world, new_pipeline, file

    def run(self, tables: str | None = None, **options: Any) -> Any:
        given = {"tables": tables, **options} if tables else options
        return sync(self.new_pipeline(), **{"api_base": self.stripe.url, "api_key": self.stripe.api_key, **given})

    def asked(self, tables: str | None = None, **options: Any) -> list[str]:
        """The paths that a run asks for."""
        first = len(self.world.requests)
        self.run(tables, **options)
        return [request.path for request in self.world.requests[first:]]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def differences(self, tables: str, account: str | None = None) -> list[str]:
        dump, account = self.world.dump(), account or self.world.books.account
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return [
                difference for name in tables.split(";")
                for difference in differences(connection, "stripe", name, dump.get(name, []), account)
            ]


@pytest.fixture
def account(small: Any, new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path) -> Account:
    return Account(small, new_pipeline, tmp_path / "test.duckdb")


# ---- what it costs


def test_nothing_changed_costs_next_to_nothing(account: Account) -> None:
    """At most 25 requests, and one for each table that can only be listed; no list of a table with events is read."""
    account.run()
    asked = account.asked()
    only_listed = [table for table in TABLES if table.default and table.marker is None]

    assert len(asked) <= 25 + len(only_listed)
    assert not {"/v1/customers", "/v1/charges", "/v1/invoices", "/v1/subscriptions"} & set(asked)
    assert asked.count("/v1/events") == 1


@pytest.mark.parametrize("passes", [0, 3_600])
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
    asked = account.asked("customers;products;refunds")

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


@pytest.mark.parametrize("status", [404, 500])
def test_no_events_at_all_are_no_obstacle(account: Account, hasty: None, status: int) -> None:
    """A server without the list, or one where it is broken: tables are read whole."""
    account.run("customers;products")
    fault = account.world.faults.add(path="/v1/events", status=status)
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
