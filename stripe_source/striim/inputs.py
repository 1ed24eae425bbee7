"""Where WAEvents come from: files, globs, standard input, iterators; each with its place, read or with the reason."""
from __future__ import annotations

import glob
import gzip
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from stripe_source.errors import InvalidOption
from stripe_source.waevent_forms.avro_form import event_of_record, read_avro
from stripe_source.waevent_forms.form import BadWAEvent, StriimWAEvent
from stripe_source.waevent_forms.json_form import dumps, event_of_json
from stripe_source.waevent_forms.scan import json_objects

STDIN = "-"
FORMATS = ("auto", "json", "avro")
LONGEST_RAW = 100_000  # characters of a bad WAEvent that are kept
_AVRO, _GZIP = b"Obj\x01", b"\x1f\x8b"
Source = str | os.PathLike[str] | Iterable[Any]


class Entry(NamedTuple):
    """One WAEvent of an input, or what stands in the place of one.

    Args:
        file: the file; `-` is standard input, `iterator` an iterator.
        position: its number in that, from 1.
        event: the WAEvent; None where it is none.
        raw: makes the text of it.
        reason: why it is none.
    """

    file: str
    position: int
    event: StriimWAEvent | None
    raw: Callable[[], str]
    reason: str | None = None


def entries(source: Source, form: str = "auto") -> Iterator[Entry]:
    """The WAEvents of an input, in order.

    Args:
        source: a path, a pattern such as `out/*.json.gz`, or `-` for standard input; several of these; or an iterable
            of WAEvents: as this package has them, as dicts, or as JSON text.
        form: "json", "avro", or "auto": as the first bytes of a file tell. Files may be packed by gzip.

    Raises:
        InvalidOption: there is no such file or format.
    """
    check_source(source, form)
    position = 0
    for each in _each(source):
        if _is_path(each):
            for path in _paths(os.fspath(each)):
                yield from _of_file(path, form)
        else:
            position += 1
            yield _of_iterator(position, each)


def check_source(source: Source, form: str = "auto") -> None:
    """See whether the files are there; an iterator is left alone.

    Raises:
        InvalidOption: there is no such file or format.
    """
    if form not in FORMATS:
        raise InvalidOption("format", form, FORMATS)
    given = _each(source)
    for each in given if isinstance(given, (list, tuple)) else ():
        if _is_path(each):
            _paths(os.fspath(each))


def _each(source: Source) -> Iterable[Any]:
    return [source] if isinstance(source, (str, os.PathLike)) else source


def _is_path(value: Any) -> bool:
    """Whether a value is a path or pattern, and no WAEvent as text."""
    if isinstance(value, str):
        return not value.lstrip().startswith(("{", "["))
    return isinstance(value, os.PathLike)


def _paths(given: str) -> list[str]:
    """The files that a path or pattern means, in the order of their names."""
    if given == STDIN:
        return [given]
    if os.path.isdir(given):
        names = sorted(path for path in Path(given).iterdir() if path.is_file() and not path.name.startswith("."))
        return [str(path) for path in names]
    if os.path.exists(given):
        return [given]
    if found := sorted(path for path in glob.glob(given, recursive=True) if os.path.isfile(path)):
        return found
    raise InvalidOption("files", given, reason="There is no such file; `-` is standard input.")


def _of_file(path: str, form: str) -> Iterator[Entry]:
    if path == STDIN:
        yield from _of_stream(path, sys.stdin.buffer, form)
        return
    try:
        with open(path, "rb") as file:
            yield from _of_stream(path, file, form)
    except OSError as error:
        raise InvalidOption("files", path, reason=f"It cannot be read: {error.strerror or error}.") from error


def _of_stream(name: str, file: IO[bytes], form: str) -> Iterator[Entry]:
    buffered: Any = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)
    if buffered.peek(2)[:2] == _GZIP:
        buffered = io.BufferedReader(gzip.GzipFile(fileobj=buffered))
    counted = _Counted()
    try:
        is_avro = form == "avro" or (form == "auto" and buffered.peek(4)[:4] == _AVRO)
        yield from _of_avro(name, buffered, counted) if is_avro else _of_json(name, buffered, counted)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = f"the file is cut, or its gzip is broken: {error}"
        yield Entry(name, counted.number + 1, None, str, reason)
    except Exception as error:  # whatever zlib says of bytes that are none of its
        if type(error).__module__ != "zlib":
            raise
        yield Entry(name, counted.number + 1, None, str, f"its gzip is broken: {error}")


class _Counted:
    """How many WAEvents of a file were read."""

    number = 0


def _of_json(name: str, file: IO[bytes], counted: _Counted) -> Iterator[Entry]:
    for found in json_objects(file):
        counted.number = found.position

        def raw(text: bytes = found.raw) -> str:
            return text[:LONGEST_RAW * 4].decode("utf-8", "replace").strip()[:LONGEST_RAW]

        if found.reason is not None:
            yield Entry(name, found.position, None, raw, f"{found.reason} (byte {found.offset})")
            continue
        yield _entry(name, found.position, found.value, raw, event_of_json)


def _of_avro(name: str, file: IO[bytes], counted: _Counted) -> Iterator[Entry]:
    records = read_avro(file)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except InvalidOption:
            raise
        except Exception as error:  # fastavro raises whatever it trips over; nothing behind it can be found
            counted.number += 1
            yield Entry(name, counted.number, None, str, f"the file is no Avro from here on: {error or type(error)}")
            return
        counted.number += 1
        yield _entry(name, counted.number, record, _printed(record), event_of_record)


def _of_iterator(position: int, value: Any) -> Entry:
    if isinstance(value, StriimWAEvent):
        return Entry("iterator", position, value, _printed(value._asdict()))
    if isinstance(value, (str, bytes)):
        found = list(json_objects(io.BytesIO(value.encode("utf-8", "surrogatepass") if isinstance(value, str)
                                             else value)))
        if len(found) != 1 or found[0].reason is not None:
            reason = found[0].reason if found else "there is no JSON object"
            return Entry("iterator", position, None, lambda: str(value)[:LONGEST_RAW], reason or "there are several")
        value = found[0].value
    return _entry("iterator", position, value, _printed(value), event_of_json)


def _entry(name: str, position: int, value: Any, raw: Callable[[], str], read: Callable[[Any], StriimWAEvent]) -> Entry:
    try:
        return Entry(name, position, read(value), raw)
    except BadWAEvent as error:
        return Entry(name, position, None, raw, str(error))


def _printed(value: Any) -> Callable[[], str]:
    def text() -> str:
        shown = value if not isinstance(value, Mapping) else {
            name: each.hex() if isinstance(each, bytes) else each for name, each in value.items()}
        try:
            return dumps(shown)[:LONGEST_RAW]
        except (TypeError, ValueError, RecursionError):
            return repr(value)[:LONGEST_RAW]

    return text
