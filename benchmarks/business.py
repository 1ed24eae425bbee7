"""Serves an ordinary business with latency, as a process of its own: `python -m benchmarks.business`."""
from __future__ import annotations

import argparse
import json
import time

from stripe_source import sandbox


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the business")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    args = parser.parse_args()
    world = sandbox.World(scale=args.scale, livemode=True)
    world.faults.latency = args.latency
    with sandbox.serve(world=world) as stripe:
        print(json.dumps({"url": stripe.url, "api_key": stripe.api_key}), flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
