"""The truth: what every table should hold now. Shares no code with the loader."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from .catalog import EMBEDDED, LISTS
from .ledger import balance
from .store import Books, Data, Record


@dataclass(frozen=True)
class Truth:
    """One object as a bare GET shows it (or did, before it was deleted).

    Args:
        object: the object.
        parent_id: whose child it is, in tables of children.
        position: its place in the parent's list, from 0.
        deleted: it existed and is gone.
        listed: some list shows it; others are found by id only.
        also: fields that are shown with `expand[]` only.
    """

    object: dict[str, Any]
    parent_id: str | None = None
    position: int | None = None
    deleted: bool = False
    listed: bool = True
    also: dict[str, Any] = field(default_factory=dict)


_SIMPLE = {
    "balance_transactions": "balance_transaction", "charges": "charge", "checkout_sessions": "checkout.session",
    "coupons": "coupon", "credit_notes": "credit_note", "customers": "customer", "disputes": "dispute",
    "events": "event", "invoice_items": "invoiceitem", "invoices": "invoice", "payment_intents": "payment_intent",
    "payment_methods": "payment_method", "payouts": "payout", "plans": "plan", "prices": "price",
    "products": "product", "promotion_codes": "promotion_code", "refunds": "refund", "setup_intents": "setup_intent",
    "subscription_schedules": "subscription_schedule", "subscriptions": "subscription", "tax_rates": "tax_rate",
    "topups": "topup", "transfers": "transfer", "invoice_payments": "invoice_payment",
}
# table -> object, objects that share its list, the parent's object
CHILDREN: dict[str, tuple[str, tuple[str, ...], str]] = {
    "credit_note_line_items": ("credit_note_line_item", ("credit_note_line_item",), "credit_note"),
    "customer_balance_transactions": ("customer_balance_transaction", ("customer_balance_transaction",), "customer"),
    "customer_bank_accounts": ("bank_account", ("card", "bank_account"), "customer"),
    "customer_cards": ("card", ("card", "bank_account"), "customer"),
    "invoice_line_items": ("line_item", ("line_item",), "invoice"),
    "subscription_items": ("subscription_item", ("subscription_item",), "subscription"),
    "transfer_reversals": ("transfer_reversal", ("transfer_reversal",), "transfer"),
    "checkout_session_line_items": ("item", ("item",), "checkout.session"),
}


def dump(books: Books) -> dict[str, list[Truth]]:
    """Every table of one account."""
    tables: dict[str, list[Truth]] = {"accounts": [
        Truth(own(books)), *(Truth(books.plain(record)) for record in reversed(books.all("account")))]}
    funds = balance(books)
    tables["balance_available"] = [Truth(each) for each in funds["available"]]
    tables["balance_pending"] = [Truth(each) for each in funds["pending"]]
    for table, object in _SIMPLE.items():
        tables[table] = [*_living(books, object), *_gone(books, object)]
    for table, (object, kinds, owner) in CHILDREN.items():
        tables[table] = [*_members(books, object, kinds, owner), *_gone(books, object, child=True)]
    tables["payout_balance_transactions"] = [
        Truth(books.plain(entry), payout, position)
        for payout in books.swept for position, entry in enumerate(swept(books, payout))]
    tables["discounts"] = _discounts(books)
    tables["tax_ids"] = [
        *(Truth(books.plain(each), each.parent) for each in reversed(books.all("tax_id"))), *_gone(books, "tax_id")]
    covered = {*_SIMPLE.values(), *(each[0] for each in CHILDREN.values()), "account", "discount", "tax_id",
               "external_account", "item"}
    for entry in LISTS.values():
        for object in entry["objects"]:
            if object not in covered and object in books.shelves and (books.shelf(object).records
                                                                      or books.shelf(object).gone):
                tables.setdefault(entry["table"], []).extend([*_living(books, object), *_gone(books, object)])
                covered.add(object)
    return tables


def own(books: Books) -> Data:
    """The account itself, as `/v1/account` shows it."""
    record = books.world.books.find("account", books.account)
    if record is not None:
        return books.world.books.plain(record)
    return {name: value for name, value in books.profile.items() if name != "bank"}


def swept(books: Books, payout: str) -> list[Record]:
    """The balance transactions of an automatic payout, newest first."""
    found = sorted(books.swept[payout], key=lambda record: record.place, reverse=True)
    if books.world.payout_lists_itself:
        found.insert(0, books.get("balance_transaction", books.get("payout", payout).data["balance_transaction"]))
    return found


def _living(books: Books, object: str) -> Iterator[Truth]:
    for record in reversed(books.all(object)):
        listed = not record.hidden and not (object == "review" and not record.data.get("open"))
        yield Truth(books.plain(record), record.parent, listed=listed, also=record.also or {})


def _members(books: Books, object: str, kinds: tuple[str, ...], owner: str) -> Iterator[Truth]:
    parents = {record.parent: None for record in books.all(object) if books.find(owner, record.parent)}
    for parent in parents:
        for position, record in enumerate(books.children(kinds, parent or "")):
            if record.object == object:
                yield Truth(books.plain(record), parent, position, also=record.also or {})


def _gone(books: Books, object: str, *, child: bool = False) -> Iterator[Truth]:
    for gone in books.shelf(object).gone.values():
        yield Truth(gone.data, gone.parent, gone.position if child else None, deleted=True, listed=not gone.hidden)


def _discounts(books: Books) -> list[Truth]:
    found: dict[str, None] = {}

    def see(value: Any) -> None:
        if isinstance(value, str):
            found[value] = None
        elif isinstance(value, dict):
            found[value["id"]] = None

    for object in ("subscription", "subscription_item", "invoice", "line_item", "invoiceitem"):
        for record in books.all(object):
            for each in record.data.get("discounts") or ():
                see(each)
    for record in books.all("customer"):
        see(record.data["discount"])
    everything = {id: orjson.loads(orjson.dumps(data)) for id, data in books.discounts.items()}
    return [Truth(data, deleted=id not in found) for id, data in everything.items()]


def parents_of(object: str) -> list[str]:
    """Objects that embed a list of that one."""
    return [owner for owner, fields in EMBEDDED.items() for kinds, _, _ in fields.values() if object in kinds]
