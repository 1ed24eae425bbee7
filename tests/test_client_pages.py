"""Lists are read to their end, whatever is deleted meanwhile; a list without an end is stopped."""
from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_server import NOON_SECONDS, Reply, Server, client_of, failure, listing, run, serving

from stripe_source.api.pages import Page
from stripe_source.errors import BrokenAnswer, EndlessPaging, ResourceMissing

pytestmark = pytest.mark.filterwarnings("error")


async def read(pages: AsyncIterator[Page]) -> list[str]:
    return [item["id"] async for page in pages for item in page.objects]


class Shop:
    """A v1 list of objects that people may delete meanwhile."""

    def __init__(self, count: int) -> None:
        self.ids = [f"ch_{number}" for number in range(count, 0, -1)]
        self.after: list[str] = []  # cursors that it was asked for
        self.delete_before: dict[int, list[str]] = {}  # at which request which ids go

    def __call__(self, request: web.Request) -> Reply:
        limit, after = int(request.query.get("limit", 10)), request.query.get("starting_after", "")
        self.after.append(after)
        for gone in self.delete_before.get(len(self.after), []):
            self.ids.remove(gone)
        if after and after not in self.ids:
            return failure(400, f"No such charge: '{after}'", code="resource_missing", param="starting_after")
        start = self.ids.index(after) + 1 if after else 0
        return Reply(json=listing(*self.ids[start : start + limit], more=start + limit < len(self.ids)))


def walk(shop: Callable[[web.Request], Reply], limit: int | None = 10, **options: Any) -> tuple[list[str], Server]:
    async def story() -> tuple[list[str], Server]:
        async with serving(shop) as server, client_of(server) as client:
            return await read(client.pages("/v1/charges", {"expand": ["data.x"]}, limit=limit, **options)), server

    return run(story())


def test_a_list_is_read_to_its_end() -> None:
    """Every page has all the parameters, and begins where the last one ended."""
    shop = Shop(25)
    ids, server = walk(shop)

    assert [f"ch_{number}" for number in range(25, 0, -1)] == ids
    assert ["", "ch_16", "ch_6"] == shop.after
    assert [{"expand[]": "data.x", "limit": "10"}] * 3 == [
        {name: value for name, value in sent.query.items() if name != "starting_after"} for sent in server.requests
    ]


def test_a_list_may_begin_behind_an_id() -> None:
    """Where a kill interrupted it."""

    assert ["ch_2", "ch_1"] == walk(Shop(5), starting_after="ch_3")[0]


def test_some_lists_refuse_a_limit() -> None:
    """`limit=None` leaves it out."""
    _, server = walk(Shop(5), limit=None)

    assert "limit" not in server.requests[0].query


def test_an_empty_list_is_one_empty_page() -> None:
    """Which tells the time at which it was empty."""

    async def story() -> list[Page]:
        async with serving(Reply(json=listing())) as server, client_of(server) as client:
            return [page async for page in client.pages("/v1/charges")]

    (page,) = run(story())
    assert ([], NOON_SECONDS) == (page.objects, page.date)


def test_a_list_that_repeats_itself_is_stopped() -> None:
    """Seen with lines whose ids do not work as cursors; what was read is kept."""

    async def story() -> list[str]:
        seen: list[str] = []
        async with serving(Reply(json=listing("a", "b", more=True))) as server, client_of(server) as client:
            with pytest.raises(EndlessPaging, match="brings nothing new"):
                async for page in client.pages("/v1/charges"):
                    seen += [item["id"] for item in page.objects]
            assert 2 == len(server.requests)
        return seen

    assert ["a", "b"] == run(story())


def test_a_list_that_goes_in_circles_is_stopped() -> None:
    """Three pages that follow each other for ever, longer than the ids that are kept."""
    rings = [[f"{ring}_{number}" for number in range(60)] for ring in "abcd"]

    def answer(request: web.Request) -> Reply:
        after = request.query.get("starting_after", "d_59")
        return Reply(json=listing(*rings["abcd".index(after[0]) - 3], more=True))

    with pytest.raises(EndlessPaging):
        walk(answer)


def test_a_list_that_brings_the_same_objects_in_another_order_is_stopped() -> None:
    """Each page ends with another object, so that no cursor comes twice; all of them have been read."""
    orders = iter(["abc", "cab", "bca"])

    async def story() -> tuple[list[str], int]:
        seen: list[str] = []
        async with serving(lambda _: Reply(json=listing(*next(orders), more=True))) as server:
            async with client_of(server) as client:
                with pytest.raises(EndlessPaging):
                    async for page in client.pages("/v1/charges"):
                        seen += [item["id"] for item in page.objects]
            return seen, len(server.requests)

    assert (["a", "b", "c"], 2) == run(story())


def test_a_list_whose_objects_have_no_id_cannot_go_on() -> None:
    """There is nothing to begin the next page behind."""
    with pytest.raises(EndlessPaging):
        walk(lambda _: Reply(json={"object": "list", "data": [{"a": 1}], "has_more": True}))


def test_an_empty_page_that_says_more_is_asked_for_again_and_then_refused() -> None:
    """Seen at the real service: what comes after it must not be taken for missing."""
    answers = iter([listing("a", more=True), listing(more=True), listing("b", more=False)])

    def once(request: web.Request) -> Reply:
        return Reply(json=next(answers))

    ids, _ = walk(once)

    assert ids == ["a", "b"]
    with pytest.raises(BrokenAnswer, match="a page without objects says that there is more"):
        walk(lambda request: Reply(json=listing(*([] if "starting_after" in request.query else ["a"]), more=True)))


@pytest.mark.parametrize(
    ("gone", "limit"),
    [
        (["ch_16"], 10),
        (["ch_16", "ch_17", "ch_18"], 10),
        (["ch_18", "ch_16", "ch_12"], 10),
        ([f"ch_{number}" for number in range(16, 25)], 10),  # all of the page but the first
        (["ch_21", "ch_22", "ch_23", "ch_24", "ch_19"], 1),
    ],
)
def test_a_cursor_whose_object_is_deleted_steps_back(gone: list[str], limit: int) -> None:
    """Nothing is lost, and nothing comes twice."""
    shop = Shop(25)
    shop.delete_before = {10 // limit // 2 + 1 if limit == 1 else 2: gone}
    ids, _ = walk(shop, limit=limit)

    assert sorted(set(ids)) == sorted(ids)
    left = [f"ch_{number}" for number in range(25, 0, -1) if f"ch_{number}" not in gone]
    assert left == [id for id in ids if id not in gone]


@settings(max_examples=25, deadline=None, database=None)
@given(
    count=st.integers(1, 40), limit=st.integers(1, 15),
    deletions=st.lists(st.tuples(st.integers(2, 12), st.integers(0, 100)), max_size=6),
)
def test_objects_that_stay_are_read_once_whatever_is_deleted_meanwhile(
    count: int, limit: int, deletions: list[tuple[int, int]]
) -> None:
    """Any deletions at any time, as long as one object that was read stays."""
    shop = Shop(count)
    goers = {shop.ids[1:][place % (count - 1)]: when for when, place in deletions} if count > 1 else {}
    for id, when in goers.items():
        shop.delete_before.setdefault(when, []).append(id)
    everything = list(shop.ids)
    ids, _ = walk(shop, limit=limit)

    assert len(set(ids)) == len(ids)
    assert [id for id in everything if id not in goers] == [id for id in ids if id not in goers]


def test_when_no_cursor_is_left_the_walk_says_so() -> None:
    """Everything that was read is gone."""
    shop = Shop(25)
    shop.delete_before = {2: [f"ch_{number}" for number in range(16, 26)]}
    with pytest.raises(ResourceMissing) as caught:
        walk(shop)

    assert "starting_after" == caught.value.param
    assert 11 == len(shop.after)


def test_a_parent_that_is_gone_is_no_cursor() -> None:
    """`param` tells them apart."""
    with pytest.raises(ResourceMissing):
        walk(lambda _: failure(404, "No such customer", code="resource_missing", param="customer"))


def test_an_object_that_is_said_to_be_gone_and_comes_again_is_handed_over_once() -> None:
    """A server that is behind does not know the cursor; the next one that is asked does, and lists it once more."""
    shop = Shop(25)

    def behind(request: web.Request) -> Reply:
        if len(shop.after) == 1:
            shop.after.append(request.query["starting_after"])
            return failure(400, "No such charge", code="resource_missing", param="starting_after")
        return shop(request)

    ids, _ = walk(behind)

    assert [f"ch_{number}" for number in range(25, 0, -1)] == ids
    assert ["", "ch_16", "ch_17", "ch_7"] == shop.after


def test_a_page_of_a_long_list_may_lose_most_of_its_objects() -> None:
    """Seventy in a row are deleted after they were read: the walk steps back over them, and misses nothing."""
    shop = Shop(250)
    shop.delete_before = {2: [f"ch_{number}" for number in range(151, 221)]}
    ids, _ = walk(shop, limit=100)

    assert [f"ch_{number}" for number in range(250, 0, -1)] == ids
    assert 3 + 70 == len(shop.after)


def test_a_parent_that_goes_while_its_list_is_read_is_no_cursor() -> None:
    """The second page says that the customer is gone: no step back to another cursor would bring it back."""

    def answer(request: web.Request) -> Reply:
        if "starting_after" in request.query:
            return failure(404, "No such customer", code="resource_missing", param="customer")
        return Reply(json=listing("a", "b", "c", more=True))

    async def story() -> tuple[str | None, int]:
        async with serving(answer) as server, client_of(server) as client:
            with pytest.raises(ResourceMissing) as caught:
                await read(client.pages("/v1/customers/cus_1/balance_transactions"))
            return caught.value.param, len(server.requests)

    assert ("customer", 2) == run(story())


def v2_page(*ids: str, following: str | None) -> Reply:
    return Reply(json={"data": [{"id": id} for id in ids], "next_page_url": following})


def walk_v2(answer: Callable[[web.Request], Reply]) -> tuple[list[str], Server]:
    async def story() -> tuple[list[str], Server]:
        async with serving(answer) as server, client_of(server) as client:
            return await read(client.pages("/v2/core/events", {"types": ["a"]}, limit=2)), server

    return run(story())


@pytest.mark.parametrize("absolute", [False, True])
def test_v2_lists_follow_their_own_links(absolute: bool) -> None:
    """As they are: they carry the parameters."""

    def answer(request: web.Request) -> Reply:
        origin = str(request.url.origin()) if absolute else ""
        if "page" in request.query:
            return v2_page("c", following=None)
        return v2_page("a", "b", following=f"{origin}/v2/core/events?page=x%2Fy%3D&limit=2")

    ids, server = walk_v2(answer)
    assert ["a", "b", "c"] == ids
    assert ["/v2/core/events?types%5B0%5D=a&limit=2", "/v2/core/events?page=x%2Fy%3D&limit=2"] == [
        request.raw_path for request in server.requests
    ]


@pytest.mark.parametrize("url", ["https://evil.com/v2/core/events?page=x", "//evil.com/v2", "http://127.0.0.1.evil.com/"])
def test_v2_links_to_another_host_are_refused(url: str) -> None:
    """The key must not reach it."""
    with pytest.raises(BrokenAnswer, match="another host"):
        walk_v2(lambda _: v2_page("a", following=url))


@pytest.mark.parametrize("ids", [["a"], []])
def test_v2_lists_that_never_end_are_stopped(ids: list[str]) -> None:
    """By the same link, the same objects, or nothing but new links."""
    links = iter(range(1000))
    with pytest.raises(EndlessPaging):
        walk_v2(lambda _: v2_page(*ids, following=f"/v2/core/events?page={next(links)}"))
    with pytest.raises(EndlessPaging):
        walk_v2(lambda _: v2_page(str(next(links)), following="/v2/core/events?page=same"))
