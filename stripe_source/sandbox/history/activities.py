"""What happens in a shop on ordinary days: customers sign up, buy, subscribe, leave, dispute."""
from __future__ import annotations

from stripe_source.sandbox.business import billing, customers, ledger, payments, products, subscriptions
from stripe_source.sandbox.business.customer_deletion import remove_customer
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.history.shop import Shop
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.records import Record


class Business(Shop):
    """A shop and everything that it does; each method is one activity of one moment."""

    def sign_up(self) -> None:
        """A customer comes; more than half of them subscribe."""
        books, rng = self.books, self.rng
        owner = customers.customer(books)
        if rng.random() < 0.25:
            payments.store_method(books, owner, fails=rng.random() < 0.15)
        if rng.random() < 0.68:
            self.subscribe(owner)
        if rng.random() < 0.08:
            customers.tax_id(books, owner)
        if rng.random() < 0.06:
            customers.card(books, owner)
        if rng.random() < 0.03:
            customers.bank_account(books, owner)
        if rng.random() < 0.03:
            customers.discount(books, owner, self.coupons[rng.randrange(2)])

    def import_one(self) -> None:
        """One of many customers brought over from an older system in one second."""
        customers.customer(self.books, description="Imported", metadata={"imported": "yes"}, address=None)

    def subscribe(self, owner: Record) -> None:
        """A subscription in one of the shapes that there are."""
        books, rng = self.books, self.rng
        monthly = rng.random() < 0.33
        price = rng.choice(self.monthly if monthly else self.yearly)
        if not price.data["active"]:
            return
        prices = [(price, rng.choice((1, 1, 1, 2, 5, 25)))]
        for other in rng.sample(self.monthly if monthly else self.yearly[:-1], 2):
            same = (other.data["currency"] == price.data["currency"]
                    and subscriptions.every(other) == subscriptions.every(price))
            if rng.random() < 0.35 and other is not price and same and other.data["active"]:
                prices.append((other, 1))
        coupon = promotion = None
        if rng.random() < 0.15:
            coupon = rng.choice(self.coupons[:3])
            if rng.random() < 0.5:
                promotion = next((each for each in self.promotions
                                  if each.data["promotion"]["coupon"] == coupon.id), None)
            if books.find("coupon", coupon.id) is None:
                coupon = promotion = None
        made = subscriptions.subscribe(
            books, owner, prices, coupon=coupon, promotion=promotion, trial_days=14 if rng.random() < 0.12 else 0,
            rates=[rng.choice(self.rates).id] if rng.random() < 0.2 else None,
            collection="send_invoice" if rng.random() < 0.08 else "charge_automatically",
            decline="insufficient_funds" if rng.random() < 0.03 else None)
        if monthly and rng.random() < 0.85:
            self.at(books.now + rng.randrange(20, 190) * DAY, self.leave, made)
        elif rng.random() < 0.3:
            self.at(books.now + rng.randrange(30, 600) * DAY, self.leave, made)

    def leave(self, subscription: Record) -> None:
        """A subscriber goes, now or at the end of the period."""
        if subscription.data["status"] in ("active", "trialing", "past_due"):
            if self.rng.random() < 0.6:
                subscriptions.cancel(self.books, subscription)
            else:
                end = self.books.children(("subscription_item",), subscription.id)[0].data["current_period_end"]
                change(self.books, subscription, "customer.subscription.updated", cancel_at_period_end=True,
                       canceled_at=self.books.now, cancel_at=end)

    def sell(self) -> None:
        """One thing sold once: sometimes declined first, from a bank, or reserved and captured later."""
        books, rng = self.books, self.rng
        price = rng.choice(self.once)
        amount = price.data["unit_amount"] * rng.choice((1, 1, 2))
        owner = self.one("customer") if rng.random() < 0.7 else None
        kind = rng.random()
        fields = {"description": price.data["nickname"], "metadata": {"order": str(books.count("orders"))}}
        if kind < 0.08:
            intent = payments.intend(books, amount, price.data["currency"], owner, **fields)
            payments.confirm(books, intent, decline=rng.choice(list(payments.DECLINES)))
            if rng.random() < 0.6:
                payments.confirm(books, intent)
        elif kind < 0.12 and price.data["currency"] == "usd":
            method = customers.payment_method(books, owner, "us_bank_account")
            payments.pay(books, amount, "usd", owner, method, **fields)
        elif kind < 0.16:
            charge = payments.pay(books, amount, price.data["currency"], owner, capture=False, **fields)
            intent = books.get("payment_intent", charge.data["payment_intent"])
            self.at(books.now + 2 * DAY, self.capture, intent, rng.random())
        else:
            payments.pay(books, amount, price.data["currency"], owner, **fields)

    def capture(self, intent: Record, chance: float) -> None:
        """What becomes of a reservation: taken, taken in part, let go, or left to expire."""
        if intent.data["status"] == "requires_capture":
            if chance < 0.6:
                payments.capture(self.books, intent, None if chance < 0.4 else intent.data["amount"] // 20 * 10)
            elif chance < 0.8:
                payments.abandon(self.books, intent)

    def give_back(self) -> None:
        """A refund, in full or in part."""
        charge = self.one("charge", status="succeeded", disputed=False)
        if charge is not None and payments.refundable(charge) > 100 and not charge.data["source_transfer"]:
            whole = payments.refundable(charge)
            payments.refund(self.books, charge, whole if self.rng.random() < 0.5 else whole // 30 * 10 or whole)

    def lose(self) -> None:
        """A dispute: won, lost, or still open."""
        charge = self.one("charge", status="succeeded", disputed=False)
        if charge is not None and charge.data["amount_refunded"] == 0 and charge.data["balance_transaction"]:
            payments.dispute(self.books, charge, ends=self.rng.choice(("won", "lost", "lost", None)))

    def open_checkout(self) -> None:
        """A checkout, completed or not."""
        price = self.rng.choice(self.once)
        session = payments.check_out(self.books, self.one("customer"), [(price, self.rng.choice((1, 3)))])
        if self.rng.random() < 0.7:
            self.at(self.books.now + 600, self.complete, session)

    def complete(self, session: Record) -> None:
        """The customer pays, if the page is still open."""
        if session.data["status"] == "open":
            payments.complete(self.books, session)

    def invoice_by_hand(self) -> None:
        """An invoice of a few items: paid, sent, voided or left as a draft."""
        books, rng = self.books, self.rng
        owner = self.one("customer")
        if owner is None:
            return
        coupon = books.find("coupon", self.coupons[3].id) if rng.random() < 0.15 else None
        whole = [products.new_discount(books, coupon, customer=owner.id)] if coupon else []
        invoice = billing.draft(books, owner, [], discounts=whole)
        for each in whole:
            books.discounts[each["id"]]["invoice"] = invoice.id
        for _ in range(rng.choice((1, 2, 3))):
            one_off = books.find("coupon", self.coupons[0].id) if rng.random() < 0.05 else None
            billing.invoice_item(books, owner, rng.randrange(5, 400) * 100, invoice=invoice, coupon=one_off,
                                 description=rng.choice(("Consulting", "Travel", "Wartung", "作業")))
        fate = rng.random()
        if fate > 0.1:
            billing.finalize(books, invoice, net=14)
            if fate > 0.3:
                billing.settle_invoice(books, invoice)
            elif fate > 0.2:
                billing.void(books, invoice)

    def extra(self) -> None:
        """Something that goes on the subscriber's next invoice."""
        subscription = self.one("subscription", status="active", currency="usd")
        owner = self.books.find("customer", subscription.data["customer"]) if subscription else None
        if owner is not None:
            billing.invoice_item(self.books, owner, self.rng.randrange(1, 50) * 100, description="Extra usage")

    def credit_some(self) -> None:
        """A credit note on an invoice that was paid, or is open."""
        invoice = self.one("invoice", status=self.rng.choice(("paid", "paid", "open")))
        if invoice is not None:
            line = self.books.children(("line_item",), invoice.id)[0]
            amount = min(line.data["amount"], 700) // 2
            if amount > 0:
                billing.credit(self.books, invoice, [(line, amount, line.data["description"] or "Line"),
                                                     (None, amount // 2 or 1, "Goodwill")])

    def store_something(self) -> None:
        """A card, bank account, tax id or payment method for an older customer; or one goes."""
        owner = self.one("customer")
        if owner is None:
            return
        kind = self.rng.randrange(5)
        if kind == 0:
            customers.card(self.books, owner)
        elif kind == 1:
            customers.bank_account(self.books, owner)
        elif kind == 2:
            customers.tax_id(self.books, owner)
        elif kind == 3:
            customers.payment_method(self.books, owner, self.rng.choice(("card", "sepa_debit")))
        else:
            method = self.one("payment_method", type="card")
            if method is not None and method.data["customer"]:
                customers.detach(self.books, method)

    def adjust(self) -> None:
        """A customer is owed or owes something."""
        owner = self.one("customer")
        if owner is not None and owner.data["currency"] in (None, "usd"):
            customers.adjust_balance(self.books, owner, self.rng.choice((-2500, -900, 600)), "usd",
                                  description="Goodwill ✨")

    def delete_customer(self) -> None:
        """A customer asks to be forgotten."""
        owner = self.one("customer")
        if owner is not None:
            remove_customer(self.books, owner)

    def transfer(self) -> None:
        """Money for a connected account."""
        others = [each for each in self.books.world.accounts if each != self.books.account]
        if self.books is self.books.world.books and others:
            record = ledger.transfer(self.books, self.rng.randrange(5, 60) * 100, "usd", self.rng.choice(others))
            if self.rng.random() < 0.2:
                ledger.reverse(self.books, record, 300)

    def top_up(self) -> None:
        """Money from the bank."""
        ledger.top_up(self.books, 100_00 * self.rng.randrange(1, 9), "usd", succeeds=self.rng.random() < 0.9)

    def schedule(self) -> None:
        """A subscriber who will change to another price."""
        subscription = self.one("subscription", status="active", currency="usd", schedule=None)
        if subscription is not None:
            subscriptions.schedule(self.books, subscription, self.yearly[0])

    def withdraw(self) -> None:
        """The euros are paid out by hand."""
        available = self.books.balance.get("eur", [0, 0])[0]
        if available > 2000:
            ledger.pay_out(self.books, "eur", available // 2, instant=self.rng.random() < 0.5)

    def clear_out(self) -> None:
        """Old prices and codes are switched off, a product, a price-less one, and a coupon are deleted."""
        books = self.books
        price = self.one("price", active=True, type="one_time")
        if price is not None and not price.hidden:
            self.once.remove(price)
            products.set_price(books, price, active=False)
        promotion = self.rng.choice(self.promotions)
        if promotion.data["active"]:
            change(books, promotion, "promotion_code.updated", active=False)
        mutate.delete(books, products.product(books, "Mistake"))
        mutate.delete(books, products.coupon(books, name="Typo", percent_off=99.0))
