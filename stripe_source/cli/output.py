"""Where commands print: consoles for results and messages, JSON, errors."""
from __future__ import annotations

import json
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 10_000  # columns where there is no terminal: a row of a table stays one line, for grep and the like


def stdout_console() -> Console:
    """The console of results."""
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    piped_width = int(columns) if columns.isdecimal() else 0
    return Console(width=None if sys.stdout.isatty() else piped_width or PIPED_WIDTH)


@lru_cache(maxsize=1)  # a live view and lines that are printed meanwhile do not disturb each other on one console
def stderr_console() -> Console:
    """The console of progress, messages and errors."""
    from rich.console import Console

    return Console(stderr=True)


def print_json(data: Any, indent: int | None = 2) -> None:
    """Print a result as JSON."""
    print(json.dumps(data, indent=indent, default=str), flush=True)


def print_error(message: str, word: str = "Error", style: str = "bold red") -> None:
    """Print an error, or another message that begins with a word."""
    from rich.text import Text

    stderr_console().print(Text.assemble((f"{word}: ", style), message), soft_wrap=True)
