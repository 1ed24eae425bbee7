"""The history that a new world starts with: two years of a business, played through on the world's own clock."""
from __future__ import annotations

from collections.abc import Callable

from stripe_source.sandbox.business import ledger
from stripe_source.sandbox.business.ledger import DAY
from stripe_source.sandbox.history.activities import Business
from stripe_source.sandbox.history.edge_cases import EDGE_CASES
from stripe_source.sandbox.state import accounts
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data

YEARS = 2
HISTORY = YEARS * 365 * DAY
_IMPORTS = ((160, 0.12), (152, 0.955))  # (customers that are imported in one second, at which share of the history)
# (how often at scale 1, from which share of the history on, activity)
_ACTIVITIES: tuple[tuple[int, float, Callable[[Business], None]], ...] = (
    (560, 0.02, Business.sell), (90, 0.05, Business.refund), (14, 0.1, Business.dispute),
    (110, 0.05, Business.open_checkout), (70, 0.05, Business.invoice_by_hand), (40, 0.1, Business.add_invoice_item),
    (30, 0.1, Business.issue_credit_note), (45, 0.1, Business.change_payment_methods),
    (60, 0.1, Business.adjust_balance),
    (10, 0.2, Business.delete_customer), (30, 0.1, Business.transfer), (12, 0.1, Business.top_up),
    (10, 0.3, Business.schedule),
)


def plan_history(books: Books, start: int, end: int, scale: float) -> None:
    """Plan the two years of the own account on the calendar of its world."""
    business = Business(books, start, end, scale)
    business.create_products()
    for _ in range(business.scaled(490)):
        business.call_at(business.random_moment(), business.sign_up)
    for number, share in _IMPORTS:
        moment = int(start + share * (end - start))
        # at every scale there are seconds with more customers than a page has
        for _ in range(business.scaled(number) if scale >= 1 else number):
            business.call_at(moment, business.import_one)
    for number, first, activity in _ACTIVITIES:
        for _ in range(business.scaled(number)):
            business.call_at(business.random_moment(first), activity, business)
    for share in (0.3, 0.6, 0.8, 0.97):
        business.call_at(start + share * (end - start), business.retire_products)
    for share in (0.4, 0.7, 0.9, 0.985):
        business.call_at(start + share * (end - start), business.pay_out_euros)
    for days, edge_case in EDGE_CASES:
        business.call_at(end - days * DAY, edge_case, business)
    monday = start - (start - 4 * DAY) % ledger.WEEK + ledger.WEEK + 1800
    business.call_at(monday, ledger.weekly_payout, books, "usd")
    for currency in books.world.currencies:
        if currency not in ("usd", "eur"):  # euros are paid out manually, see above
            business.call_at(monday, ledger.weekly_payout, books, currency)


def plan_small_history(books: Books, start: int, end: int) -> None:
    """Plan the history of a connected account: a few dozen of everything."""
    business = Business(books, start, end, 0.03)
    business.create_products()
    for _ in range(14):
        business.call_at(business.random_moment(), business.sign_up)
    for _ in range(40):
        business.call_at(business.random_moment(0.05), business.sell)
    for _ in range(4):
        business.call_at(business.random_moment(0.3), business.refund)
    business.call_at(end - 30 * DAY, ledger.weekly_payout, books, "usd")


def connected_profiles(books: Books, start: int) -> list[Data]:
    """Return the profiles of the accounts that are connected to the platform."""
    ids = [books.new_id("account") for _ in range(3)]
    return [accounts.profile(ids[0], "Harbour Café", "US", "usd", start + 40 * DAY),
            accounts.profile(ids[1], "北海 Trading", "US", "usd", start + 90 * DAY, "express"),
            accounts.profile(ids[2], "Quiet Corner", "DE", "eur", start + 400 * DAY, "custom")]
