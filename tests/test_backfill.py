"""How lists are walked: every object once, whatever the time line looks like, side by side or oldest first."""
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_clock import FakeTimeLoop, busiest_second
from hypothesis import given, settings
from hypothesis import strategies as st
from later import later

from stripe_source.api.client import Client
from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.lists import ListRequest, ObjectBatch, read_newest_first, read_onwards
from stripe_source.api.pages import Page
from stripe_source.api.rate_limits import Governor
from stripe_source.errors import ApiError, ResourceMissing
from stripe_source.extract.backfill.sweep import Sweep
from stripe_source.tables.table import Range

NOW = 1_790_000_000


class Stripe(Client):
    """A list in memory that pages as Stripe's reference says: newest first, `created` bounds, cursors by id."""

    def __init__(
        self, times: list[int], *, filters: bool = True, fails_at: int | None = None, backwards: str = "as told"
    ) -> None:
        newest = sorted(times, reverse=True)
        self.objects = [{"id": f"ch_{len(newest) - n}", "created": at} for n, at in enumerate(newest)]
        self.filters, self.fails_at, self.backwards = filters, fails_at, backwards
        self.back = 0  # pages by `ending_before`
        self.nothing: Counter[tuple[int, int]] = Counter()  # empty answers, by window
        self.requests = self.empty = self.under_way = self.most_under_way = 0
        self.governor, self.account, self.latency = Governor(None, True), None, None

    async def page(
        self, path: str, params: Any = None, *, account: str | None = None, decode: Any = None, **more: Any
    ) -> Page:
        self.requests += 1
        assert self.requests < 3_000
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        for _ in range(1 + self.requests * 7 % 5):  # answers overtake each other
            await asyncio.sleep(0)
        self.under_way -= 1
        if self.fails_at is not None and self.requests >= self.fails_at:
            raise ApiError("down", path=path)
        given = dict(params or {})
        low, high = (given.get("created[gte]", 0), given.get("created[lt]", NOW * 2)) if self.filters else (0, NOW * 2)
        there = [thing for thing in self.objects if low <= thing["created"] < high]
        ids = [thing["id"] for thing in there]
        limit = int(given.get("limit", 10))
        if given.get("ending_before") and self.backwards != "ignored":
            self.back += 1
            if self.backwards == "gone" or given["ending_before"] not in ids:
                raise ResourceMissing("No such charge", status=400, param="ending_before", path=path)
            end = ids.index(given["ending_before"])
            return Page(there[max(0, end - limit):end], end > limit, NOW)
        start = ids.index(given["starting_after"]) + 1 if given.get("starting_after") else 0
        found = there[start:start + limit]
        self.empty += not found
        if not found:
            self.nothing[low, high] += 1
        return Page(found, len(there) > start + limit, NOW)


def walked(walk: AsyncIterator[Any]) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        return [thing async for batch in walk for thing in batch.objects]

    return asyncio.run(collect())


def swept(sweep: Sweep) -> list[dict[str, Any]]:
    """What a sweep hands over, in the order in which it does."""
    got: list[dict[str, Any]] = []

    async def take(batch: ObjectBatch) -> None:
        await asyncio.sleep(0)
        got.extend(batch.objects)

    asyncio.run(sweep.run(take))
    return got


LIST = ListRequest("/v1/charges", {})
times = st.lists(
    st.one_of(st.integers(1, NOW), st.integers(NOW - 5_000, NOW), st.sampled_from([NOW, NOW - 1, 1_500_000_000])),
    max_size=600,
)


@settings(max_examples=60, deadline=None)
@given(times, st.one_of(st.none(), st.integers(1, NOW)))
def test_a_sweep_brings_every_object_once(at: list[int], low: int | None) -> None:
    """Ties, bursts and empty decades: all objects from the lower bound on, each once."""
    sweep = Sweep(Stripe(at), LIST, low, NOW + 1)
    got = swept(sweep)
    created = [thing["created"] for thing in got]

    assert sorted(created) == sorted(when for when in at if when >= (low or 0))
    assert len({thing["id"] for thing in got}) == len(got)
    assert sweep.gaps() == []


LINES = {
    "even over ten years": [NOW - n * 31_536 for n in range(10_000)],
    "all in one day of ten years": [NOW - 150_000_000 - n * 8 for n in range(9_999)] + [NOW],
    "5,000 in one second": [NOW - 5_000_000] * 5_000 + [NOW - n * 100 for n in range(3_000)],
    "every other year": [NOW - (n // 2_000) * 63_072_000 - n % 2_000 * 15_768 for n in range(10_000)],
    "busy minutes": [NOW - n // 500 * 15_000_000 - n % 60 for n in range(10_000)],
    "growing": [NOW - int(315_360_000 * (1 - n / 10_000) ** 4) for n in range(10_000)],
    "two, ten years apart": [NOW, NOW - 315_360_000],
    "one": [NOW - 99],
    "nothing": [],
}


@pytest.mark.parametrize("name", LINES)
def test_a_sweep_asks_little_more_than_the_pages_there_are(name: str) -> None:
    """A skewed time line costs a bounded number of requests beside those that bring a full page."""
    stripe, at = Stripe(LINES[name]), LINES[name]
    got = swept(Sweep(stripe, LIST, None, NOW + 1))

    assert len(got) == len(at)
    assert stripe.requests <= 1.3 * len(at) / 100 + 35
    assert stripe.empty <= 45
    assert max(stripe.nothing.values(), default=0) <= 2


@pytest.mark.parametrize("backwards", ["as told", "ignored", "gone"])
@pytest.mark.parametrize("place", ["in the middle", "newest", "oldest", "alone"])
def test_a_second_with_many_objects_is_read_from_both_ends(place: str, backwards: str) -> None:
    """Nothing cuts a second, but it has two ends. Where one of them cannot be had, the other one is enough."""
    around = {"in the middle": (4_000, 4_000), "newest": (0, 4_000), "oldest": (4_000, 0), "alone": (0, 0)}[place]
    second = NOW - 1_000_000
    at = [second + 1 + n * 50 for n in range(around[0])] + [second] * 5_000 + [second - 1 - n for n in range(around[1])]
    stripe = Stripe(at, backwards=backwards)
    sweep = Sweep(stripe, LIST, None, NOW + 1)
    got = swept(sweep)

    assert sorted(thing["id"] for thing in got) == sorted(thing["id"] for thing in stripe.objects)
    assert sweep.gaps() == []
    assert stripe.requests <= 1.3 * len(at) / 100 + 35
    if backwards == "as told":
        assert (15 <= stripe.back <= 35) if around[1] else not stripe.back


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(NOW - 300, NOW), st.sampled_from([1, 3, 90, 250, 700])), max_size=12))
def test_seconds_of_any_density_bring_every_object_once(seconds: list[tuple[int, int]]) -> None:
    """One after the other, with few and with many objects in them."""
    stripe = Stripe([second for second, number in seconds for _ in range(number)])
    sweep = Sweep(stripe, LIST, None, NOW + 1)
    got = swept(sweep)

    assert sorted(thing["id"] for thing in got) == sorted(thing["id"] for thing in stripe.objects)
    assert sweep.gaps() == []


def test_spans_are_read_side_by_side() -> None:
    """A long list is not read page after page, and short ones are not asked more than they have pages."""
    long, short = Stripe(LINES["even over ten years"]), Stripe([NOW - n for n in range(300)])
    swept(Sweep(long, LIST, None, NOW + 1))
    swept(Sweep(short, LIST, None, NOW + 1))

    assert long.most_under_way >= 5
    assert (short.requests, short.most_under_way) == (3, 1)


@settings(max_examples=60, deadline=None)
@given(times, st.integers(1, 30), st.booleans())
def test_what_is_left_over_is_all_that_was_not_handed_over(at: list[int], fails_at: int, short: bool) -> None:
    """A sweep that fails anywhere says what is missing; one that goes on from there brings the rest, and new ones."""
    stripe = Stripe(at * 4, fails_at=fails_at)
    sweep, got = Sweep(stripe, LIST, None, NOW + 1), []

    async def take(batch: ObjectBatch) -> None:
        await asyncio.sleep(0)
        got.extend(batch.objects)

    try:
        asyncio.run(sweep.run(take))
    except ApiError:
        gaps = sweep.gaps()
        again = swept(Sweep(Stripe(at * 4), LIST, None, NOW + 1, gaps=gaps))
        inside = {thing["id"] for thing in stripe.objects if any(low <= thing["created"] < up for low, up in gaps)}

        assert inside == {thing["id"] for thing in again}
        got += again
    assert {thing["id"] for thing in got} == {thing["id"] for thing in stripe.objects}


class Limited(Stripe):
    """One of several lists of an account, whose answers take a quarter of a second."""

    def __init__(self, pages: int, governor: Governor) -> None:
        super().__init__([NOW - n * 3_153 for n in range(100 * pages)])
        self.governor, self.latency = governor, 0.25
        self.sent: list[float] = []

    async def page(self, path: str, params: Any = None, *, account: str | None = None, **more: Any) -> Page:
        await self.governor.acquire(account, endpoint_of(path))
        try:
            self.sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.25)
            return await super().page(path, params, account=account, **more)
        finally:
            self.governor.release(account, endpoint_of(path))


@pytest.mark.parametrize(
    ("pages", "a_span", "factor"),
    [
        ([150] * 8, 96, 1.3),
        later([200] + [100] * 7, 96, 1.3),
        later([30, 30, 200, 200, 200, 60, 60, 20], 96, 1.3),
        ([100] * 3, 96, 1.3),
        later([250] * 8, 12, 1.1),  # many spans a reader: nobody is idle, and sees how little the oldest one holds
    ],
)
def test_lists_of_an_account_end_together(
    pages: list[int], a_span: int, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has more to read gets more of the account's limit: nobody is left in the end with a quarter of it.

    Measured in a clock of its own; what the limits allow is a bound that nothing can beat. And they are kept.
    """
    monkeypatch.setattr("stripe_source.extract.backfill.sweep.PAGES_PER_SPAN", a_span)
    loop = FakeTimeLoop()
    governor = Governor(1.0, True, clock=loop.time, sleep=asyncio.sleep)
    lists = [Limited(number, governor) for number in pages]

    async def take(batch: ObjectBatch) -> None: ...

    async def read_all() -> None:
        await asyncio.gather(*(
            Sweep(each, ListRequest(f"/v1/{number}", {}), None, NOW + 1).run(take) for number, each in enumerate(lists)
        ))

    try:
        loop.run_until_complete(read_all())
    finally:
        loop.close()
    asked = sum(each.requests for each in lists)
    fewest = max(sum(pages) / 100, max(pages) / 25)

    assert asked <= 1.16 * sum(pages)
    assert loop.now - 1.5 <= fewest * factor  # the newest pages of a list, and its oldest object, take that long
    assert busiest_second([moment for each in lists for moment in each.sent]) <= 100
    assert max(busiest_second(each.sent) for each in lists) <= 25


def test_how_far_a_sweep_is() -> None:
    """Nothing can be said while the newest pages are read; from then on the share grows, and the rest is estimated."""
    sweep = Sweep(Stripe(LINES["even over ten years"]), LIST, None, NOW + 1)
    told = []

    async def take(batch: ObjectBatch) -> None:
        told.append(sweep.progress())

    asyncio.run(sweep.run(take))
    halfway = next(each for each in told if each.share >= 0.5)

    assert (told[0].share, told[0].left) == (0.0, None)
    assert 4_000 <= (halfway.left or 0) <= 6_000
    assert [each.share for each in told] == sorted(each.share for each in told)
    assert (sweep.progress().share, sweep.progress().left) == (1.0, 0)


@pytest.mark.parametrize("low", [None, NOW - 900_000])
def test_a_server_that_ignores_the_filter_is_read_in_its_own_order(low: int | None) -> None:
    """Some servers that pose as Stripe do not know `created`; the walk ends all the same, with every object once."""
    stripe = Stripe([NOW - n * 1_000 for n in range(1_450)], filters=False)
    got = swept(Sweep(stripe, LIST, low, NOW + 1))

    assert sorted(thing["id"] for thing in got) == sorted(thing["id"] for thing in stripe.objects)


def test_newest_first_keeps_to_its_bounds() -> None:
    """`gte` and `lt`: the lower bound belongs to it, the upper does not."""
    stripe = Stripe([10, 20, 30, 40])
    got = walked(read_newest_first(stripe, LIST, 20, 40))

    assert [thing["created"] for thing in got] == [30, 20]


def test_a_bound_that_leaves_out_its_second_is_sent_one_less() -> None:
    """`created_after` names the second before the first one that is wanted."""
    after = ListRequest("/v1/reports", {"type": "a"}, range=Range("created_after", "created_before", exclusive=True))

    assert after.between(20, 40, 5) == {"type": "a", "created_after": 19, "created_before": 40, "limit": 5}
    assert LIST.between(20, 40) == {"created[gte]": 20, "created[lt]": 40}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(NOW - 1_000, NOW), min_size=1, max_size=400), st.data())
def test_after_brings_what_came_later_oldest_first(at: list[int], data: st.DataObject) -> None:
    """Onwards from an object: exactly those that the list has before it, the oldest of them first."""
    stripe = Stripe(at)
    place = data.draw(st.integers(0, len(at) - 1))
    got = walked(read_onwards(stripe, LIST, stripe.objects[place]["id"]))

    assert got == stripe.objects[:place][::-1]


def test_after_an_object_that_is_gone_is_an_error_of_its_own() -> None:
    """The caller decides what to do when the marker object is no longer there."""
    with pytest.raises(ResourceMissing):
        walked(read_onwards(Stripe([1, 2]), LIST, "ch_gone"))


# ---- seconds that are cut in two, and both their ends


@pytest.mark.parametrize("fails_at", [3, 9, 19, 29])
def test_a_second_that_a_page_cut_in_two_is_read_again(fails_at: int) -> None:
    """Seven objects in each second, a hundred on a page: what is left over begins with the second that was begun."""
    at = [NOW - n // 7 * 1_000 for n in range(5_000)]
    sweep, got = Sweep(Stripe(at, fails_at=fails_at), LIST, None, NOW + 1), list[dict[str, Any]]()

    async def take(batch: ObjectBatch) -> None:
        got.extend(batch.objects)

    with pytest.raises(ApiError):
        asyncio.run(sweep.run(take))
    again = swept(Sweep(Stripe(at), LIST, None, NOW + 1, gaps=sweep.gaps()))

    assert 0 < len(got) < len(at)
    assert {thing["id"] for thing in got + again} == {f"ch_{n}" for n in range(1, len(at) + 1)}
    assert len(got + again) <= len(at) + 7 * 8  # a second of each span at the most comes twice


DENSE = [NOW - 1_000_000 + 1 + n * 50 for n in range(4_000)] + [NOW - 1_000_000] * 5_000 + [
    NOW - 1_000_000 - 1 - n for n in range(4_000)]


class FromBelow(Stripe):
    """Notes what it gave by `ending_before`."""

    given: frozenset[str] = frozenset()

    async def page(self, path: str, params: Any = None, *, account: str | None = None, **more: Any) -> Page:
        page = await super().page(path, params, account=account, **more)
        if params and params.get("ending_before"):
            self.given |= {thing["id"] for thing in page.objects}
        return page


@pytest.mark.parametrize("slowly", [0, 1, 30, 200])
def test_both_readers_of_a_second_are_waited_for(slowly: int) -> None:
    """What one of them brings may be taken slowly: its last page arrives, though the other one is done before."""
    stripe, got = FromBelow(DENSE), Counter[str]()

    async def take(batch: ObjectBatch) -> None:
        ids = [thing["id"] for thing in batch.objects]
        for _ in range(0 if stripe.given.isdisjoint(ids) else slowly):
            await asyncio.sleep(0)
        got.update(ids)

    asyncio.run(Sweep(stripe, LIST, None, NOW + 1).run(take))

    assert len(stripe.given) >= 100
    assert got == Counter(thing["id"] for thing in stripe.objects)


class Overlapping(Stripe):
    """Its pages by `ending_before` begin before the place they were asked for: with what the page before had."""

    def __init__(self, times: list[int], overlap: int) -> None:
        super().__init__(times)
        self.overlap = overlap

    async def page(self, path: str, params: Any = None, *, account: str | None = None, **more: Any) -> Page:
        page = await super().page(path, params, account=account, **more)
        if params and params.get("ending_before"):
            after = [thing["id"] for thing in self.objects].index(params["ending_before"])
            same = [thing for thing in self.objects[after:after + self.overlap] if thing["created"] == NOW - 1_000_000]
            page.objects = page.objects[len(same):] + same
        return page


@pytest.mark.parametrize("overlap", [1, 50, 100])
def test_what_comes_twice_from_below_is_handed_over_once(overlap: int) -> None:
    """A list that does not page backwards as it should costs nobody a second row."""
    stripe = Overlapping(DENSE, overlap)
    got = swept(Sweep(stripe, LIST, None, NOW + 1))

    assert stripe.back > 0
    assert Counter(thing["id"] for thing in got) == Counter(thing["id"] for thing in stripe.objects)


# ---- where a list begins


class Watched(Stripe):
    """Notes before which seconds it was asked for one object and had none."""

    def __init__(self, times: list[int]) -> None:
        super().__init__(times)
        self.none_before: list[int] = []

    async def page(self, path: str, params: Any = None, *, account: str | None = None, **more: Any) -> Page:
        page = await super().page(path, params, account=account, **more)
        if params and params.get("limit") == 1 and not page.objects:
            self.none_before.append(params["created[lt]"])
        return page


@pytest.mark.parametrize("step", [3_000, 31_536])
def test_an_object_of_the_very_second_that_a_search_ended_at_is_read(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest object may lie where nothing older was found: that second belongs to what is read.

    With many spans, so that the search goes on while they are read.
    """
    monkeypatch.setattr("stripe_source.extract.backfill.sweep.PAGES_PER_SPAN", 4)
    at = [NOW - n * step for n in range(10_000)]
    watched = Watched(at)
    swept(Sweep(watched, LIST, None, NOW + 1))
    oldest = max(watched.none_before)
    stripe = Watched([*at, oldest])
    got = swept(Sweep(stripe, LIST, None, NOW + 1))

    assert oldest < min(at) and oldest in stripe.none_before
    assert sorted(thing["created"] for thing in got) == sorted([*at, oldest])


class Inclusive(Stripe):
    """Takes `created[lt]` for `created[lte]`."""

    async def page(self, path: str, params: Any = None, *, account: str | None = None, **more: Any) -> Page:
        given = dict(params or {})
        if "created[lt]" in given:
            given["created[lt]"] += 1
        return await super().page(path, given, account=account, **more)


def test_a_server_whose_upper_bound_belongs_to_the_span_is_read_as_it_comes() -> None:
    """Spans would overlap by a second; that is seen before there are any, and every object comes once."""
    stripe = Inclusive([NOW - n for n in range(3_000)])
    got = swept(Sweep(stripe, LIST, None, NOW + 1))

    assert Counter(thing["id"] for thing in got) == Counter(thing["id"] for thing in stripe.objects)
