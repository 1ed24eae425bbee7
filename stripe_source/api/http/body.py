"""The body of an answer, read and unpacked piece by piece, up to a limit."""
from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

LARGEST_ANSWER = 64_000_000  # bytes; 100 events with objects of 128 KB are 13 million


class TooLarge(Exception):
    """An answer is larger than we take."""


class Undecodable(Exception):
    """An answer is not packed as it says."""


async def read_body(response: aiohttp.ClientResponse, limit: int | None = None) -> bytes:
    """Read the body of an answer.

    Args:
        response: of a session that does not unpack by itself.
        limit: how many bytes it may have, unpacked; None: `LARGEST_ANSWER`.

    Raises:
        TooLarge: there are more; no more than that was held.
        Undecodable: it is not packed as its header says.
    """
    limit = LARGEST_ANSWER if limit is None else limit
    unpacker = _Unpacker(response.headers.get("Content-Encoding", "identity").strip().lower())
    pieces: list[bytes] = []
    received = size = 0
    async for packed in response.content.iter_any():
        received += len(packed)
        piece = unpacker.unpack(packed, limit - size + 1)
        size += len(piece)
        if max(received, size) > limit:
            raise TooLarge(f"More than {limit / 1e6:,.0f} MB in one answer")
        pieces.append(piece)
    unpacker.end()
    return b"".join(pieces)


class _Unpacker:
    """Unpacks what comes with a `Content-Encoding`."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Undecodable(f"An answer packed with `{encoding[:40]}`, which was not asked for")
        self._packed = encoding not in ("", "identity")
        self._stream: zlib._Decompress | None = None

    def unpack(self, packed: bytes, room: int) -> bytes:
        """The next piece, of at most `room` bytes."""
        if not self._packed or not packed:
            return packed
        if self._stream is None:  # gzip or zlib have a header; some send `deflate` without one
            self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32 if packed[0] & 15 in (8, 15) else -zlib.MAX_WBITS)
        try:
            piece = self._stream.decompress(packed, room)
        except zlib.error as error:
            raise Undecodable(f"An answer cannot be unpacked: {error}") from None
        if self._stream.unused_data:
            raise Undecodable("An answer goes on behind its end")
        return piece

    def end(self) -> None:
        """The last piece came."""
        if self._stream is not None and not self._stream.eof:
            raise Undecodable("An answer ends in the middle of a packed stream")
