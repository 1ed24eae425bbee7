"""Errors of Stripe: it answered with something else than data, or not at all."""
from __future__ import annotations

import re
from typing import Any, ClassVar

from stripe_source.errors.base import StripeSourceError
from stripe_source.redaction import redact


class StripeError(StripeSourceError):
    """Stripe answered with something else than data, or not at all.

    Callers that know `table` or `account` may set them later; the text is made when it is read.

    Args:
        message: what Stripe (or the transport) said.
        status: HTTP status; None when there was no answer.
        code: Stripe's error code, such as `resource_missing`.
        type: Stripe's error type, such as `invalid_request_error`.
        param: the parameter that Stripe complains of.
        request_id: Stripe's `Request-Id`, which its support asks for.
        path: the path that was requested.
        account: the connected account that the request acted on.
        table: the table that the request was for.
        attempts: how often the request was sent.
    """

    way_out: ClassVar[str] = ""

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, type: str | None = None,
        param: str | None = None, request_id: str | None = None, path: str | None = None, account: str | None = None,
        table: str | None = None, attempts: int = 1,
    ) -> None:
        self.message, self.status = redact(message), status
        self.code, self.type, self.param = _clean(code), _clean(type), _clean(param)
        self.request_id, self.path, self.account = _clean(request_id), _clean(path), _clean(account)
        self.table, self.attempts = table, attempts
        super().__init__(self.message)

    def __str__(self) -> str:
        place = [f"table `{self.table}`"] if self.table else []
        if self.path:
            place.append(f"`{self.path}`")
        if self.account:
            place.append(f"account `{self.account}`")
        where = ", ".join(place)
        where = where[:1].upper() + where[1:] + ": " if where else ""
        after = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        if self.status is None:
            said = f"{self.message.rstrip('.')}{after}."
        else:
            code = f" {self.code}" if self.code else ""
            request = f" (request {self.request_id})" if self.request_id else ""
            said = f"Stripe answered {self.status}{code}{after}{request}: {self.message.rstrip('.')}."
        return " ".join(part for part in (where + said, self.advice()) if part)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({str(self)!r})"

    def advice(self) -> str:
        """What to do about it."""
        return self.way_out


def _clean(text: object) -> str | None:
    return None if text is None else redact(text)


# Texts as reported in public threads up to 2026-11, none seen by us on a live account.
_OTHER_ADDRESS = re.compile(r"\bip (?:address|allow)|allow ?-?list", re.IGNORECASE)
_NO_PLATFORM = re.compile(r"connect platform|does not have access to account", re.IGNORECASE)
_ACCOUNT_ADVICE = (
    "The key may not act on account `{account}`: leave out `account_id` to read the key's own account. Only a key "
    "of a platform reads other accounts, as long as they are connected to it."
)


class AuthenticationError(StripeError):
    """Stripe does not let the key in: wrong, expired, revoked, or not from this address."""

    exit_code = 3
    way_out = (
        "Create a key at https://dashboard.stripe.com/apikeys (test mode and sandboxes have their own) and set it as "
        "`STRIPE_API_KEY` or in `.dlt/secrets.toml`."
    )

    def advice(self) -> str:
        if _OTHER_ADDRESS.search(self.message):
            return (
                "The key is right, but not allowed from the address of this machine: add the address to the key's "
                "allow list at https://dashboard.stripe.com/apikeys, or run where it is on the list."
            )
        if self.account and _NO_PLATFORM.search(self.message):
            return _ACCOUNT_ADVICE.format(account=self.account)
        return self.way_out


class PermissionDenied(StripeError):
    """The key is known, and may not read this.

    `permission` is the `rak_…` name that Stripe's message has, if any. Texts of 2026 leave out `rak_`: "Enabling
    Sources Read ('source_read') permissions on this key would allow this request" (public reports, 2026-09).
    """

    exit_code = 3

    @property
    def permission(self) -> str | None:
        named = re.search(r"\brak_[a-z0-9_]+|(?<=\(')[a-z0-9_]+_(?:read|write)(?='\))", self.message)
        return named and f"rak_{named.group().removeprefix('rak_')}"

    def advice(self) -> str:
        if self.account and (self.code == "account_invalid" or _NO_PLATFORM.search(self.message)):
            return _ACCOUNT_ADVICE.format(account=self.account)
        if self.permission:
            return (
                f"Give the key the permission `{self.permission}` at https://dashboard.stripe.com/apikeys, "
                "or leave the table out with `exclude`."
            )
        return "See what the key may read at https://dashboard.stripe.com/apikeys, or `exclude` the table."


class NotEnabled(StripeError):
    """The account does not have the product that the list belongs to; `reason` says so in our words."""

    way_out = "Nothing to do unless you use it; leave the table out with `exclude` to silence this."

    def __init__(self, message: str, *, reason: str = "not enabled on this account", **rest: Any) -> None:
        super().__init__(message, **rest)
        self.reason = reason


class ResourceMissing(StripeError):
    """The object that an id names is gone, or never was; `param` is the parameter that held the id."""

    way_out = "It was deleted, or belongs to another account or mode than the key's."


class InvalidRequest(StripeError):
    """Stripe did not understand the request."""

    way_out = "If you changed `api_version`, go back to the default; otherwise please report it with the request id."

    def advice(self) -> str:
        if self.account and _NO_PLATFORM.search(self.message):
            return _ACCOUNT_ADVICE.format(account=self.account)
        return self.way_out


class Redirected(StripeError):
    """Stripe answered with a 3xx, which we never follow: the key must not reach another host."""

    exit_code = 2
    way_out = "Redirects are never followed, so that the key reaches no other host. Check `api_base` and any proxy."


class RateLimited(StripeError):
    """Stripe answered all attempts with 429; `reason` is its `Stripe-Rate-Limited-Reason`."""

    way_out = "Lower `rate`, or run when other users of the account are quiet; nothing is lost, the next run goes on."

    def __init__(self, message: str, *, reason: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.reason = _clean(reason)


class ApiError(StripeError):
    """Stripe failed to answer the request (5xx)."""

    way_out = "See https://status.stripe.com and run again; nothing is lost, the next run goes on from here."


class Unreachable(StripeError):
    """Stripe did not answer: no connection, no such host, time-out."""

    way_out = "Check the network, the proxy variables and `api_base`, then run again; nothing is lost."


class BrokenAnswer(StripeError):
    """An answer is truncated, is not JSON, or has not the shape that it should have."""

    way_out = (
        "Something between here and Stripe may be changing or cutting answers (proxy, `api_base`); check and run again."
    )


class AnswerTooLarge(BrokenAnswer):
    """An answer is larger than any of Stripe's; it was not read to its end."""

    way_out = (
        "No answer of Stripe's is known to be that large: check what `api_base` and any proxy lead to. If it is Stripe "
        "all the same, please report it with the path; `exclude` leaves the table out meanwhile."
    )


class EndlessPaging(StripeError):
    """A list says that it has more and brings nothing new."""

    way_out = "What was read is kept. Please report it with the request id; `exclude` leaves the table out meanwhile."
