"""What people do with any dlt source, done with this one."""
from __future__ import annotations

from typing import Any

import dlt
import pytest
from account import Account
from dlt.pipeline.exceptions import PipelineStepFailed
from later import some_later

from stripe_source import stripe_source
from stripe_source.errors import InvalidOption
from stripe_source.source import resolve_options

CUSTOMERS, CHARGES = "customers", "charges"
BOTH = "customers;charges"


def source(account: Account, tables: Any = CUSTOMERS, **options: Any) -> Any:
    return stripe_source(tables=tables, api_base=account.stripe.url, api_key=account.stripe.api_key, **options)


def count(account: Account, table: str = CUSTOMERS) -> int:
    return int(account.query(f"SELECT count(*) FROM stripe.{table}")[0][0])


def shown(account: Account, table: str) -> list[dict[str, Any]]:
    """What Stripe's list shows."""
    return [truth.object for truth in account.world.dump()[table] if not truth.deleted]


def live(account: Account, table: str = CUSTOMERS) -> int:
    return len(shown(account, table))


# ---- resources beside ours


def test_a_resource_of_ones_own_in_the_source(account: Account) -> None:
    """It is loaded with the tables."""
    made = source(account, BOTH)
    made.resources["mine"] = dlt.resource([{"a": 1}, {"a": 2}], name="mine")
    account.new_pipeline().run(made)

    assert (count(account, "mine"), account.differences(BOTH)) == (2, [])


@pytest.mark.parametrize("alone", [False, True])
def test_a_transformer_gets_what_a_table_yields(alone: bool, account: Account) -> None:
    """With the table itself, or alone, while another table is loaded beside it."""

    @dlt.transformer(name="emails", primary_key="id")
    def emails(rows: Any) -> Any:
        yield rows.select(["id", "email"])

    made = source(account, BOTH)
    made.resources["emails"] = made.resources[CUSTOMERS] | emails
    if alone:
        made = made.with_resources("emails", CHARGES)
    account.new_pipeline().run(made)
    mails = {each["id"]: each["email"] for each in shown(account, CUSTOMERS)}

    assert dict(account.query("SELECT id, email FROM stripe.emails")) == mails
    assert account.differences(CHARGES if alone else BOTH) == []


def test_a_transformer_without_its_source(account: Account) -> None:
    """What it makes is loaded, and the table that it takes is not."""

    @dlt.transformer(name="emails", primary_key="id")
    def emails(rows: Any) -> Any:
        yield rows.select(["id", "email"])

    account.new_pipeline().run(source(account).customers | emails)
    mails = {each["id"]: each["email"] for each in shown(account, CUSTOMERS)}

    assert dict(account.query("SELECT id, email FROM stripe.emails")) == mails
    assert account.query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'customers'") == [(0,)]


@pytest.mark.parametrize("whole", [False, True])
def test_parallelized_resources(whole: bool, account: Account) -> None:
    """The whole source, or one resource of it."""
    made = source(account, BOTH).parallelize() if whole else source(account, BOTH)
    if not whole:
        made.resources[CUSTOMERS].parallelize()
    account.new_pipeline().run(made)

    assert account.differences(BOTH) == []


# ---- options


@pytest.mark.parametrize("option", ["marker", "resync"])
def test_none_as_an_argument(option: str, account: Account) -> None:
    """It is a value of these options, and not what dlt looks up elsewhere."""
    account.new_pipeline().run(source(account, **{option: None}))

    assert account.differences(CUSTOMERS) == []


def test_mappings_and_lists_in_variables(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON; what begins like it and is none is refused."""
    monkeypatch.setenv("SOURCES__STRIPE__TABLES", '["customers", "charges"]')
    monkeypatch.setenv("SOURCES__STRIPE__MARKER", '{"customers": "created", "%": null}')
    monkeypatch.setenv("SOURCES__STRIPE__SCHEMA_CONTRACT", '{"columns": "freeze"}')
    options = resolve_options(api_key=account.stripe.api_key, api_base=account.stripe.url)

    assert options.markers == {"customers": "created", "charges": None}
    assert options.contract.columns == "freeze"
    monkeypatch.setenv("SOURCES__STRIPE__MARKER", '{"customers": created}')
    with pytest.raises(InvalidOption, match="It is no JSON"):
        resolve_options(api_key=account.stripe.api_key, api_base=account.stripe.url)


# ---- hints


@pytest.mark.parametrize("marker", some_later(["auto", "id", None], ["auto"]))
def test_a_cursor_of_dlts_beside_another_marker_is_refused(marker: Any, account: Account) -> None:
    """It would leave changed rows out; with marker `created` it is the marker."""
    made = source(account, marker=marker)
    made.customers.apply_hints(incremental=dlt.sources.incremental("created"))
    with pytest.raises(PipelineStepFailed, match=r"Give `marker=\{\"customers\": \"created\"\}`"):
        account.new_pipeline().run(made)
    made = source(account, marker="created")
    made.customers.apply_hints(incremental=dlt.sources.incremental("created"))
    account.new_pipeline().run(made)

    assert count(account) == live(account)


@pytest.mark.parametrize("rows", [False, True])
def test_a_limit_is_one_of_pages_or_rows(rows: bool, account: Account) -> None:
    """About a page, from the table and of what is asked for."""
    for _ in range(900):
        account.world.create("customer")
    first = len(account.world.requests)
    made = source(account, marker=None)
    made.customers.add_limit(150 if rows else 1, count_rows=rows)
    account.new_pipeline().run(made)
    pages = sum(request.path == "/v1/customers" for request in account.world.requests[first:])

    assert 0 < count(account) <= (200 if rows else 100)
    assert pages < 30
    account.new_pipeline().run(source(account, marker=None))
    assert account.differences(CUSTOMERS) == []


# ---- what a plain run says


def test_a_plain_run_says_which_table_could_not_be_read(account: Account) -> None:
    """In the metrics of its resource, which are in dlt's trace."""
    key = account.world.restricted_key(["rak_charge_read"])
    pipeline = account.new_pipeline()
    made = stripe_source(tables=BOTH, api_base=account.stripe.url, api_key=key)
    pipeline.run(made)
    said = {name: resource.custom_metrics for name, resource in made.resources.items()}

    assert said[CUSTOMERS]["status"] == "no permission" and "rak_" in said[CUSTOMERS]["reason"]
    assert "status" not in said[CHARGES] and said[CHARGES]["new"] == live(account, CHARGES)


def test_a_second_id_of_dlts_is_refused(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written; the id of the load may be added, as it is there already."""
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    account.new_pipeline().run(source(account))
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID", "true")
    with pytest.raises(PipelineStepFailed, match="Take the setting out"):
        account.new_pipeline().run(source(account))

    assert account.differences(CUSTOMERS) == []


@pytest.mark.parametrize("way", ["option", "run"])
def test_a_frozen_table_stops_a_plain_run(way: str, account: Account) -> None:
    """As dlt's own sources do it; nothing is lost: with what is new allowed, the next run brings it."""
    account.new_pipeline().run(source(account))
    account.world.advance(60)
    account.world.create("customer", brand_new_field="x")
    frozen: Any = {"columns": "freeze"}
    with pytest.raises(PipelineStepFailed, match="no column for `brand_new_field`"):
        if way == "run":
            account.new_pipeline().run(source(account), schema_contract=frozen)
        else:
            account.new_pipeline().run(source(account, schema_contract=frozen))
    account.new_pipeline().run(source(account, schema_contract="evolve"))

    assert account.differences(CUSTOMERS) == []
    assert account.query(f"SELECT count(*) FROM stripe.{CUSTOMERS} WHERE brand_new_field = 'x'") == [(1,)]
