"""The HTTP session of a client: the key is its only credential, and DNS is not asked where this machine is."""
from __future__ import annotations

import socket
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from stripe_source.api.credentials import is_loopback

ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))  # of `localhost`


def open_session(api_base: str, connections: int, timeout: float, agent: str) -> aiohttp.ClientSession:
    """Open a session.

    It takes nothing from the environment: aiohttp would look into `~/.netrc`, and put what it finds there in the place
    of the key (3.13), or refuse to send both (3.14). Proxies are asked for with `proxy_of`, request by request.

    Args:
        api_base: the URL that will be asked.
        connections: how many may be open at a time.
        timeout: seconds for one answer.
        agent: what the program is called.
    """
    is_local = urlsplit(api_base).hostname == "localhost"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, resolver=_ThisMachine() if is_local else None),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",  # what `read_body` decodes
            "User-Agent": agent,
        },
        auto_decompress=False,  # `read_body` does, up to a limit
        trust_env=False,
    )


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a URL; none for this machine, as loopback requests are in clear."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    named = getproxies().get(parts.scheme)
    return f"http://{named}" if named and "://" not in named else named or None


@lru_cache(maxsize=1)
def release() -> str:
    """The version of this package; "0" where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dlt-source-stripe")
    except PackageNotFoundError:
        return "0"


class _ThisMachine(AbstractResolver):
    """Knows where `localhost` is."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `localhost`."""
        if host != "localhost":
            raise OSError(None, f"{host} is not this machine")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in ADDRESSES if family in (kind, socket.AF_UNSPEC)
        ]

    async def close(self) -> None:
        """Nothing is open."""
