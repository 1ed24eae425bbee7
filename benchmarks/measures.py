"""What is measured of this project alone. Each function answers with the rows of one table."""
from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import child
from benchmarks.compare import compare
from benchmarks.contenders import QUIET, found, ours, verification
from benchmarks.server import CODE, USER, Account, Behaviour, Server, bulk, business
from benchmarks.sizes import Sizes

Row = dict[str, Any]
Say = Callable[[str], None]

PAGE = 100  # objects; Stripe gives no more at once
TABLE_CEILING = 25 * PAGE  # rows a second: 25 requests a second of one endpoint
ACCOUNT_CEILING = 100 * PAGE  # rows a second: 100 requests a second of one account
EIGHT = ("balance_transactions", "charges", "customers", "invoices", "payment_intents", "refunds", "setup_intents",
         "subscriptions")
SPREADS = ("even", "growing", "day", "second", "gaps", "pair", "bursts")
LOOK = 0.2  # seconds between two questions to the server


def of_ours(sizes: Sizes, say: Say) -> list[Row]:
    """Charges without limits, end to end."""
    return [_loads("charges", Account({"charges": sizes.ours}), CODE, sizes, say)]


def of_one_table(sizes: Sizes, say: Say) -> list[Row]:
    """One table under Stripe's limits and latency."""
    row = _loads("charges", Account({"charges": sizes.one_table}), USER, sizes, say)
    return [_with_share(row, TABLE_CEILING)]


def of_eight_tables(sizes: Sizes, say: Say) -> list[Row]:
    """Eight tables together under Stripe's limits and latency."""
    account = Account(dict.fromkeys(EIGHT, sizes.eight_tables))
    return [_with_share(_loads("eight tables", account, USER, sizes, say), ACCOUNT_CEILING)]


def of_memory(sizes: Sizes, say: Say) -> list[Row]:
    """Peak memory of the process, for loads of several sizes."""
    return [_loads(f"{rows:,} charges", Account({"charges": rows}), CODE, sizes, say) for rows in sizes.memory]


def of_skew(sizes: Sizes, say: Say) -> list[Row]:
    """Charges that lie in time in several ways, under Stripe's limits and latency."""
    return [_loads(spread, Account({"charges": sizes.skew}, spread), USER, sizes, say) for spread in SPREADS]


def of_kill(sizes: Sizes, say: Say) -> list[Row]:
    """A load that is killed with -9 at half of its pages, and the one that goes on."""
    account, half = Account({"charges": sizes.kill}), ceil(sizes.kill / PAGE / 2)
    samples: list[Row] = []
    with bulk(account, CODE) as stripe:
        for number in range(sizes.runs):
            with run_folder() as folder:
                stripe.reset()
                killed = _load(stripe, folder, "charges", "none", sizes.timeout, _when(stripe, half))
                before = stripe.figures()
                if killed.stopped != "killed":
                    return [{"case": "charges", "rows": sizes.kill,
                             "trouble": killed.trouble or "it was done before it could be killed"}]
                resumed = _load(stripe, folder, "charges", "none", sizes.timeout)
                if resumed.trouble:
                    return [{"case": "charges", "rows": sizes.kill, "trouble": resumed.trouble}]
                after = stripe.figures()
                again = max(after["objects"] - sizes.kill, 0)
                samples.append({
                    "seconds": killed.seconds + resumed.seconds, "killed_seconds": killed.seconds,
                    "resumed_seconds": resumed.seconds, "killed_pages": before["pages"],
                    "resumed_pages": after["pages"] - before["pages"], "pages_again": ceil(again / PAGE),
                    "share_again": again / sizes.kill, "complete": str(compare(found(folder), account, "charges")),
                })
            say(f"  kill {number + 1}/{sizes.runs}: {samples[-1]['pages_again']} pages again")
    return [{"case": "charges", "rows": sizes.kill, **_median(samples)}]


def of_idle(sizes: Sizes, say: Say) -> list[Row]:
    """A run of all default tables where nothing has changed since the last one, in 250 ms latency."""
    samples: list[Row] = []
    with business(sizes.scale, USER.latency) as stripe, run_folder() as folder:
        for number in range(sizes.runs + 2):  # the first loads all; the second has what came about meanwhile
            ended = _load(stripe, folder, "", "1", sizes.timeout)
            if ended.trouble:
                return [{"case": "default tables", "trouble": ended.trouble}]
            say(f"  idle {number - 1}/{sizes.runs}: {ended.seconds:.2f} s" if number > 1 else "  loaded")
            if number > 1:
                samples.append({"seconds": ended.seconds, "megabytes": ended.megabytes, **_told(folder)})
    return [{"case": "default tables", **_median(samples)}]


def of_held(sizes: Sizes, say: Say) -> list[Row]:
    """What compares all that is held, and a feed of many changes: memory, statements, CPU."""
    rows: list[Row] = []
    with bulk(Account({"charges": sizes.held}), CODE) as stripe, run_folder() as folder:
        ended = _load(stripe, folder, "charges", "none", sizes.timeout)
        if ended.trouble:
            return [{"case": "first load", "rows": sizes.held, "trouble": ended.trouble}]
        stages: list[tuple[str, int, list[str]]] = [
            ("full pass", sizes.held, [*ours(stripe.url, rate="none"), "--marker", "none"]),
            ("verify", sizes.held, verification(stripe.url, rate="none")),
            ("change feed", sizes.changes, ours(stripe.url, rate="none")),
        ]
        for case, number, command in stages:
            if case == "change feed":
                stripe.get(f"/_change?table=charges&objects={number}")
            ended = child.run([command], folder, environment(stripe, folder), sizes.timeout)
            if ended.trouble:
                return [*rows, {"case": case, "rows": number, "trouble": ended.trouble}]
            say(f"  {case}: {ended.seconds:.1f} s, {ended.megabytes:.0f} MB")
            told = json.loads((folder / "out").read_bytes())
            rows.append({"case": case, "rows": number, "seconds": ended.seconds, "cpu": ended.cpu,
                         "megabytes": ended.megabytes, "together": ended.together, "runs": 1,
                         "statements": told.get("statements", 0)})
    return rows


def _loads(case: str, account: Account, behaviour: Behaviour, sizes: Sizes, say: Say) -> Row:
    """The same first load several times, each by a process of its own into a file of its own."""
    samples: list[Row] = []
    rows = sum(account.rows.values())
    with bulk(account, behaviour) as stripe:
        for number in range(sizes.runs):
            with run_folder() as folder:
                stripe.reset()
                rate = "1" if behaviour.limits else "none"
                ended = _load(stripe, folder, ";".join(account.rows), rate, sizes.timeout)
                if ended.trouble:
                    return {"case": case, "rows": rows, "trouble": ended.trouble}
                samples.append({**_sample(ended, stripe.figures(), rows), "complete": complete(folder, account)})
            say(f"  {case} {number + 1}/{sizes.runs}: {ended.seconds:.2f} s, {rows / ended.seconds:,.0f} rows/s")
    return {"case": case, "rows": rows, **_median(samples)}


def _load(
    stripe: Server, folder: Path, tables: str, rate: str, timeout: float, enough: Callable[[], bool] | None = None
) -> child.Ended:
    """One run of `stripe-source run`."""
    command = ours(stripe.url, tables=tables, rate=rate)
    return child.run([command], folder, environment(stripe, folder), timeout, enough)


def environment(stripe: Server, folder: Path) -> dict[str, str]:
    """The variables of a run."""
    return {**QUIET, "STRIPE_API_KEY": stripe.api_key, "DLT_DATA_DIR": str(folder / "dlt")}


def _sample(ended: child.Ended, figures: dict[str, Any], rows: int) -> Row:
    requests = max(figures["requests"], 1)
    return {
        "seconds": ended.seconds, "per_second": rows / ended.seconds, "per_row": ended.seconds / rows * 1000,
        "megabytes": ended.megabytes, "together": ended.together, "requests": figures["requests"],
        "pages": figures["pages"],
        "empty": figures["empty"], "refused": figures["rate_limited"],
        "share_refused": figures["rate_limited"] / requests,
    }


def _median(samples: list[Row]) -> Row:
    """Of each figure; of words, what is not as it should be."""
    row: Row = {"runs": len(samples)}
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        row[key] = next((v for v in values if v != "all"), "all") if isinstance(values[0], str) else median(values)
    return {**row, "all_seconds": [round(sample["seconds"], 3) for sample in samples]}


def _with_share(row: Row, ceiling: int) -> Row:
    return {**row, "ceiling": row["per_second"] / ceiling} if "per_second" in row else row


def complete(folder: Path, account: Account) -> str:
    """Whether every table has each row of the truth once."""
    said = {table: str(compare(found(folder, table), account, table)) for table in account.rows}
    return "; ".join(f"{table}: {what}" for table, what in said.items() if what != "all") or "all"


def _told(folder: Path) -> Row:
    """What the run itself tells of its requests."""
    return {"requests": json.loads((folder / "out").read_bytes())["figures"]["requests"]}


def _when(stripe: Server, pages: int) -> Callable[[], bool]:
    """Whether the server has given so many pages; asks it now and then."""
    asked = time.monotonic()

    def enough() -> bool:
        nonlocal asked
        if time.monotonic() < asked + LOOK:
            return False
        asked = time.monotonic()
        return bool(stripe.figures()["pages"] >= pages)

    return enough


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for one run, or some that follow each other."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        yield Path(folder)
