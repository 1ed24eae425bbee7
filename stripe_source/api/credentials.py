"""Keys and tokens: what kind they are, and the header that they become."""
from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from stripe_source.errors import InvalidOption, MalformedKey, MissingKey, PublishableKey
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import aiohttp

Kind = Literal["secret", "restricted", "organization"]
_KEY = re.compile(r"(?P<prefix>sk_org|sk|rkcs|rk)_(?:(?P<mode>live|test)_)?[A-Za-z0-9_]+")
_KINDS: dict[str, Kind] = {"sk": "secret", "rk": "restricted", "rkcs": "restricted", "sk_org": "organization"}
_STRANGERS = {  # what people paste instead
    "whsec_": "it is a webhook signing secret",
    "acct_": "it is an account id, which goes to `account_id`",
    "ca_": "it is an OAuth client id, which goes to `client_id`",
    "rt_": "it is an OAuth refresh token, which goes to `refresh_token`",
    "ek_": "it is an ephemeral key, made for mobile apps",
    "mk_": "it is the id of a key, not the key",
}


class Secret(str):
    """Text that a debugger, a log or a traceback that prints variables does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(redact(self, (str(self),)))


@dataclass(frozen=True)
class KeyInfo:
    """What a key says about itself. `livemode` is None where it does not say."""

    kind: Kind
    livemode: bool | None


def parse_key(text: str | None) -> KeyInfo:
    """What kind of key `text` is.

    White space around it is forgiven, since files end in a line feed.

    Raises:
        MissingKey, MalformedKey, PublishableKey: none of which shows the text.

    >>> parse_key("rk_live_51Hx")
    KeyInfo(kind='restricted', livemode=True)
    """
    key = text = Secret((text or "").strip())
    if not key:
        raise MissingKey
    if key.startswith("pk_"):
        raise PublishableKey
    if re.search(r"\s", key):
        raise MalformedKey("there is white space inside it")
    if key[0] in "\"'`" or key[-1] in "\"'`":
        raise MalformedKey("there are quotes around it")
    if "*" in key or "…" in key or "..." in key:
        raise MalformedKey("it is masked; the dashboard shows the whole key once, when it is made or revealed")
    for prefix, reason in _STRANGERS.items():
        if key.startswith(prefix):
            raise MalformedKey(reason)
    match = _KEY.fullmatch(key)
    named = match and match.groupdict()
    del match  # it shows the key to a traceback with variables
    if named is None:
        known = key.startswith(tuple(f"{prefix}_" for prefix in _KINDS))
        raise MalformedKey("it holds characters that no key holds" if known else "its beginning is none of a key")
    mode = named["mode"]
    kind = _KINDS[named["prefix"]]
    if mode is None and kind != "organization":
        raise MalformedKey("it names neither `live` nor `test`")
    return KeyInfo(kind=kind, livemode=None if mode is None else mode == "live")


def is_loopback(url: str) -> bool:
    """Whether `url` is served by this machine, whatever DNS says: an address, or `localhost`, which it is not asked."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(option: str, url: str) -> str:
    """`url` without a slash at its end, if a key may be sent there.

    Raises:
        InvalidOption: the key would travel in clear, or the URL is none.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is none raises here
    except ValueError:
        raise InvalidOption(option, redact(url), reason="It is not a URL.") from None
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise InvalidOption(option, redact(url), reason="It must look like `https://api.stripe.com`.")
    if parts.username is not None or parts.password is not None:
        raise InvalidOption(option, redact(url), reason="It must not hold a user or password.")
    if parts.scheme == "http" and not is_loopback(url):
        raise InvalidOption(option, redact(url), reason="The key would travel in clear: use `https://`.")
    return url.rstrip("/")


class Credentials(Protocol):
    """Who we are to Stripe. A client asks for `header` before each request, and for `renew` after a 401."""

    @property
    def livemode(self) -> bool | None:
        """Live or test data; None where it is not known yet."""

    @property
    def organization(self) -> bool:
        """Whether `Stripe-Context` names the account, and must."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be seen in any text."""

    async def header(self, session: aiohttp.ClientSession) -> str:
        """The value of `Authorization`."""

    async def renew(self, session: aiohttp.ClientSession, refused: str) -> bool:
        """Whether there is another header to try than the `refused` one."""


class ApiKey:
    """A secret, restricted or organization key."""

    def __init__(self, key: str | None) -> None:
        self._key = key = Secret((key or "").strip())
        self.info = parse_key(key)

    def __repr__(self) -> str:
        return f"ApiKey({redact(self._key)!r})"

    @property
    def livemode(self) -> bool | None:
        return self.info.livemode

    @property
    def organization(self) -> bool:
        return self.info.kind == "organization"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self._key,)

    async def header(self, session: aiohttp.ClientSession) -> str:
        return Secret(f"Bearer {self._key}")

    async def renew(self, session: aiohttp.ClientSession, refused: str) -> bool:
        return False


async def pause(seconds: float) -> None:
    """Wait; `asyncio.sleep`, imported by who waits and not by who only imports this package (30 ms)."""
    import asyncio

    await asyncio.sleep(seconds)
