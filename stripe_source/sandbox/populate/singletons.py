"""Tables with a fixed number of objects: settings, balances, and one summary for each credit grant."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stripe_source.sandbox.business import ledger, payments, singletons
from stripe_source.sandbox.populate.request import Populate
from stripe_source.sandbox.scenario.fabricate import fill, schema_map_of
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data


def _settings(name: str) -> Callable[[Books, str, Populate], list[Data]]:
    def filled_settings(books: Books, table: str, populate: Populate) -> list[Data]:
        data = singletons.settings(books, name)
        fill(books, name, data, {}, schema_map_of(books, table))
        return [data]

    return filled_settings


def _balance(which: str) -> Callable[[Books, str, Populate], list[Data]]:
    def amounts(books: Books, table: str, populate: Populate) -> list[Data]:
        if not books.balance:
            payments.pay(books, 10_000, "usd", None)
        found: list[Data] = ledger.balance(books)[which]
        return found

    return amounts


def _whole_balance(books: Books, table: str, populate: Populate) -> list[Data]:
    _balance("available")(books, table, populate)
    return [ledger.balance(books)]


def _credit_summaries(books: Books, table: str, populate: Populate) -> list[Data]:
    """Return one summary for each credit grant."""
    if not books.all("billing.credit_grant"):
        populate("billing_credit_grants", 3)
    return [singletons.summary(books, grant) for grant in books.all("billing.credit_grant")]


SINGLETONS: dict[str, Callable[[Books, str, Populate], list[Any]]] = {
    "balance": _whole_balance, "balance_available": _balance("available"), "balance_pending": _balance("pending"),
    "balance_settings": _settings("balance_settings"), "billing_credit_balance_summaries": _credit_summaries,
    "tax_settings": _settings("tax.settings"),
}
