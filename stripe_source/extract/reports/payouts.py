"""Which payouts a report by payout is read for: automatic ones that Stripe has reconciled, each once."""
from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stripe_source.api.client import Client
from stripe_source.tables.registry import table_with_role


class Payout(NamedTuple):
    """A payout that a report is about.

    Args:
        id: of the payout.
        created: unix second; 0 where that was not asked.
        waiting: the second of `created` of the oldest payout that Stripe has not reconciled yet; None: there is none.
    """

    id: str
    created: int
    waiting: int | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """What a run is asked for."""
        return {"payout": self.id}


@dataclass(frozen=True)
class PayoutCursor:
    """How far reports by payout were read.

    Args:
        first: the unix second from which on payouts were read.
        done: the second of `created` before which all payouts were read; None: none was read.
        ids: of payouts from then on that were read, with their seconds.
    """

    first: int = 0
    done: int | None = None
    ids: Mapping[str, int] = field(default_factory=dict)

    def asdict(self) -> dict[str, Any]:
        """As state keeps it."""
        return {"first": self.first, "done": self.done, "ids": dict(self.ids)}

    def goes_on(self, start: int | None) -> bool:
        """Whether a run with this bound reads on from here."""
        return self.done is not None and (start or 0) >= self.first

    def moved(self, payout: Payout, start: int | None) -> PayoutCursor:
        """The cursor once a payout was read."""
        before = self if self.goes_on(start) else PayoutCursor(start or 0)
        done = max(before.done or 0, min(payout.created, payout.created if payout.waiting is None else payout.waiting))
        ids = {**before.ids, payout.id: payout.created}
        return PayoutCursor(before.first, done, {id: second for id, second in ids.items() if second >= done})


async def payouts(
    client: Client, data_end: int, start: int | None, end: int | None, cursor: PayoutCursor,
    only: str | None = None, account: str | None = None,
) -> AsyncIterator[Payout]:
    """The payouts to read a report for, the oldest first.

    Only automatic payouts have transactions, and only once Stripe has put them together: `reconciliation_status` is
    `completed` then (SDK 16.1.0, checked 2026-11-30).

    Args:
        client: open.
        data_end: the first second that Stripe has no data of yet.
        start: the first second of `created` that is wanted; None: all there is.
        end: the first that is no longer wanted; None: all there is.
        cursor: how far they were read.
        only: the one payout that is wanted, whatever the bounds.
        account: the connected account whose payouts they are; None: the client's.
    """
    if only:
        yield Payout(only, 0)
        return
    low = max(start or 0, cursor.done or 0) if cursor.goes_on(start) else start or 0
    read = cursor.ids if cursor.goes_on(start) else {}
    bounds = {"gte": low, "lt": min(data_end, data_end if end is None else end)}
    found, waiting = list[tuple[str, int]](), None
    async for page in client.pages(table_with_role("payout").path or "", {"created": bounds}, account=account):
        for each in page.objects:
            if each.get("automatic") and each.get("reconciliation_status") == "in_progress":
                waiting = int(each["created"])
            elif each.get("automatic") and each.get("reconciliation_status") == "completed" and each["id"] not in read:
                found.append((str(each["id"]), int(each["created"])))
    for id, created in reversed(found):
        yield Payout(id, created, waiting)
