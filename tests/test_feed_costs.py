"""What following changes costs: how much is asked for, and how much the state holds of events that were seen."""
from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from account import Account
from later import later

from stripe_source.extract.changes.seen import NotedEvents, SeenEvents
from stripe_source.tables.registry import TABLES

# ---- what it costs


def test_nothing_changed_costs_next_to_nothing(account: Account) -> None:
    """Nothing is written again. At most 25 requests, and one for each table that can only be listed.

    No list of a table with events is read. The destination is asked five times: about the tables, and whether another
    process loads them.
    """
    account.run()
    before = account.rows()
    again = account.run()  # what happened just before the first run is seen once more by this one
    after = account.rows()
    soon = account.run()
    account.world.advance(3_600)
    first = len(account.world.requests)
    result = account.run()
    asked = [request.path for request in account.world.requests[first:]]
    only_listed = [table for table in TABLES if table.default and table.marker is None]

    assert {(t.new, t.changed, t.gone) for t in again.tables.values()} == {(0, 0, 0)}
    assert after == before
    assert len(asked) <= 25 + len(only_listed)
    assert not {"/v1/customers", "/v1/charges", "/v1/invoices", "/v1/subscriptions"} & set(asked)
    assert asked.count("/v1/events") == 1
    assert max(soon.statements, result.statements) <= 5


def test_many_objects_in_an_older_version_are_read_from_pages_of_their_list(account: Account) -> None:
    """Their events do not suffice. A hundred come with one request; one that was deleted is asked for by itself."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(600)]
    account.run("customers")
    account.world.event_version = "2024-06-20"
    for id in ids[:-1]:
        account.world.update("customer", id, name="Somebody else")
    account.world.update("customer", ids[-1], name="Going")
    account.world.delete("customer", ids[-1])
    account.world.advance(3_600)
    asked = account.asked("customers")

    assert account.differences("customers") == []
    assert account.query("SELECT count(*) FROM stripe.customers WHERE name = 'Somebody else'") == [(599,)]
    assert asked.count("/v1/customers") <= 8
    assert len([path for path in asked if path.startswith("/v1/customers/")]) <= 2


def test_a_few_objects_far_apart_are_asked_for_one_by_one(account: Account) -> None:
    """Pages between them would cost more than they hold."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(1_500)]
    account.run("customers")
    account.world.event_version = "2024-06-20"
    for id in ids[::25]:
        account.world.update("customer", id, name="Somebody else")
    account.world.advance(3_600)
    asked = account.asked("customers")

    assert account.differences("customers") == []
    assert asked.count("/v1/customers") <= 4
    assert len([path for path in asked if path.startswith("/v1/customers/")]) >= 45


@pytest.mark.parametrize("passes", [later(0), 3_600])
def test_a_thousand_changes_cost_ten_pages_of_events(account: Account, passes: int) -> None:
    """Payloads suffice: no customer is asked for again, whether or not a second has passed since they were made."""
    ids = [account.world.create("customer", name=f"Customer {number}")["id"] for number in range(1_000)]
    account.run("customers;products")
    idle = len(account.asked("customers;products"))
    account.world.advance(passes)
    for id in ids:
        account.world.update("customer", id, name="Somebody else")
    asked = account.asked("customers;products")

    assert account.differences("customers;products") == []
    assert len(asked) <= idle + 30


# ---- what is kept of events that were seen


def seen_events(number: int, seconds: int) -> list[dict[str, Any]]:
    """Events, newest first, evenly over some seconds."""
    return [{"id": f"evt_{place}", "created": 1_700_000_000 - place * seconds // number} for place in range(number)]


def kept(events: list[dict[str, Any]]) -> str:
    noted = NotedEvents(0)
    noted.add(events)
    return noted.text()


@pytest.mark.parametrize(("number", "seconds"), [(0, 1), (1, 1), (2_000, 600), (12_000, 600), (100_000, 600)])
def test_what_was_seen_is_known_to_the_next_run(number: int, seconds: int) -> None:
    """All of it, and nothing else; one by one where it is little, and else second by second."""
    events = seen_events(number, seconds)
    seen = SeenEvents(kept(events))
    others = [{"id": "evt_later", "created": 1_700_000_001}, {"id": "evt_older", "created": 1_600_000_000}]

    assert seen.among([*others, *events]) == {event["id"] for event in events}


def test_an_event_that_comes_late_makes_its_second_unknown_where_there_were_many() -> None:
    """What shares the second is looked at once more; all else is known."""
    events = seen_events(12_000, 600)
    late = {"id": "evt_late", "created": events[6_000]["created"]}
    same = {event["id"] for event in events if event["created"] == late["created"]}

    assert SeenEvents(kept(events)).among([late, *events]) == {event["id"] for event in events} - same
    assert SeenEvents(kept(events[:1_000])).among([late, *events[:1_000]]) == {e["id"] for e in events[:1_000]}


@pytest.mark.parametrize(("number", "seconds"), [(2_000, 600), (12_000, 600), (200_000, 600), (50_000, 40_000)])
def test_the_state_fits_into_65535_characters(number: int, seconds: int) -> None:
    """Redshift's longest text; as dlt packs it, beside the positions of all tables."""
    positions = {table.name: {"position": 1_700_000_000 + place, "last_full_read": 1_690_000_000 + place, "version": 1}
                 for place, table in enumerate(TABLES)}
    state = json.dumps({"feed": {"at": 1_700_000_000, "seen": kept(seen_events(number, seconds))}, "r": positions})

    assert len(base64.b64encode(zlib.compress(state.encode(), 9))) < 65_535


def test_marks_of_an_earlier_release_are_known() -> None:
    """A list of 11 characters each."""
    assert SeenEvents(["1lmuzTGlP0k"]).among([{"id": "evt_1", "created": 1}, {"id": "evt_2", "created": 1}]) == {
        "evt_1"}


def test_nothing_is_applied_twice_where_seconds_are_remembered(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run asks for nothing again, but for what shares a second with a late event."""
    monkeypatch.setattr("stripe_source.extract.changes.seen.MOST_EVENTS", 0)
    id = account.world.create("customer", name="Before")["id"]
    account.run("customers;products")
    account.world.update("customer", id, name="After")
    account.world.update("product", account.world.create("product", name="New")["id"], name="Newer")
    account.run("customers;products")
    result = account.run("customers;products")
    account.world.update("customer", id, name="At last")
    account.run("customers;products")

    assert {(each.new, each.changed) for each in result.tables.values()} == {(0, 0)}
    assert account.differences("customers;products") == []
