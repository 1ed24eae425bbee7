"""Schemas shown, versioned and compared without reading Stripe, and what is said where that cannot be."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import dlt
import duckdb
import pytest
import yaml
from schema_family import LAST, NAMES, Make, run
from truth import columns

import stripe_source
from stripe_source.api.client import API_VERSION
from stripe_source.codegen.release import write_version
from stripe_source.errors import ConfigurationError, DestinationError, UnknownTable
from stripe_source.schema.compare import compared
from stripe_source.schema.diff import schema_diff
from stripe_source.schema.migrate import schema_migrate
from stripe_source.schema.snapshot import snapshot_of_maps
from stripe_source.schema.versions import map_versions
from stripe_source.schema.versions.api_versions import api_versions

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


def test_outlines_are_compared_by_name() -> None:
    """The plain function behind it."""
    assert compared({"a": {"x": "text"}}, {"a": {"x": "text"}}).equal
    assert compared({"a": {}}, {"b": {}}).exit_code == 4


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
