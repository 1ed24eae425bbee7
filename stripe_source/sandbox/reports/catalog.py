"""Facts about Stripe's report types: their parameters, their columns in Stripe's order, and the types of those."""
from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import orjson

# Stripe's pages about report types and stripe-python 16.1.0, checked 2026-11-30
_FACTS: dict[str, Any] = orjson.loads((resources.files("stripe_source.sandbox.reports") / "catalog.json").read_bytes())
COLUMN_TYPES: dict[str, str] = _FACTS["column_types"]  # those of the columns that hold no text
REPORTING_CATEGORIES = frozenset(_FACTS["reporting_categories"])
_KEY = "[key]"
_NAMES = {
    "activity": "Activity", "balance": "Balance", "balance_change_from_activity": "Balance change from activity",
    "ending_balance_reconciliation": "Ending balance reconciliation", "failed_payouts": "Failed payouts",
    "payout_reconciliation": "Payout reconciliation", "payout_reconciliation.by_id": "Payout reconciliation by ID",
    "payouts": "Payouts", "tax.transactions": "Tax transactions",
}
# Report types whose columns nobody has published, without a lower version -> the type whose columns they get here
_COLUMNS_OF = {"failed_payouts.itemized.2": "payouts.itemized.3"}


Parameters = dict[str, Any]  # parameters of a run by their name; times are unix seconds, `columns` is a list


@dataclass(frozen=True)
class ReportType:
    """One type of report.

    Args:
        id: Stripe's id, such as `payouts.itemized.3`.
        family: the part of the id that says what the report is about, such as `payouts`.
        shape: `itemized` or `summary`.
        version: the last part of the id.
        required: parameters that a run has to have.
        optional: parameters that it may have.
        columns: all columns in Stripe's order; those that end with `[key]` are asked for with a key of the metadata.
        default_columns: the columns of a run that names none.
    """

    id: str
    family: str
    shape: str
    version: int
    required: tuple[str, ...]
    optional: tuple[str, ...]
    columns: tuple[str, ...]
    default_columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that people read."""
        return f"{_NAMES.get(self.family, self.family)}: {self.shape} (version {self.version})"

    def has_column(self, name: str) -> bool:
        """Return whether a run may ask for a column, such as `gross` or `payment_metadata[order]`."""
        head, bracket, key = name.partition("[")
        if bracket:
            return f"{head}{_KEY}" in self.columns and key.endswith("]") and len(key) > 1
        return name in self.columns


def column_type(name: str) -> str:
    """Return the type of a column: text, bigint, decimal, bool, timestamp or date."""
    return COLUMN_TYPES.get(name, "text")


def new_type(id: str, columns: tuple[str, ...]) -> ReportType:
    """Return a report type that Stripe does not have; raise ValueError if its id has not three parts."""
    family, shape, version = id.rsplit(".", 2)
    return ReportType(id, family, shape, int(version), ("interval_start", "interval_end"), ("timezone", "columns"),
                      columns, columns)


def _parse(id: str, entry: dict[str, Any]) -> ReportType:
    family, shape, version = id.rsplit(".", 2)
    columns = entry.get("columns") or _columns_of_lower_version(family, shape, int(version))
    plain = tuple(name for name in columns if not name.endswith(_KEY))
    return ReportType(id, family, shape, int(version), tuple(entry["required"]), tuple(entry["optional"]),
                      tuple(columns), tuple(entry.get("default_columns") or plain))


def _columns_of_lower_version(family: str, shape: str, version: int) -> list[str]:
    """Return the columns of the nearest lower version of a report whose columns nobody has published."""
    reports: dict[str, Any] = _FACTS["reports"]
    for lower in range(version - 1, 0, -1):
        columns: list[str] | None = reports.get(f"{family}.{shape}.{lower}", {}).get("columns")
        if columns:
            return columns
    found: list[str] = reports[_COLUMNS_OF[f"{family}.{shape}.{version}"]]["columns"]
    return found


REPORT_TYPES: dict[str, ReportType] = {id: _parse(id, entry) for id, entry in _FACTS["reports"].items()}
