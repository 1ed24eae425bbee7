"""Tables that go by dlt's cursor on `created`: read fast in any order, and nothing is lost where a run is cut short."""
from __future__ import annotations

import inspect
import time
from datetime import datetime, timezone
from typing import Any

import dlt
import pyarrow as pa
import pytest
from account import Account
from later import later

from stripe_source import stripe_source
from stripe_source.sandbox import World

CHARGES = "charges"


def source(account: Account, **options: Any) -> Any:
    return stripe_source(**{"tables": CHARGES, "marker": "created", "api_base": account.stripe.url,
                            "api_key": account.stripe.api_key, **options})


def run(account: Account, limit: int | None = None, **options: Any) -> None:
    """A plain run of dlt, which takes so many items at most."""
    made = source(account, **options)
    if limit:
        made.resources[CHARGES].add_map(slowly).add_limit(limit)
    account.new_pipeline().run(made)


def slowly(rows: pa.Table) -> Any:
    """More is read meanwhile than dlt takes."""
    time.sleep(0.3)
    return rows


def times(account: Account) -> list[int]:
    """When the charges that the copy holds were created."""
    return sorted(int(at) for at, in account.query("SELECT epoch(created) FROM stripe.charges"))


def there(account: Account) -> list[int]:
    """When Stripe's charges were created."""
    return sorted(truth.object["created"] for truth in account.world.dump()[CHARGES])


def some_days(world: World) -> None:
    """New charges on each of some days."""
    for _ in range(12):
        world.advance(86_400)
        for _ in range(30):  # several pages in all
            world.create("charge", amount=700, currency="eur")


@pytest.mark.parametrize(("marker", "first"), [
    ("created", True), later("created", False), later("auto", True), later("id", True),
])
def test_a_run_that_is_cut_short_leaves_no_hole(
    marker: str, first: bool, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest objects came, dlt's cursor stands at them, and older ones are missing: the next run goes back."""
    monkeypatch.setattr("stripe_source.resources.table_load.ROWS_PER_TABLE", 1)
    monkeypatch.setattr("stripe_source.workers.batches.ROWS_PER_BATCH", 1)
    monkeypatch.setattr("stripe_source.extract.channel.ROWS_AHEAD", 100)  # nor is the list at its end then
    if not first:
        run(account, marker=marker)
    some_days(account.world)
    run(account, limit=2, marker=marker)
    held = times(account)
    run(account, marker=marker)
    again = len(account.world.requests)
    run(account, marker=marker)

    assert len(held) < len(there(account)) and max(held) == max(there(account))
    assert times(account) == there(account)
    assert len(account.world.requests) - again <= 6  # it goes by its marker again


def test_a_later_start_for_once_leaves_no_hole(account: Account) -> None:
    """What lies between dlt's cursor and the bound of one run is read by the next one."""
    run(account)
    some_days(account.world)
    run(account, start=account.world.now - 86_400)
    narrow = times(account)
    run(account)

    assert len(narrow) < len(there(account))
    assert times(account) == there(account)


def test_bounds_of_dlts_hints_bound_the_reading(account: Account) -> None:
    """An `end_value` of `apply_hints` is asked of Stripe, not filtered from all that there is; no cursor moves."""
    every = there(account)
    low, high = every[len(every) // 3], every[len(every) // 3 + 5]
    made = source(account)
    made.resources[CHARGES].apply_hints(incremental=dlt.sources.incremental(
        "created", initial_value=datetime.fromtimestamp(low, timezone.utc),
        end_value=datetime.fromtimestamp(high, timezone.utc)))
    first = len(account.world.requests)
    account.new_pipeline().run(made)
    asked = [request.query for request in account.world.requests[first:] if request.path == "/v1/charges"]
    held = times(account)
    run(account)

    assert held == [at for at in every if low <= at < high]
    assert asked and all(f"%5Bgte%5D={low}" in query and f"%5Blt%5D={high}" in query for query in asked)
    assert times(account) == every


def test_a_scheduler_may_set_the_bounds(account: Account) -> None:
    """dlt asks the cursor for the type of its values before it takes an interval of Airflow's."""
    cursor: Any = inspect.signature(source(account).resources[CHARGES]._pipe.gen).parameters["cursor"].default

    assert cursor.get_incremental_value_type() is datetime
