"""OAuth: refresh token in, access token out, rotation."""
from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stripe_source.api.credentials import Secret, check_url, parse_key, pause
from stripe_source.api.refusals import refusal
from stripe_source.errors import AuthenticationError, BrokenAnswer, InvalidOption, StripeError, Unreachable
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import aiohttp

TOKEN_URL = "https://api.stripe.com/v1/oauth/token"


class TokenFile:
    """A file of mode 0600 that keeps the newest refresh token; one process at a time exchanges it.

    Args:
        path: where it is; the folder must exist.
        first: the token of the configuration. Where it is another one than that which the file began with, the app was
            authorized again, and the file counts no more.
    """

    def __init__(self, path: str | os.PathLike[str], first: str) -> None:
        from filelock import FileLock

        self.path = Path(path).expanduser().absolute()
        self._first = hashlib.sha256(first.encode()).hexdigest() if first else None
        self._lock = FileLock(f"{self.path}.lock", timeout=0, mode=0o600, thread_local=False)
        self._next: str | None = None  # a file beside it, made before a token is spent
        if not self.path.parent.is_dir():
            raise self._unusable("there is no such folder")
        self.newest()  # a file that cannot be read is found before anything is asked

    def newest(self) -> Secret | None:
        """The newest token; None where the file has none that counts."""
        try:
            noted = json.loads(self.path.read_bytes())
            first, token = noted["first"], Secret(noted["refresh_token"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error.strerror) from None
        except (ValueError, KeyError, TypeError):
            raise self._unusable("it is no file of this kind") from None
        return token if self._first in (None, first) else None

    @asynccontextmanager
    async def exchange(self) -> AsyncIterator[None]:
        """Hold the file, with room for another token, while one is exchanged.

        Raises:
            InvalidOption: the file cannot be written; no token was spent.
        """
        import asyncio

        from filelock import Timeout

        while True:
            try:
                self._lock.acquire()
                break
            except Timeout:
                await asyncio.sleep(0.05)
            except OSError as error:
                raise self._unusable(error.strerror) from None
        try:
            self._make_room()
            yield
        finally:
            if self._next is not None:
                with suppress(OSError):
                    os.unlink(self._next)
                self._next = None
            self._lock.release()

    def save(self, token: str) -> None:
        """Keep a new token, in `exchange` only."""
        assert self._next is not None
        with open(self._next, "r+b") as file:
            file.truncate(file.write(json.dumps({"first": self._first, "refresh_token": token}).encode()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._next, self.path)
        self._next = None

    def _make_room(self) -> None:
        try:
            handle, self._next = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
            with open(handle, "wb") as file:
                file.write(b" " * 4096)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def _unusable(self, reason: object) -> InvalidOption:
        return InvalidOption("oauth_file", str(self.path), reason=(
            f"The newest refresh token cannot be kept there: {reason}. Name a file in a folder that may be written."))


class OAuth:
    """A Stripe App's access to an account: tokens of an hour, made from a refresh token that works once.

    Stripe answers each exchange with a new refresh token and forgets the old one. So one exchange is under way at a
    time, it is not interrupted half-way, and the new token goes to `on_rotate` or into `file`, for the next run.

    Args:
        client_id: of the app; it names the app in errors.
        client_secret: the app developer's secret key; the exchange is authenticated with it.
        refresh_token: the newest one.
        token_url: where the exchange takes place.
        on_rotate: called with each new refresh token.
        file: keeps the newest refresh token, with mode 0600; where it has one, that counts, and not `refresh_token`.
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
        file: str | os.PathLike[str] | None = None,
        margin: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = pause,
    ) -> None:
        client_secret, refresh_token = Secret(client_secret.strip()), Secret(refresh_token.strip())
        self._livemode = parse_key(client_secret).livemode
        self._client_secret, self._refresh_token = client_secret, refresh_token
        self._file = None if file is None else TokenFile(file, self._refresh_token)
        if not (self._refresh_token or (self._file and self._file.newest())):
            raise InvalidOption("refresh_token", refresh_token, reason="Authorize the app to get one.")
        self.client_id = client_id
        self.account: str | None = None
        self._token_url = check_url("token_url", token_url)
        self._on_rotate = on_rotate
        self._margin, self._clock, self._sleep = margin, clock, sleep
        self._header: str | None = None
        self._ends = 0.0
        self._exchanging = threading.Lock()  # not asyncio's: one of these may serve clients in several threads

    def __repr__(self) -> str:
        return f"OAuth(client_id={redact(self.client_id)!r})"

    @property
    def keeps_tokens(self) -> bool:
        """Whether a new refresh token is kept for the next run."""
        return self._on_rotate is not None or self._file is not None

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
        if self._file is None:
            await self._exchange_token(session)
            return
        async with self._file.exchange():
            self._refresh_token = self._file.newest() or self._refresh_token  # another process may have exchanged it
            await self._exchange_token(session)

    async def _exchange_token(self, session: aiohttp.ClientSession) -> None:
        token, rotated, answer = await self._asked(session)
        self._header = Secret(f"Bearer {token}")
        self._ends = self._clock() + max(float(answer.get("expires_in") or 3600), 2 * self._margin)
        if isinstance(answer.get("livemode"), bool):
            self._livemode = answer["livemode"]
        self.account = answer.get("stripe_user_id") or self.account
        if rotated and rotated != self._refresh_token:
            self._refresh_token = rotated
            if self._file is not None:
                self._file.save(str(rotated))
            if self._on_rotate is not None:
                self._on_rotate(str(rotated))

    async def _asked(self, session: aiohttp.ClientSession) -> tuple[Secret, Secret | None, dict[str, Any]]:
        """The access token, the next refresh token, and what else the answer says."""
        import asyncio

        import aiohttp
        import orjson

        from stripe_source.api.http.body import TooLarge, Undecodable, read_body
        from stripe_source.api.http.session import proxy_of

        path = urlsplit(self._token_url).path
        error: StripeError
        for attempt in range(1, self.ATTEMPTS + 1):
            try:
                async with session.post(
                    self._token_url,
                    data={"grant_type": "refresh_token", "refresh_token": self._refresh_token},
                    headers={"Authorization": f"Bearer {self._client_secret}"},
                    allow_redirects=False,
                    proxy=proxy_of(self._token_url),
                ) as response:
                    status, text = response.status, await read_body(response)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError, TooLarge, Undecodable) as failure:
                error = Unreachable(
                    redact(f"The token could not be renewed: {type(failure).__name__}: {failure}", self.secrets),
                    path=path, attempts=attempt,
                )
            else:
                try:
                    body = orjson.loads(text)
                except orjson.JSONDecodeError:
                    body = None
                del text
                if status == 200 and isinstance(body, dict):
                    token, rotated = (_secret(body.pop(name, None)) for name in ("access_token", "refresh_token"))
                    if token:
                        return token, rotated, body
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


def _secret(value: object) -> Secret | None:
    return Secret(value) if isinstance(value, str) and value else None
