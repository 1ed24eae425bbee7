"""Objects that are computed or exist once: settings, balances of credit grants, tax associations, meter usage."""
from __future__ import annotations

from typing import Any

import orjson

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Refusal, missing

DAY = 86400
_FRESH: dict[str, Data] = {
    "balance_settings": {
        "object": "balance_settings", "payments": {
            "debit_negative_balances": True, "payouts": {
                "automatic_transfer_rules_by_currency": None, "minimum_balance_by_currency": None,
                "schedule": {"interval": "weekly", "weekly_payout_days": ["monday"]}, "statement_descriptor": None,
                "status": "enabled"},
            "settlement_timing": {"delay_days": 2}}},
    "tax.settings": {
        "object": "tax.settings", "defaults": {"provider": "stripe", "tax_behavior": "exclusive",
                                               "tax_code": "txcd_10000000"},
        "head_office": {"address": {"city": "San Francisco", "country": "US", "line1": "510 Townsend Street",
                                    "line2": None, "postal_code": "94103", "state": "CA"}},
        "livemode": False, "status": "active", "status_details": {"active": {}}},
}


def settings(books: Books, name: str) -> Data:
    """Return the stored settings of that name; they are created on first use."""
    if name not in books.singletons:
        books.singletons[name] = orjson.loads(orjson.dumps(_FRESH[name]))
        if "livemode" in books.singletons[name]:
            books.singletons[name]["livemode"] = books.world.livemode
    return books.singletons[name]


def summary(books: Books, grant: Record) -> Data:
    """Return the balance summary of a credit grant."""
    spent = sum(
        _value(entry, "debit") - _value(entry, "credit")
        for entry in books.children(("billing.credit_balance_transaction",), grant.id))
    given = grant.data.get("amount") or {}
    monetary = given.get("monetary") or {"currency": "usd", "value": 0}
    left = {"monetary": {**monetary, "value": monetary["value"] - spent}, "type": "monetary"}
    return {"object": "billing.credit_balance_summary",
            "balances": [{"available_balance": left, "ledger_balance": left}], "customer": grant.data.get("customer"),
            "customer_account": grant.data.get("customer_account"), "livemode": books.world.livemode}


def _value(entry: Record, side: str) -> int:
    if entry.data.get("type") != side:
        return 0
    return int(((entry.data.get(side) or {}).get("amount") or {}).get("monetary", {}).get("value") or 0)


def entitlements(books: Books, customer: str) -> Data:
    """Return the summary of a customer's entitlements that events hold; it has no id, and its list is cut at ten."""
    active = books.embedded_list(
        ("entitlements.active_entitlement",), "/v1/customer/{id}/entitlements", customer)
    return {"object": "entitlements.active_entitlement_summary", "customer": customer, "entitlements": active,
            "livemode": books.world.livemode}


def owner_of_credit(params: dict[str, Any]) -> tuple[str, str]:
    """Return the parameter that names the owner of the credit, and the owner; Stripe requires one."""
    for name in ("customer", "customer_account"):
        if params.get(name):
            return name, params[name]
    raise Refusal(400, "Must provide customer or customer_account.", code="parameter_missing", param="customer")


def credit_balance(books: Books, params: dict[str, Any]) -> Data:
    """Answer `/v1/billing/credit_balance_summary`: the balances of one grant, or of all grants of an owner."""
    name, owner = owner_of_credit(params)
    wanted = params.get("filter")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("credit_grant", "applicability_scope"):
        raise Refusal(400, "Missing required param: filter[type].", code="parameter_missing", param="filter[type]")
    if wanted["type"] == "credit_grant":
        grant = books.find("billing.credit_grant", wanted.get("credit_grant"))
        if grant is None or grant.data.get(name) != owner:
            raise missing("billing.credit_grant", str(wanted.get("credit_grant")), "filter[credit_grant]")
        return summary(books, grant)
    found = [summary(books, each) for each in books.all("billing.credit_grant") if each.data.get(name) == owner]
    return {"object": "billing.credit_balance_summary",
            "balances": [balance for each in found for balance in each["balances"]], "customer": None,
            "customer_account": None, "livemode": books.world.livemode, name: owner}


def association(books: Books, params: dict[str, Any]) -> Data:
    """Answer `/v1/tax/associations/find`: the tax transactions of a payment intent."""
    intent = params.get("payment_intent")
    if not intent:
        raise Refusal(400, "Missing required param: payment_intent.", code="parameter_missing", param="payment_intent")
    for record in books.all("tax.association"):
        if record.data.get("payment_intent") == intent:
            return books.to_dict(record)
    raise Refusal(404, f"No tax association found for PaymentIntent '{intent}'.", code="resource_missing",
                  param="payment_intent")


def usage(books: Books, meter: str, params: dict[str, Any]) -> list[Record]:
    """Return the usage summaries of a meter for one customer and span of time, newest first."""
    span = [int(params["start_time"]), int(params["end_time"])]
    grouping = params.get("value_grouping_window")
    unit = {"day": DAY, "hour": 3600}.get(str(grouping), 60)
    for name, moment in zip(("start_time", "end_time"), span, strict=True):
        if moment % unit:
            what = {DAY: "UTC day", 3600: "UTC hour"}.get(unit, "minute")
            raise Refusal(400, f"{name} must be aligned with {what} boundaries.", param=name)
    if span[0] >= span[1]:
        raise Refusal(400, "start_time must be before end_time.", param="start_time")
    if books.find("customer", params["customer"]) is None:
        raise missing("customer", params["customer"], "customer", 400)
    found = [
        each for each in books.children(("billing.meter_event_summary",), meter)
        if each.second_parent == params["customer"] and span[0] <= each.data["start_time"] < span[1]]
    found.sort(key=lambda each: -int(each.data["start_time"]))
    if grouping is None and found:  # one sum for the whole span
        total = {**found[0].data, "aggregated_value": sum(each.data["aggregated_value"] for each in found),
                 "start_time": span[0], "end_time": span[1]}
        return [Record("billing.meter_event_summary", total, found[0].created, found[0].seq, meter)]
    return found
