"""Makers of objects that the functions of the business create; then every empty column gets a value."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import billing, customers, ledger, payments, products
from stripe_source.sandbox.populate.request import PopulateRequest, newest_customer
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.scenario.fabricate import fill
from stripe_source.sandbox.state import accounts
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

Maker = Callable[[PopulateRequest, int], Record]
# Events that tell the state of a populated object, for types without an event of changes.
_STATE_EVENTS = {
    "invoice_payment": "invoice_payment.paid", "invoiceitem": "invoiceitem.created",
    "payment_intent": "payment_intent.created", "setup_intent": "setup_intent.created", "topup": "topup.created",
}


def full_price(request: PopulateRequest) -> Record:
    """Return a price with a value in every column."""
    books = request.books
    found = next((each for each in books.all("price")[::-1] if each.data.get("transform_quantity")
                  and each.data["active"]), None)
    return found or books.get("price", request.populate("prices", 1)[0]["id"])


def filled(request: PopulateRequest, record: Record, number: int, keep: Data | None = None) -> Record:
    """Give every empty column of an object a value, and emit the event of the change if Stripe has one."""
    books = request.books
    expand_only: Data = record.expand_only if record.expand_only is not None else {}
    fill(books, record.object, record.data, expand_only, request.schema_map, number)
    record.data.update(keep or {})
    record.expand_only = expand_only or None
    books.invalidate(record)
    type = mutate.updated_event(books, record) or _STATE_EVENTS.get(record.object)
    if type is not None:
        emit(books, type, record, {})
    return record


def _subscription_item(request: PopulateRequest, number: int) -> Record:
    books, owner = request.books, request.owner(number)
    record = mutate.create(books, "subscription_item", {"subscription": owner.id, "price": full_price(request).id})
    return filled(request, record, number, request.fields)


def _balance_transaction(request: PopulateRequest, number: int) -> Record:
    books = request.books
    charge = payments.pay(books, 1000 + number, "usd", None)
    entry = books.get("balance_transaction", charge.data["balance_transaction"])
    return filled(request, entry, number, request.fields)


def _fund(books: Books, amount: int) -> Record:
    """Add available money that is in no payout yet."""
    return ledger.record_transaction(
        books, "adjustment", amount, "usd", books.new_id("topup"), description="Adjustment")


def _swept(request: PopulateRequest, number: int) -> Record:
    """Make a balance transaction in an automatic payout, which pays out all that is available."""
    if request.parent is not None:
        raise ValueError("What is in a payout is settled when it is made; leave `parent` out.")
    books = request.books
    short = -sum(each.data["net"] for each in books.not_paid_out.get("usd", ()))
    entry = _fund(books, max(0, short) + 2000 + number)
    payout = ledger.create_payout(books, "usd")
    if payout is None:
        raise ValueError("There is nothing to pay out.")
    return filled(request, entry, number, request.fields)


def _payout(request: PopulateRequest, number: int) -> Record:
    """Make a manual payout."""
    books = request.books
    _fund(books, 2000 + number)
    record = ledger.create_payout(books, "usd", 100 + number)
    if record is None:
        raise ValueError("There is nothing to pay out.")
    return filled(request, record, number, request.fields)


def _plan(request: PopulateRequest, number: int) -> Record:
    books = request.books
    price = products.price(books, products.product(books, f"Planned {number}").id, 1000 + number, "usd", "month")
    return filled(request, books.get("plan", price.id), number, request.fields)


def _price(request: PopulateRequest, number: int) -> Record:
    books = request.books
    fields = {"recurring": {"interval": "month"}, **request.fields}
    record = filled(request, mutate.create(books, "price", fields), number)
    twin = books.find("plan", record.id)
    if twin is not None:
        filled(request.for_table("plans"), twin, number)
    if number % 3 == 1:
        products.update_price(books, record, active=False)
    return record


def _customer(request: PopulateRequest, number: int) -> Record:
    record = customers.customer(request.books, **request.fields)
    return filled(request, record, number)


def _invoice_payment(request: PopulateRequest, number: int) -> Record:
    books = request.books
    invoice = books.get("invoice", mutate.create(books, "invoiceitem", {
        "invoice": mutate.create(books, "invoice", {}).id}).data["invoice"])
    billing.finalize(books, invoice)
    billing.collect_payment(books, invoice)
    paid = [each for each in books.all("invoice_payment") if each.data["invoice"] == invoice.id]
    return filled(request, paid[-1], number, request.fields)


def _invoice_line(request: PopulateRequest, number: int) -> Record:
    books, invoice = request.books, request.owner(number)
    mutate.create(books, "invoiceitem", {"invoice": invoice.id, "customer": invoice.data["customer"]})
    return filled(request, books.children(("line_item",), invoice.id)[-1], number, request.fields)


def _credit_line(request: PopulateRequest, number: int) -> Record:
    books = request.books
    note = books.get("credit_note", request.parent) if request.parent else mutate.create(books, "credit_note", {})
    return filled(request, books.children(("credit_note_line_item",), note.id)[-1], number, request.fields)


def _event(request: PopulateRequest, number: int) -> Record:
    books = request.books
    owner = newest_customer(books)
    made = change(books, owner, description=f"Changed {books.count('changed')} times")
    record = emit(books, "customer.updated", owner, made)
    if record is None:
        raise ValueError("Events are kept for 30 days only.")
    record.data["request"] = {"id": books.new_id("req"), "idempotency_key": f"key-{number}"}
    record.data.update(account=books.account, context=books.account)
    books.invalidate(record)
    return record


def _discount(request: PopulateRequest, number: int) -> Record:
    books = request.books
    coupon = mutate.create(books, "coupon", {"duration": "repeating", "duration_in_months": 6})
    promotion = products.promotion_code(books, coupon, f"SAVE{books.count('promos')}")
    owner = books.get("customer", request.parent) if request.parent else customers.customer(books)
    record = books.get("discount", customers.apply_discount(books, owner, coupon, promotion)["id"])
    kept = {name: record.data.get(name) for name in ("customer", "end")}
    fill(books, "discount", record.data, {}, request.schema_map, number)
    record.data.update(kept, **request.fields)
    books.invalidate(record)
    change(books, owner, "customer.updated")
    return record


def _tax_id(request: PopulateRequest, number: int) -> Record:
    books = request.books
    owner = None
    if request.parent:
        owner = books.get("customer", request.parent)
    elif number % 2:
        owner = customers.customer(books)
    record = customers.tax_id(books, owner)
    kept = {name: record.data[name] for name in ("customer", "owner")} | request.fields
    return filled(request, record, number, kept)


def _review(request: PopulateRequest, number: int) -> Record:
    """Make a review of a payment; every second one is closed, so that lists leave it out."""
    books = request.books
    charge = payments.pay(books, 5000 + number, "usd", customers.customer(books))
    intent = books.get("payment_intent", charge.data["payment_intent"])
    record = books.add("review", charge=charge.id, payment_intent=intent.id, open=True, reason="rule",
                       opened_reason="rule")
    fill(books, "review", record.data, {}, request.schema_map, number)
    record.data.update(request.fields)
    if "open" not in request.fields:
        record.data.update(open=number % 2 == 0)
    if record.data["open"]:
        record.data.update(closed_reason=None)
    else:
        record.data.update(closed_reason="approved", reason="approved")
    books.invalidate(record)
    change(books, charge, "charge.updated", review=record.id)
    change(books, intent, review=record.id)
    emit(books, "review.opened" if record.data["open"] else "review.closed", record)
    return record


def _account(request: PopulateRequest, number: int) -> Record:
    """Make a connected account, with books of its own."""
    books, world = request.books, request.books.world
    profile = accounts.profile(books.new_id("account"), f"Shop {number}", "US", "usd", books.now,
                               ("custom", "express", "standard")[number % 3])
    theirs = Books(world, profile["id"])
    theirs.profile = {**profile, "bank": {"usd": books.new_id("bank_account")}}
    world.accounts[profile["id"]] = theirs
    record = accounts.connect(books, profile)
    return filled(request, record, number, request.fields)


MAKERS: dict[str, Maker] = {
    "accounts": _account, "balance_transactions": _balance_transaction, "credit_note_line_items": _credit_line,
    "customers": _customer, "discounts": _discount, "events": _event, "invoice_line_items": _invoice_line,
    "invoice_payments": _invoice_payment, "payouts": _payout, "payout_balance_transactions": _swept, "plans": _plan,
    "prices": _price, "reviews": _review, "subscription_items": _subscription_item, "tax_ids": _tax_id,
}
