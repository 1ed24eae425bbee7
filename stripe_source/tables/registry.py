"""The registry: one `Table` per Stripe table. Nothing else in the package names a table.

What is special about a table is a field of its entry, with the reason and the date on which it was checked beside it.
Facts are from the annotations and docstrings of stripe-python 16.1.0 (API 2026-10-28.endive) unless another source is
named; all were checked on 2026-11-23, what is `hidden` on 2026-11-24.
"""
from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from types import MappingProxyType

from stripe_source.tables.placement import NO_PARAMS, Placement
from stripe_source.tables.table import CREATED_V2, Range, Table, Watch


def _days(n: float) -> timedelta:
    return timedelta(days=n)


_NOT_CONTROLLED = "Stripe or the account itself collects its requirements, not the platform"
_REFERENCE = "reference data, the same for every account"
_ISSUING = "needs Issuing"
_TREASURY = "needs Treasury"
_CLIMATE = "needs Climate"
_TERMINAL = "needs Terminal"
_IDENTITY = "needs Identity"
_BANK_DATA = "needs Financial Connections"
_RECORDS = "for payments that other processors made"
_MONEY = "needs Money Management"
_ACCOUNTS_V2 = "needs Accounts v2"
_APPS = "for developers of Stripe Apps"
_NEW = "new in API 2026-09-30.endive; accounts may not have it yet"
# What was deleted is in no list: of customers a stub is left, which answers by its id, of others a 404 (2026-11-24)
_OF_DELETED = "those of deleted customers"
_REMOVED = "removed ones, and those of deleted customers"


def _of_financial_accounts(path: str) -> tuple[Placement, ...]:
    """Treasury lists refuse to answer without a financial account."""
    return (Placement("treasury_financial_accounts", child_path=path, param="financial_account"),)


def _told(object: str, path: str) -> tuple[tuple[str, str], ...]:
    return ((object, path),)


_OF_CUSTOMERS = (
    Placement(
        "customers", at="sources", expand=True, child_path="/v1/customers/{id}/sources",
        event_sources=(("bank_account", "customer"), ("card", "customer"), ("source", "customer")),
    ),
)
_DISCOUNTED = (  # discounts have no list; the objects they are on carry them, as ids unless expanded
    Placement("customers", at="discount", parent_id_column="customer"),
    Placement("subscriptions", at="discounts", expand=True, parent_id_column="subscription"),
    Placement("subscription_items", at="discounts", expand=True, parent_id_column="subscription_item"),
    Placement("invoices", at="discounts", expand=True, parent_id_column="invoice"),
    Placement("invoice_line_items", at="discounts", expand=True),
    Placement("invoice_items", at="discounts", expand=True, parent_id_column="invoice_item"),
)
TABLES: tuple[Table, ...] = (
    Table(
        "account_capabilities", ("capability",),
        "What an account may do (take cards, receive transfers), and what is missing.",
        placements=(Placement("accounts", child_path="/v1/accounts/{id}/capabilities", refusal_expected=_NOT_CONTROLLED),),
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
        placements=(Placement("accounts", child_path="/v1/accounts/{id}/persons", refusal_expected=_NOT_CONTROLLED),),
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
        "apple_pay_domains", ("apple_pay_domain",), "Web domains registered for Apple Pay in the old way.",
        path="/v1/apple_pay/domains",
        default=False, opt_in_reason="legacy: `payment_method_domains` has taken its place",
        permission="rak_apple_pay_domain_read",
    ),
    Table(
        "application_fee_refunds", ("fee_refund",), "Application fees given back, in full or in part.",
        # the newest 10 are embedded
        placements=(
            Placement(
                "application_fees", at="refunds", child_path="/v1/application_fees/{id}/refunds",
                event_sources=_told("fee_refund", "fee"),
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
        "apps_installs", ("apps.install",), "Which accounts have installed an app.",
        path="/v1/apps/installs", created=True,
        # an app's developer sees all who installed it, any other key its own account only
        default=False, opt_in_reason=_APPS,
    ),
    Table(
        "apps_secrets", ("apps.secret",), "The secret store of Stripe Apps.",
        path="/v1/apps/secrets",
        unsupported_reason="its rows are other people's secrets, shown to the app that stored them only, user by user",
        default=False, opt_in_reason=_APPS, permission="rak_secret_read",
    ),
    Table(
        "balance_available", ("balance",), "Funds that can be paid out now, one row per currency.",
        path="/v1/balance", singleton=True, at="available", key=("currency",), time=None,
        permission="rak_balance_read", aliases=("AvailableBalance",),
    ),
    Table(
        "balance_pending", ("balance",), "Funds on their way, one row per currency.",
        path="/v1/balance", singleton=True, at="pending", key=("currency",), time=None,
        permission="rak_balance_read", aliases=("PendingBalance",),
    ),
    Table(
        "balance_settings", ("balance_settings",), "When and how the balance is paid out.",
        path="/v1/balance_settings", singleton=True, key=(), time=None, permission="rak_balance_read",
    ),
    Table(
        "balance_transactions", ("balance_transaction",),
        "The ledger: every movement of the Stripe balance, with its fees.",
        path="/v1/balance_transactions", created=True,
        # no events; only `status` changes, silently, when `available_on` comes: settlement takes up to about 14 days
        marker="events", lookback=_days(15),
        watch=(
            Watch("there are no events about them", lookback=timedelta(hours=1)),
            Watch("they become available without an event", column="status", value="pending", due="available_on"),
        ),
        permission="rak_balance_transaction_source_read", aliases=("BalanceTransactions",),
    ),
    Table(
        "billing_alerts", ("billing.alert",), "Thresholds of usage that raise an event.",
        path="/v1/billing/alerts", time=None, permission="rak_billing_meter_read", aliases=("BillingAlerts",),
        invisible_rows="archived alerts",  # OpenAPI: "lists billing active and inactive alerts", and `status` knows a third
    ),
    Table(
        "billing_credit_balance_summaries", ("billing.credit_balance_summary",), "What is left of each credit grant.",
        # no list and no id: asked grant by grant, with the grant's customer in either of its two shapes
        placements=(
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_summary", single_object=True, when="customer",
                params={"customer": "{customer}", "filter[type]": "credit_grant", "filter[credit_grant]": "{id}"},
            ),
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_summary", single_object=True, when="customer_account",
                where=(("customer", None),),
                params={
                    "customer_account": "{customer_account}", "filter[type]": "credit_grant",
                    "filter[credit_grant]": "{id}",
                },
            ),
        ),
        key=("billing_credit_grant_id",), time=None,
        default=False, fan_out="one request per credit grant",
    ),
    Table(
        "billing_credit_balance_transactions", ("billing.credit_balance_transaction",),
        "How credit grants were used up, topped up and expired.",
        # by the document every filter is optional; without a customer it answers 400 (sync-engine 2)
        placements=(
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_transactions", param="credit_grant",
                when="customer", params={"customer": "{customer}"},
            ),
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_transactions", param="credit_grant",
                when="customer_account", where=(("customer", None),),
                params={"customer_account": "{customer_account}"},
            ),
        ),
        default=False, fan_out="one request per credit grant",
    ),
    Table(
        "billing_credit_grants", ("billing.credit_grant",),
        "Credit that customers were given or bought ahead of usage.",
        path="/v1/billing/credit_grants", aliases=("CreditGrants",),
        marker="events",
    ),
    Table(
        "billing_feedback_options", ("billing.feedback_option",), "Answers that a canceling customer can choose from.",
        path="/v1/billing/feedback_options", time=None,
        default=False, opt_in_reason="new in 2026 (dahlia); accounts may not have it yet",
    ),
    Table(
        "billing_meter_event_summaries", ("billing.meter_event_summary",),
        "Usage by meter, customer and UTC day; Stripe does not show the single meter events.",
        placements=(
            Placement(
                "billing_meters", child_path="/v1/billing/meters/{id}/event_summaries", second_parent=("customers", "customer"),
                window=("start_time", "end_time"), params={"value_grouping_window": "day"},
            ),
        ),
        # an aggregate: its id says nothing about the day, and it does not name its customer
        key=("billing_meter_id", "customer_id", "start_time"),
        created=True, time="start_time", marker="created",
        lookback=_days(36),  # meter events may be dated up to 35 days back
        deletions_unknown="only the days that were asked for come back",
        default=False, fan_out="one request per meter and customer",
        permission="rak_billing_meter_read",
        # `customer` must be sent, and neither are in the list of customers
        invisible_rows="usage of deleted customers, and of customers on test clocks",
    ),
    Table(
        "billing_meters", ("billing.meter",), "What kinds of usage are counted, and how.",
        path="/v1/billing/meters", permission="rak_billing_meter_read", aliases=("Meters",),
        marker="events",
    ),
    Table(
        "billing_portal_configurations", ("billing_portal.configuration",),
        "What customers may do in the customer portal.",
        path="/v1/billing_portal/configurations", permission="rak_customer_portal_read",
        marker="events",
    ),
    Table(
        "charges", ("charge",), "Every attempt to move money to the account.",
        path="/v1/charges", created=True, permission="rak_charge_read", aliases=("Charges",),
        marker="events",
    ),
    Table(
        "checkout_session_line_items", ("item",), "What was offered on each checkout page.",
        # absent unless expanded; old sessions of test mode have none and answer 404 (estuary)
        placements=(Placement("checkout_sessions", at="line_items", expand=True, child_path="/v1/checkout/sessions/{id}/line_items"),),
        time=None,
        permission="rak_checkout_session_read", aliases=("CheckoutSessionLineItems",),
        marker="events",
        copies={"price__id": "prices"},
    ),
    Table(
        "checkout_sessions", ("checkout.session",), "Checkout pages: what was offered, and whether it was paid.",
        path="/v1/checkout/sessions", created=True,
        permission="rak_checkout_session_read", aliases=("CheckoutSession",),
        marker="events",
        watch=(Watch("open ones come and change without an event", {"status": "open"}, column="status", value="open"),),
    ),
    Table(
        "climate_orders", ("climate.order",), "Carbon removal that was ordered.",
        path="/v1/climate/orders", default=False, opt_in_reason=_CLIMATE,
        marker="events",
    ),
    Table(
        "climate_products", ("climate.product",), "Carbon removal that can be ordered.",
        path="/v1/climate/products", default=False, opt_in_reason=_CLIMATE,
    ),
    Table(
        "climate_suppliers", ("climate.supplier",), "Who removes the carbon.",
        path="/v1/climate/suppliers", time=None, default=False, opt_in_reason=_CLIMATE,
    ),
    Table(
        "country_specs", ("country_spec",), "Currencies and required fields, by country.",
        path="/v1/country_specs", time=None,  # ids are country codes
        default=False, opt_in_reason=_REFERENCE, aliases=("CountrySpecs",),
    ),
    Table(
        "coupons", ("coupon",), "Percent or amount off; promotion codes and discounts refer to them.",
        path="/v1/coupons", created=True,
        expand=("applies_to",),  # absent unless expanded
        permission="rak_coupon_read", aliases=("Coupons",),
        marker="events",
        changes_without_event="how often it was redeemed", resync=_days(1),
        invisible_rows="deleted coupons, which discounts go on naming",
    ),
    Table(
        "credit_note_line_items", ("credit_note_line_item",), "The lines of credit notes.",
        placements=(Placement("credit_notes", at="lines", child_path="/v1/credit_notes/{id}/lines"),),
        time=None,
        permission="rak_credit_note_read", aliases=("CreditNoteLineItems",),
        marker="events",
        copies={"tax_rates": "tax_rates"},
    ),
    Table(
        "credit_notes", ("credit_note",), "Documents that lower or refund a finalized invoice.",
        path="/v1/credit_notes", created=True, permission="rak_credit_note_read", aliases=("CreditNotes",),
        marker="events",
    ),
    Table(
        "customer_balance_transactions", ("customer_balance_transaction",),
        "Changes of what a customer owes or is owed outside payments.",
        placements=(Placement("customers", child_path="/v1/customers/{id}/balance_transactions"),),
        default=False, fan_out="one request per customer",
        permission="rak_customer_read", aliases=("CustomerBalanceTransactions",),
        marker="events",
        changes_without_event="their metadata", resync=_days(30),
        invisible_rows=_OF_DELETED,
    ),
    Table(
        "customer_bank_accounts", ("bank_account",), "Bank accounts stored on customers.",
        # one list holds cards, bank accounts and sources; the embedded list is absent unless expanded
        placements=_OF_CUSTOMERS,
        time=None,
        permission="rak_source_read", aliases=("BankAccounts",),
        marker="events",
        invisible_rows=_REMOVED,
    ),
    Table(
        "customer_cards", ("card",), "Cards stored on customers as sources; newer integrations store payment methods.",
        placements=_OF_CUSTOMERS,
        time=None,
        permission="rak_source_read", aliases=("Cards",),
        marker="events",
        invisible_rows=_REMOVED,
    ),
    Table(
        "customer_cash_balance_transactions", ("customer_cash_balance_transaction",),
        "Bank transfers of customers to their cash balance, and what was paid from it.",
        placements=(
            Placement(
                "customers", child_path="/v1/customers/{id}/cash_balance_transactions",
                event_sources=_told("customer_cash_balance_transaction", "customer"),
            ),
        ),
        default=False, fan_out="one request per customer",
        permission="rak_customer_read", aliases=("CashBalanceTransactions",),
        marker="events",
        invisible_rows=_OF_DELETED,
    ),
    Table(
        "customer_sources", ("source",), "Payment sources of the older Sources API, stored on customers.",
        # in one list with cards and bank accounts, read once for all three
        placements=_OF_CUSTOMERS,
        permission="rak_source_read",
        marker="events",
        # sources have no list of their own, only customers have one
        invisible_rows="sources that are not attached to a customer, and those of deleted customers",
    ),
    Table(
        "customers", ("customer",), "The people and companies that pay.",
        path="/v1/customers", created=True,
        # left out otherwise
        placements=(Placement("test_helpers_test_clocks", child_path="/v1/customers", param="test_clock", parent_id_column="test_clock"),),
        permission="rak_customer_read", aliases=("Customers",),
        marker="events",
        invisible_rows="deleted customers, whom charges and invoices go on naming",
    ),
    Table(
        "discounts", ("discount",), "A coupon as applied to a customer, subscription, invoice, item or line.",
        placements=_DISCOUNTED, time=None, permission="rak_coupon_read",
        aliases=("InvoiceDiscounts", "InvoiceItemDiscounts", "InvoiceLineItemDiscounts"),
        marker="events",
        invisible_rows="discounts that were removed or have ended, but for those on invoices",
    ),
    Table(
        "disputes", ("dispute",), "Payments that the customer's bank was asked to reverse.",
        path="/v1/disputes", created=True, permission="rak_dispute_read", aliases=("Disputes",),
        marker="events",
        copies={"balance_transactions": "balance_transactions"},
    ),
    Table(
        "entitlements_active_entitlements", ("entitlements.active_entitlement",),
        "Features that each customer may use now.",
        placements=(
            Placement(
                "customers", child_path="/v1/entitlements/active_entitlements", param="customer",
                event_sources=_told("entitlements.active_entitlement_summary", "customer"),
            ),
        ),
        time=None,  # they vanish when they end
        default=False, fan_out="one request per customer",
        permission="rak_entitlement_read",
        marker="events",
    ),
    Table(
        "entitlements_features", ("entitlements.feature",), "Features that products can grant.",
        path="/v1/entitlements/features", time=None, permission="rak_entitlement_read",
    ),
    Table(
        "events", ("event",), "Stripe's own log of changes, 30 days of it; kept here for good.",
        path="/v1/events", created=True, marker="events", lookback=timedelta(minutes=10), retention=_days(30),
        permission="rak_event_read", aliases=("Events",),
        invisible_rows="events older than 30 days",
    ),
    Table(
        "exchange_rates", ("exchange_rate",),
        "Today's rates of exchange; Stripe keeps no older ones and calls the list deprecated.",
        path="/v1/exchange_rates", time=None,  # ids are currency codes
        limit=None,  # bound by the number of currencies, which is also the default
        default=False, opt_in_reason=_REFERENCE,
    ),
    Table(
        "file_links", ("file_link",), "Links that show a file to anybody.",
        path="/v1/file_links", created=True, permission="rak_file_read", aliases=("FileLinks",),
    ),
    Table(
        "files", ("file",), "Uploads and results at Stripe: what they are, not their bytes.",
        path="/v1/files", created=True, permission="rak_file_read", aliases=("Files",),
        marker="events",
        changes_without_event="links to it", resync=_days(30),
    ),
    Table(
        "financial_connections_account_owners", ("financial_connections.account_owner",),
        "Owners of linked bank accounts, as the bank names them.",
        # the list wants the id of an ownership, which an account has once its owners were asked for
        placements=(
            Placement(
                "financial_connections_accounts", child_path="/v1/financial_connections/accounts/{id}/owners",
                params={"ownership": "{ownership}"}, when="ownership",
                refusal_expected="the account's holder did not permit it",
            ),
        ),
        time=None,
        default=False, fan_out="one request per linked account",
    ),
    Table(
        "financial_connections_accounts", ("financial_connections.account",),
        "Bank accounts that their holders have linked.",
        path="/v1/financial_connections/accounts", default=False, opt_in_reason=_BANK_DATA,
    ),
    Table(
        "financial_connections_transactions", ("financial_connections.transaction",),
        "Transactions of linked bank accounts.",
        placements=(
            Placement(
                "financial_connections_accounts", child_path="/v1/financial_connections/transactions", param="account",
                when="transaction_refresh",  # null until transactions were asked for
                refusal_expected="the account's holder did not permit it",
            ),
        ),
        time=None,
        default=False, fan_out="one request per linked account",
    ),
    Table(
        "forwarding_requests", ("forwarding.request",), "Requests with card data that Stripe passed on to others.",
        path="/v1/forwarding/requests", created=True,
        marker="created", lookback=_days(1),  # no events; a request is answered when it is made, nothing changes later
        default=False, opt_in_reason="needs Stripe's approval",
    ),
    Table(
        "identity_verification_reports", ("identity.verification_report",), "Results of checks of identity documents.",
        # what documents say (numbers, dates of birth) comes when expanded only, and is not asked for
        path="/v1/identity/verification_reports", created=True, default=False, opt_in_reason=_IDENTITY,
    ),
    Table(
        "identity_verification_sessions", ("identity.verification_session",), "Checks of a person's identity.",
        # `verified_outputs` comes when expanded only, and is not asked for: addresses, dates of birth, numbers
        path="/v1/identity/verification_sessions", created=True, default=False, opt_in_reason=_IDENTITY,
    ),
    Table(
        "invoice_items", ("invoiceitem",), "Amounts waiting for, or already on, an invoice.",
        path="/v1/invoiceitems", created=True, time="date",  # the filter is `created` all the same
        permission="rak_invoice_read", aliases=("InvoiceItems",),
        marker="events",
        watch=(
            Watch("pending ones change without an event", {"pending": "true"}, column="invoice"),
        ),
        copies={"tax_rates": "tax_rates"},
        invisible_rows="deleted invoice items",
    ),
    Table(
        "invoice_line_items", ("line_item",), "The lines of invoices.",
        placements=(Placement("invoices", at="lines", child_path="/v1/invoices/{id}/lines"),),
        key=("invoice_id", "id"),  # ids of old lines repeat across invoices (tap-stripe issues 20 and 28)
        time=None,
        permission="rak_invoice_read", aliases=("InvoiceLineItems",),
        marker="events",
    ),
    Table(
        "invoice_payments", ("invoice_payment",), "Which payments paid which invoices.",
        path="/v1/invoice_payments", created=True, permission="rak_invoice_read",
        marker="events",
        watch=(
            Watch("there is an event about paid ones only", lookback=timedelta(minutes=10)),
            Watch("open ones are canceled without an event", {"status": "open"}, column="status", value="open"),
        ),
    ),
    Table(
        "invoice_rendering_templates", ("invoice_rendering_template",), "How invoices look on paper.",
        path="/v1/invoice_rendering_templates",
        variants=(NO_PARAMS, {"status": "archived"}),  # what the bare list leaves out is not said
        permission="rak_invoice_read",
    ),
    Table(
        "invoices", ("invoice",), "Statements of what a customer owes.",
        path="/v1/invoices", created=True, permission="rak_invoice_read", aliases=("Invoices",),
        marker="events",
        copies={"default_tax_rates": "tax_rates"},
        invisible_rows="deleted drafts, and previews",  # drafts are all that can be deleted; a preview has no id
    ),
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
        path="/v1/issuing/cards", created=True,  # `number` and `cvc` come when expanded only, and are never asked for
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
        marker="events",
    ),
    Table(
        "issuing_disputes", ("issuing.dispute",), "Transactions of issued cards that were contested.",
        path="/v1/issuing/disputes", created=True, default=False, opt_in_reason=_ISSUING, permission="rak_issuing_dispute_read",
        marker="events",
    ),
    Table(
        "issuing_personalization_designs", ("issuing.personalization_design",), "What issued cards look like.",
        path="/v1/issuing/personalization_designs", default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
    ),
    Table(
        "issuing_physical_bundles", ("issuing.physical_bundle",), "What issued cards are made of and sent in.",
        path="/v1/issuing/physical_bundles", time=None, default=False, opt_in_reason=_ISSUING, permission="rak_issuing_card_read",
    ),
    Table(
        "issuing_tokens", ("issuing.token",), "Issued cards in wallets of phones and shops.",
        placements=(Placement("issuing_cards", child_path="/v1/issuing/tokens", param="card", event_sources=_told("issuing.token", "card")),),
        expand=("network_data",),  # absent unless expanded
        default=False, fan_out="one request per issued card", permission="rak_issuing_token_read",
        marker="events",
    ),
    Table(
        "issuing_transactions", ("issuing.transaction",), "Money that moved through issued cards.",
        path="/v1/issuing/transactions", created=True,
        expand=("purchase_details",),  # absent unless expanded
        default=False, opt_in_reason=_ISSUING, permission="rak_issuing_transaction_read",
        marker="events",
    ),
    Table(
        "payment_attempt_records", ("payment_attempt_record",), "Attempts of the payments in payment records.",
        placements=(
            Placement(
                "payment_records", child_path="/v1/payment_attempt_records", param="payment_record",
                when="latest_payment_attempt_record",
            ),
        ),
        default=False, fan_out="one request per payment record", permission="rak_payment_records_read",
    ),
    Table(
        "payment_intent_amount_details_line_items", ("payment_intent_amount_details_line_item",),
        "What a payment was for, line by line, as told to card networks.",
        placements=(
            Placement(
                "payment_intents", at="amount_details.line_items", expand=True, when="amount_details",
                child_path="/v1/payment_intents/{id}/amount_details_line_items",
            ),
        ),
        time=None,
        default=False, opt_in_reason="few have them, and they slow down the list of payment intents",
        permission="rak_payment_intent_read",
        marker="events",
    ),
    Table(
        "payment_intents", ("payment_intent",), "One payment from start to end, over all its charges.",
        path="/v1/payment_intents", created=True, permission="rak_payment_intent_read", aliases=("PaymentIntent",),
        marker="events",
        watch=(Watch("metadata and description change without an event, mostly soon", lookback=timedelta(hours=1)),),
        changes_without_event="metadata, description and (by credit notes) amount of older ones", resync=_days(30),
    ),
    Table(
        "payment_link_line_items", ("item",), "What each payment link sells.",
        placements=(Placement("payment_links", at="line_items", expand=True, child_path="/v1/payment_links/{id}/line_items"),),
        time=None,
        permission="rak_payment_links_read", aliases=("PaymentLinkLineItems",),
        marker="events",
        copies={"price__id": "prices"},
    ),
    Table(
        "payment_links", ("payment_link",), "Links to checkout pages that can be shared.",
        path="/v1/payment_links", time=None,
        permission="rak_payment_links_read", aliases=("PaymentLinks",),
        marker="events",
    ),
    Table(
        "payment_method_configurations", ("payment_method_configuration",), "Which ways to pay are offered where.",
        path="/v1/payment_method_configurations", time=None,
        permission="rak_payment_method_configurations_read", aliases=("PaymentMethodConfigurations",),
    ),
    Table(
        "payment_method_domains", ("payment_method_domain",), "Web domains registered for wallets.",
        path="/v1/payment_method_domains", permission="rak_payment_method_domain_read",
    ),
    Table(
        "payment_methods", ("payment_method",), "Ways to pay that customers have stored.",
        path="/v1/payment_methods",
        variants=(NO_PARAMS, {"type": "custom"}),  # the bare list holds every type but custom
        permission="rak_payment_method_read", aliases=("PaymentMethods",),
        marker="events",
        watch=(Watch("those of guests come without an event", lookback=timedelta(minutes=10)),),
        # OpenAPI: "a list of all PaymentMethods"; nobody says that these are in it
        invisible_rows="perhaps detached ones, and those of payments without a customer",
    ),
    Table(
        "payment_records", ("payment_record",), "Payments as one record each, whichever processor made them.",
        path="/v1/payment_records", created=True,
        range=Range("created_after", "created_before", exclusive=True),  # "created after", so not in that second
        default=False, opt_in_reason=_RECORDS, permission="rak_payment_records_read",
    ),
    Table(
        "payout_balance_transactions", ("balance_transaction",),
        "Which balance transactions each automatic payout swept.",
        # Stripe knows the members of automatic payouts only; for manual ones it answers an error
        placements=(Placement("payouts", child_path="/v1/balance_transactions", param="payout", where=(("automatic", True),)),),
        key=("payout_id", "balance_transaction_id"), extra={"balance_transaction_id": "id"},
        permission="rak_balance_transaction_source_read",
        marker="events",
        invisible_rows="members of manual payouts: Stripe knows those of automatic ones only",
    ),
    Table(
        "payouts", ("payout",), "Money sent from Stripe to the bank.",
        path="/v1/payouts", created=True, permission="rak_payout_read", aliases=("Payouts",),
        marker="events",
    ),
    Table(
        "plans", ("plan",), "Recurring prices in their older shape.",
        path="/v1/plans", created=True, object_path="/v1/plans/{id}",
        placements=(Placement("subscription_items", at="plan", fallback=True),),  # twins of prices that are in no list
        expand=("tiers",),  # absent unless expanded
        permission="rak_plan_read", aliases=("Plans",),
        marker="events",
        invisible_rows="deleted plans, and those made with `price_data` that no loaded subscription item names",
    ),
    Table(
        "prices", ("price",), "How much and how often a product is charged.",
        path="/v1/prices", created=True, object_path="/v1/prices/{id}",
        # those made with `price_data` are in no list; they are collected where the tables that name them are loaded
        placements=(
            Placement("subscription_items", at="price", fallback=True),
            Placement("checkout_session_line_items", at="price", fallback=True),
            Placement("invoice_items", at="pricing.price_details.price", fallback=True),
            Placement("invoice_line_items", at="pricing.price_details.price", fallback=True),
        ),
        # the reference says that the bare list holds active ones only, an experiment of 2026-06-01 saw both
        variants=(NO_PARAMS, {"active": "false"}),
        expand=("tiers", "currency_options"),  # absent unless expanded
        permission="rak_plan_read", aliases=("Prices",),
        marker="events",
        # OpenAPI: "excluding inline prices"
        invisible_rows="deleted prices, and those made with `price_data` that no loaded item or line names",
    ),
    Table(
        "product_catalog_trial_offers", ("product_catalog.trial_offer",), "Prices for a trial, and what follows it.",
        path="/v1/product_catalog/trial_offers", created=True, time=None,  # a filter on a field that is not there
        default=False, opt_in_reason=_NEW,
    ),
    Table(
        "product_features", ("product_feature",), "Which features each product grants.",
        placements=(Placement("products", child_path="/v1/products/{id}/features"),),
        time=None,
        default=False, fan_out="one request per product", permission="rak_product_read",
    ),
    Table(
        "products", ("product",), "What is sold.",
        path="/v1/products", created=True, permission="rak_product_read", aliases=("Products",),
        marker="events",
        invisible_rows="deleted products, which invoice lines go on naming",
    ),
    Table(
        "promotion_codes", ("promotion_code",), "Codes that customers redeem for a coupon.",
        path="/v1/promotion_codes", created=True, permission="rak_promotion_code_read", aliases=("PromotionCodes",),
        marker="events",
        changes_without_event="how often it was redeemed", resync=_days(1),
    ),
    Table(
        "quote_computed_upfront_line_items", ("item",), "What is due at once when a quote is accepted.",
        placements=(
            Placement(
                "quotes", at="computed.upfront.line_items", expand=True,
                child_path="/v1/quotes/{id}/computed_upfront_line_items",
            ),
        ),
        key=("quote_id", "id"),  # whether a revised quote takes over the ids of the first one is not said
        time=None, permission="rak_quote_read",
    ),
    Table(
        "quote_line_items", ("item",), "What each quote offers.",
        placements=(Placement("quotes", at="line_items", expand=True, child_path="/v1/quotes/{id}/line_items"),),
        key=("quote_id", "id"),  # see quote_computed_upfront_line_items
        time=None, permission="rak_quote_read",
    ),
    Table(
        "quotes", ("quote",), "Offers to customers that become invoices or subscriptions when accepted.",
        path="/v1/quotes",  # has no filter by time, and no event when a draft changes
        # left out otherwise
        placements=(Placement("test_helpers_test_clocks", child_path="/v1/quotes", param="test_clock", parent_id_column="test_clock"),),
        permission="rak_quote_read", aliases=("Quotes",),
    ),
    Table(
        "radar_early_fraud_warnings", ("radar.early_fraud_warning",), "Charges that a card's issuer thinks are fraud.",
        path="/v1/radar/early_fraud_warnings", created=True, aliases=("EarlyFraudWarning",),
        marker="events",
    ),
    Table(
        "radar_value_list_items", ("radar.value_list_item",), "Values on Radar's lists: cards, emails, countries.",
        # embedded in their list first; the list of all wants `value_list`
        placements=(Placement("radar_value_lists", at="list_items", child_path="/v1/radar/value_list_items", param="value_list"),),
        aliases=("ValueListItems",),
    ),
    Table(
        "radar_value_lists", ("radar.value_list",), "Lists that Radar's rules block, allow or review by.",
        path="/v1/radar/value_lists", created=True, aliases=("ValueLists",),
    ),
    Table(
        "refunds", ("refund",), "Money given back on charges.",
        path="/v1/refunds", created=True, permission="rak_charge_read", aliases=("Refunds",),
        marker="events",
    ),
    Table(
        "reporting_report_runs", ("reporting.report_run",), "Reports that were asked for, and their files.",
        path="/v1/reporting/report_runs", created=True,
        permission="rak_report_runs_and_report_types_read", aliases=("Reports",),
        marker="events",
        watch=(Watch("pending ones come without an event", lookback=_days(1), column="status", value="pending"),),
    ),
    Table(
        "reporting_report_types", ("reporting.report_type",),
        "Reports that can be asked for, and how far their data go.",
        path="/v1/reporting/report_types", time=None,
        limit=None,  # one page; `limit` and cursors are refused (sync-engine 2)
        default=False, opt_in_reason=_REFERENCE, permission="rak_report_runs_and_report_types_read",
    ),
    Table(
        "reviews", ("review",), "Payments that Radar wants a person to look at.",
        path="/v1/reviews", created=True,
        # the list holds open ones only; payments name theirs for ever
        placements=(Placement("charges", at="review", expand=True), Placement("payment_intents", at="review", expand=True)),
        deletions_unknown="a review leaves the list when it is closed, and cannot be deleted",
        permission="rak_review_read", aliases=("Reviews",),
        marker="events",
    ),
    Table(
        "setup_attempts", ("setup_attempt",), "Single attempts of setup intents, failed ones too.",
        placements=(Placement("setup_intents", child_path="/v1/setup_attempts", param="setup_intent", when="latest_attempt"),),
        default=False, fan_out="one request per setup intent that was attempted", permission="rak_setup_intent_read",
        marker="events",
    ),
    Table(
        "setup_intents", ("setup_intent",), "Attempts to store a way to pay for later.",
        path="/v1/setup_intents", created=True, permission="rak_setup_intent_read",
        marker="events",
        watch=(Watch("metadata and description change without an event, mostly soon", lookback=timedelta(hours=1)),),
        changes_without_event="metadata and description of older ones", resync=_days(30),
    ),
    Table(
        "shipping_rates", ("shipping_rate",), "What shipping costs at checkout.",
        path="/v1/shipping_rates", created=True,
        expand=("fixed_amount.currency_options",),  # absent unless expanded
        permission="rak_shipping_rate_read", aliases=("ShippingRates",),
    ),
    Table(
        "sigma_scheduled_query_runs", ("scheduled_query_run",), "Runs of scheduled Sigma queries, and their files.",
        path="/v1/sigma/scheduled_query_runs", default=False, opt_in_reason="needs Sigma",
    ),
    Table(
        "source_transactions", ("source_transaction",), "Transfers of money to sources of the older Sources API.",
        # sources have no list: those on customers are all that can be found
        placements=(Placement("customer_sources", child_path="/v1/sources/{id}/source_transactions"),),
        default=False, fan_out="one request per source", permission="rak_source_read",
        invisible_rows="those of sources that are not attached to a customer",
    ),
    Table(
        "subscription_items", ("subscription_item",),
        "The prices of each subscription, with quantity and current period.",
        placements=(Placement("subscriptions", at="items", child_path="/v1/subscription_items", param="subscription"),),
        permission="rak_subscription_read", aliases=("SubscriptionItems",),
        marker="events",
        copies={"price__id": "prices", "plan__id": "plans", "tax_rates": "tax_rates"},
        invisible_rows="items that were taken off, which invoice lines go on naming",
    ),
    Table(
        "subscription_schedules", ("subscription_schedule",), "Planned phases of subscriptions.",
        path="/v1/subscription_schedules", created=True,
        # those of customers on test clocks are shown for the customer only
        placements=(
            Placement(
                "customers", child_path="/v1/subscription_schedules", param="customer", when="test_clock",
                only_below="test_helpers_test_clocks",
            ),
        ),
        permission="rak_subscription_read",
        marker="events",
    ),
    Table(
        "subscriptions", ("subscription",), "Customers who pay again and again.",
        path="/v1/subscriptions", created=True,
        params={"status": "all"},  # canceled ones are left out otherwise, and those on test clocks
        placements=(
            Placement(
                "test_helpers_test_clocks", child_path="/v1/subscriptions", param="test_clock", params={"status": "all"},
                parent_id_column="test_clock",
            ),
        ),
        permission="rak_subscription_read", aliases=("Subscriptions", "CustomerSubscriptions"),
        marker="events",
        survives_deleted_event="a canceled subscription is still there: `customer.subscription.deleted` says that it was canceled",
        copies={"default_tax_rates": "tax_rates"},
    ),
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
        expand=("tax_breakdown",),  # absent unless expanded
        deletions_unknown="a calculation expires after 90 days",
        default=False, fan_out="one request per payment intent with a tax calculation",
        permission="rak_tax_calculations_and_transactions_read",
        marker="events",
        # calculations expire after about 90 days
        invisible_rows="lines of calculations that no payment intent names, or that have expired",
    ),
    Table(
        "tax_codes", ("tax_code",), "Kinds of goods and services as tax law sees them.",
        path="/v1/tax_codes", time=None, default=False, opt_in_reason=_REFERENCE,
    ),
    Table(
        "tax_ids", ("tax_id",), "Tax numbers of customers and of the account itself.",
        path="/v1/tax_ids",  # the account's own only (`owner[type]` defaults to self)
        placements=(
            Placement(
                "customers", at="tax_ids", expand=True, child_path="/v1/customers/{id}/tax_ids",
                event_sources=_told("tax_id", "customer"), parent_id_column="customer",
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
        default=False, opt_in_reason=_NEW, permission="rak_tax_locations_read",
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
    Table(
        "terminal_configurations", ("terminal.configuration",), "How card readers behave.",
        path="/v1/terminal/configurations", time=None,
        default=False, opt_in_reason=_TERMINAL, permission="rak_terminal_configuration_read",
    ),
    Table(
        "terminal_locations", ("terminal.location",), "Shops in which card readers stand.",
        path="/v1/terminal/locations", time=None,
        default=False, opt_in_reason=_TERMINAL, permission="rak_terminal_location_read",
    ),
    Table(
        "terminal_readers", ("terminal.reader",), "Card readers.",
        path="/v1/terminal/readers", time=None,
        default=False, opt_in_reason=_TERMINAL, permission="rak_terminal_reader_read",
    ),
    Table(
        "test_helpers_test_clocks", ("test_helpers.test_clock",), "Clocks that let test customers live faster.",
        path="/v1/test_helpers/test_clocks",
        mode="test",
        permission="rak_billing_clock_read", aliases=("TestClocks",),
        marker="events",
    ),
    Table(
        "three_d_secure_authentications", ("three_d_secure.authentication",),
        "3D Secure on its own, without a payment.",
        path="/v1/three_d_secure/authentications", created=True, default=False, opt_in_reason=_NEW,
    ),
    Table(
        "topups", ("topup",), "Money put into the Stripe balance from a bank.",
        path="/v1/topups", created=True, permission="rak_top_up_read", aliases=("TopUps",),
        marker="events",
        watch=(Watch("pending ones change without an event", {"status": "pending"}, column="status", value="pending"),),
        changes_without_event="metadata and description of finished ones", resync=_days(30),
    ),
    Table(
        "transfer_reversals", ("transfer_reversal",), "Transfers taken back, in full or in part.",
        placements=(Placement("transfers", at="reversals", child_path="/v1/transfers/{id}/reversals"),),
        permission="rak_transfer_read", aliases=("TransferReversals",),
        marker="events", changes_without_event="their metadata", resync=_days(30),
    ),
    Table(
        "transfers", ("transfer",), "Money moved to connected accounts.",
        path="/v1/transfers", created=True, permission="rak_transfer_read", aliases=("Transfers",),
        marker="events",
    ),
    Table(
        "treasury_credit_reversals", ("treasury.credit_reversal",), "Received credits sent back.",
        placements=_of_financial_accounts("/v1/treasury/credit_reversals"),
        default=False, fan_out="one request per financial account", permission="rak_received_credit_read",
    ),
    Table(
        "treasury_debit_reversals", ("treasury.debit_reversal",), "Received debits taken back.",
        placements=_of_financial_accounts("/v1/treasury/debit_reversals"),
        default=False, fan_out="one request per financial account", permission="rak_received_debit_read",
    ),
    Table(
        "treasury_financial_accounts", ("treasury.financial_account",), "Accounts that hold money at Stripe.",
        path="/v1/treasury/financial_accounts", created=True,
        expand=("features",),  # absent unless expanded
        default=False, opt_in_reason=_TREASURY, permission="rak_financial_account_read",
    ),
    Table(
        "treasury_inbound_transfers", ("treasury.inbound_transfer",), "Money pulled from a bank account of one's own.",
        placements=_of_financial_accounts("/v1/treasury/inbound_transfers"),
        default=False, fan_out="one request per financial account", permission="rak_inbound_transfer_read",
    ),
    Table(
        "treasury_outbound_payments", ("treasury.outbound_payment",), "Money sent to others.",
        placements=_of_financial_accounts("/v1/treasury/outbound_payments"),
        default=False, fan_out="one request per financial account", permission="rak_outbound_payment_read",
    ),
    Table(
        "treasury_outbound_transfers", ("treasury.outbound_transfer",), "Money sent to a bank account of one's own.",
        placements=_of_financial_accounts("/v1/treasury/outbound_transfers"),
        default=False, fan_out="one request per financial account", permission="rak_outbound_transfer_read",
    ),
    Table(
        "treasury_received_credits", ("treasury.received_credit",), "Money that others sent to a financial account.",
        placements=_of_financial_accounts("/v1/treasury/received_credits"),
        default=False, fan_out="one request per financial account", permission="rak_received_credit_read",
    ),
    Table(
        "treasury_received_debits", ("treasury.received_debit",), "Money that others pulled from a financial account.",
        placements=_of_financial_accounts("/v1/treasury/received_debits"),
        default=False, fan_out="one request per financial account", permission="rak_received_debit_read",
    ),
    Table(
        "treasury_transaction_entries", ("treasury.transaction_entry",),
        "Single changes of a financial account's balances.",
        # `flow_details` comes when expanded only: rows of other tables, which `flow` leads to
        placements=_of_financial_accounts("/v1/treasury/transaction_entries"),
        default=False, fan_out="one request per financial account", permission="rak_treasury_transaction_read",
    ),
    Table(
        "treasury_transactions", ("treasury.transaction",), "What moved the balance of a financial account.",
        placements=_of_financial_accounts("/v1/treasury/transactions"),  # `flow_details` as in treasury_transaction_entries
        default=False, fan_out="one request per financial account", permission="rak_treasury_transaction_read",
    ),
    Table(
        "v2_commerce_product_catalog_imports", ("v2.commerce.product_catalog_import",), "Uploads of a product catalog.",
        path="/v2/commerce/product_catalog/imports", created=True,
        range=Range("created_gte", "created_lt", rfc3339=True),  # not `created[gte]`, unlike the rest of /v2/
        default=False, opt_in_reason="needs agentic commerce", permission="rak_product_catalog_import_read",
    ),
    Table(
        "v2_core_account_persons", ("v2.core.account_person",), "People behind an account of Accounts v2.",
        placements=(Placement("v2_core_accounts", child_path="/v2/core/accounts/{id}/persons", refusal_expected=_NOT_CONTROLLED),),
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
        default=False, fan_out="one request per account", opt_in_reason=_ACCOUNTS_V2, permission="rak_connected_account_read",
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
        marker="created", lookback=timedelta(minutes=10), retention=_days(30),
        default=False, opt_in_reason="`events` has the same changes with the objects", permission="rak_event_read",
        invisible_rows="events older than 30 days",
    ),
    Table(
        "v2_core_vault_gb_bank_accounts", ("v2.core.vault.gb_bank_account",),
        "British bank accounts stored to pay out to.",
        path="/v2/core/vault/gb_bank_accounts", default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_core_vault_us_bank_accounts", ("v2.core.vault.us_bank_account",),
        "American bank accounts stored to pay out to.",
        path="/v2/core/vault/us_bank_accounts", default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_adjustments", ("v2.money_management.adjustment",),
        "Corrections of a financial account by Stripe.",
        path="/v2/money_management/adjustments", created=True, range=CREATED_V2,
        default=False, opt_in_reason=_MONEY, permission="rak_adjustment_read",
    ),
    Table(
        "v2_money_management_financial_accounts", ("v2.money_management.financial_account",),
        "Accounts that hold money at Stripe.",
        path="/v2/money_management/financial_accounts",
        params={
            "statuses": ["closed", "open", "pending"],  # closed ones are left out otherwise
            "include": ["storage.deposit_insurance_eligibility"],  # null otherwise
        },
        default=False, opt_in_reason=_MONEY, permission="rak_financial_account_read",
    ),
    Table(
        "v2_money_management_financial_addresses", ("v2.money_management.financial_address",),
        "Account numbers under which a financial account receives money.",
        path="/v2/money_management/financial_addresses", default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_inbound_transfers", ("v2.money_management.inbound_transfer",),
        "Money pulled from a bank account of one's own.",
        path="/v2/money_management/inbound_transfers", created=True, range=CREATED_V2, default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_outbound_payments", ("v2.money_management.outbound_payment",), "Money sent to others.",
        path="/v2/money_management/outbound_payments", created=True, range=CREATED_V2, default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_outbound_setup_intents", ("v2.money_management.outbound_setup_intent",),
        "Attempts to store where money is to be sent.",
        path="/v2/money_management/outbound_setup_intents", default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_payout_intents", ("v2.money_management.payout_intent",), "Payouts from intent to arrival.",
        path="/v2/money_management/payout_intents",
        default=False, opt_in_reason=_MONEY, permission="rak_payout_intent_read",
    ),
    Table(
        "v2_money_management_payout_methods", ("v2.money_management.payout_method",),
        "Where recipients are paid out to.",
        path="/v2/money_management/payout_methods", default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_received_credits", ("v2.money_management.received_credit",),
        "Money that others sent to a financial account.",
        path="/v2/money_management/received_credits", created=True, range=CREATED_V2, default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_transaction_entries", ("v2.money_management.transaction_entry",),
        "Single changes of a financial account's balances.",
        path="/v2/money_management/transaction_entries", created=True, range=CREATED_V2, default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "v2_money_management_transactions", ("v2.money_management.transaction",),
        "What moved the balance of a financial account.",
        path="/v2/money_management/transactions", created=True, range=CREATED_V2, default=False, opt_in_reason=_MONEY,
    ),
    Table(
        "webhook_endpoints", ("webhook_endpoint",), "Where events are sent.",
        path="/v1/webhook_endpoints",  # secrets are shown on creation only
        permission="rak_webhook_read",
    ),
)
BY_NAME: Mapping[str, Table] = MappingProxyType({table.name: table for table in TABLES})


def owner_column(owner: str) -> str:
    """Name of the column that holds the id of an owner: Stripe's name of the object, and `_id`."""
    return owner.replace(".", "_") + "_id"


@cache
def parent_column(table: Table) -> str | None:
    """Name of the column with the parent's id: for tables whose objects are found with one other object only."""
    owners = {found.of or BY_NAME[found.parent].object[0] for found in table.placements}
    if table.path or len(owners) != 1:
        return None
    return owner_column(owners.pop())


@cache
def pair_column(table: Table) -> str | None:
    """Name of the column with the id of the second owner, for tables that are asked for by pairs of owners."""
    pairs = {found.second_parent[0] for found in table.placements if found.second_parent}
    return owner_column(BY_NAME[pairs.pop()].object[0]) if pairs else None
