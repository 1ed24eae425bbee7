"""Requests as they are logged, answers, and refusals with the body of Stripe's errors."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Request:
    """One request that was answered; of the key it has the prefix only."""

    method: str
    path: str
    query: str
    account: str | None
    version: str | None
    status: int
    key: str


@dataclass
class Answer:
    """An answer: status, body, headers, and for lists the number of objects."""

    status: int
    body: bytes
    headers: dict[str, str]
    objects: int | None = None


class Refusal(Exception):
    """A refusal with the body of Stripe's errors.

    Args:
        status: HTTP status.
        message: what went wrong.
        code: Stripe's code.
        param: the parameter that is wrong.
        type: Stripe's type of the error.
        headers: further headers.
        more: further members of the error.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None,
        type: str = "invalid_request_error", headers: dict[str, str] | None = None, **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}
        error: dict[str, Any] = {"message": message, "type": type}
        if code:
            error["code"] = code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            error["param"] = param
        self.error = {**error, **more}

    def answer(self, request_id: str) -> Answer:
        """Return the answer, with the link to the request log that Stripe adds."""
        error = {**self.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
        return Answer(self.status, orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2), self.headers)


def missing(object: str, id: str, param: str = "id", status: int = 404) -> Refusal:
    """Return the refusal for an object that does not exist."""
    name = {"invoiceitem": "invoiceitem", "payment_intent": "payment_intent"}.get(object, object.replace("_", " "))
    return Refusal(status, f"No such {name}: '{id}'", code="resource_missing", param=param)


def unknown_path(method: str, path: str) -> Refusal:
    """Return the refusal for an endpoint that does not exist."""
    return Refusal(404, f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can "
                        "help at https://support.stripe.com/.")
