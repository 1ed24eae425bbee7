"""`create_views` and `drop_views`: the views of a map, made and removed in a dataset beside the data."""
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp, select

from stripe_source.destination.connection import (
    destination_errors,
    location_of,
    open_client,
    without_config_trace,
)
from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.errors import ConfigurationError, InvalidOption, NotOurView
from stripe_source.views.definition import Definition, definition, drop
from stripe_source.views.dialects import ViewDialect, view_dialect
from stripe_source.views.names import DestinationNames
from stripe_source.views.record import Record, Recorded
from stripe_source.views.result import MadeView, ViewsResult
from stripe_source.views.typed_query import typed_query
from stripe_source.views.view_map import view_map

if TYPE_CHECKING:
    import dlt


@dataclass
class _Place:
    """A dataset of views in an open destination."""

    client: Any
    sql: DestinationSql
    dialect: ViewDialect
    names: DestinationNames
    record: Record
    dataset: str

    def run(self, *statements: exp.Expr) -> None:
        for statement in statements:
            self.sql.client.execute_sql(self.sql.statement(statement))

    def exists(self, view: str) -> bool:
        """Whether the dataset has a table or view of a name."""
        query = select(exp.Literal.number(1)).from_(self.names.view(view)).where(exp.Literal.number(1).eq(0))
        for _ in self.sql.fetch_connected(query):
            pass
        return not self.sql.missing


def create_views(
    pipeline: dlt.Pipeline, map: str, *, dataset: str | None = None, materialize: bool = False
) -> ViewsResult:
    """Make the views of a map in a dataset beside the data of a pipeline.

    A view that is there as it would be made now is left alone. Views that an earlier release made and this one no
    longer has are removed. Nothing else in the dataset is touched.

    Args:
        pipeline: whose data it is; Stripe is not read.
        map: `striim`, or the path of a folder with a map.
        dataset: where the views are made; None: the dataset of the data with `_` and the map's name behind it.
        materialize: make tables with the rows of now. SQLite, whose views cannot read another dataset, gets tables in
            any case.

    Returns:
        What became of every view, and which native tables are not there.

    Raises:
        InvalidOption: there is no such map, or views are not written for the destination.
        ViewMapError: the map is wrong.
        ConfigurationError: nothing was loaded by the pipeline yet.
        NotOurView: the dataset has other tables or views of these names.
        DestinationError: the destination cannot be reached, or refuses.
    """
    began, found = time.monotonic(), view_map(map)
    queries = {view.name: typed_query(view) for view in found.views.values()}  # before any is made
    result = _result(pipeline, found.name, dataset)
    with _place(pipeline, result.dataset) as place:
        if place is None:
            raise ConfigurationError(
                f"Nothing was loaded by pipeline `{pipeline.pipeline_name}` into {result.location} yet: there is no "
                f"dataset `{result.data}`. Run `stripe-source run` first."
            )
        reads = sorted({name for query in queries.values() for name in query.reads})
        existing = _existing(place, reads)
        definitions = [
            definition(view, place.dialect, place.names, existing, materialize=materialize)
            for view in found.views.values()
        ]
        with place.sql.client.with_alternative_dataset_name(result.dataset):
            if not place.sql.client.has_dataset():
                place.sql.client.create_dataset()
        recorded = place.record.read()
        if foreign := [name for name in found.views if name not in recorded and place.exists(name)]:
            raise NotOurView(foreign, result.dataset)
        gone = [each for each in recorded.values() if each.map == found.name and each.name not in found.views]
        with _transaction(place):
            result.views = list(_make(place, found.name, definitions, recorded, gone))
    result.seconds = time.monotonic() - began
    return result


def _make(
    place: _Place, map: str, definitions: Sequence[Definition], recorded: Mapping[str, Recorded],
    gone: Sequence[Recorded],
) -> Iterator[MadeView]:
    """Make what is not there as it should be; what became of each view."""
    new: list[Recorded] = []
    for each in definitions:
        name, before = each.view.name, recorded.get(each.view.name)
        now = Recorded(map, name, each.kind, each.hash(place.dialect.name))
        status = "unchanged" if before == now and each.kind == "view" else "made"
        if status == "made":
            if before and before.kind != each.kind:
                place.run(drop(place.names.view(name), before.kind))
            place.run(*each.statements)
        if before != now:
            new.append(now)
        yield MadeView(name, each.kind, status, list(each.missing), list(each.lacking), each.view.note)
    for old in gone:
        place.run(drop(place.names.view(old.name), old.kind))
        yield MadeView(old.name, old.kind, "dropped")
    outdated = [each.name for each in (*new, *gone) if each.name in recorded]
    if new or outdated:
        place.run(place.record.create(), *([place.record.forget(outdated)] if outdated else []),
                  *([place.record.note(new)] if new else []))


def drop_views(pipeline: dlt.Pipeline, map: str, *, dataset: str | None = None) -> ViewsResult:
    """Remove the views of a map that `create_views` made. Other tables and views stay, and so does the dataset.

    Args:
        pipeline: whose data it is.
        map: name of the map.
        dataset: where the views are; None: the dataset of the data with `_` and the map's name behind it.

    Raises:
        InvalidOption: there is no such map, or no such dataset.
        DestinationError: the destination cannot be reached, or refuses.
    """
    began = time.monotonic()
    name = view_map(map).name
    result = _result(pipeline, name, dataset)
    with _place(pipeline, result.dataset) as place:
        ours: list[Recorded] = []
        if place is not None and _has_dataset(place):
            ours = [each for each in place.record.read().values() if each.map == name]
        if place is None or not ours:
            raise InvalidOption("dataset", result.dataset, reason=f"It has no views that `views create {name}` made.")
        with _transaction(place):
            place.run(*(drop(place.names.view(each.name), each.kind) for each in ours))
            place.run(place.record.forget([each.name for each in ours]))
    result.views = [MadeView(each.name, each.kind, "dropped") for each in ours]
    result.seconds = time.monotonic() - began
    return result


def made_views(pipeline: dlt.Pipeline, map: str, dataset: str | None = None) -> dict[str, str]:
    """The views of a map that a dataset has, with their kind: "view" or "table".

    Raises:
        DestinationError: the destination cannot be reached.
    """
    result = _result(pipeline, view_map(map).name, dataset)
    with _place(pipeline, result.dataset) as place:
        if place is None or not _has_dataset(place):
            return {}
        return {each.name: each.kind for each in place.record.read().values() if each.map == result.map}


def _has_dataset(place: _Place) -> bool:
    with place.sql.client.with_alternative_dataset_name(place.dataset):
        return bool(place.sql.client.has_dataset())


def _result(pipeline: dlt.Pipeline, map: str, dataset: str | None) -> ViewsResult:
    data = pipeline.dataset_name or ""
    dataset = dataset or f"{data}_{map}"
    if dataset.lower() == data.lower():
        raise InvalidOption("dataset", dataset, reason="The native tables are in it; the views go into one beside it.")
    return ViewsResult(map, dataset, data, pipeline.destination.destination_name or "", location_of(pipeline),
                       pipeline.pipeline_name)


def check_destination(pipeline: dlt.Pipeline) -> None:
    """See to it that views can be made where a pipeline loads to. Nothing is connected to.

    Raises:
        InvalidOption: it holds files, or views are not written for such a database.
    """
    with destination_errors(pipeline), without_config_trace():
        client: Any = pipeline.destination_client()
    _check_client(pipeline, client)


def _check_client(pipeline: dlt.Pipeline, client: Any) -> ViewDialect:
    name = pipeline.destination.destination_name or ""
    if not hasattr(client, "type_mapper"):
        raise InvalidOption("destination", name, reason="It holds files, and views need a database.")
    return view_dialect(DestinationSql(client.sql_client, client.schema).dialect or name, "destination")


@contextmanager
def _place(pipeline: dlt.Pipeline, dataset: str) -> Iterator[_Place | None]:
    """The dataset of views in the destination; None where nothing was loaded yet."""
    with destination_errors(pipeline), open_client(pipeline) as client:
        if client is None:
            yield None
            return
        dialect = _check_client(pipeline, client)
        sql = DestinationSql(client.sql_client, client.schema)
        names = DestinationNames(sql, dataset)
        yield _Place(client, sql, dialect, names, Record(sql, names), dataset)


@contextmanager
def _transaction(place: _Place) -> Iterator[None]:
    """All or nothing, where the destination can."""
    if not place.client.capabilities.supports_ddl_transactions:
        yield
        return
    with place.sql.client.begin_transaction():
        yield


def _existing(place: _Place, tables: Iterable[str]) -> dict[str, set[str]]:
    """The native tables that the destination has, with their columns."""
    keys = {place.sql.table_key(name): name for name in tables}
    return {keys[name]: set(columns) for name, columns in place.client.get_storage_tables(list(keys)) if columns}
