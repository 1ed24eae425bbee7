"""What goes wrong, and what a person is told: each message names the thing, the value and the way out."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import orjson
import pytest
from later import later
from truth import differences

from stripe_source.cli.main import main
from stripe_source.load.sync import sync

pytestmark = pytest.mark.usefixtures("hasty")
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command with a key; answers with its exit code and what it printed to people."""

    def run(*argv: str, key: str | None = "sk_test_" + "x" * 24) -> tuple[int, str]:
        if key is None:
            monkeypatch.delenv("STRIPE_API_KEY", raising=False)
        else:
            monkeypatch.setenv("STRIPE_API_KEY", key)
        code = main(argv)
        printed = capsys.readouterr()
        assert key is None or len(key) < 20 or key not in printed.out + printed.err
        return code, " ".join((printed.out + printed.err).split())

    return run


def test_no_key_names_the_places_where_it_could_be(say: Say) -> None:
    """Without a key the message says where to put one, and that the demo needs none."""
    code, text = say("run", key=None)

    assert code == 2
    assert "No Stripe key. Set `STRIPE_API_KEY`" in text
    assert "`stripe-source demo`" in text


def test_a_malformed_key_is_refused_without_asking_stripe(say: Say) -> None:
    """A key with a stray quote is not sent anywhere."""
    code, text = say("run", key='"sk_test_123"')

    assert code == 2
    assert "This is not a Stripe key" in text


def test_a_publishable_key_is_named_as_such(say: Say) -> None:
    """`pk_…` cannot read data, and the message says which kinds can."""
    code, text = say("run", key="pk_test_" + "x" * 24)

    assert code == 2
    assert "publishable key" in text and "restricted key" in text


def test_a_refused_key_leaves_no_trace(say: Say, small: Any, tmp_path: Path) -> None:
    """401: exit code 3, and neither a file nor a dataset is made."""
    code, text = say("run", "--api-base", small.url, key="sk_test_" + "nobody" * 5)

    assert code == 3
    assert "401" in text
    assert not list(tmp_path.glob("*.duckdb"))


def test_an_account_that_the_key_may_not_act_on_is_refused_as_a_whole(say: Say, small: Any, tmp_path: Path) -> None:
    """`account_id` with a key that is no platform's: exit code 3, advice that fits, and nothing is made."""
    code, text = say("run", "--api-base", small.url, "--account-id", "acct_stranger", key=small.api_key)

    assert code == 3
    assert "may not act on account `acct_stranger`: leave out `account_id`" in text
    assert not list(tmp_path.glob("*.duckdb"))


def test_one_table_without_permission_does_not_stop_the_others(say: Say, small: Any, tmp_path: Path) -> None:
    """403 on one table: it is named with the permission that is missing, the others load, exit code 1."""
    key = small.world.restricted_key(["rak_customer_read", "rak_connected_account_read"])
    code, text = say("run", "--api-base", small.url, "--tables", "charges;customers", key=key)

    assert code == 1
    assert "No permission for 1 table: rak_charge_read charges" in text
    with duckdb.connect(str(tmp_path / "stripe.duckdb")) as connection:
        assert connection.sql("SELECT count(*) FROM stripe_data.customers").fetchall()[0][0] > 10
        assert connection.sql("SELECT count(*) FROM stripe_data.charges").fetchall() == [(0,)]


def test_nothing_but_refusals_is_exit_code_3(say: Say, small: Any) -> None:
    """Where the key may read none of the tables, Stripe refused us."""
    code, text = say("run", "--api-base", small.url, "--tables", "charges", key=small.world.restricted_key([]))

    assert code == 3
    assert "No permission for 1 table: rak_charge_read charges" in text


@pytest.mark.parametrize(("argv", "expected"), [
    (("--tables", "charge"), "Unknown table `charge`. Did you mean `charges`? Run `stripe-source tables`"),
    (("--tables", "xyzzy%"), "Unknown table `xyzzy%`."),
    (("--exclude", "%"), "It leaves no table"),
    (("--marker", "updated"), "Unknown marker `updated`"),
    (("--marker", "payment_methods=created"), "Unknown marker `created` for table `payment_methods`"),
    (("--marker", "nothing=created"), "Unknown table `nothing`"),
    (("--mode", "sometimes"), "`sometimes` is no value for option `mode`."),
    (("--start", "2026-02-01", "--end", "2026-01-01"), "`start` must be before `end`"),
    (("--start", "yesterday"), "`start` is no time"),
    (("--lookback", "soon"), "`soon` is no value for option `lookback`."),
    (("--deletes", "maybe"), "`maybe` is no value for option `deletes`. Known: `soft`, `hard`."),
    (("--rate", "2"), "0 < rate <= 1"),
    (("--api-base", "http://stripe.example"), "The key would travel in clear"),
    (("--destination", "duckdbb"), "`duckdbb` is no value for option `destination`"),
    (("--every", "often"), "`often` is no value for option `every`"),
    (("--frobnicate",), "unrecognized arguments: --frobnicate"),
])
def test_a_wrong_option_is_refused_before_anything_is_read(
    say: Say, tmp_path: Path, argv: tuple[str, ...], expected: str
) -> None:
    """Exit code 2, a message with the value and the way out, and no trace on the disk."""
    code, text = say("run", *argv)

    assert (code, expected in text) == (2, True), text
    assert not list(tmp_path.glob("*.duckdb"))


def test_a_stripe_that_answers_garbage_is_said_to(say: Say, small: Any) -> None:
    """A body that is no JSON is tried again, and then it is that table's failure and nobody else's."""
    small.world.faults.add(path="/v1/charges", garbage=True)
    code, text = say("run", "--api-base", small.url, "--tables", "charges;customers", key=small.api_key)

    assert code == 1
    assert "charges: failed" in text
    assert "customers" in text


def test_a_destination_that_is_down_is_named(say: Say, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where the Postgres should be: exit code 1, its name, and no password."""
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://user:sesame@127.0.0.1:9/db")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS__CONNECT_TIMEOUT", "2")
    code, text = say(
        "run", "--api-base", small.url, "--tables", "charges", "--destination", "postgres", key=small.api_key
    )

    assert code == 1
    assert "postgres" in text and "sesame" not in text


def test_a_full_disk_is_named_and_nothing_is_lost(say: Say, small: Any, tmp_path: Path) -> None:
    """dlt's folder lies on a device of 1 MB: the message says that the disk is full; with room the same run works."""
    disk = tmp_path / "dlt"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can only be made by root with the right to mount")
    try:
        argv = ("run", "--api-base", small.url, "--tables", "charges;customers;invoices")
        code, text = say(*argv, key=small.api_key)
        assert (code, "disk is full" in text) == (1, True), text
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        code, text = say(*argv, key=small.api_key)
        assert code == 0, text
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_broken_pipe_of_words_is_no_traceback(small: Any) -> None:
    """The command as a process of its own prints one line for an error, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "stripe_source.cli", "run", "--tables", "charge"],
        capture_output=True, text=True, env={"STRIPE_API_KEY": "sk_test_" + "x" * 24, "PYTHONPATH": ":".join(sys.path)},
    )

    assert done.returncode == 2
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("wrong", [
    later(b'"livemode":NaN'), later(b'"livemode":"\xff"'), b'"livemode":' + b"[" * 10_000 + b"]" * 10_000])
def test_one_object_that_is_no_json_fails_by_name_and_not_its_table(
    wrong: bytes, small: Any, new_pipeline: Any
) -> None:
    """The others are loaded, and it is not taken for deleted; once it can be read it is as it should be."""
    given: Any = {"tables": "products", "api_base": small.url, "api_key": small.api_key, "marker": "none"}
    pipeline = new_pipeline()
    sync(pipeline, **given)
    new = small.world.create("product", name="new")["id"]
    asked = Request(f"{small.url}/v1/products?limit=100", headers={"Authorization": f"Bearer {small.api_key}"})
    with urlopen(asked) as answer:
        page = json.loads(answer.read())
    broken = page["data"][len(page["data"]) // 2]
    things = [
        orjson.dumps(thing).replace(b'"livemode":false', wrong if thing is broken else b'"livemode":false')
        for thing in page["data"]
    ]
    body = b'{"object":"list","url":"/v1/products","has_more":false,"data":[' + b",".join(things) + b"]}"
    fault = small.world.faults.add("/v1/products", times=None, body=body)
    result = sync(pipeline, **given).tables["products"]
    fault.remove()
    later = sync(pipeline, **given)
    dump = small.world.dump()
    with duckdb.connect(pipeline.destination_client().config.credentials.database, read_only=True) as connection:
        left = differences(connection, "stripe", "products", dump["products"], dump["accounts"][0].object["id"])

    assert broken["id"] != new and not page["has_more"]
    assert (result.status, result.new, result.gone) == ("failed", 1, 0)
    assert f"the object `{broken['id']}` cannot be read" in result.reason
    assert (later.exit_code, left) == (0, [])


def test_an_event_that_is_no_json_is_named_and_the_others_are_applied(small: Any, new_pipeline: Any) -> None:
    """What it alone tells of comes with the next comparison, and the run says so; the feed goes on behind it."""
    given: Any = {"tables": "customers;events", "api_base": small.url, "api_key": small.api_key}
    pipeline, world = new_pipeline(), small.world
    sync(pipeline, **given)
    ids = [each.id for each in world.books.all("customer")][:3]
    world.advance(3_600)
    for id in ids:
        world.update("customer", id, name="Changed")
        world.advance(1)
    asked = Request(f"{small.url}/v1/events?limit=100", headers={"Authorization": f"Bearer {small.api_key}"})
    with urlopen(asked) as answer:
        page = json.loads(answer.read())
    broken = page["data"][1]
    things = [orjson.dumps({**thing, "more": "here"}).replace(b'"here"', b"NaN" if thing is broken else b'"here"')
              for thing in page["data"]]
    body = b'{"object":"list","url":"/v1/events","has_more":false,"data":[' + b",".join(things) + b"]}"
    fault = world.faults.add("/v1/events", times=None, body=body)
    first = sync(pipeline, **given)
    fault.remove()
    world.advance(86_400)
    then = sync(pipeline, **given, resync="1d")
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT name FROM customers WHERE id IN (%s, %s, %s)", *ids)

    assert broken["data"]["object"]["id"] == ids[1]
    assert (first.tables["customers"].status, first.tables["customers"].changed) == ("ok", 2)
    assert [note for note in first.notes if broken["id"] in note and "is found when its rows are compared" in note]
    assert (then.exit_code, then.notes, {row[0] for row in rows or ()}) == (0, [], {"Changed"})
