"""What the sandbox's events carry: objects in the account's version, cut, and with what they were before."""
from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sandbox_answers import Data, Reader, new

from stripe_source import sandbox
from stripe_source.sandbox.business import billing
from stripe_source.sandbox.scenario import event_payloads
from stripe_source.sandbox.state.catalog import EMBEDDED, EXPAND_ONLY

DAY = 86400


@pytest.fixture
def nothing() -> Reader:
    """Accounts without objects."""
    return Reader(sandbox.World(empty=True))


@pytest.fixture
def small() -> Reader:
    """A small business of one's own."""
    return Reader(sandbox.World(scale=0.05))


# --- versions (stripe_version_diff.json; stripe_facts.md 10 and 14)


def subscription(world: sandbox.World) -> Data:
    coupon = world.create("coupon", percent_off=10.0, duration="forever")["id"]
    return world.create("subscription", coupon=coupon)


def of(found: list[Data], type: str) -> Data:
    """The object of the first event of that type."""
    return next(each["data"]["object"] for each in found if each["type"] == type)


@pytest.mark.parametrize(("version", "older"), [
    ("2024-06-20", {"basil", "clover", "dahlia"}), ("2025-02-24.acacia", {"basil", "clover", "dahlia"}),
    ("2025-08-27.basil", {"clover", "dahlia"}), ("2026-02-25.clover", {"dahlia"}), ("2026-03-25.dahlia", set()),
    ("2026-10-28.endive", set()),
])
def test_events_are_in_the_accounts_version(version: str, older: set[str]) -> None:
    """Whatever version is asked for; objects and lists are in the release's."""
    world = sandbox.World(empty=True, event_version=version)
    found = new(world, lambda: subscription(world))
    sub, invoice, charge = (of(found, type) for type in (
        "customer.subscription.created", "invoice.paid", "charge.succeeded"))
    item, line = sub["items"]["data"][0], invoice["lines"]["data"][0]
    promotion = of(new(world, lambda: world.create("promotion_code")), "promotion_code.created")
    owner = world.create("customer")["id"]
    session = of(new(world, lambda: world.emit("checkout.session.completed", world.create(
        "checkout.session", customer=owner)["id"])), "checkout.session.completed")

    assert {each["api_version"] for each in found} == {version}
    assert ("current_period_end" in sub) is ("current_period_end" not in item) is ("basil" in older)
    assert ("discount" in sub) is ("basil" in older)
    for name in ("paid", "subscription", "payment_intent", "charge", "total_tax_amounts", "discount"):
        assert (name in invoice) is ("basil" in older)
    for name in ("parent", "total_taxes"):
        assert (name in invoice) is ("basil" not in older)
    assert ("price" in line) is ("pricing" not in line) is ("basil" in older)
    assert ("invoice" in charge) is ("basil" in older)
    assert ("coupon" in promotion) is ("promotion" not in promotion) is ("clover" in older)
    assert session["ui_mode"] == ("hosted" if "dahlia" in older else "hosted_page")
    if "basil" in older:
        assert (invoice["paid"], invoice["subscription"], invoice["charge"]) == (True, sub["id"], charge["id"])
        assert line["price"]["id"] == item["price"]["id"] and charge["invoice"] == invoice["id"]
        assert sub["discount"]["coupon"]["percent_off"] == 10.0
    listed = Reader(world).get("/v1/subscriptions", None, **{"Stripe-Version": version})["data"][0]
    assert "current_period_end" in listed["items"]["data"][0] and "current_period_end" not in listed


def test_the_accounts_version_may_be_changed_in_mid_life(nothing: Reader) -> None:
    """Events that are there stay as they are; later ones are in the new version."""
    world = nothing.world
    world.event_version = "2025-02-24.acacia"
    subscription(world)
    world.event_version = "2026-10-28.endive"
    subscription(world)
    found = [each for each in nothing.read("/v1/events") if each["type"] == "customer.subscription.created"]

    assert [(each["api_version"], "current_period_end" in each["data"]["object"]) for each in found] == [
        ("2026-10-28.endive", False), ("2025-02-24.acacia", True)]


def test_every_object_can_be_told_in_an_older_version() -> None:
    """Odd values of made-up objects included."""
    world = sandbox.World(empty=True, event_version="2024-06-20")
    world.populate_all(2)
    world.live(40)

    found = [each.object for each in world.dump()["events"] if each.object["type"] != "customer.updated"]
    assert len(found) > 200 and {each["api_version"] for each in found} == {"2024-06-20"}


# --- payloads (stripe_events.json: partial_payload)


def test_what_is_announced_as_time_goes_by(small: Reader) -> None:
    """Upcoming invoices a week ahead, ends of trials, due dates, money that becomes available."""
    world = small.world
    owner = world.create("customer")["id"]
    world.create("subscription", customer=owner, trial_days=14)
    world.create("charge", customer=owner)
    found = new(world, lambda: world.advance(timedelta(days=15)))
    upcoming = [each["data"]["object"] for each in found if each["type"] == "invoice.upcoming"]

    assert {"invoice.upcoming", "customer.subscription.trial_will_end", "balance.available"} <= {
        each["type"] for each in found}
    assert upcoming and all(each["id"].startswith("upcoming_in_") for each in upcoming)
    assert small.ask(f"/v1/invoices/{upcoming[0]['id']}")[0] == 404
    assert not {each["id"] for each in upcoming} & {each.object["id"] for each in world.dump()["invoices"]}
    mine = next(each for each in upcoming if each["customer"] == owner)
    assert mine["lines"]["data"][0]["invoice"] == mine["id"] and mine["parent"]["subscription_details"]
    assert "id" not in of(found, "balance.available")


def test_renewals_come_a_week_after_they_are_announced(nothing: Reader) -> None:
    """And cost what was said."""
    world = nothing.world
    world.create("subscription")
    found = new(world, lambda: world.advance(timedelta(days=32)))
    upcoming = next(each for each in found if each["type"] == "invoice.upcoming")
    renewed = [each for each in found if each["type"] == "invoice.created"][-1]

    assert renewed["created"] - upcoming["created"] == 7 * DAY
    assert renewed["data"]["object"]["total"] == upcoming["data"]["object"]["total"]
    assert upcoming["request"] == {"id": None, "idempotency_key": None}


def test_invoices_fall_due(nothing: Reader) -> None:
    """`invoice.will_be_due` three days before, `invoice.overdue` a day after; the invoice is as it was."""
    world = nothing.world
    id = world.create("invoice")["id"]
    world.create("invoiceitem", invoice=id)
    billing.finalize(world.books, world.books.get("invoice", id), net=14)
    due = nothing.get(f"/v1/invoices/{id}")
    found = new(world, lambda: world.advance(timedelta(days=20)))

    assert [(each["type"], each["created"], each["data"]["object"]) for each in found] == [
        ("invoice.will_be_due", due["due_date"] - 3 * DAY, due), ("invoice.overdue", due["due_date"] + DAY, due)]


@pytest.mark.parametrize("type", sorted(event_payloads.TYPES))
def test_any_event_can_be_told(type: str) -> None:
    """With a payload of Stripe's kind, without changing anything; most of these can be read nowhere."""
    world = sandbox.World(empty=True)
    world.populate("financial_connections_accounts", 1)
    world.create("subscription_schedule")
    world.create("card")
    before = {table: truths for table, truths in world.dump().items() if table != "events"}
    told = world.emit(type)

    assert told == Reader(world).get("/v1/events")["data"][0]
    assert told["type"] == type and told["data"]["object"]["object"]
    assert {table: truths for table, truths in world.dump().items() if table != "events"} == before


def test_events_without_an_object_of_their_own(nothing: Reader) -> None:
    """No id, or one that leads nowhere."""
    world = nothing.world
    world.create("subscription")
    payloads = {type: world.emit(type)["data"]["object"] for type in (
        "account.application.deauthorized", "balance.available", "entitlements.active_entitlement_summary.updated",
        "invoice.upcoming", "issuing_authorization.request", "cash_balance.funds_available")}

    assert [type for type, payload in payloads.items() if "id" not in payload] == [
        "balance.available", "entitlements.active_entitlement_summary.updated", "cash_balance.funds_available"]
    assert payloads["entitlements.active_entitlement_summary.updated"]["customer"].startswith("cus_")
    assert nothing.ask(f"/v1/issuing/authorizations/{payloads['issuing_authorization.request']['id']}")[0] == 404


def test_an_event_about_an_id_or_about_anything(nothing: Reader) -> None:
    """For tests: what is there, what was there, what never was, and nothing at all."""
    world = nothing.world
    card = world.create("card")
    gone = world.create("product", name="Gone")
    world.delete("product", gone["id"])

    assert world.emit("customer.source.expiring", card["id"])["data"]["object"] == card
    assert world.emit("product.deleted", gone["id"])["data"]["object"] == gone
    assert world.emit("new.kind", {"object": "new", "x": 1}, previous={"x": 0})["data"] == {
        "object": {"object": "new", "x": 1}}
    assert world.emit("new.updated", {"object": "new"}, previous={"x": 0})["data"]["previous_attributes"] == {"x": 0}
    assert world.emit("customer.updated", account=world.connected[0], about={"object": "x"})["account"] == (
        world.connected[0])
    with pytest.raises(ValueError, match=r"nothing that `quote\.created` could be about"):
        world.emit("quote.created")
    with pytest.raises(KeyError, match="no object `cus_none`"):
        world.emit("customer.updated", "cus_none")


def walk(node: Any) -> Iterator[Data]:
    """Every object inside a value."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(each)


def test_payloads_are_cut_and_have_nothing_expanded() -> None:
    """Ten members of a list and `has_more`; no field that comes with `expand[]` only."""
    world = sandbox.World(scale=0.05)
    world.populate_all(2)
    found = [each.object["data"]["object"] for each in world.dump()["events"]]
    lists = [node for each in found for node in walk(each) if node.get("object") == "list" and "total_count" in node]
    hidden = {(node["object"], name) for each in found for node in walk(each) for name in (
        *EXPAND_ONLY.get(str(node.get("object")), ()),
        *(field for field, (_, _, expand) in EMBEDDED.get(str(node.get("object")), {}).items() if expand))
        if name in node}

    assert hidden == set()
    assert {len(each["data"]) for each in lists} <= set(range(11))
    assert {each["has_more"] for each in lists if each["total_count"] > 10} == {True}
    assert {each["has_more"] for each in lists if each["total_count"] <= 10} == {False}


def test_one_change_may_have_two_types(nothing: Reader) -> None:
    """`refund.updated` and its older twin; refunds of fees and reversals are told about what they are of."""
    world = nothing.world
    refund = world.create("refund")
    twins = new(world, lambda: world.update("refund", refund["id"], metadata={"a": "b"}))
    fee = world.populate("application_fees", 1, amount=100, amount_refunded=0, refunded=False)[0]["id"]
    back: list[Data] = []
    whole = new(world, lambda: back.append(world.create("fee_refund", fee=fee, amount=100)))
    part = new(world, lambda: world.update("fee_refund", back[0]["id"], metadata={"a": "b"}))
    transfer = world.create("transfer")["id"]
    taken = new(world, lambda: world.create("transfer_reversal", transfer=transfer))
    made = new(world, lambda: world.create("refund"))

    assert [each["type"] for each in twins] == ["refund.updated", "charge.refund.updated"]
    assert twins[0]["data"]["object"] == twins[1]["data"]["object"]
    assert [(each["type"], each["data"]["object"]["id"]) for each in whole] == [("application_fee.refunded", fee)]
    assert whole[0]["data"]["object"]["refunds"]["total_count"] == 1 and whole[0]["data"]["object"]["refunded"]
    assert [(each["type"], each["data"]["object"]["object"]) for each in part] == [
        ("application_fee.refund.updated", "fee_refund")]
    assert [(each["type"], each["data"]["object"]["id"]) for each in taken] == [("transfer.reversed", transfer)]
    assert of(made, "charge.refunded")["object"] == "charge"


def test_a_changed_discount(nothing: Reader) -> None:
    """Has an event of its own; the customer that embeds it shows it."""
    world = nothing.world
    made = world.populate("discounts", 1)[0]
    told = new(world, lambda: world.update("discount", made["id"], end=world.now + DAY))

    assert [(each["type"], each["data"]["previous_attributes"]) for each in told] == [
        ("customer.discount.updated", {"end": made["end"]})]
    assert nothing.get(f"/v1/customers/{made['customer']}")["discount"] == told[0]["data"]["object"]


def test_a_trial_that_ends_at_once_is_told_at_once(nothing: Reader) -> None:
    """Three days before, or now where it is shorter."""
    world = nothing.world
    world.create("subscription", trial_days=2)
    told = new(world, lambda: world.advance(1))

    assert [each["type"] for each in told] == ["customer.subscription.trial_will_end"]
