"""All contenders side by side: the same charges, from the same server, each with a process and a folder of its own."""
from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import child, venvs
from benchmarks.compare import compare
from benchmarks.contenders import CONTENDERS, Contender, Place
from benchmarks.server import CODE, USER, Account, Behaviour, bulk
from benchmarks.sizes import Sizes

Row = dict[str, Any]
Say = Callable[[str], None]

SETTINGS: dict[str, Behaviour] = {"code": CODE, "user": USER}
YEARS = 1.9  # that the charges are spread over: some look back to 2020 and no further, or to the account's beginning
TROUBLES = (OSError, RuntimeError, ValueError, KeyError, StopIteration)  # of getting a contender ready


def of_peers(
    sizes: Sizes, say: Say, contenders: Collection[str] = (), settings: Collection[str] = (),
    bins: dict[str, Path] | None = None,
) -> list[Row]:
    """Each contender in each setting.

    Args:
        sizes: how much.
        say: is told how it goes.
        contenders: names of those that take part; none: all.
        settings: likewise.
        bins: environments that are there already, by name.
    """
    return [
        _measure(contender, setting, sizes, say, bins or {})
        for setting in SETTINGS if not settings or setting in settings
        for contender in CONTENDERS if not contenders or contender.name in contenders
    ]


def _measure(contender: Contender, setting: str, sizes: Sizes, say: Say, bins: dict[str, Path]) -> Row:
    """The runs of a contender; as many as fit in its time."""
    rows = sizes.peers or (contender.code if setting == "code" else contender.user)
    row: Row = {
        "setting": setting, "case": contender.title, "name": contender.name, "into": contender.into, "rows": rows,
        "note": contender.note,
    }
    say(f"{contender.name}, {setting}: {rows:,} rows")
    account, spent = Account({"charges": rows}, years=YEARS), 0.0
    samples: list[Row] = []
    try:
        places = {name: bins.get(name) or venvs.programs(name, packages, say)
                  for name, packages in contender.packages.items()}
        while len(samples) < sizes.runs and (not samples or spent + samples[-1]["seconds"] < sizes.timeout):
            sample = _run(contender, account, SETTINGS[setting], places, sizes.timeout)
            if "trouble" in sample:
                say(f"  {sample['trouble']}")
                return {**row, **sample}
            samples.append(sample)
            spent += sample["seconds"]
            say(f"  {sample['seconds']:.1f} s, {sample['per_second']:,.0f} rows/s, rows: {sample['complete']}")
    except TROUBLES as trouble:
        say(f"  cannot run: {trouble}")
        return {**row, "trouble": f"cannot run: {trouble}"}
    figures = {key: median(sample[key] for sample in samples) for key in samples[0] if key != "complete"}
    complete = next((sample["complete"] for sample in samples if sample["complete"] != "all"), "all")
    return {**row, **figures, "complete": complete, "runs": len(samples),
            "all_seconds": [round(sample["seconds"], 3) for sample in samples]}


def _run(
    contender: Contender, account: Account, behaviour: Behaviour, bins: dict[str, Path], timeout: float
) -> Row:
    """One run, with a server that has answered nobody before."""
    with bulk(account, behaviour) as stripe, tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        place = Place(stripe.url, stripe.api_key, stripe.get("/v1/account")["id"], behaviour.limits, folder, bins)
        with contender.ready(place) as env:
            stripe.reset()
            own = {"STRIPE_API_KEY": stripe.api_key, "DLT_DATA_DIR": str(folder / "dlt"), "HOME": name}
            ended = child.run(contender.commands(place), folder, {**env, **own}, timeout)
        figures = stripe.figures()
        asked = {"seconds": ended.seconds, "requests": figures["requests"], "refused": figures["rate_limited"]}
        if ended.trouble:
            return {**asked, "trouble": ended.trouble.replace(name, "…")}
        found = compare(contender.loaded(place), account, "charges")
    return {
        **asked, "per_second": found.distinct / ended.seconds, "megabytes": ended.megabytes, "together": ended.together,
        "got": found.distinct, "complete": str(found),
    }
