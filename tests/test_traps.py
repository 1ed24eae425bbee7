"""The traps of Stripe's lists: what they hide, refuse or cannot do, and what a run makes of it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from truth import differences

from stripe_source import sandbox
from stripe_source.load.sync import sync
from stripe_source.preflight.check import check

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def stripe() -> Iterator[Any]:
    """A small business with some of every other object."""
    with sandbox.serve(seed=11, scale=0.05) as served:
        served.world.populate_all(2)
        served.world.requests.clear()
        yield served


def load(pipeline: Any, stripe: Any, tables: Any = None, **options: Any) -> Any:
    return sync(pipeline, tables=tables, **{"api_base": stripe.url, "api_key": stripe.api_key, **options})


def ids(pipeline: Any, table: str, where: str = "NOT _deleted") -> set[str]:
    with pipeline.sql_client() as client:
        return {row[0] for row in client.execute_sql(f"SELECT id FROM {table} WHERE {where}") or ()}


def there(stripe: Any, table: str) -> set[str]:
    return {truth.object["id"] for truth in stripe.world.dump()[table] if not truth.deleted}


def test_what_is_on_test_clocks_is_loaded_and_live_keys_do_not_ask_for_it(stripe: Any, new_pipeline: Any) -> None:
    """Customers on clocks are in no bare list; with a live key the clocks are not asked for, and nobody is blamed."""
    pipeline = new_pipeline()
    load(pipeline, stripe, "customers;subscriptions;quotes;subscription_schedules")
    hidden = {t.object["id"] for t in stripe.world.dump()["customers"] if t.object.get("test_clock") and not t.deleted}

    assert hidden and ids(pipeline, "customers") == there(stripe, "customers")
    with sandbox.serve(world=sandbox.World(seed=11, scale=0.05, livemode=True)) as live:
        other = new_pipeline("live", "live.duckdb")
        result = load(other, live, "customers;test_helpers_test_clocks")
        assert (result.tables["customers"].status, result.exit_code) == ("ok", 0)
        assert result.tables["test_helpers_test_clocks"].status == "not loaded"
        assert not [each for each in live.world.requests if "test_clocks" in each.path]


def test_a_closed_review_stays(stripe: Any, new_pipeline: Any) -> None:
    """The list holds open reviews only; charges and payment intents name the closed ones."""
    pipeline = new_pipeline()
    load(pipeline, stripe, "reviews;charges;payment_intents")
    named = {truth.object["review"] for truth in stripe.world.dump()["charges"] if truth.object.get("review")}

    assert named <= ids(pipeline, "reviews") and ids(pipeline, "reviews", "_deleted") == set()


@pytest.mark.soak
def test_products_that_are_not_enabled_are_named_and_no_failure(new_pipeline: Any) -> None:
    """An account without Issuing: the default selection is whole, and asking for Issuing says why there is nothing."""
    world = sandbox.World(seed=11, scale=0.05, unpopulated="refuse")
    with sandbox.serve(world=world) as stripe:
        assert load(new_pipeline(), stripe).exit_code == 0
        result = load(new_pipeline("more", "more.duckdb"), stripe, "issuing_cards;customers")

    assert (result.tables["issuing_cards"].status, result.exit_code) == ("not enabled", 0)
    assert result.tables["issuing_cards"].reason
    assert list(result.absent) == ["issuing_cards"]


def test_refused_persons_of_one_account_are_counted(stripe: Any, new_pipeline: Any) -> None:
    """Persons of accounts that the platform does not control are refused; the others' are loaded."""
    pipeline = new_pipeline()
    result = load(pipeline, stripe, "accounts;account_persons")

    assert result.tables["account_persons"].status == "ok"
    assert "were refused" in result.tables["account_persons"].reason
    assert ids(pipeline, "account_persons") == there(stripe, "account_persons")


def test_a_parent_that_went_meanwhile_is_no_error(stripe: Any, new_pipeline: Any) -> None:
    """A customer is deleted between the list and the question for his balance: he has none, and the run goes on."""
    stripe.world.faults.add(
        path="/v1/customers/[^/]+/balance_transactions", status=404, times=1,
        body={"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "id",
                        "message": "No such customer"}},
    )
    result = load(new_pipeline(), stripe, "customer_balance_transactions")

    assert (result.exit_code, result.tables["customer_balance_transactions"].status) == (0, "ok")


def test_a_removed_child_is_flagged(stripe: Any, new_pipeline: Any) -> None:
    """A value taken off one of Radar's lists has no event; the full pass finds that it is gone."""
    pipeline = new_pipeline()
    load(pipeline, stripe, "radar_value_lists;radar_value_list_items")
    gone = min(there(stripe, "radar_value_list_items"))
    stripe.world.delete("radar.value_list_item", gone)
    load(pipeline, stripe, "radar_value_lists;radar_value_list_items")

    assert ids(pipeline, "radar_value_list_items", "_deleted") == {gone}


@pytest.mark.parametrize("answer", ["refuse", "id"])
def test_what_may_not_be_expanded_costs_its_own_table_only(answer: Any, new_pipeline: Any, tmp_path: Path) -> None:
    """The list of customers is refused for the sources on it, or comes without: all else on it is loaded, and whole."""
    others = "customers", "subscriptions", "subscription_items", "discounts", "tax_ids", "invoice_line_items"
    world = sandbox.World(seed=11, scale=0.05, expand_forbidden=answer)
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(f"rak_{name}_read" for name in (
            "connected_account", "event", "customer", "subscription", "coupon", "tax_id", "invoice"))
        world.requests.clear()
        result = load(new_pipeline(), stripe, ["customer_cards", *others], api_key=key)
    refused = Counter(each.path for each in world.requests if each.status == 403)

    assert (result.exit_code, list(result.failed)) == (1, ["customer_cards"])
    assert result.tables["customer_cards"].status == "no permission"
    assert "rak_source_read" in result.tables["customer_cards"].reason
    assert {name: (result.tables[name].status, result.tables[name].reason) for name in others} == dict.fromkeys(
        others, ("ok", ""))
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        dump, account = world.dump(), world.books.account
        assert [each for name in others for each in differences(connection, "stripe", name, dump[name], account)] == []
    assert answer == "id" or refused == {"/v1/customers": 1}


def test_what_may_not_be_expanded_below_is_left_out_there_too(new_pipeline: Any) -> None:
    """Discounts are on the lines of invoices, whose lists are cut: the lines come whole, by lists without discounts."""
    world = sandbox.World(seed=11, scale=0.05)
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(f"rak_{name}_read" for name in (
            "connected_account", "event", "customer", "subscription", "invoice"))
        result = load(new_pipeline(), stripe, "invoices;invoice_line_items;discounts", api_key=key)
        lines = sum(not truth.deleted for truth in world.dump()["invoice_line_items"])

    assert (result.tables["invoices"].status, result.tables["invoice_line_items"].status) == ("ok", "ok")
    assert result.tables["invoice_line_items"].new == lines > 130
    assert "rak_coupon_read" in result.tables["discounts"].reason


def test_what_may_not_be_expanded_is_left_out_below_test_clocks(new_pipeline: Any) -> None:
    """Customers on test clocks come by lists of each clock, which are refused for the sources as well."""
    world = sandbox.World(seed=11, scale=0.05)
    world.populate_all(2)
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(f"rak_{name}_read" for name in ("connected_account", "event", "customer"))
        pipeline = new_pipeline()
        result = load(pipeline, stripe, "customers;customer_cards", api_key=key)

        assert (result.tables["customers"].status, result.tables["customers"].reason) == ("ok", "")
        assert result.tables["customer_cards"].status == "no permission"
        assert ids(pipeline, "customers") == there(stripe, "customers")
    assert sum(each.status == 403 for each in world.requests) <= 4


def test_references_that_come_unexpanded_are_no_empty_table(new_pipeline: Any) -> None:
    """A key that lacks a permission gets ids where discounts were asked for: that is told, and nothing is flagged."""
    world = sandbox.World(seed=11, scale=0.05, expand_forbidden="id")
    with sandbox.serve(world=world) as stripe:
        pipeline = new_pipeline()
        load(pipeline, stripe, "subscriptions;discounts")
        before = ids(pipeline, "discounts")
        key = world.restricted_key(f"rak_{name}_read" for name in (
            "connected_account", "event", "customer", "subscription", "invoice"))
        result = load(pipeline, stripe, "subscriptions;discounts", mode="initial", api_key=key)

    assert "rak_coupon_read" in result.tables["discounts"].reason
    assert len(before) > 2 and ids(pipeline, "discounts") == before


def test_a_fan_out_that_is_not_permitted_is_given_up(new_pipeline: Any) -> None:
    """One page of customers is enough to know that their entitlements may not be read."""
    world = sandbox.World(seed=11, scale=0.05)
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(f"rak_{name}_read" for name in ("connected_account", "event", "customer"))
        world.requests.clear()
        result = load(new_pipeline(), stripe, "customers;entitlements_active_entitlements", api_key=key)

    assert result.tables["entitlements_active_entitlements"].status == "no permission"
    assert sum(each.status == 403 for each in world.requests) <= 100 < result.tables["customers"].new


def test_a_list_that_is_refused_itself_is_not_asked_again(new_pipeline: Any) -> None:
    """Without the permission of customers, what is expanded on them makes no difference: one request, one verdict."""
    world = sandbox.World(seed=11, scale=0.05)
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(f"rak_{name}_read" for name in ("connected_account", "event", "source", "charge"))
        world.requests.clear()
        result = load(new_pipeline(), stripe, "charges;customers;customer_cards", api_key=key)
    asked = [each.path for each in world.requests if each.path == "/v1/customers"]

    assert {name: table.status for name, table in result.tables.items()} == {
        "charges": "ok", "customer_cards": "no permission", "customers": "no permission"}
    assert "rak_customer_read" in result.tables["customer_cards"].reason
    assert len(asked) == 1


def test_usage_before_there_was_a_meter_is_not_asked_for(stripe: Any, new_pipeline: Any) -> None:
    """Stripe refuses a span that ends before it begins."""
    result = load(new_pipeline(), stripe, "billing_meter_event_summaries", end="2020-01-01")

    assert (result.exit_code, result.tables["billing_meter_event_summaries"].read) == (0, 0)


def test_check_asks_once_per_table_at_most(stripe: Any) -> None:
    """A verdict and a cost for every table, for fewer requests than tables; none for what is not selected."""
    everything = check(tables="%", api_base=stripe.url, api_key=stripe.api_key)
    stripe.world.requests.clear()
    one = check(tables="charges", api_base=stripe.url, api_key=stripe.api_key)

    assert everything.requests <= 145
    assert {name for name, verdict in everything.tables.items() if verdict.status != "ok"} == {"apps_secrets"}
    assert everything.tables["customer_balance_transactions"].cost == "one request per customer"
    assert [each.path for each in stripe.world.requests] == ["/v1/account", "/v1/charges"] and one.requests == 2
