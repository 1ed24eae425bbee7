"""The rows of the report of tax transactions: one for each line item."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stripe_source.sandbox.endpoints.filters import value_at
from stripe_source.sandbox.reports.catalog import Parameters
from stripe_source.sandbox.reports.content.related import major_units
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.records import Data, Record


def tax_rows(books: Books, parameters: Parameters, columns: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the values of the columns, for each line item of the tax transactions of the interval, oldest first."""
    start, end = parameters["interval_start"], parameters["interval_end"]
    for record in books.all("tax.transaction"):
        if start <= record.created < end:
            for line in books.children(("tax.transaction_line_item",), record.id):
                values = _values(record, line.data)
                for key, value in (record.data.get("metadata") or {}).items():
                    values[f"tax_transaction_metadata[{key}]"] = value
                yield [values.get(name) for name in columns]


def _values(record: Record, line: Data) -> Data:
    data = record.data
    currency = data.get("currency") or "usd"
    amount, tax = _whole(line.get("amount")), _whole(line.get("amount_tax"))
    before = amount - tax if line.get("tax_behavior") == "inclusive" else amount
    taxable = before if tax else 0
    money = {"subtotal": before, "taxable_amount": taxable, "non_taxable_amount": before - taxable, "tax_amount": tax,
             "total": before + tax}
    return {
        "id": record.id, "line_item_id": line["id"], "type": data.get("type"), "transaction_date": record.created,
        "tax_date": data.get("tax_date"), "currency": currency, "tax_code": line.get("tax_code"),
        "country_code": value_at(data, "customer_details.address.country"),
        "state_code": value_at(data, "customer_details.address.state"),
        "destination_resolved_address_country": value_at(data, "customer_details.address.country"),
        "destination_resolved_address_state": value_at(data, "customer_details.address.state"),
        "origin_resolved_address_country": value_at(data, "ship_from_details.address.country"),
        "origin_resolved_address_state": value_at(data, "ship_from_details.address.state"),
        "quantity": line.get("quantity"), "quantity_decimal": line.get("quantity"),
        **{name: major_units(value, currency) for name, value in money.items()},
    }


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
