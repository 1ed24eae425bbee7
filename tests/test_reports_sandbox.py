"""Reports of the sandbox, which it makes from its own ledger: loaded, they add up with its balance transactions."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from stripe_source import sandbox
from stripe_source.load.sync import sync
from stripe_source.tables.registry import REPORT_TABLES
from stripe_source.tables.schema_map import table_map

DAY = 86_400
PLACES = {"usd": 2, "eur": 2, "jpy": 0, "kwd": 3}
ITEMIZED, SUMMARY, BALANCE = (
    "report_balance_change_from_activity_itemized_3", "report_balance_change_from_activity_summary_1",
    "report_balance_summary_1",
)


@pytest.fixture(scope="module")
def box() -> Iterator[Any]:
    """A live account with four currencies."""
    world = sandbox.World(seed=7, scale=0.05, livemode=True, currencies=tuple(PLACES))
    with sandbox.serve(world=world) as served:
        yield served


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    """Nobody waits for a report."""
    monkeypatch.setattr("stripe_source.extract.reports.runs.FIRST_POLL", 0.005)
    monkeypatch.setattr("stripe_source.extract.reports.runs.LONGEST_POLL", 0.01)


@pytest.fixture
def load(box: Any, new_pipeline: Callable[..., dlt.Pipeline]) -> Callable[..., Any]:
    """Loads tables of the sandbox."""
    def run(tables: str, file: str = "test.duckdb", **options: Any) -> Any:
        return sync(new_pipeline(file[:4], file), tables=tables, api_key=box.api_key, api_base=box.url, **options)

    return run


def rows(tmp_path: Path, query: str, file: str = "test.duckdb") -> list[tuple[Any, ...]]:
    with duckdb.connect(str(tmp_path / file)) as connection:
        return list(connection.sql(query).fetchall())


def ledger(box: Any, until: int) -> tuple[Counter[str], Counter[str]]:
    """Gross and net of all balance transactions but payouts, by currency in major units, summed one by one."""
    gross, net = Counter[str](), Counter[str]()
    for truth in box.world.dump()["balance_transactions"]:
        each = truth.object
        if each["reporting_category"] not in ("payout", "payout_reversal") and each["created"] < until:
            unit = Decimal(1).scaleb(-PLACES[each["currency"]])
            gross[each["currency"]] += each["amount"] * unit  # type: ignore[assignment]
            net[each["currency"]] += each["net"] * unit  # type: ignore[assignment]
    return gross, net


@pytest.mark.soak
def test_all_types_have_their_columns_and_add_up(box: Any, load: Callable[..., Any], tmp_path: Path) -> None:
    """To the last minor unit, in four currencies: the lines, their summary, and the balance."""
    result = load("report_%")
    assert {each.status for each in result.tables.values()} == {"ok"}
    for table in REPORT_TABLES:
        found = rows(tmp_path, f"SELECT column_name FROM (DESCRIBE stripe.{table.name})")
        assert {column.name for column in table_map(table).columns} <= {name for (name,) in found}, table.name
        assert not any(name.endswith("__v_text") for (name,) in found), table.name
    ((end,),) = rows(tmp_path, f"SELECT epoch(max(_interval_end))::BIGINT FROM stripe.{BALANCE}")
    gross, net = ledger(box, end)

    assert set(gross) == set(PLACES)
    for table in (ITEMIZED, SUMMARY):
        sums = rows(tmp_path, f"SELECT currency, sum(gross), sum(net) FROM stripe.{table} GROUP BY ALL")
        assert {currency: (each, after) for currency, each, after in sums} == {
            currency: (gross[currency], net[currency]) for currency in gross}
    activity = rows(tmp_path, f"SELECT currency, sum(net_amount) FROM stripe.{BALANCE} "
                              "WHERE category = 'activity' GROUP BY ALL")
    assert {currency: amount for currency, amount in activity if amount} == dict(net)


def test_three_months_by_day_killed_five_times(
    box: Any, load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of one reading, and no report was made twice."""
    from stripe_source.extract.reports.csv_rows import CsvRows

    end = box.world.now // DAY * DAY - 10 * DAY
    options = {"start": end - 92 * DAY, "end": end, "reports": {"interval": "day"}}
    made = len(box.world.dump()["reporting_report_runs"])
    load(ITEMIZED, "once.duckdb", **options)
    monkeypatch.setattr("stripe_source.resources.reports.reading.ROWS_PER_LOAD", 5)
    tables, left = CsvRows.tables, [0]

    def interrupted(self: CsvRows) -> Iterator[Any]:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        yield from tables(self)

    monkeypatch.setattr(CsvRows, "tables", interrupted)
    for left[0] in (9, 30, 21, 14, 33):
        with pytest.raises(KeyboardInterrupt):
            load(ITEMIZED, **options)
    load(ITEMIZED, **options)
    query = (f"SELECT balance_transaction_id, net, currency, created_utc, _interval_start FROM stripe.{ITEMIZED} "
             "ORDER BY ALL")

    assert rows(tmp_path, query) == rows(tmp_path, query, "once.duckdb") != []
    assert len(box.world.dump()["reporting_report_runs"]) - made == 92
