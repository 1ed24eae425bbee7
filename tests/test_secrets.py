"""The key is nowhere but in requests: not in what a run leaves on the disk, nor in what it prints, whatever happens."""
from __future__ import annotations

import base64
import gzip
import stat
import sys
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest
from later import later
from shell import run

from stripe_source import sandbox
from stripe_source.errors import InvalidOption

# Runs that end in each way, by a plain pipeline and by the command line, in one process with one way to give the key.
RUNS = '''
import sys
from contextlib import suppress
from unittest.mock import patch

import dlt
from stripe_source import stripe_source, sync
from stripe_source.cli.main import main

url, given = sys.argv[1], dict(part.split("=", 1) for part in sys.argv[2:])

def fails(*args, **more):
    raise RuntimeError("for the test")

PLACES = {
    "none": None, "extract": "stripe_source.resources.run.Extraction.register",
    "normalize": "dlt.normalize.normalize.Normalize.run", "load": "dlt.load.load.Load.run",
}

for place, target in PLACES.items():
    def pipeline(kind):
        database = dlt.destinations.duckdb(f"{kind}_{place}.duckdb")
        return dlt.pipeline(f"{kind}_{place}", destination=database, dataset_name="stripe")

    ends = []
    for kind, load in (
        ("plain", lambda pipe: pipe.run(stripe_source(tables="coupons", api_base=url, **given))),
        ("sync", lambda pipe: sync(pipe, tables="coupons", api_base=url, **given)),
        ("run", lambda pipe: main(["run", "--api-base", url, "--tables", "coupons", "--pipeline", f"run_{place}"])),
    ):
        if kind == ("run" if given else "sync"):
            continue  # the command line takes no key, and calls `sync`
        with patch(target, fails) if target else suppress():
            try:
                ends.append((kind, load(pipeline(kind)) in (1, 2, 3)))
            except Exception as error:
                ends.append((kind, True))
    print(place, *(kind for kind, failed in ends if failed))
'''
STEPS = ("extract", "normalize", "load")


def texts(path: Path) -> Iterator[bytes]:
    """What a file holds, also where it is packed: gzip, Parquet, the rows of a database, dlt's state in them."""
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if content[:4] == b"PAR1":
        yield str(pq.read_table(path).to_pylist()).encode()
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for schema, table in connection.sql(
                "SELECT table_schema, table_name FROM information_schema.tables"
            ).fetchall():
                for row in connection.sql(f'SELECT * FROM "{schema}"."{table}"').fetchall():
                    yield str(row).encode()
                    for value in row:
                        if isinstance(value, str) and table == "_dlt_pipeline_state" and len(value) > 50:
                            yield zlib.decompress(base64.b64decode(value))


def tokens_of(world: sandbox.World) -> list[str]:
    """Every secret of a Stripe App that the sandbox has handed out."""
    keys = world.keys
    given = [*keys._known, *keys._used_refresh_tokens, keys.refresh_token]
    return [text for text in given if not text.startswith("pk_")]


def holders(folder: Path, secrets: list[str], *besides: str) -> list[str]:
    """The files that hold a secret, or enough of one to be of use."""
    parts = [secret[-20:].encode() for secret in secrets]
    return [
        str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in besides
        and any(part in text for text in texts(path) for part in parts)
    ]


@pytest.mark.parametrize("way", [
    later("argument"), later("STRIPE_API_KEY"), later("SOURCES__STRIPE__API_KEY"), "secrets.toml", later("oauth")
])
def test_nothing_that_a_run_leaves_behind_holds_a_secret(way: str, tmp_path: Path) -> None:
    """By each way to give it, at log level DEBUG, after success and after failures of each step."""
    with sandbox.serve(seed=7, scale=0.05) as stripe:
        key, more, given = stripe.api_key, {}, []
        secrets = [key]
        (tmp_path / ".dlt").mkdir()
        if way == "argument":
            given = [f"api_key={key}"]
        elif way == "secrets.toml":
            (tmp_path / ".dlt" / "secrets.toml").write_text(f'[sources.stripe]\napi_key = "{key}"\n')
        elif way == "oauth":
            app = {"client_id": stripe.world.keys.client_id, "client_secret": key,
                   "refresh_token": stripe.world.keys.refresh_token, "oauth_file": str(tmp_path / "app.json")}
            more = {f"SOURCES__STRIPE__{name.upper()}": value for name, value in app.items()}
        else:
            more = {way: key}
        (tmp_path / "runs.py").write_text(RUNS)
        said = run(tmp_path, sys.executable, "runs.py", stripe.url, *given, RUNTIME__LOG_LEVEL="DEBUG",
                   RUNTIME__DLTHUB_TELEMETRY="false", **more)
        (tmp_path / "stdout").write_text(said.stdout)
        (tmp_path / "stderr").write_text(said.stderr)
        secrets += tokens_of(stripe.world)

    ended = [line.split() for line in said.stdout.splitlines() if line.split(" ")[0] in ("none", *STEPS)]
    kinds = ["plain", "sync" if given else "run"]
    assert ended == [["none"], *([step, *kinds] for step in STEPS)], said.stderr[-3000:]
    assert (tmp_path / "dlt" / "pipelines" / "plain_extract" / "trace.pickle").exists()
    assert holders(tmp_path, secrets, "secrets.toml", "app.json") == []


# ---- which host a key goes to

LIVE, TEST = "rk_live_" + "5" * 24, "rk_test_" + "6" * 24
ELSEWHERE, HERE, STRIPE = "https://evil.example", "http://127.0.0.1:9", "https://api.stripe.com"


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes files of dlt's configuration into the current folder; dlt reads them anew."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    def write(**files: dict[str, str]) -> None:
        (tmp_path / ".dlt").mkdir(exist_ok=True)
        for name, settings in files.items():
            lines = [f'{option} = "{value}"' for option, value in settings.items()]
            (tmp_path / ".dlt" / f"{name}.toml").write_text("\n".join(["[sources.stripe]", *lines]))
        Container()[PluggableRunContext].reload_providers()

    yield write
    monkeypatch.undo()
    Container()[PluggableRunContext].reload_providers()


@pytest.mark.parametrize(("files", "variables", "options", "goes"), [
    ({"config": {"api_base": ELSEWHERE}}, {"STRIPE_API_KEY": LIVE}, {}, False),
    ({"config": {"api_base": ELSEWHERE}}, {"SOURCES__STRIPE__API_KEY": LIVE}, {}, False),
    ({"config": {"api_base": ELSEWHERE}}, {"STRIPE_API_KEY": TEST}, {}, False),
    ({"config": {"api_base": ELSEWHERE}}, {}, {"api_key": LIVE}, False),
    ({"config": {"api_base": ELSEWHERE}, "secrets": {"api_key": LIVE}}, {}, {}, False),
    ({"config": {"api_base": HERE}}, {"STRIPE_API_KEY": LIVE}, {}, False),
    ({"config": {"api_base": HERE}}, {"STRIPE_API_KEY": TEST}, {}, True),
    ({"config": {"api_base": STRIPE}}, {"STRIPE_API_KEY": LIVE}, {}, True),
    ({"secrets": {"api_base": ELSEWHERE, "api_key": LIVE}}, {}, {}, True),
    ({}, {"STRIPE_API_KEY": LIVE, "SOURCES__STRIPE__API_BASE": ELSEWHERE}, {}, True),
    ({"secrets": {"api_key": LIVE}}, {"SOURCES__STRIPE__API_BASE": ELSEWHERE}, {}, True),
    ({}, {"STRIPE_API_KEY": LIVE}, {"api_base": ELSEWHERE}, True),
    ({"config": {"api_base": "https://other.example"}}, {"STRIPE_API_KEY": LIVE}, {"api_base": ELSEWHERE}, True),
    ({"config": {"api_base": ELSEWHERE}}, {}, {
        "client_id": "ca_1", "client_secret": LIVE, "refresh_token": "rt_" + "1" * 20, "oauth_file": "app"}, False),
])
def test_a_key_goes_to_another_host_only_where_its_own_place_names_it(
    files: dict[str, dict[str, str]], variables: dict[str, str], options: dict[str, str], goes: bool, configure: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of the current folder may be somebody else's; by the source, and by the commands."""
    from stripe_source.source import resolve_options, stripe_source

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configure(**files)
    named = [each.get("api_base") for each in (options, *files.values()) if each.get("api_base")]
    expected = (variables.get("SOURCES__STRIPE__API_BASE") or named[0]) if goes else None
    for resolved in (lambda: resolve_options(**options).api_base, lambda: stripe_source("coupons", **options) and None):
        if goes:
            assert resolved() in (expected, None)
        else:
            with pytest.raises(InvalidOption, match="goes to another host than Stripe's only") as caught:
                resolved()
            assert "5" * 10 not in str(caught.value) and "config.toml" in str(caught.value)


def test_an_argument_counts_also_where_a_file_says_the_same(configure: Any) -> None:
    """`--api-base`, beside a `config.toml` that names the same host."""
    from stripe_source.source import resolve_options

    configure(config={"api_base": ELSEWHERE})

    assert ELSEWHERE == resolve_options(api_base=ELSEWHERE, api_key=LIVE).api_base


# ---- a Stripe App by configuration


def test_oauth_without_a_place_for_the_next_token_is_refused_before_one_is_spent(small: Any) -> None:
    """By options and as an object; the error says which ways there are."""
    from stripe_source.api.oauth import OAuth
    from stripe_source.preflight.check import check

    app = {"client_id": small.world.keys.client_id, "client_secret": small.api_key,
           "refresh_token": small.world.keys.refresh_token}
    with pytest.raises(InvalidOption, match=r"works once.*oauth_file.*on_rotate=save"):
        check(tables="coupons", api_base=small.url, **app)
    with pytest.raises(InvalidOption, match=r"works once.*on_rotate=save"):
        check(tables="coupons", api_base=small.url, api_key=OAuth(**app, token_url=f"{small.url}/v1/oauth/token"))

    assert small.world.requests == [] and small.world.keys._used_refresh_tokens == set()


def test_oauth_by_configuration_works_again_and_again(
    small: Any, tmp_path: Path, new_pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check`, runs, and a run with a token that is written down nowhere but in the file."""
    from stripe_source.load.sync import sync
    from stripe_source.preflight.check import check

    for name, value in {"client_id": small.world.keys.client_id, "client_secret": small.api_key,
                        "refresh_token": small.world.keys.refresh_token, "oauth_file": str(tmp_path / "app")}.items():
        monkeypatch.setenv(f"SOURCES__STRIPE__{name.upper()}", value)
    codes = [check(tables="coupons", api_base=small.url).exit_code]
    codes += [sync(new_pipeline(), tables="coupons", api_base=small.url).exit_code for _ in range(2)]
    monkeypatch.delenv("SOURCES__STRIPE__REFRESH_TOKEN")
    codes.append(check(tables="coupons", api_base=small.url).exit_code)

    assert codes == [0, 0, 0, 0]
    assert stat.S_IMODE((tmp_path / "app").stat().st_mode) == 0o600


# ---- what is left on the disk


@pytest.mark.parametrize("plain", [True, False])
def test_what_is_loaded_is_on_the_disk_once(plain: bool, small: Any, new_pipeline: Any, tmp_path: Path) -> None:
    """No file of rows is left in dlt's folder; who looks from outside sees none of it meanwhile."""
    from stripe_source.load.sync import sync
    from stripe_source.source import stripe_source

    given = {"tables": "customers", "api_base": small.url, "api_key": small.api_key}
    pipeline = new_pipeline()
    for _ in range(2):
        if plain:
            pipeline.run(stripe_source(**given))
        else:
            sync(pipeline, **given)
    folder = Path(pipeline.working_dir)

    assert [path.name for path in folder.rglob("*") if path.suffix in (".parquet", ".jsonl", ".gz", ".insert_values")
            and "customers" in path.name] == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in tmp_path.glob("pipelines/*.*") if path.stat().st_mode & 0o077] == []
    with pipeline.sql_client() as client, client.execute_query("SELECT count(*) FROM customers") as cursor:
        assert cursor.fetchone() == (small.world.counts()["customers"],)


def test_files_of_rows_stay_where_dlts_configuration_says_so(
    small: Any, new_pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`delete_completed_jobs = false` under `[load]`."""
    from stripe_source.load.sync import sync

    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")
    pipeline = new_pipeline()
    sync(pipeline, tables="customers", api_base=small.url, api_key=small.api_key)

    assert list(Path(pipeline.working_dir).glob("load/loaded/*/completed_jobs/customers.*"))


def test_the_note_of_a_run_is_not_written_through_a_link(new_pipeline: Any, tmp_path: Path) -> None:
    """Somebody put a link to a file of theirs, or of ours, in the place of `<pipeline>.run`."""
    from stripe_source.resources.lock import pipeline_lock

    pipeline = new_pipeline()
    (tmp_path / "pipelines").mkdir(exist_ok=True)
    note, victim = tmp_path / "pipelines" / "stripe_test.run", tmp_path / "victim"
    victim.write_text("theirs")
    note.symlink_to(victim)
    with pipeline_lock(pipeline):
        assert (victim.read_text(), note.is_symlink(), note.stat().st_mode & 0o777) == ("theirs", False, 0o600)

    assert victim.exists() and not note.exists()


# ---- secrets among the data


def test_secrets_of_objects_are_loaded_on_request_only(small: Any, new_pipeline: Any) -> None:
    """The column, and the copy inside of an event; the objects have them at the sandbox."""
    from stripe_source.load.sync import sync

    intent = small.world.create("payment_intent", amount=1200, currency="eur")
    held = []
    for name, options in (("without", {}), ("with_them", {"include_secrets": True})):
        pipeline = new_pipeline(name, f"{name}.duckdb")
        sync(pipeline, tables="payment_intents;events", api_base=small.url, api_key=small.api_key, **options)
        with pipeline.sql_client() as client:
            counts = []
            for query in ("SELECT count(client_secret) FROM payment_intents",
                          "SELECT count(*) FROM events WHERE data__object::VARCHAR LIKE '%\\_secret\\_%' ESCAPE '\\'"):
                with client.execute_query(query) as cursor:
                    counts.append(cursor.fetchone()[0])
            held.append(counts)

    assert "_secret_" in intent["client_secret"]
    assert held[0] == [0, 0]
    assert held[1][0] == small.world.counts()["payment_intents"] and held[1][1] > 0


# ---- what is printed

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe"


def test_terminal_escapes_of_stripes_reach_no_terminal(
    small: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the message and the code of an error, and in the name of a field."""
    from stripe_source.cli.main import main

    monkeypatch.setenv("STRIPE_API_KEY", small.api_key)
    small.world.create("customer", **{f"new{ESCAPE}": 1})
    small.world.faults.add("/v1/coupons", status=400, times=None, body=orjson.dumps(
        {"error": {"message": f"no {ESCAPE}", "code": ESCAPE, "type": "invalid_request_error"}}))
    code = main(["run", "--api-base", small.url, "--tables", "coupons;customers",
                 "--schema-contract", "columns=discard_value"])
    said = capsys.readouterr()

    assert code == 1 and "coupons: failed" in said.out and "gnp.exe" in said.out
    assert [c for c in said.out + said.err if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")] == []


# ---- tracebacks that print variables


@pytest.mark.parametrize("options", [
    {"mode": "wrong"}, {"api_base": "http://evil-localhost"}, {"deletes": "wrong"}, {"tables": "chargez"},
    {"api_key": f"sk_live_{'9' * 30}é"}, {"start": "nonsense"},
])
def test_locals_of_a_traceback_show_no_key(options: dict[str, str]) -> None:
    """As Sentry, pytest and rich print them; frames that are not ours, as those of who called, are theirs."""
    from stripe_source.generators import pages
    from stripe_source.load.sync import sync
    from stripe_source.preflight.check import check
    from stripe_source.source import stripe_source
    from stripe_source.verification.verify import verify

    body = "9" * 20
    given = {"api_key": f"sk_live_{'9' * 30}", "tables": "coupons", "api_base": HERE, **options}
    pipeline: Any = None
    for call in (
        lambda: sync(pipeline, **given), lambda: check(**given), lambda: stripe_source(**given),
        lambda: list(pages(**given)), lambda: verify(pipeline, **given),
    ):
        try:
            call()
        except Exception as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
        else:
            continue  # an option that this one does not have
        frames = [frame for frame in told.stack if "/stripe_source/" in frame.filename]
        assert frames and body not in str(told)
        assert [(frame.name, name) for frame in frames for name, value in (frame.locals or {}).items()
                if body in value] == []
