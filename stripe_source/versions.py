"""Versions of the schema maps: one for each release, with what it changed, beside dlt's own schema versions.

`schema_maps/versions/1.yaml` has the outline of the first version; `versions.yaml` beside it has, for each version, the
API version that it was made for, a hash of all that the maps declare (descriptions and references too), and its
changes. `python -m stripe_source.versions` writes them; a test fails while the last version is not that of the maps.
"""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption
from stripe_source.outline import Outline, of_maps, of_tables
from stripe_source.schema_map import MAPS, table_map
from stripe_source.tables import TABLES

if TYPE_CHECKING:
    import dlt

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


def of_version(name: str | int, folder: Path = FOLDER) -> Outline:
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
    outline: Outline = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for version in known[1:wanted]:
        _apply(outline, version.changes)
    return outline


def _apply(outline: Outline, changes: dict[str, Any]) -> None:
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


def schema_history(pipeline: dlt.Pipeline | None = None) -> dict[str, Any]:
    """The versions of the schema maps, and those of dlt's schema in a destination.

    Args:
        pipeline: whose destination is looked at; None: only the maps' versions.

    Returns:
        `maps`: see `MapVersion`. `dlt`: of each schema version in the destination, the oldest first, its number, hash,
        name, when it was stored, how many tables and columns it has, and which version of the maps it has in it.
        `location`: where that is.

    Raises:
        DestinationError: the destination cannot be reached.
    """
    maps = [asdict(version) for version in map_versions()]
    if pipeline is None:
        return {"maps": maps, "dlt": [], "location": None}
    from stripe_source.there import location_of, stored_schemas

    stored = []
    for schema, moment in stored_schemas(pipeline):
        outline = of_tables(schema.tables)
        stored.append({
            "version": schema.version,
            "hash": schema.version_hash,
            "schema": schema.name,
            "stored_at": moment.isoformat() if moment else None,
            "tables": len(outline),
            "columns": sum(map(len, outline.values())),
            "maps": version_within(outline),
        })
    return {"maps": maps, "dlt": stored, "location": location_of(pipeline)}


def version_within(outline: Outline) -> int | None:
    """The newest version of the maps whose columns are all in an outline, for the tables that are in it."""
    for version in reversed(map_versions()):
        declared = of_version(version.version)
        shared = declared.keys() & outline.keys()
        if shared and all(declared[name].items() <= outline[name].items() for name in shared):
            return version.version
    return None


def write(folder: Path = FOLDER) -> MapVersion:
    """Write a version for the maps as they are now: a new one, or over the one of the same release.

    Returns:
        The version.
    """
    from stripe_source import __version__
    from stripe_source.client import API_VERSION
    from stripe_source.diff import compared

    map_versions.cache_clear()
    known = map_versions(folder)
    kept = known[:-1] if known and known[-1].release == __version__ else known
    outline = of_maps()
    changes: dict[str, Any] = {}
    folder.mkdir(exist_ok=True)
    if kept:
        before = of_version(kept[-1].version, folder)
        changes = {name: value for name, value in asdict(compared(before, outline)).items()
                   if value and name not in ("a", "b")}
    else:
        (folder / "1.yaml").write_text(_yaml(outline))
    now = MapVersion(
        len(kept) + 1, __version__, API_VERSION, maps_hash(), len(outline), sum(map(len, outline.values())), changes,
    )
    entries = [{name: value for name, value in asdict(version).items() if value != {}} for version in (*kept, now)]
    (folder / "versions.yaml").write_text(_yaml(entries))
    map_versions.cache_clear()
    return now


def _yaml(data: Any) -> str:
    import yaml

    head = "# Made by `python -m stripe_source.versions`; not edited by hand.\n"
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)


if __name__ == "__main__":
    made = write()
    print(f"Version {made.version} of release {made.release}: {made.tables} tables, {made.columns} columns")
