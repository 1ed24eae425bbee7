"""Requests as the server remembers them, and refusals as it answers them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Request:
    """One request that was answered; of the key no more than its prefix."""

    method: str
    path: str
    query: str
    account: str | None
    version: str | None
    status: int
    key: str


@dataclass
class Answer:
    """What goes back: status, body, headers, and of lists how many objects are in it."""

    status: int
    body: bytes
    headers: dict[str, str]
    objects: int | None = None


class Refusal(Exception):
    """An answer in the shape of Stripe's errors.

    Args:
        status: HTTP status.
        message: what went wrong.
        code: Stripe's code.
        param: the parameter that is to blame.
        type: Stripe's type of the error.
        headers: further headers.
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
        """The answer, with the link that Stripe adds."""
        error = {**self.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
        return Answer(self.status, orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2), self.headers)


def missing(object: str, id: str, param: str = "id", status: int = 404) -> Refusal:
    """There is no such object."""
    name = {"invoiceitem": "invoiceitem", "payment_intent": "payment_intent"}.get(object, object.replace("_", " "))
    return Refusal(status, f"No such {name}: '{id}'", code="resource_missing", param=param)


def unknown_path(method: str, path: str) -> Refusal:
    """There is no such endpoint."""
    return Refusal(404, f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can "
                        "help at https://support.stripe.com/.")
