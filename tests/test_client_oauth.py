"""Tokens of a Stripe App: made, renewed, shared by requests and processes, and kept in a file."""
from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from fake_clock import Clock
from scripted_server import BODY, FINE, KEY, Reply, Server, Waits, client_of, failure, run, serving

from stripe_source.api.client import Client
from stripe_source.api.oauth import OAuth
from stripe_source.errors import AuthenticationError, InvalidOption

pytestmark = pytest.mark.filterwarnings("error")


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
