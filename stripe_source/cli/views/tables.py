"""Prints the list of tables."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, make_grid, print_plain


def show_tables(console: Console, tables: Iterable[dict[str, Any]]) -> None:
    """Print name, description, marker and cost of each table."""
    grid = make_grid("table", "what", "marker", "cost", "Striim")
    shown = list(tables)
    for table in shown:
        name = Text(table["name"], style="cyan") if table["default"] else Text(f"{table['name']} *", style="cyan")
        grid.add_row(name, *map(Text, (table["description"], table["marker"], table["cost"])),
                     Text(", ".join(table["striim"])))
    print_plain(console, grid)
    starred = any(not table["default"] for table in shown)
    line(console, f"\n{count_of(len(shown), 'table')}{'; * only when asked for by name or pattern' if starred else ''}")
