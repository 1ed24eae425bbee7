"""Values as a database driver gave them, as Python has them."""
from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.values import EPOCH


def python_value(value: Any, data_type: str) -> Any:
    """A value as a database driver gave it, in the Python type of its column; a time in microseconds since 1970.

    >>> python_value(datetime(1970, 1, 1, 0, 0, 1), "timestamp"), python_value({"a": 1}, "json")
    (1000000, '{"a":1}')
    """
    if value is None:
        return None
    if data_type == "timestamp":
        return _microseconds(value)
    if data_type == "json":
        return value if isinstance(value, str) else dumps(value)
    if data_type == "decimal":
        return value if isinstance(value, Decimal) else Decimal(str(value))
    python: dict[str, Any] = {"text": str, "bigint": int, "bool": bool, "double": float}
    return python[data_type](value)


def unwrapped_json(text: str) -> str:
    """JSON text out of a JSON value that is a text which holds it: so some warehouses keep what came as text.

    >>> unwrapped_json('"{\\\\"a\\\\":1}"'), unwrapped_json('"a"')
    ('{"a":1}', '"a"')
    """
    if not text.startswith('"'):
        return text
    try:
        inner = json.loads(text)
        json.loads(inner)
    except ValueError:
        return text
    return str(inner) if inner[:1] in ("{", "[") else text


def texts_in(value: Any) -> set[str]:
    """All texts in a JSON value, or in JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(unwrapped_json(value))
        except ValueError:
            return {value}
    waiting, found = [value], set[str]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            found.add(each)
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found


def unix_second(value: Any) -> int:
    """The unix second of a time as a database driver gave it."""
    return _microseconds(value) // 1_000_000


def _microseconds(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    past = moment - EPOCH
    return int((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds)
