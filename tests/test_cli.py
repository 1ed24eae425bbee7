"""The command line as a person meets it: what is printed where, exit codes, terminals, Ctrl-C.

What it says is compared with the sandbox, with the files of `schema_maps/` and `docs/`, and with the database.
"""
from __future__ import annotations

import importlib.metadata
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import duckdb
import pytest
from shell import ROOT, beyond_loopback, environment, ours, run
from truth import KEYS, MAPS, PARENTS, columns, differences

from stripe_source import sandbox
from stripe_source.cli.main import main
from stripe_source.sandbox.world import World

NAMES = sorted(file.stem for file in MAPS.glob("*.yaml"))
DOCS = (ROOT / "docs" / "commands.md").read_text()
COMMANDS = re.findall(r"^\| `(\w+)[^`|]*` \| `stripe_source\.", DOCS, re.MULTILINE)
NO_FLAGS = {"api_key", "client_id", "client_secret", "refresh_token"} | {"emit", "accounts"}  # secrets; one value only
LOADED = ("charges", "customers", "invoice_line_items", "refunds", "subscriptions")
DUCKDB_TYPES = {
    "text": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "json": "JSON",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "decimal(38,12)": "DECIMAL(38,12)",
}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*[39][0-7]m")
STOPPED = "Stopped. What was loaded is kept; the next run goes on from there.\n"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command in this process; no part of the key that it is given may be printed."""

    def run(*argv: str, key: str | None = None) -> Said:
        if key:
            monkeypatch.setenv("STRIPE_API_KEY", key)
        try:
            code: Any = main(argv)
        except SystemExit as end:  # argparse, after --help and --version
            code = end.code
        printed = capsys.readouterr()
        assert not key or key[-16:] not in printed.out + printed.err
        return Said(code, printed.out, printed.err)

    return run


@contextmanager
def started(folder: Path, *words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A command of ours as a process of its own, which is gone afterwards."""
    streams = {name: more.pop(name, subprocess.PIPE) for name in ("stdout", "stderr")}
    with subprocess.Popen(
        ours(*words), cwd=folder, env=environment(folder, RUNTIME__DLTHUB_TELEMETRY="false", **more), text=True,
        stdin=subprocess.DEVNULL, **streams,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def until(happened: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for something that another process or thread does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def shown(terminal: int, word: str | None = None) -> str:
    """What arrives on a terminal until it holds a word, or until nobody writes to it any more."""
    text = b""
    while word is None or word.encode() not in text:
        assert select.select([terminal], [], [], 60)[0], text
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other end is closed
            piece = b""
        if not piece:
            break
        text += piece
    return text.decode()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: the end that shows, and the end for a process to write to, which the test closes."""
    screen, end = pytest.importorskip("pty").openpty()
    yield screen, end
    os.close(screen)


def wrong(stripe: Any, folder: Path, *tables: str) -> list[str]:
    """Where the database of `run` differs from the sandbox's dump."""
    dump = stripe.world.dump()
    with duckdb.connect(str(folder / "stripe.duckdb"), read_only=True) as connection:
        return [
            line for table in tables
            for line in differences(connection, "stripe_data", table, dump[table], dump["accounts"][0].object["id"])
        ]


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


def test_run_in_json_counts_as_the_sandbox_does(say: Say, small: Any, tmp_path: Path) -> None:
    """Rows and requests of the first run; the second finds nothing new; `schema show` shows what is in the file."""
    argv = ("run", "--json", "--api-base", small.url, "--tables", ";".join(LOADED))
    first = say(*argv, key=small.api_key)
    asked = len(small.world.requests)
    second = say(*argv, key=small.api_key)
    truth = small.world.counts()
    counts = {table: truth[table] for table in LOADED}

    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    assert counts == {name: table["new"] for name, table in first.json["tables"].items()}
    assert {(0, 0, 0)} == {(each["new"], each["changed"], each["gone"]) for each in second.json["tables"].values()}
    assert [asked, len(small.world.requests)] == [
        first.json["figures"]["requests"], asked + second.json["figures"]["requests"]]
    assert wrong(small, tmp_path, *LOADED) == []
    assert Path(first.json["location"]) == tmp_path / "stripe.duckdb"
    for table in LOADED:
        with duckdb.connect(str(tmp_path / "stripe.duckdb"), read_only=True) as connection:
            held = {row[0]: row[1] for row in connection.sql(f"DESCRIBE stripe_data.{table}").fetchall()}
        told = say("schema", "show", table, "--json").json["columns"]
        assert held == {column["name"]: DUCKDB_TYPES[column["type"]] for column in told}


def test_run_tells_a_person_what_came_and_what_changed(say: Say, small: Any) -> None:
    """Numbers per table at first, then only what moved, then that nothing did; plain text where no terminal is."""
    world = small.world
    argv = ("run", "--api-base", small.url, "--tables", "coupons;customers", "--marker", "none")
    counts = {table: world.counts()[table] for table in ("coupons", "customers")}
    first = say(*argv, key=small.api_key)
    renamed, gone = [truth.object["id"] for truth in world.dump()["customers"] if not truth.deleted][:2]
    world.update("customer", renamed, name="Ada Lovelace")
    world.delete("customer", gone)
    world.create("customer", name="Charles Babbage")
    second, third = say(*argv, key=small.api_key), say(*argv, key=small.api_key)
    numbers = re.search(r"^customers +(\d+) +(\d+) +(\d+) +(\d+)$", second.out, re.MULTILINE)

    assert [0, 0, 0] == [said.code for said in (first, second, third)]
    assert [(name, str(rows)) for name, rows in counts.items()] == re.findall(r"([a-z_]+) +(\d+)", first.out)[:2]
    assert f"\n{sum(counts.values())} rows in 2 tables\n" in first.out
    assert numbers and [1, 1, 1, counts["customers"] - 2] == [int(number) for number in numbers.groups()]
    assert re.search(rf"^1 other table +{counts['coupons']}$", second.out, re.MULTILINE)
    assert third.out.startswith(f"Nothing new, changed or gone; {sum(counts.values())} rows unchanged\n")
    assert first.err.splitlines() == [
        "Preparing 2 tables", "Reading", f"Read {sum(counts.values())} objects of 2 tables", "Loading"]
    assert "\x1b" not in "".join(said.out + said.err for said in (first, second, third))


def test_run_again_and_again_until_ctrl_c(small: Any, tmp_path: Path) -> None:
    """With `--every`, each run is one line of JSON; after Ctrl-C a kind sentence, 130, and a database that is whole."""
    tables = ("charges", "customers")
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", ";".join(tables), "--every", "1s", "--json",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        small.world.create("customer", name="Ada")
        later = [json.loads(process.stdout.readline())]
        while not later[-1]["tables"]["customers"]["new"] and len(later) < 3:  # it had already asked
            later.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=60)

    assert (process.returncode, rest, complaints) == (130, "", STOPPED)
    assert first["tables"]["customers"]["new"] == small.world.counts()["customers"] - 1
    assert later[-1]["tables"]["customers"]["new"] == 1 and later[-1]["tables"]["charges"]["new"] == 0
    assert small.api_key[-16:] not in json.dumps([first, *later])
    assert wrong(small, tmp_path, *tables) == []
    assert beyond_loopback(tmp_path) == ""


@pytest.mark.soak
def test_run_again_and_again_goes_on_when_a_reader_lets_go_of_the_file(small: Any, tmp_path: Path) -> None:
    """One line for each try, and then the rows; a key that is revoked meanwhile ends it, with its exit code."""
    reader = duckdb.connect(str(tmp_path / "stripe.duckdb"))
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "customers", "--every", "1s", "--json",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        assert process.stdout and process.stderr
        tries = [process.stderr.readline() for _ in range(2)]
        reader.close()
        loaded = json.loads(process.stdout.readline())
        small.world.keys.revoke(small.api_key)
        code = process.wait(60)
        rest = process.stderr.read()

    one_try = r"Error: Destination `duckdb` failed: .*lock.* Next try at \d\d:\d\d:\d\d; Ctrl-C ends it\n"
    assert all(re.fullmatch(one_try, line) for line in tries)
    assert loaded["tables"]["customers"]["new"] == small.world.counts()["customers"]
    assert code == 3 and "Stripe answered 401" in rest


@pytest.mark.parametrize(("pause", "expected"), [
    (1.0, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1]),
    (600.0, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]),
])
def test_pauses_after_failures_grow_and_end(
    pause: float, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a run that went well they begin anew; an error that no try mends is raised."""
    from stripe_source.cli.repeat import run_again_and_again
    from stripe_source.errors import Busy, DestinationError, MixedData, RateLimited, Unreachable

    kinds = [Unreachable("no"), DestinationError("full"), Busy("stripe"), RateLimited("slow"), OSError("disk")]
    outcomes: list[Any] = [*(kinds * 3)[:11], 0, Unreachable("again"), 1, MixedData("mode", "live", "test")]
    waits, lines = list[float](), list[str]()
    monkeypatch.setattr("stripe_source.cli.repeat.time.sleep", waits.append)

    def once() -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    with pytest.raises(MixedData):
        run_again_and_again(once, pause, lines.append, lambda text: None)

    assert waits == [*expected, min(5, pause), pause]
    assert len(lines) == 12 and all("\n" not in line for line in lines)


def test_a_key_of_the_other_mode_is_refused_at_once(small: Any, tmp_path: Path) -> None:
    """And one of another account: exit code 2 and the way out, by a process that ends."""
    load = ("run", "--tables", "coupons")
    first = run(tmp_path, *ours(*load, "--api-base", small.url), STRIPE_API_KEY=small.api_key)
    with sandbox.serve(world=World(seed=7, scale=0.01, livemode=True)) as live:
        second = run(tmp_path, *ours(*load, "--api-base", live.url), STRIPE_API_KEY=live.api_key)

    assert (first.returncode, second.returncode) == (0, 2)
    assert re.sub(r"\s+", " ", second.stderr).endswith(
        "of mode `test`, and the key reads mode `live`. Use the key of `test`, or load `live` into a dataset of its "
        "own (`--dataset`). ")


def test_the_causes_of_an_error_have_an_end(small: Any, new_pipeline: Any) -> None:
    """Whoever follows them, by `__cause__` or `__context__`, comes to the first one."""
    from stripe_source.errors import MixedData
    from stripe_source.load.sync import sync

    sync(new_pipeline(), tables="coupons", api_base=small.url, api_key=small.api_key)
    with sandbox.serve(world=World(seed=7, scale=0.01, livemode=True)) as live, pytest.raises(MixedData) as caught:
        sync(new_pipeline(), tables="coupons", api_base=live.url, api_key=live.api_key)
    seen, waiting = list[BaseException](), [caught.value]
    while waiting and len(seen) < 50:
        seen.append(waiting.pop())
        waiting += [each for each in (seen[-1].__cause__, seen[-1].__context__) if each is not None]

    assert len(seen) < 50


def test_stopped_in_the_middle_of_a_list_it_goes_on_later(say: Say, small: Any, tmp_path: Path) -> None:
    """Ctrl-C while Stripe is slow to answer: no traceback, and nobody is blamed; the next run loads all."""
    fault = small.world.faults.add("/v1/customers", delay=60)
    argv = ("run", "--api-base", small.url, "--tables", "charges;customers")
    with started(tmp_path, *argv, STRIPE_API_KEY=small.api_key) as process:
        until(lambda: any(request.path == "/v1/charges" for request in small.world.requests))
        process.send_signal(signal.SIGINT)
        out, complaints = process.communicate(timeout=60)
    fault.remove()
    again = say(*argv, key=small.api_key)

    assert (process.returncode, out) == (130, "")
    assert complaints == f"Preparing 2 tables\nReading\n{STOPPED}"
    assert again.code == 0
    assert wrong(small, tmp_path, "charges", "customers") == []


def test_progress_is_drawn_where_somebody_looks(small: Any, tmp_path: Path, terminal: tuple[int, int]) -> None:
    """On a terminal: phase and tables while they come in, wiped afterwards; stdout stays clean for pipes."""
    small.world.faults.latency = 0.1
    screen, end = terminal
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "customers", "--every", "1h", stderr=end, TERM="xterm",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        os.close(end)
        drawn = shown(screen, "Ctrl-C ends it")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        last = shown(screen)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", drawn)
    customers = small.world.counts()["customers"]

    assert process.returncode == 130
    assert f"Reading 1 of 1 table, {customers} objects" in plain
    assert re.search(rf"^  customers +{customers}\r", plain, re.MULTILINE)
    assert drawn.count("\x1b[?25l") == drawn.count("\x1b[?25h") == 1  # the cursor is back
    assert last.replace("\r", "").endswith(STOPPED)
    assert "\x1b" not in out and out.splitlines()[0] == f"customers  {customers}"
    assert small.api_key[-16:] not in drawn + last + out


def test_progress_on_a_terminal_that_cannot_draw_is_plain(
    small: Any, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    """TERM=dumb, as in an editor's shell, gets the lines that a log gets, and not nothing."""
    screen, end = terminal
    with started(
        tmp_path, "run", "--api-base", small.url, "--tables", "coupons", stderr=end, TERM="dumb",
        STRIPE_API_KEY=small.api_key,
    ) as process:
        os.close(end)
        drawn = shown(screen)
        process.communicate(timeout=60)

    assert process.returncode == 0
    assert drawn.replace("\r", "").splitlines() == [
        "Preparing 1 table", "Reading", f"Read {small.world.counts()['coupons']} objects of 1 table", "Loading"]


@pytest.mark.parametrize("argv", [("tables", "charges"), ("tables", "chrges")], ids=" ".join)
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_left_out_on_request(
    tmp_path: Path, terminal: tuple[int, int], argv: tuple[str, ...], variables: dict[str, str], coloured: bool
) -> None:
    """On a terminal there are some, on stdout and stderr alike; none with NO_COLOR."""
    screen, end = terminal
    with started(tmp_path, *argv, stdout=end, stderr=end, TERM="xterm", **variables):
        os.close(end)
        text = shown(screen)

    assert "charges" in text
    assert coloured is bool(COLOUR.search(text))


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    """`| head` closes the pipe: no traceback, exit code 0."""
    with started(tmp_path, "tables", "--json") as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        complaints = process.stderr.read()
        code = process.wait(timeout=60)

    assert (code, complaints) == (0, "")


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
