"""A page that is no JSON as a whole, because of some of its objects: the others are read, and these are named."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python keeps a byte that is no UTF-8
_NO_NUMBER = re.compile(r'(?<=[\[,:\s])-?(?:NaN|Infinity)(?=[\],}\s])')
DEEPEST = 500  # levels; what our parsers take depends on the Python


class Unreadable(NamedTuple):
    """An object of a page that cannot be read. Its id is None where even that is not there."""

    id: str | None
    reason: str


class Salvage(NamedTuple):
    """What is left of a page."""

    body: dict[str, Any]
    unreadable: tuple[Unreadable, ...]


def salvage(text: bytes, parse: Callable[[bytes], Any]) -> Salvage | None:
    """Read the objects of a page one by one.

    Args:
        text: of an answer that is no JSON.
        parse: reads JSON, and answers with None where it is none.

    Returns:
        None where the page itself is broken, such as one that is cut off.
    """
    whole = text.decode("utf-8", "surrogateescape")
    found = _data_of(whole)
    if found is None:
        return None
    begin, end, places = found
    body = parse((whole[:begin] + "[]" + whole[end:]).encode("utf-8", "surrogateescape"))
    if not isinstance(body, dict):
        return None
    data, unreadable = [], []
    for place in places:
        part = whole[place]
        thing = parse(part.encode("utf-8", "surrogateescape"))
        if isinstance(thing, dict):
            data.append(thing)
        else:
            unreadable.append(Unreadable(_id_of(part, parse), _reason(part)))
    return Salvage({**body, "data": data}, tuple(unreadable)) if unreadable else None


def _data_of(page: str) -> tuple[int, int, list[slice]] | None:
    """Where `data` of a page begins and ends, and where its objects are; None where that cannot be told."""
    begin, first, places = None, 0, list[slice]()
    for token, depth, key in _tokens(page):
        at = token.start()
        if begin is None:
            if depth == 1 and token[0] == "[" and key == '"data"':
                begin = at
        elif depth == 1:  # of the bracket that closes it
            return begin, token.end(), places
        elif depth == 2 and token[0] == "{":
            first = at
        elif depth == 2 and token[0] == "}":
            places.append(slice(first, token.end()))
        elif depth == 2 and token[0] != ",":
            return None  # something else than objects
    return None


def _tokens(text: str) -> Iterator[tuple[re.Match[str], int, str]]:
    """Strings and punctuation marks, with how deep they are, and the last key on the outermost level."""
    depth, key, string = 0, "", ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "}]":
            depth -= 1
        elif depth == 1 and mark == ":":
            key = string
        elif mark[0] == '"':
            string = mark
        yield token, depth, key
        if mark in "{[":
            depth += 1


def _id_of(thing: str, parse: Callable[[bytes], Any]) -> str | None:
    for token, depth, key in _tokens(thing):
        if depth == 1 and key == '"id"' and token[0][0] == '"':
            id = parse(b"[%b]" % token[0].encode("utf-8", "surrogateescape"))
            return str(id[0]) if id else None
    return None


def _reason(thing: str) -> str:
    if _UNDECODED.search(thing):
        return "it is not UTF-8"
    depth = max(depth for _, depth, _ in _tokens(thing))
    if depth > DEEPEST:
        return f"its values are nested {depth:,} levels deep"
    if word := _NO_NUMBER.search(thing):
        return f"it has the number `{word[0]}`, which is no JSON"
    return "it is no JSON"
