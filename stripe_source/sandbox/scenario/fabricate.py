"""Objects of types that the business does not use, made up from their schema map: every column has a value."""
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
    INCLUDE_ONLY,
    INLINE,
    LISTS,
    OBJECTS,
    blank,
    events,
    has_blank,
    home,
    owner_field,
    shown,
)
from stripe_source.sandbox.state.clocks import text
from stripe_source.sandbox.state.events import emit
from stripe_source.sandbox.state.records import Data, Record

_WORDS = ("alpha", "Brücke", "gamma ✓", "δέλτα", "\"quoted\"", "five, six")
_PLAIN = {
    "account_number": "000123456789", "bank_name": "STRIPE TEST BANK", "brand": "visa", "city": "München",
    "country": "DE", "domain_name": "shop.example.com", "email": "someone@example.com", "exp_month": 7,
    "exp_year": 2031, "first_name": "Zoë", "funding": "credit", "given_name": "Zoë", "iin": "424242",
    "interval": "month", "ip": "203.0.113.7", "ip_address": "203.0.113.7", "last4": "4242", "last_name": "Müller",
    "line1": "1 Harbour Street", "line2": "Apt. 4", "name": "Zoë Müller", "phone": "+15555550123",
    "postal_code": "80331", "routing_number": "110000000", "state": "BY", "surname": "Müller", "town": "Schwabing",
    "timezone": "Europe/Berlin", "url": "https://shop.example.com",
}
# Fields that lead to objects which loaders follow, or change what lists show: only who knows better sets them.
_LEFT = frozenset({
    "deleted", "discount", "discounts", "hidden", "hooks", "id", "livemode", "object", "review", "test_clock",
})
_TEXT_NUMBERS = ("error_count", "size", "success_count")  # 64-bit numbers that travel as text, under /v2/
# Objects whose creation is told by another event than `*.created`.
_TOLD = {"capability": "capability.updated", "reporting.report_run": "reporting.report_run.succeeded"}
_TYPED = frozenset({"bigint", "bool", "date", "decimal", "double", "json", "timestamp"})
_TABLES = {entry["table"]: path for path, entry in LISTS.items()}
_EPOCH_AS_TEXT = "paper_check.available_at"  # a time in seconds, as text (SDK 16.1, checked 2026-11-23)


def maps_directory(books: Books) -> Path:
    """Where the schema maps are: as told, as installed, or as in a checkout."""
    told = books.world.schema_maps
    package = Path(str(resources.files("stripe_source")))
    for place in (told, told and told / "stripe", package / "schema_maps" / "stripe",
                  package.parent / "schema_maps" / "stripe"):
        if place is not None and next(place.glob("*.yaml"), None) is not None:
            return place
    raise FileNotFoundError("The schema maps were not found; tell `World(schema_maps=…)` where they are.")


@lru_cache(maxsize=256)
def _map(path: Path) -> Data:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # type: ignore[no-any-return]  # a mapping


def map_of(books: Books, table: str) -> Data:
    """The schema map of a table."""
    path = maps_directory(books) / f"{table}.yaml"
    if not path.exists():
        raise KeyError(f"Table `{table}` has no schema map in `{path.parent}`.")
    return _map(path)


def one(books: Books, object: str, fields: Data) -> Record:
    """One object of any type that has a list and a schema map, or of just the given fields where it has none."""
    path = home(object)
    if path is None:
        values: Data = {"created": books.now, "livemode": books.world.livemode, **fields}
        return books.add(object, **values)
    table = LISTS[path]["table"]
    try:
        mapped = map_of(books, table)
    except (KeyError, FileNotFoundError):
        mapped = {"columns": {}}
    books.world.populated.add(table)
    parent: Record | None = None
    if table in CHILDREN:
        owner = CHILDREN[table][2]
        named = fields.get(BY_PARAMETER.get(path, owner_field(object, owner)))
        parent = books.find(owner, named) if named else None
        if parent is None:
            found = books.all(owner)
            parent = found[-1] if found else one(books, owner, {})
    return make(books, mapped, object, fields, parent)


def make(
    books: Books, mapped: Data, object: str, fields: Data, parent: Record | None = None, *, key: str | None = None,
    number: int = 0,
) -> Record:
    """Makes up an object, stores it, and tells of its creation as Stripe does."""
    data: Data = blank(object) if has_blank(object) else {}
    also: Data = {}
    fill(books, object, data, also, mapped, number)
    for name, (expand, _) in OBJECTS.get(shown(object), {}).get("lists", {}).items():
        if not expand and name not in EMBEDDED.get(object, {}):
            data[name] = {"object": "list", "data": [], "has_more": False, "url": f"/v1/{name}"}
    for name, (_, _, expand) in EMBEDDED.get(object, {}).items():
        if not expand:
            data[name] = None  # put in when the object is shown
    if parent is not None:
        field = owner_field(object, parent.object)
        if field in mapped["columns"]:
            data[field] = parent.id
        if parent.object == "customer" and "customer" in mapped["columns"]:
            data["customer"] = parent.id
    if "livemode" in mapped["columns"]:
        data["livemode"] = books.world.livemode
    data.update(fields)
    moment = text(books.now) if object.startswith("v2.") else books.now
    if "created" in mapped["columns"] and "created" not in fields:
        data["created"] = moment
    id = data.pop("id", None) or books.new_id(object)
    data.pop("object", None)
    record = books.add(object, id=id, under=parent.id if parent else None, also=also or None, key=key, **data)
    for type in events(object)[0]:
        if object in ("bank_account", "card") and parent is not None:
            theirs = "account." if parent.object == "account" else "customer."
            if not type.startswith(theirs):
                continue
        emit(books, type, record)
        break
    if object in _TOLD:
        emit(books, _TOLD[object], record, {})
    if object == "entitlements.active_entitlement" and parent is not None:
        emit(books, "entitlements.active_entitlement_summary.updated", entitlements(books, parent.id), {})
    return record


def fill(books: Books, object: str, data: Data, also: Data, mapped: Data, number: int = 0) -> None:
    """Gives every column without a value one; what comes with `expand[]` only goes to `also`."""
    spec = OBJECTS.get(shown(object), {})
    lists = spec.get("lists", {})
    left = {*EMBEDDED.get(object, {}), *INLINE.get(object, {})}
    left |= {name for name, (expand, _) in lists.items() if expand or has_blank(object)}
    included = (*spec.get("include", {}), *INCLUDE_ONLY.get(object, ()))
    table = mapped.get("table", "")
    choices = LISTS[_TABLES[table]]["params"] if table in _TABLES else {}
    for name, column in mapped["columns"].items():
        path: str = column.get("path") or name.replace("__", ".")
        parts = path.split(".")
        if parts[0] in _LEFT or any(path == each or path.startswith(f"{each}.") for each in left):
            continue
        value = partial(_value, books, object, parts, column, choices, number)
        section = next((each for each in included if path == each or path.startswith(f"{each}.")), None)
        if section is not None:
            rest = path[len(section) + 1:]
            _put(also, [section, *rest.split(".")] if rest else [section], value)
        else:
            _put(data, parts, value)


def _put(data: Data, path: list[str], value: Callable[[], Any]) -> None:
    """Sets what has no value yet; `value` makes one."""
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
    if last in _PLAIN and kind == ("bigint" if isinstance(_PLAIN[last], int) else "text"):
        return _PLAIN[last]
    if kind in _TYPED:
        return _typed_value(books, object, path, kind)
    if "currency" in last:
        return "usd"
    if column.get("references"):
        return _reference(books, column["references"], number)
    return f"{last}_{rng.choice(_WORDS)}"


def _typed_value(books: Books, object: str, path: list[str], kind: str) -> Any:
    """A random value of a type that is no text."""
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
    found = books.shelf(object).records
    return next(iter(found)) if found else books.new_id(object)
