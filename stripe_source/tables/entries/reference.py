"""Everything else: events, files, apps, Terminal, Identity, Climate, reports, linked bank accounts, reference data."""
from __future__ import annotations

from datetime import timedelta

from stripe_source.tables.entries.reasons import REFERENCE_DATA
from stripe_source.tables.placement import Placement
from stripe_source.tables.table import Table, Watch

_CLIMATE = "needs Climate"
_TERMINAL = "needs Terminal"
_IDENTITY = "needs Identity"
_PERSONAL = "what a document says of a person"
_LINKED_ACCOUNTS = "needs Financial Connections"
_APPS = "for developers of Stripe Apps"
REFERENCE: tuple[Table, ...] = (
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
        default=False, opt_in_reason=REFERENCE_DATA, aliases=("CountrySpecs",),
    ),
    Table(
        "events", ("event",), "Stripe's own log of changes, 30 days of it; kept here for good.",
        path="/v1/events", created=True, marker="events", lookback=timedelta(minutes=10), retention=timedelta(days=30),
        permission="rak_event_read", aliases=("Events",), role="change feed",
        invisible_rows="events older than 30 days",
    ),
    Table(
        "exchange_rates", ("exchange_rate",),
        "Today's rates of exchange; Stripe keeps no older ones and calls the list deprecated.",
        path="/v1/exchange_rates", time=None,  # ids are currency codes
        limit=None,  # bound by the number of currencies, which is also the default
        default=False, opt_in_reason=REFERENCE_DATA,
    ),
    Table(
        "file_links", ("file_link",), "Links that show a file to anybody.",
        path="/v1/file_links", created=True, permission="rak_file_read", aliases=("FileLinks",),
    ),
    Table(
        "files", ("file",), "Uploads and results at Stripe: what they are, not their bytes.",
        path="/v1/files", created=True, permission="rak_file_read", aliases=("Files",),
        marker="events",
        changes_without_event="links to it", resync=timedelta(days=30),
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
        path="/v1/financial_connections/accounts", default=False, opt_in_reason=_LINKED_ACCOUNTS,
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
        # no events; a request is answered when it is made, nothing changes later
        marker="created", lookback=timedelta(days=1),
        default=False, opt_in_reason="needs Stripe's approval",
    ),
    Table(
        "identity_verification_reports", ("identity.verification_report",), "Results of checks of identity documents.",
        path="/v1/identity/verification_reports", created=True, default=False, opt_in_reason=_IDENTITY,
        not_loaded=dict.fromkeys(
            ("document.dob", "document.expiration_date", "document.number", "id_number.dob", "id_number.id_number"),
            _PERSONAL,
        ),
    ),
    Table(
        "identity_verification_sessions", ("identity.verification_session",), "Checks of a person's identity.",
        path="/v1/identity/verification_sessions", created=True, default=False, opt_in_reason=_IDENTITY,
        not_loaded={"verified_outputs": _PERSONAL},
    ),
    Table(
        "reporting_report_runs", ("reporting.report_run",), "Reports that were asked for, and their files.",
        path="/v1/reporting/report_runs", created=True,
        permission="rak_report_runs_and_report_types_read", aliases=("Reports",),
        marker="events", role="report run",
        watch=(
            Watch("pending ones come without an event", lookback=timedelta(days=1), column="status", value="pending"),
        ),
    ),
    Table(
        "reporting_report_types", ("reporting.report_type",),
        "Reports that can be asked for, and how far their data go.",
        path="/v1/reporting/report_types", time=None,
        limit=None,  # one page; `limit` and cursors are refused (sync-engine 2)
        default=False, opt_in_reason=REFERENCE_DATA, permission="rak_report_runs_and_report_types_read",
        role="report type",
    ),
    Table(
        "sigma_scheduled_query_runs", ("scheduled_query_run",), "Runs of scheduled Sigma queries, and their files.",
        path="/v1/sigma/scheduled_query_runs", default=False, opt_in_reason="needs Sigma",
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
        "webhook_endpoints", ("webhook_endpoint",), "Where events are sent.",
        path="/v1/webhook_endpoints",  # secrets are shown on creation only
        permission="rak_webhook_read",
    ),
)
