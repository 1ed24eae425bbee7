"""Account objects: the platform's own account and the connected ones."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record


def _requirements() -> Data:
    return {"alternatives": [], "current_deadline": None, "currently_due": [], "disabled_reason": None, "errors": [],
            "eventually_due": [], "past_due": [], "pending_verification": []}


def profile(id: str, name: str, country: str, currency: str, created: int, type: str = "standard") -> Data:
    """Return an account object."""
    nobody = {"city": None, "country": country, "line1": None, "line2": None, "postal_code": None, "state": None}
    return {
        "id": id, "object": "account",
        "business_profile": {
            "annual_revenue": None, "estimated_worker_count": None, "mcc": "5734",
            "minority_owned_business_designation": None, "name": name, "product_description": None,
            "support_address": nobody, "support_email": None, "support_phone": None, "support_url": None,
            "url": "https://shop.example.com"},
        "business_type": "company", "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True, "controller": {"type": "account"} if type == "standard" else {
            "fees": {"payer": "application"}, "is_controller": True, "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "none" if type == "custom" else type}, "type": "application"},
        "country": country, "created": created, "default_currency": currency, "details_submitted": True,
        "email": f"owner@{id[-6:].lower()}.example.com",
        "future_requirements": _requirements(), "metadata": {}, "payouts_enabled": True,
        "requirements": _requirements(),
        "settings": {
            "bacs_debit_payments": {"display_name": None, "service_user_number": None},
            "branding": {"icon": None, "logo": None, "primary_color": "#0b5fff", "secondary_color": None},
            "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
            "card_payments": {"decline_on": {"avs_failure": False, "cvc_failure": True},
                              "statement_descriptor_prefix": None, "statement_descriptor_prefix_kana": None,
                              "statement_descriptor_prefix_kanji": None},
            "dashboard": {"display_name": name, "timezone": "America/Los_Angeles"},
            "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": "offer"},
            "payments": {"statement_descriptor": "LIGHTHOUSE GOODS", "statement_descriptor_kana": None,
                         "statement_descriptor_kanji": None, "statement_descriptor_prefix_kana": None,
                         "statement_descriptor_prefix_kanji": None},
            "payouts": {"debit_negative_balances": True, "statement_descriptor": None, "schedule": {
                "delay_days": 2, "interval": "weekly", "weekly_anchor": "monday"}},
            "sepa_debit_payments": {}},
        "tos_acceptance": {"date": created, "ip": "203.0.113.7", "user_agent": None}, "type": type,
    }


def connect(books: Books, profile: Data) -> Record:
    """Add a connected account, with its bank account, to the platform's list of accounts."""
    # Stripe shows external accounts where the platform, or Stripe for it, collects requirements: not on standard ones
    data = dict(profile) if profile["type"] == "standard" else {**profile, "external_accounts": None}
    record = books.add("account", **data)
    if profile["type"] == "custom":
        books.add(
            "bank_account", parent_id=record.id, account=record.id,
            account_holder_name=profile["business_profile"]["name"], account_holder_type="company",
            available_payout_methods=["standard"], bank_name="STRIPE TEST BANK",
            country=profile["country"], currency=profile["default_currency"], default_for_currency=True, last4="6789",
            routing_number="110000000", status="new")
    emit(books, "account.updated", record, {})
    return record


def update_account(books: Books, record: Record, **fields: Any) -> Data:
    """Change fields of a connected account, with the event of it."""
    return change(books, record, "account.updated", **fields)
