"""Load a Stripe account into DuckDB, look at it, and load again what changed. Copy this file and make it yours.

With a key in STRIPE_API_KEY, or as api_key under [sources.stripe] in .dlt/secrets.toml, it loads that account. Without
one it loads the built-in sandbox, so that it can be tried anywhere.
"""
from __future__ import annotations

import dlt
import duckdb

from stripe_source import sandbox
from stripe_source.load.sync import sync
from stripe_source.load.sync_result import SyncResult


def load(pipeline: dlt.Pipeline, **options: object) -> SyncResult:
    """Load what is new or changed since the last run, and say what became of each table."""
    result = sync(pipeline, **options)
    for name, table in result.tables.items():
        if table.new or table.changed or table.gone:
            print(f"{name:30} {table.new:7,} new {table.changed:7,} changed {table.gone:7,} gone")
    for name, table in result.failed.items():
        print(f"{name:30} {table.status}: {table.reason}")
    return result


def main() -> int:
    pipeline = dlt.pipeline("stripe_quickstart", destination="duckdb", dataset_name="stripe_data")
    if dlt.secrets.get("sources.stripe.api_key") or dlt.secrets.get("stripe_api_key"):
        result = load(pipeline)
    else:
        with sandbox.serve() as stripe:
            result = load(pipeline, api_base=stripe.url, api_key=stripe.api_key)
            print("\nA day later:")
            stripe.world.advance(86_400)
            stripe.world.live(20)
            result = load(pipeline, api_base=stripe.url, api_key=stripe.api_key)

    with duckdb.connect(result.location, read_only=True) as connection:
        rows = connection.execute(
            f"SELECT currency, count(*), sum(amount) FROM {result.dataset}.charges WHERE paid AND NOT _deleted"
            " GROUP BY currency ORDER BY currency"
        ).fetchall()
    print("\nPaid charges, in the smallest unit of each currency:")
    for currency, number, amount in rows:
        print(f"  {currency}: {number:,} charges, {amount:,}")
    return result.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
