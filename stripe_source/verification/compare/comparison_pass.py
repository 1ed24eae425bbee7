"""One pass over some tables: Stripe is read, the stored rows are read back, and both are compared."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from stripe_source.destination.row_reader import FEW_VALUES, RowReader, Span
from stripe_source.extract.account import AccountIdentity, run_async
from stripe_source.extract.extractor import Extractor
from stripe_source.extract.lists.confirm import ask_for_each
from stripe_source.extract.table_request import TableRequest
from stripe_source.extract.verdicts import Verdict
from stripe_source.options import Options
from stripe_source.tables.registry import parent_column
from stripe_source.tables.table import Table
from stripe_source.verification.compare.differences import EXTRA, MISSING, Findings
from stripe_source.verification.compare.loaders import IdCollector, RowLoader
from stripe_source.verification.compare.scratch_db import ScratchDatabase, ScratchTable
from stripe_source.verification.compare.sides import compare_sides
from stripe_source.verification.scope import parents_of, scope_of, tables_read_besides


@dataclass
class TableComparison:
    """What a pass found of one table: both sides in the scratch database, and how they compare."""

    table: Table
    span: Span
    verdict: Verdict
    stripe: ScratchTable
    destination: ScratchTable
    findings: Findings = field(default_factory=Findings)
    reason: str = ""


@dataclass
class ComparisonPass:
    """Compares tables; the passes of one verification share it.

    Args:
        options: those of the verification.
        reader: reads the destination.
        scratch: the scratch database.
        identity: who the key belongs to.
        stored_account: the value of `_account_id` at the first load.
        on_page: called with (table, number of objects) as pages come.
        requests: how many were sent.
    """

    options: Options
    reader: RowReader
    scratch: ScratchDatabase
    identity: AccountIdentity
    stored_account: str | None
    on_page: Callable[[str, int], None]
    requests: int = 0

    def compare(self, spans: Mapping[Table, Span]) -> dict[str, TableComparison]:
        """Compare tables, each in a span of creation times."""
        parents = dict(parents_of(spans))
        read = {**tables_read_besides(spans, self.reader), **parents, **spans}
        compared = {table.name: RowLoader(self.scratch, self.reader, table, self.options) for table in spans}
        loaders = {table.name: compared.get(table.name) or IdCollector() for table in read}
        verdicts = self._read_stripe(
            [TableRequest(table, span.since, span.until) for table, span in read.items()], loaders)
        parent_ids = {table.name: loaders[table.name].ids() for table in parents}
        with self.reader:
            return {
                table.name: self._compare_table(
                    TableComparison(
                        table, span, verdicts[table.name], compared[table.name].side,
                        self.scratch.create_table(self.reader.columns(table)), reason=verdicts[table.name].reason,
                    ), parent_ids)
                for table, span in spans.items()
            }

    def _read_stripe(
        self, requests: Iterable[TableRequest], loaders: Mapping[str, RowLoader | IdCollector]
    ) -> Mapping[str, Verdict]:
        extractor = Extractor(
            self.options.client, self.options.account_id, self.stored_account, self.identity, self.on_page,
            builds_rows=True,
        )
        extractor.start(requests)
        try:
            for name, loader in loaders.items():
                extractor.channel.set_builder(name, loader.builder(partial(extractor.refuse_table, name)))
            for name, batch in extractor.channel.batches(loaders):
                loaders[name].add(batch)
        finally:
            extractor.stop()
            if extractor.figures:
                self.requests += extractor.figures.requests
        return extractor.verdicts

    def _compare_table(
        self, comparison: TableComparison, parent_ids: Mapping[str, set[str]]
    ) -> TableComparison:
        """Read back the stored rows that belong to what was read of Stripe, and compare both."""
        table, span, verdict = comparison.table, comparison.span, comparison.verdict
        if verdict.status != "ok":
            return comparison
        self.scratch.drop_duplicates(comparison.stripe, ["_account_id", *table.key])
        scope = scope_of(table, span)
        self._load_stored_rows(comparison, scope, parent_ids)
        extras, reason = self._extras(table, scope, verdict)
        comparison.reason = comparison.reason or reason
        findings = self._compare_sides(comparison, extras)
        missing = [each.row[0] for each in findings.differences if each.kind == MISSING and not each.note]
        if scope == "span" and missing and len(missing) <= FEW_VALUES and table.key == ("id",):
            # they may be stored with another time of creation, outside of the span
            self._insert_stored(comparison.destination, table, "id", missing)
            findings = self._compare_sides(comparison, extras)
        unsure = scope == "span" and (table.placements or len(table.variants) > 1)
        if (unsure or table.deletions_unknown) and table.path and not findings.capped:
            self._confirm_extras(table, findings)
        if scope == "whole":
            _note_orphans(table, findings, parent_ids)
        comparison.findings = findings
        return comparison

    def _compare_sides(self, comparison: TableComparison, extras: str | None) -> Findings:
        return compare_sides(
            self.scratch, comparison.table, comparison.stripe, comparison.destination, extras=extras)

    def _load_stored_rows(
        self, comparison: TableComparison, scope: str, parent_ids: Mapping[str, set[str]]
    ) -> None:
        """Put the stored rows of a scope into the scratch database; keep those of Stripe that belong to it."""
        table, span, stripe, destination = comparison.table, comparison.span, comparison.stripe, comparison.destination
        if scope == "parents":
            parent = parent_column(table)
            assert parent
            owners = sorted(set().union(*(parent_ids[found.parent] for found in table.placements)))
            self.scratch.keep_values(stripe, parent, owners)
            self._insert_stored(destination, table, parent, owners)
        elif scope == "found":
            values = self.scratch.distinct_values(stripe, table.key[0])
            self._insert_stored(destination, table, table.key[0], values)
        else:
            if scope == "span":
                self.scratch.keep_span(stripe, table.time or "", span.since, span.until)
            for rows in self.reader.rows(table, span if scope == "span" else Span()):
                self.scratch.insert(destination, rows)

    def _insert_stored(self, destination: ScratchTable, table: Table, column: str, values: Sequence[str]) -> None:
        """Put the stored rows that have one of these values in a column into the scratch database."""
        if len(values) <= FEW_VALUES:
            for rows in self.reader.rows_with(table, column, values):
                self.scratch.insert(destination, rows)
            return
        for rows in self.reader.rows(table, Span()):
            self.scratch.insert(destination, rows)
        self.scratch.keep_values(destination, column, values)

    def _extras(self, table: Table, scope: str, verdict: Verdict) -> tuple[str | None, str]:
        """The condition for rows that Stripe does not have, and why some or all of them cannot be found."""
        if not verdict.complete:
            return None, verdict.reason
        if table.deletions_unknown and not table.path:
            return None, f"rows that Stripe lacks are not looked for: {table.deletions_unknown}"
        if scope == "found":
            return None, "rows that Stripe lacks are not looked for: only a part of Stripe was read"
        if table.retention and table.time:
            oldest = self.identity.now - int(table.retention.total_seconds()) + 3600  # some leave while they are read
            return f'"{table.time}" >= {oldest * 1_000_000}', ""
        return "true", ""

    def _confirm_extras(self, table: Table, findings: Findings) -> None:
        """Request each extra row's object by its id: the lists that were read may not show it."""
        extras = {each.place: str(each.row[0]) for each in findings.differences if each.kind == EXTRA and not each.note}

        async def request_all() -> set[str]:
            async with self.options.client() as client:
                try:
                    return (await ask_for_each(client, table, set(extras.values()))).alive
                finally:
                    self.requests += client.figures.requests

        existing = run_async(request_all()) if extras else set()
        findings.differences = [each for each in findings.differences if extras.get(each.place) not in existing]


def _note_orphans(table: Table, findings: Findings, parent_ids: Mapping[str, set[str]]) -> None:
    """Note which extra rows belong to an object that Stripe does not have."""
    for found in table.placements[:1]:
        for each in findings.differences if found.parent in parent_ids else ():
            if each.kind == EXTRA and not each.note and each.parent and each.parent not in parent_ids[found.parent]:
                each.note = f"an orphan: Stripe has no `{each.parent}` in {found.parent}"
