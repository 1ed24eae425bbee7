"""Rare things that break loaders: long lists, deletions, rare payment methods, prices that no list shows."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import billing, customers, ledger, products, subscriptions
from stripe_source.sandbox.business.customer_deletion import remove_customer
from stripe_source.sandbox.history.activities import Business
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.state.events import change


def long_invoice(business: Business) -> None:
    """An invoice of 130 lines: embedded lists are cut at ten."""
    owner = customers.customer(business.books, name="Long & Sons")
    for number in range(130):
        billing.invoice_item(business.books, owner, 100 + number, description=f"Item {number + 1}")
    lines = [billing.line_of(item) for item in billing.pending(business.books, owner.id)]
    waiting = billing.pending(business.books, owner.id)
    invoice = billing.draft(business.books, owner, lines)
    for item in waiting:
        change(business.books, item, invoice=invoice.id)
    billing.finalize(business.books, invoice, net=30)


def wide_subscription(business: Business) -> None:
    """A subscription of 14 items."""
    owner = customers.customer(business.books, name="Wide Inc.")
    prices = [(each, 1) for each in business.monthly if each.data["currency"] == "usd" and each.data["active"]]
    subscriptions.subscribe(business.books, owner, prices[:14])


def long_credit_note(business: Business) -> None:
    """A credit note of 12 lines, on an invoice with as many."""
    owner = customers.customer(business.books, name="Returns GmbH")
    invoice = billing.draft(business.books, owner, [])
    for number in range(15):
        billing.invoice_item(business.books, owner, 1000 + number, invoice=invoice, description=f"Part {number + 1}")
    billing.finalize(business.books, invoice)
    billing.settle_invoice(business.books, invoice)
    lines = business.books.children(("line_item",), invoice.id)[:12]
    billing.credit(business.books, invoice, [(line, line.data["amount"], line.data["description"]) for line in lines])


def many_reversals(business: Business) -> None:
    """A transfer taken back in 12 parts."""
    others = [each for each in business.books.world.accounts if each != business.books.account]
    if others:
        record = ledger.transfer(business.books, 24000, "usd", others[0])
        for _ in range(12):
            ledger.reverse(business.books, record, 1000)


def many_cards(business: Business) -> None:
    """A customer with 11 cards and a bank account."""
    owner = customers.customer(business.books, name="Eleven Cards")
    for _ in range(11):
        customers.card(business.books, owner)
    customers.bank_account(business.books, owner)
    customers.tax_id(business.books, owner)
    customers.discount(business.books, owner, business.coupons[1])
    for _ in range(12):
        customers.adjust_balance(business.books, owner, -100, "usd")


def rare_payment_methods(business: Business) -> None:
    """Payment methods of rarer types; `custom` is in no bare list."""
    owner = customers.customer(business.books, name="Odd Payer")
    for type in ("sepa_debit", "link", "paypal", "custom", "kr_card"):
        customers.payment_method(business.books, owner, type)


def deletions(business: Business) -> None:
    """Things deleted while events are still kept: customers, a draft, an item, a product, a coupon in use."""
    books = business.books
    for _ in range(3):
        business.delete_customer()
    owner = customers.customer(books, name="Short-lived")
    customers.card(books, owner)
    customers.tax_id(books, owner)
    doomed = billing.draft(books, owner, [])
    billing.invoice_item(books, owner, 4200, invoice=doomed)
    billing.remove_draft(books, doomed)
    billing.remove_invoice_item(books, billing.invoice_item(books, owner, 99))
    remove_customer(books, owner)
    mutate.delete(books, business.coupons[2])


def pending_items(business: Business) -> None:
    """Invoice items that wait."""
    for _ in range(3):
        business.extra()


def custom_price(business: Business) -> None:
    """A price made on the spot, in no list, for one subscriber."""
    owner = customers.customer(business.books, name="Bespoke")
    price = products.price(business.books, business.monthly[0].data["product"], 12345, "usd", "month", inline=True,
                        nickname="Agreed on the phone")
    subscriptions.subscribe(business.books, owner, [(price, 1)])


# Days before the end of the history -> what happens then: all in the last month, so that events tell of it.
EDGE_CASES: tuple[tuple[int, Callable[[Business], None]], ...] = (
    (21, long_invoice), (16, wide_subscription), (13, long_credit_note), (11, many_reversals), (9, many_cards),
    (8, rare_payment_methods), (7, deletions), (6, pending_items), (5, custom_price),
)
