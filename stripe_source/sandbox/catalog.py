"""What is known of Stripe's API: its lists, their parameters, what can be expanded, and blank objects to fill in."""
from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson

API_VERSION = "2026-10-28.endive"

_HERE = resources.files(__package__)
API: dict[str, Any] = orjson.loads((_HERE / "api.json").read_bytes())
LISTS: dict[str, dict[str, Any]] = API["lists"]
OBJECTS: dict[str, dict[str, Any]] = API["objects"]
SINGLETONS: dict[str, dict[str, Any]] = API["singletons"]

# One serialized blank per object: parsing it anew is faster than a deep copy, and no two objects share a part.
_BLANKS: dict[str, bytes] = {
    name: orjson.dumps(blank) for name, blank in orjson.loads((_HERE / "shapes.json").read_bytes()).items()
}

# Stripe lists that come with an object: field -> (objects of the children, path of the whole list, with expand only)
EMBEDDED: dict[str, dict[str, tuple[tuple[str, ...], str, bool]]] = {
    "account": {"external_accounts": (("external_account",), "/v1/accounts/{id}/external_accounts", False)},
    "application_fee": {"refunds": (("fee_refund",), "/v1/application_fees/{id}/refunds", False)},
    "charge": {"refunds": (("refund",), "/v1/charges/{id}/refunds", True)},
    "checkout.session": {"line_items": (("item",), "/v1/checkout/sessions/{id}/line_items", True)},
    "credit_note": {"lines": (("credit_note_line_item",), "/v1/credit_notes/{id}/lines", False)},
    "customer": {
        "sources": (("card", "bank_account"), "/v1/customers/{id}/sources", True),
        "subscriptions": (("subscription",), "/v1/customers/{id}/subscriptions", True),
        "tax_ids": (("tax_id",), "/v1/customers/{id}/tax_ids", True),
    },
    "invoice": {
        "lines": (("line_item",), "/v1/invoices/{id}/lines", False),
        "payments": (("invoice_payment",), "/v1/invoice_payments?invoice={id}", True),
    },
    "payment_link": {"line_items": (("item",), "/v1/payment_links/{id}/line_items", True)},
    "quote": {"line_items": (("item",), "/v1/quotes/{id}/line_items", True)},
    "radar.value_list": {
        "list_items": (("radar.value_list_item",), "/v1/radar/value_list_items?value_list={id}", False)
    },
    "subscription": {"items": (("subscription_item",), "/v1/subscription_items?subscription={id}", False)},
    "transfer": {"reversals": (("transfer_reversal",), "/v1/transfers/{id}/reversals", False)},
}

# Lists of these are in the order in which their members were made; all others are newest first.
OLDEST_FIRST = frozenset({"line_item", "subscription_item", "credit_note_line_item", "item"})

# Whole objects inside others, stored as ids and put in when the object is shown: field -> object.
INLINE: dict[str, dict[str, str]] = {
    "subscription_item": {"price": "price", "plan": "plan", "tax_rates": "tax_rate"},
    "subscription": {"default_tax_rates": "tax_rate"},
    "invoice": {"default_tax_rates": "tax_rate"},
    "invoiceitem": {"tax_rates": "tax_rate"},
    "credit_note_line_item": {"tax_rates": "tax_rate"},
    "item": {"price": "price"},
    "dispute": {"balance_transactions": "balance_transaction"},
}
# Objects that others hold whole: a change of one changes what those look like.
HELD_WHOLE = frozenset(target for fields in INLINE.values() for target in fields.values())

# Fields that are shown with `expand[]` only; kept beside the object.
INCLUDE_ONLY: dict[str, tuple[str, ...]] = {
    "coupon": ("applies_to", "currency_options"),
    "plan": ("tiers",),
    "price": ("tiers", "currency_options"),
    "invoice": ("confirmation_secret",),
    "product": ("tax_details",),
    "customer": ("tax", "cash_balance", "invoice_credit_balance"),
}

# Path of the list where an object's id is looked for, when several show the same object.
_HOME = {"payment_method": "/v1/payment_methods", "balance_transaction": "/v1/balance_transactions",
         "tax_id": "/v1/tax_ids", "account": "/v1/accounts"}


def blank(name: str) -> dict[str, Any]:
    """A new object of that type with every field that Stripe always sends, unset."""
    return orjson.loads(_BLANKS[name])  # type: ignore[no-any-return]  # a blank is an object


def has_blank(name: str) -> bool:
    """Whether `name` is one of the objects that the business is made of."""
    return name in _BLANKS


@cache
def home(name: str) -> str | None:
    """Path of the list that an object is found in."""
    if name in _HOME:
        return _HOME[name]
    paths = [path for path, entry in LISTS.items() if name in entry["objects"]]
    return min(paths, key=lambda path: (path.count("{"), len(path))) if paths else None


@cache
def prefix(name: str) -> str:
    """How ids of that object begin."""
    known = OBJECTS.get(name, {}).get("prefix")
    return known or "".join(part[0] for part in name.replace(".", "_").split("_")) + "_" + name.split(".")[-1][:4]


def events(name: str) -> tuple[list[str], list[str], list[str]]:
    """Types of the events of an object: those of its creation, its changes and its deletion."""
    created, updated, deleted = OBJECTS.get(name, {}).get("events", [[], [], []])
    return created, updated, deleted
