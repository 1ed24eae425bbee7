"""The sandbox's lists are what the references say that Stripe's are: pages, bounds, expansions, whose objects."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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


# --- who asks (stripe_facts.md 2 and 13)


def test_connected_accounts_have_data_of_their_own(full: sandbox.Sandbox) -> None:
    """`Stripe-Account` chooses; one that is not connected is 403 `account_invalid`."""
    first = full.world.connected[0]
    theirs = read(full, "/v1/charges", headers={"Stripe-Account": first})

    assert ids(theirs) == [each.object["id"] for each in full.world.dump(first)["charges"]]
    assert theirs and not set(ids(theirs)) & set(ids(read(full, "/v1/charges")))
    assert ask(full, "/v1/account", headers={"Stripe-Account": first})[1]["id"] == first
    assert error(ask(full, "/v1/charges", headers={"Stripe-Account": "acct_no"})) == (403, "account_invalid", None)
