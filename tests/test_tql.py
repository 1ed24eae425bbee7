"""Striim's programs: each oddity of their language, run against the sandbox or refused with its place."""
from __future__ import annotations

import base64
import csv
import importlib.util
import json
import re
import runpy
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from command_line import Say, saying

from stripe_source import sandbox
from stripe_source.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidOption,
    MalformedKey,
    TqlSyntaxError,
    TqlUnsupported,
)
from stripe_source.striim.tql.plan.planner import make_plan
from stripe_source.striim.tql.program import tql_check, tql_convert, tql_run, tql_show
from stripe_source.striim.tql.run.flow import run_flow

FOLDER = Path(__file__).parent / "tql"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "expected.yaml").read_text(encoding="utf-8"))
BEGIN_OF_2026 = 1_767_225_600


def cases(kind: str) -> list[str]:
    return [name for name, said in CASES.items() if kind in said]


@pytest.fixture(scope="module")
def shop() -> Iterator[Any]:
    """A small sandbox that nobody changes."""
    with sandbox.serve(seed=7, scale=0.05) as stripe:
        yield stripe


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    return saying(capsys, monkeypatch)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a program to a file."""

    def write(text: str) -> Path:
        (tmp_path / "program.tql").write_text(text, encoding="utf-8")
        return tmp_path / "program.tql"

    return write


def objects(stripe: Any, table: str) -> list[dict[str, Any]]:
    """What Stripe has of a table; of `failed` and the like, of charges."""
    charges = {
        "failed": lambda each: each["status"] == "failed",
        "charges_of_2026": lambda each: each["created"] >= BEGIN_OF_2026,
        "charges_above_100": lambda each: each["amount"] > 10_000,
    }
    truth = stripe.world.dump()["charges" if table in charges else table]
    living = [each.object for each in truth if each.listed and not each.deleted]
    return [each for each in living if table not in charges or charges[table](each)]


def waevents(printed: list[str]) -> list[dict[str, Any]]:
    """What SysOut printed, read back: each line inside of a WAEvent is a name and JSON."""
    found = []
    for text in printed:
        match = re.fullmatch(r"(?:\w+: )?WAEvent\{\n(.*)\n\};", text, re.DOTALL)
        assert match, text
        lines = (line.strip().partition(": ") for line in match[1].split("\n"))
        found.append({name: json.loads(value) for name, _, value in lines})
    return found


def source(more: str = "", *, mode: str = "InitialLoad", key: str = "****", tables: str = "Charges") -> str:
    return (f"CREATE SOURCE S USING Global.StripeReader ( Mode: '{mode}', ApiKey: '{key}', Tables: '{tables}'{more} )\n"
            "OUTPUT TO Charges_Out;\n")


def test_every_program_of_the_folder_has_an_outcome() -> None:
    """And every outcome a program; there are more than 40."""
    assert {path.stem for path in FOLDER.glob("*.tql")} == set(CASES)
    assert len(CASES) > 40


@pytest.mark.parametrize("name", [name for name in cases("written") if "Db" not in CASES[name]["written"]])
def test_a_program_runs(name: str, shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key of the configuration; each target gets what Stripe has of its tables, and none twice."""
    if (needs := CASES[name].get("needs")) and not importlib.util.find_spec(needs):
        pytest.skip(f"{needs} is not installed")
    monkeypatch.setenv("STRIPE_API_KEY", shop.api_key)
    monkeypatch.setenv("SOURCES__STRIPE__TQL__STRIPE_KEY", shop.api_key)
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    result = tql_run(FOLDER / f"{name}.tql", api_base=shop.url, output=printed.append, pipelines_dir=str(tmp_path))
    expected = {target: sum(len(objects(shop, table)) for table in tables)
                for target, tables in CASES[name]["written"].items()}

    assert result.exit_code == 0 and result.problems == {}
    assert result.written == expected
    assert min(expected.values()) > 0
    assert len(printed) == sum(number for name, number in expected.items() if name not in ("Files", "Db"))
    assert len(set(printed)) == len(printed)


@pytest.mark.parametrize("name", cases("refused"))
def test_what_cannot_be_carried_over_is_listed(name: str, shop: Any, tmp_path: Path) -> None:
    """By statement, property, line and column; it stops a run, and `check` says the same."""
    found = tql_check(FOLDER / f"{name}.tql")["unsupported"]
    with pytest.raises(TqlUnsupported) as refused:
        tql_run(FOLDER / f"{name}.tql", api_base=shop.url, api_key=shop.api_key, output=pytest.fail)

    assert CASES[name]["refused"] == [
        f"{each['line']}:{each['column']} {each['statement']} {each['property']}".strip() for each in found]
    assert len(refused.value.problems) == len(found)
    assert all(f"line {each['line']}, column {each['column']}: " in str(refused.value) for each in found)


@pytest.mark.parametrize("name", cases("broken"))
def test_a_program_that_is_none_is_answered_with_its_place(name: str) -> None:
    """Line and column of what is wrong, and no word of a text in quotes."""
    with pytest.raises(TqlSyntaxError) as error:
        tql_check(FOLDER / f"{name}.tql")

    assert CASES[name]["broken"] == f"{error.value.line}:{error.value.column}"
    assert "rk_test" not in str(error.value)


@pytest.mark.parametrize(("name", "operation"), [("01_initial_load", "SELECT"), ("02_incremental_load", "INSERT")])
def test_the_programs_of_striims_documentation_print_waevents(
    name: str, operation: str, shop: Any, say: Say
) -> None:
    """By the command, all customers in Striim's own form: values by place, metadata; all else goes elsewhere."""
    said = say("tql", "run", str(FOLDER / f"{name}.tql"), "--api-base", shop.url, key=shop.api_key)
    found = waevents(re.findall(r"WAEvent\{\n.*?\n\};", said.out, re.DOTALL))
    truth = {each["id"]: each for each in objects(shop, "customers")}

    assert said.code == 0
    assert "Customers: " in said.err
    assert "" == re.sub(r"WAEvent\{\n.*?\n\};\n", "", said.out, flags=re.DOTALL)
    assert {each["data"][0] for each in found} == truth.keys() and len(found) == len(truth)
    for each in found:
        customer = truth[each["data"][0]]
        assert (customer["currency"], customer["delinquent"], customer["email"]) == (
            each["data"][4], each["data"][6], each["data"][9])
        assert {"TableName": "Customers", "OperationName": operation, "ColumnCount": 53} == {
            key: each["metadata"][key] for key in ("TableName", "OperationName", "ColumnCount")}
        assert each["before"] is None and each["typeUUID"] is None and len(each["data"]) == 53
        bits = [byte >> bit & 1 for byte in base64.b64decode(each["dataPresenceBitMap"]) for bit in range(7)]
        assert [value is not None for value in each["data"]] == list(map(bool, bits[:53])) and not any(bits[53:])
        assert set(base64.b64decode(each["beforePresenceBitMap"])) == {0}


def test_every_value_of_a_charge_is_at_its_place(shop: Any) -> None:
    """In the order that Striim publishes: 1 is the amount, 19 the creation, 30 the metadata as JSON, 56 the status."""
    printed: list[str] = []
    run_flow(make_plan(source() + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;").flow,
             output=printed.append, api_base=shop.url, api_key=shop.api_key)
    truth = {each["id"]: each for each in objects(shop, "charges")}

    for each in (event["data"] for event in waevents(printed)):
        charge = truth[each[0]]
        assert (charge["amount"], charge["currency"], charge["customer"], charge["status"]) == (
            each[1], each[2], each[3], each[56])
        assert datetime.strptime(each[19], "%Y-%m-%dT%H:%M:%S.000%z").timestamp() == charge["created"]
        assert charge["metadata"] == json.loads(each[30])


def test_what_is_inside_of_an_object_does_not_depend_on_other_tables(shop: Any) -> None:
    """Subscriptions with and without their items: the columns that are about the items, and the items as JSON."""
    target = "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;"
    said: list[dict[str, Any]] = []
    for tables in ("Subscriptions", "Subscriptions;SubscriptionItems"):
        printed: list[str] = []
        run_flow(make_plan(source(tables=tables) + target).flow, output=printed.append, as_json=True,
                 api_base=shop.url, api_key=shop.api_key)
        events = [json.loads(line) for line in printed]
        said.append({each["data"]["Id"]: each["data"] for each in events
                     if each["metadata"]["TableName"] == "Subscriptions"})
    truth = {each["id"]: each["items"]["data"][0] for each in objects(shop, "subscriptions")}

    assert said[0] == said[1]
    assert {name: (item["quantity"], item["id"]) for name, item in truth.items()} == {
        name: (data["Quantity"], json.loads(data["ItemsAggregate"])[0]["id"]) for name, data in said[1].items()}
    assert len(events) == len(objects(shop, "subscriptions")) + len(objects(shop, "subscription_items"))


def test_queries_select_and_convert(shop: Any) -> None:
    """Each function of a query, against the same in Python."""
    printed: list[str] = []
    text = (FOLDER / "27_functions_and_methods.tql").read_text()
    run_flow(make_plan(text).flow, output=printed.append, as_json=True, api_base=shop.url, api_key=shop.api_key)
    expected = {
        each["id"]: {
            "id": each["id"], "size": "large" if each["amount"] >= 10_000 else "small",
            "day": str(datetime.fromtimestamp(each["created"], timezone.utc).date()),
            "cur": each["currency"].upper()[:2], "customer": each["customer"] or "none",
        } for each in objects(shop, "failed")
    }

    assert expected == {row["id"]: row for row in map(json.loads, printed)}


def test_texts_in_queries_keep_their_escapes(shop: Any) -> None:
    """A quote by a backslash or twice, and a tab."""
    printed: list[str] = []
    run_flow(make_plan((FOLDER / "14_escapes_in_texts.tql").read_text()).flow, output=printed.append, as_json=True,
             api_base=shop.url, api_key=shop.api_key)

    assert {("it's \"", "a'b", "x\ty")} == {
        (row["quoted"], row["doubled"], row["tab"]) for row in map(json.loads, printed)}


def test_files_roll_and_are_whole(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of 50 objects each, with the data by name; a second run writes over nothing."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        result = tql_run(FOLDER / "28_file_of_json.tql", api_base=shop.url, api_key=shop.api_key)
    files = sorted((tmp_path / "out").iterdir())
    arrays = [json.loads(file.read_text()) for file in files]
    truth = {each["id"]: each["email"] for each in objects(shop, "customers")}

    assert [len(array) for array in arrays[:2]] == [50, 50] and len(files) == 2 * -(-len(truth) // 50)
    assert {str(file.relative_to(tmp_path)) for file in files[len(files) // 2:]} == set(result.files)
    assert truth == {each["data"]["Id"]: each["data"]["Email"] for array in arrays for each in array}
    assert sum(map(len, arrays)) == 2 * len(truth)


def test_delimited_values_can_be_read_back(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Python's own reader, with the header, the delimiter and the null that the program names."""
    monkeypatch.chdir(tmp_path)
    tql_run(FOLDER / "29_file_of_delimited_values.tql", api_base=shop.url, api_key=shop.api_key)
    with (tmp_path / "out" / "charges.00.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))

    assert {(each["id"], str(each["amount"]), each["description"] or "") for each in objects(shop, "charges")} == {
        (row["id"], row["amount"], row["description"]) for row in rows}
    assert len(rows) == len(objects(shop, "charges"))


def test_avro_can_be_read_back(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of texts, in the schema that Striim documents; the schema is beside them."""
    fastavro = pytest.importorskip("fastavro")
    monkeypatch.chdir(tmp_path)
    tql_run(FOLDER / "30_file_of_avro.tql", api_base=shop.url, api_key=shop.api_key)
    with (tmp_path / "out" / "customers.00.avro").open("rb") as file:
        records = list(fastavro.reader(file))
    schema = json.loads((tmp_path / "out" / "customers.avsc").read_text())

    assert (schema["namespace"], schema["name"]) == ("WAEvent.avro", "WAEvent")
    assert {each["id"]: each["email"] for each in objects(shop, "customers")} == {
        record["data"]["Id"]: record["data"]["Email"] for record in records}
    assert {record["metadata"]["ColumnCount"] for record in records} == {"53"}


def test_a_database_is_merged_into(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns by the program's names, one row for each key after two runs, and times as times."""
    monkeypatch.chdir(tmp_path)
    results = [
        tql_run(FOLDER / "31_database_with_column_map.tql", api_base=shop.url, api_key=shop.api_key,
                pipelines_dir=str(tmp_path / "pipelines")) for _ in range(2)]
    with duckdb.connect("shop.duckdb", read_only=True) as connection:
        payments = connection.execute(
            "SELECT payment_id, cents, epoch(created), status FROM public.payments").fetchall()
        customers = connection.execute("SELECT id FROM public.customers").fetchall()

    assert [{"Db": len(payments) + len(customers)}] * 2 == [result.written for result in results]
    assert sorted((each["id"], each["amount"], each["created"], each["status"]) for each in objects(shop, "charges")
                  ) == sorted(payments)
    assert sorted((each["id"],) for each in objects(shop, "customers")) == sorted(customers)


def test_another_destination_can_take_the_place_of_a_warehouse(
    shop: Any, tmp_path: Path, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--destination`: a program for Snowflake, tried in DuckDB; a pattern names the tables. No file keeps the key."""
    import dlt

    monkeypatch.chdir(tmp_path)
    file = write(source(key=shop.api_key) + "CREATE TARGET W USING SnowflakeWriter ( Tables: '%,shop.stripe_%' )\n"
                 "INPUT FROM Charges_Out;")
    tql_run(file, api_base=shop.url, destination=dlt.destinations.duckdb("w.duckdb"),
            pipelines_dir=str(tmp_path / "pipelines"))
    with duckdb.connect("w.duckdb", read_only=True) as connection:
        found = connection.execute("SELECT count(*), sum(amount) FROM shop.stripe_charges").fetchone()

    charges = objects(shop, "charges")
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert [file] == [each for each in files if shop.api_key[8:].encode() in each.read_bytes()] and len(files) > 5
    assert (len(charges), sum(each["amount"] for each in charges)) == found


def test_incremental_loads_go_on(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll by poll what was created since, each object once; another run goes on only where there is RECOVERY."""
    monkeypatch.chdir(tmp_path)
    clauses = "CREATE APPLICATION A{} ;\n"
    rest = source(", IncrementalLoadMarker: 'Created', PollingInterval: '1s'", mode="IncrementalLoad",
                  tables="Customers") + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;\nEND APPLICATION A;"
    given = {"api_base": small.url, "api_key": small.api_key, "pipelines_dir": str(tmp_path)}
    kept = make_plan(clauses.format(" RECOVERY 5 SECOND INTERVAL") + rest).flow
    printed: list[str] = []
    polls: list[int] = []

    class EnoughError(Exception):
        pass

    def on_poll(result: Any) -> None:
        polls.append(len(printed))
        if len(polls) == 3:
            raise EnoughError
        small.world.advance(3_600)
        small.world.create("customer", name=f"Customer {len(polls)}")

    before = len(objects(small, "customers"))
    with pytest.raises(EnoughError):
        run_flow(kept, output=printed.append, poll=True, on_poll=on_poll, **given)
    small.world.advance(3_600)
    small.world.create("customer", name="Last")
    again: list[str] = []
    run_flow(kept, output=again.append, **given)
    anew: list[str] = []
    run_flow(make_plan(clauses.format("") + rest).flow, output=anew.append, **given)

    assert polls == [before, before + 1, before + 2]
    assert len({each["data"][0] for each in waevents(printed)}) == before + 2
    assert len(again) == 1 and "Last" in again[0]
    assert len(anew) == before + 3


def test_a_poll_that_failed_is_tried_again(shop: Any) -> None:
    """Where whoever runs the program says so; nothing of it is missing then."""
    flow = make_plan(source(", IncrementalLoadMarker: 'Created', PollingInterval: '1s'", mode="IncrementalLoad")
                     + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;").flow
    printed: list[str] = []
    failures: list[Exception] = []

    def output(text: str) -> None:
        if not failures and len(printed) == 5:
            raise OSError("The pipe is full")
        printed.append(text)

    class EnoughError(Exception):
        pass

    def on_poll(result: Any) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        run_flow(flow, output=output, poll=True, on_poll=on_poll, api_base=shop.url, api_key=shop.api_key,
                 on_failure=lambda error: failures.append(error) is None)
    truth = {each["id"] for each in objects(shop, "charges")}

    assert ["The pipe is full"] == [str(error) for error in failures]
    assert truth == {each["data"][0] for each in waevents(printed)} and len(printed) == 5 + len(truth)
    failures.clear()
    printed.clear()
    with pytest.raises(OSError, match="pipe"):
        run_flow(flow, output=output, poll=True, api_base=shop.url, api_key=shop.api_key)


def test_a_literal_key_works_and_is_never_seen(
    shop: Any, write: Callable[[str], Path], say: Say, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by show, check, convert, a run, or an error; a key that is none is refused without being named."""
    good = source(key=shop.api_key) + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;\n"
    file = write(good)
    calls = [("show",), ("show", "--diagram"), ("show", "--json"), ("check",), ("convert",), ("run", "--json")]
    said = [say("tql", call[0], str(file), *call[1:], *(("--api-base", shop.url) if call[0] == "run" else ()))
            for call in calls]
    write(good + "CREATE TARGET P USING KafkaWriter ( Password: 'hunter-22' ) INPUT FROM Charges_Out;")
    said.append(say("tql", "run", str(file), "--api-base", shop.url))
    write(good.replace("sk_test_", "sk_nope_"))
    said.append(say("tql", "run", str(file), "--api-base", shop.url))
    write(good.replace("INPUT FROM", "INPUT"))
    said.append(say("tql", "run", str(file), "--api-base", shop.url))

    assert [0, 0, 0, 0, 0, 0, 2, 2, 2] == [each.code for each in said]
    texts = [each.out + each.err for each in said] + [caplog.text]
    assert not [text for text in texts if shop.api_key[8:] in text or "hunter-22" in text]
    assert len(said[5].out.splitlines()) == len(objects(shop, "charges"))


def test_a_key_that_stripe_refuses_ends_the_run(shop: Any, write: Callable[[str], Path], say: Say) -> None:
    """With exit code 3, and nothing on standard output."""
    file = write(source(key="sk_test_51unknown") + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;\n")
    said = say("tql", "run", str(file), "--api-base", shop.url)

    assert (3, "") == (said.code, said.out)
    with pytest.raises(AuthenticationError):
        tql_run(file, api_base=shop.url)
    with pytest.raises(MalformedKey):
        tql_run(write(source(key="YOUR KEY")), api_base=shop.url)


def test_a_masked_password_is_asked_for_by_name(shop: Any, write: Callable[[str], Path]) -> None:
    """Before Stripe is read."""
    file = write(source() + "CREATE TARGET D USING DatabaseWriter ( ConnectionURL: 'jdbc:postgresql://localhost:1/x', "
                 "Username: 'u', Password: '****', Tables: 'Charges,public.charges' ) INPUT FROM Charges_Out;")
    with pytest.raises(ConfigurationError) as error:
        tql_run(file, api_base=shop.url, api_key=shop.api_key)

    assert "DESTINATION__POSTGRES__CREDENTIALS__PASSWORD" in str(error.value)


def test_a_program_sends_the_configured_key_to_stripe_only(
    shop: Any, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ApiBase`: another host gets only a key that stands in the program too; this machine gets a test key."""
    monkeypatch.setenv("STRIPE_API_KEY", shop.api_key)
    target = "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;"
    with pytest.raises(InvalidOption, match="another host than Stripe's"):
        tql_run(write(source(", ApiBase: 'https://example.org'") + target), output=pytest.fail)
    printed: list[str] = []
    tql_run(write(source(f", ApiBase: '{shop.url}'") + target), output=printed.append, api_base="https://127.0.0.1:1")

    assert len(printed) == len(objects(shop, "charges"))


def test_a_program_gives_the_configured_password_to_its_host_only(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the configuration names a host."""
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__HOST", "db.example.com")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__PASSWORD", "hunter-22")
    file = write(source() + "CREATE TARGET D USING DatabaseWriter ( ConnectionURL: 'jdbc:postgresql://example.org/x', "
                 "Username: 'u', Tables: 'Charges,public.charges' ) INPUT FROM Charges_Out;")
    with pytest.raises(ConfigurationError, match="another host") as error:
        tql_run(file, api_key="sk_test_51x", api_base="http://127.0.0.1:1")

    assert "hunter" not in str(error.value)


def test_a_program_runs_without_what_cannot_be_carried_over(shop: Any, say: Say) -> None:
    """`--ignore-unsupported`: the rest of it, and what is left out is said."""
    file = str(FOLDER / "41_other_writers.tql")
    refused = say("tql", "run", file, "--api-base", shop.url, key=shop.api_key)
    said = say("tql", "run", file, "--api-base", shop.url, "--ignore-unsupported", key=shop.api_key)

    assert (2, "") == (refused.code, refused.out)
    assert said.code == 0 and said.out.count("WAEvent{") == len(objects(shop, "customers"))
    assert "line 5, column 27: CREATE TARGET Kafka, `KafkaWriter`" in said.err
    assert 2 == say("tql", "check", file).code


@pytest.mark.parametrize("name", ["07_exported_query_with_two_semicolons", "21_marker_per_table", "26_user_data"])
def test_a_converted_program_does_the_same(
    name: str, shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script prints, event by event, what the program prints."""
    monkeypatch.setenv("STRIPE_API_KEY", shop.api_key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", shop.url)
    script = tmp_path / "converted.py"
    script.write_text(tql_convert(FOLDER / f"{name}.tql"))
    printed: list[str] = []
    tql_run(FOLDER / f"{name}.tql", output=printed.append)
    main = runpy.run_path(str(script))["main"]

    assert main() == 0
    assert sorted(printed) == sorted(
        re.findall(r"^\w+\{\n.*?\n\};$", capsys.readouterr().out, re.DOTALL | re.MULTILINE))
    assert all(len(line) <= 120 for line in script.read_text().splitlines())


def test_show_tells_what_will_happen_to_each_table(say: Say) -> None:
    """What is read of it and where it goes; the diagram has each step once."""
    shown = tql_show(FOLDER / "32_several_consoles.tql")
    diagram = say("tql", "show", str(FOLDER / "32_several_consoles.tql"), "--diagram").out

    assert [("Customers", "customers"), ("Charges", "charges")] == [
        (table["table"], table["native"]) for table in shown["tables"]]
    assert [[("Console", []), ("Failed", ["Q"])]] * 2 == [
        [(way["target"], way["through"]) for way in table["goes_to"]] for table in shown["tables"]]
    assert diagram.startswith("flowchart LR\n") and diagram.count(" --> ") == 5
    assert len(re.findall(r'^    n\d+[\[({]+"', diagram, re.MULTILINE)) == 6


def test_a_table_that_cannot_be_read_is_named(small: Any, write: Callable[[str], Path], say: Say) -> None:
    """And the others are read: exit code 1."""
    key = small.world.restricted_key(["rak_customer_read"])
    file = write(source(tables="Customers;Charges") + "CREATE TARGET O USING SysOut ( ) INPUT FROM Charges_Out;\n")
    said = say("tql", "run", str(file), "--api-base", small.url, key=key)

    assert said.code == 1
    assert said.out.count("WAEvent{") == len(objects(small, "customers"))
    assert "charges: no permission" in said.err
