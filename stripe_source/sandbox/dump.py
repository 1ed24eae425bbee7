"""The dump: the rows that every table should have now. It shares no code with the loader."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from stripe_source.sandbox.business.ledger import balance
from stripe_source.sandbox.business.singletons import settings, summary
from stripe_source.sandbox.reports import report_types
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, LISTS
from stripe_source.sandbox.state.records import Data, Record


@dataclass(frozen=True)
class Truth:
    """One object as a plain GET shows it, or showed it before it was deleted.

    Args:
        object: the object.
        parent_id: id of its parent, in tables of children.
        position: its place in the parent's list, from 0.
        deleted: whether it was deleted.
        listed: whether some list shows it; otherwise only a GET by id finds it.
        also: fields that only `expand[]` shows, by their dotted path.
        owner2: id of the second owner, in tables whose lists take two owners.
    """

    object: dict[str, Any]
    parent_id: str | None = None
    position: int | None = None
    deleted: bool = False
    listed: bool = True
    also: dict[str, Any] = field(default_factory=dict)
    owner2: str | None = None


# Tables with a list of their own -> the object. `dump` adds the tables of children and the computed ones.
_LISTED = {
    entry["table"]: entry["objects"][0] for path, entry in LISTS.items()
    if "{" not in path and entry["table"] not in CHILDREN
    and entry["table"] not in ("accounts", "credit_note_preview_lines", "tax_ids")
}


def dump(books: Books) -> dict[str, list[Truth]]:
    """Return the objects of every table of one account."""
    report_types.refresh(books)
    theirs = reversed(books.all("account")) if books is books.world.books else ()
    tables: dict[str, list[Truth]] = {"accounts": [
        Truth(own(books)), *(Truth(books.to_dict(record)) for record in theirs), *_deleted(books, "account")]}
    funds = balance(books)
    tables["balance"] = [Truth(funds)]
    tables["balance_available"] = [Truth(each) for each in funds["available"]]
    tables["balance_pending"] = [Truth(each) for each in funds["pending"]]
    for table, object in _LISTED.items():
        tables[table] = [*_living(books, object), *_deleted(books, object)]
    for table, (objects, kinds, owner) in CHILDREN.items():
        tables[table] = [*_members(books, objects, kinds, owner), *_deleted_members(books, objects, owner)]
    tables["billing_meter_event_summaries"] = list(_summaries(books))
    tables["billing_credit_balance_summaries"] = [
        Truth(summary(books, grant), grant.id) for grant in books.all("billing.credit_grant")[::-1]]
    tables["balance_settings"] = [Truth(_copy(settings(books, "balance_settings")))]
    tables["tax_settings"] = [Truth(_copy(settings(books, "tax.settings")))]
    tables["payout_balance_transactions"] = [
        Truth(books.to_dict(entry), payout, position)
        for payout in books.payout_transactions for position, entry in enumerate(transactions_of_payout(books, payout))]
    tables["discounts"] = _discounts(books)
    tables["tax_ids"] = [
        *(Truth(books.to_dict(each), each.parent) for each in reversed(books.all("tax_id"))),
        *_deleted(books, "tax_id")]
    return tables


def _copy(data: Data) -> Data:
    return orjson.loads(orjson.dumps(data))  # type: ignore[no-any-return]  # an object


def own(books: Books) -> Data:
    """Return the account itself, as `/v1/account` shows it."""
    record = books.world.books.find("account", books.account)
    if record is not None:
        return books.world.books.to_dict(record)
    return {name: value for name, value in books.profile.items() if name != "bank"}


def transactions_of_payout(books: Books, payout: str) -> list[Record]:
    """Return the balance transactions of an automatic payout, newest first."""
    found = sorted(books.payout_transactions[payout], key=lambda record: record.sort_key, reverse=True)
    if books.world.payout_lists_itself:
        found.insert(0, books.get("balance_transaction", books.get("payout", payout).data["balance_transaction"]))
    return found


def _living(books: Books, object: str) -> Iterator[Truth]:
    for record in reversed(books.all(object)):
        listed = not record.hidden and not (object == "review" and not record.data.get("open"))
        yield Truth(books.to_dict(record), record.parent, listed=listed, also=record.expand_only or {})


def _members(books: Books, objects: tuple[str, ...], kinds: tuple[str, ...], owner: str) -> Iterator[Truth]:
    parents = {record.parent: None for object in objects for record in books.all(object)
               if books.find(owner, record.parent)}
    for parent in parents:
        for position, record in enumerate(books.children(kinds, parent or "")):
            if record.object in objects:
                yield Truth(books.to_dict(record), parent, position, also=record.expand_only or {})


def _deleted_members(books: Books, objects: tuple[str, ...], owner: str) -> Iterator[Truth]:
    for object in objects:
        for deleted in books.collection(object).deleted.values():
            if books.find(owner, deleted.parent) or deleted.parent in books.collection(owner).deleted:
                yield Truth(deleted.data, deleted.parent, deleted.position, deleted=True, listed=not deleted.hidden,
                            owner2=deleted.second_parent)


def _summaries(books: Books) -> Iterator[Truth]:
    places: dict[tuple[str | None, str | None], int] = {}
    found = sorted(books.all("billing.meter_event_summary"), key=lambda record: -int(record.data["start_time"]))
    for record in found:
        pair = (record.parent, record.second_parent)
        places[pair] = places.get(pair, -1) + 1
        yield Truth(books.to_dict(record), record.parent, places[pair], owner2=record.second_parent)


def _deleted(books: Books, object: str) -> Iterator[Truth]:
    for deleted in books.collection(object).deleted.values():
        yield Truth(deleted.data, deleted.parent, None, deleted=True, listed=not deleted.hidden)


def _discounts(books: Books) -> list[Truth]:
    found: dict[str, None] = {}

    def note(value: Any) -> None:
        if isinstance(value, str):
            found[value] = None
        elif isinstance(value, dict):
            found[value["id"]] = None

    for object in ("subscription", "subscription_item", "invoice", "line_item", "invoiceitem"):
        for record in books.all(object):
            for each in record.data.get("discounts") or ():
                note(each)
    for record in books.all("customer"):
        note(record.data["discount"])
    everything = {id: orjson.loads(orjson.dumps(data)) for id, data in books.discounts.items()}
    return [Truth(data, deleted=id not in found) for id, data in everything.items()]
