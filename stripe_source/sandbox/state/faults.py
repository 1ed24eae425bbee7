"""Faults of the server that tests switch on: error statuses, broken bodies, delays, limits, lists that lag."""
from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

_MESSAGES = {429: ("Request rate limit exceeded.", "rate_limit"), 409: ("This object is in use.", "lock_timeout")}


@dataclass(frozen=True)
class Lag:
    """How far Stripe's lists may be behind, in seconds of the world's clock.

    Args:
        events: `/v1/events` lists each event after a random delay of 0 to so many seconds, hence out of order.
        lists: lists, embedded ones included, show each change after a random delay of 0 to so many seconds: a new
            object is missing, a changed one has its old values, a deleted one is still listed. A GET of one object
            is always up to date.
    """

    events: int = 0
    lists: int = 0

    def __post_init__(self) -> None:
        for name in ("events", "lists"):
            if getattr(self, name) < 0:
                raise ValueError(f"A lag is 0 seconds or more, not `{getattr(self, name)}` for `{name}`.")


@dataclass(eq=False)
class Fault:
    """One kind of failure that requests meet; `Faults.add` explains the fields."""

    path: str | None
    status: int | None
    times: int | None
    headers: dict[str, str]
    body: bytes | None
    delay: float
    truncate: bool
    garbage: bool
    disconnect: bool
    wrong: str | None
    after: int
    method: str | None
    code: str | None
    message: str | None
    query: str | None
    cut: int | None
    hits: int = 0
    seen: int = 0
    _faults: Faults | None = field(default=None, repr=False)

    def matches(self, method: str, path: str, query: str = "") -> bool:
        """Return whether a request meets this fault; requests that it lets pass are counted."""
        if self.method is not None and method != self.method:
            return False
        if self.query is not None and not re.search(self.query, query):
            return False
        if self.path is not None and path != self.path and not re.fullmatch(self.path, path):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True

    def error(self) -> dict[str, Any]:
        """Return the error body that the fault answers."""
        status = self.status or 500
        message, code = _MESSAGES.get(status, ("Something went wrong on the sandbox's end, as it was told to.", None))
        kind = "api_error" if status >= 500 else "invalid_request_error"
        error: dict[str, Any] = {"message": self.message or message, "type": kind}
        code = self.code or code
        return {"error": {**error, **({"code": code} if code else {})}}

    def remove(self) -> None:
        """Switch the fault off."""
        if self._faults is not None and self in self._faults.active:
            self._faults.active.remove(self)


class Faults:
    """The faults of a world.

    Attributes:
        latency: seconds that every answer takes.
        limits: whether Stripe's documented rate limits are enforced, with 429.
        per_endpoint: requests a second of one endpoint and account.
        per_account: requests a second of one account; None stands for the documented rate of the mode.
        lag: how far lists are behind; None: not at all.
        duplicates: share of events that are listed twice, with two ids.
        shuffle_ties: whether events of one second are listed in random order: Stripe promises none.
        deleted_stubs: whether `*.deleted` events hold `{id, object, deleted}` only.
        silent_counters: whether `times_redeemed` is counted without an event.
    """

    def __init__(self, seed: int = 1) -> None:
        self.active: list[Fault] = []
        self.rng = Random(f"faults/{seed}")  # apart from the world's: the same things happen with faults and without
        self.latency = 0.0
        self.limits = False
        self.per_endpoint = 25.0
        self.per_account: float | None = None
        self.lag: Lag | None = None
        self.duplicates = 0.0
        self.shuffle_ties = self.deleted_stubs = self.silent_counters = False
        self.clock: Callable[[], float] = time.monotonic
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def add(
        self, path: str | None = None, *, status: int | None = None, times: int | None = None,
        headers: dict[str, str] | None = None, body: bytes | str | None = None, delay: float = 0.0,
        truncate: bool = False, garbage: bool = False, disconnect: bool = False, wrong: str | None = None,
        after: int = 0, method: str | None = None, code: str | None = None, message: str | None = None,
        query: str | None = None, cut: int | None = None,
    ) -> Fault:
        """Switch a fault on; return it.

        Args:
            path: path of the requests that meet it, or a regular expression for paths; None stands for all.
            status: the server answers this status, with an error body.
            times: how many requests meet it; None: all until it is removed.
            headers: further headers of the answer, such as `Stripe-Should-Retry`.
            body: the server answers this body instead.
            delay: seconds before the answer.
            truncate: the server announces the whole body and sends half of it.
            garbage: the server sends something that is not JSON.
            disconnect: the server closes the connection without an answer.
            wrong: the server answers JSON of another shape than requested: "list", "object", "null", "error" (200, with
                an error inside) or "empty" (a page without objects that says that there is more).
            after: so many matching requests pass first.
            method: GET, POST or DELETE only.
            code: Stripe's error code in the error body.
            message: the text in the error body.
            query: a regular expression for the query, such as `expand.*sources`; None stands for all.
            cut: answers of more bytes end after so many, and look whole: status 200, with the length of what is sent.
        """
        fault = Fault(path, status, times, headers or {}, body.encode() if isinstance(body, str) else body, delay,
                      truncate, garbage, disconnect, wrong, after, method, code, message, query, cut)
        fault._faults = self
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all faults off."""
        self.active.clear()
        self.latency, self.limits = 0.0, False
        self.lag, self.duplicates = None, 0.0
        self.shuffle_ties = self.deleted_stubs = self.silent_counters = False

    def pick(self, method: str, path: str, query: str = "") -> Fault | None:
        """Return the fault that this request meets, or None."""
        return next((fault for fault in self.active if fault.matches(method, path, query)), None)

    def limited(self, account: str, endpoint: str, livemode: bool) -> str | None:
        """Return the reason for a 429, or None: a token bucket that holds the requests of one second."""
        total = self.per_account or (100.0 if livemode else 25.0)
        for name, rate, reason in ((endpoint, self.per_endpoint, "endpoint-rate"), ("", total, "global-rate")):
            now = self.clock()
            tokens, then = self._buckets.get((account, name), (rate, now))
            tokens = min(rate, tokens + (now - then) * rate)
            if tokens < 1:
                self._buckets[account, name] = (tokens, now)
                return reason
            self._buckets[account, name] = (tokens - 1, now)
        return None
