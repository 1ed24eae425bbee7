"""Connect: accounts, application fees, transfers and top-ups."""
from __future__ import annotations

from datetime import timedelta

from stripe_source.tables.entries.reasons import NOT_CONTROLLED
from stripe_source.tables.placement import Placement
from stripe_source.tables.table import Table, Watch

CONNECT: tuple[Table, ...] = (
    Table(
        "account_capabilities", ("capability",),
        "What an account may do (take cards, receive transfers), and what is missing.",
        placements=(
            Placement("accounts", child_path="/v1/accounts/{id}/capabilities", refusal_expected=NOT_CONTROLLED),
        ),
        key=("account_id", "id"),  # ids are names of capabilities: `card_payments`
        time=None,
        limit=None,  # takes no parameter but `expand`: one page, whole
        default=False, fan_out="one request per account",
        permission="rak_connected_account_read",
    ),
    Table(
        "account_external_accounts", ("bank_account", "card"),
        "Bank accounts and debit cards that an account is paid out to.",
        # embedded for accounts that the platform controls only; the list of any other is refused
        placements=(Placement("accounts", at="external_accounts", child_path="/v1/accounts/{id}/external_accounts"),),
        time=None,
        permission="rak_connected_account_read",
        invisible_rows="those of accounts whose requirements the platform does not collect",
    ),
    Table(
        "account_persons", ("person",), "People behind an account: owners, directors, representatives.",
        placements=(Placement("accounts", child_path="/v1/accounts/{id}/persons", refusal_expected=NOT_CONTROLLED),),
        default=False, fan_out="one request per account",
        permission="rak_connected_account_read", aliases=("Persons",),
    ),
    Table(
        "accounts", ("account",), "The key's own account and the accounts connected to it.",
        path="/v1/accounts", created=True,
        extra_paths=("/v1/account",),  # the list holds connected accounts only, never the own one
        refusal_expected="only platforms have connected accounts",
        permission="rak_connected_account_read", aliases=("Accounts",),
        # charges go on naming some that `GET` by id still shows (stripe-dotnet 1136)
        invisible_rows="accounts that are no longer connected",
    ),
    Table(
        "application_fee_refunds", ("fee_refund",), "Application fees given back, in full or in part.",
        # the newest 10 are embedded
        placements=(
            Placement(
                "application_fees", at="refunds", child_path="/v1/application_fees/{id}/refunds",
                event_sources=(("fee_refund", "fee"),),
            ),
        ),
        permission="rak_application_fee_read", aliases=("ApplicationFeeRefunds",),
        marker="events",
    ),
    Table(
        "application_fees", ("application_fee",), "What a platform keeps of its accounts' payments.",
        path="/v1/application_fees", created=True, permission="rak_application_fee_read", aliases=("ApplicationFees",),
        marker="events",
    ),
    Table(
        "topups", ("topup",), "Money put into the Stripe balance from a bank.",
        path="/v1/topups", created=True, permission="rak_top_up_read", aliases=("TopUps",),
        marker="events",
        watch=(Watch("pending ones change without an event", {"status": "pending"}, column="status", value="pending"),),
        changes_without_event="metadata and description of finished ones", resync=timedelta(days=30),
    ),
    Table(
        "transfer_reversals", ("transfer_reversal",), "Transfers taken back, in full or in part.",
        placements=(Placement("transfers", at="reversals", child_path="/v1/transfers/{id}/reversals"),),
        permission="rak_transfer_read", aliases=("TransferReversals",),
        marker="events", changes_without_event="their metadata", resync=timedelta(days=30),
    ),
    Table(
        "transfers", ("transfer",), "Money moved to connected accounts.",
        path="/v1/transfers", created=True, permission="rak_transfer_read", aliases=("Transfers",),
        named_by=(("charges", "transfer"),),
        marker="events",
    ),
)
