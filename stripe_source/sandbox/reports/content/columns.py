"""Where the values of the columns of itemized reports come from; columns that the sandbox has no value for are empty.

Times are unix seconds, amounts are text in major units, everything else is what the column shows.
"""
from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from stripe_source.sandbox.endpoints.filters import value_at
from stripe_source.sandbox.reports.content.related import Transaction
from stripe_source.sandbox.state.records import Data

Column = Callable[[Transaction], Any]
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


def _of(part: str, path: str) -> Column:
    """Return a column that shows the value at a dotted path of an object behind the transaction.

    Hot: it is called for every value of a report, and most objects are empty or have the value at the top.
    """
    object_of: Callable[[Transaction], Data] = attrgetter(part)
    if "." not in path:
        return lambda transaction: object_of(transaction).get(path)
    return lambda transaction: value_at(found, path) if (found := object_of(transaction)) else None


def _addresses() -> dict[str, Column]:
    found: dict[str, Column] = {}
    for head, part, path in (
        ("customer_shipping_address", "customer", "shipping.address"), ("customer_address", "customer", "address"),
        ("shipping_address", "charge", "shipping.address"), ("card_address", "charge", "billing_details.address"),
    ):
        for field in _ADDRESS:
            found[f"{head}_{field}"] = _of(part, f"{path}.{field}")
    return found


def _created(transaction: Transaction) -> int:
    return transaction.created


def _charge_created(transaction: Transaction) -> int | None:
    return transaction.charge.get("created")


def _card(field: str) -> Column:
    return _of("charge", f"payment_method_details.card.{field}")


def _effective(transaction: Transaction) -> int | None:
    return transaction.automatic_payout_at


def _is_link(transaction: Transaction) -> bool | None:
    if not transaction.charge:
        return None
    return bool(value_at(transaction.charge, "payment_method_details.type") == "link")


def _id_of(part: str) -> Column:
    return _of(part, "id")


def _net(transaction: Transaction) -> str:
    return transaction.money(transaction.data["net"])


def _gross(transaction: Transaction) -> str:
    return transaction.money(transaction.data["amount"])


def _fee(transaction: Transaction) -> str:
    return transaction.money(transaction.data["fee"])


TRANSACTION_COLUMNS: dict[str, Column] = {
    "balance_transaction_id": _of("data", "id"), "created_utc": _created, "created": _created,
    "available_on_utc": _of("data", "available_on"), "available_on": _of("data", "available_on"),
    "currency": _of("data", "currency"), "gross": _gross, "fee": _fee, "net": _net,
    "reporting_category": _of("data", "reporting_category"), "source_id": _of("data", "source"),
    "description": _of("data", "description"),
    "customer_facing_amount": lambda transaction: transaction.customer_facing_amount,
    "customer_facing_currency": _of("charge", "currency"),
    "automatic_payout_id": _id_of("automatic_payout"),
    "automatic_payout_effective_at": _effective, "automatic_payout_effective_at_utc": _effective,
    "customer_id": _of("charge", "customer"), "customer_email": _of("customer", "email"),
    "customer_name": _of("customer", "name"), "customer_description": _of("customer", "description"),
    **_addresses(),
    "charge_id": _id_of("charge"), "payment_intent_id": _of("charge", "payment_intent"),
    "charge_created_utc": _charge_created, "charge_created": _charge_created,
    "invoice_id": _id_of("invoice"), "invoice_number": _of("invoice", "number"),
    "subscription_id": lambda transaction: transaction.subscription,
    "payment_method_type": _of("charge", "payment_method_details.type"), "is_link": _is_link,
    "card_brand": _card("brand"), "card_funding": _card("funding"), "card_country": _card("country"),
    "statement_descriptor": _of("charge", "calculated_statement_descriptor"),
    "dispute_reason": _of("dispute", "reason"),
    "connected_account_id": _id_of("connected_account"),
    "connected_account_name": _of("connected_account", "business_profile.name"),
    "connected_account_country": _of("connected_account", "country"),
    "destination_payment_id": _of("transfer", "destination_payment"),
    "trace_id": _of("automatic_payout", "trace_id.value"),
    "trace_id_status": _of("automatic_payout", "trace_id.status"),
    "payout_statement_descriptor": _of("automatic_payout", "statement_descriptor"),
    "fee_net_of_withheld_tax": _fee, "withheld_tax": lambda transaction: transaction.money(0),
}

PAYOUT_COLUMNS: dict[str, Column] = {
    **{name: TRANSACTION_COLUMNS[name] for name in (
        "balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category", "description")},
    "payout_id": _id_of("source"), "effective_at_utc": _created, "effective_at": _created,
    "payout_expected_arrival_date": _of("source", "arrival_date"), "payout_status": _of("source", "status"),
    "payout_reversed_at_utc": lambda transaction: transaction.payout_reversed_at,
    "payout_reversed_at": lambda transaction: transaction.payout_reversed_at,
    "payout_type": _of("source", "type"), "payout_description": _of("source", "description"),
    "payout_destination_id": _of("source", "destination"), "trace_id": _of("source", "trace_id.value"),
    "trace_id_status": _of("source", "trace_id.status"),
}

# Reports of interchange plus pricing: a row for the amount of a transaction, and one for its fee.
ACTIVITY_COLUMNS: dict[str, Column] = {
    **{name: column for name, column in TRANSACTION_COLUMNS.items() if name not in ("gross", "fee", "net")},
    "balance_transaction_created_at": _created, "activity_at": _created,
    "balance_transaction_reporting_category": TRANSACTION_COLUMNS["reporting_category"],
    "balance_transaction_description": TRANSACTION_COLUMNS["description"],
    "refund_id": _id_of("refund"), "dispute_id": _id_of("dispute"), "transfer_id": _id_of("transfer"),
    "destination_id": _of("transfer", "destination"), "event_type": _of("data", "type"),
}

_METADATA = {"payment_metadata": "charge", "refund_metadata": "refund", "transfer_metadata": "transfer"}


def column_of(columns: dict[str, Column], name: str) -> Column:
    """Return the column of that name; one that is always empty where the sandbox has no value for it."""
    head, bracket, rest = name.partition("[")
    if bracket and head in _METADATA:
        part, key = _METADATA[head], rest[:-1]
        return lambda transaction: (getattr(transaction, part).get("metadata") or {}).get(key)
    return columns.get(name, _empty)


def _empty(transaction: Transaction) -> None:
    return None
