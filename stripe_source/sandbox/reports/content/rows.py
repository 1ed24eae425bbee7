"""The rows of every report: each family has a function that yields the values of the columns asked for."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from stripe_source.sandbox.reports.catalog import Parameters, ReportType
from stripe_source.sandbox.reports.content.columns import (
    ACTIVITY_COLUMNS,
    PAYOUT_COLUMNS,
    TRANSACTION_COLUMNS,
    Column,
    column_of,
)
from stripe_source.sandbox.reports.content.ledger_view import LedgerView
from stripe_source.sandbox.reports.content.related import Invoices, Transaction, major_units
from stripe_source.sandbox.reports.content.tax_rows import tax_rows
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Record

Row = list[Any]
_Select = Callable[[LedgerView], Iterable[Record]]
# What each family shows: the transactions, and where the values of its itemized columns come from.
_FAMILIES: dict[str, tuple[_Select, dict[str, Column]]] = {
    "balance_change_from_activity": (LedgerView.activity, TRANSACTION_COLUMNS),
    "payouts": (LedgerView.payouts, PAYOUT_COLUMNS),
    "failed_payouts": (LedgerView.failed_payouts, PAYOUT_COLUMNS),
    "payout_reconciliation": (LedgerView.settled, TRANSACTION_COLUMNS),
    "payout_reconciliation.by_id": (LedgerView.settled, TRANSACTION_COLUMNS),
    "ending_balance_reconciliation": (LedgerView.not_settled, TRANSACTION_COLUMNS),
    "activity": (LedgerView.activity, ACTIVITY_COLUMNS),
}


def rows(books: Books, report: ReportType, parameters: Parameters, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a report: for each column a time in unix seconds, an amount in major units, or a value."""
    if report.family == "tax.transactions":
        return tax_rows(books, parameters, columns)
    view = LedgerView(books, parameters)
    if report.family == "balance":
        return _balance(view, columns)
    select, values = _FAMILIES[report.family]
    if report.shape == "summary":
        return _summary(select(view), columns)
    if report.family == "activity":
        return _activity(view, columns)
    return _itemized(view, select(view), [column_of(values, name) for name in columns])


def _itemized(view: LedgerView, records: Iterable[Record], columns: list[Column]) -> Iterator[Row]:
    invoices = Invoices(view.books)
    for record in records:
        transaction = Transaction(record, view, invoices)
        yield [column(transaction) for column in columns]


def _activity(view: LedgerView, columns: Sequence[str]) -> Iterator[Row]:
    invoices = Invoices(view.books)
    known = [column_of(ACTIVITY_COLUMNS, name) for name in columns]
    for record in view.activity():
        transaction = Transaction(record, view, invoices)
        shared = dict(zip(columns, (column(transaction) for column in known), strict=True))
        data = transaction.data
        parts: list[tuple[str, int, str | None]] = [("gross", data["amount"], None)]
        if data["fee"]:
            parts.append(("fee", -data["fee"], f"fee_{data['id'].removeprefix('txn_')}"))
        for component, amount, fee in parts:
            own = {"balance_transaction_component": component, "amount": transaction.money(amount), "fee_id": fee}
            yield [own[name] if name in own else shared[name] for name in columns]


def _summary(records: Iterable[Record], columns: Sequence[str]) -> Iterator[Row]:
    """Yield a row for each reporting category and currency: number of transactions and sums."""
    sums: dict[tuple[str, str], list[int]] = {}
    for record in records:
        data = record.data
        found = sums.setdefault((data["reporting_category"], data["currency"]), [0, 0, 0, 0])
        for at, amount in enumerate((1, data["amount"], data["fee"], data["net"])):
            found[at] += amount
    for (category, currency), (count, *amounts) in sorted(sums.items()):
        gross, fee, net = (major_units(amount, currency) for amount in amounts)
        values = {"reporting_category": category, "currency": currency, "count": count, "gross": gross, "fee": fee,
                  "net": net}
        yield [values[name] for name in columns]


def _balance(view: LedgerView, columns: Sequence[str]) -> Iterator[Row]:
    """Yield four rows for each currency: balance at the start, activity, payouts, balance at the end."""
    first, last = (datetime.fromtimestamp(moment, timezone.utc).date() for moment in (view.start, view.end))
    categories = (("starting_balance", f"Starting balance ({first})"), ("activity", "Balance change from activity"),
                  ("payouts", "Payouts"), ("ending_balance", f"Ending balance ({last})"))
    for currency, amounts in view.balances().items():
        for (category, description), amount in zip(categories, amounts, strict=True):
            values = {"category": category, "description": description, "currency": currency,
                      "net_amount": major_units(amount, currency)}
            yield [values[name] for name in columns]
