"""Products, prices and their plans, coupons, promotion codes, tax rates and discounts."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record


def product(books: Books, name: str, **fields: Any) -> Record:
    """Create a product."""
    record = books.add("product", **{"name": name, "updated": books.now, **fields})
    emit(books, "product.created", record)
    return record


def price(
    books: Books, of: str, amount: int | None, currency: str = "usd", interval: str | None = None, count: int = 1, *,
    tiers: list[Data] | None = None, options: Data | None = None, inline: bool = False, decimal: str | None = None,
    **fields: Any,
) -> Record:
    """Create a price; a recurring one has a plan with the same id.

    Args:
        books: the account.
        of: id of the product.
        amount: in the minor unit; None where there are tiers.
        currency: of the amount.
        interval: "month" or "year"; None is a one-time price.
        count: how many intervals a period has.
        tiers: graduated tiers, shown with `expand[]` only.
        options: the same price in other currencies, shown with `expand[]` only.
        inline: whether it was created with one subscription or checkout: such prices are inactive and in no list.
        fields: further members of the price.
        decimal: the amount with fractions of the minor unit.
    """
    recurring = {"interval": interval, "interval_count": count, "meter": None, "trial_period_days": None,
                 "usage_type": "licensed"} if interval else None
    text = decimal or (None if amount is None else str(amount))
    shared: Data = {"currency": currency, "product": of, "billing_scheme": "tiered" if tiers else "per_unit",
                    "tiers_mode": "graduated" if tiers else None, "active": not inline}
    expand_only: Data = {"currency_options": options or {currency: {
        "custom_unit_amount": None, "tax_behavior": "unspecified", "unit_amount": amount, "unit_amount_decimal": text}}}
    if tiers:
        expand_only["tiers"] = tiers
    record = books.add("price", expand_only=expand_only, hidden=inline, **{
        **shared, "recurring": recurring, "type": "recurring" if interval else "one_time", "unit_amount": amount,
        "unit_amount_decimal": text, **fields})
    if interval:
        plan = books.add("plan", id=record.id, expand_only={"tiers": tiers} if tiers else None, hidden=inline, **{
            **shared, "amount": amount, "amount_decimal": text, "interval": interval, "interval_count": count,
            "nickname": record.data["nickname"]})
        emit(books, "plan.created", plan)
    emit(books, "price.created", record)
    return record


def update_price(books: Books, record: Record, **fields: Any) -> Data:
    """Change a price and the plan with its id."""
    previous = change(books, record, "price.updated", **fields)
    plan = books.find("plan", record.id)
    shared = {name: value for name, value in fields.items() if name in ("active", "nickname", "metadata")}
    if plan is not None and shared:
        change(books, plan, "plan.updated", **shared)
    return previous


def coupon(books: Books, *, products: list[str] | None = None, **fields: Any) -> Record:
    """Create a coupon."""
    expand_only = {"applies_to": {"products": products}} if products else None
    record = books.add("coupon", expand_only=expand_only, **fields)
    emit(books, "coupon.created", record)
    return record


def promotion_code(books: Books, of: Record, code: str, **fields: Any) -> Record:
    """Create a promotion code for a coupon."""
    record = books.add("promotion_code", promotion={"coupon": of.id, "type": "coupon"}, code=code, **fields)
    emit(books, "promotion_code.created", record)
    return record


def tax_rate(books: Books, name: str, percentage: float, **fields: Any) -> Record:
    """Create a tax rate."""
    record = books.add("tax_rate", **{"display_name": name, "percentage": percentage, "country": "DE",
                                      "effective_percentage": percentage, "jurisdiction": "DE", "tax_type": "vat",
                                      **fields})
    emit(books, "tax_rate.created", record)
    return record


def new_discount(
    books: Books, of: Record, *, customer: str | None = None, subscription: str | None = None,
    item: str | None = None, invoice: str | None = None, invoice_item: str | None = None,
    promotion: Record | None = None,
) -> Data:
    """Create the discount that applies a coupon to something, and count the redemption."""
    end = None
    if of.data["duration"] == "repeating" and of.data["duration_in_months"]:
        end = books.now + of.data["duration_in_months"] * 30 * 86400
    record = books.add("discount", hidden=True, customer=customer, subscription=subscription, subscription_item=item,
                       invoice=invoice, invoice_item=invoice_item, start=books.now, end=end,
                       promotion_code=promotion.id if promotion else None, source={"coupon": of.id, "type": "coupon"})
    books.discounts[record.id] = record.data
    # seen on Stripe for promotion codes (api_version 2020-08-27); assumed for coupons
    with_event = not books.world.faults.silent_counters
    change(books, of, "coupon.updated" if with_event else None, times_redeemed=of.data["times_redeemed"] + 1)
    if promotion is not None:
        change(books, promotion, "promotion_code.updated" if with_event else None,
               times_redeemed=promotion.data["times_redeemed"] + 1)
    return record.data
