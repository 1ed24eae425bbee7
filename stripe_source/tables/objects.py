"""What an object of Stripe's is here, and its times as unix seconds."""
from __future__ import annotations

import re
from datetime import datetime
from typing import Any

Object = dict[str, Any]


def unix_second(value: Any) -> int | None:
    """Unix seconds of a time as Stripe writes it: a number in `/v1/`, RFC 3339 text in `/v2/`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(re.sub(r"(\.\d+)?[Zz]$", "+00:00", value)).timestamp())
        except ValueError:
            return None
    return None
