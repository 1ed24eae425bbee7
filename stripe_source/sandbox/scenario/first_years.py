"""The business that a new sandbox starts with: two years of it, played through on the world's own clock."""
from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from stripe_source.sandbox.business import billing, goods, ledger, payments, people, subscriptions
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.business.removal import remove_customer
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.scenario.oddities import Oddities
from stripe_source.sandbox.state import accounts
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.store import Books, Record

YEARS = 2
HISTORY = YEARS * 365 * DAY
_SOLD = ("Lamp", "Notebook", "Espresso beans", "T-shirt", "Poster", "Gift card", "Workshop", "Spare part", 
         "木製スプーン", "Überraschung")
_HOSTED = ("Starter", "Team", "Business", "Enterprise", "Backup", "Analytics", "Support", "Archive", "API calls",
           "Training", "Monitoring", "Domains", "Mail", "Storage", "Café plan", "Pro", "Studio", "Agency", "School",
           "Charity")


class Business(Oddities):
    """One shop's life, planned ahead and put on the world's calendar."""

    def __init__(self, books: Books, start: int, end: int, scale: float) -> None:
        self.books = books
        self.rng = Random(f"{books.world.seed}/{books.account}")
        self.start, self.end = start, end
        self.scale = scale
        self.monthly: list[Record] = []
        self.yearly: list[Record] = []
        self.once: list[Record] = []
        self.coupons: list[Record] = []
        self.promotions: list[Record] = []
        self.rates: list[Record] = []

    def at(self, time: float, action: Callable[..., Any], *args: Any) -> None:
        """Puts something on the calendar."""
        self.books.world.at(min(int(time), self.end), action, *args)

    def some(self, number: float) -> int:
        """A count at scale 1, scaled; one at least."""
        return max(1, round(number * self.scale))

    def when(self, first: float = 0.0, last: float = 1.0) -> int:
        """A moment between two shares of the history, more of them later: business grows."""
        share = first + (last - first) * self.rng.random() ** 0.75
        return int(self.start + share * (self.end - self.start - 3600))

    # --- what is sold

    def stock(self) -> None:
        """Products, prices, coupons, tax rates."""
        books, rng = self.books, self.rng
        for number, name in enumerate(_HOSTED):
            product = goods.product(books, name, description=f"{name}, hosted", metadata={"line": "hosted"})
            currency = "eur" if number % 5 == 4 else "usd"
            base = rng.choice((900, 1500, 2900, 4900, 9900))
            if number % 9 == 8:
                tiers: list[dict[str, Any]] = [
                    {"flat_amount": 500, "flat_amount_decimal": "500", "unit_amount": 100, "unit_amount_decimal": "100",
                     "up_to": 10},
                    {"flat_amount": None, "flat_amount_decimal": None, "unit_amount": 80, "unit_amount_decimal": "80",
                     "up_to": None}]
                month = goods.price(books, product.id, None, currency, "month", tiers=tiers, nickname=f"{name} tiered")
            else:
                month = goods.price(books, product.id, base, currency, "month", nickname=f"{name} monthly",
                                    lookup_key=f"{name.lower().replace(' ', '_')}_monthly")
            year = goods.price(books, product.id, base * 10, currency, "year", nickname=f"{name} yearly", options={
                currency: {"custom_unit_amount": None, "tax_behavior": "unspecified", "unit_amount": base * 10,
                           "unit_amount_decimal": str(base * 10)},
                "gbp": {"custom_unit_amount": None, "tax_behavior": "unspecified", "unit_amount": base * 8,
                        "unit_amount_decimal": str(base * 8)}} if number % 4 == 0 else None)
            self.monthly.append(month)
            self.yearly.append(year)
            change(books, product, default_price=year.id)
        quarterly = goods.price(books, self.monthly[0].data["product"], 2400, "usd", "month", 3, nickname="Quarterly")
        self.yearly.append(quarterly)
        for number, name in enumerate(_SOLD):
            product = goods.product(books, name, shippable=True, images=["https://img.example.com/a.png"],
                                    tax_code="txcd_99999999", package_dimensions={
                                        "height": 2.5, "length": 10.0, "weight": 4.25, "width": 6.0})
            for currency, amount in (("usd", 1900 + 700 * number),
                                     (("jpy", 3200), ("kwd", 12340), ("eur", 2200), ("gbp", 1700))[number % 4]):
                self.once.append(goods.price(books, product.id, amount, currency, nickname=f"{name} ({currency})"))
        simple: tuple[dict[str, Any], ...] = (
                       {"name": "Launch", "percent_off": 25.0, "duration": "once"},
                       {"name": "Loyal", "percent_off": 12.5, "duration": "forever"},
                       {"name": "Half a year", "percent_off": 33.3, "duration": "repeating", "duration_in_months": 6},
                       {"name": "Five off", "amount_off": 500, "currency": "usd", "duration": "once"})
        for fields in simple:
            self.coupons.append(goods.coupon(books, **fields))
        self.coupons.append(goods.coupon(books, id="HOSTED-20", name="Hosted only", percent_off=20.0, duration="once",
                                         products=[self.monthly[0].data["product"], self.monthly[1].data["product"]]))
        for number in range(12):
            self.promotions.append(goods.promotion_code(books, self.coupons[number % 4], f"CODE{number:02d}"))
        for name, percentage in (("MwSt", 19.0), ("TVA", 20.0), ("Sales tax", 8.25)):
            self.rates.append(goods.tax_rate(books, name, percentage))
        goods.tax_rate(books, "Old VAT", 16.0, active=False)
        people.tax_id(books, None, type="eu_vat", value="DE811907980")
        people.tax_id(books, None, type="us_ein", value="12-3456789", country="US")

    # --- the calendar

    def plan(self) -> None:
        """Two years."""
        self.stock()
        for _ in range(self.some(490)):
            self.at(self.when(), self.sign_up)
        for number, share in ((160, 0.12), (152, 0.955)):
            moment = int(self.start + share * (self.end - self.start))
            for _ in range(self.some(number) if self.scale >= 1 else number):  # a dense second at every scale
                self.at(moment, self.import_one)
        for _ in range(self.some(560)):
            self.at(self.when(0.02), self.sell)
        for _ in range(self.some(90)):
            self.at(self.when(0.05), self.give_back)
        for _ in range(self.some(14)):
            self.at(self.when(0.1), self.lose)
        for _ in range(self.some(110)):
            self.at(self.when(0.05), self.open_checkout)
        for _ in range(self.some(70)):
            self.at(self.when(0.05), self.invoice_by_hand)
        for _ in range(self.some(40)):
            self.at(self.when(0.1), self.extra)
        for _ in range(self.some(30)):
            self.at(self.when(0.1), self.credit_some)
        for _ in range(self.some(45)):
            self.at(self.when(0.1), self.store_something)
        for _ in range(self.some(60)):
            self.at(self.when(0.1), self.adjust)
        for _ in range(self.some(10)):
            self.at(self.when(0.2), self.delete_customer)
        for _ in range(self.some(30)):
            self.at(self.when(0.1), self.transfer)
        for _ in range(self.some(12)):
            self.at(self.when(0.1), self.top_up)
        for _ in range(self.some(10)):
            self.at(self.when(0.3), self.schedule)
        for share in (0.3, 0.6, 0.8, 0.97):
            self.at(self.start + share * (self.end - self.start), self.clear_out)
        for share in (0.4, 0.7, 0.9, 0.985):
            self.at(self.start + share * (self.end - self.start), self.withdraw)
        for days, oddity in ((21, self.long_invoice), (16, self.wide_subscription), (13, self.long_credit_note),
                             (11, self.many_reversals), (9, self.many_cards), (8, self.odd_methods),
                             (7, self.deletions), (6, self.pending_items), (5, self.custom_price)):
            self.at(self.end - days * DAY, oddity)
        monday = self.start - (self.start - 4 * DAY) % ledger.WEEK + ledger.WEEK + 1800
        self.at(monday, ledger.weekly_payout, self.books, "usd")

    def one(self, object: str, **wanted: Any) -> Record | None:
        """Any object with those values."""
        found = self.books.all(object)
        for _ in range(60):
            if not found:
                return None
            record = self.rng.choice(found)
            if all(record.data.get(name) == value for name, value in wanted.items()):
                return record
        return None

    def sign_up(self) -> None:
        """A customer comes; more than half of them subscribe."""
        books, rng = self.books, self.rng
        owner = people.customer(books)
        if rng.random() < 0.25:
            payments.store_method(books, owner, fails=rng.random() < 0.15)
        if rng.random() < 0.68:
            self.subscribe(owner)
        if rng.random() < 0.08:
            people.tax_id(books, owner)
        if rng.random() < 0.06:
            people.card(books, owner)
        if rng.random() < 0.03:
            people.bank_account(books, owner)
        if rng.random() < 0.03:
            people.discount(books, owner, self.coupons[rng.randrange(2)])

    def import_one(self) -> None:
        """One of many customers brought over from an older system in one second."""
        people.customer(self.books, description="Imported", metadata={"imported": "yes"}, address=None)

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
            payments.confirm(books, intent, decline=rng.choice(list(payments._DECLINES)))
            if rng.random() < 0.6:
                payments.confirm(books, intent)
        elif kind < 0.12 and price.data["currency"] == "usd":
            payments.pay(books, amount, "usd", owner, people.payment_method(books, owner, "us_bank_account"), **fields)
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
        whole = [goods.new_discount(books, coupon, customer=owner.id)] if coupon else []
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
            people.card(self.books, owner)
        elif kind == 1:
            people.bank_account(self.books, owner)
        elif kind == 2:
            people.tax_id(self.books, owner)
        elif kind == 3:
            people.payment_method(self.books, owner, self.rng.choice(("card", "sepa_debit")))
        else:
            method = self.one("payment_method", type="card")
            if method is not None and method.data["customer"]:
                people.detach(self.books, method)

    def adjust(self) -> None:
        """A customer is owed or owes something."""
        owner = self.one("customer")
        if owner is not None and owner.data["currency"] in (None, "usd"):
            people.adjust_balance(self.books, owner, self.rng.choice((-2500, -900, 600)), "usd",
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
            goods.set_price(books, price, active=False)
        promotion = self.rng.choice(self.promotions)
        if promotion.data["active"]:
            change(books, promotion, "promotion_code.updated", active=False)
        mutate.delete(books, goods.product(books, "Mistake"))
        mutate.delete(books, goods.coupon(books, name="Typo", percent_off=99.0))


def found(books: Books, start: int, end: int, scale: float) -> Business:
    """A business on its calendar, from its first day."""
    business = Business(books, start, end, scale)
    business.plan()
    return business


def small(books: Books, start: int, end: int) -> Business:
    """The business of a connected account: a few dozen of everything."""
    business = Business(books, start, end, 0.03)
    business.stock()
    for _ in range(14):
        business.at(business.when(), business.sign_up)
    for _ in range(40):
        business.at(business.when(0.05), business.sell)
    for _ in range(4):
        business.at(business.when(0.3), business.give_back)
    business.at(end - 30 * DAY, ledger.weekly_payout, books, "usd")
    return business


def connected(books: Books, start: int) -> list[dict[str, Any]]:
    """Profiles of the accounts that are connected to the platform."""
    ids = [books.new_id("account") for _ in range(3)]
    return [accounts.profile(ids[0], "Harbour Café", "US", "usd", start + 40 * DAY),
            accounts.profile(ids[1], "北海 Trading", "US", "usd", start + 90 * DAY, "express"),
            accounts.profile(ids[2], "Quiet Corner", "DE", "eur", start + 400 * DAY, "custom")]
