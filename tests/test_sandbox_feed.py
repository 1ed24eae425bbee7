"""What a feed of changes meets: the sandbox's events and lists as stripe_facts.md 8 to 10 and 18 have Stripe's."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from stripe_source import sandbox
from stripe_source.sandbox.business import billing
from stripe_source.sandbox.endpoints.routes import Router
from stripe_source.sandbox.scenario import event_payloads, life
from stripe_source.sandbox.state.catalog import EMBEDDED, EXPAND_ONLY, OBJECTS, event_types

DAY = 86400
Data = dict[str, Any]


class Reader:
    """Asks a world without a port."""

    def __init__(self, world: sandbox.World) -> None:
        self.world = world
        self.router = Router(world)

    def ask(self, path: str, params: Data | None = None, **headers: str) -> tuple[int, Data]:
        """Status and body of one answer."""
        key = {"Authorization": f"Bearer {self.world.keys.secret}"}
        answer = self.router.answer("GET", path, urlencode(params or {}, doseq=True), {**key, **headers})
        return answer.status, json.loads(answer.body)

    def get(self, path: str, params: Data | None = None, **headers: str) -> Data:
        """One answer that must be there."""
        status, body = self.ask(path, params, **headers)
        assert status == 200, body
        return body

    def read(self, path: str, params: Data | None = None, limit: int = 100) -> list[Data]:
        """All objects of a list, page after page."""
        found: list[Data] = []
        params = {"limit": limit, **(params or {})}
        while True:
            page = self.get(path, params)
            found += page["data"]
            if not page["has_more"]:
                return found
            params["starting_after"] = found[-1]["id"]


def ids(objects: list[Data]) -> list[str]:
    return [each["id"] for each in objects]


def new(world: sandbox.World, act: Callable[[], Any]) -> list[Data]:
    """Events of what is done, oldest first."""
    before = {record.id for record in world.books.all("event")}
    act()
    return [world.books.to_dict(record) for record in world.books.all("event") if record.id not in before]


@pytest.fixture
def nothing() -> Reader:
    """Accounts without objects."""
    return Reader(sandbox.World(empty=True))


@pytest.fixture
def small() -> Reader:
    """A small business of one's own."""
    return Reader(sandbox.World(scale=0.05))


# --- late events (stripe_facts.md 10: "the events list is not immediately consistent")


def test_events_appear_late_and_out_of_order(nothing: Reader) -> None:
    """Each after a time of its own, in its old place; a single event can be read at once."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(events=60)
    made: list[str] = []
    seen: set[str] = set()
    overtaken = 0
    for _ in range(40):
        world.create("customer")
        made.append(world.dump()["events"][0].object["id"])
        world.advance(1)
        now = ids(nothing.read("/v1/events"))
        come = [made.index(id) for id in now if id not in seen]
        overtaken += any(made.index(id) > min(come) for id in seen) if come else 0
        seen |= set(now)

        assert now == [id for id in reversed(made) if id in now]
    assert 0 < len(seen) < 40
    assert overtaken > 0
    assert nothing.get(f"/v1/events/{next(id for id in made if id not in seen)}")["object"] == "event"
    world.advance(60)
    assert ids(nothing.read("/v1/events", limit=7)) == made[::-1]


def test_the_same_delays_in_the_same_world() -> None:
    """Whoever finds a bug can say how to make it come again."""

    def seen() -> list[list[str]]:
        reader = Reader(sandbox.World(empty=True, seed=4))
        reader.world.faults.lag = sandbox.Lag(events=20, lists=20)
        found = []
        for _ in range(10):
            reader.world.create("customer")
            reader.world.advance(2)
            found.append(ids(reader.read("/v1/events")) + ids(reader.read("/v1/customers")))
        return found

    assert seen() == seen()


def test_faults_change_what_is_seen_and_not_what_happens() -> None:
    """A world that lags and repeats itself holds the same objects as one that does not."""
    one, other = sandbox.World(scale=0.03), sandbox.World(scale=0.03)
    other.faults.lag, other.faults.duplicates = sandbox.Lag(events=60, lists=60), 0.5
    for world in (one, other):
        world.live(30)
        world.advance(DAY)
        world.live(30)
    dumps = [{table: truths for table, truths in world.dump().items() if table != "events"} for world in (one, other)]

    assert dumps[0] == dumps[1]


# --- lists that are behind (peers.md 4; stripe_facts.md 18: retrieving is read-your-writes)


def test_lists_are_behind_and_single_objects_are_not(nothing: Reader) -> None:
    """New ones come late, changed ones are as they were, deleted ones are still there; it never goes backwards."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=30)
    late = 0
    for _ in range(6):
        id = world.create("customer", name="1")["id"]
        states: list[str | None] = [None]
        for name in ("2", "3", None):
            for _ in range(20):
                shown = next((each["name"] for each in nothing.read("/v1/customers") if each["id"] == id), None)
                if shown != states[-1]:
                    states.append(shown)
                world.advance(1)
            if name is not None:
                assert world.update("customer", id, name=name) == nothing.get(f"/v1/customers/{id}")
            else:
                world.delete("customer", id)
                assert nothing.get(f"/v1/customers/{id}") == {"id": id, "object": "customer", "deleted": True}
                late += id in ids(nothing.read("/v1/customers"))
        world.advance(30)
        shown = [each for each in nothing.read("/v1/customers") if each["id"] == id]

        assert shown == []
        assert states[:1] == [None] and states[1:] == sorted(filter(None, states))  # no version comes back
        assert all(each.deleted for each in world.dump()["customers"] if each.object["id"] == id)
    assert late > 0


def test_an_embedded_list_is_as_old_as_its_parent(nothing: Reader) -> None:
    """Items of a subscription by its list, by their own list, and as lines expand: of one moment."""
    world = nothing.world
    made = world.create("subscription")
    path, own = f"/v1/subscriptions/{made['id']}", {"subscription": made["id"]}
    charge = world.create("charge", amount=5000)
    world.faults.lag = sandbox.Lag(lists=40)
    counts = set()
    for number in range(12):
        world.create("subscription_item", subscription=made["id"], price=world.create("price", recurring={
            "interval": "month"})["id"])
        world.create("refund", charge=charge["id"], amount=10)
        exact = nothing.get(path)["items"]
        assert exact["total_count"] == number + 2
        for _ in range(12):
            shown = next(each for each in nothing.read("/v1/subscriptions") if each["id"] == made["id"])["items"]
            alone = nothing.read("/v1/subscription_items", own)
            listed = nothing.get("/v1/charges", {"expand[]": "data.refunds"})["data"][0]["refunds"]
            known = nothing.read("/v1/refunds")

            assert ids(shown["data"]) == ids(alone)[:10] and shown["total_count"] == len(alone)
            assert ids(listed["data"]) == ids(known)[:10]
            counts.add(shown["total_count"] - exact["total_count"])
            world.advance(1)
    assert min(counts) < max(counts) <= 0
    world.advance(40)
    assert nothing.read("/v1/subscriptions") == [nothing.get(path)]


def test_filters_go_by_what_is_shown(nothing: Reader) -> None:
    """A canceled subscription stays among the active ones for a while, and looks it."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=3600)
    made = [world.create("subscription")["id"] for _ in range(8)]
    world.advance(3600)
    for id in made:
        world.delete("subscription", id)
    world.advance(600)
    active = nothing.read("/v1/subscriptions")
    ended = nothing.read("/v1/subscriptions", {"status": "canceled"})

    assert {each["status"] for each in active} == {"active"} and {each["status"] for each in ended} == {"canceled"}
    assert sorted(ids(active) + ids(ended)) == sorted(made)
    assert {nothing.get(f"/v1/subscriptions/{id}")["status"] for id in made} == {"canceled"}


def test_a_listed_one_may_be_no_cursor(nothing: Reader) -> None:
    """What is deleted and still listed cannot be paged from (stripe_facts.md 4)."""
    world = nothing.world
    made = [world.create("customer")["id"] for _ in range(3)]
    world.faults.lag = sandbox.Lag(lists=10**6)
    world.delete("customer", made[1])

    assert ids(nothing.read("/v1/customers")) == made[::-1]
    assert nothing.ask("/v1/customers", {"limit": 1, "starting_after": made[1]})[0] == 400


def test_all_is_well_again_when_faults_are_cleared(nothing: Reader) -> None:
    """Events and lists are up to date at once."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(events=10**6, lists=10**6)
    made = [world.create("customer")["id"] for _ in range(5)]

    assert nothing.read("/v1/customers") == nothing.read("/v1/events") == []
    world.faults.clear()
    assert ids(nothing.read("/v1/customers")) == made[::-1]
    assert len(nothing.read("/v1/events")) == 5
    with pytest.raises(ValueError, match="`-1` for `lists`"):
        sandbox.Lag(lists=-1)


def test_v2_lists_are_behind_too(nothing: Reader) -> None:
    """As the others."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=10**6)
    world.populate("v2_core_event_destinations", 1)

    assert nothing.get("/v2/core/event_destinations")["data"] == []
    world.advance(10**6)
    assert len(nothing.get("/v2/core/event_destinations")["data"]) == 1


# --- ties and repetitions (stripe_facts.md 10: "not ordered, may repeat")


def test_changes_of_one_second_share_it(nothing: Reader) -> None:
    """Several events of one object with one `created`; the list has the last of them first, unless told to shuffle."""
    world = nothing.world
    id = world.create("customer", name="0")["id"]
    for number in range(1, 30):
        world.update("customer", id, name=str(number))
    world.advance(1)
    world.update("customer", id, name="30")
    events = nothing.read("/v1/events")

    assert [each["data"]["object"]["name"] for each in events] == [str(number) for number in range(30, -1, -1)]
    assert len({each["created"] for each in events}) == 2
    world.faults.shuffle_ties = True
    shuffled = nothing.read("/v1/events", limit=7)
    assert shuffled[0]["data"]["object"]["name"] == "30"
    assert ids(shuffled) != ids(events) and sorted(ids(shuffled)) == sorted(ids(events))
    assert ids(nothing.read("/v1/events", limit=3)) == ids(shuffled)  # in an order that stays
    since = {"created[gte]": world.now - 1, "created[lt]": world.now}
    assert ids(nothing.read("/v1/events", since, limit=4)) == ids(shuffled)[1:]


def test_an_event_may_come_twice(nothing: Reader) -> None:
    """Two Event objects for one change: other ids, the same content."""
    world = nothing.world
    world.faults.duplicates = 0.5
    for _ in range(40):
        world.create("customer")
    events = nothing.read("/v1/events")
    contents = [json.dumps({**each, "id": None}) for each in events]

    assert len(set(ids(events))) == len(events)
    assert len(set(contents)) == 40 < len(contents) < 80


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
    "payout_balance_transactions", "subscription_items", "transfer_reversals",
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


def test_lists_of_a_world_that_lags_come_to_their_end() -> None:
    """They show each object once, and none that is not there."""
    reader = Reader(sandbox.World(scale=0.3))
    reader.world.faults.lag = sandbox.Lag(events=60, lists=60)
    reader.world.live(150)
    for path, table in (("/v1/customers", "customers"), ("/v1/charges", "charges"), ("/v1/events", "events")):
        ids = [each["id"] for each in reader.read(path)]

        assert len(ids) == len(set(ids)) > 100
        assert set(ids) <= {each.object["id"] for each in reader.world.dump()[table]}
