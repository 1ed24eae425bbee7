"""`write_waevents`: the WAEvents of a pipeline's loads written out, each load once, in the order of the loads."""
from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.destination.connection import client_of_schema, destination_errors
from stripe_source.destination.pipelines import restore_pipeline
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.destination.sql.values import python_value
from stripe_source.errors import InvalidOption
from stripe_source.options import duration
from stripe_source.resources.lock import pipeline_lock
from stripe_source.resources.outbox import SUFFIX
from stripe_source.striim.files import Place, place_of
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.waevent_forms.form import StriimWAEvent
from stripe_source.waevent_forms.json_form import json_text, positional, sysout_text
from stripe_source.waevent_forms.rows import COLUMNS, LOAD, column_names, waevent_of

if TYPE_CHECKING:
    import dlt

FORMATS = ("json", "positional", "sysout", "avro")
ROWS_PER_FETCH = 1_000
_SIZES = {"": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000}


@dataclass
class WAEventsWritten:
    """What was written.

    Args:
        out: where to.
        loads: how many loads of the destination had not been written before.
        waevents: by table, how many.
    """

    out: str
    loads: int
    waevents: dict[str, int]

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return asdict(self)


def size_of(value: str | int) -> int:
    """Bytes of a size: `1000`, `"64mb"`, `"2GB"`.

    >>> size_of("64mb")
    64000000
    """
    text = str(value).strip().lower()
    digits = text.rstrip("kmgb ")
    if not digits.isdecimal() or text[len(digits):].strip() not in _SIZES or not int(digits):
        raise InvalidOption("roll_size", value, reason="Write a number and a unit, like `500kb`, `64mb`, `1gb`.")
    return int(digits) * _SIZES[text[len(digits):].strip()]


def write_waevents(
    pipeline: dlt.Pipeline, out: str = "-", *, format: str = "json", gzip: bool = False,
    roll_size: str | int = "64mb", roll_time: str | int = "1h",
) -> WAEventsWritten:
    """Write the WAEvents that loads with `emit="waevents"` brought, and that were not written there yet.

    Load after load, table after table, each in the order of its load; so those of one row are in their order. Of files
    each load is written once, whenever a run is killed: see `striim/files.py`.

    Args:
        pipeline: loads, or has loaded, with `emit="waevents"`.
        out: `-` for standard output; a folder, which exists or ends with a slash; else a file.
        format: "json": named, one after another; "positional"; "sysout": as Striim's SysOut prints; "avro".
        gzip: files are packed.
        roll_size: when the next file of a folder begins: `"64mb"`.
        roll_time: likewise: `"1h"`.

    Raises:
        InvalidOption: an option has a value that it cannot have.
        DestinationError: the destination cannot be read.
        Busy: another process runs the pipeline.
    """
    if format not in FORMATS:
        raise InvalidOption("format", format, FORMATS)
    limits = {"roll_size": size_of(roll_size), "roll_time": duration(roll_time, "roll_time")}
    with pipeline_lock(pipeline), destination_errors(pipeline):
        folder = Path(pipeline.working_dir)
        place = place_of(out, pipeline.pipeline_name, folder, sys.stdout, form=format, packed=gzip, **limits)
        if not pipeline.default_schema_name:
            pipeline = restore_pipeline(pipeline)
        reading = _Reading(pipeline, format)
        with reading.sql.client if hasattr(reading.sql.client, "__enter__") else nullcontext():
            return reading.write(place, out)


class _Reading:
    """Reads the WAEvents of a destination.

    Args:
        pipeline: whose.
        form: the format in which they are written.
    """

    def __init__(self, pipeline: dlt.Pipeline, form: str) -> None:
        schema = pipeline.default_schema
        self.sql, self._form = DestinationSql(client_of_schema(pipeline, schema), schema), form
        self._names: dict[str, Sequence[str]] = {}
        for name in schema.data_table_names():
            table = BY_NAME.get(name.removesuffix(SUFFIX))
            if table and name.endswith(SUFFIX):
                self._names[name] = column_names(table_map(table))

    def write(self, place: Place, out: str) -> WAEventsWritten:
        """Write what was not written yet."""
        written = WAEventsWritten(out, 0, {})
        ids = {str(row[0]) for rows in self.sql.fetch_connected(statements.complete_loads(self.sql)) for row in rows}
        for load_id in sorted((id for id in ids if _order(id) > _order(place.last)), key=_order):
            place.write(load_id, self._lines(load_id, written.waevents))
            written.loads += 1
        return written

    def _lines(self, load_id: str, counts: dict[str, int]) -> Iterator[tuple[StriimWAEvent, str]]:
        """The WAEvents of a load, each with its text."""
        shown = [column for column in COLUMNS if column.name != LOAD]
        for name, declared in self._names.items():
            query = statements.of_load(self.sql, name, [column.name for column in shown], load_id, "_position")
            for rows in self.sql.fetch_connected(query, ROWS_PER_FETCH):
                for row in rows:
                    values = {
                        column.name: self.sql.python(value, column.data_type) if column.data_type == "json" else
                        python_value(value, column.data_type)
                        for column, value in zip(shown, row, strict=True) if column.name != "time"
                    }
                    event = waevent_of(values, declared)
                    counts[name.removesuffix(SUFFIX)] = counts.get(name.removesuffix(SUFFIX), 0) + 1
                    yield self._text(event, declared)

    def _text(self, event: StriimWAEvent, declared: Sequence[str]) -> tuple[StriimWAEvent, str]:
        if self._form == "avro":
            return event, ""
        if self._form == "json":
            return event, json_text(event) + "\n"
        event = positional(event, (*declared, *event.metadata.get("InferredColumns", {})))
        return event, sysout_text(event) if self._form == "sysout" else json_text(event) + "\n"


def _order(load_id: str) -> Decimal:
    """The order of loads: dlt's ids are the time of their beginning."""
    return Decimal(load_id or 0)
