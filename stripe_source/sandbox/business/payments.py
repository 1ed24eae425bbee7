"""Payments: payment intents, charges, refunds, disputes, setup intents, checkout sessions."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.business.customers import payment_method
from stripe_source.sandbox.business.ledger import DAY, fee, record_transaction, to_settlement_currency
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

DECLINES = {
    "card_declined": "Your card was declined.", "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.", "incorrect_cvc": "Your card's security code is incorrect.",
}


def payment_method_details(method: Record | None, books: Books) -> Data:
    """Return the `payment_method_details` of a charge."""
    if method is None or method.data["type"] == "card":
        card = method.data["card"] if method else {}
        rng = books.world.rng
        return {"type": "card", "card": {
            "amount_authorized": None, "authorization_code": f"{rng.randrange(10**6):06d}",
            "brand": card.get("brand", "visa"), "checks": card.get("checks"), "country": card.get("country", "US"),
            "exp_month": card.get("exp_month", 1), "exp_year": card.get("exp_year", 2030),
            "extended_authorization": {"status": "disabled"}, "fingerprint": card.get("fingerprint"),
            "funding": card.get("funding", "credit"), "incremental_authorization": {"status": "unavailable"},
            "installments": None, "last4": card.get("last4", "4242"), "mandate": None,
            "multicapture": {"status": "unavailable"}, "network": card.get("brand", "visa"),
            "network_token": {"used": False}, "network_transaction_id": f"{rng.randrange(10**15):015d}",
            "overcapture": {"maximum_amount_capturable": 0, "status": "unavailable"},
            "regulated_status": "unregulated", "three_d_secure": None, "transaction_link_id": None, "wallet": None}}
    type = method.data["type"]
    if type == "us_bank_account":
        bank = method.data[type]
        return {"type": type, type: {key: bank[key] for key in (
            "account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")} | {
            "payment_reference": None}}
    return {"type": type, type: {}}


def create_intent(books: Books, amount: int, currency: str, owner: Record | None = None, **fields: Any) -> Record:
    """Create a payment intent that requires a payment method."""
    record = books.add("payment_intent", **{
        "amount": amount, "currency": currency, "customer": owner.id if owner else None,
        "status": "requires_payment_method", **fields})
    record.data["client_secret"] = record.data["client_secret"] or f"{record.id}_secret_{books.new_id('coupon')}"
    emit(books, "payment_intent.created", record)
    return record


def confirm(
    books: Books, intent: Record, method: Record | None = None, *, decline: str | None = None, capture: bool = True,
    description: str | None = None,
) -> Record:
    """Confirm a payment intent: create a charge that succeeds, fails, awaits capture or, from a bank, is pending.

    Args:
        books: the account.
        intent: the payment intent.
        method: the payment method; None creates a card, which is attached to the customer if there is one.
        decline: the decline code of the bank, if it declines.
        capture: False only authorizes the payment.
        description: of the charge.
    """
    owner = books.find("customer", intent.data["customer"])
    method = method or payment_method(books, owner)
    from_bank = method.data["type"] == "us_bank_account"
    fields = _charge_fields(books, intent, method, owner, description)
    if decline:
        fields.update(status="failed", paid=False, failure_code=decline,
                      failure_message=DECLINES.get(decline, "Your card was declined."))
        fields["outcome"].update(network_status="declined_by_network", network_decline_code="05", reason=decline,
                                 risk_level="elevated", type="issuer_declined",
                                 seller_message="The bank did not say why it declined.")
    elif from_bank:
        fields.update(status="pending", paid=False)
    charge = books.add("charge", id="py_" + books.new_id("charge")[3:] if from_bank else None, **fields)
    charge.data["receipt_url"] = None if decline else f"https://pay.stripe.com/receipts/payment/{charge.id}"
    common = {"latest_charge": charge.id, "payment_method_types": [method.data["type"]]}
    if decline:
        error = {"charge": charge.id, "code": "card_declined", "decline_code": decline, "type": "card_error",
                 "message": charge.data["failure_message"],
                 "doc_url": "https://stripe.com/docs/error-codes/card-declined"}
        emit(books, "charge.failed", charge)
        change(books, intent, **common, status="requires_payment_method", payment_method=None,
               last_payment_error=error)
        emit(books, "payment_intent.payment_failed", intent)
    elif from_bank:
        change(books, charge, captured=True, amount_captured=charge.data["amount"])
        emit(books, "charge.pending", charge)
        change(books, intent, **common, status="processing", payment_method=method.id, processing=None)
        emit(books, "payment_intent.processing", intent)
        books.world.call_at(books.now + 4 * DAY, _bank_pays, books, intent, charge)
    elif not capture:
        emit(books, "charge.succeeded", charge)
        change(books, intent, **common, status="requires_capture", payment_method=method.id, capture_method="manual",
               amount_capturable=charge.data["amount"])
        emit(books, "payment_intent.amount_capturable_updated", intent)
        books.world.call_at(books.now + 7 * DAY, _authorization_ends, books, intent, charge)
    else:
        _paid(books, charge)
        emit(books, "charge.succeeded", charge)
        change(books, intent, **common, status="succeeded", payment_method=method.id, last_payment_error=None,
               amount_received=charge.data["amount"])
        emit(books, "payment_intent.succeeded", intent)
    return charge


def _charge_fields(
    books: Books, intent: Record, method: Record, owner: Record | None, description: str | None
) -> Data:
    """Return the fields of a charge that succeeds."""
    data = intent.data
    return {
        "amount": data["amount"], "currency": data["currency"], "customer": data["customer"],
        "payment_intent": intent.id, "payment_method": method.id, "billing_details": method.data["billing_details"],
        "payment_method_details": payment_method_details(method, books), "fraud_details": {},
        "description": description or data["description"], "metadata": dict(data["metadata"]), "status": "succeeded",
        "calculated_statement_descriptor": "LIGHTHOUSE GOODS", "paid": True,
        "receipt_email": owner.data["email"] if owner and owner.data["email"] else None,
        "outcome": {"advice_code": None, "network_advice_code": None, "network_decline_code": None,
                    "network_status": "approved_by_network", "reason": None, "risk_level": "normal",
                    "risk_score": books.world.rng.randrange(1, 65), "seller_message": "Payment complete.",
                    "type": "authorized"},
        "transfer_group": data["transfer_group"],
    }


def _paid(books: Books, charge: Record, amount: int | None = None) -> None:
    amount = charge.data["amount"] if amount is None else amount
    settled, currency, rate = to_settlement_currency(books, amount, charge.data["currency"])
    type = "payment" if charge.id.startswith("py_") else "charge"
    entry = record_transaction(books, type, settled, currency, charge.id, fee=fee(settled, currency), days=2, rate=rate,
                               description=charge.data["description"])
    change(books, charge, balance_transaction=entry.id, captured=True, amount_captured=amount, paid=True,
           status="succeeded")


def _bank_pays(books: Books, intent: Record, charge: Record) -> None:
    if charge.data["status"] != "pending":
        return
    if books.count("bank payments") % 7 == 3:
        change(books, charge, status="failed", failure_code="insufficient_funds", captured=False, amount_captured=0,
               failure_message="The bank account does not hold enough money.")
        emit(books, "charge.failed", charge)
        change(books, intent, status="requires_payment_method", payment_method=None)
        emit(books, "payment_intent.payment_failed", intent)
        return
    _paid(books, charge)
    emit(books, "charge.succeeded", charge)
    change(books, intent, status="succeeded", amount_received=charge.data["amount"])
    emit(books, "payment_intent.succeeded", intent)


def capture(books: Books, intent: Record, amount: int | None = None) -> None:
    """Capture an authorized payment, or a part of it; the rest is released."""
    charge = books.get("charge", intent.data["latest_charge"])
    amount = intent.data["amount"] if amount is None else amount
    _paid(books, charge, amount)
    if amount < charge.data["amount"]:
        _release(books, charge, charge.data["amount"] - amount)
    emit(books, "charge.captured", charge)
    change(books, intent, status="succeeded", amount_received=amount, amount_capturable=0)
    emit(books, "payment_intent.succeeded", intent)


def _release(books: Books, charge: Record, amount: int) -> None:
    # an authorization is released by a refund that does not change the balance
    record = books.add("refund", parent_id=charge.id, amount=amount, charge=charge.id, currency=charge.data["currency"],
                       payment_intent=charge.data["payment_intent"], status="succeeded")
    total = charge.data["amount_refunded"] + amount
    change(books, charge, amount_refunded=total, refunded=total == charge.data["amount"])
    emit(books, "refund.created", record)


def cancel_intent(books: Books, intent: Record, reason: str = "requested_by_customer") -> None:
    """Cancel a payment intent; an authorized amount is released."""
    charge = books.find("charge", intent.data["latest_charge"])
    if charge is not None and intent.data["status"] == "requires_capture":
        _release(books, charge, charge.data["amount"])
        emit(books, "charge.refunded", charge)
    change(books, intent, status="canceled", canceled_at=books.now, cancellation_reason=reason, amount_capturable=0)
    emit(books, "payment_intent.canceled", intent)


def _authorization_ends(books: Books, intent: Record, charge: Record) -> None:
    if intent.data["status"] == "requires_capture":
        _release(books, charge, charge.data["amount"])
        emit(books, "charge.expired", charge)
        change(books, intent, status="canceled", canceled_at=books.now, cancellation_reason="automatic",
               amount_capturable=0)
        emit(books, "payment_intent.canceled", intent)


def pay(
    books: Books, amount: int, currency: str, owner: Record | None = None, method: Record | None = None, *,
    decline: str | None = None, capture: bool = True, **fields: Any,
) -> Record:
    """Create and confirm a payment intent; return its charge."""
    intent = create_intent(books, amount, currency, owner, **fields)
    return confirm(books, intent, method, decline=decline, capture=capture)


def refundable(charge: Record) -> int:
    """Return the amount of a charge that can still be refunded."""
    data = charge.data
    if data["status"] != "succeeded" or not data["captured"] or data["disputed"]:
        return 0
    return int(data["amount"] - data["amount_refunded"])


def refund(books: Books, charge: Record, amount: int | None = None, **fields: Any) -> Record:
    """Refund a charge, in full or in part."""
    data = charge.data
    amount = refundable(charge) if amount is None else amount
    settled, currency, rate = to_settlement_currency(books, amount, data["currency"])
    card = data["payment_method_details"]["type"] == "card"
    record = books.add("refund", **{
        "amount": amount, "charge": charge.id, "currency": data["currency"], "payment_intent": data["payment_intent"],
        "reason": books.world.rng.choice((None, "requested_by_customer", "duplicate")), "status": "succeeded",
        "destination_details": {"type": "card", "card": {
            "reference": f"{books.world.rng.randrange(10**11):011d}", "reference_status": "available",
            "reference_type": "acquirer_reference_number", "type": "refund"}} if card else {
            "type": "us_bank_transfer", "us_bank_transfer": {"reference": None, "reference_status": None}}, **fields},
        parent_id=charge.id)
    entry = record_transaction(books, "refund" if card else "payment_refund", -settled, currency, record.id, rate=rate,
                               description="REFUND FOR CHARGE" if card else "REFUND FOR PAYMENT")
    change(books, record, balance_transaction=entry.id)
    total = data["amount_refunded"] + amount
    previous = change(books, charge, amount_refunded=total, refunded=total == data["amount"])
    emit(books, "charge.refunded", charge, previous)
    emit(books, "refund.created", record)
    return record


def dispute(books: Books, charge: Record, *, reason: str = "fraudulent", ends: str | None = "lost") -> Record:
    """Create a dispute of a charge; it is decided 30 days later, unless `ends` is None."""
    data = charge.data
    settled, currency, rate = to_settlement_currency(books, data["amount"], data["currency"])
    record = books.add(
        "dispute", amount=data["amount"], charge=charge.id, currency=data["currency"], reason=reason,
        payment_intent=data["payment_intent"], status="needs_response", is_charge_refundable=False,
        payment_method_details={"type": "card", "card": {
            "brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"}},
    )
    record.data["evidence_details"]["due_by"] = books.now - books.now % DAY + 14 * DAY - 1
    change(books, charge, "charge.updated", disputed=True)
    emit(books, "charge.dispute.created", record)
    entry = record_transaction(books, "adjustment", -settled, currency, record.id, fee=1500, rate=rate,
                               category="dispute",
                               description=f"Chargeback withdrawal for {charge.id}")
    change(books, record, balance_transactions=[entry.id])
    emit(books, "charge.dispute.funds_withdrawn", record)
    if ends:
        books.world.call_at(books.now + 30 * DAY, close_dispute, books, record, ends)
    return record


def close_dispute(books: Books, record: Record, ends: str) -> None:
    """Decide an open dispute: it ends "won" or "lost"."""
    if record.data["status"] not in ("needs_response", "under_review"):
        return
    if ends == "won":
        settled, currency, rate = to_settlement_currency(books, record.data["amount"], record.data["currency"])
        entry = record_transaction(books, "adjustment", settled, currency, record.id, rate=rate,
                                   category="dispute_reversal",
                                   description=f"Chargeback reversal for {record.data['charge']}")
        change(books, record, status="won", balance_transactions=[*record.data["balance_transactions"], entry.id])
        emit(books, "charge.dispute.closed", record)
        emit(books, "charge.dispute.funds_reinstated", record)
    else:
        change(books, record, status="lost")
        emit(books, "charge.dispute.closed", record)


def create_setup_intent(books: Books, owner: Record, *, fails: bool = False, **fields: Any) -> Record:
    """Create a setup intent, with which a customer stores a payment method."""
    record = books.add("setup_intent", **{"customer": owner.id, "status": "requires_payment_method", **fields})
    record.data["client_secret"] = f"{record.id}_secret_{books.new_id('coupon')}"
    emit(books, "setup_intent.created", record)
    if fails:
        change(books, record, last_setup_error={
            "code": "card_declined", "decline_code": "generic_decline", "message": "Your card was declined.",
            "type": "card_error"})
        emit(books, "setup_intent.setup_failed", record)
    else:
        method = payment_method(books, owner)
        change(books, record, status="succeeded", payment_method=method.id)
        emit(books, "setup_intent.succeeded", record)
    return record


def open_checkout(books: Books, owner: Record | None, lines: list[tuple[Record, int]], **fields: Any) -> Record:
    """Create a checkout session for prices and quantities; it expires after a day unless it is completed."""
    currency = lines[0][0].data["currency"]
    total = sum(price.data["unit_amount"] * quantity for price, quantity in lines)
    record = books.add("checkout.session", **{
        "amount_subtotal": total, "amount_total": total, "currency": currency, "customer": owner.id if owner else None,
        "expires_at": books.now + DAY, "mode": "payment",
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "customer_email": owner.data["email"] if owner else None, **fields})
    record.data["url"] = f"https://checkout.stripe.com/c/pay/{record.id}"
    for price, quantity in lines:
        amount = price.data["unit_amount"] * quantity
        books.add("item", parent_id=record.id, amount_subtotal=amount, amount_total=amount, currency=currency,
                  description=price.data["nickname"] or "Item", price=price.id, quantity=quantity)
    books.world.call_at(record.data["expires_at"], _session_expires, books, record)
    return record


def complete_checkout(books: Books, record: Record) -> None:
    """Complete a checkout session with a payment."""
    owner = books.find("customer", record.data["customer"])
    charge = pay(books, record.data["amount_total"], record.data["currency"], owner, description="Checkout")
    change(books, record, status="complete", payment_status="paid", payment_intent=charge.data["payment_intent"],
           url=None, customer_details={
               "address": charge.data["billing_details"]["address"], "business_name": None,
               "email": record.data["customer_email"] or "guest@example.com", "individual_name": None,
               "name": owner.data["name"] if owner else "Guest", "phone": None, "tax_exempt": "none", "tax_ids": []})
    emit(books, "checkout.session.completed", record)


def _session_expires(books: Books, record: Record) -> None:
    if record.data["status"] == "open":
        change(books, record, status="expired", url=None)
        emit(books, "checkout.session.expired", record)
