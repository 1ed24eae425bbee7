"""The demo: the sandbox's business in a DuckDB file, and each time it runs, one more day of it."""
from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from stripe_source.loop import Progress, SyncResult, sync

STEPS = 40  # things that happen in the sandbox's business on a day, besides what is scheduled


def demo(
    database: str | Path = "stripe_demo.duckdb",
    *,
    dataset: str = "stripe",
    seed: int = 1,
    scale: float = 1.0,
    progress: Progress | None = None,
    **options: Any,
) -> SyncResult:
    """Load the sandbox, which needs no key and no network, into a DuckDB file.

    The first time the business is loaded as it stands. Each further time a day has passed in it, and what is new,
    changed and gone since is loaded.

    Args:
        database: the file.
        dataset: the schema in it.
        seed: of the sandbox: another seed, another business.
        scale: of the sandbox: 1 has about 13,000 rows.
        progress: is told how it goes.
        options: those of `stripe_source`; every table is loaded without them.
    """
    import dlt

    from stripe_source import sandbox

    file = Path(database).absolute()
    pipeline = dlt.pipeline(
        f"stripe_demo_{hashlib.blake2b(str(file).encode(), digest_size=4).hexdigest()}",  # one for each file
        destination=dlt.destinations.duckdb(str(file)), dataset_name=dataset,
    )
    world = sandbox.World(seed=seed, scale=scale)
    for _ in range(_days(file, dataset, world.now)):
        world.advance(timedelta(days=1))
        world.live(STEPS)
    with sandbox.serve(world=world) as stripe:
        return sync(
            pipeline, progress=progress, api_base=stripe.url, api_key=stripe.api_key, **{"tables": "%", **options}
        )


def _days(file: Path, dataset: str, start: int) -> int:
    """How many days of the business the next run shows: one more than the file has seen."""
    import duckdb

    if not file.exists():
        return 0
    with duckdb.connect(str(file), read_only=True) as connection:
        try:
            row = connection.execute(f'SELECT max(_changed_at) FROM "{dataset}".balance_available').fetchone()
        except duckdb.CatalogException:
            return 0
    if row is None or row[0] is None:
        return 0
    begin = datetime.fromtimestamp(start, timezone.utc)
    latest: datetime = row[0].astimezone(timezone.utc)
    return max(0, (latest - begin) // timedelta(days=1)) + 1
