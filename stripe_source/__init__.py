"""Stripe for dlt: a complete, current and verifiable copy of a Stripe account in any dlt destination."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stripe_source import sandbox as sandbox
    from stripe_source.catalogue import list_tables as list_tables
    from stripe_source.catalogue import schema_show as schema_show
    from stripe_source.checks import CheckResult as CheckResult
    from stripe_source.checks import check as check
    from stripe_source.ddl import schema_ddl as schema_ddl
    from stripe_source.diff import SchemaDiff as SchemaDiff
    from stripe_source.diff import schema_diff as schema_diff
    from stripe_source.files import compact as compact
    from stripe_source.files import latest as latest
    from stripe_source.loop import SyncResult as SyncResult
    from stripe_source.loop import sync as sync
    from stripe_source.migrate import MigrateResult as MigrateResult
    from stripe_source.migrate import schema_migrate as schema_migrate
    from stripe_source.proof import VerifyResult as VerifyResult
    from stripe_source.proof import verify as verify
    from stripe_source.showcase import demo as demo
    from stripe_source.source import stripe_source as stripe_source
    from stripe_source.table import Table as Table
    from stripe_source.versions import schema_history as schema_history
    from stripe_source.waevent import WAEvent as WAEvent

__version__ = "0.1.0"

# A module is not named like a function here: importing it would put it in the function's place.
# Loaded when first used: dlt and pyarrow take most of a second, and many commands need neither
_HOMES = {
    "CheckResult": "checks", "MigrateResult": "migrate", "SchemaDiff": "diff", "SyncResult": "loop", "Table": "table",
    "VerifyResult": "proof", "WAEvent": "waevent", "check": "checks", "compact": "files", "demo": "showcase",
    "latest": "files", "list_tables": "catalogue",
    "schema_ddl": "ddl", "schema_diff": "diff", "schema_history": "versions", "schema_migrate": "migrate",
    "schema_show": "catalogue", "stripe_source": "source", "sync": "loop", "verify": "proof",
}

__all__ = ["__version__", "sandbox", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "sandbox":
        return import_module("stripe_source.sandbox")
    if name not in _HOMES:
        raise AttributeError(f"module `stripe_source` has no attribute `{name}`")
    return getattr(import_module(f"stripe_source.{_HOMES[name]}"), name)
