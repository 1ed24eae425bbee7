"""Prints what becomes of a TQL program, and what a run of it did."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe_source.cli.views.console import count_of

if TYPE_CHECKING:
    from rich.console import Console

    from stripe_source.striim.tql.run.flow import TqlResult


def show_problems(console: Console, unsupported: list[dict[str, Any]], notes: list[dict[str, Any]]) -> None:
    """Print what cannot be carried over, and what a person should know."""
    for title, problems in (("Cannot be carried over", unsupported), ("Otherwise than in Striim", notes)):
        if problems:
            console.print(f"{title}:", style="bold", highlight=False)
        for problem in problems:
            of = f", `{problem['property']}`" if problem["property"] else ""
            console.print(
                f"  line {problem['line']}, column {problem['column']}: {problem['statement']}{of}: "
                f"{problem['message']}", highlight=False, markup=False, soft_wrap=True)


def show_check(console: Console, result: dict[str, Any]) -> None:
    """Print whether a program can be carried over."""
    show_problems(console, result["unsupported"], result["notes"])
    if not result["unsupported"]:
        console.print(f"{result['application']} can be carried over.", highlight=False, markup=False)


def show_plan(console: Console, plan: dict[str, Any]) -> None:
    """Print what a program will do, table by table."""
    console.print(plan["application"], style="bold", highlight=False, markup=False)
    for table in plan["tables"]:
        native = "" if table["native"] == table["table"] else f" ({table['native']})"
        since = f", from {table['start']} on" if table["start"] else ""
        every = f", every {table['every']} s with `--poll`" if table["every"] else ""
        _print(console, f"{table['table']}{native}: {table['reads']}{since}{every}")
        for way in table["goes_to"]:
            through = "".join(f" {query} →" for query in way["through"])
            _print(console, f"    →{through} {way['target']}: {way['writes']}")
    for query in plan["queries"]:
        _print(console, f"Query {query['name']}, {query['reads']} → {query['writes']}: {query['select']}")
    show_problems(console, plan["unsupported"], plan["notes"])


def show_result(console: Console, result: TqlResult) -> None:
    """Print what a run did."""
    for table, number in result.read.items():
        _print(console, f"{table}: {count_of(number, 'event')} read")
    for table, reason in result.problems.items():
        _print(console, f"{table}: {reason}")
    for target, number in result.written.items():
        _print(console, f"{target}: {count_of(number, 'event')} written")
    for file in result.files:
        _print(console, file)
    _print(console, f"{result.application}: {count_of(result.polls, 'poll')} in {result.seconds:.1f} s")


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
