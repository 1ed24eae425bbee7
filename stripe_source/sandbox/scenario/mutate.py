"""Create, update and delete objects of any type, with the events that Stripe has for it."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stripe_source.sandbox.business import billing, customers, ledger, payments, products, singletons, subscriptions
from stripe_source.sandbox.business.customer_deletion import remove_customer
from stripe_source.sandbox.scenario import fabricate
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, EMBEDDED, event_types, has_blank
from stripe_source.sandbox.state.clocks import clock_of
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

# The event of a change, where Stripe has several that would fit.
_UPDATED = {
    "account": "account.updated", "bank_account": "customer.source.updated", "card": "customer.source.updated",
    "charge": "charge.updated", "dispute": "charge.dispute.updated", "invoice": "invoice.updated",
    "payment_method": "payment_method.updated", "refund": "refund.updated",
    "subscription": "customer.subscription.updated", "tax_id": "customer.tax_id.updated",
}


def locate(books: Books, object: str, id: str) -> Record:
    """Return the record of that type and id."""
    return books.get(object, id)


def _customer(books: Books, fields: Data) -> Record | None:
    return books.find("customer", fields.pop("customer", None))


def _prices(books: Books, fields: Data) -> list[tuple[Record, int]]:
    items = fields.pop("items", None) or [{"price": fields.pop("price", None)}]
    return [(books.get("price", item["price"]) if item.get("price") else _any_price(books),
             int(item.get("quantity", 1))) for item in items]


def _any_price(books: Books) -> Record:
    found = next((each for each in books.all("price") if each.data["active"] and each.data["recurring"]
                  and each.data["recurring"]["interval"] in ("month", "year")), None)
    return found or products.price(books, products.product(books, "Anything").id, 1000, "usd", "month")


def _charge(books: Books, fields: Data) -> Record:
    known = {name: fields.pop(name) for name in ("description", "metadata", "transfer_group") if name in fields}
    return payments.pay(
        books, int(fields.pop("amount", 1000)), fields.pop("currency", "usd"), _customer(books, fields),
        decline=fields.pop("decline", None), capture=fields.pop("capture", True), **known)


def _refund(books: Books, fields: Data) -> Record:
    charge = fields.pop("charge", None)
    intent = books.find("payment_intent", fields.pop("payment_intent", None))
    if charge is None and intent is not None:
        charge = intent.data["latest_charge"]
    charge = charge or _charge(books, {}).id
    amount = fields.pop("amount", None)
    return payments.refund(books, books.get("charge", charge), int(amount) if amount else None, **_take_all(fields))


def _take_all(fields: Data) -> Data:
    taken = dict(fields)
    fields.clear()
    return taken


def _subscription(books: Books, fields: Data) -> Record:
    owner = _customer(books, fields) or customers.customer(books)
    coupon = books.find("coupon", fields.pop("coupon", None))
    trial = int(fields.pop("trial_days", 0) or fields.pop("trial_period_days", 0) or 0)
    decline = fields.pop("decline", None)
    return subscriptions.subscribe(books, owner, _prices(books, fields), coupon=coupon, trial_days=trial,
                                   decline=decline, **_take_all(fields))


def _invoice(books: Books, fields: Data) -> Record:
    owner = _customer(books, fields) or customers.customer(books)
    return billing.draft_invoice(books, owner, fields.pop("lines", []), **_take_all(fields))


def _item(books: Books, fields: Data) -> Record:
    owner = _customer(books, fields) or customers.customer(books)
    invoice = books.find("invoice", fields.pop("invoice", None))
    price = books.find("price", fields.pop("price", None))
    coupon = books.find("coupon", fields.pop("coupon", None))
    quantity = int(fields.pop("quantity", 1))
    amount = fields.pop("amount", None)
    if amount is None:
        amount = (price.data["unit_amount"] or 0) * quantity if price else 1000
    return billing.invoice_item(books, owner, int(amount), fields.pop("currency", "usd"), invoice=invoice, price=price,
                                quantity=quantity, coupon=coupon, **_take_all(fields))


def _price(books: Books, fields: Data) -> Record:
    recurring = fields.pop("recurring", None) or {}
    product = fields.pop("product", None) or products.product(books, "Anything").id
    amount = fields.pop("unit_amount", None if "tiers" in fields else 1000)
    return products.price(books, product, amount if amount is None else int(amount), fields.pop("currency", "usd"),
                          recurring.get("interval"), int(recurring.get("interval_count", 1)),
                          tiers=fields.pop("tiers", None), options=fields.pop("currency_options", None),
                          **_take_all(fields))


def _coupon(books: Books, fields: Data) -> Record:
    if not fields.get("amount_off") and "percent_off" not in fields:
        fields["percent_off"] = 10.0
    applies = fields.pop("applies_to", None)
    return products.coupon(books, products=applies["products"] if applies else None, **_take_all(fields))


def _promotion(books: Books, fields: Data) -> Record:
    promotion = fields.pop("promotion", None) or {}
    coupon = books.find("coupon", fields.pop("coupon", None) or promotion.get("coupon"))
    code = fields.pop("code", None) or f"PROMO{books.count('promos')}"
    return products.promotion_code(books, coupon or products.coupon(books, percent_off=10.0), code, **_take_all(fields))


def _intent(books: Books, fields: Data) -> Record:
    return payments.create_intent(books, int(fields.pop("amount", 1000)), fields.pop("currency", "usd"),
                                  _customer(books, fields), **_take_all(fields))


def _for_customer(make: Callable[..., Record]) -> Callable[[Books, Data], Record]:
    def made(books: Books, fields: Data) -> Record:
        return make(books, _customer(books, fields) or customers.customer(books), **_take_all(fields))

    return made


def _balance(books: Books, fields: Data) -> Record:
    owner = _customer(books, fields) or customers.customer(books)
    return customers.adjust_balance(books, owner, int(fields.pop("amount", -100)), fields.pop("currency", "usd"),
                                    **_take_all(fields))


def _dispute(books: Books, fields: Data) -> Record:
    charge = fields.pop("charge", None) or _charge(books, fields).id
    return payments.dispute(books, books.get("charge", charge), reason=fields.pop("reason", "fraudulent"), ends=None)


def _payout(books: Books, fields: Data) -> Record:
    amount = fields.pop("amount", None)
    currency = fields.pop("currency", "usd")
    made = ledger.create_payout(books, currency, int(amount) if amount else None,
                                instant=fields.pop("method", None) == "instant")
    if made is None:
        raise ValueError(f"There is nothing to pay out in `{currency}`.")
    return made


def _transfer(books: Books, fields: Data) -> Record:
    destination = fields.pop("destination", None) or next(
        each for each in books.world.accounts if each != books.account)
    return ledger.transfer(books, int(fields.pop("amount", 1000)), fields.pop("currency", "usd"), destination,
                           **_take_all(fields))


def _reversal(books: Books, fields: Data) -> Record:
    transfer = fields.pop("transfer", None)
    record = books.get("transfer", transfer) if transfer else _transfer(books, {})
    return ledger.reverse_transfer(books, record, int(fields.pop("amount", 100)), **_take_all(fields))


def _topup(books: Books, fields: Data) -> Record:
    return ledger.top_up(books, int(fields.pop("amount", 10000)), fields.pop("currency", "usd"), **_take_all(fields))


def _subscription_item(books: Books, fields: Data) -> Record:
    known = fields.pop("subscription", None)
    subscription = books.get("subscription", known) if known else _subscription(books, {})
    price = books.find("price", fields.pop("price", None)) or _any_price(books)
    others = books.children(("subscription_item",), subscription.id)
    end = others[0].data["current_period_end"] if others else books.now + 30 * 86400
    quantity = int(fields.pop("quantity", 1))
    return subscriptions.add_item(books, subscription, price, quantity, end=end, **_take_all(fields))


def _session(books: Books, fields: Data) -> Record:
    price = books.find("price", fields.pop("price", None)) or next(
        (each for each in books.all("price") if each.data["type"] == "one_time"), None)
    if price is None:
        price = products.price(books, products.product(books, "Anything").id, 1500)
    return payments.open_checkout(books, _customer(books, fields), [(price, int(fields.pop("quantity", 1)))],
                                  **_take_all(fields))


def _schedule(books: Books, fields: Data) -> Record:
    subscription = books.find("subscription", fields.pop("subscription", None)) or _subscription(books, {})
    return subscriptions.schedule(books, subscription, _any_price(books))


def _tax_id(books: Books, fields: Data) -> Record:
    return customers.tax_id(books, _customer(books, fields), **_take_all(fields))


def _method(books: Books, fields: Data) -> Record:
    return customers.payment_method(books, _customer(books, fields), fields.pop("type", "card"), **_take_all(fields))


def _credit_note(books: Books, fields: Data) -> Record:
    known = fields.pop("invoice", None)
    if known is None:
        known = _item(books, {"invoice": _invoice(books, {}).id}).data["invoice"]
        billing.finalize(books, books.get("invoice", known))
    invoice = books.get("invoice", known)
    amount = int(fields.pop("amount", 100))
    made = billing.issue_credit_note(books, invoice, [(None, amount, "Credit")], **_take_all(fields))
    if made is None:
        raise ValueError(f"Invoice `{invoice.id}` cannot be credited by `{amount}`.")
    return made


def _fee_refund(books: Books, fields: Data) -> Record:
    record = fabricate.make_one(books, "fee_refund", {"amount": 10, **_take_all(fields)})
    fee = books.get("application_fee", record.parent or "")
    total = (fee.data.get("amount_refunded") or 0) + record.data["amount"]
    change(books, fee, "application_fee.refunded", amount_refunded=total, refunded=total == fee.data.get("amount"))
    return record


_CREATORS: dict[str, Callable[[Books, Data], Record]] = {
    "bank_account": _for_customer(customers.bank_account), "card": _for_customer(customers.card), "charge": _charge,
    "checkout.session": _session, "coupon": _coupon, "credit_note": _credit_note,
    "customer": lambda books, fields: customers.customer(books, **_take_all(fields)),
    "customer_balance_transaction": _balance, "dispute": _dispute, "fee_refund": _fee_refund, "invoice": _invoice,
    "invoiceitem": _item,
    "payment_intent": _intent, "payment_method": _method, "payout": _payout, "price": _price,
    "product": lambda books, fields: products.product(books, fields.pop("name", "Product"), **_take_all(fields)),
    "promotion_code": _promotion, "refund": _refund, "setup_intent": _for_customer(payments.create_setup_intent),
    "subscription": _subscription, "subscription_item": _subscription_item, "subscription_schedule": _schedule,
    "tax_id": _tax_id,
    "tax_rate": lambda books, fields: products.tax_rate(
        books, fields.pop("display_name", "VAT"), float(fields.pop("percentage", 19.0)), **_take_all(fields)),
    "topup": _topup, "transfer": _transfer, "transfer_reversal": _reversal,
}


def create(books: Books, object: str, fields: Data) -> Record:
    """Create an object with what belongs to it; fields that its creator does not take are set by an update."""
    if books.find(object, fields.get("id")) is not None:
        raise ValueError(f"There is a `{object}` `{fields['id']}` already.")
    maker = _CREATORS.get(object)
    if maker is None:
        if has_blank(object):
            record = books.add(object, **fields)
        else:
            return fabricate.make_one(books, object, fields)
        _emit_created(books, record)
        return record
    rest = dict(fields)
    record = maker(books, rest)
    if rest:
        update(books, record, rest)
    return record


def _emit_created(books: Books, record: Record) -> None:
    for type in event_types(record.object)[0][:1]:
        emit(books, type, record)


def merged(old: Any, new: Any) -> Any:
    """Return a nested object with some of its values replaced, however deep."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{name: merged(old.get(name), value) for name, value in new.items()}}


def updated_event(books: Books, record: Record) -> str | None:
    """Return the type of the event of a change of that object, or None if Stripe has none."""
    if record.object in ("bank_account", "card"):
        theirs = books.find("customer", record.parent)
        return "customer.source.updated" if theirs else "account.external_account.updated"
    updated = event_types(record.object)[1]
    return _UPDATED.get(record.object) or next((type for type in updated if type.endswith(".updated")), None)


def update(books: Books, record: Record, fields: Data) -> Record:
    """Change fields, with the event if Stripe has one for it; None removes a key of metadata."""
    values: Data = {}
    for name, value in fields.items():
        old = record.data.get(name)
        values[name] = merged(old, value)
        if name == "metadata" and isinstance(value, dict):
            values[name] = {key: text for key, text in values[name].items() if text not in (None, "")}
    event: str | None
    if record.object == "price":
        products.update_price(books, record, **values)
        return record
    if record.object == "product":
        values["updated"] = books.now
    if record.object in ("line_item", "subscription_item", "credit_note_line_item") and record.parent:
        owner, event = {"line_item": ("invoice", "invoice.updated"), "subscription_item": (
            "subscription", "customer.subscription.updated"), "credit_note_line_item": (
            "credit_note", "credit_note.updated")}[record.object]
        change(books, record, **values)
        emit(books, event, books.get(owner, record.parent), {})
        return record
    event = updated_event(books, record)
    change(books, record, event, **values)
    if record.object == "refund":
        emit(books, "charge.refund.updated", record, {})
    if record.object == "account" and record.id in books.world.accounts:
        books.world.accounts[record.id].profile.update(values)
    return record


def child_kinds(object: str) -> list[tuple[str, ...]]:
    """Return the types of an object's children; types that share a list are in one tuple."""
    embedded = {kinds for kinds, _, _ in EMBEDDED.get(object, {}).values()}
    return sorted(embedded | {kinds for _, kinds, owner in CHILDREN.values() if owner == object})


def _stop_clock(books: Books, clock: Record) -> None:
    """Delete what lives on a test clock; `World.clocks_tell` says whether that has events."""
    books.events_suppressed = not books.world.clocks_tell
    try:
        _remove_objects_of_clock(books, clock)
    finally:
        books.events_suppressed = False


def _remove_objects_of_clock(books: Books, clock: Record) -> None:
    for object in ("subscription_schedule", "quote", "subscription", "customer"):
        for record in list(books.all(object)):
            if clock_of(books, record) == clock.id:
                if object == "customer":
                    delete(books, record)
                    continue
                if object == "subscription" and record.data["status"] != "canceled":
                    subscriptions.cancel(books, record)
                for kinds in child_kinds(object):
                    for child in list(books.children(kinds, record.id)):
                        books.remove(child)
                books.remove(record)


def delete(books: Books, record: Record) -> Data:
    """Delete an object and what belongs to it; return what Stripe answers."""
    object = record.object
    stub = books.stub(object, record.id)
    if object == "subscription":
        subscriptions.cancel(books, record)
        return books.to_dict(record)
    removers: dict[str, Callable[[Books, Record], None]] = {
        "bank_account": customers.remove_source, "card": customers.remove_source, "customer": remove_customer,
        "invoice": billing.remove_draft, "invoiceitem": billing.remove_invoice_item,
        "subscription_item": subscriptions.remove_item, "tax_id": customers.remove_tax_id,
    }
    if object in ("bank_account", "card") and books.find("account", record.parent) is not None:
        books.remove(record)
        emit(books, "account.external_account.deleted", books.collection(object).deleted[record.id].data)
        return stub
    if object in removers:
        for kinds in child_kinds(object) if object == "customer" else ():
            for child in list(books.children(kinds, record.id)):
                if child.object not in ("card", "bank_account", "tax_id", "subscription"):
                    books.remove(child)
        removers[object](books, record)
        return stub
    if object == "test_helpers.test_clock":
        _stop_clock(books, record)
    for kinds in child_kinds(object):
        for child in list(books.children(kinds, record.id)):
            books.remove(child)
    twin = books.find("plan", record.id) if object == "price" else None
    for each in (twin, record):
        if each is not None:
            books.remove(each)
            for type in event_types(each.object)[2][:1]:
                emit(books, type, books.collection(each.object).deleted[each.id].data)
    if object == "entitlements.active_entitlement" and record.parent is not None:
        summary = singletons.entitlements(books, record.parent)
        emit(books, "entitlements.active_entitlement_summary.updated", summary, {})
    return stub
