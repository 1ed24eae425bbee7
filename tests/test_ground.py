"""What the destination holds is asked, not remembered: whatever was done to it, to the state, or to dlt's switches.

Each cell of the matrix is a situation, a marker and a road (`sync`, or a plain `pipeline.run`). It ends with tables
that equal Stripe, or with the refusal that the situation names; and the run after that writes nothing more.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from destinations import PLACES, Place
from later import later
from small_copy import MARKERS, TABLES, Copy

from stripe_source import sandbox
from stripe_source.errors import MixedData, StripeSourceError
from stripe_source.tables import schema_map

OLDER = "2026-08-26.dahlia"
ROADS = ("sync", "plain")


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run loads in several portions."""
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 150)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)


# ---- the situations; each ends before the last run


def first_load(copy: Copy) -> None:
    """Nothing is there."""
    copy.loaded = True


def incremental(copy: Copy) -> None:
    """The ordinary case."""
    copy.goes_on()


def resumed(copy: Copy) -> None:
    """The first load was cut short, and goes on; what changed in its rows meanwhile is in the feed of the run after."""
    fault = copy.world.faults.add(path="/v1/customers", status=500, after=1)
    copy.run()
    fault.remove()
    copy.goes_on()
    copy.run()


def dlt_refreshes(mode: str) -> Callable[[Copy], None]:
    """dlt drops or empties the tables in the load itself."""

    def situation(copy: Copy) -> None:
        copy.moves()
        copy.run(refresh=mode)
        assert copy.differences() == []
        copy.goes_on()

    return situation


def replaced(copy: Copy) -> None:
    """A load with `write_disposition="replace"` holds all rows; the next one goes on from it."""
    copy.moves()
    copy.run(disposition="replace")
    assert copy.differences() == []
    copy.goes_on()


def restored(copy: Copy) -> None:
    """The destination is put back to a backup; the pipeline's folder is newer."""
    held = (*TABLES, "_dlt_loads", "_dlt_pipeline_state", "_dlt_version")
    copy.place.execute("CREATE SCHEMA backup")
    for name in held:
        copy.place.execute(f"CREATE TABLE backup.{name} AS SELECT * FROM stripe.{name}")
    copy.goes_on()
    copy.run()
    for name in held:
        copy.place.execute(f"DELETE FROM stripe.{name}")
        copy.place.execute(f"INSERT INTO stripe.{name} SELECT * FROM backup.{name}")
    copy.moves()


def truncated(copy: Copy) -> None:
    """Somebody emptied a table of parents and one of children."""
    for name in ("customers", "subscription_items"):
        copy.place.execute(f"DELETE FROM stripe.{name}")
    copy.goes_on()


def dropped_table(copy: Copy) -> None:
    """Somebody dropped a table, and nothing happens at Stripe."""
    copy.place.execute("DROP TABLE stripe.customers")


def dropped_column(copy: Copy) -> None:
    """Somebody dropped columns."""
    copy.place.execute("ALTER TABLE stripe.customers DROP COLUMN email")
    copy.place.execute("ALTER TABLE stripe.charges DROP COLUMN amount")


def lost_state(copy: Copy) -> None:
    """The folder is gone, and what the destination kept of the state."""
    shutil.rmtree(copy.folder / "dlt")
    copy.place.execute("DROP TABLE stripe._dlt_pipeline_state")
    copy.moves()


def renamed(copy: Copy) -> None:
    """The same dataset by another name of the pipeline."""
    copy.moves()
    copy.run("another")
    assert copy.differences() == []
    copy.goes_on()
    copy.run("another")
    assert copy.differences() == []


def second(copy: Copy) -> None:
    """Two pipelines load into one dataset in turn."""
    copy.moves()
    copy.run("another")
    assert copy.differences() == []
    copy.goes_on()


def another_account(copy: Copy) -> None:
    """The key reads another account."""
    refused(copy, MixedData, copy.world.connected[0], account_id=copy.world.connected[0])


def another_mode(copy: Copy) -> None:
    """A live key, where test data is."""
    with sandbox.serve(world=sandbox.World(seed=7, scale=0.01, livemode=True)) as live:
        refused(copy, MixedData, "live", api_base=live.url, api_key=live.api_key)


def another_api_version(copy: Copy) -> None:
    """The rows were made with an older API version, and the newer one has more fields."""
    copy.run(api_version=OLDER)
    copy.untold(shoe_size=44)


def another_map(copy: Copy) -> None:
    """An earlier release had the e-mail address in another column."""
    with older_maps(copy.folder):
        copy.run()


def refused(copy: Copy, kind: type[StripeSourceError], text: str, **given: Any) -> None:
    """The run is refused, and nothing has changed."""
    with pytest.raises(kind, match=text):
        copy.run(**given)
    assert copy.differences() == []


@contextmanager
def older_maps(folder: Path) -> Iterator[None]:
    """Maps in which two columns of customers take each other's values."""
    shutil.copytree(schema_map.MAPS, folder / "maps")
    file = folder / "maps" / "stripe" / "customers.yaml"
    text = file.read_text()
    assert "  email: {" in text and "  name: {" in text
    file.write_text(text.replace("  email: {", "  email: {path: name, ").replace("  name: {", "  name: {path: email, "))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_map, "MAPS", folder / "maps")
        schema_map.table_map.cache_clear()
        yield
    schema_map.table_map.cache_clear()


# ---- the cells


@pytest.mark.parametrize("table", ["_dlt_loads", later("_dlt_pipeline_state"), later("_dlt_version")])
def test_tables_of_dlt_that_were_dropped_are_made_again(table: str, tmp_path: Path) -> None:
    """While the pipeline's folder is there: this run ends right, and so does the one after it."""
    with PLACES["DuckDB"](tmp_path) as place:
        copy = Copy(tmp_path, place, "default", "sync")
        with copy.stripe:
            copy.first()
            copy.place.execute(f"DROP TABLE stripe.{table}")
            copy.moves()
            copy.run()
            assert copy.differences() == []
            copy.moves()
            copy.run()

            assert copy.differences() == []


# each with the marker and the road of the cell that the quick suite runs, if any
SITUATIONS: Mapping[str, tuple[Callable[[Copy], None], str, str]] = {
    "first_load": (first_load, "default", "sync"),
    "incremental": (incremental, "created", "plain"),
    "resumed": (resumed, "default", "sync"),
    "drop_sources": (dlt_refreshes("drop_sources"), "default", "sync"),
    "drop_resources": (dlt_refreshes("drop_resources"), "id", "sync"),
    "drop_data": (dlt_refreshes("drop_data"), "created", "plain"),
    "replaced": (replaced, "default", "plain"),
    "restored": (restored, "default", "plain"),
    "truncated": (truncated, "created", "sync"),
    "dropped_table": (dropped_table, "default", "sync"),
    "dropped_column": (dropped_column, "default", "plain"),
    "lost_state": (lost_state, "created", "sync"),
    "renamed": (renamed, "none", "plain"),
    "second_pipeline": (second, "default", "plain"),
    "other_account": (another_account, "id", "sync"),
    "other_mode": (another_mode, "none", "plain"),
    "other_api_version": (another_api_version, "default", "sync"),
    "other_map": (another_map, "id", "plain"),
}
FRESH = {"first_load", "resumed", "other_api_version", "other_map"}  # they begin without a load of the usual kind
OF_DESTINATION = tuple(SITUATIONS)[3:14]
SOON = ("drop_resources", "drop_data", "replaced", "restored", "truncated", "dropped_table", "dropped_column",
        "lost_state", "other_api_version", "other_map")  # by the quick suite: mutants say which of them are needed
SOON_IN_POSTGRES = ("restored",)


def cells(situations: Iterable[str], quick: Iterable[str]) -> list[Any]:
    """The cells of these situations; the quick suite runs one of each that it names, the soak all others."""
    found = []
    for name in situations:
        for road in ROADS:
            for marker in MARKERS:
                soon = name in quick and (marker, road) == SITUATIONS[name][1:]
                marks = () if soon else pytest.mark.soak
                found.append(pytest.param(name, marker, road, id=f"{name}-{marker}-{road}", marks=marks))
    return found


def check(copy: Copy, situation: str) -> None:
    """Let it happen; one more run, and the tables equal Stripe; another one has nothing to do."""
    if situation not in FRESH:
        copy.first()
    SITUATIONS[situation][0](copy)
    name = "another" if situation == "renamed" else "copy"
    copy.run(name)

    assert copy.differences() == []
    copy.world.advance(3_600)
    assert copy.written(name=name) == 0
    assert copy.differences() == []


@pytest.mark.usefixtures("hasty", "few_rows")
@pytest.mark.parametrize(("situation", "marker", "road"), cells(SITUATIONS, SOON))
def test_every_situation_ends_right(situation: str, marker: str, road: str, tmp_path: Path) -> None:
    """In DuckDB. No cell is skipped: those that the quick suite does not run the soak does."""
    with PLACES["DuckDB"](tmp_path) as place:
        copy = Copy(tmp_path, place, marker, road)
        with copy.stripe:
            check(copy, situation)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One Postgres for all cells."""
    with PLACES["Postgres"](tmp_path_factory.mktemp("postgres")) as place:
        yield place


@pytest.mark.usefixtures("hasty", "few_rows")
@pytest.mark.parametrize(("situation", "marker", "road"), cells(OF_DESTINATION, SOON_IN_POSTGRES))
def test_every_situation_of_the_destination_ends_right_in_postgres(
    situation: str, marker: str, road: str, server: Place, tmp_path: Path
) -> None:
    """Those in which the destination is not what it was."""
    for schema in ("stripe", "stripe_staging", "backup"):
        server.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    copy = Copy(tmp_path, server, marker, road)
    with copy.stripe:
        check(copy, situation)
