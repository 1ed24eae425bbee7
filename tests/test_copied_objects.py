"""Rows that show a copy of another object follow it, also where the table of that object is not loaded."""
from __future__ import annotations

import pytest
from account import Account
from later import some_later

ITEMS = "subscription_items"


@pytest.mark.parametrize("tables", some_later([ITEMS, f"{ITEMS};prices", f"{ITEMS};prices;plans"], [f"{ITEMS};prices"]))
def test_a_price_that_is_renamed_is_renamed_wherever_it_is_shown(tables: str, account: Account) -> None:
    """The price has an event, and so has its plan; the subscription items that show them have none."""
    account.run(tables)
    (price,), = account.query(f"SELECT min(price__id) FROM stripe.{ITEMS}")
    account.world.update("price", price, nickname="Renamed")
    account.world.advance(60)
    result = account.run(tables)
    assert account.differences(tables) == []
    showing = [each for each in account.world.dump()[ITEMS] if each.object["price"]["id"] == price]
    assert result.tables[ITEMS].changed == len(showing) > 0
    assert account.asked(tables) == ["/v1/account", "/v1/events"]  # the same event again: nothing is fetched
