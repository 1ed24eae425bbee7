"""The registry: one `Table` per Stripe table, from `tables/entries`. Nothing else in the package names a table.

What is special about a table is a field of its entry, with the reason and the date on which it was checked beside it.
Facts are from the annotations and docstrings of stripe-python 16.1.0 (API 2026-10-28.endive) unless another source is
named; all were checked on 2026-11-23, the `invisible_rows` on 2026-11-24.
"""
from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from stripe_source.tables.entries.billing import BILLING
from stripe_source.tables.entries.connect import CONNECT
from stripe_source.tables.entries.issuing import ISSUING
from stripe_source.tables.entries.money_management import MONEY_MANAGEMENT
from stripe_source.tables.entries.payments import PAYMENTS
from stripe_source.tables.entries.reference import REFERENCE
from stripe_source.tables.entries.reports import REPORTS
from stripe_source.tables.entries.tax import TAX
from stripe_source.tables.entries.treasury import TREASURY
from stripe_source.tables.table import Role, Table

_ENTRIES = (*BILLING, *CONNECT, *ISSUING, *MONEY_MANAGEMENT, *PAYMENTS, *REFERENCE, *TAX, *TREASURY)
TABLES: tuple[Table, ...] = tuple(sorted(_ENTRIES, key=lambda table: table.name))
REPORT_TABLES: tuple[Table, ...] = REPORTS  # a pattern means them only where it begins as their names do
BY_NAME: Mapping[str, Table] = MappingProxyType({table.name: table for table in TABLES})
WITH_REPORTS: Mapping[str, Table] = MappingProxyType({**BY_NAME, **{table.name: table for table in REPORT_TABLES}})


@cache
def table_with_role(role: Role) -> Table:
    """The table that the package itself works with in a role, whether or not it is loaded."""
    (found,) = (table for table in TABLES if table.role == role)
    return found


def parent_id_name(parent_object: str) -> str:
    """Name of the column that holds the id of a parent: Stripe's name of the parent's object, and `_id`."""
    return parent_object.replace(".", "_") + "_id"


@cache
def parent_column(table: Table) -> str | None:
    """Name of the column with the parent's id: for tables whose objects are found with one kind of object only."""
    parents = {placement.of or BY_NAME[placement.parent].object[0] for placement in table.placements}
    if table.path or len(parents) != 1:
        return None
    return parent_id_name(parents.pop())


@cache
def pair_column(table: Table) -> str | None:
    """Name of the column with the second parent's id, for tables whose lists are read for pairs of parents."""
    parents = {placement.second_parent[0] for placement in table.placements if placement.second_parent}
    return parent_id_name(BY_NAME[parents.pop()].object[0]) if parents else None


@cache
def embedded_tables(name: str) -> tuple[str, ...]:
    """The tables whose rows are in lists that Stripe always embeds in the objects of a table."""
    return tuple(
        child.name for child in TABLES for found in child.placements
        if found.parent == name and found.at and found.child_path and not found.expand
    )
