"""A file of Stripe's, read piece by piece to a place on disk; where it is cut, the rest is asked for."""
from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import BinaryIO
from urllib.parse import urlsplit

import aiohttp

from stripe_source.api.http.body import read_body
from stripe_source.api.http.session import proxy_of
from stripe_source.api.pages import parse_json
from stripe_source.api.refusals import is_worth_retrying, redirect_body, refusal
from stripe_source.errors import BrokenAnswer, StripeError, Unreachable
from stripe_source.redaction import redact

FILES_HOST = "files.stripe.com"  # where a file's `url` points to (checked 2026-11-30: OpenAPI spec of 2026-08-26)
PIECE = 1 << 20  # bytes
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before the rest is asked for
LONGEST_REFUSAL = 1_000_000  # bytes


def check_file_url(api_base: str, url: str) -> None:
    """See that a key may be sent to the URL of a file: to Stripe's files, or to where a sandbox has its own.

    Raises:
        BrokenAnswer: it may not.
    """
    try:
        base, file = urlsplit(api_base), urlsplit(url)
        ports = base.port, file.port
    except ValueError:
        raise BrokenAnswer("the file's URL is none") from None
    if base.hostname == "api.stripe.com":
        own = file.scheme == "https" and file.hostname == FILES_HOST and ports[1] in (None, 443)
    else:
        own = (base.scheme, base.hostname, ports[0]) == (file.scheme, file.hostname, ports[1])
    if not own or file.username is not None or file.password is not None:
        raise BrokenAnswer(f"the file is said to be at `{redact(file.hostname)}`, where the key does not go")


async def download(
    session: aiohttp.ClientSession, api_base: str, url: str, headers: Mapping[str, str], file: BinaryIO,
    size: int | None, *, secrets: Sequence[str], attempts: int, timeout: float,
    pause: Callable[[float], Awaitable[object]],
) -> int:
    """Read a file to its end.

    Args:
        session: sends the requests; redirects are not followed.
        api_base: URL of Stripe's API.
        url: of the contents.
        headers: of each request; they hold the key.
        file: where to; empty.
        size: its bytes; None where Stripe does not say.
        secrets: what is not to be seen in an error.
        attempts: how often in a row an answer may bring nothing.
        timeout: seconds without a byte.
        pause: waits before another attempt.

    Returns:
        The bytes that came.

    Raises:
        BrokenAnswer: the URL is not one of Stripe's files, or what comes has another size.
        StripeError: one of its kinds.
    """
    check_file_url(api_base, url)
    failures = came = 0
    while True:
        before = file.tell()
        error, retry = await _attempt(session, url, headers, file, secrets, timeout)
        came += max(file.tell() - before, 0)
        if error is None and size is not None and file.tell() != size:
            error, retry = BrokenAnswer(f"{file.tell()} bytes of a file that has {size}"), True
            if file.tell() > size:
                file.seek(0)
                file.truncate()
        if error is None:
            return came
        failures = 1 if file.tell() > before else failures + 1
        if not retry or failures >= attempts:
            raise error
        await pause(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1)))


async def _attempt(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], file: BinaryIO, secrets: Sequence[str],
    timeout: float,
) -> tuple[StripeError | None, bool]:
    """Ask for what is not there yet; an error, and whether another attempt may bring more."""
    offset = file.seek(0, os.SEEK_END)
    path = urlsplit(url).path
    asked = {**headers, "Accept": "*/*", "Accept-Encoding": "identity"}  # so that places in it can be asked for
    if offset:
        asked["Range"] = f"bytes={offset}-"
    try:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        async with session.get(
            url, headers=asked, allow_redirects=False, proxy=proxy_of(url), timeout=limits
        ) as answer:
            if answer.status == 416 and offset:  # nothing behind what is there, or another file: from the beginning
                file.seek(0)
                file.truncate()
                return BrokenAnswer("the rest of the file is not there", path=path), True
            if answer.status not in (200, 206):
                body = parse_json(await read_body(answer, LONGEST_REFUSAL))
                named = body if isinstance(body, dict) else redirect_body(
                    answer.status, answer.headers.get("Location", ""))
                error = refusal(answer.status, named, path=path, secrets=secrets)
                return error, is_worth_retrying(answer.status, error, answer.headers.get("Stripe-Should-Retry"))
            if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                return BrokenAnswer("a packed file, which was not asked for", path=path), True
            if not _goes_on(answer, offset):
                file.seek(0)
                file.truncate()
                if answer.status == 206:
                    return BrokenAnswer("another part of the file than was asked for", path=path), True
            async for piece in answer.content.iter_chunked(PIECE):
                file.write(piece)
    except asyncio.TimeoutError:
        return Unreachable(f"no byte of the file within {timeout:g} s", path=path), True
    except (aiohttp.ClientError, OSError) as failure:
        if isinstance(failure, OSError) and not isinstance(failure, (aiohttp.ClientError, ConnectionError)):
            raise  # of the disk
        return BrokenAnswer(redact(f"{type(failure).__name__}: {failure}", secrets), path=path), True
    return None, False


def _goes_on(answer: aiohttp.ClientResponse, offset: int) -> bool:
    """Whether what comes belongs behind what is there."""
    if answer.status == 200:
        return offset == 0
    return bool(re.match(rf"bytes {offset}-", answer.headers.get("Content-Range", "")))
