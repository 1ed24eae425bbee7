"""Striim's tables as views of ours: the names, the order, the types, and every value against the sandbox's dump."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from striim_truth import SOURCES, TABLES, Account, by_key, differences

from stripe_source import create_views, sandbox, sync
from stripe_source.views.typed_query import typed_query
from stripe_source.views.view_map import view_map

DUCKDB_TYPES = {"String": "VARCHAR", "Integer": "BIGINT", "Datetime": "TIMESTAMP WITH TIME ZONE", "Boolean": "BOOLEAN",
                "Decimal": "DECIMAL(38,12)", "Double": "DOUBLE"}
VIEWS = view_map("striim").views
NATIVE = sorted({name for view in VIEWS.values() for name in typed_query(view).reads})
PERSON = {
    "id": "person_1", "object": "person", "account": "acct_1", "first_name": "Ann", "dob": {"day": 1, "year": 1980},
    "address": {"city": "Łódź", "line1": 'The "Old" Mill\\Yard'}, "metadata": {"a": "b"}, "gender": None,
    "full_name_aliases": ["Annie"], "verification": {"document": {"back": "file_1"}},
}


class Copy:
    """An account with some of every object, loaded, with the views of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        world = sandbox.World(seed=7, scale=0.02)
        world.populate_all(2)
        world.update("account", world.dump()["accounts"][1].object["id"], individual=PERSON)
        for _ in range(2):  # of which the newest counts
            world.create("dispute", charge=world.dump()["charges"][0].object["id"])
            world.advance(60)
        gone = world.create("coupon", percent_off=10, duration="once")["id"]
        with sandbox.serve(world=world) as stripe:
            sync(self.pipeline(), api_base=stripe.url, api_key=stripe.api_key, tables=NATIVE)
            world.delete("coupon", gone)
            sync(self.pipeline(), api_base=stripe.url, api_key=stripe.api_key, tables="coupons;events")
        self.account = Account(world.dump())
        self.result = create_views(self.pipeline(), "striim")

    def pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline("views", destination=dlt.destinations.duckdb(str(self.folder / "copy.duckdb")),
                            dataset_name="stripe", pipelines_dir=str(self.folder / "pipelines"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "copy.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()

    def rows(self, view: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Key -> column -> value."""
        return by_key(view, [dict(zip(TABLES[view], values, strict=True))
                             for values in self.query(f'SELECT * FROM stripe_striim."{view}"')])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Tests only look at it."""
    return Copy(tmp_path_factory.mktemp("striim"))


def test_the_views_have_striims_columns_in_striims_order(copy: Copy) -> None:
    """60 tables, 1,752 columns, names with their misspellings, types as Striim's reader has them.

    Times of a report's own time zone have no zone.
    """
    found: dict[str, dict[str, str]] = {}
    for view, column, type in copy.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'stripe_striim' AND table_name <> '_stripe_source_views' ORDER BY 1, ordinal_position"
    ):
        found.setdefault(view, {})[column] = type
    expected = {view: {name: DUCKDB_TYPES[type] for name, type in columns.items()} for view, columns in TABLES.items()}
    for view, columns in TABLES.items():  # reports have times of the report's zone beside those in UTC
        expected[view].update({name: "TIMESTAMP" for name, type in columns.items() if view.endswith("Report")
                               and type == "Datetime" and not name.endswith("_UTC") and not name.startswith("Para")})

    assert [(view, list(columns.items())) for view, columns in sorted(expected.items())] == [
        (view, list(columns.items())) for view, columns in sorted(found.items())]
    assert (len(found), sum(map(len, found.values()))) == (60, 1752)


@pytest.mark.parametrize("view", sorted({*SOURCES, "InvoiceLineItemDiscounts"}))
def test_every_value_is_the_one_of_the_dump(copy: Copy, view: str) -> None:
    """Row by row and column by column, against a walk over the objects that knows nothing of the map."""
    expected, found = copy.account.expected(view), copy.rows(view)

    assert differences(expected, found) == []


def test_the_comparison_has_something_to_compare(copy: Copy) -> None:
    """Nine of ten columns that can have a value have one in some row."""
    valued = {
        (view, name) for view in SOURCES for row in copy.account.expected(view).values()
        for name, value in row.items() if value is not None
    }
    possible = {(view.name, column.name) for view in VIEWS.values() for column in view.columns
                if column.value and not view.name.endswith("Report")}  # see tests/test_reconcile.py

    assert valued - possible == set()
    assert len(valued) > 0.9 * len(possible)


def test_what_stripe_no_longer_has_is_empty_and_says_so(copy: Copy) -> None:
    """Orders, Skus and UsageRecords have their columns, no rows, and a note."""
    empty = sorted(name for name, view in VIEWS.items() if view.source is None)
    notes = {view.name: view.note for view in copy.result.views}

    assert empty == ["Orders", "Skus", "UsageRecords"]
    assert all("no rows" in notes[name] for name in empty)
    assert [copy.query(f'SELECT count(*) FROM stripe_striim."{name}"')[0][0] for name in empty] == [0] * len(empty)
