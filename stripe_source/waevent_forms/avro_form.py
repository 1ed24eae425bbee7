"""WAEvents in Avro, by Striim's schema: metadata, data, before and userdata are maps of texts.

Avro needs the package `fastavro`, the extra `striim`.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from stripe_source.errors import InvalidOption
from stripe_source.waevent_forms.form import BadWAEvent, StriimWAEvent, bitmap_text
from stripe_source.waevent_forms.json_form import dumps, event_of_json

_TEXTS = ["null", {"type": "map", "values": ["null", "string"]}]
_BITS = ("dataPresenceBitMap", "beforePresenceBitMap")
_TEXT_MEMBERS = (*_BITS, "typeUUID")
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "WAEvent", "namespace": "WAEvent.avro",
    "fields": [
        *({"name": name, "type": _TEXTS, "default": None} for name in ("metadata", "data", "before", "userdata")),
        *({"name": name, "type": ["null", "string"], "default": None} for name in _TEXT_MEMBERS),
    ],
}


def _fastavro() -> Any:
    try:
        import fastavro
    except ImportError:
        raise InvalidOption("format", "avro", reason=(
            "It needs the package `fastavro`: `pip install 'dlt-source-stripe[striim]'`."
        )) from None
    return fastavro


def _text(value: Any) -> str | None:
    """A value as text: numbers as they are written, what is a JSON object or list as JSON."""
    return value if isinstance(value, str) or value is None else dumps(value)


def _texts(values: Any) -> dict[str, str | None] | None:
    if values is None:
        return None
    if isinstance(values, list):
        raise BadWAEvent("values by position cannot be Avro, which names them")
    return {name: _text(value) for name, value in values.items()}


def record(event: StriimWAEvent) -> dict[str, Any]:
    """The Avro record of a WAEvent whose values have names."""
    return {
        "metadata": _texts(event.metadata), "data": _texts(event.data), "before": _texts(event.before),
        "userdata": _texts(event.userdata), "dataPresenceBitMap": bitmap_text(event.data_presence),
        "beforePresenceBitMap": bitmap_text(event.before_presence), "typeUUID": event.type_uuid,
    }


def write_avro(file: IO[bytes], events: Iterable[StriimWAEvent]) -> None:
    """Write an Avro file.

    Args:
        file: open for writing.
        events: whose values have names.

    Raises:
        InvalidOption: `fastavro` is not installed.
        BadWAEvent: values have no names.
    """
    avro = _fastavro()
    avro.writer(file, avro.parse_schema(SCHEMA), map(record, events), codec="deflate")


def read_avro(file: IO[bytes]) -> Iterator[Any]:
    """The records of an Avro file, by whatever schema it has.

    Raises:
        InvalidOption: `fastavro` is not installed.
        Exception: whatever `fastavro` says of a file that is none, or is cut.
    """
    yield from _fastavro().reader(file)


def event_of_record(found: Any) -> StriimWAEvent:
    """The WAEvent of an Avro record. All values are texts: who takes them knows the types of the columns.

    Raises:
        BadWAEvent: it is none.
    """
    if not isinstance(found, dict):
        raise BadWAEvent("it is no record")
    metadata = found.get("metadata")
    if isinstance(metadata, dict) and isinstance(types := metadata.get(INFERRED), str):
        try:
            found = {**found, "metadata": {**metadata, INFERRED: json.loads(types)}}
        except ValueError:
            raise BadWAEvent(f"`{INFERRED}` is no JSON") from None
    return event_of_json(found)


INFERRED = "InferredColumns"  # in the metadata: dlt's hints of the columns that no schema map declares, by name
