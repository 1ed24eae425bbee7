"""Values that no declared column holds, while they wait for columns that are decided from all values of a load.

They wait as JSON text: for each row a list of (path, packed value). A scalar is packed as it is, an object that may
become columns as a list of pairs, and anything else as `{"j": its JSON text, "e": whether it is empty}`.
"""
from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from stripe_source.arrow_rows.json_text import dumps

Path = tuple[str, ...]
PackedCells = dict[int, Any]  # row -> packed value
MAX_LEAVES = 20  # an undeclared object with more leaves than this stays JSON
MAX_DEPTH = 8  # so does one that is nested deeper
ASIDE = ""  # first of the three steps of a path that means: kept beside a column. No field of Stripe has an empty name
_SCALAR = {bool: "bool", int: "bigint", float: "double", str: "text"}
_INT64 = range(-(2**63), 2**63)


def pack(value: Any, path: Path, json_kinds: Collection[Path]) -> Any:
    """Pack a value.

    Args:
        value: what Stripe sent.
        path: its path on the object.
        json_kinds: paths of objects whose undeclared members stay JSON.
    """
    if isinstance(value, dict) and path[:-1] not in json_kinds and path[-1] != "metadata" and len(path) <= MAX_DEPTH:
        return [[key, pack(inner, (*path, key), json_kinds)] for key, inner in value.items()]
    if isinstance(value, (dict, list)):
        return as_json(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> dict[str, Any]:
    """Pack a value that stays JSON."""
    return {"j": dumps(value), "e": value in ({}, []) and type(value) in (dict, list)}


def text_of(packed: Any) -> str:
    """The JSON text of a packed value."""
    if isinstance(packed, list):
        return "{" + ",".join(f"{dumps(key)}:{text_of(inner)}" for key, inner in packed) + "}"
    return str(packed["j"]) if isinstance(packed, dict) else dumps(packed)


def is_empty(packed: Any) -> bool:
    """Whether a packed value is an empty object or list."""
    return packed == [] or (isinstance(packed, dict) and packed["e"])


def id_of(packed: Any) -> str | None:
    """The id of a packed object."""
    found = next((inner for key, inner in packed if key == "id"), None) if isinstance(packed, list) else None
    return found if isinstance(found, str) else None


def unpacked(texts: Iterable[str | None]) -> Iterator[tuple[int, Path, Any]]:
    """The values that wait, as (row, path, packed value)."""
    for row, text in enumerate(texts):
        if text is not None:
            for path, packed in json.loads(text):
                yield row, tuple(path), packed


def type_of(values: Iterable[Any]) -> str:
    """The data type that holds all of these packed values: their own, double for numbers of both kinds, else JSON."""
    kinds, wide, long = set(), False, False
    for value in values:
        kinds.add(type(value))
        if type(value) is int:
            wide, long = wide or abs(value) > 2**53, long or value not in _INT64
    if kinds == {int, float} and not wide:
        return "double"
    return _SCALAR.get(kinds.pop(), "json") if len(kinds) == 1 and not long else "json"


def leaf_paths(objects: Iterable[Any]) -> set[Path]:
    """The paths of the leaves of packed objects; the search stops when there are more than `MAX_LEAVES`."""
    found: set[Path] = set()
    stack: list[tuple[Path, Any]] = [((), packed) for packed in objects]
    while stack and len(found) <= MAX_LEAVES:
        path, here = stack.pop()
        if isinstance(here, list) and here:
            stack += [((*path, key), inner) for key, inner in here]
        elif path:
            found.add(path)
    return found


def members_of(objects: Mapping[int, Any]) -> dict[str, PackedCells]:
    """The members of packed objects, by name; null ones are left out."""
    found: dict[str, PackedCells] = {}
    for row, packed in objects.items():
        for key, inner in packed:
            if inner is not None:
                found.setdefault(key, {})[row] = inner
    return found
