"""The leaves of an object, the forms in which each counts as found in a row, and any JSON drawn by hypothesis."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st


class Leaf:
    """Forms in which a value counts as found. Independent of the code under test: made from the rules of the design."""

    @staticmethod
    def of(value: Any) -> list[tuple[str, Any]]:
        """The forms in which a leaf of an object may be found."""
        if isinstance(value, bool):
            return [("bool", value)]
        if isinstance(value, (int, float)):
            return [("number", Fraction(value))]
        forms = [("text", value.replace("\0", "\ufffd"))]
        if match := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|z|[+-]\d\d:\d\d)?", value, re.ASCII):
            try:
                moment = datetime.fromisoformat(match[1] + (match[3] or "Z").upper().replace("Z", "+00:00"))
                forms.append(("second", int(moment.timestamp())))
            except (ValueError, OverflowError):
                pass
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", value):
            forms.append(("decimal", Fraction(value)))
        return forms

    @staticmethod
    def held(value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        """The forms that a cell of a column holds."""
        if value is None:
            return
        if kind == "json":
            yield from (Leaf.of(leaf)[0] for leaf in leaves(json.loads(value)))
        elif kind == "timestamp":
            yield ("second", math.floor(Fraction(value, 10**6)))
            yield ("number", Fraction(value, 10**6))
            yield ("text", str(value // 10**6))
        elif kind == "decimal":
            yield ("decimal", Fraction(value))
            yield ("number", Fraction(value))
            yield ("number", Fraction(float(value)))
        elif kind == "text":
            yield ("text", value)
            if value in ("true", "false") or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", value):
                scalar = (
                    json.loads(value) if value[0] in "tf" else float(value) if re.search("[.eE]", value) else int(value)
                )
                yield from Leaf.of(scalar)[:1] if scalar not in (math.inf, -math.inf) else ()
        else:
            yield Leaf.of(value)[0]
            if kind == "bigint":
                yield ("text", str(value))


def leaves(value: Any, without: frozenset[tuple[str, ...]] = frozenset(), path: tuple[str, ...] = ()) -> Iterator[Any]:
    """The leaves of a value, but not the data of lists at the paths `without`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            rows = isinstance(inner, list) and all(isinstance(item, dict) for item in inner)
            if not (path in without and key == "data" and rows):
                yield from leaves(inner, without, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not None:
        yield value


KEYS = st.one_of(
    st.sampled_from(
        [
            "id",
            "amount",
            "object",
            "data",
            "type",
            "card",
            "new_field",
            "New",
            "v_json",
            "expanded",
            "amount__v_json",
            "_unmapped",
            "_deleted",
            "metadata",
            "a.b",
            "a__b",
            "a",
            "b",
            "",
            "x" * 70,
            "lines",
            "has_more",
            "billing_details",
        ]
    ),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["2024-02-03T04:05:06Z", "2024-02-03T04:05:06.789+05:30", "12", "1.50", "-0", "1e5"]),
    st.integers(-(10**12), 10**12),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=15,
)
