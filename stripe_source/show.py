"""What the commands show a person: progress while a run goes on, and tables of what came of it."""
from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

if TYPE_CHECKING:
    from stripe_source.checks import CheckResult
    from stripe_source.loop import SyncResult
    from stripe_source.run import TableResult

BUSY = 8  # tables in the live view
MANY = 20  # more names than this are not read
WIDE = 120  # columns of running text where no terminal says how many there are
QUIET = 10.0  # seconds between plain lines


class Lines:
    """Progress as plain lines, for logs and pipes: one when a phase begins, and one every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self._objects: dict[str, int] = {}
        self._all = 0
        self._said = self._began = time.monotonic()

    def tables(self, names: list[str]) -> None:
        self._all = len(names)

    def page(self, table: str, objects: int) -> None:
        with self._lock:
            self._objects[table] = self._objects.get(table, 0) + objects
            if time.monotonic() - self._said >= QUIET:
                self._say()

    def phase(self, name: str) -> None:
        with self._lock:
            if name == "preparing":
                self._console.print(f"Preparing {_count(self._all, 'table')}", highlight=False)
            elif name == "reading":
                self._console.print("Reading", highlight=False)
            elif name == "loading":
                self._say()
                self._console.print("Loading", highlight=False)

    def _say(self) -> None:
        self._said = time.monotonic()
        total = sum(self._objects.values())
        self._console.print(f"Read {_count(total, 'object')} of {_count(len(self._objects), 'table')}", highlight=False)


class Board:
    """Progress on a terminal: the phase, the speed, and the tables that are coming in."""

    def __init__(self, console: Console) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, int] = {}
        self._latest: dict[str, float] = {}
        self._all, self._phase, self._began = 0, "preparing", time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=10, transient=True)

    def tables(self, names: list[str]) -> None:
        self._all = len(names)

    def page(self, table: str, objects: int) -> None:
        with self._lock:
            self._objects[table] = self._objects.get(table, 0) + objects
            self._latest[table] = time.monotonic()

    def phase(self, name: str) -> None:
        self._phase = name
        if name == "preparing":
            self._began = time.monotonic()
            self._live.start()
        elif name == "done":
            self._live.stop()

    def _picture(self) -> Group:
        with self._lock:
            objects, latest = dict(self._objects), dict(self._latest)
        total, seconds = sum(objects.values()), max(time.monotonic() - self._began, 0.001)
        word = {"preparing": "Preparing", "reading": "Reading", "loading": "Loading"}.get(self._phase, "")
        self._spinner.update(text=Text.assemble(
            (f"{word} ", "bold"), f"{len(objects)} of {self._all} tables, {total:,} objects, {total / seconds:,.0f}/s"
        ))
        busy = sorted(latest, key=lambda name: latest[name], reverse=True)[:BUSY] if self._phase == "reading" else []
        grid = Grid.grid(padding=(0, 2))
        for name in busy:
            grid.add_row(Text(f"  {name}", style="cyan"), Text(f"{objects[name]:>9,}"))
        return Group(self._spinner, grid)


def progress_for(console: Console) -> Lines | Board:
    """A live view where there is a terminal, plain lines elsewhere."""
    return Board(console) if console.is_terminal else Lines(console)


def _grid(*columns: str, right: Sequence[str] = ()) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=bool(columns))
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return grid


def _print(console: Console, what: Grid | Text, width: int | None = None) -> None:
    """Print without the blanks that rich fills lines with, which are a nuisance in files and pipes."""
    if console.is_terminal:
        console.print(what, width=width)
        return
    with console.capture() as captured:
        console.print(what, width=width)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _say(console: Console, *parts: str | tuple[str, str]) -> None:
    """Running text, wrapped; with an empty line before it."""
    console.print()
    _print(console, Text.assemble(*parts), width=min(console.width, WIDE))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def show_sync(console: Console, result: SyncResult) -> None:
    """The end of a run: rows per table, what failed and why, what it cost, and where the data is."""
    held = {name: table for name, table in result.tables.items()
            if table.new or table.changed or table.gone or table.unchanged}
    if any(table.changed or table.gone or table.unchanged for table in held.values()):
        _show_changes(console, held)
    else:
        _show_first(console, result, held)
    _show_failed(console, result)
    for name, table in result.tables.items():
        if table.status == "ok" and table.reason:
            _say(console, (f"{name}: {table.reason}", "yellow"))
        if table.inferred:
            _say(console, (f"{name}: Stripe sends fields that the schema map does not know yet; loaded as "
                           f"{', '.join(table.inferred)}", "yellow"))
    for note in result.notes:
        _say(console, (note, "yellow"))
    figures, mode = result.figures, {True: "live", False: "test", None: "unknown"}[result.livemode]
    _say(console, f"{_count(figures.requests, 'request')}, {figures.bytes / 1e6:,.1f} MB of JSON, "
                  f"{result.seconds:.1f} s; account {result.account}, {mode} mode")
    line(console, f"Data: {_here(result.location)}, dataset {result.dataset}")
    if query := try_it(result):
        line(console, f"\nTry it:\n  {query}")


def line(console: Console, text: str) -> None:
    """Print a text as it is: to be copied, so neither wrapped nor coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _show_first(console: Console, result: SyncResult, held: Mapping[str, TableResult]) -> None:
    """A first load: there is one number for each table, so they stand side by side."""
    if held:
        entries = [(name, f"{table.new:,}") for name, table in held.items()]
        width = max(len(name) + 2 + len(count) for name, count in entries) + 4
        side_by_side = max(1, min(min(console.width, WIDE) + 4, len(entries) * width) // width)
        height = -(-len(entries) // side_by_side)
        parts = [entries[part:part + height] for part in range(0, len(entries), height)]
        widths = [[max(len(entry[n]) for entry in part) for n in (0, 1)] for part in parts]
        grid = Grid.grid(padding=(0, 4, 0, 0))
        for row in zip_longest(*parts):
            grid.add_row(*(
                Text.assemble((f"{entry[0]:{names}}", "cyan"), f"  {entry[1]:>{counts}}") if entry else Text()
                for entry, (names, counts) in zip(row, widths, strict=True)
            ))
        _print(console, grid)
        console.print()
    empty = [name for name, table in result.tables.items() if name not in held and table.status == "ok"]
    if held or empty:
        rows = sum(table.new for table in held.values())
        _print(console, Text(f"{_count(rows, 'row')} in {_count(len(held), 'table')}", style="bold"))
    if empty:  # what goes by a marker may have rows from before
        whole = all(result.tables[name].marker is None for name in empty)
        names = ", ".join(empty) if len(empty) <= MANY else f"{_count(len(empty), 'table')}; --json names them"
        _say(console, (f"{'No rows at Stripe' if whole else 'No new rows'}: {names}", "dim"))


def _show_changes(console: Console, held: Mapping[str, TableResult]) -> None:
    """A later run: what changed stands in the table; what did not is counted."""
    words = "new", "changed", "gone", "unchanged"
    counts = {name: [getattr(table, word) for word in words] for name, table in held.items()}
    moved = {name: each for name, each in counts.items() if any(each[:3])}
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    if not moved:
        _print(console, Text(f"Nothing new, changed or gone; {_count(totals[3], 'row')} unchanged", style="bold"))
        return
    grid = _grid("table", *words, right=words)
    for name, each in moved.items():
        grid.add_row(Text(name, style="cyan"), *(f"{count:,}" if count else "" for count in each))
    if rest := [each[3] for name, each in counts.items() if name not in moved]:
        grid.add_row(Text(f"{_count(len(rest), 'other table')}", style="cyan"), "", "", "", f"{sum(rest):,}")
    grid.add_row(Text("all tables", style="bold"), *(Text(f"{total:,}", style="bold") for total in totals))
    _print(console, grid)


def _show_failed(console: Console, result: SyncResult) -> None:
    denied: dict[str, list[str]] = {}
    for name, table in result.failed.items():
        if table.status == "no permission":
            denied.setdefault(_permission(table.reason), []).append(name)
        else:
            _say(console, (f"{name}: {table.status}. ", "bold red"), table.reason)
    _show_denied(console, denied)
    if denied:
        line(console, f"Give the key these permissions (`{command()} check` prints a link that makes such a key), "
                      "or leave the tables out with --exclude.")


def _permission(reason: str) -> str:
    """The permission that Stripe asked for, as far as it named one."""
    named = re.search(r"\brak_[a-z0-9_]+", reason)
    return named.group() if named else "unnamed"


def _show_denied(console: Console, denied: Mapping[str, Sequence[str]]) -> None:
    """Tables that the key may not read, by the permission that it lacks."""
    if denied:
        number = sum(map(len, denied.values()))
        _say(console, (f"No permission for {_count(number, 'table')}:", "bold red"))
        grid = _grid()
        for permission, names in sorted(denied.items()):
            grid.add_row(Text(f"  {permission}"), Text(", ".join(names), style="cyan"))
        _print(console, grid)


def _here(place: str) -> str:
    """A path as one would write it in this folder; what is no path in it stays as it is."""
    try:
        return str(Path(place).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return place


def _quoted(*words: str) -> str:
    """A command as the shell of this machine takes it."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _program(path: str) -> str:
    """A program as one would call it in this folder: by its name where that finds it."""
    name = Path(path).name
    found = shutil.which(name)
    if found and os.path.abspath(found) == os.path.abspath(path):
        return name
    return _here(os.path.abspath(path))


def command() -> str:
    """How to call us again from this folder."""
    called = Path(sys.argv[0])
    if called.stem == "stripe-source" and called.exists():
        return _quoted(_program(str(called)))
    return "stripe-source"


def try_it(result: SyncResult) -> str | None:
    """A command that shows something of what was loaded, or None where we know of none."""
    charges = result.tables.get("charges")
    if result.destination != "duckdb" or not charges or not (charges.new or charges.changed or charges.unchanged):
        return None
    query = (
        f"select currency, count(*) as charges, sum(amount) as amount "
        f"from {result.dataset}.charges where paid and not _deleted group by all order by charges desc"
    )
    place = json.dumps(_here(result.location), ensure_ascii=False)
    # single quotes are left to the shell, so that no quote has to be escaped
    code = f'import duckdb; print(duckdb.connect({place}).sql("{query}"))'
    return _quoted(_program(sys.executable), "-c", code)


def show_check(console: Console, result: CheckResult) -> None:
    """What can be read and what cannot, and how to get a key that may read all of it."""
    mode = {True: "live", False: "test", None: "unknown"}[result.livemode]
    line(console, f"Account {result.account or 'unknown (the key may not read it)'}, {mode} mode")
    good = [name for name, table in result.tables.items() if table.status == "ok"]
    if good:
        _say(console, (f"Can be read, {_count(len(good), 'table')}: ", "bold green"), ", ".join(good))
    denied: dict[str, list[str]] = {}
    for name, table in result.tables.items():
        if table.status == "no permission":
            denied.setdefault(table.permission or "unnamed", []).append(name)
        elif table.status != "ok":
            _say(console, (f"{name}: {table.status}. ", "bold red"), table.reason)
    _show_denied(console, denied)
    for note in result.notes:
        _say(console, (note, "yellow"))
    if result.key_link:
        line(console, f"\nA key that may read all of these:\n  {result.key_link}")
    line(console, f"\n{_count(result.requests, 'request')}")


def show_tables(console: Console, tables: Iterable[dict[str, Any]]) -> None:
    """The catalogue."""
    grid = _grid("table", "what", "marker", "cost", "Striim")
    shown = list(tables)
    for table in shown:
        name = Text(table["name"], style="cyan") if table["default"] else Text(f"{table['name']} *", style="cyan")
        grid.add_row(name, *map(Text, (table["description"], table["marker"], table["cost"])),
                     Text(", ".join(table["striim"])))
    _print(console, grid)
    starred = any(not table["default"] for table in shown)
    line(console, f"\n{_count(len(shown), 'table')}{'; * only when asked for by name or pattern' if starred else ''}")


def show_schema(console: Console, schema: dict[str, Any]) -> None:
    """The columns of one table."""
    console.print(Text.assemble((schema["table"], "bold cyan"), f"  {schema['description']}"), soft_wrap=True)
    line(console, f"Key: {', '.join(schema['key'])}\n")
    grid = _grid("column", "type", "refers to", "description")
    for column in schema["columns"]:
        kind = column["type"] + ("" if column["nullable"] else " not null")
        grid.add_row(Text(column["name"], style="cyan"), kind, column["references"] or "", Text(column["description"]))
    _print(console, grid)
