"""`waevents load`: WAEvents from files into tables."""
from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stripe_source.cli.connect import make_pipeline, quiet_dlt
from stripe_source.cli.output import print_json, stdout_console

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
