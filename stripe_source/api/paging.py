"""Page after page, v1 and v2; stops at endless lists."""
from __future__ import annotations

TRAIL = 100  # ids to step back to when the object that a cursor names is gone
EMPTY_PAGES = 10  # in a row, in v2, whose tokens may change without an end
