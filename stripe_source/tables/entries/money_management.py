"""The lists of /v2/: Money Management, Accounts v2, the vault, thin events."""
from __future__ import annotations

from datetime import timedelta

from stripe_source.tables.entries.reasons import NOT_CONTROLLED
from stripe_source.tables.placement import NO_PARAMS, Placement
from stripe_source.tables.table import CREATED_V2, Range, Table

_MONEY_MANAGEMENT = "needs Money Management"
_ACCOUNTS_V2 = "needs Accounts v2"
MONEY_MANAGEMENT: tuple[Table, ...] = (
    Table(
        "v2_commerce_product_catalog_imports", ("v2.commerce.product_catalog_import",), "Uploads of a product catalog.",
        path="/v2/commerce/product_catalog/imports", created=True,
        range=Range("created_gte", "created_lt", rfc3339=True),  # not `created[gte]`, unlike the rest of /v2/
        default=False, opt_in_reason="needs agentic commerce", permission="rak_product_catalog_import_read",
    ),
    Table(
        "v2_core_account_persons", ("v2.core.account_person",), "People behind an account of Accounts v2.",
        placements=(
            Placement(
                "v2_core_accounts", child_path="/v2/core/accounts/{id}/persons", refusal_expected=NOT_CONTROLLED,
            ),
        ),
        default=False, fan_out="one request per account", permission="rak_connected_account_read",
    ),
    Table(
        "v2_core_accounts", ("v2.core.account",), "Customers, merchants and recipients as one account each.",
        path="/v2/core/accounts", object_path="/v2/core/accounts/{id}",
        variants=(NO_PARAMS, {"closed": "true"}),  # the bare list leaves out closed ones
        include=(  # null in the list, which takes no `include`; a single account does
            "configuration.customer", "configuration.merchant", "configuration.recipient", "defaults",
            "future_requirements", "identity", "requirements",
        ),
        default=False, fan_out="one request per account", opt_in_reason=_ACCOUNTS_V2,
        permission="rak_connected_account_read",
    ),
    Table(
        "v2_core_event_destinations", ("v2.core.event_destination",),
        "Where events are sent: webhooks and cloud queues.",
        path="/v2/core/event_destinations",
        params={"include": ["webhook_endpoint.url"]},  # blanked out otherwise
        default=False, opt_in_reason="`webhook_endpoints` has the webhooks among them", permission="rak_webhook_read",
    ),
    Table(
        "v2_core_events", ("v2.core.event",),
        "Stripe's log of changes in its thin form, 30 days of it; kept here for good.",
        path="/v2/core/events", created=True, range=CREATED_V2,
        marker="created", lookback=timedelta(minutes=10), retention=timedelta(days=30),
        default=False, opt_in_reason="`events` has the same changes with the objects", permission="rak_event_read",
        invisible_rows="events older than 30 days",
    ),
    Table(
        "v2_core_vault_gb_bank_accounts", ("v2.core.vault.gb_bank_account",),
        "British bank accounts stored to pay out to.",
        path="/v2/core/vault/gb_bank_accounts", default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_core_vault_us_bank_accounts", ("v2.core.vault.us_bank_account",),
        "American bank accounts stored to pay out to.",
        path="/v2/core/vault/us_bank_accounts", default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_adjustments", ("v2.money_management.adjustment",),
        "Corrections of a financial account by Stripe.",
        path="/v2/money_management/adjustments", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT, permission="rak_adjustment_read",
    ),
    Table(
        "v2_money_management_financial_accounts", ("v2.money_management.financial_account",),
        "Accounts that hold money at Stripe.",
        path="/v2/money_management/financial_accounts",
        params={
            "statuses": ["closed", "open", "pending"],  # closed ones are left out otherwise
            "include": ["storage.deposit_insurance_eligibility"],  # null otherwise
        },
        default=False, opt_in_reason=_MONEY_MANAGEMENT, permission="rak_financial_account_read",
    ),
    Table(
        "v2_money_management_financial_addresses", ("v2.money_management.financial_address",),
        "Account numbers under which a financial account receives money.",
        path="/v2/money_management/financial_addresses", default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_inbound_transfers", ("v2.money_management.inbound_transfer",),
        "Money pulled from a bank account of one's own.",
        path="/v2/money_management/inbound_transfers", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_outbound_payments", ("v2.money_management.outbound_payment",), "Money sent to others.",
        path="/v2/money_management/outbound_payments", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_outbound_setup_intents", ("v2.money_management.outbound_setup_intent",),
        "Attempts to store where money is to be sent.",
        path="/v2/money_management/outbound_setup_intents", default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_payout_intents", ("v2.money_management.payout_intent",), "Payouts from intent to arrival.",
        path="/v2/money_management/payout_intents",
        default=False, opt_in_reason=_MONEY_MANAGEMENT, permission="rak_payout_intent_read",
    ),
    Table(
        "v2_money_management_payout_methods", ("v2.money_management.payout_method",),
        "Where recipients are paid out to.",
        path="/v2/money_management/payout_methods", default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_received_credits", ("v2.money_management.received_credit",),
        "Money that others sent to a financial account.",
        path="/v2/money_management/received_credits", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_transaction_entries", ("v2.money_management.transaction_entry",),
        "Single changes of a financial account's balances.",
        path="/v2/money_management/transaction_entries", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
    Table(
        "v2_money_management_transactions", ("v2.money_management.transaction",),
        "What moved the balance of a financial account.",
        path="/v2/money_management/transactions", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY_MANAGEMENT,
    ),
)
