"""Stripe products that have to be enabled for an account, and what Stripe answers where they are not."""
from __future__ import annotations

from functools import cache

from stripe_source.sandbox.state.catalog import LISTS
from stripe_source.sandbox.state.requests import Refusal

_VISIT = "Please visit https://dashboard.stripe.com/{}/overview to get started."
# What the paths of a product begin with -> status and message of the refusal.
PRODUCTS: dict[str, tuple[int, str]] = {
    "/v1/apps/": (403, "This endpoint can be called by Stripe Apps only, and your account has none."),
    "/v1/billing/feedback_options": (403, "Feedback options are not enabled for your account."),
    "/v1/climate/": (400, f"Your account is not set up to use Climate. {_VISIT.format('climate')}"),
    "/v1/financial_connections/": (
        400, f"Your account is not set up to use Financial Connections. {_VISIT.format('financial-connections')}"),
    "/v1/forwarding/": (403, "Your account is not enabled for the Forwarding API. Contact Stripe support for access."),
    "/v1/identity/": (400, f"Your account is not set up to use Identity. {_VISIT.format('identity')}"),
    "/v1/issuing/": (400, f"Your account is not set up to use Issuing. {_VISIT.format('issuing')}"),
    "/v1/payment_attempt_records": (403, "Payment records are not enabled for your account."),
    "/v1/payment_records": (403, "Payment records are not enabled for your account."),
    "/v1/product_catalog/": (403, "Trial offers are not enabled for your account."),
    "/v1/sigma/": (403, "Your account is not enabled for Sigma. Subscribe at https://dashboard.stripe.com/sigma."),
    "/v1/tax/locations": (403, "Tax locations are not enabled for your account."),
    "/v1/terminal/": (400, f"Your account is not set up to use Terminal. {_VISIT.format('terminal')}"),
    "/v1/three_d_secure/": (403, "Standalone 3D Secure is not enabled for your account."),
    "/v1/treasury/": (403, f"Your account is not set up to use Treasury. {_VISIT.format('treasury')}"),
    "/v2/commerce/": (403, "Your account is not enabled for agentic commerce."),
    "/v2/core/account": (400, "Accounts v2 is not enabled for your account."),
    "/v2/core/event": (403, "Thin events are not enabled for your account."),
    "/v2/core/vault/": (403, "Money Management is not enabled for your account."),
    "/v2/money_management/": (403, "Money Management is not enabled for your account."),
}
_TABLES = {entry["table"]: path for path, entry in LISTS.items()}


@cache
def product(path: str) -> str | None:
    """Return what the paths of a path's product begin with, or None."""
    return next((start for start in PRODUCTS if path.startswith(start)), None)


def require(path: str, populated: set[str]) -> None:
    """Refuse a path of a product none of whose tables has objects."""
    wanted = product(path)
    if wanted is not None and not any(product(_TABLES.get(table, "")) == wanted for table in populated):
        status, text = PRODUCTS[wanted]
        raise Refusal(status, text)
