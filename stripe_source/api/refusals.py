"""An error answer becomes one of our exceptions, and it is decided whether another attempt is worth it."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stripe_source.api.pages import http_date_second
from stripe_source.errors import (
    ApiError,
    AuthenticationError,
    InvalidRequest,
    NotEnabled,
    PermissionDenied,
    RateLimited,
    Redirected,
    ResourceMissing,
    StripeError,
)
from stripe_source.redaction import redact


@dataclass(frozen=True)
class _Closed:
    """How Stripe says that a list is closed to an account, and what that means.

    Args:
        reason: what people read after "skipped:".
        says: part of the message, in lower case; "" for any message.
        path: start of the paths for which the message means that; "" for any path.
        code: Stripe's error code; None for any code.
    """

    reason: str
    says: str = ""
    path: str = ""
    code: str | None = None


# Texts as reported in public threads and code up to 2026-11, none seen by us on a live account. Statuses 400, 403, 404.
_CLOSED: tuple[_Closed, ...] = (
    _Closed("the product is not set up on this account", says="not set up to use"),  # Issuing, Identity
    _Closed("the account is not onboarded to the product", says="have you onboarded to"),  # Treasury, in a hint
    _Closed("the product is not enabled on this account", code="feature_not_enabled"),  # v2
    _Closed("the product is not enabled on this account", says="is not enabled for your"),  # Accounts v2
    _Closed("the product is not enabled on this account", says="not enabled on your account"),
    _Closed("the product needs Stripe's approval", says="not authorized to send forwarding requests"),
    _Closed("the account is no Connect platform", says="signed up for connect"),
    _Closed("the platform does not control this account's requirements", says="platform controls"),  # persons
    _Closed("only available in test mode", says="only available in testmode"),  # test clocks
    _Closed("only available in test mode", says="only available in test mode"),
    _Closed("not available in test mode", says="only available in livemode"),
    _Closed("not available in test mode", says="only available in live mode"),
    _Closed("not available in test mode", says="not available in testmode"),
    _Closed("not available in test mode", says="not available in test mode"),
    _Closed("not available in the account's country", says="not available in your country"),
    # the URL of a product is unknown to accounts without it; where all URLs are, `api_base` is wrong: see `identify`
    _Closed("the account is not onboarded to Treasury", says="unrecognized request url", path="/v1/treasury/"),
    _Closed("the product is not enabled on this account", says="unrecognized request url", path="/v2/"),
    _Closed("not available to this account", says="unrecognized request url"),  # payment records, Sigma, 2026-09
)
_AGED_OUT = "aged out of our retention"  # a cursor on /v1/events that is older than Stripe keeps them
_NOT_PERMITTED = "does not have the required permissions"


def refusal(
    status: int,
    body: Mapping[str, Any] | None,
    *,
    path: str,
    rate_limited_reason: str | None = None,
    secrets: Iterable[str] = (),
    **rest: Any,
) -> StripeError:
    """The exception that an answer with an error status stands for.

    Args:
        status: HTTP status.
        body: the JSON of the answer, if it was JSON.
        path: the path that was requested.
        rate_limited_reason: header `Stripe-Rate-Limited-Reason`.
        secrets: values that must not be shown.
        rest: `request_id`, `account`, `table`, `attempts`.
    """
    error = (body or {}).get("error")
    if not isinstance(error, Mapping):  # OAuth answers {"error": "invalid_grant", "error_description": …}
        error = {"code": error, "message": (body or {}).get("error_description")} if isinstance(error, str) else {}
    hidden = tuple(secrets)
    message = redact(error.get("message") or "no explanation", hidden)
    facts: dict[str, Any] = {
        name: None if error.get(name) is None else redact(error[name], hidden) for name in ("code", "type", "param")
    }
    code = facts["code"]
    facts = {**facts, "status": status, "path": path, **rest}
    said = message.lower()
    if status == 429 or (status == 400 and code == "rate_limit"):
        reason = rate_limited_reason or (code if code == "lock_timeout" else None)
        return RateLimited(message, reason=reason, **facts)
    if status >= 500:
        return ApiError(message, **facts)
    if 300 <= status < 400:
        return Redirected(message, **facts)
    if code == "more_permissions_required" or _NOT_PERMITTED in said:  # also seen with 401
        return PermissionDenied(message, **facts)
    if status == 401:
        return AuthenticationError(message, **facts)
    if status in (400, 403, 404):
        for closed in _CLOSED:
            if closed.says in said and path.startswith(closed.path) and closed.code in (None, code):
                return NotEnabled(message, reason=closed.reason, **facts)
    if status == 403:
        return PermissionDenied(message, **facts)
    if _AGED_OUT in said:
        return ResourceMissing(message, **{**facts, "param": facts["param"] or "starting_after"})
    if code == "resource_missing":
        return ResourceMissing(message, **facts)
    return InvalidRequest(message, **facts)


def is_worth_retrying(status: int, error: StripeError, should_retry: str | None) -> bool:
    """Whether another attempt may succeed.

    Stripe's SDK does not repeat a 429; we do, whatever the header `Stripe-Should-Retry` says: a refused GET has done
    nothing.
    """
    if isinstance(error, RateLimited):
        return True
    if status == 401:
        return False
    if should_retry in ("true", "false"):
        return should_retry == "true"
    return status in (408, 409) or status >= 500


def redirect_body(status: int, location: str) -> dict[str, Any] | None:
    """A redirect as an error body that names the host only: other parts of the URL may hold secrets."""
    if not 300 <= status < 400:
        return None
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return {"error": {"message": f"it redirects to `{host or 'another place'}`"}}


def seconds_to_retry(retry_after: str | None, now: Callable[[], float]) -> float | None:
    """The seconds that header `Retry-After` says, as a number or as a date."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        date = http_date_second(retry_after)
        return None if date is None else max(0.0, date - now())
