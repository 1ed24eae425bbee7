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
from collections import deque
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
    from stripe_source.backfill import Coverage
    from stripe_source.budget import Budget
    from stripe_source.checks import CheckResult
    from stripe_source.loop import SyncResult
    from stripe_source.money import MoneyProof
    from stripe_source.proof import TableProof, VerifyResult
    from stripe_source.run import TableResult

BUSY = 8  # tables in the live view
MANY = 20  # more names than this are not read
WIDE = 120  # columns of running text where no terminal says how many there are
SHOWN = 20  # differences of one table that are shown
LONG = 60  # characters of a value that are shown
QUIET = 10.0  # seconds between plain lines
WINDOW = 30.0  # seconds over which the speed is measured


class _Counts:
    """What both kinds of progress count: objects, how fast they come, how far the tables are, and when that is all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, int] = {}
        self._latest: dict[str, float] = {}
        self._covered: dict[str, Coverage] = {}
        self._all = 0
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def tables(self, names: list[str]) -> None:
        self._all = len(names)

    def page(self, table: str, objects: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._objects[table] = self._objects.get(table, 0) + objects
            self._latest[table] = now
            if now - self._recent[-1][0] >= 0.5:
                self._recent.append((now, sum(self._objects.values())))
                while now - self._recent[0][0] > WINDOW and len(self._recent) > 2:
                    self._recent.popleft()
            self._paged(now)

    def covered(self, table: str, coverage: Coverage) -> None:
        with self._lock:
            self._covered[table] = coverage

    def _paged(self, now: float) -> None:
        """Something was read."""

    def _speed(self) -> float:
        """Objects a second, over the last half minute."""
        (then, before), (now, total) = self._recent[0], (time.monotonic(), sum(self._objects.values()))
        return (total - before) / max(now - then, 0.001)

    def _ahead(self) -> str:
        """How far the tables are and how long the rest will take, as far as that is known."""
        known = [each.left for each in self._covered.values()]
        left, speed = sum(each or 0 for each in known), self._speed()
        if not left or None in known or speed <= 0:
            return ""
        total = sum(self._objects.get(name, 0) for name in self._covered)
        return f", {total / (total + left):.0%}, {_duration(left / speed)} left"


class Lines(_Counts):
    """Progress as plain lines, for logs and pipes: one when a phase begins, and one every ten seconds."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._said = time.monotonic()
        self._seen: set[str] = set()

    def phase(self, name: str) -> None:
        with self._lock:
            if name == "preparing":
                self._console.print(f"Preparing {_count(self._all, 'table')}", highlight=False)
            elif name in ("reading", "loading") and name not in self._seen:
                if name == "loading":
                    self._say()
                self._console.print(name.capitalize(), highlight=False)
            self._seen.add(name)

    def _paged(self, now: float) -> None:
        if now - self._said >= QUIET:
            self._say(self._ahead())

    def _say(self, ahead: str = "") -> None:
        self._said = time.monotonic()
        total = sum(self._objects.values())
        what = f"Read {_count(total, 'object')} of {_count(len(self._objects), 'table')}{ahead}"
        self._console.print(what, highlight=False)


class Board(_Counts):
    """Progress on a terminal: the phase, the speed, the time left, and the tables that are coming in."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._phase = "preparing"
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=10, transient=True)

    def phase(self, name: str) -> None:
        begins = name == "preparing"
        self._phase = name
        if begins:
            self._live.start()
        elif name == "done":
            self._live.stop()

    def _picture(self) -> Group:
        with self._lock:
            objects, latest, covered = dict(self._objects), dict(self._latest), dict(self._covered)
            speed, ahead = self._speed(), self._ahead()
        word = {"preparing": "Preparing", "reading": "Reading", "loading": "Loading"}.get(self._phase, "")
        self._spinner.update(text=Text.assemble(
            (f"{word} ", "bold"),
            f"{len(objects)} of {_count(self._all, 'table')}, {_count(sum(objects.values()), 'object')}, "
            f"{speed:,.0f}/s{ahead}",
        ))
        busy = sorted(latest, key=lambda name: latest[name], reverse=True)[:BUSY] if self._phase != "preparing" else []
        grid = Grid.grid(padding=(0, 2))
        for name in busy:
            known = covered.get(name)
            share = f"  {known.share:>4.0%}" if known and known.left else ""
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
        if table.discarded:
            _say(console, (f"{name}: {_count(table.discarded, 'row')} discarded by the schema contract, because of "
                           f"{', '.join(table.left_out)}", "yellow"))
        elif table.left_out:
            left = ", ".join(f"{field} ({count:,})" for field, count in table.left_out.items())
            _say(console, (f"{name}: values left out by the schema contract: {left}", "yellow"))
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
    hidden = sum(table.status == "ok" and table.hidden is not None for table in result.tables.values())
    if hidden and result.livemode is not False:  # test data, as those of the demo, are compared with nothing
        _say(console, (f"{_count(hidden, 'table')} may have rows that no list of Stripe's shows; "
                       f"`{command()} check` says which", "dim"))


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
    good = {name: table for name, table in result.tables.items() if table.status == "ok"}
    if good:
        _say(console, (f"Can be read, {_count(len(good), 'table')}:", "bold green"))
        grid = _grid("table", "requests", "in no list, so not loaded", right=["requests"])
        about = "≈" if console.encoding.startswith("utf") else "~"
        for name, table in good.items():
            number = "?" if table.requests is None else f"{about if table.estimated else ''}{table.requests:,}"
            grid.add_row(Text(name, style="cyan"), number, Text(table.hidden or "", style="dim"))
        _print(console, grid)
        _show_budget(console, result.budget)
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
    line(console, f"\nThis took {_count(result.requests, 'request')}")


def _show_budget(console: Console, budget: Budget) -> None:
    """What the first load of all that can be read takes; lists that tables share are counted once in it."""
    how = "at least " if budget.unknown else "about " if budget.estimated else ""
    long = "" if budget.seconds is None else f", at least {_time(budget.seconds)} at this rate"
    _say(console, "All of them, what they share counted once: ",
         (f"{how}{_count(budget.requests or 0, 'request')}{long}", "bold"))
    if budget.unknown:
        _say(console, (f"One page does not tell how long these lists are: {', '.join(budget.unknown)}", "yellow"))


def _time(seconds: float) -> str:
    """A duration in the unit that one would say it in.

    >>> _time(496)
    '8 minutes'
    """
    for unit, size in (("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return _count(round(seconds / size), unit)
    return _count(max(round(seconds), 1), "second")


def show_verify(console: Console, result: VerifyResult) -> None:
    """What differs, by table and month and one by one; whether the money adds up; what could not be verified."""
    if result.before:
        show_verify(console, result.before)
        _say(console, (f"Repaired {_count(sum((result.repaired or {}).values()), 'row')} of "
                       f"{', '.join(result.repaired or ())}. Verified again:", "bold"))
    compared = {name: table for name, table in result.tables.items() if table.status == "ok"}
    differing = {name: table for name, table in compared.items() if table.differences}
    if differing:
        _show_differing(console, compared, differing)
    for name, table in result.tables.items():
        if table.status in ("ok", "not enabled", "not loaded"):
            if table.reason:
                _say(console, (f"{name}: {table.reason}", "dim"))
        else:
            _say(console, (f"{name} could not be verified: {table.status}. ", "bold red"), table.reason)
    _show_money(console, result.money)
    for note in result.notes:
        _say(console, (note, "yellow"))
    sampled = f", a sample (--seed {result.seed})" if result.seed is not None else ""
    number = sum(table.stripe for table in compared.values())
    rows = f"{_count(number, 'row')} in {_count(len(compared), 'table')}{sampled}"
    late = sum(table.late for table in compared.values())
    if result.differing:
        _say(console, (f"Not equal: {_count(result.differing, 'difference')}; {rows} compared", "bold red"))
    elif compared:
        after = f", but for {_count(late, 'row')} that the next run brings" if late else ""
        _say(console, (f"Equal{after}: {rows} compared", "bold green"))
    if late:
        line(console, "Not loaded yet is what came about after the last load; `--settled` does not count it.")
    line(console, f"{_count(result.requests, 'request')}, {result.seconds:.1f} s; account {result.account}, "
                  f"{result.destination}, dataset {result.dataset}")


def _show_differing(
    console: Console, compared: Mapping[str, TableProof], differing: Mapping[str, TableProof]
) -> None:
    words = "missing", "extra", "altered", "late"
    titles = "in Stripe", "in destination", *words[:3], "not loaded yet"
    grid = _grid("table", *titles, right=titles)
    for name, table in differing.items():
        counts = [f"{table.stripe:,}", f"{table.destination:,}"]
        counts += [f"{number:,}" if (number := getattr(table, word)) else "" for word in words]
        grid.add_row(Text(name, style="cyan"), *counts)
    if rest := [table for name, table in compared.items() if name not in differing]:
        both = [f"{sum(getattr(table, side) for table in rest):,}" for side in ("stripe", "destination")]
        grid.add_row(Text(f"{_count(len(rest), 'other table')}", style="cyan"), *both)
    _print(console, grid)
    for name, table in differing.items():
        months = [window for window in table.windows if window.differing]
        where = "; ".join(f"{window.window} {window.differing:,}" for window in months if window.window != "all")
        _say(console, (name, "bold cyan"), f"  created in {where}" if where else "")
        for each in table.differences[:SHOWN]:
            key = ", ".join(str(value) for value in each.key.values()) or "the only row"
            values = f"{_short(each.destination)} instead of {_short(each.stripe)}"
            notes = [each.note, "not loaded yet" if each.late else ""]
            more = "".join(f" ({note})" for note in notes if note)
            line(console, f"  {key}  {f'{each.column}: {values}' if each.column else each.kind}{more}")
        if table.capped or len(table.differences) > SHOWN:
            more_ = len(table.differences) - SHOWN
            line(console, f"  and {more_:,} more{', and others' if table.capped else ''}; --json has them")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def _show_money(console: Console, money: MoneyProof) -> None:
    wrong = [part for part in money.balance if not part.equal]
    for part in wrong:
        kind = "" if part.balance_type == "payments" else f" {part.balance_type}"
        _say(console, (f"The {part.status}{kind} balance in {part.currency} is {part.balance:,}, and the transactions "
                       f"in the destination sum up to {part.transactions:,}"
                       f"{'; not loaded yet' if part.late else ''}", "bold red"))
    for payout in money.payouts[:SHOWN]:
        _say(console, (f"Payout {payout.id}: {payout.amount:,} {payout.currency} were paid out, {payout.swept:,} swept "
                       f"in {_count(payout.transactions, 'transaction')}: {payout.reason}", "bold red"))
    if len(money.payouts) > SHOWN:
        line(console, f"and {len(money.payouts) - SHOWN:,} more payouts; --json has them")
    good = []
    if money.balance and not wrong:
        good.append("balance_transactions sum up to the balance")
    if money.payouts_checked and not money.payouts:
        good.append(f"{_count(money.payouts_checked, 'automatic payout')} to what they swept")
    if good:
        _say(console, (f"Money: {', and '.join(good)}", "green"))
    for what, why in (("The balance", money.balance_skipped), ("Payouts", money.payouts_skipped)):
        if why:
            _say(console, (f"{what} not added up: {why}", "dim"))
    if money.payouts_open:
        _say(console, (f"{_count(money.payouts_open, 'payout')} not told by Stripe yet what they swept", "dim"))
    for text in money.unproven:
        _say(console, (f"Not proven: {text}", "yellow"))


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
