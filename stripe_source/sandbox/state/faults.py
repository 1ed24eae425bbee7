"""Faults that can be switched on: refusals, broken bodies, silence, limits."""
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
        events: an event is in `/v1/events` after 0 to so many seconds, each after a time of its own: out of order.
        lists: a list shows an object as it was until 0 to so many seconds ago, each by a time of its own: a new one
            is missing, a changed one is as it was before, a deleted one is still there, and so are embedded lists.
            Single objects are always up to date.
    """

    events: int = 0
    lists: int = 0

    def __post_init__(self) -> None:
        for name in ("events", "lists"):
            if getattr(self, name) < 0:
                raise ValueError(f"A lag is 0 seconds or more, not `{getattr(self, name)}` for `{name}`.")


@dataclass(eq=False)
class Fault:
    """One thing that goes wrong; see `Faults.add`."""

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
    hits: int = 0
    seen: int = 0
    _faults: Faults | None = field(default=None, repr=False)

    def matches(self, method: str, path: str) -> bool:
        """Whether it is this fault's turn; counts what it lets pass."""
        if self.method is not None and method != self.method:
            return False
        if self.path is not None and path != self.path and not re.fullmatch(self.path, path):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True

    def error(self) -> dict[str, Any]:
        """The body of its refusal."""
        status = self.status or 500
        message, code = _MESSAGES.get(status, ("Something went wrong on the sandbox's end, as it was told to.", None))
        error: dict[str, Any] = {"message": message, "type": "api_error" if status >= 500 else "invalid_request_error"}
        code = self.code or code
        return {"error": {**error, **({"code": code} if code else {})}}

    def remove(self) -> None:
        """Switches it off."""
        if self._faults is not None and self in self._faults.active:
            self._faults.active.remove(self)


class Faults:
    """The faults of a world.

    Attributes:
        latency: seconds that every answer takes.
        limits: whether Stripe's documented rates are enforced, with 429.
        per_endpoint: requests a second of one endpoint and account.
        per_account: requests a second of one account; None for the documented one of the mode.
        lag: how far lists are behind; None: not at all.
        duplicates: share of events that come twice, with two ids.
        shuffle_ties: whether events of one second are in an order of their own: Stripe promises none.
        deleted_stubs: whether `*.deleted` events hold `{id, object, deleted}` only.
        silent_counters: whether `times_redeemed` counts without an event.
    """

    def __init__(self, seed: int = 1) -> None:
        self.active: list[Fault] = []
        self.rng = Random(f"faults/{seed}")  # of its own: the same things happen with faults and without
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
        after: int = 0, method: str | None = None, code: str | None = None,
    ) -> Fault:
        """Switches a fault on.

        Args:
            path: the path it befalls, or a regular expression for it; None befalls all.
            status: answers that status with an error body.
            times: how often; None until it is removed.
            headers: further headers of the answer, such as `Stripe-Should-Retry`.
            body: answers this instead.
            delay: seconds before the answer.
            truncate: promises the whole body and sends half of it.
            garbage: sends something that is not JSON.
            disconnect: closes the connection without an answer.
            wrong: an answer that is JSON but not what was asked for: "list", "object", "null", or "error" (200, with
                an error inside).
            after: so many matching requests pass first.
            method: GET, POST or DELETE only.
            code: Stripe's error code in the error body.
        """
        fault = Fault(path, status, times, headers or {}, body.encode() if isinstance(body, str) else body, delay,
                      truncate, garbage, disconnect, wrong, after, method, code)
        fault._faults = self
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Switches everything off."""
        self.active.clear()
        self.latency, self.limits = 0.0, False
        self.lag, self.duplicates = None, 0.0
        self.shuffle_ties = self.deleted_stubs = self.silent_counters = False

    def pick(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request."""
        return next((fault for fault in self.active if fault.matches(method, path)), None)

    def limited(self, account: str, endpoint: str, livemode: bool) -> str | None:
        """The reason for a 429, or None. Each second brings as many requests as the rate says; a second is saved."""
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
