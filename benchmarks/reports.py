"""A financial report of many rows, from its file into DuckDB."""
from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import duckdb

from benchmarks import child
from benchmarks.contenders import ours
from benchmarks.measures import environment, run_folder
from benchmarks.server import Server
from benchmarks.sizes import Sizes
from stripe_source.tables.reports import report_name

Row = dict[str, Any]
TYPES = "payouts.itemized.3", "balance_change_from_activity.itemized.3"  # of 20 and of 66 columns
TIMES_OURS = 5  # as many rows as `ours`: a million


def of_reports(sizes: Sizes, say: Callable[[str], None]) -> list[Row]:
    """One report run of a million rows, of each of two types, several times."""
    number, rows = sizes.ours * TIMES_OURS, []
    for type in TYPES:
        with Server(["benchmarks.report_server", "--type", type, "--rows", str(number)]) as stripe:
            samples = []
            for _ in range(sizes.runs):
                samples.append(_one(stripe, type, number, sizes.timeout))
                say(f"  {type}: {samples[-1]}")
        if trouble := next((each for each in samples if "trouble" in each), None):
            rows.append({"case": type, "rows": number, **trouble})
            continue
        names = "seconds", "cpu", "megabytes"
        middle = {name: median(each[name] for each in samples) for name in names}
        said = next((each["complete"] for each in samples if each["complete"] != "all"), "all")
        rows.append({"case": type, "rows": number, **middle, "per_second": number / middle["seconds"],
                     "complete": said, "runs": len(samples)})
    return rows


def _one(stripe: Server, type: str, number: int, timeout: float) -> Row:
    with run_folder() as folder:
        command = ours(stripe.url, tables=report_name(type), rate="none")
        ended = child.run([command], folder, environment(stripe, folder), timeout)
        if ended.trouble:
            return {"trouble": ended.trouble}
        with duckdb.connect(str(folder / "stripe.duckdb"), read_only=True) as connection:
            (found,) = connection.sql(
                f"SELECT count(*), count(DISTINCT _row), count(net) FROM stripe_data.{report_name(type)}").fetchall()
        said = "all" if found == (number, number, number) else f"{found} of {number}"
        return {"seconds": ended.seconds, "cpu": ended.cpu, "megabytes": ended.megabytes, "complete": said}
