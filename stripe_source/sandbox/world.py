"""The world of a sandbox: its clock, its accounts, and the functions that change them."""
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
from stripe_source.sandbox.business import ledger
from stripe_source.sandbox.dump import Truth
from stripe_source.sandbox.errors import InvalidSetting
from stripe_source.sandbox.history import plan
from stripe_source.sandbox.populate import tables
from stripe_source.sandbox.reports import report_types
from stripe_source.sandbox.reports.settings import Reports
from stripe_source.sandbox.scenario import event_payloads, life, mutate
from stripe_source.sandbox.state.accounts import connect, profile
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import API_VERSION
from stripe_source.sandbox.state.events import KEPT_SECONDS, emit
from stripe_source.sandbox.state.faults import Faults
from stripe_source.sandbox.state.keys import Keys
from stripe_source.sandbox.state.records import Data
from stripe_source.sandbox.state.requests import Request

NOW = 1_793_534_400  # 2026-11-01T12:00:00Z; fixed, so that a world is the same whenever it is made


def _checked_currencies(currencies: Sequence[str]) -> tuple[str, ...]:
    for each in currencies:
        if each not in ledger.CURRENCIES:
            raise InvalidSetting("currencies", each, ledger.CURRENCIES)
    if "usd" not in currencies:
        raise InvalidSetting("currencies", ",".join(currencies), reason="Other currencies are converted to `usd`.")
    return tuple(dict.fromkeys(currencies))


class World:
    """A simulated Stripe: accounts with objects, a clock, keys and faults.

    Args:
        seed: the same seed, scale and now give the same objects with the same ids.
        scale: 1.0 is about 800 customers and 14,000 rows.
        now: where the clock starts, unix seconds.
        ticking: the clock goes on with real time; otherwise it moves with `advance` only.
        livemode: whether keys and objects are live ones.
        currencies: the currencies that the accounts hold a balance in: `usd` and any of eur, gbp, jpy, kwd. Payments in
            others are converted to US dollars.
        prices_bare: which prices `/v1/prices` lists without `active`: the reference says active ones, users report all.
        unpopulated: whether lists of Stripe products without any object are empty, or refused as not enabled.
        payout_lists_itself: whether the balance transactions of a payout include that of the payout itself.
        expand_forbidden: what happens to an `expand[]` that the key has no permission for: "refuse" refuses the
            request, "id" leaves the id (or nothing) in that place. The reference does not say which.
        clocks_tell: whether objects that are deleted with their test clock have events; the reference does not say.
        event_version: API version that events are rendered in, the default one of the account. It may be set later:
            events from then on are in that version.
        schema_maps: directory of the schema maps, for `populate`; None finds those of the package.
        empty: whether the accounts start without any object.

    Attributes:
        reports: how its reports behave.
        on_request: called with 1, 2, 3 … before each request is answered; no other request changes the world meanwhile.

    >>> world = World(scale=0.01)
    >>> world.create("customer", name="Ada")["name"]
    'Ada'
    """

    def __init__(
        self, seed: int = 1, scale: float = 1.0, now: int | None = None, *, ticking: bool = False,
        livemode: bool = False, currencies: Sequence[str] = ("usd", "eur"),
        prices_bare: Literal["active", "all"] = "active", unpopulated: Literal["empty", "refuse"] = "empty",
        payout_lists_itself: bool = True, expand_forbidden: Literal["refuse", "id"] = "refuse",
        clocks_tell: bool = False, event_version: str = API_VERSION, schema_maps: Path | str | None = None,
        empty: bool = False,
    ) -> None:
        self.seed, self.scale, self.currencies = seed, scale, _checked_currencies(currencies)
        self.livemode, self.prices_bare, self.unpopulated = livemode, prices_bare, unpopulated
        self.payout_lists_itself, self.event_version = payout_lists_itself, event_version
        self.expand_forbidden, self.clocks_tell = expand_forbidden, clocks_tell
        self.schema_maps = Path(schema_maps) if schema_maps else None
        self.lock = threading.RLock()
        self.rng = Random(seed)
        self.seq = self.revision = 0
        self.request_id: str | None = None
        self.idempotency_key: str | None = None
        self.requests: list[Request] = []
        self.faults = Faults(seed)
        self.reports = Reports(seed)
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
        self.announcements_from = 2**62  # the history of a world has no announcements; see `events.announce`
        self.accounts: dict[str, Books] = {}
        self.books = Books(self, "")
        self.books.account = self.books.new_id("account")
        self.books.profile = profile(self.books.account, "Lighthouse Goods Inc.", "US", "usd", start)
        self.books.profile["bank"] = {each: f"ba_1{self.rng.getrandbits(90):023x}" for each in ("usd", "eur")}
        more = Random(f"banks/{seed}")  # another generator, so that the ids of all other objects stay the same
        for each in self.currencies:
            self.books.profile["bank"].setdefault(each, f"ba_1{more.getrandbits(90):023x}")
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
        self.announcements_from = end
        if ticking:
            self._ticking = (time.time(), end)

    # --- time

    @property
    def now(self) -> int:
        """The world's time in unix seconds."""
        self.catch_up()
        return self.clock

    def catch_up(self) -> None:
        """Run what is due by now in a ticking world."""
        if self._ticking is not None:
            began, at = self._ticking
            with self.lock:
                self._run_until(at + int(time.time() - began))

    def advance(self, seconds: float | timedelta) -> int:
        """Move the clock on, and run what falls due: renewals, payouts, expiries. Return the new time."""
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

    def call_at(self, moment: int, action: Callable[..., Any], *args: Any) -> None:
        """Put an action on the calendar."""
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
                if kind in books.collections:
                    books.collection(kind).drop_before(self.clock - KEPT_SECONDS)

    # --- changes

    def live(
        self, steps: int = 1, *, rng: Random | None = None, account: str | None = None,
        silent: bool | Literal["only"] = False,
    ) -> list[str]:
        """Let random things happen, with their events; return what happened, in a few words each.

        Args:
            steps: how many things happen.
            rng: the random generator to draw them with; that of the world if None.
            account: id of a connected account; None is the own account.
            silent: True adds changes that Stripe has no event for, "only" makes no others.
        """
        with self.lock:
            self.catch_up()
            return [life.step(self._books(account), rng or self._life, silent) for _ in range(steps)]

    def create(self, object: str, /, *, account: str | None = None, **fields: Any) -> Data:
        """Create an object of any type, with what belongs to it and its events; return it.

        Args:
            object: Stripe's name of it, such as `customer`, `charge` or `issuing.card`.
            account: id of a connected account; None is the own account.
            **fields: its fields; unknown ones are stored as well, so that tests can add new fields of Stripe.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return books.to_dict(mutate.create(books, object, fields))

    def update(self, object: str, id: str, /, *, account: str | None = None, **fields: Any) -> Data:
        """Change fields of an object, with the event if Stripe has one for it; return the object.

        A nested object is merged, metadata too; None removes a key of metadata.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return books.to_dict(mutate.update(books, mutate.locate(books, object, id), fields))

    def delete(self, object: str, id: str, /, *, account: str | None = None) -> Data:
        """Delete an object and what belongs to it, with their events; a subscription is canceled."""
        with self.lock:
            self.catch_up()
            books = self._books(account)
            return mutate.delete(books, mutate.locate(books, object, id))

    def emit(
        self, type: str, about: dict[str, Any] | str | None = None, *, account: str | None = None,
        previous: dict[str, Any] | None = None,
    ) -> Data:
        """Add an event of any type without changing anything; return it.

        Args:
            type: type of the event.
            about: the `data.object`, or the id of an object, whose present (or last) state is taken. None takes the
                newest object of that type, or makes up one that no list shows, as for `invoice.upcoming`.
            account: id of a connected account; None is the own account.
            previous: the `previous_attributes`, for types that have them.
        """
        with self.lock:
            self.catch_up()
            books = self._books(account)
            made = emit(books, type, event_payloads.about(books, type) if about is None else
                        event_payloads.known(books, about) if isinstance(about, str) else about, previous)
            assert made is not None, "events are kept"
            return books.to_dict(made)

    def populate(
        self, table: str, n: int = 3, *, parent: str | None = None, account: str | None = None, **fields: Any
    ) -> list[Data]:
        """Make up `n` objects of any table of the schema maps, with a value in every column; return them.

        Args:
            table: name of the table.
            n: how many objects; settings, balances and summaries have a number of their own.
            parent: id of the parent, for tables of children; None finds or makes one.
            account: id of a connected account; None is the own account.
            **fields: fields that are the same in all objects.
        """
        with self.lock:
            self.catch_up()
            return tables.populate(self._books(account), table, n, fields, parent)

    def populate_all(self, n: int = 3, *, account: str | None = None) -> dict[str, list[Data]]:
        """Make up `n` objects of every table, see `populate`, and a customer on a test clock with its objects."""
        with self.lock:
            self.catch_up()
            return tables.populate_all(self._books(account), n)

    def announce_report_types(self, account: str | None = None) -> None:
        """Emit `reporting.report_type.updated` at every cut-off of reports from now on, for each report type."""
        with self.lock:
            self.catch_up()
            report_types.schedule_announcement(self._books(account))

    def dump(self, account: str | None = None) -> dict[str, list[Truth]]:
        """Return the rows that every table should have now, for tests to compare a load with."""
        with self.lock:
            self.catch_up()
            return dump.dump(self._books(account))

    def counts(self, account: str | None = None) -> dict[str, int]:
        """Return the number of objects of each table that ever had one.

        Deleted objects do not count, nor do the report types that Stripe gives every account.
        """
        return {table: sum(not each.deleted for each in truths) for table, truths in self.dump(account).items()
                if truths and (table != report_types.TABLE or table in self.populated)}

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
        """Return a new restricted key with these permissions, such as `["rak_charge_read"]`."""
        return self.keys.restricted(permissions)

    @property
    def connected(self) -> Sequence[str]:
        """Ids of the connected accounts; the first has data of its own."""
        return [each for each in self.accounts if each != self.books.account]
