"""JSON objects out of a stream: one after another, one a line, or in an array; what is broken costs itself alone."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import orjson

READ = 1_000_000  # bytes that are read at once
FIRST_WINDOW = 16_384  # bytes in which the end of an object is looked for at first
LONGEST = 64_000_000  # bytes of one WAEvent; what is longer is broken
_BETWEEN = re.compile(rb"[\s,;\[\]\x1e\xef\xbb\xbf]+")  # also record separators, a byte order mark
_AFTER = b"\r\t ,;]"
# Where the next object may begin behind one that is broken: on a line of its own, or as the next member of an array
_NEXT = re.compile(rb"\n[\[,\s]{0,40}?\{(?=\s*(?:\"|\}))|\}\s*,?\s*\{(?=\s*\"(?:metadata|data|pos|_id)\"\s*:)")
_DECODER = json.JSONDecoder()


class Found(NamedTuple):
    """An object of a stream, or what stands in the place of one.

    Args:
        position: its number, from 1.
        offset: the byte at which it begins.
        value: the object; None where it cannot be read.
        raw: its bytes.
        reason: why it cannot be read.
    """

    position: int
    offset: int
    value: Any
    raw: bytes
    reason: str | None = None


class _Stream:
    """What was read and is not used yet."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.buffer, self.at, self.offset, self.ended = file, b"", 0, 0, False

    def more(self) -> bool:
        """Read on; whether there was more."""
        if self.ended:
            return False
        read = self._file.read(READ)
        if not read:
            self.ended = True
            return False
        self.offset += self.at
        self.buffer, self.at = self.buffer[self.at:] + read, 0
        return True

    def line_end(self) -> int:
        """Where the line ends that begins here, or what is there of it."""
        searched = self.at
        while (end := self.buffer.find(b"\n", searched)) < 0:
            length = len(self.buffer) - self.at
            if length > LONGEST or not self.more():
                return len(self.buffer)
            searched = self.at + length
        return end

    def take(self, end: int) -> bytes:
        """The bytes up to there."""
        taken, self.at = self.buffer[self.at:end], end
        return taken


def json_objects(file: IO[bytes]) -> Iterator[Found]:
    """The JSON objects of a stream, in order; whatever is none is one that cannot be read.

    Args:
        file: open for reading; not read further than one needs.
    """
    stream, position = _Stream(file), 0
    while True:
        if match := _BETWEEN.match(stream.buffer, stream.at):
            stream.at = match.end()
        if stream.at >= len(stream.buffer):
            if stream.more():
                continue
            return
        position += 1
        begin = stream.offset + stream.at
        if stream.buffer[stream.at] != ord("{"):
            raw = stream.take(_end_of_junk(stream))
            yield Found(position, begin, None, raw, "there is something that is no JSON object")
            continue
        value, raw, reason = _object(stream)
        yield Found(position, begin, value, raw, reason)


def _object(stream: _Stream) -> tuple[Any, bytes, str | None]:
    """The object that begins here, its bytes, and why it cannot be read."""
    end = stream.line_end()
    line = stream.buffer[stream.at:end].rstrip(_AFTER)
    try:
        value = orjson.loads(line)
        stream.at += len(line)
        return value, line, None
    except orjson.JSONDecodeError as error:
        reason = str(error)
    window = FIRST_WINDOW
    while True:
        while len(stream.buffer) - stream.at < window and stream.more():
            pass
        some = stream.buffer[stream.at:stream.at + window]
        try:
            text = some.decode("utf-8", "surrogateescape")
            value, length = _DECODER.raw_decode(text)
            raw = text[:length].encode("utf-8", "surrogateescape")
            stream.at += len(raw)
            raw.decode()
            return value, raw, None
        except UnicodeDecodeError:
            return None, raw, "it is not UTF-8"
        except (ValueError, RecursionError) as error:
            whole = stream.ended and stream.at + window >= len(stream.buffer)
            in_the_middle = isinstance(error, json.JSONDecodeError) and error.pos < len(text) - 64 and (
                not error.msg.startswith("Unterminated"))
            if whole or in_the_middle or window >= LONGEST or isinstance(error, RecursionError):
                reason = str(error) if isinstance(error, json.JSONDecodeError) else reason
                return None, stream.take(_end_of_broken(stream)), f"it is no JSON: {reason}"
            window *= 4


def _end_of_junk(stream: _Stream) -> int:
    """Where what is no object ends: before the next one, or with the line."""
    end = stream.line_end()
    found = stream.buffer.find(b"{", stream.at, end)
    return found if found >= 0 else end


def _end_of_broken(stream: _Stream) -> int:
    """Where a broken object ends: before the next that begins on a line of its own or as a WAEvent, else at the end."""
    searched = stream.at + 1
    while True:
        if found := _NEXT.search(stream.buffer, searched):
            return found.end() - 1
        rest = max(len(stream.buffer) - stream.at - 200, 1)
        if len(stream.buffer) - stream.at > LONGEST or not stream.more():
            return len(stream.buffer)
        searched = stream.at + rest
