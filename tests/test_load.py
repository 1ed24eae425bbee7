"""The main job: what is at Stripe is in DuckDB, table by table and value by value, and again after things changed."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from truth import NEVER, PAIRS, PARENTS, columns, differences

from stripe_source import sandbox
from stripe_source.errors import NewerState
from stripe_source.load.sync import sync
from stripe_source.source import stripe_source
from stripe_source.tables.registry import TABLES

pytestmark = pytest.mark.usefixtures("hasty")
NAMES = [table.name for table in TABLES]
DUCKDB_TYPES = {
    "text": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "json": "JSON",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "decimal": "DECIMAL(38,12)",
}


class Loaded:
    """A sandbox and the DuckDB file it was loaded into."""

    def __init__(self, folder: Path, **world: Any) -> None:
        self.stripe = sandbox.serve(**world)
        self.file = str(folder / "loaded.duckdb")
        self.dump: dict[str, list[Any]] | None = None  # where nothing changes any more
        self.results: list[Any] = []  # of the runs
        self._kept: duckdb.DuckDBPyConnection | None = None  # likewise
        self.tables = [name for name, truths in self.stripe.world.dump().items() if truths]
        self.pipeline = dlt.pipeline(
            "loaded", destination=dlt.destinations.duckdb(self.file), dataset_name="stripe",
            pipelines_dir=str(folder / "pipelines"),
        )

    def run(self, **options: Any) -> Any:
        given = {"tables": self.tables, "api_base": self.stripe.url, "api_key": self.stripe.api_key, **options}
        return sync(self.pipeline, **given)

    def differences(self, *tables: str) -> list[str]:
        """Where the file differs from the sandbox's dump."""
        dump = self.dump or self.stripe.world.dump()
        account = dump["accounts"][0].object["id"]
        with self._connected() as connection:
            return [
                line for name in tables or self.tables
                for line in differences(connection, "stripe", name, dump[name], account)
                if not (name == "events" and "should not be there" in line)  # Stripe forgets them, we do not
            ]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return connection.execute(sql).fetchall()

    def keep(self) -> None:
        """Nothing changes any more, at Stripe and in the file."""
        self.dump, self._kept = self.stripe.world.dump(), duckdb.connect(self.file, read_only=True)

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._kept:
            yield self._kept
        else:
            with duckdb.connect(self.file, read_only=True) as connection:
                yield connection

    def close(self) -> None:
        self.stripe.close()
        if self._kept:
            self._kept.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The demo's business, and some of every other object that Stripe has, loaded twice; tests only look at it."""
    loaded = Loaded(tmp_path_factory.mktemp("whole"), seed=1, scale=0.6)
    loaded.stripe.world.populate_all(3)
    loaded.results = [loaded.run(tables="%"), loaded.run(tables="%")]
    loaded.keep()
    yield loaded
    loaded.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Loaded]:
    """A small business of the test's own."""
    loaded = Loaded(tmp_path, seed=3, scale=0.1)
    yield loaded
    loaded.close()


@pytest.mark.parametrize("table", NAMES)
def test_every_row_equals_the_dump(whole: Loaded, table: str) -> None:
    """Key by key and value by value, nothing missing and nothing more."""
    found = whole.differences(table)

    assert found == []


def test_all_tables_twice_doubles_nothing(whole: Loaded) -> None:
    """Everything that Stripe has, loaded two times: the second run finds nothing new, changed or gone.

    Over all tables: what a list wants it gets, and what it refuses (`limit`, `created`) is not sent. The secret store
    of apps has its table, no rows, and a reason; card numbers and documents are not expanded.
    """
    first, again = whole.results
    requests = whole.stripe.world.requests
    asked = [f"{each.path} {each.query}" for each in requests]
    moved = {name: (t.new, t.changed, t.gone) for name, t in again.tables.items() if t.new or t.changed or t.gone}

    assert [f"{each.path} {each.query}" for each in requests if each.status == 400] == []
    assert first.tables["apps_secrets"].status == "not loaded"
    assert not [each for each in asked if "/apps/secrets" in each or "cvc" in each or "verified_outputs" in each]
    assert moved == {}
    assert again.exit_code == 0


@pytest.mark.parametrize("table", NAMES)
def test_types_are_as_declared(whole: Loaded, table: str) -> None:
    """Every declared column is there with its type, and after them only what dlt and we add."""
    there = dict(whole.query(f"SELECT column_name, column_type FROM (DESCRIBE stripe.{table})"))
    expected = {name: DUCKDB_TYPES[words["data_type"]] for name, words in columns(table).items()}
    book = {
        "_account_id": "VARCHAR", "_deleted": "BOOLEAN", "_deleted_at": "TIMESTAMP WITH TIME ZONE",
        "_changed_at": "TIMESTAMP WITH TIME ZONE", "_dlt_id": "VARCHAR", "_dlt_load_id": "VARCHAR",
    }
    if table in PARENTS:
        book |= {PARENTS[table]: "VARCHAR", "_position": "BIGINT"}
    if table in PAIRS:
        book |= {PAIRS[table]: "VARCHAR"}

    assert there == expected | book


def test_it_is_a_business_worth_looking_at(whole: Loaded) -> None:
    """At least 10,000 rows in all, and no table without one."""
    counts = {name: whole.query(f"SELECT count(*) FROM stripe.{name}")[0][0] for name in NAMES}

    assert {name for name, rows in counts.items() if not rows} == NEVER
    assert sum(counts.values()) >= 10_000


def test_money_adds_up(whole: Loaded) -> None:
    """The ledger's net per currency is the balance; every automatic payout is minus the sum of what it swept."""
    ledger = dict(whole.query("SELECT currency, sum(net) FROM stripe.balance_transactions GROUP BY 1"))
    balance: dict[str, int] = {}
    for table in ("balance_available", "balance_pending"):
        for currency, amount in whole.query(f"SELECT currency, amount FROM stripe.{table}"):
            balance[currency] = balance.get(currency, 0) + amount
    off = whole.query(
        """SELECT p.id, p.amount, sum(b.net) FROM stripe.payouts p
           JOIN stripe.payout_balance_transactions b ON b.payout_id = p.id AND b.type <> 'payout'
           GROUP BY ALL HAVING p.amount <> sum(b.net)"""
    )

    assert {currency: int(net) for currency, net in ledger.items()} == balance
    assert off == []


@pytest.mark.soak
def test_empty_tables_are_there_with_all_columns(fresh: Loaded) -> None:
    """Nothing at Stripe is still a table: a query on it works before the first object exists."""
    world = sandbox.World(seed=1, scale=0)
    with sandbox.serve(world=world) as nothing:
        sync(fresh.pipeline, tables="%", api_base=nothing.url, api_key=nothing.api_key)
    with duckdb.connect(fresh.file, read_only=True) as connection:
        there = {
            name: {row[0] for row in connection.execute(f"DESCRIBE stripe.{name}").fetchall()} for name in NAMES
        }

    assert {name: there[name] >= set(columns(name)) for name in NAMES} == dict.fromkeys(NAMES, True)


def test_what_changed_since_arrives_and_what_went_is_flagged(fresh: Loaded) -> None:
    """After weeks of life at Stripe a second run equals the dump again; deleted rows stay, flagged, values kept."""
    fresh.run()
    names_before = dict(fresh.query("SELECT id, name FROM stripe.products"))
    for _ in range(3):
        fresh.stripe.world.advance(5 * 86_400)
        fresh.stripe.world.live(60)
    there = {truth.object["id"] for truth in fresh.stripe.world.dump()["products"] if not truth.deleted}
    gone = min(there & names_before.keys())
    fresh.stripe.world.delete("product", gone)
    result = fresh.run()

    assert fresh.differences() == []
    assert result.tables["charges"].new > 0 and result.tables["subscriptions"].changed > 0
    assert fresh.query(f"SELECT name, _deleted, _deleted_at IS NULL FROM stripe.products WHERE id = '{gone}'") == [
        (names_before[gone], True, False)
    ]


def test_hard_deletes_remove_rows(fresh: Loaded) -> None:
    """With `deletes="hard"` a row that Stripe no longer has goes."""
    fresh.tables = ["coupons", "customers", "prices", "products", "subscription_items", "subscriptions"]
    fresh.run(deletes="hard")
    gone = next(truth.object["id"] for truth in fresh.stripe.world.dump()["products"] if not truth.deleted)
    fresh.stripe.world.delete("product", gone)
    fresh.run(deletes="hard")

    assert fresh.query(f"SELECT count(*) FROM stripe.products WHERE id = '{gone}'") == [(0,)]
    assert fresh.differences() == []


@pytest.mark.parametrize("marker", ["created", "id"])
def test_markers_bring_new_rows_once(fresh: Loaded, marker: str) -> None:
    """With `created` or `id` as marker a second run asks for little, brings every new row, and doubles none."""
    tables = "charges;customers;invoices;invoice_line_items;balance_transactions;payment_methods"
    fresh.run(tables=tables, marker=marker)
    fresh.stripe.world.advance(20 * 86_400)
    first = len(fresh.stripe.world.requests)
    result = fresh.run(tables=tables, marker=marker)
    asked = len(fresh.stripe.world.requests) - first
    dump = fresh.stripe.world.dump()
    with duckdb.connect(fresh.file, read_only=True) as connection:
        for name in tables.split(";"):
            ids = [row[0] for row in connection.execute(f"SELECT id FROM stripe.{name}").fetchall()]
            there = {truth.object["id"] for truth in dump[name] if not truth.deleted}
            assert sorted(set(ids)) == sorted(ids) or name == "invoice_line_items"
            assert there <= set(ids)
    assert result.tables["charges"].marker == marker
    assert result.tables["invoice_line_items"].marker == "parents"
    assert result.tables["charges"].read < result.tables["charges"].new + 200
    assert asked < 40


def test_the_object_of_the_id_marker_may_be_gone(fresh: Loaded) -> None:
    """Where Stripe no longer knows the object that the marker names, `created` takes over, and nothing is missed."""
    fresh.run(tables="customers", marker="id")
    newest = fresh.pipeline.state["sources"]["stripe"]["resources"]["customers"]["last_id"]
    fresh.stripe.world.delete("customer", newest)
    fresh.stripe.world.advance(10 * 86_400)
    fresh.stripe.world.live(60)
    fresh.run(tables="customers", marker="id")
    ids = {row[0] for row in fresh.query("SELECT id FROM stripe.customers")}

    assert {t.object["id"] for t in fresh.stripe.world.dump()["customers"] if not t.deleted} <= ids


def test_start_and_end_bound_what_is_read(fresh: Loaded) -> None:
    """`start` is inclusive, `end` exclusive, and a bounded run leaves no cursor behind."""
    times = sorted(truth.object["created"] for truth in fresh.stripe.world.dump()["charges"])
    low, high = times[len(times) // 3], times[2 * len(times) // 3]
    for marker in ("created", None):
        fresh.run(tables="charges", start=low, end=high, marker=marker)
        held = [int(row[0]) for row in fresh.query("SELECT epoch(created) FROM stripe.charges ORDER BY 1")]
        assert held == [at for at in times if low <= at < high]
    fresh.run(tables="charges")

    assert fresh.differences("charges") == []


def test_a_limited_load_leaves_no_hole(fresh: Loaded) -> None:
    """`add_limit` on a table with a cursor stops early; the next run goes on and nothing in between is missing."""
    options = {"tables": "charges", "marker": "created", "api_base": fresh.stripe.url, "api_key": fresh.stripe.api_key}
    source = stripe_source(**options)
    source.resources["charges"].add_limit(1)
    fresh.pipeline.run(source)
    fresh.pipeline.run(stripe_source(**options))

    assert fresh.differences("charges") == []


def test_it_is_an_ordinary_dlt_source(fresh: Loaded) -> None:
    """One resource per table, selectable, iterable, and loadable by `pipeline.run`."""
    options = {"api_base": fresh.stripe.url, "api_key": fresh.stripe.api_key}
    source = stripe_source(tables="Invoices;invoice%items;customers", **options)

    assert list(source.resources) == ["customers", "invoice_items", "invoice_line_items", "invoices", "changes"]
    fresh.pipeline.run(source.with_resources("invoice_line_items"))
    assert fresh.differences("invoice_line_items") == []
    assert not fresh.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'customers'")
    rows = sum(table.num_rows for table in stripe_source(tables="customers", **options))
    assert rows == sum(not truth.deleted for truth in fresh.stripe.world.dump()["customers"])


def test_a_lost_file_is_loaded_again(fresh: Loaded) -> None:
    """dlt's folder remembers a file that is gone: nothing is taken for loaded."""
    fresh.run(tables="balance_transactions;events")
    Path(fresh.file).unlink()
    fresh.run(tables="balance_transactions;events")

    assert fresh.differences("balance_transactions", "events") == []


def test_another_account_does_not_get_into_the_same_dataset(fresh: Loaded, tmp_path: Path) -> None:
    """A key of another account is refused before anything is written; so is a live key where test data is."""
    from stripe_source.errors import MixedData

    fresh.run(tables="customers")
    connected = fresh.stripe.world.dump()["accounts"][1].object["id"]
    with pytest.raises(MixedData, match=connected):
        fresh.run(tables="customers", account_id=connected)
    assert fresh.differences("customers") == []


def test_a_connected_account_loads_into_a_dataset_of_its_own(fresh: Loaded) -> None:
    """`account_id` asks as that account; its rows carry its id."""
    world = fresh.stripe.world
    ids = [truth.object["id"] for truth in world.dump()["accounts"][1:]]
    connected = next(id for id in ids if world.dump(account=id)["charges"])
    fresh.run(tables="charges;customers", account_id=connected)
    dump = world.dump(account=connected)
    with duckdb.connect(fresh.file, read_only=True) as connection:
        assert differences(connection, "stripe", "charges", dump["charges"], connected) == []


def test_what_a_later_release_left_is_refused_and_stays(fresh: Loaded) -> None:
    """Its state may say what this one does not understand: nothing is read by it, and nothing is written over it."""
    fresh.run(tables="customers")
    before = fresh.query("SELECT * FROM stripe.customers ORDER BY id")
    with fresh.pipeline.managed_state(extract_state=True) as state:
        state["sources"]["stripe"]["version"] = 99
    asked = len(fresh.stripe.world.requests)
    with pytest.raises(NewerState, match=r"version `99`.*Use the release that wrote it"):
        fresh.run(tables="customers")

    assert {request.path for request in fresh.stripe.world.requests[asked:]} <= {"/v1/account"}
    assert fresh.query("SELECT * FROM stripe.customers ORDER BY id") == before
    assert fresh.pipeline.state["sources"]["stripe"]["version"] == 99


def test_a_key_that_may_not_read_its_account_calls_it_self(fresh: Loaded) -> None:
    """Without the permission `_account_id` is `self`, and stays that when a better key comes."""
    key = fresh.stripe.world.restricted_key(["rak_customer_read"])
    fresh.run(tables="customers", api_key=key)
    fresh.run(tables="customers")

    assert fresh.query("SELECT DISTINCT _account_id FROM stripe.customers") == [("self",)]


def test_a_table_that_failed_half_way_keeps_its_rows(fresh: Loaded) -> None:
    """A list breaks in the middle: what was read is loaded, nothing is taken for gone, and the next run heals it."""
    fresh.run(tables="charges;customers")
    fault = fresh.stripe.world.faults.add(path="/v1/charges", status=500, after=1)
    result = fresh.run(tables="charges;customers", mode="initial")
    fault.remove()

    assert (result.exit_code, result.tables["charges"].status, result.tables["charges"].gone) == (1, "failed", 0)
    assert fresh.run(tables="charges;customers").exit_code == 0
    assert fresh.differences("charges", "customers") == []


def test_the_key_is_nowhere_but_in_requests(fresh: Loaded, tmp_path: Path) -> None:
    """Not in the destination, not in dlt's folder, not in the trace."""
    fresh.run(tables="customers;charges")
    secret = fresh.stripe.api_key.encode()

    assert [str(path) for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_half_a_surrogate_pair_does_not_cost_a_page(fresh: Loaded) -> None:
    """A name cut in the middle of an emoji is JSON that strict parsers refuse: the page loads, with U+FFFD there."""
    page = (
        '{"object": "list", "url": "/v1/products", "has_more": false, "data": '
        '[{"id": "prod_cut", "object": "product", "created": 1, "name": "half \\ud83d"}]}'
    )
    fresh.stripe.world.faults.add(path="/v1/products", status=200, body=page)
    result = fresh.run(tables="products")

    assert (result.exit_code, fresh.query("SELECT name FROM stripe.products")) == (0, [("half \ufffd",)])
