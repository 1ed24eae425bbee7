"""The baseline: the loop that most people write, as dlt's verified source `stripe_analytics` has it.

That source cannot be had here, so this is the same loop in our words: Stripe's SDK, an API version of 2022, pages of
100 one after the other, dicts for dlt to infer a schema from, the table replaced. Run by `python -m benchmarks`.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import dlt
import stripe


@dlt.resource(name="charge", write_disposition="replace")
def charges() -> Iterator[list[dict[str, Any]]]:
    """All charges, page by page, newest first."""
    behind: dict[str, Any] = {}
    while True:
        page = stripe.Charge.list(limit=100, **behind)
        yield [charge.to_dict() for charge in page.data]
        if not page.has_more:
            return
        behind = {"starting_after": page.data[-1].id}


def main() -> None:
    """Loads into `baseline.duckdb` in the working directory."""
    stripe.api_base = os.environ["BENCHMARK_STRIPE"]
    stripe.api_key = os.environ["STRIPE_API_KEY"]
    stripe.api_version = "2022-11-15"
    pipeline = dlt.pipeline(
        "baseline", destination=dlt.destinations.duckdb("baseline.duckdb"), dataset_name="stripe_data"
    )
    pipeline.run(charges())


if __name__ == "__main__":
    main()
