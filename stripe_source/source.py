"""The dlt source: one resource per Stripe table, with dlt's own cursors, keys and column hints."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

import dlt
from dlt.common.configuration import resolve_configuration
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from stripe_source.client import API_BASE
from stripe_source.history import versions_map
from stripe_source.options import DEFAULT_RATE, Options, resolve
from stripe_source.run import CHANGES, Run, changes, read
from stripe_source.schema_map import TableMap, table_map


def _expected(record: logging.LogRecord) -> bool:
    """False for what dlt warns of and we mean: JSON as Arrow text, appended files (`files.py`), CSV for Postgres."""
    return not any(
        record.funcName == place and part in record.getMessage()
        for place, part in (
            ("_compute_tables", "when merging arrow schema"), ("prepare_load_table", "Falling back to `append`"),
            ("_loader_file_format_selector", "ADBC driver for postgres"), ("_get_items_normalizer", "`parquet`"),
        )
    )


logging.getLogger("dlt").addFilter(_expected)

EVER = 100 * 365 * 86400.0  # seconds: a lag that reaches behind any object


@dlt.source(name="stripe", section="stripe")
def stripe_source(
    tables: Any = None,
    exclude: Any = None,
    mode: str = "auto",
    marker: Any = "auto",
    start: Any = None,
    end: Any = None,
    deletes: str = "soft",
    lookback: Any = "10m",
    schema_map: str = "stripe",
    emit: str = "rows",
    accounts: Any = None,
    rate: float | None = DEFAULT_RATE,
    api_key: TSecretStrValue | None = None,
    account_id: str | None = None,
    api_base: str = API_BASE,
    api_version: str | None = None,
    client_id: str | None = None,
    client_secret: TSecretStrValue | None = None,
    refresh_token: TSecretStrValue | None = None,
    history: Any = None,
    schema_contract: Any = None,
    _run: Any = None,
) -> Any:
    """The tables of a Stripe account, one dlt resource each.

    Options may also stand in dlt's configuration under `[sources.stripe]`; the key may be in `STRIPE_API_KEY`.

    Args:
        tables: names, as a list or as text with `;` between them; `%` stands for any letters, `"%"` for everything.
            Striim's names are understood. None: what an ordinary account uses.
        exclude: likewise, what to leave out.
        mode: "initial" reads everything again, "incremental" goes on from the last run, "auto" is initial for a table
            that was never loaded and incremental after.
        marker: what incremental loads go by: "events" (Stripe's change feed), "created", "id", None (a full pass each
            time), "auto" (the choice of the registry for each table), or a mapping such as
            `{"customers": None, "%": "created"}`.
        start: only objects created at or after this: datetime, date, ISO text or unix seconds; UTC where no zone is
            given. For tables whose objects have a creation time.
        end: only objects created before this. With it a run leaves no cursor.
        deletes: "soft": a row that Stripe no longer has stays, with `_deleted` and `_deleted_at` set. "hard": it goes.
        lookback: how far behind its cursor a table is read again: "10m", "2h", "15d", seconds or a timedelta.
        schema_map: the shape of the tables; "stripe" is the native one.
        emit: "rows".
        accounts: None, the key's own account.
        rate: share of Stripe's documented limits that may be used, 0 < rate <= 1. None: no limit of ours, the default
            where `api_base` is a loopback address.
        api_key: a secret or restricted key.
        account_id: id of a connected account to read with a platform's key.
        api_base: where Stripe is.
        api_version: the version to ask for; None is the one that this release was made for.
        client_id: of a Stripe App, for OAuth in place of a key.
        client_secret: the app developer's secret key.
        refresh_token: of the app's installation on the account.
        history: names of tables of which every version is kept, in `<table>_history`.
        schema_contract: what may become of tables, columns and types that are new: "evolve", "freeze", "discard_row" or
            "discard_value", or a mapping such as `{"columns": "freeze"}`. dlt's own ways to say it count first.

    Returns:
        A `DltSource` whose resources are named as the tables; one more, `changes`, feeds those that go by the change
        feed, and has no rows of its own.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
    """
    given = dict(locals())
    run = given.pop("_run") or Run(options(**given))
    for table in run.options.tables:
        if run.left and table.name not in run.left:
            continue  # this is a further load of the same reading
        shape = table_map(table)
        yield resource(run.options, shape, partial(read, run, shape))
        if table.name in run.options.history:
            yield history_resource(shape, partial(_versions, run, shape))
    if "events" in run.options.markers.values():

        def feed() -> Iterator[Any]:
            yield from changes(run)

        yield dlt.resource(feed, name=CHANGES, section="stripe")


def _versions(run: Run, shape: TableMap) -> Iterator[Any]:
    if shape.table.name in dlt.current.source().resources.selected:
        yield from run.versions(shape).take()


def history_resource(shape: TableMap, rows: Callable[[], Iterator[Any]]) -> DltResource:
    """The resource of the versions of a table.

    Args:
        shape: the map of the table.
        rows: makes its items.
    """
    versions = versions_map(shape)

    def items() -> Iterator[Any]:
        yield from rows()

    columns: Any = versions.hints()
    made: DltResource = dlt.resource(
        items, name=versions.table.name, primary_key=list(versions.key), write_disposition="merge", columns=columns,
        file_format="parquet", section="stripe", schema_contract="evolve",  # it follows its table
    )
    return made.apply_hints(additional_table_hints={"description": versions.description})


def options(**given: Any) -> Options:
    """The options of `stripe_source`, resolved and checked; the key may come from the environment or a secrets file."""
    given = {**_configured(), **given}
    if not given.get("api_key") and not given.get("client_id"):
        given["api_key"] = dlt.secrets.get("sources.stripe.api_key", str) or dlt.secrets.get("stripe_api_key", str)
    return resolve(**given)


def _configured() -> dict[str, Any]:
    """What dlt's configuration says under `[sources.stripe]`, for those who do not call the source itself."""
    spec: Any = stripe_source.ref.SPEC
    found, unset = resolve_configuration(spec(), sections=("sources", "stripe", "stripe"), accept_partial=True), spec()
    return {name: value for name, value in found.items() if value != unset[name] and not name.startswith("_")}


def resource(o: Options, shape: TableMap, rows: Callable[..., Iterator[Any]]) -> DltResource:
    """The resource of one table.

    Args:
        o: options.
        shape: the map of the table.
        rows: makes its items; called with dlt's cursor where the table goes by `created`.
    """
    table = shape.table
    if o.markers[table.name] == "created":
        start = None if o.start is None else datetime.fromtimestamp(o.start, timezone.utc)
        end = None if o.end is None else datetime.fromtimestamp(o.end, timezone.utc)
        if end and not start:
            start = datetime.fromtimestamp(0, timezone.utc)  # dlt takes no end without a start
        lag = EVER if o.again(table) else max(o.lookback, table.lookback.total_seconds())
        incremental = dlt.sources.incremental(
            table.time or "created", initial_value=start, end_value=end, lag=lag, on_cursor_value_missing="include"
        )

        def items(cursor: Any = incremental) -> Iterator[Any]:
            yield from rows(cursor)
    else:

        def items() -> Iterator[Any]:  # type: ignore[misc]
            yield from rows()

    return described(shape, items, hard=o.deletes == "hard")


def described(shape: TableMap, items: Callable[..., Iterator[Any]], hard: bool = False) -> DltResource:
    """The resource of one table, with all that its map says of it.

    Args:
        shape: the map of the table.
        items: makes its items.
        hard: rows that are gone are removed.
    """
    table = shape.table
    columns: Any = shape.hints()
    references: Any = shape.references()
    if hard:
        columns["_deleted"]["hard_delete"] = True
    made: DltResource = dlt.resource(
        items, name=table.name, primary_key=list(shape.key), write_disposition="merge", columns=columns,
        file_format="parquet", references=references, section="stripe",
    )
    words: Any = {"description": shape.description, "x-stripe-object": ", ".join(table.object)}
    return made.apply_hints(additional_table_hints=words)
