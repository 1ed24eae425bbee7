"""What is asked of lists, and what is taken out of their objects: functions of values only."""
from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from stripe_source.errors import InvalidRequest, PermissionDenied
from stripe_source.extract.plan import ListPlan, expansions, plan_lists, read_with_allowed_expansions
from stripe_source.tables.placement import (
    Placement,
    extract_children,
    fill_params,
    is_present,
    may_have_children,
    values_at,
    whole_days,
)
from stripe_source.tables.registry import BY_NAME

THING: dict[str, Any] = {
    "id": "x", "on": True, "none": None, "empty": [], "deep": {"er": "y", "list": [{"id": "1"}, {"id": "2"}, "3"]},
}


@pytest.mark.parametrize(("path", "values", "is_there"), [
    ("id", ["x"], True), ("none", [], False), ("empty", [[]], False), ("deep.er", ["y"], True),
    ("deep.list.id", ["1", "2"], True), ("deep.er.not", [], False), ("not", [], False),
])
def test_values_at_a_path(path: str, values: list[Any], is_there: bool) -> None:
    """Several where lists are on the way; null, empty text and empty lists are nothing."""
    assert (list(values_at(THING, path)), is_present(THING, path)) == (values, is_there)


def test_parents_that_may_have_children() -> None:
    """Those with the wanted value, and with something at the wanted place."""
    where = [Placement("p", where=(("on", value),)) for value in (True, False)]
    assert [may_have_children(THING, each) for each in where] == [True, False]
    when = [Placement("p", when=path) for path in ("deep.er", "none", "empty")]
    assert [may_have_children(THING, each) for each in when] == [True, False, False]


def test_parameters_are_filled_from_the_parent() -> None:
    """A path in braces is its value, anything else is itself."""
    given = {"a": "{deep.er}", "b": "{none}", "c": "deep.er", "d": 1}

    assert fill_params(given, THING) == {"a": "y", "b": None, "c": "deep.er", "d": 1}


def test_whole_days() -> None:
    """A span is widened to midnight at both ends, and not where it ends there already."""
    assert whole_days(86_401, 86_402) == (86_400, 172_800)
    assert whole_days(86_400, 172_800) == (86_400, 172_800)


@pytest.mark.parametrize(("found", "value", "taken", "more", "left"), [
    (Placement("p", at="c"), {"data": [{"id": "1"}], "has_more": True}, [{"id": "1"}], True, {"has_more": True}),
    (Placement("p", at="c", expand=True), {"data": [{"id": "1"}], "has_more": False}, [{"id": "1"}], False, "gone"),
    (Placement("p", at="c", expand=True), [{"id": "1"}, {"id": "2"}], [{"id": "1"}, {"id": "2"}], False, ["1", "2"]),
    (Placement("p", at="c", expand=True), ["1"], [], True, ["1"]),
    (Placement("p", at="c"), [{"id": "1"}], [{"id": "1"}], False, [{"id": "1"}]),
    (Placement("p", at="c", expand=True), {"id": "1"}, [{"id": "1"}], False, "1"),
    (Placement("p", at="c", fallback=True), {"id": "1"}, [{"id": "1"}], False, {"id": "1"}),
    (Placement("p", at="c", fallback=True), "1", [{"id": "1"}], False, "1"),
    (Placement("p", at="c"), None, [], False, None),
])
def test_children_are_taken_and_the_parent_is_as_if_nobody_had_asked(
    found: Placement, value: Any, taken: list[Any], more: bool, left: Any
) -> None:
    """An expanded list goes, expanded references are ids again, an embedded list leaves its wrapper."""
    thing = {"id": "p", "c": deepcopy(value)}

    assert extract_children(thing, found) == (taken, more)
    assert thing.get("c", "gone") == left


# ---- expansions that a key may not read


@pytest.mark.parametrize(("forbidden", "left_out"), [
    ((), []), (("tiers",), ["tiers"]), (("currency_options",), ["currency_options"]),
    (("tiers", "currency_options"), ["currency_options", "tiers"]),
])
def test_a_refused_field_is_the_only_one_that_is_not_expanded(forbidden: tuple[str, ...], left_out: list[str]) -> None:
    """Stripe does not say which one it is: each is left out alone, and only then all."""
    (plan,) = plan_lists([BY_NAME["prices"]])
    lost: list[str] = []

    async def read(allowed: ListPlan) -> list[str]:
        if any(path in forbidden for path in expansions(allowed)):
            raise PermissionDenied("The provided key does not have the required permissions.", status=403)
        return expansions(allowed)

    read_with = asyncio.run(read_with_allowed_expansions(
        plan, read, lambda table, error: pytest.fail("no table is lost"), on_lost_fields=lambda table, paths:
        lost.extend(sorted(paths))))

    assert (read_with, lost) == ([path for path in ("tiers", "currency_options") if path not in left_out], left_out)


def test_a_refused_list_is_refused() -> None:
    """Without any expansion too: it is about the list, and no field is named."""
    (plan,) = plan_lists([BY_NAME["prices"]])

    async def read(allowed: ListPlan) -> None:
        raise PermissionDenied("The provided key does not have the required permissions.", status=403)

    with pytest.raises(PermissionDenied):
        asyncio.run(read_with_allowed_expansions(
            plan, read, lambda table, error: None, on_lost_fields=lambda table, paths: pytest.fail("no field is lost")))


def test_a_field_that_another_version_does_not_know_is_the_only_one_left_out() -> None:
    """Stripe names the last step of the path: the rest is expanded, and no table is lost."""
    (plan,) = plan_lists([BY_NAME["checkout_sessions"], BY_NAME["checkout_session_line_items"]])

    async def read(allowed: ListPlan) -> list[str]:
        if any(path.endswith("breakdown") for path in expansions(allowed)):
            raise InvalidRequest("This property cannot be expanded (breakdown).", status=400, param="expand")
        return expansions(allowed)

    found = asyncio.run(read_with_allowed_expansions(plan, read, lambda table, error: pytest.fail("no table is lost")))

    assert found == ["shipping_cost.taxes", "line_items", "line_items.data.discounts", "line_items.data.taxes"]
