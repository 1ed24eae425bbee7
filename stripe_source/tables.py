"""The registry: one `Table` per Stripe table. Nothing else in the package names a table.

What is special about a table is a field of its entry, with the reason and the date on which it was checked beside it.
Facts are from the annotations and docstrings of stripe-python 16.1.0 (API 2026-10-28.endive) unless another source is
named; all were checked on 2026-11-23.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Found:
    """A place where objects of a table come with, or under, the objects of another table.

    Args:
        parent: the table whose objects own these.
        at: dotted path on the parent's object that holds them: a Stripe list object, a JSON list, or one object.
            None when they are embedded nowhere.
        expand: whether `at` must be asked for with `expand[]` (ids or nothing are there otherwise).
        rest: path of the list of one parent's objects, with `{id}` for the parent's id. Asked only when the embedded
            list says `has_more`, or for every parent when `at` is None.
        param: name of the query parameter that carries the parent's id, where `rest` has no `{id}`.
        where: (field, value) pairs that a parent must have for `rest` to be asked.
    """

    parent: str
    at: str | None = None
    expand: bool = False
    rest: str | None = None
    param: str | None = None
    where: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """One Stripe table: where its objects are, what tells them apart, how their changes are seen.

    Args:
        name: the native name: Stripe's list path in snake case, plural.
        object: Stripe's names of the objects that belong here (their `object` field).
        about: one sentence for people.
        path: the list of all objects of the account, or the singleton; None where they are found with a parent only.
        created: the list takes `created[gte|gt|lte|lt]`.
        time: the object's field that holds its creation; None where it has none.
        singleton: `path` answers one object, not a list; `at` is where the rows are in it ("" = the object itself).
        at: see `singleton`.
        also: paths of single objects that belong to the table but are not in its list.
        found: see `Found`.
        key: columns that tell two rows of one account apart.
        params: sent with every page.
        passes: the list is read once for each of these, because no single call shows every object.
        expand: fields to ask for with every page.
        limit: page size; None where the list refuses `limit`.
        marker: what `marker="auto"` means: "created", or None (a full pass).
        lookback: how far behind its cursor a table with marker `created` is read again: as long as its rows change.
        forgets: the list drops objects older than this; a row that left it is not deleted.
        may_refuse: the account may not have this list at all (a reason, for people); refusal is then an empty table.
        default: part of the default selection.
        fan_out: why it is not in the default selection: what its requests grow with.
        permission: the read permission of a restricted key, Stripe's own name.
        aliases: other names that are understood: Striim's.
        extra: further columns with the path of the value that they repeat.
    """

    name: str
    object: tuple[str, ...]
    about: str
    path: str | None = None
    created: bool = False
    time: str | None = "created"
    singleton: bool = False
    at: str = ""
    also: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()
    key: tuple[str, ...] = ("id",)
    params: Mapping[str, str] = field(default_factory=lambda: NONE)
    passes: tuple[Mapping[str, str], ...] = (NONE,)
    expand: tuple[str, ...] = ()
    limit: int | None = 100
    marker: str | None = None
    lookback: timedelta = timedelta(0)
    forgets: timedelta | None = None
    may_refuse: str | None = None
    default: bool = True
    fan_out: str | None = None
    permission: str | None = None
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=lambda: NONE)


def _days(n: float) -> timedelta:
    return timedelta(days=n)


_DISCOUNTED = (  # discounts have no list; the objects they are on carry them, as ids unless expanded
    Found("customers", at="discount"),
    Found("subscriptions", at="discounts", expand=True),
    Found("subscription_items", at="discounts", expand=True),
    Found("invoices", at="discounts", expand=True),
    Found("invoice_line_items", at="discounts", expand=True),
    Found("invoice_items", at="discounts", expand=True),
)

TABLES: tuple[Table, ...] = (
    Table(
        "accounts", ("account",), "The key's own account and the accounts connected to it.",
        path="/v1/accounts", created=True,
        also=("/v1/account",),  # the list holds connected accounts only, never the own one
        may_refuse="only platforms have connected accounts",
        permission="rak_connected_account_read", aliases=("Accounts",),
    ),
    Table(
        "balance_available", ("balance",), "Funds that can be paid out now, one row per currency.",
        path="/v1/balance", singleton=True, at="available", key=("currency",), time=None,
        permission="rak_balance_read", aliases=("AvailableBalance",),
    ),
    Table(
        "balance_pending", ("balance",), "Funds on their way, one row per currency.",
        path="/v1/balance", singleton=True, at="pending", key=("currency",), time=None,
        permission="rak_balance_read", aliases=("PendingBalance",),
    ),
    Table(
        "balance_transactions", ("balance_transaction",),
        "The ledger: every movement of the Stripe balance, with its fees.",
        path="/v1/balance_transactions", created=True,
        # no events; only `status` changes, silently, when `available_on` comes: settlement takes up to about 14 days
        marker="created", lookback=_days(15),
        permission="rak_balance_transaction_source_read", aliases=("BalanceTransactions",),
    ),
    Table(
        "charges", ("charge",), "Every attempt to move money to the account.",
        path="/v1/charges", created=True, permission="rak_charge_read", aliases=("Charges",),
    ),
    Table(
        "checkout_sessions", ("checkout.session",), "Checkout pages: what was offered, and whether it was paid.",
        path="/v1/checkout/sessions", created=True,
        permission="rak_checkout_session_read", aliases=("CheckoutSession",),
    ),
    Table(
        "coupons", ("coupon",), "Percent or amount off; promotion codes and discounts refer to them.",
        path="/v1/coupons", created=True,
        expand=("applies_to",),  # absent unless expanded
        permission="rak_coupon_read", aliases=("Coupons",),
    ),
    Table(
        "credit_notes", ("credit_note",), "Documents that lower or refund a finalized invoice.",
        path="/v1/credit_notes", created=True, permission="rak_credit_note_read", aliases=("CreditNotes",),
    ),
    Table(
        "credit_note_line_items", ("credit_note_line_item",), "The lines of credit notes.",
        found=(Found("credit_notes", at="lines", rest="/v1/credit_notes/{id}/lines"),),
        time=None,
        permission="rak_credit_note_read", aliases=("CreditNoteLineItems",),
    ),
    Table(
        "customers", ("customer",), "The people and companies that pay.",
        path="/v1/customers", created=True, permission="rak_customer_read", aliases=("Customers",),
    ),
    Table(
        "customer_balance_transactions", ("customer_balance_transaction",),
        "Changes of what a customer owes or is owed outside payments.",
        found=(Found("customers", rest="/v1/customers/{id}/balance_transactions"),),
        default=False, fan_out="one request per customer",
        permission="rak_customer_read", aliases=("CustomerBalanceTransactions",),
    ),
    Table(
        "customer_bank_accounts", ("bank_account",), "Bank accounts stored on customers.",
        # one list holds cards, bank accounts and sources; the embedded list is absent unless expanded
        found=(Found("customers", at="sources", expand=True, rest="/v1/customers/{id}/sources"),),
        time=None,
        permission="rak_source_read", aliases=("BankAccounts",),
    ),
    Table(
        "customer_cards", ("card",), "Cards stored on customers as sources; newer integrations store payment methods.",
        found=(Found("customers", at="sources", expand=True, rest="/v1/customers/{id}/sources"),),
        time=None,
        permission="rak_source_read", aliases=("Cards",),
    ),
    Table(
        "discounts", ("discount",), "A coupon as applied to a customer, subscription, invoice, item or line.",
        found=_DISCOUNTED, time=None, permission="rak_coupon_read",
        aliases=("InvoiceDiscounts", "InvoiceItemDiscounts", "InvoiceLineItemDiscounts"),
    ),
    Table(
        "disputes", ("dispute",), "Payments that the customer's bank was asked to reverse.",
        path="/v1/disputes", created=True, permission="rak_dispute_read", aliases=("Disputes",),
    ),
    Table(
        "events", ("event",), "Stripe's own log of changes, 30 days of it; kept here for good.",
        path="/v1/events", created=True, marker="created", lookback=timedelta(minutes=10), forgets=_days(30),
        permission="rak_event_read", aliases=("Events",),
    ),
    Table(
        "invoice_items", ("invoiceitem",), "Amounts waiting for, or already on, an invoice.",
        path="/v1/invoiceitems", created=True, time="date",  # the filter is `created` all the same
        permission="rak_invoice_read", aliases=("InvoiceItems",),
    ),
    Table(
        "invoice_line_items", ("line_item",), "The lines of invoices.",
        found=(Found("invoices", at="lines", rest="/v1/invoices/{id}/lines"),),
        key=("invoice_id", "id"),  # ids of old lines repeat across invoices (tap-stripe issues 20 and 28)
        time=None,
        permission="rak_invoice_read", aliases=("InvoiceLineItems",),
    ),
    Table(
        "invoices", ("invoice",), "Statements of what a customer owes.",
        path="/v1/invoices", created=True, permission="rak_invoice_read", aliases=("Invoices",),
    ),
    Table(
        "payment_intents", ("payment_intent",), "One payment from start to end, over all its charges.",
        path="/v1/payment_intents", created=True, permission="rak_payment_intent_read", aliases=("PaymentIntent",),
    ),
    Table(
        "payment_methods", ("payment_method",), "Ways to pay that customers have stored.",
        path="/v1/payment_methods",
        passes=(NONE, {"type": "custom"}),  # the bare list holds every type but custom
        permission="rak_payment_method_read", aliases=("PaymentMethods",),
    ),
    Table(
        "payout_balance_transactions", ("balance_transaction",),
        "Which balance transactions each automatic payout swept.",
        # Stripe knows the members of automatic payouts only; for manual ones it answers an error
        found=(Found("payouts", rest="/v1/balance_transactions", param="payout", where=(("automatic", True),)),),
        key=("payout_id", "balance_transaction_id"), extra={"balance_transaction_id": "id"},
        permission="rak_balance_transaction_source_read",
    ),
    Table(
        "payouts", ("payout",), "Money sent from Stripe to the bank.",
        path="/v1/payouts", created=True, permission="rak_payout_read", aliases=("Payouts",),
    ),
    Table(
        "plans", ("plan",), "Recurring prices in their older shape.",
        path="/v1/plans", created=True,
        expand=("tiers",),  # absent unless expanded
        permission="rak_plan_read", aliases=("Plans",),
    ),
    Table(
        "prices", ("price",), "How much and how often a product is charged.",
        path="/v1/prices", created=True,
        # the reference says that the bare list holds active ones only, an experiment of 2026-06-01 saw both
        passes=(NONE, {"active": "false"}),
        expand=("tiers", "currency_options"),  # absent unless expanded
        permission="rak_plan_read", aliases=("Prices",),
    ),
    Table(
        "products", ("product",), "What is sold.",
        path="/v1/products", created=True, permission="rak_product_read", aliases=("Products",),
    ),
    Table(
        "promotion_codes", ("promotion_code",), "Codes that customers redeem for a coupon.",
        path="/v1/promotion_codes", created=True, permission="rak_promotion_code_read", aliases=("PromotionCodes",),
    ),
    Table(
        "refunds", ("refund",), "Money given back on charges.",
        path="/v1/refunds", created=True, permission="rak_charge_read", aliases=("Refunds",),
    ),
    Table(
        "setup_intents", ("setup_intent",), "Attempts to store a way to pay for later.",
        path="/v1/setup_intents", created=True, permission="rak_setup_intent_read",
    ),
    Table(
        "subscription_items", ("subscription_item",),
        "The prices of each subscription, with quantity and current period.",
        found=(Found("subscriptions", at="items", rest="/v1/subscription_items", param="subscription"),),
        permission="rak_subscription_read", aliases=("SubscriptionItems",),
    ),
    Table(
        "subscription_schedules", ("subscription_schedule",), "Planned phases of subscriptions.",
        path="/v1/subscription_schedules", created=True, permission="rak_subscription_read",
    ),
    Table(
        "subscriptions", ("subscription",), "Customers who pay again and again.",
        path="/v1/subscriptions", created=True,
        params={"status": "all"},  # canceled ones are left out otherwise
        permission="rak_subscription_read", aliases=("Subscriptions", "CustomerSubscriptions"),
    ),
    Table(
        "tax_ids", ("tax_id",), "Tax numbers of customers and of the account itself.",
        path="/v1/tax_ids",  # the account's own only (`owner[type]` defaults to self)
        found=(Found("customers", at="tax_ids", expand=True, rest="/v1/customers/{id}/tax_ids"),),
        permission="rak_tax_id_read", aliases=("TaxIds", "customer_tax_ids"),
    ),
    Table(
        "tax_rates", ("tax_rate",), "Percentages that invoices and subscriptions refer to.",
        path="/v1/tax_rates", created=True, permission="rak_tax_rate_read", aliases=("TaxRates",),
    ),
    Table(
        "topups", ("topup",), "Money put into the Stripe balance from a bank.",
        path="/v1/topups", created=True, permission="rak_top_up_read", aliases=("TopUps",),
    ),
    Table(
        "transfer_reversals", ("transfer_reversal",), "Transfers taken back, in full or in part.",
        found=(Found("transfers", at="reversals", rest="/v1/transfers/{id}/reversals"),),
        permission="rak_transfer_read", aliases=("TransferReversals",),
    ),
    Table(
        "transfers", ("transfer",), "Money moved to connected accounts.",
        path="/v1/transfers", created=True, permission="rak_transfer_read", aliases=("Transfers",),
    ),
)


BY_NAME: Mapping[str, Table] = MappingProxyType({table.name: table for table in TABLES})


@cache
def parent_column(table: Table) -> str | None:
    """Name of the column with the parent's id: for tables whose objects are found with one other table only."""
    parents = {found.parent for found in table.found}
    if table.path or len(parents) != 1:
        return None
    return BY_NAME[parents.pop()].object[0].replace(".", "_") + "_id"
