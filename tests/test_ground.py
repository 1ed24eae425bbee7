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

import dlt
import duckdb
import pytest
import truth
from destinations import PLACES, Place, differences
from dlt.pipeline.exceptions import PipelineStepFailed
from later import later

from stripe_source import sandbox
from stripe_source.errors import InvalidOption, MixedData, StripeSourceError
from stripe_source.load.other_loads import OtherLoads
from stripe_source.load.sync import sync
from stripe_source.resources.ground.decide import LACKING
from stripe_source.schema.migrate import schema_migrate
from stripe_source.source import stripe_source
from stripe_source.tables import schema_map

TABLES = ("charges", "coupons", "customers", "subscription_items", "subscriptions")
OLDER = "2026-08-26.dahlia"
MARKERS: dict[str, Any] = {"default": "auto", "created": "created", "id": "id", "none": "none"}
ROADS = ("sync", "plain")
DAY = 86_400


class Copy:
    """A small account, its copy in a destination, and what may be done to both."""

    def __init__(self, folder: Path, place: Place, marker: str, road: str, first: Path | None = None) -> None:
        self.folder, self.place, self.marker, self.road = folder, place, marker, road
        self.world: Any = sandbox.World(seed=7, scale=0.02)
        self.stripe = sandbox.serve(world=self.world)
        self.loaded = first is not None
        if first:
            shutil.copytree(first, folder, dirs_exist_ok=True)

    # ---- runs

    def run(self, name: str = "copy", *, refresh: Any = None, disposition: str | None = None, **given: Any) -> Any:
        """A run of a pipeline, on the road of this cell."""
        options: Any = {
            "tables": list(TABLES), "marker": MARKERS[self.marker], "api_base": self.stripe.url,
            "api_key": self.stripe.api_key, **given,
        }
        pipeline = dlt.pipeline(
            name, destination=self.place.make(), dataset_name="stripe", pipelines_dir=str(self.folder / "dlt"),
            refresh=refresh,
        )
        if self.road == "sync" and disposition is None:  # `sync` makes its source itself
            return sync(pipeline, **options)
        try:
            more: Any = {"write_disposition": disposition} if disposition else {}
            pipeline.run(stripe_source(**options), **more)
        except Exception as error:
            raise ours(error) from error
        return None

    def first(self) -> None:
        """The first load."""
        if not self.loaded:
            self.run()
        self.loaded = True

    def written(self, **given: Any) -> int:
        """How many rows a run wrote: those of its loads."""
        before = self.loads()
        self.run(**given)
        return sum(row["_dlt_load_id"] not in before for name in TABLES for row in self.place.rows(name))

    def loads(self) -> set[str]:
        return {row["load_id"] for row in self.place.rows("_dlt_loads")}

    # ---- what happens at Stripe

    def grows(self) -> None:
        """New objects, which every marker sees."""
        self.world.advance(3_600)
        customer = self.world.create("customer", name="New")["id"]
        self.world.create("charge", customer=customer, amount=700, currency="usd")
        self.world.create("subscription", customer=customer)
        self.world.create("coupon", percent_off=20, duration="once")
        self.world.advance(3_600)

    def moves(self) -> None:
        """New, changed and deleted ones, which a cursor on `created` or `id` does not see."""
        self.grows()
        oldest = sorted(self.there("customers"), key=lambda thing: thing["created"])
        self.world.update("customer", oldest[0]["id"], name=f"Renamed at {self.world.now}")
        self.world.delete("customer", oldest[1]["id"])
        self.world.delete("coupon", self.there("coupons")[0]["id"])
        self.world.advance(3_600)

    def goes_on(self) -> None:
        """What the marker sees."""
        self.grows() if self.marker in ("created", "id") else self.moves()

    def untold(self, **fields: Any) -> None:
        """All customers differ, and no event says so."""
        self.world.books.untold = True
        for thing in self.there("customers"):
            self.world.update("customer", thing["id"], **fields)
        self.world.books.untold = False

    def there(self, table: str) -> list[dict[str, Any]]:
        return [each.object for each in self.world.dump()[table] if each.listed and not each.deleted]

    def differences(self) -> list[str]:
        """Where the tables differ from the sandbox's dump."""
        dump, account = self.world.dump(), self.world.books.account
        return [
            line for name in TABLES for line in differences(self.place.rows(name), name, dump.get(name, []), account)
        ]


def ours(error: BaseException | None) -> BaseException:
    """The error of ours that dlt wrapped, or what it says itself."""
    seen, each = [], error
    while each is not None and each not in seen:
        if isinstance(each, StripeSourceError):
            return each
        seen.append(each)
        each = getattr(each, "exception", None) or each.__cause__
    assert error is not None
    return error


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
        "lost_state", "other_api_version", "other_map")  # by the quick suite
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


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run loads in several portions."""
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_LOAD", 150)
    monkeypatch.setattr("stripe_source.load.sync.ROWS_PER_FURTHER_TABLE", 0)


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


def wrong(file: Path, world: Any, *tables: str, account: str | None = None) -> list[str]:
    """Where tables differ from the dump."""
    dump = world.dump()
    with duckdb.connect(str(file), read_only=True) as connection:
        return [
            line for name in tables
            for line in truth.differences(connection, "stripe", name, dump[name], account or world.books.account)
        ]


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


# ---- whose data it is


def test_a_key_that_may_not_read_its_account_is_told_from_that_of_another_one(
    tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """Rows of `self` stay, whichever key comes: one of the same account goes on, one of another account is refused."""
    own = {"tables": "customers", "api_base": small.url}
    sync(new_pipeline(), **own, api_key=small.world.restricted_key(["rak_customer_read", "rak_event_read"]))
    with sandbox.serve(world=sandbox.World(seed=8, scale=0.01)) as other:
        theirs = {"tables": "customers", "api_base": other.url}
        for key in (other.api_key, other.world.restricted_key(["rak_customer_read"])):
            with pytest.raises(MixedData, match=other.world.books.account):
                sync(new_pipeline(), **theirs, api_key=key)
    small.world.update("customer", next(iter(small.world.dump()["customers"])).object["id"], name="Renamed")
    small.world.advance(60)
    sync(new_pipeline(), **own, api_key=small.api_key)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers", account="self") == []


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
@pytest.mark.parametrize("lost", [False, True], ids=["state", "no state"])
def test_objects_tell_whose_data_it_is_where_ids_do_not(
    named: bool, lost: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """The account is never named, neither by Stripe nor in the rows: the key has to find an object that is held."""
    key = small.world.restricted_key(["rak_customer_read", "rak_event_read"])
    with nameless(small.world):
        sync(new_pipeline(), tables="customers", api_base=small.url, api_key=key)
    name = "another" if lost else "stripe_test"
    with sandbox.serve(world=sandbox.World(seed=8, scale=0.01)) as other:
        theirs = other.world.restricted_key(["rak_customer_read", "rak_event_read"])
        with nameless(other.world, not named), pytest.raises(MixedData, match="self"):
            sync(new_pipeline(name), tables="customers", api_base=other.url, api_key=theirs)
    small.world.delete("customer", next(iter(small.world.dump()["customers"])).object["id"])
    small.world.advance(60)
    with nameless(small.world, not named):
        sync(new_pipeline(name), tables="customers", api_base=small.url, api_key=key)

    assert wrong(tmp_path / "test.duckdb", small.world, "customers", account="self") == []


def test_a_platform_s_accounts_are_not_mixed(tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """Its key may not read the accounts; `account_id` says which one it is.

    Another one that is named, by a pipeline of its own, is asked for: see the stories of the change feed.
    """
    world = sandbox.World(seed=7, scale=0.02)
    first, other = world.connected[:2]
    with sandbox.serve(world=world) as stripe:
        key = world.restricted_key(["rak_charge_read", "rak_event_read"])
        given = {"tables": "charges", "api_base": stripe.url, "api_key": key}
        sync(new_pipeline(), **given, account_id=first)
        with pytest.raises(MixedData, match=other):
            sync(new_pipeline(), **given, account_id=other)
        with pytest.raises(MixedData, match=first):
            sync(new_pipeline("another"), **given)  # the platform's own
        sync(new_pipeline("another"), **given, account_id=first)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        held = truth.differences(connection, "stripe", "charges", world.dump(account=first)["charges"], first)

    assert held == []


@pytest.mark.parametrize("live", [False, True])
def test_a_live_key_is_refused_where_test_rows_are_though_the_state_is_lost(
    live: bool, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """The rows say of which mode they are."""
    worlds = [sandbox.World(seed=7, scale=0.01, livemode=mode) for mode in (live, not live)]
    with sandbox.serve(world=worlds[0]) as first, sandbox.serve(world=worlds[1]) as other:
        sync(new_pipeline(), tables="customers", api_base=first.url, api_key=first.api_key)
        with pytest.raises(MixedData, match="mode `live`"):
            sync(new_pipeline("another"), tables="customers", api_base=other.url, api_key=other.api_key)


@contextmanager
def nameless(world: Any, so: bool = True) -> Iterator[None]:
    """Refusals do not name the account."""
    body = '{"error": {"type": "invalid_request_error", "message": "The key may not do this."}}'
    fault = world.faults.add(path="/v1/account", status=403, body=body) if so else None
    yield
    if fault:
        fault.remove()


# ---- what dlt may be told


@pytest.mark.parametrize("disposition", ["append", "skip", {"disposition": "merge", "strategy": "scd2"}])
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


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_events_that_name_the_account_of_rows_of_self_are_applied(
    named: bool, tmp_path: Path, new_pipeline: Callable[..., dlt.Pipeline], small: Any
) -> None:
    """The rows say `self`. Where Stripe's refusal names no account, whoever an event is of, the object is asked for."""
    world = small.world
    product = world.create("product", id="prod_same", name="Ours")
    key = world.restricted_key(["rak_product_read", "rak_event_read"])
    given = {"tables": "products", "api_base": small.url, "api_key": key}
    with nameless(world, not named):
        sync(new_pipeline(), **given)
        world.advance(60)
        renamed = next(each.object["id"] for each in world.dump()["products"] if each.object["id"] != "prod_same")
        world.update("product", renamed, name="Renamed")
        own = world.books.all("event")[-1].id
        theirs = world.emit("product.deleted", {**product, "name": "Theirs"})["id"]
        for event, account in ((own, world.books.account), (theirs, world.connected[0])):
            record = world.books.get("event", event)
            record.data["account"], record.cache = account, None
        world.advance(60)
        sync(new_pipeline(), **given)

    assert wrong(tmp_path / "test.duckdb", world, "products", account="self") == []
