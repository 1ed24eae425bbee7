"""How the reading of each table ended."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stripe_source.errors import NotEnabled, PermissionDenied, StripeError, StripeSourceError
from stripe_source.redaction import redact
from stripe_source.tables.table import Table

FAILED = "no permission", "failed"  # statuses of tables that should have been read
MOST_FAILED_PARENTS = 100  # that are remembered and tried again one by one; with more, the table is read whole again


@dataclass
class Verdict:
    """How the reading of one table ended.

    Args:
        status: "ok", "no permission", "not enabled", "not loaded" or "failed".
        reason: what Stripe or the network said, and the way out.
        complete: everything that Stripe has was read, so that what was not seen is gone.
        error: what was raised.
        near: it is about the table's own list, or that of its parents; otherwise about one further away.
        resumable: what was not read is known by the gaps of the list.
        failed_parents: by the parents' table, ids of those whose objects could not be read, while all others' were. The
            next run tries these again.
    """

    status: str = "ok"
    reason: str = ""
    complete: bool = True
    error: StripeSourceError | None = None
    near: bool = True
    resumable: bool = False
    failed_parents: dict[str, set[str]] = field(default_factory=dict)

    def failed_parents_by_table(self) -> dict[str, list[str]]:
        """The ids of failed parents as state keeps them."""
        return {parent: sorted(ids) for parent, ids in self.failed_parents.items()}


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

    def restore_failed_parents(self, table: str, parents: Mapping[str, Iterable[str]]) -> None:
        """Objects of these parents could not be read by an earlier run, and nobody has tried again since."""
        failed = {parent: set(ids) for parent, ids in parents.items()}
        names = ", ".join(f"`{id}`" for ids in failed.values() for id in sorted(ids)[:3])
        number = sum(map(len, failed.values()))
        reason = f"{number} objects could not be read by an earlier run, or what is theirs, such as {names}"
        self[table] = Verdict("failed", reason, False, failed_parents=failed)

    def set_partial(self, table: Table, verdict: Verdict, *, own: bool) -> None:
        """One way to a table failed. It is the verdict if it was its own list or the only way; else it is not whole."""
        if own or (not table.path and len(table.placements) == 1):
            self.set_failure(table.name, verdict)
        else:
            if verdict.status == "not enabled":
                return  # there is nothing of it on that way
            known = self[table.name]
            known.complete, known.reason = False, known.reason or verdict.reason
            self.set_failure(table.name, verdict)

    def set_failure(self, name: str, verdict: Verdict) -> None:
        """The verdict, where there is none yet that says more."""
        known = self[name]
        if known.status == "ok" or known.failed_parents or (verdict.near and not known.near):
            self[name] = verdict

    def add_failed_parents(self, table: Table, parent: Table, errors: Mapping[str, StripeError]) -> None:
        """Objects of some parents, or these objects themselves, could not be read; all others were.

        Args:
            table: whose objects are lacking.
            parent: the table of the parents, or the table itself.
            errors: what happened, by the parent's or the object's id.
        """
        known = self[table.name]
        if known.status != "ok" and not known.failed_parents:
            return  # all of it failed
        failed = {name: set(ids) for name, ids in known.failed_parents.items()}
        failed.setdefault(parent.name, set()).update(errors)
        number = sum(map(len, failed.values()))
        first = known.error if isinstance(known.error, StripeError) else next(iter(errors.values()))
        if number > MOST_FAILED_PARENTS:
            self[table.name] = verdict_for(first)
            return
        many = f"{number} objects could not be read, or what is theirs, such as: "
        reason = f"{many if number > 1 else ''}{first}"
        self[table.name] = Verdict("failed", reason, False, first, failed_parents=failed)
