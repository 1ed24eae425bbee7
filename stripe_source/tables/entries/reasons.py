"""Reasons, for people, that entries of several products give."""
from __future__ import annotations

NOT_CONTROLLED = "Stripe or the account itself collects its requirements, not the platform"
REFERENCE_DATA = "reference data, the same for every account"
NEW_IN_ENDIVE = "new in API 2026-09-30.endive; accounts may not have it yet"
# What was deleted is in no list: of customers a stub is left, which answers by its id, of others a 404 (2026-11-24)
OF_DELETED_CUSTOMERS = "those of deleted customers"
REMOVED_OR_OF_DELETED_CUSTOMERS = "removed ones, and those of deleted customers"
