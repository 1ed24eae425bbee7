"""WAEvents read into tables: the rows of all tables come back whole, changes in their order, and bad ones are named."""
from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from later import some_later

from stripe_source import load_waevents, rows, rows_from_waevents, sandbox, sync
from stripe_source.cli.main import main
from stripe_source.errors import InvalidOption
from stripe_source.striim.names import EventTables, striim_columns
from stripe_source.striim.tql.columns import striim_tables, unavailable_tables
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.waevent_forms.avro_form import write_avro
from stripe_source.waevent_forms.form import StriimWAEvent, bitmap
from stripe_source.waevent_forms.json_form import json_texts, positional
from stripe_source.waevent_forms.rows import column_names, waevent_rows, waevents_of

SOME = "customers;charges;invoices;invoice_line_items;discounts;prices;balance_available;payout_balance_transactions"
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[StriimWAEvent], Path]]:
    """The WAEvents of a first load of a small business, and the tables that `sync` makes of it."""
    import dlt

    folder = tmp_path_factory.mktemp("business")
    events = []
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        stripe.world.create("customer", email="a\u0001\"\\é@example.com", new_field={"a": 1, "b": [1, "x"]}, other="5")
        stripe.world.create("customer", new_field={"a": 2}, other=None, metadata={"k": 'quo"te\\', "n": "\u0007"})
        given: dict[str, Any] = {"tables": SOME, "api_base": stripe.url, "api_key": stripe.api_key}
        for name, table in rows(problems={}, **given):
            shape = table_map(BY_NAME[name])
            columns = column_names(shape)
            loaded = table.append_column("_dlt_load_id", pa.repeat(pa.scalar("1"), table.num_rows))
            hints = {each: _column(loaded.schema.field(each)) for each in loaded.column_names}
            made = waevent_rows(shape, loaded, hints, 0, [("SELECT", None, None)] * table.num_rows)
            events += list(waevents_of(made, columns))
        pipeline = dlt.pipeline("business", destination=dlt.destinations.duckdb(str(folder / "truth.duckdb")),
                                dataset_name="stripe", pipelines_dir=str(folder))
        sync(pipeline, **given)
    yield events, folder / "truth.duckdb"


def _column(field: pa.Field) -> Any:
    from stripe_source.tables.schema_map import Column

    kinds = {pa.string(): "text", pa.int64(): "bigint", pa.bool_(): "bool"}
    return Column(field.name, "json" if field.name.endswith("__b") else kinds.get(field.type, "text"), None)


def differences(one: Path, other: Path) -> list[str]:
    """The tables of two files that do not hold the same rows, by DuckDB alone; which load brought a row is its own."""
    with duckdb.connect() as db:
        db.execute(f"ATTACH '{one}' AS a; ATTACH '{other}' AS b; SET TimeZone = 'UTC'")
        wrong = []
        names = {
            side: {row[0] for row in db.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'stripe' "
                "AND table_name NOT LIKE '\\_dlt%' ESCAPE '\\'", [side]).fetchall()}
            for side in "ab"
        }
        with_rows = {name for name in names["a"] if db.execute(f"SELECT count(*) FROM a.stripe.{name}").fetchone()[0]}
        wrong += [f"{name} is missing" for name in with_rows - names["b"]]
        for name in with_rows & names["b"]:
            columns, others = (
                {row[0]: row[1] for row in db.execute(f"DESCRIBE {side}.stripe.{name}").fetchall()} for side in "ab")
            if columns != others:
                wrong.append(f"{name}: columns {set(columns.items()) ^ set(others.items())}")
                continue
            shown = ", ".join(f'"{column}"' for column in columns if column != "_dlt_load_id")
            sides = [f"SELECT {shown} FROM {side}.stripe.{name}" for side in "ab"]
            for left, right in (sides, sides[::-1]):
                if found := db.execute(f"{left} EXCEPT ALL {right} LIMIT 1").fetchall():
                    wrong.append(f"{name}: {found}")
        return wrong


@pytest.fixture
def query(tmp_path: Path) -> Query:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "test.duckdb")) as db:
            return db.execute(f"SET TimeZone = 'UTC'; USE stripe; {sql}").fetchall()

    return ask


@pytest.mark.parametrize("form", some_later(["named", "positional", "array", "avro"], ["named", "avro"]))
def test_rows_come_back(
    form: str, business: tuple[list[StriimWAEvent], Path], new_pipeline: Any, tmp_path: Path
) -> None:
    """Every value, of declared columns and others, of children too, with the same types, from every dialect.

    Those of all tables do, in a longer test: `test_ten_thousand_waevents_go_out_and_come_in`.
    """
    events, truth = business
    file = tmp_path / "events"
    if form == "avro":
        pytest.importorskip("fastavro")
        with file.open("wb") as opened:
            write_avro(opened, events)
    elif form == "positional":
        names = {name: column_names(table_map(BY_NAME[name])) for name in {e.metadata["TableName"] for e in events}}
        in_order = (positional(event, (*names[event.metadata["TableName"]], *event.metadata.get("InferredColumns", {})))
                    for event in events)
        file.write_bytes(gzip.compress("".join(json_texts(in_order)).encode()))
    else:
        file.write_text("".join(json_texts(events, array=form == "array")))
    result = load_waevents(new_pipeline(), file)

    assert (result.counts.read, result.counts.rejected, result.exit_code) == (len(events), 0, 0)
    assert sum(table.rows for table in result.counts.tables.values()) == len(events) > 200
    assert differences(truth, tmp_path / "test.duckdb") == []


def waevent(operation: str, time: int, data: Any, **more: Any) -> str:
    """A WAEvent of a customer, as JSON text; bitmap: a text of 0 and 1, by native column."""
    said = {"TableName": "customers", "OperationName": operation, "TimeStamp": time * 1000}
    return json.dumps({"metadata": {**said, **more.pop("metadata", {})}, "data": data, "before": None, **more})


NAMES = column_names(table_map(BY_NAME["customers"]))


def setting(*names: str) -> str:
    """The presence bitmap of some columns of customers."""
    import base64

    return base64.b64encode(bitmap([name in names for name in NAMES])).decode()


T = 1_790_000_000


def test_changes_are_applied_in_the_order_of_their_time(new_pipeline: Any, query: Query) -> None:
    """Whatever their order in the input; a partial update leaves other columns; null is a value where it is set."""
    pipeline = new_pipeline()
    events = [
        waevent("UPDATE", T + 3, {"id": "cus_1", "email": None}, dataPresenceBitMap=setting("id", "email")),
        waevent("INSERT", T, {"id": "cus_1", "email": "a@example.com", "name": "A", "balance": 7,
                              "delinquent": "true"}),
        waevent("UPDATE", T + 2, {"id": "cus_1", "name": "B"}),
        waevent("UPDATE", T + 2, {"id": "cus_1", "name": "C"}),
        waevent("DELETE", T + 5, {"id": "cus_2"}),
        waevent("INSERT", T + 1, {"id": "cus_2", "email": "b@example.com"}),
        waevent("DELETE", T + 1, {"id": "cus_3"}),
        waevent("INSERT", T + 2, {"id": "cus_3", "email": "c@example.com"}),
    ]
    result = load_waevents(pipeline, events, account_id="acct_1")
    held = query("SELECT id, email, name, balance, delinquent, _deleted, epoch(_deleted_at), epoch(_changed_at), "
                 "_account_id FROM customers ORDER BY id")

    assert held == [
        ("cus_1", None, "C", 7, True, False, None, T + 3, "acct_1"),
        ("cus_2", "b@example.com", None, None, None, True, T + 5, T + 5, "acct_1"),
        ("cus_3", "c@example.com", None, None, None, False, None, T + 2, "acct_1"),
    ]
    counts = result.counts.tables["customers"]
    assert (counts.inserts, counts.updates, counts.deletes, counts.rows) == (3, 3, 2, 3)


def test_changes_build_on_what_the_destination_holds(new_pipeline: Any, query: Query) -> None:
    """A partial update and a deletion of rows of an earlier load keep their other columns; what is older is left."""
    pipeline = new_pipeline()
    first = [waevent("INSERT", T, {"id": f"cus_{n}", "email": f"{n}@example.com", "created": T, "new": n,
                                   "metadata": {"n": "1"}}) for n in range(4)]
    load_waevents(pipeline, first)
    later = [
        waevent("UPDATE", T + 9, {"id": "cus_0", "name": "Zero"}, dataPresenceBitMap=setting("id", "name")),
        waevent("DELETE", T + 9, {"id": "cus_1"}),
        waevent("INSERT", T - 9, {"id": "cus_2", "email": "old"}),
        waevent("UPDATE", T - 9, {"id": "cus_3", "email": "old"}),
        waevent("UPDATE", T + 9, {"id": "cus_3", "name": "Three"}),
    ]
    for _ in range(2):  # a file may be loaded twice
        result = load_waevents(pipeline, later)
        held = query('SELECT id, email, name, epoch(created), "new", metadata, _deleted, epoch(_changed_at) '
                     "FROM customers ORDER BY id")

        assert held == [
            ("cus_0", "0@example.com", "Zero", T, 0, '{"n":"1"}', False, T + 9),
            ("cus_1", "1@example.com", None, T, 1, '{"n":"1"}', True, T + 9),
            ("cus_2", "2@example.com", None, T, 2, '{"n":"1"}', False, T),
            ("cus_3", "3@example.com", "Three", T, 3, '{"n":"1"}', False, T + 9),
        ]
        assert result.counts.tables["customers"].outdated == 2


def test_a_deletion_may_be_hard_and_a_key_may_change(new_pipeline: Any, query: Query) -> None:
    """`deletes="hard"` removes the row; PK_UPDATE ends the row of the key that was before."""
    pipeline = new_pipeline()
    load_waevents(pipeline, [waevent("INSERT", T, {"id": f"cus_{n}"}) for n in range(3)])
    load_waevents(pipeline, [
        waevent("DELETE", T + 1, {"id": "cus_0"}),
        waevent("UPDATE", T + 1, {"id": "cus_9"}, before={"id": "cus_1"}, metadata={"PK_UPDATE": "true"}),
    ], deletes="hard")

    assert query("SELECT id FROM customers ORDER BY id") == [("cus_2",), ("cus_9",)]


def test_bad_ones_are_named_and_kept(new_pipeline: Any, query: Query, tmp_path: Path) -> None:
    """With file, position, reason and text in `_rejected`, once, while the others load; the exit code says it."""
    bad = {
        2: ('{"metadata": {"TableName": "customers"', "no JSON"), 4: ("1, 2", "no JSON object"),
        5: (waevent("BEGIN", T, {"id": "x"}), "operation is `BEGIN`"),
        6: (waevent("INSERT", T, {"email": "x"}), "no value of `id`"),
        7: (waevent("INSERT", T, {"id": "x"}, metadata={"TableName": "custommers"}), "Did you mean `customers`"),
        8: (waevent("INSERT", T, {"id": "x"}, metadata={"TimeStamp": "soon"}), "`soon` is no time"),
        9: (waevent("INSERT", T, None), "no `data`"),
        10: (waevent("INSERT", T, [1] * 500), "500 values"),
        11: (waevent("INSERT", T, ["x"], typeUUID="00000000-0000-5000-8000-000000000000"), "`typeUUID`"),
    }
    lines = {**{n: text for n, (text, _) in bad.items()}, 1: waevent("INSERT", T, {"id": "cus_1"}),
             3: waevent("INSERT", T, {"id": "cus_3"})}
    (tmp_path / "a.json").write_text("\n".join(lines[n] for n in sorted(lines)))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(waevent("INSERT", T, {"id": "cus_4"}).encode()) [:-9])
    pipeline = new_pipeline()
    for _ in range(2):
        result = load_waevents(pipeline, str(tmp_path / "*.json*"))
        held = query("SELECT file, position, reason, raw FROM _rejected ORDER BY 1, 2")

        assert [(row[0], row[1]) for row in held if row[0].endswith("a.json")] == [
            (str(tmp_path / "a.json"), n) for n in bad]
        assert [row[1] for row in held if row[0].endswith("gz")] in ([1], [2])
        for row in held:
            if row[0].endswith("a.json"):
                assert bad[row[1]][1] in row[2] and row[3] == bad[row[1]][0]
        assert (result.counts.rejected, result.exit_code, result.rejected_table) == (len(held), 1, "_rejected")
        assert {row[0] for row in query("SELECT id FROM customers")} >= {"cus_1", "cus_3"}


def test_striims_own_waevents_load_into_native_tables(new_pipeline: Any, query: Query) -> None:
    """By position, under Striim's names: columns with the same letters are found, others become columns."""
    columns = list(striim_columns()["Charges"])
    values = {"Id": "ch_1", "Amount": "1050", "BillingDetailsAddressCity": "Paris", "CustomerId": "cus_1",
              "Created": "2026-01-02T03:04:05.000Z", "Paid": "true", "MetadataAggregate": '{"a": "b"}', "Order": "o_1"}
    whole = {"metadata": {"TableName": "Charges", "OperationName": "SELECT", "ColumnCount": len(columns)},
             "data": [values.get(name) for name in columns], "before": None, "dataPresenceBitMap": "AAA="}
    refund = {"metadata": {"TableName": "Stripe.Refunds", "OperationName": "INSERT",
                           "TimeStamp": "2026-01-02T03:04:05Z"}, "data": {"Id": "re_1", "Amount": 5, "Charge": "ch_1"}}
    order = {"metadata": {"TableName": "Orders", "OperationName": "INSERT"},
             "data": {"Id": "or_1", "AmountReturned": 3}}
    report = {"metadata": {"TableName": "BalanceSummaryReport", "OperationName": "SELECT"},
              "data": {"Id": "frr_1", "Category": "fees", "Net_Amount": "12.50"}}
    text = json.dumps([whole, refund, order, report, {**report, "data": {**report["data"], "Category": "other"}}])
    result = load_waevents(new_pipeline(), io_lines(text), columns={"Charges": {"Order": "my_order"}})

    assert result.counts.reasons == []
    assert query("SELECT id, amount, billing_details__address__city, customer, epoch(created), paid, metadata, "
                 "my_order FROM charges") == [("ch_1", 1050, "Paris", "cus_1", 1767323045, True, '{"a": "b"}', "o_1")]
    assert query("SELECT id, amount, charge, epoch(_changed_at) FROM refunds") == [("re_1", 5, "ch_1", 1767323045)]
    assert query("SELECT id, amount_returned FROM orders") == [("or_1", 3)]
    assert [(one, str(two)) for one, two in query(
        "SELECT category, net_amount FROM balance_summary_report ORDER BY 1")] == [
        ("fees", "12.500000000000"), ("other", "12.500000000000")]


def io_lines(text: str) -> list[str]:
    """The WAEvents of an array as JSON texts."""
    return [json.dumps(each) for each in json.loads(text)]


def test_most_of_striims_columns_have_a_native_one() -> None:
    """Of those tables that there are: three of four by their letters alone, and no two the same."""
    tables, found, every = EventTables(), 0, 0
    for name, columns in striim_columns().items():
        table = tables.find(name)
        native = [table.column(column) for column in columns]
        declared = {column.name for column in table.shape.columns}

        assert len(native) == len(set(native)), name
        if len(declared) > 8:
            found += sum(column in declared for column in native)
            every += len(columns)
    assert (len(striim_columns()), sum(map(len, striim_columns().values()))) == (60, 1752)
    assert found / every > 0.74


def test_columns_by_position_are_those_of_the_views() -> None:
    """What a TQL program reads as `data[n]` and the map `striim` agree in names, order and type."""
    types = {"String": "text", "Integer": "bigint", "Datetime": "timestamp", "Boolean": "bool", "Decimal": "decimal",
             "Double": "double"}
    read = {table.name: {column.name: types[column.type] for column in table.columns} for table in striim_tables()}

    assert {*read, *unavailable_tables()} == {*striim_columns()}
    for name, columns in read.items():
        assert list(columns.items()) == list(striim_columns()[name].items()), name


def test_without_a_pipeline_the_resource_yields_arrow_tables() -> None:
    """In a notebook: `list(rows_from_waevents(...))`."""
    (table,) = rows_from_waevents([waevent("INSERT", T, {"id": "cus_1", "email": "a@example.com"})])

    assert table.select(["id", "email", "_account_id"]).to_pylist() == [
        {"id": "cus_1", "email": "a@example.com", "_account_id": "self"}]
    with pytest.raises(InvalidOption, match="no such file"):
        rows_from_waevents("nowhere/*.json")


def test_a_value_that_does_not_fit_is_kept_beside(new_pipeline: Any, query: Query) -> None:
    """As everywhere: `<column>__v_json`."""
    load_waevents(new_pipeline(), [waevent("INSERT", T, {"id": "cus_1", "balance": "a lot", "created": [1]})])

    assert query("SELECT balance, balance__v_json, created, created__v_json FROM customers") == [
        (None, '"a lot"', None, "[1]")]


def test_the_command_reads_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`waevents load -`, with the result as JSON; and for people."""
    for bad, code in (("", 0), ("\nnonsense", 1)):
        text = waevent("INSERT", T, {"id": "cus_1"}) + bad
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["waevents", "load", "-", "--json"]) == code
        said = json.loads(capsys.readouterr().out)
        assert (said["counts"]["read"], said["counts"]["rejected"], said["exit_code"]) == (1 + code, code, code)
    (tmp_path / "x.json").write_text(waevent("INSERT", T, {"id": "cus_1"}) + "\nnonsense")

    assert main(["waevents", "load", "x.json"]) == 1
    shown = capsys.readouterr().out
    assert "customers" in shown and "x.json, WAEvent 2: there is something that is no JSON object" in shown
