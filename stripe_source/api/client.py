"""The client reads one object, page or file; limits, retries, version and account are handled here only."""
from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode

from stripe_source.api.credentials import Credentials, check_url, pause
from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.http.outcome import Check, Failure, Request, interpret
from stripe_source.api.http.secret_members import without_secret_members
from stripe_source.api.pages import (
    TIMED_OUT,
    Answer,
    Figures,
    Page,
    PageDecoder,
    check_of_list,
    http_date_second,
    is_empty_list_of_another,
    not_of_kind,
    not_the_object,
)
from stripe_source.api.paging import ListWalk, OnSkip, pages_v2
from stripe_source.api.query import Params, encode, request_url
from stripe_source.api.rate_limits import Governor
from stripe_source.errors import (
    AnswerTooLarge,
    AuthenticationError,
    BrokenAnswer,
    InvalidOption,
    RateLimited,
    StripeError,
    Unreachable,
)
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import asyncio

    import aiohttp

API_BASE = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
log = logging.getLogger("stripe_source")
ATTEMPTS_BEFORE_SALVAGE = 2  # what came broken once may come whole the next time
FIRST_WAIT, LONGEST_WAIT, LONGEST_RETRY_AFTER = 0.5, 32.0, 60.0  # seconds before another attempt


class Client:
    """Reads from Stripe, for as long as its `async with` block lasts.

    Args:
        credentials: `ApiKey` or `OAuth`.
        api_base: URL of Stripe's API; https, or loopback.
        api_version: the version that every request names.
        account: the account to act on, where it is not the key's own.
        include_secrets: leave `client_secret` and the like in the answers.
        governor: our limits; clients of one key share it. Without one there are none of ours.
        timeout: seconds for one answer, from connecting to its last byte.
        attempts: how often one request is sent before the client gives up.
        connections: how many connections may be open at a time.
        sleep: how to wait before a retry.
        jitter: a number between 0 and 1.
        now: unix seconds; used when an answer has no date.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        api_base: str = API_BASE,
        api_version: str = API_VERSION,
        account: str | None = None,
        include_secrets: bool = True,
        governor: Governor | None = None,
        timeout: float = 80.0,
        attempts: int = 8,
        connections: int = 64,
        sleep: Callable[[float], Awaitable[object]] = pause,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.credentials, self.api_base, self.account = credentials, redact(api_base), account  # for `repr`, at once
        self.api_base = check_url("api_base", api_base)
        self.api_version = _header_value("api_version", api_version)
        self.account = None if account is None else _header_value("account_id", account)
        self._include_secrets = include_secrets
        self.governor = Governor(None, credentials.livemode) if governor is None else governor
        self.figures = Figures()
        self._timeout, self._attempts, self._connections = timeout, max(1, attempts), connections
        self._sleep, self._jitter, self._now = sleep, jitter, now
        self._session: aiohttp.ClientSession | None = None
        self._free_connections: asyncio.Semaphore | None = None
        self._proxy: str | None = None
        self._stripe_time: int | None = None
        self.latency: float | None = None  # seconds that an answer takes at present

    def __repr__(self) -> str:
        return f"Client({self.credentials!r}, api_base={self.api_base!r}, account={self.account!r})"

    async def __aenter__(self) -> Client:
        import asyncio

        from stripe_source.api.http.session import open_session, proxy_of, release  # aiohttp: 150 ms

        if self._session is not None:
            raise RuntimeError("this client is open already; each `async with` wants a client of its own")
        # we wait here and not in the pool's queue: waiting in that counts towards the time-out of a request
        self._free_connections = asyncio.Semaphore(self._connections)
        self._session = open_session(
            self.api_base, self._connections, self._timeout, f"dlt-source-stripe/{release()}")
        self._proxy = proxy_of(self.api_base)
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(
        self, path: str, params: Params | None = None, *, account: str | None = None, kind: str | None = None
    ) -> Answer:
        """Read one object.

        Args:
            path: such as `/v1/balance`; `fill` puts ids with unusual characters into it.
            params: query parameters.
            account: the account to act on, instead of the client's.
            kind: Stripe's name of the object; an answer that is another one is asked for again.

        Raises:
            StripeError: one of its kinds, when all attempts have failed.
        """
        return await self._get(path, params, account, None if kind is None else not_of_kind(kind))

    async def get_object(self, path: str, id: str, kinds: Collection[str], params: Params | None = None) -> Answer:
        """Ask for one object by its id; an answer that is about another object is asked for again.

        Args:
            path: of the object, such as `/v1/customers/cus_1`.
            id: of the object.
            kinds: Stripe's names of the objects that it may be.
            params: query parameters.

        Raises:
            BrokenAnswer: each attempt brought another object.
            StripeError: one of its kinds, when all attempts have failed.
        """
        return await self._get(path, params, None, not_the_object(id, kinds))

    async def create(self, path: str, form: Params, idempotency_key: str) -> Answer:
        """Have an object made: a report run, and nothing else; all else is only read.

        Args:
            path: of the list that it goes to.
            form: its parameters.
            idempotency_key: Stripe answers the same to what is sent again with it, so that no second one is made.
        """
        return await self._get(path, None, None, None, form=urlencode(encode(form)).encode(), key=idempotency_key)

    async def download(self, url: str, file: BinaryIO, size: int | None) -> None:
        """Read a file of Stripe's to its end; where it is cut, the rest is asked for.

        Args:
            url: of its contents, as Stripe names it.
            file: where to; empty, and open for reading and writing.
            size: its bytes; None where Stripe does not say.

        Raises:
            BrokenAnswer: the URL is not one of Stripe's files, or what comes is not of that size.
            StripeError: one of its kinds, when all attempts have failed.
        """
        from stripe_source.api.http.download import download

        session = self._open_session
        headers = self._headers(await self.credentials.header(session), self.account)
        self.figures.requests += 1
        self.figures.bytes += await download(
            session, self.api_base, url, headers, file, size, secrets=self.credentials.secrets,
            attempts=self._attempts, timeout=self._timeout, pause=self._sleep,
        )

    async def page(
        self, path: str, params: Params | None = None, *, account: str | None = None,
        decode: PageDecoder | None = None, attempts: int | None = None, on_skip: OnSkip | None = None,
    ) -> Page:
        """Read one page of a list, and check that it is one. In v2, `path` may be a `next_page_url`.

        Args:
            path: of the list.
            params: query parameters.
            account: the account to act on, instead of the client's.
            decode: decodes the page instead of the client; where it returns None, the client does.
            attempts: how often it is asked for; None: as often as the client asks for anything.
            on_skip: called with the id of each object that is no JSON by itself, and with the error; it is left out.
                None: then the page is broken.
        """
        v2 = path.startswith("/v2/")
        check = check_of_list(path)
        answer = await self._get(path, params, account, check, decode, attempts, salvage=on_skip is not None)
        if is_empty_list_of_another(answer.body, path):  # asked once more; what it says twice is believed
            log.info("%s: an empty list of another URL; asking again", redact(path))
            answer = await self._get(path, params, account, check, decode, attempts, salvage=on_skip is not None)
        if on_skip is not None:
            for id, fault in answer.unreadable.items():
                on_skip(id, BrokenAnswer(fault, path=path))
        body = answer.body
        next_url = body.get("next_page_url") if v2 else None
        total = body.get("total_count")
        page = Page(
            objects=body["data"],
            has_more=bool(next_url) if v2 else body["has_more"],
            date=answer.date,
            url=body.get("url"),
            total_count=total if isinstance(total, int) else None,
            version=answer.version,
            request_id=answer.request_id,
            next_page_url=next_url,
            handle=answer.handle,
        )
        self.figures.pages += 1
        self.figures.objects += len(page.objects)
        return page

    def pages(
        self,
        path: str,
        params: Params | Callable[[], Params] | None = None,
        *,
        limit: int | None = 100,
        starting_after: str | None = None,
        account: str | None = None,
        decoder: Callable[[], PageDecoder | None] = lambda: None,
        on_skip: OnSkip | None = None,
    ) -> AsyncIterator[Page]:
        """Read a list to its end, page by page.

        Args:
            path: of the list.
            params: sent with every page; a function is called before each page, v1 only.
            limit: objects per page; None for lists that refuse the parameter.
            starting_after: the id to begin behind; v1 only.
            account: the account to act on, instead of the client's.
            decoder: called before each page, returns the `decode` of `page`; v1 only.
            on_skip: called with the id of an object that cannot be read, even alone, and with the error; it is stepped
                over. None: the list ends with the error. v1 only.

        Raises:
            EndlessPaging: the list says that it has more and brings nothing new.
            ResourceMissing: `starting_after` is gone, and so is every object read before it that was tried instead.
        """
        def params_of_page() -> dict[str, Any]:
            return {**((params() if callable(params) else params) or {}), **({} if limit is None else {"limit": limit})}

        if path.startswith("/v2/"):
            return pages_v2(self.page, path, params_of_page(), account, self.api_base)
        return ListWalk(self.page, path, params_of_page, account, decoder, on_skip).pages(starting_after)

    async def _get(
        self, path: str, params: Params | None, account: str | None, check: Check | None,
        decode: PageDecoder | None = None, attempts: int | None = None, salvage: bool = False,
        form: bytes | None = None, key: str = "",
    ) -> Answer:
        """Send a request until it is answered, or no further attempt is worth it."""
        session = self._open_session
        acting = self.account if account is None else _header_value("account", account)
        if self.credentials.organization and acting is None:
            reason = "An organization's key acts on one account at a time: name it."
            raise InvalidOption("account_id", None, reason=reason)
        bare, url = request_url(self.api_base, path, params)
        renewed = False
        attempt, most = 1, min(attempts or self._attempts, self._attempts)
        while True:
            authorization = await self.credentials.header(session)
            headers = self._headers(authorization, acting)
            if form is not None:
                headers.update({"Idempotency-Key": key, "Content-Type": "application/x-www-form-urlencoded"})
            outcome = await self._send_within_limits(
                session, Request(bare, url, headers, acting, attempt, check, decode, form)
            )
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome.error, AuthenticationError) and not renewed:
                renewed = True
                if await self.credentials.renew(session, authorization):
                    continue
            if salvage and outcome.salvaged and attempt >= ATTEMPTS_BEFORE_SALVAGE:
                return outcome.salvaged
            if not outcome.retry or attempt >= most:
                raise outcome.error
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * self._jitter()
            wait = max(wait, min(outcome.retry_after or 0.0, LONGEST_RETRY_AFTER))
            attempt += 1
            log.info(
                "%s: %s; asking again in %.1f s (attempt %d of %d)",
                redact(bare), outcome.error.message, wait, attempt, most,
            )
            self.figures.retries += 1
            self.figures.seconds_retrying += wait
            await self._sleep(wait)

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("this client is not open; use it inside `async with Client(…) as client:`")
        return self._session

    def _headers(self, authorization: str, acting: str | None) -> dict[str, str]:
        named = "Stripe-Context" if self.credentials.organization else "Stripe-Account"
        return {
            "Authorization": authorization, "Stripe-Version": self.api_version,
            **({} if acting is None else {named: acting}),
        }

    async def _send_within_limits(self, session: aiohttp.ClientSession, request: Request) -> Answer | Failure:
        """Send a request once the limits let it pass, and tell the governor if Stripe found it too fast."""
        endpoint = endpoint_of(request.path)
        self.figures.seconds_waiting += await self.governor.acquire(request.account, endpoint)
        try:
            assert self._free_connections is not None  # made together with the session
            async with self._free_connections:
                outcome = await self._send(session, request)
        finally:
            self.governor.release(request.account, endpoint)
        if isinstance(outcome, Failure) and isinstance(outcome.error, RateLimited):
            self.figures.rate_limited += 1
            self.governor.on_rate_limited(outcome.error.reason, request.account, endpoint)
        return outcome

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> Answer | Failure:
        """Send one request. Failures are returned, not raised: raised ones would carry the HTTP library's own along."""
        import asyncio

        import aiohttp
        import yarl

        from stripe_source.api.http.body import TooLarge, Undecodable, read_body

        started = time.perf_counter()
        self.figures.requests += 1
        kind: type[StripeError] = BrokenAnswer
        retry = True
        code = None
        try:
            url = yarl.URL(request.url, encoded=True)
            async with session.request(
                "GET" if request.form is None else "POST", url, data=request.form, headers=request.headers,
                allow_redirects=False, proxy=self._proxy,
            ) as response:
                text = await read_body(response)
        except TooLarge as failure:  # as large the next time
            kind, retry, message = AnswerTooLarge, False, str(failure)
        except Undecodable as failure:
            message = self._describe(failure)
        except asyncio.TimeoutError:
            kind, code, message = Unreachable, TIMED_OUT, f"No complete answer within {self._timeout:g} s"
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as failure:  # as wrong the next time
            kind, retry, message = Unreachable, False, self._describe(failure)
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as failure:
            message = self._describe(failure)
        except (aiohttp.ClientError, OSError) as failure:
            kind, message = Unreachable, self._describe(failure)
        else:
            seconds = time.perf_counter() - started
            self.latency = seconds if self.latency is None else 0.9 * self.latency + 0.1 * seconds
            self.figures.seconds_answering += seconds
            self.figures.bytes += len(text)
            decoded = None
            if request.decode and response.status == 200:
                decoded = await request.decode(text, self._include_secrets)
            if decoded is None and not self._include_secrets:
                text = without_secret_members(text)
            date = http_date_second(response.headers.get("Date"))
            self._stripe_time = self._stripe_time if date is None else date
            return interpret(
                request, response.status, response.headers, text, decoded, self.credentials.secrets, self._now)
        error = kind(message, code=code, path=request.path, account=request.account, attempts=request.attempt)
        return Failure(error, retry)

    @property
    def clock(self) -> int:
        """Unix seconds by the last answer, also a refusal; by our clock where Stripe has sent no date."""
        return int(self._now()) if self._stripe_time is None else self._stripe_time

    def _describe(self, failure: BaseException) -> str:
        return redact(f"{type(failure).__name__}: {failure}", self.credentials.secrets)


def _header_value(option: str, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", value):
        raise InvalidOption(option, redact(value), reason="It holds characters that none holds.")
    return value
