"""A second chance for everything: rows that go by the change feed are compared again, a share of them a day."""
from __future__ import annotations

from account import Account

DAY = 86_400


def lose_events(account: Account) -> None:
    """A change, a deletion and a new object that no event tells of."""
    world = account.world
    with account.untold():
        customers = [each.id for each in world.books.all("customer")]
        world.update("customer", customers[3], name="Nobody told")
        world.delete("customer", customers[-4])
        world.create("customer", name="Unheard of")


def test_lost_events_are_found_within_the_time_that_resync_says(account: Account) -> None:
    """Six days, a sixth of the rows a day: all that was lost is found, and counted."""
    tables = "customers"
    account.run(tables, resync="6d")
    lose_events(account)
    found = compared = 0
    assert account.differences("customers") != []
    for _ in range(7):
        account.world.advance(DAY)
        result = account.run(tables, resync="6d").tables["customers"]
        found, compared = found + result.resync_different, compared + result.resync_compared

    assert account.differences(tables) == []
    assert found == 3
    assert compared <= 2 * len(account.world.books.all("customer"))


def test_one_step_a_day_costs_a_few_requests(account: Account) -> None:
    """A second run of the same day compares nothing; without `resync` none does."""
    account.run("customers;products")
    account.world.advance(DAY)
    first, second = account.asked("customers;products"), account.asked("customers;products")
    account.world.advance(DAY)
    never = account.asked("customers;products", resync=None)

    assert set(first) == {"/v1/account", "/v1/customers", "/v1/events", "/v1/products"} and len(first) < 8
    assert second == never == ["/v1/account", "/v1/events"]


def test_after_a_long_time_all_is_compared_at_once(account: Account) -> None:
    """A machine that was away for most of the time: what it has missed of the comparison is made up for."""
    account.run("customers")
    lose_events(account)
    account.world.advance(27 * DAY)
    account.run("customers", resync="20d")

    assert account.differences("customers") == []


def test_a_list_that_is_behind_undoes_nothing(account: Account) -> None:
    """What the feed brought a moment ago is newer than what a list still shows."""
    from stripe_source.sandbox.state.faults import Lag

    world = account.world
    account.run("customers", resync="1d")
    world.advance(DAY)
    world.faults.lag = Lag(lists=60)
    customer = world.books.all("customer")[0].id
    world.update("customer", customer, name="Newest")
    account.run("customers", resync="1d")

    assert account.query(f"SELECT name FROM stripe.customers WHERE id = '{customer}'") == [("Newest",)]


def test_children_are_compared_with_their_parents(account: Account) -> None:
    """A line that no event told of comes with its invoice."""
    tables, world = "invoices;invoice_line_items", account.world
    account.run(tables, resync="1d")
    with account.untold():
        world.create("invoice", lines=[{"amount": 100}, {"amount": 200}])
    world.advance(DAY)
    account.run(tables, resync="1d")
    world.advance(DAY)
    account.run(tables, resync="1d")

    assert account.differences(tables) == []
