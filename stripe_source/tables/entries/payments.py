"""Payments: charges, refunds, disputes, checkout, ways to pay, Radar, the balance and payouts."""
from __future__ import annotations

from datetime import timedelta

from stripe_source.tables.entries.reasons import NEW_IN_ENDIVE, REMOVED_OR_OF_DELETED_CUSTOMERS
from stripe_source.tables.placement import NO_PARAMS, Placement
from stripe_source.tables.table import Range, Table, Watch

_OTHER_PROCESSORS = "for payments that other processors made"
_CUSTOMER_SOURCES = (
    Placement(
        "customers", at="sources", expand=True, child_path="/v1/customers/{id}/sources",
        event_sources=(("bank_account", "customer"), ("card", "customer"), ("source", "customer")),
        event_types=(("customer.source.", "customer"),),  # old accounts have `alipay_account` and `bitcoin_receiver`
    ),
)
PAYMENTS: tuple[Table, ...] = (
    Table(
        "apple_pay_domains", ("apple_pay_domain",), "Web domains registered for Apple Pay in the old way.",
        path="/v1/apple_pay/domains",
        default=False, opt_in_reason="legacy: `payment_method_domains` has taken its place",
        permission="rak_apple_pay_domain_read",
    ),
    Table(
        "balance", ("balance",), "The balance as a whole, as it was when it was last read: one row.",
        path="/v1/balance", singleton=True, key=(), time=None, permission="rak_balance_read",
    ),
    Table(
        "balance_available", ("balance",), "Funds that can be paid out now, one row per currency.",
        path="/v1/balance", singleton=True, at="available", key=("currency",), time=None, role="available funds",
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
        path="/v1/balance_transactions", created=True, named_by=(("charges", "balance_transaction"),),
        # no events; only `status` changes, silently, when `available_on` comes: settlement takes up to about 14 days
        marker="events", lookback=timedelta(days=15),
        watch=(
            Watch("there are no events about them", lookback=timedelta(hours=1)),
            Watch("they become available without an event", column="status", value="pending", due="available_on"),
        ),
        permission="rak_balance_transaction_source_read", aliases=("BalanceTransactions",), role="ledger",
    ),
    Table(
        "charges", ("charge",), "Every attempt to move money to the account.",
        path="/v1/charges", created=True, permission="rak_charge_read", aliases=("Charges",),
        not_loaded={"refunds": "rows of refunds"},
        marker="events",
        example_query=(
            "select currency, count(*) as charges, sum(amount) as amount "
            "from {table} where paid and not _deleted group by all order by charges desc"
        ),
    ),
    Table(
        "checkout_session_line_items", ("item",), "What was offered on each checkout page.",
        # old sessions of test mode have none and answer 404 (estuary)
        placements=(
            Placement(
                "checkout_sessions", at="line_items", expand=True, child_path="/v1/checkout/sessions/{id}/line_items",
            ),
        ),
        time=None, expand=("discounts", "taxes"),
        permission="rak_checkout_session_read", aliases=("CheckoutSessionLineItems",),
        marker="events",
        copies={"price__id": "prices"},
    ),
    Table(
        "checkout_sessions", ("checkout.session",), "Checkout pages: what was offered, and whether it was paid.",
        path="/v1/checkout/sessions", created=True, expand=("shipping_cost.taxes", "total_details.breakdown"),
        permission="rak_checkout_session_read", aliases=("CheckoutSession",),
        marker="events",
        watch=(Watch("open ones come and change without an event", {"status": "open"}, column="status", value="open"),),
    ),
    Table(
        "customer_bank_accounts", ("bank_account",), "Bank accounts stored on customers.",
        # one list holds cards, bank accounts and sources; the embedded list is absent unless expanded
        placements=_CUSTOMER_SOURCES,
        time=None,
        permission="rak_source_read", aliases=("BankAccounts",),
        marker="events",
        invisible_rows=REMOVED_OR_OF_DELETED_CUSTOMERS,
    ),
    Table(
        "customer_cards", ("card",), "Cards stored on customers as sources; newer integrations store payment methods.",
        placements=_CUSTOMER_SOURCES,
        time=None,
        permission="rak_source_read", aliases=("Cards",),
        marker="events",
        invisible_rows=REMOVED_OR_OF_DELETED_CUSTOMERS,
    ),
    Table(
        "customer_sources", ("source",), "Payment sources of the older Sources API, stored on customers.",
        # in one list with cards and bank accounts, read once for all three
        placements=_CUSTOMER_SOURCES, other_kinds=True,
        permission="rak_source_read",
        marker="events",
        # sources have no list of their own, only customers have one
        invisible_rows="sources that are not attached to a customer, and those of deleted customers",
    ),
    Table(
        "disputes", ("dispute",), "Payments that the customer's bank was asked to reverse.",
        path="/v1/disputes", created=True, permission="rak_dispute_read", aliases=("Disputes",),
        marker="events",
        copies={"balance_transactions": "balance_transactions"},
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
        named_by=(("charges", "payment_intent"),),
        marker="events",
        watch=(Watch("metadata and description change without an event, mostly soon", lookback=timedelta(hours=1)),),
        changes_without_event="metadata, description and (by credit notes) amount of older ones",
        resync=timedelta(days=30),
    ),
    Table(
        "payment_link_line_items", ("item",), "What each payment link sells.",
        placements=(
            Placement("payment_links", at="line_items", expand=True, child_path="/v1/payment_links/{id}/line_items"),
        ),
        time=None, expand=("discounts", "taxes"),
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
        # the bare list is documented differently over the years: 2024-04 and 2025-10 "for Treasury flows; use the
        # customer's list", 2026-08 all of them; a public fake that was held against the real service answers nothing
        named_by=(
            ("customers", "invoice_settings.default_payment_method"), ("payment_intents", "payment_method"),
            ("setup_intents", "payment_method"), ("charges", "payment_method"),
        ),
        listed_when="customer", owners_list=("customers", "/v1/customers/{id}/payment_methods"),
        # cards and sources of the older API, shown as payment methods: detached, they are gone, and their event carries
        # them as if they were there (dj-stripe, issues 967, 1005, 1013, 1068; read 2026-11)
        refetched_ids=("card_", "src_", "ba_"),
        # OpenAPI: "a list of all PaymentMethods"; nobody says that these are in it
        invisible_rows="perhaps detached ones, and those of payments without a customer",
    ),
    Table(
        "payment_records", ("payment_record",), "Payments as one record each, whichever processor made them.",
        path="/v1/payment_records", created=True,
        range=Range("created_after", "created_before", exclusive=True),  # "created after", so not in that second
        default=False, opt_in_reason=_OTHER_PROCESSORS, permission="rak_payment_records_read",
    ),
    Table(
        "payout_balance_transactions", ("balance_transaction",),
        "Which balance transactions each automatic payout swept.",
        # Stripe knows the members of automatic payouts only; for manual ones it answers an error
        placements=(
            Placement("payouts", child_path="/v1/balance_transactions", param="payout", where=(("automatic", True),)),
        ),
        key=("payout_id", "balance_transaction_id"), extra={"balance_transaction_id": "id"}, role="payout member",
        permission="rak_balance_transaction_source_read",
        marker="events",
        invisible_rows="members of manual payouts: Stripe knows those of automatic ones only",
    ),
    Table(
        "payouts", ("payout",), "Money sent from Stripe to the bank.",
        path="/v1/payouts", created=True, permission="rak_payout_read", aliases=("Payouts",), role="payout",
        marker="events",
    ),
    Table(
        "radar_early_fraud_warnings", ("radar.early_fraud_warning",), "Charges that a card's issuer thinks are fraud.",
        path="/v1/radar/early_fraud_warnings", created=True, aliases=("EarlyFraudWarning",),
        marker="events",
    ),
    Table(
        "radar_value_list_items", ("radar.value_list_item",), "Values on Radar's lists: cards, emails, countries.",
        # embedded in their list first; the list of all wants `value_list`
        placements=(
            Placement(
                "radar_value_lists", at="list_items", child_path="/v1/radar/value_list_items", param="value_list",
            ),
        ),
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
        "reviews", ("review",), "Payments that Radar wants a person to look at.",
        path="/v1/reviews", created=True,
        # the list holds open ones only; payments name theirs for ever
        placements=(
            Placement("charges", at="review", expand=True), Placement("payment_intents", at="review", expand=True),
        ),
        deletions_unknown="a review leaves the list when it is closed, and cannot be deleted",
        permission="rak_review_read", aliases=("Reviews",),
        marker="events",
    ),
    Table(
        "setup_attempts", ("setup_attempt",), "Single attempts of setup intents, failed ones too.",
        placements=(
            Placement("setup_intents", child_path="/v1/setup_attempts", param="setup_intent", when="latest_attempt"),
        ),
        default=False, fan_out="one request per setup intent that was attempted", permission="rak_setup_intent_read",
        marker="events",
    ),
    Table(
        "setup_intents", ("setup_intent",), "Attempts to store a way to pay for later.",
        path="/v1/setup_intents", created=True, permission="rak_setup_intent_read",
        marker="events",
        watch=(Watch("metadata and description change without an event, mostly soon", lookback=timedelta(hours=1)),),
        changes_without_event="metadata and description of older ones", resync=timedelta(days=30),
    ),
    Table(
        "shipping_rates", ("shipping_rate",), "What shipping costs at checkout.",
        path="/v1/shipping_rates", created=True,
        expand=("fixed_amount.currency_options",),
        permission="rak_shipping_rate_read", aliases=("ShippingRates",),
    ),
    Table(
        "source_transactions", ("source_transaction",), "Transfers of money to sources of the older Sources API.",
        # sources have no list: those on customers are all that can be found
        placements=(Placement("customer_sources", child_path="/v1/sources/{id}/source_transactions"),),
        default=False, fan_out="one request per source", permission="rak_source_read",
        invisible_rows="those of sources that are not attached to a customer",
    ),
    Table(
        "three_d_secure_authentications", ("three_d_secure.authentication",),
        "3D Secure on its own, without a payment.",
        path="/v1/three_d_secure/authentications", created=True, default=False, opt_in_reason=NEW_IN_ENDIVE,
    ),
)
