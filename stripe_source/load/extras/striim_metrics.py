"""What a run did under the names of Striim's metrics, for each table and in all."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from stripe_source.resources.table_result import TableResult

if TYPE_CHECKING:
    import dlt

Columns = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Metrics:
    """Striim's metrics of a table, or of all.

    Args:
        read_timestamp: when the run began to read, by Stripe's clock; ISO text in UTC, as all times here.
        number_of_inserts: rows that the destination did not hold.
        number_of_updates: rows that it held otherwise.
        number_of_deletes: rows that were flagged as deleted, or removed.
        number_of_ddls: tables that were made, and columns that were added to others.
        source_rate: objects that were read, by second of the run.
        last_event_position: how far Stripe's changes are known: to the next run, it goes on from here.
        latest_activity: the newest change, or reading, of a row that was written; None: none was.
        read_lag: seconds from then to `read_timestamp`.
    """

    read_timestamp: str | None = None
    number_of_inserts: int = 0
    number_of_updates: int = 0
    number_of_deletes: int = 0
    number_of_ddls: int = 0
    source_rate: float = 0.0
    last_event_position: str | None = None
    latest_activity: str | None = None
    read_lag: int | None = None


@dataclass(frozen=True)
class RunMetrics:
    """Striim's metrics of a run.

    Args:
        total: of all tables.
        tables: by name.
    """

    total: Metrics = field(default_factory=Metrics)
    tables: Mapping[str, Metrics] = field(default_factory=dict)


def columns_of(pipeline: dlt.Pipeline) -> Columns:
    """The columns of a pipeline's tables as dlt knows them, those with rows of the source."""
    if not pipeline.default_schema_name:
        return {}
    return {
        name: frozenset(column for column, hint in table.get("columns", {}).items() if "data_type" in hint)
        for name, table in pipeline.default_schema.tables.items()
    }


def run_metrics(
    results: Mapping[str, TableResult], seconds: float, read_at: int | None, state: Mapping[str, Any],
    before: Columns, after: Columns,
) -> RunMetrics:
    """The metrics of a run.

    Args:
        results: what it did to each table.
        seconds: wall time.
        read_at: unix second at Stripe when it began to read.
        state: dlt's state of the source after it.
        before: the columns of all tables before it.
        after: likewise after it.
    """
    tables = {
        name: _metrics([result], seconds, read_at, iso_time(position_of(state.get("resources", {}).get(name, {}))),
                       _ddls(name, before, after))
        for name, result in results.items()
    }
    newest = max((each.last_event_position for each in tables.values() if each.last_event_position), default=None)
    total = _metrics(list(results.values()), seconds, read_at, newest, sum(
        each.number_of_ddls for each in tables.values()))
    return RunMetrics(total, tables)


def _metrics(
    results: list[TableResult], seconds: float, read_at: int | None, position: str | None, ddls: int
) -> Metrics:
    latest = max((each.latest_activity for each in results if each.latest_activity is not None), default=None)
    return Metrics(
        read_timestamp=iso_time(read_at),
        number_of_inserts=sum(each.new for each in results),
        number_of_updates=sum(each.changed for each in results),
        number_of_deletes=sum(each.gone for each in results),
        number_of_ddls=ddls,
        source_rate=round(sum(each.read for each in results) / seconds, 2) if seconds else 0.0,
        last_event_position=position,
        latest_activity=iso_time(latest),
        read_lag=read_at - latest if read_at is not None and latest is not None else None,
    )


def _ddls(name: str, before: Columns, after: Columns) -> int:
    """How many tables and columns a run made for a table, those of its history and WAEvents included."""
    made = 0
    for each in (name, f"{name}_history", f"{name}_waevents"):
        if each in after:
            made += len(after[each] - before[each]) if each in before else 1
    return made


def position_of(own: Mapping[str, Any]) -> int | None:
    """How far a table was read, as dlt's state of its resource says: the unix second; None: it was not.

    That of the change feed, of a cursor, or of the last time that it was read whole.
    """
    for cursor in own.get("incremental", {}).values():
        if value := cursor.get("last_value"):
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
            return int(moment.timestamp())
    found: int | None = own.get("position") or own.get("last_full_read")
    return found


def iso_time(second: int | None) -> str | None:
    """A unix second as ISO text in UTC."""
    if second is None:
        return None
    return datetime.fromtimestamp(second, timezone.utc).isoformat().replace("+00:00", "Z")
