"""The tables in older versions of Stripe's API: the schema maps, without the changes that later versions made."""
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
    """The snapshot of the tables as a version of Stripe's API has them.

    The type of columns that only older versions have is unknown until their first value comes.

    Raises:
        InvalidOption: the version is not known.
    """
    if version not in api_versions():
        raise InvalidOption("api_version", version, api_versions())
    assert api_versions()[-1] == API_VERSION
    selected = list(tables)
    snapshot = snapshot_of_maps(selected)
    columns_of = {
        table.name: {column.name: (snapshot[table.name][column.name], ".".join(column.path or ()))
                     for column in table_map(table).columns}
        for table in selected
    }
    for step in reversed(_steps()):
        if step["version"] == version:
            break
        for table in selected:
            if table.object and set(table.object) <= set(step.get("objects_added", ())):
                columns_of.pop(table.name, None)
            elif table.name in columns_of:
                for name in table.object:
                    _undo(columns_of[table.name], step.get("fields", {}).get(name, {}), table.at)
    return {table: {name: type_ for name, (type_, _) in columns.items()} for table, columns in columns_of.items()}


def _undo(columns: dict[str, _Field], changes: Mapping[str, Any], at: str) -> None:
    """Undo the changes that a version made to an object; `at` is where the rows are in it."""
    prefix = f"{at}." if at else ""

    def types_by_path(change: str) -> dict[str, Any]:
        fields = changes.get(change, ())
        items = fields.items() if isinstance(fields, Mapping) else ((path, None) for path in fields)
        return {path.removeprefix(prefix): type_ for path, type_ in items if path.startswith(prefix)}

    for added in types_by_path("added"):
        for name in [name for name, (_, path) in columns.items() if path == added or path.startswith(f"{added}.")]:
            del columns[name]
    for path, type_ in types_by_path("was").items():
        for name, (later_type, column_path) in columns.items():
            if column_path == path:
                columns[name] = (type_ + (" not null" if later_type.endswith(" not null") else ""), path)
    for removed in types_by_path("removed"):
        paths = [path for _, path in columns.values() if path]
        if not any(removed == path or removed.startswith(f"{path}.") for path in paths):
            columns[removed.replace(".", "__")] = (UNKNOWN, removed)
