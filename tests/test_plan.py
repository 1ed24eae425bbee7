"""What is asked of lists, and what is taken out of their objects: functions of values only."""
from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from stripe_source.plan import asked, at, days, filled, take, there
from stripe_source.table import Found

THING: dict[str, Any] = {
    "id": "x", "on": True, "none": None, "empty": [], "deep": {"er": "y", "list": [{"id": "1"}, {"id": "2"}, "3"]},
}


@pytest.mark.parametrize(("path", "values", "is_there"), [
    ("id", ["x"], True), ("none", [], False), ("empty", [[]], False), ("deep.er", ["y"], True),
    ("deep.list.id", ["1", "2"], True), ("deep.er.not", [], False), ("not", [], False),
])
def test_values_at_a_path(path: str, values: list[Any], is_there: bool) -> None:
    """Several where lists are on the way; null, empty text and empty lists are nothing."""
    assert (list(at(THING, path)), there(THING, path)) == (values, is_there)


def test_parents_that_may_have_children() -> None:
    """Those with the wanted value, and with something at the wanted place."""
    assert [asked(THING, Found("p", where=(("on", value),))) for value in (True, False)] == [True, False]
    assert [asked(THING, Found("p", when=path)) for path in ("deep.er", "none", "empty")] == [True, False, False]


def test_parameters_are_filled_from_the_parent() -> None:
    """A path in braces is its value, anything else is itself."""
    given = {"a": "{deep.er}", "b": "{none}", "c": "deep.er", "d": 1}

    assert filled(given, THING) == {"a": "y", "b": None, "c": "deep.er", "d": 1}


def test_whole_days() -> None:
    """A span is widened to midnight at both ends, and not where it ends there already."""
    assert days(86_401, 86_402) == (86_400, 172_800)
    assert days(86_400, 172_800) == (86_400, 172_800)


@pytest.mark.parametrize(("found", "value", "taken", "more", "left"), [
    (Found("p", at="c"), {"data": [{"id": "1"}], "has_more": True}, [{"id": "1"}], True, {"has_more": True}),
    (Found("p", at="c", expand=True), {"data": [{"id": "1"}], "has_more": False}, [{"id": "1"}], False, "gone"),
    (Found("p", at="c", expand=True), [{"id": "1"}, {"id": "2"}], [{"id": "1"}, {"id": "2"}], False, ["1", "2"]),
    (Found("p", at="c", expand=True), ["1"], [], True, ["1"]),
    (Found("p", at="c"), [{"id": "1"}], [{"id": "1"}], False, [{"id": "1"}]),
    (Found("p", at="c", expand=True), {"id": "1"}, [{"id": "1"}], False, "1"),
    (Found("p", at="c", spare=True), {"id": "1"}, [{"id": "1"}], False, {"id": "1"}),
    (Found("p", at="c", spare=True), "1", [{"id": "1"}], False, "1"),
    (Found("p", at="c"), None, [], False, None),
])
def test_children_are_taken_and_the_parent_is_as_if_nobody_had_asked(
    found: Found, value: Any, taken: list[Any], more: bool, left: Any
) -> None:
    """An expanded list goes, expanded references are ids again, an embedded list leaves its wrapper."""
    thing = {"id": "p", "c": deepcopy(value)}

    assert take(thing, found) == (taken, more)
    assert thing.get("c", "gone") == left
