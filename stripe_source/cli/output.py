"""Where commands print: consoles for results and messages, JSON, errors."""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from stripe_source.redaction import without_controls

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 10_000  # columns where there is no terminal: a row of a table stays one line, for grep and the like


class _Clean:
    """Renders something without the control characters in its texts, which may come from Stripe."""

    def __init__(self, what: Any) -> None:
        self._what = what

    def __rich_console__(self, console: Console, options: Any) -> Iterator[Any]:
        from rich.segment import Segment

        for segment in console.render(self._what, options):
            yield segment if segment.control else Segment(without_controls(segment.text), segment.style)


class _CleanHook:
    """rich's way to look at all that a console prints."""

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        return [_Clean(each) for each in renderables]


def _console(**options: Any) -> Console:
    from rich.console import Console

    console = Console(**options)
    console.push_render_hook(_CleanHook())  # type: ignore[arg-type]  # an abstract class that would be imported for it
    return console


def stdout_console() -> Console:
    """The console of results."""
    columns = os.environ.get("COLUMNS", "")
    piped_width = int(columns) if columns.isdecimal() else 0
    return _console(width=None if sys.stdout.isatty() else piped_width or PIPED_WIDTH)


@lru_cache(maxsize=1)  # a live view and lines that are printed meanwhile do not disturb each other on one console
def stderr_console() -> Console:
    """The console of progress, messages and errors."""
    return _console(stderr=True)


def print_json(data: Any, indent: int | None = 2, file: IO[str] | None = None) -> None:
    """Print a result as JSON; on standard output, unless something else has that."""
    print(json.dumps(data, indent=indent, default=str), flush=True, file=file)


def print_error(message: str, word: str = "Error", style: str = "bold red") -> None:
    """Print an error, or another message that begins with a word."""
    from rich.text import Text

    stderr_console().print(Text.assemble((f"{word}: ", style), message), soft_wrap=True)
