"""What a schema map declares otherwise than the maps of release 0.1.0, whose rows have fingerprints without a mark.

A row's fingerprint says what its object held. A later release that puts a value of the object elsewhere has to write
the row again though the object is as it was. So the fingerprint has a mark of what is declared otherwise now and that
the object holds; a row that no such change concerns keeps its fingerprint.
"""
from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import MAPS, Column, TableMap, table_map

FILE = MAPS / "versions" / "columns_of_0.1.0.yaml"
Path = tuple[str, ...]


def mapping_hash(shape: TableMap) -> str:
    """A hash of all by which an object becomes a row: key, columns with paths and types, what is expanded."""
    return _hash(shape.table.key, shape.table.expand, sorted(declared(shape)), size=9)


def mapping_mark(table: str, data: Mapping[str, Any]) -> str:
    """The mark of what the map of a table declares otherwise than in 0.1.0 and that an object holds; "" if nothing."""
    known = BY_NAME.get(table)
    changes = _changes(table_map(known)) if known else ()
    return ",".join(mark for path, mark in changes if _holds(data, path)) if changes else ""


@cache
def _changes(shape: TableMap) -> tuple[tuple[Path, str], ...]:
    """What a map declares otherwise: the path of a value, and a mark. Columns that are gone concern every row."""
    before = first_columns().get(shape.table.name)
    if before is None:
        return ()
    now = dict(declared(shape))
    changed = [(path, mark) for mark, path in now.items() if mark not in before]
    gone = sorted(before - now.keys())
    return (*changed, *([((), _hash(gone))] if gone else []))


def _holds(data: Any, path: Path) -> bool:
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return data is not None


def declared(shape: TableMap) -> Iterator[tuple[str, Path]]:
    """A mark of each thing that a map declares, with the path of the value that it is about."""
    for column in shape.columns:
        if column.path is not None:
            yield _mark(column), column.path
    for word, paths in (("kinds", shape.json_kinds), ("children", shape.children)):
        for path in sorted(paths):
            yield _hash(word, path), path


def _mark(column: Column) -> str:
    return _hash(column.name, column.data_type, column.path, column.precision, column.scale)


def _hash(*parts: Any, size: int = 3) -> str:
    return b64encode(hashlib.blake2b(repr(parts).encode(), digest_size=size).digest()).decode()


@cache
def _first() -> dict[str, tuple[str, frozenset[str]]]:
    import yaml

    text = yaml.load(FILE.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: (words["hash"], frozenset(words["columns"].split())) for name, words in text.items()}


def first_columns() -> dict[str, frozenset[str]]:
    """By table, the marks of all that the maps of 0.1.0 declared."""
    return {name: columns for name, (_, columns) in _first().items()}


def first_hash(table: str) -> str | None:
    """The hash of a table's map in 0.1.0; None where it had none."""
    found = _first().get(table)
    return found and found[0]

