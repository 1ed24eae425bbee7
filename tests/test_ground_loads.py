"""Loads into tables that somebody emptied, spoilt or migrated: what is read again, and what goes on."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from later import later
from small_copy import ours, wrong

from stripe_source.errors import InvalidOption
from stripe_source.load.other_loads import OtherLoads
from stripe_source.load.sync import sync
from stripe_source.resources.ground.decide import LACKING
from stripe_source.schema.migrate import schema_migrate
from stripe_source.source import stripe_source


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run loads in several portions."""
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 150)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)


# ---- what somebody did to the tables


def test_columns_that_were_migrated_again_have_their_values_after_the_next_run(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Dropped, and made again by `schema migrate`: the rows have their fingerprints, and lack the values."""
    pipeline = new_pipeline()
    options = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    sync(pipeline, **options)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute("ALTER TABLE stripe.customers DROP COLUMN email")
    schema_migrate(pipeline, "customers")
    result = sync(pipeline, **options)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []
    assert result.notes == [f"Read whole and compared, as {LACKING}: customers."]
    assert sync(pipeline, **options).notes == []


@pytest.mark.parametrize("options", [{"refresh": "customers"}, {"mode": "initial"}], ids=["refresh", "initial"])
def test_who_asks_for_all_again_gets_all_again(
    options: dict[str, str], tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Values that somebody spoilt in the destination are put right, though the fingerprints of the rows are known."""
    given = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    sync(new_pipeline(), **given)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute("UPDATE stripe.customers SET email = NULL")
    result = sync(new_pipeline(), **given, **options).tables["customers"]

    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []
    assert (result.new, result.changed, result.unchanged) == (0, 0, result.read)


@pytest.mark.usefixtures("hasty", "few_rows")
def test_a_first_load_into_migrated_tables_goes_on_where_it_was_cut(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Tables that are there and empty are as good as none."""
    options = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    schema_migrate(new_pipeline(), "customers")
    fault = small.world.faults.add(path="/v1/customers", status=500, after=2)
    sync(new_pipeline(), **options)
    fault.remove()
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        held = connection.execute("SELECT count(*) FROM stripe.customers").fetchall()[0][0]
    result = sync(new_pipeline(), **options)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []
    assert held > 100
    assert result.tables["customers"].read < len(small.world.dump()["customers"]) - held + 20


@pytest.mark.parametrize("deed", ["DELETE FROM stripe.customers", "DROP TABLE stripe.customers"])
@pytest.mark.usefixtures("hasty", "few_rows")
def test_a_first_load_that_was_cut_does_not_go_on_where_its_rows_are_gone(
    deed: str, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """How far it came says nothing of a table that was emptied, or dropped, since."""
    options = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    fault = small.world.faults.add(path="/v1/customers", status=500, after=2)
    sync(new_pipeline(), **options)
    fault.remove()
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        held = connection.execute("SELECT count(*) FROM stripe.customers").fetchall()[0][0]
        connection.execute(deed)
    sync(new_pipeline(), **options)

    assert held > 100
    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []


@pytest.mark.parametrize("emptied", ["customers", "customers_history"])
def test_a_history_has_one_open_version_of_each_row_again(
    emptied: str, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Whichever of the two tables was emptied: the versions that there are end, and others begin."""
    world = small.world
    options = {"tables": "customers", "history": ["customers"], "api_base": small.url, "api_key": small.api_key}
    sync(new_pipeline(), **options)
    world.advance(3_600)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute(f"DELETE FROM stripe.{emptied}")
    world.delete("customer", next(each.object["id"] for each in world.dump()["customers"] if not each.deleted))
    sync(new_pipeline(), **options)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        opened = connection.execute("SELECT id FROM stripe.customers_history WHERE _valid_to IS NULL").fetchall()

    assert wrong(tmp_path / "test.duckdb", world, "customers") == []
    assert sorted(id for id, in opened) == sorted(
        each.object["id"] for each in world.dump()["customers"] if not each.deleted)


def test_a_load_that_was_dropped_leaves_no_table_half_read(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was to fill a table that somebody emptied, and another process loaded meanwhile: the state is the one before.

    Part of it is in the destination, so that the table does not look empty any more.
    """
    options = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    sync(new_pipeline(), **options)
    small.world.advance(60)
    real, pending = OtherLoads.count, [True]

    def count(self: OtherLoads, own_ids: Any = ()) -> tuple[int, int]:
        others, own = real(self, own_ids)
        if own_ids and pending:
            pending.clear()
            with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
                connection.execute("DELETE FROM stripe.customers WHERE id < (SELECT median(id) FROM stripe.customers)")
            return others + 1, own
        return others, own

    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute("DELETE FROM stripe.customers")
    monkeypatch.setattr(OtherLoads, "count", count)
    result = sync(new_pipeline(), **options)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []
    assert pending == [] and "Another process loaded" in result.notes[0]
    assert sync(new_pipeline(), **options).notes == []


# ---- what dlt may be told


@pytest.mark.parametrize("disposition", ["append", later("skip"), {"disposition": "merge", "strategy": "scd2"}])
def test_a_disposition_that_would_double_or_retire_rows_is_refused(
    disposition: Any, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Before anything is read."""
    given = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    new_pipeline().run(stripe_source(**given))
    asked = len(small.world.requests)
    with pytest.raises(PipelineStepFailed) as refused:
        new_pipeline().run(stripe_source(**given), write_disposition=disposition)

    assert isinstance(ours(refused.value), InvalidOption)
    assert [request.path for request in small.world.requests[asked:]] == []
    assert wrong(tmp_path / "test.duckdb", small.world, "customers") == []
