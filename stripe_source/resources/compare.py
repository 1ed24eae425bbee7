"""New, changed, unchanged, gone."""
from __future__ import annotations

from stripe_source.rows.waevent import WAEvent


def has_content(event: WAEvent) -> bool:
    """Whether there is more of an object that is gone than its id."""
    return bool(event.data.keys() - {"id", "object", "deleted"})
