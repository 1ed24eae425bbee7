"""Reads reports side by side in a thread of its own: runs are made, waited for and downloaded; dlt takes the files."""
from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.pages import Figures
from stripe_source.errors import InvalidRequest, NotEnabled, StripeError
from stripe_source.extract.reports.intervals import Cursor, Interval, intervals
from stripe_source.extract.reports.payouts import Payout, PayoutCursor, payouts
from stripe_source.extract.reports.runs import ReportRuns
from stripe_source.extract.verdicts import Verdict, verdict_for
from stripe_source.options import Options
from stripe_source.tables.reports import bounds_of, report_name
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table

RUNS_AT_A_TIME = 4  # that Stripe works on, or whose files wait for dlt; no limit of Stripe's is documented
LIVE_MODE_ONLY = "live mode only"
_SAYS_LIVE = re.compile(r"\blive\b|\blivemode\b", re.IGNORECASE)
NO_SUCH_TYPE = "Stripe lists no such report type for this account"


@dataclass(frozen=True)
class ReportRequest:
    """What is wanted of a report.

    Args:
        table: the entry of the report.
        cursor: how far it was read by interval.
        payouts: how far it was read by payout.
    """

    table: Table
    cursor: Cursor | None = None
    payouts: PayoutCursor = field(default_factory=PayoutCursor)


@dataclass
class ReportFile:
    """The file of a report, which whoever takes it has to `release`.

    Args:
        about: the interval or the payout.
        type: Stripe's name of the report type.
        parameters: of the run.
        run: the report run, as Stripe shows it.
        path: where the file is.
        release: removes it, and lets another run begin.
    """

    about: Interval | Payout
    type: str
    parameters: Mapping[str, Any]
    run: Mapping[str, Any]
    path: Path
    release: Callable[[], None]


class ReportReader:
    """Reads what is asked for with `begin`, until `stop`.

    Args:
        options: of the source.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self.figures = Figures()
        self.offered: set[str] = set()  # types that Stripe has; empty until it was asked
        self._queues: dict[str, deque[ReportFile | Verdict]] = defaultdict(deque)
        self._news = threading.Condition()
        self._requests: deque[ReportRequest] = deque()
        self._abandoned: set[str] = set()  # tables that nobody takes any more
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._asked: asyncio.Event | None = None
        self._stopped = False
        self._broken: Verdict | None = None  # how everything ended, where it did before its time

    # ---- the side of dlt

    def begin(self, request: ReportRequest) -> None:
        """Ask for a report. Returns at once."""
        with self._news:
            self._requests.append(request)
            if self._loop and self._asked:
                self._loop.call_soon_threadsafe(self._asked.set)
        if self._thread is None:
            self._folder = Path(tempfile.mkdtemp(prefix="stripe_reports_"))  # of mode 0700
            self._thread = threading.Thread(target=self._run, name="stripe-reports", daemon=True)
            self._thread.start()

    def next(self, table: str, patience: float) -> ReportFile | Verdict | None:
        """What comes next of a report: a file, or how its reading ended; None if there is nothing yet.

        Args:
            table: its table.
            patience: seconds to wait where nothing has come of any report.
        """
        with self._news:
            if patience and not any(self._queues.values()):
                self._news.wait(patience)
            queue = self._queues[table]
            return queue.popleft() if queue else self._broken

    def leave(self, table: str) -> None:
        """Nobody takes this report any more."""
        with self._news:
            self._abandoned.add(table)
            while self._queues[table]:
                item = self._queues[table].popleft()
                if isinstance(item, ReportFile):
                    item.release()
            if self._loop and (task := self._tasks.get(table)):
                with suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(task.cancel)

    def stop(self) -> None:
        """Stop reading, wait for the thread, and remove the files."""
        with self._news:
            self._stopped = True
            if self._loop and self._main:
                with suppress(RuntimeError):  # it has ended
                    self._loop.call_soon_threadsafe(self._main.cancel)
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    # ---- the reader's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._read_all())
        except asyncio.CancelledError:
            return
        except Exception as error:  # nobody else would tell those who wait
            with self._news:
                self._broken = verdict_for(error)
                self._news.notify_all()

    async def _read_all(self) -> None:
        with self._news:
            self._loop, self._main, self._asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
            if self._stopped:
                return
        try:
            async with self._options.client() as client:
                self.figures = client.figures
                reading = _Reading(self._options, client, self._folder or Path(), self._put)
                while True:
                    self._asked.clear()
                    while self._requests:
                        request = self._requests.popleft()
                        self._tasks[request.table.name] = asyncio.create_task(self._read(reading, request))
                    await self._asked.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            with self._news:
                self._loop = None

    async def _read(self, reading: _Reading, request: ReportRequest) -> None:
        name = request.table.name
        try:
            verdict = await reading.read(request)
        except Exception as error:  # what Stripe sends is untrusted: any may come
            verdict = _verdict_of(error, name)
        self.offered |= reading.offered
        self._put(name, verdict)

    def _put(self, table: str, item: ReportFile | Verdict) -> None:
        with self._news:
            if table not in self._abandoned:
                self._queues[table].append(item)
                self._news.notify_all()
                return
        if isinstance(item, ReportFile):
            item.release()


def _verdict_of(error: Exception, table: str) -> Verdict:
    if isinstance(error, StripeError):
        error.table = table
        # 400 "…live mode…" is how it is reported; no text of Stripe's is documented (2026-11-30)
        if isinstance(error, (InvalidRequest, NotEnabled)) and _SAYS_LIVE.search(error.message):
            return Verdict("not loaded", LIVE_MODE_ONLY, False, error)
    return verdict_for(error)


@dataclass
class _Reading:
    """Reads reports one after the other, a few runs side by side."""

    options: Options
    client: Client
    folder: Path
    put: Callable[[str, ReportFile], None]
    offered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._runs = ReportRuns(self.client)
        self._slots = asyncio.Semaphore(RUNS_AT_A_TIME)
        self._loop = asyncio.get_running_loop()
        self._types: asyncio.Future[dict[str, dict[str, Any]]] | None = None
        self._files = 0

    async def read(self, request: ReportRequest) -> Verdict:
        """Read a report to its end, or to its first run that fails."""
        table = request.table
        if self.options.credentials.livemode is False:
            return Verdict("not loaded", LIVE_MODE_ONLY)  # runs want live data (Stripe's page, checked 2026-11-30)
        if self._types is None:
            self._types = asyncio.ensure_future(self._runs.types())
        types = await asyncio.shield(self._types)
        self.offered = set(types)
        type = next((words for id, words in types.items() if report_name(id) == table.name), None)
        if type is None:
            return Verdict("not enabled", NO_SUCH_TYPE)
        fixed = fixed_parameters(self.options, table, type)
        fetched: deque[asyncio.Task[ReportFile]] = deque()
        try:
            async for about in self._abouts(request, type):
                while len(fetched) >= RUNS_AT_A_TIME:
                    self.put(table.name, await fetched.popleft())
                own = about.parameters if isinstance(about, Payout) else _bounds(table, about)
                fetched.append(asyncio.create_task(self._fetch(about, type, {**own, **fixed})))
            while fetched:
                self.put(table.name, await fetched.popleft())
        finally:
            await _drop(fetched)
        return Verdict()

    async def _abouts(self, request: ReportRequest, type: Mapping[str, Any]) -> AsyncIterator[Interval | Payout]:
        """The intervals or payouts to read."""
        data = int(type.get("data_available_start") or 0), int(type.get("data_available_end") or 0)
        start, end = self.options.start, self.options.end
        if bounds_of(request.table) == "payout":
            async for payout in payouts(
                self.client, data[1], start, end, request.payouts, only=self.options.report_options.payout,
                account=self.options.report_options.connected_account,
            ):
                yield payout
            return
        for interval in intervals(self.options.report_options.interval, data, start, end, request.cursor):
            yield interval

    async def _fetch(self, about: Interval | Payout, type: Mapping[str, Any], parameters: dict[str, Any]) -> ReportFile:
        await self._slots.acquire()
        self._files += 1
        path = self.folder / f"{self._files}.csv"
        try:
            run = await self._runs.fetch(type, parameters, path)
        except BaseException:
            self._release(path)
            raise
        return ReportFile(about, str(type["id"]), parameters, run, path, lambda: self._release_from_dlt(path))

    def _release(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._slots.release()

    def _release_from_dlt(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with suppress(RuntimeError):  # the reading is over
            self._loop.call_soon_threadsafe(self._slots.release)


def fixed_parameters(options: Options, table: Table, type: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a report that do not say which interval or payout it is about.

    Args:
        options: of the source.
        table: the entry of the report.
        type: the report type, as Stripe has it.
    """
    asked, takes = options.report_options, table.report.takes if table.report else None
    names = "timezone", "currency", "reporting_category", "connected_account"
    given = {name: getattr(asked, name) for name in names if getattr(asked, name)}
    found: dict[str, Any] = {name: value for name, value in given.items() if takes is None or name in takes}
    if asked.columns:
        found["columns"] = wanted_columns(asked.columns, table, type.get("default_columns") or ())
    return found


def wanted_columns(asked: Sequence[str], table: Table, default: Sequence[str]) -> list[str]:
    """The columns that a report is asked for: Stripe's default ones, or all that are known, and further ones.

    Args:
        asked: names of further ones; `all` for all that are known.
        table: the entry of the report.
        default: those that Stripe sends where none are named; empty where it does not say.
    """
    known = [column.name for column in table_map(table).columns if column.path]
    base = [*default, *known] if "all" in asked or not default else default
    return list(dict.fromkeys([*base, *(name for name in asked if name != "all")]))


def _bounds(table: Table, interval: Interval) -> dict[str, int]:
    if bounds_of(table) == "end":
        return {"interval_end": interval.high}
    return {"interval_start": interval.low, "interval_end": interval.high}


async def _drop(fetched: deque[asyncio.Task[ReportFile]]) -> None:
    """Nobody takes these files any more."""
    for task in fetched:
        task.cancel()
    for done in await asyncio.gather(*fetched, return_exceptions=True):
        if isinstance(done, ReportFile):
            done.release()
