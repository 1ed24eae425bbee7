"""WAEvents as JSON: with the values by name or by position, one after another or in an array, and as SysOut prints."""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from stripe_source.waevent_forms.form import (
    OPERATIONS,
    BadWAEvent,
    StriimWAEvent,
    Values,
    bitmap_of_text,
    bitmap_text,
    uuid_text,
)


def json_object(event: StriimWAEvent) -> dict[str, Any]:
    """A WAEvent as JSON takes it."""
    return {
        "metadata": event.metadata, "data": event.data, "before": event.before, "userdata": event.userdata,
        "dataPresenceBitMap": bitmap_text(event.data_presence),
        "beforePresenceBitMap": bitmap_text(event.before_presence), "typeUUID": event.type_uuid,
    }


def json_text(event: StriimWAEvent) -> str:
    """A WAEvent as JSON, on one line."""
    return dumps(json_object(event))


def dumps(value: Any) -> str:
    """JSON on one line."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # numbers of more than 64 bits, halves of surrogate pairs
        return json.dumps(value, separators=(",", ":"))


def json_texts(events: Iterable[StriimWAEvent], array: bool = False) -> Iterator[str]:
    """The lines of a file of WAEvents.

    Args:
        events: in their order.
        array: all of them are one JSON array, with one WAEvent on each line; otherwise one comes after another.
    """
    if not array:
        for event in events:
            yield json_text(event) + "\n"
        return
    before = "[\n"
    for event in events:
        yield before + json_text(event)
        before = ",\n"
    yield "[\n]\n" if before == "[\n" else "\n]\n"


def sysout_text(event: StriimWAEvent, name: str = "") -> str:
    """A WAEvent as Striim's SysOut prints it, with the line break behind it.

    Args:
        event: what is printed.
        name: what SysOut is told to print before each.
    """
    parts = json_object(event)
    shown = ["data", "metadata", "userdata", "before", "dataPresenceBitMap", "beforePresenceBitMap", "typeUUID"]
    lines = "".join(f"  {part}: {dumps(parts[part])}\n" for part in shown)
    return f"{name + ': ' if name else ''}WAEvent{{\n{lines}}};\n"


def event_of_json(value: Any) -> StriimWAEvent:
    """The WAEvent that a JSON value is.

    Members that are of no use here are left out. Where the metadata has no `TimeStamp`, that of the event is taken.

    Raises:
        BadWAEvent: it is none.
    """
    if not isinstance(value, dict):
        raise BadWAEvent("it is no JSON object")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise BadWAEvent("it has no `metadata`")
    if metadata.get("TimeStamp") is None and value.get("timeStamp") is not None:
        metadata = {**metadata, "TimeStamp": value["timeStamp"]}
    userdata = value.get("userdata")
    if not isinstance(userdata, (dict, type(None))):
        raise BadWAEvent("`userdata` is no JSON object")
    return StriimWAEvent(
        metadata, _values(value, "data"), _values(value, "before"), userdata,
        bitmap_of_text(value.get("dataPresenceBitMap")), bitmap_of_text(value.get("beforePresenceBitMap")),
        uuid_text(value.get("typeUUID")),
    )


def _values(event: dict[str, Any], name: str) -> Values | None:
    found = event.get(name)
    if isinstance(found, (dict, list, type(None))):
        return found
    raise BadWAEvent(f"`{name}` is neither a JSON object nor an array")


def positional(event: StriimWAEvent, names: Sequence[str]) -> StriimWAEvent:
    """The same WAEvent with its values by position.

    Args:
        event: with values by name.
        names: of the columns, in their order; all that it has are among them.
    """
    def in_order(values: Values | None) -> Values | None:
        return [values.get(name) for name in names] if isinstance(values, dict) else values

    return event._replace(data=in_order(event.data), before=in_order(event.before))


def operation_of(event: StriimWAEvent) -> str:
    """What happened.

    Raises:
        BadWAEvent: it is none of the operations on rows.
    """
    found = event.metadata.get("OperationName")
    if isinstance(found, str) and found.upper() in OPERATIONS:
        return found.upper()
    raise BadWAEvent(f"its operation is `{found}`, which is none of {', '.join(OPERATIONS)}")
