"""The walk without dlt: pages, WAEvents or rows of Stripe's tables, as generators for a notebook or a script."""
from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.configured import hide_secrets
from stripe_source.errors import InvalidOption, TablesNotRead
from stripe_source.extract.channel import Batch, ListPage
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import FAILED
from stripe_source.options import Options
from stripe_source.source import resolve_options
from stripe_source.tables.schema_map import table_map
from stripe_source.workers.batches import PlainBuilder, RowBatch

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Unpack

log = logging.getLogger("stripe_source")
OF_A_DESTINATION = (
    "mode", "marker", "deletes", "lookback", "schema_map", "emit", "history", "schema_contract", "resync",
)


class ReadOptions(TypedDict, total=False):
    """Those options of `stripe_source` that are about reading, with the meaning that they have there."""

    exclude: Any
    start: Any
    end: Any
    rate: float | None
    api_key: Any
    account_id: str | None
    api_base: str
    api_version: str | None
    client_id: str | None
    client_secret: str | None
    refresh_token: str | None
    oauth_file: str | None
    include_secrets: bool
    exclude_columns: Any
    hash_columns: Any
    hash_salt: str | None


class _Reading(NamedTuple):
    """What reads, and what for."""

    options: Options
    extractor: Extractor

    def batches(self) -> Iterator[tuple[str, Batch]]:
        """What comes of each table, until all are done."""
        return self.extractor.channel.batches(table.name for table in self.options.tables)


def pages(
    tables: Any = None, *, problems: MutableMapping[str, str] | None = None, **options: Unpack[ReadOptions]
) -> Iterator[ListPage]:
    """The objects of Stripe's lists, page by page, untouched.

    Lists are read side by side, each once; of one list, pages of different spans of `created` may come in any order. A
    table without a list of its own is inside the objects of the list that it is found in, with what is expanded for
    it. What takes a request for each parent, such as the rest of an embedded list that is cut, is not among the pages.

    Args:
        tables: what is wanted, as for `stripe_source`; None: what an ordinary account uses.
        problems: takes, by table, why it could not be read; None: `TablesNotRead` is raised after the last page.
        options: see `ReadOptions`; they may also stand in dlt's configuration, as those of `stripe_source`.

    Yields:
        `ListPage(table, objects, read_at)`; `read_at` in unix seconds by Stripe's clock.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or is about a destination.
        AuthenticationError: Stripe refuses the key.
        TablesNotRead: some tables could not be read; all pages of the others were yielded.
    """
    hide_secrets(options)
    with _reading(tables, options, "pages", takes_pages=True) as reading:
        for _, batch in reading.batches():
            if isinstance(batch, ListPage):
                yield batch
    _report(reading, problems)


def waevents(
    tables: Any = None, *, problems: MutableMapping[str, str] | None = None, **options: Unpack[ReadOptions]
) -> Iterator[WAEvent]:
    """Each object of the wanted tables once, as a WAEvent with the operation SELECT.

    Children are taken out of the objects that they are found in. The tables come side by side, in any order.

    Args:
        tables: what is wanted, as for `stripe_source`; None: what an ordinary account uses.
        problems: takes, by table, why it could not be read; None: `TablesNotRead` is raised after the last WAEvent.
        options: see `ReadOptions`; they may also stand in dlt's configuration, as those of `stripe_source`.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or is about a destination.
        AuthenticationError: Stripe refuses the key.
        TablesNotRead: some tables could not be read; all WAEvents of the others were yielded.
    """
    hide_secrets(options)
    with _reading(tables, options, "waevents") as reading:
        for _, batch in reading.batches():
            assert isinstance(batch, list)
            yield from batch
    _report(reading, problems)


def rows(
    tables: Any = None, *, problems: MutableMapping[str, str] | None = None, **options: Unpack[ReadOptions]
) -> Iterator[tuple[str, pa.Table]]:
    """The rows of the wanted tables, as a first load would write them, in Arrow tables of some hundred rows.

    All declared columns are there. A field that the schema map does not declare is a column after them, in the batches
    that have a value of it. There is no `_dlt_load_id`, as nothing is loaded; times are UTC.

    Args:
        tables: what is wanted, as for `stripe_source`; None: what an ordinary account uses.
        problems: takes, by table, why it could not be read; None: `TablesNotRead` is raised after the last rows.
        options: see `ReadOptions`; they may also stand in dlt's configuration, as those of `stripe_source`.

    Yields:
        (table name, rows); several times for a long table.

    Raises:
        ConfigurationError: an option has a value that it cannot have, or is about a destination.
        AuthenticationError: Stripe refuses the key.
        TablesNotRead: some tables could not be read; all rows of the others were yielded.
    """
    hide_secrets(options)
    with _reading(tables, options, "rows", builds_rows=True) as reading:
        builders = _row_builders(reading)
        for name, batch in reading.batches():
            if isinstance(batch, RowBatch) and batch.rows:
                yield name, builders[name].decide_columns(batch.table).table.drop_columns(["_dlt_load_id"])
    _report(reading, problems)


@contextmanager
def _reading(
    tables: Any, given: ReadOptions, what: str, *, takes_pages: bool = False, builds_rows: bool = False
) -> Iterator[_Reading]:
    """What reads the wanted tables, until they are read or nobody wants more."""
    for name, value in given.items():
        if name in OF_A_DESTINATION:
            raise InvalidOption(name, value, reason=f"`{what}` reads from the beginning and loads nothing.")
        if name not in ReadOptions.__annotations__:
            raise TypeError(f"{what}() got an unexpected keyword argument '{name}'")
    options = resolve_options(tables=tables, **given)
    if options.reports:
        raise InvalidOption("tables", options.reports[0].name, reason=(
            f"`{what}` brings objects, and a report is a file: load it with `sync` or `stripe-source run`."))
    if options.masks and not builds_rows:
        reason = f"`{what}` brings Stripe's objects as they are; `rows` leaves out and hashes columns."
        for name in ("exclude_columns", "hash_columns"):
            if given.get(name):
                raise InvalidOption(name, given.get(name), reason=reason)
        log.warning("`exclude_columns` and `hash_columns` of the configuration do not count: %s", reason)
    for note in options.notes if builds_rows else ():
        log.warning(note)
    extractor = Extractor(options.client, options.account_id, builds_rows=builds_rows, takes_pages=takes_pages)
    extractor.start(TableRequest(table, options.start, options.end, first_load=True) for table in options.tables)
    try:
        yield _Reading(options, extractor)
    finally:
        extractor.stop()


def _row_builders(reading: _Reading) -> dict[str, RowBuilder]:
    """By table, what builds its rows."""
    import dlt

    naming = dlt.Schema("stripe").naming
    builders = {
        table.name: RowBuilder(
            table_map(table), normalize=lambda path: str(naming.normalize_path("__".join(path))),
            mask=reading.options.masks.of(table),
        )
        for table in reading.options.tables
    }
    for name, builder in builders.items():
        reading.extractor.channel.set_builder(
            name, PlainBuilder(builder, partial(reading.extractor.refuse_table, name))
        )
    return builders


def _report(reading: _Reading, problems: MutableMapping[str, str] | None) -> None:
    """Say which tables could not be read.

    Raises:
        TablesNotRead: nobody takes `problems`, and some failed; what an account does not have is no failure.
    """
    failed: dict[str, str] = {}
    for name, verdict in sorted(reading.extractor.verdicts.items()):
        reason = f"{verdict.status}. {verdict.reason}" if verdict.status != "ok" else verdict.reason
        if problems is not None and reason:
            problems[name] = reason
        elif verdict.status in FAILED:
            failed[name] = reason
        elif reason:
            log.warning("%s: %s", name, reason)
    if failed:
        raise TablesNotRead(failed)
