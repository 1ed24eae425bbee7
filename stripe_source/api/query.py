"""Query parameters and paths as Stripe reads them."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from stripe_source.redaction import redact

Params = Mapping[str, Any]


def encode(params: Params | None, *, indexed: bool = False) -> list[tuple[str, str]]:
    """Query parameters as Stripe reads them; None leaves a parameter out.

    Args:
        params: values, lists and mappings of them.
        indexed: number the items of lists, which v2 wants; v1 takes `expand[]`.

    >>> encode({"created": {"gte": 1}, "expand": ["data.customer"], "active": False})
    [('created[gte]', '1'), ('expand[]', 'data.customer'), ('active', 'false')]
    """
    return [pair for name, value in (params or {}).items() for pair in _pairs(name, value, indexed)]


def _pairs(name: str, value: Any, indexed: bool) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, bool):  # before int, which it is too
        yield name, "true" if value else "false"
    elif isinstance(value, (str, int, float)):
        yield name, str(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _pairs(f"{name}[{key}]", item, indexed)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            number = str(index) if indexed or isinstance(item, Mapping) else ""
            yield from _pairs(f"{name}[{number}]", item, indexed)
    else:
        raise TypeError(f"parameter `{name}` is a {type(value).__name__}, not text, number, list or mapping")


def fill(template: str, **ids: str) -> str:
    """A path with ids put in; ids that people chose (coupons, products, plans) may hold any character.

    >>> fill("/v1/coupons/{id}", id="50% off/now")
    '/v1/coupons/50%25%20off%2Fnow'
    """
    return template.format(**{name: quote(value, safe="") for name, value in ids.items()})


def request_url(api_base: str, path: str, params: Params | None) -> tuple[str, str]:
    """The path without a query, and the whole URL."""
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"a path starts with one slash: `{redact(path)}`")
    clean = quote(path, safe="/%?&=[]:@!$'()*+,;~")
    query = urlencode(encode(params, indexed=path.startswith("/v2/")))
    joint = ("&" if "?" in clean else "?") if query else ""
    return clean.partition("?")[0], f"{api_base}{clean}{joint}{query}"
