"""Prints what a run did."""
from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from stripe_source.cli.views.console import (
    TEXT_WIDTH,
    command,
    count_of,
    line,
    local_path,
    make_grid,
    permission_text,
    print_plain,
    program_name,
    quoted,
    say,
    show_denied,
)
from stripe_source.tables.registry import TABLES

if TYPE_CHECKING:
    from stripe_source.load.sync_result import SyncResult
    from stripe_source.resources.table_result import TableResult

NAMES_SHOWN = 20  # nobody reads more names than this


def show_sync(console: Console, result: SyncResult) -> None:
    """Print the rows of each table, what failed and why, what the run took, and where the data is."""
    with_rows = {name: table for name, table in result.tables.items()
                 if table.new or table.changed or table.gone or table.unchanged}
    if any(table.changed or table.gone or table.unchanged for table in with_rows.values()):
        _show_changes(console, with_rows)
    else:
        _show_first_load(console, result, with_rows)
    _show_failed(console, result)
    _show_warnings(console, result)
    for note in result.notes:
        say(console, (note, "yellow"))
    figures, mode = result.figures, {True: "live", False: "test", None: "unknown"}[result.livemode]
    say(console, f"{count_of(figures.requests, 'request')}, {figures.bytes / 1e6:,.1f} MB of JSON, "
                 f"{result.seconds:.1f} s; account {result.account}, {mode} mode")
    line(console, f"Data: {local_path(result.location)}, dataset {result.dataset}")
    for views in result.views:
        kind = "tables" if any(view.kind == "table" for view in views.views) else "views"
        line(console, f"{views.map}: {len(views.views)} {kind}, dataset {views.dataset}")
    if query := try_it(result):
        line(console, f"\nTry it:\n  {query}")


def _show_warnings(console: Console, result: SyncResult) -> None:
    """Print what a person should know of each table: reasons, discarded rows and values, new fields."""
    for name, table in result.tables.items():
        if table.status == "ok" and table.reason:
            say(console, (f"{name}: {table.reason}", "yellow"))
        if table.discarded:
            say(console, (f"{name}: {count_of(table.discarded, 'row')} discarded by the schema contract, because of "
                          f"{', '.join(table.left_out)}", "yellow"))
        elif table.left_out:
            fields = ", ".join(f"{field} ({count:,})" for field, count in table.left_out.items())
            say(console, (f"{name}: values left out by the schema contract: {fields}", "yellow"))
        if table.inferred:
            say(console, (f"{name}: Stripe sends fields that the schema map does not know yet; loaded as "
                          f"{', '.join(table.inferred)}", "yellow"))


def _show_first_load(console: Console, result: SyncResult, with_rows: Mapping[str, TableResult]) -> None:
    """Print a first load: there is one number for each table, so tables stand side by side."""
    if with_rows:
        entries = [(name, f"{table.new:,}") for name, table in with_rows.items()]
        width = max(len(name) + 2 + len(count) for name, count in entries) + 4
        side_by_side = max(1, min(min(console.width, TEXT_WIDTH) + 4, len(entries) * width) // width)
        height = -(-len(entries) // side_by_side)
        parts = [entries[part:part + height] for part in range(0, len(entries), height)]
        widths = [[max(len(entry[n]) for entry in part) for n in (0, 1)] for part in parts]
        grid = Grid.grid(padding=(0, 4, 0, 0))
        for row in zip_longest(*parts):
            grid.add_row(*(
                Text.assemble((f"{entry[0]:{names}}", "cyan"), f"  {entry[1]:>{counts}}") if entry else Text()
                for entry, (names, counts) in zip(row, widths, strict=True)
            ))
        print_plain(console, grid)
        console.print()
    empty = [name for name, table in result.tables.items() if name not in with_rows and table.status == "ok"]
    if with_rows or empty:
        rows = sum(table.new for table in with_rows.values())
        print_plain(console, Text(f"{count_of(rows, 'row')} in {count_of(len(with_rows), 'table')}", style="bold"))
    if empty:
        read_whole = all(result.tables[name].marker is None for name in empty)  # others may have rows from before
        names = ", ".join(empty) if len(empty) <= NAMES_SHOWN else f"{count_of(len(empty), 'table')}; --json names them"
        say(console, (f"{'No rows at Stripe' if read_whole else 'No new rows'}: {names}", "dim"))
    hidden = sum(table.status == "ok" and table.hidden is not None for table in result.tables.values())
    if hidden and result.livemode is not False:  # test data, as those of the demo, are compared with nothing
        say(console, (f"{count_of(hidden, 'table')} may have rows that no list of Stripe's shows; "
                      f"`{command()} check` says which", "dim"))


def _show_changes(console: Console, with_rows: Mapping[str, TableResult]) -> None:
    """Print a later run: the tables that changed, and how many rows of the others did not."""
    columns = "new", "changed", "gone", "unchanged"
    counts = {name: [getattr(table, column) for column in columns] for name, table in with_rows.items()}
    changed = {name: each for name, each in counts.items() if any(each[:3])}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    if not changed:
        text = f"Nothing new, changed or gone; {count_of(totals[3], 'row')} unchanged"
        print_plain(console, Text(text, style="bold"))
        return
    grid = make_grid("table", *columns, right=columns)
    for name, each in changed.items():
        grid.add_row(Text(name, style="cyan"), *(f"{count:,}" if count else "" for count in each))
    if unchanged := [each[3] for name, each in counts.items() if name not in changed]:
        others = Text(count_of(len(unchanged), "other table"), style="cyan")
        grid.add_row(others, "", "", "", f"{sum(unchanged):,}")
    grid.add_row(Text("all tables", style="bold"), *(Text(f"{total:,}", style="bold") for total in totals))
    print_plain(console, grid)


def _show_failed(console: Console, result: SyncResult) -> None:
    """Print the tables that could not be read, with the reason or the missing permission."""
    denied: dict[str, list[str]] = {}
    for name, table in result.failed.items():
        if table.status == "no permission":
            denied.setdefault(permission_text(table.reason), []).append(name)
        else:
            say(console, (f"{name}: {table.status}. ", "bold red"), table.reason)
    show_denied(console, denied)
    if denied:
        line(console, f"Give the key these permissions (`{command()} check` prints a link that makes such a key), "
                      "or leave the tables out with --exclude.")


def try_it(result: SyncResult) -> str | None:
    """A command that shows something of what was loaded; None where no table with rows has an example."""
    def has_rows(name: str) -> bool:
        loaded = result.tables.get(name)
        return bool(loaded and (loaded.new or loaded.changed or loaded.unchanged))

    examples = ((table.name, table.example_query) for table in TABLES if table.example_query and has_rows(table.name))
    name, example = next(examples, ("", None))
    if result.destination != "duckdb" or not example:
        return None
    query = example.format(table=f"{result.dataset}.{name}")
    file = json.dumps(local_path(result.location), ensure_ascii=False)
    # single quotes are left to the shell, so that no quote has to be escaped
    code = f'import duckdb; print(duckdb.connect({file}).sql("{query}"))'
    return quoted(program_name(sys.executable), "-c", code)
