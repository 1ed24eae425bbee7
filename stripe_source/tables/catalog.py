"""The catalog: what tables there are, and how each is loaded. It sends no request."""
from __future__ import annotations

from typing import Any

from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.placement import Placement
from stripe_source.tables.registry import TABLES, embedded_tables
from stripe_source.tables.reports import bounds_of, merge_key
from stripe_source.tables.selection import Tables, select_tables
from stripe_source.tables.table import Table


def updates_seen(table: Table) -> str:
    """How a table's later changes reach the destination."""
    if table.unsupported_reason:
        return "never loaded"
    if table.report:
        return "what is new, and what was not over when it was read"
    if table.marker == EVENTS_MARKER:
        watched = "; ".join(watch.reason for watch in table.watch)
        unwatched = f"; not at once: {table.changes_without_event}" if table.changes_without_event else ""
        return "change feed" + (f", and read beside it: {watched}" if watched else ", deletions included") + unwatched
    if table.marker == "created":
        lookback = table.lookback
        span = f"{lookback.days} days" if lookback.days else f"{int(lookback.total_seconds() // 60)} minutes"
        return f"new rows, and changes of the last {span}"
    deletions = "; rows stay when they leave the list" if table.deletions_unknown else ", deletions included"
    return ("read whole by each run" if table.singleton else "full pass by each run") + deletions


def cost(table: Table) -> str:
    """What the requests for a table grow with."""
    if table.unsupported_reason:
        return "none"
    if table.report:
        return "one report run per " + ("payout" if bounds_of(table) == "payout" else "month or day")
    if table.fan_out:
        return table.fan_out
    if table.singleton:
        return "one request"
    return "one request per 100 objects" if table.path else "comes with its parents' pages"


def _place(placement: Placement) -> str:
    return placement.child_path or f"{placement.parent}.{placement.at}"


def list_tables(names: Tables = None, exclude: Tables = None) -> list[dict[str, Any]]:
    """The tables that names or patterns mean; all of them without names.

    Returns:
        For each: name, description, where it is read, key, marker, how changes are seen, whether it is in the default
        selection, what its requests grow with, whose rows Stripe embeds in its objects, which rows no list of Stripe's
        shows, permission of a restricted key, and Striim's name.

    Raises:
        UnknownTable: a name means no table.
    """
    return [
        {
            "name": table.name,
            "description": table.about,
            "path": table.path or ", ".join(dict.fromkeys(map(_place, table.placements))),
            "parents": list(dict.fromkeys(placement.parent for placement in table.placements)),
            "key": [*merge_key(table)] if table.report else ["_account_id", *table.key],
            "marker": table.marker or "none",
            "updates": updates_seen(table),
            "default": table.default,
            "cost": cost(table),
            "why_not_default": None if table.default else table.opt_in_reason or table.fan_out,
            "embeds": list(embedded_tables(table.name)),
            "hidden": table.invisible_rows,
            "permission": table.permission,
            "striim": list(alias for alias in table.aliases if alias[:1].isupper()),
        }
        for table in select_tables("%" if names is None else names, exclude, TABLES)
    ]


def markdown() -> str:
    """The catalog as a page of the documentation."""
    lines = [
        "# Tables", "",
        f"All {len(TABLES)} tables, made from the registry by `python -m stripe_source.codegen`.",
        "A table that is not in the default selection is loaded when it is asked for by name or pattern. What is in no",
        "list cannot be loaded; what goes after it was loaded stays, flagged.", "",
        "Lists that Stripe embeds in the objects of a table are rows of another one, and not of its own: select both.",
        "The default selection has both, and a run that loads one without the other says so. Objects of a kind that no",
        "table is for are rows of the table whose list they are in; the run names them.", "",
        "| table | what | key | found | changes | requests | embeds | in no list | permission | Striim | default |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for table in list_tables():
        cells = [
            f"`{table['name']}`", table["description"], ", ".join(table["key"]), f"`{table['path']}`", table["updates"],
            table["cost"], ", ".join(f"`{name}`" for name in table["embeds"]), table["hidden"] or "",
            f"`{table['permission']}`" if table["permission"] else "",
            ", ".join(table["striim"]), "yes" if table["default"] else f"no: {table['why_not_default']}",
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

