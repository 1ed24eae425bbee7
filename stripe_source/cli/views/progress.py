"""Progress of a run: a live board on a terminal, plain lines elsewhere."""
from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table as Grid
from rich.text import Text

from stripe_source.cli.views.console import count_of

if TYPE_CHECKING:
    from stripe_source.extract.backfill.spans import BackfillProgress

TABLES_SHOWN = 8  # in the live view
SECONDS_BETWEEN_LINES = 10.0
SPEED_WINDOW = 30.0  # seconds over which the speed is measured


class _Counts:
    """What both kinds of progress count: objects, their speed, how far each table is, and the time left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, int] = {}
        self._last_page: dict[str, float] = {}
        self._covered: dict[str, BackfillProgress] = {}
        self._table_count = 0
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def tables(self, names: list[str]) -> None:
        self._table_count = len(names)

    def page(self, table: str, objects: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._objects[table] = self._objects.get(table, 0) + objects
            self._last_page[table] = now
            if now - self._recent[-1][0] >= 0.5:
                self._recent.append((now, sum(self._objects.values())))
                while now - self._recent[0][0] > SPEED_WINDOW and len(self._recent) > 2:
                    self._recent.popleft()
            self._on_page(now)

    def covered(self, table: str, progress: BackfillProgress) -> None:
        with self._lock:
            self._covered[table] = progress

    def _on_page(self, now: float) -> None:
        """A page was read."""

    def _speed(self) -> float:
        """Objects a second, over `SPEED_WINDOW`."""
        (then, before), (now, total) = self._recent[0], (time.monotonic(), sum(self._objects.values()))
        return (total - before) / max(now - then, 0.001)

    def _time_left(self) -> str:
        """The share that is read and the time left, as text; "" where that is not known."""
        left_of_tables = [each.left for each in self._covered.values()]
        left, speed = sum(each or 0 for each in left_of_tables), self._speed()
        if not left or None in left_of_tables or speed <= 0:
            return ""
        total = sum(self._objects.get(name, 0) for name in self._covered)
        return f", {total / (total + left):.0%}, {_duration(left / speed)} left"


class Lines(_Counts):
    """Progress as plain lines, for logs and pipes: one when a phase begins, and one every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last_line = time.monotonic()
        self._phases: set[str] = set()

    def phase(self, name: str) -> None:
        with self._lock:
            if name == "preparing":
                self._console.print(f"Preparing {count_of(self._table_count, 'table')}", highlight=False)
            elif name in ("reading", "loading") and name not in self._phases:
                if name == "loading":
                    self._print_line()
                self._console.print(name.capitalize(), highlight=False)
            self._phases.add(name)

    def _on_page(self, now: float) -> None:
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._print_line(self._time_left())

    def _print_line(self, time_left: str = "") -> None:
        self._last_line = time.monotonic()
        total = sum(self._objects.values())
        what = f"Read {count_of(total, 'object')} of {count_of(len(self._objects), 'table')}{time_left}"
        self._console.print(what, highlight=False)


class Board(_Counts):
    """Progress on a terminal: the phase, the speed, the time left, and the tables that are being read."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._phase = "preparing"
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=10, transient=True)

    def phase(self, name: str) -> None:
        self._phase = name
        if name == "preparing":
            self._live.start()
        elif name == "done":
            self._live.stop()

    def _render(self) -> Group:
        with self._lock:
            objects, last_page, covered = dict(self._objects), dict(self._last_page), dict(self._covered)
            speed, time_left = self._speed(), self._time_left()
        word = {"preparing": "Preparing", "reading": "Reading", "loading": "Loading"}.get(self._phase, "")
        self._spinner.update(text=Text.assemble(
            (f"{word} ", "bold"),
            f"{len(objects)} of {count_of(self._table_count, 'table')}, {count_of(sum(objects.values()), 'object')}, "
            f"{speed:,.0f}/s{time_left}",
        ))
        newest_first = sorted(last_page, key=lambda name: last_page[name], reverse=True)
        grid = Grid.grid(padding=(0, 2))
        for name in newest_first[:TABLES_SHOWN] if self._phase != "preparing" else ():
            progress = covered.get(name)
            share = f"  {progress.share:>4.0%}" if progress and progress.left else ""
            grid.add_row(Text(f"  {name}", style="cyan"), Text(f"{objects[name]:>9,}{share}"))
        return Group(self._spinner, grid)


def _duration(seconds: float) -> str:
    """A duration as a person says it: `8 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def progress_for(console: Console) -> Lines | Board:
    """A live view where there is a terminal, plain lines elsewhere."""
    return Board(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)
