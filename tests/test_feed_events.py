"""What Stripe's events tell: versions, whose they are, what they carry, and the history that is kept of them."""
from __future__ import annotations

from typing import Any

import duckdb
import pytest
from account import Account
from truth import differences

from stripe_source import sandbox
from stripe_source.errors import MixedData
from stripe_source.extract.changes.events import newest_event, object_before
from stripe_source.source import stripe_source

# ---- what events tell


def test_the_newest_of_several_versions_counts(account: Account) -> None:
    """Five versions in three seconds: the copy has the last one, once."""
    account.run("customers")
    id = account.world.create("customer", name="0")["id"]
    for number in range(1, 6):
        account.world.advance(number % 2)
        account.world.update("customer", id, name=str(number))
    result = account.run("customers")

    assert account.query(f"SELECT name FROM stripe.customers WHERE id = '{id}'") == [("5",)]
    assert (result.tables["customers"].new, result.tables["customers"].changed) == (1, 0)


def test_a_canceled_subscription_is_not_deleted(account: Account) -> None:
    """`customer.subscription.deleted` is Stripe's word for canceled."""
    account.run("subscriptions;subscription_items")
    id = next(s.id for s in account.world.books.all("subscription") if s.data["status"] == "active")
    account.world.delete("subscription", id)
    account.run("subscriptions;subscription_items")

    assert account.query(f"SELECT status, _deleted FROM stripe.subscriptions WHERE id = '{id}'") == [
        ("canceled", False)
    ]
    assert account.differences("subscriptions;subscription_items") == []


def test_children_are_compared_with_what_the_parent_has_now(account: Account) -> None:
    """A subscription item that was removed has no event: it is flagged because its subscription's set lacks it."""
    subscription = account.world.create("subscription")["id"]
    more = [account.world.create("subscription_item", subscription=subscription)["id"] for _ in range(12)]
    account.run("subscriptions;subscription_items")
    account.world.delete("subscription_item", more[3])
    account.run("subscriptions;subscription_items")

    assert account.query(f"SELECT _deleted FROM stripe.subscription_items WHERE id = '{more[3]}'") == [(True,)]
    assert account.differences("subscriptions;subscription_items") == []


def test_an_event_in_another_version_is_only_a_hint(account: Account) -> None:
    """The object is asked for in our version; nothing of the old shape gets into the table."""
    account.run("subscriptions;invoices")
    columns = account.query("SELECT column_name FROM information_schema.columns WHERE table_name = 'subscriptions'")
    account.world.event_version = "2024-06-20"
    made = account.world.create("subscription")["id"]
    asked = account.asked("subscriptions;invoices")

    assert f"/v1/subscriptions/{made}" in asked
    assert account.differences("subscriptions;invoices") == []
    assert account.query(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'subscriptions'"
    ) == columns


def test_events_that_carry_something_else_change_nothing(account: Account) -> None:
    """The preview of an invoice, a balance, an application: no row comes of them but in `events`."""
    account.run("customers;invoices;events")
    before_ = account.query("SELECT count(*) FROM stripe.invoices")
    for type in ("invoice.upcoming", "balance.available", "account.application.deauthorized", "capability.updated"):
        account.world.emit(type)
    result = account.run("customers;invoices;events")

    assert result.tables["events"].new >= 4
    assert account.query("SELECT count(*) FROM stripe.invoices") == before_


def test_a_refund_of_a_fee_tells_of_its_fee(account: Account) -> None:
    """`application_fee.refund.updated` carries the refund; the fee and its refunds are asked for."""
    fee = account.world.populate("application_fees", 1)[0]["id"]
    account.run("application_fees;application_fee_refunds")
    account.world.populate("application_fee_refunds", 1, parent=fee)
    account.run("application_fees;application_fee_refunds")

    assert account.differences("application_fees;application_fee_refunds") == []


def test_when_a_version_came_to_be_is_told(account: Account) -> None:
    """`_changed_at` is when a list or an object was read, or when the event happened that carried the object."""
    read, told = account.world.create("customer")["id"], account.world.create("customer")["id"]
    coupon = account.world.create("coupon", percent_off=5.0)["id"]
    start = account.world.now
    account.run("customers;coupons")
    account.world.advance(100)
    account.world.update("customer", told, name="Told")
    account.world.update("coupon", coupon, name="Asked for, because the event lacks what is expanded")
    account.world.advance(50)
    account.run("customers;coupons")
    at = dict(account.query(
        f"SELECT id, epoch(_changed_at)::BIGINT - {start} FROM stripe.customers"
        f" UNION ALL SELECT id, epoch(_changed_at)::BIGINT - {start} FROM stripe.coupons"
    ))

    assert (at[read], at[told], at[coupon]) == (0, 100, 150)


def test_what_nobody_declared_is_kept_like_the_rest(account: Account) -> None:
    """Fields of a customer that no map has: by list, by event, and in the row that is flagged."""
    listed = account.world.create("customer", loyalty="gold", points=7)["id"]
    account.run("customers")
    account.world.advance(60)
    told = account.world.create("customer", loyalty="tin", points=1)["id"]
    account.world.update("customer", listed, points=8)
    account.run("customers")

    assert account.differences("customers") == []
    account.world.delete("customer", listed)
    account.run("customers")
    assert account.differences("customers") == []
    assert account.query(f"SELECT loyalty, points, _deleted FROM stripe.customers WHERE id IN ('{listed}', '{told}')"
                         " ORDER BY points") == [("tin", 1, False), ("gold", 8, True)]


# ---- deciding


def _event(data: dict[str, Any], previous: dict[str, Any] | None = None, type: str = "customer.updated") -> Any:
    return {"type": type, "data": {"object": data, **({"previous_attributes": previous} if previous else {})}}


def test_events_of_one_second_are_told_apart_by_what_they_changed() -> None:
    """Each but the last left the object as another one found it; in a circle, or with a gap, nobody can tell."""
    one = _event({"id": "c", "name": "A"}, type="customer.created")
    two = _event({"id": "c", "name": "B"}, {"name": "A"})
    three = _event({"id": "c", "name": "C"}, {"name": "B"})
    back = _event({"id": "c", "name": "A"}, {"name": "B"})
    gone = _event({"id": "c", "name": "C"}, type="customer.deleted")

    assert newest_event([two, one, three]) is three
    assert newest_event([three, two]) is three
    assert newest_event([two, back]) is None
    assert newest_event([one, three]) is None
    assert newest_event([gone, three]) is None
    assert newest_event([two, _event({"id": "c", "name": "B"}, {"name": "A"})]) is two
    assert newest_event([_event({"id": "c", "name": "A"}, type="customer.deleted"), two]) is None
    assert object_before(three) == {"id": "c", "name": "B"}


# ---- the resources


def test_changes_is_a_resource_without_rows(account: Account) -> None:
    """It stands beside the tables, is no table of the dataset, and leaving it out does no harm."""
    options = {"api_base": account.stripe.url, "api_key": account.stripe.api_key}
    pipeline = account.new_pipeline()
    pipeline.run(stripe_source(tables="customers", **options))
    account.world.create("customer", name="Later")
    pipeline.run(stripe_source(tables="customers", **options).with_resources("customers"))

    assert list(stripe_source(tables="customers", **options).resources) == ["customers", "changes"]
    assert "changes" not in pipeline.default_schema.tables
    assert account.differences("customers") == []


# ---- history


def test_every_version_is_kept_on_request(account: Account) -> None:
    """Versions from the first load, between two runs, and the end of what is deleted; one open version per row."""
    options: dict[str, Any] = {"history": ["customers"]}
    id = account.world.create("customer", name="One")["id"]
    other = account.world.create("customer", name="Other")["id"]
    made = account.world.now
    account.run("customers", **options)
    for name in ("Two", "Three"):
        account.world.advance(60)
        account.world.update("customer", id, name=name)
    account.run("customers", **options)
    account.run("customers", **options)
    account.world.advance(60)
    account.world.update("customer", id, name="Four")
    account.world.delete("customer", other)
    account.run("customers", **options)

    def told(which: str) -> list[tuple[Any, ...]]:
        return account.query(
            f"SELECT name, epoch(_valid_from)::BIGINT - {made}, epoch(_valid_to)::BIGINT - {made}"
            f" FROM stripe.customers_history WHERE id = '{which}' ORDER BY _valid_from"
        )

    assert told(id) == [("One", 0, 60), ("Two", 60, 120), ("Three", 120, 180), ("Four", 180, None)]
    assert told(other) == [("Other", 0, 180)]
    assert account.query(
        "SELECT count(*) FROM stripe.customers_history WHERE _valid_to IS NULL"
    ) == account.query("SELECT count(*) FROM stripe.customers WHERE NOT _deleted")


def test_history_begun_later_starts_with_what_is_there(account: Account) -> None:
    """A table that was loaded before has a version of each row from then on."""
    account.run("products")
    account.run("products", history=["products"])

    assert account.query("SELECT count(DISTINCT id), count(*) FROM stripe.products_history") == [
        account.query("SELECT count(*), count(*) FROM stripe.products")[0]
    ]
    assert sandbox.World(empty=True).dump()["products"] == []


# ---- accounts


def test_events_of_other_accounts_are_not_ours(account: Account) -> None:
    """A connected account has a product with the same id, and a customer: what becomes of them changes no row."""
    ours = account.world.create("product", id="prod_same", name="Ours")
    account.run("products;customers")
    account.world.advance(60)
    theirs = account.world.connected[0]
    for type, thing in (
        ("product.updated", {**ours, "name": "Theirs"}), ("product.deleted", {**ours, "name": "Theirs"}),
        ("customer.created", account.world.create("customer", account=theirs)),
    ):
        event = account.world.emit(type, thing)["id"]
        record = account.world.books.get("event", event)
        record.data["account"], record.cache = theirs, None
    account.run("products;customers")

    assert account.differences("products;customers") == []


def test_events_of_a_connected_account_are_its_own(account: Account) -> None:
    """Read with `account_id`, they name it."""
    connected = account.world.connected[0]
    account.run("products", account_id=connected)
    account.world.create("product", account=connected, name="New")
    account.run("products", account_id=connected)
    truths = account.world.dump(account=connected)["products"]
    with duckdb.connect(str(account.file), read_only=True) as connection:
        assert differences(connection, "stripe", "products", truths, connected) == []


def test_two_accounts_in_one_dataset_leave_each_other_alone(account: Account) -> None:
    """Each has a pipeline of its own; both have a product of the same id, and one deletes it."""
    connected = account.world.connected[0]
    account.world.create("product", id="prod_same", name="Ours")
    account.world.create("product", id="prod_same", account=connected, name="Theirs")
    account.run("products")
    ours = {key: row for key, row in account.rows()["products"].items() if key[0] != connected}
    own, options = account.new_pipeline, {"tables": "products", "account_id": connected, "mode": "initial"}
    account.new_pipeline = lambda: own("theirs")
    account.run(**options)
    account.world.delete("product", "prod_same", account=connected)
    account.run(**options)
    rows = account.rows()["products"]

    assert (rows[connected, "prod_same"]["name"], rows[connected, "prod_same"]["_deleted"]) == ("Theirs", True)
    assert len(ours) > 1 and {key: row for key, row in rows.items() if key[0] != connected} == ours


def test_live_data_does_not_get_where_test_data_is(account: Account) -> None:
    """A live key is refused before anything is read."""
    account.run("products")
    with sandbox.serve(world=sandbox.World(seed=7, scale=0.01, livemode=True)) as live:
        with pytest.raises(MixedData, match="live"):
            account.run("products", api_base=live.url, api_key=live.api_key)

        assert [each.path for each in live.world.requests if each.path == "/v1/products"] == []
    assert account.differences("products") == []
