"""The endpoint that a path counts towards."""
from __future__ import annotations

ENDPOINTS = {"/v1/files": 20.0, "/v1/files/{id}": 20.0, "/v1/search": 20.0}
_GROUPS = frozenset({  # path segments below which collections lie, as `cards` below `issuing`
    "apple_pay", "apps", "billing", "billing_portal", "checkout", "climate", "commerce", "core", "crypto",
    "entitlements", "financial_connections", "forwarding", "identity", "issuing", "money_management", "product_catalog",
    "radar", "reporting", "reserve", "sigma", "tax", "terminal", "test_helpers", "three_d_secure", "treasury", "vault",
})
_WORDS = frozenset({"find", "preview", "search"})  # segments in an id's place that are none


def endpoint_of(path: str) -> str:
    """The endpoint that Stripe counts a path to: ids do not matter, and a list is not the same as one of its objects.

    >>> endpoint_of("/v1/invoices/in_1/lines")
    '/v1/invoices/{id}/lines'
    """
    segments = path.partition("?")[0].strip("/").split("/")
    if segments[-1] == "search":
        return "/v1/search"  # one limit for all of them
    start = 0
    while start < len(segments) and (segments[start] in ("v1", "v2") or segments[start] in _GROUPS):
        start += 1
    named = [
        "{id}" if index >= start and (index - start) % 2 and segment not in _WORDS else segment
        for index, segment in enumerate(segments)
    ]
    return "/" + "/".join(named)
