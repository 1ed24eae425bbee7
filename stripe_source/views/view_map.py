"""Schema maps of the second kind: views whose columns are expressions over native tables.

A map is a folder `schema_maps/<map>/` with one YAML file for each view. docs/views.md says how they are written.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stripe_source.errors import InvalidOption, ViewMapError
from stripe_source.errors.base import nearest_name
from stripe_source.tables.schema_map import MAPS

TYPES = ("text", "bigint", "double", "decimal", "bool", "timestamp", "json")
_NO_VIEWS = frozenset({"stripe", "versions"})  # folders of the native maps
_VIEW_WORDS = frozenset({"view", "description", "note", "from", "where", "key", "marker", "columns"})
_COLUMN_WORDS = frozenset({"type", "value", "missing", "note"})


@dataclass(frozen=True)
class ViewColumn:
    """A column of a view.

    Args:
        name: as the other system writes it.
        type: one of `TYPES`.
        value: the expression, in DuckDB's SQL; None: the column is always null.
        missing: why it is always null.
        note: what a person should know of the value.
    """

    name: str
    type: str
    value: str | None
    missing: str = ""
    note: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """A view: where its rows come from, and its columns in their order.

    Args:
        map: name of the map.
        name: of the view, as the other system writes it.
        file: where it is declared.
        description: one sentence.
        columns: in the order of the view.
        source: the FROM clause, in DuckDB's SQL, over native tables; None: the view has no rows.
        where: which of these rows, in DuckDB's SQL.
        key: the columns that tell two rows apart.
        marker: the column with the time of creation; None where there is none.
        note: what a person should know, such as why the view has no rows.
    """

    map: str
    name: str
    file: str
    description: str
    columns: tuple[ViewColumn, ...]
    source: str | None = None
    where: str | None = None
    key: tuple[str, ...] = ()
    marker: str | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class ViewMap:
    """The views of a map by name, in the order of their names."""

    name: str
    views: Mapping[str, View] = field(default_factory=dict)


def view_map_names() -> list[str]:
    """The maps that this release brings."""
    return sorted(folder.name for folder in MAPS.iterdir() if folder.is_dir() and folder.name not in _NO_VIEWS)


def view_map(name: str) -> ViewMap:
    """The map with a name, or the one in a folder.

    Args:
        name: one of `view_map_names`, or the path of a folder with YAML files.

    Raises:
        InvalidOption: there is no such map.
        ViewMapError: a file of it cannot be read as one.
    """
    if name in view_map_names():
        return _our_map(name)
    folder = Path(name)
    if ("/" in name or "\\" in name) and folder.is_dir():
        return _read_map(folder.resolve())
    raise InvalidOption("map", name, view_map_names())


@cache
def _our_map(name: str) -> ViewMap:
    return _read_map(MAPS / name)


def _read_map(folder: Path) -> ViewMap:
    views = [_read_view(folder.name, file) for file in sorted(folder.glob("*.yaml"))]
    if not views:
        raise InvalidOption("map", folder.name, reason="The folder has no YAML files.")
    return ViewMap(folder.name, {view.name: view for view in views})


def _read_view(map: str, file: Path) -> View:
    import yaml

    where = f"{map}/{file.name}"
    try:
        text = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ViewMapError(where, None, None, f"It is no YAML: {error}") from None
    _check_words(where, None, text, _VIEW_WORDS, {"view", "description", "columns"})
    columns = tuple(_column(where, text["view"], str(name), words) for name, words in text["columns"].items())
    if not text.get("from") and (valued := [column.name for column in columns if column.value is not None]):
        raise ViewMapError(where, text["view"], valued[0], "It has a value, and the view has no `from`.")
    key = text.get("key") or ()
    return View(
        map, text["view"], where, text["description"], columns, text.get("from"), text.get("where"),
        (key,) if isinstance(key, str) else tuple(key), text.get("marker"), text.get("note", ""),
    )


def _column(file: str, view: str, name: str, words: Any) -> ViewColumn:
    _check_words(file, view, words, _COLUMN_WORDS, {"type"}, name)
    if words["type"] not in TYPES:
        raise ViewMapError(file, view, name, f"`{words['type']}` is no type; known: {', '.join(TYPES)}.")
    if ("value" in words) == ("missing" in words):
        raise ViewMapError(file, view, name, "It needs `value`, or `missing` with the reason why it is null.")
    value = words.get("value")
    return ViewColumn(name, words["type"], None if value is None else str(value), words.get("missing", ""),
                      words.get("note", ""))


def _check_words(
    file: str, view: str | None, words: Any, known: frozenset[str], needed: set[str], column: str | None = None
) -> None:
    if not isinstance(words, Mapping):
        raise ViewMapError(file, view, column, "It is no mapping.")
    for word in words:
        if word not in known:
            nearest = nearest_name(str(word), known)
            hint = f" Did you mean `{nearest}`?" if nearest else ""
            raise ViewMapError(file, view, column, f"`{word}` is no word of a map.{hint}")
    if lacking := sorted(needed - set(words)):
        raise ViewMapError(file, view, column, f"It lacks `{lacking[0]}`.")
