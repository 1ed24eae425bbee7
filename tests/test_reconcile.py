"""Stripe's financial reports say what the ledger and the payouts beside them say, or the difference is named."""
from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_source import create_views, reconcile, sandbox, status, sync
from stripe_source.cli.main import main
from stripe_source.errors import ConfigurationError
from stripe_source.money.currencies import decimals, in_major_units, in_minor_units

TABLES = "balance_transactions;payouts;payout_balance_transactions"
REPORTS = ("report_balance_change_from_activity_summary_1;report_balance_change_from_activity_itemized_3;"
           "report_balance_summary_1;report_ending_balance_reconciliation_summary_1;"
           "report_payout_reconciliation_itemized_5;report_payouts_itemized_3")


class Books:
    """A live sandbox whose reports and tables were loaded into DuckDB."""

    def __init__(self, folder: Path) -> None:
        self.stripe = sandbox.serve(world=sandbox.World(seed=5, scale=0.05, livemode=True))
        self.file, self._folder = folder / "books.duckdb", folder

    def pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            "books", destination=dlt.destinations.duckdb(str(self.file)), dataset_name="stripe",
            pipelines_dir=str(self._folder / "pipelines"))

    def run(self, tables: str = f"{TABLES};{REPORTS}", **options: Any) -> Any:
        return sync(self.pipeline(), tables=tables, api_base=self.stripe.url, api_key=self.stripe.api_key, **options)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Loaded once; tests put back what they change."""
    folder = tmp_path_factory.mktemp("books")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.setattr("stripe_source.extract.reports.runs.FIRST_POLL", 0.01, raising=False)
        books = Books(folder)
        books.run()
        yield books
        books.stripe.close()


def test_what_stripe_reports_is_what_the_tables_say(loaded: Books) -> None:
    """Every amount of every interval and payout, in all currencies, to the last minor unit."""
    found = reconcile(loaded.pipeline())
    currencies = {row[0] for row in loaded.sql("SELECT DISTINCT currency FROM stripe.balance_transactions")}
    months = loaded.sql("SELECT count(DISTINCT date_trunc('month', created)) FROM stripe.balance_transactions")[0][0]
    payouts = loaded.sql("SELECT count(DISTINCT automatic_payout_id) FROM "
                         "stripe.report_payout_reconciliation_itemized_5")[0][0]

    assert found.differing == 0 and found.exit_code == 0
    assert len(currencies) > 1
    assert found.reports["report_balance_summary_1"].intervals >= months - 1 > 1
    assert found.reports["report_payout_reconciliation_itemized_5"].intervals == payouts > 5
    assert all(check.amounts > 4 for name, check in found.reports.items() if name != "report_payouts_itemized_3")
    assert found.reports["report_payouts_itemized_3"].skipped


def test_status_counts_the_rows_of_reports(loaded: Books) -> None:
    """Beside those of the other tables."""
    said = status(loaded.pipeline())
    there = {name: loaded.sql(f"SELECT count(*) FROM stripe.{name}")[0][0] for name in REPORTS.split(";")}

    assert {name: table.rows for name, table in said.tables.items() if name in there} == there
    assert said.failed == {}


def test_striims_report_views_take_their_values_from_the_reports(loaded: Books) -> None:
    """Compared with the sandbox's dump: sums by category and currency, each itemized transaction, the balance."""
    create_views(loaded.pipeline(), "striim")
    dump = loaded.stripe.world.dump()["balance_transactions"]
    last = loaded.sql('SELECT max("ParametersIntervalEnd") FROM stripe_striim."BalanceSummaryReport"')[0][0].timestamp()
    ledger = [each.object for each in dump if each.object["created"] < last]
    sums: dict[tuple[str, str], Decimal] = {}
    for each in ledger:
        if each["reporting_category"] not in ("payout", "payout_reversal"):
            key = each["reporting_category"], each["currency"]
            sums[key] = sums.get(key, Decimal(0)) + in_major_units(each["net"], each["currency"])
    ids = {each["id"] for each in ledger if each["reporting_category"] not in ("payout", "payout_reversal")}
    balance = {of: sum((in_major_units(each["net"], of) for each in ledger if each["currency"] == of), Decimal(0))
               for of in {each["currency"] for each in ledger}}

    assert {(category, of): net for category, of, net in loaded.sql(
        'SELECT "Reporting_Category", "Currency", sum("Net") '
        'FROM stripe_striim."BalanceChangeFromActivitySummaryReport" GROUP BY 1, 2')} == sums
    assert {id for id, in loaded.sql(
        'SELECT "Balance_Transaction_Id" FROM stripe_striim."ItemizedBalanceChangeFromActivityReport"')} == ids
    view = 'stripe_striim."BalanceSummaryReport"'
    assert dict(loaded.sql(
        f'SELECT "Currency", "Net_Amount" FROM {view} WHERE "Category" = \'ending_balance\' '
        f'AND "ParametersIntervalEnd" = (SELECT max("ParametersIntervalEnd") FROM {view})')) == balance
    assert loaded.sql('SELECT count(*) FROM stripe_striim."ItemizedPayoutsReport" WHERE "Id" NOT LIKE \'frr_%\'') == [
        (0,)]


def test_a_long_run_with_reports_has_a_result_of_each_table(loaded: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads once more what has happened meanwhile, but makes no report again."""
    monkeypatch.setattr("stripe_source.load.sync.LONG_RUN", -1)
    names = [*TABLES.split(";"), *REPORTS.split(";"), "charges"]  # by the change feed, which a long run reads again
    made = sum(each.method == "POST" for each in loaded.stripe.world.requests)
    result = loaded.run(";".join(names))
    again = sum(each.method == "POST" for each in loaded.stripe.world.requests) - made

    assert {name: table.status for name, table in result.tables.items()} == dict.fromkeys(names, "ok")
    assert again <= len(REPORTS.split(";"))


def test_a_transaction_that_is_missing_is_named(loaded: Books) -> None:
    """Where the ledger lacks one, every report that counts it differs, by its amount, and names it where it can."""
    id, created, category, currency, net = loaded.sql(
        "SELECT id, created, reporting_category, currency, net FROM stripe.balance_transactions "
        "WHERE reporting_category = 'charge' ORDER BY created LIMIT 1")[0]
    loaded.sql(f"UPDATE stripe.balance_transactions SET _deleted = true WHERE id = '{id}'")
    found = reconcile(loaded.pipeline())
    loaded.sql(f"UPDATE stripe.balance_transactions SET _deleted = false WHERE id = '{id}'")
    itemized = found.reports["report_balance_change_from_activity_itemized_3"].disagreements
    summary = found.reports["report_balance_change_from_activity_summary_1"].disagreements
    balance = found.reports["report_balance_summary_1"].disagreements

    assert found.exit_code == 4
    assert {each.figure for each in itemized} == {each.figure for each in summary} >= {"count", "gross", "net"}
    for each in (*itemized, *summary):
        assert (each.category, each.currency) == (category, currency)
        assert str(each.interval_start) <= created.isoformat() < str(each.interval_end)
        if each.figure == "net":
            assert each.report - each.tables == in_major_units(net, currency)
    assert [each.only_in_report for each in itemized] == [[id]] * len(itemized)
    assert all(each.only_in_tables == [] for each in itemized)
    assert {"activity", "ending balance", "starting balance"} <= {each.figure for each in balance}
    assert {each.report - each.tables for each in balance} == {in_major_units(net, currency)}
    assert reconcile(loaded.pipeline()).differing == 0


def test_another_amount_in_a_report_is_named_with_its_transaction(loaded: Books) -> None:
    """By the smallest unit of the currency."""
    table = "stripe.report_balance_change_from_activity_itemized_3"
    id, currency = loaded.sql(f"SELECT balance_transaction_id, currency FROM {table} ORDER BY 1 LIMIT 1")[0]
    least = in_major_units(1, currency)
    loaded.sql(f"UPDATE {table} SET net = net + {least} WHERE balance_transaction_id = '{id}'")
    found = reconcile(loaded.pipeline())
    loaded.sql(f"UPDATE {table} SET net = net - {least} WHERE balance_transaction_id = '{id}'")
    (only,) = found.reports["report_balance_change_from_activity_itemized_3"].disagreements

    assert (only.figure, only.report - only.tables) == ("net", least)
    assert (only.only_in_report, only.only_in_tables) == ([id], [id])
    assert found.differing == 1


def test_a_payout_that_is_another_amount_is_named(loaded: Books) -> None:
    """Against what it settled, and against what was paid out."""
    table = "stripe.report_payout_reconciliation_itemized_5"
    payout, id = loaded.sql(f"SELECT automatic_payout_id, min(balance_transaction_id) FROM {table} GROUP BY 1 "
                            "HAVING count(*) > 1 ORDER BY 1 LIMIT 1")[0]
    loaded.sql(f"UPDATE {table} SET _deleted = true WHERE balance_transaction_id = '{id}'")
    found = reconcile(loaded.pipeline())
    loaded.sql(f"UPDATE {table} SET _deleted = false WHERE balance_transaction_id = '{id}'")
    off = found.reports["report_payout_reconciliation_itemized_5"].disagreements

    assert [(each.figure, each.payout) for each in off] == [("count", payout), ("net", payout), ("amount", payout)]


def test_a_payout_that_a_report_lacks_is_named(loaded: Books) -> None:
    """Where it was created in the time that the report is about, but for its last days."""
    table = "stripe.report_payout_reconciliation_itemized_5"
    payout = loaded.sql(f"SELECT automatic_payout_id FROM {table} GROUP BY 1 ORDER BY min(created_utc) LIMIT 1")[0][0]
    loaded.sql(f"UPDATE {table} SET _deleted = true WHERE automatic_payout_id = '{payout}'")
    found = reconcile(loaded.pipeline())
    loaded.sql(f"UPDATE {table} SET _deleted = false WHERE automatic_payout_id = '{payout}'")
    off = found.reports["report_payout_reconciliation_itemized_5"].disagreements

    assert {(each.payout, each.report) for each in off} == {(payout, Decimal(0))}
    assert {each.figure for each in off} == {"count", "net", "amount"}


def test_the_command_prints_what_differs(
    loaded: Books, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`verify --money`; as JSON amounts are texts. The exit code is 4 where something differs."""
    copy = tmp_path / "stripe.duckdb"
    pipeline = loaded.pipeline()
    monkeypatch.setattr("stripe_source.cli.commands.make_pipeline", lambda args: pipeline)
    assert main(["verify", "--money"]) == 0
    text = capsys.readouterr().out
    table = "stripe.report_balance_summary_1"
    loaded.sql(f"UPDATE {table} SET net_amount = net_amount + 1 WHERE category = 'ending_balance' AND currency = 'usd'")
    assert main(["verify", "--money", "--json"]) == 4
    words = json.loads(capsys.readouterr().out)
    assert main(["verify", "--money"]) == 4
    wrong = capsys.readouterr().out
    loaded.sql(f"UPDATE {table} SET net_amount = net_amount - 1 WHERE category = 'ending_balance' AND currency = 'usd'")

    assert not copy.exists()
    assert "Equal:" in text and "to the last minor unit" in text
    assert "ending balance is" in wrong and "Not equal:" in wrong
    off = words["reports"]["report_balance_summary_1"]["disagreements"]
    assert off and all(Decimal(each["report"]) - Decimal(each["tables"]) == 1 for each in off)
    assert main(["verify", "--money", "--repair"]) == 2


def test_without_reports_the_way_out_is_told(new_pipeline: Any, small: Any) -> None:
    """Also where the pipeline has loaded nothing at all."""
    with pytest.raises(ConfigurationError, match="never loaded anything"):
        reconcile(new_pipeline())
    sync(new_pipeline(), tables="balance_transactions", api_base=small.url, api_key=small.api_key)

    with pytest.raises(ConfigurationError, match="no financial reports"):
        reconcile(new_pipeline())


@given(st.integers(-10**15, 10**15), st.sampled_from(["usd", "EUR", "jpy", "kwd", "isk", "ugx", "mga", "huf"]))
def test_units_of_a_currency_go_there_and_back(amount: int, currency: str) -> None:
    """Without a rounding; as text an amount has the decimals of its currency."""
    major = in_major_units(amount, currency)

    assert in_minor_units(major, currency) == amount
    assert len(str(major).partition(".")[2]) == decimals(currency)
