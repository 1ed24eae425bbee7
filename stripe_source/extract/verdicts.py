"""How the reading of each table ended."""
from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from stripe_source.errors import NotEnabled, PermissionDenied, StripeSourceError
from stripe_source.redaction import redact
from stripe_source.tables.table import Table

FAILED = "no permission", "failed"  # statuses of tables that should have been read


@dataclass
class Verdict:
    """How the reading of one table ended.

    Args:
        status: "ok", "no permission", "not enabled", "not loaded" or "failed".
        reason: what Stripe or the network said, and the way out.
        complete: everything that Stripe has was read, so that what was not seen is gone.
        error: what was raised.
        near: it is about the table's own list, or that of its parents; otherwise about one further away.
    """

    status: str = "ok"
    reason: str = ""
    complete: bool = True
    error: StripeSourceError | None = None
    near: bool = True


def verdict_for(error: Exception) -> Verdict:
    """The verdict that an error means for a table; what Stripe sends is untrusted, so that any may come."""
    if not isinstance(error, StripeSourceError):
        return Verdict("failed", f"{type(error).__name__}: {redact(str(error))}", False)
    status = "failed"
    if isinstance(error, PermissionDenied):
        status = "no permission"
    elif isinstance(error, NotEnabled):
        status = "not enabled"
    return Verdict(status, str(error), False, error)


class Verdicts(defaultdict[str, Verdict]):
    """The verdicts of a run, by table; "ok" until something is said."""

    def __init__(self) -> None:
        super().__init__(Verdict)

    def set_partial(self, table: Table, verdict: Verdict, *, own: bool) -> None:
        """One way to a table failed. It is the verdict if it was its own list or the only way; else it is not whole."""
        if own or (not table.path and len(table.placements) == 1):
            self.set_failure(table.name, verdict)
        else:
            known = self[table.name]
            known.complete, known.reason = False, known.reason or verdict.reason
            if verdict.status == "failed":
                self.set_failure(table.name, verdict)

    def set_failure(self, name: str, verdict: Verdict) -> None:
        """The verdict, where there is none yet that says more."""
        known = self[name]
        if known.status == "ok" or (verdict.near and not known.near):
            self[name] = verdict
