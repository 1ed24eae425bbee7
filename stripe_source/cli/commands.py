"""One function per command."""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.cli import schema_commands as schema_commands
from stripe_source.cli.arguments import UNSET
from stripe_source.errors import ConfigurationError, InvalidOption

if TYPE_CHECKING:
    from rich.console import Console

    from stripe_source import sandbox

PIPED = 10_000  # columns where there is no terminal: a row of a table stays one line, for grep and the like


def given_options(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given on the command line; what is left out may stand in dlt's configuration."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def stripe_options(args: argparse.Namespace) -> dict[str, Any]:
    options = given_options(args, "tables", "exclude", "account_id", "api_base", "api_version")
    if args.rate is not UNSET:
        options["rate"] = args.rate
    return options


def _marker(text: str) -> Any:
    """`created`, or `customers=none;%=created`."""
    if "=" not in text:
        return text
    pairs = [part.split("=", 1) for part in text.split(";") if part.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise InvalidOption("marker", text, reason="Write it like `customers=none;%=created`.")
    return {table.strip(): marker.strip() for table, marker in pairs}


def stdout_console() -> Console:
    from rich.console import Console

    told = os.environ.get("COLUMNS", "")
    piped = int(told) if told.isdecimal() else 0
    return Console(width=None if sys.stdout.isatty() else piped or PIPED)


@lru_cache(maxsize=1)  # a live view and lines that are printed meanwhile do not disturb each other on one console
def stderr_console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _quiet(option: str, value: str) -> None:
    """Set a runtime option of dlt's own, which reads them when it is imported, unless dlt's configuration does."""
    for folder in Path.cwd(), Path.home():
        file = folder / ".dlt" / "config.toml"
        if file.is_file() and re.search(rf"^\s*{option}\s*=", file.read_text(errors="replace"), re.MULTILINE):
            return
    os.environ.setdefault(f"RUNTIME__{option.upper()}", value)


def _print_json(data: Any, indent: int | None = 2) -> None:
    print(json.dumps(data, indent=indent, default=str), flush=True)


def _progress(args: argparse.Namespace) -> Any:
    from stripe_source.cli.views.progress import progress_for

    return None if args.json else progress_for(stderr_console())


def _finish(args: argparse.Namespace, result: Any, indent: int | None = 2) -> int:
    if args.json:
        _print_json(result.asdict(), indent)
    else:
        from stripe_source.cli.views.sync import show_sync

        show_sync(stdout_console(), result)
    return int(result.exit_code)


def run_demo(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    _quiet("dlthub_telemetry", "false")  # the demo needs no network, so it does not try
    from stripe_source.load.demo import demo

    result = demo(
        args.database, dataset=args.dataset, seed=args.seed, scale=args.scale, progress=_progress(args),
        **given_options(args, "tables"),
    )
    return _finish(args, result)


def run_sync(args: argparse.Namespace) -> int:
    from stripe_source.options import duration

    pause = duration(args.every, "every") if args.every else None
    options = {
        **stripe_options(args), **given_options(args, "mode", "start", "end", "deletes", "lookback", "schema_map", "history",
                                  "schema_contract"),
        "refresh": args.refresh, **({"marker": _marker(args.marker)} if args.marker else {}),
    }
    if pause is None:
        return _finish(args, _sync(args, options))
    while True:
        _finish(args, _sync(args, options), indent=None)
        options["refresh"] = None
        if not args.json:
            moment = time.strftime("%H:%M:%S", time.localtime(time.time() + pause))
            stderr_console().print(f"Next run at {moment}; Ctrl-C ends it", highlight=False)
        time.sleep(pause)


def _sync(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    _quiet("log_level", "ERROR")  # it warns a developer of much that is no trouble here

    from stripe_source.source import resolve_options

    resolve_options(**options)  # before dlt's pipeline is made: a wrong option leaves no trace
    from stripe_source.load.sync import sync

    return sync(_pipeline(args), progress=_progress(args), **options)


def _pipeline(args: argparse.Namespace) -> Any:
    """The pipeline of `run`, or what is wrong with the destination, before anything is read."""
    import dlt
    from dlt.common.configuration.exceptions import ConfigFieldMissingException
    from dlt.common.destination.exceptions import UnknownDestinationModule
    from dlt.pipeline.exceptions import InvalidPipelineName

    if not re.fullmatch(r"\w+", args.dataset):
        raise InvalidOption("dataset", args.dataset, reason="Write it with letters, digits and `_` only.")
    name = args.destination
    try:
        pipeline = dlt.pipeline(args.pipeline, destination=name, dataset_name=args.dataset)
        pipeline.destination_client()  # finds its credentials, and connects to nothing
    except InvalidPipelineName:
        raise InvalidOption("pipeline", args.pipeline, reason="It becomes the name of a folder.") from None
    except UnknownDestinationModule as error:
        import dlt.destinations

        known = [each for each in dlt.destinations.__all__ if each not in ("destination", "dummy")]
        raise InvalidOption("destination", name, known) from error
    except ConfigFieldMissingException as error:
        nested = re.search(r"missing field\(s\): ((?:`\w+`(?:, )?)+)", str(error))  # of the credentials
        fields = nested[1] if nested else ", ".join(f"`{field}`" for field in error.fields)
        section = f"destination.{name}{'.credentials' if nested else ''}"
        raise ConfigurationError(
            f"Destination `{name}` needs {fields}: under `[{section}]` in `.dlt/secrets.toml`, or in environment "
            f"variables like `{section.upper().replace('.', '__')}__…`."
        ) from None
    except Exception as error:  # a driver that is not installed, a configuration that cannot be read: dlt says it
        raise InvalidOption("destination", name, reason=str(error).strip()) from error
    return pipeline


def run_check(args: argparse.Namespace) -> int:
    from stripe_source.preflight.check import check

    result = check(**stripe_options(args))
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.cli.views.check import show_check

        show_check(stdout_console(), result)
    return result.exit_code


def run_verify(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    from stripe_source.verification.verify import verify

    options = {**stripe_options(args), **given_options(args, "start", "end")}
    from stripe_source.source import resolve_options

    resolve_options(**options)  # before dlt's pipeline is made, as `run` does

    def told(requests: int) -> None:
        stderr_console().print(f"About {requests:,} requests to Stripe; what differs is read twice", highlight=False)

    result = verify(
        _pipeline(args), progress=_progress(args), on_cost=told, repair=args.repair, settled=args.settled,
        **options, **given_options(args, "sample", "seed"),
    )
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.cli.views.verify import show_verify

        show_verify(stdout_console(), result)
    return result.exit_code


def run_tables(args: argparse.Namespace) -> int:
    from stripe_source.tables.catalog import list_tables

    found = list_tables(args.pattern or None)
    if args.json:
        _print_json(found)
    else:
        from stripe_source.cli.views.tables import show_tables

        show_tables(stdout_console(), found)
    return 0


def run_schema(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    data, show, code = schema_commands.perform(args, _pipeline)
    if args.json:
        _print_json(data)
    else:
        show(stdout_console())
    return code


def run_sandbox(args: argparse.Namespace) -> int:
    from stripe_source import sandbox
    from stripe_source.cli.views.console import command, line
    from stripe_source.options import duration

    if not 0 <= args.port <= 65535:
        raise InvalidOption("port", args.port, reason="Ports are 0 to 65535; 0 takes any free one.")
    pause = duration(args.life, "life") if args.life else None
    world = _in_bulk(args) if args.bulk else _business(args, ticking=pause is not None)
    world.faults.latency, world.faults.limits = args.latency, args.limits
    try:
        served = sandbox.serve(args.port, world=world)
    except OSError as error:
        raise InvalidOption("port", args.port, reason=f"It cannot be served there: {os.strerror(error.errno or 0)}. "
                                                      "Take another one, or 0 for any free one.") from error
    with served as stripe:
        if args.json:
            _print_json({"url": stripe.url, "api_key": stripe.api_key})
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
                    stderr_console().print(f"{time.strftime('%H:%M:%S')} {', '.join(happened)}", highlight=False, markup=False)


def _business(args: argparse.Namespace, ticking: bool) -> sandbox.World:
    from stripe_source import sandbox

    for option in "spread", "years":
        if (value := getattr(args, option)) is not None:
            raise InvalidOption(option, value, reason="It says something about tables in bulk only; add `--bulk`.")
    scale = 1.0 if args.scale is None else args.scale
    return sandbox.World(args.seed, scale, ticking=ticking, livemode=args.live)


def _in_bulk(args: argparse.Namespace) -> sandbox.World:
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
    try:
        return sandbox.Bulk(tables, seed=args.seed, livemode=args.live, **given_options(args, "spread", "years"))
    except sandbox.InvalidSetting as error:
        raise ConfigurationError(str(error)) from None


def print_error(message: str, word: str = "Error", style: str = "bold red") -> None:
    from rich.text import Text

    stderr_console().print(Text.assemble((f"{word}: ", style), message), soft_wrap=True)


COMMANDS = {
    "demo": run_demo, "run": run_sync, "check": run_check, "verify": run_verify, "tables": run_tables,
    "schema": run_schema, "sandbox": run_sandbox,
}
