"""Populating any table: parents are found or made, references lead to objects, every column has a value."""
from __future__ import annotations

from functools import partial

from stripe_source.sandbox.populate import business_objects, generated_objects
from stripe_source.sandbox.populate.business_objects import Maker, filled
from stripe_source.sandbox.populate.request import TABLES, PopulateRequest
from stripe_source.sandbox.populate.singletons import SINGLETONS
from stripe_source.sandbox.reports import report_types
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.scenario.fabricate import make
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, LISTS, has_blank
from stripe_source.sandbox.state.records import Data, Record

_REPORT_TYPES = ("balance.summary.1", "payouts.summary.1", "tax.transactions.itemized.2")
_COUNTRIES = ("DE", "US", "JP", "KW", "BR", "FR", "IE", "PL", "GB", "SE", "NO", "CH")
_CURRENCIES = ("eur", "usd", "jpy", "kwd", "brl", "gbp", "pln", "sek", "nok", "chf", "cad", "aud")
_NAMED = {"country_spec": _COUNTRIES, "exchange_rate": _CURRENCIES, "reporting.report_type": _REPORT_TYPES}
_MAKERS: dict[str, Maker] = {**business_objects.MAKERS, **generated_objects.MAKERS}
# Names under lists of the catalog that are no tables: the same rows are in other tables.
_NO_TABLES = {"credit_note_preview_lines", "customer_payment_methods", "customer_tax_ids"}


def populate(books: Books, table: str, n: int, fields: Data | None = None, parent: str | None = None) -> list[Data]:
    """Make `n` objects of a table, and their parents where there are none yet."""
    if table in SINGLETONS:
        return SINGLETONS[table](books, table, partial(populate, books))
    if table not in TABLES and table not in _MAKERS:
        raise KeyError(f"There is no table `{table}` that could be populated.")
    if books is not books.world.books and _of_platform(table):
        raise ValueError(f"Connected accounts have none of their own: table `{table}` is the platform's.")
    if table == report_types.TABLE:
        report_types.remove_stored(books)  # made-up ones take the place of the real ones
    request = PopulateRequest(books, table, parent, dict(fields or {}), partial(populate, books))
    books.world.populated.add(table)
    return [books.to_dict(_MAKERS.get(table, _any)(request, number)) for number in range(n)]


def _of_platform(table: str) -> bool:
    return table == "accounts" or (table in CHILDREN and CHILDREN[table][2] == "account")


def populate_all(books: Books, n: int) -> dict[str, list[Data]]:
    """Make `n` objects of every table, and a customer on a test clock with its objects."""
    platform = books is books.world.books
    made = {
        table: populate(books, table, n) for table in sorted({*TABLES, *_MAKERS, *SINGLETONS} - _NO_TABLES)
        if platform or not _of_platform(table)}
    clocks = made["test_helpers_test_clocks"]
    if clocks:
        on = {"test_clock": clocks[0]["id"]}
        customer = populate(books, "customers", 1, on)
        owner = {"customer": customer[0]["id"]}
        subscription = populate(books, "subscriptions", 1, owner)
        made["customers"] += customer
        made["subscriptions"] += subscription
        made["subscription_schedules"] += populate(
            books, "subscription_schedules", 1, {"subscription": subscription[0]["id"]})
        made["quotes"] += populate(books, "quotes", 1, {**owner, **on})
        made["invoice_items"] += populate(books, "invoice_items", 1, owner)
        made["billing_credit_grants"] += populate(books, "billing_credit_grants", 1, {**owner, **on})
        made["billing_credit_balance_transactions"] += populate(
            books, "billing_credit_balance_transactions", 1, on, made["billing_credit_grants"][-1]["id"])
    return made


def _any(request: PopulateRequest, number: int) -> Record:
    """Make an object of a table that has no maker of its own."""
    books, path = request.books, TABLES[request.table]
    children = CHILDREN.get(request.table)
    object = children[0][number % len(children[0])] if children else LISTS[path]["objects"][0]
    if has_blank(object):
        fields = dict(request.fields)
        if children:
            owner = request.owner(number)
            fields[owner.object.split(".")[-1]] = owner.id
        return filled(request, mutate.create(books, object, fields), number, request.fields)
    fields = dict(request.fields)
    if object in _NAMED:
        names = _NAMED[object]
        count = books.count(request.table) - 1
        turn = "" if count < len(names) else f"_{count // len(names)}"
        fields.setdefault("id", names[count % len(names)] + turn)
    return make(books, request.schema_map, object, fields, request.owner(number) if children else None, number=number)
