"""The reports of one reading of Stripe: which there is more of, which dlt takes in this load, when a load is enough."""
from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stripe_source.api.pages import Figures
from stripe_source.extract.reports.intervals import Cursor
from stripe_source.extract.reports.payouts import PayoutCursor
from stripe_source.extract.reports.reader import ReportReader, ReportRequest, fixed_parameters
from stripe_source.options import Options
from stripe_source.tables.reports import report_name
from stripe_source.tables.table import Table

ROWS_PER_LOAD = 100_000  # after which a load ends with the file that is under way
LONGEST_WAIT = 10.0  # seconds that rows wait for further reports before they are loaded
MANY = 10  # reports; who names fewer knows what is wanted
_STATE = "report"  # in dlt's state of the resource


@dataclass
class ReportReading:
    """The reports of one reading.

    Args:
        unfinished: tables of which there is more to come.
        taking: tables whose resources are under way in this load.
        reader: once there is one.
        lists_ended: this load takes no more of the lists that are read beside.
        figures: what was asked of Stripe.
        offered: the report types that Stripe has; empty where it was not asked.
    """

    unfinished: set[str] = field(default_factory=set)
    taking: set[str] = field(default_factory=set)
    reader: ReportReader | None = None
    lists_ended: bool = False
    figures: Figures = field(default_factory=Figures)
    offered: set[str] = field(default_factory=set)
    _load_id: str | None = None
    _rows: int = 0  # of this load
    _last: float = 0.0  # when the last of them came

    def open(self, options: Options, request: ReportRequest | None, table: str, load_id: str | None) -> ReportReader:
        """A resource begins.

        Args:
            options: of the source.
            request: what is wanted of its table; None: it goes on.
            table: its name.
            load_id: of the load.
        """
        if load_id != self._load_id:
            self._load_id, self._rows, self.taking, self.lists_ended = load_id, 0, set(), False
        self.taking.add(table)
        if self.reader is None:
            self.reader = ReportReader(options)
        if request is not None:
            self.unfinished.add(table)
            self.reader.begin(request)
        return self.reader

    def count(self, rows: int) -> None:
        """So many rows belong to this load."""
        self._rows, self._last = self._rows + rows, time.monotonic()

    @property
    def enough(self) -> bool:
        """Whether what was taken is loaded before more is."""
        late = self._rows > 0 and time.monotonic() - self._last > LONGEST_WAIT
        return self.lists_ended or late or self._rows >= ROWS_PER_LOAD

    def close(self, table: str, done: bool) -> None:
        """A resource has ended.

        Args:
            table: its table.
            done: no more is wanted of it.
        """
        self.taking.discard(table)
        if done:
            self.unfinished.discard(table)
            if self.reader is not None:
                self.reader.leave(table)
        if not self.unfinished:
            self.stop()

    def stop(self) -> None:
        """Nobody goes on."""
        self.unfinished.clear()
        if self.reader is not None:
            self.reader.stop()
            self.figures, self.offered = self.reader.figures, self.reader.offered
            self.reader = None

    def notes(self, options: Options) -> list[str]:
        """What a person should know: which reports Stripe has that nobody asked for, where many were asked for."""
        asked = {table.name for table in options.reports}
        more = sorted(type for type in self.offered if report_name(type) not in asked)
        if len(asked) < MANY or not more:
            return []
        return [f"Stripe has further report types, which were not loaded: {', '.join(more)}. Name their tables: "
                f"`{report_name(more[0])}`."]


@dataclass
class ReportState:
    """What dlt's state keeps of one report.

    Args:
        parameters: of the runs that its rows come from, as `parameters_key` writes them.
        cursor: how far it was read by interval, as `Cursor`; None: not at all.
        payouts: how far it was read by payout, as `PayoutCursor`; None: not at all.
        units: the units of the intervals that there may be rows of.
        held: the destination held rows of it after the last run.
    """

    parameters: str = ""
    cursor: dict[str, Any] | None = None
    payouts: dict[str, Any] | None = None
    units: list[str] = field(default_factory=list)
    held: bool = False

    @classmethod
    def load(cls, own: Mapping[str, Any]) -> ReportState:
        """Read dlt's state of the resource."""
        return cls(**own.get(_STATE, {}))

    def save(self, own: Any) -> None:
        """Write it there."""
        own[_STATE] = asdict(self)

    def request(self, table: Table, parameters: str, *, again: bool) -> ReportRequest:
        """What a run wants of the report. With other parameters than before it is read from the beginning.

        Args:
            table: the entry of the report.
            parameters: of the runs.
            again: it is read from the beginning all the same.
        """
        if again or parameters != self.parameters:
            self.parameters, self.cursor, self.payouts = parameters, None, None
        return ReportRequest(table, self.interval_cursor, self.payout_cursor)

    @property
    def interval_cursor(self) -> Cursor | None:
        """How far it was read by interval."""
        return None if self.cursor is None else Cursor(**self.cursor)

    @property
    def payout_cursor(self) -> PayoutCursor:
        """How far it was read by payout."""
        return PayoutCursor() if self.payouts is None else PayoutCursor(**self.payouts)


def parameters_key(options: Options, table: Table) -> str:
    """The parameters of a report, but for the interval or payout; rows of other ones stand for other things."""
    fixed = fixed_parameters(options, table, {})
    words = {**fixed, "columns": ",".join(sorted(options.report_options.columns))}
    return ";".join(f"{name}={value}" for name, value in sorted(words.items()) if value)
