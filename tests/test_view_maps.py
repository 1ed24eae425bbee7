"""Maps of views: what is wrong in one is named, and what is right is SQL for every database, and runs in those here."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest
import sqlglot
from destinations import DATASET, PLACES, Absent
from later import later
from sql_engines import ENGINES, is_here
from striim_truth import SOURCES, TABLES, Account, by_key, differences
from test_striim_views import NATIVE, VIEWS

from stripe_source import create_views, drop_views, sandbox, schema_ddl, show_views, sync, views_sql
from stripe_source.codegen.views_page import MADE_FROM_HERE, views_page
from stripe_source.errors import InvalidOption, StripeSourceError, ViewMapError
from stripe_source.views.dialects import DIALECTS

pytestmark = pytest.mark.filterwarnings("ignore:implicitly coercing SELECT")  # of dlt's merge on SQLAlchemy
FEW = ("InvoiceItems", "Orders", "PaymentMethods", "Subscriptions")
TABLES_OF_FEW = "coupons;discounts;invoice_items;payment_methods;plans;prices;subscription_items;subscriptions"
VIEW = """
view: Things
description: "Things."
from: charges
where: NOT _deleted
columns:
  Id: {type: text, value: id}
"""
WRONG = {  # what is added to the view or put in place of its column -> what the error says
    "  Paid: {type: bool, value: pade}": "column `Paid`: `pade`: no table in it has one column `pade`. Did you mean",
    "  Paid: {type: bool, value: amount}": "column `Paid`: `amount` is bigint, and bool is declared: write a CAST",
    "  Paid: {type: bool, value: 'SUM('}": "column `Paid`: `SUM(` is no expression",
    "  Paid: {type: boolean, value: paid}": "column `Paid`: `boolean` is no type; known: text, bigint",
    "  Paid: {type: bool}": "column `Paid`: It needs `value`, or `missing` with the reason",
    "  Paid: {type: bool, valeu: paid}": "column `Paid`: `valeu` is no word of a map. Did you mean `value`?",
    "  All: {type: text, value: \"OBJECT_JSON(charges, 'outcom')\"}": "`charges` has no column below `outcom`",
    "  All: {type: text, value: \"OBJECT_JSON(refunds, '')\"}": "no table is called `refunds`",
    "from: charge": "`charge` is no native table. Did you mean `charges`?",
    "where: NOT deletd": "`from` or `where`: no table in it has one column `deletd`. Did you mean `_deleted`?",
}


@pytest.mark.parametrize("line", WRONG)
def test_an_error_names_file_view_column_and_what_is_known(tmp_path: Path, line: str) -> None:
    """An expression that cannot be is found when the map is read, before anything is made."""
    text = VIEW + line + "\n"
    if not line.startswith(" "):
        old = next(each for each in VIEW.splitlines() if each.startswith(line.split(":")[0]))
        text = VIEW.replace(old, line)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Things.yaml").write_text(text)
    with pytest.raises(ViewMapError) as caught:
        views_sql("./mine", "duckdb")

    assert str(caught.value).startswith("Schema map `mine/Things.yaml`, view `Things`")
    assert WRONG[line] in str(caught.value)


def test_a_map_of_ones_own_is_a_folder(tmp_path: Path) -> None:
    """Its views are made as ours are; an unknown map is refused with the ones that there are."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Things.yaml").write_text(VIEW)
    with pytest.raises(InvalidOption, match=r"`strim` is no value for option `map`\. Did you mean `striim`\?"):
        show_views("strim")

    assert views_sql("./mine", "duckdb", data="d") == [{"view": "Things", "sql": [
        'CREATE OR REPLACE VIEW "d_mine"."Things" AS SELECT "charges"."id" AS "Id" FROM "d"."charges" AS "charges" '
        'WHERE NOT "charges"."_deleted"']}]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statements_are_sql_of_each_database(dialect: str) -> None:
    """They can be parsed again as what they are, with Striim's names in the quotes of the database."""
    made = views_sql("striim", dialect, ("CreditNotes", "InvoiceItems", "Orders", "PaymentMethods"), dataset="s")
    for view in made:
        *_, create = [sqlglot.parse_one(statement, dialect=dialect) for statement in view["sql"]]
        names = [projection.alias for projection in create.expression.selects]

        assert names == list(TABLES[view["view"]])
        assert create.kind == ("TABLE" if dialect == "sqlite" else "VIEW")


@pytest.mark.soak
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statements_of_all_views_are_sql(dialect: str) -> None:
    """All 60 of them, in each database."""
    for view in views_sql("striim", dialect):
        parsed = [sqlglot.parse_one(statement, dialect=dialect) for statement in view["sql"]]

        assert parsed


def made_in(place_name: str, folder: Path, natives: Any, views: tuple[str, ...]) -> dict[str, list[str]]:
    """Load into a destination, make the views twice, drop them; the differences from the dump by view."""
    world = sandbox.World(seed=7, scale=0.02)
    world.populate_all(2)
    account = Account(world.dump())
    with PLACES[place_name](folder) as place:
        pipeline = dlt.pipeline("views", destination=place.make(), dataset_name="data",
                                pipelines_dir=str(folder / "pipelines"))
        with sandbox.serve(world=world) as stripe:
            sync(pipeline, api_base=stripe.url, api_key=stripe.api_key, tables=natives)
        create_views(pipeline, "striim", dataset=DATASET)
        again = create_views(pipeline, "striim", dataset=DATASET)
        found = {
            view: differences(account.expected(view), by_key(view, place.rows(view))) if view in SOURCES
            else [str(row) for row in place.rows(view)]
            for view in views
        }
        dropped = drop_views(pipeline, "striim", dataset=DATASET)
        with pytest.raises(InvalidOption):
            drop_views(pipeline, "striim", dataset=DATASET)

    kind = "table" if place_name == "SQLite" else "view"
    assert {(view.kind, view.status) for view in again.views} == {(kind, "made" if kind == "table" else "unchanged")}
    assert (len(again.views), len(dropped.views)) == (60, 60)
    return found


@pytest.mark.parametrize("place", ["Postgres", later("SQLite")])
def test_views_hold_the_values_of_the_dump_in(place: str, tmp_path: Path) -> None:
    """Some views, with what is hard in them: JSON taken apart and made, lists of children, the first of several."""
    found = made_in(place, tmp_path, TABLES_OF_FEW, FEW)

    assert found == {view: [] for view in FEW}


@pytest.mark.soak
@pytest.mark.parametrize("place", ["Postgres", "SQLite", "MariaDB"])
def test_all_views_hold_the_values_of_the_dump_in(place: str, tmp_path: Path) -> None:
    """All 60 of them."""
    views = tuple(view for view in VIEWS if view in SOURCES)
    try:
        found = made_in(place, tmp_path, NATIVE, views)
    except Absent as absent:
        pytest.skip(str(absent))

    assert found == {view: [] for view in views}


def test_clickhouse_makes_the_views(tmp_path: Path) -> None:
    """All 60 of them; what a join does not find is null there too, and lists are in their order."""
    if not is_here("clickhouse"):
        pytest.skip(f"needs the package `{ENGINES['clickhouse'][0]}`, in an environment of its own")
    with ENGINES["clickhouse"][1](tmp_path) as client:
        for table in schema_ddl("clickhouse", NATIVE, dataset="data"):
            for statement in table["sql"]:
                client._run(statement)
        for view in views_sql("striim", "clickhouse", dataset="s", data="data"):
            for statement in view["sql"]:
                client._run(statement)
            assert client._run(f'SELECT * FROM "s___{view["view"]}"') == []
        more = "_account_id, _deleted, _changed_at, _dlt_load_id, _dlt_id) VALUES ({}, 'a', false, now64(6), 'l', 'x')"
        charge_values = more.format("""'ch', 'a "b"'""")
        client._run(f"INSERT INTO data___charges (id, outcome__type, {charge_values}")
        for place in (2, 0, 1):
            values = f"'si_{place}', 'sub', {place}, {place + 5}"
            client._run(f"INSERT INTO data___subscription_items (id, subscription_id, _position, quantity, "
                        f"{more.format(values)}")
        subscription_values = more.format("'sub'")
        client._run(f"INSERT INTO data___subscriptions (id, {subscription_values}")
        charge = client._run('SELECT "Id", "DisputeId", "OutcomeAggregate" FROM "s___Charges"')
        subscription = client._run('SELECT "Quantity", "ItemsAggregate", "DiscountCustomer" FROM "s___Subscriptions"')

    assert charge == [("ch", None, '{"type":"a \\"b\\""}')]
    items = '[{"id":"si_0","quantity":5},{"id":"si_1","quantity":6},{"id":"si_2","quantity":7}]'
    assert subscription == [(5, items, None)]


def test_files_take_no_views(tmp_path: Path) -> None:
    """A destination of files says so, and so does one where nothing was loaded."""
    lake = dlt.pipeline("lake", destination=dlt.destinations.filesystem(str(tmp_path / "lake")), dataset_name="data")
    nothing = dlt.pipeline("nothing", destination=dlt.destinations.duckdb(str(tmp_path / "n.duckdb")),
                           dataset_name="data")
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        with pytest.raises(InvalidOption, match="It holds files, and views need a database"):
            sync(lake, api_base=stripe.url, api_key=stripe.api_key, tables="coupons", views="striim")
        asked = [request.path for request in stripe.world.requests]
        sync(lake, api_base=stripe.url, api_key=stripe.api_key, tables="coupons")
    with pytest.raises(InvalidOption, match="It holds files, and views need a database"):
        create_views(lake, "striim")
    with pytest.raises(StripeSourceError, match="Nothing was loaded by pipeline `nothing`"):
        create_views(nothing, "striim")
    with pytest.raises(InvalidOption, match="The native tables are in it"):
        create_views(lake, "striim", dataset="data")

    assert "/v1/coupons" not in asked


def test_the_page_has_every_column(tmp_path: Path) -> None:
    """Where each value comes from, or why it is null: made from the map."""
    page = (Path(__file__).parent.parent / "docs" / "striim.md").read_text(encoding="utf-8")
    made = page[page.index(MADE_FROM_HERE):]

    assert made == views_page("striim"), "run `python -m stripe_source.codegen.views_page striim`"
    assert made.count("\n| `") == 1752
    assert made.count("; no marker\n") == 20
    assert all(column["value"] or column["missing"] for view in show_views("striim") for column in view["columns"])
