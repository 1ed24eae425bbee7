"""The command line as a person meets it: help, lists, checks, demo and sandbox; what is printed where, exit codes.

What it says is compared with the sandbox, with the files of `schema_maps/` and `docs/`, and with the database.
"""
from __future__ import annotations

import importlib.metadata
import json
import re
import signal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import duckdb
import pytest
from command_line import Said, Say, saying, started
from shell import ROOT
from truth import KEYS, MAPS, PARENTS, columns, differences

from stripe_source.sandbox.world import World

NAMES = sorted(file.stem for file in MAPS.glob("*.yaml"))
DOCS = (ROOT / "docs" / "commands.md").read_text()
COMMANDS = re.findall(r"^\| `(\w+)[^`|]*` \| `stripe_source\.", DOCS, re.MULTILINE)
SECRETS = {"api_key", "client_id", "client_secret", "hash_salt", "refresh_token"}
NO_FLAGS = SECRETS | {"emit", "accounts"}  # the last two have one value only


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command in this process; no part of the key that it is given may be printed."""
    return saying(capsys, monkeypatch)


def test_without_a_command_it_says_how_it_is_used(say: Say) -> None:
    """The help goes to people, not down a pipe, and the exit code says that nothing was done."""
    said = say()

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("usage: stripe-source") and "Begin with `stripe-source demo`" in said.err
    assert [] == [name for name in COMMANDS if not re.search(rf"^ +{name} ", said.err, re.MULTILINE)]


def test_its_version_is_the_distribution_s(say: Say) -> None:
    """`--version` prints what is installed."""
    assert say("--version") == Said(0, f"stripe-source {importlib.metadata.version('dlt-source-stripe')}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_what_the_docs_promise(say: Say, command: str) -> None:
    """Every option and exit code of the page, and no way to put a key where other users could read it."""
    said = say(command, "--help")
    promised = {"--json"}
    for names, flags in re.findall(r"(?:Only for|For) `(\w+)[^`]*`:(.*?)(?:\.\s|\.$)", DOCS, re.DOTALL):
        promised |= set(re.findall(r"--[a-z-]+", flags)) if names == command else set()
    if command == "run":
        rows = re.findall(r"^\| (`.+?`) \|", DOCS.split("## Options of `run`")[1].split("\n## ")[0], re.MULTILINE)
        options = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert options > NO_FLAGS
        promised |= {f"--{name.replace('_', '-')}" for name in options - NO_FLAGS}

    assert (said.code, said.err) == (0, "")
    assert promised <= set(re.findall(r"--[a-z-]+", said.out))
    assert re.findall(r"^\| (\d) \|", DOCS, re.MULTILINE) == re.findall(r"^  (\d)  ", said.out, re.MULTILINE)
    assert not re.search(r"--(?!include-secrets\b)[a-z-]*(key|secret|token)", said.out)


def test_tables_lists_every_table_that_has_a_map(say: Say) -> None:
    """`tables --json` is the whole registry, and nothing else is printed."""
    said = say("tables", "--json")

    assert (said.code, said.err) == (0, "")
    assert NAMES == sorted(table["name"] for table in said.json)
    assert f"All {len(said.json)} tables" in (ROOT / "docs" / "tables.md").read_text()


def test_patterns_narrow_the_list(say: Say) -> None:
    """A name and a pattern: one line for each table, a star at those that are not loaded unless asked for."""
    said = say("tables", "refunds", "%link%")
    rows = [line.split() for line in said.out.splitlines()[1:] if line]
    page = (ROOT / "docs" / "tables.md").read_text()
    off = set(re.findall(r"^\| `(\w+)` .*\| no: [^|]+ \|$", page, re.MULTILINE))
    expected = [name for name in NAMES if name == "refunds" or fnmatchcase(name, "*link*")]

    assert (said.code, said.err, len(expected) > 2) == (0, "", True)
    assert expected == sorted(row[0] for row in rows[:-1])
    assert {name for name in expected if name in off} == {row[0] for row in rows[:-1] if row[1] == "*"}
    assert rows[-1][0] == str(len(expected))


@pytest.mark.parametrize("argv", [
    ("tables", "chrge"), ("tables", "--json", "chrge"), ("schema", "show", "chrges"),
    ("schema", "--json", "show", "chrges"), ("tables", "charges", "chrges"),
], ids=" ".join)
def test_an_unknown_table_is_refused_with_a_suggestion(say: Say, argv: tuple[str, ...]) -> None:
    """Exit code 2, one line on stderr, and nothing on stdout that a program could take for an answer."""
    said = say(*argv)

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"Error: Unknown table `{argv[-1]}`. Did you mean `charges`? Run `stripe-source tables` to list all "
        f"{len(NAMES)}.\n"
    )


@pytest.mark.parametrize("table", ["charges", "invoice_line_items", "balance_settings", "tax_rates"])
def test_schema_shows_what_the_map_declares(say: Say, table: str) -> None:
    """Every column of the YAML with its type, reference and description; the key; what a row belongs to."""
    declared = columns(table)
    asked, read = say("schema", "show", table, "--json"), say("schema", "show", table)
    schema = asked.json
    has = {column["name"]: column for column in schema["columns"]}
    lines = {line.split()[0]: line for line in read.out.splitlines()[4:]}

    assert (asked.code, asked.err, read.code, read.err) == (0, "", 0, "")
    assert schema["key"] == ["_account_id", *KEYS.get(table, ("id",))]
    assert schema["parent_column"] == PARENTS.get(table)
    assert read.out.splitlines()[1] == f"Key: {', '.join(schema['key'])}"
    assert list(has) == list(lines) and declared.keys() < has.keys()
    for name, words in declared.items():
        kind = "decimal(38,12)" if words["data_type"] == "decimal" else words["data_type"]
        told = [kind, words.get("references"), words.get("description", "")]
        assert told == [has[name][word] for word in ("type", "references", "description")], name
        assert [word for word in told if word and word not in lines[name]] == [], name


@pytest.mark.parametrize("width", ["", "wide", "0", "-1"])
def test_a_width_that_is_none_is_no_width(say: Say, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    """Down a pipe a table keeps its line, whatever an odd shell says in COLUMNS."""
    monkeypatch.setenv("COLUMNS", width)
    said = say("tables", "charges")

    assert said.code == 0
    assert re.search(r"^charges +Every attempt .* Charges$", said.out, re.MULTILINE)


@pytest.mark.parametrize("command", [("demo",), ("sandbox", "serve", "--port", "-1")], ids=" ".join)
@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "much"])
def test_a_size_that_no_business_has_is_refused(say: Say, tmp_path: Path, command: tuple[str, ...], scale: str) -> None:
    """Exit code 2 and the value, and no file."""
    said = say(*command, f"--scale={scale}")

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"Error: `{scale}` is no value for option `scale`. It is more than 0")
    assert list(tmp_path.glob("*.duckdb")) == []


def test_check_names_what_is_missing_and_the_link_mends_it(say: Say, small: Any) -> None:
    """Exit code 1, the permission with its tables, the price of asking; a key as the link makes it reads all."""
    world = small.world
    key = world.restricted_key(["rak_customer_read", "rak_connected_account_read"])
    argv = ("check", "--api-base", small.url, "--tables", "charges;customers;invoices;invoice_line_items;refunds")
    said = say(*argv, key=key)
    asked = len(world.requests)
    account = world.dump()["accounts"][0].object["id"]
    link = re.search(r"^  (https://dashboard\.stripe\.com/\S+)$", said.out, re.MULTILINE)
    assert link
    wanted = parse_qs(urlsplit(link[1]).query)["permissions[]"]
    mended = say(*argv, key=world.restricted_key([*wanted, "rak_connected_account_read"]))

    assert (said.code, said.err) == (1, "")
    assert said.out.splitlines()[0] == f"Account {account}, test mode"
    assert re.search(r"^Can be read, 1 table:\ntable +requests .*\ncustomers +≈\d", said.out, re.MULTILINE)
    assert re.search(r"^  rak_charge_read +charges, refunds$", said.out, re.MULTILINE)
    assert re.search(r"^  rak_invoice_read +invoice_line_items, invoices$", said.out, re.MULTILINE)
    assert said.out.splitlines()[-1] == f"This took {asked} requests"
    assert wanted == ["rak_charge_read", "rak_customer_read", "rak_invoice_read"]
    assert (mended.code, "No permission" in mended.out, "https://" in mended.out) == (0, False, False)


def test_check_in_json_counts_as_the_sandbox_does(say: Say, small: Any) -> None:
    """Every ordinary table has a verdict; at most one GET for each, and one for the account."""
    world = small.world
    lacking = "rak_charge_read"
    held = {table["permission"] for table in say("tables", "--json").json} - {lacking, None}
    said = say("check", "--api-base", small.url, "--json", key=world.restricted_key(held))
    verdicts = said.json["tables"]
    denied = {name for name, verdict in verdicts.items() if verdict["status"] == "no permission"}
    page = (ROOT / "docs" / "tables.md").read_text()
    ordinary = re.findall(r"^\| `(\w+)` .*\| yes \|$", page, re.MULTILINE)
    need = set(re.findall(rf"^\| `(\w+)` .*\| `{lacking}` \|.*\| yes \|$", page, re.MULTILINE))

    assert (said.code, said.err, said.json["exit_code"]) == (1, "", 1)
    assert sorted(ordinary) == sorted(verdicts)
    assert "charges" in need and need == denied
    assert {verdicts[name]["permission"] for name in denied} == {lacking}
    assert said.json["requests"] == len(world.requests) <= len(verdicts) + 1
    assert {(request.method, request.status) for request in world.requests} == {("GET", 200), ("GET", 403)}


@pytest.mark.parametrize(("permissions", "code"), [([], 3), (["rak_charge_read"], 0)])
def test_check_tells_a_program_by_its_exit_code(say: Say, small: Any, permissions: list[str], code: int) -> None:
    """3 where nothing may be read, 0 where all that was asked for may, even by a key that cannot name its account."""
    key = small.world.restricted_key(permissions)
    said = say("check", "--api-base", small.url, "--tables", "charges", key=key)

    assert (said.code, said.err) == (code, "")
    assert said.out.startswith("Account unknown (the key may not read it), test mode\n")


def test_demo_twice_doubles_nothing(say: Say, tmp_path: Path) -> None:
    """The first time it is the sandbox as it stands; the second time a day has passed, and each row is there once."""
    world = World(seed=1, scale=0.02)
    tables = ("charges", "customers", "payment_intents")
    argv = ("demo", "--json", "--scale", "0.02", "--tables", ";".join(tables))
    first = say(*argv)
    dump = world.dump()
    with duckdb.connect("stripe_demo.duckdb", read_only=True) as connection:
        found = [
            line for table in tables
            for line in differences(connection, "stripe", table, dump[table], dump["accounts"][0].object["id"])
        ]
    second = say(*argv)
    with duckdb.connect("stripe_demo.duckdb", read_only=True) as connection:
        rows = {
            table: connection.sql(
                f"SELECT count(*), count(DISTINCT id), count(*) FILTER (_deleted), "
                f"count(*) FILTER (epoch(created) > {world.now}), max(epoch(created))::BIGINT FROM stripe.{table}"
            ).fetchall()[0]
            for table in tables
        }

    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    assert found == []
    for table, (count, different, gone, young, latest) in rows.items():
        was, now = first.json["tables"][table]["new"], second.json["tables"][table]
        assert was == world.counts()[table]
        assert (count, different, gone, young) == (was + now["new"], count, now["gone"], now["new"]), table
        assert now["new"] > 0 and world.now < latest <= world.now + 86_400, table


def test_demo_keeps_one_business_in_a_file(say: Say, tmp_path: Path) -> None:
    """Another seed would delete all of the first business: it is refused, and the file stays as it was."""
    argv = ("demo", "--scale", "0.02", "--tables", "coupons", "--database", "mine.duckdb")
    first = say(*argv)
    before = (tmp_path / "mine.duckdb").read_bytes()
    other = say(*argv, "--seed", "2")

    assert (first.code, other.code, other.out) == (0, 2, "")
    assert "`2` is no value for option `seed`. `mine.duckdb` holds the business of seed `1`." in other.err
    assert before == (tmp_path / "mine.duckdb").read_bytes()


def test_sandbox_serves_what_it_says_until_ctrl_c(say: Say, tmp_path: Path) -> None:
    """Address and key work, and so does the command that it shows; nobody else gets its port; 130 at the end."""
    with started(tmp_path, "sandbox", "serve", "--port", "0", "--seed", "3", "--scale", "0.02") as process:
        assert process.stdout
        told = "".join(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        url, key = re.findall(r"http://127\.0\.0\.1:\d+", told)[0], re.findall(r"^Key: (\S+)$", told, re.MULTILINE)[0]
        with urlopen(Request(f"{url}/v1/customers?limit=5", headers={"Authorization": f"Bearer {key}"})) as answer:
            listed = [each["id"] for each in json.load(answer)["data"]]
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{url}/v1/customers", headers={"Authorization": "Bearer sk_test_" + "x" * 24}))
        refused.value.close()
        command = re.findall(r"STRIPE_API_KEY=(\S+) \S+ (run .*)$", told, re.MULTILINE)[0]
        loaded = say(*command[1].split(), "--tables", "customers", "--json", key=command[0])
        taken = say("sandbox", "serve", "--port", url.rpartition(":")[2], "--scale", "0.01")
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    world = World(seed=3, scale=0.02)

    assert listed == [truth.object["id"] for truth in world.dump()["customers"]][:5]
    assert (refused.value.code, command[0]) == (401, key)
    assert loaded.json["tables"]["customers"]["new"] == world.counts()["customers"]
    assert (tmp_path / "stripe_sandbox.duckdb").exists()
    assert (taken.code, taken.out) == (2, "")
    assert f"`{url.rpartition(':')[2]}` is no value for option `port`" in taken.err and "in use" in taken.err
    assert (process.returncode, complaints) == (130, "Stopped.\n")
