"""A shop with its products, prices and coupons, and the tools to plan what happens to it."""
from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from stripe_source.sandbox.business import customers, products
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.records import Record

_SOLD = ("Lamp", "Notebook", "Espresso beans", "T-shirt", "Poster", "Gift card", "Workshop", "Spare part", 
         "木製スプーン", "Überraschung")
_HOSTED = ("Starter", "Team", "Business", "Enterprise", "Backup", "Analytics", "Support", "Archive", "API calls",
           "Training", "Monitoring", "Domains", "Mail", "Storage", "Café plan", "Pro", "Studio", "Agency", "School",
           "Charity")


class Shop:
    """What one account sells, and the calendar of its history.

    Args:
        books: the account.
        start: the first second of the history.
        end: the last second of the history.
        scale: 1.0 is the whole business; smaller ones have less of everything.
    """

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

    def call_at(self, time: float, action: Callable[..., Any], *args: Any) -> None:
        """Put an action on the calendar of the world, at the end of the history at the latest."""
        self.books.world.call_at(min(int(time), self.end), action, *args)

    def scaled(self, number: float) -> int:
        """Return the count of scale 1 at this scale, at least 1."""
        return max(1, round(number * self.scale))

    def random_moment(self, first: float = 0.0, last: float = 1.0) -> int:
        """Return a random moment between two shares of the history; later ones are more likely, as business grows."""
        share = first + (last - first) * self.rng.random() ** 0.75
        return int(self.start + share * (self.end - self.start - 3600))

    def random_object(self, object: str, **wanted: Any) -> Record | None:
        """Return a random object with these values; None if none was drawn in 60 attempts."""
        found = self.books.all(object)
        for _ in range(60):
            if not found:
                return None
            record = self.rng.choice(found)
            if all(record.data.get(name) == value for name, value in wanted.items()):
                return record
        return None

    def create_products(self) -> None:
        """Create products, prices, coupons, promotion codes, tax rates and the tax ids of the account."""
        books, rng = self.books, self.rng
        for number, name in enumerate(_HOSTED):
            product = products.product(books, name, description=f"{name}, hosted", metadata={"line": "hosted"})
            currency = "eur" if number % 5 == 4 else "usd"
            base = rng.choice((900, 1500, 2900, 4900, 9900))
            if number % 9 == 8:
                tiers: list[dict[str, Any]] = [
                    {"flat_amount": 500, "flat_amount_decimal": "500", "unit_amount": 100, "unit_amount_decimal": "100",
                     "up_to": 10},
                    {"flat_amount": None, "flat_amount_decimal": None, "unit_amount": 80, "unit_amount_decimal": "80",
                     "up_to": None}]
                month = products.price(books, product.id, None, currency, "month", tiers=tiers,
                                       nickname=f"{name} tiered")
            else:
                month = products.price(books, product.id, base, currency, "month", nickname=f"{name} monthly",
                                       lookup_key=f"{name.lower().replace(' ', '_')}_monthly")
            year = products.price(books, product.id, base * 10, currency, "year", nickname=f"{name} yearly", options={
                currency: {"custom_unit_amount": None, "tax_behavior": "unspecified", "unit_amount": base * 10,
                           "unit_amount_decimal": str(base * 10)},
                "gbp": {"custom_unit_amount": None, "tax_behavior": "unspecified", "unit_amount": base * 8,
                        "unit_amount_decimal": str(base * 8)}} if number % 4 == 0 else None)
            self.monthly.append(month)
            self.yearly.append(year)
            change(books, product, default_price=year.id)
        quarterly = products.price(books, self.monthly[0].data["product"], 2400, "usd", "month", 3,
                                   nickname="Quarterly")
        self.yearly.append(quarterly)
        for number, name in enumerate(_SOLD):
            product = products.product(books, name, shippable=True, images=["https://img.example.com/a.png"],
                                       tax_code="txcd_99999999", package_dimensions={
                                           "height": 2.5, "length": 10.0, "weight": 4.25, "width": 6.0})
            for currency, amount in (("usd", 1900 + 700 * number),
                                     (("jpy", 3200), ("kwd", 12340), ("eur", 2200), ("gbp", 1700))[number % 4]):
                self.once.append(products.price(books, product.id, amount, currency, nickname=f"{name} ({currency})"))
        simple: tuple[dict[str, Any], ...] = (
                       {"name": "Launch", "percent_off": 25.0, "duration": "once"},
                       {"name": "Loyal", "percent_off": 12.5, "duration": "forever"},
                       {"name": "Half a year", "percent_off": 33.3, "duration": "repeating", "duration_in_months": 6},
                       {"name": "Five off", "amount_off": 500, "currency": "usd", "duration": "once"})
        for fields in simple:
            self.coupons.append(products.coupon(books, **fields))
        hosted = [self.monthly[0].data["product"], self.monthly[1].data["product"]]
        self.coupons.append(products.coupon(books, id="HOSTED-20", name="Hosted only", percent_off=20.0,
                                            duration="once", products=hosted))
        for number in range(12):
            self.promotions.append(products.promotion_code(books, self.coupons[number % 4], f"CODE{number:02d}"))
        for name, percentage in (("MwSt", 19.0), ("TVA", 20.0), ("Sales tax", 8.25)):
            self.rates.append(products.tax_rate(books, name, percentage))
        products.tax_rate(books, "Old VAT", 16.0, active=False)
        customers.tax_id(books, None, type="eu_vat", value="DE811907980")
        customers.tax_id(books, None, type="us_ein", value="12-3456789", country="US")
