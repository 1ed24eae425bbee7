"""The truth: what every table should hold now. Shares no code with the loader."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from stripe_source.sandbox.business.ledger import balance
from stripe_source.sandbox.business.singletons import settings, summary
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, LISTS
from stripe_source.sandbox.state.records import Data, Record


@dataclass(frozen=True)
class Truth:
    """One object as a bare GET shows it (or did, before it was deleted).

    Args:
        object: the object.
        parent_id: whose child it is, in tables of children.
        position: its place in the parent's list, from 0.
        deleted: it existed and is gone.
        listed: some list shows it; others are found by id only.
        also: fields that are shown with `expand[]` only, by their dotted path.
        owner2: the second owner, in tables that are asked for by pairs of owners.
    """

    object: dict[str, Any]
    parent_id: str | None = None
    position: int | None = None
    deleted: bool = False
    listed: bool = True
    also: dict[str, Any] = field(default_factory=dict)
    owner2: str | None = None


# Tables with a list of their own -> the object; those that others are found in come by themselves.
_LISTED = {
    entry["table"]: entry["objects"][0] for path, entry in LISTS.items()
    if "{" not in path and entry["table"] not in CHILDREN
    and entry["table"] not in ("accounts", "credit_note_preview_lines", "tax_ids")
}


def dump(books: Books) -> dict[str, list[Truth]]:
    """Every table of one account."""
    theirs = reversed(books.all("account")) if books is books.world.books else ()
    tables: dict[str, list[Truth]] = {"accounts": [
        Truth(own(books)), *(Truth(books.plain(record)) for record in theirs), *_gone(books, "account")]}
    funds = balance(books)
    tables["balance_available"] = [Truth(each) for each in funds["available"]]
    tables["balance_pending"] = [Truth(each) for each in funds["pending"]]
    for table, object in _LISTED.items():
        tables[table] = [*_living(books, object), *_gone(books, object)]
    for table, (objects, kinds, owner) in CHILDREN.items():
        tables[table] = [*_members(books, objects, kinds, owner), *_gone_members(books, objects, owner)]
    tables["billing_meter_event_summaries"] = list(_summaries(books))
    tables["billing_credit_balance_summaries"] = [
        Truth(summary(books, grant), grant.id) for grant in books.all("billing.credit_grant")[::-1]]
    tables["balance_settings"] = [Truth(_copy(settings(books, "balance_settings")))]
    tables["tax_settings"] = [Truth(_copy(settings(books, "tax.settings")))]
    tables["payout_balance_transactions"] = [
        Truth(books.plain(entry), payout, position)
        for payout in books.swept for position, entry in enumerate(swept(books, payout))]
    tables["discounts"] = _discounts(books)
    tables["tax_ids"] = [
        *(Truth(books.plain(each), each.parent) for each in reversed(books.all("tax_id"))), *_gone(books, "tax_id")]
    return tables


def _copy(data: Data) -> Data:
    return orjson.loads(orjson.dumps(data))  # type: ignore[no-any-return]  # an object


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


def _members(books: Books, objects: tuple[str, ...], kinds: tuple[str, ...], owner: str) -> Iterator[Truth]:
    parents = {record.parent: None for object in objects for record in books.all(object)
               if books.find(owner, record.parent)}
    for parent in parents:
        for position, record in enumerate(books.children(kinds, parent or "")):
            if record.object in objects:
                yield Truth(books.plain(record), parent, position, also=record.also or {})


def _gone_members(books: Books, objects: tuple[str, ...], owner: str) -> Iterator[Truth]:
    for object in objects:
        for gone in books.shelf(object).gone.values():
            if books.find(owner, gone.parent) or gone.parent in books.shelf(owner).gone:
                yield Truth(gone.data, gone.parent, gone.position, deleted=True, listed=not gone.hidden,
                            owner2=gone.second)


def _summaries(books: Books) -> Iterator[Truth]:
    places: dict[tuple[str | None, str | None], int] = {}
    found = sorted(books.all("billing.meter_event_summary"), key=lambda record: -int(record.data["start_time"]))
    for record in found:
        pair = (record.parent, record.second)
        places[pair] = places.get(pair, -1) + 1
        yield Truth(books.plain(record), record.parent, places[pair], owner2=record.second)


def _gone(books: Books, object: str) -> Iterator[Truth]:
    for gone in books.shelf(object).gone.values():
        yield Truth(gone.data, gone.parent, None, deleted=True, listed=not gone.hidden)


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
