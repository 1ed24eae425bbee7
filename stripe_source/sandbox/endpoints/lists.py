"""Lists as Stripe's behave: parameters, filters, cursors, pages."""
from __future__ import annotations

import fnmatch
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl

from stripe_source.sandbox.business.singles import owner_of_credit
from stripe_source.sandbox.dump import swept
from stripe_source.sandbox.state.catalog import CHILDREN, EMBEDDED, LISTS, prefix
from stripe_source.sandbox.state.clocks import clock_of
from stripe_source.sandbox.state.requests import Refusal, missing
from stripe_source.sandbox.state.store import Books, Data, Record

Test = Callable[[Record], bool]
_COMMON = frozenset({"limit", "starting_after", "ending_before", "expand", "created"})
_BOUNDS = ("gt", "gte", "lt", "lte")
_ENDED = ("canceled", "incomplete_expired")
_RATES = LISTS["/v1/exchange_rates"]["params"]  # as many as there are currencies, unless told otherwise
_CLOCK = "test_helpers.test_clock"
_ON_CLOCKS = frozenset({"customer", "subscription", "subscription_schedule", "quote"})
# Parameters whose field is elsewhere on the object: (object, parameter) -> dotted path.
_ELSEWHERE = {
    ("invoice", "subscription"): "parent.subscription_details.subscription",
    ("promotion_code", "coupon"): "promotion.coupon",
    ("quote", "subscription"): "subscription",
}


def parse(query: str) -> dict[str, Any]:
    """A query string or form as nested values: `a[b]=1&c[]=2&d[0]=3`."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        head, *inner = name.replace("]", "").split("[")
        node, key = found, head
        for part in inner:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise Refusal(400, f"Invalid parameter: {name}", param=head)
            node, key = below, part or str(len(below))
        node[key] = value
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(each) for key, each in value.items()}


def check(params: dict[str, Any], known: dict[str, Any], required: Iterable[str]) -> None:
    """Refuses what a list does not take."""
    unknown = [name for name in params if name not in known]
    if unknown:
        several = "s" if len(unknown) > 1 else ""
        raise Refusal(400, f"Received unknown parameter{several}: {', '.join(unknown)}", code="parameter_unknown",
                      param=unknown[0])
    for name in required:
        if name not in params:
            raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    for name, value in params.items():
        kind = known[name]
        if isinstance(kind, list) and value not in kind:
            raise Refusal(400, f"Invalid {name}: must be one of {', '.join(kind[:-1])}, or {kind[-1]}", param=name)
        if kind == "range" and isinstance(value, dict):
            for bound, text in value.items():
                if bound not in _BOUNDS:
                    raise Refusal(400, f"Received unknown parameter: {name}[{bound}]", code="parameter_unknown",
                                  param=f"{name}[{bound}]")
                number(text, f"{name}[{bound}]")
        elif kind in ("range", "int"):
            number(value, name)
        elif kind == "bool" and value not in ("true", "false"):
            raise Refusal(400, f"Invalid boolean: {value}", param=name)
        elif kind == "object" and not isinstance(value, dict):
            raise Refusal(400, f"Invalid hash: {name}", code="parameter_invalid_hash", param=name)
        elif kind == "list" and not isinstance(value, list):
            raise Refusal(400, f"Invalid array: {name}", code="parameter_invalid_array", param=name)
        elif kind == "str" and not isinstance(value, str):
            raise Refusal(400, f"Invalid string: {name}", code="parameter_invalid_string", param=name)
    if "starting_after" in params and "ending_before" in params:
        raise Refusal(400, "You may only specify one of these parameters: starting_after, ending_before.",
                      param="ending_before")


def number(text: Any, param: str) -> int:
    """An integer parameter."""
    try:
        return int(text)
    except (TypeError, ValueError):
        raise Refusal(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=param) from None


_ALL = 2**31


def limit_of(params: dict[str, Any], known: dict[str, Any] | None = None) -> int:
    """How many objects a page may hold: 1 to 100, 10 unless told; lists without the parameter are one page."""
    if known is not None and ("limit" not in known or (known is _RATES and "limit" not in params)):
        return _ALL
    limit = number(params.get("limit", 10), "limit")
    if limit > 100:
        raise Refusal(400, "This value must be less than or equal to 100.", code="parameter_invalid_integer",
                      param="limit")
    if limit < 1:
        raise Refusal(400, "This value must be greater than or equal to 1.", code="parameter_invalid_integer",
                      param="limit")
    return limit


def bounds(value: Any) -> tuple[int, int]:
    """A filter on time as first and last second."""
    if not isinstance(value, dict):
        return int(value), int(value)
    low, high = 0, 2**62
    for bound, text in value.items():
        at = int(text)
        if bound == "gte":
            low = max(low, at)
        elif bound == "gt":
            low = max(low, at + 1)
        elif bound == "lte":
            high = min(high, at)
        else:
            high = min(high, at - 1)
    return low, high


def value_at(data: Data, path: str) -> Any:
    """The value at a dotted path, or None."""
    node: Any = data
    for part in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(part)
    return node


def tests(books: Books, object: str, params: dict[str, Any], known: dict[str, Any]) -> list[Test]:
    """What a record must be to be listed."""
    found: list[Test] = [lambda record: not record.hidden]
    params = dict(params)
    if object in _ON_CLOCKS and _CLOCK in books.shelves and ("test_clock" in params or books.shelves[_CLOCK]):
        found += _clocks(books, params)
    if object in _SPECIAL:
        found += _SPECIAL[object](books, params)
    for name, value in params.items():
        if name in _COMMON:
            continue
        if name == "customer" and not (books.find("customer", value) or value in books.shelf("customer").gone):
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


def equal(path: str, wanted: str) -> Test:
    """What has that value at a dotted path."""

    def test(record: Record) -> bool:
        value = value_at(record.data, path)
        if isinstance(value, bool):
            return wanted == ("true" if value else "false")
        return value is not None and str(value) == wanted

    return test


def _clocks(books: Books, params: dict[str, Any]) -> list[Test]:
    wanted = params.pop("test_clock", None)
    if wanted is not None:
        if books.find(_CLOCK, wanted) is None:
            raise missing("test_helpers.test_clock", wanted, "test_clock", 400)
        return [lambda record: clock_of(books, record) == wanted]
    return [] if "customer" in params else [lambda record: clock_of(books, record) is None]


# --- lists with rules of their own; each takes what it understands out of `params`


def _prices(books: Books, params: dict[str, Any]) -> list[Test]:
    found: list[Test] = []
    if "active" not in params and books.world.prices_bare == "active":
        found.append(lambda record: bool(record.data["active"]))
    return found


def _subscriptions(books: Books, params: dict[str, Any]) -> list[Test]:
    found: list[Test] = []
    status = params.pop("status", None)
    if status is None:
        found.append(lambda record: record.data["status"] not in _ENDED)
    elif status == "ended":
        found.append(lambda record: record.data["status"] in _ENDED)
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


def _events(books: Books, params: dict[str, Any]) -> list[Test]:
    found: list[Test] = []
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


def _invoice_items(books: Books, params: dict[str, Any]) -> list[Test]:
    pending = params.pop("pending", None)
    if pending is None:
        return []
    return [lambda record: (record.data["invoice"] is None) == (pending == "true")]


def _payment_methods(books: Books, params: dict[str, Any]) -> list[Test]:
    if "type" not in params:
        return [lambda record: record.data["type"] != "custom"]
    return []


def _tax_ids(books: Books, params: dict[str, Any]) -> list[Test]:
    owner = params.pop("owner", None) or {"type": "self"}
    if owner.get("type") == "customer":
        if not owner.get("customer"):
            raise Refusal(400, "Missing required param: owner[customer].", code="parameter_missing",
                          param="owner[customer]")
        return [lambda record: record.parent == owner["customer"]]
    return [lambda record: record.parent is None]


def _products(books: Books, params: dict[str, Any]) -> list[Test]:
    ids = params.pop("ids", None)
    return [] if ids is None else [lambda record: record.id in ids]


def _reviews(books: Books, params: dict[str, Any]) -> list[Test]:
    return [lambda record: bool(record.data.get("open"))]


def _transactions(books: Books, params: dict[str, Any]) -> list[Test]:
    payout = params.pop("payout", None)
    if payout is None:
        return []
    record = books.find("payout", payout)
    if record is None:
        raise missing("payout", payout, "payout", 400)
    if payout not in books.swept:
        raise Refusal(400, "Balance transaction history can only be filtered on automatic transfers, not manual.",
                      param="payout")
    members = {entry.id for entry in swept(books, payout)}
    return [lambda entry: entry.id in members]


def _records(books: Books, params: dict[str, Any]) -> list[Test]:
    low = number(params.pop("created_after", 0), "created_after")
    high = number(params.pop("created_before", 2**62), "created_before")
    return [lambda record: low < record.created < high]


def _registrations(books: Books, params: dict[str, Any]) -> list[Test]:
    status = params.pop("status", None)
    if status is None:
        return [lambda record: record.data.get("status") != "expired"]
    return [] if status == "all" else [lambda record: record.data.get("status") == status]


def _templates(books: Books, params: dict[str, Any]) -> list[Test]:
    status = params.pop("status", "active")
    return [lambda record: record.data.get("status") == status]


def _features(books: Books, params: dict[str, Any]) -> list[Test]:
    archived = params.pop("archived", None)
    return [] if archived is None else [lambda record: bool(record.data.get("active")) is (archived == "false")]


def _credit(books: Books, params: dict[str, Any]) -> list[Test]:
    name, owner = owner_of_credit(params)
    params.pop("customer", None)
    params.pop("customer_account", None)

    def test(record: Record) -> bool:
        grant = books.find("billing.credit_grant", record.data.get("credit_grant"))
        return grant is not None and grant.data.get(name) == owner

    return [test]


def _secrets(books: Books, params: dict[str, Any]) -> list[Test]:
    scope = params.pop("scope")
    if scope.get("type") not in ("account", "user"):
        raise Refusal(400, "Invalid scope[type]: must be one of account or user", param="scope[type]")
    if scope["type"] == "user" and not scope.get("user"):
        raise Refusal(400, "Missing required param: scope[user].", code="parameter_missing", param="scope[user]")
    return [equal(f"scope.{part}", text) for part, text in scope.items()]


def _ordered(books: Books, params: dict[str, Any]) -> list[Test]:
    params.pop("order_by", None)
    return []


_SPECIAL: dict[str, Callable[[Books, dict[str, Any]], list[Test]]] = {
    "apps.secret": _secrets, "billing.credit_balance_transaction": _credit, "entitlements.feature": _features,
    "invoice_rendering_template": _templates, "tax.registration": _registrations,
    "treasury.transaction": _ordered, "treasury.transaction_entry": _ordered,
    "balance_transaction": _transactions, "event": _events, "invoiceitem": _invoice_items,
    "payment_method": _payment_methods, "payment_record": _records, "price": _prices, "product": _products,
    "review": _reviews, "subscription": _subscriptions, "tax_id": _tax_ids,
}


# --- pages


def page(books: Books, object: str, params: dict[str, Any], known: dict[str, Any]) -> tuple[list[Record], bool]:
    """One page of all objects of a type, and whether there are more."""
    limit = limit_of(params, known)
    order, keys = _order(books, object)
    wanted = tests(books, object, params, known)
    low, high = 0, len(order)
    if "created" in params:
        first, last = bounds(params["created"])
        low, high = bisect_left(keys, (first,)), bisect_left(keys, (last + 1,))
    cursor = _cursor(books, (object,), params)
    if cursor is not None:
        hidden = object == "subscription" and "status" not in params and cursor.data["status"] in _ENDED
        if hidden:  # seen on Stripe when a subscription is canceled between two pages
            raise missing(object, cursor.id, "starting_after" if "starting_after" in params else "ending_before", 400)
        place = _shuffled(cursor) if object == "event" and books.world.faults.shuffle_ties else cursor.place
        if "starting_after" in params:
            high = min(high, bisect_left(keys, place))
        else:
            low = max(low, bisect_right(keys, place))
    backwards = "ending_before" in params
    found: list[Record] = []
    simple = len(wanted) == 1
    for at in range(low, high) if backwards else range(high - 1, low - 1, -1):
        record = order[at]
        if (not record.hidden) if simple else all(test(record) for test in wanted):
            found.append(record)
            if len(found) > limit:
                break
    more = len(found) > limit
    del found[limit:]
    return (found[::-1] if backwards else found), more


def _shuffled(record: Record) -> tuple[Any, ...]:
    """A place that says nothing about the order in which things happened within a second: ids are random."""
    return record.created, record.id


def _order(books: Books, object: str) -> tuple[list[Record], Sequence[tuple[Any, ...]]]:
    """Records oldest first, as lists show them, and their places."""
    faults = books.world.faults
    if object != "event":
        if not books.past:
            return books.shelf(object).order()
        records = books.listed(object)
        return records, [record.place for record in records]
    if books.late:
        now = books.now if faults.lag is not None else 2**62
        books.late = {id: at for id, at in books.late.items() if at > now}
    if not books.late and not faults.shuffle_ties:
        return books.shelf(object).order()
    records = [record for record in books.all(object) if record.id not in books.late]
    if faults.shuffle_ties:
        records.sort(key=_shuffled)
        return records, [_shuffled(record) for record in records]
    return records, [record.place for record in records]


def members(
    books: Books, kinds: tuple[str, ...], parent: str, params: dict[str, Any], known: dict[str, Any]
) -> tuple[list[Record], bool]:
    """One page of the children of an object."""
    limit = limit_of(params, known)
    everything = books.listed_children(kinds, parent)
    if "created" in params:
        first, last = bounds(params["created"])
        everything = [record for record in everything if first <= record.created <= last]
    filters = {name: value for name, value in params.items() if name not in _COMMON}
    if filters:
        wanted = tests(books, kinds[0], filters, known)
        everything = [record for record in everything if all(test(record) for test in wanted)]
    cursor = _cursor(books, kinds, params)
    return _part(everything, cursor, limit, params, kinds[0])


def cut(everything: list[Record], params: dict[str, Any], known: dict[str, Any]) -> tuple[list[Record], bool]:
    """One page of what was found already."""
    id = params.get("starting_after") or params.get("ending_before")
    cursor = next((record for record in everything if record.id == id), None)
    if id and cursor is None:
        raise missing(everything[0].object if everything else "object", id, status=400)
    return _part(everything, cursor, limit_of(params, known), params, "")


def _part(
    everything: list[Record], cursor: Record | None, limit: int, params: dict[str, Any], object: str
) -> tuple[list[Record], bool]:
    if cursor is None:
        return everything[:limit], len(everything) > limit
    at = next((place for place, record in enumerate(everything) if record.id == cursor.id), None)
    if at is None:
        name = "starting_after" if "starting_after" in params else "ending_before"
        raise missing(object, cursor.id, name, 400)
    if "starting_after" in params:
        return everything[at + 1:at + 1 + limit], len(everything) > at + 1 + limit
    return everything[max(0, at - limit):at], at > limit


def _cursor(books: Books, kinds: tuple[str, ...], params: dict[str, Any]) -> Record | None:
    for name in ("starting_after", "ending_before"):
        id = params.get(name)
        if id is None:
            continue
        for kind in kinds:
            record = books.find(kind, id)
            if record is not None:
                return record
        if kinds[0] == "event" and id.startswith(prefix("event")):
            raise Refusal(400, f"Event '{id}' is no longer available because it's aged out of our retention policy.",
                          code="resource_missing", param=name)
        raise missing(kinds[0], id, name, 400)
    return None


def embedded_paths() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Paths of lists below one parent: path -> (the parent's object, objects of the members)."""
    found = {path: (owner, kinds) for owner, fields in EMBEDDED.items() for kinds, path, _ in fields.values()
             if "?" not in path and path != "/v1/customers/{id}/subscriptions"}
    for path, entry in LISTS.items():
        if "{id}" in path and path not in found and entry["table"] in CHILDREN:
            _, kinds, owner = CHILDREN[entry["table"]]
            found[path] = (owner, kinds)
    return found
