"""Tax: rates, registrations, tax ids, and the lines of calculations and transactions."""
from __future__ import annotations

from stripe_source.tables.entries.reasons import NEW_IN_ENDIVE, REFERENCE_DATA
from stripe_source.tables.placement import Placement
from stripe_source.tables.table import Table, Watch

TAX: tuple[Table, ...] = (
    Table(
        "tax_calculation_line_items", ("tax.calculation_line_item",),
        "The lines of tax calculations that payments name.",
        # calculations have no list: those that payment intents carry, or name in the metadata key that Stripe's guide
        # to the Tax API proposes (copies of docs.stripe.com/tax/custom)
        placements=(
            Placement(
                "payment_intents", id="hooks.inputs.tax.calculation", of="tax.calculation",
                child_path="/v1/tax/calculations/{id}/line_items",
            ),
            Placement(
                "payment_intents", id="metadata.tax_calculation", of="tax.calculation",
                child_path="/v1/tax/calculations/{id}/line_items",
            ),
        ),
        time=None,
        expand=("tax_breakdown",),
        deletions_unknown="a calculation expires after 90 days",
        default=False, fan_out="one request per payment intent with a tax calculation",
        permission="rak_tax_calculations_and_transactions_read",
        marker="events",
        # calculations expire after about 90 days
        invisible_rows="lines of calculations that no payment intent names, or that have expired",
    ),
    Table(
        "tax_codes", ("tax_code",), "Kinds of goods and services as tax law sees them.",
        path="/v1/tax_codes", time=None, default=False, opt_in_reason=REFERENCE_DATA,
    ),
    Table(
        "tax_ids", ("tax_id",), "Tax numbers of customers and of the account itself.",
        path="/v1/tax_ids",  # the account's own only (`owner[type]` defaults to self)
        placements=(
            Placement(
                "customers", at="tax_ids", expand=True, child_path="/v1/customers/{id}/tax_ids",
                event_sources=(("tax_id", "customer"),), parent_id_column="customer",
            ),
        ),
        permission="rak_tax_id_read", aliases=("TaxIds", "customer_tax_ids"),
        marker="events",
        watch=(Watch("the account's own ones have no events", column="customer"),),
        invisible_rows="deleted tax ids, and those of deleted customers",
    ),
    Table(
        "tax_locations", ("tax.location",), "Places where services are performed, for tax.",
        path="/v1/tax/locations", time=None,
        params={"type": "performance"},  # must be sent, and is the only one there is
        default=False, opt_in_reason=NEW_IN_ENDIVE, permission="rak_tax_locations_read",
    ),
    Table(
        "tax_rates", ("tax_rate",), "Percentages that invoices and subscriptions refer to.",
        path="/v1/tax_rates", created=True, permission="rak_tax_rate_read", aliases=("TaxRates",),
        marker="events",
        # seen: they answer by id and are in no list (stripe-python 1363)
        invisible_rows="rates that Stripe Tax made for automatic taxes, which invoices name",
    ),
    Table(
        "tax_registrations", ("tax.registration",), "Where tax is collected.",
        path="/v1/tax/registrations",
        params={"status": "all"},  # what the bare list leaves out is not said
        permission="rak_tax_settings_read",
    ),
    Table(
        "tax_settings", ("tax.settings",), "Head office and defaults for tax.",
        path="/v1/tax/settings", singleton=True, key=(), time=None, permission="rak_tax_settings_read",
    ),
    Table(
        "tax_transaction_line_items", ("tax.transaction_line_item",),
        "The lines of tax transactions that payments name.",
        # tax transactions have no list: those that Stripe made for a payment intent with a calculation, refunds
        # included, and those that the payment intent names in the metadata key that docs.stripe.com/tax/custom proposes
        placements=(
            Placement(
                "payment_intents", when="hooks.inputs.tax.calculation",
                via_path="/v1/tax/associations/find", param="payment_intent",
                id="tax_transaction_attempts.committed.transaction", of="tax.transaction",
                child_path="/v1/tax/transactions/{id}/line_items",
            ),
            Placement(
                "payment_intents", id="metadata.tax_transaction", of="tax.transaction",
                child_path="/v1/tax/transactions/{id}/line_items",
            ),
        ),
        time=None,
        deletions_unknown="a tax transaction can be reversed, not deleted; metadata may name a later one instead",
        default=False, fan_out="two requests per payment intent with a tax calculation",
        permission="rak_tax_calculations_and_transactions_read",
        marker="events",
        invisible_rows="lines of tax transactions that no payment intent leads to",
    ),
)
