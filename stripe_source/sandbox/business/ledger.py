"""The ledger: balance transactions, the balance, payouts, top-ups and transfers."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

DAY = 86400
WEEK = 7 * DAY
EXPONENT = {"jpy": 0, "krw": 0, "kwd": 3, "bhd": 3}
_TO_USD = {"eur": 1.08235, "jpy": 0.006713, "kwd": 3.254101, "gbp": 1.27115, "usd": 1.0}
# currencies that an account can hold -> share and fixed part of the fee
_FEES = {"usd": (0.029, 30), "eur": (0.015, 25), "gbp": (0.015, 20), "jpy": (0.036, 0), "kwd": (0.029, 100)}
CURRENCIES = tuple(_FEES)
_CATEGORIES = {"charge": "charge", "payment": "charge", "refund": "refund", "payment_refund": "refund",
               "adjustment": "dispute", "payout": "payout", "payout_failure": "payout_reversal", "topup": "topup",
               "transfer": "transfer", "transfer_refund": "transfer_reversal", "stripe_fee": "fee"}


def to_settlement_currency(books: Books, amount: int, currency: str) -> tuple[int, str, float | None]:
    """Return amount, currency and exchange rate of a payment in the currency that the account settles in."""
    if currency in books.world.currencies:
        return amount, currency, None
    rate = _TO_USD[currency]
    return round(amount * rate * 10 ** (2 - EXPONENT.get(currency, 2))), "usd", rate


def fee(amount: int, currency: str) -> int:
    """Return Stripe's fee on a payment."""
    share, fixed = _FEES[currency]
    return min(round(amount * share) + fixed, amount)


def record_transaction(
    books: Books, type: str, amount: int, currency: str, source: str, *, fee: int = 0, days: int = 0,
    description: str | None = None, rate: float | None = None, category: str | None = None, sweep: bool = True,
) -> Record:
    """Add a balance transaction and change the balance by its net amount.

    Args:
        books: the account.
        type: Stripe's type of it.
        amount: in the minor unit; negative is money going out.
        currency: of the balance.
        source: id of the object that caused it.
        fee: the part that Stripe keeps.
        days: how long until the money is available.
        description: text.
        rate: exchange rate, where the payment was in another currency.
        category: reporting category, where the type does not say it.
        sweep: whether a payout may take it.
    """
    now = books.now
    details = [{"amount": fee, "application": None, "currency": currency, "description": "Stripe processing fees",
                "type": "stripe_fee"}] if fee else []
    available_on = now - now % DAY + days * DAY if days else now
    record = books.add(
        "balance_transaction", amount=amount, available_on=available_on, currency=currency, description=description,
        exchange_rate=rate, fee=fee, fee_details=details, net=amount - fee, source=source, type=type,
        reporting_category=category or _CATEGORIES.get(type, type), status="pending" if days else "available",
    )
    funds = books.balance.setdefault(currency, [0, 0])
    if days:
        funds[1] += amount - fee
        books.world.call_at(available_on, _become_available, books, record)
    else:
        funds[0] += amount - fee
        if sweep:
            books.not_paid_out.setdefault(currency, []).append(record)
    return record


def _become_available(books: Books, record: Record) -> None:
    # Stripe has no event for a balance transaction that becomes available, only for the balance
    change(books, record, status="available")
    funds = books.balance[record.data["currency"]]
    funds[0] += record.data["net"]
    funds[1] -= record.data["net"]
    books.not_paid_out.setdefault(record.data["currency"], []).append(record)
    if books.counters.get("balance_told") != books.now:
        books.counters["balance_told"] = books.now
        emit(books, "balance.available", balance(books))


def balance(books: Books) -> Data:
    """Return the balance object."""
    funds = sorted(books.balance.items()) or [(books.profile.get("default_currency", "usd"), [0, 0])]

    def part(which: int) -> list[Data]:
        return [{"amount": amounts[which], "currency": currency, "source_types": {"card": amounts[which]}}
                for currency, amounts in funds]

    products: Data = {}
    if books.collection("issuing.card").records:  # accounts without these products have no such parts
        products = {
            "instant_available": [
                {**each, "net_available": [{"amount": each["amount"], "destination": "ba_1"}]} for each in part(0)],
            "issuing": {"available": [{"amount": 0, "currency": currency} for currency, _ in funds]}}
    return {"object": "balance", "available": part(0), "connect_reserved": [
        {"amount": 0, "currency": currency} for currency, _ in funds], "livemode": books.world.livemode,
        "pending": part(1), "refund_and_dispute_prefunding": {"available": [
            {"amount": 0, "currency": currency} for currency, _ in funds], "pending": [
            {"amount": 0, "currency": currency} for currency, _ in funds]}, **products}


def weekly_payout(books: Books, currency: str) -> None:
    """Pay out what is available, now and every week."""
    create_payout(books, currency)
    books.world.call_at(books.now + WEEK, weekly_payout, books, currency)


def create_payout(books: Books, currency: str, amount: int | None = None, *, instant: bool = False) -> Record | None:
    """Create a payout; return None where there is nothing to pay out.

    Args:
        books: the account.
        currency: of the balance.
        amount: None stands for an automatic payout of everything available that is in no payout yet.
        instant: whether it is a manual payout that arrives at once, for a fee.
    """
    automatic = amount is None
    members: list[Record] = []
    if amount is None:
        members = books.not_paid_out.get(currency, [])
        amount = sum(member.data["net"] for member in members)
        if amount <= 0:
            return None
        books.not_paid_out[currency] = []
    cost = round(amount * 0.01) if instant else 0
    arrival = books.now if instant else books.now - books.now % DAY + 2 * DAY
    payout = books.add(
        "payout", amount=amount, arrival_date=arrival, automatic=automatic, currency=currency,
        description="STRIPE PAYOUT", destination=books.profile.get("bank", {}).get(currency),
        method="instant" if instant else "standard", status="in_transit",
        reconciliation_status="in_progress" if automatic else "not_applicable",
    )
    entry = record_transaction(books, "payout", -amount, currency, payout.id, fee=cost, description="STRIPE PAYOUT",
                               sweep=False)
    payout.data["balance_transaction"] = entry.id
    if automatic:
        books.payout_transactions[payout.id] = members
    emit(books, "payout.created", payout)
    fails = automatic and books.count("payouts") % 37 == 5
    books.world.call_at(max(arrival, books.now) + 9 * 3600, _payout_arrives, books, payout, fails)
    return payout


def _payout_arrives(books: Books, payout: Record, fails: bool) -> None:
    if payout.data["status"] != "in_transit":
        return
    if fails:
        back = record_transaction(books, "payout_failure", payout.data["amount"], payout.data["currency"], payout.id,
                                  description="STRIPE PAYOUT FAILURE")
        change(books, payout, "payout.failed", status="failed", failure_code="account_closed",
               failure_message="The bank account has been closed.", failure_balance_transaction=back.id,
               trace_id={"status": "not_applicable", "value": None})
        return
    trace = {"status": "supported", "value": f"{books.world.rng.randrange(10**14):015d}"}
    change(books, payout, "payout.paid", status="paid", trace_id=trace)
    if payout.data["automatic"]:
        change(books, payout, "payout.reconciliation_completed", reconciliation_status="completed")


def top_up(books: Books, amount: int, currency: str, *, succeeds: bool = True, **fields: Any) -> Record:
    """Create a top-up from a bank account; the money arrives after four days."""
    record = books.add("topup", amount=amount, currency=currency, status="pending", **{
        "description": "Top-up", "expected_availability_date": books.now + 4 * DAY, **fields})
    emit(books, "topup.created", record)
    books.world.call_at(books.now + 4 * DAY, _topup_ends, books, record, succeeds)
    return record


def _topup_ends(books: Books, record: Record, succeeds: bool) -> None:
    if succeeds:
        entry = record_transaction(books, "topup", record.data["amount"], record.data["currency"], record.id,
                                   description=record.data["description"])
        change(books, record, "topup.succeeded", status="succeeded", balance_transaction=entry.id)
    else:
        change(books, record, "topup.failed", status="failed", failure_code="insufficient_funds",
               failure_message="The bank account does not hold enough money.")


def transfer(books: Books, amount: int, currency: str, destination: str, **fields: Any) -> Record:
    """Transfer money to a connected account, where it becomes a payment."""
    record = books.add("transfer", amount=amount, currency=currency, destination=destination, **fields)
    record.data["balance_transaction"] = record_transaction(
        books, "transfer", -amount, currency, record.id, description=record.data["description"]).id
    other = books.world.accounts.get(destination)
    if other is not None:
        payment = other.add(
            "charge", id="py_" + other.new_id("charge")[3:], amount=amount, amount_captured=amount, captured=True,
            currency=currency, paid=True, source_transfer=record.id, status="succeeded", fraud_details={},
            billing_details=empty_billing_details(),
            payment_method_details={"stripe_account": {}, "type": "stripe_account"},
        )
        payment.data["balance_transaction"] = record_transaction(other, "payment", amount, currency, payment.id).id
        emit(other, "charge.succeeded", payment)
        record.data["destination_payment"] = payment.id
    emit(books, "transfer.created", record)
    return record


def reverse_transfer(books: Books, record: Record, amount: int, **fields: Any) -> Record:
    """Reverse a transfer, in full or in part."""
    currency = record.data["currency"]
    reversal = books.add("transfer_reversal", parent_id=record.id, transfer=record.id, amount=amount, currency=currency,
                         **fields)
    entry = record_transaction(books, "transfer_refund", amount, currency, reversal.id)
    reversal.data["balance_transaction"] = entry.id
    other = books.world.accounts.get(record.data["destination"])
    payment = other.find("charge", record.data["destination_payment"]) if other else None
    if other is not None and payment is not None:
        back = other.add("refund", id="pyr_" + other.new_id("refund")[3:], amount=amount, currency=currency,
                         charge=payment.id, source_transfer_reversal=reversal.id, parent_id=payment.id)
        back.data["balance_transaction"] = record_transaction(other, "payment_refund", -amount, currency, back.id).id
        reversal.data["destination_payment_refund"] = back.id
        total = payment.data["amount_refunded"] + amount
        change(other, payment, "charge.refunded", amount_refunded=total, refunded=total == payment.data["amount"])
    total = record.data["amount_reversed"] + amount
    change(books, record, "transfer.reversed", amount_reversed=total, reversed=total == record.data["amount"])
    return reversal


def empty_billing_details() -> Data:
    """Return billing details without any value."""
    return {"address": {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None,
                        "state": None}, "email": None, "name": None, "phone": None, "tax_id": None}
