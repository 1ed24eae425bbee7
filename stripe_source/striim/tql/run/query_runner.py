"""Answers a continuous query for a batch of events, by DuckDB."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from stripe_source.errors import ConfigurationError
from stripe_source.striim.tql.model import Query
from stripe_source.striim.tql.plan.streams import Columns
from stripe_source.striim.tql.query.compile import Compiled, Item, compile_query
from stripe_source.striim.tql.run.events import Event, RowEvent, TableEvent
from stripe_source.striim.tql.run.formats import dump

_EVENTS = pa.schema([
    ("_row", pa.int32()), ("data", pa.list_(pa.string())), ("before", pa.list_(pa.string())), ("meta", pa.string()),
    ("userdata", pa.string()), ("names", pa.list_(pa.string())), ("timestamp", pa.timestamp("ms")),
])


class QueryRunner:
    """A query over the events of its stream.

    Args:
        query: what it asks.
        columns: of the stream, where it has rows; None: it has WAEvents.
    """

    def __init__(self, query: Query, columns: Columns) -> None:
        self._query = query
        self._columns = columns
        self._compiled = compile_query(query.select, columns)
        self._type = query.type_name or f"{query.into.rsplit('.', 1)[-1]}_Type"
        self._connection = duckdb.connect(":memory:", config={"threads": "1", "enable_external_access": "false"})
        self._connection.execute("SET TimeZone = 'UTC'")

    def answer(self, events: Sequence[Event]) -> list[Event]:
        """What becomes of a batch.

        Raises:
            ConfigurationError: the values do not fit the query.
        """
        if not events:
            return []
        table = _event_table(events) if self._columns is None else _row_table(events, self._columns)
        self._connection.register("stream", table)
        try:
            rows = self._connection.execute(_sql(self._compiled)).fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"The query `{self._query.name}` cannot be answered: {reason}") from None
        finally:
            self._connection.unregister("stream")
        return [self._made(events[row[0]], row[1:]) for row in rows]

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def _made(self, event: Event, values: Sequence[Any]) -> Event:
        compiled = self._compiled
        if compiled.passes:
            if not compiled.userdata or isinstance(event, RowEvent):
                return event
            added = {key: value for (key, _), value in zip(compiled.userdata, values, strict=True)}
            return TableEvent(event.table, event.operation, event.time, event.data, event.before,
                              {**event.userdata, **added})
        names = self._query.columns or tuple(item.name for item in compiled.items)
        fields = {
            name: _raw(event, item) if item.raw is not None else value
            for name, item, value in zip(names, compiled.items, values, strict=True)
        }
        return RowEvent(self._type, fields, event.time)


def _sql(compiled: Compiled) -> str:
    values = [sql for _, sql in compiled.userdata] + [item.sql for item in compiled.items]
    where = f" WHERE {compiled.where}" if compiled.where else ""
    return f"SELECT {', '.join(['_row', *values])} FROM stream{where} ORDER BY _row"


def _raw(event: Event, item: Item) -> Any:
    """The value of `data[n]`, with its own type."""
    assert isinstance(event, TableEvent) and item.raw is not None
    return event.data[item.raw] if item.raw < len(event.data) else None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else dump(value)


def _event_table(events: Sequence[Event]) -> pa.Table:
    rows = []
    for number, event in enumerate(events):
        assert isinstance(event, TableEvent)
        rows.append({
            "_row": number, "data": [_text(value) for value in event.data],
            "before": None if event.before is None else [_text(value) for value in event.before],
            "meta": orjson.dumps(event.metadata).decode(), "userdata": dump(event.userdata),
            "names": [column.name.lower() for column in event.table.columns], "timestamp": event.time,
        })
    return pa.Table.from_pylist(rows, schema=_EVENTS)


def _row_table(events: Sequence[Event], columns: Sequence[str]) -> pa.Table:
    """Rows as a table; a column that has values of several kinds is text."""
    arrays: dict[str, pa.Array] = {"_row": pa.array(range(len(events)), pa.int32())}
    for name in columns:
        values = [event.fields.get(name) for event in events if isinstance(event, RowEvent)]
        try:
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            array = pa.array([_text(value) for value in values], pa.string())
        arrays[name] = array.cast(pa.string()) if pa.types.is_null(array.type) else array
    return pa.table(arrays)
