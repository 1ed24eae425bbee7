"""Runs a program: reads, asks its queries, writes to its targets, and keeps the positions."""
from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import orjson

from stripe_source.api.credentials import ApiKey
from stripe_source.errors import ConfigurationError
from stripe_source.extract.verdicts import FAILED
from stripe_source.striim.tql.model import DatabaseWriter, FileWriter, Flow, StripeReader, SysOut
from stripe_source.striim.tql.plan.streams import Columns, stream_key
from stripe_source.striim.tql.query.compile import compile_query
from stripe_source.striim.tql.run.database import DatabaseSink
from stripe_source.striim.tql.run.events import Event
from stripe_source.striim.tql.run.file_writer import FileSink
from stripe_source.striim.tql.run.formats import dump, json_members, striim_text
from stripe_source.striim.tql.run.query_runner import QueryRunner
from stripe_source.striim.tql.run.reading import Position, Reading, check_tables

BATCH = 500  # events that go through queries and to targets together


class _Sink(Protocol):
    """A target at work."""

    written: int
    files: list[str]

    def write(self, events: Sequence[Event]) -> None:
        """Take a batch."""

    def flush(self) -> None:
        """Bring what was taken to where it belongs."""


@dataclass
class TqlResult:
    """What a run of a program did.

    Args:
        application: its name.
        read: by table, Striim's name, how many events were read.
        written: by target, how many events were written.
        files: that were made.
        problems: by table, why it could not be read.
        polls: how many there were.
        seconds: wall time.
    """

    application: str
    read: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    polls: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> list[str]:
        """The tables that could not be read although they should."""
        return [name for name, reason in self.problems.items() if reason.split(".")[0] in FAILED]

    @property
    def exit_code(self) -> int:
        """0: done. 1: some tables failed. 3: Stripe let us read nothing."""
        if not self.failed:
            return 0
        refused = all(self.problems[name].startswith(FAILED[0]) for name in self.failed)
        return 3 if refused and not any(self.read.values()) else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "exit_code": self.exit_code}


def run_flow(
    flow: Flow, *, output: Callable[[str], object] = print, as_json: bool = False, poll: bool = False,
    destination: Any = None, dataset: str = "stripe_data", pipelines_dir: str | None = None,
    on_poll: Callable[[TqlResult], object] | None = None, on_failure: Callable[[Exception], bool] | None = None,
    **options: Any,
) -> TqlResult:
    """Run a program.

    Args:
        flow: the program.
        output: takes each event that SysOut prints.
        as_json: whether SysOut prints JSON, an event a line, in place of Striim's text form.
        poll: whether incremental loads go on, poll after poll, until the process is stopped.
        destination: of dlt, in the place of those of all database writers.
        dataset: for tables without a schema of their own.
        pipelines_dir: where dlt keeps its pipelines, and this the positions; None: where dlt does so anyway.
        on_poll: called after each poll, with the result so far.
        on_failure: called where a poll failed and `poll` is given; whether another one is tried.
        options: of the connection, such as `api_base`, `api_key` and `rate`, as for `waevents`.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
        AuthenticationError: Stripe refuses the key.
        DestinationError: a destination cannot be reached, or does not take the data.
    """
    for reader in flow.readers:
        check_tables(reader)
        if reader.api_key is not None:
            ApiKey(reader.api_key)  # before anything is made: what is no key leaves no trace
    run = _Run(flow, output, as_json, options, {
        "destination": destination, "dataset": dataset, "pipelines_dir": pipelines_dir})
    return run.go(poll, on_poll, on_failure)


class _Run:
    def __init__(
        self, flow: Flow, output: Callable[[str], object], as_json: bool, options: dict[str, Any],
        database: dict[str, Any],
    ) -> None:
        self._flow = flow
        self._store = _Positions(flow, database["pipelines_dir"])
        self._readings = [
            (reader, Reading(reader, options, self._store.of(reader))) for reader in flow.readers
        ]
        self._queries: defaultdict[str, list[tuple[str, QueryRunner]]] = defaultdict(list)
        self._sinks: defaultdict[str, list[_Sink]] = defaultdict(list)
        self._targets: dict[str, _Sink] = {}
        self._result = TqlResult(flow.name)
        self._read: Counter[str] = Counter()
        columns: dict[str, Columns] = {}
        for query in flow.queries:
            of_source = columns.get(stream_key(query.source))
            runner = QueryRunner(query, of_source)
            self._queries[stream_key(query.source)].append((query.into, runner))
            compiled = compile_query(query.select, of_source)
            made = query.columns or tuple(item.name for item in compiled.items)
            columns[stream_key(query.into)] = of_source if compiled.passes else made
        several = sum(isinstance(target, SysOut) for target in flow.targets) > 1
        tables = [table for _, reading in self._readings for table in reading.tables]
        for target in flow.targets:
            sink: _Sink
            if isinstance(target, SysOut):
                sink = _Printer(output, target.label if several else "", as_json)
            elif isinstance(target, FileWriter):
                sink = FileSink(target)
            else:
                assert isinstance(target, DatabaseWriter)
                migrate = any(reader.migrate_schema for reader in flow.readers)
                sink = DatabaseSink(target, flow.name, tables, migrate=migrate, **database)
            self._targets[target.name] = sink
            self._sinks[stream_key(target.stream)].append(sink)

    def go(
        self, poll: bool, on_poll: Callable[[TqlResult], object] | None,
        on_failure: Callable[[Exception], bool] | None,
    ) -> TqlResult:
        """Poll once, or again and again."""
        began = time.monotonic()
        try:
            for sink in self._targets.values():
                if isinstance(sink, DatabaseSink):
                    sink.prepare()
            again = list(self._readings)
            while again:
                try:
                    for _, reading in again:
                        self._poll(reading)
                except Exception as error:
                    if not (poll and on_failure and on_failure(error)):
                        raise  # else all of it is tried again
                else:
                    self._store.save()
                    self._result.polls += 1
                    self._result.seconds = time.monotonic() - began
                    self._sum_up()
                    if on_poll:
                        on_poll(self._result)
                    again = [each for each in self._readings if each[0].incremental] if poll else []
                if again:
                    time.sleep(min(reader.polling_interval for reader, _ in again))
            return self._result
        finally:
            for sink in self._targets.values():
                if isinstance(sink, FileSink):
                    sink.flush()  # a file that was begun is complete, also where the run was stopped
            for each in self._queries.values():
                for _, runner in each:
                    runner.close()

    def _poll(self, reading: Reading) -> None:
        streams = next(reader.streams for reader, each in self._readings if each is reading)
        for batch in _batches(reading.poll()):
            self._read.update(event.table.name for event in batch)
            for stream in streams:
                self._send(stream, batch)
        for sink in self._targets.values():
            sink.flush()
        reading.commit()
        self._result.problems.update(reading.problems)

    def _send(self, stream: str, events: Sequence[Event]) -> None:
        """Give a batch to all that read a stream."""
        key = stream_key(stream)
        for sink in self._sinks[key]:
            sink.write(events)
        for into, runner in self._queries[key]:
            if made := runner.answer(events):
                self._send(into, made)

    def _sum_up(self) -> None:
        tables = [table.name for _, reading in self._readings for table in reading.tables]
        self._result.read = {name: self._read[name] for name in tables}
        self._result.written = {name: sink.written for name, sink in self._targets.items()}
        self._result.files = [file for sink in self._targets.values() for file in sink.files]


def _batches(events: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(events, BATCH)):
        yield batch


class _Printer:
    """SysOut."""

    def __init__(self, output: Callable[[str], object], label: str, as_json: bool) -> None:
        self._output = output
        self._label = label
        self._as_json = as_json
        self.written = 0
        self.files: list[str] = []

    def write(self, events: Sequence[Event]) -> None:
        """Print a batch."""
        for event in events:
            if self._as_json:
                members = json_members(event)
                self._output(dump({"target": self._label, **members} if self._label else members))
            else:
                self._output(f"{self._label}: {striim_text(event)}" if self._label else striim_text(event))
        self.written += len(events)

    def flush(self) -> None:
        """Nothing waits."""


class _Positions:
    """How far the readers of a program came: kept from run to run where the program has RECOVERY."""

    def __init__(self, flow: Flow, pipelines_dir: str | None) -> None:
        self._by_reader: dict[str, dict[str, Position]] = {}
        self._file: Path | None = None
        if flow.recovery and any(reader.incremental for reader in flow.readers):
            from dlt.common.pipeline import get_dlt_pipelines_dir

            name = re.sub(r"\W+", "_", f"tql_{flow.name}")
            self._file = Path(pipelines_dir or get_dlt_pipelines_dir()) / name / "positions.json"
            self._load()

    def of(self, reader: StripeReader) -> dict[str, Position]:
        """The positions of a reader, by native table; who reads keeps them up to date."""
        return self._by_reader.setdefault(reader.name, {})

    def save(self) -> None:
        """Keep them, once all targets have what was read."""
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        said = {
            reader: {table: {"created": each.created, "recent": each.recent} for table, each in positions.items()}
            for reader, positions in self._by_reader.items()
        }
        new = self._file.with_suffix(".new")
        new.write_bytes(orjson.dumps(said))
        new.replace(self._file)

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return
        try:
            said = orjson.loads(self._file.read_bytes())
            self._by_reader = {
                reader: {table: Position(each["created"], each["recent"]) for table, each in positions.items()}
                for reader, positions in said.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigurationError(
                f"The positions in `{self._file}` cannot be read. Remove the file, and the program begins anew."
            ) from None
