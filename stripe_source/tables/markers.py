"""The marker of each table: what tells a run from where on to read it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from stripe_source.errors import UnknownMarker, UnknownTable
from stripe_source.tables.registry import TABLES
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Table

Marker = str | Mapping[str, str | None] | None
EVENTS_MARKER = "events"  # changes come from the change feed
MARKERS = ("auto", EVENTS_MARKER, "created", "id", None)
_MARKER_NAMES = ("auto", EVENTS_MARKER, "created", "id", "none")


def marker_of(table: Table, marker: Marker = "auto") -> str | None:
    """The marker of a table: "events", "created", "id", "parents", or None (a full pass each time).

    With "created" or "id", a table whose objects are found with those of others has the marker "parents": a run reads
    what belongs to the parents that it reads.

    Args:
        table: the table.
        marker: "auto" (the registry's choice), "events", "created", "id", None, or a mapping of table patterns to
            these in which the most exact pattern wins, as in `{"customers": None, "%": "created"}`.

    Raises:
        UnknownMarker: the marker is none of these, or the mapping names this very table, which cannot have it.
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
    possible = {
        None: True, EVENTS_MARKER: table.marker == EVENTS_MARKER, "created": timed,
        "id": bool(table.path) and not table.singleton,
    }[marker]
    if not possible and named:
        raise UnknownMarker(marker, [name for name in _MARKER_NAMES if name != marker], table.name)
    return marker if possible else None


def check_marker(marker: Marker, tables: Sequence[Table], known: Sequence[Table] = TABLES) -> dict[str, str | None]:
    """Resolve `marker` for each of these tables. A mapping may only name tables that exist."""
    if isinstance(marker, Mapping):
        for pattern in marker:
            if not match_tables(pattern, [*known, *tables]):
                raise UnknownTable(pattern, [table.name for table in known])
    return {table.name: marker_of(table, marker) for table in tables}
