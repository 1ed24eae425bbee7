"""Whether the money adds up: the ledger against the balance, and every automatic payout against what it swept."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.tables.registry import table_with_role
from stripe_source.tables.table import Table

TRANSACTIONS, PAYOUTS, MEMBERS = (
    table_with_role("ledger").name, table_with_role("payout").name, table_with_role("payout member").name,
)
BALANCE = table_with_role("balance").name  # a part of Stripe's balance object
PAYMENTS = "payments"  # the balance that transactions without `balance_type` move
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
        payouts_open: automatic payouts whose transactions Stripe has not told yet.
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


def ledger(back: RowReader, transactions: Table) -> dict[Funds, int]:
    """The sum of `net` in the destination, by balance type, status and currency."""
    names = ", ".join(map(back.column, ("balance_type", "status", "currency")))
    net, where = back.column("net"), f"{back.name(transactions)} WHERE {back.alive()}"
    rows = back.ask(f"SELECT {names}, SUM({net}) FROM {where} GROUP BY {names}")
    return sum_by_currency(((row[0], row[1], row[2]), row[3]) for row in rows)


def sum_by_currency(parts: Iterable[tuple[tuple[Any, ...], Any]]) -> dict[Funds, int]:
    """Sums by balance type, status and currency, with the type put in where Stripe leaves it out."""
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
    for kind, holder in (
        (PAYMENTS, balance), *((kind, balance.get(kind)) for kind in ("issuing", "refund_and_dispute_prefunding"))
    ):
        for status in ("available", "pending"):
            amounts = holder.get(status) if isinstance(holder, Mapping) else None
            for funds in amounts or ():
                stated[kind, status, str(funds.get("currency"))] = int(funds.get("amount") or 0)
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
        f"connect_reserved holds {funds['amount']} {funds.get('currency')}, and no transaction says for what"
        for funds in balance.get("connect_reserved") or () if funds.get("amount")
    ]
    return proofs, unproven


def reconcile_payouts(back: RowReader, payouts: Table, members: Table, transactions: Table, span: Span, proof: MoneyProof) -> None:
    """Add up what every automatic payout swept, in the destination alone, and keep those that differ."""
    c = back.column
    automatic = f"p.{c('automatic')} = {back.bool(True)}"
    tests = [back.alive("p."), automatic, *back.within(payouts, span, "p.")]
    joined = (
        f"SELECT p.{c('id')} AS id, p.{c('currency')} AS currency, p.{c('amount')} AS amount,"
        f" p.{c('reconciliation_status')} AS reconciled, COUNT(m.{c('balance_transaction_id')}) AS swept,"
        f" COUNT(b.{c('id')}) AS known, SUM(b.{c('net')}) AS net, SUM(m.{c('net')}) AS copied,"
        f" MIN(b.{c('currency')}) AS least, MAX(b.{c('currency')}) AS most"
        f" FROM {back.name(payouts)} p"
        f" LEFT JOIN {back.name(members)} m ON m.{c('payout_id')} = p.{c('id')} AND {back.alive('m.')}"
        f" AND m.{c('balance_transaction_id')} <> COALESCE(p.{c('balance_transaction')}, '')"
        f" LEFT JOIN {back.name(transactions)} b ON b.{c('id')} = m.{c('balance_transaction_id')}"
        f" AND {back.alive('b.')}"
        f" WHERE {' AND '.join(tests)}"
        f" GROUP BY p.{c('id')}, p.{c('currency')}, p.{c('amount')}, p.{c('reconciliation_status')}"
    )
    for id, currency, amount, reconciled, swept, known, net, copied, least, most in back.ask(joined):
        amount, net, copied = int(amount or 0), int(net or 0), int(copied or 0)
        if not swept and reconciled != "completed":
            proof.payouts_open += 1
            continue
        proof.payouts_checked += 1
        reason = ""
        if known < swept:
            reason = f"{swept - known} of the transactions that it swept are not in balance_transactions"
        elif net != amount:
            reason = "the transactions that it swept are another amount"
        elif copied != amount:
            reason = "its lines in payout_balance_transactions are another amount"
            net = copied
        elif swept and {least, most} != {currency}:
            reason = f"it swept transactions in {least if least != currency else most}"
        if reason:
            proof.payouts.append(PayoutProof(str(id), str(currency), amount, net, int(swept), reason))
    proof.payouts.sort(key=lambda payout: payout.id)
