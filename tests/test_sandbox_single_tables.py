"""What is special about single tables of Stripe in the sandbox: parameters, bounds, parents, products, deletions."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_walker import Data, Walker, lists_of, value_at

from stripe_source import sandbox
from stripe_source.sandbox.endpoints.product_access import PRODUCTS
from stripe_source.sandbox.state.catalog import BY_PARAMETER, LISTS

DAY = 86400


@pytest.fixture(scope="module")
def box() -> Iterator[sandbox.Sandbox]:
    """Four of everything, in accounts that had nothing."""
    world = sandbox.World(empty=True)
    world.populate_all(4)
    with sandbox.serve(world=world) as box:
        yield box


@pytest.fixture(scope="module")
def walker(box: sandbox.Sandbox) -> Walker:
    """Reads what there is four of."""
    return Walker(box)


@pytest.fixture(scope="module")
def truths(box: sandbox.Sandbox) -> dict[str, list[sandbox.Truth]]:
    """What there is, once for all tests: nobody changes it."""
    return box.world.dump()


@pytest.fixture
def fresh() -> Iterator[Walker]:
    """Accounts without objects, of a test's own."""
    with sandbox.serve(world=sandbox.World(empty=True)) as box:
        yield Walker(box)


# --- what is special about single tables


@pytest.mark.parametrize(("table", "parents", "field", "expand"), [
    ("application_fee_refunds", "/v1/application_fees", "refunds", False),
    ("radar_value_list_items", "/v1/radar/value_lists", "list_items", False),
    ("account_external_accounts", "/v1/accounts", "external_accounts", False),
    ("customer_sources", "/v1/customers", "sources", True),
    ("payment_link_line_items", "/v1/payment_links", "line_items", True),
    ("quote_line_items", "/v1/quotes", "line_items", True),
    ("quote_computed_upfront_line_items", "/v1/quotes", "computed.upfront.line_items", True),
    ("payment_intent_amount_details_line_items", "/v1/payment_intents", "amount_details.line_items", True),
    ("checkout_session_line_items", "/v1/checkout/sessions", "line_items", True),
])
def test_embedded_lists_are_cut_at_ten(fresh: Walker, table: str, parents: str, field: str, expand: bool) -> None:
    """Ten come with their parent, `has_more` says that there are others, and their own list has all."""
    world = fresh.box.world
    world.populate(table, 1)
    parent = next(each.parent_id for each in world.dump()[table] if each.parent_id)
    world.populate(table, 11, parent=parent)
    owner = next(each for each in fresh.read(parents, {"expand[]": f"data.{field}"} if expand else {})
                 if each["id"] == parent)
    embedded = value_at(owner, field)
    path = lists_of(table)[0]
    params = {BY_PARAMETER[path]: parent} if path in BY_PARAMETER else {}
    whole = fresh.read(path.replace("{id}", str(parent)), params, limit=7, pattern=path)

    assert (len(embedded["data"]), embedded["has_more"]) == (10, True)
    assert embedded["data"] == whole[:10]
    assert [each.object for each in world.dump()[table] if each.parent_id == parent] == whole
    if expand:
        bare = next(each for each in fresh.read(parents) if each["id"] == parent)
        assert value_at(bare, field) is None


@pytest.mark.parametrize(("path", "params", "param"), [
    ("/v1/issuing/tokens", {}, "card"), ("/v1/treasury/transactions", {}, "financial_account"),
    ("/v1/treasury/received_credits", {}, "financial_account"), ("/v1/setup_attempts", {}, "setup_intent"),
    ("/v1/entitlements/active_entitlements", {}, "customer"), ("/v1/apps/secrets", {}, "scope"),
    ("/v1/apps/secrets", {"scope[type]": "user"}, "scope[user]"), ("/v1/tax/locations", {}, "type"),
    ("/v1/payment_attempt_records", {}, "payment_record"), ("/v1/radar/value_list_items", {}, "value_list"),
    ("/v1/financial_connections/transactions", {}, "account"),
    ("/v1/billing/credit_balance_transactions", {}, "customer"), ("/v1/billing/credit_balance_summary", {}, "customer"),
    ("/v1/billing/credit_balance_summary", {"customer": "cus_1"}, "filter[type]"),
    ("/v1/tax/associations/find", {}, "payment_intent"),
])
def test_filters_that_must_be_there(walker: Walker, path: str, params: Data, param: str) -> None:
    """400 `parameter_missing`, with the name of the first one (peers.md 61, 62)."""
    status, body = walker.ask(path, params)

    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "parameter_missing", param)


def test_lists_that_take_no_limit(fresh: Walker) -> None:
    """Report types and capabilities come whole, and so do exchange rates unless told (peers.md 63)."""
    world = fresh.box.world
    for table in ("reporting_report_types", "exchange_rates"):
        world.populate(table, 12)
    world.populate("account_capabilities", 12, parent=world.connected[2])
    path = f"/v1/accounts/{world.connected[2]}/capabilities"

    assert fresh.ask("/v1/reporting/report_types", {"limit": 100})[1]["error"]["param"] == "limit"
    assert fresh.ask(path, {"limit": 100})[1]["error"]["param"] == "limit"
    pages = [fresh.get(each) for each in ("/v1/reporting/report_types", "/v1/exchange_rates", path)]
    assert [(len(page["data"]), page["has_more"]) for page in pages] == [(12, False)] * 3
    assert fresh.get(f"{path}/transfers")["account"] == world.connected[2]


def test_people_of_accounts_that_the_platform_does_not_control(walker: Walker) -> None:
    """403 for the standard account and the own one; their capabilities can be seen (peers.md 75)."""
    world = walker.box.world
    own, standard, express = world.books.account, world.connected[0], world.connected[1]

    for path in ("persons", "external_accounts"):
        answers = [walker.ask(f"/v1/accounts/{id}/{path}")[0] for id in (own, standard, express, "acct_gone")]
        assert answers == [403, 403, 200, 404]
    assert "external_accounts" not in walker.get(f"/v1/accounts/{standard}")
    assert walker.ask(f"/v1/accounts/{standard}/capabilities")[0] == 200
    assert own not in {each["id"] for each in walker.read("/v1/accounts")}


def test_closed_reviews_leave_the_list(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> None:
    """They can still be read by id, and their payments name them (peers.md 85)."""
    closed = next(each.object for each in truths["reviews"] if not each.object["open"])

    assert {each["open"] for each in walker.read("/v1/reviews")} == {True}
    assert walker.get(f"/v1/reviews/{closed['id']}") == closed
    assert walker.get(f"/v1/charges/{closed['charge']}")["review"] == closed["id"]
    intent = walker.get(f"/v1/payment_intents/{closed['payment_intent']}", {"expand[]": "review"})
    assert intent["review"] == closed


def test_what_lives_on_a_test_clock(fresh: Walker) -> None:
    """In no bare list, but with `test_clock` and with `customer`; it goes with the clock (peers.md 59)."""
    world = fresh.box.world
    clock = world.populate("test_helpers_test_clocks", 1)[0]["id"]
    owner = world.create("customer", test_clock=clock)["id"]
    subscription = world.create("subscription", customer=owner)
    world.create("subscription_schedule", subscription=subscription["id"])
    world.populate("quotes", 1, customer=owner)
    paths = {"/v1/customers": "test_clock", "/v1/subscriptions": "test_clock", "/v1/quotes": "test_clock",
             "/v1/subscription_schedules": "customer"}

    assert subscription["test_clock"] == clock
    assert [fresh.read(path) for path in paths] == [[], [], [], []]
    assert [len(fresh.read(path, {name: clock if name == "test_clock" else owner})) for path, name in paths.items()
            ] == [1, 1, 1, 1]
    assert len(fresh.read("/v1/subscriptions", {"customer": owner})) == 1
    assert fresh.ask("/v1/customers", {"test_clock": "clock_gone"})[0] == 400
    world.delete("test_helpers.test_clock", clock)
    dump = world.dump()
    for table in ("customers", "subscriptions", "quotes", "subscription_schedules", "test_helpers_test_clocks"):
        assert {each.deleted for each in dump[table]} == {True}


def test_live_keys_have_no_test_clocks() -> None:
    """They are refused, and customers are not."""
    with sandbox.serve(world=sandbox.World(empty=True, livemode=True)) as box:
        walker = Walker(box)

        assert walker.ask("/v1/test_helpers/test_clocks")[0] == 400
        assert walker.ask("/v1/customers")[0] == 200


def test_usage_is_asked_for_in_whole_days(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> None:
    """By meter, customer and span; without grouping it is one sum (peers.md 85e)."""
    first = truths["billing_meter_event_summaries"][0]
    path, start = f"/v1/billing/meters/{first.parent_id}/event_summaries", first.object["start_time"]
    params = {"customer": first.owner2, "start_time": start, "end_time": start + DAY}
    daily = {**params, "value_grouping_window": "day"}

    assert walker.get(path, daily)["data"] == [first.object]
    assert walker.get(path, {**daily, "start_time": start - DAY, "end_time": start})["data"] != [first.object]
    for name in ("start_time", "end_time"):
        status, body = walker.ask(path, {**daily, name: daily[name] + 60})
        assert (status, body["error"]["param"]) == (400, name)
    for name in params:
        left = {key: value for key, value in params.items() if key != name}
        assert walker.ask(path, left)[1]["error"]["code"] == "parameter_missing"
    days = truths["billing_meter_event_summaries"]
    keys = [(each.parent_id, each.owner2, each.object["start_time"]) for each in days]
    assert len(set(keys)) == len(keys)


def test_payment_records_have_bounds_of_their_own(fresh: Walker) -> None:
    """`created_after` and `created_before`, both without the second that they name (peers.md 65)."""
    made = fresh.box.world.populate("payment_records", 1)[0]
    at = made["created"]

    assert fresh.read("/v1/payment_records", {"created_after": at - 1, "created_before": at + 1}) == [made]
    assert fresh.read("/v1/payment_records", {"created_after": at}) == []
    assert fresh.read("/v1/payment_records", {"created_before": at}) == []
    assert fresh.ask("/v1/payment_records", {"created[gte]": at})[0] == 400


def test_tax_is_found_by_payment_intents(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> None:
    """By hooks, by metadata, and by the association of a sale and its reversal; others have none."""
    intents = [each.object for each in truths["payment_intents"]]
    hooked = [each["id"] for each in intents if value_at(each, "hooks.inputs.tax.calculation")]
    named = {key for each in intents for key in each["metadata"] if key.startswith("tax_")}
    answers = [walker.ask("/v1/tax/associations/find", {"payment_intent": id}) for id in hooked]
    found = next(body for status, body in answers if status == 200)
    committed = [each["committed"]["transaction"] for each in found["tax_transaction_attempts"] if "committed" in each]

    assert named == {"tax_calculation", "tax_transaction"}
    assert sorted(status for status, _ in answers) == [200, 404]
    assert [walker.ask(f"/v1/tax/transactions/{id}/line_items")[0] for id in committed] == [200, 200]
    assert walker.ask("/v1/tax/calculations/taxcalc_gone/line_items")[0] == 404


def test_registrations_and_templates_hide_what_is_over(fresh: Walker) -> None:
    """`status=all` shows expired registrations; archived templates have a status of their own."""
    world = fresh.box.world
    for status in ("active", "expired", "scheduled"):
        world.populate("tax_registrations", 1, status=status)
    for status in ("active", "archived"):
        world.populate("invoice_rendering_templates", 1, status=status)
    path = "/v1/tax/registrations"

    assert [len(fresh.read(path, params)) for params in ({}, {"status": "all"}, {"status": "expired"})] == [2, 3, 1]
    assert [each["status"] for each in fresh.read("/v1/invoice_rendering_templates")] == ["active"]


def test_fields_that_must_be_expanded(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> None:
    """Absent in a bare list, as the dump's `also` has them when asked for; nested ones too (peers.md 69)."""
    for table, path, field, owner in (
        ("issuing_transactions", "/v1/issuing/transactions", "purchase_details", None),
        ("issuing_tokens", "/v1/issuing/tokens", "network_data", "card"),
        ("shipping_rates", "/v1/shipping_rates", "fixed_amount.currency_options", None),
        ("treasury_financial_accounts", "/v1/treasury/financial_accounts", "features", None),
        ("billing_portal_configurations", "/v1/billing_portal/configurations",
         "features.subscription_update.products", None),
        ("checkout_sessions", "/v1/checkout/sessions", "shipping_cost.taxes", None),
        ("checkout_sessions", "/v1/checkout/sessions", "total_details.breakdown", None),
        ("coupons", "/v1/coupons", "currency_options", None),
        ("credit_notes", "/v1/credit_notes", "shipping_cost.taxes", None),
        ("customers", "/v1/customers", "tax", None),
        ("customers", "/v1/customers", "cash_balance", None),
        ("invoices", "/v1/invoices", "shipping_cost.taxes", None),
        ("issuing_disputes", "/v1/issuing/disputes", "balance_transactions", None),
        ("promotion_codes", "/v1/promotion_codes", "restrictions.currency_options", None),
        ("quotes", "/v1/quotes", "total_details.breakdown", None),
    ):
        truth = next(each for each in truths[table] if field in each.also and not each.object.get("test_clock"))
        params = {owner: truth.parent_id} if owner else {}
        full = next(each for each in walker.read(path, {**params, "expand[]": f"data.{field}"})
                    if each["id"] == truth.object["id"])
        bare = next(each for each in walker.read(path, params) if each["id"] == truth.object["id"])
        assert value_at(full, field) == truth.also[field]
        assert value_at(bare, field) is None


# --- /v2/


def test_v2_sections_come_when_they_are_named(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> None:
    """Null in the list, which takes no `include`, and in a bare GET."""
    truth = next(each.object for each in truths["v2_core_accounts"] if not each.object["closed"])
    path = f"/v2/core/accounts/{truth['id']}"
    listed = next(each for each in walker.read("/v2/core/accounts") if each["id"] == truth["id"])
    some = walker.get(path, {"include": ["identity", "configuration.merchant"]})

    assert listed == walker.get(path)
    assert (listed["identity"], listed["configuration"], listed["defaults"]) == (None, None, None)
    assert listed["contact_email"] == truth["contact_email"]
    assert some["identity"] == truth["identity"]
    assert some["configuration"] == {"customer": None, "merchant": truth["configuration"]["merchant"],
                                     "recipient": None}
    assert walker.ask("/v2/core/accounts", {"include": ["identity"]})[0] == 400
    assert walker.ask(path, {"include": ["colour"]})[0] == 400
    assert {each["closed"] for each in walker.read("/v2/core/accounts")} == {False}
    assert {each["closed"] for each in walker.read("/v2/core/accounts", {"closed": "true"})} == {True}


def test_v2_pages_by_opaque_tokens_and_times_as_text(fresh: Walker) -> None:
    """`next_page_url` holds nothing but a token; bounds are RFC 3339 (peers.md 89)."""
    world, path = fresh.box.world, "/v2/core/events"
    old = world.populate("v2_core_events", 3)
    world.advance(100)
    new = world.populate("v2_core_events", 2)
    page = fresh.get(path, {"limit": 2})
    at = new[0]["created"]

    assert [each["created"][-5:] for each in old] == [".000Z"] * 3
    assert page["next_page_url"].startswith(f"{path}?page=") and "limit" not in page["next_page_url"]
    assert fresh.read(path) == [*new[::-1], *old[::-1]]
    assert fresh.read(path, {"created[gte]": at}) == new[::-1]
    assert fresh.read(path, {"created[lt]": at}) == old[::-1]
    assert fresh.ask(path, {"created[gte]": 1793534400})[0] == 400
    assert fresh.ask(path, {"page": "abc"})[0] == 400
    imports = world.populate("v2_commerce_product_catalog_imports", 2)
    path = "/v2/commerce/product_catalog/imports"
    assert fresh.read(path, {"created_gte": imports[0]["created"]}) == imports[::-1]
    assert fresh.read(path, {"created_lt": imports[0]["created"]}) == []
    amount = world.populate("v2_money_management_transactions", 1)[0]["amount"]
    assert {name: type(value) for name, value in amount.items()} == {"value": int, "currency": str}
    world.advance(31 * DAY)
    assert fresh.read("/v2/core/events") == []


def test_closed_financial_accounts_are_asked_for(fresh: Walker) -> None:
    """They are left out unless `statuses` names them."""
    fresh.box.world.populate("v2_money_management_financial_accounts", 3)
    path = "/v2/money_management/financial_accounts"

    assert sorted(each["status"] for each in fresh.read(path)) == ["open", "pending"]
    assert [each["status"] for each in fresh.read(path, {"statuses": ["closed"]})] == ["closed"]


# --- products that are not enabled; deletions


@pytest.mark.parametrize("start", sorted(PRODUCTS))
def test_products_that_are_not_enabled(fresh: Walker, start: str) -> None:
    """Each says so in words of its own, until it is used; ordinary tables answer (peers.md 77)."""
    world = fresh.box.world
    world.unpopulated = "refuse"
    lists = sorted((len(entry["required"]), path) for path, entry in LISTS.items() if path.startswith(start))
    path = lists[0][1]
    entry = LISTS[path]
    params = {name: "performance" if name == "type" else "x" for name in entry["required"]}
    status, body = fresh.ask(path, params)

    assert (status, body["error"]["message"]) == PRODUCTS[start]
    assert fresh.ask("/v1/charges")[0] == fresh.ask("/v1/tax_rates")[0] == fresh.ask("/v1/balance_settings")[0] == 200
    world.populate(entry["table"], 1)
    assert fresh.ask(path, params)[0] in (200, 404)


@pytest.mark.parametrize(("table", "object"), [
    ("radar_value_list_items", "radar.value_list_item"), ("account_persons", "person"),
    ("product_features", "product_feature"), ("webhook_endpoints", "webhook_endpoint"),
    ("account_external_accounts", "bank_account"), ("v2_core_account_persons", "v2.core.account_person"),
])
def test_the_deleted_are_flagged(fresh: Walker, table: str, object: str) -> None:
    """They are in no list any more; the dump has what they were, with their owner."""
    world = fresh.box.world
    made = world.populate(table, 2)[0]
    before = next(each for each in world.dump()[table] if each.object["id"] == made["id"])
    world.delete(object, made["id"])
    after = next(each for each in world.dump()[table] if each.object["id"] == made["id"])

    assert (after.object, after.parent_id, after.deleted) == (before.object, before.parent_id, True)


def test_children_go_with_their_parents(fresh: Walker) -> None:
    """A deleted product has no features, a deleted customer no sources and no entitlements."""
    world = fresh.box.world
    world.populate("product_features", 2)
    for table in ("customer_sources", "entitlements_active_entitlements", "customer_cash_balance_transactions"):
        world.populate(table, 2)
    for product in world.dump()["products"]:
        world.delete("product", product.object["id"])
    for customer in world.dump()["customers"]:
        world.delete("customer", customer.object["id"])
    dump = world.dump()

    for table in ("product_features", "customer_sources", "entitlements_active_entitlements",
                  "customer_cash_balance_transactions"):
        assert {each.deleted for each in dump[table]} == {True}
