"""A release's version of the maps."""
from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from stripe_source.api.client import API_VERSION
from stripe_source.schema.compare import compared
from stripe_source.schema.snapshot import snapshot_of_maps
from stripe_source.schema.versions.map_versions import FOLDER, MapVersion, map_version_of, map_versions, maps_hash


def write_version(folder: Path = FOLDER) -> MapVersion:
    """Write a version for the maps as they are now: a new one, or in place of the one of the same release.

    Returns:
        The version.
    """
    from stripe_source import __version__

    map_versions.cache_clear()
    known = map_versions(folder)
    earlier = known[:-1] if known and known[-1].release == __version__ else known
    snapshot = snapshot_of_maps()
    changes: dict[str, Any] = {}
    folder.mkdir(exist_ok=True)
    if earlier:
        before = map_version_of(earlier[-1].version, folder)
        changes = {name: value for name, value in asdict(compared(before, snapshot)).items()
                   if value and name not in ("a", "b")}
    else:
        (folder / "1.yaml").write_text(_as_yaml(snapshot))
    now = MapVersion(
        len(earlier) + 1, __version__, API_VERSION, maps_hash(),
        len(snapshot), sum(map(len, snapshot.values())), changes,
    )
    entries = [{name: value for name, value in asdict(version).items() if value != {}} for version in (*earlier, now)]
    (folder / "versions.yaml").write_text(_as_yaml(entries))
    map_versions.cache_clear()
    return now


def _as_yaml(data: Any) -> str:
    head = "# Made by `python -m stripe_source.codegen`; not edited by hand.\n"
    return head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=10_000)

