"""Customers and what belongs to them: payment methods, cards, bank accounts, tax ids, balance, discount."""
from __future__ import annotations

from typing import Any

from stripe_source.sandbox.business.ledger import empty_billing_details
from stripe_source.sandbox.business.products import new_discount
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import change, emit
from stripe_source.sandbox.state.records import Data, Record

_FIRST = ("Ada", "Bjørn", "Chloé", "Daan", "Émile", "Fatima", "Grace", "Hiroshi", "Inês", "José", "Kateřina", "Liam",
          "Małgorzata", "Noor", "Olivia", "Priya", "Quentin", "Rasmus", "Søren", "Tomás", "Ülkü", "Valentina", "Wei",
          "Xiomara", "Yuki", "Zoë", "李娜", "Дмитрий", "محمد", "さくら", "Niamh", "O'Shea")
_LAST = ("Andersson", "Bauer", "Čapek", "Dubois", "Eriksen", "Fernández", "García", "Hoffmann", "Ivanova", "Jansen",
         "Kowalski", "Le Goff", "Müller", "Nakamura", "O'Brien", "Papadopoulos", "Quispe", "Rossi", "Schröder",
         "Tanaka", "Ueda", "van der Berg", "Wójcik", "Xu", "Yılmaz", "Zhang", "Smith, Jr.", "\"Ace\" Hart")
_FIRMS = ("Café Zürich", "Nordlys AS", "Brass & Bolt", "Ramen 🍜 Republic", "Lumière SARL", "Kiwi Farms Ltd",
          "東京商会", "Piñata Party Co", "Œuvre Studio", "Tab\tand Quote \"LLC\"", "Back\\slash GmbH", "Rocket 🚀 Labs")
PLACES = (("US", "San Francisco", "94107", "CA"), ("US", "Austin", "73301", "TX"), ("US", "New York", "10001", "NY"),
          ("DE", "München", "80331", None), ("FR", "Orléans", "45000", None), ("GB", "London", "N1 9GU", None),
          ("JP", "東京", "100-0001", "東京都"), ("KW", "Kuwait City", "13001", None), ("PL", "Łódź", "90-001", None),
          ("BR", "São Paulo", "01000-000", "SP"), ("IE", "Dún Laoghaire", "A96", "Dublin"))
_BRANDS = (("visa", "4242"), ("mastercard", "4444"), ("amex", "8431"), ("visa", "1881"), ("discover", "1117"))
_DISPLAY = {"visa": "Visa", "mastercard": "MasterCard", "amex": "American Express", "discover": "Discover"}


def address(books: Books, place: tuple[str, str, str, str | None] | None = None) -> Data:
    """Return an address in a random place, or in the given one."""
    rng = books.world.rng
    country, city, postal, state = place or rng.choice(PLACES)
    return {"city": city, "country": country, "line1": f"{rng.randrange(1, 990)} Harbour Street",
            "line2": rng.choice((None, None, "Apt. 4")), "postal_code": postal, "state": state}


def customer(books: Books, **fields: Any) -> Record:
    """Create a customer; `fields` replace the random name, address and so on."""
    rng = books.world.rng
    number = books.count("customers")
    name = rng.choice(_FIRMS) if number % 11 == 0 else f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
    values: Data = {
        "name": name, "email": f"customer{number}@example.com", "address": address(books) if number % 4 else None,
        "phone": f"+1555{rng.randrange(10**7):07d}" if number % 3 == 0 else None,
        "invoice_prefix": f"{rng.getrandbits(32):08X}", "preferred_locales": ["de"] if number % 17 == 0 else [],
        "metadata": {"plan_tier": rng.choice(("free", "team", "🦄")), "crm_id": str(number)} if number % 5 == 0 else {},
        "description": None if number % 6 else "Met at the fair, \"very\" keen", "customer_account": None,
    }
    if number % 9 == 0:
        values["shipping"] = {"address": address(books), "name": name, "phone": None}
    record = books.add("customer", **{**values, **fields})
    emit(books, "customer.created", record)
    return record


def card_details(books: Books) -> Data:
    """Return the `card` of a payment method."""
    rng = books.world.rng
    brand, last4 = rng.choice(_BRANDS)
    return {"brand": brand, "checks": {"address_line1_check": None, "address_postal_code_check": "pass",
                                       "cvc_check": "pass"},
            "country": "US", "display_brand": brand, "exp_month": rng.randrange(1, 13),
            "exp_year": rng.randrange(2027, 2033), "fingerprint": f"{rng.getrandbits(80):016x}"[:16],
            "funding": rng.choice(("credit", "debit")), "generated_from": None, "last4": last4,
            "networks": {"available": [brand], "preferred": None}, "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True}, "wallet": None}


def payment_method(books: Books, owner: Record | None, type: str = "card", **fields: Any) -> Record:
    """Create a payment method, attached to a customer if one is given."""
    details: Data
    if type == "card":
        details = {"card": card_details(books)}
    elif type == "us_bank_account":
        details = {"us_bank_account": {
            "account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None, "fingerprint": f"{books.world.rng.getrandbits(64):016x}",
            "last4": "6789", "networks": {"preferred": "ach", "supported": ["ach"]}, "routing_number": "110000000",
            "status_details": {}}}
    elif type == "sepa_debit":
        details = {"sepa_debit": {"bank_code": "37040044", "branch_code": "", "country": "DE",
                                  "fingerprint": f"{books.world.rng.getrandbits(64):016x}",
                                  "generated_from": {"charge": None, "setup_attempt": None}, "last4": "3000"}}
    elif type == "custom":
        details = {"custom": {"display_name": "Voucher", "logo": None, "type": "cpmt_1SandboxVoucher"}}
    else:
        details = {type: {}}
    billing = empty_billing_details()
    if owner is not None:
        billing.update(email=owner.data["email"], name=owner.data["name"])
    record = books.add("payment_method", **{
        "type": type, "billing_details": billing, "customer": owner.id if owner else None, **details, **fields})
    if owner is not None:
        emit(books, "payment_method.attached", record)
    return record


def attach(books: Books, method: Record, owner: Record) -> None:
    """Attach a payment method to a customer."""
    change(books, method, customer=owner.id)
    emit(books, "payment_method.attached", method)


def detach(books: Books, method: Record) -> None:
    """Detach a payment method from its customer; a GET by id still finds it."""
    owner = books.find("customer", method.data["customer"])
    previous = change(books, method, customer=None)
    if owner is not None and owner.data["invoice_settings"]["default_payment_method"] == method.id:
        change(books, owner, "customer.updated",
               invoice_settings={**owner.data["invoice_settings"], "default_payment_method": None})
    emit(books, "payment_method.detached", method, previous)


def default_method(books: Books, owner: Record) -> Record:
    """Return the default payment method of a customer's invoices; it is created where there is none."""
    method = books.find("payment_method", owner.data["invoice_settings"]["default_payment_method"])
    if method is None:
        method = payment_method(books, owner)
        change(books, owner, "customer.updated",
               invoice_settings={**owner.data["invoice_settings"], "default_payment_method": method.id})
    return method


def card(books: Books, owner: Record, **fields: Any) -> Record:
    """Create a card as a source, the older way to store one."""
    details = card_details(books)
    record = books.add("card", **{
        "customer": owner.id, "brand": _DISPLAY[details["brand"]], "country": "US", "exp_month": details["exp_month"],
        "exp_year": details["exp_year"], "fingerprint": details["fingerprint"], "funding": details["funding"],
        "last4": details["last4"], "name": owner.data["name"], "regulated_status": "unregulated", **fields},
        parent_id=owner.id)
    emit(books, "customer.source.created", record)
    if owner.data["default_source"] is None:
        change(books, owner, "customer.updated", default_source=record.id)
    return record


def bank_account(books: Books, owner: Record, **fields: Any) -> Record:
    """Create a bank account as a source."""
    record = books.add("bank_account", **{
        "customer": owner.id, "account_holder_name": owner.data["name"], "account_holder_type": "individual",
        "bank_name": "STRIPE TEST BANK", "country": "US", "currency": "usd", "last4": "6789", "status": "new",
        "fingerprint": f"{books.world.rng.getrandbits(64):016x}", "routing_number": "110000000", **fields},
        parent_id=owner.id)
    emit(books, "customer.source.created", record)
    if owner.data["default_source"] is None:
        change(books, owner, "customer.updated", default_source=record.id)
    return record


def remove_source(books: Books, source: Record) -> None:
    """Delete a card or bank account of a customer."""
    owner = books.find("customer", source.parent)
    books.remove(source)
    emit(books, "customer.source.deleted", books.collection(source.object).deleted[source.id].data)
    if owner is not None and owner.data["default_source"] == source.id:
        rest = books.children(("card", "bank_account"), owner.id)
        change(books, owner, "customer.updated", default_source=rest[0].id if rest else None)


def tax_id(books: Books, owner: Record | None, **fields: Any) -> Record:
    """Create a tax id, of a customer or of the account itself."""
    number = books.count("tax_ids")
    values = {
        "type": "eu_vat", "country": "DE", "value": f"DE{100000000 + number}", "customer": owner.id if owner else None,
        "owner": {"type": "customer", "customer": owner.id, "customer_account": None} if owner else {"type": "self"},
        "verification": {"status": "verified", "verified_address": None, "verified_name": None} if owner else None,
    }
    record = books.add("tax_id", **{**values, **fields}, parent_id=owner.id if owner else None)
    if owner is not None:
        emit(books, "customer.tax_id.created", record)
    return record


def remove_tax_id(books: Books, record: Record) -> None:
    """Delete a tax id."""
    books.remove(record)
    if record.parent is not None:
        emit(books, "customer.tax_id.deleted", books.collection("tax_id").deleted[record.id].data)


def adjust_balance(
    books: Books, owner: Record, amount: int, currency: str, type: str = "adjustment", **fields: Any
) -> Record:
    """Add to the balance of a customer: positive is debt, negative is credit."""
    ending = owner.data["balance"] + amount
    record = books.add("customer_balance_transaction", **{
        "amount": amount, "currency": currency, "customer": owner.id, "ending_balance": ending, "type": type, **fields},
        parent_id=owner.id)
    change(books, owner, "customer.updated", balance=ending, currency=owner.data["currency"] or currency)
    return record


def apply_discount(books: Books, owner: Record, coupon: Record, promotion: Record | None = None) -> Data:
    """Apply a coupon to a customer."""
    if owner.data["discount"] is not None:
        remove_discount(books, owner)
    made = new_discount(books, coupon, customer=owner.id, promotion=promotion)
    change(books, owner, discount=made)
    emit(books, "customer.discount.created", made)
    emit(books, "customer.updated", owner, {"discount": None})
    return made


def remove_discount(books: Books, owner: Record) -> None:
    """Remove the discount of a customer."""
    old = owner.data["discount"]
    change(books, owner, discount=None)
    emit(books, "customer.discount.deleted", old)
    emit(books, "customer.updated", owner, {"discount": old})
