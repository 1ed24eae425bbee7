"""Rules for the names and types of columns."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

WIDTH = 250 - 8  # the bound of the design less the bookkeeping columns
NAME = 63
EMBEDDED = 40
COMMON = frozenset({"card", "sepa_debit", "us_bank_account"})
DECIMAL = {"data_type": "decimal", "precision": 38, "scale": 12}
ENVELOPE = {
    "has_more": ("bool", "Whether the list has more than what is embedded."),
    "object": ("text", "Always `list`."),
    "total_count": ("bigint", "How many there are, where Stripe counts them."),
    "url": ("text", "Where the whole list is."),
}
UNIX_NAME = re.compile(
    r"(^|_)(created|updated|expires|timestamp|deadline|at|date|start|end|time|until|after|before|from|anchor|eta)$"
    r"|^(as_of|(redeem|due)_by|(available|expires)_on|next_payment_attempt|next_pending_invoice_item_invoice"
    r"|scheduled_release)$"
)
NOT_UNIX = re.compile(r"^(monthly|weekly)_anchor$")
UNIX_DOC = re.compile(r"unix (epoch|timestamp)|epoch format|seconds since", re.IGNORECASE)
RFC3339_NAME = re.compile(r"(_at|_date)$|^(created|updated|expires|timestamp|date|time)$")
RFC3339_DOC = re.compile(r"rfc ?3339|iso ?8601 (timestamp|date ?time)", re.IGNORECASE)
NOT_RFC3339_DOC = re.compile(r"yyyy-mm-dd|hh:mm|\d{4}-\d\d-\d\d for", re.IGNORECASE)
MONEY_NAME = re.compile(
    r"(^|_)amount(_|$)|(^|_)(fee|tax|balance)$|^(fees|net|total|subtotal|cash|unit_cost(_decimal)?)$|_excluding_tax$"
    r"|^(in|out)bound_pending$|^smart_tip_threshold$"
)
MONEY_DOC = re.compile(r"smallest (currency )?unit|minor unit|\bcents\b|local equivalent", re.IGNORECASE)
NOT_MONEY_DOC = re.compile(r"percent|number of", re.IGNORECASE)
NAMED_OTHERWISE = {"customer_account": "v2.core.account", "tax_id": ""}  # `tax_id` is a number, not an object's id
SECRET = re.compile(r"(^|_)secret$")


def is_money(name: str, doc: str, path: tuple[str, ...]) -> bool:
    """Whether an integer or decimal is an amount of money in the minor unit."""
    if NOT_MONEY_DOC.search(doc) and not MONEY_DOC.search(doc):
        return False
    within = path[-2] if len(path) > 1 else ""
    return bool(
        MONEY_NAME.search(name) or MONEY_DOC.search(doc) or within == "source_types"
        or (within == "custom_unit_amount" and name in ("maximum", "minimum", "preset"))
    )


def column_name(path: tuple[str, ...]) -> str | None:
    """The column of a path: its parts joined with `__`, shortened where Postgres would cut it off (rule 6)."""
    names = ("__".join(path[dropped:]) for dropped in range(len(path)))
    return next((name for name in names if len(name) <= NAME), None)


def short(doc: str) -> str:
    """The first sentence of a docstring without markup, at most 200 characters."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", doc)
    text = " ".join(re.sub(r"</?\w+[^>]*>", "", text).split())
    text = re.split(r"(?<=[^.\s]{2}[.!?])\s+(?=[A-Z`\"(])", text.replace("e.g. ", "e.g., "), maxsplit=1)[0]
    return text if len(text) <= 200 else text[:199].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def words_of(data_type: str, doc: str) -> dict[str, Any]:
    description = short(doc)
    return {"data_type": data_type, **({"description": description} if description else {})}


@cache
def _is_plain(value: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z_][\w-]*", value)) and yaml.safe_load(value) == value  # not `no`, `on`, `null`


def scalar(value: Any) -> str:
    """A value as YAML on one line."""
    return value if isinstance(value, str) and _is_plain(value) else json.dumps(value, ensure_ascii=False)


def curated(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {word: value for word, value in entry.items() if word != "reason"}
