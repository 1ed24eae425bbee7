"""Generated objects, for types that the business does not use: a schema map says which fields they have."""
from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from stripe_source.sandbox.business.singletons import entitlements
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import (
    BY_PARAMETER,
    CHILDREN,
    EMBEDDED,
    EXPAND_ONLY,
    INLINE,
    LISTS,
    OBJECTS,
    blank,
    event_types,
    has_blank,
    list_path,
    owner_field,
    stripe_name,
)
from stripe_source.sandbox.state.clocks import text
from stripe_source.sandbox.state.events import emit
from stripe_source.sandbox.state.records import Data, Record

_WORDS = ("alpha", "Brücke", "gamma ✓", "δέλτα", "\"quoted\"", "five, six")
_USUAL_VALUES = {
    "account_number": "000123456789", "bank_name": "STRIPE TEST BANK", "brand": "visa", "city": "München",
    "country": "DE", "domain_name": "shop.example.com", "email": "someone@example.com", "exp_month": 7,
    "exp_year": 2031, "first_name": "Zoë", "funding": "credit", "given_name": "Zoë", "iin": "424242",
    "interval": "month", "ip": "203.0.113.7", "ip_address": "203.0.113.7", "last4": "4242", "last_name": "Müller",
    "line1": "1 Harbour Street", "line2": "Apt. 4", "name": "Zoë Müller", "phone": "+15555550123",
    "postal_code": "80331", "routing_number": "110000000", "state": "BY", "surname": "Müller", "town": "Schwabing",
    "timezone": "Europe/Berlin", "url": "https://shop.example.com",
}
# Fields that are not filled at random: they lead loaders to other objects, or change what lists show.
_NOT_FILLED = frozenset({
    "deleted", "discount", "discounts", "hidden", "hooks", "id", "livemode", "object", "review", "test_clock",
})
_TEXT_NUMBERS = ("error_count", "size", "success_count")  # 64-bit numbers that /v2/ sends as text
# Objects whose creation has another event than `*.created`.
_CREATION_EVENTS = {"capability": "capability.updated", "reporting.report_run": "reporting.report_run.succeeded"}
_TYPED = frozenset({"bigint", "bool", "date", "decimal", "double", "json", "timestamp"})
_TABLES = {entry["table"]: path for path, entry in LISTS.items()}
_EPOCH_AS_TEXT = "paper_check.available_at"  # a time in seconds, as text (SDK 16.1, checked 2026-11-23)


def maps_directory(books: Books) -> Path:
    """Return the directory of the schema maps: the given one, that of the package, or that of a checkout."""
    given = books.world.schema_maps
    package = Path(str(resources.files("stripe_source")))
    for place in (given, given and given / "stripe", package / "schema_maps" / "stripe",
                  package.parent / "schema_maps" / "stripe"):
        if place is not None and next(place.glob("*.yaml"), None) is not None:
            return place
    raise FileNotFoundError("The schema maps were not found; tell `World(schema_maps=…)` where they are.")


@lru_cache(maxsize=256)
def _map(path: Path) -> Data:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # type: ignore[no-any-return]  # a mapping


def schema_map_of(books: Books, table: str) -> Data:
    """Return the schema map of a table."""
    path = maps_directory(books) / f"{table}.yaml"
    if not path.exists():
        raise KeyError(f"Table `{table}` has no schema map in `{path.parent}`.")
    return _map(path)


def make_one(books: Books, object: str, fields: Data) -> Record:
    """Generate one object of any type; without a list and a schema map it has the given fields only."""
    path = list_path(object)
    if path is None:
        values: Data = {"created": books.now, "livemode": books.world.livemode, **fields}
        return books.add(object, **values)
    table = LISTS[path]["table"]
    try:
        schema_map = schema_map_of(books, table)
    except (KeyError, FileNotFoundError):
        schema_map = {"columns": {}}
    books.world.populated.add(table)
    parent: Record | None = None
    if table in CHILDREN:
        owner = CHILDREN[table][2]
        named = fields.get(BY_PARAMETER.get(path, owner_field(object, owner)))
        parent = books.find(owner, named) if named else None
        if parent is None:
            found = books.all(owner)
            parent = found[-1] if found else make_one(books, owner, {})
    return make(books, schema_map, object, fields, parent)


def make(
    books: Books, schema_map: Data, object: str, fields: Data, parent: Record | None = None, *, key: str | None = None,
    number: int = 0,
) -> Record:
    """Generate an object, store it, and emit the event of its creation if Stripe has one."""
    data: Data = blank(object) if has_blank(object) else {}
    expand_only: Data = {}
    fill(books, object, data, expand_only, schema_map, number)
    for name, (expand, _) in OBJECTS.get(stripe_name(object), {}).get("lists", {}).items():
        if not expand and name not in EMBEDDED.get(object, {}):
            data[name] = {"object": "list", "data": [], "has_more": False, "url": f"/v1/{name}"}
    for name, (_, _, expand) in EMBEDDED.get(object, {}).items():
        if not expand:
            data[name] = None  # the list is added when the object is shown
    if parent is not None:
        field = owner_field(object, parent.object)
        if field in schema_map["columns"]:
            data[field] = parent.id
        if parent.object == "customer" and "customer" in schema_map["columns"]:
            data["customer"] = parent.id
    if "livemode" in schema_map["columns"]:
        data["livemode"] = books.world.livemode
    data.update(fields)
    moment = text(books.now) if object.startswith("v2.") else books.now
    if "created" in schema_map["columns"] and "created" not in fields:
        data["created"] = moment
    id = data.pop("id", None) or books.new_id(object)
    data.pop("object", None)
    record = books.add(object, id=id, parent_id=parent.id if parent else None, expand_only=expand_only or None,
                       key=key, **data)
    for type in event_types(object)[0]:
        if object in ("bank_account", "card") and parent is not None:
            theirs = "account." if parent.object == "account" else "customer."
            if not type.startswith(theirs):
                continue
        emit(books, type, record)
        break
    if object in _CREATION_EVENTS:
        emit(books, _CREATION_EVENTS[object], record, {})
    if object == "entitlements.active_entitlement" and parent is not None:
        emit(books, "entitlements.active_entitlement_summary.updated", entitlements(books, parent.id), {})
    return record


def fill(books: Books, object: str, data: Data, expand_only: Data, schema_map: Data, number: int = 0) -> None:
    """Give every empty column a value; fields that only `expand[]` shows go to `expand_only`."""
    spec = OBJECTS.get(stripe_name(object), {})
    lists = spec.get("lists", {})
    left = {*EMBEDDED.get(object, {}), *INLINE.get(object, {})}
    left |= {name for name, (expand, _) in lists.items() if expand or has_blank(object)}
    included = (*spec.get("include", {}), *EXPAND_ONLY.get(stripe_name(object), ()))
    table = schema_map.get("table", "")
    choices = LISTS[_TABLES[table]]["params"] if table in _TABLES else {}
    for name, column in schema_map["columns"].items():
        path: str = column.get("path") or name.replace("__", ".")
        parts = path.split(".")
        section = next((each for each in included if path == each or path.startswith(f"{each}.")), None)
        if any(path == each or path.startswith(f"{each}.") for each in left):
            continue
        if parts[0] in _NOT_FILLED and section is None:
            continue
        value = partial(_value, books, object, parts, column, choices, number)
        if section is not None:
            rest = path[len(section) + 1:]
            _put(expand_only, [section, *rest.split(".")] if rest else [section], value)
        else:
            _put(data, parts, value)


def _put(data: Data, path: list[str], value: Callable[[], Any]) -> None:
    """Set the value at a path to what `value` returns, if there is none yet."""
    for part in path[:-1]:
        below = data.get(part)
        if below in (None, [], ""):
            below = data[part] = {}
        if not isinstance(below, dict):
            return
        data = below
    if data.get(path[-1]) in (None, [], {}, ""):
        data[path[-1]] = value()


def _value(books: Books, object: str, path: list[str], column: Data, choices: Data, number: int) -> Any:
    rng = books.world.rng
    kind, last = column.get("data_type", "text"), path[-1]
    if last == "metadata":
        return {"key": rng.choice(_WORDS)}
    if len(path) == 1 and isinstance(choices.get(last), list):
        allowed = [each for each in choices[last] if each not in ("all", "ended", "")]
        if allowed and kind == "text":
            return allowed[number % len(allowed)]
    if last in _USUAL_VALUES and kind == ("bigint" if isinstance(_USUAL_VALUES[last], int) else "text"):
        return _USUAL_VALUES[last]
    if kind in _TYPED:
        return _typed_value(books, object, path, kind)
    if "currency" in last:
        return "usd"
    if column.get("references"):
        return _reference(books, column["references"], number)
    word = rng.choice(_WORDS)
    return f"whsec_{number}x{len(word)}" if last == "secret" else f"{last}_{word}"  # of a webhook endpoint


def _typed_value(books: Books, object: str, path: list[str], kind: str) -> Any:
    """Return a random value of a type other than text."""
    rng = books.world.rng
    if kind == "bigint":
        if object.startswith("v2.") and path[-1] in _TEXT_NUMBERS:
            return str(rng.randrange(2**40))
        return rng.randrange(1, 10**6)
    if kind == "double":
        return rng.randrange(1, 9999) / 8
    if kind == "decimal":
        return f"{rng.randrange(1, 10**6)}.{rng.randrange(10**6):06d}"
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "timestamp":
        seconds = books.now - rng.randrange(10**6)
        if object.startswith("v2."):
            return text(seconds)
        return str(seconds) if ".".join(path) == _EPOCH_AS_TEXT else seconds
    if kind == "date":
        return "2026-02-28"
    return rng.choice(([{"a": 1, "b": None}], {"nested": {"deep": [1, 2]}}, ["x", "ÿ"]))


def _reference(books: Books, table: str, number: int) -> str:
    if table in CHILDREN:
        object = CHILDREN[table][0][0]
    elif table in _TABLES:
        object = LISTS[_TABLES[table]]["objects"][0]
    else:
        return f"{table}_1"
    found = books.collection(object).records
    return next(iter(found)) if found else books.new_id(object)
