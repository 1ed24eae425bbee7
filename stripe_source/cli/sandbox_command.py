"""`stripe-source sandbox serve`."""
from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from stripe_source.cli.output import print_json, stderr_console, stdout_console
from stripe_source.errors import ConfigurationError, InvalidOption

if TYPE_CHECKING:
    from stripe_source import sandbox


def run_sandbox(args: argparse.Namespace) -> int:
    """Serve a sandbox until Ctrl-C."""
    from stripe_source import sandbox
    from stripe_source.cli.views.console import command, line
    from stripe_source.options import duration

    if not 0 <= args.port <= 65535:
        raise InvalidOption("port", args.port, reason="Ports are 0 to 65535; 0 takes any free one.")
    pause = duration(args.life, "life") if args.life else None
    world = _bulk(args) if args.bulk else _business(args, ticking=pause is not None)
    world.faults.latency, world.faults.limits = args.latency, args.limits
    try:
        server = sandbox.serve(args.port, world=world)
    except OSError as error:
        raise InvalidOption("port", args.port, reason=f"It cannot be served there: {os.strerror(error.errno or 0)}. "
                                                      "Take another one, or 0 for any free one.") from error
    with server as stripe:
        if args.json:
            print_json({"url": stripe.url, "api_key": stripe.api_key})
        else:
            line(stdout_console(), f"A Stripe of your own: {stripe.url}\nKey: {stripe.api_key}\n\n"
                                   f"Load it from another terminal:\n  STRIPE_API_KEY={stripe.api_key} {command()} run "
                                   f"--api-base {stripe.url} --pipeline stripe_sandbox\n\nCtrl-C ends it.")
        sys.stdout.flush()
        while True:
            time.sleep(pause or 3600)
            if pause:
                happened = world.live()
                if not args.json:
                    moment = time.strftime("%H:%M:%S")
                    stderr_console().print(f"{moment} {', '.join(happened)}", highlight=False, markup=False)


def _business(args: argparse.Namespace, ticking: bool) -> sandbox.World:
    from stripe_source import sandbox

    for option in "spread", "years":
        if (value := getattr(args, option)) is not None:
            raise InvalidOption(option, value, reason="It says something about tables in bulk only; add `--bulk`.")
    scale = 1.0 if args.scale is None else args.scale
    return sandbox.World(args.seed, scale, ticking=ticking, livemode=args.live)


def _bulk(args: argparse.Namespace) -> sandbox.World:
    from stripe_source import sandbox

    for option, why in ("scale", "`--bulk` says how many objects there are"), ("life", "nothing happens in bulk"):
        if (value := getattr(args, option)) is not None:
            raise InvalidOption(option, value, reason=f"It does not go with `--bulk`: {why}.")
    tables: dict[str, int] = {}
    for text in args.bulk:
        table, _, count = text.partition("=")
        if not count.isdecimal():
            raise InvalidOption("bulk", text, reason="Write a table and a number, like `charges=200000`.")
        tables[table.strip()] = int(count)
    optional = {name: value for name in ("spread", "years") if (value := getattr(args, name)) is not None}
    try:
        return sandbox.Bulk(tables, seed=args.seed, livemode=args.live, **optional)
    except sandbox.InvalidSetting as error:
        raise ConfigurationError(str(error)) from None
