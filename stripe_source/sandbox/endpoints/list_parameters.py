"""Parameters of requests: parsing, checks, page sizes and bounds of time."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from stripe_source.sandbox.state.catalog import LISTS
from stripe_source.sandbox.state.requests import Refusal

_BOUNDS = ("gt", "gte", "lt", "lte")
_RATES = LISTS["/v1/exchange_rates"]["params"]  # one page holds all currencies, unless `limit` is given


def parse(query: str) -> dict[str, Any]:
    """Parse a query string or form into nested values: `a[b]=1&c[]=2&d[0]=3`."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        head, *inner = name.replace("]", "").split("[")
        node, key = found, head
        for part in inner:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise Refusal(400, f"Invalid parameter: {name}", param=head)
            node, key = below, part or str(len(below))
        node[key] = value
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)]
    return {key: _listed(each) for key, each in value.items()}


def check(params: dict[str, Any], known: dict[str, Any], required: Iterable[str]) -> None:
    """Refuse parameters that a list does not take, and values that they cannot have."""
    unknown = [name for name in params if name not in known]
    if unknown:
        several = "s" if len(unknown) > 1 else ""
        raise Refusal(400, f"Received unknown parameter{several}: {', '.join(unknown)}", code="parameter_unknown",
                      param=unknown[0])
    for name in required:
        if name not in params:
            raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    for name, value in params.items():
        kind = known[name]
        if isinstance(kind, list) and value not in kind:
            raise Refusal(400, f"Invalid {name}: must be one of {', '.join(kind[:-1])}, or {kind[-1]}", param=name)
        if kind == "range" and isinstance(value, dict):
            for bound, text in value.items():
                if bound not in _BOUNDS:
                    raise Refusal(400, f"Received unknown parameter: {name}[{bound}]", code="parameter_unknown",
                                  param=f"{name}[{bound}]")
                integer(text, f"{name}[{bound}]")
        elif kind in ("range", "int"):
            integer(value, name)
        elif kind == "bool" and value not in ("true", "false"):
            raise Refusal(400, f"Invalid boolean: {value}", param=name)
        elif kind == "object" and not isinstance(value, dict):
            raise Refusal(400, f"Invalid hash: {name}", code="parameter_invalid_hash", param=name)
        elif kind == "list" and not isinstance(value, list):
            raise Refusal(400, f"Invalid array: {name}", code="parameter_invalid_array", param=name)
        elif kind == "str" and not isinstance(value, str):
            raise Refusal(400, f"Invalid string: {name}", code="parameter_invalid_string", param=name)
    if "starting_after" in params and "ending_before" in params:
        raise Refusal(400, "You may only specify one of these parameters: starting_after, ending_before.",
                      param="ending_before")


def integer(text: Any, param: str) -> int:
    """Return an integer parameter, or refuse it."""
    try:
        return int(text)
    except (TypeError, ValueError):
        raise Refusal(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=param) from None


_ALL = 2**31  # more objects than any list has


def limit_of(params: dict[str, Any], known: dict[str, Any] | None = None) -> int:
    """Return the page size: 1 to 100, by default 10; lists that take no `limit` are one page."""
    if known is not None and ("limit" not in known or (known is _RATES and "limit" not in params)):
        return _ALL
    limit = integer(params.get("limit", 10), "limit")
    if limit > 100:
        raise Refusal(400, "This value must be less than or equal to 100.", code="parameter_invalid_integer",
                      param="limit")
    if limit < 1:
        raise Refusal(400, "This value must be greater than or equal to 1.", code="parameter_invalid_integer",
                      param="limit")
    return limit


def bounds(value: Any) -> tuple[int, int]:
    """Return the first and the last second of a filter on time."""
    if not isinstance(value, dict):
        return int(value), int(value)
    low, high = 0, 2**62
    for bound, text in value.items():
        at = int(text)
        if bound == "gte":
            low = max(low, at)
        elif bound == "gt":
            low = max(low, at + 1)
        elif bound == "lte":
            high = min(high, at)
        else:
            high = min(high, at - 1)
    return low, high
