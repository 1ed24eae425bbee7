"""What an answer means: data, or an error that may be worth another attempt."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stripe_source.api.http.salvage import salvage
from stripe_source.api.pages import Answer, PageDecoder, http_date_second, parse_json
from stripe_source.api.refusals import is_worth_retrying, redirect_body, refusal, seconds_to_retry
from stripe_source.errors import ApiError, BrokenAnswer, StripeError
from stripe_source.redaction import redact

Check = Callable[[dict[str, Any]], "str | None"]  # says what is wrong with a body


@dataclass(frozen=True)
class Request:
    """One attempt to read something, or with a `form` to have it made.

    `account` is the account that it acts on, `check` looks at the body.
    """

    path: str
    url: str
    headers: dict[str, str]
    account: str | None
    attempt: int
    check: Check | None
    decode: PageDecoder | None
    form: bytes | None = None


@dataclass(frozen=True)
class Failure:
    """An attempt that brought no data.

    Args:
        error: why.
        retry: whether another attempt may bring some.
        retry_after: seconds that Stripe said to wait.
        salvaged: what can be read all the same of a page that is broken by some of its objects.
    """

    error: StripeError
    retry: bool
    retry_after: float | None = None
    salvaged: Answer | None = None


def interpret(
    request: Request, status: int, headers: Mapping[str, str], text: bytes,
    decoded: tuple[dict[str, Any], object] | None, secrets: Sequence[str], now: Callable[[], float],
) -> Answer | Failure:
    """What an answer means.

    Args:
        request: what was asked.
        status: of the answer.
        headers: of the answer.
        text: of the answer.
        decoded: its body, and a handle of it, where a `PageDecoder` has read them.
        secrets: what is not to be seen in an error.
        now: unix seconds; used where the answer has no date.
    """
    date, request_id = http_date_second(headers.get("Date")), headers.get("Request-Id")
    facts: dict[str, Any] = {
        "path": request.path, "account": request.account, "attempts": request.attempt, "request_id": request_id,
    }
    body, handle = decoded or (parse_json(text), None)
    if not 200 <= status < 300:
        error = refusal(
            status,
            body if isinstance(body, dict) else redirect_body(status, headers.get("Location", "")),
            rate_limited_reason=headers.get("Stripe-Rate-Limited-Reason"),
            secrets=secrets,
            **facts,
        )
        retry = is_worth_retrying(status, error, headers.get("Stripe-Should-Retry"))
        if status in (400, 404) and request.attempt == 1 and not (isinstance(body, dict) and "error" in body):
            retry = True  # Stripe says what is wrong: this may be a proxy, or about something else
        return Failure(error, retry, seconds_to_retry(headers.get("Retry-After"), now))

    def answer(body: dict[str, Any], unreadable: Mapping[str, str] | None = None) -> Answer:
        second = int(now()) if date is None else date
        return Answer(body, second, headers.get("Stripe-Version"), request_id, handle, unreadable or {})

    if not isinstance(body, dict):
        fault, saved = f"{len(text)} bytes that are no JSON object", None
        if request.check and body is None and (found := salvage(text, parse_json)):
            faults = [f"the object `{redact(each.id or 'without an id')}` cannot be read: {each.reason}"
                      for each in found.unreadable]
            fault = "; ".join(faults)
            ids = [each.id for each in found.unreadable]
            if None not in ids and found.body["data"] and request.check(found.body) is None:
                saved = answer(found.body, dict(zip(map(str, ids), faults, strict=True)))
        return Failure(BrokenAnswer(fault, status=status, **facts), True, salvaged=saved)
    if isinstance(body.get("error"), dict) and "object" not in body and "id" not in body:
        message = redact(body["error"].get("message") or "no explanation", secrets)
        error = ApiError(f"An error in place of data: {message}", status=status, **facts)
        return Failure(error, True)
    wrong = request.check(body) if request.check is not None else None
    if wrong is not None:
        return Failure(BrokenAnswer(wrong, status=status, **facts), True)
    return answer(body)
