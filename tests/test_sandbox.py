"""The sandbox behaves as the references say that Stripe does; each story names its source."""
from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
import stripe

from stripe_source import sandbox

Answer = tuple[int, Any, dict[str, str]]


def ask(
    box: sandbox.Sandbox, path: str, params: dict[str, Any] | None = None, *, key: str | None = None,
    headers: dict[str, str] | None = None, form: dict[str, Any] | None = None, method: str | None = None,
) -> Answer:
    """Status, body and headers of one answer."""
    query = "?" + urlencode(params, doseq=True) if params else ""
    data = urlencode(form).encode() if form is not None else None
    request = Request(box.url + path + query, method=method, data=data, headers={
        "Authorization": f"Bearer {key or box.api_key}", **(headers or {})})
    try:
        with urlopen(request) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def read(box: sandbox.Sandbox, path: str, params: dict[str, Any] | None = None, **rest: Any) -> list[dict[str, Any]]:
    """All objects of a list, page after page."""
    found: list[dict[str, Any]] = []
    params = {"limit": 100, **(params or {})}
    while True:
        status, page, _ = ask(box, path, params, **rest)
        assert status == 200, page
        found += page["data"]
        if not page["has_more"]:
            return found
        params["starting_after"] = found[-1]["id"]


def error(answer: Answer) -> tuple[int, str | None, str | None]:
    """Status, code and parameter of a refusal."""
    status, body, _ = answer
    return status, body["error"].get("code"), body["error"].get("param")


def ids(objects: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in objects]


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


# --- lists (stripe_facts.md 4)


def test_lists_are_newest_first_and_ten_long(full: sandbox.Sandbox) -> None:
    """Order is by creation, newest first; `limit` is 10 unless told."""
    status, page, _ = ask(full, "/v1/charges")
    times = [each["created"] for each in page["data"]]

    assert (status, len(times), page["has_more"], page["url"], page["object"]) == (200, 10, True, "/v1/charges", "list")
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(("table", "path", "params"), [
    ("charges", "/v1/charges", {}), ("customers", "/v1/customers", {}), ("invoices", "/v1/invoices", {}),
    ("events", "/v1/events", {}), ("subscriptions", "/v1/subscriptions", {"status": "all"}),
    ("balance_transactions", "/v1/balance_transactions", {}), ("invoice_items", "/v1/invoiceitems", {}),
])
def test_paging_meets_every_object_once(
    full: sandbox.Sandbox, table: str, path: str, params: dict[str, str]
) -> None:
    """A forward walk equals the dump, object by object, in order."""
    expected = [each.object for each in full.world.dump()[table] if not each.deleted]

    assert read(full, path, params) == expected


def test_paging_backwards_meets_the_same(full: sandbox.Sandbox) -> None:
    """`ending_before` goes towards newer objects, each page still newest first."""
    everything = ids(read(full, "/v1/refunds"))
    found: list[str] = []
    cursor, more = everything[-1], True
    while more:
        _, page, _ = ask(full, "/v1/refunds", {"limit": 7, "ending_before": cursor})
        found = ids(page["data"]) + found
        cursor, more = found[0], page["has_more"]

    assert found == everything[:-1]


@pytest.mark.parametrize("bounds", [
    {"gte": 0, "lt": 1}, {"gt": 0, "lte": 1}, {"gte": 0, "lte": 0}, {"gt": 1}, {"lt": 0}, {},
])
def test_created_bounds_are_exact(full: sandbox.Sandbox, bounds: dict[str, int]) -> None:
    """gt, gte, lt, lte, and a plain second."""
    everything = read(full, "/v1/customers")
    seconds = sorted({each["created"] for each in everything})
    middle = [seconds[len(seconds) // 3], seconds[len(seconds) // 2]]
    if not bounds:
        expected = [each for each in everything if each["created"] == middle[0]]
        assert read(full, "/v1/customers", {"created": middle[0]}) == expected
        return
    tests = {"gte": int.__ge__, "gt": int.__gt__, "lte": int.__le__, "lt": int.__lt__}
    expected = [each for each in everything
                if all(tests[name](each["created"], middle[which]) for name, which in bounds.items())]
    params = {f"created[{name}]": middle[which] for name, which in bounds.items()}

    assert ids(read(full, "/v1/customers", params)) == ids(expected)


@pytest.mark.parametrize(("params", "expected"), [
    ({"limit": 0}, (400, "parameter_invalid_integer", "limit")),
    ({"limit": 101}, (400, "parameter_invalid_integer", "limit")),
    ({"limit": "many"}, (400, "parameter_invalid_integer", "limit")),
    ({"colour": "red"}, (400, "parameter_unknown", "colour")),
    ({"created[since]": 1}, (400, "parameter_unknown", "created[since]")),
    ({"created[gte]": "today"}, (400, "parameter_invalid_integer", "created[gte]")),
    ({"starting_after": "ch_gone"}, (400, "resource_missing", "starting_after")),
    ({"starting_after": "ch_a", "ending_before": "ch_b"}, (400, None, "ending_before")),
    ({"expand[]": "data.colour"}, (400, None, "expand")),
    ({"expand[]": "customer"}, (400, None, "expand")),
    ({"expand[]": "data.payment_intent.customer.default_source.x"}, (400, None, "expand")),
])
def test_bad_parameters_are_refused(full: sandbox.Sandbox, params: dict[str, Any], expected: Any) -> None:
    """Unknown names, bounds and cursors are 400 (stripe_facts.md 4 and 12)."""
    assert error(ask(full, "/v1/charges", params)) == expected


def test_a_deleted_cursor_is_refused(box: sandbox.Sandbox) -> None:
    """`resource_missing` when the object was deleted between two pages; seen for customers (stripe_facts.md 4)."""
    cursor = read(box, "/v1/customers")[5]["id"]
    box.world.delete("customer", cursor)

    assert error(ask(box, "/v1/customers", {"starting_after": cursor})) == (400, "resource_missing", "starting_after")


def test_a_subscription_canceled_between_pages_breaks_the_walk(box: sandbox.Sandbox) -> None:
    """Seen without `status=all` only (stripe_facts.md 4)."""
    cursor = next(each for each in read(box, "/v1/subscriptions"))["id"]
    box.world.delete("subscription", cursor)

    assert error(ask(box, "/v1/subscriptions", {"starting_after": cursor}))[1] == "resource_missing"
    assert ask(box, "/v1/subscriptions", {"starting_after": cursor, "status": "all"})[0] == 200


def test_what_lists_leave_out(full: sandbox.Sandbox) -> None:
    """Canceled subscriptions, inactive and inline prices, custom payment methods, customers' tax ids, the own account.

    stripe_facts.md 6; peers.md 57, 58, 60, 66, 85b.
    """
    dump = {table: [each for each in truths if not each.deleted] for table, truths in full.world.dump().items()}
    subscriptions, prices = read(full, "/v1/subscriptions"), read(full, "/v1/prices")
    inactive = read(full, "/v1/prices", {"active": "false"})
    methods = read(full, "/v1/payment_methods")

    assert "canceled" not in {each["status"] for each in subscriptions}
    assert len(read(full, "/v1/subscriptions", {"status": "all"})) == len(dump["subscriptions"]) > len(subscriptions)
    assert {each["active"] for each in prices} == {True} and {each["active"] for each in inactive} == {False}
    assert len(prices) + len(inactive) == sum(each.listed for each in dump["prices"]) < len(dump["prices"])
    assert "custom" not in {each["type"] for each in methods}
    assert {each["type"] for each in read(full, "/v1/payment_methods", {"type": "custom"})} == {"custom"}
    assert len(methods) + 1 == len(dump["payment_methods"])
    assert {each["owner"]["type"] for each in read(full, "/v1/tax_ids")} == {"self"}
    assert full.world.books.account not in ids(read(full, "/v1/accounts"))
    assert ask(full, "/v1/account")[1]["id"] == full.world.books.account


def test_the_bare_price_list_is_an_option() -> None:
    """The reference and an experiment disagree (peers.md 58)."""
    with sandbox.serve(world=sandbox.World(scale=0.05, prices_bare="all")) as box:
        assert {each["active"] for each in read(box, "/v1/prices")} == {True, False}


@pytest.mark.parametrize(("table", "field", "parent", "path"), [
    ("invoice_line_items", "lines", "invoices", "/v1/invoices/{}/lines"),
    ("credit_note_line_items", "lines", "credit_notes", "/v1/credit_notes/{}/lines"),
    ("transfer_reversals", "reversals", "transfers", "/v1/transfers/{}/reversals"),
    ("subscription_items", "items", "subscriptions", "/v1/subscription_items"),
])
def test_embedded_lists_are_cut_at_ten(
    full: sandbox.Sandbox, table: str, field: str, parent: str, path: str
) -> None:
    """`has_more` says so, and the list of the parent holds the rest (stripe_facts.md 4 and 7)."""
    dump = full.world.dump()
    longest = Counter(each.parent_id for each in dump[table] if not each.deleted).most_common(1)[0]
    owner = next(each.object for each in dump[parent] if each.object["id"] == longest[0])
    params = {"subscription": longest[0]} if "{}" not in path else {}
    children = read(full, path.format(longest[0]), params)
    truth = [each for each in dump[table] if each.parent_id == longest[0] and not each.deleted]

    assert longest[1] > 10 and len(owner[field]["data"]) == 10 and owner[field]["has_more"]
    assert owner[field]["data"] == children[:10]
    assert children == [each.object for each in truth]
    assert [each.position for each in truth] == list(range(longest[1]))


def test_customers_keep_cards_and_bank_accounts_in_one_list(full: sandbox.Sandbox) -> None:
    """`sources` is absent unless expanded and mixes kinds (peers.md 68)."""
    owner = next(each.object for each in full.world.dump()["customers"] if each.object["name"] == "Eleven Cards")
    expanded = ask(full, f"/v1/customers/{owner['id']}", {"expand[]": "sources"})[1]

    assert "sources" not in owner and expanded["sources"]["has_more"]
    assert Counter(each["object"] for each in read(full, f"/v1/customers/{owner['id']}/sources")) == {
        "card": 11, "bank_account": 1}


# --- expand (stripe_facts.md 4)


def test_expanding(full: sandbox.Sandbox) -> None:
    """Ids become objects, four levels deep; fields that are absent otherwise come."""
    page = ask(full, "/v1/charges", {"limit": 50, "expand[]": ["data.payment_intent.customer.default_source",
                                                               "data.balance_transaction", "data.refunds"]})[1]
    charge = next(each for each in page["data"] if each["payment_intent"] and each["customer"])

    assert charge["payment_intent"]["customer"]["object"] == "customer"
    assert charge["balance_transaction"] is None or charge["balance_transaction"]["source"] == charge["id"]
    assert charge["refunds"]["object"] == "list"
    subscription = next(each for each in read(full, "/v1/subscriptions", {
        "status": "all", "expand[]": "data.discounts.source.coupon"}) if each["discounts"])
    assert subscription["discounts"][0]["object"] == "discount"
    tiered = [each for each in read(full, "/v1/prices", {"expand[]": "data.tiers"}) if each["tiers_mode"]]
    assert tiered and all(each["tiers"] for each in tiered)
    assert not any("tiers" in each for each in read(full, "/v1/prices"))
    assert [each["applies_to"]["products"] for each in read(full, "/v1/coupons", {"expand[]": "data.applies_to"})
            if "applies_to" in each]


def test_an_expanded_reference_may_be_a_stub(box: sandbox.Sandbox) -> None:
    """Deleted customers are still referred to (stripe_facts.md 8)."""
    owner = box.world.create("customer")["id"]
    charge = box.world.create("charge", customer=owner)["id"]
    box.world.delete("customer", owner)

    assert ask(box, f"/v1/charges/{charge}", {"expand[]": "customer"})[1]["customer"] == {
        "id": owner, "object": "customer", "deleted": True}


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
              "balance_settings", "tax_settings"}
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


# --- who asks (stripe_facts.md 2 and 13)


def test_keys_are_refused_with_stripes_codes(box: sandbox.Sandbox) -> None:
    """401 for none, wrong, publishable, revoked and expired ones, 403 for those without the permission."""
    keys = box.world.keys
    limited = box.world.restricted_key(["rak_charge_read"])
    status, body, _ = ask(box, "/v1/customers", key=limited)

    assert error(ask(box, "/v1/charges", key="sk_test_wrong12345")) == (401, None, None)
    assert error(ask(box, "/v1/charges", key=keys.publishable)) == (401, "secret_key_required", None)
    assert ask(box, "/v1/charges", key=limited)[0] == 200
    assert (status, body["error"]["code"]) == (403, "more_permissions_required")
    assert "'rak_customer_read'" in body["error"]["message"] and limited not in json.dumps(body)
    keys.expire(limited)
    assert error(ask(box, "/v1/charges", key=limited)) == (401, "api_key_expired", None)
    keys.revoke(limited)
    assert error(ask(box, "/v1/charges", key=limited)) == (401, None, None)


def test_a_key_as_basic_user(box: sandbox.Sandbox) -> None:
    """Stripe takes both kinds of Authorization (stripe_facts.md 1)."""
    import base64

    basic = base64.b64encode(f"{box.api_key}:".encode()).decode()

    assert ask(box, "/v1/balance", headers={"Authorization": f"Basic {basic}"})[0] == 200


def test_write_permissions_imply_reading(box: sandbox.Sandbox) -> None:
    """And reading does not imply writing (stripe_facts.md 2)."""
    writer = box.world.restricted_key(["rak_customer_write"])
    reader = box.world.restricted_key(["rak_customer_read"])

    assert ask(box, "/v1/customers", key=writer)[0] == 200
    assert ask(box, "/v1/customers", key=writer, form={"name": "A"})[0] == 200
    assert ask(box, "/v1/customers", key=reader, form={"name": "A"})[0] == 403


def test_connected_accounts_have_data_of_their_own(full: sandbox.Sandbox) -> None:
    """`Stripe-Account` chooses; one that is not connected is 403 `account_invalid`."""
    first = full.world.connected[0]
    theirs = read(full, "/v1/charges", headers={"Stripe-Account": first})

    assert ids(theirs) == [each.object["id"] for each in full.world.dump(first)["charges"]]
    assert theirs and not set(ids(theirs)) & set(ids(read(full, "/v1/charges")))
    assert ask(full, "/v1/account", headers={"Stripe-Account": first})[1]["id"] == first
    assert error(ask(full, "/v1/charges", headers={"Stripe-Account": "acct_no"})) == (403, "account_invalid", None)


def test_transfers_arrive_at_the_connected_account(box: sandbox.Sandbox) -> None:
    """As a payment, whose reversal is its refund (stripe_facts.md 13)."""
    world = box.world
    other = world.connected[1]
    transfer = world.create("transfer", amount=700, destination=other)
    world.create("transfer_reversal", transfer=transfer["id"], amount=200)
    payment = ask(box, f"/v1/charges/{transfer['destination_payment']}", headers={"Stripe-Account": other})[1]

    assert (payment["amount"], payment["amount_refunded"], payment["source_transfer"]) == (700, 200, transfer["id"])


def test_refresh_tokens_rotate(box: sandbox.Sandbox) -> None:
    """Access tokens last an hour, a refresh token works once (stripe_facts.md 13)."""
    keys = box.world.keys
    first = keys.refresh_token
    status, grant, _ = ask(box, "/v1/oauth/token", form={"grant_type": "refresh_token", "refresh_token": first})
    again = ask(box, "/v1/oauth/token", form={"grant_type": "refresh_token", "refresh_token": first})

    assert (status, grant["expires_in"]) == (200, 3600) and grant["refresh_token"] == keys.refresh_token != first
    assert (again[0], again[1]["error"]) == (400, "invalid_grant")
    assert ask(box, "/v1/charges", key=grant["access_token"])[0] == 200
    box.world.advance(3600)
    assert ask(box, "/v1/charges", key=grant["access_token"])[0] == 401


# --- headers, faults, limits (stripe_facts.md 1, 3, 12)


def test_headers(box: sandbox.Sandbox) -> None:
    """Request id, version echo, and the world's time, not the machine's."""
    box.world.advance(100)
    _, _, headers = ask(box, "/v1/charges", headers={"Stripe-Version": "2024-06-20"})

    assert headers["Request-Id"].startswith("req_") and headers["Stripe-Version"] == "2024-06-20"
    assert headers["Date"] == "Sun, 01 Nov 2026 12:01:40 GMT"
    assert ask(box, "/v1/charges")[2]["Stripe-Version"] == "2026-10-28.endive"
    assert ask(box, "/v1/charges", headers={"Stripe-Version": "yesterday"})[0] == 400


def test_requests_are_noted_without_their_key(box: sandbox.Sandbox) -> None:
    """Tests can look at what was asked; no key is kept."""
    ask(box, "/v1/charges", {"limit": 3})
    request = box.world.requests[-1]

    assert request == sandbox.Request("GET", "/v1/charges", "limit=3", None, None, 200, "sk_test_")


@pytest.mark.parametrize(("fault", "expected"), [
    ({"status": 429, "headers": {"Stripe-Rate-Limited-Reason": "global-rate"}}, 429),
    ({"status": 500, "headers": {"Stripe-Should-Retry": "false"}}, 500), ({"status": 409}, 409),
    ({"truncate": True}, http.client.IncompleteRead), ({"garbage": True}, json.JSONDecodeError),
    ({"disconnect": True}, http.client.RemoteDisconnected),
])
def test_faults_befall_what_they_name_as_often_as_told(
    box: sandbox.Sandbox, fault: dict[str, Any], expected: Any
) -> None:
    """After that, and elsewhere, all is well."""
    made = box.world.faults.add("/v1/charges", times=2, after=1, **fault)

    def once() -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", box.port)
        try:
            connection.request("GET", "/v1/charges", headers={"Authorization": f"Bearer {box.api_key}"})
            answer = connection.getresponse()
            body = answer.read()
            json.loads(body.decode(errors="replace"))
            for name, value in fault.get("headers", {}).items():
                assert answer.status == 200 or answer.headers[name] == value
            return answer.status
        except (http.client.HTTPException, json.JSONDecodeError) as error:
            return type(error)
        finally:
            connection.close()

    assert [once() for _ in range(4)] == [200, expected, expected, 200]
    assert made.hits == 2
    made.remove()
    assert once() == 200


def test_wrong_answers(box: sandbox.Sandbox) -> None:
    """Well-formed JSON that is not what was asked for."""
    box.world.faults.add(r"/v1/.*", wrong="null", times=1)
    box.world.faults.add(r"/v1/.*", wrong="error", times=1)

    assert ask(box, "/v1/charges")[1] is None
    assert "error" in ask(box, "/v1/refunds")[1]
    assert ask(box, "/v1/refunds")[0] == 200


def test_limits_are_enforced_when_told(box: sandbox.Sandbox) -> None:
    """25 a second for an endpoint, different ids sharing it; the reason is in a header (stripe_facts.md 3)."""
    now = [0.0]
    faults = box.world.faults
    faults.limits, faults.clock, faults.per_account = True, lambda: now[0], 1000
    answers = [ask(box, "/v1/charges", {"limit": 1}) for _ in range(26)]

    assert [status for status, _, _ in answers] == [200] * 25 + [429]
    assert answers[-1][1]["error"]["code"] == "rate_limit"
    assert answers[-1][2]["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert ask(box, "/v1/refunds")[0] == 200
    now[0] += 1
    assert ask(box, "/v1/charges")[0] == 200
    faults.per_account = 2
    now[0] += 1
    paths = ("/v1/plans", "/v1/coupons", "/v1/prices")
    reasons = [ask(box, path)[2].get("Stripe-Rate-Limited-Reason") for path in paths]
    assert reasons == [None, None, "global-rate"]


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


# --- the official client


@pytest.fixture
def client(box: sandbox.Sandbox) -> stripe.StripeClient:
    """Stripe's SDK, pointed at the sandbox."""
    return stripe.StripeClient(box.api_key, base_addresses={"api": box.url}, max_network_retries=0)


def test_the_official_sdk_reads(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """Lists, auto-paging, expansion and typed errors."""
    charges = [each.id for each in client.v1.charges.list({"limit": 33}).auto_paging_iter()]
    expanded = client.v1.charges.list({"limit": 30, "expand": ["data.customer"]}).data

    assert charges == [each.object["id"] for each in box.world.dump()["charges"]]
    assert any(isinstance(each.customer, stripe.Customer) for each in expanded)
    with pytest.raises(stripe.InvalidRequestError, match="No such charge"):
        client.v1.charges.retrieve("ch_no")


def test_the_official_sdk_writes(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """A customer pays, is refunded, subscribes, is deleted; a card is declined."""
    customer = client.v1.customers.create({"name": "Zoë", "metadata": {"a": "1"}})
    charge = client.v1.charges.create({"amount": 900, "currency": "usd", "customer": customer.id, "source": "tok_visa"})
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 300})
    price = client.v1.prices.create({"currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"},
                                     "product_data": {"name": "Club"}})
    subscription = client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.create({"amount": 500, "currency": "usd", "confirm": True,
                                          "payment_method": "pm_card_chargeDeclined"})

    assert (charge.status, refund.amount, subscription.status) == ("succeeded", 300, "active")
    assert declined.value.code == "card_declined"
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 300
    assert client.v1.customers.delete(customer.id).deleted
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_idempotent_requests_are_answered_once(box: sandbox.Sandbox, client: stripe.StripeClient) -> None:
    """The same key and parameters: the same answer; other parameters: refused (stripe_facts.md 1)."""
    one = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})
    two = client.v1.customers.create({"name": "A"}, {"idempotency_key": "k1"})

    assert one.id == two.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "B"}, {"idempotency_key": "k1"})
