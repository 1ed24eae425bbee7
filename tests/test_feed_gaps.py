"""Gaps: time away, tables that were left out, bounds, and feeds and lists that are refused."""
from __future__ import annotations

from collections import Counter

import pytest
from account import Account

# ---- gaps


def test_away_for_forty_days(account: Account) -> None:
    """Stripe keeps events for 30 days: tables with a gap are read whole, the run says so, and it is no failure."""
    tables = "customers;products;events"
    account.run(tables)
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.advance(40 * 86_400)
    result = account.run(tables)

    assert account.differences("customers;products") == []
    assert result.exit_code == 0
    assert ["40 days ago" in note and "customers, products" in note for note in result.notes] == [True]


def test_a_table_added_later_is_read_whole(account: Account) -> None:
    """It does not inherit the position of the others, which are not read again for it."""
    account.run("customers;products")
    account.world.advance(86_400)
    asked = account.asked("customers;products;refunds", resync=None)

    assert account.differences("customers;products;refunds") == []
    assert Counter(asked)["/v1/customers"] == 0
    assert Counter(asked)["/v1/refunds"] >= 1


def test_a_table_left_out_for_a_while_catches_up(account: Account) -> None:
    """What the others have seen meanwhile is not taken for applied to it."""
    account.run("customers;products")
    account.world.create("product", name="While nobody looked")
    account.run("customers")
    account.run("customers;products")

    assert account.differences("customers;products") == []


def test_children_left_out_for_a_while_catch_up(account: Account) -> None:
    """Their parents' events were seen and applied to the parents meanwhile (found by the soak)."""
    subscription = account.world.create("subscription")["id"]
    account.run("subscriptions;subscription_items")
    account.world.create("subscription_item", subscription=subscription)
    account.run("subscriptions")
    account.run("subscriptions;subscription_items")

    assert account.differences("subscriptions;subscription_items") == []


@pytest.mark.soak
def test_prices_left_out_for_weeks_keep_what_no_list_shows(account: Account) -> None:
    """Inline prices are found where they are shown: tables that are up to date are read whole for them."""
    tables = "subscriptions;subscription_items;invoice_items;invoice_line_items;invoices"
    account.run(f"{tables};prices")
    for _ in range(2):
        account.world.advance(20 * 86_400)
        account.run(tables)
    account.run(f"{tables};prices")
    hidden = {each.id for each in account.world.books.all("price") if each.hidden}
    shown = {row[0] for row in account.query("SELECT price__id FROM stripe.subscription_items WHERE NOT _deleted")}

    assert hidden & shown
    flagged = {row[0] for row in account.query("SELECT id FROM stripe.prices WHERE _deleted")}
    assert (hidden & shown) & flagged == set()


def test_away_for_longer_than_events_are_kept(account: Account) -> None:
    """An hour more than 30 days: the event of a deletion is gone, and the row is flagged all the same, by no resync."""
    account.run("customers", resync=None)
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.advance(30 * 86_400 + 3_600)
    account.run("customers", resync=None)

    assert account.differences("customers") == []


# ---- bounds


def test_a_bound_on_events_is_no_bound_on_changes(account: Account) -> None:
    """`events` comes later, and from a day on only: what happened to customers before that day arrives all the same."""
    account.run("customers")
    account.world.create("customer", name="Early")
    account.world.advance(5 * 86_400)
    account.run("customers;events", start=account.world.now - 86_400)
    account.run("customers;events")

    assert account.differences("customers") == []


def test_a_bound_that_moves_back_brings_what_is_older(account: Account) -> None:
    """What was loaded from a day on does not hold what came before it; a later bound takes nothing away."""
    times = sorted(each.data["created"] for each in account.world.books.all("customer"))
    middle = times[len(times) // 2]

    def held() -> int:
        return int(account.query("SELECT count(*) FROM stripe.customers WHERE NOT _deleted")[0][0])

    account.run("customers", start=middle)
    assert held() == sum(at >= middle for at in times)
    account.run("customers", start=times[0] - 1)
    assert account.differences("customers") == []
    account.run("customers", start=middle, mode="initial")
    account.run("customers", end=middle, marker=None)
    assert account.differences("customers") == []


def test_a_bound_includes_its_own_second(account: Account) -> None:
    """A full pass from a bound on knows the rows that are held from that very second on: none is new again."""
    first = min(each.data["created"] for each in account.world.books.all("charge"))
    again = {"marker": None, "start": first}
    account.run("charges", **again)
    result = account.run("charges", **again).tables["charges"]

    assert (result.new, result.changed, result.gone, result.unchanged) == (0, 0, 0, result.read)


def test_a_run_with_an_end_leaves_no_position(account: Account) -> None:
    """What it left out is read by the next run."""
    middle = sorted(each.created for each in account.world.books.all("charge"))[20]
    account.run("charges", end=middle)
    account.world.advance(60)
    account.run("charges")

    assert account.differences("charges") == []


# ---- what is refused


def test_a_refused_feed_is_no_obstacle(account: Account) -> None:
    """A key without the permission for events: tables are read whole, deletions included, and the run says why."""
    account.stripe.api_key = account.world.restricted_key(["rak_customer_read", "rak_product_read"])
    account.run("customers;products")
    account.world.delete("customer", account.world.books.all("customer")[0].id)
    account.world.create("product", name="New")
    result = account.run("customers;products")

    assert account.differences("customers;products", "self") == []  # nor may the key know whose it is
    assert result.exit_code == 0 and "list of events cannot be read" in " ".join(result.notes)


def test_no_events_at_all_are_no_obstacle(account: Account, hasty: None) -> None:
    """A server without the list: tables are read whole."""
    account.run("customers;products")
    fault = account.world.faults.add(path="/v1/events", status=404)
    account.world.create("product", name="New")
    result = account.run("customers;products")
    fault.remove()

    assert account.differences("customers;products") == []
    assert result.exit_code == 0 and "list of events cannot be read" in " ".join(result.notes)


def test_a_broken_object_is_the_trouble_of_its_table(account: Account, hasty: None) -> None:
    """What could not be asked for again is not forgotten: the next run has it."""
    account.run("customers;coupons")
    made = account.world.create("coupon", percent_off=15.0)["id"]
    account.world.create("customer", name="Grace")
    fault = account.world.faults.add(path=f"/v1/coupons/{made}", status=500)
    result = account.run("customers;coupons")
    fault.remove()
    assert (result.tables["customers"].status, result.tables["coupons"].status) == ("ok", "failed")

    assert account.run("customers;coupons").exit_code == 0
    assert account.differences("customers;coupons") == []


def test_what_may_not_be_expanded_does_not_make_customers_be_listed(account: Account) -> None:
    """A key without sources: their tables say so in every run, and customers still go by the feed."""
    account.stripe.api_key = account.world.restricted_key(["rak_customer_read", "rak_event_read"])
    account.run("customers;customer_cards")
    account.world.create("customer", name="New")
    first = len(account.world.requests)
    result = account.run("customers;customer_cards")
    pages = [r for r in account.world.requests[first:] if r.path == "/v1/customers" and "limit=100" in r.query]

    assert (result.tables["customers"].status, result.tables["customer_cards"].status) == ("ok", "no permission")
    assert pages == []
    assert account.differences("customers", "self") == []
