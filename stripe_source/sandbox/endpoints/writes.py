"""POST and DELETE of the endpoints that integrations commonly write to."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stripe_source.sandbox.business import billing, customers, ledger, payments, subscriptions
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import LISTS, OBJECTS, blank, has_blank
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Refusal, missing

# Parameters that are no fields of the object.
_EXTRA = {
    "charge": {"source", "capture"}, "coupon": {"applies_to", "currency_options"}, "credit_note": {"amount", "lines"},
    "customer": {"source", "payment_method", "coupon", "promotion_code", "tax_id_data"},
    "invoiceitem": {"price", "coupon", "unit_amount"}, "payment_intent": {"confirm", "off_session", "return_url"},
    "payout": {"method"}, "price": {"tiers", "currency_options", "product_data"},
    "promotion_code": {"coupon"}, "checkout.session": {"line_items", "price", "quantity"},
    "setup_intent": {"confirm", "off_session"}, "invoice": {"pending_invoice_items_behavior", "subscription"},
    "subscription": {"items", "coupon", "trial_period_days", "payment_behavior", "proration_behavior", "off_session",
                     "cancel_at_period_end", "price", "prorate", "invoice_now"},
    "subscription_item": {"payment_behavior", "proration_behavior", "clear_usage"},
    "tax_id": {"customer"}, "tax_rate": set(), "transfer": set(),
}
_REQUIRED = {"charge": ("amount", "currency"), "payment_intent": ("amount", "currency"), "price": ("currency",),
             "product": ("name",), "invoiceitem": ("customer",), "subscription": ("customer",),
             "payout": ("amount", "currency"), "transfer": ("currency", "destination"), "topup": ("amount", "currency"),
             "tax_rate": ("display_name", "percentage", "inclusive")}
_DECLINING = {"tok_chargeDeclined": "card_declined", "pm_card_chargeDeclined": "card_declined",
              "tok_chargeDeclinedInsufficientFunds": "insufficient_funds",
              "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds"}
_CREATE = {path: entry["objects"][0] for path, entry in LISTS.items() if "{" not in path and path.startswith("/v1/")
           and has_blank(entry["objects"][0])}


def _coerce(object: str, name: str, value: Any) -> Any:
    kind = OBJECTS.get(object, {}).get("types", {}).get(name)
    extra = {"capture": "bool", "confirm": "bool", "trial_period_days": "int", "inclusive": "bool"}.get(name)
    kind = kind or extra
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()} if name != "metadata" else value
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value == "" and kind != "bool":
        return None
    if kind == "int":
        try:
            return int(value)
        except ValueError:
            raise Refusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name) from None
    if kind == "float":
        return float(value)
    if kind == "bool":
        return value == "true"
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str) and (value.isdigit() or (value[:1] == "-" and value[1:].isdigit())) and len(value) < 19:
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _fields(object: str, params: dict[str, Any]) -> Data:
    known = {*blank(object), *OBJECTS.get(object, {}).get("types", {}), *_EXTRA.get(object, ())}
    unknown = [name for name in params if name not in known]
    if unknown:
        raise Refusal(400, f"Received unknown parameter: {unknown[0]}", code="parameter_unknown", param=unknown[0])
    return {name: _coerce(object, name, value) for name, value in params.items()}


def _find_or_refuse(books: Books, object: str, id: str, param: str | None = None) -> Record:
    record = books.find(object, id)
    if record is None:
        raise missing(object, id, param or "id")
    return record


def _method(books: Books, fields: Data, owner: Record | None) -> tuple[Record | None, str | None]:
    given = fields.pop("payment_method", None) or fields.pop("source", None)
    if given is None:
        return None, None
    if given in _DECLINING:
        return None, _DECLINING[given]
    if given.startswith(("tok_", "pm_card_")):
        return customers.payment_method(books, owner), None
    return _find_or_refuse(books, "payment_method", given, "payment_method"), None


def create(books: Books, path: str, params: dict[str, Any]) -> Record | None:
    """Handle a POST to a list; return None where nothing can be created."""
    object = _CREATE.get(path)
    if object is None or object in ("event", "balance_transaction", "account", "dispute", "plan"):
        return None
    fields = _fields(object, params)
    for name in _REQUIRED.get(object, ()):
        if name not in fields:
            raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    owner = None
    if fields.get("customer"):
        owner = _find_or_refuse(books, "customer", fields["customer"], "customer")
    for each in ("payment_behavior", "proration_behavior", "off_session", "return_url", "source_type",
                 "pending_invoice_items_behavior", "prorate"):
        fields.pop(each, None)
    if object in ("charge", "payment_intent"):
        return _pay(books, object, fields, owner)
    if object == "customer":
        return _create_customer(books, fields)
    if fields.get("id") and books.find(object, fields["id"]) is not None:
        raise Refusal(400, f"{object.replace('_', ' ').capitalize()} already exists.", code="resource_already_exists",
                      param="id")
    if object in _PREPARE:
        _PREPARE[object](books, fields)
    try:
        return mutate.create(books, object, fields)
    except (KeyError, ValueError) as error:
        raise Refusal(400, str(error.args[0])) from None


def _create_customer(books: Books, fields: Data) -> Record:
    method, decline = _method(books, fields, None)
    _refuse_decline(decline)
    coupon = fields.pop("coupon", None)
    fields.pop("tax_id_data", None)
    record = mutate.create(books, "customer", {**_empty_customer(), **fields})
    if method is not None:
        customers.attach(books, method, record)
    if coupon:
        customers.apply_discount(books, record, _find_or_refuse(books, "coupon", coupon, "coupon"))
    return record


def _prepare_setup_intent(books: Books, fields: Data) -> None:
    fields.pop("confirm", None)
    fields.pop("payment_method", None)


def _prepare_price(books: Books, fields: Data) -> None:
    if "product_data" in fields:
        fields["product"] = mutate.create(books, "product", dict(fields.pop("product_data"))).id


def _prepare_refund(books: Books, fields: Data) -> None:
    if not fields.get("charge"):
        return
    charge = _find_or_refuse(books, "charge", fields["charge"], "charge")
    if (fields.get("amount") or 1) > payments.refundable(charge):
        if not payments.refundable(charge):
            raise Refusal(400, f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
        raise Refusal(400, f"Refund amount is greater than unrefunded amount on charge ({charge.id}).", param="amount")


def _prepare_subscription(books: Books, fields: Data) -> None:
    for item in fields.get("items") or ():
        _find_or_refuse(books, "price", item.get("price", ""), "items[0][price]")


def _prepare_payout(books: Books, fields: Data) -> None:
    available = books.balance.get(fields["currency"], [0, 0])[0]
    if fields["amount"] > available:
        raise Refusal(400, "You have insufficient funds in your Stripe account for this transfer.",
                      code="balance_insufficient")


def _prepare_checkout_session(books: Books, fields: Data) -> None:
    if fields.get("line_items"):
        line = fields.pop("line_items")[0]
        fields.update(price=line.get("price"), quantity=line.get("quantity", 1))


# Checks and changes of the parameters before an object is created.
_PREPARE: dict[str, Callable[[Books, Data], None]] = {
    "checkout.session": _prepare_checkout_session, "payout": _prepare_payout, "price": _prepare_price,
    "refund": _prepare_refund, "setup_intent": _prepare_setup_intent, "subscription": _prepare_subscription,
}


def _empty_customer() -> Data:
    return {"name": None, "email": None, "address": None, "phone": None, "description": None, "metadata": {},
            "shipping": None, "preferred_locales": []}


def _refuse_decline(decline: str | None, charge: str | None = None) -> None:
    if decline:
        more: dict[str, Any] = {"charge": charge} if charge else {}
        raise Refusal(402, "Your card was declined.", code="card_declined", type="card_error", decline_code=decline,
                      **more)


def _pay(books: Books, object: str, fields: Data, owner: Record | None) -> Record:
    method, decline = _method(books, fields, owner)
    capture, confirmed = fields.pop("capture", True), fields.pop("confirm", False)
    amount, currency = fields.pop("amount"), fields.pop("currency")
    fields.pop("customer", None)
    if amount < 1:
        raise Refusal(400, "This value must be greater than or equal to 1.", code="parameter_invalid_integer",
                      param="amount")
    if object == "charge":
        known = {name: fields[name] for name in ("description", "metadata", "transfer_group") if name in fields}
        charge = payments.pay(books, amount, currency, owner, method, decline=decline, capture=capture, **known)
        _refuse_decline(decline, charge.id)
        return charge
    intent = payments.create_intent(books, amount, currency, owner, **fields)
    if confirmed:
        charge = payments.confirm(books, intent, method, decline=decline,
                                  capture=intent.data["capture_method"] != "manual")
        _refuse_decline(decline, charge.id)
    elif method is not None:
        change(books, intent, payment_method=method.id, status="requires_confirmation")
    return intent


def update(books: Books, record: Record, params: dict[str, Any]) -> Record:
    """Handle a POST to an object."""
    fields = _fields(record.object, params)
    items = fields.pop("items", None)
    for each in ("proration_behavior", "payment_behavior", "off_session"):
        fields.pop(each, None)
    if fields:
        mutate.update(books, record, fields)
    for item in items or ():
        if item.get("deleted"):
            subscriptions.remove_item(books, _find_or_refuse(books, "subscription_item", item["id"]))
        elif item.get("id"):
            mutate.update(books, _find_or_refuse(books, "subscription_item", item["id"]), {
                name: value for name, value in item.items() if name != "id"})
        else:
            mutate.create(books, "subscription_item", {**item, "subscription": record.id})
    return record


def _status(record: Record, *allowed: str) -> None:
    if record.data["status"] not in allowed:
        raise Refusal(400, f"This {record.object.replace('_', ' ')} has status {record.data['status']}, so that cannot "
                           "be done.", code=f"{record.object}_unexpected_state")


def _confirm(books: Books, record: Record, params: Data) -> None:
    _status(record, "requires_payment_method", "requires_confirmation")
    owner = books.find("customer", record.data["customer"])
    method, decline = _method(books, params, owner)
    method = method or books.find("payment_method", record.data["payment_method"])
    charge = payments.confirm(books, record, method, decline=decline,
                              capture=record.data["capture_method"] != "manual")
    _refuse_decline(decline, charge.id)


def _capture(books: Books, record: Record, params: Data) -> None:
    intent = record
    if record.object == "charge":
        intent = books.get("payment_intent", record.data["payment_intent"])
    _status(intent, "requires_capture")
    amount = params.get("amount_to_capture") or params.get("amount")
    payments.capture(books, intent, int(amount) if amount else None)


def _cancel(books: Books, record: Record, params: Data) -> None:
    if record.object == "payment_intent":
        _status(record, "requires_payment_method", "requires_confirmation", "requires_capture", "requires_action")
        payments.cancel_intent(books, record)
    elif record.object == "subscription_schedule":
        change(books, record, "subscription_schedule.canceled", status="canceled", canceled_at=books.now)
    else:
        change(books, record, f"{record.object}.canceled", status="canceled")


def _finalize(books: Books, record: Record, params: Data) -> None:
    _status(record, "draft")
    billing.finalize(books, record)


def _pay_invoice(books: Books, record: Record, params: Data) -> None:
    if record.data["status"] == "draft":
        billing.finalize(books, record)
    _status(record, "open")
    billing.collect_payment(books, record)


def _void(books: Books, record: Record, params: Data) -> None:
    _status(record, "open", "uncollectible")
    billing.void_invoice(books, record)


def _uncollectible(books: Books, record: Record, params: Data) -> None:
    _status(record, "open")
    billing.void_invoice(books, record, "uncollectible")


def _send(books: Books, record: Record, params: Data) -> None:
    emit(books, "invoice.sent", record)


def _attach(books: Books, record: Record, params: Data) -> None:
    customers.attach(books, record, _find_or_refuse(books, "customer", params.get("customer", ""), "customer"))


def _detach(books: Books, record: Record, params: Data) -> None:
    customers.detach(books, record)


def _expire(books: Books, record: Record, params: Data) -> None:
    _status(record, "open")
    change(books, record, status="expired", url=None)
    emit(books, "checkout.session.expired", record)


def _close(books: Books, record: Record, params: Data) -> None:
    payments.close_dispute(books, record, "lost")


_ACTIONS: dict[tuple[str, str], Callable[[Books, Record, Data], None]] = {
    ("payment_intent", "confirm"): _confirm, ("payment_intent", "capture"): _capture,
    ("payment_intent", "cancel"): _cancel, ("charge", "capture"): _capture, ("setup_intent", "cancel"): _cancel,
    ("subscription_schedule", "cancel"): _cancel, ("topup", "cancel"): _cancel, ("payout", "cancel"): _cancel,
    ("invoice", "finalize"): _finalize, ("invoice", "pay"): _pay_invoice, ("invoice", "void"): _void,
    ("invoice", "mark_uncollectible"): _uncollectible, ("invoice", "send"): _send,
    ("payment_method", "attach"): _attach, ("payment_method", "detach"): _detach,
    ("checkout.session", "expire"): _expire, ("dispute", "close"): _close,
}
_CHILD_CREATORS: dict[tuple[str, str], Callable[[Books, Record, Data], Record]] = {
    ("customer", "sources"): lambda books, owner, params: customers.card(books, owner),
    ("customer", "tax_ids"): lambda books, owner, params: customers.tax_id(books, owner, **params),
    ("customer", "balance_transactions"): lambda books, owner, params: customers.adjust_balance(
        books, owner, int(params.pop("amount", 0)), params.pop("currency", "usd"), **params),
    ("transfer", "reversals"): lambda books, record, params: ledger.reverse_transfer(
        books, record, int(params.get("amount") or record.data["amount"] - record.data["amount_reversed"])),
}


def act(books: Books, record: Record, action: str, params: dict[str, Any]) -> Record | None:
    """Handle a POST below an object: an action or a new child; return None where there is no such path."""
    if (record.object, action) in _ACTIONS:
        _ACTIONS[record.object, action](books, record, dict(params))
        return record
    if (record.object, action) in _CHILD_CREATORS:
        return _CHILD_CREATORS[record.object, action](books, record, dict(params))
    return None


def remove(books: Books, record: Record) -> Data:
    """Handle a DELETE of an object."""
    if record.object == "invoice" and record.data["status"] != "draft":
        raise Refusal(400, "You can only delete draft invoices.", code="invoice_not_editable")
    if record.object == "subscription" and record.data["status"] == "canceled":
        raise missing("subscription", record.id)
    if record.object == "product" and any(each.data["product"] == record.id for each in books.all("price")):
        raise Refusal(400, "This product cannot be deleted because it has one or more user-created prices.")
    if record.object not in ("customer", "subscription", "card", "bank_account", "tax_id", "invoice", "invoiceitem",
                             "subscription_item", "product", "coupon", "plan", "radar.value_list", "account",
                             "radar.value_list_item", "webhook_endpoint", "terminal.reader", "terminal.location",
                             "terminal.configuration", "test_helpers.test_clock", "apple_pay_domain", "person"):
        raise Refusal(405, "This object cannot be deleted.")
    return mutate.delete(books, record)
