"""Whose data a dataset holds: of which account and mode, though the state is lost or the key may not say."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
import truth
from later import later
from small_copy import wrong

from stripe_source import sandbox
from stripe_source.errors import MixedData
from stripe_source.load.sync import sync


def test_a_key_that_may_not_read_its_account_is_told_from_that_of_another_one(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Rows of `self` stay, whichever key comes: one of the same account goes on, one of another account is refused."""
    own = {"tables": "customers", "api_base": small.url}
    sync(new_pipeline(), **own, api_key=small.world.restricted_key(["rak_customer_read", "rak_event_read"]))
    with sandbox.serve(world=sandbox.World(seed=8, scale=0.01)) as other:
        theirs = {"tables": "customers", "api_base": other.url}
        for key in (other.api_key, other.world.restricted_key(["rak_customer_read"])):
            with pytest.raises(MixedData, match=other.world.books.account):
                sync(new_pipeline(), **theirs, api_key=key)
    small.world.update("customer", next(iter(small.world.dump()["customers"])).object["id"], name="Renamed")
    small.world.advance(60)
    sync(new_pipeline(), **own, api_key=small.api_key)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers", account="self") == []


@pytest.mark.parametrize(
    ("lost", "named"), [(False, True), later(False, False), later(True, True), (True, False)],
    ids=["state-named", "state-not named", "no state-named", "no state-not named"])
def test_objects_tell_whose_data_it_is_where_ids_do_not(
    named: bool, lost: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """The account is never named, neither by Stripe nor in the rows: the key has to find an object that is held."""
    key = small.world.restricted_key(["rak_customer_read", "rak_event_read"])
    with nameless(small.world):
        sync(new_pipeline(), tables="customers", api_base=small.url, api_key=key)
    name = "another" if lost else "stripe_test"
    with sandbox.serve(world=sandbox.World(seed=8, scale=0.01)) as other:
        theirs = other.world.restricted_key(["rak_customer_read", "rak_event_read"])
        with nameless(other.world, not named), pytest.raises(MixedData, match="self"):
            sync(new_pipeline(name), tables="customers", api_base=other.url, api_key=theirs)
    small.world.delete("customer", next(iter(small.world.dump()["customers"])).object["id"])
    small.world.advance(60)
    with nameless(small.world, not named):
        sync(new_pipeline(name), tables="customers", api_base=small.url, api_key=key)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers", account="self") == []


def test_a_platform_s_accounts_are_not_mixed(tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """Its key may not read the accounts; `account_id` says which one it is.

    Another one that is named, by a pipeline of its own, is asked for: see the stories of the change feed.
    """
    world = sandbox.World(seed=7, scale=0.02)
    first, other = world.connected[:2]
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(["rak_charge_read", "rak_event_read"])
        given = {"tables": "charges", "api_base": stripe.url, "api_key": key}
        sync(new_pipeline(), **given, account_id=first)
        with pytest.raises(MixedData, match=other):
            sync(new_pipeline(), **given, account_id=other)
        with pytest.raises(MixedData, match=first):
            sync(new_pipeline("another"), **given)  # the platform's own
        sync(new_pipeline("another"), **given, account_id=first)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        held = truth.differences(connection, "stripe", "charges", world.dump(account=first)["charges"], first)

    assert held == []


@pytest.mark.parametrize("live", [False, True])
def test_a_live_key_is_refused_where_test_rows_are_though_the_state_is_lost(
    live: bool, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """The rows say of which mode they are."""
    worlds = [sandbox.World(seed=7, scale=0.01, livemode=mode) for mode in (live, not live)]
    with sandbox.serve(world=worlds[0]) as first, sandbox.serve(world=worlds[1]) as other:
        sync(new_pipeline(), tables="customers", api_base=first.url, api_key=first.api_key)
        with pytest.raises(MixedData, match="mode `live`"):
            sync(new_pipeline("another"), tables="customers", api_base=other.url, api_key=other.api_key)


@contextmanager
def nameless(world: Any, so: bool = True) -> Iterator[None]:
    """Refusals do not name the account."""
    body = '{"error": {"type": "invalid_request_error", "message": "The key may not do this."}}'
    fault = world.faults.add(path="/v1/account", status=403, body=body) if so else None
    yield
    if fault:
        fault.remove()


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_events_that_name_the_account_of_rows_of_self_are_applied(
    named: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """The rows say `self`. Where Stripe's refusal names no account, whoever an event is of, the object is asked for."""
    world = small.world
    product = world.create("product", id="prod_same", name="Ours")
    key = world.restricted_key(["rak_product_read", "rak_event_read"])
    given = {"tables": "products", "api_base": small.url, "api_key": key}
    with nameless(world, not named):
        sync(new_pipeline(), **given)
        world.advance(60)
        renamed = next(each.object["id"] for each in world.dump()["products"] if each.object["id"] != "prod_same")
        world.update("product", renamed, name="Renamed")
        own = world.books.all("event")[-1].id
        theirs = world.emit("product.deleted", {**product, "name": "Theirs"})["id"]
        for event, account in ((own, world.books.account), (theirs, world.connected[0])):
            record = world.books.get("event", event)
            record.data["account"], record.cache = account, None
        world.advance(60)
        sync(new_pipeline(), **given)

    assert wrong(tmp_path / "test.duckdb", world, "products", account="self") == []
