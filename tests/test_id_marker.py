"""Tables that go by the id of an object: where the next run goes on."""
from __future__ import annotations

from urllib.parse import parse_qsl

from account import Account


def test_the_next_run_goes_on_from_the_newest_object_that_is_older_than_the_lookback(account: Account) -> None:
    """What is younger is read again, as lists may be behind; what is older is not."""
    world = account.world
    world.advance(86_400)
    older = world.create("customer")["id"]
    world.advance(15 * 60)
    world.create("customer")
    world.advance(60)
    account.run("customers", marker="id")
    world.create("customer")
    first = len(world.requests)
    result = account.run("customers", marker="id")
    asked = [dict(parse_qsl(request.query)) for request in world.requests[first:] if request.path == "/v1/customers"]

    assert [each.get("ending_before") for each in asked] == [older]
    assert (result.tables["customers"].new, result.tables["customers"].unchanged) == (1, 1)
    assert account.differences("customers") == []
