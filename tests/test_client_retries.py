"""What is asked again and what is not: how often, after how long, and what is said at the end."""
from __future__ import annotations

from typing import Any

import pytest
from scripted_server import BODY, FINE, KEY, NOON_SECONDS, Reply, Waits, asked, failure, refused, run, serving

from stripe_source.api.client import Client
from stripe_source.api.credentials import ApiKey
from stripe_source.errors import (
    ApiError,
    AuthenticationError,
    BrokenAnswer,
    InvalidRequest,
    NotEnabled,
    PermissionDenied,
    RateLimited,
    Redirected,
    ResourceMissing,
    StripeError,
    Unreachable,
)

pytestmark = pytest.mark.filterwarnings("error")

AGAIN = [
    pytest.param(failure(409), id="409"),
    pytest.param(failure(429), id="429, which Stripe's SDK gives up on"),
    pytest.param(failure(429, code="lock_timeout"), id="lock"),
    pytest.param(failure(429, headers={"Stripe-Should-Retry": "false"}), id="429 told not to"),
    pytest.param(failure(400, code="rate_limit"), id="400 of old accounts"),
    pytest.param(failure(408), id="408"),
    pytest.param(failure(500), id="500"),
    pytest.param(failure(503), id="503"),
    pytest.param(Reply(502, raw=b"<html>Bad gateway</html>"), id="502 of a proxy"),
    pytest.param(failure(400, headers={"Stripe-Should-Retry": "true"}), id="400 told to"),
    pytest.param(Reply(json={"a": 1}, cut=3), id="truncated"),
    pytest.param(Reply(json={"a": 1}, cut=3, chunked=True), id="truncated in chunks"),
    pytest.param(Reply(raw=b'{"a": '), id="half of JSON"),
    pytest.param(Reply(raw=b""), id="nothing"),
    pytest.param(Reply(raw=b"<html>"), id="HTML"),
    pytest.param(Reply(raw=b"\xff\xfe"), id="no text"),
    pytest.param(Reply(json=[1]), id="a list"),
    pytest.param(Reply(raw=b"abc", headers={"Content-Encoding": "gzip"}), id="not gzip"),
    pytest.param(Reply(json={"error": {"message": "oops", "type": "api_error"}}), id="an error with status 200"),
]


@pytest.mark.parametrize("reply", AGAIN)
def test_what_may_pass_is_asked_again(reply: Reply) -> None:
    """A GET does nothing, so it may be repeated."""
    answer, _, waits, client = run(asked(reply, reply, FINE))

    assert {"ok": True} == answer.body
    assert [0.5, 1.0] == waits
    assert (3, 2, 1.5) == (client.figures.requests, client.figures.retries, client.figures.seconds_retrying)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure(401), AuthenticationError),
        (failure(401, headers={"Stripe-Should-Retry": "true"}), AuthenticationError),
        (failure(402), InvalidRequest),
        (failure(403), PermissionDenied),
        (failure(404), InvalidRequest),
        (failure(404, code="resource_missing", param="id"), ResourceMissing),
        (failure(400), InvalidRequest),
        (failure(424), InvalidRequest),
        (failure(400, "Your account is not set up to use Issuing."), NotEnabled),
        (failure(500, headers={"Stripe-Should-Retry": "false"}), ApiError),
        (failure(409, headers={"Stripe-Should-Retry": "false"}), InvalidRequest),
    ],
)
def test_what_cannot_pass_is_asked_once(reply: Reply, kind: type[StripeError]) -> None:
    """Repeating it would only cost time and quota."""
    error, server, waits, _ = run(refused(kind, reply))

    assert (1, []) == (len(server.requests), waits)
    assert ("/v1/charges", "req_1", 1) == (error.path, error.request_id, error.attempts)


@pytest.mark.parametrize("reply", [
    Reply(404, raw=b"<html>Not found</html>"), Reply(404, json={"object": "list", "data": []}), Reply(400, raw=b""),
])
def test_a_refusal_that_says_nothing_is_asked_for_once_more(reply: Reply) -> None:
    """Stripe says what is wrong: this one is of a proxy, or about something else. The second one counts."""
    answer, _, waits, _ = run(asked(reply, FINE))
    error, server, _, _ = run(refused(InvalidRequest, reply))

    assert {"ok": True} == answer.body and [0.5] == waits
    assert (2, 2) == (len(server.requests), error.attempts)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure(429), RateLimited),
        (failure(500), ApiError),
        (Reply(cut=0), Unreachable),
        (Reply(json={"a": 1}, cut=3), BrokenAnswer),
        (Reply(raw=b"<html>"), BrokenAnswer),
        (failure(200, "oops"), ApiError),
    ],
)
def test_asking_again_ends(reply: Reply, kind: type[StripeError]) -> None:
    """After all attempts the error says how many there were."""
    error, server, _, _ = run(refused(kind, reply, attempts=3))

    assert error.attempts == 3 <= len(server.requests)
    assert "after 3 attempts" in str(error)


def test_dropped_connections_are_made_again() -> None:
    """The HTTP library tries once more on its own, so that not every drop is an attempt of ours."""
    drop = Reply(cut=0)
    answer, server, waits, _ = run(asked(drop, drop, drop, drop, FINE))

    assert ({"ok": True}, 5) == (answer.body, len(server.requests))
    assert waits


def test_waits_double_up_to_half_a_minute() -> None:
    """With the jitter at its most; it shortens them by any share."""
    _, _, waits, _ = run(refused(ApiError, failure(500), attempts=9))

    assert [0.5, 1, 2, 4, 8, 16, 32, 32] == waits


def test_jitter_spreads_the_waits() -> None:
    """Many clients that failed together must not come back together."""
    _, _, waits, _ = run(refused(ApiError, failure(500), attempts=3, jitter=lambda: 0.25))

    assert [0.125, 0.25] == waits


@pytest.mark.parametrize(
    ("after", "expected"),
    [("7", 7.0), ("0", 0.5), ("9999", 60.0), ("soon", 0.5), ("-5", 0.5), ("Mon, 23 Nov 2026 12:00:20 GMT", 20.0)],
)
def test_retry_after_is_honoured_within_reason(after: str, expected: float) -> None:
    """Stripe does not document it for rate limits; proxies send it, as seconds or as a date."""
    _, _, waits, _ = run(asked(failure(429, headers={"Retry-After": after}), FINE, now=lambda: NOON_SECONDS))

    assert [expected] == waits


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    """The time-out covers the answer to its last byte."""
    error, server, _, _ = run(refused(Unreachable, Reply(json={}, delay=5), timeout=0.05, attempts=2))

    assert 2 == len(server.requests)
    assert "No complete answer within 0.05 s after 2 attempts" in str(error)


def test_nobody_at_home() -> None:
    """A refused connection is tried again, then explained."""

    async def story() -> Unreachable:
        waits = Waits()
        async with Client(ApiKey(KEY), api_base="http://127.0.0.1:9", attempts=2, sleep=waits) as client:
            with pytest.raises(Unreachable) as caught:
                await client.get("/v1/balance")
            assert 1 == len(waits)
            return caught.value

    assert "Check the network" in str(run(story()))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_never_followed(status: int) -> None:
    """The key must not reach another host, nor the text its whole URL."""

    async def story() -> tuple[Redirected, int]:
        async with serving(FINE) as elsewhere:
            url = f"{elsewhere.url}/v1/charges?key={KEY}"
            error, _, _, _ = await refused(Redirected, Reply(status, headers={"Location": url}))
            return error, len(elsewhere.requests)

    error, reached = run(story())
    assert 0 == reached
    assert "redirects to `127.0.0.1`" in str(error)
    assert BODY not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"object": "charge", "id": "ch_1"},
        {"object": "list", "data": []},
        {"object": "list", "data": {}, "has_more": False},
        {"object": "list", "data": ["ch_1"], "has_more": False},
        {"object": "list", "data": [None], "has_more": False},
        {"object": "list", "has_more": False},
        {"object": "list", "data": [], "has_more": "no"},
        {},
    ],
)
def test_a_page_that_is_none_is_asked_again_and_then_refused(body: Any) -> None:
    """An empty table without a word is the worst that could come of it."""
    error, server, _, _ = run(refused(BrokenAnswer, Reply(json=body), page=True, attempts=2))

    assert 2 == len(server.requests)
    assert "proxy" in str(error)


def test_objects_with_an_error_of_their_own_are_data() -> None:
    """A report run that failed carries `error`, and was read well."""
    answer, _, _, _ = run(asked(Reply(json={"object": "scheduled_query_run", "error": {"message": "no"}})))

    assert "error" in answer.body
