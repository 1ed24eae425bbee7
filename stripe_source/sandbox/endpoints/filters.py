"""Filters of lists: which records a list shows, by its parameters and by special rules."""
from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

from stripe_source.sandbox.business.singletons import owner_of_credit
from stripe_source.sandbox.dump import transactions_of_payout
from stripe_source.sandbox.endpoints.list_parameters import bounds, integer
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.clocks import clock_of
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Refusal, missing

Filter = Callable[[Record], bool]
COMMON = frozenset({"limit", "starting_after", "ending_before", "expand", "created"})
ENDED = ("canceled", "incomplete_expired")
_CLOCK = "test_helpers.test_clock"
_ON_CLOCKS = frozenset({"customer", "subscription", "subscription_schedule", "quote"})
# Parameters that filter a field of another name: (object, parameter) -> dotted path.
_ELSEWHERE = {
    ("invoice", "subscription"): "parent.subscription_details.subscription",
    ("promotion_code", "coupon"): "promotion.coupon",
    ("quote", "subscription"): "subscription",
}


def value_at(data: Data, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    node: Any = data
    for part in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(part)
    return node


def filters(books: Books, object: str, params: dict[str, Any], known: dict[str, Any]) -> list[Filter]:
    """Return the filters that a record has to pass to be listed."""
    found: list[Filter] = [lambda record: not record.hidden]
    params = dict(params)
    if object in _ON_CLOCKS and _CLOCK in books.collections and ("test_clock" in params or books.collections[_CLOCK]):
        found += _clocks(books, params)
    if object in _SPECIAL:
        found += _SPECIAL[object](books, params)
    for name, value in params.items():
        if name in COMMON:
            continue
        if name == "customer" and not (books.find("customer", value) or value in books.collection("customer").deleted):
            raise missing("customer", value, "customer", 400)
        path = _ELSEWHERE.get((object, name), name)
        kind = known.get(name)
        if kind == "range":
            low, high = bounds(value)
            found.append(lambda record, path=path, low=low, high=high:  # type: ignore[misc]  # defaults bind the loop
                         low <= (value_at(record.data, path) or -1) <= high)
        elif kind == "object" and isinstance(value, dict):
            for part, text in value.items():
                found.append(equal(f"{path}.{part}", text))
        elif kind == "list":
            field = path.removesuffix("s")
            found.append(lambda record, field=field, value=value: record.data.get(field) in value)  # type: ignore[misc]
        else:
            found.append(equal(path, value))
    return found


def equal(path: str, wanted: str) -> Filter:
    """Return a filter: the value at a dotted path is the given one."""

    def test(record: Record) -> bool:
        value = value_at(record.data, path)
        if isinstance(value, bool):
            return wanted == ("true" if value else "false")
        return value is not None and str(value) == wanted

    return test


def _clocks(books: Books, params: dict[str, Any]) -> list[Filter]:
    wanted = params.pop("test_clock", None)
    if wanted is not None:
        if books.find(_CLOCK, wanted) is None:
            raise missing("test_helpers.test_clock", wanted, "test_clock", 400)
        return [lambda record: clock_of(books, record) == wanted]
    return [] if "customer" in params else [lambda record: clock_of(books, record) is None]


# --- lists with special rules; each function removes the parameters that it handles from `params`


def _prices(books: Books, params: dict[str, Any]) -> list[Filter]:
    found: list[Filter] = []
    if "active" not in params and books.world.prices_bare == "active":
        found.append(lambda record: bool(record.data["active"]))
    return found


def _subscriptions(books: Books, params: dict[str, Any]) -> list[Filter]:
    found: list[Filter] = []
    status = params.pop("status", None)
    if status is None:
        found.append(lambda record: record.data["status"] not in ENDED)
    elif status == "ended":
        found.append(lambda record: record.data["status"] in ENDED)
    elif status != "all":
        found.append(lambda record: record.data["status"] == status)
    for name in ("price", "plan"):
        wanted = params.pop(name, None)
        if wanted is not None:
            found.append(lambda record, wanted=wanted: any(  # type: ignore[misc]  # the default binds the loop's value
                item.data["price"] == wanted for item in books.children(("subscription_item",), record.id)))
    for name in ("current_period_start", "current_period_end"):
        wanted = params.pop(name, None)
        if wanted is not None:
            low, high = bounds(wanted)
            found.append(lambda record, name=name, low=low, high=high: any(  # type: ignore[misc]
                low <= item.data[name] <= high for item in books.children(("subscription_item",), record.id)))
    return found


def _events(books: Books, params: dict[str, Any]) -> list[Filter]:
    found: list[Filter] = []
    params.pop("delivery_success", None)
    one, several = params.pop("type", None), params.pop("types", None)
    if one is not None and several is not None:
        raise Refusal(400, "You may only specify one of these parameters: type, types.", param="types")
    if several is not None:
        if len(several) > 20:
            raise Refusal(400, "You may specify up to 20 types.", param="types")
        wanted = set(several)
        found.append(lambda record: record.data["type"] in wanted)
    if one is not None:
        found.append(lambda record: fnmatch.fnmatchcase(record.data["type"], one))
    return found


def _invoice_items(books: Books, params: dict[str, Any]) -> list[Filter]:
    pending = params.pop("pending", None)
    if pending is None:
        return []
    return [lambda record: (record.data["invoice"] is None) == (pending == "true")]


def _payment_methods(books: Books, params: dict[str, Any]) -> list[Filter]:
    if "type" not in params:
        return [lambda record: record.data["type"] != "custom"]
    return []


def _tax_ids(books: Books, params: dict[str, Any]) -> list[Filter]:
    owner = params.pop("owner", None) or {"type": "self"}
    if owner.get("type") == "customer":
        if not owner.get("customer"):
            raise Refusal(400, "Missing required param: owner[customer].", code="parameter_missing",
                          param="owner[customer]")
        return [lambda record: record.parent == owner["customer"]]
    return [lambda record: record.parent is None]


def _products(books: Books, params: dict[str, Any]) -> list[Filter]:
    ids = params.pop("ids", None)
    return [] if ids is None else [lambda record: record.id in ids]


def _reviews(books: Books, params: dict[str, Any]) -> list[Filter]:
    return [lambda record: bool(record.data.get("open"))]


def _transactions(books: Books, params: dict[str, Any]) -> list[Filter]:
    payout = params.pop("payout", None)
    if payout is None:
        return []
    record = books.find("payout", payout)
    if record is None:
        raise missing("payout", payout, "payout", 400)
    if payout not in books.payout_transactions:
        raise Refusal(400, "Balance transaction history can only be filtered on automatic transfers, not manual.",
                      param="payout")
    members = {entry.id for entry in transactions_of_payout(books, payout)}
    return [lambda entry: entry.id in members]


def _records(books: Books, params: dict[str, Any]) -> list[Filter]:
    low = integer(params.pop("created_after", 0), "created_after")
    high = integer(params.pop("created_before", 2**62), "created_before")
    return [lambda record: low < record.created < high]


def _registrations(books: Books, params: dict[str, Any]) -> list[Filter]:
    status = params.pop("status", None)
    if status is None:
        return [lambda record: record.data.get("status") != "expired"]
    return [] if status == "all" else [lambda record: record.data.get("status") == status]


def _templates(books: Books, params: dict[str, Any]) -> list[Filter]:
    status = params.pop("status", "active")
    return [lambda record: record.data.get("status") == status]


def _features(books: Books, params: dict[str, Any]) -> list[Filter]:
    archived = params.pop("archived", None)
    return [] if archived is None else [lambda record: bool(record.data.get("active")) is (archived == "false")]


def _credit(books: Books, params: dict[str, Any]) -> list[Filter]:
    name, owner = owner_of_credit(params)
    params.pop("customer", None)
    params.pop("customer_account", None)

    def test(record: Record) -> bool:
        grant = books.find("billing.credit_grant", record.data.get("credit_grant"))
        return grant is not None and grant.data.get(name) == owner

    return [test]


def _secrets(books: Books, params: dict[str, Any]) -> list[Filter]:
    scope = params.pop("scope")
    if scope.get("type") not in ("account", "user"):
        raise Refusal(400, "Invalid scope[type]: must be one of account or user", param="scope[type]")
    if scope["type"] == "user" and not scope.get("user"):
        raise Refusal(400, "Missing required param: scope[user].", code="parameter_missing", param="scope[user]")
    return [equal(f"scope.{part}", text) for part, text in scope.items()]


def _ordered(books: Books, params: dict[str, Any]) -> list[Filter]:
    params.pop("order_by", None)
    return []


_SPECIAL: dict[str, Callable[[Books, dict[str, Any]], list[Filter]]] = {
    "apps.secret": _secrets, "billing.credit_balance_transaction": _credit, "entitlements.feature": _features,
    "invoice_rendering_template": _templates, "tax.registration": _registrations,
    "treasury.transaction": _ordered, "treasury.transaction_entry": _ordered,
    "balance_transaction": _transactions, "event": _events, "invoiceitem": _invoice_items,
    "payment_method": _payment_methods, "payment_record": _records, "price": _prices, "product": _products,
    "review": _reviews, "subscription": _subscriptions, "tax_id": _tax_ids,
}
