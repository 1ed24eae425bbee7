"""`show_views` and `views_sql`: what a map says of its views, and the statements that make them."""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption
from stripe_source.views.definition import definition
from stripe_source.views.dialects import view_dialect
from stripe_source.views.names import DialectNames
from stripe_source.views.typed_query import typed_query
from stripe_source.views.view_map import View, ViewMap, view_map

if TYPE_CHECKING:
    import dlt

Views = str | Iterable[str] | None


def select_views(found: ViewMap, views: Views) -> list[View]:
    """The views of a map that names or patterns with `%` mean, in the order of their names; None: all.

    Raises:
        InvalidOption: one means none.
    """
    if views is None:
        return list(found.views.values())
    wanted: set[str] = set()
    for word in (part.strip() for part in (views.split(";") if isinstance(views, str) else views)):
        pattern = re.compile(".*".join(map(re.escape, word.split("%"))), re.IGNORECASE)
        names = {name for name in found.views if pattern.fullmatch(name)}
        if word and not names:
            raise InvalidOption("view", word, found.views)
        wanted |= names
    return [view for name, view in found.views.items() if name in wanted]


def show_views(
    map: str, views: Views = None, pipeline: dlt.Pipeline | None = None, *, dataset: str | None = None
) -> list[dict[str, Any]]:
    """The views of a map, with every column: its type, where its value comes from, or why it is null.

    Args:
        map: its name, or the path of a folder with a map.
        views: names, or patterns with `%`; None: all.
        pipeline: in whose destination it is looked which of them are there.
        dataset: where the views are; None: the dataset of the data with `_` and the map's name behind it.

    Returns:
        Of each view its name, description, note, key, marker, the native tables that it reads, its columns, and how it
        is there: "view", "table", or None, also where there is no pipeline.

    Raises:
        InvalidOption: there is no such map or view.
        ViewMapError: the map is wrong.
        DestinationError: the destination cannot be reached.
    """
    found = view_map(map)
    selected = select_views(found, views)
    there: Mapping[str, str] = {}
    if pipeline is not None:
        from stripe_source.views.manage import made_views  # imports dlt, which the map alone does not need

        there = made_views(pipeline, map, dataset)
    return [
        {
            "view": view.name,
            "description": view.description,
            "note": view.note,
            "key": list(view.key),
            "marker": view.marker,
            "reads": sorted(typed_query(view).reads),
            "there": there.get(view.name),
            "columns": [
                {"name": column.name, "type": column.type, "value": column.value, "missing": column.missing,
                 "note": column.note}
                for column in view.columns
            ],
        }
        for view in selected
    ]


def views_sql(
    map: str, dialect: str, views: Views = None, *, dataset: str | None = None, data: str = "stripe_data",
    materialize: bool = False,
) -> list[dict[str, Any]]:
    """The statements that make the views of a map in a kind of database. It connects to nothing.

    All native tables are taken to be there, with all their columns.

    Args:
        map: its name, or the path of a folder with a map.
        dialect: the kind of database.
        views: names, or patterns with `%`; None: all.
        dataset: where the views go; None: `data` with `_` and the map's name behind it.
        data: dataset of the native tables.
        materialize: tables in place of views.

    Returns:
        Of each view its name and its statements, to be run one after the other.

    Raises:
        InvalidOption: there is no such map, view or dialect.
        ViewMapError: the map is wrong.
    """
    kind, found = view_dialect(dialect), view_map(map)
    names = DialectNames(kind, data, dataset or f"{data}_{found.name}")
    return [
        {"view": view.name,
         "sql": [each.sql(kind.name) for each in definition(view, kind, names, materialize=materialize).statements]}
        for view in select_views(found, views)
    ]
