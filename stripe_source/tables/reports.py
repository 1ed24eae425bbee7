"""Financial reports as tables: how they are called, what each is asked for, and by what its rows are replaced."""
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from stripe_source.tables.table import Report, Table

PREFIX = "report_"
PERMISSION = "rak_report_runs_and_report_types_read"  # documented as enough to make runs, too (checked 2026-11-30)
OBJECT = "reporting.report_run"
Bounds = Literal["interval", "end", "payout"]


def report_name(type: str) -> str:
    """The name of a report's table.

    >>> report_name("payouts.itemized.3")
    'report_payouts_itemized_3'
    """
    return PREFIX + type.replace(".", "_")


def report_table(report: Report, about: str) -> Table:
    """The entry of a report.

    Args:
        report: its type.
        about: one sentence for people.
    """
    return Table(
        report_name(report.type or ""), (OBJECT,), about, time=None, key=(), report=report, default=False,
        permission=PERMISSION, opt_in_reason="each interval is a report that Stripe makes, which takes minutes",
    )


def unknown_report(name: str) -> Table | None:
    """The entry of a report that this release does not know, by a name as a report has; None where it is no such name.

    >>> unknown_report("report_balance_summary_9").report
    Report(type=None, takes=None)
    """
    if not re.fullmatch(rf"{PREFIX}[a-z0-9]+(_[a-z0-9]+)*_\d+", name):
        return None
    return Table(
        name, (OBJECT,), "A report that this release has no columns of.", time=None, key=(), report=Report(None),
        default=False, permission=PERMISSION,
    )


def bounds_of(table: Table) -> Bounds:
    """What a report is asked for: an interval, the end of one, or a payout.

    All of Stripe's types tell it by their names (checked 2026-11-30).
    """
    if "_by_id_" in table.name:
        return "payout"
    return "end" if "ending_balance_" in table.name or "_overview_" in table.name else "interval"


def merge_key(table: Table) -> tuple[str, ...]:
    """The columns whose rows are replaced together, when a report is read again."""
    return "_account_id", "_payout_id" if bounds_of(table) == "payout" else "_interval_start"


def match_reports(pattern: str, tables: Iterable[Table]) -> list[Table]:
    """The reports that a name, or a pattern that begins with `report_`, means."""
    text = pattern.lower()
    if "%" not in text:
        return [table for table in tables if _plain(table.name) == _plain(text)]
    wanted = re.compile(".*".join(map(re.escape, re.split("%+", text))))
    return [table for table in tables if table.report and text.startswith(PREFIX) and wanted.fullmatch(table.name)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
