"""The objects behind a balance transaction: its charge, customer, invoice, refund, dispute, transfer and payout."""
from __future__ import annotations

from functools import cached_property

from stripe_source.sandbox.business.ledger import EXPONENT
from stripe_source.sandbox.endpoints.filters import value_at
from stripe_source.sandbox.reports.content.ledger_view import LedgerView
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data, Record

_CHARGED = ("charge", "refund", "dispute", "transfer_reversal")  # sources that the source of a transaction may be


def major_units(amount: int, currency: str) -> str:
    """Return an amount in major units, with a point and as many decimals as the currency has."""
    places = EXPONENT.get(currency, 2)
    if not places:
        return str(amount)
    digits = str(abs(amount)).rjust(places + 1, "0")
    return f"{'-' if amount < 0 else ''}{digits[:-places]}.{digits[-places:]}"


class Invoices:
    """Which invoice a payment intent pays, for all payment intents of an account.

    Args:
        books: the account.
    """

    def __init__(self, books: Books) -> None:
        self.books = books

    @cached_property
    def _by_payment(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in self.books.all("invoice_payment"):
            payment = each.data.get("payment")
            if isinstance(payment, dict):
                paid = payment.get("payment_intent") or payment.get("charge")
                if isinstance(paid, str):
                    found[paid] = each.data["invoice"]
        return found

    def of_charge(self, charge: Data) -> Data:
        """Return the invoice that a charge paid; an empty object where there is none."""
        id = self._by_payment.get(charge.get("payment_intent") or "") or self._by_payment.get(charge["id"])
        record = self.books.find("invoice", id)
        return record.data if record else {}


class Transaction:
    """One balance transaction with the objects behind it; objects that do not exist are empty.

    Args:
        record: the balance transaction.
        view: the ledger of its account.
        invoices: the invoices of its account.
    """

    def __init__(self, record: Record, view: LedgerView, invoices: Invoices) -> None:
        self.data: Data = record.data
        self.created = record.created
        self._view, self._books, self._invoices = view, view.books, invoices

    def money(self, amount: int) -> str:
        """Return an amount in the major unit of the transaction's currency."""
        return major_units(amount, self.data["currency"])

    def _stored(self, object: str, id: object) -> Data:
        record = self._books.find(object, id if isinstance(id, str) else None)
        return record.data if record else {}

    @cached_property
    def source(self) -> Data:
        """The object that caused the transaction."""
        for object in (*_CHARGED, "transfer", "payout", "topup"):
            found = self._stored(object, self.data["source"])
            if found:
                return found
        return {}

    @cached_property
    def refund(self) -> Data:
        """The refund, where the transaction is one."""
        return self.source if self.source.get("object") == "refund" else {}

    @cached_property
    def dispute(self) -> Data:
        """The dispute, where the transaction is the consequence of one."""
        return self.source if self.source.get("object") == "dispute" else {}

    @cached_property
    def charge(self) -> Data:
        """The charge: the source itself, or the one that was refunded or disputed."""
        if self.source.get("object") == "charge":
            return self.source
        return self._stored("charge", (self.refund or self.dispute).get("charge"))

    @cached_property
    def transfer(self) -> Data:
        """The transfer: the source itself, or the one that was reversed."""
        if self.source.get("object") == "transfer":
            return self.source
        return self._stored("transfer", self.source.get("transfer"))

    @cached_property
    def customer(self) -> Data:
        """The customer of the charge, deleted ones included."""
        id = self.charge.get("customer")
        found = self._stored("customer", id)
        deleted = self._books.collection("customer").deleted.get(id or "")
        return found or (deleted.data if deleted else {})

    @cached_property
    def invoice(self) -> Data:
        """The invoice that the charge paid."""
        return self._invoices.of_charge(self.charge) if self.charge else {}

    @cached_property
    def subscription(self) -> str | None:
        """Id of the subscription that the invoice is of."""
        found = value_at(self.invoice, "parent.subscription_details.subscription")
        return found if isinstance(found, str) else None

    @cached_property
    def connected_account(self) -> Data:
        """The account that a transfer went to."""
        books = self._books.world.accounts.get(str(self.transfer.get("destination")))
        return books.profile if books else {}

    @cached_property
    def payout_reversed_at(self) -> int | None:
        """When the money of a failed payout came back, in unix seconds, where the source is a payout."""
        return self._stored("balance_transaction", self.source.get("failure_balance_transaction")).get("created")

    @cached_property
    def automatic_payout(self) -> Data:
        """The automatic payout that settled the transaction."""
        return self._stored("payout", self._view.payout_of.get(self.data["id"]))

    @cached_property
    def automatic_payout_at(self) -> int | None:
        """When that payout took effect, in unix seconds."""
        return self._view.effective_at.get(self.automatic_payout.get("id", ""))

    @cached_property
    def customer_facing_amount(self) -> str | None:
        """What the customer paid (or, negative, got back) in the customer's currency, in major units."""
        amount: int | None
        if self.refund:
            amount = -self.refund["amount"]
        elif self.dispute:
            amount = self.dispute["amount"] * (-1 if self.data["amount"] < 0 else 1)
        else:
            amount = self.charge.get("amount_captured") or self.charge.get("amount")
        return None if amount is None else major_units(amount, self.charge.get("currency") or self.data["currency"])
