"""First loads and incremental ones by each marker, with `stripe-source run` and with dlt's `pipeline.run` alone."""
from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import child
from benchmarks.compare import compare
from benchmarks.contenders import found, ours
from benchmarks.measures import complete, environment, run_folder
from benchmarks.server import CODE, USER, Account, Behaviour, Server, bulk
from benchmarks.sizes import Sizes

Row = dict[str, Any]
DEFAULT = "auto"
MARKERS = (DEFAULT, "created", "id", "none")
PLAIN = """
import sys, dlt
from stripe_source import stripe_source
marker, url, rate = sys.argv[1:]
pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb("stripe.duckdb"), dataset_name="stripe_data")
pipeline.run(stripe_source(tables="charges", marker=marker, api_base=url, rate=None if rate == "none" else float(rate)))
"""


def of_markers(sizes: Sizes, say: Callable[[str], None]) -> list[Row]:
    """Charges by each marker in turn, several times: a first load, and a run after one in a hundred was added."""
    rows: list[Row] = []
    for setting, number, behaviour in (("code", sizes.ours, CODE), ("user", sizes.limited, USER)):
        samples: dict[tuple[str, str], list[Row]] = {
            (marker, way): [] for marker in MARKERS for way in ("run", "plain")
        }
        for _ in range(sizes.runs):
            for (marker, way), seen in samples.items():
                seen.append(_one(marker, way, number, behaviour, sizes.timeout))
                say(f"  {setting}, {marker}, {way}: {seen[-1]}")
        rows += [{"setting": setting, "case": f"{marker}, {way}", "rows": number, **_median(seen)}
                 for (marker, way), seen in samples.items()]
        _add_shares([row for row in rows if row["setting"] == setting])
    return rows


def _one(marker: str, way: str, number: int, behaviour: Behaviour, timeout: float) -> Row:
    """A first load into a file of its own, and a second run after one in a hundred was added."""
    account = Account({"charges": number})
    with bulk(account, behaviour) as stripe, run_folder() as folder:
        rate = "1" if behaviour.limits else "none"
        command = _command(marker, way, stripe, rate)
        first = child.run([command], folder, environment(stripe, folder), timeout)
        if first.trouble:
            return {"trouble": first.trouble}
        said = complete(folder, account)
        added = max(number // 100, 1)
        stripe.get(f"/_add?table=charges&objects={added}")
        later = child.run([command], folder, environment(stripe, folder), timeout)
        held = compare(found(folder), account, "charges")
        whole = held.rows == held.distinct == number + added and not held.missing
        return {
            "seconds": first.seconds, "cpu": first.cpu, "megabytes": first.megabytes,
            "later_seconds": later.seconds, "later_megabytes": later.megabytes,
            "complete": said if whole else f"in the end: {held}",
            **({"trouble": later.trouble} if later.trouble else {}),
        }


def _command(marker: str, way: str, stripe: Server, rate: str) -> list[str]:
    if way == "plain":
        return [sys.executable, "-c", PLAIN, marker, stripe.url, rate]
    return [*ours(stripe.url, rate=rate), "--marker", marker]


def _median(samples: list[Row]) -> Row:
    """Of each figure; the first trouble, if there was any."""
    if trouble := next((each["trouble"] for each in samples if "trouble" in each), None):
        return {"trouble": trouble}
    said = next((each["complete"] for each in samples if each["complete"] != "all"), "all")
    return {"runs": len(samples), "complete": said,
            **{key: median(each[key] for each in samples) for key in samples[0] if key != "complete"}}


def _add_shares(rows: list[Row]) -> None:
    """Add how fast each is as a share of the default, and rows a second."""
    usual = rows[0].get("seconds")
    for row in rows:
        if "seconds" in row:
            row["per_second"] = row["rows"] / row["seconds"]
            row["share"] = usual / row["seconds"] if usual else None
