"""What the destination must hold, from the sandbox's dump and the YAML maps, without any code of the loader."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MAPS = Path(__file__).parent.parent / "schema_maps" / "stripe"
KEYS: dict[str, tuple[str, ...]] = {  # tables whose key is not `id`
    "account_capabilities": ("account_id", "id"), "balance_available": ("currency",), "balance_pending": ("currency",),
    "balance": (), "balance_settings": (), "billing_credit_balance_summaries": ("billing_credit_grant_id",),
    "billing_meter_event_summaries": ("billing_meter_id", "customer_id", "start_time"),
    "invoice_line_items": ("invoice_id", "id"), "payout_balance_transactions": ("payout_id", "balance_transaction_id"),
    "quote_computed_upfront_line_items": ("quote_id", "id"), "quote_line_items": ("quote_id", "id"), "tax_settings": (),
}
PARENTS = {
    "account_capabilities": "account_id",
    "account_external_accounts": "account_id",
    "account_persons": "account_id",
    "application_fee_refunds": "application_fee_id",
    "billing_credit_balance_summaries": "billing_credit_grant_id",
    "billing_credit_balance_transactions": "billing_credit_grant_id",
    "billing_meter_event_summaries": "billing_meter_id",
    "checkout_session_line_items": "checkout_session_id",
    "credit_note_line_items": "credit_note_id",
    "customer_balance_transactions": "customer_id",
    "customer_bank_accounts": "customer_id",
    "customer_cards": "customer_id",
    "customer_cash_balance_transactions": "customer_id",
    "customer_sources": "customer_id",
    "entitlements_active_entitlements": "customer_id",
    "financial_connections_account_owners": "financial_connections_account_id",
    "financial_connections_transactions": "financial_connections_account_id",
    "invoice_line_items": "invoice_id",
    "issuing_tokens": "issuing_card_id",
    "payment_attempt_records": "payment_record_id",
    "payment_intent_amount_details_line_items": "payment_intent_id",
    "payment_link_line_items": "payment_link_id",
    "payout_balance_transactions": "payout_id",
    "product_features": "product_id",
    "quote_computed_upfront_line_items": "quote_id",
    "quote_line_items": "quote_id",
    "radar_value_list_items": "radar_value_list_id",
    "setup_attempts": "setup_intent_id",
    "source_transactions": "source_id",
    "subscription_items": "subscription_id",
    "tax_calculation_line_items": "tax_calculation_id",
    "tax_transaction_line_items": "tax_transaction_id",
    "transfer_reversals": "transfer_id",
    "treasury_credit_reversals": "treasury_financial_account_id",
    "treasury_debit_reversals": "treasury_financial_account_id",
    "treasury_inbound_transfers": "treasury_financial_account_id",
    "treasury_outbound_payments": "treasury_financial_account_id",
    "treasury_outbound_transfers": "treasury_financial_account_id",
    "treasury_received_credits": "treasury_financial_account_id",
    "treasury_received_debits": "treasury_financial_account_id",
    "treasury_transaction_entries": "treasury_financial_account_id",
    "treasury_transactions": "treasury_financial_account_id",
    "v2_core_account_persons": "v2_core_account_id",
}
NEVER = {"apps_secrets"}
ELSEWHERE = {"plans", "prices", "reviews"}  # what their lists hide is found on other objects
PAIRS = {"billing_meter_event_summaries": "customer_id"}
ASKED = {  # fields that come with `expand[]` only, and are asked for
    "billing_portal_configurations": ["features.subscription_update.products"],
    "checkout_session_line_items": ["discounts", "taxes"],
    "checkout_sessions": ["shipping_cost.taxes", "total_details.breakdown"],
    "coupons": ["applies_to", "currency_options"],
    "credit_notes": ["shipping_cost.taxes"],
    "invoices": ["shipping_cost.taxes"],
    "issuing_disputes": ["balance_transactions"],
    "issuing_tokens": ["network_data"],
    "issuing_transactions": ["purchase_details"],
    "payment_link_line_items": ["discounts", "taxes"],
    "plans": ["tiers"],
    "prices": ["tiers", "currency_options"],
    "promotion_codes": ["restrictions.currency_options"],
    "quote_line_items": ["discounts", "taxes"],
    "quotes": ["total_details.breakdown"],
    "shipping_rates": ["fixed_amount.currency_options"],
    "tax_calculation_line_items": ["tax_breakdown"],
    "treasury_financial_accounts": ["features"],
}
FLAG = {"_deleted", "_deleted_at", "_changed_at", "_dlt_id", "_dlt_load_id"}  # what flagging a row changes in it

Row = dict[str, Any]
Rows = dict[tuple[str, ...], Row]


@cache
def columns(table: str) -> dict[str, dict[str, Any]]:
    """The declared columns of a table, as the YAML has them."""
    declared = yaml.load((MAPS / f"{table}.yaml").read_bytes(), Loader=yaml.CSafeLoader)["columns"]
    if table == "payout_balance_transactions":
        declared["balance_transaction_id"] = {"data_type": "text", "path": "id"}
    return dict(declared)


def _at(data: Any, path: str) -> Any:
    for step in path.split("."):
        data = data.get(step) if isinstance(data, dict) else None
    return data


def _with(data: Any, path: list[str], value: Any) -> Any:
    """An object with a value at a path, where there is an object for it to be in."""
    if not path:
        return value
    return {**data, path[0]: _with(data.get(path[0]), path[1:], value)} if isinstance(data, dict) else data


def _held(value: Any, data_type: str) -> Any:
    """The value as DuckDB gives it back for the type."""
    if value is None:
        return None
    if data_type == "bigint" and isinstance(value, str):
        return int(value)  # 64-bit integers of /v2/ travel as text
    if data_type == "timestamp":
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, str):
            return datetime.fromisoformat(value.replace("Z", "+00:00"))
        return datetime.fromtimestamp(value, timezone.utc)
    if data_type == "decimal":
        return Decimal(str(value))
    if data_type == "text" and isinstance(value, dict):
        return value["id"]
    return _without_secrets(value)


def _without_secrets(value: Any) -> Any:
    """JSON as it is held where nobody asked for secrets."""
    if isinstance(value, list):
        return list(map(_without_secrets, value))
    if isinstance(value, dict):
        return {name: None if name == "client_secret" else _without_secrets(each) for name, each in value.items()}
    return value


def _undeclared(thing: dict[str, Any], declared: Mapping[str, Any]) -> Row:
    """Column -> value of the plain members of an object that no declared column is about."""
    paths = {words.get("path") or name.replace("__", ".") for name, words in declared.items()}
    known = {path.partition(".")[0] for path in paths}
    return {
        name: value for name, value in thing.items()
        if name not in known and isinstance(value, (str, int, float))
    }


def expected_rows(table: str, truths: Iterable[Any], account: str) -> Rows:
    """Key -> row for each object of the dump that is not deleted.

    It has the declared columns, those of plain fields that are not declared, account, parent and position.
    """
    declared, rows = columns(table), {}
    for truth in truths:
        if truth.deleted or table in NEVER or not (truth.listed or table in ELSEWHERE):
            continue
        more = ASKED.get(table, ()) if truth.listed else ()  # a copy inside another object has what that shows
        seen = {**truth.object, **{name: truth.also[name] for name in more if name in truth.also}}
        for name in (name for name in more if "." in name and name in truth.also):
            seen = _with(seen, name.split("."), truth.also[name])
        row = {
            name: None if "x-secret" in words  # not asked for
            else _held(_at(seen, words.get("path") or name.replace("__", ".")), words["data_type"])
            for name, words in declared.items()
            if (truth.listed or name.replace("__", ".") not in ASKED.get(table, ()))  # a copy lacks them, an event not
        }
        if table in PAIRS:
            row[PAIRS[table]] = truth.owner2
        row |= _undeclared(truth.object, declared)
        row["_account_id"], row["_deleted_at"] = account, None
        if table in PARENTS:
            row[PARENTS[table]], row["_position"] = truth.parent_id, truth.position
        key = tuple(row[name] for name in KEYS.get(table, ("id",)))
        assert key not in rows, f"the dump has {table} {key} twice"
        rows[key] = row
    return rows


def loaded_rows(connection: Any, dataset: str, table: str) -> Rows:
    """Key -> row for each row of the table that is not flagged as deleted."""
    result = connection.execute(f'SELECT * FROM "{dataset}"."{table}" WHERE NOT _deleted')
    names = [column[0] for column in result.description]
    json_columns = {name for name, words in columns(table).items() if words["data_type"] == "json"}
    rows: Rows = {}
    for values in result.fetchall():
        row = dict(zip(names, values, strict=True))
        for name in json_columns:
            if row[name] is not None:
                row[name] = json.loads(row[name])
        key = tuple(row[name] for name in KEYS.get(table, ("id",)))
        assert key not in rows, f"{table} {key} was loaded twice"
        rows[key] = row
    return rows


def differences(connection: Any, dataset: str, table: str, truths: Iterable[Any], account: str) -> list[str]:
    """Every difference between the dump and the destination, in words; [] where they are equal."""
    expected, actual = expected_rows(table, truths, account), loaded_rows(connection, dataset, table)
    found = [f"{table} {key} is missing" for key in expected.keys() - actual.keys()]
    found += [f"{table} {key} should not be there" for key in actual.keys() - expected.keys()]
    for key in expected.keys() & actual.keys():
        found += [
            f"{table} {key} {name}: {actual[key].get(name, 'no such column')!r} instead of {value!r}"
            for name, value in expected[key].items()
            if actual[key].get(name, found) != value
        ]
    return found


# ---- what a run may do to rows that were there


def snapshot(connection: Any, dataset: str) -> dict[str, Rows]:
    """Table -> key -> whole row, flagged or not, of all tables of the dataset."""
    found = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = ?", [dataset]).fetchall()
    tables: dict[str, Rows] = {}
    for (table,) in found:
        if (MAPS / f"{table}.yaml").exists():
            result = connection.execute(f'SELECT * FROM "{dataset}"."{table}"')
            names = [column[0] for column in result.description]
            rows = [dict(zip(names, values, strict=True)) for values in result.fetchall()]
            key = ("_account_id", *KEYS.get(table, ("id",)))
            tables[table] = {tuple(row[name] for name in key): row for row in rows}
            assert len(tables[table]) == len(rows), f"{table} has a key twice"
    return tables


def wrong_changes(before: Mapping[str, Rows], after: Mapping[str, Rows], *, hard: bool = False) -> list[str]:
    """What no run may do to rows, whatever happened at Stripe, in words; [] where nothing of it was done.

    A row that is flagged keeps its last values, and stays as it is until its object comes back. No row becomes older,
    and none goes, unless deletions are hard.
    """
    found = []
    for table, rows in after.items():
        old_rows = before.get(table, {})
        for key in old_rows.keys() - rows.keys() if not hard else ():
            found.append(f"{table} {key} was removed")
        for key, row in rows.items():
            found += [f"{table} {key} {wrong}" for wrong in _wrong(old_rows.get(key), row)]
    return found


def _wrong(old: Row | None, new: Row) -> Iterable[str]:
    if not new["_deleted"]:
        if new["_deleted_at"] is not None:
            yield "lives, and has a time of deletion"
        if old and not old["_deleted"] and new["_changed_at"] < old["_changed_at"]:
            yield f"became older: {new['_changed_at']} after {old['_changed_at']}"
        return
    if new["_deleted_at"] is None or new["_deleted_at"] != new["_changed_at"]:
        yield f"was deleted at {new['_deleted_at']} and changed at {new['_changed_at']}"
    may_differ = set() if old and old["_deleted"] else FLAG
    for name in (old or {}).keys() - may_differ:
        if old and old[name] != new[name]:
            yield f"{name}: {new[name]!r} instead of {old[name]!r}, which it had before"
