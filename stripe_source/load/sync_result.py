"""`SyncResult`: what a run did to each table, what it took, and where the data is."""
from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from stripe_source.api.pages import Figures
from stripe_source.extract.verdicts import FAILED
from stripe_source.load.extras.striim_metrics import RunMetrics
from stripe_source.resources.table_result import TableResult
from stripe_source.views.result import ViewsResult


@dataclass
class SyncResult:
    """What a run did.

    Args:
        tables: by name, in the order of the registry.
        seconds: wall time.
        figures: requests, pages, bytes, retries.
        destination: its name, as dlt knows it.
        location: where the data is, without secrets.
        dataset: the dataset or schema.
        pipeline: name of the pipeline.
        account: id of the account, or "self".
        livemode: whether the data is live; None where that is not known.
        load_ids: the dlt loads of this run.
        schema_version: dlt's version of the schema after it.
        statements: how many queries of ours the destination answered: what it holds of the tables, and whether another
            process loads. Statements of dlt, which load the rows and keep its state, are not counted.
        notes: what a person should know.
        views: what became of the views that the options `views` and `schema_map` ask for, map by map.
        striim_metrics: the same under the names of Striim's metrics, by table and in all.
    """

    tables: dict[str, TableResult]
    seconds: float
    figures: Figures
    destination: str
    location: str
    dataset: str
    pipeline: str
    account: str
    livemode: bool | None
    load_ids: list[str]
    schema_version: int
    statements: int = 0
    notes: list[str] = field(default_factory=list)
    views: list[ViewsResult] = field(default_factory=list)
    striim_metrics: RunMetrics = field(default_factory=RunMetrics)

    @property
    def failed(self) -> dict[str, TableResult]:
        """The tables that could not be read although they should."""
        return {name: result for name, result in self.tables.items() if result.status in FAILED}

    @property
    def absent(self) -> dict[str, TableResult]:
        """The tables that this account or this key's mode does not have, or that are never loaded."""
        return {name: result for name, result in self.tables.items() if result.status in ("not enabled", "not loaded")}

    @property
    def exit_code(self) -> int:
        """0: done; what an account does not have is no failure. 1: some failed. 3: Stripe let us read nothing."""
        if not self.failed:
            return 0
        refused = all(result.status == "no permission" for result in self.tables.values())
        return 3 if refused else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "exit_code": self.exit_code}


def add_results(before: TableResult, later: TableResult) -> TableResult:
    """Add up what two readings of a table did; the status is that of the later one."""
    counted = "read", "new", "changed", "unchanged", "gone"
    counts = {name: getattr(before, name) + getattr(later, name) for name in counted}
    inferred = sorted({*before.inferred, *later.inferred})
    kinds = {**before.other_kinds, **later.other_kinds}
    added = replace(later, **counts, inferred=inferred, other_kinds=kinds)
    added.note_activity(before.latest_activity)
    return added


def sum_figures(*figures: Figures) -> Figures:
    """Add up requests, pages, bytes and retries."""
    return Figures(*map(sum, zip(*map(astuple, figures), strict=True)))
