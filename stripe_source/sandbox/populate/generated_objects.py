"""Makers of objects that are generated from their schema map and have relations to other objects."""
from __future__ import annotations

from stripe_source.sandbox.business import customers, payments
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.populate.business_objects import Maker, full_price
from stripe_source.sandbox.populate.request import PopulateRequest, newest_customer
from stripe_source.sandbox.scenario.fabricate import make
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import CHILDREN
from stripe_source.sandbox.state.events import change
from stripe_source.sandbox.state.records import Data, Record

_CAPABILITIES = ("card_payments", "transfers", "sepa_debit_payments", "link_payments", "tax_reporting_us_1099_k")


def _item(request: PopulateRequest, number: int) -> Record:
    """Make a line of a checkout session, a payment link or a quote."""
    books, object = request.books, CHILDREN[request.table][0][0]
    return make(books, request.schema_map, object, {"price": full_price(request).id, "discounts": [], **request.fields},
                request.owner(number), number=number)


def _external(request: PopulateRequest, number: int) -> Record:
    """Make an external account: a bank account or card that receives payouts."""
    object = ("bank_account", "card")[number % 2]
    return make(request.books, request.schema_map, object, {"customer": None, **request.fields}, request.owner(number),
                number=number)


def _capability(request: PopulateRequest, number: int) -> Record:
    """Make a capability; its id is the same in every account."""
    books = request.books
    owner = request.owner(number)
    there = {each.data["id"] for each in books.children(("capability",), owner.id)}
    name = next((each for each in _CAPABILITIES if each not in there), f"capability_{len(there)}_payments")
    return make(books, request.schema_map, "capability", {"id": name, **request.fields}, owner,
                key=f"{owner.id}/{name}", number=number)


def _grant(request: PopulateRequest, number: int) -> Record:
    """Make a credit grant, of a customer or of an account of Accounts v2."""
    books = request.books
    fields: Data = {"customer": None, "customer_account": None}
    if number % 3 == 2:
        fields["customer_account"] = books.new_id("account")
    else:
        fields["customer"] = newest_customer(books).id
    fields["amount"] = {"monetary": {"currency": "usd", "value": 5000}, "type": "monetary"}
    return make(books, request.schema_map, "billing.credit_grant", {**fields, **request.fields}, number=number)


def _credit(request: PopulateRequest, number: int) -> Record:
    """Make a balance transaction of a credit grant."""
    books, grant = request.books, request.owner(number)
    fields = {"type": ("debit", "credit")[number % 2], "credit_grant": grant.id, **request.fields}
    fields["debit" if fields["type"] == "credit" else "credit"] = None
    return make(books, request.schema_map, "billing.credit_balance_transaction", fields, grant, number=number)


def _usage(request: PopulateRequest, number: int) -> Record:
    """Make the usage summary of one customer for one day: today, then the days before."""
    books, meter = request.books, request.owner(number)
    fields = dict(request.fields)
    customer = fields.pop("customer", None)
    if customer is None:
        found = [each for each in books.all("customer")[::-1] if not each.data.get("test_clock")][:2]
        if not found:
            found = [customers.customer(books)]
        customer = found[number % len(found)].id
    taken = {each.data["start_time"] for each in books.children(("billing.meter_event_summary",), meter.id)
             if each.second_parent == customer}
    day = books.now // DAY * DAY
    while day in taken:
        day -= DAY
    record = make(books, request.schema_map, "billing.meter_event_summary", {
        "start_time": day, "end_time": day + DAY, "aggregated_value": float(number + 1), **fields}, meter)
    record.second_parent = customer
    return record


def _attempt(request: PopulateRequest, number: int) -> Record:
    """Make an attempt of a setup intent or a payment record, which has the id of the newest attempt."""
    books, owner = request.books, request.owner(number)
    object = CHILDREN[request.table][0][0]
    record = make(books, request.schema_map, object, {**request.fields, owner.object: owner.id}, owner, number=number)
    name = "latest_attempt" if owner.object == "setup_intent" else "latest_payment_attempt_record"
    change(books, owner, **{name: record.id})
    return record


def _owner_of_linked(request: PopulateRequest, number: int) -> Record:
    """Make an owner of a linked account, in the ownership that the account names."""
    books, linked = request.books, request.owner(number)
    fields = {"ownership": linked.data["ownership"], **request.fields}
    return make(books, request.schema_map, "financial_connections.account_owner", fields, linked, number=number)


def _amount_line(request: PopulateRequest, number: int) -> Record:
    books, intent = request.books, request.owner(number)
    if not intent.data.get("amount_details"):
        change(books, intent, amount_details={"tip": {}})
    return make(books, request.schema_map, "payment_intent_amount_details_line_item", request.fields, intent,
                number=number)


def _fee_refund(request: PopulateRequest, number: int) -> Record:
    books, fee = request.books, request.owner(number)
    record = make(books, request.schema_map, "fee_refund", {"fee": fee.id, "amount": 10, **request.fields}, fee,
                  number=number)
    change(books, fee, "application_fee.refunded", amount_refunded=(fee.data.get("amount_refunded") or 0) + 10)
    return record


def _secret(request: PopulateRequest, number: int) -> Record:
    scope = {"type": "account"} if number % 2 == 0 else {"type": "user", "user": "usr_1"}
    return make(request.books, request.schema_map, "apps.secret", {"scope": scope, **request.fields}, number=number)


def _tax(books: Books, object: str) -> Record:
    """Make a tax calculation or transaction, and the payment intent that refers to it.

    In turn, it refers to it by hooks (and, for transactions, by an association) or by metadata.
    """
    hooked = books.count(object) % 2 == 1
    record = books.add(object, currency="usd", livemode=books.world.livemode, tax_date=books.now, **(
        {"expires_at": books.now + 90 * DAY} if object == "tax.calculation" else {"created": books.now,
                                                                                  "type": "transaction"}))
    charge = payments.pay(books, 1500, "usd", customers.customer(books))
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


def _tax_line(request: PopulateRequest, number: int) -> Record:
    """Make a line of a tax calculation or transaction; both kinds of reference to those exist."""
    books, owner = request.books, CHILDREN[request.table][2]
    if request.parent is None:
        while books.counters.get(owner, 0) < 2:
            _tax(books, owner)
    parent = books.get(owner, request.parent) if request.parent else (found := books.all(owner))[number % len(found)]
    return make(books, request.schema_map, CHILDREN[request.table][0][0], request.fields, parent, number=number)


def _v2_account(request: PopulateRequest, number: int) -> Record:
    """Make an account of Accounts v2; every third one is closed."""
    return make(request.books, request.schema_map, "v2.core.account", {
        "applied_configurations": [("customer", "merchant", "recipient")[number % 3]], "closed": number % 3 == 2,
        **request.fields}, number=number)


def _v2_money(request: PopulateRequest, number: int) -> Record:
    """Make a financial account; every third one is closed."""
    return make(request.books, request.schema_map, "v2.money_management.financial_account", {
        "status": ("open", "pending", "closed")[number % 3], **request.fields}, number=number)


def _quote(request: PopulateRequest, number: int) -> Record:
    fields = dict(request.fields)
    if "customer" not in fields:
        fields["customer"] = newest_customer(request.books).id
    return make(request.books, request.schema_map, "quote", {
        "test_clock": None, "discounts": [request.books.new_id("discount")], **fields}, number=number)


MAKERS: dict[str, Maker] = {
    "account_capabilities": _capability, "account_external_accounts": _external,
    "application_fee_refunds": _fee_refund, "apps_secrets": _secret, "billing_credit_balance_transactions": _credit,
    "billing_credit_grants": _grant, "billing_meter_event_summaries": _usage, "checkout_session_line_items": _item,
    "financial_connections_account_owners": _owner_of_linked, "payment_attempt_records": _attempt,
    "payment_intent_amount_details_line_items": _amount_line, "payment_link_line_items": _item,
    "quote_computed_upfront_line_items": _item, "quote_line_items": _item, "quotes": _quote,
    "setup_attempts": _attempt, "tax_calculation_line_items": _tax_line, "tax_transaction_line_items": _tax_line,
    "v2_core_accounts": _v2_account, "v2_money_management_financial_accounts": _v2_money,
}
