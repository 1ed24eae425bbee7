"""Deletions: what is flagged and what is removed, with its children, once, and nothing else."""
from __future__ import annotations

from datetime import datetime, timezone

import pytest
from account import Account

from stripe_source.source import stripe_source


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
    result = account.run("customers", deletes="hard").tables["customers"]

    assert account.query(f"SELECT count(*) FROM stripe.customers WHERE id = '{customer}'") == [(0,)]
    assert (result.new, result.changed, result.gone) == (0, 0, 0)
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
