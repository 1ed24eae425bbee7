"""Objects from their number: the bytes of one object, with gaps for what differs in others."""
from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import orjson

from stripe_source.sandbox.bulk.tails import LENGTH, Tails
from stripe_source.sandbox.state.store import Data

# A gap is a name between two characters that are in no text of Stripe; of a number the quotation marks go with it.
_GAP = re.compile("\"\ue002([^\ue001]*)\ue001\"|\ue000([^\ue001]*)\ue001")
_ID = re.compile(r"(?!(?:acct|plan|price|prod|txr)_|.*_secret_)(?=.*[A-Z0-9])[a-z]{2,8}_[A-Za-z0-9_]*[A-Za-z0-9]{14}")
_SUMS = ("amount", "total", "balance", "net")  # in names of money
_TIMES = range(1_400_000_000, 2_200_000_000)  # seconds that a number is taken for, where it is no money
PERIOD = 60  # which of the templates is taken repeats after so many objects


def head(id: str) -> str:
    """What the ids of a table have in common, by one of them: all but its end, or the whole of a short one."""
    return id[:-LENGTH] if re.search(f"_.*[A-Za-z0-9]{{{LENGTH}}}$", id) else id


def gapped(data: Data, also: Data, sums: bool, table_of: Callable[[str], tuple[str, str] | None]) -> tuple[Data, Data]:
    """An object with gaps for its ids, times and amounts.

    Args:
        data: the object.
        also: what it shows with `expand[]` only.
        sums: whether its amounts differ; otherwise they stay as they are.
        table_of: which table an id belongs to, and how the ids of that begin; None: to none in bulk.
    """
    created = data.get("created") or data.get("date") or 0
    inner = data["data"]["object"] if data["object"] == "event" else data
    amount = next((inner[name] for name in ("amount", "total", "unit_amount") if sums and inner.get(name)), None)
    ids: dict[str, str] = {}

    def collect(node: Any) -> None:
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            if isinstance(each, str) and each not in ids:
                found = table_of(each)
                if each == data["id"]:
                    ids[each] = f"{head(each)}\ue000id\ue001"
                elif found is not None:
                    ids[each] = f"{found[1]}\ue000{found[0]}\ue001"
                elif _ID.fullmatch(each):
                    ids[each] = f"{head(each)}\ue000id\ue001"
            collect(each)

    def replaced(node: Any, name: str) -> Any:
        if isinstance(node, dict):
            return {key: replaced(value, key) for key, value in node.items()}
        if isinstance(node, list):
            return [replaced(each, name) for each in node]
        if isinstance(node, str):
            for id in known:
                if id in node:
                    node = node.replace(id, ids[id])
            return "\ue000amount\ue001" if amount and name.endswith("amount_decimal") and node == str(amount) else node
        if isinstance(node, int) and not isinstance(node, bool):
            money = any(each in name for each in _SUMS)
            if amount and money and (node == amount or name == "net"):
                return f"\ue002amount{node - amount:+d}\ue001"
            if not money and node in _TIMES:
                return f"\ue002created{node - created:+d}\ue001"
        return node

    collect(data)
    collect(also)
    known = sorted(ids, key=len, reverse=True)
    return replaced(data, ""), replaced(also, "")


class Template:
    """The bytes of an object with gaps.

    Args:
        data: the object, with gaps.
        tails: ends of ids.
        sizes: how many objects there are, by table.
        own: the table of the object.
        pretty: whether it is indented, as within a list.
    """

    def __init__(self, data: Any, tails: Tails, sizes: dict[str, int], own: str, pretty: bool) -> None:
        body = orjson.dumps(data, option=orjson.OPT_INDENT_2 if pretty else None).decode()
        if pretty:
            body = body.replace("\n", "\n    ")
        self._end = tails.end
        self._size = sizes[own]
        self._others: list[int] = []  # how many objects related tables have
        self._shifts: list[int] = []  # seconds after `created`
        self._sums: list[int] = []  # more than the amount
        gaps: list[tuple[int, int]] = []
        form, at = "", 0
        for gap in _GAP.finditer(body):
            name = gap[1] or gap[2]
            form += body[at:gap.start()].replace("%", "%%")
            at = gap.end()
            what = re.fullmatch(r"(amount|created)([+-]\d+)?", name)
            if what is not None:
                held, value = self._sums if what[1] == "amount" else self._shifts, int(what[2] or 0)
                place, form = 3 if what[1] == "amount" else 4, form + "%d"
            elif name == "number":
                held, value, place, form = [], 0, 0, form + "%d"
            elif name == "id" or sizes[name] == self._size:
                held, value, place, form = [], 0, 1, form + "%b"
            else:
                held, value, place, form = self._others, sizes[name], 2, form + "%b"
            if place > 1 and value not in held:
                held.append(value)
            gaps.append((place, held.index(value) if place > 1 else 0))
        self._form = (form + body[at:].replace("%", "%%")).encode()
        starts = [0, 1, 2, 2 + len(self._others), 2 + len(self._others) + len(self._sums)]
        places = [starts[place] + index for place, index in gaps]
        # of one place `itemgetter` would return no tuple
        self._get: Callable[[list[Any]], Any] = itemgetter(*places) if len(places) > 1 else (
            lambda values: tuple(values[each] for each in places))

    def render(self, number: int, created: int) -> bytes:
        """The object of that number; hot: one `%` over the bytes of the whole object, and no step for each field."""
        size, end = self._size, self._end
        amount = 500 + number * 7919 % 99_500
        values = [
            number + 1, end(number), *[end(number * other // size) for other in self._others],
            *[amount + more for more in self._sums], *[created + shift for shift in self._shifts],
        ]
        rendered: bytes = self._form % self._get(values)
        return rendered


class Templates:
    """The templates of a table, and which objects look like which.

    Args:
        of: by remainder, one template for each of `PERIOD` objects.
        times: when each object was created.
    """

    def __init__(self, of: list[Template], times: array[int]) -> None:
        self._renders = [each.render for each in of]
        self._times = times

    def render(self, number: int) -> bytes:
        """The object of that number."""
        return self._renders[number % PERIOD](number, self._times[number])
