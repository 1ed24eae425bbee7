"""What the first load of financial reports takes: a report run for each interval, as far as Stripe has data."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stripe_source.api.client import Client
from stripe_source.errors import StripeError
from stripe_source.extract.reports.intervals import intervals
from stripe_source.extract.reports.reader import LIVE_MODE_ONLY, NO_SUCH_TYPE, RUNS_AT_A_TIME
from stripe_source.extract.reports.runs import ReportRuns
from stripe_source.extract.verdicts import verdict_for
from stripe_source.options import Options
from stripe_source.preflight.probe import TableCheck
from stripe_source.tables.catalog import cost
from stripe_source.tables.reports import bounds_of, report_name
from stripe_source.tables.table import Table

REQUESTS_OF_A_RUN = 6  # it is created, asked for some times, and its file is read


async def check_reports(client: Client, options: Options) -> tuple[dict[str, TableCheck], list[str]]:
    """Find out which of the selected reports Stripe makes, and how many report runs they take.

    It asks for the list of report types and makes no report, so that the permission for runs is not tried.

    Args:
        client: open.
        options: of the source.

    Returns:
        A verdict for each report, and what a person should know.
    """
    checks = {table.name: TableCheck(permission=table.permission, cost=cost(table)) for table in options.reports}
    if not checks:
        return {}, []
    types: dict[str, dict[str, Any]] = {}
    failed = None
    if options.credentials.livemode is False:
        failed = "not loaded", LIVE_MODE_ONLY
    else:
        try:
            types = await ReportRuns(client).types()
        except StripeError as error:
            verdict = verdict_for(error)
            failed = verdict.status, verdict.reason
    known = {report_name(id): words for id, words in types.items()}
    total = 0
    for table in options.reports:
        check = checks[table.name]
        if failed:
            check.status, check.reason = failed
        elif table.name not in known:
            check.status, check.reason = "not enabled", NO_SUCH_TYPE
        elif (runs := _runs(table, known[table.name], options)) is not None:
            check.requests, check.estimated = runs * REQUESTS_OF_A_RUN, True
            check.cost = f"{runs} report run{'s' if runs != 1 else ''}"
            total += runs
    return checks, [] if not total else [
        f"Reports take {total} report runs, besides those by payout. Stripe needs minutes for each, and works on "
        f"{RUNS_AT_A_TIME} at a time; their requests are not in the sum."
    ]


def _runs(table: Table, type: Mapping[str, Any], options: Options) -> int | None:
    """How many report runs a first load takes; None where that is known only by the payouts."""
    if bounds_of(table) == "payout":
        return None
    data = int(type.get("data_available_start") or 0), int(type.get("data_available_end") or 0)
    return len(list(intervals(options.report_options.interval, data, options.start, options.end)))
