"""Result of check."""
from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, make_grid, print_plain, say, show_denied

if TYPE_CHECKING:
    from stripe_source.preflight.check import CheckResult
    from stripe_source.preflight.estimate import Estimate

def show_check(console: Console, result: CheckResult) -> None:
    """What can be read and what cannot, and how to get a key that may read all of it."""
    mode = {True: "live", False: "test", None: "unknown"}[result.livemode]
    line(console, f"Account {result.account or 'unknown (the key may not read it)'}, {mode} mode")
    good = {name: table for name, table in result.tables.items() if table.status == "ok"}
    if good:
        say(console, (f"Can be read, {count_of(len(good), 'table')}:", "bold green"))
        grid = make_grid("table", "requests", "in no list, so not loaded", right=["requests"])
        about = "≈" if console.encoding.startswith("utf") else "~"
        for name, table in good.items():
            number = "?" if table.requests is None else f"{about if table.estimated else ''}{table.requests:,}"
            grid.add_row(Text(name, style="cyan"), number, Text(table.hidden or "", style="dim"))
        print_plain(console, grid)
        _show_budget(console, result.budget)
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


def _show_budget(console: Console, budget: Estimate) -> None:
    """What the first load of all that can be read takes; lists that tables share are counted once in it."""
    how = "at least " if budget.unknown else "about " if budget.estimated else ""
    long = "" if budget.seconds is None else f", at least {_time(budget.seconds)} at this rate"
    say(console, "All of them, what they share counted once: ",
         (f"{how}{count_of(budget.requests or 0, 'request')}{long}", "bold"))
    if budget.unknown:
        say(console, (f"One page does not tell how long these lists are: {', '.join(budget.unknown)}", "yellow"))


def _time(seconds: float) -> str:
    """A duration in the unit that one would say it in.

    >>> _time(496)
    '8 minutes'
    """
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return count_of(round(seconds / size), unit)
    return count_of(max(round(seconds), 1), "second")
