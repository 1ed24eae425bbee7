"""What each command calls, and how it prints what comes of it."""
from __future__ import annotations

import argparse
import sys
from typing import Any

from stripe_source.cli import schema_commands
from stripe_source.cli.arguments import UNSET, Command
from stripe_source.cli.connect import make_pipeline, quiet_dlt, set_dlt_option
from stripe_source.cli.families import views_commands
from stripe_source.cli.output import print_error, print_json, stderr_console, stdout_console
from stripe_source.cli.sandbox_command import run_sandbox
from stripe_source.cli.striim import tql_commands
from stripe_source.cli.striim.waevents import check_out, run_waevents, write_out
from stripe_source.errors import InvalidOption

# What a command needs is imported when it runs: dlt and pyarrow take most of a second, and many commands need neither.

MASKS = "exclude_columns", "hash_columns"


def given_options(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given on the command line; those that were not may stand in dlt's configuration."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def stripe_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the connection and of the selection that were given."""
    return {**given_options(args, "tables", "exclude"), **connection_options(args)}


def connection_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the connection that were given."""
    options = given_options(args, "account_id", "api_base", "api_version", "oauth_file", "include_secrets")
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


def _progress(args: argparse.Namespace) -> Any:
    from stripe_source.cli.views.progress import progress_for

    return None if args.json else progress_for(stderr_console())


def run_demo(args: argparse.Namespace) -> int:
    """Load the sandbox."""
    quiet_dlt()
    set_dlt_option("dlthub_telemetry", "false")  # the demo needs no network, so it does not try
    from stripe_source.load.demo import demo

    result = demo(
        args.database, dataset=args.dataset, seed=args.seed, scale=args.scale, progress=_progress(args),
        **given_options(args, "tables"),
    )
    return _print_sync(args, result)


def run_sync(args: argparse.Namespace) -> int:
    """Load Stripe, once or again and again."""
    from stripe_source.options import duration

    pause = duration(args.every, "every") if args.every else None
    names = (
        "mode", "start", "end", "deletes", "lookback", "schema_map", "history", "schema_contract", "resync", "views",
        "emit", "reports", *MASKS,
    )
    check_out(args)
    options = {**stripe_options(args), **given_options(args, *names), "refresh": args.refresh}
    if args.marker:
        options["marker"] = _marker(args.marker)
    if pause is None:
        return _print_sync(args, _sync(args, options))
    from stripe_source.cli.repeat import run_again_and_again

    def run() -> int:
        code = _print_sync(args, _sync(args, options), indent=None)
        options["refresh"] = None
        return code

    def announce(text: str) -> None:
        if not args.json:
            stderr_console().print(text, highlight=False)

    return run_again_and_again(run, pause, print_error, announce)


def _sync(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    quiet_dlt()
    from stripe_source.load.extras.view_refresh import take_views
    from stripe_source.load.sync import sync
    from stripe_source.source import resolve_options

    checked = dict(options)
    take_views(checked)
    resolved = resolve_options(**checked)  # before dlt's pipeline is made: a wrong option leaves no trace
    # once for all runs of `--every`: a Stripe App's refresh token works once
    options.update(api_key=resolved.credentials, api_base=resolved.api_base)
    pipeline = make_pipeline(args)
    result = sync(pipeline, progress=_progress(args), **options)
    write_out(args, pipeline)
    return result


def _print_sync(args: argparse.Namespace, result: Any, indent: int | None = 2) -> int:
    beside = getattr(args, "out", None) == "-"  # standard output has the WAEvents
    if args.json:
        print_json(result.asdict(), indent, sys.stderr if beside else sys.stdout)
    else:
        from stripe_source.cli.views.sync import show_sync

        show_sync(stderr_console() if beside else stdout_console(), result)
    return int(result.exit_code)


def run_check(args: argparse.Namespace) -> int:
    """Find out what a key may read."""
    from stripe_source.preflight.check import check

    result = check(**stripe_options(args), **given_options(args, "start", "end", "reports"))
    if args.json:
        print_json(result.asdict())
    else:
        from stripe_source.cli.views.check import show_check

        show_check(stdout_console(), result)
    return result.exit_code


def run_verify(args: argparse.Namespace) -> int:
    """Compare the destination with Stripe, or its financial reports with its other tables."""
    quiet_dlt()
    if args.money:
        return _reconcile(args)
    from stripe_source.source import resolve_options
    from stripe_source.verification.verify import verify

    options = {**stripe_options(args), **given_options(args, "start", "end", *MASKS)}
    resolve_options(**options, check_columns=False)  # before dlt's pipeline is made, as `run` does

    def print_cost(requests: int) -> None:
        stderr_console().print(f"About {requests:,} requests to Stripe; what differs is read twice", highlight=False)

    result = verify(
        make_pipeline(args), progress=_progress(args), on_cost=print_cost, repair=args.repair, settled=args.settled,
        **options, **given_options(args, "sample", "seed"),
    )
    if args.json:
        print_json(result.asdict())
    else:
        from stripe_source.cli.views.verify import show_verify

        show_verify(stdout_console(), result)
    return result.exit_code


def _reconcile(args: argparse.Namespace) -> int:
    if args.repair or args.sample:
        raise InvalidOption("money", True, reason="It compares in the destination alone: leave out --repair, --sample.")
    from stripe_source.money.reconcile import reconcile

    result = reconcile(make_pipeline(args))
    if args.json:
        print_json(result.asdict())
    else:
        from stripe_source.cli.views.verify import show_reconcile

        show_reconcile(stdout_console(), result)
    return result.exit_code


def run_status(args: argparse.Namespace) -> int:
    """Say what a pipeline holds."""
    quiet_dlt()
    from stripe_source.monitoring.status import status

    result = status(make_pipeline(args))
    if args.json:
        print_json(result.asdict())
    else:
        from stripe_source.cli.views.status import show_status

        show_status(stdout_console(), result)
    return result.exit_code


def run_tables(args: argparse.Namespace) -> int:
    """List tables."""
    from stripe_source.tables.catalog import list_tables

    tables = list_tables(args.pattern or None)
    if args.json:
        print_json(tables)
    else:
        from stripe_source.cli.views.tables import show_tables

        show_tables(stdout_console(), tables)
    return 0


def run_schema(args: argparse.Namespace) -> int:
    """Run a command of the `schema` family."""
    quiet_dlt()
    data, show, exit_code = schema_commands.perform(args, make_pipeline)
    if args.json:
        print_json(data)
    else:
        show(stdout_console())
    return exit_code


def run_views(args: argparse.Namespace) -> int:
    """Run a command of the `views` family."""
    quiet_dlt()
    data, show, exit_code = views_commands.perform(args, make_pipeline)
    if args.json:
        print_json(data)
    else:
        show(stdout_console())
    return exit_code


def run_tql(args: argparse.Namespace) -> int:
    """Run a command of the `tql` family."""
    quiet_dlt()
    return tql_commands.perform(args, connection_options)


COMMANDS: dict[str, Command] = {
    "demo": run_demo, "run": run_sync, "check": run_check, "verify": run_verify, "status": run_status,
    "tables": run_tables, "schema": run_schema, "views": run_views, "sandbox": run_sandbox, "waevents": run_waevents,
    "tql": run_tql,
}
