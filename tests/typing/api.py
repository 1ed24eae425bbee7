"""The calls that users make. mypy reads this file in strict mode; nothing runs it."""
from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import dlt
from dlt.extract import DltSource

from stripe_source import sandbox
from stripe_source.api.credentials import ApiKey
from stripe_source.api.oauth import OAuth
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.errors import ConfigurationError, StripeError, StripeSourceError
from stripe_source.generators import pages, rows, waevents
from stripe_source.load.demo import demo
from stripe_source.load.sync import sync
from stripe_source.load.sync_result import SyncResult
from stripe_source.preflight.check import CheckResult, check
from stripe_source.schema.compare import SchemaDiff
from stripe_source.schema.ddl import schema_ddl
from stripe_source.schema.diff import schema_diff
from stripe_source.schema.inspect import schema_history, schema_show
from stripe_source.schema.migrate import MigrateResult, schema_migrate
from stripe_source.source import stripe_source
from stripe_source.striim.load import WAEventsLoaded, load_waevents
from stripe_source.striim.out import WAEventsWritten, write_waevents
from stripe_source.striim.resource import rows_from_waevents
from stripe_source.tables.catalog import list_tables
from stripe_source.tables.table import Table
from stripe_source.verification.result import VerifyResult
from stripe_source.verification.verify import verify
from stripe_source.views.manage import create_views, drop_views
from stripe_source.views.result import ViewsResult
from stripe_source.views.shown import show_views, views_sql


def sources(own: Table) -> list[DltSource]:
    """Every option, in the types that it takes."""
    return [
        stripe_source(),
        stripe_source("%"),
        stripe_source(["charges", "invoice%"], exclude="invoice_items;events"),
        stripe_source([own, "charges"], marker={"customers": None, "%": "created"}),
        stripe_source(mode="initial", marker=None, deletes="hard", lookback=timedelta(hours=2)),
        stripe_source(start=datetime(2026, 1, 1), end="2026-02-01", lookback="15d", schema_map="stripe", emit="rows"),
        stripe_source(start=date(2026, 1, 1), end=1_767_225_600, lookback=600, accounts=None),
        stripe_source(api_key="rk_test_…", account_id="acct_…", api_base="https://api.stripe.com", rate=0.25),
        stripe_source(api_version="2026-10-28.endive", rate=None),
        stripe_source(client_id="ca_…", client_secret="sk_test_…", refresh_token="rt_…"),
    ]


def runs(pipeline: dlt.Pipeline) -> SyncResult:
    """The run loop and what it answers."""
    pipeline.run(stripe_source("charges"), loader_file_format="parquet")
    result = sync(pipeline, tables="charges", refresh=["charges"], api_key=ApiKey("sk_test_…"))
    lines: list[str] = [f"{name} {t.new} {t.changed} {t.gone} {t.status}" for name, t in result.tables.items()]
    seconds: float = result.seconds
    mode: bool | None = result.livemode
    as_json: dict[str, Any] = result.asdict()
    print(lines, seconds, mode, as_json, result.figures.requests, result.failed)
    return result if result.exit_code == 0 else demo("stripe_demo.duckdb", dataset="stripe", seed=2, scale=0.1)


def proven(pipeline: dlt.Pipeline) -> VerifyResult:
    """Verification, its options and what it answers."""
    verify(pipeline, tables="invoice%", start="2026-01-01", end=date(2026, 2, 1), settled=True, on_cost=print)
    sync(pipeline, source=stripe_source(tables="charges", exclude_columns=["receipt_email"]), progress=Quiet())
    verify(pipeline, source=stripe_source(), repair=True)
    result = verify(pipeline, sample=1_000, seed=1, repair=True, progress=Quiet(), api_key="rk_test_…")
    lines = [f"{d.kind} {d.key} {d.column} {d.stripe} {d.destination}" for t in result.tables.values()
             for d in t.differences]
    payouts: list[str] = [payout.id for payout in result.money.payouts]
    before: VerifyResult | None = result.before
    print(lines, payouts, before, result.exit_code, result.asdict())
    return result


class Quiet:
    """Progress is any object with these methods."""

    def tables(self, names: list[str]) -> None: ...

    def page(self, table: str, objects: int) -> None: ...

    def phase(self, name: str) -> None: ...


def told(pipeline: dlt.Pipeline, save: list[str]) -> CheckResult:
    """Progress, OAuth with a place for the rotated token, errors."""
    app = OAuth("ca_…", "sk_test_…", "rt_…", on_rotate=save.append)
    try:
        sync(pipeline, progress=Quiet(), api_key=app)
    except ConfigurationError as error:
        code: int = error.exit_code
        print(code)
    except StripeError as error:
        print(error.status, error.request_id, error.table)
    except StripeSourceError as error:
        print(error.exit_code)
    return check(tables="charges")


def looked_up(event: WAEvent) -> tuple[str, str | None]:
    """Catalogue and values of the walk."""
    names: list[str] = [table["name"] for table in list_tables("invoice%", exclude="invoice_items")]
    columns: list[dict[str, Any]] = schema_show("charges")["columns"]
    print(names, columns, event.data, event.before, event.time)
    return event.table, event.parent


def walked() -> list[str]:
    """The generators: one object, or one Arrow table, after the other."""
    reasons: dict[str, str] = {}
    names = [page.table for page in pages("customers", api_key="rk_test_…", start=date(2026, 1, 1))]
    names += [event.table for event in waevents(["charges"], exclude="events", problems=reasons)]
    counted: dict[str, int] = {name: table.num_rows for name, table in rows(rate=None)}
    rows(marker="created")  # type: ignore[call-arg]
    return [*names, *counted, *reasons]


def migrated(pipeline: dlt.Pipeline, other: dlt.Pipeline) -> MigrateResult:
    """The schema family: printed, compared, versioned, put into a destination."""
    sql: list[str] = [text for table in schema_ddl("snowflake", "%", dataset="stripe") for text in table["sql"]]
    between: SchemaDiff = schema_diff("api:2025-09-30.clover", "maps", tables="invoices")
    real = schema_diff("maps", "destination", pipeline=pipeline)
    added: dict[str, dict[str, str]] = between.columns_added
    versions: list[dict[str, Any]] = schema_history(pipeline)["maps"]
    print(sql, real.equal, real.exit_code, added, versions, schema_show("charges", pipeline)["columns"])
    schema_migrate(pipeline, "charges;invoice%", dry_run=True)
    result = schema_migrate(pipeline, from_pipeline=other)
    print(result.before, result.after, result.tables_added, result.asdict())
    return result


def views(pipeline: dlt.Pipeline) -> list[str]:
    """Views of a map: made, shown, written for a database, removed, and kept by runs."""
    made: ViewsResult = create_views(pipeline, "striim", dataset="striim", materialize=True)
    columns: list[dict[str, Any]] = show_views("striim", "Charges", pipeline)[0]["columns"]
    sql: list[dict[str, Any]] = views_sql("striim", "snowflake", ["Charges", "Invoice%"], data="raw", dataset="striim")
    drop_views(pipeline, "striim", dataset="striim")
    kept = sync(pipeline, views={"striim": None, "./mine": "mine"}).views
    sync(pipeline, views="striim", schema_map="striim")
    print(columns, sql, made.exit_code, made.asdict())
    return [f"{view.name}: {view.status}" for result in (made, *kept) for view in result.views]


def played(pipeline: dlt.Pipeline) -> SyncResult:
    """A Stripe of one's own, and time going on in it."""
    with sandbox.serve(port=0, seed=1, scale=0.1) as stripe:
        stripe.world.advance(timedelta(days=1))
        stripe.world.live(20)
        return sync(pipeline, api_base=stripe.url, api_key=stripe.api_key)


def as_waevents(pipeline: dlt.Pipeline) -> int:
    """WAEvents out and in."""
    sync(pipeline, emit="waevents", api_key=ApiKey("sk_test_…"))
    written: WAEventsWritten = write_waevents(pipeline, "out/", format="json", gzip=True, roll_size="64mb")
    pipeline.run(rows_from_waevents(iter([{"metadata": {}, "data": {}}]), columns={"Charges": {"Order": "my_order"}}))
    loaded: WAEventsLoaded = load_waevents(pipeline, ["out/*.gz", "-"], account_id="acct_1", deletes="hard")
    return loaded.counts.rejected + loaded.exit_code + sum(written.waevents.values())


def in_bulk(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Tables of any size, and what was asked for."""
    bulk = sandbox.Bulk({"charges": 200_000}, spread="growing", years=10, limits=True, latency=0.1)
    other = sandbox.Bulk({"charges": 2}, spread=lambda n, start, end: [start + each for each in range(n)])
    bulk.faults.per_endpoint = 50
    with sandbox.serve(world=bulk) as stripe:
        sync(pipeline, tables="charges", api_base=stripe.url, api_key=stripe.api_key)
    created: dict[str, int] = dict(other.truth("charges"))
    print(bulk.figures()["requests"], bulk.object("charges", 0)["id"], bulk.number("charges", "ch_x"))
    return created


def refused(pipeline: dlt.Pipeline) -> None:
    """What a checker must not let pass: each line that it did would be an unused ignore."""
    stripe_source(table="charges")  # type: ignore[call-arg]
    stripe_source(mode=1)  # type: ignore[arg-type]
    stripe_source(rate="half")  # type: ignore[arg-type]
    sync("stripe", tables="charges")  # type: ignore[arg-type]
    sync(pipeline, progress=print)  # type: ignore[arg-type]
    demo(dataset=None)  # type: ignore[arg-type]
