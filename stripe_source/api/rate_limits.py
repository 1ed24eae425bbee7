"""Stripe's rate limits kept on our side: two levels of token buckets, and what a 429 teaches them."""
from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from weakref import WeakValueDictionary

from stripe_source.api.credentials import pause
from stripe_source.api.endpoints import ENDPOINTS
from stripe_source.errors import InvalidOption

# Requests a second (docs.stripe.com/rate-limits, 2026-11). Stripe sends no counters, so ours are all there is.
LIVE, TEST = 100.0, 25.0
ENDPOINT = 25.0
SHARE_SURPLUS = 1.1  # times its share that an endpoint may have at a time: what others leave of theirs is used as well
SLOWEST = 2.0  # requests a second that each may have: what is left of a list is a guess
TOO_LITTLE = 1e-6  # seconds: what rounding leaves of a wait that is over
PATIENCE = 0.5  # seconds after which it is seen whether one's turn comes sooner


class Bucket:
    """Requests a second of one kind.

    A bucket holds a tenth of a second's worth, so that what a busy moment held up is caught up with; but never are more
    sent in a second than its limit. Told that it was too fast it halves its flow and wins it back: briskly at first,
    and carefully near the flow that was too fast, since whoever else uses the account is probably still there.
    """

    MOST = 0.992  # of the limit: what is sent evenly arrives a little less so

    REGAIN = 0.01  # of the full flow, each second
    CAREFULLY = 0.002  # likewise, from `NEAR` the flow that was too fast
    NEAR = 0.8
    DEAF = 1.0  # seconds after halving in which further complaints are about the same burst

    def __init__(self, limit: float, rate: float, now: float) -> None:
        wanted = limit * rate
        self.size = max(1.0, wanted * 0.1)
        self.full = max(min(wanted, limit * self.MOST), 0.1)
        self._sent: deque[float] = deque(maxlen=int(limit))  # when the last ones went out
        self.flow = self.full  # what Stripe allows, as far as is known
        self.pace = math.inf  # what is wanted at present, beside others
        self._issued = 0  # tickets given out
        self._served = self.size  # up to which ticket requests may be sent
        self._at = now
        self._halved: float | None = None
        self._too_fast: float | None = None

    def ticket(self, now: float) -> int:
        """A place in the queue."""
        self.refill(now)
        self._issued += 1
        return self._issued

    def wait(self, ticket: int, now: float) -> float:
        """Seconds until it is `ticket`'s turn, as things stand: a complaint meanwhile makes it later."""
        self.refill(now)
        return max(0.0, (ticket - self._served) / self._speed)

    def hold(self, seconds: float) -> None:
        """The ticket whose turn it is is used so much later, and all that follow keep their distance from it."""
        self._served -= seconds * self._speed

    def room(self, now: float) -> float:
        """Seconds until one more does not make too many in a second."""
        full = len(self._sent) == self._sent.maxlen
        return max(0.0, self._sent[0] + 1 / self.MOST - now) if full else 0.0

    def sent(self, now: float) -> None:
        """A request goes out."""
        self._sent.append(now)

    def recent(self, now: float) -> int:
        """How many went out in the last second."""
        return sum(moment > now - 1 for moment in self._sent)

    def queue(self, now: float) -> float:
        """Tickets that a further one would have to wait for, itself included."""
        self.refill(now)
        return max(0.0, self._issued + 1 - self._served)

    @property
    def _speed(self) -> float:
        return min(self.flow, self.pace)

    def halve(self, now: float) -> None:
        """Stripe said that this was too fast."""
        self.refill(now)
        if self._halved is None or now - self._halved >= self.DEAF:
            self._too_fast = self.flow
            self.flow = max(self.flow / 2, self.full / 32)
            self._served = min(self._served, self._issued)
            self._halved = now

    def refill(self, now: float) -> None:
        """Bring the bucket up to the present."""
        passed = max(0.0, now - self._at)
        self._at = now
        self._served = min(self._issued + self.size, self._served + passed * self._speed)
        while passed > 0 and self.flow < self.full:
            target, pace = self.full, self.REGAIN
            if self._too_fast is not None:
                near = self.flow >= self._too_fast * self.NEAR
                target = self._too_fast * (1.0 if near else self.NEAR)
                pace = self.CAREFULLY if near else self.REGAIN
            needed = (target - self.flow) / (pace * self.full)
            if needed > passed:
                self.flow += passed * pace * self.full
                return
            self.flow, passed = target, passed - needed
            if target == self._too_fast:
                self._too_fast = None


class ConcurrencyLimit:
    """How many requests may be under way at a time: any number, until Stripe complains of too many."""

    REGAIN = 10.0  # seconds until one more is tried
    ENOUGH = 64  # more than we ever have under way: no bound again

    def __init__(self) -> None:
        self.under_way = 0
        self.most: float | None = None
        self._told = 0.0

    def enter(self, now: float) -> bool:
        """Whether one more may go now; if so it is counted."""
        if self.most is not None:
            room = self.most + (now - self._told) // self.REGAIN
            if room >= self.ENOUGH:
                self.most = None
            elif self.under_way >= room:
                return False
        self.under_way += 1
        return True

    def leave(self) -> None:
        self.under_way = max(0, self.under_way - 1)

    def reduce(self, now: float) -> None:
        """Stripe said that these were too many; the one that it refused is among those under way."""
        if self.most is None or now - self._told >= Bucket.DEAF:
            self.most = max(1, self.under_way // 2)
            self._told = now


def governor(rate: float | None, livemode: bool | None, api_base: str, secrets: Sequence[str]) -> Governor:
    """The governor of a key: all tables, pipelines and threads of this process that use the key share it.

    Args:
        rate: see `Governor`; another share of the limits has a governor of its own.
        livemode: see `Governor`.
        api_base: where Stripe is.
        secrets: the key; only a digest of it is kept.
    """
    digest = hashlib.blake2b("\0".join(secrets).encode(), digest_size=16).digest()
    name = (rate, livemode, api_base, digest)
    with _lock:
        held = _governors.get(name)
        if held is None:
            held = _governors[name] = Governor(rate, livemode)
        return held


class Governor:
    """Lets requests pass no faster than Stripe's documented limits, per account and per endpoint.

    One governor may serve several clients and threads: its state is behind a lock that is never held while waiting.

    Args:
        rate: share of the limits that may be used, 0 < rate <= 1; None for no limit of ours.
        livemode: whether live data are read. None, not known: the lower limits of test mode and sandboxes.
        clock: seconds that only go up.
        sleep: how to wait.
    """

    def __init__(
        self,
        rate: float | None,
        livemode: bool | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = pause,
    ) -> None:
        if rate is not None and not 0 < rate <= 1:
            reason = "It is a share of Stripe's limits, 0 < rate <= 1, or None for no limit."
            raise InvalidOption("rate", rate, reason=reason)
        self.rate = rate
        self.livemode = livemode
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str | None, str | None], Bucket] = {}
        self._lanes: dict[tuple[str | None, str | None], ConcurrencyLimit] = {}
        self._needs: dict[str | None, dict[str, dict[object, float]]] = defaultdict(dict)  # by account and endpoint

    async def acquire(self, account: str | None, endpoint: str) -> float:
        """Wait until a request may be sent, and say how many seconds that took. `release` it when it is answered."""
        started = self._clock()
        while not self._enter(account, endpoint):
            await self._sleep(0.02)
        try:
            if self.rate is not None:
                await self._turn(account, endpoint)
        except BaseException:
            self.release(account, endpoint)
            raise
        return self._clock() - started

    def release(self, account: str | None, endpoint: str) -> None:
        """A request was answered, or given up."""
        with self._lock:
            for key in ((account, None), (account, endpoint)):
                self._lane(key).leave()

    def on_rate_limited(self, reason: str | None, account: str | None = None, endpoint: str | None = None) -> None:
        """Stripe answered 429.

        Args:
            reason: header `Stripe-Rate-Limited-Reason`, or "lock_timeout": two requests wanted one object, and speed
                has no part in it. Unknown reasons, and none, count as the endpoint's rate.
            account: the account that was asked.
            endpoint: the operation that was asked.
        """
        if reason == "lock_timeout":
            return
        key = (account, None if reason in ("global-rate", "global-concurrency") else endpoint)
        now = self._clock()
        with self._lock:
            if reason in ("global-concurrency", "endpoint-concurrency"):
                self._lane(key).reduce(now)
            elif self.rate is not None:
                self._bucket(key, now).halve(now)

    def flow(self, account: str | None = None, endpoint: str | None = None) -> float | None:
        """Requests a second that may be sent at present; None for any number."""
        if self.rate is None:
            return None
        now = self._clock()
        with self._lock:
            return self._flow((account, endpoint), now)

    def report_remaining(self, account: str | None, endpoint: str, who: object, requests: float) -> None:
        """Somebody has so many requests to send, with 0 for no more: who has more to ask gets the larger `share`.

        All are done at the same time then: one that is left in the end has its own limit, a quarter of the account's.
        """
        if self.rate is None:
            return
        now = self._clock()
        with self._lock:
            needs = self._needs[account].setdefault(endpoint, {})
            needs[who] = requests
            if requests <= 0:
                del needs[who]
            if not needs:
                del self._needs[account][endpoint]
                self._bucket((account, endpoint), now).pace = math.inf
            shares = self._shares(account, self._needs[account], now)
            for name in self._needs[account]:
                bucket = self._bucket((account, name), now)
                bucket.refill(now)
                bucket.pace = max(SHARE_SURPLUS * shares[name], SLOWEST)

    def share(self, account: str | None, endpoint: str) -> float | None:
        """Requests a second that an endpoint can have beside those that are asked as well; None for any number."""
        if self.rate is None:
            return None
        with self._lock:
            return self._shares(account, [endpoint], self._clock())[endpoint]

    def _shares(self, account: str | None, endpoints: Iterable[str], now: float) -> dict[str, float]:
        """Requests a second of each of these endpoints, and of those that are asked.

        Where it is not known how much is left, as of lists that are read page after page, what the last second brought
        is taken for what is used, and no more is kept free.
        """
        names = {name for (whose, name), lane in self._lanes.items() if name and whose == account and lane.under_way}
        needs = {name: sum(self._needs[account].get(name, {}).values()) for name in names.union(endpoints)}
        flows = {name: self._flow((account, name), now) for name in needs}
        whole = self._flow((account, None), now)
        even = whole / max(len(needs), 1)
        shares = {name: min(flows[name], even) for name, need in needs.items() if not need}
        whole = max(whole - sum(self._bucket((account, name), now).recent(now) for name in shares), even)
        left = {name: need for name, need in needs.items() if need}
        while left:
            portion = whole / sum(left.values())
            full = [name for name, need in left.items() if need * portion >= flows[name]]
            if not full:
                return {**shares, **{name: need * portion for name, need in left.items()}}
            for name in full:
                shares[name] = flows[name]
                whole = max(whole - flows[name], 0.1)
                del left[name]
        return shares

    def backlog(self, account: str | None, endpoint: str) -> float:
        """Seconds that a further request would wait for its turn."""
        share = self.share(account, endpoint)
        if share is None:
            return 0.0
        now = self._clock()
        with self._lock:
            whole, part = self._bucket((account, None), now), self._bucket((account, endpoint), now)
            return max(whole.queue(now) / whole.flow, part.queue(now) / share)

    def _enter(self, account: str | None, endpoint: str) -> bool:
        now = self._clock()
        with self._lock:
            whole, part = self._lane((account, None)), self._lane((account, endpoint))
            if not whole.enter(now):
                return False
            if not part.enter(now):
                whole.leave()
                return False
            return True

    async def _turn(self, account: str | None, endpoint: str) -> None:
        """Wait for one's turn at the endpoint, and then at the account, where endpoints take turns."""
        now = self._clock()
        with self._lock:
            part, whole = self._bucket((account, endpoint), now), self._bucket((account, None), now)
            ticket = part.ticket(now)
            wait = part.wait(ticket, now)
        while wait > TOO_LITTLE:
            await self._sleep(min(wait, PATIENCE))
            with self._lock:
                wait = part.wait(ticket, self._clock())
        now = self._clock()
        with self._lock:
            ticket = whole.ticket(now)
            part.hold(whole.wait(ticket, now))
        while True:
            now = self._clock()
            with self._lock:
                wait = max(whole.wait(ticket, now), whole.room(now), part.room(now))
                if wait <= TOO_LITTLE:
                    whole.sent(now)
                    part.sent(now)
                    return
            await self._sleep(min(wait, PATIENCE))

    def _flow(self, key: tuple[str | None, str | None], now: float) -> float:
        bucket = self._bucket(key, now)
        bucket.refill(now)
        return bucket.flow

    def _bucket(self, key: tuple[str | None, str | None], now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            account_limit = LIVE if self.livemode else TEST
            limit = account_limit if key[1] is None else ENDPOINTS.get(key[1], ENDPOINT)
            bucket = self._buckets[key] = Bucket(limit, self.rate or 1.0, now)
        return bucket

    def _lane(self, key: tuple[str | None, str | None]) -> ConcurrencyLimit:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = ConcurrencyLimit()
        return lane


_governors: WeakValueDictionary[tuple[object, ...], Governor] = WeakValueDictionary()
_lock = threading.Lock()
