"""Templates that render an object from its number: the bytes of a prototype, with gaps for what differs."""
from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import orjson

from stripe_source.sandbox.bulk.ids import LENGTH, IdSuffixes
from stripe_source.sandbox.state.records import Data

# A gap is a name between two private-use characters; the gap of a number includes the quotation marks around it.
_GAP = re.compile("\"\ue002([^\ue001]*)\ue001\"|\ue000([^\ue001]*)\ue001")
_ID = re.compile(r"(?!(?:acct|plan|price|prod|txr)_|.*_secret_)(?=.*[A-Z0-9])[a-z]{2,8}_[A-Za-z0-9_]*[A-Za-z0-9]{14}")
_MONEY = ("amount", "total", "balance", "net")  # parts of the names of amounts
_TIMES = range(1_400_000_000, 2_200_000_000)  # a number in this range is a time, unless it is an amount
PERIOD = 60  # the choice of the template repeats after so many objects


def id_head(id: str) -> str:
    """Return what the ids of a table begin with: an id without its suffix, or the whole of a short id."""
    return id[:-LENGTH] if re.search(f"_.*[A-Za-z0-9]{{{LENGTH}}}$", id) else id


def with_gaps(
    data: Data, expand_only: Data, amounts_differ: bool, table_of: Callable[[str], tuple[str, str] | None]
) -> tuple[Data, Data]:
    """Return an object with gaps for its ids, times and amounts, and the same of what only `expand[]` shows.

    Args:
        data: the object.
        expand_only: what it shows with `expand[]` only.
        amounts_differ: whether objects differ in their amounts; otherwise amounts stay as they are.
        table_of: returns the bulk table that an id belongs to and the prefix of that table's ids, or None.
    """
    inner = data["data"]["object"] if data["object"] == "event" else data
    amount = next(
        (inner[name] for name in ("amount", "total", "unit_amount") if amounts_differ and inner.get(name)), None)
    ids: dict[str, str] = {}
    for text in (*_texts(data), *_texts(expand_only)):
        table = table_of(text)
        if text == data["id"]:
            ids[text] = f"{id_head(text)}\ue000id\ue001"
        elif table is not None:
            ids[text] = f"{table[1]}\ue000{table[0]}\ue001"
        elif _ID.fullmatch(text):
            ids[text] = f"{id_head(text)}\ue000id\ue001"
    longest_first = {id: ids[id] for id in sorted(ids, key=len, reverse=True)}
    gaps = _Gaps(longest_first, data.get("created") or data.get("date") or 0, amount)
    return gaps.put_into(data), gaps.put_into(expand_only)


def _texts(node: Any) -> Iterator[str]:
    """Yield each text inside of a value, however deep."""
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(each, str):
            yield each
        else:
            yield from _texts(each)


@dataclass(frozen=True)
class _Gaps:
    """Where an object gets gaps.

    Args:
        ids: ids, and each with a gap in it; longer ones first, as some begin with others.
        created: when the object was created.
        amount: its amount; None where amounts stay.
    """

    ids: dict[str, str]
    created: int
    amount: int | None

    def put_into(self, node: Any, name: str = "") -> Any:
        """Return a copy of a value with gaps; `name` is the field that holds it."""
        if isinstance(node, dict):
            return {key: self.put_into(value, key) for key, value in node.items()}
        if isinstance(node, list):
            return [self.put_into(each, name) for each in node]
        if isinstance(node, str):
            return self._text(node, name)
        return self._number(node, name) if isinstance(node, int) and not isinstance(node, bool) else node

    def _text(self, text: str, name: str) -> str:
        for id, gap in self.ids.items():
            if id in text:
                text = text.replace(id, gap)
        is_amount = self.amount and name.endswith("amount_decimal") and text == str(self.amount)
        return "\ue000amount\ue001" if is_amount else text

    def _number(self, number: int, name: str) -> int | str:
        is_money = any(each in name for each in _MONEY)
        if self.amount and is_money and (number == self.amount or name == "net"):
            return f"\ue002amount{number - self.amount:+d}\ue001"
        if not is_money and number in _TIMES:
            return f"\ue002created{number - self.created:+d}\ue001"
        return number


class Template:
    """The bytes of an object with gaps, ready to be filled.

    Args:
        data: the object, with gaps.
        id_suffixes: suffixes of ids.
        sizes: number of objects of each table.
        own: table of the object.
        pretty: whether it is indented, as within a list.
    """

    def __init__(self, data: Any, id_suffixes: IdSuffixes, sizes: dict[str, int], own: str, pretty: bool) -> None:
        body = orjson.dumps(data, option=orjson.OPT_INDENT_2 if pretty else None).decode()
        if pretty:
            body = body.replace("\n", "\n    ")
        self._end = id_suffixes.suffix
        self._size = sizes[own]
        self._related_sizes: list[int] = []  # numbers of objects of related tables
        self._time_offsets: list[int] = []  # seconds after `created`
        self._amount_offsets: list[int] = []  # added to the amount
        gaps: list[tuple[int, int]] = []
        form, at = "", 0
        for gap in _GAP.finditer(body):
            name = gap[1] or gap[2]
            form += body[at:gap.start()].replace("%", "%%")
            at = gap.end()
            what = re.fullmatch(r"(amount|created)([+-]\d+)?", name)
            if what is not None:
                held, value = self._amount_offsets if what[1] == "amount" else self._time_offsets, int(what[2] or 0)
                place, form = 3 if what[1] == "amount" else 4, form + "%d"
            elif name == "number":
                held, value, place, form = [], 0, 0, form + "%d"
            elif name == "id" or sizes[name] == self._size:
                held, value, place, form = [], 0, 1, form + "%b"
            else:
                held, value, place, form = self._related_sizes, sizes[name], 2, form + "%b"
            if place > 1 and value not in held:
                held.append(value)
            gaps.append((place, held.index(value) if place > 1 else 0))
        self._form = (form + body[at:].replace("%", "%%")).encode()
        starts = [0, 1, 2, 2 + len(self._related_sizes), 2 + len(self._related_sizes) + len(self._amount_offsets)]
        places = [starts[place] + index for place, index in gaps]
        # `itemgetter` of one place would return no tuple
        self._get: Callable[[list[Any]], Any] = itemgetter(*places) if len(places) > 1 else (
            lambda values: tuple(values[each] for each in places))

    def render(self, number: int, created: int) -> bytes:
        """Return the object of that number; hot: one `%` over the bytes of the object, no step for each field."""
        size, end = self._size, self._end
        amount = 500 + number * 7919 % 99_500
        values = [
            number + 1, end(number), *[end(number * other // size) for other in self._related_sizes],
            *[amount + more for more in self._amount_offsets], *[created + shift for shift in self._time_offsets],
        ]
        rendered: bytes = self._form % self._get(values)
        return rendered


class Templates:
    """The templates of a table, and which object uses which.

    Args:
        of: one template for each remainder of an object's number by `PERIOD`.
        times: when each object was created.
    """

    def __init__(self, of: list[Template], times: array[int]) -> None:
        self._renders = [each.render for each in of]
        self._times = times

    def render(self, number: int) -> bytes:
        """Return the object of that number."""
        return self._renders[number % PERIOD](number, self._times[number])
