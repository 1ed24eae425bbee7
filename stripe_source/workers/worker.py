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
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from stripe_source.api.http.secret_members import without_secret_members
from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.waevent import SELECT, WAEvent
from stripe_source.tables.placement import Placement
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.workers.protocol import ANSWER_HEAD, ORDER_HEAD, PLACE, pack_rows, without_children

PIPE_BYTES = 2**20  # bytes


def digest(page: Mapping[str, Any], members: Collection[str]) -> dict[str, Any]:
    """A page of a list with little of its objects: what has to be known of them to go on reading.

    Args:
        page: as Stripe sent it.
        members: of its objects that are kept.
    """
    return {**page, "data": [
        {PLACE: place, **{name: thing[name] for name in thing.keys() & members}}
        for place, thing in enumerate(page["data"])
    ]}


class _RowServer:
    """Carries out orders, and keeps pages until rows are made of them."""

    def __init__(self) -> None:
        self._pages: dict[int, list[dict[str, Any]]] = {}
        self._makers: dict[str, RowBuilder] = {}

    def do(self, order: dict[str, Any], body: bytes) -> bytes:
        if "page" in order:
            page = orjson.loads(body if order["secrets"] else without_secret_members(body))
            answer = orjson.dumps(digest(page, set(order["members"])))
            self._pages[order["page"]] = page["data"]
            return answer
        if "forget" in order:
            del self._pages[order["forget"]]
            return b""
        table = BY_NAME[order["table"]]
        events = [
            WAEvent(table.name, SELECT, read_at, thing, order["account"])
            for number, places, read_at, founds in order["rows"]
            for thing in self._things(number, places, founds)
        ]
        if table.name not in self._makers:
            self._makers[table.name] = RowBuilder(table_map(table))
        return bytes(pack_rows(self._makers[table.name].build(events)))

    def _things(
        self, number: int, places: Sequence[int], founds: Sequence[dict[str, Any]]
    ) -> Sequence[dict[str, Any]]:
        page = self._pages.pop(number)
        return without_children([page[place] for place in places], [Placement(**words) for words in founds])


def serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """Carry out orders until there are no more."""
    rows = _RowServer()
    while len(head := orders.read(ORDER_HEAD.size)) == ORDER_HEAD.size:
        length, size = ORDER_HEAD.unpack(head)
        order, body, answer = orders.read(length), orders.read(size), b""
        with suppress(Exception):  # what is wrong shows where it is done again
            answer = rows.do(orjson.loads(order), body)
        answers.write(ANSWER_HEAD.pack(len(answer)))
        answers.write(answer)
        answers.flush()


def _widen(pipe: int) -> None:
    """Let a pipe hold a few pages, so that neither end has to wait for the other in the middle of one."""
    with suppress(ImportError, AttributeError, OSError):  # not everywhere
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


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
