"""Edge cases that break loaders: long lists, deletions, rare payment methods, prices that no list shows."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import billing, customers, ledger, products, subscriptions
from stripe_source.sandbox.business.customer_deletion import remove_customer
from stripe_source.sandbox.history.activities import Business
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.records import Record


def long_invoice(business: Business) -> None:
    """Create an invoice of 130 lines; embedded lists show ten."""
    owner = customers.customer(business.books, name="Long & Sons")
    for number in range(130):
        billing.invoice_item(business.books, owner, 100 + number, description=f"Item {number + 1}")
    lines = [billing.line_of_item(item) for item in billing.pending_items(business.books, owner.id)]
    waiting = billing.pending_items(business.books, owner.id)
    invoice = billing.draft_invoice(business.books, owner, lines)
    for item in waiting:
        change(business.books, item, invoice=invoice.id)
    billing.finalize(business.books, invoice, net=30)


def wide_subscription(business: Business) -> None:
    """Create a subscription of 14 items."""
    owner = customers.customer(business.books, name="Wide Inc.")
    prices = [(each, 1) for each in business.monthly if each.data["currency"] == "usd" and each.data["active"]]
    subscriptions.subscribe(business.books, owner, prices[:14])


def long_credit_note(business: Business) -> None:
    """Create a credit note of 12 lines, on an invoice of 15."""
    owner = customers.customer(business.books, name="Returns GmbH")
    invoice = billing.draft_invoice(business.books, owner, [])
    for number in range(15):
        billing.invoice_item(business.books, owner, 1000 + number, invoice=invoice, description=f"Part {number + 1}")
    billing.finalize(business.books, invoice)
    billing.collect_payment(business.books, invoice)
    lines = business.books.children(("line_item",), invoice.id)[:12]
    parts: list[tuple[Record | None, int, str]] = [
        (line, line.data["amount"], line.data["description"]) for line in lines]
    billing.issue_credit_note(business.books, invoice, parts)


def many_reversals(business: Business) -> None:
    """Create a transfer with 12 reversals."""
    others = [each for each in business.books.world.accounts if each != business.books.account]
    if others:
        record = ledger.transfer(business.books, 24000, "usd", others[0])
        for _ in range(12):
            ledger.reverse_transfer(business.books, record, 1000)


def many_cards(business: Business) -> None:
    """Create a customer with 11 cards, a bank account, a tax id, a discount and 12 balance transactions."""
    owner = customers.customer(business.books, name="Eleven Cards")
    for _ in range(11):
        customers.card(business.books, owner)
    customers.bank_account(business.books, owner)
    customers.tax_id(business.books, owner)
    customers.apply_discount(business.books, owner, business.coupons[1])
    for _ in range(12):
        customers.adjust_balance(business.books, owner, -100, "usd")


def rare_payment_methods(business: Business) -> None:
    """Create payment methods of rare types; the list without `type` does not show `custom`."""
    owner = customers.customer(business.books, name="Odd Payer")
    for type in ("sepa_debit", "link", "paypal", "custom", "kr_card"):
        customers.payment_method(business.books, owner, type)


def deletions(business: Business) -> None:
    """Delete customers, a draft, an invoice item and a coupon in use."""
    books = business.books
    for _ in range(3):
        business.delete_customer()
    owner = customers.customer(books, name="Short-lived")
    customers.card(books, owner)
    customers.tax_id(books, owner)
    doomed = billing.draft_invoice(books, owner, [])
    billing.invoice_item(books, owner, 4200, invoice=doomed)
    billing.remove_draft(books, doomed)
    billing.remove_invoice_item(books, billing.invoice_item(books, owner, 99))
    remove_customer(books, owner)
    mutate.delete(books, business.coupons[2])


def pending_items(business: Business) -> None:
    """Create invoice items that stay pending."""
    for _ in range(3):
        business.add_invoice_item()


def custom_price(business: Business) -> None:
    """Create a subscription with an inline price, which no list shows."""
    owner = customers.customer(business.books, name="Bespoke")
    price = products.price(business.books, business.monthly[0].data["product"], 12345, "usd", "month", inline=True,
                           nickname="Agreed on the phone")
    subscriptions.subscribe(business.books, owner, [(price, 1)])


# (days before the end of the history, what happens then): all in the last month, for which Stripe keeps events.
EDGE_CASES: tuple[tuple[int, Callable[[Business], None]], ...] = (
    (21, long_invoice), (16, wide_subscription), (13, long_credit_note), (11, many_reversals), (9, many_cards),
    (8, rare_payment_methods), (7, deletions), (6, pending_items), (5, custom_price),
)
