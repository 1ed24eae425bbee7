"""Prints what `verify` found."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, make_grid, print_plain, say, short_value

if TYPE_CHECKING:
    from stripe_source.money.result import Disagreement, ReconcileResult
    from stripe_source.verification.reconciliation import MoneyProof
    from stripe_source.verification.result import TableProof, VerifyResult

DIFFERENCES_SHOWN = 20  # differences of one table that are shown


def show_verify(console: Console, result: VerifyResult) -> None:
    """Print what differs, by table and one by one; whether the money adds up; what could not be verified."""
    if result.before:
        show_verify(console, result.before)
        say(console, (f"Repaired {count_of(sum((result.repaired or {}).values()), 'row')} of "
                      f"{', '.join(result.repaired or ())}. Verified again:", "bold"))
    compared = {name: table for name, table in result.tables.items() if table.status == "ok"}
    differing = {name: table for name, table in compared.items() if table.differences}
    if differing:
        _show_counts(console, compared, differing)
        for name, table in differing.items():
            _show_differences(console, name, table)
    for name, table in result.tables.items():
        if table.status in ("ok", "not enabled", "not loaded"):
            if table.reason:
                say(console, (f"{name}: {table.reason}", "dim"))
        else:
            say(console, (f"{name} could not be verified: {table.status}. ", "bold red"), table.reason)
    _show_money(console, result.money)
    for note in result.notes:
        say(console, (note, "yellow"))
    sampled = f", a sample (--seed {result.seed})" if result.seed is not None else ""
    number = sum(table.stripe for table in compared.values())
    rows = f"{count_of(number, 'row')} in {count_of(len(compared), 'table')}{sampled}"
    late = sum(table.late for table in compared.values())
    if result.differing:
        say(console, (f"Not equal: {count_of(result.differing, 'difference')}; {rows} compared", "bold red"))
    elif compared:
        after = f", but for {count_of(late, 'row')} that the next run brings" if late else ""
        say(console, (f"Equal{after}: {rows} compared", "bold green"))
    if late:
        line(console, "Not loaded yet is what came about after the last load; `--settled` does not count it.")
    line(console, f"{count_of(result.requests, 'request')}, {result.seconds:.1f} s; account {result.account}, "
                  f"{result.destination}, dataset {result.dataset}")


def _show_counts(
    console: Console, compared: Mapping[str, TableProof], differing: Mapping[str, TableProof]
) -> None:
    """Print the numbers of rows that differ, by table."""
    kinds = "missing", "extra", "altered", "late"
    titles = "in Stripe", "in destination", *kinds[:3], "not loaded yet"
    grid = make_grid("table", *titles, right=titles)
    for name, table in differing.items():
        counts = [f"{table.stripe:,}", f"{table.destination:,}"]
        counts += [f"{number:,}" if (number := getattr(table, kind)) else "" for kind in kinds]
        grid.add_row(Text(name, style="cyan"), *counts)
    if rest := [table for name, table in compared.items() if name not in differing]:
        both = [f"{sum(getattr(table, side) for table in rest):,}" for side in ("stripe", "destination")]
        grid.add_row(Text(f"{count_of(len(rest), 'other table')}", style="cyan"), *both)
    print_plain(console, grid)


def _show_differences(console: Console, name: str, table: TableProof) -> None:
    """Print the months in which rows of a table differ, and the first differences one by one."""
    months = [window for window in table.windows if window.differing and window.window != "all"]
    where = "; ".join(f"{window.window} {window.differing:,}" for window in months)
    say(console, (name, "bold cyan"), f"  created in {where}" if where else "")
    for each in table.differences[:DIFFERENCES_SHOWN]:
        key = ", ".join(str(value) for value in each.key.values()) or "the only row"
        values = f"{short_value(each.destination)} instead of {short_value(each.stripe)}"
        notes = "".join(f" ({note})" for note in (each.note, "not loaded yet" if each.late else "") if note)
        line(console, f"  {key}  {f'{each.column}: {values}' if each.column else each.kind}{notes}")
    if table.capped or len(table.differences) > DIFFERENCES_SHOWN:
        others = len(table.differences) - DIFFERENCES_SHOWN
        line(console, f"  and {others:,} more{', and others' if table.capped else ''}; --json has them")


def _show_money(console: Console, money: MoneyProof) -> None:
    """Print which amounts are wrong, which are right, and which could not be compared."""
    wrong = [part for part in money.balance if not part.equal]
    for part in wrong:
        kind = "" if part.balance_type == "payments" else f" {part.balance_type}"
        say(console, (f"The {part.status}{kind} balance in {part.currency} is {part.balance:,}, and the transactions "
                      f"in the destination sum up to {part.transactions:,}"
                      f"{'; not loaded yet' if part.late else ''}", "bold red"))
    for payout in money.payouts[:DIFFERENCES_SHOWN]:
        say(console, (f"Payout {payout.id}: {payout.amount:,} {payout.currency} were paid out, {payout.swept:,} swept "
                      f"in {count_of(payout.transactions, 'transaction')}: {payout.reason}", "bold red"))
    if len(money.payouts) > DIFFERENCES_SHOWN:
        line(console, f"and {len(money.payouts) - DIFFERENCES_SHOWN:,} more payouts; --json has them")
    right = []
    if money.balance and not wrong:
        right.append("balance_transactions sum up to the balance")
    if money.payouts_checked and not money.payouts:
        right.append(f"{count_of(money.payouts_checked, 'automatic payout')} to what they swept")
    if right:
        say(console, (f"Money: {', and '.join(right)}", "green"))
    for what, why in (("The balance", money.balance_skipped), ("Payouts", money.payouts_skipped)):
        if why:
            say(console, (f"{what} not added up: {why}", "dim"))
    if money.payouts_open:
        say(console, (f"{count_of(money.payouts_open, 'payout')}: Stripe does not say yet what they swept", "dim"))
    for text in money.unproven:
        say(console, (f"Not proven: {text}", "yellow"))


def show_reconcile(console: Console, result: ReconcileResult) -> None:
    """Print which amounts of Stripe's reports differ from the tables, with the transactions that make up each."""
    grid = make_grid("report", "amounts", "of", "differing", right=("amounts", "differing"))
    for name, check in result.reports.items():
        number = len(check.disagreements)
        what = "payout" if "payout_reconciliation" in name else "interval"
        grid.add_row(Text(name, style="cyan"), f"{check.amounts:,}", count_of(check.intervals, what),
                     f"{number:,}" if number else "")
    print_plain(console, grid)
    for name, check in result.reports.items():
        if check.disagreements:
            say(console, (name, "bold cyan"))
        for each in check.disagreements[:DIFFERENCES_SHOWN]:
            _show_disagreement(console, each)
        if (more := len(check.disagreements) - DIFFERENCES_SHOWN) > 0:
            line(console, f"  and {more:,} more; --json has them")
        for text in check.skipped:
            say(console, (f"{name}: {text}", "dim"))
    if result.differing:
        say(console, (f"Not equal: {count_of(result.differing, 'amount')} of {result.compared:,}", "bold red"))
    elif result.compared:
        say(console, (f"Equal: {count_of(result.compared, 'amount')}, to the last minor unit", "bold green"))
    else:
        say(console, ("Nothing was compared", "bold red"))
    line(console, f"account {result.account}, {result.destination}, dataset {result.dataset}")


def _show_disagreement(console: Console, each: Disagreement) -> None:
    where = [each.payout or "", each.category or "", f"from {each.interval_start}" if each.interval_start else ""]
    line(console, f"  {' '.join(filter(None, where))}: {each.figure} is {each.report} {each.currency} in the report, "
                  f"{each.tables} in the tables")
    for title, ids in (("only in the report", each.only_in_report), ("only in the tables", each.only_in_tables)):
        if ids:
            line(console, f"    {title}, or otherwise: {', '.join(ids)}")
    if each.more:
        line(console, f"    and {each.more:,} more")
