"""Prints what `status` says."""
from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, make_grid, print_plain, say

if TYPE_CHECKING:
    from stripe_source.monitoring.status import StatusResult, TableStatus

TITLES = "rows", "deleted", "newest version", "known up to", "behind", "last run"
_AGES = (86_400, "d"), (3_600, "h"), (60, "min")


def show_status(console: Console, result: StatusResult) -> None:
    """Print a line for each table, then whose data it is, and what the last run did. Times are in UTC."""
    grid = make_grid("table", *TITLES, right=TITLES[:2])
    for name, table in result.tables.items():
        grid.add_row(Text(name, style="cyan"), *_cells(table))
    if result.tables:
        print_plain(console, grid)
    for name, table in result.tables.items():
        if table.rows is None:
            say(console, (f"{name} is not in the destination any more; the next run makes it again.", "bold red"))
        elif name in result.failed:
            reason = str(table.last_run.get("reason", ""))
            say(console, (f"{name}: {table.last_run.get('status')}. ", "bold red"), reason)
    run = result.last_run
    if run.error:
        say(console, (f"The last run ended early, at {_minute(run.ended_at)}: ", "bold red"), run.error)
    elif run.ended_at:
        say(console, f"The last run ended at {_minute(run.ended_at)} UTC after {run.seconds:.1f} s; "
                     f"{count_of(run.requests, 'request')}.")
    else:
        say(console, "This working folder knows of no run: what the last one did is known where it ran.")
    for note in run.notes:
        say(console, (note, "yellow"))
    if result.pending:
        say(console, ("A run has read data that is not loaded yet; the next run loads it first.", "yellow"))
    rows = sum(table.rows or 0 for table in result.tables.values())
    mode = {True: "live mode", False: "test mode", None: "mode not known"}[result.livemode]
    number = f"{count_of(rows, 'row')} in {count_of(len(result.tables), 'table')}"
    say(console, f"{number}; account {result.account}, {mode}; {result.destination}, dataset {result.dataset}, "
                 f"pipeline {result.pipeline}")
    line(console, "Times are in UTC. `stripe-source verify` compares the rows with Stripe.")


def _cells(table: TableStatus) -> list[str]:
    rows = "gone" if table.rows is None else f"{table.rows:,}"
    deleted = f"{table.deleted:,}" if table.deleted else ""
    return [rows, deleted, _minute(table.last_change), _minute(table.position), _age(table.lag),
            str(table.last_run.get("status", ""))]


def _minute(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")


def _age(seconds: int | None) -> str:
    """A span of time in the largest unit that fits: `3 min`, `5 h`, `2 d`."""
    if seconds is None:
        return ""
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
