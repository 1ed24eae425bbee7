"""Objects in the form of older API versions, for events of accounts whose default version is older."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data

BASIL, CLOVER, DAHLIA = "2025-03-31.basil", "2025-09-30.clover", "2026-03-25.dahlia"
_UI_MODES = {"hosted_page": "hosted", "embedded_page": "embedded", "elements": "custom"}


def render_in_version(books: Books, data: Data, version: str) -> Data:
    """Change an object, and the objects inside of it, to the form that they have in that version; return it.

    Covers breaking changes of common objects only; fields that newer versions added are left in.
    """
    for since, changes in _CHANGES:
        if version[:10] < since[:10]:
            _walk(books, data, changes)
    return data


def _walk(books: Books, node: Any, changes: dict[str, Callable[[Books, Data], None]]) -> None:
    if isinstance(node, list):
        for each in node:
            _walk(books, each, changes)
    elif isinstance(node, dict):
        for each in list(node.values()):
            _walk(books, each, changes)
        change = changes.get(str(node.get("object")))
        if change is not None and not node.get("deleted"):
            change(books, node)


def _whole(books: Books, object: str, id: Any) -> Any:
    """Return the whole object, which older versions embedded where newer ones have an id."""
    record = books.find(object, id)
    if record is not None:
        return books.to_dict(record)
    deleted = books.collection(object).deleted.get(id)
    return orjson.loads(orjson.dumps(deleted.data)) if deleted else id


def _dict_or_empty(value: Any) -> Data:
    return value if isinstance(value, dict) else {}


def _members_with(value: Any, name: str) -> list[Data]:
    """Return the members of a list that have that field."""
    return [each for each in value if isinstance(each, dict) and name in each] if isinstance(value, list) else []


# --- before dahlia


def _session(books: Books, data: Data) -> None:
    data["ui_mode"] = _UI_MODES.get(data.get("ui_mode") or "", data.get("ui_mode"))


# --- before clover: discounts and promotion codes embedded the coupon


def _discount(books: Books, data: Data) -> None:
    data["coupon"] = _whole(books, "coupon", _dict_or_empty(data.pop("source", None)).get("coupon"))


def _promotion(books: Books, data: Data) -> None:
    data["coupon"] = _whole(books, "coupon", _dict_or_empty(data.pop("promotion", None)).get("coupon"))


# --- before basil: subscriptions had the periods, invoices had payments and taxes, lines had prices


def _subscription(books: Books, data: Data) -> None:
    items = _dict_or_empty(data.get("items")).get("data") or []
    for name in ("current_period_start", "current_period_end"):
        data[name] = items[0].pop(name, None) if items else None
        for item in items:
            item.pop(name, None)
    first = next(iter(data.get("discounts") or ()), None)
    found = books.discounts.get(first["id"] if isinstance(first, dict) else first) if first else None
    data["discount"] = orjson.loads(orjson.dumps(found)) if found else None
    if data["discount"]:
        _discount(books, data["discount"])


def _invoice(books: Books, data: Data) -> None:
    parent = _dict_or_empty(_dict_or_empty(data.pop("parent", None)).get("subscription_details"))
    part = next(iter(books.children(("invoice_payment",), str(data.get("id")))), None)
    intent = books.find("payment_intent", _dict_or_empty(part.data["payment"]).get("payment_intent") if part else None)
    taxes = _members_with(data.pop("total_taxes", None), "tax_rate_details")
    data.update(
        subscription=parent.get("subscription"), subscription_details={"metadata": parent.get("metadata")},
        payment_intent=intent.id if intent else None, charge=intent.data["latest_charge"] if intent else None,
        paid=data.get("status") == "paid", paid_out_of_band=False, quote=None, discount=None, transfer_data=None,
        application_fee_amount=None, tax=sum(each["amount"] for each in taxes) if taxes else None,
        total_tax_amounts=[_tax(each) for each in taxes])
    data.pop("amount_overpaid", None)


def _tax(tax: Data) -> Data:
    return {"amount": tax["amount"], "inclusive": tax["tax_behavior"] == "inclusive",
            "tax_rate": _dict_or_empty(tax["tax_rate_details"]).get("tax_rate"),
            "taxability_reason": tax["taxability_reason"], "taxable_amount": tax["taxable_amount"]}


def _priced(books: Books, data: Data) -> None:
    id = _dict_or_empty(_dict_or_empty(data.pop("pricing", None)).get("price_details")).get("price")
    data["price"], data["plan"] = (_whole(books, each, id) if id else None for each in ("price", "plan"))
    if not isinstance(data["plan"], dict):
        data["plan"] = None


def _line(books: Books, data: Data) -> None:
    parent = _dict_or_empty(data.pop("parent", None))
    of_item, of_subscription = (
        _dict_or_empty(parent.get(f"{each}_item_details")) for each in ("invoice", "subscription"))
    _priced(books, data)
    data.update(
        type="subscription" if of_subscription else "invoiceitem", invoice_item=of_item.get("invoice_item"),
        subscription_item=of_subscription.get("subscription_item"),
        proration=bool((of_subscription or of_item).get("proration")),
        proration_details={"credited_items": None}, tax_rates=[],
        tax_amounts=[_tax(each) for each in _members_with(data.pop("taxes", None), "tax_rate_details")])


def _item(books: Books, data: Data) -> None:
    _priced(books, data)
    data.pop("parent", None)
    amount, quantity = data.get("amount") or 0, data.get("quantity") or 1
    data.update(subscription=None, subscription_item=None, unit_amount=amount // quantity,
                unit_amount_decimal=str(amount // quantity))


def _of_invoice(books: Books, data: Data) -> None:
    intent = data.get("payment_intent") if data["object"] == "charge" else data.get("id")
    data["invoice"] = next((part.data["invoice"] for part in books.all("invoice_payment")
                            if intent and _dict_or_empty(part.data["payment"]).get("payment_intent") == intent), None)


def _note(books: Books, data: Data) -> None:
    refunds = _members_with(data.pop("refunds", None), "refund")
    data["refund"] = refunds[0]["refund"] if refunds else None
    data["tax_amounts"] = [_tax(each) for each in _members_with(data.pop("total_taxes", None), "tax_rate_details")]


_CHANGES: tuple[tuple[str, dict[str, Callable[[Books, Data], None]]], ...] = (
    (DAHLIA, {"checkout.session": _session}),
    (CLOVER, {"discount": _discount, "promotion_code": _promotion}),
    (BASIL, {"subscription": _subscription, "invoice": _invoice, "line_item": _line, "invoiceitem": _item,
             "charge": _of_invoice, "payment_intent": _of_invoice, "credit_note": _note}),
)
