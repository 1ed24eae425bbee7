"""Subscriptions: items, renewals, cancellations, schedules."""
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from stripe_source.sandbox.business.billing import (
    Line,
    amount_of,
    collect_payment,
    draft_invoice,
    finalize,
    line_of_item,
    pending_items,
    subscription_parent,
    void_invoice,
)
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.business.products import new_discount
from stripe_source.sandbox.state.books import EMBEDDED_LIMIT, Books
from stripe_source.sandbox.state.catalog import blank
from stripe_source.sandbox.state.events import announce, change, emit
from stripe_source.sandbox.state.records import Data, Record

UPCOMING_DAYS = 7  # how long before a renewal Stripe sends `invoice.upcoming`
ENDING_DAYS = 3  # how long before its end Stripe sends `customer.subscription.trial_will_end`
_ALIVE = ("active", "trialing", "past_due")


def period_end(start: int, interval: str, count: int) -> int:
    """Return the end of a billing period: the same day of a later month, or the last day of it."""
    then = datetime.fromtimestamp(start, timezone.utc)
    if interval in ("day", "week"):
        return start + count * (DAY if interval == "day" else 7 * DAY)
    months = then.month - 1 + count * (12 if interval == "year" else 1)
    year, month = then.year + months // 12, months % 12 + 1
    last = (datetime(year + month // 12, month % 12 + 1, 1) - datetime(year, month, 1)).days
    return int(then.replace(year=year, month=month, day=min(then.day, last)).timestamp())


def subscribe(
    books: Books, owner: Record, prices: list[tuple[Record, int]], *, coupon: Record | None = None,
    promotion: Record | None = None, trial_days: int = 0, rates: list[str] | None = None,
    collection: str = "charge_automatically", decline: str | None = None, **fields: Any,
) -> Record:
    """Create a subscription with its items and, unless it has a trial, its first invoice; plan its renewal."""
    now = books.now
    interval, count = billing_interval(prices[0][0])
    end = now + trial_days * DAY if trial_days else period_end(now, interval, count)
    record = books.add("subscription", **{
        "customer": owner.id, "currency": prices[0][0].data["currency"], "start_date": now,
        "billing_cycle_anchor": end if trial_days else now, "collection_method": collection,
        "days_until_due": 30 if collection == "send_invoice" else None,
        "default_tax_rates": rates or [], "status": "trialing" if trial_days else "active",
        "trial_start": now if trial_days else None, "trial_end": end if trial_days else None,
        "metadata": {"seats": "ünïcode ✓"} if books.count("subscriptions") % 13 == 0 else {}, **fields})
    if coupon is not None:
        made = new_discount(books, coupon, customer=owner.id, subscription=record.id, promotion=promotion)
        record.data["discounts"] = [made["id"]]
    for price, quantity in prices:
        add_item(books, record, price, quantity, end=end, emit_event=False)
    if coupon is not None and len(prices) == 2 and coupon.data["duration"] == "forever":
        item = books.children(("subscription_item",), record.id)[1]
        item.data["discounts"] = [new_discount(books, coupon, customer=owner.id, subscription=record.id,
                                               item=item.id)["id"]]
        books.invalidate(item)
    if not trial_days:
        bill_period(books, record, "subscription_create", (now, end), decline=decline)
    emit(books, "customer.subscription.created", record)
    books.world.call_at(end, renew, books, record)
    _schedule_announcements(books, record, end)
    return record


def billing_interval(price: Record) -> tuple[str, int]:
    """Return interval and number of intervals of a recurring price."""
    recurring = price.data["recurring"]
    return recurring["interval"], recurring["interval_count"]


def add_item(
    books: Books, subscription: Record, price: Record, quantity: int, *, end: int, emit_event: bool = True,
    **fields: Any,
) -> Record:
    """Add an item to a subscription."""
    item = books.add("subscription_item", parent_id=subscription.id, subscription=subscription.id, price=price.id,
                     plan=price.id, quantity=quantity, current_period_start=books.now, current_period_end=end, **fields)
    if emit_event:
        emit(books, "customer.subscription.updated", subscription, {})
    return item


def remove_item(books: Books, item: Record) -> None:
    """Remove an item of a subscription; only the subscription has an event of it."""
    subscription = books.get("subscription", item.data["subscription"])
    books.remove(item)
    emit(books, "customer.subscription.updated", subscription, {})


def _schedule_announcements(books: Books, subscription: Record, end: int) -> None:
    """Plan the events that Stripe sends before a period ends."""
    if end - UPCOMING_DAYS * DAY > books.now:
        books.world.call_at(end - UPCOMING_DAYS * DAY, _upcoming, books, subscription, end)
    if subscription.data["status"] == "trialing":
        books.world.call_at(max(books.now, end - ENDING_DAYS * DAY), _trial_ends, books, subscription)


def _upcoming(books: Books, subscription: Record, end: int) -> None:
    data = subscription.data
    goes_on = data["status"] in _ALIVE and not data["cancel_at_period_end"] and data["pause_collection"] is None
    if goes_on and books.now >= books.world.announcements_from and books.find("customer", data["customer"]):
        announce(books, "invoice.upcoming", preview(books, subscription, end))


def _trial_ends(books: Books, subscription: Record) -> None:
    if subscription.data["status"] == "trialing":
        announce(books, "customer.subscription.trial_will_end", subscription)


def preview(books: Books, subscription: Record, start: int | None = None) -> Data:
    """Return the upcoming invoice of a subscription; it does not exist yet, so its id is in no list."""
    owner = books.get("customer", subscription.data["customer"])
    items = books.children(("subscription_item",), subscription.id)
    begin = start or (items[0].data["current_period_end"] if items else books.now)
    price = books.find("price", items[0].data["price"]) if items else None
    data, id = blank("invoice"), "upcoming_" + books.new_id("invoice")
    waiting = [item for item in pending_items(books, owner.id)
               if item.data["currency"] == subscription.data["currency"]]
    period = (begin, period_end(begin, *billing_interval(price)) if price else begin)
    lines = [{**blank("line_item"), "id": f"il_tmp_{number}{id[-20:]}", "invoice": id, "subtotal": line["amount"],
              "currency": subscription.data["currency"], **line}
             for number, line in enumerate([*_lines(books, subscription, period), *map(line_of_item, waiting)])]
    total = sum(line["amount"] for line in lines)
    data.update(
        id=id, customer=owner.id, currency=subscription.data["currency"], billing_reason="upcoming", created=begin,
        customer_email=owner.data["email"], customer_name=owner.data["name"], period_start=books.now, period_end=begin,
        livemode=books.world.livemode, subtotal=total, total=total, amount_due=max(0, total),
        amount_remaining=max(0, total), next_payment_attempt=begin + 3600,
        discounts=list(subscription.data["discounts"]), parent=subscription_parent(subscription),
        lines={"object": "list", "data": lines[:EMBEDDED_LIMIT], "has_more": len(lines) > EMBEDDED_LIMIT,
               "total_count": len(lines), "url": f"/v1/invoices/{id}/lines"})
    return data


def _lines(books: Books, subscription: Record, period: tuple[int, int]) -> list[Line]:
    """Return the invoice lines of a subscription's items for a period."""
    lines: list[Line] = []
    for item in books.children(("subscription_item",), subscription.id):
        price = books.find("price", item.data["price"])
        if price is None:
            continue
        data, quantity = price.data, item.data["quantity"]
        lines.append({
            "amount": amount_of(data, quantity, price.expand_only), "quantity": quantity,
            "quantity_decimal": str(quantity),
            "description": f"{quantity} × {data['nickname'] or 'Subscription'}", "subscription": subscription.id,
            "discounts": list(item.data["discounts"]), "period": {"start": period[0], "end": period[1]},
            "pricing": {"type": "price_details", "price_details": {"price": price.id, "product": data["product"]},
                        "unit_amount_decimal": data["unit_amount_decimal"]},
            "parent": {"type": "subscription_item_details", "invoice_item_details": None,
                       "subscription_item_details": {
                           "invoice_item": None, "proration": False, "proration_details": {"credited_items": None},
                           "subscription": subscription.id, "subscription_item": item.id}}})
    return lines


def bill_period(
    books: Books, subscription: Record, reason: str, period: tuple[int, int], *, decline: str | None = None
) -> Record | None:
    """Create the invoice of one period, with the customer's pending items, and collect or send it."""
    owner = books.find("customer", subscription.data["customer"])
    if owner is None:
        return None
    currency = subscription.data["currency"]
    lines = _lines(books, subscription, period)
    waiting = [each for each in pending_items(books, owner.id) if each.data["currency"] == currency]
    lines += [line_of_item(item) for item in waiting]
    discounts = [books.discounts[each] for each in subscription.data["discounts"]]
    discounts = [each for each in discounts if not each["end"] or each["end"] > books.now]
    if owner.data["discount"] and not discounts:
        discounts = [owner.data["discount"]]
    invoice = draft_invoice(books, owner, lines, reason=reason, subscription=subscription, period=period,
                            discounts=discounts,
                            rates=list(subscription.data["default_tax_rates"]), currency=currency,
                            collection_method=subscription.data["collection_method"])
    for item in waiting:  # Stripe has no event for this
        change(books, item, invoice=invoice.id)
    change(books, subscription, latest_invoice=invoice.id)
    automatic = subscription.data["collection_method"] == "charge_automatically"
    finalize(books, invoice, net=None if automatic else 30)
    if automatic:
        if not collect_payment(books, invoice, decline=decline):
            first = reason == "subscription_create"
            change(books, subscription, None if first else "customer.subscription.updated",
                   status="incomplete" if first else "past_due")
            books.world.call_at(books.now + 3 * DAY, _retry, books, subscription, invoice)
        return invoice
    emit(books, "invoice.sent", invoice)
    books.world.call_at(books.now + 12 * DAY, _paid_by_transfer, books, invoice)
    return invoice


def _paid_by_transfer(books: Books, invoice: Record) -> None:
    if invoice.data["status"] == "open" and books.find("customer", invoice.data["customer"]):
        if books.count("sent invoices") % 9 == 4:
            void_invoice(books, invoice, "uncollectible" if books.counters["sent invoices"] % 2 else "void")
        else:
            collect_payment(books, invoice)


def _retry(books: Books, subscription: Record, invoice: Record) -> None:
    if invoice.data["status"] != "open" or books.find("customer", invoice.data["customer"]) is None:
        return
    if books.count("retries") % 3:
        collect_payment(books, invoice)
        if subscription.data["status"] in ("past_due", "incomplete"):
            change(books, subscription, "customer.subscription.updated", status="active")
    else:
        collect_payment(books, invoice, decline="card_declined")
        void_invoice(books, invoice)
        if subscription.data["status"] == "incomplete":
            change(books, subscription, "customer.subscription.updated", status="incomplete_expired",
                   ended_at=books.now)
        elif subscription.data["status"] != "canceled":
            cancel(books, subscription, reason="payment_failed")


def renew(books: Books, subscription: Record) -> None:
    """Start the next period of a subscription, unless it ended."""
    data = subscription.data
    if data["status"] in ("canceled", "incomplete_expired"):
        return
    if data["cancel_at_period_end"]:
        cancel(books, subscription)
        return
    items = books.children(("subscription_item",), subscription.id)
    price = books.find("price", items[0].data["price"]) if items else None
    if price is None:
        cancel(books, subscription)
        return
    start = books.now
    end = period_end(start, *billing_interval(price))
    for item in items:
        change(books, item, current_period_start=start, current_period_end=end)
    paused = data["pause_collection"] is not None
    previous: Data = {"latest_invoice": data["latest_invoice"]}
    if data["status"] == "trialing":
        previous["status"] = "trialing"
        change(books, subscription, status="active")
    if not paused:
        decline = "card_declined" if books.count("renewals") % 29 == 0 else None
        bill_period(books, subscription, "subscription_cycle", (start, end), decline=decline)
    emit(books, "customer.subscription.updated", subscription, previous)
    books.world.call_at(end, renew, books, subscription)
    _schedule_announcements(books, subscription, end)


def cancel(books: Books, subscription: Record, *, reason: str = "cancellation_requested") -> None:
    """Cancel a subscription at once; it still exists, with status `canceled`."""
    change(books, subscription, status="canceled", canceled_at=books.now, ended_at=books.now,
           cancellation_details={"comment": None, "feedback": None, "feedback_option": None, "reason": reason})
    emit(books, "customer.subscription.deleted", subscription)


def schedule(books: Books, subscription: Record, price: Record) -> Record:
    """Create a schedule with the next phase of a subscription."""
    items = books.children(("subscription_item",), subscription.id)
    start, end = items[0].data["current_period_start"], items[0].data["current_period_end"]

    def phase(of: str, begins: int, ends: int) -> Data:
        return {
            "add_invoice_items": [], "application_fee_percent": None,
            "billing_cycle_anchor": None, "billing_thresholds": None, "collection_method": None, "currency": "usd",
            "default_payment_method": None, "default_tax_rates": [], "description": None, "discounts": [],
            "end_date": ends, "invoice_settings": None, "items": [
                {"billing_thresholds": None, "discounts": [], "metadata": {}, "plan": of, "price": of, "quantity": 1,
                 "tax_rates": []}],
            "metadata": {}, "on_behalf_of": None, "proration_behavior": "create_prorations", "start_date": begins,
            "transfer_data": None, "trial_end": None}

    record = books.add(
        "subscription_schedule", customer=subscription.data["customer"], subscription=subscription.id, status="active",
        current_phase={"start_date": start, "end_date": end},
        phases=[phase(items[0].data["price"], start, end), phase(price.id, end, end + 365 * DAY)])
    change(books, subscription, "customer.subscription.updated", schedule=record.id)
    emit(books, "subscription_schedule.created", record)
    return record
