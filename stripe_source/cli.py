"""The command line: `stripe-source …`, and `dlt stripe …`. Commands print; functions of the same name load."""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stripe_source.errors import ConfigurationError, InvalidOption, StripeSourceError

if TYPE_CHECKING:
    from rich.console import Console

_UNSET: Any = object()  # None is a rate
DESCRIPTION = "A complete, current copy of a Stripe account in any dlt destination."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add all commands to a parser."""
    # not `command`: dlt's own parser keeps its command there
    commands = parser.add_subparsers(dest="stripe_command", metavar="COMMAND", required=True)

    def command(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        return sub

    demo = command("demo", "load the built-in sandbox into a DuckDB file; again for one more day of it", _demo)
    demo.add_argument("--database", default="stripe_demo.duckdb", help="the file (default: %(default)s)")
    demo.add_argument("--dataset", default="stripe", help="the schema in it (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=1, help="another seed, another business")
    demo.add_argument("--scale", type=float, default=1.0, help="size of the business; 1 is about 13,000 rows")
    demo.add_argument("--tables", help="names, separated by `;`, with %% for any letters (default: all)")

    run = command("run", "load a Stripe account, or what changed in it since the last run", _run)
    _connection(run)
    _selection(run)
    run.add_argument("--mode", default="auto", help="initial, incremental or auto (default)")
    run.add_argument("--marker", default="auto", help="what incremental loads go by: auto, created, id or none, or per "
                                                      "table: `customers=none;%%=created`")
    run.add_argument("--start", help="only objects created at or after this")
    run.add_argument("--end", help="only objects created before this")
    run.add_argument("--deletes", default="soft", help="soft: rows that are gone stay, flagged; hard: they go")
    run.add_argument("--lookback", default="10m", help="how far behind its cursor a table is read again")
    run.add_argument("--schema-map", default="stripe", help="shape of the tables")
    run.add_argument("--destination", default="duckdb", help="a destination of dlt (default: %(default)s)")
    run.add_argument("--dataset", default="stripe_data", help="dataset or schema (default: %(default)s)")
    run.add_argument("--pipeline", default="stripe", help="name of the dlt pipeline (default: %(default)s)")
    run.add_argument("--every", metavar="5m", help="run again and again, with this pause between")
    run.add_argument("--refresh", metavar="TABLE", action="append", help="read this table again from the beginning")

    check = command("check", "find out which tables a key may read", _check)
    _connection(check)
    _selection(check)

    tables = command("tables", "list the tables", _tables)
    tables.add_argument("pattern", nargs="*", help="only these: names, or patterns with %%")

    schema = command("schema", "show the columns of a table", _schema)
    schema.add_argument("action", choices=["show"])
    schema.add_argument("table")

    sandbox = command("sandbox", "serve a Stripe of one's own on this machine", _sandbox)
    sandbox.add_argument("action", choices=["serve"])
    sandbox.add_argument("--port", type=int, default=12111, help="default: %(default)s; 0: any free one")
    sandbox.add_argument("--seed", type=int, default=1)
    sandbox.add_argument("--scale", type=float, default=1.0)


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


def _rate(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidOption("rate", text, reason="It is a share of Stripe's limits, 0 < rate <= 1, or none.") from None


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

    return Console(width=None if sys.stdout.isatty() else 140)


def _err() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=str))


def _progress(args: argparse.Namespace) -> Any:
    from stripe_source.show import progress_for

    return None if args.json else progress_for(_err())


def _finish(args: argparse.Namespace, result: Any) -> int:
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.show import show_sync

        show_sync(_out(), result)
    return int(result.exit_code)


def _demo(args: argparse.Namespace) -> int:
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
        **_stripe(args), **_given(args, "mode", "start", "end", "deletes", "lookback", "schema_map"),
        "marker": _marker(args.marker), "refresh": args.refresh,
    }
    while True:
        code = _finish(args, _sync(args, options))
        if pause is None:
            return code
        options["refresh"] = None
        time.sleep(pause)


def _sync(args: argparse.Namespace, options: dict[str, Any]) -> Any:
    from stripe_source.source import options as check_options

    check_options(**options)  # before dlt's pipeline is made: a wrong option leaves no trace
    import dlt

    from stripe_source.loop import sync

    try:
        pipeline = dlt.pipeline(args.pipeline, destination=args.destination, dataset_name=args.dataset)
    except Exception as error:
        raise InvalidOption("destination", args.destination, reason=str(error).split("\n")[0]) from error
    return sync(pipeline, progress=_progress(args), **options)


def _check(args: argparse.Namespace) -> int:
    from stripe_source.checks import check

    result = check(**_stripe(args))
    if args.json:
        _print_json(result.asdict())
    else:
        from stripe_source.show import show_check

        show_check(_out(), result)
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
    from stripe_source.catalogue import schema_show

    schema = schema_show(args.table)
    if args.json:
        _print_json(schema)
    else:
        from stripe_source.show import show_schema

        show_schema(_out(), schema)
    return 0


def _sandbox(args: argparse.Namespace) -> int:
    from stripe_source import sandbox

    try:
        served = sandbox.serve(port=args.port, seed=args.seed, scale=args.scale)
    except OSError as error:
        raise InvalidOption("port", args.port, reason=f"It cannot be served there: {error.strerror}.") from error
    with served as stripe:
        if args.json:
            _print_json({"url": stripe.url, "api_key": stripe.api_key})
        else:
            print(f"A Stripe of your own: {stripe.url}\nKey: {stripe.api_key}\n\nLoad it from another terminal:\n"
                  f"  STRIPE_API_KEY={stripe.api_key} stripe-source run --api-base {stripe.url}\n\nCtrl-C ends it.")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


def perform(args: argparse.Namespace) -> int:
    """Run a parsed command and answer with its exit code; errors are printed, without a traceback."""
    try:
        return int(args.run(args))
    except StripeSourceError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _complain(message: str) -> None:
    from rich.text import Text

    console = _err()
    console.print(Text.assemble(("Error: ", "bold red"), message), soft_wrap=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigurationError(f"{message}\n{self.format_usage().strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `stripe-source`.

    Returns:
        0: done. 1: some tables failed. 2: wrong usage or configuration. 3: refused by Stripe. 4: a difference was
        found.
    """
    parser = _Parser("stripe-source", description=DESCRIPTION)
    from stripe_source import __version__

    parser.add_argument("--version", action="version", version=f"stripe-source {__version__}")
    configure(parser)
    try:
        args = parser.parse_args(argv)
    except StripeSourceError as error:
        _complain(str(error))
        return error.exit_code
    return perform(args)


if __name__ == "__main__":
    sys.exit(main())
