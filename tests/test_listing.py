"""How lists are walked: every object once, oldest first, whatever the time line looks like."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_source.client import Page
from stripe_source.errors import ResourceMissing
from stripe_source.listing import List, after, newest_first, oldest_first

NOW = 1_790_000_000


class Stripe:
    """A list in memory that pages as Stripe's reference says: newest first, `created` bounds, cursors by id."""

    def __init__(self, times: list[int], *, filters: bool = True) -> None:
        newest = sorted(times, reverse=True)
        self.objects = [{"id": f"ch_{len(newest) - n}", "created": at} for n, at in enumerate(newest)]
        self.filters, self.requests = filters, 0

    async def page(self, path: str, params: dict[str, Any] | None = None, *, account: str | None = None) -> Page:
        self.requests += 1
        assert self.requests < 3_000
        given = dict(params or {})
        low, high = (given.get("created[gte]", 0), given.get("created[lt]", NOW * 2)) if self.filters else (0, NOW * 2)
        there = [thing for thing in self.objects if low <= thing["created"] < high]
        ids = [thing["id"] for thing in there]
        limit = int(given.get("limit", 10))
        if "ending_before" in given:
            if given["ending_before"] not in ids:
                raise ResourceMissing("No such charge", status=400, param="ending_before", path=path)
            end = ids.index(given["ending_before"])
            return Page(there[max(0, end - limit):end], end > limit, NOW)
        start = ids.index(given["starting_after"]) + 1 if given.get("starting_after") else 0
        return Page(there[start:start + limit], len(there) > start + limit, NOW)

    async def pages(
        self, path: str, params: dict[str, Any] | None = None, *, limit: int | None = 100, account: str | None = None
    ) -> AsyncIterator[Page]:
        cursor = None
        while True:
            page = await self.page(path, {**(params or {}), "limit": limit, "starting_after": cursor})
            yield page
            if not page.has_more:
                return
            cursor = page.objects[-1]["id"]


def walked(walk: AsyncIterator[Any]) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        return [thing async for batch in walk for thing in batch.objects]

    return asyncio.run(collect())


LIST = List("/v1/charges", {})
times = st.lists(
    st.one_of(st.integers(1, NOW), st.integers(NOW - 5_000, NOW), st.sampled_from([NOW, NOW - 1, 1_500_000_000])),
    max_size=600,
)


@settings(max_examples=60, deadline=None)
@given(times, st.one_of(st.none(), st.integers(1, NOW)))
def test_oldest_first_brings_every_object_once_and_in_order(at: list[int], low: int | None) -> None:
    """Ties, bursts and empty decades: all objects from the lower bound on, each once, never an older after a newer."""
    stripe = Stripe(at)
    got = walked(oldest_first(stripe, LIST, low, NOW + 1))  # type: ignore[arg-type]

    assert [thing["created"] for thing in got] == sorted(when for when in at if when >= (low or 0))
    assert len({thing["id"] for thing in got}) == len(got)


@pytest.mark.parametrize(("name", "at"), [
    ("even over ten years", [NOW - n * 31_536 for n in range(10_000)]),
    ("all in one day of ten years", [NOW - 150_000_000 - n * 8 for n in range(9_999)] + [NOW]),
    ("5,000 in one second", [NOW - 5_000_000] * 5_000 + [NOW - n * 100 for n in range(3_000)]),
    ("two, ten years apart", [NOW, NOW - 315_360_000]),
    ("nothing", []),
])
def test_oldest_first_asks_little_more_than_the_pages_there_are(name: str, at: list[int]) -> None:
    """A skewed time line costs a bounded number of requests beside those that bring a full page."""
    stripe = Stripe(at)
    got = walked(oldest_first(stripe, LIST, None, NOW + 1))  # type: ignore[arg-type]

    assert len(got) == len(at)
    assert stripe.requests <= 1.4 * len(at) / 100 + 20


def test_a_server_that_ignores_the_filter_is_read_in_its_own_order() -> None:
    """Some servers that pose as Stripe do not know `created`; the walk ends all the same, with every object once."""
    stripe = Stripe([NOW - n * 1_000 for n in range(450)], filters=False)
    got = walked(oldest_first(stripe, LIST, None, NOW + 1))  # type: ignore[arg-type]

    assert sorted(thing["id"] for thing in got) == sorted(thing["id"] for thing in stripe.objects)


def test_newest_first_keeps_to_its_bounds() -> None:
    """`gte` and `lt`: the lower bound belongs to it, the upper does not."""
    stripe = Stripe([10, 20, 30, 40])
    got = walked(newest_first(stripe, LIST, 20, 40))  # type: ignore[arg-type]

    assert [thing["created"] for thing in got] == [30, 20]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(NOW - 1_000, NOW), min_size=1, max_size=400), st.data())
def test_after_brings_what_came_later_oldest_first(at: list[int], data: st.DataObject) -> None:
    """Onwards from an object: exactly those that the list has before it, the oldest of them first."""
    stripe = Stripe(at)
    place = data.draw(st.integers(0, len(at) - 1))
    got = walked(after(stripe, LIST, stripe.objects[place]["id"]))  # type: ignore[arg-type]

    assert got == stripe.objects[:place][::-1]


def test_after_an_object_that_is_gone_is_an_error_of_its_own() -> None:
    """The caller decides what to do when the marker object is no longer there."""
    with pytest.raises(ResourceMissing):
        walked(after(Stripe([1, 2]), LIST, "ch_gone"))  # type: ignore[arg-type]
