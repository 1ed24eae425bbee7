"""Load the sandbox, a Stripe on this machine that comes with the package, and a day later what has changed: no key."""
from __future__ import annotations

import dlt

from stripe_source import sandbox, stripe_source


def main() -> None:
    """Two loads into `stripe_try_it.duckdb`."""
    pipeline = dlt.pipeline("stripe_try_it", destination="duckdb", dataset_name="stripe_data")
    with sandbox.serve(scale=0.05) as stripe:
        for when in ("The first load", "A day later"):
            source = stripe_source(tables="charges;customers;invoice%", api_base=stripe.url, api_key=stripe.api_key)
            pipeline.run(source)
            counts = pipeline.last_trace.last_normalize_info.row_counts
            rows = sum(number for table, number in counts.items() if not table.startswith("_dlt"))
            print(f"{when}: {rows:,} rows new or changed")
            stripe.world.advance(86_400)
            stripe.world.live(20)


if __name__ == "__main__":
    main()
