"""The world of a sandbox: its clock, its accounts, and what happens in them."""
from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal

from stripe_source.sandbox import dump
from stripe_source.sandbox.dump import Truth
from stripe_source.sandbox.history import plan
from stripe_source.sandbox.populate import tables
from stripe_source.sandbox.scenario import event_payloads, life, mutate
from stripe_source.sandbox.state.accounts import connect, profile
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import API_VERSION
from stripe_source.sandbox.state.events import KEPT_SECONDS, emit
from stripe_source.sandbox.state.faults import Faults
from stripe_source.sandbox.state.keys import Keys
from stripe_source.sandbox.state.records import Data
from stripe_source.sandbox.state.requests import Request

NOW = 1_793_534_400  # 2026-11-01T12:00:00Z: a world is the same whenever it is made


class World:
    """A Stripe: accounts full of objects, a clock, keys and faults.

    Args:
        seed: the same seed, scale and now give the same objects with the same ids.
        scale: 1.0 is about 800 customers and 15,000 rows.
        now: where the clock starts, unix seconds.
        ticking: the clock goes on with real time; otherwise it moves with `advance` only.
        livemode: whether keys and objects are live ones.
        prices_bare: what `/v1/prices` shows without `active`; the reference says active ones, others have seen all.
        unpopulated: what lists of products that are not in use answer: nothing, or that they are not enabled.
        payout_lists_itself: whether the transactions of a payout include the one of the payout itself.
        expand_forbidden: what becomes of an `expand[]` that a key lacks the permission for: the request is refused, or
            it is answered without, with ids (or nothing) in that place. The reference does not say which.
        clocks_tell: whether what goes with a deleted test clock has events; the reference does not say.
        event_version: the API version that events are rendered in: the account's default one. May be set later: events
            from then on are in that version.
        schema_maps: directory of the schema maps, for `populate`; found beside the package unless told.
        empty: starts without any object, but with its accounts.

    Attributes:
        on_request: called with 1, 2, 3 … before each request is answered, while nobody else can change the world.

    >>> world = World(scale=0.01)
    >>> world.create("customer", name="Ada")["name"]
    'Ada'
    """

    def __init__(
        self, seed: int = 1, scale: float = 1.0, now: int | None = None, *, ticking: bool = False,
        livemode: bool = False, prices_bare: Literal["active", "all"] = "active",
        unpopulated: Literal["empty", "refuse"] = "empty", payout_lists_itself: bool = True,
        expand_forbidden: Literal["refuse", "id"] = "refuse",
        clocks_tell: bool = False, event_version: str = API_VERSION, schema_maps: Path | str | None = None,
        empty: bool = False,
    ) -> None:
        self.seed, self.scale = seed, scale
        self.livemode, self.prices_bare, self.unpopulated = livemode, prices_bare, unpopulated
        self.payout_lists_itself, self.event_version = payout_lists_itself, event_version
        self.expand_forbidden, self.clocks_tell = expand_forbidden, clocks_tell
        self.schema_maps = Path(schema_maps) if schema_maps else None
        self.lock = threading.RLock()
        self.rng = Random(seed)
        self.seq = self.version = 0
        self.request_id: str | None = None
        self.idempotency_key: str | None = None
        self.requests: list[Request] = []
        self.faults = Faults(seed)
        self.on_request: Callable[[int], object] | None = None
        self.populated: set[str] = set()
        self._calendar: list[tuple[int, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._entries = 0
        self._ticking: tuple[float, int] | None = None
        self._life = Random(f"life/{seed}")
        end = NOW if now is None else now
        start = end - plan.HISTORY
        self.clock = start
        self.events_from = end - KEPT_SECONDS
        self.notices_from = 2**62  # what is announced, without any change, is from when the world is made on
        self.accounts: dict[str, Books] = {}
        self.books = Books(self, "")
        self.books.account = self.books.new_id("account")
        self.books.profile = profile(self.books.account, "Lighthouse Goods Inc.", "US", "usd", start)
        self.books.profile["bank"] = {each: f"ba_1{self.rng.getrandbits(90):023x}" for each in ("usd", "eur")}
        self.accounts[self.books.account] = self.books
        self.keys = Keys(self)
        others = plan.connected_profiles(self.books, start)
        for other in others:
            books = Books(self, other["id"])
            books.profile = {**other, "bank": {"usd": f"ba_1{self.rng.getrandbits(90):023x}"}}
            self.accounts[other["id"]] = books
            connect(self.books, other)
        if not empty:
            plan.plan_history(self.books, start, end, scale)
            plan.plan_small_history(self.accounts[others[0]["id"]], start + 40 * 86400, end)
        self._run_until(end)
        self.notices_from = end
        if ticking:
            self._ticking = (time.time(), end)

    # --- time

    @property
    def now(self) -> int:
        """The world's time in unix seconds."""
        self.catch_up()
        return self.clock

    def catch_up(self) -> None:
        """Lets a ticking world do what is due."""
        if self._ticking is not None:
            began, at = self._ticking
            with self.lock:
                self._run_until(at + int(time.time() - began))

    def advance(self, seconds: float | timedelta) -> int:
        """Moves the clock on; what falls due in between happens: renewals, payouts, expiries. Returns the new time."""
        if isinstance(seconds, timedelta):
            seconds = seconds.total_seconds()
        if seconds < 0:
            raise ValueError(f"Time goes forward only, not by `{seconds}` seconds.")
        with self.lock:
            if self._ticking is not None:
                self.catch_up()
                self._ticking = (self._ticking[0], self._ticking[1] + int(seconds))
            self._run_until(self.clock + int(seconds))
            return self.clock

    def at(self, moment: int, action: Callable[..., Any], *args: Any) -> None:
        """Puts something on the calendar."""
        self._entries += 1
        heapq.heappush(self._calendar, (moment, self._entries, action, args))

    def _run_until(self, end: int) -> None:
        calendar = self._calendar
        while calendar and calendar[0][0] <= end:
            moment, _, action, args = heapq.heappop(calendar)
            self.clock = max(self.clock, moment)
            action(*args)
        self.clock = max(self.clock, end)
        for books in self.accounts.values():
            for kind in ("event", "v2.core.event"):
                if kind in books.shelves:
                    books.shelf(kind).drop_before(self.clock - KEPT_SECONDS)

    # --- what happens

    def live(
        self, steps: int = 1, *, rng: Random | None = None, account: str | None = None,
        silent: bool | Literal["only"] = False,
    ) -> list[str]:
        """Lets life go on: random things happen, with their events; says what, in a few words each.

        Args:
            steps: how many.
            rng: what draws them.
            account: a connected account; the own one unless told.
            silent: whether changes that Stripe has no event for are among them, or nothing but those.
        """
        with self.lock:
            self.catch_up()
            return [life.step(self._books(account), rng or self._life, silent) for _ in range(steps)]

    def create(self, object: str, /, *, account: str | None = None, **fields: Any) -> Data:
        """Makes an object of any type, with what belongs to it and its events; returns it.

        Args:
            object: Stripe's name of it, such as `customer`, `charge` or `issuing.card`.
            account: a connected account; the own one unless told.
            **fields: its fields; unknown ones are kept too, so that new fields of Stripe can be played.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return books.plain(mutate.create(books, object, fields))

    def update(self, object: str, id: str, /, *, account: str | None = None, **fields: Any) -> Data:
        """Changes fields of an object and tells it as Stripe does (or not, where Stripe does not); returns it.

        A nested object is merged, metadata too; a None takes a key of metadata away.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return books.plain(mutate.update(books, mutate.locate(books, object, id), fields))

    def delete(self, object: str, id: str, /, *, account: str | None = None) -> Data:
        """Deletes an object with what hangs on it, with the events of that; a subscription is canceled."""
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return mutate.delete(books, mutate.locate(books, object, id))

    def emit(
        self, type: str, about: dict[str, Any] | str | None = None, *, account: str | None = None,
        previous: dict[str, Any] | None = None,
    ) -> Data:
        """Adds an event of any type without changing anything; returns it.

        Args:
            type: of the event.
            about: what `data.object` is to be, or the id of an object as it is now (or was, before it was deleted).
                Without it the newest object of the kind is taken, or one is made up that exists nowhere, as for
                `invoice.upcoming`.
            account: a connected account; the own one unless told.
            previous: `previous_attributes`, of types that have them.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            made = emit(books, type, event_payloads.about(books, type) if about is None else
                        event_payloads.known(books, about) if isinstance(about, str) else about, previous)
            assert made is not None, "events are kept"
            return books.plain(made)

    def populate(
        self, table: str, n: int = 3, *, parent: str | None = None, account: str | None = None, **fields: Any
    ) -> list[Data]:
        """Makes up `n` objects of any table of the schema maps, every column filled; its list shows them.

        Args:
            table: its name.
            n: how many; settings, balances and summaries are as many as they are.
            parent: id of the object that they are to belong to, for tables of children; found or made unless told.
            account: a connected account; the own one unless told.
            **fields: fields that are the same in all of them.
        """
        with self.lock:
            self.catch_up()
            return tables.populate(self._books(account), table, n, fields, parent)

    def populate_all(self, n: int = 3, *, account: str | None = None) -> dict[str, list[Data]]:
        """Makes up `n` objects of every table, see `populate`, and a customer with all that belongs to a test clock."""
        with self.lock:
            self.catch_up()
            return tables.populate_all(self._books(account), n)

    def dump(self, account: str | None = None) -> dict[str, list[Truth]]:
        """What is true now, table by table, for tests to compare a load with."""
        with self.lock:
            self.catch_up()
            return dump.dump(self._books(account))

    def counts(self, account: str | None = None) -> dict[str, int]:
        """How many objects each table has that are not deleted; tables that never had one are left out."""
        return {table: sum(not each.deleted for each in truths)
                for table, truths in self.dump(account).items() if truths}

    def _books(self, account: str | None) -> Books:
        if account is None:
            return self.books
        if account not in self.accounts:
            known = ", ".join(f"`{each}`" for each in self.accounts)
            raise KeyError(f"There is no account `{account}`. Known: {known}.")
        return self.accounts[account]

    @property
    def application_id(self) -> str:
        """Id of the app that the sandbox's OAuth endpoint issues tokens for."""
        return self.keys.client_id

    def restricted_key(self, permissions: Iterable[str]) -> str:
        """A restricted key with these permissions, such as `["rak_charge_read"]`."""
        return self.keys.restricted(permissions)

    @property
    def connected(self) -> Sequence[str]:
        """Ids of the connected accounts; the first has data of its own."""
        return [each for each in self.accounts if each != self.books.account]
