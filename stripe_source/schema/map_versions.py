"""Versions of the schema maps: one for each release, with what it changed, beside dlt's own schema versions.

`schema_maps/versions/1.yaml` has the outline of the first version; `versions.yaml` beside it has, for each version, the
API version that it was made for, a hash of all that the maps declare (descriptions and references too), and its
changes. `python -m stripe_source.codegen` writes them; a test fails while the last version is not that of the maps.
"""
from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stripe_source.errors import InvalidOption
from stripe_source.schema.snapshot import SchemaSnapshot
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import MAPS, table_map

FOLDER = MAPS / "versions"


@dataclass(frozen=True)
class MapVersion:
    """A version of the schema maps.

    Args:
        version: 1, 2, 3 …
        release: the release of this package that brought it.
        api_version: the version of Stripe's API that it was made for.
        hash: of everything that the maps declare.
        tables: how many there are.
        columns: how many they have together.
        changes: to the version before: `tables_added`, `tables_removed`, `columns_added`, `columns_removed` and
            `columns_changed`, each by table; nothing where only descriptions and references changed.
    """

    version: int
    release: str
    api_version: str
    hash: str
    tables: int
    columns: int
    changes: dict[str, Any] = field(default_factory=dict)


@cache
def map_versions(folder: Path = FOLDER) -> tuple[MapVersion, ...]:
    """All versions of the schema maps, the oldest first; the last one is this release's."""
    import yaml

    file = folder / "versions.yaml"
    return tuple(MapVersion(**entry) for entry in yaml.safe_load(file.read_bytes())) if file.exists() else ()


def map_version_of(name: str | int, folder: Path = FOLDER) -> SchemaSnapshot:
    """The outline of the schema maps in a version.

    Args:
        name: its number, or the release that brought it.
        folder: where the versions are.

    Raises:
        InvalidOption: there is no such version.
    """
    known = map_versions(folder)
    wanted = next((v.version for v in known if str(name) in (str(v.version), v.release)), None)
    if wanted is None:
        raise InvalidOption("version", name, [v.version for v in known])
    import yaml

    text = (folder / "1.yaml").read_bytes()
    outline: SchemaSnapshot = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for version in known[1:wanted]:
        _apply_changes(outline, version.changes)
    return outline


def _apply_changes(outline: SchemaSnapshot, changes: dict[str, Any]) -> None:
    for table in changes.get("tables_removed", ()):
        del outline[table]
    outline.update(changes.get("tables_added", {}))
    for table, columns in changes.get("columns_removed", {}).items():
        for name in columns:
            del outline[table][name]
    for table, columns in changes.get("columns_added", {}).items():
        outline[table].update(columns)
    for table, columns in changes.get("columns_changed", {}).items():
        outline[table].update({name: now for name, (_, now) in columns.items()})


def maps_hash() -> str:
    """A hash of everything that the schema maps of this checkout declare."""
    shapes = [table_map(table) for table in TABLES]
    declared = {shape.table.name: [shape.description, shape.key, shape.hints()] for shape in shapes}
    text = json.dumps(declared, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def version_within(outline: SchemaSnapshot) -> int | None:
    """The newest version of the maps whose columns are all in an outline, for the tables that are in it."""
    for version in reversed(map_versions()):
        declared = map_version_of(version.version)
        shared = declared.keys() & outline.keys()
        if shared and all(declared[name].items() <= outline[name].items() for name in shared):
            return version.version
    return None
