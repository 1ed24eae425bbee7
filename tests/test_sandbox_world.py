"""The sandbox's business: what a seed makes of it, its money and its time, what is deleted and what is told."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sandbox_answers import ask, error, ids, read

from stripe_source import sandbox


@pytest.fixture(scope="module")
def full() -> Iterator[sandbox.Sandbox]:
    """A whole business that no test changes."""
    with sandbox.serve() as box:
        yield box


@pytest.fixture
def box() -> Iterator[sandbox.Sandbox]:
    """A small business of one's own."""
    with sandbox.serve(world=sandbox.World(scale=0.05)) as box:
        yield box


@pytest.fixture
def empty() -> Iterator[sandbox.Sandbox]:
    """Accounts without objects."""
    with sandbox.serve(world=sandbox.World(empty=True)) as box:
        yield box


# --- the world


def test_the_same_seed_makes_the_same_world() -> None:
    """Whoever finds a bug can say how to make the world in which it shows."""
    one, other = sandbox.World(seed=3, scale=0.05), sandbox.World(seed=3, scale=0.05)
    one.live(50)
    other.live(50)

    assert one.dump() == other.dump()


def test_another_seed_makes_another_world() -> None:
    """Ids do not repeat from one world to the next."""
    one, other = sandbox.World(seed=3, scale=0.05), sandbox.World(seed=4, scale=0.05)

    assert not {each.object["id"] for each in one.dump()["charges"]} & {
        each.object["id"] for each in other.dump()["charges"]}


def test_a_world_has_the_rows_that_its_scale_says() -> None:
    """Scale 1 is about 14,000 of them."""
    assert 12_000 < sum(sandbox.World().counts().values()) < 17_000


def test_every_table_of_the_business_has_rows(full: sandbox.Sandbox) -> None:
    """No table can be loaded right by being empty."""
    counts = full.world.counts()

    assert [table for table, count in counts.items() if not count] == []
    assert len(counts) >= 37


@pytest.mark.parametrize("steps", [0, 200])
def test_money_adds_up(steps: int) -> None:
    """Ledger, balance, payouts, refunds and invoices agree to the cent, at the start and after life went on."""
    world = sandbox.World(scale=0.3)
    for _ in range(steps // 20):
        world.live(20)
        world.advance(timedelta(days=3))
    for account in world.accounts:
        dump = world.dump(account)
        rows = {table: [each.object for each in truths if not each.deleted] for table, truths in dump.items()}
        ledger: Counter[str] = Counter()
        for entry in rows["balance_transactions"]:
            ledger[entry["currency"]] += entry["net"]
            assert entry["net"] == entry["amount"] - entry["fee"]
            assert entry["fee"] == sum(each["amount"] for each in entry["fee_details"])
        funds: Counter[str] = Counter()
        for each in rows["balance_available"] + rows["balance_pending"]:
            funds[each["currency"]] += each["amount"]
        assert +funds == +ledger and -funds == -ledger
        refunded: Counter[str] = Counter()
        for refund in rows["refunds"]:
            refunded[refund["charge"]] += refund["amount"]
        for charge in rows["charges"]:
            assert charge["amount_refunded"] == refunded[charge["id"]]
            assert charge["refunded"] == (charge["amount_refunded"] == charge["amount"])
        lines: Counter[str] = Counter()
        for truth in dump["invoice_line_items"]:
            if not truth.deleted:
                lines[truth.parent_id or ""] += truth.object["amount"]
        for invoice in rows["invoices"]:
            off = sum(each["amount"] for each in invoice["total_discount_amounts"])
            tax = sum(each["amount"] for each in invoice["total_taxes"])
            assert invoice["subtotal"] == lines[invoice["id"]]
            assert invoice["total"] == invoice["subtotal"] - off + tax
        members: Counter[str] = Counter()
        for truth in dump["payout_balance_transactions"]:
            if truth.object["type"] != "payout":
                members[truth.parent_id or ""] += truth.object["net"]
        assert members == {each["id"]: each["amount"] for each in rows["payouts"] if each["automatic"]}


def test_many_objects_share_a_second(full: sandbox.Sandbox) -> None:
    """`created` has one-second resolution: imports make more than a page in one (peers.md 4.1, 2 and 14)."""
    per_second = Counter(each.object["created"] for each in full.world.dump()["customers"])

    assert per_second.most_common(2)[1][1] > 100


def test_time_moves_only_when_told(box: sandbox.Sandbox) -> None:
    """Money becomes available without any event on the way (stripe_facts.md 9); the balance has its own event."""
    world = box.world
    world.create("charge", amount=5000, currency="usd")
    newest = read(box, "/v1/balance_transactions")[0]
    world.advance(3 * 86400)
    later = ask(box, f"/v1/balance_transactions/{newest['id']}")[1]

    assert (newest["status"], later["status"]) == ("pending", "available")
    assert newest["id"] not in {each["data"]["object"].get("id") for each in read(box, "/v1/events")}
    assert world.now == sandbox.World(empty=True).now + 3 * 86400


def test_subscriptions_renew_as_time_goes_by(empty: sandbox.Sandbox) -> None:
    """A month brings an invoice, a payment and a moved period."""
    world = empty.world
    made = world.create("subscription")
    world.advance(timedelta(days=63))

    assert len(read(empty, "/v1/invoices", {"subscription": made["id"]})) == 3
    item = ask(empty, f"/v1/subscriptions/{made['id']}")[1]["items"]["data"][0]
    assert item["current_period_start"] <= world.now < item["current_period_end"]


# --- single objects and deletions (stripe_facts.md 8)


def test_deleted_objects(box: sandbox.Sandbox) -> None:
    """A customer leaves a stub, others 404; the dump remembers both."""
    world = box.world
    owner, product = world.create("customer"), world.create("product", name="X")
    world.delete("customer", owner["id"])
    world.delete("product", product["id"])
    gone = {each.object["id"]: each.object for truths in world.dump().values() for each in truths if each.deleted}

    assert ask(box, f"/v1/customers/{owner['id']}")[1] == {"id": owner["id"], "object": "customer", "deleted": True}
    assert error(ask(box, f"/v1/products/{product['id']}"))[:2] == (404, "resource_missing")
    assert gone[owner["id"]] == owner and gone[product["id"]] == product


def test_deleting_a_customer_takes_what_hangs_on_it(box: sandbox.Sandbox) -> None:
    """Subscriptions are canceled, sources and tax ids go, payment methods are detached; each has its event."""
    world = box.world
    owner = world.create("customer")["id"]
    subscription = world.create("subscription", customer=owner)["id"]
    world.create("card", customer=owner)
    world.create("tax_id", customer=owner)
    world.delete("customer", owner)
    told = [each["type"] for each in read(box, "/v1/events")[:9] if each["type"] != "customer.updated"]

    assert ask(box, f"/v1/subscriptions/{subscription}")[1]["status"] == "canceled"
    assert told[:5] == ["customer.deleted", "payment_method.detached", "customer.tax_id.deleted",
                        "customer.source.deleted", "customer.subscription.deleted"]
    assert read(box, "/v1/payment_methods", {"customer": owner}) == []


def test_payouts_list_what_they_swept(full: sandbox.Sandbox) -> None:
    """Automatic ones do; manual ones are refused (peers.md 73)."""
    payouts = read(full, "/v1/payouts")
    automatic = next(each for each in payouts if each["automatic"] and each["status"] == "paid")
    manual = next(each for each in payouts if not each["automatic"])
    entries = read(full, "/v1/balance_transactions", {"payout": automatic["id"]})

    assert sum(each["net"] for each in entries if each["type"] != "payout") == automatic["amount"]
    assert error(ask(full, "/v1/balance_transactions", {"payout": manual["id"]})) == (400, None, "payout")


# --- events (stripe_facts.md 10)


def test_events_of_the_last_thirty_days(box: sandbox.Sandbox) -> None:
    """Older ones are gone, and a cursor among them is refused."""
    world = box.world
    oldest = read(box, "/v1/events")[-1]
    world.advance(timedelta(days=30))

    assert all(each["created"] >= world.now - 30 * 86400 for each in read(box, "/v1/events"))
    status, body, _ = ask(box, "/v1/events", {"starting_after": oldest["id"]})
    assert status == 400 and "aged out of our retention policy" in body["error"]["message"]


def test_event_types_are_filtered(full: sandbox.Sandbox) -> None:
    """`type` takes a wildcard, `types` up to 20 names."""
    everything = read(full, "/v1/events")

    assert ids(read(full, "/v1/events", {"type": "invoice.*"})) == [
        each["id"] for each in everything if each["type"].startswith("invoice.")]
    assert ids(read(full, "/v1/events", {"types[]": ["charge.succeeded", "payout.paid"]})) == [
        each["id"] for each in everything if each["type"] in ("charge.succeeded", "payout.paid")]
    assert ask(full, "/v1/events", {"types[]": [f"a.{n}" for n in range(21)]})[0] == 400


def test_an_update_tells_what_was_before(box: sandbox.Sandbox) -> None:
    """`previous_attributes` holds old values of what changed, nested ones nested (stripe_events.json notes)."""
    made = box.world.create("customer", name="Ada", metadata={"a": "1", "b": "2"})
    changed = box.world.update("customer", made["id"], name="Ada L.", metadata={"a": "3", "b": None})
    event = read(box, "/v1/events")[0]

    assert event["type"] == "customer.updated"
    assert event["data"] == {"object": changed, "previous_attributes": {
        "name": "Ada", "metadata": {"a": "1", "b": "2"}}}
    assert changed["metadata"] == {"a": "3"}
    assert (event["api_version"], event["created"], event["livemode"]) == (
        "2026-10-28.endive", box.world.now, False)


def test_every_change_is_told_but_those_that_stripe_is_silent_about() -> None:
    """Whoever follows the events knows all that changed, except what stripe_facts.md 9 and 10 say has none."""
    silent = {"balance", "balance_transactions", "balance_available", "balance_pending", "payout_balance_transactions",
              "events", "invoice_payments", "customer_balance_transactions", "transfer_reversals", "subscription_items",
              "invoice_line_items", "credit_note_line_items", "checkout_session_line_items", "discounts",
              "balance_settings", "tax_settings", "reporting_report_types"}
    world = sandbox.World(scale=0.2)

    def state() -> dict[tuple[str, str], tuple[Any, bool]]:
        return {(table, each.object["id"]): (each.object, each.deleted)
                for table, truths in world.dump().items() if table not in silent for each in truths}

    before, known = state(), {each.object["id"] for each in world.dump()["events"]}
    for _ in range(15):
        world.live(20)
        world.advance(3600 * 12)
    told = {each.object["data"]["object"].get("id"): each.object for each in reversed(world.dump()["events"])
            if each.object["id"] not in known}
    for (table, id), (data, deleted) in state().items():
        if before.get((table, id)) == (data, deleted):
            continue
        if table == "checkout_sessions" and data["status"] == "open":
            continue  # opening one raises no event
        if table in ("invoice_items",) and not deleted and before.get((table, id)):
            continue  # an invoice took it: there is no `invoiceitem.updated`
        assert id in told, (table, id)
        if table not in ("plans", "prices"):  # twins that share their ids
            assert told[id]["data"]["object"] == data, (table, told[id]["type"])


# --- products that are not in use, objects of any type


def test_products_that_are_not_in_use(box: sandbox.Sandbox) -> None:
    """An empty list, or Stripe's refusal (stripe_facts.md 6 and 12)."""
    assert read(box, "/v1/issuing/cards") == []
    box.world.unpopulated = "refuse"
    status, body, _ = ask(box, "/v1/issuing/cards")

    assert status == 400 and "not set up to use Issuing" in body["error"]["message"]
    assert ask(box, "/v1/charges")[0] == 200


def test_any_table_can_be_populated(empty: sandbox.Sandbox) -> None:
    """From its schema map; its list shows the objects."""
    made = empty.world.populate("tax_rates", 3)

    assert ids(read(empty, "/v1/tax_rates")) == ids(made)[::-1]
    assert all(isinstance(each["percentage"], float) and each["metadata"] for each in made)


def test_v2_lists_page_by_url(empty: sandbox.Sandbox) -> None:
    """`next_page_url` instead of cursors (stripe_facts.md 5)."""
    made = [empty.world.create("v2.core.event_destination", name=str(number))["id"] for number in range(5)]
    _, first, _ = ask(empty, "/v2/core/event_destinations", {"limit": 3})
    _, second, _ = ask(empty, first["next_page_url"])

    assert ids(first["data"] + second["data"]) == made[::-1]
    assert (set(first), second["next_page_url"]) == ({"data", "next_page_url", "previous_page_url"}, None)


def test_fields_that_stripe_has_not_thought_of_yet(box: sandbox.Sandbox) -> None:
    """New fields and values can be played, for tests of drift."""
    made = box.world.create("charge", amount=900, currency="usd", brand_new={"deep": [1]})
    changed = box.world.update("charge", made["id"], status="levitating")

    assert made["brand_new"] == {"deep": [1]} and changed["status"] == "levitating"
    assert read(box, "/v1/events")[0]["data"]["object"] == changed
