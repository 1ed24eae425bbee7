"""OAuth: refresh token in, access token out, rotation."""
from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stripe_source.api.credentials import Secret, check_url, parse_key, pause
from stripe_source.api.refusals import refusal
from stripe_source.errors import AuthenticationError, BrokenAnswer, InvalidOption, StripeError, Unreachable
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import aiohttp

TOKEN_URL = "https://api.stripe.com/v1/oauth/token"


class OAuth:
    """A Stripe App's access to an account: tokens of an hour, made from a refresh token that works once.

    Stripe answers each exchange with a new refresh token and forgets the old one. So one exchange is under way at a
    time, it is not interrupted half-way, and the new token goes to `on_rotate`, which must keep it for the next run.

    Args:
        client_id: of the app; it names the app in errors.
        client_secret: the app developer's secret key; the exchange is authenticated with it.
        refresh_token: the newest one.
        token_url: where the exchange takes place.
        on_rotate: called with each new refresh token.
        margin: how many seconds before its end a token is renewed.
        clock: seconds that only go up.
        sleep: how to wait between attempts.
    """

    ATTEMPTS = 4

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        token_url: str = TOKEN_URL,
        on_rotate: Callable[[str], None] | None = None,
        *,
        margin: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = pause,
    ) -> None:
        self._livemode = parse_key(client_secret).livemode
        if not refresh_token.strip():
            raise InvalidOption("refresh_token", refresh_token, reason="Authorize the app to get one.")
        self.client_id = client_id
        self.account: str | None = None
        self._client_secret = client_secret.strip()
        self._refresh_token = refresh_token.strip()
        self._token_url = check_url("token_url", token_url)
        self._on_rotate = on_rotate
        self._margin, self._clock, self._sleep = margin, clock, sleep
        self._header: str | None = None
        self._ends = 0.0
        self._exchanging = threading.Lock()  # not asyncio's: one of these may serve clients in several threads

    def __repr__(self) -> str:
        return f"OAuth(client_id={redact(self.client_id)!r})"

    @property
    def livemode(self) -> bool | None:
        return self._livemode

    @property
    def organization(self) -> bool:
        return False

    @property
    def secrets(self) -> tuple[str, ...]:
        token = self._header.removeprefix("Bearer ") if self._header else ""
        return tuple(secret for secret in (self._client_secret, self._refresh_token, token) if secret)

    async def header(self, session: aiohttp.ClientSession) -> str:
        while self._header is None or self._clock() >= self._ends - self._margin:
            await self._renewed(session, self._header)
        return self._header

    async def renew(self, session: aiohttp.ClientSession, refused: str) -> bool:
        await self._renewed(session, refused)
        return True

    async def _renewed(self, session: aiohttp.ClientSession, old: str | None) -> None:
        import asyncio

        while not self._exchanging.acquire(blocking=False):
            await asyncio.sleep(0.01)  # the exchange is somebody else's, perhaps in another thread
        try:
            if self._header != old:
                return  # it was renewed while we waited
            exchange = asyncio.ensure_future(self._exchange(session))
            try:
                await asyncio.shield(exchange)
            except asyncio.CancelledError:
                await asyncio.wait([exchange])  # half an exchange would lose the new refresh token for good
                if not exchange.cancelled():
                    exchange.exception()  # asyncio complains of errors that nobody looked at
                raise
        finally:
            self._exchanging.release()

    async def _exchange(self, session: aiohttp.ClientSession) -> None:
        answer = await self._asked(session)
        token = answer["access_token"]
        self._header = Secret(f"Bearer {token}")
        self._ends = self._clock() + max(float(answer.get("expires_in") or 3600), 2 * self._margin)
        if isinstance(answer.get("livemode"), bool):
            self._livemode = answer["livemode"]
        self.account = answer.get("stripe_user_id") or self.account
        rotated = answer.get("refresh_token")
        if isinstance(rotated, str) and rotated and rotated != self._refresh_token:
            self._refresh_token = rotated
            if self._on_rotate is not None:
                self._on_rotate(rotated)

    async def _asked(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        import asyncio

        import aiohttp
        import orjson

        path = urlsplit(self._token_url).path
        error: StripeError
        for attempt in range(1, self.ATTEMPTS + 1):
            try:
                async with session.post(
                    self._token_url,
                    data={"grant_type": "refresh_token", "refresh_token": self._refresh_token},
                    headers={"Authorization": f"Bearer {self._client_secret}"},
                    allow_redirects=False,
                ) as response:
                    status, text = response.status, await response.read()
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as failure:
                error = Unreachable(
                    redact(f"The token could not be renewed: {type(failure).__name__}: {failure}", self.secrets),
                    path=path, attempts=attempt,
                )
            else:
                try:
                    body = orjson.loads(text)
                except orjson.JSONDecodeError:
                    body = None
                if status == 200 and isinstance(body, dict) and isinstance(body.get("access_token"), str):
                    return body
                error = self._refused(status, body if isinstance(body, dict) else None, path, attempt)
                if not (status == 200 or status == 429 or status >= 500):
                    break
            if attempt < self.ATTEMPTS:
                await self._sleep(0.5 * 2**attempt)
        raise error

    def _refused(self, status: int, body: dict[str, Any] | None, path: str, attempt: int) -> StripeError:
        if status == 200:
            said = "The answer to a token exchange holds no token"
            return BrokenAnswer(said, status=status, path=path, attempts=attempt)
        error = refusal(status, body, path=path, secrets=self.secrets, attempts=attempt)
        if status in (400, 401, 403):
            app = redact(self.client_id)
            return AuthenticationError(
                f"App `{app}` could not renew its token ({error.message}). A refresh token works once and for a year: "
                "use the newest one, or authorize the app again",
                status=status, code=error.code, path=path,
            )
        return error
