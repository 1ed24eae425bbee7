"""Deletion of a customer, with what belongs to it."""
from __future__ import annotations

from stripe_source.sandbox.business.billing import remove_invoice_item
from stripe_source.sandbox.business.customers import detach, remove_discount, remove_source, remove_tax_id
from stripe_source.sandbox.business.subscriptions import cancel
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import emit
from stripe_source.sandbox.state.records import Record


def remove_customer(books: Books, owner: Record) -> None:
    """Delete a customer: subscriptions are canceled, stored payment methods and ids are removed, payments stay."""
    for subscription in [each for each in books.all("subscription") if each.data["customer"] == owner.id]:
        if subscription.data["status"] != "canceled":
            cancel(books, subscription)
    for source in books.children(("card", "bank_account"), owner.id):
        remove_source(books, source)
    for number in list(books.children(("tax_id",), owner.id)):
        remove_tax_id(books, number)
    for method in [each for each in books.all("payment_method") if each.data["customer"] == owner.id]:
        detach(books, method)
    for item in [each for each in books.all("invoiceitem") if each.data["customer"] == owner.id]:
        if item.data["invoice"] is None:
            remove_invoice_item(books, item)
    if owner.data["discount"] is not None:
        remove_discount(books, owner)
    for entry in list(books.children(("customer_balance_transaction",), owner.id)):
        books.remove(entry)
    books.remove(owner)
    emit(books, "customer.deleted", books.collection("customer").deleted[owner.id].data)
