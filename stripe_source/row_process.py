"""The process in which rows of long lists are made: pages come in as Stripe sent them, and go out as Arrow.

It reads orders from its standard input and answers each, in their order, on its standard output; `apart` is the other
end. It knows no key, asks nobody anything, and ends with its input. An order that it cannot carry out is answered by
nothing, and is then done by whoever gave it: that is where errors have their place.

An order is some JSON and a body, after the lengths of both; an answer is one body.
"""
from __future__ import annotations

import gc
import os
import signal
import struct
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from stripe_source.plan import asked, take
from stripe_source.rows import RowMaker, packed
from stripe_source.schema_map import table_map
from stripe_source.table import Found
from stripe_source.tables import BY_NAME
from stripe_source.waevent import INSERT, WAEvent

ORDER = struct.Struct("<II")  # bytes of JSON, and of the body
ANSWER = struct.Struct("<I")  # bytes; 0: it could not be done
WIDE = 2**20  # bytes
WHERE = "\0"  # a member of the objects in a digest: their place on the page, which no member of Stripe's is named like


def digest(page: Mapping[str, Any], members: Collection[str]) -> dict[str, Any]:
    """A page of a list with little of its objects: what has to be known of them to go on reading.

    Args:
        page: as Stripe sent it.
        members: of its objects that are kept.
    """
    return {**page, "data": [
        {WHERE: place, **{name: thing[name] for name in thing.keys() & members}}
        for place, thing in enumerate(page["data"])
    ]}


def spelled(found: Found) -> dict[str, Any]:
    """What of a place is needed to take out what is there."""
    return {"parent": found.parent, "at": found.at, "expand": found.expand, "spare": found.spare,
            "where": found.where, "when": found.when}


def without_children(things: Sequence[dict[str, Any]], places: Sequence[Found]) -> Sequence[dict[str, Any]]:
    """Objects without those of other tables, as the reader leaves them."""
    for found in places:
        for thing in things:
            if asked(thing, found):
                take(thing, found)
    return things


class _Rows:
    """Carries out orders, and keeps pages until rows are made of them."""

    def __init__(self) -> None:
        self._pages: dict[int, list[dict[str, Any]]] = {}
        self._makers: dict[str, RowMaker] = {}

    def do(self, order: dict[str, Any], body: bytes) -> bytes:
        if "page" in order:
            page = orjson.loads(body)
            answer = orjson.dumps(digest(page, set(order["members"])))
            self._pages[order["page"]] = page["data"]
            return answer
        if "forget" in order:
            del self._pages[order["forget"]]
            return b""
        table = BY_NAME[order["table"]]
        events = [
            WAEvent(table.name, INSERT, read_at, thing, order["account"])
            for number, places, read_at, founds in order["rows"]
            for thing in self._things(number, places, founds)
        ]
        if table.name not in self._makers:
            self._makers[table.name] = RowMaker(table_map(table))
        return bytes(packed(self._makers[table.name].loose(events)))

    def _things(
        self, number: int, places: Sequence[int], founds: Sequence[dict[str, Any]]
    ) -> Sequence[dict[str, Any]]:
        page = self._pages.pop(number)
        return without_children([page[place] for place in places], [Found(**words) for words in founds])


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Carry out orders until there are no more."""
    rows = _Rows()
    while len(head := orders.read(ORDER.size)) == ORDER.size:
        length, size = ORDER.unpack(head)
        order, body, answer = orders.read(length), orders.read(size), b""
        with suppress(Exception):  # what is wrong shows where it is done again
            answer = rows.do(orjson.loads(order), body)
        answers.write(ANSWER.pack(len(answer)))
        answers.write(answer)
        answers.flush()


def _widen(pipe: int) -> None:
    """Let a pipe hold a few pages, so that neither end has to wait for the other in the middle of one."""
    with suppress(ImportError, AttributeError, OSError):  # not everywhere
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, WIDE)


def main() -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the orders
    gc.set_threshold(100_000)  # parsed JSON holds no cycles, and there is much of it
    _widen(0)
    _widen(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with suppress(OSError):  # the other end is gone
        serve(sys.stdin.buffer, answers)
