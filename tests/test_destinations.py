"""What is promised of a load holds in every destination that can be run here, and the docs say which they are."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from destinations import BY_HAND, DATASET, PLACES, TABLES, Absent, Place, differences, python
from later import later, some_later

from stripe_source import sandbox
from stripe_source.destination.connection import sql_client
from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.destination.sql import statements
from stripe_source.destination.stored_rows import StoredRows
from stripe_source.errors import InvalidOption
from stripe_source.load.compact import compact, latest
from stripe_source.load.sync import sync
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.verification.verify import verify

pytestmark = [
    pytest.mark.filterwarnings("ignore:implicitly coercing SELECT"),  # of dlt's merge on SQLAlchemy
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyiceberg"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:dlt"),
]
POINTS = {
    "initial": "initial load equals Stripe", "updates": "second load, with updates", "soft": "deletions, soft",
    "hard": "deletions, hard", "children": "child rows that are gone", "json": "JSON columns",
    "decimals": "decimals, 12 places", "64 bit": "64-bit amounts", "times": "UTC timestamps",
    "empty text": "empty text is not null", "growth": "a new field becomes a column",
    "restored": "goes on from another machine", "twice": "run twice: nothing written, no row twice",
}
BIG, FINE = 9_007_199_254_740_993, "12345678901.123456789012"
SOON = ("DuckDB", "Postgres", "SQLite")  # by the quick suite; the others with the soak
FILES = ("Parquet files", "Delta tables", "Iceberg tables")
FEW = "customers;prices;products;subscription_items"
LIMITS = {"SQLite": {"decimals"}}  # it has no decimals: 15 digits are exact
PAGE = Path(__file__).parent.parent / "docs" / "destinations.md"


class Story:
    """What happens at Stripe, loaded into one destination, and what went wrong there, by point."""

    def __init__(self, place: Place, folder: Path, deletes: str, tables: str) -> None:
        self.place, self.folder, self.deletes = place, folder, deletes
        self.wrong: dict[str, list[str]] = {}
        self.names, self.tables = tables, tables.split(";")
        with sandbox.serve(seed=7, scale=0.05) as self.stripe:
            self.world = self.stripe.world
            self.tell()

    def pipeline(self, machine: str) -> dlt.Pipeline:
        return dlt.pipeline("places", destination=self.place.make(), dataset_name=DATASET,
                            pipelines_dir=str(self.folder / machine))

    def run(self, pipeline: dlt.Pipeline) -> Any:
        result = sync(pipeline, tables=self.names, api_base=self.stripe.url, api_key=self.stripe.api_key,
                      deletes=self.deletes)
        self.place.prepare(pipeline)
        return result

    def equal(self) -> list[str]:
        """What differs from the dump, but for the decimal that has a point of its own."""
        dump = self.world.dump()
        account = dump["accounts"][0].object["id"]
        return [
            line for name in self.tables for line in differences(self.place.rows(name), name, dump[name], account)
            if f"'{FINE}'" not in line
        ]

    def row(self, table: str, id: str) -> dict[str, Any]:
        return next((row for row in self.place.rows(table) if row["id"] == id), {})

    def some(self, table: str) -> str:
        return str(next(truth.object["id"] for truth in self.world.dump()[table] if not truth.deleted))

    def check(self, point: str, actual: Any, expected: Any) -> None:
        if actual != expected:
            self.wrong.setdefault(point, []).append(f"{actual!r} instead of {expected!r}")

    def tell(self) -> None:
        world, first = self.world, self.pipeline("one")
        customer, price = self.some("customers"), self.some("prices")
        world.update("customer", customer, balance=BIG, description="", metadata={"ключ": '"\\\n', "n": "1"})
        world.update("price", price, unit_amount_decimal=FINE)
        self.run(first)
        self.check("initial", self.equal(), [])
        row = self.row("customers", customer)
        self.check("64 bit", row["balance"], BIG)
        self.check("empty text", row["description"], "")
        self.check("json", python(row["metadata"], "json"), {"ключ": '"\\\n', "n": "1"})
        created = next(t.object["created"] for t in world.dump()["customers"] if t.object["id"] == customer)
        self.check("times", python(row["created"], "timestamp").timestamp(), created)
        self.check("decimals", Decimal(str(self.row("prices", price)["unit_amount_decimal"])), Decimal(FINE))

        world.advance(3 * 86_400)
        world.live(20)
        product, named = self.some("products"), {r["id"]: r["name"] for r in self.place.rows("products")}
        world.delete("product", product)
        item = next(t for t in world.dump()["subscription_items"] if not t.deleted)
        world.delete("subscription_item", item.object["id"])
        world.update("customer", customer, shoe_size=44, tier={"level": "gold"})
        self.run(first)
        self.check("updates", self.equal(), [])
        gone = self.row("products", product)
        if self.deletes == "soft":
            self.check("soft", (gone.get("name"), bool(gone.get("_deleted")), gone.get("_deleted_at") is None),
                       (named[product], True, False))
        else:
            self.check("hard", gone, {})
        there = [r for r in self.place.rows("subscription_items") if r["id"] == item.object["id"] and not r["_deleted"]]
        self.check("children", there, [])
        row = self.row("customers", customer)
        self.check("growth", (row.get("shoe_size"), row.get("tier__level")), (44, "gold"))

        if self.deletes == "hard":
            return
        world.advance(3_600)
        world.live(10)
        second = self.pipeline("two")
        result = self.run(second)
        self.check("restored", self.equal(), [])
        self.check("restored", result.tables["customers"].new < 20, True)
        before = {name: sorted(map(str, self.place.rows(name))) for name in self.tables}
        result = self.run(second)
        self.check("twice", {(t.new, t.changed, t.gone) for t in result.tables.values()}, {(0, 0, 0)})
        self.check("twice", {name: sorted(map(str, self.place.rows(name))) for name in self.tables} == before, True)


@contextmanager
def place(name: str, folder: Path) -> Iterator[Place]:
    """A destination, or the reason why there is none on this machine."""
    try:
        with PLACES[name](folder) as there:
            yield there
    except Absent as absent:
        pytest.skip(str(absent))


RESULTS: dict[str, dict[str, list[str]]] = {}
VERSIONS: dict[str, str] = {}


@pytest.mark.parametrize("tables", [FEW, pytest.param(TABLES, marks=pytest.mark.soak)], ids=["few", "more"])
@pytest.mark.parametrize("name", some_later(PLACES, SOON))
def test_a_load_is_what_it_is_promised_to_be(name: str, tables: str, tmp_path: Path) -> None:
    """Every point, with deletions kept and with deletions removed; of files the latter with the soak."""
    wrong: dict[str, list[str]] = {}
    for deletes in ("soft", "hard") if tables == TABLES or name not in FILES else ("soft",):
        folder = tmp_path / deletes
        folder.mkdir()
        with place(name, folder) as there:
            for point, lines in Story(there, folder, deletes, tables).wrong.items():
                wrong.setdefault(point, []).extend(lines)
            VERSIONS[name] = there.version
    RESULTS[name] = wrong

    assert {point: lines for point, lines in wrong.items() if point not in LIMITS.get(name, ())} == {}
    assert wrong.keys() == LIMITS.get(name, set())


def column(name: str) -> list[str]:
    """What the docs say of a destination, from what the tests found."""
    return [name, "---", VERSIONS[name], *("no" if RESULTS[name].get(point) else "yes" for point in POINTS)]


def test_the_table_in_the_docs_is_what_ran() -> None:
    """For each destination that ran. With `DESTINATIONS=write`, and all of them there, it writes the table."""
    head, rest = PAGE.read_text().split("<!-- table -->\n")
    if os.environ.get("DESTINATIONS") == "write" and RESULTS.keys() >= PLACES.keys() - BY_HAND:
        rows = zip(["", "---", "as run", *POINTS.values()], *map(column, RESULTS), strict=True)
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        PAGE.write_text(f"{head}<!-- table -->\n{table}\n{rest[rest.index('<!-- end -->'):]}")
        return
    lines = [line.strip("| ").split(" | ") for line in rest[:rest.index("<!-- end -->")].splitlines()]
    names = lines[0]
    shown = {name: [line[-len(names):][names.index(name)] for line in lines[3:]] for name in names}

    assert [name for name in PLACES if name not in BY_HAND] == names
    assert {name: column(name)[3:] for name in RESULTS} == {name: shown.get(name, shown["DuckDB"]) for name in RESULTS}
    assert list(POINTS.values()) == [line[0] for line in lines[3:]]


def test_versions_of_parquet_rows(tmp_path: Path) -> None:
    """Plain files hold every version until they are compacted; `latest` shows one row for each key all the same."""
    pipeline = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake")),
                            dataset_name=DATASET, pipelines_dir=str(tmp_path / "pipelines"))
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        options = {"tables": "customers", "api_base": stripe.url, "api_key": stripe.api_key}
        sync(pipeline, **options)
        id = stripe.world.dump()["customers"][0].object["id"]
        stripe.world.update("customer", id, name="Anew")
        sync(pipeline, **options)
        views = latest(pipeline)
        shown = views.execute(f"SELECT name FROM customers WHERE id = '{id}'").fetchall()
        number = views.execute("SELECT count(*) FROM customers").fetchone()
        views.close()
        done, again = compact(pipeline), compact(pipeline)

    assert shown == [("Anew",)]
    assert (done["customers"].versions - done["customers"].rows, again) == (1, {})
    assert number == (done["customers"].rows,)


def test_only_files_are_compacted(new_pipeline: Any) -> None:
    """Elsewhere there is nothing to compact, and a message that says so."""
    with pytest.raises(InvalidOption, match="filesystem"):
        compact(new_pipeline())


@pytest.mark.parametrize("table_format", [None, later("delta"), later("iceberg")])
def test_files_are_verified_and_mended(table_format: str | None, tmp_path: Path) -> None:
    """A row that Stripe has otherwise is found and written anew, and then there is no difference."""
    options: Any = {"preferred_table_format": table_format} if table_format else {}
    pipeline = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake"), **options),
                            dataset_name=DATASET, pipelines_dir=str(tmp_path / "pipelines"))
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        given = {"tables": "products;coupons", "api_base": stripe.url, "api_key": stripe.api_key}
        sync(pipeline, **given)
        equal = verify(pipeline, **given)
        id = next(truth.object["id"] for truth in stripe.world.dump()["products"] if not truth.deleted)
        stripe.world.update("product", id, name="Anew")
        found = verify(pipeline, **given, repair=True)
        mended = verify(pipeline, **given)
    with latest(pipeline) as views:
        shown = views.execute(f"SELECT name FROM products WHERE id = '{id}'").fetchall()

    assert (equal.exit_code, found.exit_code, mended.exit_code) == (0, 0, 0)
    assert shown == [("Anew",)]


def in_portions(client: Any, stored: StoredRows, name: str) -> tuple[list[int], list[int]]:
    """Rows of each portion of a large answer; and the cursors that Postgres held before another was left, and after."""
    query, cursors = statements.rows(stored.sql, "balance_transactions", ["id"]), []
    if name == "Postgres":
        left = stored.sql.fetch_connected(query, 7, large=True)
        next(left)
        for leave in (lambda: None, left.close):
            leave()
            cursors.append(client.execute_sql("SELECT count(*) FROM pg_cursors WHERE name LIKE 'stripe_%'")[0][0])
            assert stored.oldest() is not None  # another question meanwhile
    return [len(some) for some in stored.sql.fetch_connected(query, 7, large=True)], cursors


@pytest.mark.parametrize("name", ["DuckDB", "Postgres", "SQLite", later("MariaDB")])
def test_dlts_own_clients_take_our_statements(name: str, tmp_path: Path) -> None:
    """With ids that hold what a driver might take for a parameter; a second run finds all rows as they are."""
    ids = ["gold :plan", "100%s %% off", "it's \\ \"x\"", "a;b"]
    with place(name, tmp_path) as there, sandbox.serve(seed=7, scale=0.02) as stripe:
        for id in ids:
            stripe.world.create("coupon", id=id, name=id)
        product = stripe.world.create("product", id="gold :plan", name="gold", images=["https://x.test/:a"])["id"]
        pipeline = dlt.pipeline("places", destination=there.make(), dataset_name=DATASET,
                                pipelines_dir=str(tmp_path / "dlt"))
        given = {"tables": "coupons;products;balance_transactions", "api_base": stripe.url, "api_key": stripe.api_key}
        sync(pipeline, **given)
        stripe.world.update("coupon", ids[0], name="changed")
        stripe.world.delete("coupon", ids[1])
        stripe.world.update("product", product, name="silver")
        again = sync(pipeline, **given)
        account = stripe.world.dump()["accounts"][0].object["id"]
        reader = RowReader(pipeline, pipeline.default_schema, account)
        rows = {row["id"]: row for row in there.rows("balance_transactions")}
        first, *_, last = times = sorted(python(row["created"], "timestamp").timestamp() for row in rows.values())
        middle = int(times[len(times) // 2])
        with sql_client(pipeline) as client:
            coupons, money = (StoredRows(client, pipeline.default_schema, table_map(BY_NAME[table]), account)
                              for table in ("coupons", "balance_transactions"))
            versions = coupons.versions([(id,) for id in ids])
            found = money.fingerprints(middle).counts()[0]
            due = [money.rows_due("status", "available", "available_on", int(second))
                   for second in (first - 86_400, last + 30 * 86_400)]
            named = coupons.rows_where(["id"], "name", ["changed", *ids[1:]])
        with sql_client(pipeline) as client:
            money = StoredRows(client, pipeline.default_schema, table_map(BY_NAME["balance_transactions"]), account)
            portions, left_open = in_portions(client, money, name)
        counted = [reader.count(BY_NAME["balance_transactions"], Span(middle)),
                   reader.count(BY_NAME["balance_transactions"], Span(None, middle))]

    available = [row for row in rows.values() if row["status"] == "available"]
    assert (again.tables["coupons"].changed, again.tables["coupons"].gone) == (1, 1)
    assert {key[0]: version.deleted for key, version in versions.items()} == {id: id == ids[1] for id in ids}
    assert sorted(named) == sorted((id,) for id in ids if id != ids[1])
    assert found == counted[0] == sum(time >= middle for time in times) < len(times)
    assert counted[1] == sum(time < middle for time in times)
    assert [len(each) for each in due] == [0, len(available)] != [0, 0]
    assert sum(portions) == len(times) and portions[0] == 7
    assert left_open == ([1, 0] if name == "Postgres" else [])


@pytest.mark.parametrize("name", ["DuckDB", "SQLite"])
def test_both_readers_of_a_destination_give_the_same_values(name: str, tmp_path: Path) -> None:
    """What a run reads of stored rows, and what `verify` reads, are the same for each cell."""
    with place(name, tmp_path) as there, sandbox.serve(seed=7, scale=0.02) as stripe:
        pipeline = dlt.pipeline("places", destination=there.make(), dataset_name=DATASET,
                                pipelines_dir=str(tmp_path / "dlt"))
        sync(pipeline, tables="prices", api_base=stripe.url, api_key=stripe.api_key)
        account = stripe.world.dump()["accounts"][0].object["id"]
        shape, schema = table_map(BY_NAME["prices"]), pipeline.default_schema
        stored = StoredRows(sql_client(pipeline), schema, shape, account)
        keys = dict.fromkeys(stored.keys(), 1_700_000_000)
        written = pa.concat_tables(stored.deleted_rows(keys, None))
        compared = pa.concat_tables(RowReader(pipeline, schema, account).rows(BY_NAME["prices"], Span()))

    changed = {"_deleted", "_deleted_at", "_changed_at", "_dlt_load_id", "_dlt_id"}
    names = [each for each in compared.column_names if each not in changed]
    values = {each: written[each].cast(compared[each].type) for each in names}
    rows = pa.table(values).sort_by("id").to_pylist()
    assert len(rows) == len(keys) > 0
    assert rows == compared.select(names).sort_by("id").to_pylist()


@pytest.mark.parametrize("id", [later("gold :plan"), later("a:b::c"), "it's 10% :off\\:x", 'quo"te ; -- :'])
def test_ids_that_people_chose_are_values_and_no_parameters(id: str, tmp_path: Path) -> None:
    """SQLAlchemy takes `:plan` in a statement for a parameter, also inside of a literal: loaded, changed, gone."""
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        stripe.world.create("product", id=id, name="first")
        pipeline = dlt.pipeline(
            "ids", destination=dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path / 'ids.db'}"), dataset_name="main",
            pipelines_dir=str(tmp_path / "pipelines"))
        given: Any = {"tables": "products", "api_base": stripe.url, "api_key": stripe.api_key}
        codes, rows = [], []
        for change in (lambda: None, lambda: stripe.world.update("product", id, name="second"),
                       lambda: stripe.world.delete("product", id)):
            change()
            codes.append(sync(pipeline, **given).exit_code)
            with pipeline.sql_client() as client, client.execute_query(
                "SELECT name, _deleted FROM products WHERE id = %s", id
            ) as cursor:
                rows += [(name, bool(deleted)) for name, deleted in cursor.fetchall()]
            stripe.world.advance(60)

    assert (codes, rows) == ([0, 0, 0], [("first", False), ("second", False), ("second", True)])
