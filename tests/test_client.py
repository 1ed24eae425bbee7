"""The client end of the walk, against a server on loopback that misbehaves on command."""
from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import logging
import pickle
import shutil
import stat
import subprocess
import sys
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestServer
from fake_clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_source.api.client import API_VERSION, Client
from stripe_source.api.credentials import ApiKey, KeyInfo, check_url, parse_key
from stripe_source.api.oauth import OAuth
from stripe_source.api.pages import Answer, Page
from stripe_source.api.query import encode, fill
from stripe_source.api.rate_limits import Governor
from stripe_source.api.refusals import refusal
from stripe_source.errors import (
    AnswerTooLarge,
    ApiError,
    AuthenticationError,
    BrokenAnswer,
    ConfigurationError,
    EndlessPaging,
    InvalidBounds,
    InvalidOption,
    InvalidRequest,
    MalformedKey,
    MissingKey,
    MixedData,
    NotEnabled,
    PermissionDenied,
    PublishableKey,
    RateLimited,
    Redirected,
    ResourceMissing,
    StripeError,
    StripeSourceError,
    UnknownMarker,
    UnknownTable,
    Unreachable,
)
from stripe_source.redaction import redact

pytestmark = pytest.mark.filterwarnings("error")

T = TypeVar("T")
BODY = "4eC39HqLyjWDarjtT1zdp7dc"  # the part of a key that must never be seen
KEY = f"sk_test_{BODY}"
NOON = "Mon, 23 Nov 2026 12:00:00 GMT"
NOON_SECONDS = 1795435200


# The server


@dataclass(frozen=True)
class Reply:
    """What the server answers: JSON, or `raw` bytes; `cut` drops the connection after so many of them."""

    status: int = 200
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: int | None = None
    chunked: bool = False
    delay: float = 0.0


def listing(*ids: str, more: bool = False, **rest: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": id} for id in ids], "has_more": more, "url": "/v1/charges", **rest}


def failure(status: int, message: str = "No.", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    return Reply(status, {"error": {"message": message, **error}}, headers or {})


class Server:
    """Answers with its script, one reply a request, the last one for ever; or with what `answer` makes of a request."""

    def __init__(self, script: Iterable[Reply] | Callable[[web.Request], Reply]) -> None:
        self.requests: list[web.Request] = []
        self.forms: list[dict[str, str]] = []
        self.busy = self.most = 0  # requests under way, now and at most
        self._answer = script if callable(script) else None
        self._script = [] if callable(script) else list(script)
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        if self._answer is not None:
            reply = self._answer(request)
        else:
            reply = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self.busy -= 1
        text = orjson.dumps(reply.json) if reply.raw is None else reply.raw
        if reply.cut is None:
            headers = {"Date": NOON, "Request-Id": "req_1", "Content-Type": "application/json", **reply.headers}
            return web.Response(status=reply.status, body=text, headers=headers)
        assert request.transport is not None
        if reply.cut == 0:
            request.transport.abort()
            return web.Response()
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if reply.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(text)
        await response.prepare(request)
        await response.write(text[: reply.cut])
        request.transport.close()
        return response


@asynccontextmanager
async def serving(*script: Reply | Callable[[web.Request], Reply]) -> AsyncIterator[Server]:
    first = script[0]
    server = Server([reply for reply in script if isinstance(reply, Reply)] if isinstance(first, Reply) else first)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as http:
        server.url = str(http.make_url("")).rstrip("/")
        yield server


class Waits(list[float]):
    """A sleep that takes no time and keeps what was asked of it."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def client_of(server: Server, waits: Waits | None = None, **options: Any) -> Client:
    options = {"sleep": Waits() if waits is None else waits, "jitter": lambda: 1.0, **options}
    return Client(options.pop("credentials", None) or ApiKey(KEY), api_base=server.url, **options)


async def asked(
    *script: Reply | Callable[[web.Request], Reply], path: str = "/v1/balance", **options: Any
) -> tuple[Answer, Server, Waits, Client]:
    """The answer to one GET, and what happened meanwhile."""
    waits = Waits()
    async with serving(*script) as server, client_of(server, waits, **options) as client:
        return await client.get(path), server, waits, client


async def refused(
    kind: type[T], *script: Reply | Callable[[web.Request], Reply], page: bool = False, **options: Any
) -> tuple[T, Server, Waits, Client]:
    """The error of one GET, and what happened meanwhile."""
    waits = Waits()
    async with serving(*script) as server, client_of(server, waits, **options) as client:
        with pytest.raises(StripeSourceError) as caught:
            await (client.page("/v1/charges") if page else client.get("/v1/charges"))
        assert type(caught.value) is kind
        return caught.value, server, waits, client


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


# What is sent


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (None, []),
        ({"created": {"gte": 1, "lt": 2}}, [("created[gte]", "1"), ("created[lt]", "2")]),
        ({"expand": ["data.a", "data.b"]}, [("expand[]", "data.a"), ("expand[]", "data.b")]),
        ({"active": True, "auto": False, "none": None}, [("active", "true"), ("auto", "false")]),
        ({"items": [{"price": "p"}]}, [("items[0][price]", "p")]),
        ({"owner": {"type": "customer"}, "limit": 100}, [("owner[type]", "customer"), ("limit", "100")]),
    ],
)
def test_parameters_are_encoded_as_stripe_reads_them(params: Any, expected: Any) -> None:
    """Nested mappings become brackets, lists `[]`, booleans words; None leaves a parameter out."""

    assert expected == encode(params)


def test_v2_lists_are_numbered() -> None:
    """The second API takes `include[0]`, not `include[]`."""

    assert [("include[0]", "a"), ("include[1]", "b")] == encode({"include": ["a", "b"]}, indexed=True)


def test_a_parameter_of_a_strange_type_is_refused() -> None:
    """A silent `str()` would ask for something else than was meant."""
    with pytest.raises(TypeError, match="`created` is a object"):
        encode({"created": object()})


def test_ids_that_people_chose_reach_stripe_as_they_are() -> None:
    """A coupon may be called `50% off/now`."""
    _, server, _, _ = run(asked(Reply(json={}), path=fill("/v1/coupons/{id}", id="50% off/now")))

    assert "/v1/coupons/50%25%20off%2Fnow" == server.requests[0].raw_path


def test_every_header_is_set_in_one_place() -> None:
    """Key, version, account, agent and encodings."""
    _, server, _, _ = run(asked(Reply(json={}), account="acct_1"))

    sent = server.requests[0].headers
    assert f"Bearer {KEY}" == sent["Authorization"]
    assert API_VERSION == sent["Stripe-Version"]
    assert "acct_1" == sent["Stripe-Account"]
    assert "gzip, deflate" == sent["Accept-Encoding"]
    assert sent["User-Agent"].startswith("dlt-source-stripe/")


def test_a_call_may_name_another_account_than_the_client() -> None:
    """One client reads all connected accounts."""

    async def story() -> list[str | None]:
        async with serving(Reply(json={})) as server, client_of(server) as client:
            await client.get("/v1/balance")
            await client.get("/v1/balance", account="acct_2")
            return [request.headers.get("Stripe-Account") for request in server.requests]

    assert [None, "acct_2"] == run(story())


def test_an_organization_key_names_its_account_in_the_context() -> None:
    """`Stripe-Context` in place of `Stripe-Account`."""
    _, server, _, _ = run(asked(Reply(json={}), credentials=ApiKey(f"sk_org_test_{BODY}"), account="acct_1/acct_2"))

    assert "acct_1/acct_2" == server.requests[0].headers["Stripe-Context"]
    assert "Stripe-Account" not in server.requests[0].headers


def test_an_organization_key_without_account_is_refused_before_asking() -> None:
    """Stripe would answer an error for each table."""
    _, server, _, _ = run(refused(InvalidOption, Reply(json={}), credentials=ApiKey(f"sk_org_{BODY}")))

    assert [] == server.requests


@pytest.mark.parametrize("account", ["acct_1\r\nX: y", "acct 1", ""])
def test_an_account_that_would_break_the_headers_is_refused(account: str) -> None:
    """A line feed would begin another header."""
    with pytest.raises(InvalidOption, match="account_id"):
        Client(ApiKey(KEY), account=account)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.stripe.com", "http://10.0.0.1:1234", "ftp://api.stripe.com", "api.stripe.com", "", "https://",
        f"https://{KEY}@api.stripe.com", "https://api.stripe.com?x=1", "https://a:bc/", "http://localhost.evil.com",
    ],
)
def test_a_key_is_sent_over_https_or_loopback_only(url: str) -> None:
    """It would travel in clear."""
    with pytest.raises(InvalidOption) as caught:
        Client(ApiKey(KEY), api_base=url)

    assert BODY not in str(caught.value)


@pytest.mark.parametrize("url", ["https://api.stripe.com/", "http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"])
def test_https_and_loopback_are_fine(url: str) -> None:
    """The sandbox is on loopback."""

    assert url.rstrip("/") == check_url("api_base", url)


@pytest.mark.parametrize("url", [
    "http://evillocalhost", "http://evil-localhost", "http://notlocalhost:4242", "http://localhost.evil.com",
    "http://stripe.localhost:4242",
])
def test_a_host_that_only_sounds_local_is_not(url: str) -> None:
    """DNS decides where such a name leads, also one below `localhost`."""
    with pytest.raises(InvalidOption, match="in clear"):
        check_url("api_base", url)


def test_localhost_is_this_machine_whatever_dns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked where it is."""

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def elsewhere(host: str, *_: Any, **__: Any) -> Any:
            raise AssertionError(f"DNS was asked for {host}")

        async with serving(FINE) as server:
            server.url = server.url.replace("127.0.0.1", "localhost")
            with monkeypatch.context() as patches:
                patches.setattr(loop, "getaddrinfo", elsewhere)
                async with client_of(server) as client:
                    assert {"ok": True} == (await client.get("/v1/balance")).body

    run(story())


@pytest.mark.parametrize("path", ["v1/charges", "//evil.com/v1", "https://evil.com"])
def test_a_path_cannot_lead_to_another_host(path: str) -> None:
    """Paths are put behind `api_base`."""

    async def story() -> None:
        async with Client(ApiKey(KEY)) as client:
            with pytest.raises(ValueError, match="one slash"):
                await client.get(path)

    run(story())


# What comes back


def test_an_answer_tells_stripes_time_and_version() -> None:
    """Bounds go by Stripe's clock, not by ours."""
    answer, _, _, _ = run(asked(Reply(json={"id": "x"}, headers={"Stripe-Version": "2026-10-28.endive"})))

    assert Answer({"id": "x"}, NOON_SECONDS, "2026-10-28.endive", "req_1") == answer


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_readable_date_has_ours(date: str) -> None:
    """Something is better than nothing; a sandbox or proxy may send none."""
    answer, _, _, _ = run(asked(Reply(json={}, headers={"Date": date}), now=lambda: 5.7))

    assert 5 == answer.date


def test_a_clock_that_was_told_once_is_kept() -> None:
    """An answer without a date does not turn Stripe's clock back to ours; a later one moves it on."""
    later = "Mon, 23 Nov 2026 12:00:05 GMT"
    script = Reply(json={}), Reply(json={}, headers={"Date": ""}), failure(404, headers={"Date": later})

    async def story() -> list[int]:
        told = []
        async with serving(*script) as server, client_of(server, now=lambda: 5.0) as client:
            told.append(client.clock)
            for _ in range(2):
                await client.get("/v1/balance")
                told.append(client.clock)
            with pytest.raises(InvalidRequest):
                await client.get("/v1/balance")
            return [*told, client.clock]

    assert [5, NOON_SECONDS, NOON_SECONDS, NOON_SECONDS + 5] == run(story())


def test_a_page_is_what_stripe_sent() -> None:
    """Objects untouched, in order."""

    async def story() -> Page:
        reply = Reply(json=listing("ch_2", "ch_1", more=True, total_count=7))
        async with serving(reply) as server, client_of(server) as client:
            page = await client.page("/v1/charges", {"limit": 2})
            assert (1, 2) == (client.figures.pages, client.figures.objects)
            return page

    expected = Page(
        objects=[{"id": "ch_2"}, {"id": "ch_1"}], has_more=True, date=NOON_SECONDS, url="/v1/charges", total_count=7,
        request_id="req_1",
    )
    assert expected == run(story())


def test_compressed_answers_are_read() -> None:
    """Stripe compresses when it may."""
    answer, _, _, _ = run(asked(Reply(raw=gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip"})))

    assert {"a": 1} == answer.body


# Asking again

FINE = Reply(json={"ok": True})
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


# Lists to their end


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


# What errors say

KEY_TEXT = "The provided key 'rk_test_****ab12' does not have the required permissions for this endpoint on account "


@pytest.mark.parametrize(
    ("status", "path", "error", "kind", "facts"),
    [
        (401, "/v1/charges", {"message": "Invalid API Key provided"}, AuthenticationError, {}),
        (401, "/v1/charges", {"code": "api_key_expired"}, AuthenticationError, {"code": "api_key_expired"}),
        (403, "/v1/charges", {"code": "more_permissions_required", "message": "Having the 'rak_charge_read' permission "
         "would allow this request to continue."}, PermissionDenied, {"permission": "rak_charge_read"}),
        (401, "/v1/charges", {"message": f"{KEY_TEXT}'acct_1'. Having the 'rak_charge_read' permission would …"},
         PermissionDenied, {"permission": "rak_charge_read"}),
        (403, "/v1/charges", {"message": "no"}, PermissionDenied, {"permission": None}),
        (403, "/v1/charges", {"code": "account_invalid"}, PermissionDenied, {"code": "account_invalid"}),
        (400, "/v1/issuing/cards", {"message": "Your account is not set up to use Issuing. Please visit …"}, NotEnabled,
         {"reason": "the product is not set up on this account"}),
        (404, "/v1/treasury/transactions", {"message": "Unrecognized request URL (GET: /v1/treasury/transactions)."},
         NotEnabled, {"reason": "the account is not onboarded to Treasury"}),
        (404, "/v1/chargez", {"message": "Unrecognized request URL (GET: /v1/chargez)."}, NotEnabled, {}),
        (400, "/v2/core/accounts", {"message": "Accounts v2 is not enabled for your platform."}, NotEnabled, {}),
        (403, "/v2/money_management/adjustments", {"code": "feature_not_enabled"}, NotEnabled, {}),
        (400, "/v1/test_helpers/test_clocks", {"message": "This endpoint is only available in testmode."}, NotEnabled,
         {"reason": "only available in test mode"}),
        (404, "/v1/charges/ch_1", {"code": "resource_missing", "param": "id"}, ResourceMissing, {"param": "id"}),
        (400, "/v1/events", {"message": "That event aged out of our retention policy"}, ResourceMissing,
         {"param": "starting_after"}),
        (400, "/v1/charges", {"code": "rate_limit"}, RateLimited, {}),
        (429, "/v1/charges", {"code": "lock_timeout"}, RateLimited, {"reason": "lock_timeout"}),
        (500, "/v1/charges", {}, ApiError, {}),
        (402, "/v1/charges", {"type": "card_error"}, InvalidRequest, {"type": "card_error"}),
    ],
)
def test_every_refusal_has_its_exception(
    status: int, path: str, error: dict[str, str], kind: type[StripeError], facts: dict[str, Any]
) -> None:
    """By status and code first, by Stripe's words where there is nothing else."""
    caught = refusal(status, {"error": error}, path=path)

    assert kind is type(caught)
    assert facts == {name: getattr(caught, name) for name in facts}


def test_an_error_says_what_was_asked_what_came_and_what_to_do() -> None:
    """The table is known to the caller only, who adds it."""
    error = refusal(
        403,
        {"error": {"code": "more_permissions_required", "message": "Having the 'rak_charge_read' permission helps."}},
        path="/v1/charges", request_id="req_1", account="acct_1",
    )
    error.table = "charges"

    assert str(error) == (
        "Table `charges`, `/v1/charges`, account `acct_1`: Stripe answered 403 more_permissions_required "
        "(request req_1): Having the 'rak_charge_read' permission helps. Give the key the permission "
        "`rak_charge_read` at https://dashboard.stripe.com/apikeys, or leave the table out with `exclude`."
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownTable("charge", ["charges", "customers"]),
         "Unknown table `charge`. Did you mean `charges`? Run `stripe-source tables` to list all 2."),
        (UnknownTable("xyz", ["charges"], ["Charges"]),
         "Unknown table `xyz`. Run `stripe-source tables` to list all 1."),
        (UnknownTable("PaymentIntnt", ["x"], ["PaymentIntent"]),
         "Unknown table `PaymentIntnt`. Did you mean `PaymentIntent`? Run `stripe-source tables` to list all 1."),
        (UnknownMarker("creatd", ["created", "id"], "charges"),
         "Unknown marker `creatd` for table `charges`. Did you mean `created`? Known: `created`, `id`."),
        (InvalidOption("deletes", "sof", ["soft", "hard"]),
         "`sof` is no value for option `deletes`. Did you mean `soft`? Known: `soft`, `hard`."),
        (InvalidBounds("`start` is not before `end`", start=2, end=1),
         "`start` is not before `end`. `start` is `2`. `end` is `1`. Bounds on `created` are a datetime, a date, ISO "
         "text or unix seconds; `end` is exclusive."),
        (MixedData("mode", "live", "test", "stripe_data"),
         "Dataset `stripe_data` holds data of mode `live`, and the key reads mode `test`. Use the key of `live`, or "
         "load `test` into a dataset of its own (`--dataset`)."),
    ],
)
def test_wrong_configuration_is_explained(error: ConfigurationError, expected: str) -> None:
    """With what was given, what is known, and what was probably meant."""

    assert (expected, 2) == (str(error), error.exit_code)


def test_exit_codes_tell_wrong_use_from_refusal() -> None:
    """2 is ours, 3 is Stripe's, 1 is anything else."""

    assert [2, 3, 3, 1, 1] == [
        kind.exit_code for kind in (MissingKey, AuthenticationError, PermissionDenied, NotEnabled, Unreachable)
    ]


def test_errors_travel_between_processes() -> None:
    """Shards of a run are processes of their own."""
    error = refusal(429, None, path="/v1/charges", rate_limited_reason="global-rate", attempts=8)
    error.table = "charges"
    copy = pickle.loads(pickle.dumps(error))

    assert (str(error), vars(error)) == (str(copy), vars(copy))
    assert str(UnknownTable("a", ["b"])) == str(pickle.loads(pickle.dumps(UnknownTable("a", ["b"]))))


# The key is nowhere but in the request


@pytest.mark.parametrize(
    "text",
    [
        KEY, f"sk_live_{BODY}", f"rk_live_{BODY}", f"rkcs_test_{BODY}", f"pk_live_{BODY}", f"whsec_{BODY}",
        f"sk_{BODY}", f"sk_org_{BODY}", f"sk_org_live_{BODY}", f"ek_test_{BODY}", f"rt_{BODY}",
        f"Bearer {BODY}", f"bearer {BODY}=",
        f"{{'Authorization': 'Bearer {BODY}'}}", f"Authorization: {BODY}", f"https://user:{BODY}@proxy:8080/",
        f"%22sk_live_{BODY}%22", f"Xsk_live_{BODY}", f'{{"refresh_token":"{BODY}"}}', f"client_secret={BODY}&a=b",
        f"sk_live_{BODY[:8]}.{BODY[8:]}", f"({KEY})", f"key={KEY}&x", f"{KEY},{KEY}",
    ],
)
def test_anything_like_a_key_is_redacted(text: str) -> None:
    """Whatever stands around it; and what is left is not redacted a second time."""
    clean = redact(f"before {text} after")

    assert not [part for part in (BODY, BODY[:8], BODY[8:]) if part in clean]
    assert clean.startswith("before ") and clean.endswith(" after")
    assert clean == redact(clean)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invalid API Key provided: sk_test_****1234.", "Invalid API Key provided: sk_test_…redacted."),
        ("key 'rk_live_*********abcd' lacks", "key 'rk_live_…redacted' lacks"),
        ("No such customer: 'cus_NffrFeUfNV2Hib'", "No such customer: 'cus_NffrFeUfNV2Hib'"),
        ("Having the 'rak_charge_read' permission", "Having the 'rak_charge_read' permission"),
        ("Secret keys start with `sk_live_` or `sk_test_`.", "Secret keys start with `sk_live_` or `sk_test_`."),
        ("Use bearer authentication, basic authentication", "Use bearer authentication, basic authentication"),
        ("https://dashboard.stripe.com/acct_1/apikeys?a@b", "https://dashboard.stripe.com/acct_1/apikeys?a@b"),
    ],
)
def test_what_is_no_secret_stays(text: str, expected: str) -> None:
    """An error that hides what it is about helps nobody."""

    assert expected == redact(text)


@settings(max_examples=100, deadline=None, database=None)
@given(
    before=st.text(max_size=10), after=st.text(alphabet=" \n\"'`,;:)&<>{}[]/?#@!|\\", max_size=10),
    prefix=st.sampled_from(["sk_live_", "sk_test_", "rk_live_", "rkcs_test_", "sk_org_", "whsec_", "pk_test_"]),
    secret=st.text(alphabet="abcdefXYZ0189_", min_size=8, max_size=40).filter(lambda text: text.strip("_")),
)
def test_no_surroundings_let_a_key_through(before: str, after: str, prefix: str, secret: str) -> None:
    """Keys may be glued to anything."""

    assert f"{prefix}{secret}" not in redact(f"{before}{prefix}{secret}{after}")


class Leaky(ClientError):
    """An error of the HTTP library that tells too much."""

    def __str__(self) -> str:
        return f"GET https://x?key={KEY} {{'Authorization': 'Bearer {KEY}'}}"


def planted(request: web.Request) -> Reply:
    """A Stripe that echoes the key wherever it can."""
    return Reply(
        500,
        {"error": {"message": f"key {KEY}", "code": KEY, "type": KEY, "param": KEY}},
        {"Request-Id": KEY, "Stripe-Rate-Limited-Reason": KEY, "Location": f"https://{KEY}@x.com/{KEY}"},
    )


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
def test_a_key_that_stripe_echoes_is_not_seen(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """In text, repr, attributes, traceback with variables, and log."""

    def answer(request: web.Request) -> Reply:
        reply = planted(request)
        return Reply(status, reply.json, reply.headers)

    seen = _everything_seen(answer, caplog)
    assert BODY not in seen


@pytest.mark.parametrize("failing", [Leaky(), OSError(f"no {KEY}"), TimeoutError(KEY)])
def test_a_key_in_an_exception_of_the_http_library_is_not_seen(
    failing: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is that exception carried along as context."""

    def fail(*_: Any, **__: Any) -> None:
        raise failing

    monkeypatch.setattr("aiohttp.ClientSession.get", fail)
    seen = _everything_seen(planted, caplog)
    assert BODY not in seen


def _everything_seen(answer: Callable[[web.Request], Reply], caplog: pytest.LogCaptureFixture) -> str:
    async def story() -> str:
        async with serving(answer) as server, client_of(server, attempts=2) as client:
            try:
                await client.get(f"/v1/charges/{KEY}", {"key": KEY})
            except StripeError as error:
                assert error.__context__ is None and error.__cause__ is None
                ours = error.__traceback__
                assert ours is not None
                told = traceback.TracebackException(type(error), error, ours, capture_locals=True)
                frames = [frame for frame in told.stack if frame.filename != __file__ and frame.name == "_get"]
                shown = [
                    value for frame in frames for name, value in (frame.locals or {}).items()
                    if name not in ("path", "params", "url", "bare")  # these are the test's own
                ]
                assert shown
                return "\n".join([str(error), repr(error), str(vars(error)), repr(client), *shown])
        raise AssertionError("no error")

    with caplog.at_level(logging.DEBUG):
        seen = run(story())
    return "\n".join([seen, *(record.getMessage() for record in caplog.records if record.name == "stripe_source")])


def test_a_token_without_a_known_shape_is_not_seen() -> None:
    """Nobody promised that access tokens look like keys; what we sent is hidden wherever it comes back."""
    error = {"message": f"token {BODY}", "code": BODY, "type": BODY, "param": BODY}
    caught = refusal(400, {"error": error}, path="/v1/charges", secrets=(BODY,))

    assert BODY not in f"{caught} {vars(caught)}"


def test_credentials_do_not_show_themselves() -> None:
    """In a notebook, a debugger, a dump of variables."""
    oauth = OAuth("ca_1", KEY, f"rt_{BODY}")

    assert "ApiKey('sk_test_…redacted')" == repr(ApiKey(KEY))
    assert "OAuth(client_id='ca_1')" == repr(oauth)
    assert BODY not in repr(Client(ApiKey(KEY)))


# Keys


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"sk_live_{BODY}", KeyInfo("secret", True)),
        (f"sk_test_{BODY}", KeyInfo("secret", False)),
        (f"rk_live_{BODY}", KeyInfo("restricted", True)),
        (f"rk_test_{BODY}\n", KeyInfo("restricted", False)),
        (f"rkcs_test_{BODY}", KeyInfo("restricted", False)),
        (f"sk_org_{BODY}", KeyInfo("organization", None)),
        (f"sk_org_live_{BODY}", KeyInfo("organization", True)),
        (f"sk_org_test_{BODY}", KeyInfo("organization", False)),
    ],
)
def test_keys_say_what_they_are(key: str, expected: KeyInfo) -> None:
    """By their prefix."""

    assert expected == parse_key(key)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (None, MissingKey), ("", MissingKey), (" \n", MissingKey),
        (f"pk_live_{BODY}", PublishableKey), (f"pk_{BODY}", PublishableKey),
        (f"sk_live_{BODY[:8]} {BODY[8:]}", MalformedKey), (f"sk_live_{BODY[:8]}\r\nX: {BODY[8:]}", MalformedKey),
        (f'"sk_live_{BODY}"', MalformedKey), (f"'sk_live_{BODY}'", MalformedKey),
        ("sk_live_****abcd", MalformedKey), ("sk_live_...", MalformedKey), (f"xx_live_{BODY}", MalformedKey),
        (BODY, MalformedKey), (f"sk_{BODY}", MalformedKey), ("sk_live_", MalformedKey), (f"whsec_{BODY}", MalformedKey),
        (f"acct_{BODY}", MalformedKey), (f"Bearer sk_live_{BODY}", MalformedKey), (f"sk_live_{BODY}é", MalformedKey),
    ],
)
def test_what_is_no_key_is_refused_without_being_shown(key: str | None, kind: type[ConfigurationError]) -> None:
    """Each for its own reason; nothing is asked of Stripe."""
    with pytest.raises(ConfigurationError) as caught:
        ApiKey(key)

    assert kind is type(caught.value)
    assert not [part for part in (BODY[:8], BODY[8:]) if part in str(caught.value)]


# OAuth


class TokenServer:
    """Stripe's token endpoint: a refresh token works once. And a list that takes the newest access token only."""

    def __init__(self, expires_in: int | None = 3600) -> None:
        self.exchanges = 0
        self.refresh_token, self.access_token = "rt_0", "none"
        self.expires_in = expires_in
        self.headers: list[str] = []
        self.delay = 0.0
        self.first: list[Reply] = []

    def __call__(self, request: web.Request) -> Reply:
        if request.path == "/v1/oauth/token":
            if self.first:
                return self.first.pop(0)
            self.exchanges += 1
            self.refresh_token, self.access_token = f"rt_{self.exchanges}", f"at_{BODY}_{self.exchanges}"
            body = {"access_token": self.access_token, "refresh_token": self.refresh_token, "livemode": True}
            body |= {} if self.expires_in is None else {"expires_in": self.expires_in}
            return Reply(json={**body, "stripe_user_id": "acct_1", "token_type": "bearer"}, delay=self.delay)
        self.headers.append(request.headers["Authorization"])
        if self.headers[-1] != f"Bearer {self.access_token}":
            return failure(401, "Expired token")
        return FINE


def with_oauth(story: Callable[[TokenServer, Client, OAuth, Clock, list[str]], Awaitable[None]]) -> Server:
    """Tell `story` with an app that is authorized."""

    async def told() -> Server:
        tokens, clock, kept = TokenServer(), Clock(), list[str]()
        async with serving(tokens) as server:
            url = f"{server.url}/v1/oauth/token"
            oauth = OAuth("ca_1", KEY, "rt_0", url, kept.append, clock=clock, sleep=Waits())
            async with client_of(server, credentials=oauth) as client:
                await story(tokens, client, oauth, clock, kept)
            return server

    return run(told())


def test_a_token_is_made_from_the_refresh_token() -> None:
    """The exchange is authenticated with the app developer's key; the new refresh token is handed on."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        assert oauth.livemode is False
        await client.get("/v1/balance")
        await client.get("/v1/balance")
        assert ([f"Bearer at_{BODY}_1"] * 2, ["rt_1"]) == (tokens.headers, kept)
        assert (True, "acct_1") == (oauth.livemode, oauth.account)

    server = with_oauth(story)
    assert {"grant_type": "refresh_token", "refresh_token": "rt_0"} == server.forms[0]
    assert f"Bearer {KEY}" == server.requests[0].headers["Authorization"]


def test_a_token_is_renewed_shortly_before_its_end() -> None:
    """With the newest refresh token; the old one works no more."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        await client.get("/v1/balance")
        clock.now += 3600 - 121
        await client.get("/v1/balance")
        assert ["rt_1"] == kept
        clock.now += 2
        await client.get("/v1/balance")
        assert ["rt_1", "rt_2"] == kept

    assert ["rt_0", "rt_1"] == [form["refresh_token"] for form in with_oauth(story).forms if form]


def test_a_token_that_stripe_refuses_is_renewed_once() -> None:
    """A laptop that slept, a clock that stood still."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        await client.get("/v1/balance")
        tokens.access_token = "another"
        await client.get("/v1/balance")
        assert (2, 3) == (tokens.exchanges, len(tokens.headers))

    with_oauth(story)


def test_a_401_after_renewal_is_final() -> None:
    """The access was revoked."""

    async def story() -> None:
        tokens = TokenServer()

        def answer(request: web.Request) -> Reply:
            return tokens(request) if "oauth" in request.path else failure(401, "Revoked")

        async with serving(answer) as server:
            oauth = OAuth("ca_1", KEY, "rt_0", f"{server.url}/v1/oauth/token")
            async with client_of(server, credentials=oauth) as client:
                with pytest.raises(AuthenticationError, match="Revoked"):
                    await client.get("/v1/balance")
        assert 2 == tokens.exchanges

    run(story())


def test_requests_side_by_side_share_one_exchange() -> None:
    """Two at once would use one refresh token twice, and lose the access."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.delay = 0.03
        await asyncio.gather(*(client.get("/v1/balance") for _ in range(10)))
        assert 1 == tokens.exchanges
        tokens.access_token = "another"
        await asyncio.gather(*(client.get("/v1/balance") for _ in range(10)))
        assert 2 == tokens.exchanges

    with_oauth(story)


def test_an_exchange_is_finished_before_the_run_is_cancelled() -> None:
    """Half an exchange loses the new refresh token, and the old one is void."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.delay = 0.1
        task = asyncio.create_task(client.get("/v1/balance"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ["rt_1"] == kept
        await client.get("/v1/balance")

    with_oauth(story)


def test_an_exchange_survives_a_hiccup() -> None:
    """A dropped connection, a 500."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.first = [Reply(cut=0), failure(500), Reply(raw=b"<html>")]
        await client.get("/v1/balance")
        assert 1 == tokens.exchanges

    with_oauth(story)


def test_a_refresh_token_that_was_used_is_explained() -> None:
    """Somebody else used it, or a year went by."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.first = [Reply(400, {"error": "invalid_grant", "error_description": f"Token rt_{BODY} was used"})]
        with pytest.raises(AuthenticationError) as caught:
            await client.get("/v1/balance")
        assert "invalid_grant" == caught.value.code
        assert "App `ca_1` could not renew its token" in str(caught.value)
        assert BODY not in str(caught.value)

    with_oauth(story)


@pytest.mark.parametrize("refusal", [failure(429), failure(500), failure(503), Reply(json={"token_type": "bearer"})])
def test_an_exchange_that_may_pass_is_tried_again(refusal: Reply) -> None:
    """Stripe was busy, or answered with something else than a token: the refresh token has not been used."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.first = [refusal]
        await client.get("/v1/balance")
        assert (1, ["rt_1"]) == (tokens.exchanges, kept)

    assert ["rt_0", "rt_0"] == [form["refresh_token"] for form in with_oauth(story).forms if form]


def test_an_exchange_that_is_refused_is_tried_once() -> None:
    """A refresh token that Stripe does not take does not get better."""

    async def story(tokens: TokenServer, client: Client, oauth: OAuth, clock: Clock, kept: list[str]) -> None:
        tokens.first = [Reply(400, {"error": "invalid_grant"})] * 4
        with pytest.raises(AuthenticationError):
            await client.get("/v1/balance")
        assert 3 == len(tokens.first)

    with_oauth(story)


# Limits


def test_the_client_tells_the_governor_why_it_was_refused() -> None:
    """By Stripe's header, per account and operation."""
    clock = Clock()
    governor = Governor(0.5, True, clock=clock, sleep=clock.sleep)
    limited = failure(429, headers={"Stripe-Rate-Limited-Reason": "endpoint-rate"})
    _, _, _, client = run(asked(limited, FINE, path="/v1/charges/ch_1", governor=governor, account="acct_1"))

    assert 1 == client.figures.rate_limited
    assert 6 < (governor.flow("acct_1", "/v1/charges/{id}") or 0) < 6.4
    assert 50.0 == governor.flow("acct_1")


def test_a_request_that_is_cancelled_frees_its_place() -> None:
    """While it waits for the limits, and while it is under way."""

    async def story() -> None:
        governor = Governor(0.1, True)
        async with serving(Reply(json={}, delay=5)) as server, client_of(server, governor=governor) as client:
            tasks = [asyncio.create_task(client.get("/v1/balance")) for _ in range(5)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert {0} == {lane.under_way for lane in governor._lanes.values()}

    run(story())


def test_connections_are_bounded() -> None:
    """However many tasks there are."""

    async def story() -> int:
        async with serving(Reply(json={}, delay=0.01)) as server, client_of(server, connections=3) as client:
            await asyncio.gather(*(client.get("/v1/balance") for _ in range(20)))
            return server.most

    assert 3 == run(story())


# Manners


def test_a_client_is_used_inside_its_block() -> None:
    """Outside there is no session; and a second block would share the first one's."""

    async def story() -> None:
        client = Client(ApiKey(KEY))
        with pytest.raises(RuntimeError, match="async with"):
            await client.get("/v1/balance")
        async with client:
            with pytest.raises(RuntimeError, match="open already"):
                await client.__aenter__()

    run(story())


def test_importing_is_cheap() -> None:
    """Commands that ask nothing of Stripe start at once."""
    heavy = "asyncio aiohttp dlt stripe pyarrow orjson"
    script = f"import sys, stripe_source.api.client; print([m for m in '{heavy}'.split() if m in sys.modules])"

    assert "[]\n" == subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_proxies_are_for_hosts_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to loopback are in clear, and nobody else's business."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    answer, _, _, _ = run(asked(FINE))

    assert {"ok": True} == answer.body


def test_the_key_is_the_only_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~/.netrc` has a login for Stripe's host and one for the proxy, the proxy's URL has one: the key arrives."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)

    async def story() -> list[web.Request]:
        async with serving(FINE) as server:
            monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
            monkeypatch.setenv("http_proxy", server.url.replace("://", "://user:word@"))
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.setattr("stripe_source.api.http.session.is_loopback", lambda url: False)  # as Stripe's is not
            async with client_of(server) as client:
                await client.get("/v1/balance")
        return server.requests

    (request,) = run(story())
    proxied = base64.b64encode(b"user:word").decode()
    assert (f"Bearer {KEY}", f"Basic {proxied}") == (
        request.headers["Authorization"], request.headers["Proxy-Authorization"])


# How much is taken


class Endless:
    """A server whose answers have no end; it counts what it could send."""

    def __init__(self, packed: bool) -> None:
        self.packed, self.sent = packed, 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        packer, piece = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16), b"0" * 1_000_000
        pieces = [packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if self.packed else {})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for number in range(3_000):  # 3 GB; what was flushed wholly may be repeated
                await response.write(pieces[min(number, 1)] if self.packed else piece)
                await asyncio.sleep(0)
                self.sent += len(piece)
        return response


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_an_end_is_given_up(packed: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three gigabytes, or three megabytes that unpack to them: once, and after the limit nothing more is taken."""
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", 5_000_000)

    async def story() -> tuple[int, AnswerTooLarge, int]:
        endless = Endless(packed)
        app = web.Application()
        app.router.add_get("/{path:.*}", endless.answer)
        async with TestServer(app) as http:
            url = str(http.make_url("")).rstrip("/")
            async with Client(ApiKey(KEY), api_base=url) as client:
                with pytest.raises(AnswerTooLarge) as caught:
                    await client.page("/v1/charges")
                return client.figures.requests, caught.value, endless.sent

    requests, error, sent = run(story())
    assert (1, "/v1/charges") == (requests, error.path)
    assert "More than 5 MB in one answer" in str(error)
    assert sent < 3_000_000_000 / 2  # what the kernel buffers comes on top


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw deflate"])
def test_an_answer_as_large_as_the_limit_is_taken(packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, in each packing that we ask for; one byte more is too many."""
    text = orjson.dumps({"ok": "x" * 1_000_000})
    bits = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}[packing]
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    reply = Reply(raw=packer.compress(text) + packer.flush(), headers={"Content-Encoding": packing.split()[-1]})
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", len(text))
    answer, _, _, _ = run(asked(reply))
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", len(text) - 1)
    run(refused(AnswerTooLarge, reply))

    assert {"ok": "x" * 1_000_000} == answer.body


@pytest.mark.parametrize(
    "raw", [gzip.compress(b'{"a":1}')[:-9], gzip.compress(b'{"a":1}') + b"more"], ids=["cut", "goes on"])
def test_a_packed_answer_that_is_cut_or_goes_on_is_asked_for_again(raw: bytes) -> None:
    """Half of it may be whole JSON."""
    broken = Reply(raw=raw, headers={"Content-Encoding": "gzip"})
    answer, server, _, _ = run(asked(broken, FINE))

    assert ({"ok": True}, 2) == (answer.body, len(server.requests))


# One object that is no JSON

DEEP = b'{"id": "ch_2", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(("thing", "reason"), [
    (b'{"id": "ch_2", "amount": NaN}', "it has the number `NaN`, which is no JSON"),
    (b'{"text": "}],{", "id": "ch_2", "amount": -Infinity}', "it has the number `-Infinity`, which is no JSON"),
    (b'{"inner": {"id": "no"}, "id": "ch_2", "name": "\xff"}', "it is not UTF-8"),
    (DEEP, "its values are nested 10,000 levels deep"),
])
def test_one_object_that_is_no_json_does_not_cost_the_others(thing: bytes, reason: str) -> None:
    """It is named, with what is wrong; where nobody takes that, the page is broken, and the error names it."""
    page = b'{"object": "list", "data": [{"id": "ch_1"}, ' + thing + b', {"id": "ch_3"}], "has_more": false}'

    async def story() -> tuple[list[Any], dict[str, str], int]:
        skipped: dict[str, str] = {}
        async with serving(Reply(raw=page)) as server, client_of(server) as client:
            found = await client.page("/v1/charges", on_skip=lambda id, error: skipped.update({id: str(error)}))
            return [each["id"] for each in found.objects], skipped, len(server.requests)

    ids, skipped, requests = run(story())
    error, _, _, _ = run(refused(BrokenAnswer, Reply(raw=page), page=True))
    assert (["ch_1", "ch_3"], ["ch_2"], 2) == (ids, list(skipped), requests)
    assert f"the object `ch_2` cannot be read: {reason}" in skipped["ch_2"]
    assert f"the object `ch_2` cannot be read: {reason}" in str(error)


@pytest.mark.parametrize("page", [
    b'{"object": "list", "data": [{"id": "ch_1"}, {"id": "ch_', b'{"object": "list", "data": [NaN], "has_more": true}',
    b'{"object": "list", "data": [{"id": "ch_1", "a": NaN}], "has_more": true}', b"<html>",
    b'{"object": "list", "data": 1',
    b'{"object": "list", "data": [{"a": NaN}, {"id": "ch_1"}], "has_more": false}',
])
def test_a_page_that_says_too_little_is_broken(page: bytes) -> None:
    """Cut off; without one object that can be read, from which the list could go on; an object without an id."""

    async def story() -> None:
        async with serving(Reply(raw=page)) as server, client_of(server, attempts=3) as client:
            with pytest.raises(BrokenAnswer):
                await client.page("/v1/charges", on_skip=lambda id, error: None)

    run(story())


# Secrets among the data


def test_secrets_among_the_data_stay_at_stripe_unless_they_are_asked_for() -> None:
    """Also those inside, and in copies; what only looks like one, and text about them, stays as it is."""
    body = {
        "client_secret": "pi_1_secret_2", "payment": {"client_secret": 'quo"te'}, "list": [{"signing_secret": "s"}],
        "secret": "whsec_abc", "metadata": {"secret": "of the user", "my_secret": "x"}, "none": {"client_secret": None},
        "text": '{"client_secret": "pi_3_secret_4"}', "xclient_secret": "y",
    }
    expected = {
        **body, "client_secret": None, "payment": {"client_secret": None}, "list": [{"signing_secret": None}],
        "secret": None,
    }
    without, _, _, _ = run(asked(Reply(json=body), include_secrets=False))
    with_them, _, _, _ = run(asked(Reply(json=body)))

    assert (expected, body) == (without.body, with_them.body)


# A Stripe App's newest token, in a file


def app_of(server: Server, file: Path, token: str = "rt_0") -> OAuth:
    return OAuth("ca_1", KEY, token, f"{server.url}/v1/oauth/token", file=file, sleep=Waits())


def test_the_newest_token_is_kept_in_a_file(tmp_path: Path) -> None:
    """Run after run, each by a new object; nobody else may read it, and nothing else is left beside it."""
    file = tmp_path / "app.json"

    async def story() -> list[str]:
        async with serving(TokenServer()) as server:
            for _ in range(3):
                async with client_of(server, credentials=app_of(server, file)) as client:
                    await client.get("/v1/balance")
            return [form["refresh_token"] for form in server.forms if form]

    assert ["rt_0", "rt_1", "rt_2"] == run(story())
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert {"app.json", "app.json.lock"} >= {path.name for path in tmp_path.iterdir()}
    assert "rt_3" == json.loads(file.read_text())["refresh_token"]


def test_an_app_that_was_authorized_again_begins_anew(tmp_path: Path) -> None:
    """The configured token is another one than that which the file began with."""

    async def story() -> list[str]:
        async with serving(TokenServer()) as server:
            for token in ("rt_0", "rt_0", "rt_new", "rt_new"):
                async with client_of(server, credentials=app_of(server, tmp_path / "app", token)) as client:
                    await client.get("/v1/balance")
            return [form["refresh_token"] for form in server.forms if form]

    assert ["rt_0", "rt_1", "rt_new", "rt_3"] == run(story())


def test_two_processes_share_one_app(tmp_path: Path) -> None:
    """`check` beside `run --every`: each exchanges the newest token, and none is spent twice."""

    async def story() -> tuple[list[str], list[str]]:
        tokens = TokenServer()
        tokens.delay = 0.05
        async with serving(tokens) as server:
            apps = [app_of(server, tmp_path / "app") for _ in range(4)]  # all made before the first exchange

            async def reads(app: OAuth) -> None:
                async with client_of(server, credentials=app) as client:
                    await app.header(client._session)  # type: ignore[arg-type]

            await asyncio.gather(*map(reads, apps))
            return [form["refresh_token"] for form in server.forms if form], tokens.headers

    assert ["rt_0", "rt_1", "rt_2", "rt_3"] == run(story())[0]


def test_a_token_is_not_spent_where_the_next_one_cannot_be_kept(tmp_path: Path) -> None:
    """The folder is gone, or the file is something else: refused before Stripe is asked."""
    (tmp_path / "other").write_text("[]")

    async def story() -> int:
        async with serving(TokenServer()) as server:
            with pytest.raises(InvalidOption, match="no file of this kind"):
                app_of(server, tmp_path / "other")
            with pytest.raises(InvalidOption, match="no such folder"):
                app_of(server, tmp_path / "gone" / "app")
            (tmp_path / "folder").mkdir()
            app = app_of(server, tmp_path / "folder" / "app")
            shutil.rmtree(tmp_path / "folder")
            (tmp_path / "folder").touch()
            async with client_of(server, credentials=app) as client:
                with pytest.raises(InvalidOption, match="cannot be kept there"):
                    await client.get("/v1/balance")
            return len(server.requests)

    assert 0 == run(story())


def test_advice_for_a_key_that_may_not_from_here() -> None:
    """It is not the key that is wrong, and a new one would not help."""
    address = AuthenticationError("This API key can only be used from the IP addresses on its allowlist.", status=401)
    platform = AuthenticationError(
        "Only Stripe Connect platforms can work with other accounts.", status=401, account="acct_1")
    no_access = PermissionDenied("No.", status=403, code="account_invalid", account="acct_1")

    assert "allow list" in str(address) and "Create a key" not in str(address)
    for error in (platform, no_access):
        assert "leave out `account_id`" in str(error) and "acct_1" in error.advice()
    assert "Create a key" in str(AuthenticationError("Invalid API Key provided", status=401))
