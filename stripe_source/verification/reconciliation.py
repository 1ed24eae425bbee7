"""Whether the money adds up: the ledger against the balance, and every automatic payout against what it swept."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.destination.sql import statements
from stripe_source.tables.registry import table_with_role
from stripe_source.tables.table import Table

TRANSACTIONS, PAYOUTS, MEMBERS = (
    table_with_role("ledger").name, table_with_role("payout").name, table_with_role("payout member").name,
)
BALANCE = table_with_role("available funds").name  # a part of Stripe's balance object
PAYMENTS = "payments"  # the balance that transactions without `balance_type` move
OTHER_TYPES = "issuing", "refund_and_dispute_prefunding"  # balances that the balance object shows in a part of its own
Funds = tuple[str, str, str]  # balance type, status, currency


@dataclass
class BalanceProof:
    """One part of the balance: the sum of `net` over the transactions that make it up, and what Stripe says it is."""

    balance_type: str
    status: str
    currency: str
    transactions: int
    balance: int
    late: bool = False

    @property
    def funds(self) -> Funds:
        """Which part of the balance it is."""
        return self.balance_type, self.status, self.currency

    @property
    def equal(self) -> bool:
        """Whether the two are the same amount."""
        return self.transactions == self.balance


@dataclass
class PayoutProof:
    """An automatic payout that is not what it swept.

    Args:
        id: of the payout.
        currency: its currency.
        amount: what was paid out.
        swept: sum of `net` over the transactions that it swept.
        transactions: their number.
        reason: what is wrong.
    """

    id: str
    currency: str
    amount: int
    swept: int
    transactions: int
    reason: str


@dataclass
class MoneyProof:
    """What the money says. Amounts are in the smallest unit of their currency.

    Args:
        balance: each part of the balance.
        balance_skipped: why the balance was not compared; "" where it was.
        payouts: the payouts that do not add up.
        payouts_checked: how many automatic payouts were added up.
        payouts_open: automatic payouts whose transactions Stripe does not name yet.
        payouts_skipped: why payouts were not added up; "" where they were.
        unproven: what the balance holds and no transaction explains.
    """

    balance: list[BalanceProof] = field(default_factory=list)
    balance_skipped: str = ""
    payouts: list[PayoutProof] = field(default_factory=list)
    payouts_checked: int = 0
    payouts_open: int = 0
    payouts_skipped: str = ""
    unproven: list[str] = field(default_factory=list)

    @property
    def off(self) -> int:
        """How many amounts differ."""
        return sum(not part.equal for part in self.balance) + len(self.payouts)


def ledger(reader: RowReader, transactions: Table) -> dict[Funds, int]:
    """The sum of `net` in the destination, by balance type, status and currency."""
    rows = reader.ask(statements.ledger(reader.sql, transactions.name))
    return sum_by_currency(((row[0], row[1], row[2]), row[3]) for row in rows)


def sum_by_currency(parts: Iterable[tuple[tuple[Any, ...], Any]]) -> dict[Funds, int]:
    """Add up amounts by balance type, status and currency; the type is `payments` where Stripe leaves it out."""
    sums: dict[Funds, int] = {}
    for (kind, status, currency), net in parts:
        funds = (PAYMENTS if kind in (None, "", "None") else str(kind), str(status), str(currency))
        sums[funds] = sums.get(funds, 0) + int(net or 0)
    return sums


def compare_balance(sums: Mapping[Funds, int], balance: Mapping[str, Any]) -> tuple[list[BalanceProof], list[str]]:
    """Compare sums of the ledger with Stripe's balance object.

    Returns:
        Each part of the balance, and what cannot be proven, in words.
    """
    stated: dict[Funds, int] = {}
    objects_by_type = {PAYMENTS: balance, **{kind: balance.get(kind) for kind in OTHER_TYPES}}
    for kind, amounts_of_type in objects_by_type.items():
        for status in ("available", "pending"):
            amounts = amounts_of_type.get(status) if isinstance(amounts_of_type, Mapping) else None
            for each in amounts or ():
                stated[kind, status, str(each.get("currency"))] = int(each.get("amount") or 0)
    shown = {kind for kind, _, _ in stated} | {PAYMENTS}
    proofs = [
        BalanceProof(*funds, sums.get(funds, 0), stated.get(funds, 0))
        for funds in sorted(sums.keys() | stated.keys()) if funds[0] in shown
    ]
    unproven = [
        f"the balance does not show {kind} funds ({status}): {amount} {currency} of transactions"
        for (kind, status, currency), amount in sorted(sums.items()) if kind not in shown and amount
    ]
    unproven += [
        f"connect_reserved holds {each['amount']} {each.get('currency')}, and no transaction says for what"
        for each in balance.get("connect_reserved") or () if each.get("amount")
    ]
    return proofs, unproven


def reconcile_payouts(
    reader: RowReader, payouts: Table, members: Table, transactions: Table, span: Span, proof: MoneyProof
) -> None:
    """Add up what every automatic payout swept, in the destination alone, and add those that differ to a proof.

    Args:
        reader: reads the destination.
        payouts: the table of payouts.
        members: the table that says which transactions a payout swept.
        transactions: the table of balance transactions.
        span: in which the payouts were created.
        proof: takes what is found.
    """
    created = reader.within(payouts, span, "p")
    for row in reader.ask(statements.payouts(reader.sql, payouts.name, members.name, transactions.name, *created)):
        id, currency, amount, reconciliation, swept, known, net, copied_net, least_currency, most_currency = row
        amount, net, copied_net = int(amount or 0), int(net or 0), int(copied_net or 0)
        if not swept and reconciliation != "completed":
            proof.payouts_open += 1
            continue
        proof.payouts_checked += 1
        reason = ""
        if known < swept:
            reason = f"{swept - known} of the transactions that it swept are not in balance_transactions"
        elif net != amount:
            reason = "the transactions that it swept are another amount"
        elif copied_net != amount:
            reason = "its lines in payout_balance_transactions are another amount"
            net = copied_net
        elif swept and {least_currency, most_currency} != {currency}:
            other = least_currency if least_currency != currency else most_currency
            reason = f"it swept transactions in {other}"
        if reason:
            proof.payouts.append(PayoutProof(str(id), str(currency), amount, net, int(swept), reason))
    proof.payouts.sort(key=lambda payout: payout.id)
