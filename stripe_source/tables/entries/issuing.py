"""Issuing: cards that the account issues, and what is paid with them."""
from __future__ import annotations

from stripe_source.tables.placement import Placement
from stripe_source.tables.table import Table

_ISSUING = "needs Issuing"
ISSUING: tuple[Table, ...] = (
    Table(
        "issuing_authorizations", ("issuing.authorization",), "Attempts to pay with issued cards.",
        path="/v1/issuing/authorizations", created=True, default=False, opt_in_reason=_ISSUING,
        permission="rak_issuing_authorization_read", aliases=("Authorizations",),
        marker="events",
    ),
    Table(
        "issuing_cardholders", ("issuing.cardholder",), "People and companies that cards are issued to.",
        path="/v1/issuing/cardholders", created=True, default=False, opt_in_reason=_ISSUING,
        permission="rak_issuing_cardholder_read", aliases=("Cardholders",),
        marker="events",
    ),
    Table(
        "issuing_cards", ("issuing.card",), "Cards that were issued.",
        path="/v1/issuing/cards", created=True, not_loaded={"cvc": "a secret", "number": "a secret"},
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
        marker="events",
    ),
    Table(
        "issuing_disputes", ("issuing.dispute",), "Transactions of issued cards that were contested.",
        path="/v1/issuing/disputes", created=True, expand=("balance_transactions",),
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_dispute_read",
        marker="events",
    ),
    Table(
        "issuing_personalization_designs", ("issuing.personalization_design",), "What issued cards look like.",
        path="/v1/issuing/personalization_designs",
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
    ),
    Table(
        "issuing_physical_bundles", ("issuing.physical_bundle",), "What issued cards are made of and sent in.",
        path="/v1/issuing/physical_bundles", time=None,
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
    ),
    Table(
        "issuing_tokens", ("issuing.token",), "Issued cards in wallets of phones and shops.",
        placements=(
            Placement(
                "issuing_cards", child_path="/v1/issuing/tokens", param="card",
                event_sources=(("issuing.token", "card"),),
            ),
        ),
        expand=("network_data",),
        default=False, fan_out="one request per issued card", permission="rak_issuing_token_read",
        marker="events",
    ),
    Table(
        "issuing_transactions", ("issuing.transaction",), "Money that moved through issued cards.",
        path="/v1/issuing/transactions", created=True,
        expand=("purchase_details",),
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_transaction_read",
        marker="events",
    ),
)
