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
    """A shop and its activities; each method is one activity at one moment."""

    def sign_up(self) -> None:
        """A customer signs up; more than half of them subscribe."""
        books, rng = self.books, self.rng
        owner = customers.customer(books)
        if rng.random() < 0.25:
            payments.create_setup_intent(books, owner, fails=rng.random() < 0.15)
        if rng.random() < 0.68:
            self.subscribe(owner)
        if rng.random() < 0.08:
            customers.tax_id(books, owner)
        if rng.random() < 0.06:
            customers.card(books, owner)
        if rng.random() < 0.03:
            customers.bank_account(books, owner)
        if rng.random() < 0.03:
            customers.apply_discount(books, owner, self.coupons[rng.randrange(2)])

    def import_one(self) -> None:
        """A customer is imported from an older system, in one second with many others."""
        customers.customer(self.books, description="Imported", metadata={"imported": "yes"}, address=None)

    def subscribe(self, owner: Record) -> None:
        """A customer subscribes: monthly or yearly, with one to three items, a coupon, a trial or taxes."""
        books, rng = self.books, self.rng
        monthly = rng.random() < 0.33
        price = rng.choice(self.monthly if monthly else self.yearly)
        if not price.data["active"]:
            return
        prices = [(price, rng.choice((1, 1, 1, 2, 5, 25)))]
        for other in rng.sample(self.monthly if monthly else self.yearly[:-1], 2):
            same = (other.data["currency"] == price.data["currency"]
                    and subscriptions.billing_interval(other) == subscriptions.billing_interval(price))
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
            self.call_at(books.now + rng.randrange(20, 190) * DAY, self.end_subscription, made)
        elif rng.random() < 0.3:
            self.call_at(books.now + rng.randrange(30, 600) * DAY, self.end_subscription, made)

    def end_subscription(self, subscription: Record) -> None:
        """A subscriber cancels, now or at the end of the period."""
        if subscription.data["status"] in ("active", "trialing", "past_due"):
            if self.rng.random() < 0.6:
                subscriptions.cancel(self.books, subscription)
            else:
                end = self.books.children(("subscription_item",), subscription.id)[0].data["current_period_end"]
                change(self.books, subscription, "customer.subscription.updated", cancel_at_period_end=True,
                       canceled_at=self.books.now, cancel_at=end)

    def sell(self) -> None:
        """A one-time sale: sometimes declined first, paid by a bank, or authorized and captured later."""
        books, rng = self.books, self.rng
        price = rng.choice(self.once)
        amount = price.data["unit_amount"] * rng.choice((1, 1, 2))
        owner = self.random_object("customer") if rng.random() < 0.7 else None
        kind = rng.random()
        fields = {"description": price.data["nickname"], "metadata": {"order": str(books.count("orders"))}}
        if kind < 0.08:
            intent = payments.create_intent(books, amount, price.data["currency"], owner, **fields)
            payments.confirm(books, intent, decline=rng.choice(list(payments.DECLINES)))
            if rng.random() < 0.6:
                payments.confirm(books, intent)
        elif kind < 0.12 and price.data["currency"] == "usd":
            method = customers.payment_method(books, owner, "us_bank_account")
            payments.pay(books, amount, "usd", owner, method, **fields)
        elif kind < 0.16:
            charge = payments.pay(books, amount, price.data["currency"], owner, capture=False, **fields)
            intent = books.get("payment_intent", charge.data["payment_intent"])
            self.call_at(books.now + 2 * DAY, self.capture, intent, rng.random())
        else:
            payments.pay(books, amount, price.data["currency"], owner, **fields)

    def capture(self, intent: Record, chance: float) -> None:
        """An authorized payment is captured, captured in part, canceled, or left to expire."""
        if intent.data["status"] == "requires_capture":
            if chance < 0.6:
                payments.capture(self.books, intent, None if chance < 0.4 else intent.data["amount"] // 20 * 10)
            elif chance < 0.8:
                payments.cancel_intent(self.books, intent)

    def refund(self) -> None:
        """A charge is refunded, in full or in part."""
        charge = self.random_object("charge", status="succeeded", disputed=False)
        if charge is not None and payments.refundable(charge) > 100 and not charge.data["source_transfer"]:
            whole = payments.refundable(charge)
            payments.refund(self.books, charge, whole if self.rng.random() < 0.5 else whole // 30 * 10 or whole)

    def dispute(self) -> None:
        """A charge is disputed: won, lost, or still open."""
        charge = self.random_object("charge", status="succeeded", disputed=False)
        if charge is not None and charge.data["amount_refunded"] == 0 and charge.data["balance_transaction"]:
            payments.dispute(self.books, charge, ends=self.rng.choice(("won", "lost", "lost", None)))

    def open_checkout(self) -> None:
        """A checkout session is opened; most are completed."""
        price = self.rng.choice(self.once)
        session = payments.open_checkout(self.books, self.random_object("customer"), [(price, self.rng.choice((1, 3)))])
        if self.rng.random() < 0.7:
            self.call_at(self.books.now + 600, self.complete_checkout, session)

    def complete_checkout(self, session: Record) -> None:
        """The customer pays, if the checkout session is still open."""
        if session.data["status"] == "open":
            payments.complete_checkout(self.books, session)

    def invoice_by_hand(self) -> None:
        """An invoice of a few items is created: paid, open, void or left as a draft."""
        books, rng = self.books, self.rng
        owner = self.random_object("customer")
        if owner is None:
            return
        coupon = books.find("coupon", self.coupons[3].id) if rng.random() < 0.15 else None
        whole = [products.new_discount(books, coupon, customer=owner.id)] if coupon else []
        invoice = billing.draft_invoice(books, owner, [], discounts=whole)
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
                billing.collect_payment(books, invoice)
            elif fate > 0.2:
                billing.void_invoice(books, invoice)

    def add_invoice_item(self) -> None:
        """An item is added to a subscriber's next invoice."""
        subscription = self.random_object("subscription", status="active", currency="usd")
        owner = self.books.find("customer", subscription.data["customer"]) if subscription else None
        if owner is not None:
            billing.invoice_item(self.books, owner, self.rng.randrange(1, 50) * 100, description="Extra usage")

    def issue_credit_note(self) -> None:
        """A credit note is issued on a paid or open invoice."""
        invoice = self.random_object("invoice", status=self.rng.choice(("paid", "paid", "open")))
        if invoice is not None:
            line = self.books.children(("line_item",), invoice.id)[0]
            amount = min(line.data["amount"], 700) // 2
            if amount > 0:
                billing.issue_credit_note(self.books, invoice, [(line, amount, line.data["description"] or "Line"),
                                                                (None, amount // 2 or 1, "Goodwill")])

    def change_payment_methods(self) -> None:
        """A customer adds a card, bank account, tax id or payment method, or removes a payment method."""
        owner = self.random_object("customer")
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
            method = self.random_object("payment_method", type="card")
            if method is not None and method.data["customer"]:
                customers.detach(self.books, method)

    def adjust_balance(self) -> None:
        """The balance of a customer is adjusted."""
        owner = self.random_object("customer")
        if owner is not None and owner.data["currency"] in (None, "usd"):
            customers.adjust_balance(self.books, owner, self.rng.choice((-2500, -900, 600)), "usd",
                                     description="Goodwill ✨")

    def delete_customer(self) -> None:
        """A customer is deleted."""
        owner = self.random_object("customer")
        if owner is not None:
            remove_customer(self.books, owner)

    def transfer(self) -> None:
        """Money is transferred to a connected account; some of it is reversed."""
        others = [each for each in self.books.world.accounts if each != self.books.account]
        if self.books is self.books.world.books and others:
            record = ledger.transfer(self.books, self.rng.randrange(5, 60) * 100, "usd", self.rng.choice(others))
            if self.rng.random() < 0.2:
                ledger.reverse_transfer(self.books, record, 300)

    def top_up(self) -> None:
        """The balance is topped up from the bank."""
        ledger.top_up(self.books, 100_00 * self.rng.randrange(1, 9), "usd", succeeds=self.rng.random() < 0.9)

    def schedule(self) -> None:
        """A subscription gets a schedule with another price."""
        subscription = self.random_object("subscription", status="active", currency="usd", schedule=None)
        if subscription is not None:
            subscriptions.schedule(self.books, subscription, self.yearly[0])

    def pay_out_euros(self) -> None:
        """Half of the available euros are paid out manually."""
        available = self.books.balance.get("eur", [0, 0])[0]
        if available > 2000:
            ledger.create_payout(self.books, "eur", available // 2, instant=self.rng.random() < 0.5)

    def retire_products(self) -> None:
        """A price and a promotion code become inactive; a product without prices and a coupon are deleted."""
        books = self.books
        price = self.random_object("price", active=True, type="one_time")
        if price is not None and not price.hidden:
            self.once.remove(price)
            products.update_price(books, price, active=False)
        promotion = self.rng.choice(self.promotions)
        if promotion.data["active"]:
            change(books, promotion, "promotion_code.updated", active=False)
        mutate.delete(books, products.product(books, "Mistake"))
        mutate.delete(books, products.coupon(books, name="Typo", percent_off=99.0))
