"""The contenders: where each comes from, how it is run, where its rows are. One entry for each."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Context
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tls
from benchmarks.compare import Loaded
from benchmarks.server import ROOT

HERE = Path(__file__).parent
VENVS = HERE / ".venvs"
QUIET = {"DISABLE_TELEMETRY": "true", "RUNTIME__DLTHUB_TELEMETRY": "false", "DO_NOT_TRACK": "1"}
BEGIN = "2024-10-01T00:00:00Z"  # for those that want to know from when on; before all that the server has


@dataclass(frozen=True)
class Place:
    """What a contender needs to know for one run.

    Args:
        url, api_key: the server.
        account: id of the account.
        folder: the run's own.
        limits: whether the server has Stripe's limits.
        bins: programs of each environment.
    """

    url: str
    api_key: str
    account: str
    limits: bool
    folder: Path
    bins: dict[str, Path]

    def write(self, name: str, content: Any) -> None:
        """A file of JSON in the folder."""
        (self.folder / name).write_text(json.dumps(content))


Env = dict[str, str]


def _nothing(place: Place) -> Context[Env]:
    return nullcontext({})


@dataclass(frozen=True)
class Contender:
    """One program that loads charges.

    Args:
        name: on the command line.
        title: in the table.
        into: where the rows go.
        packages: what is installed, for each environment; none for the one that runs the benchmarks.
        commands: what is timed: a command, or several with pipes between them.
        loaded: where the rows are then.
        code, user: rows of the two settings.
        ready: what is done before, is not timed, and holds while it runs; variables for the commands come from it.
        note: what a reader of the table should know.
    """

    name: str
    title: str
    into: str
    packages: dict[str, tuple[str, ...]]
    commands: Callable[[Place], list[list[str]]]
    loaded: Callable[[Place], Loaded]
    code: int
    user: int
    ready: Callable[[Place], Context[Env]] = _nothing
    note: str = ""


def ours(url: str, *, tables: str = "charges", rate: str) -> list[str]:
    """The command that loads tables, or the default ones, into `stripe.duckdb` in the working directory."""
    return [sys.executable, "-m", "stripe_source.cli", "run", "--destination", "duckdb", "--api-base", url,
            "--rate", rate, "--json", *(["--tables", tables] if tables else [])]


def verification(url: str, *, rate: str) -> list[str]:
    """The command that compares what the above has loaded with the server, row by row."""
    return [sys.executable, "-m", "stripe_source.cli", "verify", "--destination", "duckdb", "--api-base", url,
            "--rate", rate, "--json"]


def found(folder: Path, table: str = "charges") -> Loaded:
    """Where our rows are, with their `created`."""
    query = f"SELECT id, epoch(created)::BIGINT FROM stripe_data.{table} WHERE NOT _deleted"
    return Loaded("duckdb", str(folder / "stripe.duckdb"), query)


def _redirected(place: Place) -> Env:
    return {**QUIET, "PYTHONPATH": str(HERE / "redirect"), "BENCHMARK_STRIPE": place.url}


def _plain(place: Place) -> Context[Env]:
    return nullcontext({**QUIET, "BENCHMARK_STRIPE": place.url})


@contextmanager
def _tap_ready(place: Place) -> Iterator[Env]:
    """The catalog with nothing but charges in it."""
    place.write("config.json", {"client_secret": place.api_key, "account_id": place.account, "start_date": BEGIN})
    file = str(place.folder / "target.duckdb")
    place.write("target.json", {"filepath": file, "default_target_schema": "stripe_data"})
    env = _redirected(place)
    found = subprocess.run(
        [str(place.bins["tap-stripe"] / "tap-stripe"), "-c", "config.json", "--discover"], cwd=place.folder,
        env={**os.environ, **env}, capture_output=True, text=True,
    )
    if found.returncode:
        raise RuntimeError(f"It does not find its tables: {found.stderr.strip().splitlines()[-1]}")
    charges = next(stream for stream in json.loads(found.stdout)["streams"] if stream["stream"] == "charges")
    for entry in charges["metadata"]:
        entry["metadata"]["selected"] = True
    place.write("catalog.json", {"streams": [charges]})
    yield env


def _tap(place: Place) -> list[str]:
    return [str(place.bins["tap-stripe"] / "tap-stripe"), "-c", "config.json", "--catalog", "catalog.json"]


@contextmanager
def _airbyte_ready(place: Place) -> Iterator[Env]:
    place.write("config.json", {"client_secret": place.api_key, "account_id": place.account, "start_date": BEGIN})
    stream = {"name": "charges", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
    place.write("catalog.json", {"streams": [
        {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"},
    ]})
    yield _redirected(place)


def _airbyte(place: Place) -> list[str]:
    return [str(place.bins["airbyte"] / "source-stripe"), "read", "--config", "config.json",
            "--catalog", "catalog.json"]


def _ingestr(place: Place, environment: str, database: str) -> list[str]:
    return [str(place.bins[environment] / "ingestr"), "ingest", "--yes", "--full-refresh", "--page-size", "100",
            "--source-uri", f"stripe://?api_key={place.api_key}", "--source-table", "charge",
            "--dest-uri", database, "--dest-table", "main.charge"]


@contextmanager
def _behind_tls(place: Place) -> Iterator[Env]:
    """It takes no other address of Stripe's: a proxy answers in Stripe's name."""
    file = tls.certificate(place.folder)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tls", "--target", place.url.rsplit(":", 1)[1], "--certificate", str(file)],
        cwd=ROOT, stdout=subprocess.PIPE,
    ) as proxy:
        try:
            assert proxy.stdout is not None
            port = json.loads(proxy.stdout.readline())["port"]
            yield {**QUIET, "HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(file)}
        finally:
            proxy.kill()


CONTENDERS = (
    Contender(
        "ours", "dlt-source-stripe", "DuckDB", {},
        lambda place: [ours(place.url, rate="1" if place.limits else "none")],
        lambda place: found(place.folder),
        code=200_000, user=100_000, ready=_plain,
    ),
    Contender(
        "baseline", "Stripe's SDK and dlt, as in `stripe_analytics`", "DuckDB",
        {"baseline": ("dlt[duckdb]>=1.31,<1.32", "duckdb>=1.5,<3", "stripe<16", "pandas")},
        lambda place: [[str(place.bins["baseline"] / "python"), str(HERE / "baseline.py")]],
        lambda place: Loaded("duckdb", str(place.folder / "baseline.duckdb"), "SELECT id FROM stripe_data.charge"),
        code=20_000, user=10_000, ready=_plain,
        note="our own words: the loop of dlt's verified source, which cannot be installed by pip",
    ),
    Contender(
        "tap", "tap-stripe 3.3.0, target-duckdb 0.8.0", "DuckDB",
        {"tap-stripe": ("tap-stripe==3.3.0",), "target-duckdb": ("target-duckdb==0.8.0", "duckdb<1.3")},
        lambda place: [_tap(place), [str(place.bins["target-duckdb"] / "target-duckdb"), "--config", "target.json"]],
        lambda place: Loaded("duckdb", str(place.folder / "target.duckdb"), "SELECT id FROM stripe_data.charges"),
        code=50_000, user=20_000, ready=_tap_ready,
        note="asks month by month; DuckDB 1.2, as with 1.4 the target loses its first row",
    ),
    Contender(
        "tap-alone", "tap-stripe 3.3.0 without a target", "lines of JSON", {"tap-stripe": ("tap-stripe==3.3.0",)},
        lambda place: [_tap(place)],
        lambda place: Loaded("lines", str(place.folder / "out"), "record.id"),
        code=50_000, user=20_000, ready=_tap_ready,
        note="no destination: nothing is loaded anywhere",
    ),
    Contender(
        "airbyte", "airbyte-source-stripe 5.14.1", "lines of JSON", {"airbyte": ("airbyte-source-stripe==5.14.1",)},
        lambda place: [_airbyte(place)],
        lambda place: Loaded("lines", str(place.folder / "out"), "record.data.id"),
        code=10_000, user=10_000, ready=_airbyte_ready,
        note="no destination: nothing is loaded anywhere",
    ),
    Contender(
        "ingestr", "ingestr 0.15.9", "SQLite", {"ingestr-go": ("ingestr==0.15.9",)},
        lambda place: [_ingestr(place, "ingestr-go", f"sqlite:///{place.folder / 'ingestr.sqlite'}")],
        lambda place: Loaded("sqlite", str(place.folder / "ingestr.sqlite"), "SELECT id FROM charge"),
        code=50_000, user=20_000, ready=_behind_tls,
        note="in Go; behind a proxy that ends TLS; with `--page-size 100`, as its default is refused by Stripe",
    ),
    Contender(
        "ingestr-python", "ingestr 0.14.155", "DuckDB", {"ingestr-py": ("ingestr==0.14.155",)},
        lambda place: [_ingestr(place, "ingestr-py", f"duckdb:///{place.folder / 'ingestr.duckdb'}")],
        lambda place: Loaded("duckdb", str(place.folder / "ingestr.duckdb"), "SELECT id FROM main.charge"),
        code=50_000, user=20_000, ready=lambda place: nullcontext({**_redirected(place), "BENCHMARK_SDK": "yes"}),
        note="the last one in Python; asks day by day, from 2020 on",
    ),
)
