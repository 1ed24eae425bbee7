"""Prints what `check` found."""
from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, make_grid, print_plain, say, show_denied

if TYPE_CHECKING:
    from stripe_source.preflight.check import CheckResult
    from stripe_source.preflight.estimate import Estimate


def show_check(console: Console, result: CheckResult) -> None:
    """Print what can be read and what cannot, and how to get a key that may read all of it."""
    mode = {True: "live", False: "test", None: "unknown"}[result.livemode]
    line(console, f"Account {result.account or 'unknown (the key may not read it)'}, {mode} mode")
    readable = {name: table for name, table in result.tables.items() if table.status == "ok"}
    if readable:
        say(console, (f"Can be read, {count_of(len(readable), 'table')}:", "bold green"))
        grid = make_grid("table", "requests", "in no list, so not loaded", right=["requests"])
        about = "≈" if console.encoding.startswith("utf") else "~"
        for name, table in readable.items():
            number = "?" if table.requests is None else f"{about if table.estimated else ''}{table.requests:,}"
            grid.add_row(Text(name, style="cyan"), number, Text(table.hidden or "", style="dim"))
        print_plain(console, grid)
        _show_estimate(console, result.budget)
    denied: dict[str, list[str]] = {}
    for name, table in result.tables.items():
        if table.status == "no permission":
            denied.setdefault(table.permission or "unnamed", []).append(name)
        elif table.status != "ok":
            say(console, (f"{name}: {table.status}. ", "bold red"), table.reason)
    show_denied(console, denied)
    for note in result.notes:
        say(console, (note, "yellow"))
    if result.key_link:
        line(console, f"\nA key that may read all of these:\n  {result.key_link}")
    line(console, f"\nThis took {count_of(result.requests, 'request')}")


def _show_estimate(console: Console, estimate: Estimate) -> None:
    """Print what the first load of all readable tables takes; a list that several tables need is counted once."""
    about = "at least " if estimate.unknown else "about " if estimate.estimated else ""
    duration = "" if estimate.seconds is None else f", at least {_duration(estimate.seconds)} at this rate"
    say(console, "All of them, what they share counted once: ",
        (f"{about}{count_of(estimate.requests or 0, 'request')}{duration}", "bold"))
    if estimate.unknown:
        say(console, (f"One page does not tell how long these lists are: {', '.join(estimate.unknown)}", "yellow"))


def _duration(seconds: float) -> str:
    """A duration in the unit in which a person says it.

    >>> _duration(496)
    '8 minutes'
    """
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return count_of(round(seconds / size), unit)
    return count_of(max(round(seconds), 1), "second")
