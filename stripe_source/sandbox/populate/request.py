"""A request for objects of one table, and the parent that each of them gets."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import customers
from stripe_source.sandbox.scenario.fabricate import schema_map_of
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN, LISTS
from stripe_source.sandbox.state.records import Data, Record

TABLES = {entry["table"]: path for path, entry in LISTS.items()}
for _table in CHILDREN:
    TABLES.setdefault(_table, "/v1/customers/{id}/sources")
Populate = Callable[[str, int], list[Data]]


class PopulateRequest:
    """A request for objects of one table.

    Args:
        books: the account.
        table: the table that is populated.
        parent: id of the parent that all objects get; None leaves the choice to `owner`.
        fields: fields that are the same in all objects.
        populate: makes a number of objects of another table of the account.
    """

    def __init__(self, books: Books, table: str, parent: str | None, fields: Data, populate: Populate) -> None:
        self.books, self.table, self.parent, self.fields, self.populate = books, table, parent, fields, populate
        self.schema_map = schema_map_of(books, table)

    def for_table(self, table: str) -> PopulateRequest:
        """Return a request for another table, without parent and fields."""
        return PopulateRequest(self.books, table, None, {}, self.populate)

    def owner(self, number: int) -> Record:
        """Return the parent of the next object: the requested one, one of the two newest, or a new one."""
        object = CHILDREN[self.table][2]
        if self.parent is not None:
            return self.books.get(object, self.parent)
        fit = [record for record in self.books.all(object)[::-1] if _can_own(self.books, record)][:2]
        if not fit:
            fit = [self._new_owner(object)]
        return fit[number % len(fit)]

    def _new_owner(self, object: str) -> Record:
        table = "customer_sources" if object == "source" else next(
            table for table, path in TABLES.items() if LISTS[path]["objects"][0] == object and "{" not in path)
        return self.books.get(object, self.populate(table, 1)[0]["id"])


def _can_own(books: Books, record: Record) -> bool:
    if record.object == "account":
        return "external_accounts" in record.data and record.id in books.world.accounts
    if record.object == "v2.core.account":
        return not record.data.get("closed")
    if record.object == "invoice":
        return bool(record.data["status"] == "draft")
    return not record.hidden and not record.data.get("test_clock")


def newest_customer(books: Books) -> Record:
    """Return the newest customer that lives on no test clock, or a new one."""
    found = [each for each in books.all("customer") if not each.data.get("test_clock")]
    return found[-1] if found else customers.customer(books)
