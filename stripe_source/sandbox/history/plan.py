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
_IMPORTS = ((160, 0.12), (152, 0.955))  # customers that are imported in one second, at that share of the history
# How often at scale 1, from which share of the history on, and what.
_ACTIVITIES: tuple[tuple[int, float, Callable[[Business], None]], ...] = (
    (560, 0.02, Business.sell), (90, 0.05, Business.give_back), (14, 0.1, Business.lose),
    (110, 0.05, Business.open_checkout), (70, 0.05, Business.invoice_by_hand), (40, 0.1, Business.extra),
    (30, 0.1, Business.credit_some), (45, 0.1, Business.store_something), (60, 0.1, Business.adjust),
    (10, 0.2, Business.delete_customer), (30, 0.1, Business.transfer), (12, 0.1, Business.top_up),
    (10, 0.3, Business.schedule),
)


def plan_history(books: Books, start: int, end: int, scale: float) -> None:
    """Plan the two years of the own account on the calendar of its world."""
    business = Business(books, start, end, scale)
    business.stock()
    for _ in range(business.some(490)):
        business.at(business.when(), business.sign_up)
    for number, share in _IMPORTS:
        moment = int(start + share * (end - start))
        for _ in range(business.some(number) if scale >= 1 else number):  # a dense second at every scale
            business.at(moment, business.import_one)
    for number, first, activity in _ACTIVITIES:
        for _ in range(business.some(number)):
            business.at(business.when(first), activity, business)
    for share in (0.3, 0.6, 0.8, 0.97):
        business.at(start + share * (end - start), business.clear_out)
    for share in (0.4, 0.7, 0.9, 0.985):
        business.at(start + share * (end - start), business.withdraw)
    for days, edge_case in EDGE_CASES:
        business.at(end - days * DAY, edge_case, business)
    monday = start - (start - 4 * DAY) % ledger.WEEK + ledger.WEEK + 1800
    business.at(monday, ledger.weekly_payout, books, "usd")


def plan_small_history(books: Books, start: int, end: int) -> None:
    """Plan the history of a connected account: a few dozen of everything."""
    business = Business(books, start, end, 0.03)
    business.stock()
    for _ in range(14):
        business.at(business.when(), business.sign_up)
    for _ in range(40):
        business.at(business.when(0.05), business.sell)
    for _ in range(4):
        business.at(business.when(0.3), business.give_back)
    business.at(end - 30 * DAY, ledger.weekly_payout, books, "usd")


def connected_profiles(books: Books, start: int) -> list[Data]:
    """Return the profiles of the accounts that are connected to the platform."""
    ids = [books.new_id("account") for _ in range(3)]
    return [accounts.profile(ids[0], "Harbour Café", "US", "usd", start + 40 * DAY),
            accounts.profile(ids[1], "北海 Trading", "US", "usd", start + 90 * DAY, "express"),
            accounts.profile(ids[2], "Quiet Corner", "DE", "eur", start + 400 * DAY, "custom")]
