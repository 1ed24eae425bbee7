"""What all views print with: grids, running text, numbers, names of programs and files."""
from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

TEXT_WIDTH = 120  # columns of running text where no terminal says how many there are
VALUE_WIDTH = 60  # characters of a value that are shown


def make_grid(*columns: str, right: Sequence[str] = ()) -> Grid:
    """A grid without lines; columns in `right` are aligned to the right."""
    grid = Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=bool(columns))
    for column in columns:
        grid.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return grid


def print_plain(console: Console, what: Grid | Text, width: int | None = None) -> None:
    """Print without the blanks with which rich fills lines: they do not belong in files and pipes."""
    if console.is_terminal:
        console.print(what, width=width)
        return
    with console.capture() as captured:
        console.print(what, width=width)
    for line in captured.get().splitlines():
        console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def say(console: Console, *parts: str | tuple[str, str]) -> None:
    """Print an empty line, and running text, wrapped."""
    console.print()
    print_plain(console, Text.assemble(*parts), width=min(console.width, TEXT_WIDTH))


def count_of(number: int, what: str) -> str:
    """A number and its noun: `1 table`, `1,200 rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def line(console: Console, text: str) -> None:
    """Print a text as it is, neither wrapped nor coloured, so that it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def permission_text(reason: str) -> str:
    """The permission that Stripe asked for, as far as it named one."""
    named = re.search(r"\brak_[a-z0-9_]+", reason)
    return named.group() if named else "unnamed"


def show_denied(console: Console, denied: Mapping[str, Sequence[str]]) -> None:
    """Print the tables that the key may not read, by the permission that it lacks."""
    if denied:
        number = sum(map(len, denied.values()))
        say(console, (f"No permission for {count_of(number, 'table')}:", "bold red"))
        grid = make_grid()
        for permission, names in sorted(denied.items()):
            grid.add_row(Text(f"  {permission}"), Text(", ".join(names), style="cyan"))
        print_plain(console, grid)


def local_path(location: str) -> str:
    """A path relative to this folder where it is inside of it; anything else stays as it is."""
    try:
        return str(Path(location).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return location


def quoted(*words: str) -> str:
    """A command in the quotes that the shell of this machine needs."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def program_name(path: str) -> str:
    """How to call a program from this folder: by its name where the shell finds it by that."""
    name = Path(path).name
    found = shutil.which(name)
    if found and os.path.abspath(found) == os.path.abspath(path):
        return name
    return local_path(os.path.abspath(path))


def command() -> str:
    """How to call us again from this folder."""
    called = Path(sys.argv[0])
    if called.stem == "stripe-source" and called.exists():
        return quoted(program_name(str(called)))
    return "stripe-source"


def short_value(value: Any) -> str:
    """A value as JSON, cut after `VALUE_WIDTH` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_WIDTH else f"{text[:VALUE_WIDTH]}…"
