"""What changes without an event."""
from __future__ import annotations

LIST_DELAY = 60  # seconds: lists may be that far behind
DUE_SPAN_GAP = 86_400  # seconds: what is due is read in spans of `created` without a longer gap than this
