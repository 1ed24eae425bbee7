"""Assets of Dagster that keep a copy of a Stripe account, one for each table. `dagster dev -f` this file shows them.

The key is in STRIPE_API_KEY, or in the secrets of dlt, where the runs are; so are the credentials of the destination.
"""
from collections.abc import Iterator
from typing import Any

import dagster as dg
import dlt as dlt_library
from dagster_dlt import DagsterDltResource, dlt_assets

from stripe_source import stripe_source

# Dagster reads the annotation of `context`, so that there is no `from __future__ import annotations` here


@dlt_assets(
    dlt_source=stripe_source(),
    dlt_pipeline=dlt_library.pipeline("stripe", destination="duckdb", dataset_name="stripe_data"),
    name="stripe", group_name="stripe", pool="stripe",  # with a limit of 1 on the pool runs come one after the other
)
def stripe_assets(context: dg.AssetExecutionContext, dlt: DagsterDltResource) -> Iterator[Any]:
    """All tables, or those that are selected, in one step: one pass over Stripe's events serves them all."""
    yield from dlt.run(context=context)


every_hour = dg.ScheduleDefinition("stripe_hourly", target=[stripe_assets], cron_schedule="0 * * * *")
definitions = dg.Definitions([stripe_assets], schedules=[every_hour], resources={"dlt": DagsterDltResource()})

if __name__ == "__main__":
    raise SystemExit(not dg.materialize([stripe_assets], resources={"dlt": DagsterDltResource()}).success)
