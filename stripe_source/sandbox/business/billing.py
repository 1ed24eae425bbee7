"""Billing: invoices with lines, the items that go on them, credit notes."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.business.customers import adjust_balance, default_method
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.business.payments import confirm, create_intent, refund, refundable
from stripe_source.sandbox.business.products import new_discount
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import announce, change, emit
from stripe_source.sandbox.state.records import Data, Record

Line = Data


def amount_of(price: Data, quantity: int, expand_only: Data | None = None) -> int:
    """Return the amount for a quantity, by unit price or by graduated tiers."""
    if price["unit_amount"] is not None:
        return int(price["unit_amount"]) * quantity
    total, done = 0, 0
    for tier in (expand_only or {}).get("tiers", ()):
        most = tier["up_to"] if tier["up_to"] is not None else quantity
        here = max(0, min(quantity, most) - done)
        if here:
            total += here * (tier["unit_amount"] or 0) + (tier["flat_amount"] or 0)
        done += here
    return total


# --- invoices


def draft_invoice(
    books: Books, owner: Record, lines: list[Line], *, reason: str = "manual", subscription: Record | None = None,
    period: tuple[int, int] | None = None, discounts: list[Data] | None = None, rates: list[str] | None = None,
    currency: str | None = None, **fields: Any,
) -> Record:
    """Create a draft invoice with lines; its totals are computed from them.

    Args:
        books: the account.
        owner: the customer.
        lines: fields of each line; `amount` at least.
        reason: Stripe's billing reason.
        subscription: the subscription that it bills.
        period: start and end; None stands for now.
        discounts: discounts of the whole invoice.
        rates: ids of tax rates on every line, on top of the amount.
        currency: of the amounts; None is "usd".
        fields: further members of the invoice.
    """
    now, data = books.now, owner.data
    period = period or (now, now)
    record = books.add("invoice", **{
        "customer": owner.id, "currency": currency or "usd", "billing_reason": reason, "period_start": period[0],
        "period_end": period[1], "customer_address": data["address"], "customer_email": data["email"],
        "customer_name": data["name"], "customer_phone": data["phone"], "customer_shipping": data["shipping"],
        "customer_tax_exempt": data["tax_exempt"], "discounts": [each["id"] for each in discounts or ()],
        "default_tax_rates": rates or [], "auto_advance": reason != "manual",
        "starting_balance": data["balance"], "account_name": books.profile["business_profile"]["name"],
        "account_country": books.profile["country"],
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None,
                          "status": None},
        "parent": subscription and subscription_parent(subscription), **fields})
    for line in lines:
        add_line(books, record, line, emit_event=False)
    update_totals(books, record)
    emit(books, "invoice.created", record)
    return record


def subscription_parent(subscription: Record) -> Data:
    """Return the `parent` of an invoice that bills a subscription."""
    return {"type": "subscription_details", "quote_details": None, "subscription_details": {
        "metadata": dict(subscription.data["metadata"]), "subscription": subscription.id}}


def add_line(books: Books, invoice: Record, line: Line, *, emit_event: bool = True) -> Record:
    """Add a line to a draft."""
    made = books.add("line_item", parent_id=invoice.id, **{
        "invoice": invoice.id, "currency": invoice.data["currency"], "subtotal": line["amount"],
        "period": {"start": invoice.data["period_start"], "end": invoice.data["period_end"]}, **line})
    if emit_event:
        update_totals(books, invoice)
        emit(books, "invoice.updated", invoice, {})
    return made


def update_totals(books: Books, invoice: Record) -> None:
    """Compute discounts, taxes and totals from the lines."""
    found = [(each, _percent(books, each)) for each in invoice.data["discounts"]]
    rates = [books.get("tax_rate", each) for each in invoice.data["default_tax_rates"]]
    subtotal = discounted = taxed = 0
    by_discount: dict[str, int] = {}
    by_rate: dict[str, list[int]] = {}
    for line in books.children(("line_item",), invoice.id):
        data = line.data
        amount, off = data["amount"], 0
        cuts: list[Data] = []
        own = [(each, _percent(books, each)) for each in data["discounts"]]
        for id, (percent, fixed) in [*found, *own]:
            cut = min(round(amount * percent / 100) if percent else fixed, amount - off) if amount > 0 else 0
            if fixed and (id, (percent, fixed)) in found and by_discount.get(id):
                cut = 0  # an amount off is taken once, from the first line
            cuts.append({"amount": cut, "discount": id})
            by_discount[id] = by_discount.get(id, 0) + cut
            off += cut
        taxes: list[Data] = []
        for rate in rates:
            tax = round((amount - off) * rate.data["percentage"] / 100)
            taxes.append({"amount": tax, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": rate.id},
                          "taxability_reason": "standard_rated", "taxable_amount": amount - off,
                          "type": "tax_rate_details"})
            sums = by_rate.setdefault(rate.id, [0, 0])
            sums[0] += tax
            sums[1] += amount - off
            taxed += tax
        if cuts or taxes:
            change(books, line, discount_amounts=cuts, taxes=taxes, pretax_credit_amounts=[
                {"amount": cut["amount"], "discount": cut["discount"], "type": "discount"} for cut in cuts])
        subtotal += amount
        discounted += off
    total = subtotal - discounted + taxed
    due = max(0, total + min(0, invoice.data["starting_balance"])) if total > 0 else 0
    change(books, invoice, subtotal=subtotal, subtotal_excluding_tax=subtotal, total=total,
           total_excluding_tax=subtotal - discounted, amount_due=due, amount_remaining=due,
           total_discount_amounts=[{"amount": amount, "discount": id} for id, amount in by_discount.items()],
           total_pretax_credit_amounts=[{"amount": amount, "discount": id, "type": "discount"}
                                        for id, amount in by_discount.items()],
           total_taxes=[{"amount": sums[0], "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": id},
                         "taxability_reason": "standard_rated", "taxable_amount": sums[1], "type": "tax_rate_details"}
                        for id, sums in by_rate.items()])


def _percent(books: Books, discount: str) -> tuple[float, int]:
    coupon = books.find("coupon", books.discounts[discount]["source"]["coupon"])
    if coupon is None:  # a discount outlives its coupon
        deleted = books.collection("coupon").deleted[books.discounts[discount]["source"]["coupon"]].data
        return deleted["percent_off"] or 0, deleted["amount_off"] or 0
    return coupon.data["percent_off"] or 0, coupon.data["amount_off"] or 0


def finalize(books: Books, invoice: Record, *, net: int | None = None) -> None:
    """Give a draft its number and open it; the customer's credit balance is applied first."""
    owner = books.find("customer", invoice.data["customer"])
    credit_used = invoice.data["total"] - invoice.data["amount_due"] if invoice.data["total"] > 0 else 0
    url = f"https://invoice.stripe.com/i/{books.account}/{invoice.id}"
    number = f"LG-{books.count('invoices'):05d}"
    if owner is not None:
        number = f"{owner.data['invoice_prefix']}-{owner.data['next_invoice_sequence']:04d}"
        change(books, owner, "customer.updated", next_invoice_sequence=owner.data["next_invoice_sequence"] + 1,
               currency=owner.data["currency"] or invoice.data["currency"])
        if credit_used:
            adjust_balance(books, owner, credit_used, invoice.data["currency"], "applied_to_invoice",
                           invoice=invoice.id)
    change(books, invoice, number=number, status="open", effective_at=books.now,
           ending_balance=invoice.data["starting_balance"] + credit_used,
           hosted_invoice_url=url, invoice_pdf=f"{url}/pdf",
           due_date=books.now + net * DAY if net is not None else invoice.data["due_date"],
           status_transitions={**invoice.data["status_transitions"], "finalized_at": books.now})
    emit(books, "invoice.finalized", invoice)
    if net is not None:
        for days, type in ((-3, "invoice.will_be_due"), (1, "invoice.overdue")):
            if net + days > 0:
                books.world.call_at(invoice.data["due_date"] + days * DAY, _remind, books, invoice, type)
    if invoice.data["amount_due"]:
        payment = create_intent(books, invoice.data["amount_due"], invoice.data["currency"], owner,
                                description=f"Invoice {number}")
        books.add("invoice_payment", parent_id=invoice.id, invoice=invoice.id, currency=invoice.data["currency"],
                  amount_requested=invoice.data["amount_due"], is_default=True,
                  payment={"type": "payment_intent", "payment_intent": payment.id})


def _remind(books: Books, invoice: Record, type: str) -> None:
    if invoice.data["status"] == "open":
        announce(books, type, invoice)


def collect_payment(
    books: Books, invoice: Record, *, decline: str | None = None, method: Record | None = None
) -> bool:
    """Try to collect an open invoice; return whether it is paid."""
    data = invoice.data
    owner = books.find("customer", data["customer"])
    part = next(iter(books.children(("invoice_payment",), invoice.id)), None)
    if part is not None and part.data["status"] == "open":
        if owner is not None and method is None:
            method = default_method(books, owner)
        intent = books.get("payment_intent", part.data["payment"]["payment_intent"])
        confirm(books, intent, method, decline=decline)
        if decline:
            change(books, invoice, attempted=True, attempt_count=data["attempt_count"] + 1,
                   next_payment_attempt=books.now + 3 * DAY if data["attempt_count"] < 2 else None)
            emit(books, "invoice.payment_failed", invoice)
            if owner is not None and not owner.data["delinquent"]:
                change(books, owner, "customer.updated", delinquent=True)
            return False
        change(books, part, status="paid", amount_paid=data["amount_due"],
               status_transitions={"canceled_at": None, "paid_at": books.now})
        emit(books, "invoice_payment.paid", part)
    change(books, invoice, status="paid", attempted=True, amount_paid=data["amount_due"], amount_remaining=0,
           attempt_count=data["attempt_count"] + 1, next_payment_attempt=None, auto_advance=False,
           status_transitions={**data["status_transitions"], "paid_at": books.now})
    emit(books, "invoice.paid", invoice)
    emit(books, "invoice.payment_succeeded", invoice)
    if owner is not None and owner.data["delinquent"]:
        change(books, owner, "customer.updated", delinquent=False)
    return True


def void_invoice(books: Books, invoice: Record, status: str = "void") -> None:
    """Give an open invoice the status "void" or "uncollectible"."""
    field = "voided_at" if status == "void" else "marked_uncollectible_at"
    change(books, invoice, status=status, auto_advance=False, next_payment_attempt=None,
           status_transitions={**invoice.data["status_transitions"], field: books.now})
    emit(books, "invoice.voided" if status == "void" else "invoice.marked_uncollectible", invoice)
    for part in books.children(("invoice_payment",), invoice.id):
        intent = books.get("payment_intent", part.data["payment"]["payment_intent"])
        if status == "void" and intent.data["status"] not in ("succeeded", "canceled"):
            change(books, part, status="canceled",
                   status_transitions={"canceled_at": books.now, "paid_at": None})
            change(books, intent, status="canceled", canceled_at=books.now, cancellation_reason="void_invoice")
            emit(books, "payment_intent.canceled", intent)


def remove_draft(books: Books, invoice: Record) -> None:
    """Delete a draft with its lines and items."""
    for item in [each for each in books.all("invoiceitem") if each.data["invoice"] == invoice.id]:
        remove_invoice_item(books, item)
    last = books.to_dict(invoice)
    for line in reversed(list(books.children(("line_item",), invoice.id))):
        books.remove(line)
    books.remove(invoice)
    books.collection("invoice").deleted[invoice.id].data = last
    emit(books, "invoice.deleted", last)


def invoice_item(
    books: Books, owner: Record, amount: int, currency: str = "usd", *, invoice: Record | None = None,
    price: Record | None = None, quantity: int = 1, coupon: Record | None = None, **fields: Any,
) -> Record:
    """Create an invoice item, for the customer's next invoice or for a draft."""
    record = books.add("invoiceitem", **{
        "amount": amount, "net_amount": amount, "currency": currency, "customer": owner.id, "date": books.now,
        "period": {"start": books.now, "end": books.now}, "quantity": quantity, "quantity_decimal": str(quantity),
        "invoice": invoice.id if invoice else None,
        "pricing": {"type": "price_details", "price_details": {"price": price.id, "product": price.data["product"]},
                    "unit_amount_decimal": str(amount // quantity)} if price else None, **fields})
    if invoice is None:
        books.pending_items.setdefault(owner.id, []).append(record)
    if coupon is not None:
        made = new_discount(books, coupon, customer=owner.id, invoice_item=record.id)
        record.data["discounts"] = [made["id"]]
    emit(books, "invoiceitem.created", record)
    if invoice is not None:
        add_line(books, invoice, line_of_item(record))
    return record


def pending_items(books: Books, customer: str) -> list[Record]:
    """Return the invoice items that are pending for the customer's next invoice."""
    known = books.collection("invoiceitem").records
    waiting = [each for each in books.pending_items.get(customer, ()) if each.id in known and not each.data["invoice"]]
    books.pending_items[customer] = waiting
    return list(waiting)


def line_of_item(item: Record) -> Line:
    """Return the invoice line of an invoice item."""
    data = item.data
    return {
        "amount": data["amount"], "description": data["description"], "discountable": data["discountable"],
        "discounts": list(data["discounts"]), "metadata": dict(data["metadata"]), "period": data["period"],
        "pricing": data["pricing"], "quantity": data["quantity"], "quantity_decimal": data["quantity_decimal"],
        "parent": {"type": "invoice_item_details", "subscription_item_details": None, "invoice_item_details": {
            "invoice_item": item.id, "proration": data["proration"], "proration_details": None, "subscription": None}},
    }


def remove_invoice_item(books: Books, item: Record) -> None:
    """Delete an invoice item, and its line if it is on a draft."""
    invoice = books.find("invoice", item.data["invoice"])
    if invoice is not None and invoice.data["status"] == "draft":
        for line in list(books.children(("line_item",), invoice.id)):
            if ((line.data["parent"] or {}).get("invoice_item_details") or {}).get("invoice_item") == item.id:
                books.remove(line)
        update_totals(books, invoice)
        emit(books, "invoice.updated", invoice, {})
    books.remove(item)
    emit(books, "invoiceitem.deleted", books.collection("invoiceitem").deleted[item.id].data)


def _of_line(line: Record | None) -> Data:
    return {"invoice_line_item": line.id} if line else {}


def issue_credit_note(
    books: Books, invoice: Record, parts: list[tuple[Record | None, int, str]], **fields: Any
) -> Record | None:
    """Create a credit note over lines or free amounts: it lowers an open invoice and refunds a paid one."""
    total = sum(amount for _, amount, _ in parts)
    paid = invoice.data["status"] == "paid"
    refunds: list[Data] = []
    if paid:
        part = next(iter(books.children(("invoice_payment",), invoice.id)), None)
        intent = books.find("payment_intent", part.data["payment"]["payment_intent"]) if part else None
        charge = books.find("charge", intent.data["latest_charge"]) if intent else None
        if charge is None or refundable(charge) < total:
            return None
        made = refund(books, charge, total)
        refunds = [{"amount_refunded": total, "payment_record_refund": None, "refund": made.id, "type": "refund"}]
    elif invoice.data["amount_remaining"] < total:
        return None
    count = books.count(f"credit:{invoice.id}")
    record = books.add("credit_note", **{
        "amount": total, "currency": invoice.data["currency"], "customer": invoice.data["customer"],
        "effective_at": books.now, "invoice": invoice.id, "number": f"{invoice.data['number']}-CN-{count:02d}",
        "pdf": f"https://pay.stripe.com/credit_notes/{books.account}/{invoice.id}/{count}/pdf", "refunds": refunds,
        "subtotal": total, "subtotal_excluding_tax": total, "total": total, "total_excluding_tax": total,
        "status": "issued", "type": "post_payment" if paid else "pre_payment",
        "post_payment_amount": total if paid else 0, "pre_payment_amount": 0 if paid else total,
        "reason": "order_change", **fields})
    for line, amount, text in parts:
        books.add("credit_note_line_item", parent_id=record.id, amount=amount, description=text,
                  quantity=1, **_of_line(line),
                  type="invoice_line_item" if line else "custom_line_item",
                  unit_amount=None if line else amount, unit_amount_decimal=None if line else str(amount))
    if paid:
        change(books, invoice, "invoice.updated",
               post_payment_credit_notes_amount=invoice.data["post_payment_credit_notes_amount"] + total)
    else:
        change(books, invoice, "invoice.updated",
               pre_payment_credit_notes_amount=invoice.data["pre_payment_credit_notes_amount"] + total,
               amount_due=invoice.data["amount_due"] - total, amount_remaining=invoice.data["amount_remaining"] - total)
        for part in books.children(("invoice_payment",), invoice.id):
            due = invoice.data["amount_due"]
            change(books, part, amount_requested=due)
            change(books, books.get("payment_intent", part.data["payment"]["payment_intent"]), amount=due)
    emit(books, "credit_note.created", record)
    return record
