"""Treasury: financial accounts of /v1/, and the money that moves through them."""
from __future__ import annotations

from stripe_source.tables.placement import Placement
from stripe_source.tables.table import Table

_TREASURY = "needs Treasury"
_FLOW = "a row of another table, to which `flow` leads"


def _by_financial_account(path: str) -> tuple[Placement, ...]:
    """The placement of a Treasury list, which answers for one financial account at a time only."""
    return (Placement("treasury_financial_accounts", child_path=path, param="financial_account"),)


TREASURY: tuple[Table, ...] = (
    Table(
        "treasury_credit_reversals", ("treasury.credit_reversal",), "Received credits sent back.",
        placements=_by_financial_account("/v1/treasury/credit_reversals"),
        default=False, fan_out="one request per financial account", permission="rak_received_credit_read",
    ),
    Table(
        "treasury_debit_reversals", ("treasury.debit_reversal",), "Received debits taken back.",
        placements=_by_financial_account("/v1/treasury/debit_reversals"),
        default=False, fan_out="one request per financial account", permission="rak_received_debit_read",
    ),
    Table(
        "treasury_financial_accounts", ("treasury.financial_account",), "Accounts that hold money at Stripe.",
        path="/v1/treasury/financial_accounts", created=True,
        expand=("features",),
        default=False, opt_in_reason=_TREASURY, permission="rak_financial_account_read",
    ),
    Table(
        "treasury_inbound_transfers", ("treasury.inbound_transfer",), "Money pulled from a bank account of one's own.",
        placements=_by_financial_account("/v1/treasury/inbound_transfers"),
        default=False, fan_out="one request per financial account", permission="rak_inbound_transfer_read",
    ),
    Table(
        "treasury_outbound_payments", ("treasury.outbound_payment",), "Money sent to others.",
        placements=_by_financial_account("/v1/treasury/outbound_payments"),
        default=False, fan_out="one request per financial account", permission="rak_outbound_payment_read",
    ),
    Table(
        "treasury_outbound_transfers", ("treasury.outbound_transfer",), "Money sent to a bank account of one's own.",
        placements=_by_financial_account("/v1/treasury/outbound_transfers"),
        default=False, fan_out="one request per financial account", permission="rak_outbound_transfer_read",
    ),
    Table(
        "treasury_received_credits", ("treasury.received_credit",), "Money that others sent to a financial account.",
        placements=_by_financial_account("/v1/treasury/received_credits"),
        default=False, fan_out="one request per financial account", permission="rak_received_credit_read",
    ),
    Table(
        "treasury_received_debits", ("treasury.received_debit",), "Money that others pulled from a financial account.",
        placements=_by_financial_account("/v1/treasury/received_debits"),
        default=False, fan_out="one request per financial account", permission="rak_received_debit_read",
    ),
    Table(
        "treasury_transaction_entries", ("treasury.transaction_entry",),
        "Single changes of a financial account's balances.",
        not_loaded={"flow_details": _FLOW},
        placements=_by_financial_account("/v1/treasury/transaction_entries"),
        default=False, fan_out="one request per financial account", permission="rak_treasury_transaction_read",
    ),
    Table(
        "treasury_transactions", ("treasury.transaction",), "What moved the balance of a financial account.",
        not_loaded={"entries": "rows of treasury_transaction_entries", "flow_details": _FLOW},
        placements=_by_financial_account("/v1/treasury/transactions"),
        default=False, fan_out="one request per financial account", permission="rak_treasury_transaction_read",
    ),
)
