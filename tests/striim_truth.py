"""What Striim's tables must hold, from the sandbox's dump, value by value, without the map and without our loader.

Most of Striim's columns are called as the path of their value, so a walk over the object finds it. What Stripe moved,
renamed or keeps on other objects is in `ELSEWHERE`, by hand.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from truth import ASKED
from truth import ELSEWHERE as HIDDEN

TABLES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "recorded" / "striim_tables.json").read_text(encoding="utf-8"))
Thing = dict[str, Any]
Look = Callable[[Thing, "Account"], Any]
KEYS = {"AvailableBalance": ("Currency",), "PendingBalance": ("Currency",), "InvoiceLineItems": ("InvoiceId", "Id"),
        "InvoiceLineItemDiscounts": ("InvoiceId", "Id")}
SOURCES = {
    "Accounts": "accounts", "AvailableBalance": "balance_available", "BalanceTransactions": "balance_transactions",
    "BankAccounts": "customer_bank_accounts", "Cards": "customer_cards", "Charges": "charges",
    "CheckoutSession": "checkout_sessions", "CountrySpecs": "country_specs", "Coupons": "coupons",
    "CreditNotes": "credit_notes", "CustomerSubscriptions": "subscriptions", "Customers": "customers",
    "Disputes": "disputes", "EarlyFraudWarning": "radar_early_fraud_warnings", "Events": "events", "Files": "files",
    "InvoiceDiscounts": "discounts", "InvoiceItemDiscounts": "discounts", "InvoiceItems": "invoice_items",
    "InvoiceLineItems": "invoice_line_items", "Invoices": "invoices", "PaymentIntent": "payment_intents",
    "PaymentLinkLineItems": "payment_link_line_items", "PaymentLinks": "payment_links",
    "PaymentMethods": "payment_methods", "Payouts": "payouts", "PendingBalance": "balance_pending",
    "Persons": "account_persons", "Plans": "plans", "Prices": "prices", "Products": "products",
    "PromotionCodes": "promotion_codes", "Quotes": "quotes", "Refunds": "refunds", "Reports": "reporting_report_runs",
    "Reviews": "reviews", "ShippingRates": "shipping_rates", "SubscriptionItems": "subscription_items",
    "Subscriptions": "subscriptions", "TaxRates": "tax_rates", "TopUps": "topups",
    "TransferReversals": "transfer_reversals", "Transfers": "transfers", "ValueListItems": "radar_value_list_items",
    "ValueLists": "radar_value_lists",
}
KEPT: dict[str, Callable[[Thing], bool]] = {
    "CustomerSubscriptions": lambda thing: thing["status"] != "canceled",
    "InvoiceDiscounts": lambda thing: thing["invoice"] is not None,
    "InvoiceItemDiscounts": lambda thing: thing["invoice_item"] is not None,
}


class Account:
    """The objects of a dump that are there, as a run sees them."""

    def __init__(self, dump: dict[str, list[Any]]) -> None:
        self.things: dict[str, list[Thing]] = {}
        self._expected: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        for table, truths in dump.items():
            self.things[table] = [
                self._seen(table, truth) for truth in truths
                if not truth.deleted and (truth.listed or table in HIDDEN)
            ]

    def _seen(self, table: str, truth: Any) -> Thing:
        seen = json.loads(json.dumps(truth.object))
        for path in ASKED.get(table, ()) if truth.listed else ():
            *above, last = path.split(".")
            place = seen
            for step in above:
                place = place.get(step) if isinstance(place, dict) else None
            if isinstance(place, dict) and path in truth.also:
                place[last] = truth.also[path]
        return {**seen, "_parent": truth.parent_id, "_position": truth.position or 0}

    def get(self, table: str, id: Any) -> Thing:
        """An object by its id; {} where there is none."""
        id = id["id"] if isinstance(id, dict) else id
        return next((each for each in self.things[table] if id and each["id"] == id), {})

    def of(self, table: str, owner: str, field: str = "_parent") -> list[Thing]:
        """The objects that name an owner, in the order of their list."""
        found = [each for each in self.things.get(table, []) if each.get(field) == owner]
        if field == "_parent":
            return sorted(found, key=lambda each: each["_position"])
        return sorted(found, key=lambda each: (each["created"], each["id"]))

    def expected(self, view: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Key -> column -> value."""
        if view not in self._expected:
            self._expected[view] = self._rows(view)
        return self._expected[view]

    def _rows(self, view: str) -> dict[tuple[Any, ...], dict[str, Any]]:
        if view == "InvoiceLineItemDiscounts":
            things = self._discounts_of_lines()
        else:
            things = [each for each in self.things[SOURCES[view]] if KEPT.get(view, lambda thing: True)(each)]
        rows = {}
        for thing in things:
            row = {name: self._value(view, name, type, thing) for name, type in TABLES[view].items()}
            rows[tuple(row[name] for name in KEYS.get(view, ("Id",)))] = row
        return rows

    def _discounts_of_lines(self) -> list[Thing]:
        return [
            {**self.get("discounts", id), "_invoice": line["_parent"]}
            for line in self.things["invoice_line_items"] for id in map(id_of, line.get("discounts") or [])
            if self.get("discounts", id)
        ]

    def _value(self, view: str, name: str, type: str, thing: Thing) -> Any:
        look = ELSEWHERE.get(view, {}).get(name)
        return held(look(thing, self) if look else walk(thing, name), type)


def id_of(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) and "id" in value else value


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def walk(thing: Any, name: str) -> Any:
    """The value whose path is called like a column; None where there is none."""
    rest = plain(name)
    for wanted in dict.fromkeys((rest, rest.removesuffix("aggregate"), rest.removesuffix("id"))):
        found = _walk(thing, wanted)
        if found is not _NOTHING:
            return found
    return None


_NOTHING = object()


def _walk(thing: Any, rest: str) -> Any:
    if not isinstance(thing, dict):
        return _NOTHING
    for key in sorted(thing, key=len, reverse=True):
        if rest == plain(key):
            return thing[key]
        if rest.startswith(plain(key)) and plain(key):
            found = _walk(thing[key], rest[len(plain(key)):])
            if found is not _NOTHING:
                return found
    return _NOTHING


def pruned(value: Any) -> Any:
    """JSON without what has no value: a column does not say whether a member is null or missing."""
    if isinstance(value, dict):
        members = {name: pruned(each) for name, each in value.items() if not name.startswith("_")}
        return {name: each for name, each in members.items() if each is not None and name != "client_secret"} or None
    return [pruned(each) for each in value] if isinstance(value, list) else value


def held(value: Any, type: str) -> Any:
    """A value of an object in the type of its column, in Python."""
    if value is None:
        return None
    if type == "String":
        value = pruned(value)
        if isinstance(value, dict) and "id" in value and "object" in value:
            return value if len(value) > 2 else value["id"]
        return str(value).lower() if isinstance(value, bool) else (
            value if isinstance(value, (dict, list)) or value is None else str(value))
    if type == "Datetime":
        return datetime.fromtimestamp(value, timezone.utc)
    if type in ("Decimal", "Double"):
        return Decimal(str(value))
    return bool(value) if type == "Boolean" else int(value)


def found_value(value: Any, type: str) -> Any:
    """A value of a view as any reader gives it, in the same form."""
    if value is None:
        return None
    if type == "Datetime":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    if type == "Boolean":
        return bool(value)
    if type == "String" and isinstance(value, str) and value[:1] in ("{", "["):
        return pruned(json.loads(value))
    if type in ("Decimal", "Double"):
        return Decimal(str(value)).normalize() + 0
    return value


def by_key(view: str, rows: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a view: key -> column -> value."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in rows:
        row = {name: found_value(values[name], type) for name, type in TABLES[view].items()}
        key = tuple(row[name] for name in KEYS.get(view, ("Id",)))
        assert key not in found, f"{view} {key} is there twice"
        found[key] = row
    return found


def differences(
    expected: dict[tuple[Any, ...], dict[str, Any]], found: dict[tuple[Any, ...], dict[str, Any]]
) -> list[str]:
    """Every difference in words; [] where they are equal."""
    words = [f"{key} is missing" for key in expected.keys() - found.keys()]
    words += [f"{key} should not be there" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        words += [f"{key} {name}: {found[key][name]!r} instead of {value!r}"
                  for name, value in expected[key].items() if found[key][name] != value]
    return words


# ---- by hand: what Stripe moved, renamed, or keeps on other objects

def at(path: str) -> Look:
    """The value at a path of the object."""

    def look(thing: Thing, account: Account) -> Any:
        value: Any = thing
        for step in path.split("."):
            if isinstance(value, list):
                value = value[int(step)] if value and step.isdigit() else None
            else:
                value = value.get(step) if isinstance(value, dict) else None
        return value

    return look


def nothing(thing: Thing, account: Account) -> None:
    """Stripe does not show it."""


def other(table: str, reference: str, path: str = "") -> Look:
    """A value of another object that the object names; without a path all of it."""

    def look(thing: Thing, account: Account) -> Any:
        found = account.get(table, at(reference)(thing, account))
        return (at(path)(found, account) if path else found or None)

    return look


def members(*tables: str, field: str = "_parent") -> Look:
    """The objects of other tables that belong to the object."""

    def look(thing: Thing, account: Account) -> Any:
        found = [each for table in tables for each in account.of(table, thing["id"], field)]
        return sorted(found, key=lambda each: each["_position"]) if len(tables) > 1 else found or None

    return lambda thing, account: look(thing, account) or None


def first_item(path: str) -> Look:
    return lambda thing, account: at(path)((account.of("subscription_items", thing["id"]) or [{}])[0], account)


def coupon(reference: Look) -> dict[str, Look]:
    """The columns of a coupon."""
    paths = {
        "AmountOff": "amount_off", "Currency": "currency", "Name": "name", "CreatedAt": "created", "Created": "created",
        "Duration": "duration", "DurationInMonths": "duration_in_months", "PercentOff": "percent_off",
        "RedeemBy": "redeem_by", "TimesRedeemed": "times_redeemed", "Valid": "valid", "Object": "object",
        "MaxRedemptions": "max_redemptions", "LiveMode": "livemode", "Livemode": "livemode", "Metadata": "metadata",
        "MetadataAggregate": "metadata", "AppliesToProducts": "applies_to.products",
    }

    def of_coupon(path: str) -> Look:
        return lambda thing, account: at(path)(account.get("coupons", reference(thing, account)), account)

    return {name: of_coupon(path) for name, path in paths.items()}


def prefixed(prefix: str, looks: dict[str, Look]) -> dict[str, Look]:
    return {prefix + name: look for name, look in looks.items()}


def payments(thing: Thing, account: Account, field: str, value: Any) -> Thing:
    """The first payment of an invoice, or the one of a payment intent or charge."""
    found = [each for each in account.things["invoice_payments"] if value and id_of(at(field)(each, account)) == value]
    return min(found, key=lambda each: (not each["is_default"], each["created"], each["id"]), default={})


def of_intent(path: str) -> Look:
    def look(thing: Thing, account: Account) -> Any:
        payment = payments(thing, account, "invoice", thing["id"])
        return at(path)(account.get("payment_intents", at("payment.payment_intent")(payment, account)), account)

    return look


def charge_of_invoice(thing: Thing, account: Account) -> Any:
    payment = payments(thing, account, "invoice", thing["id"])
    return at("payment.charge")(payment, account) or of_intent("latest_charge")(thing, account)


def invoice_of_charge(thing: Thing, account: Account) -> Any:
    by_intent = payments(thing, account, "payment.payment_intent", thing["payment_intent"])
    return (by_intent or payments(thing, account, "payment.charge", thing["id"])).get("invoice")


def newest_dispute(thing: Thing, account: Account) -> Any:
    found = account.of("disputes", thing["id"], "charge")
    return max(found, key=lambda each: each["created"])["id"] if found else None


def first_discount(path: str) -> Look:
    return lambda thing, account: at(path)(account.get("discounts", at("discounts.0")(thing, account)), account)


def either(*looks: Look) -> Look:
    """The first one that has a value."""
    return lambda thing, account: next((v for look in looks if (v := look(thing, account)) is not None), None)


def without_fraction(look: Look) -> Look:
    def whole(thing: Thing, account: Account) -> Any:
        value = look(thing, account)
        return int(Decimal(value)) if value is not None and Decimal(value) % 1 == 0 else None

    return whole


def without_zeros(look: Look) -> Look:
    """A decimal as text, without zeros at its end: a decimal column does not keep them."""
    return lambda thing, account: None if (value := look(thing, account)) is None else f"{Decimal(value).normalize():f}"


def names(view: str, prefix: str) -> Iterable[str]:
    return (name for name in TABLES[view] if name.startswith(prefix))


def product(prefix: str) -> dict[str, Look]:
    fields = {"Name": "name", "Active": "active", "Metadata": "metadata", "UnitLabel": "unit_label",
              "StatementDescriptor": "statement_descriptor", "TaxCode": "tax_code"}
    return {prefix + name: other("products", "product", path) for name, path in fields.items()}


_PRICE = "pricing.price_details.price"



def of_price(name: str) -> Look:
    return lambda thing, account: walk(
        account.get("prices", at(_PRICE)(thing, account)), name.removeprefix("Price"))


_DISCOUNT = {
    "Id": "", "CheckoutSession": "checkout_session", "Customer": "customer", "Start": "start", "End": "end",
    "Invoice": "invoice", "InvoiceItem": "invoice_item", "PromotionCode": "promotion_code",
    "Subscription": "subscription",
}
_SUBSCRIPTION: dict[str, Look] = {
    "PlanId": first_item("plan.id"), "Quantity": first_item("quantity"),
    "CurrentPeriodEnd": first_item("current_period_end"), "CurrentPeriodStart": first_item("current_period_start"),
}
ELSEWHERE: dict[str, dict[str, Look]] = {
    "Accounts": {
        "IndividualId": at("individual.id"), "IsController": at("controller.is_controller"), 
        "TransferSchedule": at("settings.payouts.schedule"),
        "TransfersEnabled": at("payouts_enabled"), "ExternalAccountsAggregate": members("account_external_accounts"),
    },
    "Charges": {
        "Destination": at("transfer_data.destination"), "DisputeId": newest_dispute, "Invoice": invoice_of_charge,
        "RefundsAggregate": members("refunds", field="charge"),
    },
    "CheckoutSession": {
        "ClientSecret": nothing, "ShippingDetails": at("collected_information.shipping_details"),
        "LineItemsAggregate": members("checkout_session_line_items"),
        "CustomTextTermsOfAcceptanceMessage": at("custom_text.terms_of_service_acceptance.message"),
    },
    "CountrySpecs": {"SupportedTransferCurrenciesAggregate": at("supported_transfer_countries")},
    "Coupons": {"CreatedAt": at("created")},
    "CreditNotes": {"Lines": members("credit_note_line_items"), "Refund": at("refunds.0.refund"),
                    "TaxAmounts": at("total_taxes")},
    "CustomerSubscriptions": {**_SUBSCRIPTION, "BillingThreshold": at("billing_thresholds")},
    "Customers": {
        "CouponId": at("discount.source.coupon"), "TaxIdsAggregate": members("tax_ids", field="customer"),
        **prefixed("DiscountCoupon", coupon(at("discount.source.coupon"))),
        "SourcesAggregate": members("customer_cards", "customer_bank_accounts", "customer_sources"),
        "TaxCountry": at("tax.location.country"), "TaxState": at("tax.location.state"),
        "TaxSource": at("tax.location.source"),
    },
    "Events": {"ObjectId": at("data.object.id"), "ObjectName": at("data.object.object"), "Request": at("request.id"),
               "PreviousAttributes": at("data.previous_attributes")},
    "InvoiceDiscounts": {"Coupon": at("source.coupon"), **prefixed("Coupon", coupon(at("source.coupon")))},
    "InvoiceItemDiscounts": {"Coupon": at("source.coupon"), **prefixed("Coupon", coupon(at("source.coupon")))},
    "InvoiceLineItemDiscounts": {
        "CouponId": at("source.coupon"), "InvoiceId": at("_invoice"),
        **prefixed("Coupon", coupon(at("source.coupon"))),
    },
    "InvoiceItems": {
        "PlanId": other("plans", _PRICE, "id"), "PlanAggregate": other("plans", _PRICE), "PriceId": at(_PRICE),
        "PriceAggregate": other("prices", _PRICE), "Subscription": at("parent.subscription_details.subscription"),
        "SubscriptionItems": at("parent.subscription_details.subscription_item"),
        "UnitAmount": without_fraction(at("pricing.unit_amount_decimal")),
        "UnitAmountDecimal": without_zeros(at("pricing.unit_amount_decimal")),
    },
    "InvoiceLineItems": {
        "InvoiceId": at("_parent"), "PriceId": at(_PRICE),
        **{name: of_price(name) for name in names("InvoiceLineItems", "Price") if name != "PriceId"},
        "InvoiceItem": either(at("parent.invoice_item_details.invoice_item"),
                              at("parent.subscription_item_details.invoice_item")),
        "Proration": either(at("parent.invoice_item_details.proration"),
                            at("parent.subscription_item_details.proration")),
        "ProrationDetails": either(at("parent.invoice_item_details.proration_details"),
                                   at("parent.subscription_item_details.proration_details")),
        "Subscription": either(at("subscription"), at("parent.subscription_item_details.subscription"),
                               at("parent.invoice_item_details.subscription")),
        "SubscriptionItems": at("parent.subscription_item_details.subscription_item"),
        "Type": lambda thing, account: {
            "invoice_item_details": "invoiceitem", "subscription_item_details": "subscription",
        }.get(at("parent.type")(thing, account)),
        "TaxAmountsAggregate": at("taxes"),
    },
    "Invoices": {
        "AccountTaxRates": at("account_tax_ids"), "ApplicationFeeAmount": of_intent("application_fee_amount"),
        "Charge": charge_of_invoice, "DiscountName": lambda thing, account: at("name")(
            account.get("coupons", first_discount("source.coupon")(thing, account)), account),
        "DiscountAmount": lambda thing, account: at("amount_off")(
            account.get("coupons", first_discount("source.coupon")(thing, account)), account),
        "CouponId": first_discount("source.coupon"), "Paid": lambda thing, account: thing["status"] == "paid",
        "PaymentIntent": lambda thing, account: at("payment.payment_intent")(
            payments(thing, account, "invoice", thing["id"]), account),
        "PaymentMethodOptions": at("payment_settings.payment_method_options"),
        "PaymentMethodTypes": at("payment_settings.payment_method_types"), "Quote": at("parent.quote_details.quote"),
        "Subscription": at("parent.subscription_details.subscription"),
        "Tax": lambda thing, account: (thing["total"] - thing["total_excluding_tax"]) or None
        if thing.get("total_excluding_tax") is not None else None,
        "TotalTaxAmounts": at("total_taxes"), "TransferDataAmount": of_intent("transfer_data.amount"),
        "TransferDataDestination": of_intent("transfer_data.destination"),
    },
    "PaymentIntent": {
        "ClientSecret": nothing,
        "Invoice": lambda thing, account: payments(
            thing, account, "payment.payment_intent", thing["id"]).get("invoice"),
    },
    "PaymentLinks": {
        "ConsentCollectionPaymentMethodResuseAgreementPosition": at(
            "consent_collection.payment_method_reuse_agreement.position"),
        "PhoneNumberberCollectionEnabled": at("phone_number_collection.enabled"),
        "LineItems": members("payment_link_line_items"),
    },
    "PaymentLinkLineItems": {"PaymentLinkId": at("_parent")},
    "Persons": {"SsnLas4Provided": at("ssn_last_4_provided")},
    "Plans": {"UnitAmount": at("amount"), **product("Product"), "ProductId": at("product")},
    "Prices": product("ProductData"),
    "Products": {"FeaturesAggregate": at("marketing_features")},
    "PromotionCodes": {"CouponId": at("promotion.coupon"), **prefixed("Coupon", coupon(at("promotion.coupon")))},
    "Quotes": {"ComputedRecurring": at("computed.recurring"), "LineItems": members("quote_line_items")},
    "SubscriptionItems": {"SubscriptionId": at("_parent"), "PlanId": at("plan.id"), "PriceId": at("price.id")},
    "Subscriptions": {
        **_SUBSCRIPTION, "CreatedAt": at("created"), "ItemsAggregate": members("subscription_items"),
        "CouponId": first_discount("source.coupon"), "DiscountId": at("discounts.0"),
        **{f"Discount{name}": first_discount(path) for name, path in _DISCOUNT.items() if path},
        **prefixed("DiscountCoupon", coupon(first_discount("source.coupon"))),
        "PendingInvoiceItemInterval": at("pending_invoice_item_interval.interval"),
        "PendingInvoiceItemIntervalCount": at("pending_invoice_item_interval.interval_count"),
        "TrialSettingsEndBehaviorPaymentMethod": at("trial_settings.end_behavior.missing_payment_method"),
    },
    "TransferReversals": {"Transfer": at("_parent")},
    "Transfers": {"Date": at("created"), "ReversalsAggregate": members("transfer_reversals")},
    "BankAccounts": {"CustomerId": at("_parent")}, "Cards": {"CustomerId": at("_parent")},
}
