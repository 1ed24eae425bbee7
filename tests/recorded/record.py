"""Records the pipelines that `test_recorded_state.py` goes on from, with the code of the release that is checked out.

    PYTHONPATH=.:tests python tests/recorded/record.py

The recordings that are here were made by version 0.1.0 (commit b08460a), whose state in dlt had no version number. They
are not made anew when the code changes: that a newer version goes on from them is the point. This script reaches into
the package, and is run with the release that it belongs to.

A recording, `<name>.tar.xz`, has:

- `pipeline/`: the working folder of the dlt pipeline: state, schemas, packages that were not loaded yet.
- `database/`: the DuckDB file as SQL and CSV, which any version of DuckDB reads.
- `manifest.json`: what made it, the fingerprint of its world, and what a run asks for when nothing has changed.
"""
from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import duckdb

import stripe_source
from recorded.worlds import BOUNDED, DATASET, FILES, LATE, PIPELINE, START, Crowd, Shop, fingerprint, options
from stripe_source import sandbox
from stripe_source.extract import channel
from stripe_source.load import sync
from stripe_source.load.sync import sync
from stripe_source.sandbox.world import World

COMMIT = "b08460a"


class Killed(BaseException):
    """Ends a run as the end of its process would."""


def pipeline(folder: Path) -> dlt.Pipeline:
    """The pipeline that is recorded."""
    destination = dlt.destinations.duckdb(str(folder / "account.duckdb"))
    return dlt.pipeline(
        PIPELINE, pipelines_dir=str(folder / "pipelines"), destination=destination, dataset_name=DATASET
    )


def killed(run: Callable[[], Any], loads: int, after: bool) -> None:
    """Do a run that ends with one of its loads.

    Args:
        run: the run.
        loads: which one.
        after: when the destination has taken it; else before.
    """
    load, done = dlt.Pipeline.load, iter(range(1, loads + 1))

    def last(self: dlt.Pipeline, *given: Any, **more: Any) -> Any:
        end = next(done) == loads
        if end and not after:
            raise Killed
        info = load(self, *given, **more)
        if end:
            raise Killed
        return info

    dlt.Pipeline.load = last  # type: ignore[method-assign]
    try:
        run()
    except Killed:
        return
    finally:
        dlt.Pipeline.load = load  # type: ignore[method-assign]
    raise RuntimeError("The run was over before it could be killed.")


def finished(folder: Path) -> tuple[World, dict[str, Any]]:
    """Three runs: one table from a bound on; a first load; what has changed since, with a table more."""
    world = Shop()
    with sandbox.serve(world=world) as stripe:
        given = options(world, stripe.url, "finished")
        sync(pipeline(folder), tables=BOUNDED, start=START, api_base=stripe.url, api_key=given["api_key"])
        sync(pipeline(folder), **{**given, "tables": [name for name in given["tables"] if name != LATE]})
        world.goes_on()
        sync(pipeline(folder), **given)
        world.faults.lag = None
        copy = folder / "copy"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("copy"))
        first = len(world.requests)
        sync(pipeline(copy), **given)
    return world, dict(sorted(Counter(request.path for request in world.requests[first:]).items()))


def cut(folder: Path) -> tuple[World, dict[str, Any]]:
    """A first load, killed when a part of its lists was committed."""
    world = Crowd()
    sync.ROWS_PER_LOAD, sync.ROWS_PER_FURTHER_TABLE, channel.ROWS_AHEAD = 1_000, 0, 500
    with sandbox.serve(world=world) as stripe:
        killed(lambda: sync(pipeline(folder), **options(world, stripe.url, "cut")), loads=3, after=True)
    return world, {}


def pending(folder: Path) -> tuple[World, dict[str, Any]]:
    """A first load, and a later run that was killed when it had read everything and loaded nothing."""
    world = Shop()
    with sandbox.serve(world=world) as stripe:
        given = options(world, stripe.url, "pending")
        sync(pipeline(folder), **given)
        world.goes_on()
        killed(lambda: sync(pipeline(folder), **given), loads=1, after=False)
    return world, {}


def keep(name: str, folder: Path, world: World, quiet: dict[str, Any]) -> None:
    """Write a recording."""
    kept = folder / "kept"
    shutil.copytree(
        folder / "pipelines" / PIPELINE, kept / "pipeline", ignore=shutil.ignore_patterns("trace.pickle", "loaded")
    )
    (kept / "pipeline" / "load" / "loaded").mkdir()  # dlt moves there what it has loaded
    for state in (kept / "pipeline").rglob("state.json"):
        words = json.loads(state.read_text())
        words["_local"].pop("last_run_context", None)  # of the machine
        words["_local"]["initial_cwd"] = "/"
        state.write_text(json.dumps(words, indent=1))
    export(folder / "account.duckdb", kept / "database")
    manifest = {
        "version": stripe_source.__version__, "commit": COMMIT, "dlt": dlt.__version__, "duckdb": duckdb.__version__,
        "world": fingerprint(world), "quiet": quiet,
    }
    (kept / "manifest.json").write_text(json.dumps(manifest, indent=1))
    with tarfile.open(FILES / f"{name}.tar.xz", "w:xz", preset=9) as archive:
        for part in sorted(kept.iterdir()):
            archive.add(part, part.name, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def export(file: Path, to: Path) -> None:
    """Write a DuckDB file as SQL and CSV, and see that it comes back as it is."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"EXPORT DATABASE '{to}' (FORMAT csv)")
        load = to / "load.sql"
        load.write_text(load.read_text().replace(str(to), "FOLDER"))
        names = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
        ).fetchall()
        rows = {name: connection.execute("SELECT * FROM {}.{} ORDER BY ALL".format(*name)).fetchall() for name in names}
    with duckdb.connect() as connection:
        for part in ("schema.sql", "load.sql"):
            connection.execute((to / part).read_text().replace("FOLDER", str(to)))
        for name in names:
            if connection.execute("SELECT * FROM {}.{} ORDER BY ALL".format(*name)).fetchall() != rows[name]:
                raise RuntimeError(f"{name} does not come back as it is.")


def main() -> None:
    """Make all recordings."""
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    for make in (finished, cut, pending):
        with tempfile.TemporaryDirectory() as folder:
            world, quiet = make(Path(folder))
            keep(make.__name__, Path(folder), world, quiet)
        print(make.__name__, (FILES / f"{make.__name__}.tar.xz").stat().st_size)


if __name__ == "__main__":
    main()
