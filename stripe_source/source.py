"""The dlt source: one resource per Stripe table, with dlt's own cursors, keys and column hints."""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Optional, cast

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.typing import TSecretStrValue

from stripe_source.api.client import API_BASE
from stripe_source.configured import (
    check_host,
    configured,
    configured_key,
    from_text,
    hide,
    hide_secrets,
    place_of,
)
from stripe_source.dlt_patches.apply import prepare_destination
from stripe_source.options import DEFAULT_RATE, Options, resolve
from stripe_source.resources.declaration.resource import (
    StripeSource,
    history_resource,
    report_resource,
    table_resource,
    waevents_resource,
)
from stripe_source.resources.declaration.row_functions import CurrentRun
from stripe_source.resources.declaration.selection import extracted_names
from stripe_source.resources.read import read_changes, read_table, read_waevents
from stripe_source.resources.reports.load import read_report
from stripe_source.resources.run import Extraction
from stripe_source.resources.table_result import CHANGES
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.schema_map import TableMap
from stripe_source.tables.table import Table


@dlt.source(name="stripe", section="stripe", _impl_cls=StripeSource)
def stripe_source(
    tables: Any = None,
    exclude: Any = None,
    mode: str = "auto",
    marker: Optional[Any] = "auto",  # noqa: UP045 - dlt takes None as an argument only where the type says so
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
    oauth_file: str | None = None,
    history: Any = None,
    schema_contract: Any = None,
    resync: Optional[Any] = "30d",  # noqa: UP045
    include_secrets: bool = False,
    exclude_columns: Any = None,
    hash_columns: Any = None,
    hash_salt: TSecretStrValue | None = None,
    reports: Any = None,
    _run: Any = None,
) -> Any:  # long: it has an option a line, and the description of each
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
        emit: "rows", or "waevents": each row that a load writes is also a WAEvent in the table `<table>_waevents`.
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
        oauth_file: where the newest refresh token is kept, with mode 0600: Stripe exchanges it each time.
        history: names of tables of which every version is kept, in `<table>_history`.
        schema_contract: what may become of tables, columns and types that are new: "evolve", "freeze", "discard_row" or
            "discard_value", or a mapping such as `{"columns": "freeze"}`. dlt's own ways to say it count first.
        resync: within this time all rows of tables that go by the change feed are compared with Stripe's lists again, a
            share of them a day: "30d", seconds or a timedelta; None: never.
        include_secrets: whether `client_secret` and the like, by which their holder could complete a payment or sign
            webhooks, are loaded too. Otherwise their columns stay empty.
        exclude_columns: columns that are not loaded: `table.column`, or `column` of any table, with `%` for any
            letters, as a list or as text with `;` between them.
        hash_columns: likewise, columns of text that are loaded as their HMAC-SHA-256.
        hash_salt: the secret with which is hashed, of 16 characters or more.
        reports: what Stripe's financial reports are asked for, where tables `report_…` are selected: a mapping such as
            `{"interval": "day", "timezone": "Europe/Berlin", "columns": ["payment_metadata[order_id]"]}`, or text such
            as `interval=day;currency=eur`.

    Returns:
        A `DltSource` whose resources are named as the tables. One more, `changes`, stands for the change feed: it has
        no rows of its own, and is not selected, so that no scheduler makes a task or an asset of it.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
    """
    api_key, client_secret, refresh_token = map(hide, (api_key, client_secret, refresh_token))
    hash_salt = hide(hash_salt)
    given = dict(locals())
    first: Extraction = given.pop("_run") or Extraction(resolve_options(**_as_called(given)))
    run, options = CurrentRun(first), first.options
    _prepare_active_pipeline()
    for table in options.tables:
        if first.unfinished and table.name not in first.unfinished:
            continue  # this is a further load of the same reading
        shape = options.shape(table)
        yield table_resource(options, shape, partial(_rows, run, shape), run)
        if table.name in options.history:
            yield history_resource(shape, partial(_history_rows, run, shape))
        if options.emit == "waevents":
            yield waevents_resource(shape, partial(_waevents_rows, run, shape))
    for table in options.reports:
        if not first.unfinished or table.name in first.unfinished:
            yield report_resource(table, partial(_report_rows, run, table), run)
    if EVENTS_MARKER in options.markers.values():

        def feed() -> Iterator[Any]:
            yield from read_changes(run.extraction)

        yield dlt.resource(feed, name=CHANGES, section="stripe", selected=False)  # no task or asset of its own


def _prepare_active_pipeline() -> None:
    """Prepare the destination of the active pipeline now: dlt loads what an earlier run left before it extracts."""
    context = Container()[PipelineContext]
    if context.is_active():
        prepare_destination(cast("dlt.Pipeline", context.pipeline()))


def _rows(run: CurrentRun[Extraction], shape: TableMap, cursor: Any = None) -> Iterator[Any]:
    yield from read_table(run.extraction, shape, cursor)


def _report_rows(run: CurrentRun[Extraction], table: Table) -> Iterator[Any]:
    yield from read_report(run.extraction, table)


def _history_rows(run: CurrentRun[Extraction], shape: TableMap) -> Iterator[Any]:
    if shape.table.name in extracted_names():
        yield from run.extraction.history_of(shape).items()


def _waevents_rows(run: CurrentRun[Extraction], shape: TableMap) -> Iterator[Any]:
    yield from read_waevents(run.extraction, shape)


def resolve_options(**given: Any) -> Options:
    """The options of `stripe_source`, resolved and checked; the key may come from the environment or a secrets file."""
    hide_secrets(given)
    settings = configured(stripe_source.ref.SPEC)
    options = {**{name: from_text(name, setting.value) for name, setting in settings.items()}, **given}
    secret = "client_secret" if options.get("client_id") and not options.get("api_key") else "api_key"
    place = place_of(secret, options.get(secret), settings)
    if secret == "api_key" and not options.get("api_key") and (plain := configured_key()):
        options["api_key"], place = plain.value, plain.place
    resolved = resolve(**options)
    if "api_base" not in given:
        check_host(settings.get("api_base"), resolved.credentials, place)
    return resolved


def _as_called(given: dict[str, Any]) -> dict[str, Any]:
    """The options without those that dlt took from its configuration."""
    settings = configured(stripe_source.ref.SPEC)
    return {name: value for name, value in given.items() if name not in settings or settings[name].value != value}
