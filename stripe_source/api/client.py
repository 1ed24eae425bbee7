"""The client: one GET, one page. Limits, retries, version and account are handled here and nowhere else."""
from __future__ import annotations

import functools
import json
import logging
import random
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from stripe_source.api.credentials import Credentials, check_url, is_loopback, pause
from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.pages import Answer, Figures, Page, PageDecoder, endless_paging, not_a_v1_page, not_a_v2_page
from stripe_source.api.paging import EMPTY_PAGES, TRAIL
from stripe_source.api.query import Params, encode
from stripe_source.api.rate_limits import Governor
from stripe_source.api.refusals import refusal
from stripe_source.errors import (
    ApiError,
    AuthenticationError,
    BrokenAnswer,
    InvalidOption,
    RateLimited,
    ResourceMissing,
    StripeError,
    Unreachable,
    redact,
)

if TYPE_CHECKING:
    import asyncio

    import aiohttp

    from stripe_source.workers.protocol import PageHandle

API_BASE = "https://api.stripe.com"
API_VERSION = "2026-10-28.endive"
log = logging.getLogger("stripe_source")
_Check = Callable[[dict[str, Any]], "str | None"]
FIRST_WAIT, LONGEST_WAIT, LONGEST_RETRY_AFTER = 0.5, 32.0, 60.0


def _lenient(text: bytes) -> Any:
    """JSON that orjson refuses and that is JSON all the same (half a surrogate pair in a name); None if it is not."""
    def refuse(constant: str) -> Any:
        raise ValueError(constant)  # NaN and Infinity are no JSON

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


class Client:
    """Reads from Stripe, for as long as its `async with` block lasts.

    Args:
        credentials: `ApiKey` or `OAuth`.
        api_base: where Stripe is; https, or loopback.
        api_version: the version that every request names.
        account: the account to act on, where it is not the key's own.
        governor: limits; shared by clients of one key. Without one there are none of ours.
        timeout: seconds for one answer, from connecting to its last byte.
        attempts: how often one thing is asked before giving up.
        connections: how many at a time.
        sleep: how to wait before a retry.
        jitter: a number between 0 and 1.
        now: unix seconds; used when an answer tells no time.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        api_base: str = API_BASE,
        api_version: str = API_VERSION,
        account: str | None = None,
        governor: Governor | None = None,
        timeout: float = 80.0,
        attempts: int = 8,
        connections: int = 64,
        sleep: Callable[[float], Awaitable[object]] = pause,
        jitter: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.credentials = credentials
        self.api_base = check_url("api_base", api_base)
        self.api_version = _header_value("api_version", api_version)
        self.account = None if account is None else _header_value("account_id", account)
        self.governor = Governor(None, credentials.livemode) if governor is None else governor
        self.figures = Figures()
        self._timeout, self._attempts, self._connections = timeout, max(1, attempts), connections
        self._sleep, self._jitter, self._now = sleep, jitter, now
        self._session: aiohttp.ClientSession | None = None
        self._free: asyncio.Semaphore | None = None
        self._clock: int | None = None
        self.latency: float | None = None  # seconds that an answer takes at present

    def __repr__(self) -> str:
        return f"Client({self.credentials!r}, api_base={self.api_base!r}, account={self.account!r})"

    async def __aenter__(self) -> Client:
        import asyncio

        import aiohttp  # 150 ms; commands that read nothing go without

        if self._session is not None:
            raise RuntimeError("this client is open already; each `async with` wants a client of its own")
        # ours, not the pool's queue: waiting in that counts towards the time-out of a request
        self._free = asyncio.Semaphore(self._connections)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip, deflate",  # what aiohttp decodes without further packages
                "User-Agent": f"dlt-source-stripe/{_release()}",
            },
            trust_env=not is_loopback(self.api_base),  # a proxy would see loopback requests, which are in clear
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, params: Params | None = None, *, account: str | None = None) -> Answer:
        """Ask for one object.

        Args:
            path: such as `/v1/balance`; ids with unusual characters go in by `fill`.
            params: query parameters.
            account: instead of the client's.

        Raises:
            StripeError: one of its kinds, when all that may be tried was tried.
        """
        return await self._ask(path, params, account, None)

    async def page(
        self, path: str, params: Params | None = None, *, account: str | None = None, keep: PageDecoder | None = None
    ) -> Page:
        """Ask for one page of a list, and check that it is one. In v2, `path` may be a `next_page_url`.

        Args:
            path: of the list.
            params: query parameters.
            account: instead of the client's.
            keep: takes the page as it came, and answers with digests of its objects; or with None, and does not.
        """
        v2 = path.startswith("/v2/")
        answer = await self._ask(path, params, account, not_a_v2_page if v2 else not_a_v1_page, keep)
        body = answer.body
        following = body.get("next_page_url") if v2 else None
        total = body.get("total_count")
        page = Page(
            objects=body["data"],
            has_more=bool(following) if v2 else body["has_more"],
            date=answer.date,
            url=body.get("url"),
            total_count=total if isinstance(total, int) else None,
            version=answer.version,
            request_id=answer.request_id,
            next_page_url=following,
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
        keep: Callable[[], PageDecoder | None] = lambda: None,
    ) -> AsyncIterator[Page]:
        """Read a list to its end, page by page.

        Args:
            path: of the list.
            params: sent with every page; a function is asked before each one, v1 only.
            limit: objects per page; None for lists that refuse the parameter.
            starting_after: the id to begin behind; v1 only.
            account: instead of the client's.
            keep: asked before each page for who takes it, see `page`; v1 only.

        Raises:
            EndlessPaging: the list says that it has more and brings nothing new.
            ResourceMissing: `starting_after` is gone, and so is every object read before it that was tried instead.
        """
        def given() -> dict[str, Any]:
            return {**((params() if callable(params) else params) or {}), **({} if limit is None else {"limit": limit})}

        if path.startswith("/v2/"):
            return self._pages_v2(path, given(), account)
        return self._pages_v1(path, given, starting_after, account, keep)

    async def _pages_v1(
        self, path: str, params: Callable[[], dict[str, Any]], starting_after: str | None, account: str | None,
        keep: Callable[[], PageDecoder | None],
    ) -> AsyncIterator[Page]:
        cursor = starting_after
        trail: deque[str] = deque(maxlen=TRAIL)  # ids read last, in the list's order; the cursor is the last of them
        delivered: set[str] = set()  # ids that come a second time after a step back
        used: set[str] = set()  # cursors: one id per page, so that the longest list fits in memory
        while True:
            try:
                page = await self.page(path, {**params(), "starting_after": cursor}, account=account, keep=keep())
            except ResourceMissing as error:
                if error.param != "starting_after" or len(trail) < 2:
                    raise
                delivered.update(trail)
                used.discard(trail.pop())
                cursor = trail[-1]
                log.info("%s: the object that the cursor names is gone; going back to the one before it", redact(path))
                continue
            ids = [item["id"] for item in page.objects if isinstance(item.get("id"), str)]
            if page.has_more and not page.objects:
                log.warning("%s: an empty page says that there is more; taken for the end of the list", redact(path))
                page.has_more = False
            if page.has_more:
                known = set(trail)
                if not ids or ids[-1] in used or known.issuperset(ids):
                    raise endless_paging(path, page, account)
                cursor = ids[-1]
                used.add(cursor)
            trail.extend(ids)
            if delivered.isdisjoint(ids):
                delivered.clear()
            else:
                page.leave_out(delivered)
            if page.objects or not page.has_more:
                yield page
            if not page.has_more:
                return

    async def _pages_v2(self, path: str, params: dict[str, Any], account: str | None) -> AsyncIterator[Page]:
        target, query = path, params
        used: set[str] = set()
        before: set[str] = set()
        empty = 0
        while True:
            page = await self.page(target, query, account=account)
            following = page.next_page_url
            if following is not None:
                ids = {item["id"] for item in page.objects if isinstance(item.get("id"), str)}
                empty = 0 if page.objects else empty + 1
                if following in used or empty >= EMPTY_PAGES or (ids and ids <= before):
                    raise endless_paging(path, page, account)
                used.add(following)
                before = ids
                target, query = self._same_host(following, path, page), {}
            yield page
            if following is None:
                return

    def _same_host(self, url: str, path: str, page: Page) -> str:
        """`url` as a path; the key must not reach another host."""
        if url.startswith("/") and not url.startswith("//"):
            return url
        if url.startswith(f"{self.api_base}/"):
            return url[len(self.api_base):]
        raise BrokenAnswer(
            f"The next page is said to be at another host, `{redact(urlsplit(url).hostname)}`",
            path=path, request_id=page.request_id,
        )

    async def _ask(
        self, path: str, params: Params | None, account: str | None, check: _Check | None, keep: PageDecoder | None = None
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("this client is not open; use it inside `async with Client(…) as client:`")
        session = self._session
        acting = self.account if account is None else _header_value("account", account)
        if self.credentials.organization and acting is None:
            reason = "An organization's key acts on one account at a time: name it."
            raise InvalidOption("account_id", None, reason=reason)
        bare, url = self._url(path, params)
        renewed = False
        attempt = 1
        while True:
            authorization = await self.credentials.header(session)
            headers = {"Authorization": authorization, "Stripe-Version": self.api_version}
            if acting is not None:
                headers["Stripe-Context" if self.credentials.organization else "Stripe-Account"] = acting
            outcome = await self._limited(session, url, headers, _Asked(bare, acting, attempt, keep), check)
            if isinstance(outcome, Answer):
                return outcome
            if isinstance(outcome.error, AuthenticationError) and not renewed:
                renewed = True
                if await self.credentials.renew(session, authorization):
                    continue
            if not outcome.again or attempt >= self._attempts:
                raise outcome.error
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * self._jitter()
            wait = max(wait, min(outcome.after or 0.0, LONGEST_RETRY_AFTER))
            attempt += 1
            log.info(
                "%s: %s; asking again in %.1f s (attempt %d of %d)",
                redact(bare), outcome.error.message, wait, attempt, self._attempts,
            )
            self.figures.retries += 1
            self.figures.seconds_retrying += wait
            await self._sleep(wait)

    async def _limited(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], asked: _Asked, check: _Check | None
    ) -> Answer | _Failure:
        endpoint = endpoint_of(asked.path)
        self.figures.seconds_waiting += await self.governor.acquire(asked.account, endpoint)
        try:
            assert self._free is not None  # made together with the session
            async with self._free:
                outcome = await self._once(session, url, headers, asked, check)
        finally:
            self.governor.release(asked.account, endpoint)
        if isinstance(outcome, _Failure) and isinstance(outcome.error, RateLimited):
            self.figures.rate_limited += 1
            self.governor.on_rate_limited(outcome.error.reason, asked.account, endpoint)
        return outcome

    async def _once(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], asked: _Asked, check: _Check | None
    ) -> Answer | _Failure:
        """One request. Failures are returned, not raised: raised ones would carry the HTTP library's own along."""
        import asyncio

        import aiohttp
        import yarl

        started = time.perf_counter()
        self.figures.requests += 1
        broken = again = True
        try:
            async with session.get(yarl.URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
                text = await response.read()
        except asyncio.TimeoutError:
            broken, said = False, f"No complete answer within {self._timeout:g} s"
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as failure:  # as wrong the next time
            broken, again, said = False, False, self._told(failure)
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as failure:
            said = self._told(failure)
        except (aiohttp.ClientError, OSError) as failure:
            broken, said = False, self._told(failure)
        else:
            took = time.perf_counter() - started
            self.latency = took if self.latency is None else 0.9 * self.latency + 0.1 * took
            self.figures.seconds_answering += took
            self.figures.bytes += len(text)
            kept = await asked.keep(text) if asked.keep and response.status == 200 else None
            return self._read(response.status, response.headers, text, asked, check, kept)
        kind = BrokenAnswer if broken else Unreachable
        return _Failure(kind(said, path=asked.path, account=asked.account, attempts=asked.attempt), again)

    def _read(
        self, status: int, headers: Mapping[str, str], text: bytes, asked: _Asked, check: _Check | None,
        kept: PageHandle | None,
    ) -> Answer | _Failure:
        """What an answer means: data, or an error that may be worth another attempt."""
        import orjson

        secrets = self.credentials.secrets
        request_id = headers.get("Request-Id")
        facts: dict[str, Any] = {
            "path": asked.path, "account": asked.account, "attempts": asked.attempt, "request_id": request_id,
        }
        try:
            body = kept.body if kept else orjson.loads(text)
        except orjson.JSONDecodeError:
            body = _lenient(text)
        date = _unix(headers.get("Date"))
        self._clock = self._clock if date is None else date
        if 200 <= status < 300:
            if not isinstance(body, dict):
                fault: str | None = f"{len(text)} bytes that are no JSON object"
            elif isinstance(body.get("error"), dict) and "object" not in body and "id" not in body:
                message = redact(body["error"].get("message") or "no explanation", secrets)
                return _Failure(ApiError(f"An error in place of data: {message}", status=status, **facts), True)
            else:
                fault = check(body) if check is not None else None
            if fault is None:
                version = headers.get("Stripe-Version")
                return Answer(body, int(self._now()) if date is None else date, version, request_id, kept)
            return _Failure(BrokenAnswer(fault, status=status, **facts), True)
        error = refusal(
            status,
            body if isinstance(body, dict) else _elsewhere(status, headers),
            rate_limited_reason=headers.get("Stripe-Rate-Limited-Reason"),
            secrets=secrets,
            **facts,
        )
        again = _worth_asking_again(status, error, headers.get("Stripe-Should-Retry"))
        return _Failure(error, again, _seconds(headers.get("Retry-After"), self._now))

    @property
    def clock(self) -> int:
        """Unix seconds by the last answer, also a refusal; by our clock where Stripe has told no time."""
        return int(self._now()) if self._clock is None else self._clock

    def _told(self, failure: BaseException) -> str:
        return redact(f"{type(failure).__name__}: {failure}", self.credentials.secrets)

    def _url(self, path: str, params: Params | None) -> tuple[str, str]:
        if not path.startswith("/") or path.startswith("//"):
            raise ValueError(f"a path starts with one slash: `{redact(path)}`")
        clean = quote(path, safe="/%?&=[]:@!$'()*+,;~")
        query = urlencode(encode(params, indexed=path.startswith("/v2/")))
        joint = ("&" if "?" in clean else "?") if query else ""
        return clean.partition("?")[0], f"{self.api_base}{clean}{joint}{query}"


@dataclass(frozen=True)
class _Asked:
    path: str
    account: str | None
    attempt: int
    keep: PageDecoder | None


@dataclass(frozen=True)
class _Failure:
    """An attempt that brought no data. `after` is what Stripe said to wait."""

    error: StripeError
    again: bool
    after: float | None = None


def _worth_asking_again(status: int, error: StripeError, should_retry: str | None) -> bool:
    """Stripe's SDK does not repeat a 429; we do, whatever the header says: a refused GET has done nothing."""
    if isinstance(error, RateLimited):
        return True
    if status == 401:
        return False
    if should_retry in ("true", "false"):
        return should_retry == "true"
    return status in (408, 409) or status >= 500


def _elsewhere(status: int, headers: Mapping[str, str]) -> dict[str, Any] | None:
    """What a redirect wanted, without the parts of its URL that may hold secrets."""
    if not 300 <= status < 400:
        return None
    try:
        host = urlsplit(headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return {"error": {"message": f"it redirects to `{host or 'another place'}`"}}


def _header_value(option: str, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", value):
        raise InvalidOption(option, redact(value), reason="It holds characters that none holds.")
    return value


def _unix(date: str | None) -> int | None:
    """Unix seconds of an HTTP date."""
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (TypeError, ValueError):
        return None


def _seconds(after: str | None, now: Callable[[], float]) -> float | None:
    """Seconds that `Retry-After` says, as a number or as a date."""
    if after is None:
        return None
    try:
        return max(0.0, float(after))
    except ValueError:
        date = _unix(after)
        return None if date is None else max(0.0, date - now())


@functools.lru_cache(maxsize=1)
def _release() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dlt-source-stripe")
    except PackageNotFoundError:
        return "0"
