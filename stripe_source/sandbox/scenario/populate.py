"""Objects of any table on demand: found or made parents, real relations, a value in every column."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stripe_source.sandbox.business import billing, goods, ledger, payments, people, singles
from stripe_source.sandbox.scenario import mutate
from stripe_source.sandbox.scenario.fabricate import fill, make, map_of
from stripe_source.sandbox.state import accounts
from stripe_source.sandbox.state.catalog import CHILDREN, LISTS, has_blank
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.store import Books, Data, Record

DAY = 86400
_TABLES = {entry["table"]: path for path, entry in LISTS.items()}
_REPORT_TYPES = ("balance.summary.1", "payouts.summary.1", "tax.transactions.itemized.2")
_COUNTRIES = ("DE", "US", "JP", "KW", "BR", "FR", "IE", "PL", "GB", "SE", "NO", "CH")
_CURRENCIES = ("eur", "usd", "jpy", "kwd", "brl", "gbp", "pln", "sek", "nok", "chf", "cad", "aud")
_CAPABILITIES = ("card_payments", "transfers", "sepa_debit_payments", "link_payments", "tax_reporting_us_1099_k")
_NAMED = {"country_spec": _COUNTRIES, "exchange_rate": _CURRENCIES, "reporting.report_type": _REPORT_TYPES}
# What tells the state of objects that have no event for changes: the last word is about the object as it is.
_LAST = {
    "invoice_payment": "invoice_payment.paid", "invoiceitem": "invoiceitem.created",
    "payment_intent": "payment_intent.created", "setup_intent": "setup_intent.created", "topup": "topup.created",
}


class _Order:
    """One order for objects of a table."""

    def __init__(self, books: Books, table: str, parent: str | None, fields: Data) -> None:
        self.books, self.table, self.parent, self.fields = books, table, parent, fields
        self.mapped = map_of(books, table)

    def owner(self, number: int) -> Record:
        """The parent of the next object: as told, or one of the two newest, or a new one."""
        object = CHILDREN[self.table][2]
        if self.parent is not None:
            return self.books.get(object, self.parent)
        fit = [record for record in self.books.all(object)[::-1] if _fit(self.books, record)][:2]
        if not fit:
            fit = [_parent(self.books, object)]
        return fit[number % len(fit)]


def _fit(books: Books, record: Record) -> bool:
    if record.object == "account":
        return "external_accounts" in record.data and record.id in books.world.accounts
    if record.object == "v2.core.account":
        return not record.data.get("closed")
    if record.object == "invoice":
        return bool(record.data["status"] == "draft")
    return not record.hidden and not record.data.get("test_clock")


def _parent(books: Books, object: str) -> Record:
    if object in ("tax.calculation", "tax.transaction"):
        return _tax(books, object)
    table = next(table for table, path in _TABLES.items() if LISTS[path]["objects"][0] == object and "{" not in path
                 ) if object != "source" else "customer_sources"
    made = populate(books, table, 1)
    return books.get(object, made[0]["id"])


def populate(books: Books, table: str, n: int, fields: Data | None = None, parent: str | None = None) -> list[Data]:
    """Makes `n` objects of a table, with what they belong to where it is not there yet."""
    if table in _SINGLES:
        return _SINGLES[table](books, table)
    if table not in _TABLES and table not in _MAKERS:
        raise KeyError(f"There is no table `{table}` that could be populated.")
    if books is not books.world.books and _of_platform(table):
        raise ValueError(f"Connected accounts have none of their own: table `{table}` is the platform's.")
    order = _Order(books, table, parent, dict(fields or {}))
    books.world.populated.add(table)
    return [books.plain(_MAKERS.get(table, _any)(order, number)) for number in range(n)]


def _of_platform(table: str) -> bool:
    return table == "accounts" or (table in CHILDREN and CHILDREN[table][2] == "account")


def populate_all(books: Books, n: int) -> dict[str, list[Data]]:
    """Makes `n` objects of every table, and a customer on a test clock with what customers have."""
    platform = books is books.world.books
    made = {
        table: populate(books, table, n) for table in sorted({*_TABLES, *_MAKERS, *_SINGLES} - _NO_TABLES)
        if platform or not _of_platform(table)}
    clocks = made["test_helpers_test_clocks"]
    if clocks:
        on = {"test_clock": clocks[0]["id"]}
        customer = populate(books, "customers", 1, on)
        owner = {"customer": customer[0]["id"]}
        subscription = populate(books, "subscriptions", 1, owner)
        made["customers"] += customer
        made["subscriptions"] += subscription
        made["subscription_schedules"] += populate(
            books, "subscription_schedules", 1, {"subscription": subscription[0]["id"]})
        made["quotes"] += populate(books, "quotes", 1, {**owner, **on})
        made["invoice_items"] += populate(books, "invoice_items", 1, owner)
        made["billing_credit_grants"] += populate(books, "billing_credit_grants", 1, {**owner, **on})
        made["billing_credit_balance_transactions"] += populate(
            books, "billing_credit_balance_transactions", 1, on, made["billing_credit_grants"][-1]["id"])
    return made


# --- objects that the business makes, filled up


def _filled(order: _Order, record: Record, number: int, keep: Data | None = None) -> Record:
    """Gives the object a value in every column, and tells of the change where Stripe would."""
    books = order.books
    also: Data = record.also if record.also is not None else {}
    fill(books, record.object, record.data, also, order.mapped, number)
    record.data.update(keep or {})
    record.also = also or None
    books.touch(record)
    type = mutate.updated_event(books, record) or _LAST.get(record.object)
    if type is not None:
        emit(books, type, record, {})
    return record


def _any(order: _Order, number: int) -> Record:
    """An object of any table without rules of its own."""
    books, path = order.books, _TABLES[order.table]
    children = CHILDREN.get(order.table)
    object = children[0][number % len(children[0])] if children else LISTS[path]["objects"][0]
    if has_blank(object):
        fields = dict(order.fields)
        if children:
            owner = order.owner(number)
            fields[owner.object.split(".")[-1]] = owner.id
        return _filled(order, mutate.create(books, object, fields), number, order.fields)
    fields = dict(order.fields)
    if object in _NAMED:
        names = _NAMED[object]
        count = books.count(order.table) - 1
        turn = "" if count < len(names) else f"_{count // len(names)}"
        fields.setdefault("id", names[count % len(names)] + turn)
    return make(books, order.mapped, object, fields, order.owner(number) if children else None, number=number)


def _item(order: _Order, number: int) -> Record:
    """A line of a checkout session, a payment link or a quote."""
    books, object = order.books, CHILDREN[order.table][0][0]
    return make(books, order.mapped, object, {"price": _full_price(books).id, "discounts": [], **order.fields},
                order.owner(number), number=number)


def _full_price(books: Books) -> Record:
    """A price with a value in every column."""
    found = next((each for each in books.all("price")[::-1] if each.data.get("transform_quantity")
                  and each.data["active"]), None)
    return found or books.get("price", populate(books, "prices", 1)[0]["id"])


def _subscription_item(order: _Order, number: int) -> Record:
    books, owner = order.books, order.owner(number)
    record = mutate.create(books, "subscription_item", {"subscription": owner.id, "price": _full_price(books).id})
    return _filled(order, record, number, order.fields)


def _external(order: _Order, number: int) -> Record:
    """A bank account or card that an account is paid out to."""
    object = ("bank_account", "card")[number % 2]
    return make(order.books, order.mapped, object, {"customer": None, **order.fields}, order.owner(number),
                number=number)


def _balance_transaction(order: _Order, number: int) -> Record:
    books = order.books
    charge = payments.pay(books, 1000 + number, "usd", None)
    entry = books.get("balance_transaction", charge.data["balance_transaction"])
    return _filled(order, entry, number, order.fields)


def _fund(books: Books, amount: int) -> Record:
    """Money that is available now and in no payout yet."""
    return ledger.enter(books, "adjustment", amount, "usd", books.new_id("topup"), description="Adjustment")


def _swept(order: _Order, number: int) -> Record:
    """A balance transaction in an automatic payout, which takes all that is available."""
    if order.parent is not None:
        raise ValueError("What is in a payout is settled when it is made; leave `parent` out.")
    books = order.books
    short = -sum(each.data["net"] for each in books.unswept.get("usd", ()))
    entry = _fund(books, max(0, short) + 2000 + number)
    payout = ledger.pay_out(books, "usd")
    if payout is None:
        raise ValueError("There is nothing to pay out.")
    return _filled(order, entry, number, order.fields)


def _payout(order: _Order, number: int) -> Record:
    """A payout by hand."""
    books = order.books
    _fund(books, 2000 + number)
    record = ledger.pay_out(books, "usd", 100 + number)
    if record is None:
        raise ValueError("There is nothing to pay out.")
    return _filled(order, record, number, order.fields)


def _plan(order: _Order, number: int) -> Record:
    books = order.books
    price = goods.price(books, goods.product(books, f"Planned {number}").id, 1000 + number, "usd", "month")
    return _filled(order, books.get("plan", price.id), number, order.fields)


def _price(order: _Order, number: int) -> Record:
    books = order.books
    fields = {"recurring": {"interval": "month"}, **order.fields}
    record = _filled(order, mutate.create(books, "price", fields), number)
    twin = books.find("plan", record.id)
    if twin is not None:
        _filled(_Order(books, "plans", None, {}), twin, number)
    if number % 3 == 1:
        goods.set_price(books, record, active=False)
    return record


def _customer(order: _Order, number: int) -> Record:
    record = people.customer(order.books, **order.fields)
    return _filled(order, record, number)


def _invoice_payment(order: _Order, number: int) -> Record:
    books = order.books
    invoice = books.get("invoice", mutate.create(books, "invoiceitem", {
        "invoice": mutate.create(books, "invoice", {}).id}).data["invoice"])
    billing.finalize(books, invoice)
    billing.settle_invoice(books, invoice)
    paid = [each for each in books.all("invoice_payment") if each.data["invoice"] == invoice.id]
    return _filled(order, paid[-1], number, order.fields)


def _invoice_line(order: _Order, number: int) -> Record:
    books, invoice = order.books, order.owner(number)
    mutate.create(books, "invoiceitem", {"invoice": invoice.id, "customer": invoice.data["customer"]})
    return _filled(order, books.children(("line_item",), invoice.id)[-1], number, order.fields)


def _credit_line(order: _Order, number: int) -> Record:
    books = order.books
    note = books.get("credit_note", order.parent) if order.parent else mutate.create(books, "credit_note", {})
    return _filled(order, books.children(("credit_note_line_item",), note.id)[-1], number, order.fields)


def _event(order: _Order, number: int) -> Record:
    books = order.books
    found = [each for each in books.all("customer") if not each.data.get("test_clock")]
    owner = found[-1] if found else people.customer(books)
    made = change(books, owner, description=f"Changed {books.count('changed')} times")
    record = emit(books, "customer.updated", owner, made)
    if record is None:
        raise ValueError("Events are kept for 30 days only.")
    record.data["request"] = {"id": books.new_id("req"), "idempotency_key": f"key-{number}"}
    record.data.update(account=books.account, context=books.account)
    books.touch(record)
    return record


def _discount(order: _Order, number: int) -> Record:
    books = order.books
    coupon = mutate.create(books, "coupon", {"duration": "repeating", "duration_in_months": 6})
    promotion = goods.promotion_code(books, coupon, f"SAVE{books.count('promos')}")
    owner = books.get("customer", order.parent) if order.parent else people.customer(books)
    record = books.get("discount", people.discount(books, owner, coupon, promotion)["id"])
    kept = {name: record.data.get(name) for name in ("customer", "end")}
    fill(books, "discount", record.data, {}, order.mapped, number)
    record.data.update(kept, **order.fields)
    books.touch(record)
    change(books, owner, "customer.updated")
    return record


def _tax_id(order: _Order, number: int) -> Record:
    books = order.books
    owner = books.get("customer", order.parent) if order.parent else people.customer(books) if number % 2 else None
    record = people.tax_id(books, owner)
    kept = {name: record.data[name] for name in ("customer", "owner")} | order.fields
    return _filled(order, record, number, kept)


def _review(order: _Order, number: int) -> Record:
    """A review of a payment; every second one is closed, and in no list any more."""
    books = order.books
    charge = payments.pay(books, 5000 + number, "usd", people.customer(books))
    intent = books.get("payment_intent", charge.data["payment_intent"])
    record = books.add("review", charge=charge.id, payment_intent=intent.id, open=True, reason="rule",
                       opened_reason="rule")
    fill(books, "review", record.data, {}, order.mapped, number)
    record.data.update(order.fields)
    if "open" not in order.fields:
        record.data.update(open=number % 2 == 0)
    if record.data["open"]:
        record.data.update(closed_reason=None)
    else:
        record.data.update(closed_reason="approved", reason="approved")
    books.touch(record)
    change(books, charge, "charge.updated", review=record.id)
    change(books, intent, review=record.id)
    emit(books, "review.opened" if record.data["open"] else "review.closed", record)
    return record


def _capability(order: _Order, number: int) -> Record:
    """A capability; its id is the same in every account."""
    books = order.books
    owner = order.owner(number)
    there = {each.data["id"] for each in books.children(("capability",), owner.id)}
    name = next((each for each in _CAPABILITIES if each not in there), f"capability_{len(there)}_payments")
    return make(books, order.mapped, "capability", {"id": name, **order.fields}, owner, key=f"{owner.id}/{name}",
                number=number)


def _account(order: _Order, number: int) -> Record:
    """A connected account, with books of its own."""
    books, world = order.books, order.books.world
    profile = accounts.profile(books.new_id("account"), f"Shop {number}", "US", "usd", books.now,
                               ("custom", "express", "standard")[number % 3])
    theirs = Books(world, profile["id"])
    theirs.profile = {**profile, "bank": {"usd": books.new_id("bank_account")}}
    world.accounts[profile["id"]] = theirs
    record = accounts.connect(books, profile)
    return _filled(order, record, number, order.fields)


def _grant(order: _Order, number: int) -> Record:
    """A credit grant, of a customer or of an account of Accounts v2."""
    books = order.books
    fields: Data = {"customer": None, "customer_account": None}
    if number % 3 == 2:
        fields["customer_account"] = books.new_id("account")
    else:
        found = [each for each in books.all("customer") if not each.data.get("test_clock")]
        fields["customer"] = (found[-1] if found else people.customer(books)).id
    fields["amount"] = {"monetary": {"currency": "usd", "value": 5000}, "type": "monetary"}
    return make(books, order.mapped, "billing.credit_grant", {**fields, **order.fields}, number=number)


def _credit(order: _Order, number: int) -> Record:
    """Use of a credit grant."""
    books, grant = order.books, order.owner(number)
    fields = {"type": ("debit", "credit")[number % 2], "credit_grant": grant.id, **order.fields}
    fields["debit" if fields["type"] == "credit" else "credit"] = None
    return make(books, order.mapped, "billing.credit_balance_transaction", fields, grant, number=number)


def _usage(order: _Order, number: int) -> Record:
    """What one customer used of a meter on one day; today first, then the days before."""
    books, meter = order.books, order.owner(number)
    fields = dict(order.fields)
    customer = fields.pop("customer", None)
    if customer is None:
        found = [each for each in books.all("customer")[::-1] if not each.data.get("test_clock")][:2]
        if not found:
            found = [people.customer(books)]
        customer = found[number % len(found)].id
    taken = {each.data["start_time"] for each in books.children(("billing.meter_event_summary",), meter.id)
             if each.second == customer}
    day = books.now // DAY * DAY
    while day in taken:
        day -= DAY
    record = make(books, order.mapped, "billing.meter_event_summary", {
        "start_time": day, "end_time": day + DAY, "aggregated_value": float(number + 1), **fields}, meter)
    record.second = customer
    return record


def _attempt(order: _Order, number: int) -> Record:
    """An attempt of a setup intent or a payment record, which names the newest."""
    books, owner = order.books, order.owner(number)
    object = CHILDREN[order.table][0][0]
    record = make(books, order.mapped, object, {**order.fields, owner.object: owner.id}, owner, number=number)
    name = "latest_attempt" if owner.object == "setup_intent" else "latest_payment_attempt_record"
    change(books, owner, **{name: record.id})
    return record


def _owner_of_linked(order: _Order, number: int) -> Record:
    """The owner of a linked account, in the ownership that the account names."""
    books, linked = order.books, order.owner(number)
    fields = {"ownership": linked.data["ownership"], **order.fields}
    return make(books, order.mapped, "financial_connections.account_owner", fields, linked, number=number)


def _amount_line(order: _Order, number: int) -> Record:
    books, intent = order.books, order.owner(number)
    if not intent.data.get("amount_details"):
        change(books, intent, amount_details={"tip": {}})
    return make(books, order.mapped, "payment_intent_amount_details_line_item", order.fields, intent, number=number)


def _fee_refund(order: _Order, number: int) -> Record:
    books, fee = order.books, order.owner(number)
    record = make(books, order.mapped, "fee_refund", {"fee": fee.id, "amount": 10, **order.fields}, fee, number=number)
    change(books, fee, "application_fee.refunded", amount_refunded=(fee.data.get("amount_refunded") or 0) + 10)
    return record


def _secret(order: _Order, number: int) -> Record:
    scope = {"type": "account"} if number % 2 == 0 else {"type": "user", "user": "usr_1"}
    return make(order.books, order.mapped, "apps.secret", {"scope": scope, **order.fields}, number=number)


def _tax(books: Books, object: str) -> Record:
    """A tax calculation or transaction, and the payment intent that leads to it.

    The first is named by the payment intent's hooks (and, for transactions, an association), the next by its metadata.
    """
    hooked = books.count(object) % 2 == 1
    record = books.add(object, currency="usd", livemode=books.world.livemode, tax_date=books.now, **(
        {"expires_at": books.now + 90 * DAY} if object == "tax.calculation" else {"created": books.now,
                                                                                  "type": "transaction"}))
    charge = payments.pay(books, 1500, "usd", people.customer(books))
    intent = books.get("payment_intent", charge.data["payment_intent"])
    if not hooked:
        change(books, intent, metadata={  # Stripe has no event for this
            **intent.data["metadata"], object.replace(".", "_"): record.id})
        return record
    calculation = record if object == "tax.calculation" else books.add(
        "tax.calculation", currency="usd", livemode=books.world.livemode, tax_date=books.now)
    change(books, intent, hooks={"inputs": {"tax": {"calculation": calculation.id}}})
    if object == "tax.transaction":
        reversal = books.add(object, currency="usd", livemode=books.world.livemode, created=books.now, type="reversal")
        books.add("tax.association", calculation=calculation.id, payment_intent=intent.id, tax_transaction_attempts=[
            {"committed": {"transaction": record.id}, "source": intent.id, "status": "committed"},
            {"committed": {"transaction": reversal.id}, "source": books.new_id("refund"), "status": "committed"},
            {"errored": {"reason": "another_payment_associated_with_calculation"}, "source": books.new_id("refund"),
             "status": "errored"}])
    return record


def _tax_line(order: _Order, number: int) -> Record:
    """A line of a tax calculation or transaction; there are both ways in which these can be found."""
    books, owner = order.books, CHILDREN[order.table][2]
    if order.parent is None:
        while books.counters.get(owner, 0) < 2:
            _tax(books, owner)
    parent = books.get(owner, order.parent) if order.parent else (found := books.all(owner))[number % len(found)]
    return make(books, order.mapped, CHILDREN[order.table][0][0], order.fields, parent, number=number)


def _v2_account(order: _Order, number: int) -> Record:
    """An account of Accounts v2; every third one is closed."""
    return make(order.books, order.mapped, "v2.core.account", {
        "applied_configurations": [("customer", "merchant", "recipient")[number % 3]], "closed": number % 3 == 2,
        **order.fields}, number=number)


def _v2_money(order: _Order, number: int) -> Record:
    """A financial account; every third one is closed."""
    return make(order.books, order.mapped, "v2.money_management.financial_account", {
        "status": ("open", "pending", "closed")[number % 3], **order.fields}, number=number)


def _quote(order: _Order, number: int) -> Record:
    fields = dict(order.fields)
    if "customer" not in fields:
        found = [each for each in order.books.all("customer") if not each.data.get("test_clock")]
        fields["customer"] = (found[-1] if found else people.customer(order.books)).id
    return make(order.books, order.mapped, "quote", {
        "test_clock": None, "discounts": [order.books.new_id("discount")], **fields}, number=number)


_MAKERS: dict[str, Callable[[_Order, int], Record]] = {
    "account_capabilities": _capability, "account_external_accounts": _external, "accounts": _account,
    "application_fee_refunds": _fee_refund,
    "apps_secrets": _secret, "balance_transactions": _balance_transaction,
    "billing_credit_balance_transactions": _credit, "billing_credit_grants": _grant,
    "billing_meter_event_summaries": _usage, "checkout_session_line_items": _item,
    "credit_note_line_items": _credit_line, "customers": _customer, "discounts": _discount, "events": _event,
    "financial_connections_account_owners": _owner_of_linked, "invoice_line_items": _invoice_line,
    "invoice_payments": _invoice_payment, "payment_attempt_records": _attempt,
    "payment_intent_amount_details_line_items": _amount_line, "payment_link_line_items": _item, "payouts": _payout,
    "payout_balance_transactions": _swept, "plans": _plan, "prices": _price,
    "quote_computed_upfront_line_items": _item, "quote_line_items": _item, "quotes": _quote, "reviews": _review,
    "setup_attempts": _attempt, "subscription_items": _subscription_item,
    "tax_calculation_line_items": _tax_line, "tax_ids": _tax_id,
    "tax_transaction_line_items": _tax_line, "v2_core_accounts": _v2_account,
    "v2_money_management_financial_accounts": _v2_money,
}
# What is under lists of the catalog that are no tables: the same rows are in others.
_NO_TABLES = {"credit_note_preview_lines", "customer_payment_methods", "customer_tax_ids"}
for _table in CHILDREN:
    _TABLES.setdefault(_table, "/v1/customers/{id}/sources")


def _settings(name: str) -> Callable[[Books, str], list[Data]]:
    def filled(books: Books, table: str) -> list[Data]:
        data = singles.settings(books, name)
        fill(books, name, data, {}, map_of(books, table))
        return [data]

    return filled


def _funds(which: str) -> Callable[[Books, str], list[Data]]:
    def funds(books: Books, table: str) -> list[Data]:
        if not books.balance:
            payments.pay(books, 10_000, "usd", None)
        found: list[Data] = ledger.balance(books)[which]
        return found

    return funds


def _left(books: Books, table: str) -> list[Data]:
    """Summaries are of grants: there is one for each."""
    if not books.all("billing.credit_grant"):
        populate(books, "billing_credit_grants", 3)
    return [singles.summary(books, grant) for grant in books.all("billing.credit_grant")]


_SINGLES: dict[str, Callable[[Books, str], list[Any]]] = {
    "balance_available": _funds("available"), "balance_pending": _funds("pending"),
    "balance_settings": _settings("balance_settings"), "billing_credit_balance_summaries": _left,
    "tax_settings": _settings("tax.settings"),
}
