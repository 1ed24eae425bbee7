"""`reconcile`: Stripe's financial reports, as they were loaded, against the ledger and the payouts beside them.

What a report is about is told by Stripe's name of its type. Which transactions it counts, by Stripe's pages on the
balance report and the payout reconciliation report (read 2026-11-30): activity is every balance transaction of an
interval of `created` whose reporting category is no payout; the balance at a time is the sum of `net` of all before it;
an automatic payout is the sum of `net` of those that it settled.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from stripe_source.destination.connection import destination_errors, missing_file
from stripe_source.destination.pipelines import stripe_schema
from stripe_source.destination.row_reader import RowReader, Span
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.values import unix_second
from stripe_source.errors import ConfigurationError
from stripe_source.load.extras.striim_metrics import iso_time, position_of
from stripe_source.money.currencies import in_major_units, in_minor_units
from stripe_source.money.result import Disagreement, ReconcileResult, ReportCheck
from stripe_source.resources.state import loaded_from_start, sources_of, stored_state
from stripe_source.tables.registry import REPORT_TABLES, table_with_role
from stripe_source.tables.table import Table

if TYPE_CHECKING:
    import dlt

PAYOUT_CATEGORIES = frozenset({"payout", "payout_reversal"})  # everything else is activity
EFFECT = 14 * 86_400  # seconds within which an automatic payout takes effect (Stripe: days, holidays; 2026-11-30)
IDS_SHOWN = 20  # of the transactions that make up a difference
SPANS_PER_STATEMENT = 50
_FIGURES = "gross", "fee", "net"
Bounds = tuple[int, int]  # unix seconds [start, end) of an interval


def reconcile(pipeline: dlt.Pipeline) -> ReconcileResult:
    """Compare the financial reports that a pipeline has loaded with its own tables, to the last minor unit.

    Nothing is asked of Stripe. What needs tables that were not loaded, or not from the beginning, is skipped with the
    reason, as are intervals that end after the time up to which the ledger is known.

    Args:
        pipeline: what was loaded, and where: reports (`report_…`), balance transactions, and for payouts these and what
            they settled.

    Returns:
        The amounts that differ, each with the transactions that make up the difference.

    Raises:
        ConfigurationError: the pipeline has loaded no report, or not the ledger.
        DestinationError: the destination cannot be read.
    """
    with destination_errors(pipeline):
        pipeline.activate()
        if not missing_file(pipeline.destination_client()):
            pipeline.sync_destination()
        schema = stripe_schema(pipeline)
        source, _ = stored_state(pipeline, schema.name)
        with RowReader(pipeline, schema, source.account_id or "self") as reader:
            reports = [table for table in REPORT_TABLES if reader.loaded(table)]
            ledger = table_with_role("ledger")
            if not reports or not reader.loaded(ledger):
                raise ConfigurationError(_nothing(pipeline))
            raw: Mapping[str, Any] = sources_of(pipeline).get(schema.name, {}).get("resources", {})
            known_up_to = position_of(raw.get(ledger.name, {}))
            whole = not loaded_from_start(pipeline, schema.name, ledger.name)
            books = _Books(reader, known_up_to, whole)
            found = {table.name: books.check(table) for table in reports}
    return ReconcileResult(
        pipeline=pipeline.pipeline_name, destination=pipeline.destination.destination_name or "",
        dataset=pipeline.dataset_name or "", account=source.account_id or "self", reports=found,
        known_up_to=iso_time(known_up_to),
    )


def _nothing(pipeline: dlt.Pipeline) -> str:
    ledger = table_with_role("ledger").name
    return (f"Pipeline `{pipeline.pipeline_name}` has no financial reports with `{ledger}` beside them in dataset "
            f"`{pipeline.dataset_name}`. Load both: `stripe-source run --tables \"report_%;{ledger}\" --start …`.")


class _Books:
    """The ledger and the payouts of a destination.

    Args:
        reader: reads the destination.
        known_up_to: unix second up to which the ledger is known; None: that is not known.
        whole: the ledger was loaded from the beginning.
    """

    def __init__(self, reader: RowReader, known_up_to: int | None, whole: bool) -> None:
        self._reader, self._known_up_to, self._whole = reader, known_up_to, whole
        self._ledger = table_with_role("ledger")

    def check(self, report: Table) -> ReportCheck:
        """Compare one report."""
        assert report.report is not None and report.report.type is not None
        family = report.report.type.rpartition(".")[0]
        checks: dict[str, Callable[[Table, ReportCheck], None]] = {
            "balance_change_from_activity.summary": self._check_activity,
            "balance_change_from_activity.itemized": self._check_activity,
            "balance.summary": self._check_balance,
            "ending_balance_reconciliation.summary": self._check_ending_balance,
            "ending_balance_reconciliation.itemized": self._check_ending_balance,
            "payout_reconciliation.itemized": self._check_payouts,
            "payout_reconciliation.by_id.itemized": self._check_payouts,
        }
        found = ReportCheck()
        if family in checks:
            checks[family](report, found)
        else:
            found.skipped.append("Nothing in the tables says the same: it is about other times, fees or taxes.")
        return found

    # ---- what changed the balance

    def _check_activity(self, report: Table, found: ReportCheck) -> None:
        groups = "reporting_category", "currency"
        itemized = "itemized" in report.name
        figures = _FIGURES if itemized else ("count", *_FIGURES)
        if not self._has(report, found, *groups, *figures):
            return
        said: dict[Bounds, dict[tuple[str, str], list[Decimal]]] = {}
        for bounds, (category, currency), number, sums in self._sums(report, groups, figures):
            amounts = [Decimal(number), *sums] if itemized else sums
            said.setdefault(bounds, {})[str(category), str(currency).lower()] = amounts
        kept = self._known(said, found)
        ours = self._changes(kept)
        for bounds in kept:
            theirs, here = said[bounds], {
                key: amounts for key, amounts in ours.get(bounds, {}).items() if key[0] not in PAYOUT_CATEGORIES}
            for category, currency in sorted(theirs.keys() | here.keys()):
                of_report = theirs.get((category, currency), [Decimal(0)] * 4)
                of_tables = here.get((category, currency), [Decimal(0)] * 4)
                off = self._compare(found, ("count", *_FIGURES), of_report, of_tables, currency, bounds, category)
                if off:
                    self._name_transactions(report if itemized else None, off, bounds, category, currency)

    def _changes(self, spans: Iterable[Bounds]) -> dict[Bounds, dict[tuple[str, str], list[Decimal]]]:
        """What the ledger says of spans of `created`: by category and currency number, gross, fee and net."""
        wanted, changes = list(spans), dict[Bounds, dict[tuple[str, str], list[Decimal]]]()
        for first in range(0, len(wanted), SPANS_PER_STATEMENT):
            some = wanted[first:first + SPANS_PER_STATEMENT]
            query = statements.ledger_changes(self._reader.sql, self._ledger.name, some)
            for place, category, currency, number, *sums in self._reader.ask(query):
                key, amounts = (str(category), str(currency)), [Decimal(int(number))]
                amounts += [in_major_units(int(each or 0), str(currency)) for each in sums]
                changes.setdefault(some[int(place)], {})[key] = amounts
        return changes

    def _name_transactions(
        self, report: Table | None, off: list[Disagreement], bounds: Bounds, category: str, currency: str
    ) -> None:
        """Name the transactions that make up differences."""
        sql = self._reader.sql
        tests = [*sql.created_in("created", *bounds), sql.equals("reporting_category", category),
                 sql.equals("currency", currency), sql.not_deleted()]
        names = "id", "amount", "fee", "net"
        here = {str(id): tuple(in_major_units(int(each or 0), currency) for each in amounts) for id, *amounts in
                self._reader.ask(statements.rows(sql, self._ledger.name, names, *tests))}
        there: dict[str, tuple[Decimal, ...]] = {}
        if report is not None and "balance_transaction_id" in self._reader.known(report):
            tests = [*sql.created_in("_interval_start", bounds[0], bounds[0] + 1), sql.not_deleted(),
                     sql.equals("reporting_category", category)]
            query = statements.rows(sql, report.name, ("balance_transaction_id", "currency", *_FIGURES), *tests)
            there = {str(id): tuple(map(_decimal, amounts)) for id, of, *amounts in self._reader.ask(query)
                     if str(of).lower() == currency}
        only_there = sorted(id for id, amounts in there.items() if here.get(id) != amounts)
        only_here = sorted(id for id, amounts in here.items() if there.get(id) != amounts)
        for each in off:
            each.only_in_report, each.only_in_tables = only_there[:IDS_SHOWN], only_here[:IDS_SHOWN]
            each.more = max(0, len(only_there) - IDS_SHOWN) + max(0, len(only_here) - IDS_SHOWN)

    # ---- balances

    def _check_balance(self, report: Table, found: ReportCheck) -> None:
        if not self._has(report, found, "category", "currency", "net_amount") or not self._is_whole(found):
            return
        said: dict[Bounds, dict[str, dict[str, Decimal]]] = {}
        for bounds, (category, currency), _, (amount,) in self._sums(report, ("category", "currency"), ("net_amount",)):
            said.setdefault(bounds, {}).setdefault(str(currency).lower(), {})[str(category)] = amount
        kept = self._known(said, found)
        changes = self._changes(kept)
        before = {start: self._balances(start) for start in sorted({start for start, _ in kept})}
        for bounds in kept:
            zero = Decimal(0)
            for currency in sorted(said[bounds].keys() | {of for _, of in changes.get(bounds, {})}):
                moved = {True: zero, False: zero}
                for (category, of), amounts in changes.get(bounds, {}).items():
                    if of == currency:
                        moved[category in PAYOUT_CATEGORIES] += amounts[3]
                begun = before[bounds[0]].get(currency, zero)
                ours = {"starting_balance": begun, "activity": moved[False], "payouts": moved[True],
                        "ending_balance": begun + moved[False] + moved[True]}
                theirs = said[bounds].get(currency, {})
                names = [name for name in ours if name in theirs] or list(ours)
                self._compare(found, [name.replace("_", " ") for name in names], [theirs.get(n, zero) for n in names],
                              [ours[name] for name in names], currency, bounds)

    def _check_ending_balance(self, report: Table, found: ReportCheck) -> None:
        if not self._has(report, found, "currency", "net") or not self._is_whole(found):
            return
        said: dict[Bounds, dict[str, Decimal]] = {}
        for bounds, (currency,), _, (net,) in self._sums(report, ("currency",), ("net",)):
            said.setdefault(bounds, {})[str(currency).lower()] = net
        for bounds in self._known(said, found):
            balances = self._balances(bounds[1])
            for currency in sorted(said[bounds].keys() | balances.keys()):
                self._compare(found, ["ending balance"], [said[bounds].get(currency, Decimal(0))],
                              [balances.get(currency, Decimal(0))], currency, bounds)

    def _balances(self, until: int) -> dict[str, Decimal]:
        """The balance by currency at a unix second: the sum of `net` of all transactions before it."""
        found: dict[str, Decimal] = {}
        query = statements.ledger_changes(self._reader.sql, self._ledger.name, [(None, until)])
        for _, _, currency, _, _, _, net in self._reader.ask(query):
            found[str(currency)] = found.get(str(currency), Decimal(0)) + in_major_units(int(net or 0), str(currency))
        return found

    # ---- payouts

    def _check_payouts(self, report: Table, found: ReportCheck) -> None:
        payouts, members = table_with_role("payout"), table_with_role("payout member")
        if not self._has(report, found, "automatic_payout_id", "currency", "net"):
            return
        if missing := [table.name for table in (payouts, members) if not self._reader.loaded(table)]:
            found.skipped.append(f"Payouts are not compared without {' and '.join(missing)}: load these too.")
            return
        said: dict[str, tuple[str, int, Decimal]] = {}
        groups = "automatic_payout_id", "currency"
        for _, (payout, currency), number, (net,) in self._sums(report, groups, ("net",), bounded=False):
            said[str(payout)] = str(currency).lower(), number, net
        expected = {str(row[0]) for row in self._payouts(self._covered(report))}
        for id, currency, amount, _, swept, _, net, *_ in self._payouts(Span()):
            if str(id) not in said and (str(id) not in expected or not swept):
                continue
            of, number, total = said.pop(str(id), (str(currency), 0, Decimal(0)))
            found.intervals += 1
            ours = [Decimal(int(swept)), in_major_units(int(net or 0), of), in_major_units(int(amount or 0), of)]
            self._compare(found, ("count", "net", "amount"), [Decimal(number), total, total], ours, of,
                          payout=str(id))
        for id, (currency, number, total) in sorted(said.items()):
            found.intervals += 1
            self._compare(found, ("count", "amount"), [Decimal(number), total], [Decimal(0)] * 2, currency, payout=id)

    def _payouts(self, span: Span) -> list[tuple[Any, ...]]:
        """The automatic payouts that were created in a span, as `statements.payouts` has them."""
        payouts, members = table_with_role("payout"), table_with_role("payout member")
        return self._reader.ask(statements.payouts(
            self._reader.sql, payouts.name, members.name, self._ledger.name,
            *self._reader.within(payouts, span, "p")))

    def _covered(self, report: Table) -> Span:
        """When payouts were created that a report has to show: it goes by when they take effect, up to days later."""
        if "_interval_start" not in self._reader.known(report):
            return Span(0, 0)  # payout by payout: it shows those that it was asked for
        bounds = {each for each, *_ in self._sums(report, (), ())}
        return Span(min(start for start, _ in bounds), max(end for _, end in bounds) - EFFECT) if bounds else Span(0, 0)

    # ---- shared

    def _sums(
        self, report: Table, groups: tuple[str, ...], figures: tuple[str, ...], bounded: bool = True
    ) -> Iterable[tuple[Bounds, tuple[Any, ...], int, list[Decimal]]]:
        """Of a report: interval, values of some columns, number of rows, and sums of others."""
        bounds = ("_interval_start", "_interval_end") if bounded else ()
        query = statements.report_sums(self._reader.sql, report.name, bounds, groups, figures)
        for row in self._reader.ask(query):
            interval = (unix_second(row[0]), unix_second(row[1])) if bounded else (0, 0)
            rest = row[len(bounds):]
            yield interval, tuple(rest[:len(groups)]), int(rest[len(groups)]), [
                _decimal(each) for each in rest[len(groups) + 1:]]

    def _compare(
        self, found: ReportCheck, figures: Iterable[str], report: list[Decimal], tables: list[Decimal], currency: str,
        bounds: Bounds | None = None, category: str | None = None, payout: str | None = None,
    ) -> list[Disagreement]:
        """Compare some figures, and keep those that differ; answers with these."""
        off = []
        for figure, theirs, ours in zip(figures, report, tables, strict=True):
            found.amounts += 1
            if in_minor_units(theirs, currency) != in_minor_units(ours, currency):
                start, end = map(iso_time, bounds or (None, None))
                off.append(Disagreement(figure, currency, theirs, ours, category, payout, start, end))
        found.disagreements += off
        return off

    def _known(self, said: Mapping[Bounds, object], found: ReportCheck) -> list[Bounds]:
        """The intervals up to whose ends the ledger is known; the others are named."""
        known = [each for each in sorted(said) if self._known_up_to is None or each[1] <= self._known_up_to]
        if later := len(said) - len(known):
            found.skipped.append(f"{later} interval{'s' if later > 1 else ''} that end after the ledger was last read: "
                                 "run again.")
        found.intervals += len(known)
        return known

    def _has(self, report: Table, found: ReportCheck, *columns: str) -> bool:
        there = self._reader.known(report)
        if missing := [name for name in columns if name not in there]:
            found.skipped.append(f"It was loaded without {', '.join(missing)}.")
        return not missing

    def _is_whole(self, found: ReportCheck) -> bool:
        if not self._whole:
            found.skipped.append(f"Balances need all of {self._ledger.name}, which was loaded from a `start` on.")
        return self._whole


def _decimal(value: object) -> Decimal:
    """A sum as a driver gave it; SQLite has floating point, exact to more digits than these have."""
    if value is None:
        return Decimal(0)
    return value if isinstance(value, Decimal) else Decimal(str(round(value, 6) if isinstance(value, float) else value))
