"""Random things that happen to a business, each with its events."""
from __future__ import annotations

from random import Random
from typing import Literal

from stripe_source.sandbox.business import billing, customers, ledger, payments, products, subscriptions
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.scenario.picking import Happening, any_record, having
from stripe_source.sandbox.scenario.silent_changes import SILENT
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record


def _join(books: Books, rng: Random) -> str:
    return f"customer {customers.customer(books).id} came"


def _rename(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer")
    if owner is None:
        return None
    mutate.update(books, owner, {"name": f"{owner.data['name']} {rng.choice('IVX')}", "metadata": {
        "visits": str(rng.randrange(99))}})
    return f"customer {owner.id} changed"


def _delete_customer(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer")
    if owner is None:
        return None
    mutate.delete(books, owner)
    return f"customer {owner.id} was deleted"


def _subscribe(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer")
    price = any_record(books, rng, "price", lambda each: bool(each.data["recurring"]) and each.data["active"])
    if owner is None or price is None or owner.data["currency"] not in (None, price.data["currency"]):
        return None
    coupon = any_record(books, rng, "coupon") if rng.random() < 0.3 and price.data["currency"] == "usd" else None
    made = subscriptions.subscribe(books, owner, [(price, rng.randrange(1, 4))], coupon=coupon,
                                   trial_days=7 if rng.random() < 0.2 else 0,
                                   decline="card_declined" if rng.random() < 0.1 else None)
    return f"customer {owner.id} subscribed {made.id}"


_ALIVE = ("active", "trialing", "past_due")


def _subscriber(books: Books, rng: Random) -> Record | None:
    return any_record(books, rng, "subscription", lambda each: each.data["status"] in _ALIVE)


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
        every = subscriptions.billing_interval(books.get("price", items[0].data["price"]))
        price = any_record(books, rng, "price", lambda each: bool(each.data["recurring"]) and each.data["active"]
                           and each.id not in held and each.data["currency"] == subscription.data["currency"]
                           and subscriptions.billing_interval(each) == every)
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
    owner = any_record(books, rng, "customer")
    decline = rng.choice((None, None, None, "insufficient_funds"))
    charge = payments.pay(books, rng.randrange(5, 900) * 100, rng.choice(("usd", "usd", "eur", "jpy")), owner,
                          decline=decline, description="Counter sale")
    return f"charge {charge.id} {charge.data['status']}"


def _refund(books: Books, rng: Random) -> str | None:
    charge = any_record(books, rng, "charge", lambda each: payments.refundable(each) > 100
                        and each.data["payment_intent"] is not None)
    if charge is None:
        return None
    amount = payments.refundable(charge) if rng.random() < 0.5 else payments.refundable(charge) // 20 * 10
    made = payments.refund(books, charge, amount or None)
    return f"refund {made.id} of charge {charge.id}"


def _dispute(books: Books, rng: Random) -> str | None:
    charge = any_record(books, rng, "charge", lambda each: each.data["amount_refunded"] == 0
                        and payments.refundable(each) > 0 and each.data["payment_intent"] is not None)
    if charge is None:
        return None
    return f"dispute {payments.dispute(books, charge, ends=rng.choice(('won', 'lost'))).id} of charge {charge.id}"


def _decide(books: Books, rng: Random) -> str | None:
    record = any_record(books, rng, "dispute", having(status="needs_response"))
    if record is None:
        return None
    payments.close_dispute(books, record, rng.choice(("won", "lost")))
    return f"dispute {record.id} was {record.data['status']}"


def _stock(books: Books, rng: Random) -> str | None:
    product = products.product(books, f"New thing {books.count('new things')}")
    price = products.price(books, product.id, rng.randrange(1, 90) * 100, "usd", rng.choice((None, "month", "year")))
    return f"product {product.id} with price {price.id}"


def _change_stock(books: Books, rng: Random) -> str | None:
    kind = rng.randrange(4)
    if kind == 0:
        product = any_record(books, rng, "product")
        if product is None:
            return None
        mutate.update(books, product, {"description": f"Revised {rng.randrange(99)}"})
        return f"product {product.id} changed"
    if kind == 1:  # only prices that no subscription shows: subscriptions would change without an event
        shown = {each.data["price"] for each in books.all("subscription_item")}
        price = any_record(books, rng, "price", lambda each: each.id not in shown)
        if price is None:
            return None
        mutate.update(books, price, {"active": not price.data["active"]})
        return f"price {price.id} changed"
    if kind == 2:
        lone = products.product(books, "Withdrawn")
        mutate.delete(books, lone)
        return f"product {lone.id} came and went"
    code = any_record(books, rng, "promotion_code")
    if code is None:
        return None
    mutate.update(books, code, {"active": not code.data["active"]})
    return f"promotion code {code.id} changed"


def _coupons(books: Books, rng: Random) -> str | None:
    coupon = any_record(books, rng, "coupon")
    if coupon is not None and rng.random() < 0.3 and len(books.all("coupon")) > 4:
        mutate.delete(books, coupon)
        return f"coupon {coupon.id} was deleted"
    made = products.coupon(books, name="Flash", percent_off=float(rng.randrange(1, 50)))
    products.promotion_code(books, made, f"FLASH{books.count('flashes')}")
    return f"coupon {made.id} was made"


def _discount(books: Books, rng: Random) -> str | None:
    owner, coupon = any_record(books, rng, "customer"), any_record(books, rng, "coupon")
    if owner is None or coupon is None:
        return None
    if owner.data["discount"] is not None:
        customers.remove_discount(books, owner)
        return f"customer {owner.id} lost the discount"
    customers.apply_discount(books, owner, coupon)
    return f"customer {owner.id} got a discount"


def _invoice(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer")
    if owner is None:
        return None
    invoice = billing.draft_invoice(books, owner, [])
    for number in range(rng.choice((1, 2, 14))):
        billing.invoice_item(books, owner, rng.randrange(1, 90) * 100, invoice=invoice, description=f"Work {number}")
    fate = rng.randrange(4)
    if fate:
        billing.finalize(books, invoice, net=14)
    if fate == 2:
        billing.collect_payment(books, invoice)
    if fate == 3:
        billing.void_invoice(books, invoice)
    return f"invoice {invoice.id} is {invoice.data['status']}"


def _move_invoice(books: Books, rng: Random) -> str | None:
    invoice = any_record(books, rng, "invoice", lambda each: each.data["status"] in ("draft", "open"))
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
    billing.collect_payment(books, invoice)
    return f"invoice {invoice.id} was paid"


def _item(books: Books, rng: Random) -> str | None:
    item = any_record(books, rng, "invoiceitem", having(invoice=None))
    if item is not None and rng.random() < 0.6:
        billing.remove_invoice_item(books, item)
        return f"invoice item {item.id} was deleted"
    owner = any_record(books, rng, "customer")
    return f"invoice item {billing.invoice_item(books, owner, 700).id} waits" if owner else None


def _credit(books: Books, rng: Random) -> str | None:
    invoice = any_record(books, rng, "invoice", lambda each: each.data["status"] in ("paid", "open")
                         and each.data["amount_due"] > 1000)
    made = billing.issue_credit_note(books, invoice, [(None, 300, "Sorry")]) if invoice else None
    return f"credit note {made.id}" if made else None


def _store(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer")
    if owner is None:
        return None
    maker = rng.choice((customers.card, customers.bank_account, customers.tax_id, customers.payment_method,
                        payments.create_setup_intent))
    return f"{maker(books, owner).id} was stored"


def _unstore(books: Books, rng: Random) -> str | None:
    kind = rng.choice(("card", "bank_account", "tax_id", "payment_method"))
    record = any_record(books, rng, kind, lambda each: each.parent is not None or (
        kind == "payment_method" and each.data["customer"] is not None))
    if record is None:
        return None
    if kind == "payment_method":
        customers.detach(books, record)
    else:
        mutate.delete(books, record)
    return f"{record.id} was removed"


def _adjust(books: Books, rng: Random) -> str | None:
    owner = any_record(books, rng, "customer", lambda each: each.data["currency"] in (None, "usd"))
    return f"{customers.adjust_balance(books, owner, rng.choice((-500, 300)), 'usd').id} entered" if owner else None


def _move_money(books: Books, rng: Random) -> str | None:
    kind = rng.randrange(3)
    if kind == 0:
        return f"topup {ledger.top_up(books, 5000, 'usd').id}"
    if books is not books.world.books:
        return None
    if kind == 1:
        record = ledger.transfer(books, 2500, "usd", rng.choice(books.world.connected))
        return f"transfer {record.id}"
    found = any_record(books, rng, "transfer", lambda each: each.data["amount"] - each.data["amount_reversed"] >= 100)
    return f"reversal {ledger.reverse_transfer(books, found, 100).id}" if found else None


def _check_out(books: Books, rng: Random) -> str | None:
    session = any_record(books, rng, "checkout.session", having(status="open"))
    if session is not None:
        payments.complete_checkout(books, session)
        return f"checkout {session.id} completed"
    price = any_record(books, rng, "price", lambda each: each.data["type"] == "one_time" and each.data["active"])
    if price is None:
        return None
    owner = any_record(books, rng, "customer")  # not for guests: their payment methods would appear without an event
    return f"checkout {payments.open_checkout(books, owner, [(price, 1)]).id} opened" if owner else None


HAPPENINGS: tuple[tuple[Happening, int], ...] = (
    (_join, 10), (_rename, 12), (_delete_customer, 2), (_subscribe, 8), (_unsubscribe, 3), (_change_subscription, 8),
    (_sell, 16), (_refund, 4), (_dispute, 1), (_decide, 1), (_stock, 2), (_change_stock, 5), (_coupons, 2),
    (_discount, 4), (_invoice, 7), (_move_invoice, 5), (_item, 4), (_credit, 2), (_store, 8), (_unstore, 4),
    (_adjust, 4), (_move_money, 3), (_check_out, 4),
)


def step(books: Books, rng: Random, silent: bool | Literal["only"] = False) -> str:
    """Let one random thing happen; return what happened."""
    loud = () if silent == "only" else HAPPENINGS
    actions, weights = zip(*loud, *(SILENT if silent else ()), strict=True)
    while True:
        happened: str | None = rng.choices(actions, weights)[0](books, rng)
        if happened is not None:
            return happened
