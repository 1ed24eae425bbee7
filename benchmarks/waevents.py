"""WAEvents beside rows: loaded, written to a file, and loaded from it."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from benchmarks import child
from benchmarks.contenders import ours
from benchmarks.measures import complete, environment, run_folder
from benchmarks.server import CODE, USER, Account, Behaviour, Server, bulk
from benchmarks.sizes import Sizes

Row = dict[str, Any]
FILE = "waevents.jsonl"
WAYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("rows", ()), ("WAEvents", ("--emit", "waevents")), ("WAEvents, and a file", ("--emit", "waevents", "--out", FILE)),
)
IN = "waevents load of that file"


def of_waevents(sizes: Sizes, say: Callable[[str], None]) -> list[Row]:
    """Charges loaded as rows, as WAEvents, and into a file, in turn, several times; the file loaded elsewhere."""
    rows: list[Row] = []
    for setting, number, behaviour in (("code", sizes.ours, CODE), ("user", sizes.limited, USER)):
        samples: dict[str, list[Row]] = {case: [] for case in (*(name for name, _ in WAYS), IN)}
        for _ in range(sizes.runs):
            for case, options in WAYS:
                for name, row in _one(case, options, number, behaviour, sizes.timeout).items():
                    samples[name].append(row)
                    say(f"  {setting}, {name}: {row}")
        rows += [{"setting": setting, "case": case, "rows": number, **_median(seen)} for case, seen in samples.items()]
        base = next((row["seconds"] for row in rows if row["setting"] == setting and "seconds" in row), None)
        for row in rows:
            if row["setting"] == setting and "seconds" in row and base:
                row["per_second"], row["share"] = row["rows"] / row["seconds"], base / row["seconds"]
    return rows


def _one(case: str, options: Sequence[str], number: int, behaviour: Behaviour, timeout: float) -> dict[str, Row]:
    """One load; where it writes a file, the load of that, too."""
    account = Account({"charges": number})
    with bulk(account, behaviour) as stripe, run_folder() as folder:
        command = ours(stripe.url, rate="1" if behaviour.limits else "none")
        first = child.run([[*command, *options]], folder, environment(stripe, folder), timeout)
        if first.trouble:
            return {case: {"trouble": first.trouble}}
        said = complete(folder, account)
        if options:
            said = _same(said, folder, number)
        found = {case: {"seconds": first.seconds, "cpu": first.cpu, "megabytes": first.megabytes, "complete": said}}
        if FILE in options:
            found[IN] = _load(command[:3], stripe, folder, number, timeout)
        return found


def _load(program: Sequence[str], stripe: Server, folder: Path, number: int, timeout: float) -> Row:
    command = [*program, "waevents", "load", FILE, "--pipeline", "loading", "--dataset", "loaded"]
    done = child.run([command], folder, environment(stripe, folder), timeout)
    if done.trouble:
        return {"trouble": done.trouble}
    (held,) = _numbers(folder, "SELECT count(DISTINCT id) FROM loaded.charges")
    return {"seconds": done.seconds, "cpu": done.cpu, "megabytes": done.megabytes,
            "complete": "all" if held == number else f"{held:,}"}


def _same(said: str, folder: Path, number: int) -> str:
    """What is there, where every row has one WAEvent."""
    found = _numbers(folder, "SELECT count(*), count(DISTINCT data->>'id') FROM stripe_data.charges_waevents")
    return said if found == (number, number) else f"{found} WAEvents"


def _numbers(folder: Path, query: str) -> tuple[Any, ...]:
    """The row that a query answers, in whichever file has the tables."""
    for file in sorted(folder.glob("*.duckdb")):
        with duckdb.connect(str(file), read_only=True) as connection:
            try:
                row = connection.execute(query).fetchone()
            except duckdb.CatalogException:
                continue
            if row is not None:
                return tuple(row)
    return (0,)


def _median(samples: list[Row]) -> Row:
    """Of each figure; the first trouble, if there was any."""
    if trouble := next((each["trouble"] for each in samples if "trouble" in each), None):
        return {"trouble": trouble}
    if not samples:
        return {"trouble": "there was no file"}
    said = next((each["complete"] for each in samples if each["complete"] != "all"), "all")
    return {"runs": len(samples), "complete": said,
            **{key: median(each[key] for each in samples) for key in samples[0] if key != "complete"}}
