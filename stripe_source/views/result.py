"""What came of making or dropping views."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class MadeView:
    """What became of one view.

    Args:
        name: of the view.
        kind: "view", or "table" where the rows of that moment were put into one.
        status: "made", "unchanged" or "dropped".
        missing_tables: native tables that the destination does not have; the view has nothing of them.
        missing_columns: columns that native tables lack there, as `table.column`; they are null.
        note: what a person should know, such as why it has no rows.
    """

    name: str
    kind: str
    status: str
    missing_tables: list[str] = field(default_factory=list)
    missing_columns: list[str] = field(default_factory=list)
    note: str = ""


@dataclass
class ViewsResult:
    """What came of making, or dropping, the views of a map.

    Args:
        map: its name.
        dataset: of the views.
        data: dataset of the native tables.
        destination: its name, as dlt knows it.
        location: where it is, without secrets.
        pipeline: name of the pipeline.
        views: what became of each.
        seconds: wall time.
    """

    map: str
    dataset: str
    data: str
    destination: str
    location: str
    pipeline: str
    views: list[MadeView] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0: done."""
        return 0

    @property
    def notes(self) -> list[str]:
        """What a person should know: the native tables that are not there, and which views have nothing of them."""
        users: dict[str, list[str]] = {}
        for view in self.views:
            for table in view.missing_tables:
                users.setdefault(table, []).append(view.name)
        return [f"`{table}` is not in dataset `{self.data}`: {', '.join(views)} "
                f"{'has' if len(views) == 1 else 'have'} nothing of it" for table, views in sorted(users.items())]

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "notes": self.notes, "exit_code": self.exit_code}
