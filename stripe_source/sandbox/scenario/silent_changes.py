"""Random changes that Stripe has no event for; docs/sandbox.md lists them."""
from __future__ import annotations

from random import Random

from stripe_source.sandbox.business import customers, payments
from stripe_source.sandbox.scenario import fabricate, mutate
from stripe_source.sandbox.scenario.picking import Condition, Happening, any_record, having
from stripe_source.sandbox.state.books import Books

_NOTE = ("ünïcode", "7", "vip", "\"quoted\"")


def _note(object: str, condition: Condition = lambda _: True) -> Happening:
    """Return a happening that changes the metadata of one object of that type."""

    def happens(books: Books, rng: Random) -> str | None:
        record = any_record(books, rng, object, condition)
        if record is None:
            return None
        mutate.update(books, record, {"metadata": {"note": rng.choice(_NOTE), "turn": str(books.count("notes"))}})
        return f"{object} {record.id} changed without an event"

    return happens


def _reprice_item(books: Books, rng: Random) -> str | None:
    item = any_record(books, rng, "invoiceitem", having(invoice=None))
    if item is None:
        return None
    amount = item.data["amount"] + rng.randrange(1, 9) * 10
    mutate.update(books, item, {"amount": amount, "net_amount": amount, "description": f"Now {amount}"})
    return f"invoice item {item.id} changed without an event"


def _redraw(books: Books, rng: Random) -> str | None:
    quote = any_record(books, rng, "quote", having(status="draft"))
    if quote is None:
        return None
    mutate.update(books, quote, {"header": f"Draft {books.count('drafts')}", "amount_total": rng.randrange(10**5)})
    return f"quote {quote.id} changed without an event"


def _reprice(books: Books, rng: Random) -> str | None:
    """Change a price that subscriptions show: the price has an event, the subscriptions have none."""
    item = any_record(books, rng, "subscription_item")
    price = books.find("price", item.data["price"]) if item else None
    if price is None:
        return None
    mutate.update(books, price, {"nickname": f"Renamed {books.count('renamed')}"})
    return f"price {price.id} changed, and what shows it without an event"


def _rerate(books: Books, rng: Random) -> str | None:
    """Change a tax rate that subscriptions and invoices show; those have no event."""
    rate = any_record(books, rng, "tax_rate")
    if rate is None:
        return None
    mutate.update(books, rate, {"description": f"Revised {books.count('revised')}"})
    return f"tax rate {rate.id} changed, and what shows it without an event"


def _guest(books: Books, rng: Random) -> str:
    """Let a guest pay: the payment has events, the payment method has none."""
    charge = payments.pay(books, rng.randrange(5, 90) * 100, "usd", None, description="Guest")
    return f"payment method {charge.data['payment_method']} came without an event"


def _number(books: Books, rng: Random) -> str:
    """Add or delete a tax id of the account itself."""
    mine = [each for each in books.all("tax_id") if each.parent is None]
    if len(mine) > 2 and rng.random() < 0.5:
        mutate.delete(books, mine[-1])
        return f"tax id {mine[-1].id} was deleted without an event"
    return f"tax id {customers.tax_id(books, None).id} came without an event"


_EVENTLESS = ("file_link", "radar.value_list", "shipping_rate", "webhook_endpoint")
_DELETABLE = ("radar.value_list_item", "webhook_endpoint")


def _come(books: Books, rng: Random) -> str:
    """Create an object of a type without any event."""
    object = rng.choice((*_EVENTLESS, "radar.value_list_item", "radar.value_list_item"))
    return f"{object} {fabricate.make_one(books, object, {}).id} came without an event"


def _alter(books: Books, rng: Random) -> str | None:
    """Change an object of a type without any event."""
    return _note(rng.choice(_EVENTLESS))(books, rng)


def _go(books: Books, rng: Random) -> str | None:
    """Delete an object of a type without any event."""
    object = rng.choice(_DELETABLE)
    record = any_record(books, rng, object)
    if record is None:
        return None
    mutate.delete(books, record)
    return f"{object} {record.id} was deleted without an event"


SILENT: tuple[tuple[Happening, int], ...] = (
    (_note("payment_intent"), 4), (_note("setup_intent"), 2), (_note("topup"), 1), (_note("transfer_reversal"), 1),
    (_note("customer_balance_transaction"), 1), (_note("checkout.session", having(status="open")), 3),
    (_reprice_item, 4), (_redraw, 2), (_reprice, 3), (_rerate, 1), (_guest, 3), (_number, 1), (_come, 4), (_alter, 3),
    (_go, 2),
)
