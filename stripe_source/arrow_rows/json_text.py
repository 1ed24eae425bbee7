"""JSON text of any value, however deep, and text cleaned of what no destination can hold."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import orjson

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def dumps(value: Any) -> str:
    """JSON text of a value, whatever its depth and however long its integers."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # more than 64 bits, deeper than 254 levels, or half a surrogate pair
        text = clean("".join(pieces(value)))
    return _NUL.sub("\\1\ufffd", text) if "\\u0000" in text else text


def pieces(value: Any, ordered: bool = False) -> Iterator[str]:
    """The parts of the JSON text of a value, without recursion: Python's stack is shallow, and values may nest deep."""
    stack: list[tuple[bool, Any]] = [(False, value)]  # (whether it is text already, text or value)
    while stack:
        is_text, here = stack.pop()
        if is_text:
            yield here
        elif isinstance(here, (dict, list)):
            opening, closing = "{}" if isinstance(here, dict) else "[]"
            parts: list[tuple[bool, Any]] = [(True, opening)]
            members = here.items() if isinstance(here, dict) else ((None, inner) for inner in here)
            for place, (key, inner) in enumerate(sorted(members) if ordered and isinstance(here, dict) else members):
                name = "" if key is None else json.dumps(key, ensure_ascii=False) + ":"
                parts += [(True, ("," if place else "") + name), (False, inner)]
            stack += reversed([*parts, (True, closing)])
        elif isinstance(here, float) and not math.isfinite(here):
            yield "null"
        else:
            yield json.dumps(here, ensure_ascii=False)


def clean(text: str) -> str:
    """The text with U+FFFD in place of NUL and of halves of surrogate pairs, which destinations do not take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")
