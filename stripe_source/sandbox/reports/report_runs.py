"""Runs of reports: they are requested, pending for a while, and end with a file or an error."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.reports import report_types
from stripe_source.sandbox.reports.catalog import Parameters
from stripe_source.sandbox.reports.content import csv_file
from stripe_source.sandbox.reports.content.rows import rows
from stripe_source.sandbox.reports.parameters import check
from stripe_source.sandbox.reports.settings import PendingRun
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

PATH = "/v1/reporting/report_runs"
OBJECT = "reporting.report_run"
_FILES = "https://files.stripe.com"


def create(books: Books, params: dict[str, Any], host: str | None) -> Record:
    """Handle a POST for a new run.

    Args:
        books: the account.
        params: the parsed body.
        host: the address that the request was sent to; the URL of the file is below it.
    """
    report, checked = check(books, params)
    settings = books.world.reports
    run = books.add(
        OBJECT, id=books.new_id(OBJECT, settings.rng), created=books.now, error=None, livemode=books.world.livemode,
        parameters=checked, report_type=report.id, result=None, status="pending", succeeded_at=None)
    base = settings.files_base or (f"http://{host}" if host else _FILES)
    settings.pending[run.id] = PendingRun(base, settings.polls, settings.next_failure(report.id))
    books.world.call_at(books.now + settings.seconds, _finish, books, run)
    return run


def before_read(books: Books, path: str) -> None:
    """Bring what a GET is about to read up to date: report types follow the clock, a run is done after some GETs."""
    if path.startswith(report_types.PATH):
        report_types.refresh(books)
        return
    if not path.startswith(f"{PATH}/"):
        return
    run = books.find(OBJECT, path.rpartition("/")[2])
    pending = books.world.reports.pending.get(run.id) if run else None
    if run is None or pending is None:
        return
    if pending.polls_left > 0:
        pending.polls_left -= 1
    else:
        _finish(books, run)


def _finish(books: Books, run: Record) -> None:
    """End a run that is pending: make its file, or let it fail."""
    pending = books.world.reports.pending.pop(run.id, None)
    if pending is None:
        return
    if pending.error is not None:
        change(books, run, "reporting.report_run.failed", status="failed", error=pending.error)
        return
    content = _content(books, run.data["report_type"], run.data["parameters"])
    change(books, run, "reporting.report_run.succeeded", status="succeeded", succeeded_at=books.now,
           result=_file(books, run, pending.files_base, content))


def _content(books: Books, report_type: str, parameters: Parameters) -> bytes:
    settings = books.world.reports
    report = settings.find_type(report_type)
    assert report is not None, "runs have a report type"
    answer = settings.answers.get(report_type)
    if answer is not None:
        return csv_file.pick(answer, parameters.get("columns") or csv_file.header(answer))
    columns = parameters.get("columns") or report.default_columns
    return csv_file.write(columns, rows(books, report, parameters, columns), parameters)


def _file(books: Books, run: Record, base: str, content: bytes) -> Data:
    """Store the file of a run; return the file object."""
    settings = books.world.reports
    id = books.new_id("file", settings.rng)
    file = books.add(
        "file", id=id, created=books.now, expires_at=books.now + settings.keep_seconds,
        filename=f"{run.data['report_type']}-{run.id}.csv", purpose="finance_report_run", size=len(content),
        title=f"FinanceReportRun {run.id}", type="csv", url=f"{base}/v1/files/{id}/contents",
        links={"object": "list", "data": [], "has_more": False, "url": f"/v1/file_links?file={id}"})
    settings.contents[id] = content
    emit(books, "file.created", file)
    return books.to_dict(file)
