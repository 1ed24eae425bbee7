"""What breaks loaders, once each: long lists, deletions, rare payment methods, prices that no list shows."""
from __future__ import annotations

from stripe_source.sandbox.business import billing, goods, ledger, people, subscriptions
from stripe_source.sandbox.business.removal import remove_customer
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.store import Books, Record


class Oddities:
    """Mixed into a business; each of these happens on a day of its last month."""

    books: Books
    monthly: list[Record]
    coupons: list[Record]

    def delete_customer(self) -> None:
        """See `Business`."""
        raise NotImplementedError

    def extra(self) -> None:
        """See `Business`."""
        raise NotImplementedError

    def long_invoice(self) -> None:
        """An invoice of 130 lines: embedded lists are cut at ten."""
        owner = people.customer(self.books, name="Long & Sons")
        for number in range(130):
            billing.invoice_item(self.books, owner, 100 + number, description=f"Item {number + 1}")
        lines = [billing.line_of(item) for item in billing.pending(self.books, owner.id)]
        waiting = billing.pending(self.books, owner.id)
        invoice = billing.draft(self.books, owner, lines)
        for item in waiting:
            change(self.books, item, invoice=invoice.id)
        billing.finalize(self.books, invoice, net=30)

    def wide_subscription(self) -> None:
        """A subscription of 14 items."""
        owner = people.customer(self.books, name="Wide Inc.")
        prices = [(each, 1) for each in self.monthly if each.data["currency"] == "usd" and each.data["active"]]
        subscriptions.subscribe(self.books, owner, prices[:14])

    def long_credit_note(self) -> None:
        """A credit note of 12 lines, on an invoice with as many."""
        owner = people.customer(self.books, name="Returns GmbH")
        invoice = billing.draft(self.books, owner, [])
        for number in range(15):
            billing.invoice_item(self.books, owner, 1000 + number, invoice=invoice, description=f"Part {number + 1}")
        billing.finalize(self.books, invoice)
        billing.settle_invoice(self.books, invoice)
        lines = self.books.children(("line_item",), invoice.id)[:12]
        billing.credit(self.books, invoice, [(line, line.data["amount"], line.data["description"]) for line in lines])

    def many_reversals(self) -> None:
        """A transfer taken back in 12 parts."""
        others = [each for each in self.books.world.accounts if each != self.books.account]
        if others:
            record = ledger.transfer(self.books, 24000, "usd", others[0])
            for _ in range(12):
                ledger.reverse(self.books, record, 1000)

    def many_cards(self) -> None:
        """A customer with 11 cards and a bank account."""
        owner = people.customer(self.books, name="Eleven Cards")
        for _ in range(11):
            people.card(self.books, owner)
        people.bank_account(self.books, owner)
        people.tax_id(self.books, owner)
        people.discount(self.books, owner, self.coupons[1])
        for _ in range(12):
            people.adjust_balance(self.books, owner, -100, "usd")

    def odd_methods(self) -> None:
        """Payment methods of rarer types; `custom` is in no bare list."""
        owner = people.customer(self.books, name="Odd Payer")
        for type in ("sepa_debit", "link", "paypal", "custom", "kr_card"):
            people.payment_method(self.books, owner, type)

    def deletions(self) -> None:
        """Things deleted while events are still kept: customers, a draft, an item, a product, a coupon in use."""
        books = self.books
        for _ in range(3):
            self.delete_customer()
        owner = people.customer(books, name="Short-lived")
        people.card(books, owner)
        people.tax_id(books, owner)
        doomed = billing.draft(books, owner, [])
        billing.invoice_item(books, owner, 4200, invoice=doomed)
        billing.remove_draft(books, doomed)
        billing.remove_invoice_item(books, billing.invoice_item(books, owner, 99))
        remove_customer(books, owner)
        mutate.delete(books, self.coupons[2])

    def pending_items(self) -> None:
        """Invoice items that wait."""
        for _ in range(3):
            self.extra()

    def custom_price(self) -> None:
        """A price made on the spot, in no list, for one subscriber."""
        owner = people.customer(self.books, name="Bespoke")
        price = goods.price(self.books, self.monthly[0].data["product"], 12345, "usd", "month", inline=True,
                            nickname="Agreed on the phone")
        subscriptions.subscribe(self.books, owner, [(price, 1)])
