"""The walk without dlt: pages, WAEvents and rows as generators, for who wants no pipeline."""
from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from truth import expected_rows, loaded_rows

from stripe_source import pages, rows, sandbox, waevents
from stripe_source.arrow_rows.waevent import SELECT
from stripe_source.errors import AuthenticationError, InvalidOption, TablesNotRead, UnknownTable

WITH_CHILDREN = "customers;invoices;invoice_line_items;discounts;payouts;payout_balance_transactions;balance_available"


def of(stripe: Any, **more: Any) -> dict[str, Any]:
    return {"api_base": stripe.url, "api_key": stripe.api_key, **more}


def account_of(stripe: Any) -> str:
    return str(stripe.world.dump()["accounts"][0].object["id"])


def objects(stripe: Any, table: str) -> dict[str, Any]:
    """What the lists of a table show, by id."""
    return {one.object["id"]: one.object for one in stripe.world.dump()[table] if one.listed and not one.deleted}


def test_pages_bring_the_objects_as_stripe_sends_them(small: Any) -> None:
    """Each once, untouched; a table without a list is inside those of the list that it is found in."""
    found = list(pages("customers;invoice_line_items;balance_available", **of(small)))
    customers = {thing["id"]: thing for page in found if page.table == "customers" for thing in page.objects}
    lines = [line["id"] for page in found if page.table == "invoices" for thing in page.objects
             for line in thing["lines"]["data"]]

    assert {page.table for page in found} == {"customers", "invoices", "balance_available"}
    assert customers == objects(small, "customers")
    assert sum(len(page.objects) for page in found if page.table == "customers") == len(customers)
    assert set(lines) <= objects(small, "invoice_line_items").keys() and len(lines) > 50
    assert {page.read_at for page in found} == {small.world.clock}


def test_waevents_bring_each_object_once(small: Any) -> None:
    """With those of children taken out of their parents, the parent's id and the place in its list."""
    found = list(waevents(WITH_CHILDREN, **of(small)))
    truth = small.world.dump()
    counted = Counter(event.table for event in found)
    lines = {(event.parent, event.data["id"]): event.position for event in found if event.table == "invoice_line_items"}

    assert counted == {table: len(expected_rows(table, truth[table], "x")) for table in WITH_CHILDREN.split(";")}
    assert {event.operation for event in found} == {SELECT}
    assert {event.account for event in found} == {account_of(small)}
    assert lines == {
        (one.parent_id, one.object["id"]): one.position for one in truth["invoice_line_items"] if not one.deleted
    }


def test_rows_are_those_of_a_first_load(small: Any) -> None:
    """All values of the dump, in Arrow tables; of a field that no map declares there is a column more."""
    import duckdb

    small.world.create("customer", email="a@example.com", new_field="something new")
    small.world.create("customer", email="b@example.com")
    parts: dict[str, list[pa.Table]] = {}
    for name, table in rows(WITH_CHILDREN, **of(small)):
        parts.setdefault(name, []).append(table)
    truth, wrong = small.world.dump(), []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA s")
        for name, some in parts.items():
            whole = pa.concat_tables(some, promote_options="default")
            connection.register("whole", whole)
            connection.execute(f'CREATE TABLE s."{name}" AS SELECT * FROM whole')
            expected = expected_rows(name, truth[name], account_of(small))
            got = loaded_rows(connection, "s", name)
            assert expected.keys() == got.keys()
            wrong += [(name, key, column) for key, row in expected.items() for column, value in row.items()
                      if got[key].get(column) != value]

    assert wrong == []
    assert sorted(parts) == sorted(WITH_CHILDREN.split(";"))
    assert "_dlt_load_id" not in parts["customers"][0].column_names
    assert pa.concat_tables(parts["customers"], promote_options="default")["new_field"].drop_null().to_pylist() == [
        "something new"]


def test_bounds_are_those_of_the_source(small: Any) -> None:
    """`start` and `end` mean what they mean in a load."""
    every = [event.data["created"] for event in waevents("charges", **of(small))]
    middle = sorted(every)[len(every) // 2]
    newer = [event.data["created"] for event in waevents("charges", **of(small, start=middle))]
    older = [event.data["created"] for event in waevents("charges", **of(small, end=middle))]

    assert sorted(older + newer) == sorted(every)
    assert min(newer) == middle and max(older) < middle


def test_tables_that_cannot_be_read_are_named_at_the_end(small: Any) -> None:
    """All of the others has come by then; who takes the reasons gets no exception."""
    key = small.world.restricted_key(["rak_customer_read"])
    options, came, reasons = of(small, api_key=key), [], dict[str, str]()
    with pytest.raises(TablesNotRead) as caught:
        for event in waevents("customers;charges", **options):
            came.append(event.data["id"])
    taken = [event.data["id"] for event in waevents("customers;charges", problems=reasons, **options)]

    assert sorted(came) == sorted(taken) == sorted(objects(small, "customers"))
    assert list(caught.value.problems) == list(reasons) == ["charges"]
    assert "rak_charge_read" in str(caught.value) and key not in str(caught.value)


def test_rows_that_cannot_be_built_are_a_failure_of_their_table(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tables come whole."""
    from stripe_source.arrow_rows.builder import RowBuilder

    build = RowBuilder.build

    def sometimes(self: RowBuilder, events: Any, *rest: Any) -> Any:
        if events and events[0].table == "charges":
            raise ValueError("a surprise")
        return build(self, events, *rest)

    monkeypatch.setattr(RowBuilder, "build", sometimes)
    reasons: dict[str, str] = {}
    counted: Counter[str] = Counter()
    monkeypatch.setattr("logging.Logger.error", lambda *args, **kw: None)
    for name, table in rows("customers;charges", problems=reasons, **of(small)):
        counted[name] += table.num_rows

    assert counted == {"customers": len(expected_rows("customers", small.world.dump()["customers"], "x"))}
    assert reasons == {"charges": "failed. ValueError: a surprise"}


def test_who_has_enough_may_leave(small: Any) -> None:
    """The thread that reads ends with the generator, and no request follows."""
    walk = waevents("customers;charges", **of(small))
    next(walk)
    walk.close()
    before = len(small.world.requests)

    assert [thread.name for thread in threading.enumerate() if thread.name == "stripe-extractor"] == []
    assert len(small.world.requests) == before


@pytest.mark.soak
def test_a_long_table_waits_for_who_takes_it() -> None:
    """What is read ahead is bounded, however long the list is."""
    with sandbox.serve(world=sandbox.Bulk({"charges": 60_000})) as stripe:
        walk = rows("charges", **of(stripe))
        first = next(walk)[1].num_rows
        ahead = stripe.world.figures()["objects"]
        total = first + sum(table.num_rows for _, table in walk)

    assert total == 60_000
    assert ahead < 50_000


@pytest.mark.parametrize("option", ["mode", "marker", "deletes", "history"])
def test_options_about_a_destination_are_refused(option: str, small: Any) -> None:
    """They would be ignored otherwise."""
    with pytest.raises(InvalidOption, match=f"`{option}`.*reads from the beginning and loads nothing"):
        next(pages("customers", **of(small, **{option: "events"})))


def test_mistakes_are_said_at_the_first_step(small: Any) -> None:
    """A table that nobody knows, an option that nobody knows, a key that Stripe does not know."""
    with pytest.raises(UnknownTable, match="customers"):
        next(waevents("custmers", **of(small)))
    with pytest.raises(TypeError, match=r"rows\(\) got an unexpected keyword argument 'tabels'"):
        next(rows(tabels="customers"))
    with pytest.raises(AuthenticationError):
        next(waevents("customers", **of(small, api_key="sk_test_" + "9" * 24)))


def test_nothing_to_read_is_no_error(small: Any) -> None:
    """A table of which the account has nothing brings nothing."""
    assert list(rows("climate_orders", **of(small))) == []
