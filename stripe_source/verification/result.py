"""What a verification found: `TableProof` for each table, and `VerifyResult` for all of it."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from stripe_source.verification.compare.differences import (
    ALTERED,
    EXTRA,
    MISSING,
    Difference,
    Findings,
    Window,
    merged,
)
from stripe_source.verification.reconciliation import MoneyProof


@dataclass
class TableProof:
    """How one table compares. `stripe` and `destination` count the rows that were compared, without deleted ones.

    Args:
        status: "ok" (it was compared), "no permission", "not enabled", "not loaded" (no run loads it), "not there"
            (this pipeline has never loaded it) or "failed".
        reason: why it was not compared, or what could not be found out.
        scope: "whole", "bounds" (of `created`), "sample".
        stripe: rows that Stripe has.
        destination: rows that the destination holds and does not flag as deleted.
        missing: rows that Stripe has and the destination does not, or has flagged as deleted.
        extra: rows that the destination has and Stripe does not, or has more than once.
        altered: rows that hold other values than Stripe has.
        late: rows that differ because of what happened after the last load; they are in none of the three above.
        differences: each thing that differs; late ones too.
        windows: rows and differing rows by month of `created`.
        capped: there are more differences than are named; at least so many rows differ as are counted.
    """

    status: str = "ok"
    reason: str = ""
    scope: str = "whole"
    stripe: int = 0
    destination: int = 0
    missing: int = 0
    extra: int = 0
    altered: int = 0
    late: int = 0
    differences: list[Difference] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    capped: bool = False

    @property
    def differing(self) -> int:
        """Rows that differ, but for late ones."""
        return self.missing + self.extra + self.altered

    def add(self, findings: Findings) -> None:
        """Add what one comparison of the table, or of a part of it, found."""
        self.stripe += findings.stripe
        self.destination += findings.destination
        self.differences += findings.differences
        self.capped = self.capped or findings.capped
        self.windows = merged(self.windows, findings.windows)
        late = {each.row for each in self.differences if each.late}
        rows = {kind: {each.row for each in self.differences if each.kind == kind and not each.late}
                for kind in (MISSING, EXTRA, ALTERED)}
        self.missing, self.extra, self.altered = (len(rows[kind]) for kind in (MISSING, EXTRA, ALTERED))
        self.late = len(late - set().union(*rows.values()))


@dataclass
class VerifyResult:
    """What a verification found.

    Args:
        tables: by name, in the order of the registry.
        money: whether it adds up.
        expected_requests: how many requests were expected before it began.
        requests: how many were sent; a table that differs is read a second time.
        seconds: wall time.
        destination: its name, as dlt knows it.
        dataset: the dataset or schema.
        pipeline: name of the pipeline.
        account: id of the account, or "self".
        livemode: whether the data is live; None where that is not known.
        loaded_at: the time, by Stripe's clock, up to which the last load had taken changes (unix seconds).
        settled: what came after `loaded_at` does not count.
        seed: of the sample, to draw it again; None where everything was compared.
        repaired: rows that were written, by table; None where nothing was to be repaired.
        before: what was found before the repair.
        notes: what a person should know.
    """

    tables: dict[str, TableProof]
    money: MoneyProof
    expected_requests: int
    requests: int
    seconds: float
    destination: str
    dataset: str
    pipeline: str
    account: str
    livemode: bool | None
    loaded_at: int | None = None
    settled: bool = False
    seed: int | None = None
    repaired: dict[str, int] | None = None
    before: VerifyResult | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> dict[str, TableProof]:
        """The tables that could not be verified although they should."""
        bad = ("no permission", "failed", "not there")
        return {name: table for name, table in self.tables.items() if table.status in bad}

    @property
    def differing(self) -> int:
        """Rows and amounts that differ; with `settled` without those that are not loaded yet."""
        rows = sum(table.differing + (0 if self.settled else table.late) for table in self.tables.values())
        parts = sum(not (part.equal or (self.settled and part.late)) for part in self.money.balance)
        return rows + parts + len(self.money.payouts)

    @property
    def exit_code(self) -> int:
        """0: equal. 4: a difference was found. 1: some tables could not be verified. 3: Stripe let us read nothing."""
        if self.differing:
            return 4
        if not self.failed:
            return 0
        return 3 if all(table.status == "no permission" for table in self.tables.values()) else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        before = self.before.asdict() if self.before else None
        return {**asdict(self), "before": before, "differing": self.differing, "exit_code": self.exit_code}
