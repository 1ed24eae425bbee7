"""`stripe-source tql …`: the options of its actions, and what each of them calls."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stripe_source.cli.output import print_error, print_json, stderr_console, stdout_console
from stripe_source.errors import InvalidOption
from stripe_source.redaction import CONTROL_CHARACTERS

Group = Callable[[argparse.ArgumentParser], None]


def configure(tql: argparse.ArgumentParser, connection: Group) -> None:
    """Add the actions of `tql`.

    Args:
        tql: the parser of `tql`.
        connection: adds the options of the connection to Stripe.
    """
    actions = tql.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, help: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=tql.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                         help="print the result as JSON; of `run`, each event of SysOut, one a line")
        sub.add_argument("file", metavar="FILE", help="a program of Striim's")
        return sub

    show = action("show", "show what a program will do, table by table")
    show.add_argument("--diagram", action="store_true", help="print the flow as a picture, in Mermaid's words")
    action("check", "list what of a program cannot be carried over; exit code 2 where there is something")
    run = action("run", "run a program: SysOut goes to standard output, everything else to standard error")
    connection(run)
    run.add_argument("--poll", action="store_true", help="an IncrementalLoad goes on, every PollingInterval; Ctrl-C "
                                                         "ends it")
    run.add_argument("--destination", help="a destination of dlt, in the place of those of all database writers")
    run.add_argument("--dataset", default="stripe_data", help="for tables without a schema of their own "
                                                              "(default: %(default)s)")
    convert = action("convert", "write a program as a Python script that does the same")
    convert.add_argument("--output", metavar="FILE", help="write the script to a file")
    for each in (run, convert):
        each.add_argument("--ignore-unsupported", action="store_true",
                          help="go on without what cannot be carried over")


def perform(args: argparse.Namespace, options: Callable[[argparse.Namespace], dict[str, Any]]) -> int:
    """Run one of the actions.

    Args:
        args: the command line.
        options: the options of the connection that were given.

    Returns:
        The exit code.
    """
    actions = {"show": _show, "check": _check, "convert": _convert}
    return _run(args, options) if args.action == "run" else actions[args.action](args)


def _show(args: argparse.Namespace) -> int:
    from stripe_source.striim.tql.program import load_plan
    from stripe_source.striim.tql.show import describe, diagram

    plan = load_plan(args.file)
    if args.diagram:
        print(CONTROL_CHARACTERS.sub("\ufffd", diagram(plan)), end="")
    elif args.json:
        print_json(describe(plan))
    else:
        from stripe_source.cli.views.tql import show_plan

        show_plan(stdout_console(), describe(plan))
    return 0


def _check(args: argparse.Namespace) -> int:
    from stripe_source.striim.tql.program import tql_check

    result = tql_check(args.file)
    if args.json:
        print_json(result)
    else:
        from stripe_source.cli.views.tql import show_check

        show_check(stdout_console(), result)
    return 2 if result["unsupported"] else 0


def _run(args: argparse.Namespace, options: Callable[[argparse.Namespace], dict[str, Any]]) -> int:
    from stripe_source.cli.repeat import may_be_mended
    from stripe_source.cli.views.tql import show_problems, show_result
    from stripe_source.striim.tql.program import tql_run

    console = stderr_console()

    def on_problems(plan: Any) -> None:
        left_out = plan.problems.unsupported if args.ignore_unsupported else []
        show_problems(console, *([each.asdict() for each in some] for some in (left_out, plan.problems.notes)))

    def on_poll(result: Any) -> None:
        if args.json:
            print(_line(result.asdict()), file=sys.stderr, flush=True)
        else:
            show_result(console, result)

    def output(event: str) -> None:
        print(event if args.json else CONTROL_CHARACTERS.sub("\ufffd", event), flush=True)

    def on_failure(error: Exception) -> bool:
        mended = may_be_mended(error)
        if mended:
            print_error(f"{' '.join(str(error).split())} The next poll tries again; Ctrl-C ends it")
        return mended

    result = tql_run(
        args.file, ignore_unsupported=args.ignore_unsupported, on_problems=None if args.json else on_problems,
        on_poll=on_poll, on_failure=on_failure, output=output, as_json=args.json, poll=args.poll,
        destination=args.destination,
        dataset=args.dataset, **options(args),
    )
    return result.exit_code


def _line(data: Any) -> str:
    import json

    return json.dumps(data, default=str)


def _convert(args: argparse.Namespace) -> int:
    from stripe_source.striim.tql.program import tql_convert

    script = tql_convert(args.file, ignore_unsupported=args.ignore_unsupported)
    if args.json:
        print_json({"file": args.file, "script": script})
    elif not args.output:
        print(script, end="")
    if args.output:
        try:
            Path(args.output).write_text(script, encoding="utf-8")
        except OSError as error:
            raise InvalidOption("output", args.output, reason=f"It cannot be written: {error.strerror}.") from None
    return 0
