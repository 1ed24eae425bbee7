"""What no event tells: rows that are watched, and rows that change with others."""
from __future__ import annotations

from account import Account

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
