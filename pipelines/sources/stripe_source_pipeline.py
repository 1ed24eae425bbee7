"""Load a Stripe account, and what has changed since each time this is run again.

The key stands as `api_key` under `[sources.stripe_source]` in `.dlt/secrets.toml`. `python stripe_source/try_it.py`
does the same without a key.
"""
from __future__ import annotations

from typing import Any

import dlt


@dlt.source(section="stripe_source")
def stripe(api_key: str = dlt.secrets.value, tables: str | None = None) -> Any:
    """The tables of a Stripe account.

    Args:
        api_key: a restricted key that may read them.
        tables: names or patterns with `;` between them, such as "charges;invoice%"; None: what an ordinary account
            uses. Further options are those of `stripe_source.stripe_source`.
    """
    from stripe_source import stripe_source  # the package in requirements.txt

    return stripe_source(tables=tables, api_key=api_key)


def load() -> None:
    """Load what is new or changed, and say how much that was."""
    pipeline = dlt.pipeline(pipeline_name="stripe_source", destination="duckdb", dataset_name="stripe_data")
    info = pipeline.run(stripe())
    print(info)
    rows = pipeline.last_trace.last_normalize_info.row_counts
    for table, count in sorted(rows.items()):
        print(f"{table:30} {count:,} rows new or changed")


if __name__ == "__main__":
    load()
