"""Prints what the actions of `views` answer."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, local_path, make_grid, print_plain, say

if TYPE_CHECKING:
    from stripe_source.views.result import ViewsResult


def show_result(console: Console, result: ViewsResult) -> None:
    """Print what became of the views of a map, and what they have nothing of."""
    numbers = Counter((view.kind, view.status) for view in result.views)
    counts = ", ".join(f"{count_of(number, kind)} {status}" for (kind, status), number in sorted(numbers.items()))
    print_plain(console, Text(f"{result.map}: {counts}", style="bold green"))
    line(console, f"Dataset {result.dataset} in {local_path(result.location)}, beside {result.data}")
    for note in result.notes:
        say(console, (note, "yellow"))
    notes = Counter(view.note for view in result.views if view.note and view.status != "dropped")
    for note, number in notes.items():
        names = [view.name for view in result.views if view.note == note]
        say(console, f"{names[0] if number == 1 else count_of(number, 'view')}: {note}")


def show_declared(console: Console, shown: Sequence[Mapping[str, Any]]) -> None:
    """Print the columns of views, with where their values come from."""
    for number, view in enumerate(shown):
        if number:
            console.print()
        console.print(Text.assemble((view["view"], "bold cyan"), f"  {view['description']}"), soft_wrap=True)
        if view["note"]:
            line(console, view["note"])
        if view["there"]:
            line(console, f"There, as a {view['there']}")
        grid = make_grid("column", "type", "value", "note")
        for column in view["columns"]:
            value = column["value"] or "null"
            grid.add_row(Text(column["name"], style="cyan"), column["type"], Text(" ".join(value.split())),
                         Text(column["missing"] or column["note"]))
        print_plain(console, grid)
