"""How fast the sandbox is: it must not be what tests and benchmarks of the loader wait for."""
from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.sizes import Sizes
from stripe_source import sandbox

LISTS = "/v1/customers", "/v1/charges", "/v1/invoices", "/v1/subscriptions", "/v1/events"
PAGES = 60  # pages of charges that are served


def of_sandbox(sizes: Sizes, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """A world built, three of every object made, pages served, lists that lag read to their end."""
    return [_timed(case, work, sizes, say) for case, work in (
        ("a world of scale 1 is built", _build), ("three of every object are made", _populate),
        (f"{PAGES} pages of charges are served", _serve), ("five lists that are behind are read", _lag),
    )]


def _timed(
    case: str, work: Callable[[], tuple[int, float]], sizes: Sizes, say: Callable[[str], None]
) -> dict[str, Any]:
    """Do some work several times; it says how many objects it was about, and the seconds."""
    samples = [work() for _ in range(sizes.runs)]
    objects, seconds = samples[0][0], median(seconds for _, seconds in samples)
    say(f"  {case}: {seconds:.2f} s, {objects / seconds:,.0f} objects/s")
    return {"case": case, "rows": objects, "seconds": seconds, "per_second": objects / seconds, "runs": len(samples),
            "all_seconds": [round(each, 3) for _, each in samples]}


def _build() -> tuple[int, float]:
    began = time.perf_counter()
    world = sandbox.World()
    return sum(world.counts().values()), time.perf_counter() - began


def _populate() -> tuple[int, float]:
    world = sandbox.World(empty=True)
    began = time.perf_counter()
    world.populate_all(3)
    return sum(world.counts().values()), time.perf_counter() - began


def _serve() -> tuple[int, float]:
    with sandbox.serve(world=sandbox.World()) as stripe:
        began = time.perf_counter()
        for _ in range(PAGES):
            _page(stripe, "/v1/charges?limit=100")
        return PAGES * 100, time.perf_counter() - began


def _lag() -> tuple[int, float]:
    world = sandbox.World(scale=0.3)
    world.faults.lag = sandbox.Lag(events=60, lists=60)
    world.live(150)
    objects = 0
    with sandbox.serve(world=world) as stripe:
        began = time.perf_counter()
        for path in LISTS:
            after = ""
            while True:
                page = _page(stripe, f"{path}?limit=100{after}")
                objects += len(page["data"])
                if not page["has_more"]:
                    break
                after = f"&starting_after={page['data'][-1]['id']}"
        return objects, time.perf_counter() - began


def _page(stripe: sandbox.Sandbox, path: str) -> dict[str, Any]:
    import orjson

    connection = http.client.HTTPConnection("127.0.0.1", stripe.port)
    connection.request("GET", path, headers={"Authorization": f"Bearer {stripe.api_key}"})
    page: dict[str, Any] = orjson.loads(connection.getresponse().read())
    connection.close()
    return page
