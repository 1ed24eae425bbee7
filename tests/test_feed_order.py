"""No row goes backwards: events that are late or of one second, and lists that are behind."""
from __future__ import annotations

from random import Random

import pytest
from account import Account
from later import some_later

from stripe_source.sandbox.state.faults import Lag

# ---- delays


def test_lists_and_events_that_are_behind(account: Account) -> None:
    """New objects appear late, changed ones in their old state, events out of order: in the end nothing is lost."""
    tables = "customers;products;payment_methods"
    account.world.faults.lag = Lag(events=300, lists=300)
    for number in range(40):
        account.world.live(5)
        account.world.advance(7 * (number % 9))
        if number % 8 == 0:
            account.run(tables, mode="initial" if number == 16 else "auto")
    account.world.advance(300)
    account.run(tables)

    assert account.differences(tables) == []


def test_life_goes_on_while_the_first_load_reads(account: Account) -> None:
    """The position in the feed is taken before the first list."""
    tables = "customers;subscriptions;subscription_items;invoices;invoice_line_items"
    account.world.on_request = lambda number: account.world.live(2)
    account.run(tables)
    account.world.on_request = None
    account.run(tables)

    assert account.differences(tables) == []


@pytest.mark.parametrize("later", some_later([120, 7_200], [7_200]))
def test_events_that_show_up_late_are_in_their_table(later: int, account: Account) -> None:
    """Also where nothing but events is loaded, and the next run comes hours later."""
    account.run("events")
    account.world.advance(60)
    account.world.create("coupon")
    with account.late(account.newest_event()):
        account.world.advance(60)
        account.run("events")
    account.world.advance(later)
    account.run("events")

    assert account.differences("events") == []


# ---- never backwards


class Longest(Random):
    """Every delay is as long as it may be."""

    def randint(self, a: int, b: int) -> int:
        return b


def test_events_that_were_applied_are_not_applied_again(account: Account) -> None:
    """The overlap of two runs is read twice; what had to be asked for is asked for once."""
    account.run("coupons")
    made = account.world.create("coupon", percent_off=15.0)["id"]
    account.world.advance(60)
    first = account.asked("coupons").count(f"/v1/coupons/{made}")
    account.world.advance(60)
    second = account.asked("coupons").count(f"/v1/coupons/{made}")

    assert (first, second) == (1, 0)


def test_an_event_that_shows_up_after_the_run_is_in_the_overlap(account: Account) -> None:
    """It happened before the last run and was in no list then."""
    account.run("customers")
    account.world.advance(60)
    account.world.create("customer", name="Late")
    account.world.advance(60)
    with account.late(account.newest_event()):
        account.run("customers")
    account.world.advance(3_600)
    account.run("customers")

    assert account.differences("customers") == []


def test_an_older_second_has_no_say(account: Account) -> None:
    """B to A, A to C and C to B, the second of them late: the newest event alone tells that it is B."""
    id = account.world.create("customer", name="B")["id"]
    account.run("customers")
    events = []
    for name in "ACB":
        account.world.advance(10)
        account.world.update("customer", id, name=name)
        events.append(account.newest_event())
    with account.late(events[1]):
        asked = account.asked("customers")

        assert account.differences("customers") == []
        assert f"/v1/customers/{id}" not in asked


def test_the_first_event_of_a_second_may_come_last(account: Account) -> None:
    """Two changes in one second, the older one late: the run that sees it keeps the newer version."""
    id = account.world.create("customer", name="A")["id"]
    account.run("customers")
    account.world.advance(60)
    account.world.update("customer", id, name="B")
    with account.late(account.newest_event()):
        account.world.update("customer", id, name="C")
        account.run("customers")
    account.run("customers")

    assert account.differences("customers") == []


def test_what_a_list_showed_outlives_events_of_its_second(account: Account) -> None:
    """Two changes in the second of the first load, which saw both; of their events the second is late."""
    id = account.world.create("customer", name="A")["id"]
    account.world.advance(60)
    account.world.update("customer", id, name="B")
    account.world.update("customer", id, name="C")
    with account.late(account.newest_event()):
        account.run("customers")
        account.run("customers")

        assert account.differences("customers") == []


def test_a_deletion_from_before_does_not_undo_what_was_read_since(account: Account) -> None:
    """A product was deleted and made again; the list shows it, while the event of the latter is late."""
    account.world.create("product", id="prod_mine", name="First")
    account.world.advance(10)
    account.world.delete("product", "prod_mine")
    account.world.advance(10)
    account.world.create("product", id="prod_mine", name="Second")
    with account.late(account.newest_event()):
        account.world.advance(10)
        account.run("products")
        account.run("products")

        assert account.differences("products") == []


def test_children_without_their_parents_do_not_go_backwards(account: Account) -> None:
    """Items of a subscription that is not loaded itself: an event between two that were applied is no news."""
    subscription = account.world.create("subscription")["id"]
    account.run("subscription_items")
    account.world.advance(60)
    account.world.create("subscription_item", subscription=subscription)
    account.world.advance(60)
    passing = account.world.create("subscription_item", subscription=subscription)["id"]
    with account.late(account.newest_event()):
        account.world.advance(60)
        account.world.delete("subscription_item", passing)
        account.run("subscription_items")
    account.run("subscription_items")

    assert account.differences("subscription_items") == []


def test_a_watched_list_that_is_behind_does_not_undo_an_event(account: Account) -> None:
    """The event brought the new description; half a minute later the list still shows the old one."""
    account.world.faults.lag, account.world.faults.rng = Lag(lists=50), Longest()
    intent = account.world.create("payment_intent", description="Old")["id"]
    account.world.advance(100)
    account.run("payment_intents")
    account.world.update("payment_intent", intent, description="New")
    account.world.emit("payment_intent.updated", intent)
    account.run("payment_intents")
    account.world.advance(30)
    account.run("payment_intents")

    assert account.query(f"SELECT description FROM stripe.payment_intents WHERE id = '{intent}'") == [("New",)]


def test_a_first_load_from_lists_that_are_behind_is_put_right_by_events(account: Account) -> None:
    """The list shows the old name, the event of the new one is there already: the next run applies it."""
    account.world.faults.lag, account.world.faults.rng = Lag(lists=50), Longest()
    customer = account.world.create("customer", name="Old")["id"]
    account.world.advance(100)
    account.world.update("customer", customer, name="New")
    account.run("customers")
    account.run("customers")

    assert account.query(f"SELECT name FROM stripe.customers WHERE id = '{customer}'") == [("New",)]
