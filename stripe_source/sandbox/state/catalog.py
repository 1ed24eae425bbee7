"""Facts about Stripe's API: lists, their parameters, what can be expanded, and blank objects."""
from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson

API_VERSION = "2026-10-28.endive"
_HERE = resources.files("stripe_source.sandbox")
API: dict[str, Any] = orjson.loads((_HERE / "api.json").read_bytes())
LISTS: dict[str, dict[str, Any]] = API["lists"]
OBJECTS: dict[str, dict[str, Any]] = API["objects"]
SINGLETONS: dict[str, dict[str, Any]] = API["singletons"]
# Blank objects are kept serialized: parsing one is faster than a deep copy, and no two objects share a part.
_BLANKS: dict[str, bytes] = {
    name: orjson.dumps(blank) for name, blank in orjson.loads((_HERE / "shapes.json").read_bytes()).items()
}
# What customers have stored to pay with. Old accounts have the last two, classes of old SDKs which today's lack.
_SOURCES = ("card", "bank_account", "source", "alipay_account", "bitcoin_receiver")
# Lists that Stripe embeds in an object: field -> (objects of the children, path of the whole list, with expand only).
EMBEDDED: dict[str, dict[str, tuple[tuple[str, ...], str, bool]]] = {
    "account": {"external_accounts": (("bank_account", "card"), "/v1/accounts/{id}/external_accounts", False)},
    "application_fee": {"refunds": (("fee_refund",), "/v1/application_fees/{id}/refunds", False)},
    "charge": {"refunds": (("refund",), "/v1/charges/{id}/refunds", True)},
    "checkout.session": {"line_items": (("item",), "/v1/checkout/sessions/{id}/line_items", True)},
    "credit_note": {"lines": (("credit_note_line_item",), "/v1/credit_notes/{id}/lines", False)},
    "customer": {
        "sources": (_SOURCES, "/v1/customers/{id}/sources", True),
        "subscriptions": (("subscription",), "/v1/customers/{id}/subscriptions", True),
        "tax_ids": (("tax_id",), "/v1/customers/{id}/tax_ids", True),
    },
    "invoice": {
        "lines": (("line_item",), "/v1/invoices/{id}/lines", False),
        "payments": (("invoice_payment",), "/v1/invoice_payments?invoice={id}", True),
    },
    "payment_intent": {"amount_details.line_items": (
        ("payment_intent_amount_details_line_item",), "/v1/payment_intents/{id}/amount_details_line_items", True)},
    "payment_link": {"line_items": (("item",), "/v1/payment_links/{id}/line_items", True)},
    "quote": {
        # two lists have one object: the part after the slash tells their members apart and is never shown
        "computed.upfront.line_items": (("item/upfront",), "/v1/quotes/{id}/computed_upfront_line_items", True),
        "line_items": (("item",), "/v1/quotes/{id}/line_items", True),
    },
    "radar.value_list": {
        "list_items": (("radar.value_list_item",), "/v1/radar/value_list_items?value_list={id}", False)
    },
    "subscription": {"items": (("subscription_item",), "/v1/subscription_items?subscription={id}", False)},
    "transfer": {"reversals": (("transfer_reversal",), "/v1/transfers/{id}/reversals", False)},
}
# Lists of these objects are oldest first; all others are newest first.
OLDEST_FIRST = frozenset({
    "line_item", "subscription_item", "credit_note_line_item", "item", "item/upfront", "tax.calculation_line_item",
    "tax.transaction_line_item", "payment_intent_amount_details_line_item",
})
# Tables of children: table -> (objects, objects that share its list, object of the parent).
_MONEY = "treasury.financial_account"
CHILDREN: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    table: (objects, shared or objects, owner) for table, objects, shared, owner in (
        ("account_capabilities", ("capability",), None, "account"),
        ("account_external_accounts", ("bank_account", "card"), None, "account"),
        ("account_persons", ("person",), None, "account"),
        ("application_fee_refunds", ("fee_refund",), None, "application_fee"),
        ("billing_credit_balance_transactions", ("billing.credit_balance_transaction",), None, "billing.credit_grant"),
        ("billing_meter_event_summaries", ("billing.meter_event_summary",), None, "billing.meter"),
        ("checkout_session_line_items", ("item",), None, "checkout.session"),
        ("credit_note_line_items", ("credit_note_line_item",), None, "credit_note"),
        ("customer_balance_transactions", ("customer_balance_transaction",), None, "customer"),
        ("customer_bank_accounts", ("bank_account",), _SOURCES, "customer"),
        ("customer_cards", ("card",), _SOURCES, "customer"),
        ("customer_cash_balance_transactions", ("customer_cash_balance_transaction",), None, "customer"),
        ("customer_sources", ("source", "alipay_account", "bitcoin_receiver"), _SOURCES, "customer"),
        ("entitlements_active_entitlements", ("entitlements.active_entitlement",), None, "customer"),
        ("financial_connections_account_owners", ("financial_connections.account_owner",), None,
         "financial_connections.account"),
        ("financial_connections_transactions", ("financial_connections.transaction",), None,
         "financial_connections.account"),
        ("invoice_line_items", ("line_item",), None, "invoice"),
        ("issuing_tokens", ("issuing.token",), None, "issuing.card"),
        ("payment_attempt_records", ("payment_attempt_record",), None, "payment_record"),
        ("payment_intent_amount_details_line_items", ("payment_intent_amount_details_line_item",), None,
         "payment_intent"),
        ("payment_link_line_items", ("item",), None, "payment_link"),
        ("product_features", ("product_feature",), None, "product"),
        ("quote_computed_upfront_line_items", ("item/upfront",), None, "quote"),
        ("quote_line_items", ("item",), None, "quote"),
        ("radar_value_list_items", ("radar.value_list_item",), None, "radar.value_list"),
        ("setup_attempts", ("setup_attempt",), None, "setup_intent"),
        ("source_transactions", ("source_transaction",), None, "source"),
        ("subscription_items", ("subscription_item",), None, "subscription"),
        ("tax_calculation_line_items", ("tax.calculation_line_item",), None, "tax.calculation"),
        ("tax_transaction_line_items", ("tax.transaction_line_item",), None, "tax.transaction"),
        ("transfer_reversals", ("transfer_reversal",), None, "transfer"),
        ("treasury_credit_reversals", ("treasury.credit_reversal",), None, _MONEY),
        ("treasury_debit_reversals", ("treasury.debit_reversal",), None, _MONEY),
        ("treasury_inbound_transfers", ("treasury.inbound_transfer",), None, _MONEY),
        ("treasury_outbound_payments", ("treasury.outbound_payment",), None, _MONEY),
        ("treasury_outbound_transfers", ("treasury.outbound_transfer",), None, _MONEY),
        ("treasury_received_credits", ("treasury.received_credit",), None, _MONEY),
        ("treasury_received_debits", ("treasury.received_debit",), None, _MONEY),
        ("treasury_transaction_entries", ("treasury.transaction_entry",), None, _MONEY),
        ("treasury_transactions", ("treasury.transaction",), None, _MONEY),
        ("v2_core_account_persons", ("v2.core.account_person",), None, "v2.core.account"),
    )
}
# Lists of the children of one object, whose id is in this parameter.
BY_PARAMETER: dict[str, str] = {
    path: "financial_account" for path in LISTS if path.startswith("/v1/treasury/") and LISTS[path]["required"]
} | {
    "/v1/entitlements/active_entitlements": "customer",
    "/v1/financial_connections/transactions": "account",
    "/v1/issuing/tokens": "card",
    "/v1/payment_attempt_records": "payment_record",
    "/v1/radar/value_list_items": "value_list",
    "/v1/setup_attempts": "setup_intent",
    "/v1/subscription_items": "subscription",
}
for _path, _entry in LISTS.items():
    if "parent" in _entry:  # a list that `python -m stripe_source.codegen` has added
        CHILDREN[_entry["table"]] = (tuple(_entry["objects"]), tuple(_entry["objects"]), _entry["parent"])
        if _entry["required"]:
            BY_PARAMETER[_path] = _entry["required"][0]
# Objects whose field for their parent does not have the name of the parent's object.
_PARENT_FIELDS = {"fee_refund": "fee", "setup_attempt": "setup_intent"}
# Sections of /v2/ objects that are null unless `include` names them; lists without `include` never show them.
V2_SECTIONS: dict[str, tuple[str, ...]] = {
    "v2.core.account": (
        "configuration.customer", "configuration.merchant", "configuration.recipient", "defaults",
        "future_requirements", "identity", "requirements"),
    "v2.core.event_destination": ("webhook_endpoint.signing_secret", "webhook_endpoint.url"),
    "v2.money_management.financial_account": ("storage.deposit_insurance_eligibility",),
}
# Objects that Stripe shows whole inside of others; they are stored as ids: field -> object.
INLINE: dict[str, dict[str, str]] = {
    "subscription_item": {"price": "price", "plan": "plan", "tax_rates": "tax_rate"},
    "subscription": {"default_tax_rates": "tax_rate"},
    "invoice": {"default_tax_rates": "tax_rate"},
    "invoiceitem": {"tax_rates": "tax_rate"},
    "credit_note_line_item": {"tax_rates": "tax_rate"},
    "item": {"price": "price"},
    "item/upfront": {"price": "price"},
    "dispute": {"balance_transactions": "balance_transaction"},
}
# Objects that others show whole: a change of one changes the body of those.
INLINED_OBJECTS = frozenset(target for fields in INLINE.values() for target in fields.values())
# Fields that only `expand[]` shows; they are stored beside the object.
EXPAND_ONLY: dict[str, tuple[str, ...]] = {
    "billing_portal.configuration": ("features.subscription_update.products",),
    "checkout.session": ("shipping_cost.taxes", "total_details.breakdown"),
    "coupon": ("applies_to", "currency_options"),
    "credit_note": ("shipping_cost.taxes",),
    "issuing.dispute": ("balance_transactions",),
    "item": ("discounts", "taxes"),
    "plan": ("tiers",),
    "price": ("tiers", "currency_options"),
    "invoice": ("confirmation_secret", "shipping_cost.taxes"),
    "quote": (
        "computed.recurring.total_details.breakdown", "computed.upfront.total_details.breakdown",
        "total_details.breakdown",
    ),
    "product": ("tax_details",),
    "customer": ("tax", "cash_balance", "invoice_credit_balance"),
}
# The list that an id is looked up in, where several lists show the same object.
_CANONICAL_LISTS = {"payment_method": "/v1/payment_methods", "balance_transaction": "/v1/balance_transactions",
                    "tax_id": "/v1/tax_ids", "account": "/v1/accounts"}


def owner_field(object: str, owner: str) -> str:
    """Return the name of the field that holds the id of an object's parent."""
    return _PARENT_FIELDS.get(object, owner.split(".")[-1])


def stripe_name(object: str) -> str:
    """Return Stripe's name of an object: ours without the part after the slash."""
    return object.split("/", 1)[0]


def blank(name: str) -> dict[str, Any]:
    """Return a new object of that type, with every field that Stripe always sends, unset."""
    return orjson.loads(_BLANKS[stripe_name(name)])  # type: ignore[no-any-return]  # a blank is an object


def has_blank(name: str) -> bool:
    """Return whether the business of the sandbox uses that type of object."""
    return stripe_name(name) in _BLANKS


@cache
def list_path(name: str) -> str | None:
    """Return the path of the list that shows an object."""
    if name in _CANONICAL_LISTS:
        return _CANONICAL_LISTS[name]
    paths = [path for path, entry in LISTS.items() if name in entry["objects"]]
    return min(paths, key=lambda path: (path.count("{"), len(path))) if paths else None


# Prefixes of ids that Stripe's samples do not show.
_PREFIXES = {"capability": "cap", "item": "li", "tax.calculation_line_item": "tax_li"}


@cache
def prefix(name: str) -> str:
    """Return the prefix of the ids of an object."""
    name = stripe_name(name)
    known = _PREFIXES.get(name) or OBJECTS.get(name, {}).get("prefix")
    return known or "".join(part[0] for part in name.replace(".", "_").split("_")) + "_" + name.split(".")[-1][:4]


def event_types(name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the types of an object's events: of its creation, of its changes, of its deletion."""
    created, updated, deleted = OBJECTS.get(stripe_name(name), {}).get("events", [[], [], []])
    return created, updated, deleted
