"""`ReconcileResult`: where Stripe's financial reports and the tables that were loaded say different amounts."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any


@dataclass
class Disagreement:
    """An amount, or a number of transactions, that a report has otherwise than the tables.

    Args:
        figure: what it is, such as `net`, `count` or `ending balance`.
        currency: of the amount.
        report: what the report says; amounts are in major units.
        tables: what the tables say.
        category: Stripe's reporting category, where it is about one.
        payout: id of the payout, where it is about one.
        interval_start: of the report; ISO text in UTC.
        interval_end: likewise; not part of it.
        only_in_report: ids of balance transactions that the report has and the tables have not, or otherwise.
        only_in_tables: ids of those that the tables have and the report has not, or otherwise; where the report names
            no transactions, those that make up what the tables say.
        more: how many ids more there are.
    """

    figure: str
    currency: str
    report: Decimal
    tables: Decimal
    category: str | None = None
    payout: str | None = None
    interval_start: str | None = None
    interval_end: str | None = None
    only_in_report: list[str] = field(default_factory=list)
    only_in_tables: list[str] = field(default_factory=list)
    more: int = 0


@dataclass
class ReportCheck:
    """What came of one report.

    Args:
        amounts: how many amounts, and numbers, were compared.
        intervals: of how many intervals, or payouts, they are.
        disagreements: those that differ.
        skipped: what was not compared, and why; one sentence each.
    """

    amounts: int = 0
    intervals: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class ReconcileResult:
    """What Stripe's financial reports in a destination say against the tables beside them.

    Args:
        pipeline: its name.
        destination: its name, as dlt knows it.
        dataset: the dataset or schema.
        account: id of the account, or "self".
        reports: what came of each report that was loaded, by the name of its table.
        known_up_to: up to when the ledger is known; ISO text in UTC. Intervals that end later were not compared.
    """

    pipeline: str
    destination: str
    dataset: str
    account: str
    reports: dict[str, ReportCheck]
    known_up_to: str | None

    @property
    def differing(self) -> int:
        """How many amounts differ."""
        return sum(len(each.disagreements) for each in self.reports.values())

    @property
    def compared(self) -> int:
        """How many amounts were compared."""
        return sum(each.amounts for each in self.reports.values())

    @property
    def exit_code(self) -> int:
        """0: all amounts are equal. 4: some differ. 1: there was none to compare."""
        return 4 if self.differing else 0 if self.compared else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it; amounts are texts."""
        words = asdict(self)
        for report in words["reports"].values():
            for each in report["disagreements"]:
                each["report"], each["tables"] = str(each["report"]), str(each["tables"])
        return {**words, "differing": self.differing, "compared": self.compared, "exit_code": self.exit_code}
