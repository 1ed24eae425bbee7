"""The sandbox worlds that `record.py` recorded pipelines of: made again, object by object, from a fixed seed and clock.

A world must not be changed here without recording anew: its fingerprint is in the recording.
"""
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from stripe_source.sandbox.state.faults import Lag
from stripe_source.sandbox.world import World

FILES = Path(__file__).parent
PIPELINE, DATASET = "recorded", "stripe"
REFUSED = ("customer_cards", "payment_methods")  # a child that is expanded, and a list: the key may not read them
FED = (  # tables that go by the change feed
    "customers", "charges", "checkout_sessions", "checkout_session_line_items", "coupons", "invoices",
    "invoice_line_items", "products", "subscriptions", "subscription_items", "balance_transactions", "events",
)
MARKERS = {"credit_notes": "created", "credit_note_line_items": "created", "topups": "id", "tax_rates": None}
OTHERS = (*MARKERS, "balance_available")
LATE = "plans"  # loaded for the first time by the last recorded run
BOUNDED = "payouts"  # loaded once, from `START` on
LATER = ("balance",)  # tables that are newer than the recordings
EMPTY = ("reporting_report_types",)  # tables that were empty when the worlds were recorded, and no longer are
START = 1_792_000_000
PERMISSIONS = (
    "rak_balance_read", "rak_balance_transaction_source_read", "rak_charge_read", "rak_checkout_session_read",
    "rak_connected_account_read", "rak_coupon_read", "rak_credit_note_read", "rak_customer_read", "rak_event_read",
    "rak_invoice_read", "rak_payout_read", "rak_plan_read", "rak_product_read", "rak_subscription_read",
    "rak_tax_rate_read", "rak_top_up_read",
)
CUT = ("customers", "customer_cards", "charges")  # what the load that was cut short is of


def options(world: Any, url: str, name: str) -> dict[str, Any]:
    """What the runs of a recording were asked for, without those that differ from run to run."""
    if name == "finished":
        return {
            "tables": [*FED, *OTHERS, *REFUSED, LATE], "marker": dict(MARKERS), "history": ["products"],
            "api_base": url, "api_key": world.restricted,
        }
    return {"tables": list(CUT), "api_base": url, "api_key": world.keys.secret}


class Shop(World):
    """A small business, and a key that may not read all of it."""

    def __init__(self, **given: Any) -> None:
        super().__init__(seed=7, scale=0.02, **given)
        self.restricted = self.restricted_key(PERMISSIONS)

    def goes_on(self) -> None:
        """What happens between the recorded runs. Lists do not show the last thing yet, until `faults.lag` is None."""
        self.advance(3_600)
        self.create("product", name="Lamp")
        self.update("product", self.oldest("products"), name="Renamed")
        self.delete("customer", self.oldest("customers"))
        self.create("charge", amount=700, currency="usd")
        self.create("checkout.session")
        self.create("coupon", percent_off=20, duration="once")  # what an event lacks of it has to be asked for: once
        self.advance(120)
        self.faults.lag = Lag(lists=60)
        self.update("plan", self.oldest("plans"), nickname="Changed late")

    def moves(self, day: str) -> None:
        """Something of every kind, after the recording: new, changed, gone."""
        for number in range(3):
            customer = self.create("customer", name=f"{day} {number}")["id"]
            self.create("charge", customer=customer, amount=500 + number, currency="usd")
            self.create("subscription", customer=customer)
        self.create("credit_note")
        self.create("topup", amount=1_000, currency="usd")
        self.create("tax_rate", display_name=day, percentage=7, inclusive=False)
        self.create("checkout.session")
        self.create("coupon", percent_off=10, duration="once")
        self.update("tax_rate", self.oldest("tax_rates"), display_name=f"Renamed on {day}")
        for name in ("One", "Two"):
            self.advance(60)
            self.update("product", self.oldest("products"), name=f"{name} of {day}")
        self.update("customer", self.oldest("customers", 3), name=f"Renamed on {day}")
        self.update("plan", self.oldest("plans", 2), nickname=f"Renamed on {day}")
        self.delete("customer", self.oldest("customers", 1))
        self.delete("coupon", self.oldest("coupons"))
        self.advance(3 * 3_600)

    def oldest(self, table: str, place: int = 0) -> str:
        """Id of an object that is not deleted, the oldest one first."""
        there = [truth.object for truth in self.dump()[table] if not truth.deleted]
        return str(sorted(there, key=lambda each: (each["created"], each["id"]))[place]["id"])


class Crowd(World):
    """A business with so many customers that their list has thirty pages."""

    def __init__(self, **given: Any) -> None:
        super().__init__(seed=11, scale=0.02, **given)
        for number in range(2_700):
            self.advance(240)
            customer = self.create("customer", name=f"Customer {number}")["id"]
            if number % 50 == 0:
                self.create("card", customer=customer)


def fingerprint(world: World) -> str:
    """What tells one state of a world from another, by the tables that there were when the worlds were recorded."""
    digest = hashlib.blake2b(digest_size=16)
    for table, truths in sorted(world.dump().items()):
        if table not in LATER:
            digest.update(repr((table, [] if table in EMPTY else truths)).encode())
    return digest.hexdigest()
