"""Objects of types that the business does not use, made up from their schema map: every column has a value."""
from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from .catalog import EMBEDDED, INLINE, LISTS, OBJECTS, blank, events, has_blank, home
from .dump import CHILDREN
from .events import emit
from .store import Books, Data, Record

_WORDS = ("alpha", "Brücke", "gamma ✓", "δέλτα", "\"quoted\"", "five, six")
# Columns of which only one is set on any object, or that a list never shows.
_UNSET = ("deleted",)


def maps_directory(books: Books) -> Path:
    """Where the schema maps are: as told, as installed, or as in a checkout."""
    told = books.world.schema_maps
    package = Path(str(resources.files(__package__))).parent
    for place in (told, told and told / "stripe", package / "schema_maps" / "stripe",
                  package.parent / "schema_maps" / "stripe"):
        if place is not None and next(place.glob("*.yaml"), None) is not None:
            return place
    raise FileNotFoundError("The schema maps were not found; tell `World(schema_maps=…)` where they are.")


@lru_cache(maxsize=256)
def _map(path: Path) -> Data:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # type: ignore[no-any-return]  # a mapping


def _entry(table: str) -> tuple[str, Data]:
    """The list of a table, by its name or by the object that its rows are."""
    for path, entry in LISTS.items():
        if table == entry["table"] or (table in entry["objects"] and path.startswith("/v1/customers/")):
            return path, entry
    raise KeyError(f"Objects of table `{table}` have no list of their own; make what they are found with.")


def _map_of(books: Books, table: str) -> Data:
    path = maps_directory(books) / f"{table}.yaml"
    if not path.exists():
        raise KeyError(f"Table `{table}` has no schema map in `{path.parent}`.")
    return _map(path)


def populate(books: Books, table: str, n: int, fields: Data) -> list[Data]:
    """Makes `n` objects of a table; those of its list's parent, where there is none yet."""
    path, entry = _entry(CHILDREN[table][0] if CHILDREN.get(table, ("",))[0] in ("card", "bank_account") else table)
    mapped = _map_of(books, table)
    books.world.populated.add(table)
    kinds = mapped["object"] if isinstance(mapped["object"], list) else [mapped["object"]]
    kinds = [kind for kind in kinds if kind in entry["objects"]] or entry["objects"]
    parent = _parent(books, path)
    made = []
    for number in range(n):
        object = kinds[number % len(kinds)]
        below = fields if parent is None else {parent.object.split(".")[-1]: parent.id, **fields}
        record = _make(books, table, mapped, object, entry, below, parent)
        made.append(books.plain(record))
    return made


def _parent(books: Books, path: str) -> Record | None:
    if "{" not in path:
        return None
    above = path.split("/{", 1)[0]
    object = LISTS[above]["objects"][0] if above in LISTS else above.rsplit("/", 1)[-1].removesuffix("s")
    found = books.all(object)
    return found[-1] if found else one(books, object, {})


def one(books: Books, object: str, fields: Data) -> Record:
    """One object of any type that has a list and a schema map, or of just the given fields where it has none."""
    path = home(object)
    if path is None:
        values: Data = {"created": books.now, "livemode": books.world.livemode, **fields}
        record = books.add(object, **values)
    else:
        entry = LISTS[path]
        try:
            mapped = _map_of(books, entry["table"])
        except (KeyError, FileNotFoundError):
            mapped = {"columns": {}}
        books.world.populated.add(entry["table"])
        record = _make(books, entry["table"], mapped, object, entry, fields, _parent(books, path))
    for type in events(object)[0][:1]:
        emit(books, type, record)
    return record


def _make(
    books: Books, table: str, mapped: Data, object: str, entry: Data, fields: Data, parent: Record | None
) -> Record:
    data: Data = blank(object) if has_blank(object) else {}
    kinds = set(mapped.get("json_kinds") or ())
    absent = {name for name, (_, expand) in _lists(object).items() if expand}
    absent |= set(OBJECTS.get(object, {}).get("include", {}))
    version = 2 if object.startswith("v2.") else 1
    absent |= set(INLINE.get(object, {})) - {"price", "plan"}
    for name, column in mapped["columns"].items():
        column = column or {}
        path = column.get("path") or name.replace("__", ".")
        top = path.split(".")[0]
        if top in ("id", "object", *_UNSET) or top in absent or path in kinds or column.get("x-secret"):
            continue
        _put(data, path.split("."), _value(books, name, column, version))
    for name, (url, expand) in _lists(object).items():
        if not expand and object not in EMBEDDED:
            data[name] = {"object": "list", "data": [], "has_more": False, "url": url}
    for name in entry["required"]:
        if name not in fields and not isinstance(data.get(name), dict):
            data[name] = _needed(books, name, data.get(name))
    id = f"{table}_{books.count(table)}" if object in ("country_spec", "exchange_rate") else books.new_id(object)
    data.update(fields)
    if "created" in data and not isinstance(data["created"], (int, str)):
        data["created"] = books.now
    data.pop("id", None)
    data.pop("object", None)
    data["livemode"] = books.world.livemode
    return books.add(object, id=id, under=parent.id if parent else None, **data)


def _lists(object: str) -> dict[str, tuple[str, bool]]:
    return {name: (f"/v1/{name}", expand) for name, (expand, _) in OBJECTS.get(object, {}).get("lists", {}).items()}


def _needed(books: Books, name: str, value: Any) -> Any:
    """The value of a field that its list is filtered by: an object that exists."""
    for object in OBJECTS:
        if object.split(".")[-1] == name and books.shelf(object).records:
            return next(iter(books.shelf(object).records))
    for path, entry in LISTS.items():
        object = entry["objects"][0]
        if object.split(".")[-1] == name and "{" not in path:
            return one(books, object, {}).id
    return value if value is not None else f"{name}_1"


def _put(data: Data, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        below = data.get(part)
        if not isinstance(below, dict):
            below = data[part] = {}
        data = below
    data[path[-1]] = value


def _value(books: Books, name: str, column: Data, version: int) -> Any:
    rng = books.world.rng
    kind = column.get("data_type", "text")
    last = name.split("__")[-1]
    if name == "metadata":
        return {"key": rng.choice(_WORDS)}
    if kind == "bigint":
        return str(rng.randrange(2**40)) if "int64" in str(column.get("x-wire", "")) else rng.randrange(1, 10**6)
    if kind == "double":
        return rng.randrange(1, 9999) / 8
    if kind == "decimal":
        return f"{rng.randrange(1, 10**6)}.{rng.randrange(10**6):06d}"
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "timestamp":
        return _time(books, last, column, version)
    if kind == "date":
        return "2026-02-28"
    if kind == "json":
        return rng.choice(([], [{"a": 1, "b": None}], {"nested": {"deep": [1, 2]}}, ["x", "ÿ"]))
    if "currency" in last:
        return "usd"
    references = column.get("references")
    if references and references in {entry["table"] for entry in LISTS.values()}:
        object = _entry(references)[1]["objects"][0]
        found = books.shelf(object).records
        return next(iter(found)) if found else books.new_id(object)
    return f"{last}_{rng.choice(_WORDS)}"


def _time(books: Books, last: str, column: Data, version: int) -> int | str:
    seconds = books.now - (0 if last == "created" else books.world.rng.randrange(10**6))
    if version == 2 or str(column.get("x-wire", column.get("x-time", ""))).startswith("iso"):
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return seconds
