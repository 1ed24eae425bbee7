"""Which tables are ours, as dlt describes them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OBJECT_HINT = "x-stripe-object"  # on each of our tables: the type of Stripe's objects in it

COMPRESSION_HINT = "x-stripe-compression"  # on columns of long texts: how a destination that can choose stores them


def is_ours(table: Mapping[str, Any] | None) -> bool:
    """Whether a table comes from this source."""
    return bool(table) and OBJECT_HINT in (table or {})


def column_names(table: Mapping[str, Any], hint: str) -> list[str]:
    """The columns of a table that have a hint."""
    return [name for name, hints in table["columns"].items() if hints.get(hint)]
