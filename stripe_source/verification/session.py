"""One verification: what is looked at and in how many looks, what of it counts, and what the money says."""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.errors import ConfigurationError, MixedData, StripeError
from stripe_source.extract.account import identify, run_async
from stripe_source.extract.verdicts import verdict_for
from stripe_source.options import Options
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table
from stripe_source.verification.comparison_pass import ComparisonPass, TableComparison
from stripe_source.verification.differences import same_findings
from stripe_source.verification.late import ChangedSince, changed_since, mark_late
from stripe_source.verification.reconciliation import (
    BALANCE,
    MEMBERS,
    PAYOUTS,
    TRANSACTIONS,
    MoneyProof,
    compare_balance,
    ledger,
    reconcile_payouts,
    sum_by_currency,
)
from stripe_source.verification.result import TableProof, VerifyResult
from stripe_source.verification.sampling import ROWS_PER_SPAN, paths_below
from stripe_source.verification.scope import expected_requests, tables_read_besides
from stripe_source.verification.scratch_db import ScratchDatabase

if TYPE_CHECKING:
    import dlt
    from dlt import Schema

    from stripe_source.load.progress import Progress

LIST_DELAY = 60  # seconds that lists may be behind: what happened so long before the last load may be missing in it


class Verification:
    """One verification: what is looked at, in how many looks, and what was found."""

    def __init__(
        self, pipeline: dlt.Pipeline, o: Options, named: set[str], sample: int | None, seed: int | None, settled: bool,
        progress: Progress,
    ) -> None:
        self.began = time.monotonic()
        self.pipeline, self.o, self.sample, self.seed, self.settled = pipeline, o, sample, seed, settled
        self.progress, self.named = progress, named
        self.bounds = Span(o.start, o.end)
        self.notes: list[str] = []
        self.sights: list[TableComparison] = []
        self.requests = 0
        self.whose = run_async(self._identify())
        pipeline.activate()
        pipeline.sync_destination()
        self.schema = _schema(pipeline)
        self.state: dict[str, Any] = dict(pipeline.state.get("sources", {}).get(self.schema.name, {}))
        mode, held = o.credentials.livemode, self.state.get("livemode")
        if None not in (mode, held) and mode != held:
            raise MixedData("mode", "live" if held else "test", "live" if mode else "test", pipeline.dataset_name)
        self.account = self.state.get("account_id") or self.whose.account or o.account_id or "self"
        if self.whose.account and self.account not in (self.whose.account, "self"):
            raise MixedData("account", self.account, self.whose.account, pipeline.dataset_name)
        self.back = RowReader(pipeline, self.schema, self.account)
        self.tables = [table for table in o.tables if self.back.loaded(table)]
        if not self.tables:
            raise ConfigurationError(
                f"Pipeline `{pipeline.pipeline_name}` has loaded none of these tables into dataset "
                f"`{pipeline.dataset_name}`. Load them with `stripe-source run`, or name another `--pipeline`."
            )
        if pipeline.has_pending_data:
            self.notes.append("A run has read data that is not loaded yet; the next run loads it first.")

    async def _identify(self) -> Any:
        async with self.o.client() as client:
            whose = await identify(client)
            self.requests += client.figures.requests
            return whose

    def done(self, spool: ScratchDatabase, on_cost: Callable[[int], None] = lambda cost: None) -> VerifyResult:
        """Do it all; `on_cost` is told about how many requests it will take."""
        self.progress.tables([table.name for table in self.tables])
        self.progress.phase("preparing")
        proofs = {
            table.name: TableProof("not there", "the pipeline has never loaded it")
            for table in self.o.tables if table.name in self.named and not self.back.loaded(table)
        }
        for table in self.tables:
            if table.unsupported_reason:
                proofs[table.name] = TableProof("not loaded", table.unsupported_reason)
        with self.back:
            looks = self._looks([table for table in self.tables if not table.unsupported_reason])
            cost = 2 + sum(expected_requests({**tables_read_besides(spans, self.back), **spans}, self.back) for spans in looks)
            times = [*map(self.back.newest, self.tables), *self._positions.values()]
            loaded_at = max(filter(None, times), default=None)
            foreign = sum(map(self.back.elsewhere, self.tables))
        on_cost(cost)
        look = ComparisonPass(self.o, self.back, spool, self.whose, self.state.get("account_id"), self.progress.page)
        self.progress.phase("reading")
        ledger_at_stripe: dict[Any, int] | None = None
        for spans in looks:
            sights = look.at(spans)
            for name, sight in sights.items():
                if name == TRANSACTIONS and not sight.span and sight.verdict.status == "ok":
                    sums = spool.sums(sight.stripe, ("balance_type", "status", "currency"), "net")
                    ledger_at_stripe = sum_by_currency(sums.items())
            self._again(look, sights, loaded_at)
            for name, sight in sights.items():
                proof = proofs.setdefault(name, TableProof(scope="sample" if sight.span and self.sample else
                                                           "bounds" if sight.span else "whole"))
                proof.status, proof.reason = sight.verdict.status, sight.reason or proof.reason
                proof.add(sight.comparison)
                if sight.comparison.differences:
                    self.sights.append(sight)
                else:
                    spool.drop(sight.stripe, sight.held)
        if foreign:
            self.notes.append(f"{foreign:,} rows of other accounts than {self.account} were not looked at.")
        money = self._money(look, proofs, ledger_at_stripe)
        destination = self.pipeline.destination
        order = [table.name for table in self.o.tables if table.name in proofs]
        return VerifyResult(
            tables={name: proofs[name] for name in order}, money=money, expected_requests=cost,
            requests=self.requests + look.requests, seconds=time.monotonic() - self.began,
            destination=(destination.destination_name if destination else None) or "",
            dataset=self.pipeline.dataset_name or "", pipeline=self.pipeline.pipeline_name, account=self.account,
            livemode=self.o.credentials.livemode, loaded_at=loaded_at, settled=self.settled, seed=self.seed,
            notes=self.notes,
        )

    def _looks(self, tables: Sequence[Table]) -> list[dict[Table, Span]]:
        """What is looked at in one go. A sample takes one look for each span that it draws."""
        if not self.sample:
            return [{table: self.bounds for table in tables}]
        large = {
            table: rows for table in tables
            if table.created and table.path and table.time and (rows := self.back.count(table, Span())) > self.sample
        }
        draw = random.Random(self.seed)
        looks: list[dict[Table, Span]] = []
        taken: set[str] = set()
        for table, rows in large.items():
            with_it = [child for child in tables if not child.path and child.name not in taken and paths_below(child, table)]
            taken |= {child.name for child in with_it}
            tiles = -(-rows // ROWS_PER_SPAN)
            chosen = sorted(draw.sample(range(tiles), min(tiles, -(-self.sample // ROWS_PER_SPAN))))
            ends = {tile for one in chosen for tile in (one, one + 1) if 0 < tile < tiles}
            edges = self.back.edges(table, [tile * ROWS_PER_SPAN for tile in ends])
            for tile in chosen:
                low, high = edges.get(tile * ROWS_PER_SPAN), edges.get((tile + 1) * ROWS_PER_SPAN)
                if low is not None and low == high:
                    high = low + 1  # a second with more than a page
                span = Span(low, high)
                looks.append({each: span for each in (table, *with_it)})
        rest = {table: Span() for table in tables if table not in large and table.name not in taken}
        return [rest, *looks] if rest else looks

    def _again(self, look: ComparisonPass, sights: dict[str, TableComparison], loaded_at: int | None) -> None:
        """Look a second time where something differs, keep what differs still, and tell what is late."""
        differing = {name: sight for name, sight in sights.items() if sight.comparison.differences}
        once_more = {name: sight for name, sight in differing.items() if not sight.comparison.capped}
        if once_more:
            parents = {found.parent for sight in once_more.values() for found in sight.table.placements}
            spans = {sight.table: _narrowed(sight, sight.table.name in parents) for sight in once_more.values()}
            for name, second in look.at(spans).items():
                first = once_more[name]
                if second.verdict.status != "ok":
                    continue  # what was seen once counts
                second.comparison = same_findings(first.comparison, second.comparison)
                look.spool.drop(first.stripe, first.held)
                second.reason, second.span = first.reason, first.span
                sights[name] = differing[name] = second
        differing = {name: sight for name, sight in differing.items() if sight.comparison.differences}
        since = {name: self._positions.get(name, loaded_at) for name in differing}
        if loaded_at is not None and differing:
            changed = self._changed(look, min(at for at in since.values() if at is not None) - LIST_DELAY)
            for name, sight in differing.items():
                mark_late(look.spool, sight, (since[name] or loaded_at) - LIST_DELAY, changed)

    @property
    def _positions(self) -> dict[str, int]:
        """How far the change feed has been applied to each table, in unix seconds."""
        resources: Mapping[str, Mapping[str, Any]] = self.state.get("resources", {})
        return {name: own["position"] for name, own in resources.items() if own.get("position")}

    def _changed(self, look: ComparisonPass, loaded_at: int) -> ChangedSince:
        async def ask() -> ChangedSince:
            async with self.o.client() as client:
                try:
                    return await changed_since(client, loaded_at)
                finally:
                    look.requests += client.figures.requests

        try:
            changed = run_async(ask())
        except StripeError as error:
            self.notes.append(f"Which differences are not loaded yet is told by creation times only: {error}")
            return ChangedSince()
        if not changed.whole:
            self.notes.append("There are too many events since the last load; some differences may not be loaded yet.")
        return changed

    def _money(self, look: ComparisonPass, proofs: Mapping[str, TableProof], at_stripe: dict[Any, int] | None) -> MoneyProof:
        money = MoneyProof()
        chosen = {table.name for table in self.tables}
        own = self.state.get("resources", {}).get(TRANSACTIONS, {})
        cursors = own.get("incremental", {}).values()
        begun = own.get("start") is not None or any(cursor.get("initial_value") is not None for cursor in cursors)
        partly = f"{TRANSACTIONS} were loaded from `start` on" if begun else ""
        money.balance_skipped = (
            _lacking({TRANSACTIONS} - chosen) or partly
            or (self.bounds and "with `start` or `end` only a part of the ledger is verified") or ""
        )
        money.payouts_skipped = _lacking({TRANSACTIONS, PAYOUTS, MEMBERS} - chosen) or partly
        if not money.balance_skipped:
            self._balance(look, proofs.get(TRANSACTIONS, TableProof()), at_stripe, money)
        if not money.payouts_skipped:
            reconcile_payouts(self.back, BY_NAME[PAYOUTS], BY_NAME[MEMBERS], BY_NAME[TRANSACTIONS], self.bounds, money)
        return money

    def _balance(
        self, look: ComparisonPass, proof: TableProof, at_stripe: dict[Any, int] | None, money: MoneyProof
    ) -> None:
        async def ask() -> dict[str, Any]:
            async with self.o.client() as client:
                try:
                    return (await client.get(BY_NAME[BALANCE].path or "")).body
                finally:
                    look.requests += client.figures.requests

        try:
            balance = run_async(ask())
        except StripeError as error:
            money.balance_skipped = f"Stripe did not tell the balance: {verdict_for(error).reason}"
            return
        money.balance, money.unproven = compare_balance(ledger(self.back, BY_NAME[TRANSACTIONS]), balance)
        if at_stripe is not None and proof.late and not proof.differing:
            right = {(p.balance_type, p.status, p.currency): p.equal for p in compare_balance(at_stripe, balance)[0]}
            for part in money.balance:
                part.late = not part.equal and right.get((part.balance_type, part.status, part.currency), False)


def _lacking(names: set[str]) -> str:
    return f"not loaded, or left out: {', '.join(sorted(names))}" if names else ""


def _schema(pipeline: dlt.Pipeline) -> Schema:
    """The schema of what our source has loaded.

    Raises:
        ConfigurationError: the pipeline has never loaded anything of Stripe.
    """
    if "stripe" in pipeline.schemas:
        return pipeline.schemas["stripe"]
    if pipeline.default_schema_name:
        return pipeline.default_schema
    raise ConfigurationError(
        f"Pipeline `{pipeline.pipeline_name}` has never loaded anything into dataset `{pipeline.dataset_name}`: there "
        "is nothing to verify. Load it with `stripe-source run`, or name another `--pipeline`."
    )


def _narrowed(sight: TableComparison, is_parent: bool) -> Span:
    """The span in which a table has to be read again to see its differences."""
    table, comparison = sight.table, sight.comparison
    alone = table.path and table.created and not table.placements and len(table.variants) == 1 and not table.extra_paths
    if is_parent or not alone or comparison.timeless or not comparison.times:
        return sight.span
    return Span(min(comparison.times), max(comparison.times) + 1)
