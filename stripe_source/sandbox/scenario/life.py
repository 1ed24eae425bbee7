"""Life that goes on: random things that happen to a business, each with its events."""
from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Literal

from stripe_source.sandbox.business import billing, goods, ledger, payments, people, subscriptions
from stripe_source.sandbox.scenario import fabricate, mutate
from stripe_source.sandbox.state.store import Books, Record

Happening = Callable[[Books, Random], "str | None"]


def _any(books: Books, rng: Random, object: str, wanted: Callable[[Record], bool] = lambda _: True) -> Record | None:
    records = books.all(object)
    for _ in range(30 if records else 0):
        record = records[rng.randrange(len(records))]
        if not record.hidden and wanted(record):
            return record
    return None


def _is(**values: Any) -> Callable[[Record], bool]:
    return lambda record: all(record.data.get(name) == value for name, value in values.items())


def _join(books: Books, rng: Random) -> str:
    return f"customer {people.customer(books).id} came"


def _rename(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    if owner is None:
        return None
    mutate.update(books, owner, {"name": f"{owner.data['name']} {rng.choice('IVX')}", "metadata": {
        "visits": str(rng.randrange(99))}})
    return f"customer {owner.id} changed"


def _forget(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    if owner is None:
        return None
    mutate.delete(books, owner)
    return f"customer {owner.id} was deleted"


def _subscribe(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    price = _any(books, rng, "price", lambda each: bool(each.data["recurring"]) and each.data["active"])
    if owner is None or price is None or owner.data["currency"] not in (None, price.data["currency"]):
        return None
    coupon = _any(books, rng, "coupon") if rng.random() < 0.3 and price.data["currency"] == "usd" else None
    made = subscriptions.subscribe(books, owner, [(price, rng.randrange(1, 4))], coupon=coupon,
                             trial_days=7 if rng.random() < 0.2 else 0,
                             decline="card_declined" if rng.random() < 0.1 else None)
    return f"customer {owner.id} subscribed {made.id}"


_ALIVE = ("active", "trialing", "past_due")


def _subscriber(books: Books, rng: Random) -> Record | None:
    return _any(books, rng, "subscription", lambda each: each.data["status"] in _ALIVE)


def _unsubscribe(books: Books, rng: Random) -> str | None:
    subscription = _subscriber(books, rng)
    if subscription is None:
        return None
    subscriptions.cancel(books, subscription)
    return f"subscription {subscription.id} was canceled"


def _change_subscription(books: Books, rng: Random) -> str | None:
    subscription = _subscriber(books, rng)
    if subscription is None:
        return None
    kind = rng.randrange(4)
    items = books.children(("subscription_item",), subscription.id)
    if kind == 0:
        mutate.update(books, items[0], {"quantity": rng.randrange(1, 50)})
        return f"subscription item {items[0].id} changed"
    if kind == 1:
        held = {each.data["price"] for each in items}
        every = subscriptions.every(books.get("price", items[0].data["price"]))
        price = _any(books, rng, "price", lambda each: bool(each.data["recurring"]) and each.data["active"]
                     and each.id not in held and each.data["currency"] == subscription.data["currency"]
                     and subscriptions.every(each) == every)
        if price is None:
            return None
        added = subscriptions.add_item(books, subscription, price, 1, end=items[0].data["current_period_end"])
        return f"subscription item {added.id} was added"
    if kind == 2 and len(items) > 1:
        subscriptions.remove_item(books, items[-1])
        return f"subscription item {items[-1].id} was removed"
    mutate.update(books, subscription, {"metadata": {"note": rng.choice(("vip", "ünïcode", "7"))}})
    return f"subscription {subscription.id} changed"


def _sell(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    decline = rng.choice((None, None, None, "insufficient_funds"))
    charge = payments.pay(books, rng.randrange(5, 900) * 100, rng.choice(("usd", "usd", "eur", "jpy")), owner,
                          decline=decline, description="Counter sale")
    return f"charge {charge.id} {charge.data['status']}"


def _refund(books: Books, rng: Random) -> str | None:
    charge = _any(books, rng, "charge", lambda each: payments.refundable(each) > 100
                  and each.data["payment_intent"] is not None)
    if charge is None:
        return None
    amount = payments.refundable(charge) if rng.random() < 0.5 else payments.refundable(charge) // 20 * 10
    made = payments.refund(books, charge, amount or None)
    return f"refund {made.id} of charge {charge.id}"


def _dispute(books: Books, rng: Random) -> str | None:
    charge = _any(books, rng, "charge", lambda each: each.data["amount_refunded"] == 0
                  and payments.refundable(each) > 0 and each.data["payment_intent"] is not None)
    if charge is None:
        return None
    return f"dispute {payments.dispute(books, charge, ends=rng.choice(('won', 'lost'))).id} of charge {charge.id}"


def _decide(books: Books, rng: Random) -> str | None:
    record = _any(books, rng, "dispute", _is(status="needs_response"))
    if record is None:
        return None
    payments.close_dispute(books, record, rng.choice(("won", "lost")))
    return f"dispute {record.id} was {record.data['status']}"


def _stock(books: Books, rng: Random) -> str | None:
    product = goods.product(books, f"New thing {books.count('new things')}")
    price = goods.price(books, product.id, rng.randrange(1, 90) * 100, "usd", rng.choice((None, "month", "year")))
    return f"product {product.id} with price {price.id}"


def _change_stock(books: Books, rng: Random) -> str | None:
    kind = rng.randrange(4)
    if kind == 0:
        product = _any(books, rng, "product")
        if product is None:
            return None
        mutate.update(books, product, {"description": f"Revised {rng.randrange(99)}"})
        return f"product {product.id} changed"
    if kind == 1:  # of prices that no subscription shows: those would change without an event of their own
        shown = {each.data["price"] for each in books.all("subscription_item")}
        price = _any(books, rng, "price", lambda each: each.id not in shown)
        if price is None:
            return None
        mutate.update(books, price, {"active": not price.data["active"]})
        return f"price {price.id} changed"
    if kind == 2:
        lone = goods.product(books, "Withdrawn")
        mutate.delete(books, lone)
        return f"product {lone.id} came and went"
    code = _any(books, rng, "promotion_code")
    if code is None:
        return None
    mutate.update(books, code, {"active": not code.data["active"]})
    return f"promotion code {code.id} changed"


def _coupons(books: Books, rng: Random) -> str | None:
    coupon = _any(books, rng, "coupon")
    if coupon is not None and rng.random() < 0.3 and len(books.all("coupon")) > 4:
        mutate.delete(books, coupon)
        return f"coupon {coupon.id} was deleted"
    made = goods.coupon(books, name="Flash", percent_off=float(rng.randrange(1, 50)))
    goods.promotion_code(books, made, f"FLASH{books.count('flashes')}")
    return f"coupon {made.id} was made"


def _discount(books: Books, rng: Random) -> str | None:
    owner, coupon = _any(books, rng, "customer"), _any(books, rng, "coupon")
    if owner is None or coupon is None:
        return None
    if owner.data["discount"] is not None:
        people.undiscount(books, owner)
        return f"customer {owner.id} lost the discount"
    people.discount(books, owner, coupon)
    return f"customer {owner.id} got a discount"


def _invoice(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    if owner is None:
        return None
    invoice = billing.draft(books, owner, [])
    for number in range(rng.choice((1, 2, 14))):
        billing.invoice_item(books, owner, rng.randrange(1, 90) * 100, invoice=invoice, description=f"Work {number}")
    fate = rng.randrange(4)
    if fate:
        billing.finalize(books, invoice, net=14)
    if fate == 2:
        billing.settle_invoice(books, invoice)
    if fate == 3:
        billing.void(books, invoice)
    return f"invoice {invoice.id} is {invoice.data['status']}"


def _move_invoice(books: Books, rng: Random) -> str | None:
    invoice = _any(books, rng, "invoice", lambda each: each.data["status"] in ("draft", "open"))
    if invoice is None:
        return None
    if invoice.data["status"] == "draft":
        if rng.random() < 0.5:
            billing.remove_draft(books, invoice)
            return f"draft {invoice.id} was deleted"
        billing.finalize(books, invoice)
        return f"invoice {invoice.id} was finalized"
    if books.find("customer", invoice.data["customer"]) is None:
        return None
    billing.settle_invoice(books, invoice)
    return f"invoice {invoice.id} was paid"


def _item(books: Books, rng: Random) -> str | None:
    item = _any(books, rng, "invoiceitem", _is(invoice=None))
    if item is not None and rng.random() < 0.6:
        billing.remove_invoice_item(books, item)
        return f"invoice item {item.id} was deleted"
    owner = _any(books, rng, "customer")
    return f"invoice item {billing.invoice_item(books, owner, 700).id} waits" if owner else None


def _credit(books: Books, rng: Random) -> str | None:
    invoice = _any(books, rng, "invoice", lambda each: each.data["status"] in ("paid", "open")
                   and each.data["amount_due"] > 1000)
    made = billing.credit(books, invoice, [(None, 300, "Sorry")]) if invoice else None
    return f"credit note {made.id}" if made else None


def _store(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer")
    if owner is None:
        return None
    maker = rng.choice((people.card, people.bank_account, people.tax_id, people.payment_method,
                        payments.store_method))
    return f"{maker(books, owner).id} was stored"


def _unstore(books: Books, rng: Random) -> str | None:
    kind = rng.choice(("card", "bank_account", "tax_id", "payment_method"))
    record = _any(books, rng, kind, lambda each: each.parent is not None or (
        kind == "payment_method" and each.data["customer"] is not None))
    if record is None:
        return None
    if kind == "payment_method":
        people.detach(books, record)
    else:
        mutate.delete(books, record)
    return f"{record.id} was removed"


def _adjust(books: Books, rng: Random) -> str | None:
    owner = _any(books, rng, "customer", lambda each: each.data["currency"] in (None, "usd"))
    return f"{people.adjust_balance(books, owner, rng.choice((-500, 300)), 'usd').id} entered" if owner else None


def _move_money(books: Books, rng: Random) -> str | None:
    kind = rng.randrange(3)
    if kind == 0:
        return f"topup {ledger.top_up(books, 5000, 'usd').id}"
    if books is not books.world.books:
        return None
    if kind == 1:
        record = ledger.transfer(books, 2500, "usd", rng.choice(books.world.connected))
        return f"transfer {record.id}"
    found = _any(books, rng, "transfer", lambda each: each.data["amount"] - each.data["amount_reversed"] >= 100)
    return f"reversal {ledger.reverse(books, found, 100).id}" if found else None


def _check_out(books: Books, rng: Random) -> str | None:
    session = _any(books, rng, "checkout.session", _is(status="open"))
    if session is not None:
        payments.complete(books, session)
        return f"checkout {session.id} completed"
    price = _any(books, rng, "price", lambda each: each.data["type"] == "one_time" and each.data["active"])
    if price is None:
        return None
    owner = _any(books, rng, "customer")  # a guest's payment method would be in the list without any event
    return f"checkout {payments.check_out(books, owner, [(price, 1)]).id} opened" if owner else None


HAPPENINGS: tuple[tuple[Happening, int], ...] = (
    (_join, 10), (_rename, 12), (_forget, 2), (_subscribe, 8), (_unsubscribe, 3), (_change_subscription, 8),
    (_sell, 16), (_refund, 4), (_dispute, 1), (_decide, 1), (_stock, 2), (_change_stock, 5), (_coupons, 2),
    (_discount, 4), (_invoice, 7), (_move_invoice, 5), (_item, 4), (_credit, 2), (_store, 8), (_unstore, 4),
    (_adjust, 4), (_move_money, 3), (_check_out, 4),
)
# --- changes that Stripe has no event for; docs/sandbox.md lists them


_NOTE = ("ünïcode", "7", "vip", "\"quoted\"")


def _note(object: str, wanted: Callable[[Record], bool] = lambda _: True) -> Happening:
    """The metadata of one change."""

    def happens(books: Books, rng: Random) -> str | None:
        record = _any(books, rng, object, wanted)
        if record is None:
            return None
        mutate.update(books, record, {"metadata": {"note": rng.choice(_NOTE), "turn": str(books.count("notes"))}})
        return f"{object} {record.id} changed without an event"

    return happens


def _reprice_item(books: Books, rng: Random) -> str | None:
    item = _any(books, rng, "invoiceitem", _is(invoice=None))
    if item is None:
        return None
    amount = item.data["amount"] + rng.randrange(1, 9) * 10
    mutate.update(books, item, {"amount": amount, "net_amount": amount, "description": f"Now {amount}"})
    return f"invoice item {item.id} changed without an event"


def _redraw(books: Books, rng: Random) -> str | None:
    quote = _any(books, rng, "quote", _is(status="draft"))
    if quote is None:
        return None
    mutate.update(books, quote, {"header": f"Draft {books.count('drafts')}", "amount_total": rng.randrange(10**5)})
    return f"quote {quote.id} changed without an event"


def _reprice(books: Books, rng: Random) -> str | None:
    """A price that subscriptions show: the price has its event, what shows it has none."""
    item = _any(books, rng, "subscription_item")
    price = books.find("price", item.data["price"]) if item else None
    if price is None:
        return None
    mutate.update(books, price, {"nickname": f"Renamed {books.count('renamed')}"})
    return f"price {price.id} changed, and what shows it without an event"


def _rerate(books: Books, rng: Random) -> str | None:
    """A tax rate that subscriptions and invoices show."""
    rate = _any(books, rng, "tax_rate")
    if rate is None:
        return None
    mutate.update(books, rate, {"description": f"Revised {books.count('revised')}"})
    return f"tax rate {rate.id} changed, and what shows it without an event"


def _guest(books: Books, rng: Random) -> str:
    """Somebody pays without an account: the payment has events, the payment method has none."""
    charge = payments.pay(books, rng.randrange(5, 90) * 100, "usd", None, description="Guest")
    return f"payment method {charge.data['payment_method']} came without an event"


def _number(books: Books, rng: Random) -> str:
    """A tax number of the business itself."""
    mine = [each for each in books.all("tax_id") if each.parent is None]
    if len(mine) > 2 and rng.random() < 0.5:
        mutate.delete(books, mine[-1])
        return f"tax id {mine[-1].id} was deleted without an event"
    return f"tax id {people.tax_id(books, None).id} came without an event"


_EVENTLESS = ("file_link", "radar.value_list", "shipping_rate", "webhook_endpoint")
_DELETABLE = ("radar.value_list_item", "webhook_endpoint")


def _come(books: Books, rng: Random) -> str:
    """Objects that have no events at all come …"""
    object = rng.choice((*_EVENTLESS, "radar.value_list_item", "radar.value_list_item"))
    return f"{object} {fabricate.one(books, object, {}).id} came without an event"


def _alter(books: Books, rng: Random) -> str | None:
    """… change …"""
    return _note(rng.choice(_EVENTLESS))(books, rng)


def _go(books: Books, rng: Random) -> str | None:
    """… and go."""
    object = rng.choice(_DELETABLE)
    record = _any(books, rng, object)
    if record is None:
        return None
    mutate.delete(books, record)
    return f"{object} {record.id} was deleted without an event"


SILENT: tuple[tuple[Happening, int], ...] = (
    (_note("payment_intent"), 4), (_note("setup_intent"), 2), (_note("topup"), 1), (_note("transfer_reversal"), 1),
    (_note("customer_balance_transaction"), 1), (_note("checkout.session", _is(status="open")), 3),
    (_reprice_item, 4), (_redraw, 2), (_reprice, 3), (_rerate, 1), (_guest, 3), (_number, 1), (_come, 4), (_alter, 3),
    (_go, 2),
)


def step(books: Books, rng: Random, silent: bool | Literal["only"] = False) -> str:
    """One thing happens; says what."""
    loud = () if silent == "only" else HAPPENINGS
    actions, weights = zip(*loud, *(SILENT if silent else ()), strict=True)
    while True:
        told: str | None = rng.choices(actions, weights)[0](books, rng)
        if told is not None:
            return told
