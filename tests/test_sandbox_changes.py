"""Which changes the sandbox tells of and which are silent, what is deleted, and life between requests."""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from urllib.request import Request, urlopen

import pytest
from sandbox_answers import Data, Reader, ids, new

from stripe_source import sandbox
from stripe_source.sandbox.scenario import event_payloads, life
from stripe_source.sandbox.state.catalog import OBJECTS, event_types

DAY = 86400


@pytest.fixture
def nothing() -> Reader:
    """Accounts without objects."""
    return Reader(sandbox.World(empty=True))


@pytest.fixture
def small() -> Reader:
    """A small business of one's own."""
    return Reader(sandbox.World(scale=0.05))


# --- deletions (stripe_facts.md 8)


def test_the_last_word_on_what_is_deleted(nothing: Reader) -> None:
    """Its last snapshot, or a stub where that is asked for; a subscription that ended is there all the same."""
    world = nothing.world

    def last(object: str, stubs: bool) -> tuple[Data, Data]:
        made = world.create(object, **({"customer": world.create("customer")["id"]} if object == "tax_id" else {}))
        world.faults.deleted_stubs = stubs
        found = new(world, lambda: world.delete(object, made["id"]))
        return made, next(each["data"]["object"] for each in found if each["type"].endswith(f"{object}.deleted"))

    for object in ("product", "coupon", "invoice", "customer", "tax_id", "invoiceitem"):
        made, full = last(object, False)
        assert full == made
        made, stub = last(object, True)
        assert stub == {"id": made["id"], "object": object, "deleted": True}
    made, ended = last("subscription", True)
    assert ended == {**made, **{name: ended[name] for name in (
        "status", "canceled_at", "ended_at", "cancellation_details")}}
    assert ended["status"] == "canceled"


@pytest.mark.parametrize("tells", [False, True])
def test_what_goes_with_a_test_clock(tells: bool) -> None:
    """Customers and subscriptions go; the reference does not say whether with events, so there are both ways."""
    world = sandbox.World(empty=True, clocks_tell=tells)
    clock = world.populate("test_helpers_test_clocks", 1)[0]["id"]
    owner = world.create("customer", test_clock=clock)["id"]
    made = world.create("subscription", customer=owner)["id"]
    world.create("card", customer=owner)
    found = new(world, lambda: world.delete("test_helpers.test_clock", clock))
    dump = world.dump()

    assert found[-1]["type"] == "test_helpers.test_clock.deleted"
    assert {"customer.deleted", "customer.subscription.deleted", "customer.source.deleted"} & {
        each["type"] for each in found} == ({"customer.deleted", "customer.subscription.deleted",
                                             "customer.source.deleted"} if tells else set())
    for table, id in (("customers", owner), ("subscriptions", made)):
        assert [each.deleted for each in dump[table] if each.object["id"] == id] == [True]


@pytest.mark.parametrize("object", ["product", "coupon", "plan"])
def test_an_id_may_come_back(nothing: Reader, object: str) -> None:
    """What has an id of one's own can be deleted and made anew; twice at once it cannot be there."""
    world = nothing.world
    made: dict[str, Data] = {"product": {"name": "Again"}, "coupon": {"percent_off": 5.0}, "plan": {"amount": 5}}
    fields = made[object]
    world.create(object, id="mine", **fields)
    world.delete(object, "mine")
    world.create(object, id="mine", **fields)

    assert [each.deleted for each in world.dump()[f"{object}s"] if each.object["id"] == "mine"] == [False]
    assert [each["type"] for each in nothing.read("/v1/events") if each["type"].startswith(f"{object}.")] == [
        f"{object}.created", f"{object}.deleted", f"{object}.created"]
    assert ids(nothing.read(f"/v1/{object}s")) == ["mine"]
    with pytest.raises(ValueError, match="already"):
        world.create(object, id="mine", **fields)


# --- thirty days (stripe_facts.md 10, estuary/connectors#2731 has the words)


def test_a_long_absence(small: Reader) -> None:
    """Of 45 days at once, renewals and all, the last thirty are told; an older cursor is refused."""
    world = small.world
    world.create("subscription", trial_days=5)
    cursor = small.read("/v1/events")[0]
    before = len(world.dump()["invoices"])
    world.advance(timedelta(days=45))
    found = small.read("/v1/events")
    status, body = small.ask("/v1/events", {"starting_after": cursor["id"]})
    renewed = [each for each in world.dump()["invoices"] if each.object["created"] > world.now - 45 * DAY]

    assert len(world.dump()["invoices"]) - before == len(renewed)
    assert {each.object["created"] >= world.now - 30 * DAY for each in renewed} == {True, False}
    assert all(world.now - 30 * DAY <= each["created"] <= world.now for each in found)
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "resource_missing", "starting_after")
    assert "is no longer available because it's aged out of our retention policy" in body["error"]["message"]
    assert small.ask(f"/v1/events/{cursor['id']}")[0] == 404


# --- life between requests


def test_something_happens_before_a_request_is_answered(nothing: Reader) -> None:
    """What a test wants to happen between two pages, by the number of the request."""
    world = nothing.world
    for _ in range(4):
        world.create("customer")
    page = nothing.get("/v1/customers", {"limit": 2})["data"]
    world.on_request = lambda number: world.delete("customer", page[-1]["id"]) if number == 2 else None

    assert nothing.ask("/v1/customers", {"limit": 2, "starting_after": page[-1]["id"]})[0] == 400


def test_life_goes_on_between_requests() -> None:
    """One thing before every so many-th GET, the same in the same world; many may ask at once."""

    def after(requests: int, every: int | None) -> dict[str, list[sandbox.Truth]]:
        with sandbox.serve(world=sandbox.World(scale=0.03), life_every=every) as box:
            asked = Request(box.url + "/v1/charges?limit=1", headers={"Authorization": f"Bearer {box.api_key}"})

            def ask(_: int) -> int:
                with urlopen(asked) as answer:
                    return int(answer.status)

            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(ask, range(requests))) == {200}
            return box.world.dump()

    still, moved = sandbox.World(scale=0.03), sandbox.World(scale=0.03)
    moved.live(20)

    assert after(60, None) == still.dump()
    assert after(60, 3) == moved.dump()


# --- which changes are told (stripe_events.json; stripe_facts.md 9)

# Tables whose rows change without an event that has them for its object, and what is told instead or not at all.
SILENT = {
    "accounts", "balance", "balance_available", "balance_pending", "balance_transactions",
    "checkout_session_line_items", "checkout_sessions", "credit_note_line_items", "customer_balance_transactions",
    "discounts", "invoice_items", "invoice_line_items", "invoice_payments", "payment_intents",
    "payout_balance_transactions", "reporting_report_types", "subscription_items", "transfer_reversals",
}
QUIET = {  # with `silent`, these too
    "file_links", "invoices", "payment_methods", "radar_value_list_items", "radar_value_lists", "setup_intents",
    "shipping_rates", "subscriptions", "tax_ids", "topups", "transfers", "webhook_endpoints", "quotes",
}
# The fields of those tables that do, where the others have their event.
WHOLE = {"accounts": {"external_accounts"}, "invoice_items": {"invoice"}, "payment_intents": {"amount"}}


def state(world: sandbox.World) -> dict[tuple[str, str | None], sandbox.Truth]:
    return {(table, each.object.get("id") or each.object.get("currency")): each
            for table, truths in world.dump().items() if table not in ("events", "balance_settings", "tax_settings")
            for each in truths}


def test_every_kind_of_change_is_told_as_stripe_tells_it() -> None:
    """Each happening by itself: what changed is in an event as it is now, but for the tables above."""
    world, rng = sandbox.World(scale=0.03), Random(2)
    known = {type for object in OBJECTS for types in event_types(object) for type in types} | event_payloads.TYPES
    before = state(world)
    for happening, _ in (*life.HAPPENINGS, (lambda books, rng: world.advance(5 * DAY), 0)):
        told = new(world, lambda: [happening(world.books, rng) for _ in range(5)])  # noqa: B023  called at once
        last = {(each["data"]["object"].get("id"), each["data"]["object"]["object"]): each for each in told}
        now = state(world)

        assert {each["type"] for each in told} <= known
        for (table, id), truth in now.items():
            old = before.get((table, id))
            if old == truth or (old and old.object == truth.object and old.deleted == truth.deleted):
                continue
            event = last.get((id, truth.object.get("object")))
            if event is None:
                assert table in SILENT, (happening, table, id)
                if old and not truth.deleted and table in WHOLE:
                    changed = {name for name in truth.object if truth.object[name] != old.object.get(name)}
                    assert changed <= WHOLE[table]
            elif not truth.deleted and table not in SILENT:  # a balance goes on changing after its event
                assert event["data"]["object"] == truth.object, (happening, event["type"])
        before = now


def test_silent_changes_are_silent() -> None:
    """They happen when they are asked for, and no event is about what changed."""
    world, rng = sandbox.World(scale=0.03), Random(5)
    world.populate("quotes", 1, status="draft")
    world.live(10)
    before, tables = state(world), set()
    told = new(world, lambda: world.live(120, rng=rng, silent="only"))
    about = {(each["data"]["object"].get("id"), each["data"]["object"]["object"]) for each in told}
    for (table, id), truth in state(world).items():
        old = before.get((table, id))
        if (old is None or old.object != truth.object or old.deleted != truth.deleted) and (
                id, truth.object.get("object")) not in about:
            tables.add(table)

    assert tables - SILENT <= QUIET
    assert len(tables & QUIET) > 8 and {"payment_intents", "invoice_items", "quotes"} <= tables


def test_silent_and_told_changes_together() -> None:
    """`silent=True` mixes them; without it life is as it was."""
    one, other, mixed = (sandbox.World(scale=0.03) for _ in range(3))

    assert one.live(30) == other.live(30, silent=False)
    said = mixed.live(60, silent=True)
    assert 5 < sum("without an event" in what for what in said) < 55


def test_silent_changes_are_listed_in_the_docs() -> None:
    """The page names every table that changes in silence."""
    page = (Path(__file__).parent.parent / "docs" / "sandbox.md").read_text(encoding="utf-8")
    listed = page.split("## Silent changes")[1].split("\n## ")[0]

    assert [] == [table for table in sorted(SILENT | QUIET) if f"`{table}`" not in listed]


@pytest.mark.parametrize("silent", [False, True])
def test_redemptions_count(nothing: Reader, silent: bool) -> None:
    """`times_redeemed` has its event, as was seen for promotion codes; or none, where that is asked for."""
    world = nothing.world
    coupon = world.create("coupon")["id"]
    world.faults.silent_counters = silent
    told = new(world, lambda: world.create("subscription", coupon=coupon))

    assert nothing.get(f"/v1/coupons/{coupon}")["times_redeemed"] == 1
    assert ("coupon.updated" in {each["type"] for each in told}) is not silent
