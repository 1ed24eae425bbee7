"""One verification: its passes, what they found of each table, which of it is late, and whether the money adds up."""
from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from stripe_source.api.client import Client
from stripe_source.arrow_rows.masking.words import notes_on
from stripe_source.destination.pipelines import stripe_schema
from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.errors import ConfigurationError, MixedData, StripeError
from stripe_source.extract.account import identify, run_async
from stripe_source.extract.changes.listed import LIST_DELAY
from stripe_source.extract.verdicts import verdict_for
from stripe_source.options import Options
from stripe_source.resources.state import TableState, loaded_from_start, stored_state
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.verification.compare.comparison_pass import ComparisonPass, TableComparison
from stripe_source.verification.compare.differences import found_twice
from stripe_source.verification.compare.late import ChangedSince, changed_since, mark_late
from stripe_source.verification.compare.scratch_db import ScratchDatabase
from stripe_source.verification.reconciliation import (
    BALANCE,
    MEMBERS,
    PAYOUTS,
    TRANSACTIONS,
    Funds,
    MoneyProof,
    compare_balance,
    ledger,
    reconcile_payouts,
    sum_by_currency,
)
from stripe_source.verification.result import TableProof, VerifyResult
from stripe_source.verification.sampling import sampled_passes
from stripe_source.verification.scope import expected_requests, tables_read_besides

if TYPE_CHECKING:
    import dlt

    from stripe_source.load.progress import Progress

T = TypeVar("T")


class Verification:
    """One verification of what a pipeline has loaded.

    Args:
        pipeline: what was loaded, and where.
        options: connection, bounds and tables.
        named_tables: the tables that were selected by name.
        sample: tables with more rows than this are drawn from; None: all rows are compared.
        seed: of the sample.
        settled: late differences do not count.
        progress: reports what is read.
    """

    def __init__(
        self, pipeline: dlt.Pipeline, options: Options, named_tables: set[str], sample: int | None, seed: int | None,
        settled: bool, progress: Progress,
    ) -> None:
        self._began = time.monotonic()
        self._requests = 0
        self._pipeline, self._options, self._named_tables = pipeline, options, named_tables
        self._sample, self._seed, self._settled, self._progress = sample, seed, settled, progress
        self._bounds = Span(options.start, options.end)
        self._notes: list[str] = []
        self.comparisons: list[TableComparison] = []
        self.identity = self._request(identify)
        pipeline.activate()
        pipeline.sync_destination()
        schema = stripe_schema(pipeline)
        self._source = schema.name
        self._state, self._table_states = stored_state(pipeline, schema.name)
        self._account = self._checked_account()
        self.reader = RowReader(pipeline, schema, self._account)
        self._tables = [table for table in options.tables if self.reader.loaded(table)]
        if not self._tables:
            raise ConfigurationError(
                f"Pipeline `{pipeline.pipeline_name}` has loaded none of these tables into dataset "
                f"`{pipeline.dataset_name}`. Load them with `stripe-source run`, or name another `--pipeline`."
            )
        self._check_masks()
        made = [table.name for table in self._tables if table.name not in options.row_steps
                and self._table_states.get(table.name, TableState()).functions]
        if made:
            self._notes.append(
                f"Rows of {', '.join(made)} went through functions of yours (`add_map`, `add_filter`), and are "
                "compared without them: give the source that has them, `verify(pipeline, source=source)`.")
        self._notes += notes_on(options.masks, self._tables)
        if options.reports:
            names = ", ".join(table.name for table in options.reports)
            self._notes.append(f"Reports are not compared, as Stripe makes each of them anew: {names}")
        if pipeline.has_pending_data:
            self._notes.append("A run has read data that is not loaded yet; the next run loads it first.")

    def _check_masks(self) -> None:
        """See that the same columns are left out and hashed as in the last run: else values would be shown, or written.

        Raises:
            ConfigurationError: of a table others are.
        """
        for table in self._tables:
            there = self.reader.known(table).items()
            known = {name: words["data_type"] for name, words in there if "data_type" in words}
            known |= {column.name: column.data_type for column in table_map(table).columns}
            state = self._table_states.get(table.name, TableState())
            if self._options.masks.of(table).differs(state.masks, known):
                raise ConfigurationError(
                    f"In the last run of table `{table.name}` other columns were left out or hashed, or with another "
                    "salt, than `exclude_columns`, `hash_columns` and `hash_salt` say now. Give the options of that "
                    "run, or run with these first: `stripe-source run`."
                )

    def _checked_account(self) -> str:
        """The account whose rows are verified.

        Raises:
            MixedData: the key is for another account or mode than the stored rows are of.
        """
        mode, stored_mode = self._options.credentials.livemode, self._state.livemode
        dataset = self._pipeline.dataset_name
        if None not in (mode, stored_mode) and mode != stored_mode:
            raise MixedData("mode", "live" if stored_mode else "test", "live" if mode else "test", dataset)
        own = self.identity.account
        account = self._state.account_id or own or self._options.account_id or "self"
        if own and account not in (own, "self"):
            raise MixedData("account", account, own, dataset)
        return account

    def run(self, scratch: ScratchDatabase, on_cost: Callable[[int], None] | None = None) -> VerifyResult:
        """Compare everything.

        Args:
            scratch: where rows are compared; it keeps those of the `comparisons`.
            on_cost: called with the number of requests that this will take, before it begins.
        """
        self._progress.tables([table.name for table in self._tables])
        self._progress.phase("preparing")
        proofs = self._proofs_without_comparison()
        with self.reader:
            passes = self._passes([table for table in self._tables if not table.unsupported_reason])
            cost = 2 + sum(
                expected_requests({**tables_read_besides(spans, self.reader), **spans}, self.reader)
                for spans in passes)
            times = [*map(self.reader.newest, self._tables), *self._feed_positions.values()]
            loaded_at = max(filter(None, times), default=None)
            other_rows = sum(map(self.reader.elsewhere, self._tables))
        if other_rows:
            self._notes.append(f"{other_rows:,} rows of other accounts than {self._account} were not compared.")
        if on_cost:
            on_cost(cost)
        comparison_pass = ComparisonPass(
            self._options, self.reader, scratch, self.identity, self._state.account_id, self._progress.page)
        self._progress.phase("reading")
        stripe_ledger: dict[Funds, int] | None = None
        for spans in passes:
            comparisons = comparison_pass.compare(spans)
            if (sums := _ledger_at_stripe(scratch, comparisons)) is not None:
                stripe_ledger = sums
            self._compare_again(comparison_pass, comparisons)
            self._mark_late(scratch, comparisons, loaded_at)
            self._add_to(proofs, comparisons, scratch)
        money = self._prove_money(proofs, stripe_ledger)
        destination = self._pipeline.destination
        order = [table.name for table in self._options.tables if table.name in proofs]
        return VerifyResult(
            tables={name: proofs[name] for name in order}, money=money, expected_requests=cost,
            requests=self._requests + comparison_pass.requests, seconds=time.monotonic() - self._began,
            destination=(destination.destination_name if destination else None) or "",
            dataset=self._pipeline.dataset_name or "", pipeline=self._pipeline.pipeline_name, account=self._account,
            livemode=self._options.credentials.livemode, loaded_at=loaded_at, settled=self._settled, seed=self._seed,
            notes=self._notes,
        )

    def _proofs_without_comparison(self) -> dict[str, TableProof]:
        """The tables that are not compared, each with the reason."""
        proofs = {
            table.name: TableProof("not there", "the pipeline has never loaded it")
            for table in self._options.tables
            if table.name in self._named_tables and not self.reader.loaded(table)
        }
        for table in self._tables:
            if table.unsupported_reason:
                proofs[table.name] = TableProof("not loaded", table.unsupported_reason)
        return proofs

    def _passes(self, tables: list[Table]) -> list[dict[Table, Span]]:
        if self._sample:
            return sampled_passes(tables, self.reader, self._sample, self._seed)
        return [{table: self._bounds for table in tables}]

    def _compare_again(self, comparison_pass: ComparisonPass, comparisons: dict[str, TableComparison]) -> None:
        """Compare a second time what differs, and keep what differs still."""
        differing = {
            name: comparison for name, comparison in comparisons.items()
            if comparison.findings.differences and not comparison.findings.capped
        }
        if not differing:
            return
        parents = {found.parent for comparison in differing.values() for found in comparison.table.placements}
        spans = {first.table: _span_of_differences(first, first.table.name in parents) for first in differing.values()}
        for name, second in comparison_pass.compare(spans).items():
            first = differing[name]
            if second.verdict.status != "ok":
                continue  # what the first pass found counts
            second.findings = found_twice(first.findings, second.findings)
            second.reason, second.span = first.reason, first.span
            comparison_pass.scratch.drop(first.stripe, first.destination)
            comparisons[name] = second

    def _mark_late(
        self, scratch: ScratchDatabase, comparisons: Mapping[str, TableComparison], loaded_at: int | None
    ) -> None:
        """Mark what came about after the last load."""
        differing = {name: each for name, each in comparisons.items() if each.findings.differences}
        if loaded_at is None or not differing:
            return
        since = {name: self._feed_positions.get(name, loaded_at) - LIST_DELAY for name in differing}
        changed = self._changed_since(min(since.values()))
        for name, comparison in differing.items():
            mark_late(scratch, comparison, since[name], changed)

    def _add_to(
        self, proofs: dict[str, TableProof], comparisons: Mapping[str, TableComparison], scratch: ScratchDatabase
    ) -> None:
        """Add what a pass found to the proofs; rows that nobody needs any more are dropped."""
        for name, comparison in comparisons.items():
            scope = "whole" if not comparison.span else "sample" if self._sample else "bounds"
            proof = proofs.setdefault(name, TableProof(scope=scope))
            proof.status, proof.reason = comparison.verdict.status, comparison.reason or proof.reason
            proof.add(comparison.findings)
            if comparison.findings.differences:
                self.comparisons.append(comparison)
            else:
                scratch.drop(comparison.stripe, comparison.destination)

    @property
    def _feed_positions(self) -> dict[str, int]:
        """By table, the time up to which the change feed has been applied to it, in unix seconds."""
        return {name: state.position for name, state in self._table_states.items() if state.position}

    def _changed_since(self, second: int) -> ChangedSince:
        try:
            changed = self._request(partial(changed_since, since=second))
        except StripeError as error:
            self._notes.append(f"Only creation times tell which differences are not loaded yet: {error}")
            return ChangedSince()
        if not changed.complete:
            self._notes.append("There are too many events since the last load; some differences may not be loaded yet.")
        return changed

    def _prove_money(self, proofs: Mapping[str, TableProof], stripe_ledger: dict[Funds, int] | None) -> MoneyProof:
        """Compare the ledger with the balance, and payouts with what they swept, as far as the tables are loaded."""
        money = MoneyProof()
        compared = {table.name for table in self._tables}
        from_start = loaded_from_start(self._pipeline, self._source, TRANSACTIONS)
        partly = f"{TRANSACTIONS} were loaded from `start` on" if from_start else ""
        money.balance_skipped = (
            _not_loaded({TRANSACTIONS} - compared) or partly
            or (self._bounds and "with `start` or `end` only a part of the ledger is verified") or ""
        )
        money.payouts_skipped = _not_loaded({TRANSACTIONS, PAYOUTS, MEMBERS} - compared) or partly
        if not money.balance_skipped:
            self._prove_balance(proofs.get(TRANSACTIONS, TableProof()), stripe_ledger, money)
        if not money.payouts_skipped:
            payouts, members, transactions = (BY_NAME[name] for name in (PAYOUTS, MEMBERS, TRANSACTIONS))
            reconcile_payouts(self.reader, payouts, members, transactions, self._bounds, money)
        return money

    def _prove_balance(
        self, transactions: TableProof, stripe_ledger: dict[Funds, int] | None, money: MoneyProof
    ) -> None:
        """Compare the ledger with the balance; an amount is late where it is right with the rows that Stripe has."""
        async def balance_object(client: Client) -> dict[str, Any]:
            return (await client.get(BY_NAME[BALANCE].path or "")).body

        try:
            balance = self._request(balance_object)
        except StripeError as error:
            money.balance_skipped = f"Stripe did not tell the balance: {verdict_for(error).reason}"
            return
        money.balance, money.unproven = compare_balance(ledger(self.reader, BY_NAME[TRANSACTIONS]), balance)
        if stripe_ledger is not None and transactions.late and not transactions.differing:
            equal = {part.funds: part.equal for part in compare_balance(stripe_ledger, balance)[0]}
            for part in money.balance:
                part.late = not part.equal and equal.get(part.funds, False)

    def _request(self, send: Callable[[Client], Awaitable[T]]) -> T:
        """Send requests with a client of their own, and count them."""
        async def work() -> T:
            async with self._options.client() as client:
                try:
                    return await send(client)
                finally:
                    self._requests += client.figures.requests

        return run_async(work())


def _ledger_at_stripe(
    scratch: ScratchDatabase, comparisons: Mapping[str, TableComparison]
) -> dict[Funds, int] | None:
    """The ledger of the transactions that Stripe has, where a pass has read all of them."""
    comparison = comparisons.get(TRANSACTIONS)
    if comparison is None or comparison.span or comparison.verdict.status != "ok":
        return None
    return sum_by_currency(scratch.sums(comparison.stripe, ("balance_type", "status", "currency"), "net").items())


def _not_loaded(names: set[str]) -> str:
    return f"not loaded, or left out: {', '.join(sorted(names))}" if names else ""


def _span_of_differences(comparison: TableComparison, is_parent: bool) -> Span:
    """The span in which a table has to be read again to see its differences."""
    table, findings = comparison.table, comparison.findings
    own_list_only = (
        table.path and table.created and not table.placements and len(table.variants) == 1 and not table.extra_paths
    )
    if is_parent or not own_list_only or findings.some_without_time or not findings.created_seconds:
        return comparison.span
    return Span(min(findings.created_seconds), max(findings.created_seconds) + 1)
