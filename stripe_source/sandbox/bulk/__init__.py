"""The sandbox in bulk: tables of any size, whose objects are rendered from their number when they are asked for."""
from __future__ import annotations

from .times import SPREADS, Spread
from .world import TABLES, Bulk

__all__ = ["SPREADS", "TABLES", "Bulk", "Spread"]
