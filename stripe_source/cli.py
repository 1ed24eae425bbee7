"""The command line: `stripe-source …`, and `dlt stripe …`. Commands print; functions of the same name load."""
from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source import schema_command
from stripe_source.errors import ConfigurationError, InvalidOption, StripeSourceError

if TYPE_CHECKING:
    from rich.console import Console

    from stripe_source import sandbox

_UNSET: Any = object()  # None is a rate
DESCRIPTION = "A complete, current copy of a Stripe account in any dlt destination."
EXIT_CODES = """\
exit codes:
  0  done
  1  some tables failed and the others are loaded, nothing could be reached, or the pipeline is being run already
  2  wrong usage or configuration; nothing was read
  3  refused by Stripe: the key, or all permissions
  4  verification, or a comparison of schemas, found a difference"""
PIPED = 10_000  # columns where there is no terminal: a row of a table stays one line, for grep and the like


def configure(parser: argparse.ArgumentParser) -> None:
    """Add all commands to a parser."""
    # not `command`: dlt's own parser keeps its command there
    commands = parser.add_subparsers(dest="stripe_command", metavar="COMMAND", required=True)

    def command(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        return sub

    demo = command("demo", "load the built-in sandbox into a DuckDB file; again for one more day of it", _demo)
    demo.add_argument("--database", default="stripe_demo.duckdb", help="the file (default: %(default)s)")
    demo.add_argument("--dataset", default="stripe", help="the schema in it (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=1, help="another seed, another business")
    demo.add_argument("--scale", type=_scale, default=1.0, help="size of the business; 1 is about 14,000 rows")
    demo.add_argument("--tables", help="names, separated by `;`, with %% for any letters; `%%` is everything "
                                        "(default: what an ordinary account uses)")

    run = command("run", "load a Stripe account, or what changed in it since the last run", _run)
    _connection(run)
    _selection(run)
    run.add_argument("--mode", help="initial, incremental or auto (default)")
    run.add_argument("--marker", help="what incremental loads go by: auto (default), created, id or none, or per "
                                      "table: `customers=none;%%=created`")
    run.add_argument("--start", help="only objects created at or after this")
    run.add_argument("--end", help="only objects created before this")
    run.add_argument("--deletes", help="soft (default): rows that are gone stay, flagged; hard: they go")
    run.add_argument("--lookback", help="how far behind its cursor a table is read again (default: 10m)")
    run.add_argument("--schema-map", help="shape of the tables (default: stripe)")
    _target(run)
    run.add_argument("--every", metavar="5m", help="run again and again, with this pause between; Ctrl-C ends it. "
                                                   "With --json, each run is one line")
    run.add_argument("--history", metavar="TABLE", action="append",
                     help="keep every version of the rows of this table, in TABLE_history")
    run.add_argument("--schema-contract", metavar="MODE",
                     help="what becomes of fields that Stripe adds: evolve (default), freeze, discard_row or "
                          "discard_value, or one for each: `columns=freeze;data_type=evolve`")
    run.add_argument("--refresh", metavar="TABLE", action="append", help="read this table again from the beginning")

    check = command("check", "find out which tables a key may read", _check)
    _connection(check)
    _selection(check)

    verify = command("verify", "prove that the destination equals Stripe, row by row and value by value", _verify)
    _connection(verify)
    verify.add_argument("--tables", help="names, separated by `;`, with %% for any letters (default: every table that "
                                         "the pipeline has loaded)")
    verify.add_argument("--exclude", help="likewise, what to leave out")
    verify.add_argument("--start", help="only objects created at or after this")
    verify.add_argument("--end", help="only objects created before this")
    share = verify.add_mutually_exclusive_group()
    share.add_argument("--all", action="store_true", help="every row within the bounds (default)")
    share.add_argument("--sample", type=int, metavar="N", help="of tables with more than N rows only about N, in spans "
                                                               "of `created` drawn at random; smaller ones whole")
    verify.add_argument("--seed", type=int, help="of a sample, to draw the same one again")
    verify.add_argument("--settled", action="store_true", help="what came about after the last load is named, and does "
                                                               "not count as a difference")
    verify.add_argument("--repair", action="store_true", help="write what is missing or altered, flag what is extra, "
                                                              "and verify again")
    _target(verify)

    tables = command("tables", "list the tables", _tables)
    tables.add_argument("pattern", nargs="*", help="only these: names, or patterns with %%")

    schema_command.configure(
        command("schema", "show, print, compare and migrate the tables' columns", _schema), _selection, _target)

    sandbox = command("sandbox", "serve a Stripe of one's own on this machine", _sandbox)
    sandbox.add_argument("action", choices=["serve"])
    sandbox.add_argument("--port", type=int, default=12111, help="default: %(default)s; 0: any free one")
    sandbox.add_argument("--seed", type=int, default=1, help="another seed, another business")
    sandbox.add_argument("--scale", type=_scale, help="size of the business; 1, the default, is about 14,000 rows")
    sandbox.add_argument("--life", metavar="10s", help="the clock runs, and something happens each time this has "
                                                       "passed (default: it stands still)")
    sandbox.add_argument("--live", action="store_true", help="live mode: its keys, its objects, its limits")
    sandbox.add_argument("--latency", type=_seconds, default=0.0, metavar="0.25", help="seconds that each answer takes")
    sandbox.add_argument("--limits", action="store_true", help="Stripe's limits: 429 for what is more")
    bulk = sandbox.add_argument_group("in bulk", "Tables of any size, for benchmarks, instead of a business; "
                                                 "/_figures tells what was asked for.")
    bulk.add_argument("--bulk", metavar="charges=200000", action="append", help="a table and how many objects it has; "
                                                                              "may be repeated")
    bulk.add_argument("--spread", help="when they were created: even (default), growing, day, second, gaps, pair or "
                                       "bursts")
    bulk.add_argument("--years", type=_years, metavar="10", help="how far they go back (default: 2)")


def _connection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Stripe", "The key is taken from STRIPE_API_KEY, or from api_key under "
                                                "[sources.stripe] in .dlt/secrets.toml; never from the command line, "
                                                "where other users of the machine could see it.")
    group.add_argument("--account-id", help="a connected account to read with a platform's key")
    group.add_argument("--api-base", help="where Stripe is; a sandbox, say")
    group.add_argument("--api-version", help="another API version than the one this release is made for")
    group.add_argument("--rate", type=_rate, default=_UNSET,
                       help="share of Stripe's limits to use, 0 < rate <= 1 (default 0.5), or none")


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tables", help="names, separated by `;`, with %% for any letters; `%%` is everything "
                                         "(default: what an ordinary account uses)")
    parser.add_argument("--exclude", help="likewise, what to leave out")


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", default="duckdb", help="a destination of dlt (default: %(default)s)")
    parser.add_argument("--dataset", default="stripe_data", help="dataset or schema (default: %(default)s)")
    parser.add_argument("--pipeline", default="stripe", help="name of the dlt pipeline (default: %(default)s)")


def _rate(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidOption("rate", text, reason="It is a share of Stripe's limits, 0 < rate <= 1, or none.") from None


def _scale(text: str) -> float:
    try:
        if 0 < float(text) < math.inf:
            return float(text)
    except ValueError:
        pass
    raise InvalidOption("scale", text, reason="It is more than 0; 1 is about 14,000 rows.")


def _number(option: str, text: str, least: float, reason: str) -> float:
    try:
        if least <= float(text) < math.inf:
            return float(text)
    except ValueError:
        pass
    raise InvalidOption(option, text, reason=reason)


def _seconds(text: str) -> float:
    return _number("latency", text, 0, "It is a number of seconds, such as 0.25.")


def _years(text: str) -> float:
    return _number("years", text, 0.001, "It is a number of years, more than 0.")


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given on the command line; what is left out may stand in dlt's configuration."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _stripe(args: argparse.Namespace) -> dict[str, Any]:
    options = _given(args, "tables", "exclude", "account_id", "api_base", "api_version")
    if args.rate is not _UNSET:
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


def _out() -> Console:
    from rich.console import Console

    told = os.environ.get("COLUMNS", "")
    piped = int(told) if told.isdecimal() else 0
    return Console(width=None if sys.stdout.isatty() else piped or PIPED)


@lru_cache(maxsize=1)  # a live view and lines that are printed meanwhile do not disturb each other on one console
def _err() -> Console:
    from rich.console import Console

    return Console(stderr=True)


class _Warnings(logging.Handler):
    """Our warnings for a person, but for those that the result of the run tells anyway."""

    TOLD = "%s: %s. %s", "%s: a part of the table was refused: %s"

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self.TOLD:
            _complain(record.getMessage(), "Warning", "bold yellow")


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
    from stripe_source.show import progress_for

    return None if args.json else progress_for(_err())


def _finish(args: argparse.Namespace, result: Any, indent: int | None = 2) -> int:
    if args.json:
        _print_json(result.asdict(), indent)
    else:
        from stripe_source.show import show_sync

        show_sync(_out(), result)
    return int(result.exit_code)


def _demo(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    _quiet("dlthub_telemetry", "false")  # the demo needs no network, so it does not try
    from stripe_source.showcase import demo

    result = demo(
        args.database, dataset=args.dataset, seed=args.seed, scale=args.scale, progress=_progress(args),
        **_given(args, "tables"),
    )
    return _finish(args, result)


def _run(args: argparse.Namespace) -> int:
    from stripe_source.options import duration

    pause = duration(args.every, "every") if args.every else None
    options = {
        **_stripe(args), **_given(args, "mode", "start", "end", "deletes", "lookback", "schema_map", "history",
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
            _err().print(f"Next run at {moment}; Ctrl-C ends it", highlight=False)
        time.sleep(pause)


def _sync(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    _quiet("log_level", "ERROR")  # it warns a developer of much that is no trouble here
    from stripe_source.source import options as check_options

    check_options(**options)  # before dlt's pipeline is made: a wrong option leaves no trace
    from stripe_source.loop import sync

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


def _check(args: argparse.Namespace) -> int:
    from stripe_source.checks import check

    result = check(**_stripe(args))
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.show import show_check

        show_check(_out(), result)
    return result.exit_code


def _verify(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    from stripe_source.proof import verify
    from stripe_source.source import options as check_options

    options = {**_stripe(args), **_given(args, "start", "end")}
    check_options(**options)  # before dlt's pipeline is made, as `run` does

    def told(requests: int) -> None:
        _err().print(f"About {requests:,} requests to Stripe; what differs is read twice", highlight=False)

    result = verify(
        _pipeline(args), progress=_progress(args), on_cost=told, repair=args.repair, settled=args.settled,
        **options, **_given(args, "sample", "seed"),
    )
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.show import show_verify

        show_verify(_out(), result)
    return result.exit_code


def _tables(args: argparse.Namespace) -> int:
    from stripe_source.catalogue import list_tables

    found = list_tables(args.pattern or None)
    if args.json:
        _print_json(found)
    else:
        from stripe_source.show import show_tables

        show_tables(_out(), found)
    return 0


def _schema(args: argparse.Namespace) -> int:
    _quiet("log_level", "ERROR")
    data, show, code = schema_command.perform(args, _pipeline)
    if args.json:
        _print_json(data)
    else:
        show(_out())
    return code


def _sandbox(args: argparse.Namespace) -> int:
    from stripe_source import sandbox
    from stripe_source.options import duration
    from stripe_source.show import command, line

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
            line(_out(), f"A Stripe of your own: {stripe.url}\nKey: {stripe.api_key}\n\n"
                         f"Load it from another terminal:\n  STRIPE_API_KEY={stripe.api_key} {command()} run "
                         f"--api-base {stripe.url} --pipeline stripe_sandbox\n\nCtrl-C ends it.")
        sys.stdout.flush()
        while True:
            time.sleep(pause or 3600)
            if pause:
                happened = world.live()
                if not args.json:
                    _err().print(f"{time.strftime('%H:%M:%S')} {', '.join(happened)}", highlight=False, markup=False)


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
    return sandbox.Bulk(tables, seed=args.seed, livemode=args.live, **_given(args, "spread", "years"))


def perform(args: argparse.Namespace) -> int:
    """Run a parsed command and answer with its exit code; errors are printed, without a traceback."""
    warnings, log = _Warnings(logging.WARNING), logging.getLogger("stripe_source")
    log.addHandler(warnings)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is it flushed into the pipe at the end
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if number := _signal(error):
            _err().print("Stopped. What was loaded is kept; the next run goes on from there."
                         if args.stripe_command in ("run", "demo") else "Stopped.", highlight=False)
            return 128 + number
        if not isinstance(error, StripeSourceError):
            raise
        _complain(str(error))
        return error.exit_code
    finally:
        log.removeHandler(warnings)


def _signal(error: BaseException | None) -> int:
    """The signal behind an error: dlt makes Ctrl-C and SIGTERM a failure of the step that they end. 0: none is."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return int(getattr(error, "signal_code", signal.SIGINT)) if error else 0


def _complain(message: str, word: str = "Error", style: str = "bold red") -> None:
    from rich.text import Text

    _err().print(Text.assemble((f"{word}: ", style), message), soft_wrap=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigurationError(f"{message}\n{self.format_usage().strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `stripe-source`.

    Returns:
        0: done. 1: some tables failed. 2: wrong usage or configuration. 3: refused by Stripe. 4: a difference was
        found.
    """
    parser = _Parser(
        "stripe-source", description=DESCRIPTION, epilog=f"Begin with `stripe-source demo`: it needs no key.\n\n"
        f"{EXIT_CODES}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from stripe_source import __version__

    parser.add_argument("--version", action="version", version=f"stripe-source {__version__}")
    configure(parser)
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return ConfigurationError.exit_code
    try:
        args = parser.parse_args(argv)
    except StripeSourceError as error:
        _complain(str(error))
        return error.exit_code
    try:
        return perform(args)
    finally:
        if argv is None:
            gc.freeze()  # the process ends, and Python would look through all that is there: 0.15 s (2026-11-26)


if __name__ == "__main__":
    sys.exit(main())
