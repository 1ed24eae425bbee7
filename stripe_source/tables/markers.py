"""Which marker a table goes by."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from stripe_source.errors import UnknownMarker, UnknownTable
from stripe_source.tables.registry import TABLES
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Table

Marker = str | Mapping[str, str | None] | None
EVENTS_MARKER = "events"  # goes by the change feed
MARKERS = ("auto", EVENTS_MARKER, "created", "id", None)
_MARKER_NAMES = ("auto", EVENTS_MARKER, "created", "id", "none")


def marker_of(table: Table, marker: Marker = "auto") -> str | None:
    """The marker of a table: "events", "created", "id", "parents", or None (a full pass each time).

    A table whose objects are found with others goes by its parents' cursor ("parents") where they are asked to go by
    one: what belongs to the parents that are read is read.

    Args:
        table: the table.
        marker: "auto" (the registry's choice), "events", "created", "id", None, or a mapping of table patterns to
            these in which the most exact pattern wins, as in `{"customers": None, "%": "created"}`.

    Raises:
        UnknownMarker: the marker is none of these, or was asked of this very table, which cannot go by it.
    """
    named = False
    if isinstance(marker, Mapping):
        fitting = [pattern for pattern in marker if any(found is table for found in match_tables(pattern, [table]))]
        best = min(fitting, key=lambda pattern: (pattern.count("%"), -len(pattern)), default=None)
        marker, named = ("auto", False) if best is None else (marker[best], "%" not in best)
    if isinstance(marker, str):
        marker = marker.lower() or None
    if marker == "none":
        marker = None
    if marker not in MARKERS:
        raise UnknownMarker(marker, _MARKER_NAMES, table.name)
    if marker == "auto" or (marker == EVENTS_MARKER and not named):
        return table.marker
    if marker in ("created", "id") and not table.path:
        return "parents"
    timed = table.created and table.time is not None
    able = {
        None: True, EVENTS_MARKER: table.marker == EVENTS_MARKER, "created": timed,
        "id": bool(table.path) and not table.singleton,
    }[marker]
    if not able and named:
        raise UnknownMarker(marker, [name for name in _MARKER_NAMES if name != marker], table.name)
    return marker if able else None


def check_marker(marker: Marker, tables: Sequence[Table], known: Sequence[Table] = TABLES) -> dict[str, str | None]:
    """Resolve `marker` for each of these tables. A mapping may only name tables that exist."""
    if isinstance(marker, Mapping):
        for pattern in marker:
            if not match_tables(pattern, [*known, *tables]):
                raise UnknownTable(pattern, [table.name for table in known])
    return {table.name: marker_of(table, marker) for table in tables}
