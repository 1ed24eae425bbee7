"""Stripe's limits, kept on our side: how fast requests pass, whose turn it is, and what a 429 teaches."""
from __future__ import annotations

import asyncio
from asyncio import run

import pytest
from fake_clock import Clock, FakeTimeLoop, busiest_second
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.rate_limits import Governor
from stripe_source.errors import InvalidOption


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/charges", "/v1/charges"),
        ("/v1/charges/ch_1", "/v1/charges/{id}"),
        ("/v1/coupons/SUMMER", "/v1/coupons/{id}"),
        ("/v1/invoices/in_1/lines", "/v1/invoices/{id}/lines"),
        ("/v1/issuing/cards", "/v1/issuing/cards"),
        ("/v1/issuing/cards/ic_1", "/v1/issuing/cards/{id}"),
        ("/v1/reporting/report_types/balance.summary.1", "/v1/reporting/report_types/{id}"),
        ("/v1/tax/settings", "/v1/tax/settings"),
        ("/v1/tax/associations/find", "/v1/tax/associations/find"),
        ("/v1/charges/search", "/v1/search"),
        ("/v1/customers/search", "/v1/search"),
        ("/v2/core/accounts/acct_1/persons?page=x", "/v2/core/accounts/{id}/persons"),
        ("/v1/balance", "/v1/balance"),
    ],
)
def test_requests_are_counted_by_operation(path: str, expected: str) -> None:
    """As Stripe counts: all ids share one budget, and a list has its own."""

    assert expected == endpoint_of(path)


def times(
    governor: Governor, clock: Clock, count: int, endpoints: list[str], account: str | None = None
) -> list[float]:
    """When requests were let pass, one after the other as fast as the governor allows."""

    async def story() -> list[float]:
        passed = []
        for number in range(count):
            await governor.acquire(account, endpoints[number % len(endpoints)])
            passed.append(clock.now)
            governor.release(account, endpoints[number % len(endpoints)])
        return passed

    return run(story())


def governor_of(clock: Clock, rate: float | None, livemode: bool | None = True) -> Governor:
    return Governor(rate, livemode, clock=clock, sleep=clock.sleep)


@settings(max_examples=30, deadline=None, database=None)
@example(rate=1.0, livemode=True, endpoints=2)  # the account's turn is later than the endpoint's
@given(rate=st.floats(0.05, 1.0), livemode=st.sampled_from([True, False, None]), endpoints=st.integers(1, 8))
def test_no_second_brings_more_than_the_share_allows(rate: float, livemode: bool | None, endpoints: int) -> None:
    """Neither on an endpoint nor on the account, not even the first second."""
    clock = Clock()
    names = [f"/v1/{number}" for number in range(endpoints)]
    passed = times(governor_of(clock, rate, livemode), clock, 150, names)
    most = min(100.0 if livemode else 25.0, 25.0 * endpoints)

    assert busiest_second(passed) <= max(most * rate * 1.1 + 2 * endpoints, 2) and busiest_second(passed) <= most
    assert 149 / (passed[-1] - passed[0]) <= max(most * rate * 1.15, 1.5)


def test_the_share_is_used() -> None:
    """Polite is not idle: half of 25 on one endpoint, half of 100 on the account; of all of it a little is spared."""
    rates = []
    for rate, endpoints in ((0.5, 1), (0.5, 8), (1.0, 1), (1.0, 8)):
        clock = Clock()
        passed = times(governor_of(clock, rate), clock, 1000, [f"/v1/{number}" for number in range(endpoints)])
        rates.append(899 / (passed[-1] - passed[100]))  # once what a pause had saved is used up

    assert rates == pytest.approx([12.5, 50.0, 24.8, 99.2], rel=0.015)


@settings(max_examples=40, deadline=None)
@given(
    readers=st.lists(st.integers(1, 20), min_size=1, max_size=9), stalls=st.lists(st.floats(0.0, 1.5), max_size=6),
    needs=st.lists(st.integers(0, 500), max_size=9),
)
def test_no_second_brings_more_than_the_limits_allow(readers: list[int], stalls: list[float], needs: list[int]) -> None:
    """Whoever asks how much of what, and however long the program is busy with other things now and then."""
    loop = FakeTimeLoop()
    governor = Governor(1.0, True, clock=loop.time, sleep=asyncio.sleep)
    sent: dict[str, list[float]] = {f"/v1/{number}": [] for number in range(len(readers))}

    async def ask(path: str) -> None:
        for _ in range(12):
            await governor.acquire(None, path)
            sent[path].append(loop.now)
            await asyncio.sleep(0.25)
            governor.release(None, path)

    async def stall() -> None:
        for seconds in stalls:
            await asyncio.sleep(0.3)
            loop.now += seconds

    async def story() -> None:
        for path, need in zip(sent, needs, strict=False):
            governor.report_remaining(None, path, path, need)
        asking = [ask(path) for path, many in zip(sent, readers, strict=True) for _ in range(many)]
        await asyncio.gather(stall(), *asking)

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()

    assert sum(map(len, sent.values())) == 12 * sum(readers)
    assert max(map(busiest_second, sent.values())) <= 25
    assert busiest_second([moment for each in sent.values() for moment in each]) <= 100


def test_who_has_more_to_read_has_the_larger_share() -> None:
    """By what is left of each, up to its own limit; of what is not known, what it uses is kept free."""
    clock = Clock()
    governor = governor_of(clock, 1.0)
    paths = [f"/v1/{number}" for number in range(6)]

    def shares() -> list[float]:
        return [round(governor.share(None, path) or 0, 1) for path in paths]

    async def story() -> list[list[float]]:
        for path in paths:
            await governor.acquire(None, path)
            clock.now += 1
        told = [shares()]
        for path, need in zip(paths, (100, 100, 100, 100, 700), strict=False):
            governor.report_remaining(None, path, "reader", need)
        told.append(shares())
        for _ in range(10):
            await governor.acquire(None, paths[5])
            clock.now += 0.05
        told.append(shares())
        governor.report_remaining(None, paths[0], "another", 10)
        governor.report_remaining(None, paths[0], "reader", 0)
        clock.now += 1
        told.append(shares())
        governor.report_remaining(None, paths[0], "another", 0)
        for path in paths[1:5]:
            governor.report_remaining(None, path, "reader", 0)
        return [*told, shares(), [round(governor.share("acct_2", paths[0]) or 0, 1)]]

    even, uneven, used, little, over, elsewhere = run(story())

    assert even == over == [16.5] * 6
    assert uneven == [18.6, 18.6, 18.6, 18.6, 24.8, 16.5]
    assert used == [16.1, 16.1, 16.1, 16.1, 24.8, 16.5]  # ten of the last second are those of the sixth
    assert little == [2.4, 24.0, 24.0, 24.0, 24.8, 16.5]
    assert elsewhere == [24.8]


def test_lists_that_are_read_together_share_the_account() -> None:
    """One list has its endpoint's 25; of eight each has an eighth of 100; what waits already is seen."""
    clock = Clock()
    governor = Governor(1.0, True, clock=clock, sleep=lambda seconds: asyncio.Event().wait())
    paths = [f"/v1/{number}" for number in range(8)]

    async def story() -> list[float | None]:
        await governor.acquire(None, paths[0])
        clock.now += 1
        told = [governor.share(None, paths[0]), governor.share(None, paths[1]), governor.backlog(None, paths[0])]
        for path in paths[1:]:
            clock.now += 1
            await governor.acquire(None, path)
        told += [governor.share(None, paths[0]), governor.share("acct_2", paths[0])]
        queue = [asyncio.ensure_future(governor.acquire(None, paths[0])) for _ in range(50)]
        await asyncio.sleep(0)
        told.append(governor.backlog(None, paths[0]))
        for each in queue:
            each.cancel()
        await asyncio.gather(*queue, return_exceptions=True)
        return [None if value is None else round(value, 2) for value in told]

    one, other, free, eighth, elsewhere, busy = run(story())

    assert (one, other, eighth, elsewhere) == (24.8, 24.8, 12.4, 24.8)
    assert free is not None and free < 0.1 and busy is not None and busy > 1.5
    assert (governor_of(clock, None).share(None, "/v1/1"), governor_of(clock, None).backlog(None, "/v1/1")) == (None, 0)


def test_files_have_a_lower_limit() -> None:
    """20 a second."""
    clock = Clock()
    passed = times(governor_of(clock, 1.0), clock, 400, ["/v1/files"])

    assert 18 <= 399 / (passed[-1] - passed[0]) <= 20


def test_accounts_have_limits_of_their_own() -> None:
    """A connected account's budget is not the platform's."""
    clock = Clock()
    governor = governor_of(clock, 0.5)
    times(governor, clock, 100, ["/v1/charges"], "acct_1")
    before = clock.now
    times(governor, clock, 1, ["/v1/charges"], "acct_2")

    assert before == clock.now


def test_without_a_rate_nothing_waits() -> None:
    """The sandbox has no limits but those it is told to have."""
    clock = Clock()
    governor = governor_of(clock, None)
    times(governor, clock, 1000, ["/v1/charges"])
    governor.on_rate_limited("global-rate", None, "/v1/charges")
    times(governor, clock, 1000, ["/v1/charges"])

    assert 1000.0 == clock.now


@pytest.mark.parametrize("rate", [0, -1, 1.01])
def test_a_share_is_more_than_nothing_and_at_most_all(rate: float) -> None:
    """More would be answered 429."""
    with pytest.raises(InvalidOption, match="rate"):
        Governor(rate, True)


@pytest.mark.parametrize(
    ("reason", "account", "endpoint"),
    [
        ("global-rate", 25.0, 12.5),
        ("endpoint-rate", 50.0, 6.25),
        ("resource-specific", 50.0, 6.25),
        (None, 50.0, 6.25),
        ("a new one", 50.0, 6.25),
        ("lock_timeout", 50.0, 12.5),
        ("global-concurrency", 50.0, 12.5),
        ("endpoint-concurrency", 50.0, 12.5),
    ],
)
def test_a_429_slows_what_was_too_fast(reason: str | None, account: float, endpoint: float) -> None:
    """And nothing else; a burst of complaints counts once."""
    clock = Clock()
    governor = governor_of(clock, 0.5)
    for _ in range(5):
        governor.on_rate_limited(reason, None, "/v1/charges")

    assert (account, endpoint) == (governor.flow(), governor.flow(None, "/v1/charges"))
    assert 12.5 == governor.flow(None, "/v1/customers")


def test_speed_creeps_back() -> None:
    """Briskly up to four fifths of the flow that was too fast, carefully from there."""
    clock = Clock()
    governor = governor_of(clock, 0.5)
    governor.on_rate_limited("endpoint-rate", None, "/v1/charges")
    flows = []
    for pause in (10, 10, 10, 10, 40, 40, 40, 40):
        clock.now += pause
        flows.append(round(governor.flow(None, "/v1/charges") or 0, 2))

    assert [7.5, 8.75, 10.0, 10.25, 11.25, 12.25, 12.5, 12.5] == flows


def test_speed_never_falls_to_nothing() -> None:
    """A run that is refused for minutes still ends."""
    clock = Clock()
    governor = governor_of(clock, 0.5)
    for _ in range(50):
        governor.on_rate_limited("endpoint-rate", None, "/v1/charges")
        clock.now += 1

    assert (governor.flow(None, "/v1/charges") or 0) > 0.3


def test_concurrency_complaints_lower_the_number_under_way() -> None:
    """Of 8 under way 4 may stay; one more is tried every 10 seconds."""

    async def story() -> tuple[int, int]:
        clock = Clock()
        governor = governor_of(clock, None)
        for _ in range(8):
            await governor.acquire(None, "/v1/charges")
        governor.on_rate_limited("endpoint-concurrency", None, "/v1/charges")
        for _ in range(8):
            governor.release(None, "/v1/charges")
        counts = []
        for pause in (0.0, 20.0):
            clock.now += pause
            under_way = 0
            while governor._enter(None, "/v1/charges"):
                under_way += 1
            for _ in range(under_way):
                governor.release(None, "/v1/charges")
            counts.append(under_way)
        return counts[0], counts[1]

    assert (4, 6) == run(story())


def test_a_full_lane_waits_for_a_release() -> None:
    """And the account's lane is not left counted meanwhile."""

    async def story() -> None:
        governor = Governor(None, True)
        await governor.acquire(None, "/v1/charges")
        governor.on_rate_limited("endpoint-concurrency", None, "/v1/charges")
        second = asyncio.create_task(governor.acquire(None, "/v1/charges"))
        await asyncio.sleep(0.05)
        assert not second.done()
        await governor.acquire(None, "/v1/customers")
        governor.release(None, "/v1/charges")
        await second

    run(story())


def test_each_complaint_halves_the_flow_down_to_a_32nd() -> None:
    """Whoever else uses the account may leave next to nothing: a quarter of the share would be too fast for ever."""
    clock = Clock()
    governor = governor_of(clock, 0.64)
    flows = []
    for _ in range(8):
        governor.on_rate_limited("endpoint-rate", None, "/v1/charges")
        flows.append(governor.flow(None, "/v1/charges") or 0)
        clock.now += 1

    assert flows[0] == 8.0
    assert [round(flow, 1) for flow in flows[:6]] == pytest.approx([8.0, 4.1, 2.1, 1.1, 0.6, 0.5], abs=0.11)
    assert 0.5 <= min(flows) <= flows[-1] <= 0.6


def entered(governor: Governor, path: str, account: str | None = None) -> int:
    """How many requests may be under way at a time; they are answered before this is."""

    async def story() -> int:
        asking = [asyncio.ensure_future(governor.acquire(account, path)) for _ in range(20)]
        await asyncio.sleep(0)
        under_way = sum(each.done() for each in asking)
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for _ in range(under_way):
            governor.release(account, path)
        return under_way

    return run(story())


@pytest.mark.parametrize(
    ("reason", "charges", "customers"),
    [("global-concurrency", 4, 4), ("endpoint-concurrency", 4, 20), ("global-rate", 20, 20)],
)
def test_too_many_at_a_time_holds_for_what_was_told(reason: str, charges: int, customers: int) -> None:
    """Of the account: for all its endpoints. Of an endpoint: for that alone. And never for another account."""
    governor = Governor(None, True, sleep=lambda seconds: asyncio.Event().wait())

    async def story() -> None:
        for _ in range(8):
            await governor.acquire("acct_1", "/v1/charges")
        governor.on_rate_limited(reason, "acct_1", "/v1/charges")
        for _ in range(8):
            governor.release("acct_1", "/v1/charges")

    run(story())

    assert (charges, customers) == tuple(entered(governor, path, "acct_1") for path in ("/v1/charges", "/v1/customers"))
    assert 20 == entered(governor, "/v1/charges", "acct_2") == entered(governor, "/v1/charges")


def test_who_waits_for_an_endpoint_takes_no_place_of_the_account() -> None:
    """Four may be under way at the account, one at the endpoint: however many wait for it, three others may go."""

    async def story() -> int:
        governor = Governor(None, True, sleep=lambda seconds: asyncio.sleep(0))
        for path in ["/v1/charges"] * 2 + ["/v1/customers"] * 6:
            await governor.acquire(None, path)
        governor.on_rate_limited("global-concurrency", None, "/v1/customers")
        governor.release(None, "/v1/charges")
        governor.on_rate_limited("endpoint-concurrency", None, "/v1/charges")
        for _ in range(6):
            governor.release(None, "/v1/customers")
        waiting = [asyncio.ensure_future(governor.acquire(None, "/v1/charges")) for _ in range(5)]
        others = [asyncio.ensure_future(governor.acquire(None, "/v1/customers")) for _ in range(5)]
        for _ in range(20):
            await asyncio.sleep(0)
        gone = sum(each.done() for each in others)
        assert not any(each.done() for each in waiting)
        for each in (*waiting, *others):
            each.cancel()
        await asyncio.gather(*waiting, *others, return_exceptions=True)
        return gone

    assert 3 == run(story())
