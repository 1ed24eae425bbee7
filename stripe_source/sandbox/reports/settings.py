"""Settings of reports, and the runs that are not done yet; tests change them through `World.reports`."""
from __future__ import annotations

from dataclasses import dataclass
from random import Random

from stripe_source.sandbox.reports.catalog import REPORT_TYPES, ReportType, new_type
from stripe_source.sandbox.reports.content import csv_file


@dataclass
class PendingRun:
    """A run that is not done yet.

    Args:
        files_base: what the URL of its file begins with.
        polls_left: how many times a GET of the run still answers `pending`.
        error: why the run fails; None lets it succeed.
    """

    files_base: str
    polls_left: int
    error: str | None = None


@dataclass
class PlannedFailure:
    """A failure that the next runs meet.

    Args:
        message: the `error` of the run.
        report_type: the report type that fails; None stands for every one.
        times: how many runs fail.
    """

    message: str
    report_type: str | None
    times: int


class Reports:
    """How the reports of a world behave.

    Attributes:
        polls: how many times a GET of a new run answers `pending` before the run is done.
        seconds: after how many seconds of the world's clock it is done at the latest.
        lateness: how many seconds after a cut-off (00:00 and 12:00 UTC) its data are available.
        keep_seconds: how long a file can be downloaded after the run was done.
        files_base: what the URLs of files begin with; None takes the address that the run was requested at.
        pending: the runs that are not done yet, by their id.
        contents: the CSV files, by the id of the file.
        answers: the files that `answer` has set, by report type.
        added: the report types that `answer` has added, by their id.
    """

    def __init__(self, seed: int) -> None:
        self.polls, self.seconds, self.lateness = 2, 30, 0
        self.keep_seconds = 365 * 86400
        self.files_base: str | None = None
        self.pending: dict[str, PendingRun] = {}
        self.contents: dict[str, bytes] = {}
        self.answers: dict[str, bytes] = {}
        self.added: dict[str, ReportType] = {}
        self.rng = Random(f"reports/{seed}")  # of ids, so that a report leaves the business as it is
        self._failures: list[PlannedFailure] = []

    def answer(self, report_type: str, content: bytes | str) -> None:
        """Let runs of a report type answer this file from now on, whatever the ledger says.

        A report type that Stripe does not have is added: it takes the parameters `interval_start`, `interval_end`,
        `timezone` and `columns`, and its columns are those of the file.

        Args:
            report_type: id of the report type, such as `payouts.itemized.3`. Another one needs three parts, too: a new
                one that has not raises ValueError.
            content: a CSV file with a header; runs that name columns get these columns of it.
        """
        file = content.encode() if isinstance(content, str) else content
        self.answers[report_type] = file
        if report_type not in REPORT_TYPES:
            self.added[report_type] = new_type(report_type, csv_file.header(file))

    def find_type(self, id: str) -> ReportType | None:
        """Return the report type with that id, or None."""
        return self.added.get(id) or REPORT_TYPES.get(id)

    def fail(self, message: str = "An internal error occurred.", report_type: str | None = None, *,
             times: int = 1) -> None:
        """Let the next runs fail.

        Args:
            message: the `error` that the runs get.
            report_type: id of the report type whose runs fail; None stands for every type.
            times: how many runs fail.
        """
        self._failures.append(PlannedFailure(message, report_type, times))

    def next_failure(self, report_type: str) -> str | None:
        """Return why a new run of that type is going to fail, or None; a failure is used up by it."""
        for planned in self._failures:
            if planned.times > 0 and planned.report_type in (None, report_type):
                planned.times -= 1
                return planned.message
        return None
