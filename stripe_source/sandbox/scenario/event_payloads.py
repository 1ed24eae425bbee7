"""Payloads of events that a test emits: an existing object, or one that no endpoint returns."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import singletons, subscriptions
from stripe_source.sandbox.business.ledger import balance
from stripe_source.sandbox.reports import report_types
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import OBJECTS, event_types
from stripe_source.sandbox.state.records import Data, Record

# Events about existing objects, besides those of creation, change and deletion.
_ABOUT = {
    "customer.source.expiring": "card", "customer.subscription.trial_will_end": "subscription",
    "invoice.will_be_due": "invoice", "subscription_schedule.expiring": "subscription_schedule",
    "financial_connections.account.upcoming_account_number_expiry": "financial_connections.account",
    "financial_connections.account.upcoming_deactivation": "financial_connections.account",
}


def known(books: Books, id: str) -> Record | Data:
    """Return the object with that id, or its last state if it was deleted."""
    for collection in books.collections.values():
        if id in collection.records:
            return collection.records[id]
        if id in collection.deleted:
            return collection.deleted[id].data
    raise KeyError(f"There is no object `{id}` in account `{books.account}`.")


def about(books: Books, type: str) -> Record | Data:
    """Return the object that an event of that type is about."""
    if type in _MADE:
        return _MADE[type](books)
    wanted = [object for object in OBJECTS if any(type in types for types in event_types(object))]
    if type in _ABOUT:
        wanted = [_ABOUT[type]]
    found = [record for object in wanted if object in books.collections for record in books.all(object)]
    if not found or (type.endswith(".deleted") and type != "customer.subscription.deleted"):
        raise ValueError(f"There is nothing that `{type}` could be about; pass an object.")
    return max(found, key=lambda record: record.sort_key)


def _customer(books: Books) -> str:
    found = books.all("customer")
    return found[-1].id if found else books.new_id("customer")


def _application(books: Books) -> Data:
    return {"id": books.world.application_id, "object": "application", "name": "Some app"}


def _alert(books: Books) -> Data:
    return {"object": "billing.alert_triggered", "alert": {
        "id": "alrt_1" + books.new_id("charge")[4:], "object": "billing.alert", "alert_type": "usage_threshold",
        "livemode": books.world.livemode, "status": "active", "title": "Much used", "usage_threshold": None},
        "created": books.now, "customer": _customer(books), "livemode": books.world.livemode, "value": 1000}


def _portal(books: Books) -> Data:
    return {"id": "bps_1" + books.new_id("charge")[4:], "object": "billing_portal.session", "created": books.now,
            "customer": _customer(books), "livemode": books.world.livemode, "url": "https://billing.stripe.com/p/x"}


def _cash(books: Books) -> Data:
    return {"object": "cash_balance", "available": {"usd": 1000}, "customer": _customer(books),
            "customer_account": None, "livemode": books.world.livemode,
            "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True}}


def _capability(books: Books) -> Record | Data:
    found = books.all("capability")
    if found:
        return found[-1]
    return {"id": "card_payments", "object": "capability", "account": books.account, "requested": True,
            "requested_at": books.now, "status": "active"}


def _upcoming(books: Books) -> Data:
    found = [each for each in books.all("subscription") if books.find("customer", each.data["customer"])]
    if not found:
        raise ValueError("There is no subscription that could have an upcoming invoice.")
    return subscriptions.preview(books, found[-1])


def _request(books: Books) -> Data:
    """Return an authorization that is still to be decided on; lists do not show it yet."""
    return {"id": "iauth_1" + books.new_id("charge")[4:], "object": "issuing.authorization", "amount": 0,
            "approved": False, "created": books.now, "currency": "usd", "livemode": books.world.livemode,
            "pending_request": {"amount": 500, "currency": "usd", "is_amount_controllable": False},
            "status": "pending", "transactions": []}


def _report(books: Books) -> Record:
    report_types.refresh(books)
    return books.find(report_types.OBJECT, "balance.summary.1") or books.all(report_types.OBJECT)[-1]


def _source_transaction(books: Books) -> Data:
    return {"id": "srctxn_1" + books.new_id("charge")[4:], "object": "source_transaction", "amount": 1000,
            "created": books.now, "currency": "usd", "livemode": books.world.livemode,
            "source": "src_1" + books.new_id("charge")[4:], "status": "succeeded", "type": "ach_credit_transfer"}


def _mandate(books: Books) -> Data:
    return {"id": "srcmn_1" + books.new_id("charge")[4:], "object": "source_mandate_notification", "amount": None,
            "created": books.now, "livemode": books.world.livemode, "reason": "mandate_confirmed", "source": None,
            "status": "submitted", "type": "sepa_debit"}


_MADE: dict[str, Callable[[Books], Record | Data]] = {
    "account.application.authorized": _application, "account.application.deauthorized": _application,
    "balance.available": balance, "billing.alert.triggered": _alert, "billing_portal.session.created": _portal,
    "capability.updated": _capability, "cash_balance.funds_available": _cash,
    "entitlements.active_entitlement_summary.updated": lambda books: singletons.entitlements(books, _customer(books)),
    "invoice.upcoming": _upcoming, "issuing_authorization.request": _request,
    "reporting.report_type.updated": _report, "source.mandate_notification": _mandate,
    "source.transaction.created": _source_transaction,
}
TYPES = frozenset(_ABOUT) | frozenset(_MADE)  # event types besides those of creation, change and deletion
