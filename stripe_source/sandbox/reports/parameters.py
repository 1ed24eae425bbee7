"""Parameters of a report run: what Stripe refuses, and the checked values."""
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from stripe_source.sandbox.reports.catalog import REPORTING_CATEGORIES, Parameters, ReportType
from stripe_source.sandbox.reports.report_types import available_end, available_start
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.requests import Refusal

_TIMES = ("interval_start", "interval_end")
_SEPARATORS = (".", ",")


def check(books: Books, params: dict[str, Any]) -> tuple[ReportType, Parameters]:
    """Return the report type and the parameters of a request for a run; raise the refusal that Stripe answers.

    The codes and texts of the refusals are guesses; Stripe's reference names the conditions (checked 2026-11-30).
    """
    for name in params:
        if name not in ("report_type", "parameters"):
            raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
    id = params.get("report_type")
    if not id:
        raise Refusal(400, "Missing required param: report_type.", code="parameter_missing", param="report_type")
    report = books.world.reports.find_type(id) if isinstance(id, str) else None
    if report is None:
        raise Refusal(400, f"No such report type: '{id}'", code="resource_missing", param="report_type")
    if not books.world.livemode:
        raise Refusal(400, f"The report type '{id}' can only be run on live mode data. Use a live mode API key.",
                      param="report_type")
    given = params.get("parameters") or {}
    if not isinstance(given, dict):
        raise Refusal(400, "Invalid hash: parameters", code="parameter_invalid_hash", param="parameters")
    known = {*report.required, *report.optional}
    for name in given:
        if name not in known:
            raise Refusal(400, f"Received unknown parameter: parameters[{name}]", code="parameter_unknown",
                          param=f"parameters[{name}]")
    for name in report.required:
        if given.get(name) in (None, ""):
            raise Refusal(400, f"Missing required param: parameters[{name}].", code="parameter_missing",
                          param=f"parameters[{name}]")
    parameters = {name: value for name, value in given.items() if value != ""}
    _check_interval(books, parameters)
    _check_values(report, parameters)
    if "payout" in parameters:
        _check_payout(books, parameters["payout"])
    return report, parameters


def _check_interval(books: Books, parameters: Parameters) -> None:
    """Turn the times into integers; refuse those outside of what is available."""
    first, last = available_start(books), available_end(books)
    for name in _TIMES:
        if name not in parameters:
            continue
        param = f"parameters[{name}]"
        try:
            moment = parameters[name] = int(parameters[name])
        except (TypeError, ValueError):
            raise Refusal(400, f"Invalid integer: {parameters[name]}", code="parameter_invalid_integer",
                          param=param) from None
        if moment > last:
            raise Refusal(400, f"Data for this report type is available until {_shown(last)} ({last}); `{name}` is "
                               f"{_shown(moment)} ({moment}).", param=param)
        if moment < first:
            raise Refusal(400, f"Data for this report type is available from {_shown(first)} ({first}) until "
                               f"{_shown(last)} ({last}); `{name}` is {_shown(moment)} ({moment}).", param=param)
    if "interval_start" in parameters and parameters["interval_start"] >= parameters["interval_end"]:
        raise Refusal(400, "`interval_start` must be before `interval_end`.", param="parameters[interval_start]")


def _shown(moment: int) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_values(report: ReportType, parameters: Parameters) -> None:
    """Refuse columns, time zones, categories, currencies and separators that do not exist."""
    columns = parameters.get("columns")
    if columns is not None:
        if not isinstance(columns, list):
            raise Refusal(400, "Invalid array: parameters[columns]", code="parameter_invalid_array",
                          param="parameters[columns]")
        unknown = [name for name in columns if not (isinstance(name, str) and report.has_column(name))]
        if unknown:
            raise Refusal(400, f"Unknown columns for report type '{report.id}': {', '.join(map(str, unknown))}. The "
                               f"columns are: {', '.join(report.columns)}.", param="parameters[columns]")
        if len(set(columns)) < len(columns):
            raise Refusal(400, "Each column can be requested once only.", param="parameters[columns]")
    zone = parameters.get("timezone")
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError, TypeError):
            raise Refusal(400, f"Invalid timezone: '{zone}' is not in the IANA Time Zone Database.",
                          param="parameters[timezone]") from None
    category = parameters.get("reporting_category")
    if category is not None and category not in REPORTING_CATEGORIES:
        raise Refusal(400, f"Invalid parameters[reporting_category]: must be one of "
                           f"{', '.join(sorted(REPORTING_CATEGORIES))}", param="parameters[reporting_category]")
    currency = parameters.get("currency")
    if currency is not None:
        if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise Refusal(400, f"Invalid currency: {currency}", param="parameters[currency]")
        parameters["currency"] = currency.lower()
    separator = parameters.get("decimal_separator", ".")
    if separator not in _SEPARATORS:
        raise Refusal(400, "Invalid parameters[decimal_separator]: must be one of `.` or `,`",
                      param="parameters[decimal_separator]")


def _check_payout(books: Books, id: Any) -> None:
    if books.find("payout", id if isinstance(id, str) else None) is None:
        raise Refusal(400, f"No such payout: '{id}'", code="resource_missing", param="parameters[payout]")
    if id not in books.payout_transactions:
        # manual and instant payouts are not made of transactions (Stripe's page on payout reconciliation, 2026-11-30)
        raise Refusal(400, f"The payout '{id}' is not automatic; its transactions are not known.",
                      param="parameters[payout]")
