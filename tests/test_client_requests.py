"""What the client sends, and how: parameters, headers, hosts, proxies, and how many requests at a time."""
from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_clock import Clock
from scripted_server import BODY, FINE, KEY, Reply, asked, client_of, failure, refused, run, serving

from stripe_source.api.client import API_VERSION, Client
from stripe_source.api.credentials import ApiKey, check_url
from stripe_source.api.query import encode, fill
from stripe_source.api.rate_limits import Governor
from stripe_source.errors import InvalidOption

pytestmark = pytest.mark.filterwarnings("error")


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
