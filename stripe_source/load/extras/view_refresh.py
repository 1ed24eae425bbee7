"""The options `views` and `schema_map` of `sync`: views of the data that a run makes, and keeps as the data grows.

What makes them is imported where a run wants some: it takes 16 ms, and most runs want none.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption

if TYPE_CHECKING:
    import dlt

    from stripe_source.views.result import ViewsResult

Views = str | Iterable[str] | Mapping[str, str | None] | None
NATIVE = "stripe"


@dataclass(frozen=True)
class WantedViews:
    """Views that a run makes.

    Args:
        map: its name, or the path of a folder with a map.
        dataset: where they go; None: beside the data.
        materialize: tables in place of views.
    """

    map: str
    dataset: str | None
    materialize: bool = False


def take_views(options: dict[str, Any]) -> list[WantedViews]:
    """Take what is about views out of the options of `sync`, and check it.

    Args:
        options: those that were given; `views` is removed, and `schema_map` where it names a map of views.

    Raises:
        InvalidOption: there is no such map.
        ViewMapError: the map is wrong.
    """
    views: Views = options.pop("views", None)
    words = views.split(";") if isinstance(views, str) else views or ()
    pairs = words.items() if isinstance(words, Mapping) else (word.partition("=")[::2] for word in words)
    wanted = [WantedViews(map.strip(), dataset.strip() or None if dataset else None)
              for map, dataset in pairs if map.strip()]
    shape = options.get("schema_map")
    if not wanted and shape in (None, NATIVE):
        return []
    from stripe_source.views.typed_query import typed_query
    from stripe_source.views.view_map import view_map, view_map_names

    if shape is not None and shape != NATIVE:
        try:
            view_map(str(shape))
        except InvalidOption:
            raise InvalidOption("schema_map", shape, [NATIVE, *view_map_names()]) from None
        del options["schema_map"]
        wanted = [*(each for each in wanted if each.map != shape), WantedViews(str(shape), None, materialize=True)]
    for each in wanted:
        for view in view_map(each.map).views.values():
            typed_query(view)
    return wanted


def check_views(pipeline: dlt.Pipeline, wanted: Sequence[WantedViews]) -> None:
    """See to it that views can be made where a pipeline loads to, before anything is loaded.

    Raises:
        InvalidOption: it holds files, or views are not written for such a database.
    """
    if wanted:
        from stripe_source.views.manage import check_destination

        check_destination(pipeline)


def refresh_views(pipeline: dlt.Pipeline, wanted: Sequence[WantedViews]) -> list[ViewsResult]:
    """Make the views after a load; those that are there as they would be made are left alone.

    Raises:
        StripeSourceError: as `create_views`.
    """
    if not wanted:
        return []
    from stripe_source.views.manage import create_views

    return [
        create_views(pipeline, each.map, dataset=each.dataset, materialize=each.materialize) for each in wanted
    ]
