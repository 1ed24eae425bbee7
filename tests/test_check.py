"""`check`: what a load takes, told from one page of each list, and which rows no list shows."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from stripe_source import sandbox
from stripe_source.api.endpoints import endpoint_of
from stripe_source.cli.views.check import show_check
from stripe_source.cli.views.sync import show_sync
from stripe_source.load.sync import sync
from stripe_source.load.sync_result import SyncResult
from stripe_source.preflight.check import check
from stripe_source.preflight.estimate import Sample
from stripe_source.source import stripe_source
from stripe_source.tables.catalog import list_tables
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.selection import select_tables

pytestmark = pytest.mark.usefixtures("hasty")

DAY = 86_400
HIDING = {table.name: table.invisible_rows for table in TABLES if table.invisible_rows}


@pytest.fixture(scope="module")
def business() -> Iterator[Any]:
    """The sandbox's business at its full size, and something of every table; no test changes it."""
    with sandbox.serve(seed=1) as stripe:
        yield stripe


@pytest.fixture
def few() -> Iterator[Any]:
    """An account with some of every object, and no list of more than a page but the events."""
    world = sandbox.World(seed=11, empty=True)
    world.populate_all(2)
    with sandbox.serve(world=world) as stripe:
        yield stripe


def asked(stripe: Any, tables: Any = None, **options: Any) -> tuple[Any, list[str]]:
    """The result of a check, and the paths that it asked."""
    stripe.world.requests.clear()
    given = {"api_base": stripe.url, "api_key": stripe.api_key, **options}
    return check(tables=tables, **given), [each.path for each in stripe.world.requests]


def taken(stripe: Any, tables: Any = None, **options: Any) -> int:
    """How many requests the first load of tables really takes, with one for the change feed; it is only read."""
    from dlt.common.configuration.container import Container
    from dlt.common.pipeline import StateInjectableContext

    stripe.world.requests.clear()
    with Container().injectable_context(StateInjectableContext(state={})):
        for _ in stripe_source(tables=tables, api_base=stripe.url, api_key=stripe.api_key, **options):
            pass
    feed = "/v1/events" if "events" in str(options.get("exclude")) or tables not in (None, "%") else None
    paths = [each.path for each in stripe.world.requests]
    return len(paths) - max(paths.count(feed) - 1, 0)  # objects that are all made in one second make it longer here


def printed(show: Any, result: Any) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        show(console, result)
    return captured.get()


# --- rows that no list shows


def test_a_table_that_hides_rows_says_which(few: Any) -> None:
    """In the check, in its JSON and on the screen; in the catalogue; and it is no failure."""
    result, _ = asked(few, "customers;charges")
    note = BY_NAME["customers"].invisible_rows

    assert (result.tables["customers"].status, result.tables["customers"].hidden, result.exit_code) == ("ok", note, 0)
    assert result.asdict()["tables"]["charges"]["hidden"] is None
    assert re.search(rf"customers +≈\d+ +{note}", printed(show_check, result))
    assert {each["name"]: each["hidden"] for each in list_tables() if each["hidden"]} == HIDING


def test_a_deleted_customer_is_such_a_row(few: Any, new_pipeline: Any) -> None:
    """A charge names a customer who was deleted before the first load: no list shows him, and the run says so."""
    world = few.world
    ada = world.create("customer", name="Ada")["id"]
    charge = world.create("charge", amount=100, currency="usd", customer=ada)["id"]
    world.delete("customer", ada)
    pipeline = new_pipeline()
    result = sync(pipeline, tables="customers;charges", api_base=few.url, api_key=few.api_key)
    with pipeline.sql_client() as client:
        named = client.execute_sql(f"SELECT customer FROM charges WHERE id = '{charge}'")
        there = client.execute_sql(f"SELECT count(*) FROM customers WHERE id = '{ada}'")

    assert (named, there) == ([(ada,)], [(0,)])
    assert result.asdict()["tables"]["customers"]["hidden"] == BY_NAME["customers"].invisible_rows
    assert result.tables["charges"].hidden is None


def test_the_first_load_of_live_data_says_where_to_look() -> None:
    """One line, in which no table is named; not for test data, and not for tables that were not read."""
    def said(livemode: bool, *statuses: str) -> str:
        from stripe_source.api.pages import Figures
        from stripe_source.resources.table_result import TableResult

        tables = {f"table_{n}": TableResult(new=1, status=each, hidden="some") for n, each in enumerate(statuses)}
        result = SyncResult(tables, 1.0, Figures(), "duckdb", "x.duckdb", "stripe", "stripe", "acct_1", livemode, [], 1)
        return " ".join(printed(show_sync, result).split())

    assert "2 tables may have rows that no list of Stripe's shows; `stripe-source check` says which" in said(
        True, "ok", "ok", "no permission")
    assert "no list" not in said(False, "ok")
    assert "no list" not in said(True, "no permission")


def test_notes_are_short_enough_for_a_column() -> None:
    """Each fits a line or two beside its table, and ends like the others."""
    assert [name for name, note in HIDING.items() if len(note) > 90 or note.endswith(".") or note != note.strip()] == []


# --- how many requests


@pytest.mark.parametrize("tables", [None, "%", "charges", "customer_balance_transactions", "customer%;payout%"])
def test_one_request_for_each_table_at_most(few: Any, tables: str | None) -> None:
    """And one for the account; no list is asked twice."""
    result, paths = asked(few, tables)
    twice = [path for path, number in Counter(map(endpoint_of, paths)).items() if number > 1 and path != "/v1/balance"]

    assert result.requests == len(paths) <= len(select_tables(tables)) + 1
    assert twice in ([], ["/v1/balance_transactions"])  # the ledger, and the part of it that a payout swept


def test_a_small_account_is_counted(few: Any) -> None:
    """Where a page holds each list, the number is the one of the run."""
    result, _ = asked(few, None, exclude="events")
    real = taken(few, None, exclude="events")

    assert not result.budget.estimated and result.budget.unknown == []
    assert result.budget.requests == pytest.approx(real, rel=0.1)
    assert (result.tables["charges"].requests, result.tables["charges"].estimated) == (1, False)
    assert result.tables["prices"].requests == result.tables["payment_methods"].requests == 2  # two passes
    assert result.tables["accounts"].requests == 2  # and the key's own


def test_fan_outs_of_a_small_account_are_counted(few: Any) -> None:
    """Lists of each parent, of pairs of parents, by way of another object, and objects one by one."""
    result, _ = asked(few, "%", exclude="events")
    real = taken(few, "%", exclude="events")

    assert result.budget.requests == pytest.approx(real, rel=0.1)
    for name in ("setup_attempts", "tax_transaction_line_items", "v2_core_accounts", "product_features"):
        assert result.tables[name].requests == pytest.approx(taken(few, name) - 2, abs=1), name


def test_a_bigger_account_is_estimated(business: Any) -> None:
    """Lists that go on behind their page: within a factor of 1.5, and said to be an estimate, of two digits."""
    result, _ = asked(business)
    real = taken(business)

    assert real / 1.5 <= result.budget.requests <= real * 1.5
    assert result.budget.estimated and result.tables["charges"].estimated
    assert len(str(result.budget.requests).rstrip("0")) <= 2


def test_a_fan_out_over_customers_is_estimated(business: Any) -> None:
    """As many requests as there are customers, who are more than a page."""
    result, _ = asked(business, "customer_balance_transactions")
    real = taken(business, "customer_balance_transactions")

    assert real / 1.5 <= result.tables["customer_balance_transactions"].requests <= real * 1.5
    assert result.tables["customer_balance_transactions"].estimated


def test_what_tables_share_is_counted_once(few: Any) -> None:
    """Cards, bank accounts and sources are on the pages of the customers: alone each takes these, together once."""
    result, _ = asked(few, "customer_cards;customer_bank_accounts;customer_sources;customers")
    alone = {table.requests for table in result.tables.values()}

    assert len(alone) == 1
    assert result.budget.requests == alone.pop() + 2  # whose key it is, and where the change feed stands


def test_bounds_are_kept_to(business: Any) -> None:
    """With `start` only the lists' newer part is read, and counted."""
    start = business.world.now - 150 * DAY
    result, _ = asked(business, "charges;payment_intents", start=start)
    real = taken(business, "charges;payment_intents", start=start)

    assert real / 1.5 <= result.budget.requests <= real * 1.5


def test_the_rate_says_how_long_it_takes(business: Any) -> None:
    """Requests by the limits of the account, and of an endpoint where that is narrower."""
    half, _ = asked(business, "charges;customers", rate=0.5)
    payouts, _ = asked(business, "payout_balance_transactions", rate=0.5)
    free, _ = asked(business, "charges")

    assert half.budget.seconds == pytest.approx(half.budget.requests / 12.5, rel=0.1)
    assert payouts.budget.seconds == pytest.approx(payouts.budget.requests / 12.5, rel=0.1)
    assert free.budget.seconds is None
    assert re.search(r"about \d+ requests, at least \d+ seconds at this rate", printed(show_check, half))
    assert re.search(r"charges +≈\d+\n", printed(show_check, half))


def test_what_a_page_does_not_tell_is_not_made_up(business: Any) -> None:
    """Who may not read the account does not know its age; who is not asked for customers does not know how many."""
    key = business.world.restricted_key(["rak_charge_read", "rak_billing_meter_read", "rak_refund_read"])
    result, _ = asked(business, "charges;billing_meters", api_key=key)
    text = " ".join(printed(show_check, result).split())

    assert (result.tables["charges"].requests, result.budget.unknown) == (None, ["charges"])
    assert "charges ?" in text and "at least 5 requests" in text
    assert "One page does not tell how long these lists are: charges" in text


def test_pairs_are_not_known_without_both(few: Any) -> None:
    """Usage is asked for by meter and customer: alone it may ask for one of them only."""
    alone, _ = asked(few, "billing_meter_event_summaries")
    both, _ = asked(few, "billing_meter_event_summaries;customers")

    assert alone.tables["billing_meter_event_summaries"].requests is None
    assert both.tables["billing_meter_event_summaries"].requests == pytest.approx(
        taken(few, "billing_meter_event_summaries") - 2, abs=1)


def test_a_permission_for_what_is_expanded_is_missed(few: Any) -> None:
    """The list is refused for its sources, and asked again without: two requests for two tables, two verdicts."""
    key = few.world.restricted_key(["rak_customer_read"])
    result, paths = asked(few, "customers;customer_cards", api_key=key)

    assert {name: table.status for name, table in result.tables.items()} == {
        "customers": "ok", "customer_cards": "no permission"}
    assert result.tables["customer_cards"].permission == "rak_source_read"
    assert result.tables["customers"].requests and result.tables["customer_cards"].requests is None
    assert paths == ["/v1/account", "/v1/customers", "/v1/customers"]


def page(*seconds: int, more: bool = True) -> Sample:
    return Sample([{"id": str(n), "created": second} for n, second in enumerate(seconds)], more, max(seconds))


def test_the_pace_of_a_page() -> None:
    """A steady business, one that grew, an import, a page of one second, a list that ends, and one that forgets."""
    charges, events, links = BY_NAME["charges"], BY_NAME["events"], BY_NAME["payment_links"]
    daily = [1000 * DAY - n * DAY for n in range(100)]
    grown = [int((n / 2000) ** 0.5 * 1000 * DAY) for n in range(2000, 1900, -1)]  # 2000 in 1000 days, none at first
    imported = [*daily[:50], *[daily[49] - 5] * 50]

    assert 1000 / 1.5 < (page(*daily).count(charges, 0) or 0) < 1000 * 1.5
    assert 2000 / 1.5 < (page(*grown).count(charges, 0) or 0) < 2000 * 1.5
    assert (page(*imported).count(charges, 0) or 0) < 1000 * 1.5
    assert page(*[5 * DAY] * 100).count(charges, 0) is None
    assert page(*daily[:7], more=False).count(charges, None) == 7
    assert page(*daily).count(charges, None) is page(*daily).count(charges, 950 * DAY) is None
    assert page(*[1000 * DAY - n * DAY // 10 for n in range(100)]).count(events, 0) == pytest.approx(300, rel=0.05)
    assert page(*daily).count(links, 0) is None  # payment links do not say when they were made
