"""How many decimals the amounts of a currency have at Stripe, and amounts in minor and major units.

Stripe's API gives amounts in the smallest unit of a currency, its financial reports in major units. Which currencies
have no decimals, or three, is from Stripe's page on currencies (docs.stripe.com/currencies, stored copies, read
2026-11-30): ISK and UGX have two decimals in the API although nobody uses them, and MGA has none, unlike in ISO 4217.
The page no longer spells out those with three.
"""
from __future__ import annotations

from decimal import Decimal

NO_DECIMALS = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
})
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def decimals(currency: str) -> int:
    """The number of decimals of a currency's amounts: 0, 2 or 3.

    >>> [decimals(code) for code in ("jpy", "EUR", "kwd", "isk")]
    [0, 2, 3, 2]
    """
    code = currency.lower()
    return 0 if code in NO_DECIMALS else 3 if code in THREE_DECIMALS else 2


def in_major_units(amount: int, currency: str) -> Decimal:
    """An amount of the API as people write it.

    >>> str(in_major_units(-1050, "eur")), str(in_major_units(500, "jpy"))
    ('-10.50', '500')
    """
    return Decimal(amount).scaleb(-decimals(currency))


def in_minor_units(amount: Decimal, currency: str) -> Decimal:
    """An amount of a report in the smallest unit; it has decimals where the report has more of them than the currency.

    >>> str(in_minor_units(Decimal("10.5"), "kwd").normalize())
    '1.05E+4'
    """
    return amount.scaleb(decimals(currency))
