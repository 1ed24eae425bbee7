"""What the commands show a person: progress while a run goes on, and tables of what came of it."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

if TYPE_CHECKING:
    from stripe_source.checks import CheckResult
    from stripe_source.loop import SyncResult

BUSY = 8  # tables in the live view
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
                self._console.print(f"Preparing {self._all} tables", highlight=False)
            elif name == "reading":
                self._console.print("Reading", highlight=False)
            elif name == "loading":
                self._say()
                self._console.print("Loading", highlight=False)

    def _say(self) -> None:
        self._said = time.monotonic()
        total = sum(self._objects.values())
        self._console.print(f"Read {total:,} objects of {len(self._objects)} tables", highlight=False)


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
    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return grid


def show_sync(console: Console, result: SyncResult) -> None:
    """The end of a run: rows per table, what failed and why, what it cost, and where the data is."""
    grid = _grid("table", "new", "changed", "gone", "unchanged", right=("new", "changed", "gone", "unchanged"))
    empty = []
    for name, table in result.tables.items():
        counts = (table.new, table.changed, table.gone, table.unchanged)
        if table.status != "ok":
            continue
        if any(counts):
            grid.add_row(Text(name, style="cyan"), *(f"{count:,}" if count else "" for count in counts))
        else:
            empty.append(name)
    totals = [sum(getattr(t, word) for t in result.tables.values()) for word in ("new", "changed", "gone", "unchanged")]
    grid.add_row("", *("" for _ in totals))
    grid.add_row(Text("all tables", style="bold"), *(Text(f"{total:,}", style="bold") for total in totals))
    console.print(grid)
    if empty:
        console.print(Text(f"\nNo rows at Stripe: {', '.join(empty)}", style="dim"))
    for name, table in result.failed.items():
        console.print(Text.assemble((f"\n{name}: {table.status}. ", "bold red"), table.reason))
    inferred = {name: table.inferred for name, table in result.tables.items() if table.inferred}
    for name, columns in inferred.items():
        console.print(Text(f"\n{name}: Stripe sends fields that the schema map does not know yet; loaded as "
                           f"{', '.join(columns)}", style="yellow"))
    for note in result.notes:
        console.print(Text(f"\n{note}", style="yellow"))
    figures, mode = result.figures, {True: "live", False: "test", None: "unknown"}[result.livemode]
    console.print(
        f"\n{figures.requests:,} requests, {figures.bytes / 1e6:,.1f} MB of JSON, {result.seconds:.1f} s; "
        f"account {result.account}, {mode} mode", highlight=False, soft_wrap=True,
    )
    console.print(f"Data: {result.location}, dataset {result.dataset}", highlight=False, soft_wrap=True)
    if result.destination == "duckdb" and "charges" in result.tables:
        console.print("\nTry it:", highlight=False)
        console.print(f"  {try_it(result)}", highlight=False, soft_wrap=True, markup=False)


def try_it(result: SyncResult) -> str:
    """A command that shows something of what was loaded."""
    query = (
        f"select date_trunc('month', created) as month, currency, count(*) as charges, sum(amount) as amount "
        f"from {result.dataset}.charges where paid group by all order by month desc limit 6"
    )
    return f'python -c "import duckdb; print(duckdb.connect({result.location!r}).sql(\\"{query}\\"))"'


def show_check(console: Console, result: CheckResult) -> None:
    """A verdict per table, and how to get a key that may read all of them."""
    mode = {True: "live", False: "test", None: "unknown"}[result.livemode]
    console.print(f"Account {result.account or 'unknown (the key may not read it)'}, {mode} mode", highlight=False)
    grid = _grid("table", "verdict", "permission", "why")
    for name, table in result.tables.items():
        colour = "green" if table.status == "ok" else "red"
        grid.add_row(
            Text(name, style="cyan"), Text(table.status, style=colour), table.permission or "", Text(table.reason)
        )
    console.print(grid)
    for note in result.notes:
        console.print(Text(note, style="yellow"))
    if result.key_link:
        console.print("\nA key that may read all of these:", highlight=False)
        console.print(result.key_link, highlight=False, soft_wrap=True, markup=False)
    console.print(f"\n{result.requests} requests", highlight=False)


def show_tables(console: Console, tables: Iterable[dict[str, Any]]) -> None:
    """The catalogue."""
    grid = _grid("table", "what", "marker", "cost", "Striim")
    shown = list(tables)
    for table in shown:
        name = Text(table["name"], style="cyan") if table["default"] else Text(f"{table['name']} *", style="cyan")
        grid.add_row(name, table["description"], table["marker"], table["cost"], ", ".join(table["striim"]))
    console.print(grid)
    console.print(f"\n{len(shown)} tables; * only when asked for by name or pattern", highlight=False)


def show_schema(console: Console, schema: dict[str, Any]) -> None:
    """The columns of one table."""
    console.print(Text.assemble((schema["table"], "bold cyan"), f"  {schema['description']}"))
    console.print(f"Key: {', '.join(schema['key'])}", highlight=False)
    grid = _grid("column", "type", "refers to", "description")
    for column in schema["columns"]:
        kind = column["type"] + ("" if column["nullable"] else " not null")
        grid.add_row(Text(column["name"], style="cyan"), kind, column["references"] or "", Text(column["description"]))
    console.print(grid)
