"""FileWriter: events in numbered files, a new one when the last is full or a poll is over."""
from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from stripe_source.errors import InvalidOption
from stripe_source.striim.tql.model import AvroFormat, FileWriter
from stripe_source.striim.tql.run.events import Event, RowEvent
from stripe_source.striim.tql.run.formats import TEXTS, Text, dump, json_members, plain_value

_TEXT_OR_NULL = ["null", "string"]
_ANY = ["null", "boolean", "long", "double", "string"]
_LONG = range(-(1 << 63), 1 << 63)


class _File(Protocol):
    """A file that is being written."""

    def write(self, event: Event) -> int:
        """Write an event; answers with the size of the file so far, in bytes."""

    def close(self) -> None:
        """Complete the file."""


class FileSink:
    """Writes what a stream has into files.

    Args:
        writer: where to, and how.
    """

    def __init__(self, writer: FileWriter) -> None:
        self._writer = writer
        self._folder = Path(writer.directory)
        self._file: _File | None = None
        self._events = 0
        self._size = 0
        self._opened = 0.0
        self.written = 0
        self.files: list[str] = []
        if isinstance(writer.format, AvroFormat):
            _fastavro()

    def write(self, events: Sequence[Event]) -> None:
        """Write a batch.

        Raises:
            InvalidOption: the folder or the file cannot be written.
        """
        try:
            for event in events:
                if self._file is not None and self._full():
                    self.flush()
                if self._file is None:
                    self._file = self._open(event)
                self._size = self._file.write(event)
                self._events += 1
                self.written += 1
        except OSError as error:
            raise InvalidOption("directory", self._writer.directory,
                                reason=f"A file cannot be written there: {error.strerror}.") from None

    def flush(self) -> None:
        """Complete the file that is open."""
        if self._file is not None:
            self._file.close()
        self._file, self._events, self._size = None, 0, 0

    def _full(self) -> bool:
        writer = self._writer
        return bool(
            (writer.events and self._events >= writer.events) or (writer.bytes and self._size >= writer.bytes)
            or (writer.seconds and time.monotonic() - self._opened >= writer.seconds)
        )

    def _open(self, event: Event) -> _File:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = Path(self._writer.file)
        number = len(self.files)
        while True:
            path = self._folder / f"{file.stem}.{number:02}{file.suffix}{'.gz' if self._writer.gzip else ''}"
            try:
                raw = path.open("xb")  # no file of an earlier run is written over
                break
            except FileExistsError:
                number += 1
        self.files.append(str(path))
        self._opened = time.monotonic()
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw, mode="wb") if self._writer.gzip else raw  # type: ignore[assignment]
        if isinstance(self._writer.format, AvroFormat):
            return _AvroFile(stream, raw, event, self._writer.format, self._folder)
        return _TextFile(stream, raw, event, TEXTS[type(self._writer.format)](self._writer.format))


class _TextFile:
    """A file of text."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes], event: Event, text: Text) -> None:
        self._stream, self._raw, self._text, self._first, self._size = stream, raw, text, True, 0
        self._put(text.begin(event))

    def write(self, event: Event) -> int:
        """Write an event."""
        self._put(self._text.event(event, self._first))
        self._first = False
        return self._size

    def close(self) -> None:
        """Complete the file."""
        self._put(self._text.end())
        self._stream.close()
        self._raw.close()

    def _put(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self._size += len(data)
        self._stream.write(data)


class _AvroFile:
    """An Avro file: WAEvents as maps of texts, rows as records."""

    def __init__(self, stream: IO[bytes], raw: IO[bytes], event: Event, form: AvroFormat, folder: Path) -> None:
        fastavro = _fastavro()
        self._stream, self._raw = stream, raw
        schema = avro_schema(event)
        if form.schema_file:
            (folder / form.schema_file).write_text(dump(schema) + "\n", encoding="utf-8")
        self._writer = fastavro.write.Writer(stream, fastavro.parse_schema(schema), codec="deflate")

    def write(self, event: Event) -> int:
        """Write an event."""
        self._writer.write(avro_record(event))
        return int(self._raw.tell())

    def close(self) -> None:
        """Complete the file."""
        self._writer.flush()
        self._stream.close()
        self._raw.close()


def avro_schema(event: Event) -> dict[str, Any]:
    """The schema of an event: that of Striim's AvroFormatter for WAEvents, a record of its fields for a row."""
    if isinstance(event, RowEvent):
        fields = [{"name": name, "type": _ANY, "default": None} for name in event.fields]
        return {"type": "record", "name": event.type_name, "namespace": "WAEvent.avro", "fields": fields}
    members: list[dict[str, Any]] = [
        {"name": name, "type": ["null", {"type": "map", "values": _TEXT_OR_NULL}], "default": None}
        for name in ("metadata", "data", "before", "userdata")
    ]
    return {"type": "record", "name": "WAEvent", "namespace": "WAEvent.avro", "fields": members}


def avro_record(event: Event) -> dict[str, Any]:
    """An event as its schema has it."""
    members = json_members(event)
    if isinstance(event, RowEvent):
        return {name: _simple(value) for name, value in members.items()}
    return {
        name: None if member is None else {key: _text(value) for key, value in member.items()}
        for name, member in members.items()
    }


def _simple(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    return value if isinstance(value, int) and value in _LONG else _text(value)


def _text(value: Any) -> str | None:
    value = plain_value(value)
    return value if value is None or isinstance(value, str) else dump(value)


def _fastavro() -> Any:
    """The library that writes Avro.

    Raises:
        InvalidOption: it is not installed.
    """
    try:
        import fastavro
        import fastavro.write
    except ImportError:
        raise InvalidOption("FORMAT USING", "AvroFormatter", reason="It needs fastavro: "
                            "`pip install \"dlt-source-stripe[striim]\"`.") from None
    return fastavro
