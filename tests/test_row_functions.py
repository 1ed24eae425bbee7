"""Functions that a user gives to a resource: they get rows or Arrow tables, whichever they are made for."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from account import Account
from destinations import DATASET, PLACES
from dlt.pipeline.exceptions import PipelineStepFailed

from stripe_source import stripe_source
from stripe_source.errors import InvalidOption, RowFunctionFailed
from stripe_source.load.sync import sync
from stripe_source.verification.verify import verify

CUSTOMERS, CHARGES = "customers", "charges"


def source(account: Account, tables: str = CUSTOMERS, **options: Any) -> Any:
    return stripe_source(tables=tables, api_base=account.stripe.url, api_key=account.stripe.api_key, **options)


def shown(account: Account, table: str) -> list[dict[str, Any]]:
    """What Stripe's list shows."""
    return [truth.object for truth in account.world.dump()[table] if not truth.deleted]


def mask(row: dict[str, Any]) -> dict[str, Any]:
    """In place, as most write it."""
    if row["email"]:
        row["email"] = "***"
    return row


def masked(row: dict[str, Any]) -> dict[str, Any]:
    """A new row."""
    return {**row, "email": row["email"] and "***"}


def masked_table(table: Any) -> Any:
    """The same in Arrow."""
    place = table.schema.get_field_index("email")
    values = pc.if_else(pc.is_valid(table["email"]), "***", pa.scalar(None, pa.string()))
    return table.set_column(place, "email", values)


def masked_by_annotation(table: pa.Table) -> pa.Table:
    """It would do with a row as well, and is made for tables."""
    return masked_table(table)


def masked_by_kind(item: Any) -> Any:
    """It answers to a row as well, but not with one."""
    return item["email"] if isinstance(item, dict) else masked_table(item)


def masked_with_meta(row: dict[str, Any], meta: Any) -> dict[str, Any]:
    """dlt gives `meta` to functions of two parameters."""
    assert meta is None or not isinstance(meta, dict)
    return masked(row)


@pytest.mark.parametrize("function", [
    mask, masked, masked_table, masked_by_annotation, masked_by_kind, masked_with_meta,
])
def test_a_map_gets_what_it_is_made_for(function: Any, account: Account) -> None:
    """E-mails are masked, and nothing else is changed: types, times and JSON are those of Stripe."""
    made = source(account)
    made.customers.add_map(function)
    account.new_pipeline().run(made)
    truths = {each["id"]: each for each in shown(account, CUSTOMERS)}
    rows = account.query(f"SELECT id, email, epoch(created)::BIGINT, balance, metadata FROM stripe.{CUSTOMERS}")

    assert len(rows) == len(truths) > 0
    for id, email, created, balance, metadata in rows:
        truth = truths[id]
        assert email == ("***" if truth["email"] else None)
        assert (created, balance, json.loads(metadata)) == (truth["created"], truth["balance"], truth["metadata"])


@pytest.mark.parametrize("keep", [
    lambda row: row["paid"], lambda table: pc.equal(table["paid"].combine_chunks(), True),
    lambda row, meta: row["paid"],
])
def test_a_filter_is_asked_about_each_row(keep: Any, account: Account) -> None:
    """Also one that answers with a mask of a table's rows."""
    made = source(account, CHARGES)
    made.charges.add_filter(keep)
    account.new_pipeline().run(made)
    paid = sorted(each["id"] for each in shown(account, CHARGES) if each["paid"])

    assert sorted(id for id, in account.query(f"SELECT id FROM stripe.{CHARGES}")) == paid
    assert 0 < len(paid) < len(shown(account, CHARGES))


def test_a_filter_that_keeps_nothing_leaves_an_empty_table(account: Account) -> None:
    """Also in the run after, where rows have changed."""
    for _ in range(2):
        made = source(account, CHARGES)
        made.charges.add_filter(lambda row: False)
        account.new_pipeline().run(made)
        account.world.advance(60)
        account.world.create("charge", amount=700, currency="eur")

    assert account.query(f"SELECT count(*) FROM stripe.{CHARGES}") == [(0,)]


def test_a_function_goes_on_with_what_changes(account: Account) -> None:
    """A later run masks as well, and lists may be added to rows."""
    for _ in range(2):
        made = source(account)
        made.customers.add_map(lambda row: {**mask(row), "tags": [row["id"]], "source_of": None})
        account.new_pipeline().run(made)
        account.world.advance(60)
        account.world.update("customer", account.world.books.all("customer")[0].id, email="new@example.com")

    assert account.query(f"SELECT count(*) FROM stripe.{CUSTOMERS} WHERE email <> '***'") == [(0,)]
    rows = account.query(f"SELECT id, tags FROM stripe.{CUSTOMERS}")
    assert [json.loads(tags) for _, tags in rows] == [[id] for id, _ in rows]


def test_a_map_may_leave_columns_and_rows_out(account: Account) -> None:
    """None leaves the row out; the columns that tell what became of a row stay."""
    made = source(account)
    made.customers.add_map(lambda row: {"id": row["id"], "email": row["email"]} if row["email"] else None)
    account.new_pipeline().run(made)
    mails = {each["id"]: each["email"] for each in shown(account, CUSTOMERS)}
    held = account.query(f"SELECT id, email, name, _deleted, _account_id FROM stripe.{CUSTOMERS}")

    assert {id: email for id, email, *_ in held} == {id: email for id, email in mails.items() if email}
    assert {tuple(rest) for _, _, *rest in held} == {(None, False, account.world.books.account)}


def test_a_yield_map_makes_any_number_of_rows(account: Account) -> None:
    """Two for each, under other keys."""

    def twice(row: dict[str, Any]) -> Any:
        yield row
        yield {**row, "id": row["id"] + "_again"}

    made = source(account)
    made.customers.add_yield_map(twice)
    account.new_pipeline().run(made)

    assert account.query(f"SELECT count(*) FROM stripe.{CUSTOMERS}") == [(2 * len(shown(account, CUSTOMERS)),)]


@pytest.mark.parametrize(("function", "words"), [
    (lambda row: row["no such column"], ["add_map of customers", "With a row", "KeyError", "Arrow table"]),
    (lambda row: {**row, "created": "yesterday"}, ["add_map of customers, column created"]),
])
def test_a_function_that_fails_is_named(function: Any, words: list[str], account: Account) -> None:
    """With what failed, and both forms that it may have."""
    made = source(account)
    made.customers.add_map(function)
    with pytest.raises(PipelineStepFailed) as failure:
        account.new_pipeline().run(made)
    causes: list[BaseException | None] = [failure.value]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    said = next(str(each) for each in causes if isinstance(each, RowFunctionFailed))

    assert [word for word in words if word not in said] == []


@pytest.mark.filterwarnings("ignore:implicitly coercing SELECT")  # of dlt's merge on SQLAlchemy
@pytest.mark.parametrize("name", ["Postgres", "SQLite"])
def test_values_are_the_same_elsewhere(name: str, account: Account, tmp_path: Path) -> None:
    """Decimals, times and JSON that went through a function of rows, in a destination that is not DuckDB."""
    tables, loaded = ("customers", "invoices", "tax_rates"), []
    for maps in (False, True):
        folder = tmp_path / str(maps)
        folder.mkdir()
        with PLACES[name](folder) as place:
            made = source(account, ";".join(tables))
            for table in tables if maps else ():
                made.resources[table].add_map(lambda row: {**row, "livemode": not row["livemode"]})
            pipeline = dlt.pipeline("rows", destination=place.make(), dataset_name=DATASET, pipelines_dir=str(folder))
            pipeline.run(made)
            place.prepare(pipeline)
            loaded.append({table: sorted((
                [str(value) for column, value in sorted(row.items()) if not column.startswith("_dlt")]
                for row in ({**each, "livemode": bool(each["livemode"]) != maps} for each in place.rows(table))
            ), key=str) for table in tables})

    assert loaded[0] == loaded[1] and all(loaded[0].values())


# ---- a source in place of options


def masked_source(account: Account, tables: str = f"{CUSTOMERS};{CHARGES}", **options: Any) -> Any:
    """Customers without e-mails, and only charges that were paid, without one."""
    made = source(account, tables, **options)
    made.customers.add_map(masked)
    made.charges.add_map(lambda table: table.drop_columns(["receipt_email"])).add_filter(lambda row: row["paid"])
    return made


def kept(account: Account) -> None:
    """What must hold after each run."""
    assert account.query(f"SELECT count(*) FROM stripe.{CUSTOMERS} WHERE email <> '***'") == [(0,)]
    assert account.query(f"SELECT count(receipt_email) FROM stripe.{CHARGES}") == [(0,)]
    held = {id for id, in account.query(f"SELECT id FROM stripe.{CHARGES} WHERE NOT _deleted")}
    assert held == {each["id"] for each in shown(account, CHARGES) if each["paid"]}
    found = {id for id, in account.query(f"SELECT id FROM stripe.{CUSTOMERS} WHERE NOT _deleted")}
    assert found == {each["id"] for each in shown(account, CUSTOMERS)}


def test_functions_hold_on_every_road(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first load in several portions, changes, a verification, a repair; without the source the next is refused."""
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 50)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)
    pipeline = account.new_pipeline()
    calls: list[str] = []

    @dlt.transformer(name="emails", primary_key="id", write_disposition="append")
    def emails(rows: Any) -> Any:
        yield rows.select(["id", "email"])

    @dlt.resource(name="foreign", write_disposition="append")
    def foreign() -> Any:
        calls.append("foreign")
        yield {"a": 1}

    made = masked_source(account)
    made.resources["emails"] = made.resources[CUSTOMERS] | emails
    made.resources["foreign"] = foreign
    first = sync(pipeline, source=made)

    assert len(first.load_ids) > 1 and calls == ["foreign"]
    assert sorted(first.tables) == [CHARGES, CUSTOMERS]
    kept(account)
    assert sorted(account.query("SELECT id, email FROM stripe.emails")) == sorted(
        (each["id"], each["email"] and "***") for each in shown(account, CUSTOMERS))

    account.world.advance(60)
    account.world.update("customer", account.world.books.all("customer")[0].id, email="new@example.com")
    account.world.create("charge", amount=700, currency="eur", receipt_email="other@example.com")
    account.world.advance(60)
    second = sync(pipeline, source=masked_source(account))
    assert second.tables[CUSTOMERS].changed == 1 and second.tables[CHARGES].new == 1
    kept(account)
    assert verify(pipeline, source=masked_source(account)).exit_code == 0

    id, = account.query(f"SELECT min(id) FROM stripe.{CUSTOMERS}")[0]
    with duckdb.connect(str(account.file)) as connection:
        connection.execute(f"UPDATE stripe.{CUSTOMERS} SET email = 'planted' WHERE id = '{id}'")
    repaired = verify(pipeline, source=masked_source(account), repair=True)
    assert (repaired.repaired, repaired.exit_code) == ({CUSTOMERS: 1}, 0)
    kept(account)

    options: dict[str, Any] = {"api_base": account.stripe.url, "api_key": account.stripe.api_key}
    with pytest.raises(InvalidOption, match="went through functions of yours"):
        sync(pipeline, tables=CUSTOMERS, **options)
    with pytest.raises(InvalidOption, match="went through functions of yours"):
        verify(pipeline, repair=True, **options)
    plain = verify(pipeline, **options)
    assert plain.exit_code == 4
    assert any("compared without them" in note for note in plain.notes)
    kept(account)


def test_a_source_comes_alone(account: Account) -> None:
    """Options besides it, and what is no source, are refused; only its selected tables are loaded."""
    pipeline, made = account.new_pipeline(), source(account, f"{CUSTOMERS};{CHARGES}")
    for call in (sync, verify):
        with pytest.raises(InvalidOption, match="`tables` was given besides"):
            call(pipeline, source=made, tables=CUSTOMERS)
        with pytest.raises(InvalidOption, match="what `stripe_source"):
            call(pipeline, source=made.customers)
    result = sync(pipeline, source=made.with_resources(CUSTOMERS))

    assert list(result.tables) == [CUSTOMERS]
    assert account.differences(CUSTOMERS) == []
