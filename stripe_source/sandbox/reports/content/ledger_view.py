"""The ledger as reports see it: which balance transactions are in an interval, and which payout settled them."""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property

from stripe_source.sandbox.reports.catalog import Parameters
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record

# Stripe's reports show them as payouts, everything else as activity (Stripe's page on the balance report, 2026-11-30)
PAYOUT_CATEGORIES = frozenset({"payout", "payout_reversal"})


class LedgerView:
    """The balance transactions of an account, as a report with these parameters sees them.

    Every transaction counts from `created` on. Transactions of payouts do, too: the sandbox takes the money of a
    payout from the balance when the payout is created, and that is the moment when it takes effect.

    Args:
        books: the account.
        parameters: the checked parameters of the run.
    """

    def __init__(self, books: Books, parameters: Parameters) -> None:
        self.books = books
        self.currency: str | None = parameters.get("currency")
        self.category: str | None = parameters.get("reporting_category")
        self.start: int = parameters.get("interval_start", 0)
        self.end: int = parameters.get("interval_end", 2**62)
        self.payout: str | None = parameters.get("payout")

    def _between(self, start: int, end: int) -> Iterator[Record]:
        """Yield the transactions that were created from `start` on and before `end`, oldest first."""
        records, keys = self.books.collection("balance_transaction").order()
        for at in range(bisect_left(keys, (start,)), bisect_left(keys, (end,))):
            yield records[at]

    def _asked_for(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the transactions that have the currency and category of the parameters."""
        if self.currency is None and self.category is None:
            yield from records
            return
        for record in records:
            data = record.data
            if self.currency in (None, data["currency"]) and self.category in (None, data["reporting_category"]):
                yield record

    def activity(self) -> Iterator[Record]:
        """Yield the transactions of the interval that are no payouts."""
        return (each for each in self._asked_for(self._between(self.start, self.end))
                if each.data["reporting_category"] not in PAYOUT_CATEGORIES)

    def payouts(self) -> Iterator[Record]:
        """Yield the transactions of the interval that are payouts, or reversals of payouts."""
        return (each for each in self._asked_for(self._between(self.start, self.end))
                if each.data["reporting_category"] in PAYOUT_CATEGORIES)

    def failed_payouts(self) -> Iterator[Record]:
        """Yield the transactions of the interval that gave back the money of a failed payout."""
        return (each for each in self.payouts() if each.data["reporting_category"] == "payout_reversal")

    def settled(self) -> Iterator[Record]:
        """Yield the transactions that automatic payouts of the interval consist of, or those of one payout."""
        for payout, moment in self.effective_at.items():
            if payout == self.payout if self.payout else self.start <= moment < self.end:
                yield from self._asked_for(self.books.payout_transactions[payout])

    def not_settled(self) -> Iterator[Record]:
        """Yield the transactions that the balance at the end of the interval consists of.

        Automatic payouts add up to nothing with the transactions that they consist of: both are left out.
        """
        for record in self._asked_for(self._between(0, self.end)):
            payout = self.payout_of.get(record.id)
            if payout is None or self.effective_at[payout] >= self.end:
                yield record

    def balances(self) -> dict[str, tuple[int, int, int, int]]:
        """Return, by currency in minor units: balance at the start, activity, payouts, balance at the end."""
        found: dict[str, list[int]] = {}
        for record in self._asked_for(self._between(0, self.end)):
            data = record.data
            sums = found.setdefault(data["currency"], [0, 0, 0])
            if record.created < self.start:
                sums[0] += data["net"]
            else:
                sums[2 if data["reporting_category"] in PAYOUT_CATEGORIES else 1] += data["net"]
        return {currency: (first, activity, payouts, first + activity + payouts)
                for currency, (first, activity, payouts) in sorted(found.items())}

    @cached_property
    def effective_at(self) -> dict[str, int]:
        """When each automatic payout took effect, in unix seconds, by its id, oldest first."""
        books = self.books
        found = {payout: books.get("balance_transaction", books.get("payout", payout).data["balance_transaction"])
                 for payout in books.payout_transactions}
        return {payout: entry.created for payout, entry in sorted(found.items(), key=lambda each: each[1].sort_key)}

    @cached_property
    def payout_of(self) -> dict[str, str]:
        """The automatic payout of each transaction that one consists of, and of the payout's own transaction."""
        books = self.books
        found = {entry.id: payout for payout, entries in books.payout_transactions.items() for entry in entries}
        for payout in books.payout_transactions:
            found[books.get("payout", payout).data["balance_transaction"]] = payout
        return found
