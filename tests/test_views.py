"""Views of a map are made beside the data, made again when the data has more, and dropped; nothing else is touched."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from command_line import Say, saying

from stripe_source import create_views, drop_views, sandbox, show_views, sync
from stripe_source.errors import InvalidOption, NotOurView, ViewMapError

MAP = {
    "Charges": """
view: Charges
description: "Charges with the newest state of their refunds."
from: |-
  charges LEFT JOIN (
    SELECT _account_id, charge, SUM(amount) AS amount FROM refunds GROUP BY _account_id, charge
  ) AS refund ON refund.charge = charges.id AND refund._account_id = charges._account_id
where: NOT charges._deleted
key: Id
columns:
  Id: {type: text, value: charges.id}
  Refunded: {type: bigint, value: CAST(refund.amount AS BIGINT)}
  Paid: {type: bool, value: charges.paid}
  Created: {type: timestamp, value: charges.created}
""",
    "Coupons": """
view: Coupons
description: "Coupons."
from: coupons
key: Id
columns:
  Id: {type: text, value: id}
  PercentOff: {type: decimal, value: percent_off}
  Order: {type: text, missing: "There are no orders."}
""",
}


@pytest.fixture
def map(tmp_path: Path) -> str:
    """The folder of a map."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in MAP.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


@pytest.fixture
def stripe() -> Iterator[Any]:
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        yield stripe


def load(stripe: Any, tables: str, **options: Any) -> dlt.Pipeline:
    pipeline = dlt.pipeline("views", destination=dlt.destinations.duckdb("copy.duckdb"), dataset_name="stripe")
    sync(pipeline, api_base=stripe.url, api_key=stripe.api_key, tables=tables, **options)
    return pipeline


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect("copy.duckdb") as connection:
        return connection.execute(sql).fetchall()


def test_a_table_that_was_never_loaded_gives_a_typed_empty_view(map: str, stripe: Any) -> None:
    """And the result names the table; once it is loaded, the views that read it are made again, and no other."""
    pipeline = load(stripe, "coupons")
    result = create_views(pipeline, map)
    types = dict(query("SELECT column_name, data_type FROM information_schema.columns "
                       "WHERE table_schema = 'stripe_mine' AND table_name = 'Charges'"))
    empty = query('SELECT count(*) FROM stripe_mine."Charges"')
    load(stripe, "charges")
    again = create_views(pipeline, map)
    last = create_views(pipeline, map)

    assert types == {"Id": "VARCHAR", "Refunded": "BIGINT", "Paid": "BOOLEAN", "Created": "TIMESTAMP WITH TIME ZONE"}
    assert empty == [(0,)]
    assert result.notes == ["`charges` is not in dataset `stripe`: Charges has nothing of it",
                            "`refunds` is not in dataset `stripe`: Charges has nothing of it"]
    assert query('SELECT "Id", "Refunded" FROM stripe_mine."Charges" ORDER BY 1') == query(
        "SELECT id, NULL FROM stripe.charges ORDER BY 1") != []
    assert [(view.name, view.status) for view in again.views] == [("Charges", "made"), ("Coupons", "unchanged")]
    assert {view.status for view in last.views} == {"unchanged"}


def test_a_column_that_a_native_table_lacks_is_null(map: str, stripe: Any) -> None:
    """As where an earlier release made the table; the result names it."""
    pipeline = load(stripe, "coupons")
    query("ALTER TABLE stripe.coupons DROP COLUMN percent_off")
    result = create_views(pipeline, map)

    assert {view.name: view.missing_columns for view in result.views} == {
        "Charges": [], "Coupons": ["coupons.percent_off"]}
    assert query('SELECT DISTINCT "PercentOff" FROM stripe_mine."Coupons"') == [(None,)]


def test_only_views_that_we_made_are_replaced_or_dropped(map: str, stripe: Any) -> None:
    """A table of somebody else's with a name of ours stops the making; a drop leaves all else."""
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 's' ORDER BY 1"
    pipeline = load(stripe, "coupons")
    query('CREATE SCHEMA s; CREATE TABLE s."Coupons" (mine INT); CREATE VIEW s.other AS SELECT 1 AS one')
    with pytest.raises(NotOurView, match="`s` has `Coupons`"):
        create_views(pipeline, map, dataset="s")
    untouched = query(tables)
    query('DROP TABLE s."Coupons"')
    create_views(pipeline, map, dataset="s")
    made = query(tables)
    dropped = drop_views(pipeline, map, dataset="s")

    assert untouched == [("Coupons",), ("other",)]
    assert made == [("Charges",), ("Coupons",), ("_stripe_source_views",), ("other",)]
    assert [(view.name, view.status) for view in dropped.views] == [("Charges", "dropped"), ("Coupons", "dropped")]
    assert query(tables) == [("_stripe_source_views",), ("other",)]


def test_a_view_that_a_map_no_longer_has_goes(map: str, stripe: Any) -> None:
    """With the next making, from the dataset and from what is shown as there."""
    pipeline = load(stripe, "coupons")
    create_views(pipeline, map)
    before = {view["view"]: view["there"] for view in show_views(map, pipeline=pipeline)}
    other = Path(map).parent / "later" / "mine"
    other.mkdir(parents=True)
    (other / "Coupons.yaml").write_text(MAP["Coupons"])
    result = create_views(pipeline, str(other))

    assert before == {"Charges": "view", "Coupons": "view"}
    assert [(view.name, view.status) for view in result.views] == [("Coupons", "unchanged"), ("Charges", "dropped")]
    assert query("SELECT view_name FROM duckdb_views() WHERE schema_name = 'stripe_mine'") == [("Coupons",)]


def test_materialized_tables_hold_the_rows_of_their_making(map: str, stripe: Any) -> None:
    """Views become tables and views again; a table is made anew each time."""
    pipeline = load(stripe, "coupons")
    create_views(pipeline, map)
    create_views(pipeline, map, materialize=True)
    before = query('SELECT count(*) FROM stripe_mine."Coupons"')
    kinds = query("SELECT DISTINCT table_type FROM information_schema.tables WHERE table_schema = 'stripe_mine'")
    query("DELETE FROM stripe.coupons")
    kept = query('SELECT count(*) FROM stripe_mine."Coupons"')
    again = create_views(pipeline, map, materialize=True)
    now = query('SELECT count(*) FROM stripe_mine."Coupons"')
    create_views(pipeline, map)

    assert kinds == [("BASE TABLE",)]
    assert before == kept != now == [(0,)]
    assert {view.status for view in again.views} == {"made"}
    assert query("SELECT count(*) FROM duckdb_views() WHERE schema_name = 'stripe_mine'") == [(2,)]


def test_a_run_makes_the_views_and_makes_them_again_when_the_data_has_more(map: str, stripe: Any) -> None:
    """A table that comes later is in them after the run that brings it; what is the same is left alone."""
    options = {"api_base": stripe.url, "api_key": stripe.api_key, "views": {map: "s"}}
    pipeline = dlt.pipeline("views", destination=dlt.destinations.duckdb("copy.duckdb"), dataset_name="stripe")
    first = sync(pipeline, tables="coupons", **options)
    second = sync(pipeline, tables="coupons;charges", **options)
    third = sync(pipeline, tables="coupons;charges", **options)
    states = [[(view.name, view.status) for view in run.views[0].views] for run in (first, second, third)]

    assert states == [
        [("Charges", "made"), ("Coupons", "made")], [("Charges", "made"), ("Coupons", "unchanged")],
        [("Charges", "unchanged"), ("Coupons", "unchanged")],
    ]
    assert query('SELECT count(*) FROM s."Charges"') == query("SELECT count(*) FROM stripe.charges") != [(0,)]
    assert first.asdict()["views"][0]["dataset"] == "s"


def test_a_schema_map_of_views_is_loaded_as_tables(map: str, stripe: Any) -> None:
    """They have the rows of the newest run; the native tables are there too."""
    load(stripe, "coupons", schema_map=map)
    before = query('SELECT count(*) FROM stripe_mine."Coupons"')
    stripe.world.create("coupon", percent_off=12.5, duration="once")
    load(stripe, "coupons", schema_map=map)

    assert query("SELECT DISTINCT table_type FROM information_schema.tables "
                 "WHERE table_schema = 'stripe_mine'") == [("BASE TABLE",)]
    assert query('SELECT count(*) FROM stripe_mine."Coupons"') == [(before[0][0] + 1,)]


def test_a_wrong_map_stops_a_run_before_it_reads(map: str, stripe: Any) -> None:
    """So does an unknown one, by either option."""
    (Path(map) / "Coupons.yaml").write_text(MAP["Coupons"].replace("percent_off", "percent_of"))
    asked = len(stripe.world.requests)
    with pytest.raises(ViewMapError, match="`percent_of`: no table in it has one column"):
        load(stripe, "coupons", views=map)
    with pytest.raises(InvalidOption, match="`strim` is no value for option `map`"):
        load(stripe, "coupons", views="strim")
    with pytest.raises(InvalidOption, match="`strim` is no value for option `schema_map`"):
        load(stripe, "coupons", schema_map="strim")

    assert len(stripe.world.requests) == asked


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    return saying(capsys, monkeypatch)


def test_the_commands_work_in_the_folder_of_the_last_run(map: str, stripe: Any, say: Say) -> None:
    """Whatever pipeline and dataset it had; `show` and `sql` need no run at all."""
    say("run", "--api-base", stripe.url, "--tables", "coupons", key=stripe.api_key)
    say("run", "--api-base", stripe.url, "--tables", "coupons", "--pipeline", "mine", "--dataset", "data",
        "--views", map, key=stripe.api_key)
    made = say("views", "create", map, "--dataset", "s")
    again = say("views", "create", map, "--dataset", "s", "--json")
    shown = say("views", "show", map, "Coupons", "--json", "--dataset", "s")
    text = say("views", "show", map, "Coupons")
    script = say("views", "sql", map, "Coupons", "--dialect", "snowflake", "--data", "d", "--dataset", "s")
    dropped = say("views", "drop", map, "--dataset", "s")
    twice = say("views", "drop", map, "--dataset", "s")

    assert (made.code, made.err) == (0, "")
    assert "mine: 2 views made\n" in made.out
    assert "Dataset s in mine.duckdb, beside data\n" in made.out
    assert "`charges` is not in dataset `data`: Charges has nothing of it" in made.out
    assert {view["status"] for view in again.json["views"]} == {"unchanged"}
    assert [(view["view"], view["there"], len(view["columns"])) for view in shown.json] == [("Coupons", "view", 3)]
    assert "There are no orders." in text.out
    assert script.out == (
        'CREATE OR REPLACE VIEW "S"."Coupons" AS SELECT "coupons"."ID" AS "Id", '
        'CAST("coupons"."PERCENT_OFF" AS DECIMAL(38, 12)) AS "PercentOff", CAST(NULL AS VARCHAR) AS "Order" '
        'FROM "D"."COUPONS" AS "coupons";\n')
    assert "mine: 2 views dropped\n" in dropped.out
    assert (twice.code, twice.out) == (2, "")
    assert "has no views that `views create mine` made" in twice.err
