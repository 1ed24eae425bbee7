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
from stripe_source.resources.declaration.resource import history_resource, table_resource, waevents_resource
from stripe_source.resources.declaration.selection import extracted_names
from stripe_source.resources.outbox import Outbox
from stripe_source.resources.read import read_changes, read_table, read_waevents
from stripe_source.resources.run import Extraction
from stripe_source.resources.table_result import CHANGES
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.schema_map import TableMap, table_map


@dlt.source(name="stripe", section="stripe")
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

    Returns:
        A `DltSource` whose resources are named as the tables; one more, `changes`, feeds those that go by the change
        feed, and has no rows of its own.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
    """
    api_key, client_secret, refresh_token = map(hide, (api_key, client_secret, refresh_token))
    given = dict(locals())
    run = given.pop("_run") or Extraction(resolve_options(**_as_called(given)))
    _prepare_active_pipeline()
    for table in run.options.tables:
        if run.unfinished and table.name not in run.unfinished:
            continue  # this is a further load of the same reading
        shape = table_map(table)
        yield table_resource(run.options, shape, partial(read_table, run, shape))
        if table.name in run.options.history:
            yield history_resource(shape, partial(_history_rows, run, shape))
        if run.options.emit == "waevents":
            run.outboxes.setdefault(table.name, Outbox(shape))
            yield waevents_resource(shape, partial(read_waevents, run, shape))
    if EVENTS_MARKER in run.options.markers.values():

        def feed() -> Iterator[Any]:
            yield from read_changes(run)

        yield dlt.resource(feed, name=CHANGES, section="stripe")


def _prepare_active_pipeline() -> None:
    """Prepare the destination of the active pipeline now: dlt loads what an earlier run left before it extracts."""
    context = Container()[PipelineContext]
    if context.is_active():
        prepare_destination(cast("dlt.Pipeline", context.pipeline()))


def _history_rows(run: Extraction, shape: TableMap) -> Iterator[Any]:
    if shape.table.name in extracted_names():
        yield from run.history_of(shape).items()


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
