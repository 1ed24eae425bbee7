"""Billing: customers, products and prices, coupons, subscriptions, invoices, quotes, usage and entitlements."""
from __future__ import annotations

from datetime import timedelta

from stripe_source.tables.entries.reasons import NEW_IN_ENDIVE, OF_DELETED_CUSTOMERS
from stripe_source.tables.placement import NO_PARAMS, Placement
from stripe_source.tables.table import Removal, Table, Watch

_REFETCHED = "it changes without an event, and events lack it: one request for each customer that changes"
_TOO_DEEP = "Stripe expands four levels of a list, and this is deeper"
_DISCOUNTED_OBJECTS = (  # discounts have no list; the objects they are on carry them, as ids unless expanded
    # `customer.discount.*` may come without an event about the customer or the subscription
    Placement("customers", at="discount", parent_id_column="customer", more_event_sources=(("discount", "customer"),)),
    Placement(
        "subscriptions", at="discounts", expand=True, parent_id_column="subscription",
        more_event_sources=(("discount", "subscription"),),
    ),
    Placement("subscription_items", at="discounts", expand=True, parent_id_column="subscription_item"),
    Placement("invoices", at="discounts", expand=True, parent_id_column="invoice"),
    Placement("invoice_line_items", at="discounts", expand=True),
    Placement("invoice_items", at="discounts", expand=True, parent_id_column="invoice_item"),
)
BILLING: tuple[Table, ...] = (
    Table(
        "billing_alerts", ("billing.alert",), "Thresholds of usage that raise an event.",
        path="/v1/billing/alerts", time=None, permission="rak_billing_meter_read", aliases=("BillingAlerts",),
        # OpenAPI: "lists billing active and inactive alerts", and `status` knows a third
        invisible_rows="archived alerts",
    ),
    Table(
        "billing_credit_balance_summaries", ("billing.credit_balance_summary",), "What is left of each credit grant.",
        # no list and no id: asked grant by grant, with the grant's customer in either of its two shapes
        placements=(
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_summary", single_object=True,
                when="customer",
                params={"customer": "{customer}", "filter[type]": "credit_grant", "filter[credit_grant]": "{id}"},
            ),
            Placement(
                "billing_credit_grants", child_path="/v1/billing/credit_balance_summary", single_object=True,
                when="customer_account", where=(("customer", None),),
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
                "billing_meters", child_path="/v1/billing/meters/{id}/event_summaries",
                second_parent=("customers", "customer"), window=("start_time", "end_time"),
                params={"value_grouping_window": "day"},
            ),
        ),
        # an aggregate: its id says nothing about the day, and it does not name its customer
        key=("billing_meter_id", "customer_id", "start_time"),
        created=True, time="start_time", marker="created",
        lookback=timedelta(days=36),  # meter events may be dated up to 35 days back
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
        expand=("features.subscription_update.products",),
        marker="events",
    ),
    Table(
        "coupons", ("coupon",), "Percent or amount off; promotion codes and discounts refer to them.",
        path="/v1/coupons", created=True, named_by=(("promotion_codes", "promotion.coupon"),),
        expand=("applies_to", "currency_options"),
        permission="rak_coupon_read", aliases=("Coupons",),
        marker="events",
        changes_without_event="how often it was redeemed", resync=timedelta(days=1),
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
        expand=("shipping_cost.taxes",),
        marker="events",
    ),
    Table(
        "customer_balance_transactions", ("customer_balance_transaction",),
        "Changes of what a customer owes or is owed outside payments.",
        placements=(Placement("customers", child_path="/v1/customers/{id}/balance_transactions"),),
        default=False, fan_out="one request per customer",
        permission="rak_customer_read", aliases=("CustomerBalanceTransactions",),
        marker="events",
        changes_without_event="their metadata", resync=timedelta(days=30),
        invisible_rows=OF_DELETED_CUSTOMERS,
    ),
    Table(
        "customer_cash_balance_transactions", ("customer_cash_balance_transaction",),
        "Bank transfers of customers to their cash balance, and what was paid from it.",
        placements=(
            Placement(
                "customers", child_path="/v1/customers/{id}/cash_balance_transactions",
                event_sources=(("customer_cash_balance_transaction", "customer"),),
            ),
        ),
        default=False, fan_out="one request per customer",
        permission="rak_customer_read", aliases=("CashBalanceTransactions",),
        marker="events",
        invisible_rows=OF_DELETED_CUSTOMERS,
    ),
    Table(
        "customers", ("customer",), "The people and companies that pay.",
        path="/v1/customers", created=True, named_by=(("charges", "customer"), ("subscriptions", "customer")),
        # left out otherwise
        placements=(
            Placement(
                "test_helpers_test_clocks", child_path="/v1/customers", param="test_clock",
                parent_id_column="test_clock",
            ),
        ),
        permission="rak_customer_read", aliases=("Customers",),
        marker="events",
        not_loaded={
            "cash_balance": _REFETCHED, "invoice_credit_balance": _REFETCHED, "tax": _REFETCHED,
            "subscriptions": "rows of subscriptions",
        },
        invisible_rows="deleted customers, whom charges and invoices go on naming",
    ),
    Table(
        "discounts", ("discount",), "A coupon as applied to a customer, subscription, invoice, item or line.",
        placements=_DISCOUNTED_OBJECTS, time=None, permission="rak_coupon_read",
        aliases=("InvoiceDiscounts", "InvoiceItemDiscounts", "InvoiceLineItemDiscounts"),
        marker="events",
        invisible_rows="discounts that were removed or have ended, but for those on invoices",
    ),
    Table(
        "entitlements_active_entitlements", ("entitlements.active_entitlement",),
        "Features that each customer may use now.",
        placements=(
            Placement(
                "customers", child_path="/v1/entitlements/active_entitlements", param="customer",
                event_sources=(("entitlements.active_entitlement_summary", "customer"),),
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
        named_by=(("invoice_payments", "invoice"),),
        expand=("shipping_cost.taxes",),
        not_loaded={"confirmation_secret": "a secret", "payments": "rows of invoice_payments"},
        marker="events",
        copies={"default_tax_rates": "tax_rates"},
        invisible_rows="deleted drafts, and previews",  # drafts are all that can be deleted; a preview has no id
    ),
    Table(
        "plans", ("plan",), "Recurring prices in their older shape.",
        path="/v1/plans", created=True, object_path="/v1/plans/{id}",
        placements=(Placement("subscription_items", at="plan", fallback=True),),  # twins of prices that are in no list
        expand=("tiers",),
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
        expand=("tiers", "currency_options"),
        permission="rak_plan_read", aliases=("Prices",),
        marker="events",
        # OpenAPI: "excluding inline prices"
        invisible_rows="deleted prices, and those made with `price_data` that no loaded item or line names",
    ),
    Table(
        "product_catalog_trial_offers", ("product_catalog.trial_offer",), "Prices for a trial, and what follows it.",
        path="/v1/product_catalog/trial_offers", created=True, time=None,  # a filter on a field that is not there
        default=False, opt_in_reason=NEW_IN_ENDIVE,
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
        named_by=(("prices", "product"),),
        not_loaded={"tax_details": "no document of Stripe's says that it can be expanded"},
        marker="events",
        invisible_rows="deleted products, which invoice lines go on naming",
    ),
    Table(
        "promotion_codes", ("promotion_code",), "Codes that customers redeem for a coupon.",
        path="/v1/promotion_codes", created=True, permission="rak_promotion_code_read", aliases=("PromotionCodes",),
        expand=("restrictions.currency_options",),
        marker="events",
        changes_without_event="how often it was redeemed", resync=timedelta(days=1),
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
        not_loaded={"discounts": _TOO_DEEP, "taxes": _TOO_DEEP},
        time=None, permission="rak_quote_read",
    ),
    Table(
        "quote_line_items", ("item",), "What each quote offers.",
        placements=(Placement("quotes", at="line_items", expand=True, child_path="/v1/quotes/{id}/line_items"),),
        key=("quote_id", "id"),  # see quote_computed_upfront_line_items
        expand=("discounts", "taxes"),
        time=None, permission="rak_quote_read",
    ),
    Table(
        "quotes", ("quote",), "Offers to customers that become invoices or subscriptions when accepted.",
        path="/v1/quotes",  # has no filter by time, and no event when a draft changes
        expand=("total_details.breakdown",),
        not_loaded={
            "computed.recurring.total_details.breakdown": _TOO_DEEP,
            "computed.upfront.total_details.breakdown": _TOO_DEEP,
        },
        # left out otherwise
        placements=(
            Placement(
                "test_helpers_test_clocks", child_path="/v1/quotes", param="test_clock", parent_id_column="test_clock",
            ),
        ),
        permission="rak_quote_read", aliases=("Quotes",),
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
        path="/v1/subscription_schedules", created=True, named_by=(("subscriptions", "schedule"),),
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
        named_by=(("invoices", "parent.subscription_details.subscription"),),
        params={"status": "all"},  # canceled ones are left out otherwise, and those on test clocks
        placements=(
            Placement(
                "test_helpers_test_clocks", child_path="/v1/subscriptions", param="test_clock",
                params={"status": "all"}, parent_id_column="test_clock",
            ),
        ),
        permission="rak_subscription_read", aliases=("Subscriptions", "CustomerSubscriptions"),
        marker="events",
        survives_deleted_event=(
            "a canceled subscription is still there: `customer.subscription.deleted` says that it was canceled"
        ),
        removal=Removal(
            "Stripe removes subscriptions of test mode 30 days after they ended, with what hangs on them (its support "
            "page on the retention of test data, and polarsource/polar, issue 5301; read 2026-11)",
            column="ended_at", after=timedelta(days=30), mode="test", with_them={
                "invoices": "parent__subscription_details__subscription",
                "invoice_items": "parent__subscription_details__subscription",
            },
        ),
        copies={"default_tax_rates": "tax_rates"},
    ),
    Table(
        "test_helpers_test_clocks", ("test_helpers.test_clock",), "Clocks that let test customers live faster.",
        path="/v1/test_helpers/test_clocks",
        mode="test",
        permission="rak_billing_clock_read", aliases=("TestClocks",),
        marker="events",
    ),
)
