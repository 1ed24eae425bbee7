"""`waevents load`: WAEvents from files into tables."""
from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stripe_source.cli.connect import make_pipeline, quiet_dlt
from stripe_source.cli.output import print_json, stderr_console, stdout_console
from stripe_source.errors import InvalidOption

if TYPE_CHECKING:
    from stripe_source.striim.load import WAEventsLoaded


def configure(parser: argparse.ArgumentParser, target: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the options of the command.

    Args:
        parser: that of `waevents`.
        target: adds the options that say where to load.
    """
    parser.add_argument("action", choices=["load"])
    parser.add_argument("file", nargs="+", help="files, folders or patterns of WAEvents, packed by gzip or not; `-` is "
                                                "standard input")
    parser.add_argument("--format", choices=["auto", "json", "avro"], default="auto",
                        help="what is in the files (default: as each shows)")
    parser.add_argument("--account-id", help="the account whose rows they are, where they do not say it")
    parser.add_argument("--deletes", choices=["soft", "hard"], default="soft",
                        help="soft (default): rows that are deleted stay, flagged; hard: they go")
    target(parser)


def configure_out(parser: argparse.ArgumentParser) -> None:
    """Add the options of `run` that write WAEvents."""
    group = parser.add_argument_group("WAEvents")
    group.add_argument("--emit", help="rows (default), or waevents: each row that is loaded is a WAEvent in "
                                      "TABLE_waevents, too")
    group.add_argument("--out", metavar="FILE", help="with `--emit waevents`: write them, each once, to a file, a "
                                                     "folder (`out/`), or `-`, which is standard output")
    group.add_argument("--out-format", choices=["json", "positional", "sysout", "avro"], default="json",
                       help="named JSON, one after another (default); JSON by position; as Striim's SysOut; Avro")
    group.add_argument("--gzip", action="store_true", help="pack files")
    group.add_argument("--roll-size", default="64mb", help="begin the next file of a folder at this (default: 64mb)")
    group.add_argument("--roll-time", default="1h", help="likewise after this (default: 1h)")


def check_out(args: argparse.Namespace) -> None:
    """See whether what is written can be, before anything is read.

    Raises:
        InvalidOption: it cannot.
    """
    if args.out is None:
        return
    if args.emit != "waevents":
        raise InvalidOption("out", args.out, reason="WAEvents are written with `--emit waevents`.")
    from stripe_source.options import duration
    from stripe_source.striim.out import size_of

    size_of(args.roll_size)
    duration(args.roll_time, "roll_time")


def write_out(args: argparse.Namespace, pipeline: Any) -> None:
    """Write the WAEvents of a run, and of earlier ones that were not written."""
    if args.out is None:
        return
    from stripe_source.striim.out import write_waevents

    written = write_waevents(
        pipeline, args.out, format=args.out_format, gzip=args.gzip, roll_size=args.roll_size, roll_time=args.roll_time)
    if not args.json:
        number = sum(written.waevents.values())
        stderr_console().print(f"{number:,} WAEvents written to {args.out}", highlight=False)


def run_waevents(args: argparse.Namespace) -> int:
    """Load WAEvents."""
    quiet_dlt()
    from stripe_source.striim.load import load_waevents

    result = load_waevents(
        make_pipeline(args), args.file, account_id=args.account_id, deletes=args.deletes, format=args.format)
    if args.json:
        print_json(result.asdict())
    else:
        _show(stdout_console(), result)
    return result.exit_code


def _show(console: Any, result: WAEventsLoaded) -> None:
    from rich.text import Text

    from stripe_source.cli.views.console import count_of, line, local_path, make_grid, print_plain, say

    columns = "selects", "inserts", "updates", "deletes", "outdated", "rows"
    grid = make_grid("table", *columns, right=columns)
    for name, table in result.counts.tables.items():
        cells = (getattr(table, column) for column in columns)
        grid.add_row(Text(name, style="cyan"), *(f"{count:,}" if count else "" for count in cells))
    if result.counts.tables:
        print_plain(console, grid)
    for bad in result.counts.reasons:
        say(console, (f"{bad['file']}, WAEvent {bad['position']}: {bad['reason']}", "yellow"))
    if result.counts.rejected:
        say(console, (f"{count_of(result.counts.rejected, 'WAEvent')} rejected; they are in table "
                      f"{result.rejected_table}", "bold red"))
    for note in result.notes:
        say(console, (note, "yellow"))
    say(console, f"{count_of(result.counts.read, 'WAEvent')}, {result.seconds:.1f} s")
    line(console, f"Data: {local_path(result.location)}, dataset {result.dataset}")
