"""What is sent to a destination: statements of its own dialect, for every destination of dlt, and what they find."""
from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dlt
import pyarrow as pa
import pytest
from sql_engines import BACKENDS, DATASET, ENGINES, NOT_SQL, SQL, Client, is_here
from sqlglot import exp, parse

from stripe_source import sandbox
from stripe_source.arrow_rows.fingerprint import flagged_fingerprint
from stripe_source.destination import row_reader
from stripe_source.destination.connection import sql_client
from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.destination.sql import engines, statements
from stripe_source.destination.sql.dialect import DestinationSql, StatementCounter, portions
from stripe_source.destination.stored_rows import StoredRows, ask_together
from stripe_source.destination.version_index import VersionCache
from stripe_source.dlt_patches.apply import prepare_destination
from stripe_source.dlt_patches.tables import OBJECT_HINT
from stripe_source.load.sync import sync
from stripe_source.schema.snapshot import map_as_dlt_table
from stripe_source.schema.sql.dialects import DIALECTS
from stripe_source.schema.sql.statements import statements as ddl
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.verification.reconciliation import MoneyProof, ledger, reconcile_payouts

PACKAGE = Path(__file__).parent.parent / "stripe_source"
NASTY = "gold :plan;%s 50%% of \"it's\" \\ \\: ::x ключ"
ACCOUNT = "acct_1"
FIRST = 1_700_000_000  # 2023-11-14 22:13:20


def fingerprints(rows: StoredRows, since: int | None = None) -> dict[tuple[str, ...], tuple[str, bool]]:
    """What is stored, by key."""
    index = rows.fingerprints(since)
    versions = {key: index.see(key) for key in [(str(each.get("id")),) for each in [*PRODUCTS, *MONEY["payouts"]]]}
    return {key: version[:2] for key, version in versions.items() if version}


def made_of(name: str) -> DestinationSql:
    return DestinationSql(Client(name), dlt.Schema("stripe"), NASTY)


def every_statement(sql: DestinationSql) -> dict[str, exp.Expr]:
    """Each of them, with values of every kind."""
    span = sql.created_in("created", FIRST, FIRST + 1)
    some = [[sql.text(NASTY), sql.moment(FIRST)], [sql.text("b"), sql.moment(FIRST)]]
    tests = [*span, sql.may_show("metadata", [NASTY, "cus_1"]), sql.may_show("metadata", ["ключ"]),
             sql.equals("name", None), sql.equals("livemode", True), sql.one_of("name", [NASTY, "b"]),
             sql.equals("name", None).not_()]
    return {
        "rows": statements.rows(sql, "charges", ["id", "_dlt_id"], *tests),
        "keys": statements.rows(sql, "charges", ["id"], statements.keys(sql, ["id", "created"], some)),
        "together": statements.together(sql, [
            statements.Part("charges", ["id"], "_changed_at", tests), statements.Part("payouts", [], "created")]),
        "due": statements.due(sql, "created", "payouts", "status", "pending", "arrival_date", FIRST),
        "count": statements.count(sql, "charges", *tests),
        "count_of_others": statements.count_of_others(sql, "charges"),
        "newest": statements.newest(sql, "charges"),
        "contents": statements.contents(sql, ["charges", "balance_available"]),
        "oldest": statements.oldest(sql, "charges", "created"),
        "places": statements.places(sql, "charges", "created", [1, 200]),
        "ledger": statements.ledger(sql, "balance_transactions"),
        "ledger_changes": statements.ledger_changes(sql, "balance_transactions", [(None, FIRST), (FIRST, FIRST + 60)]),
        "report_sums": statements.report_sums(
            sql, "charges", ["_changed_at"], ["currency", "status"], ["amount", "amount_refunded"]),
        "payouts": statements.payouts(
            sql, "payouts", "payout_balance_transactions", "balance_transactions",
            *sql.created_in("created", FIRST, None, "p")),
        "loads": statements.loads(sql, NASTY, ["1", "2"]),
        "schema_versions": statements.schema_versions(sql),
        "one": statements.one(sql, "charges", sql.ours()),
        "exist": statements.exist(sql, [statements.one(sql, "charges", sql.ours()), statements.load(sql, NASTY)]),
        "load": statements.load(sql, NASTY),
        "complete_loads": statements.complete_loads(sql),
        "of_load": statements.of_load(sql, "charges_waevents", ["position", "event"], NASTY, "position"),
        "schema_version": statements.schema_version(sql, NASTY),
        "owners": statements.owners(sql, {"charges": ["id", "livemode"], "balance_available": []}),
    }


def test_every_destination_of_dlt_is_known() -> None:
    """A new one is put among those that take SQL, or among the others."""
    assert {*SQL, *NOT_SQL, "sqlalchemy"} == set(dlt.destinations.__all__)


def test_every_statement_is_tried() -> None:
    """No function of the module is forgotten."""
    public = {name for name, each in vars(statements).items()
              if inspect.isfunction(each) and each.__module__ == statements.__name__}

    assert public == every_statement(made_of("duckdb")).keys()


@pytest.mark.parametrize("name", [*SQL, *BACKENDS])
def test_statements_are_of_the_dialect(name: str) -> None:
    """Each is one statement, as its grammar reads it, and says the same when it is written again."""
    sql = made_of(name)
    for query in every_statement(sql).values():
        said = query.sql(dialect=sql.dialect)
        read = parse(said, dialect=sql.dialect)

        assert [each and each.sql(dialect=sql.dialect) for each in read] == [said]


# What differs: a boolean, a time, and what finds an id in JSON.
DIFFERENCES = {
    "duckdb": ("\"_deleted\" = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMPTZ)",
               "STRPOS(CAST(\"tags\" AS TEXT), 'cus_1') > 0"),
    "postgres": ("\"_deleted\" = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMPTZ)",
                 "POSITION('cus_1' IN CAST(\"tags\" AS TEXT)) > 0"),
    "redshift": ("\"_deleted\" = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMP WITH TIME ZONE)",
                 "POSITION('cus_1' IN JSON_SERIALIZE(\"tags\")) > 0"),
    "snowflake": ("\"_DELETED\" = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMPTZ)",
                  "CHARINDEX('cus_1', CAST(\"TAGS\" AS VARCHAR)) > 0"),
    "bigquery": ("`_deleted` = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMP)",
                 "INSTR(TO_JSON_STRING(`tags`), 'cus_1') > 0"),
    "mssql": ("[_deleted] = 0", "CAST('2023-11-14 22:13:20+00:00' AS DATETIMEOFFSET)",
              "CHARINDEX('cus_1', CAST([tags] AS VARCHAR(MAX))) > 0"),
    "synapse": ("[_deleted] = 0", "CAST('2023-11-14 22:13:20+00:00' AS DATETIMEOFFSET)",
                "CHARINDEX('cus_1', CAST([tags] AS VARCHAR(MAX))) > 0"),
    "fabric": ("[_deleted] = 0", "CAST('2023-11-14 22:13:20' AS DATETIME2(6))",
               "CHARINDEX('cus_1', CAST([tags] AS VARCHAR(MAX))) > 0"),
    "databricks": ("`_deleted` = FALSE", "CAST('2023-11-14 22:13:20+00:00' AS TIMESTAMP)",
                   "LOCATE('cus_1', CAST(`tags` AS STRING)) > 0"),
    "athena": ("\"_deleted\" = FALSE", "CAST('2023-11-14 22:13:20' AS TIMESTAMP)",
               "STRPOS(CAST(\"tags\" AS VARCHAR), 'cus_1') > 0"),
    "dremio": ("\"_deleted\" = FALSE", "CAST('2023-11-14 22:13:20' AS TIMESTAMP)",
               "CAST(\"tags\" AS VARCHAR) LIKE '%cus_1%'"),
    "clickhouse": ("\"_deleted\" = FALSE", "toDateTime64('2023-11-14 22:13:20', 6, 'UTC')",
                   "POSITION(CAST(\"tags\" AS Nullable(String)), 'cus_1') > 0"),
    "sqlite": ("\"_deleted\" = 0", "'2023-11-14 22:13:20.000000'", "INSTR(CAST(\"tags\" AS TEXT), 'cus_1') > 0"),
    "mysql": ("`_deleted` = FALSE", "CAST('2023-11-14 22:13:20' AS DATETIME)",
              "LOCATE('cus_1', CAST(`tags` AS CHAR)) > 0"),
    "oracle": ("\"_deleted\" = 0", "TO_TIMESTAMP_TZ('2023-11-14 22:13:20 +00:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')",
               "INSTR(\"TAGS\", 'cus_1') > 0"),
}
LIKE_ANOTHER = {"ducklake": "duckdb", "motherduck": "duckdb", "filesystem": "duckdb", "postgresql": "postgres"}


@pytest.mark.parametrize("name", [*SQL, *BACKENDS])
def test_values_are_written_as_the_destination_has_them(name: str) -> None:
    """A bit is no boolean in T-SQL, JSON is no text in BigQuery, and some times have no zone."""
    sql = made_of(name)
    expected = DIFFERENCES["mssql" if name == "mssql" else LIKE_ANOTHER.get(name, name)]

    said = [each.sql(dialect=sql.dialect)
            for each in (sql.not_deleted(), sql.moment(FIRST), sql.may_show("tags", ["cus_1"]))]
    assert said == list(expected)


@pytest.mark.parametrize("name", SQL)
def test_every_table_can_be_loaded_from_the_format_it_gets(name: str) -> None:
    """By dlt's own check: BigQuery takes no JSON from Parquet, and others take no Parquet at all."""
    destination = getattr(dlt.destinations, name)()
    pipeline: Any = SimpleNamespace(destination=destination)
    prepare_destination(pipeline)
    found = pipeline.destination._raw_capabilities()
    select = pipeline.destination.caps_params.get("loader_file_format_selector")
    mapper = found.get_type_mapper() if found.type_mapper else None
    refused = []
    for table in TABLES:
        words = {**map_as_dlt_table(table_map(table)), OBJECT_HINT: "object", "x-insert-api": "copy_into"}
        formats = found.supported_loader_file_formats or found.supported_staging_file_formats
        preferred = found.preferred_loader_file_format or found.preferred_staging_file_format
        if select:
            preferred, formats = select(preferred, formats, table_schema=words)
        chosen = "parquet" if "parquet" in formats else preferred
        for column, hint in words["columns"].items() if mapper else ():
            try:
                mapper.ensure_supported_type({"name": column, **hint}, words, chosen)
            except ValueError as error:
                refused.append((table.name, column, chosen, str(error)))

    assert refused == []


def test_statements_are_made_in_one_place() -> None:
    """No other module writes one: no text of the package begins like a statement, but for these."""
    verbs = "SELECT ", "DELETE ", "INSERT ", "UPDATE ", "MERGE ", "SET ", "RESET ", "USE ", "COPY ", "CREATE ", "FROM "
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts = [node] if isinstance(node, ast.Constant) else node.values if isinstance(node, ast.JoinedStr) else []
            if any(isinstance(each, ast.Constant) and str(each.value).lstrip().startswith(verbs) for each in texts):
                found.add(path.relative_to(PACKAGE).as_posix())
    found = {name for name in found if not name.startswith("striim/tql/")}  # Striim's language, and a DuckDB of our own

    assert found == {
        "views/typed_query.py",  # the query that a map is, as DuckDB reads it
        "waevent_forms/rows.py",  # names of operations
        "destination/sql/engines.py",
        "destination/version_index.py",  # a file of SQLite's of our own
        "verification/compare/scratch_db.py", "verification/compare/sides.py",  # a DuckDB of our own
        "dlt_patches/duckdb.py", "dlt_patches/postgres.py",  # loads of dlt's, for one database each
        "schema/sql/statements.py",  # statements that are printed, not sent
        "load/demo.py",  # printed
    }


def test_the_docs_say_what_has_run() -> None:
    """Every destination has its line; "real" and "emulator" have a test here or in `test_destinations.py`."""
    text = (PACKAGE.parent / "docs" / "destinations.md").read_text(encoding="utf-8")
    table = text.partition("<!-- statements -->\n")[2].partition("<!-- end of statements -->")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    ran = {dialect for _, dialects, how in lines if not how.startswith("parsed") for dialect in dialects.split(", ")}
    dialects = {name: made_of(name).dialect for name in (*SQL, *BACKENDS)}

    assert sorted({name for name, *_ in lines}) == sorted([*SQL, "sqlalchemy"])
    assert {name: said for name, said, _ in lines if name != "sqlalchemy"} == {name: dialects[name] for name in SQL}
    assert {each for name, said, _ in lines if name == "sqlalchemy" for each in said.split(", ")} == {
        dialects[name] for name in BACKENDS}
    assert ran == {"postgres", "mysql", *(dialects[name] for name in ENGINES)}
    assert {how.partition(":")[0] for *_, how in lines} == {"parsed", "real", "emulator"}


# ---- what they find

def stored_tables() -> dict[str, dict[str, Any]]:
    """Some columns of some tables, as dlt describes them."""
    names = {
        "products": ("id", "name", "created", "updated", "images", "active"),
        "balance_transactions": ("id", "net", "currency", "status", "balance_type"),
        "payouts": ("id", "amount", "currency", "automatic", "created", "reconciliation_status", "balance_transaction"),
        "payout_balance_transactions": ("payout_id", "balance_transaction_id", "net"),
    }
    own = "_account_id", "_deleted", "_deleted_at", "_changed_at", "_dlt_load_id", "_dlt_id"
    found = {}
    for name, wanted in names.items():
        table = map_as_dlt_table(table_map(BY_NAME[name]))
        table["columns"] = {column: hint for column, hint in table["columns"].items() if column in {*wanted, *own}}
        found[name] = table
    return found


def row(second: int, deleted: bool = False, **values: Any) -> dict[str, Any]:
    return {"_account_id": ACCOUNT, "_deleted": deleted, "_changed_at": second, "_dlt_load_id": "1",
            "_dlt_id": flagged_fingerprint(str(values.get("id", second))), **values}


def product(id: str, place: int, *, deleted: bool = False, **values: Any) -> dict[str, Any]:
    return row(FIRST + 1000 + place, deleted, id=id, created=FIRST + place, updated=FIRST + place, **values)


PRODUCTS = [
    product("prod_A", 0, name="gold", images=["img_1", {"deep": ["ключ"]}]), product("prod_a", 1, images=["img_2"]),
    product(NASTY, 2, name=NASTY, images=[NASTY, "img_10"]), product("prod_gone", 3, deleted=True, name="gold"),
    product("prod_4", 4, name=""), {**product("prod_other", 5, name="gold"), "_account_id": "acct_2"},
]
MONEY = {
    "payouts": [
        row(1, id=id, amount=amount, currency="eur", automatic=True, created=FIRST, reconciliation_status="completed",
            balance_transaction=f"txn_of_{id}")
        for id, amount in (("po_right", 30), ("po_lacks", 30), ("po_wrong", 30))
    ],
    "balance_transactions": [
        row(1, id=id, net=net, currency="eur", status="available", balance_type=None)
        for id, net in (("txn_1", 10), ("txn_2", 20), ("txn_3", 10), ("txn_4", 29), ("txn_of_po_right", -30))
    ],
    "payout_balance_transactions": [
        row(place, payout_id=payout, balance_transaction_id=id, net=net) for place, (payout, id, net) in enumerate([
            ("po_right", "txn_1", 10), ("po_right", "txn_2", 20), ("po_right", "txn_of_po_right", -30),
            ("po_lacks", "txn_3", 10), ("po_lacks", "txn_not_there", 20), ("po_wrong", "txn_4", 29),
        ])
    ],
}


def insertion(sql: DestinationSql, table: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    for each in rows:
        values = []
        for name, hint in table["columns"].items():
            value = each.get(name)
            if value is None:
                values.append(exp.null())
            elif hint["data_type"] == "json":
                text = sql.text(json.dumps(value, ensure_ascii=False))
                values.append(exp.ParseJSON(this=text) if sql.dialect in ("snowflake", "bigquery") else text)
            elif hint["data_type"] == "timestamp":
                values.append(sql.moment(value))
            elif isinstance(value, bool):
                values.append(sql.boolean(value))
            else:
                values.append(exp.Literal.number(value) if isinstance(value, int) else sql.text(value))
        names = [sql.column(name).this for name in table["columns"]]
        into = exp.Schema(this=sql.table(table["name"]), expressions=names)
        yield sql.statement(exp.Insert(this=into, expression=exp.select(*values)))


@pytest.fixture(params=ENGINES)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Client, dlt.Schema]]:
    """An engine with some rows."""
    if not is_here(request.param):
        pytest.skip(f"needs the package `{ENGINES[request.param][0]}`, in an environment of its own")
    schema = dlt.Schema("stripe")
    with ENGINES[request.param][1](tmp_path) as client:
        sql = DestinationSql(client, schema, ACCOUNT)
        for name, table in stored_tables().items():
            columns = [{"name": column, **hint} for column, hint in table["columns"].items()]
            schema.update_table(dlt.common.schema.utils.new_table(name, columns=columns))
            dataset = getattr(client, "dataset", DATASET)
            kind = replace(DIALECTS[sql.dialect], key=None)  # bqemulator does not read `NOT ENFORCED`
            client._run(ddl(kind, {**table, "columns": dict(table["columns"])}, dataset)[0])
            for statement in insertion(sql, table, PRODUCTS if name == "products" else MONEY[name]):
                client._run(statement)
        yield client, schema


def test_what_is_stored_is_found(stored: tuple[Client, dlt.Schema]) -> None:
    """Keys, versions, values, ids in JSON, and what is due; whatever characters an id has."""
    client, schema = stored
    rows = StoredRows(client, schema, table_map(BY_NAME["products"]), ACCOUNT)  # type: ignore[arg-type]
    ours = [each for each in PRODUCTS if each["_account_id"] == ACCOUNT]

    assert fingerprints(rows) == {(each["id"],): (each["_dlt_id"], each["_deleted"]) for each in ours}
    assert set(fingerprints(rows, FIRST + 2)) == {(each["id"],) for each in ours if each["created"] >= FIRST + 2}
    assert set(rows.keys()) == {(each["id"],) for each in ours if not each["_deleted"]}
    assert rows.versions([(NASTY,), ("prod_gone",), ("prod_missing",), ("prod_other",)]) == {
        (NASTY,): (flagged_fingerprint(NASTY), False, FIRST + 1002),
        ("prod_gone",): (flagged_fingerprint("prod_gone"), True, FIRST + 1003),
    }
    assert rows.rows_where(["id"], "name", ["gold", NASTY]) in ([("prod_A",), (NASTY,)], [(NASTY,), ("prod_A",)])
    assert rows.keys_where("name", [None]) == {("prod_a",)}
    assert rows.keys_where("name", [""]) == {("prod_4",)}
    assert rows.rows_referencing("id", "images", ["img_1", "ключ", NASTY, "img"]) == {
        "img_1": {"prod_A"}, "ключ": {"prod_A"}, NASTY: {NASTY}
    }
    assert rows.rows_due("name", "gold", "updated", FIRST) == [FIRST]
    assert rows.rows_due("name", "gold", "updated", FIRST - 1) == []
    assert rows.oldest() == FIRST
    assert rows.ids_between("updated", FIRST + 1, FIRST + 4) in (["prod_a", NASTY], [NASTY, "prod_a"])
    assert set(rows.versions_between(FIRST + 1, FIRST + 3)) == {("prod_a",), (NASTY,)}
    flagged = pa.concat_tables(rows.deleted_rows({(NASTY,): FIRST + 7, ("prod_A",): FIRST + 8}, "2")).sort_by("id")
    assert flagged["id"].to_pylist() == sorted([NASTY, "prod_A"])
    images = [json.loads(each) for each in flagged["images"].to_pylist()]
    assert images == [PRODUCTS[2]["images"], PRODUCTS[0]["images"]]
    assert [each.timestamp() for each in flagged["_deleted_at"].to_pylist()] == [FIRST + 7, FIRST + 8]


def test_what_is_stored_is_counted(stored: tuple[Client, dlt.Schema], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a span, places in the order of creation, and money."""
    client, schema = stored
    monkeypatch.setattr(row_reader, "sql_client", lambda pipeline: client)
    reader: Any = RowReader(None, schema, ACCOUNT)  # type: ignore[arg-type]
    products = BY_NAME["products"]

    assert reader.count(products, Span()) == 4
    assert reader.count(products, Span(FIRST + 1, FIRST + 4)) == 2
    assert reader.elsewhere(products) == 1
    assert reader.newest(products) == FIRST + 1004
    assert reader.edges(products, [0, 2]) == {0: FIRST, 2: FIRST + 2}
    assert [each for part in reader.rows_with(products, "id", [NASTY]) for each in part["name"].to_pylist()] == [NASTY]
    assert ledger(reader, BY_NAME["balance_transactions"]) == {("payments", "available", "eur"): 39}
    proof = MoneyProof()
    tables = [BY_NAME[name] for name in ("payouts", "payout_balance_transactions", "balance_transactions")]
    reconcile_payouts(reader, *tables, Span(), proof)
    assert proof.payouts_checked == 3
    assert [(each.id, each.swept, each.transactions) for each in proof.payouts] == [
        ("po_lacks", 10, 2), ("po_wrong", 29, 1)]


# ---- how often the destination is asked

def test_questions_about_several_tables_are_one_statement(stored: tuple[Client, dlt.Schema]) -> None:
    """Their answers are those of the single questions, for which nothing is asked any more."""
    client, schema = stored
    counter = StatementCounter()
    single, ahead, money, counted = (
        StoredRows(client, schema, table_map(BY_NAME[name]), ACCOUNT, counter)  # type: ignore[arg-type]
        for name in ("products", "products", "payouts", "payouts")
    )
    expected = [fingerprints(single, FIRST + 1), single.rows_where(["id"], "name", ["gold"]),
                single.rows_due("name", "gold", "updated", FIRST), single.ids_between("updated", FIRST, FIRST + 2),
                single.versions([("prod_A",), ("prod_gone",)]),
                fingerprints(counted)]
    counter.number = 0
    ask_together([
        ahead.ask_fingerprints(FIRST + 1), ahead.ask_versions("name", "gold"),
        ahead.ask_due("name", "gold", "updated", FIRST),
        ahead.ask_ids_between("updated", FIRST, FIRST + 2), money.ask_fingerprints(None),
    ])
    answers = [fingerprints(ahead, FIRST + 1), ahead.rows_where(["id"], "name", ["gold"]),
               ahead.rows_due("name", "gold", "updated", FIRST), ahead.ids_between("updated", FIRST, FIRST + 2),
               ahead.versions([("prod_A",), ("prod_gone",)]),
               fingerprints(money)]

    assert answers == expected
    assert counter.number == 1


def test_a_table_that_is_gone_leaves_every_question_open(tmp_path: Path) -> None:
    """The others are asked one by one, and of it nothing is held."""
    pipeline = dlt.pipeline("stripe_test", destination=dlt.destinations.duckdb(str(tmp_path / "t.duckdb")),
                            dataset_name="stripe", pipelines_dir=str(tmp_path / "pipelines"))
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        sync(pipeline, tables="products;coupons", api_base=stripe.url, api_key=stripe.api_key)
        account = stripe.world.dump()["accounts"][0].object["id"]
    with pipeline.sql_client() as client:
        client.execute_sql("DROP TABLE coupons")
    with sql_client(pipeline) as client:
        products, coupons = (
            StoredRows(client, pipeline.default_schema, table_map(BY_NAME[name]), account)
            for name in ("products", "coupons")
        )
        ask_together([products.ask_fingerprints(None), coupons.ask_fingerprints(None)])

        assert products.fingerprints().counts()[0] > 0
        assert coupons.fingerprints().counts() == (0, 0)


def test_a_key_is_asked_for_once(tmp_path: Path) -> None:
    """Also one that is not there; and what a database holds for another one because of its case is left out."""
    asked: list[Any] = []

    def ask(keys: Any) -> Any:
        asked.extend(keys)
        return [(("a",), version("1")), (("A",), version("2"))]

    def version(print_: str) -> Any:
        from stripe_source.destination.version_index import StoredVersion

        return StoredVersion(print_, False, 1)

    cache = VersionCache()
    first = cache.versions([("a",), ("b",)], ask, lambda: [])
    second = cache.versions([("b",), ("a",)], ask, lambda: [])

    assert first == second == {("a",): version("1")}
    assert asked == [("a",), ("b",)]


def test_of_very_many_keys_the_whole_table_is_read_once(stored: tuple[Client, dlt.Schema],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answers are the same."""
    client, schema = stored
    shape, counter = table_map(BY_NAME["products"]), StatementCounter()
    wanted = [(each["id"],) for each in PRODUCTS]
    one_by_one = StoredRows(client, schema, shape, ACCOUNT).versions(wanted)  # type: ignore[arg-type]
    monkeypatch.setattr("stripe_source.destination.version_index.MOST_ASKED", 2)
    rows = StoredRows(client, schema, shape, ACCOUNT, counter)  # type: ignore[arg-type]
    found = {key: version for key in wanted for some in [rows.versions([key])] for version in some.values()}

    assert found == one_by_one != {}
    assert counter.number == 3  # two keys, and then everything


@pytest.mark.parametrize("values", [["x" * 10] * 4_500, ["x" * 70_000] * 3, ["x"], []])
def test_a_statement_has_a_bounded_length(values: list[str]) -> None:
    """In values and in characters."""
    parts = list(portions(values))

    assert [each for part in parts for each in part] == values
    assert all(len(part) <= 2_000 and (len(part) == 1 or sum(map(len, part)) < 110_000) for part in parts)


# ---- what only one database takes

@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_statements_of_one_database_can_be_parsed(engine: str) -> None:
    """Comments that are stored, with the dataset as a value."""
    said = engines.stored_comments(engine, NASTY)
    assert said and [each and each.sql(dialect=engine) for each in parse(said, dialect=engine)] == [said]
    assert engines.stored_comments("sqlite", NASTY) is None


def test_duckdb_takes_its_settings_and_gives_them_back() -> None:
    """All of them."""
    import duckdb

    with duckdb.connect() as connection:
        for statement in (*engines.settings("150MB", 30), *map(engines.reset, engines.RESET), engines.CHECKPOINT):
            connection.execute(statement)
        assert connection.execute(engines.DATABASE_FILE).fetchall() == [(None,)]
