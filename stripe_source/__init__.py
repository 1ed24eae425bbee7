"""Stripe for dlt: a complete, current and verifiable copy of a Stripe account in any dlt destination."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe_source import sandbox as sandbox
    from stripe_source.arrow_rows.waevent import WAEvent as WAEvent
    from stripe_source.extract.channel import ListPage as ListPage
    from stripe_source.generators import pages as pages
    from stripe_source.generators import rows as rows
    from stripe_source.generators import waevents as waevents
    from stripe_source.load.compact import compact as compact
    from stripe_source.load.compact import latest as latest
    from stripe_source.load.demo import demo as demo
    from stripe_source.load.sync import sync as sync
    from stripe_source.load.sync_result import SyncResult as SyncResult
    from stripe_source.money.reconcile import reconcile as reconcile
    from stripe_source.money.result import ReconcileResult as ReconcileResult
    from stripe_source.monitoring.status import StatusResult as StatusResult
    from stripe_source.monitoring.status import status as status
    from stripe_source.preflight.check import CheckResult as CheckResult
    from stripe_source.preflight.check import check as check
    from stripe_source.schema.compare import SchemaDiff as SchemaDiff
    from stripe_source.schema.ddl import schema_ddl as schema_ddl
    from stripe_source.schema.diff import schema_diff as schema_diff
    from stripe_source.schema.inspect import schema_history as schema_history
    from stripe_source.schema.inspect import schema_show as schema_show
    from stripe_source.schema.migrate import MigrateResult as MigrateResult
    from stripe_source.schema.migrate import schema_migrate as schema_migrate
    from stripe_source.source import stripe_source as stripe_source
    from stripe_source.striim.load import WAEventsLoaded as WAEventsLoaded
    from stripe_source.striim.load import load_waevents as load_waevents
    from stripe_source.striim.out import WAEventsWritten as WAEventsWritten
    from stripe_source.striim.out import write_waevents as write_waevents
    from stripe_source.striim.resource import rows_from_waevents as rows_from_waevents
    from stripe_source.tables.catalog import list_tables as list_tables
    from stripe_source.tables.table import Table as Table
    from stripe_source.verification.result import VerifyResult as VerifyResult
    from stripe_source.verification.verify import verify as verify
    from stripe_source.views.manage import create_views as create_views
    from stripe_source.views.manage import drop_views as drop_views
    from stripe_source.views.result import ViewsResult as ViewsResult
    from stripe_source.views.shown import show_views as show_views
    from stripe_source.views.shown import views_sql as views_sql

__version__ = "0.1.0"

# No package is named like a function here: importing it would put it in the function's place.
# Loaded when first used: dlt and pyarrow take most of a second, and many commands need neither
_HOMES = {
    "CheckResult": "preflight.check", "ListPage": "extract.channel", "MigrateResult": "schema.migrate",
    "ReconcileResult": "money.result", "SchemaDiff": "schema.compare", "StatusResult": "monitoring.status",
    "SyncResult": "load.sync_result", "Table": "tables.table", "VerifyResult": "verification.result",
    "ViewsResult": "views.result", "WAEvent": "arrow_rows.waevent", "WAEventsLoaded": "striim.load",
    "WAEventsWritten": "striim.out", "check": "preflight.check", "compact": "load.compact",
    "create_views": "views.manage", "demo": "load.demo", "drop_views": "views.manage", "latest": "load.compact",
    "list_tables": "tables.catalog", "load_waevents": "striim.load", "pages": "generators",
    "reconcile": "money.reconcile", "rows": "generators", "rows_from_waevents": "striim.resource",
    "schema_ddl": "schema.ddl", "schema_diff": "schema.diff", "schema_history": "schema.inspect",
    "schema_migrate": "schema.migrate", "schema_show": "schema.inspect", "show_views": "views.shown",
    "status": "monitoring.status", "stripe_source": "source", "sync": "load.sync", "verify": "verification.verify",
    "views_sql": "views.shown", "waevents": "generators", "write_waevents": "striim.out",
}

__all__ = ["__version__", "sandbox", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "sandbox":
        return import_module("stripe_source.sandbox")
    if name not in _HOMES:
        raise AttributeError(f"module `stripe_source` has no attribute `{name}`")
    return getattr(import_module(f"stripe_source.{_HOMES[name]}"), name)
