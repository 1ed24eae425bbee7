"""Prototypes of objects in bulk: one object of an ordinary business for each table, and variants of it."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import EMBEDDED
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.world import World

NUMBER = "\ue000number\ue001"  # placeholder of the object's number within a text
AMOUNT = "\ue002amount\ue001"  # placeholder of the object's amount, as a number
Changes = dict[str, Any]
MOST_LINES = 2
_ADDRESS = {"city": "München", "country": "DE", "line1": f"{NUMBER} Harbour Street", "line2": "Apt. 4",
            "postal_code": "80331", "state": "BY"}
_EMAIL = f"customer.{NUMBER}@example.com"
_EUR = (5, {"currency": "eur"})


@dataclass(frozen=True)
class Shape:
    """How the objects of a table differ.

    Args:
        condition: what the prototype of all objects has to meet; the biggest object that does is taken.
        added: values that every object has besides, by dotted path.
        variants: (N, values): every N-th object has these values; the first variant that applies wins.
        other: as `condition`, for a second prototype, which every fourth object has.
    """

    condition: Callable[[Data], bool] = lambda data: True
    added: Changes = field(default_factory=dict)
    variants: tuple[tuple[int, Changes], ...] = (_EUR,)
    other: Callable[[Data], bool] | None = None


def _one_amount(data: Data) -> bool:
    """Return whether an invoice is paid and has one line, whose amount is the total."""
    return bool(len(data["lines"]["data"]) == 1 and data["status"] == "paid" and data["parent"]
                and data["total"] == data["amount_paid"] == data["subtotal"] == data["lines"]["data"][0]["amount"])


SHAPES: dict[str, Shape] = {
    "charges": Shape(
        lambda data: (data["status"] == "succeeded" and data["customer"] and data["currency"] == "usd"
                      and not data["refunded"] and not data["disputed"]),
        {"description": f"Order {NUMBER}", "metadata": {"order": NUMBER, "channel": "web", "basket": f"B-{NUMBER}-7"},
         "receipt_email": _EMAIL, "receipt_number": f"2026-{NUMBER}", "statement_descriptor_suffix": f"ORDER {NUMBER}",
         "billing_details.address": _ADDRESS, "billing_details.email": _EMAIL,
         "billing_details.phone": "+4989123456", "payment_method_details.card.amount_authorized": AMOUNT,
         "shipping": {"address": _ADDRESS, "carrier": "DHL", "name": "Zoë Müller", "phone": "+4989123456",
                      "tracking_number": f"JJD0{NUMBER}"}},
        ((15, {"status": "failed", "paid": False, "captured": False, "amount_captured": 0, "balance_transaction": None,
               "failure_code": "card_declined", "failure_message": "Your card was declined.",
               "outcome.network_status": "declined_by_network", "outcome.type": "issuer_declined"}),
         (10, {"refunded": True, "amount_refunded": AMOUNT}), (6, {"customer": None}), _EUR),
    ),
    "payment_intents": Shape(
        lambda data: data["status"] == "succeeded" and data["customer"] and data["currency"] == "usd",
        {"description": f"Order {NUMBER}", "metadata": {"order": NUMBER, "channel": "web"}, "receipt_email": _EMAIL},
        ((12, {"status": "requires_payment_method", "amount_received": 0, "latest_charge": None}),
         (6, {"customer": None}), _EUR),
    ),
    "customers": Shape(
        lambda data: not data["discount"] and not data["test_clock"] and data["address"],
        {"email": _EMAIL, "name": f"Zoë Müller {NUMBER}", "description": f"Customer {NUMBER}",
         "phone": "+4989123456", "metadata": {"number": NUMBER, "plan": "gold"}},
        ((10, {"name": None, "phone": None, "address": None}), (6, {"delinquent": True}), _EUR),
    ),
    "invoices": Shape(
        _one_amount, {"number": f"LG-{NUMBER}", "customer_email": _EMAIL, "metadata": {"order": NUMBER}},
        ((10, {"status": "open", "amount_paid": 0, "amount_remaining": AMOUNT, "status_transitions.paid_at": None}),
         _EUR),
        lambda data: len(data["lines"]["data"]) == MOST_LINES,
    ),
    "refunds": Shape(
        lambda data: data["charge"] and data["payment_intent"], {"metadata": {"order": NUMBER}},
        ((10, {"status": "pending"}), (6, {"reason": None}), _EUR),
    ),
    "balance_transactions": Shape(
        lambda data: data["type"] == "charge" and data["currency"] == "usd" and 0 < data["fee"] < 400,
        {"description": f"Order {NUMBER}"}, ((6, {"status": "pending"}), _EUR),
    ),
    "payouts": Shape(
        lambda data: data["status"] == "paid" and data["automatic"], {"metadata": {"number": NUMBER}},
        ((6, {"status": "in_transit"}), _EUR),
    ),
    "disputes": Shape(
        added={"metadata": {"order": NUMBER}}, variants=((4, {"status": "won"}), (6, {"status": "lost"}), _EUR)),
    "setup_intents": Shape(
        lambda data: data["status"] == "succeeded", {"metadata": {"number": NUMBER}},
        ((6, {"status": "requires_payment_method"}), (5, {"customer": None})),
    ),
    "subscriptions": Shape(
        lambda data: data["status"] == "active" and not data["discounts"] and not data["test_clock"],
        {"metadata": {"number": NUMBER}},
        ((10, {"status": "canceled"}), (6, {"status": "past_due"}), _EUR),
    ),
    "credit_notes": Shape(added={"number": f"LG-{NUMBER}-CN-01", "metadata": {"order": NUMBER}}),
    "transfers": Shape(added={"description": f"Share {NUMBER}", "metadata": {"number": NUMBER}}),
    "events": Shape(lambda data: data["type"] == "charge.succeeded", {"data.object.description": f"Order {NUMBER}"}),
    "products": Shape(
        lambda data: data["active"], {"name": f"Product {NUMBER}", "metadata": {"sku": NUMBER}},
        ((6, {"active": False}),),
    ),
    "prices": Shape(
        lambda data: data["active"] and data["unit_amount"], {"nickname": f"Price {NUMBER}"},
        ((6, {"active": False}), _EUR),
    ),
}


@dataclass(frozen=True)
class Prototype:
    """An object that others are rendered from, and its fields that only `expand[]` shows."""

    data: Data
    expand_only: Data


def prototype(world: World, table: str, object: str, condition: Callable[[Data], bool] | None = None) -> Prototype:
    """Return the biggest object of the business that meets the condition and has short lists, or a made-up one."""
    books = world.books
    wanted = condition or SHAPES.get(table, Shape()).condition
    found = [(len(books.to_json(record)), record) for record in books.all(object) if not record.hidden
             and _short(books, record) and wanted(books.to_dict(record))]
    record = (max(found, key=lambda each: each[0])[1] if found
              else books.get(object, world.populate(table, 1)[0]["id"]))
    return Prototype(books.to_dict(record), orjson.loads(orjson.dumps(record.expand_only or {})))


def _short(books: Books, record: Record) -> bool:
    shown = books.to_dict(record)
    return all(len((shown.get(name) or {}).get("data", ())) <= MOST_LINES for name in EMBEDDED.get(record.object, {}))


def changed(data: Data, changes: Changes) -> Data:
    """Return a copy with other values at dotted paths; a changed currency is replaced in nested objects as well."""
    copy: Data = orjson.loads(orjson.dumps(data))
    currency = changes.get("currency")
    if currency is not None:
        copy = _currency(copy, data.get("currency"), currency)
    for path, value in changes.items():
        *above, last = path.split(".")
        node: Any = copy
        for part in above:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict) and last in node:
            node[last] = value
    return copy


def _currency(node: Any, was: Any, now: str) -> Any:
    if isinstance(node, dict):
        return {name: now if name == "currency" and value == was else _currency(value, was, now)
                for name, value in node.items()}
    return [_currency(each, was, now) for each in node] if isinstance(node, list) else node
