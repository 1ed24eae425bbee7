"""The outline of the tables in other API versions: the schema maps, with what later versions brought undone."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from stripe_source.api.client import API_VERSION
from stripe_source.errors import InvalidOption
from stripe_source.schema.snapshot import UNKNOWN, SchemaSnapshot, snapshot_of_maps
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import MAPS, table_map
from stripe_source.tables.table import Table

_Field = tuple[str, str]  # type, and dotted path on the object ("" for bookkeeping)


@cache
def _steps() -> list[dict[str, Any]]:
    import yaml

    steps: list[dict[str, Any]] = yaml.safe_load((MAPS / "api_versions.yaml").read_bytes())
    return steps


def api_versions() -> list[str]:
    """The API versions that are known, the oldest first; the last one is the release's."""
    return [_steps()[0]["before"], *(step["version"] for step in _steps())]


def map_of_api_version(version: str, tables: Iterable[Table] = TABLES) -> SchemaSnapshot:
    """The outline of the tables as a version of Stripe's API has them.

    Columns that only older versions have are of unknown type: it comes with their first value.

    Raises:
        InvalidOption: the version is not known.
    """
    if version not in api_versions():
        raise InvalidOption("api_version", version, api_versions())
    assert api_versions()[-1] == API_VERSION
    chosen = list(tables)
    outline = snapshot_of_maps(chosen)
    state = {
        table.name: {column.name: (outline[table.name][column.name], ".".join(column.path or ()))
                     for column in table_map(table).columns}
        for table in chosen
    }
    for step in reversed(_steps()):
        if step["version"] == version:
            break
        for table in chosen:
            if table.object and set(table.object) <= set(step.get("objects_added", ())):
                state.pop(table.name, None)
            elif table.name in state:
                for name in table.object:
                    _undo(state[table.name], step.get("fields", {}).get(name, {}), table.at)
    return {table: {name: type_ for name, (type_, _) in columns.items()} for table, columns in state.items()}


def _undo(columns: dict[str, _Field], brought: Mapping[str, Any], at: str) -> None:
    """Take back what a version brought to an object; `at` is where the rows are in it."""
    within = f"{at}." if at else ""

    def paths(word: str) -> dict[str, Any]:
        found = brought.get(word, ())
        items = found.items() if isinstance(found, Mapping) else ((path, None) for path in found)
        return {path.removeprefix(within): type_ for path, type_ in items if path.startswith(within)}

    for gone in paths("added"):
        for name in [name for name, (_, path) in columns.items() if path == gone or path.startswith(f"{gone}.")]:
            del columns[name]
    for path, type_ in paths("was").items():
        for name, (now, there) in columns.items():
            if there == path:
                columns[name] = (type_ + (" not null" if now.endswith(" not null") else ""), path)
    for path in paths("removed"):
        inside = any(path == there or path.startswith(f"{there}.") for _, there in columns.values() if there)
        if not inside:
            columns[path.replace(".", "__")] = (UNKNOWN, path)
