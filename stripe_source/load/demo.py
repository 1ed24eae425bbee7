"""The demo: loads the sandbox's business into a DuckDB file, and one more day of it each time it runs."""
from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import DestinationError, InvalidOption
from stripe_source.load.progress import Progress
from stripe_source.load.sync import sync
from stripe_source.load.sync_result import SyncResult

if TYPE_CHECKING:
    import dlt

BUSINESS = "stripe_demo_business"  # where the pipeline's local state has seed, scale and day
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

    The first time it loads the business as it stands. Each further time a day has passed in the business, and it loads
    what is new, changed and gone since.

    Args:
        database: the file.
        dataset: the schema in it.
        seed: of the sandbox: another seed, another business.
        scale: of the sandbox: 1 has about 14,000 rows.
        progress: reports what is read.
        options: those of `stripe_source`; without `tables`, every table of which the business has objects is loaded.

    Raises:
        InvalidOption: an option has a value that it cannot have, or the file holds another business.
        DestinationError: the file cannot be opened: another program has it open, or it is no DuckDB file.
    """
    import dlt

    from stripe_source import sandbox

    file = Path(database).absolute()
    if not file.parent.is_dir():
        raise InvalidOption("database", str(database), reason=f"There is no folder `{file.parent}`.")
    if not re.fullmatch("[a-z_][a-z0-9_]*", dataset):
        raise InvalidOption("dataset", dataset, reason="Write it with small letters, digits and `_`.")
    if scale <= 0:
        raise InvalidOption("scale", scale, reason="It is more than 0; 1 is about 14,000 rows.")
    days = _days(file, dataset)
    pipeline = dlt.pipeline(
        # one for each business, file and dataset
        f"stripe_demo_{hashlib.blake2b(repr((str(file), dataset)).encode(), digest_size=4).hexdigest()}",
        destination=dlt.destinations.duckdb(str(file)), dataset_name=dataset,
    )
    if loaded := _loaded_business(pipeline) if file.exists() else None:
        _check_same_business(file, loaded, seed, scale)
        days = loaded[2] + 1
    world = sandbox.World(seed=seed, scale=scale)
    for _ in range(days):
        world.advance(timedelta(days=1))
        world.live(STEPS)
    given = {"tables": [name for name, objects in world.counts().items() if objects], **options}
    with sandbox.serve(world=world) as stripe:
        result = sync(pipeline, progress=progress, api_base=stripe.url, api_key=stripe.api_key, **given)
    pipeline.set_local_state_val(BUSINESS, [seed, scale, days])
    return result


def _loaded_business(pipeline: dlt.Pipeline) -> list[Any] | None:
    """Seed, scale and day of the business that was loaded last; None where this machine has not loaded it."""
    try:
        business: list[Any] = pipeline.get_local_state_val(BUSINESS)
    except KeyError:
        return None
    return business


def _check_same_business(file: Path, loaded: list[Any], seed: int, scale: float) -> None:
    """Refuse another business than the one that the file holds: all rows of the first would be gone."""
    for option, loaded_value, value in (("seed", loaded[0], seed), ("scale", loaded[1], scale)):
        if loaded_value != value:
            raise InvalidOption(option, value, reason=f"`{file.name}` holds the business of {option} `{loaded_value}`. "
                                                      "Load the other one into a file of its own (`--database`).")


def _days(file: Path, dataset: str) -> int:
    """How many days of the business the next run loads: one more than the file has, as far as its rows tell."""
    import duckdb

    from stripe_source.sandbox.world import NOW

    if not file.exists():
        return 0
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            row = connection.execute(f'SELECT max(_changed_at) FROM "{dataset}".balance_available').fetchone()
    except duckdb.CatalogException:
        return 0
    except duckdb.Error as error:
        raise DestinationError(str(error), destination="duckdb") from None
    if row is None or row[0] is None:
        return 0
    begin = datetime.fromtimestamp(NOW, timezone.utc)
    latest: datetime = row[0].astimezone(timezone.utc)
    return max(0, (latest - begin) // timedelta(days=1)) + 1
