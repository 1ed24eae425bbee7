"""Financial reports as tables: what a run asks Stripe for, what rows come of it; reading again doubles nothing.

The server answers with files that the tests write by hand; what is stored is compared with these.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import destinations
import dlt
import duckdb
import pytest
from report_server import AUGUST, BODY, JULY, KEY, NOW, SEPTEMBER, Form, Reports, serving

from stripe_source.cli.main import main
from stripe_source.errors import InvalidOption, UnknownTable
from stripe_source.load.sync import sync
from stripe_source.monitoring.status import status
from stripe_source.preflight.check import check
from stripe_source.schema.ddl import schema_ddl
from stripe_source.schema.migrate import schema_migrate
from stripe_source.source import stripe_source
from stripe_source.tables.catalog import list_tables
from stripe_source.tables.registry import REPORT_TABLES
from stripe_source.tables.selection import select_tables
from stripe_source.verification.verify import verify

DAY = 86_400
SUMMARY, TABLE = "balance.summary.1", "report_balance_summary_1"
HEADER = b"category,description,net_amount,currency\n"
Sync = Callable[..., Any]
Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    """Nobody waits for a report."""
    monkeypatch.setattr("stripe_source.extract.reports.runs.FIRST_POLL", 0.005)
    monkeypatch.setattr("stripe_source.extract.reports.runs.LONGEST_POLL", 0.01)
    monkeypatch.setattr("stripe_source.api.http.download.FIRST_WAIT", 0.001)


@pytest.fixture
def reports() -> Iterator[Reports]:
    """Two months of a summary, of which each interval has two rows that name it."""
    made = Reports()
    made.add_type(SUMMARY, JULY, SEPTEMBER)
    made.csv = by_interval
    with serving(made) as served:
        yield served


def by_interval(type: str, form: Form) -> bytes:
    """Two rows, with the bounds of the interval."""
    low, high = form.get("interval_start", 0), form["interval_end"]
    return HEADER + f"starting_balance,,{low}.25,usd\nactivity,,{high}.5,eur\n".encode()


@pytest.fixture
def load(reports: Reports, new_pipeline: Callable[..., dlt.Pipeline]) -> Sync:
    """Loads tables of the server."""
    def run(tables: Any = TABLE, **options: Any) -> Any:
        return sync(new_pipeline(), **{"tables": tables, "api_key": KEY, "api_base": reports.url, **options})

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Reads what is stored."""
    def read(columns: str = "*", table: str = TABLE, rest: str = "ORDER BY _interval_start, _row") -> Any:
        with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
            return connection.sql(f"SELECT {columns} FROM stripe.{table} {rest}").fetchall()

    return read


def utc(*day: int) -> datetime:
    return datetime(*day, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


# ---- rows

def test_a_row_has_the_values_of_its_line_exactly(reports: Reports, load: Sync, rows: Rows) -> None:
    """Line breaks and quotes in a text, amounts of currencies without decimals and with three, and what is empty."""
    reports.types[SUMMARY]["data_available_end"] = AUGUST
    reports.csv = lambda type, form: HEADER + (
        b'starting_balance,"one\nline, and ""another""",-1200,jpy\r\nactivity,,99999999999999999999999999.125,kwd\n'
        b'payouts,"",0.000000000001,usd\n'
    )
    result = load()

    assert result.tables[TABLE].new == 3
    assert rows("category, description, net_amount, currency, _row") == [
        ("starting_balance", 'one\nline, and "another"', Decimal("-1200"), "jpy", 0),
        ("activity", None, Decimal("99999999999999999999999999.125"), "kwd", 1),
        ("payouts", None, Decimal("0.000000000001"), "usd", 2),
    ]


def test_what_is_noted_of_a_row(load: Sync, rows: Rows) -> None:
    """Whose it is, the interval, the run and its parameters, and when Stripe made it."""
    result = load(end="2026-08-01")
    parameters = {"interval_start": JULY, "interval_end": AUGUST}

    assert rows(
        "_account_id, _interval_start, _interval_end, _report_run_id, _row, _parameters, _deleted, _changed_at, "
        "_dlt_load_id", rest="ORDER BY _row LIMIT 1",
    ) == [(
        "acct_1Reports00000000", utc(2026, 7, 1), utc(2026, 8, 1), "frr_0001", 0,
        json.dumps(parameters, separators=(",", ":")), False, datetime.fromtimestamp(NOW + 60, timezone.utc),
        result.load_ids[-1],
    )]
    assert rows("count(*), count(DISTINCT _dlt_id)", rest="") == [(2, 2)]


def test_columns_have_the_types_of_their_names(reports: Reports, load: Sync, rows: Rows) -> None:
    """Local times have no zone, those in UTC have; days, numbers, flags; an unknown column and metadata are text."""
    type, table = "payout_reconciliation.itemized.5", "report_payout_reconciliation_itemized_5"
    reports.add_type(type, JULY, AUGUST, default_columns=["created", "created_utc"])
    reports.csv = lambda type, form: (
        b"created,created_utc,is_link,card_brand,payment_metadata[order id],activity_start_date,count,brand_new\n"
        b"2026-07-01 02:30:00,2026-07-01 00:30:00,true,visa,A-1,2026-07-02,7,x\n"
    )
    load(table, reports={"timezone": "Europe/Berlin", "columns": ["payment_metadata[order id]"]})

    assert reports.created[0][1] == {
        "interval_start": JULY, "interval_end": AUGUST, "timezone": "Europe/Berlin",
        "columns": ["created", "created_utc", "payment_metadata[order id]"],
    }
    assert rows(
        "created, created_utc, is_link, card_brand, payment_metadata_order_id, activity_start_date, count, brand_new",
        table,
    ) == [(
        datetime(2026, 7, 1, 2, 30), utc(2026, 7, 1, 0, 30), True, "visa", "A-1", datetime(2026, 7, 2).date(), 7, "x",
    )]


def test_what_is_not_of_its_type_is_kept_beside(reports: Reports, load: Sync, rows: Rows) -> None:
    """As text, and the run names the column."""
    lines = b"activity,,1.5,usd\nactivity,,about 3,usd\nactivity,,0.1234567890123,usd\n"
    reports.csv = lambda type, form: HEADER + lines
    result = load(end="2026-08-01")

    assert rows("net_amount, net_amount__v_text") == [
        (Decimal("1.5"), None), (None, "about 3"), (None, "0.1234567890123"),
    ]
    assert result.tables[TABLE].inferred == ["net_amount__v_text"]


@pytest.mark.parametrize(("file", "reason"), [
    (HEADER + b"activity,,1.5\n", "3 values where there are 4 columns"),
    (HEADER + b"activity,\xff,1.5,usd\n", "not UTF-8"),
])
def test_a_file_that_cannot_be_read_whole_is_a_failure(
    reports: Reports, load: Sync, file: bytes, reason: str
) -> None:
    """The table is named, and the interval is read again once Stripe has made another file."""
    reports.csv = lambda type, form: file
    result = load(end="2026-08-01")
    reports.csv = by_interval
    reports.types[SUMMARY]["updated"] = NOW + 1
    again = load(end="2026-08-01")

    assert (result.tables[TABLE].status, again.tables[TABLE].status) == ("failed", "ok")
    assert reason in result.tables[TABLE].reason
    assert again.tables[TABLE].new == 2


def test_a_report_without_rows_is_an_empty_table(reports: Reports, load: Sync, rows: Rows) -> None:
    """With its columns; so is a file without a header."""
    for file in (HEADER, b""):
        reports.csv = lambda type, form, file=file: file
        reports.types[SUMMARY]["updated"] += 7200
        assert load(refresh=TABLE).tables[TABLE].status == "ok"
        assert rows("category") == []


# ---- intervals

def test_months_are_read_as_far_as_there_are_data(reports: Reports, load: Sync, rows: Rows) -> None:
    """From where Stripe has data to where it has no more; the first and the last one are as long as that."""
    reports.types[SUMMARY].update(data_available_start=JULY + 3 * DAY, data_available_end=AUGUST + DAY)
    load()

    assert sorted(reports.created, key=str) == [
        (SUMMARY, {"interval_start": JULY + 3 * DAY, "interval_end": AUGUST}),
        (SUMMARY, {"interval_start": AUGUST, "interval_end": AUGUST + DAY}),
    ]
    assert rows("DISTINCT _interval_start, _interval_end", rest="ORDER BY ALL") == [
        (utc(2026, 7, 1), utc(2026, 8, 1)), (utc(2026, 8, 1), utc(2026, 8, 2)),
    ]


def test_days_between_bounds(reports: Reports, load: Sync) -> None:
    """`end` is no longer wanted, and the day of `start` is read whole."""
    load(start="2026-07-30T12:00:00Z", end="2026-08-02", reports="interval=day")

    assert sorted(words["interval_start"] for _, words in reports.created) == [AUGUST - 2 * DAY, AUGUST - DAY, AUGUST]


def test_a_month_that_was_not_over_is_read_again(reports: Reports, load: Sync, rows: Rows) -> None:
    """Once Stripe has more of it, and then in place of what was read; a month that was over is not."""
    reports.types[SUMMARY]["data_available_end"] = AUGUST + DAY
    load()
    nothing = load()
    reports.types[SUMMARY]["data_available_end"] = SEPTEMBER
    later = load()

    assert (nothing.tables[TABLE].new, later.tables[TABLE].new) == (0, 2)
    assert sorted(words["interval_end"] for _, words in reports.created) == [AUGUST, AUGUST + DAY, SEPTEMBER]
    assert [str(value) for (value,) in rows("net_amount::DECIMAL(20, 2)")] == [
        f"{JULY}.25", f"{AUGUST}.50", f"{AUGUST}.25", f"{SEPTEMBER}.50",
    ]


def test_reading_again_doubles_nothing(reports: Reports, load: Sync, rows: Rows) -> None:
    """The rows are those of the last reading, also where there are fewer of them; the run is not made twice."""
    load()
    before = rows("category, net_amount, _report_run_id")
    load(refresh=TABLE)
    again = rows("category, net_amount, _report_run_id")
    reports.types[SUMMARY]["updated"] = NOW + 1  # Stripe has other data
    reports.csv = lambda type, form: HEADER + b"activity,,7,usd\n"
    load(mode="initial")

    assert before == again
    assert len(reports.created) == 4
    assert rows("category, net_amount, _report_run_id > 'frr_0002'") == [("activity", Decimal(7), True)] * 2


def test_an_interval_that_became_empty_is_emptied(reports: Reports, load: Sync, rows: Rows) -> None:
    """Empty, then full, then empty again; the other month stays."""
    counts = []
    for empty in (True, False, True):
        reports.types[SUMMARY]["updated"] += 7200
        reports.csv = lambda type, form, empty=empty: (
            HEADER if empty and form["interval_start"] == JULY else by_interval(type, form))
        load(refresh=TABLE)
        counts.append(rows("count(*) FILTER (_interval_start < '2026-08-01'), count(*)", rest="")[0])

    assert counts == [(0, 2), (2, 4), (0, 2)]


def test_months_take_the_place_of_days(reports: Reports, load: Sync, rows: Rows) -> None:
    """And days that of months."""
    counts = []
    for unit in ("month", "day", "month"):
        load(end="2026-08-01", reports={"interval": unit})
        counts.append(rows("count(*), count(DISTINCT _interval_start)", rest="")[0])

    assert counts == [(2, 1), (62, 31), (2, 1)]


def test_an_earlier_start_reads_from_there(reports: Reports, load: Sync) -> None:
    """What was left out before; a later one goes on from where the last run ended."""
    load(start="2026-08-01")
    load(start="2026-07-01")
    load(start="2026-08-01")

    # August is the same run of Stripe's, read again
    assert [words["interval_start"] for _, words in reports.created] == [AUGUST, JULY]


def test_other_parameters_are_another_report(reports: Reports, load: Sync, rows: Rows) -> None:
    """It is read from the beginning and takes the place of the rows; a parameter goes to the types that take it."""
    load()
    load(reports={"currency": "eur", "reporting_category": "charge"})

    assert [words.get("currency") for _, words in reports.created] == [None, None, "eur", "eur"]
    assert not any("reporting_category" in words for _, words in reports.created)
    assert rows("DISTINCT _parameters ->> 'currency'", rest="") == [("eur",)]


def test_a_table_that_was_lost_is_read_again(reports: Reports, load: Sync, rows: Rows, tmp_path: Path) -> None:
    """What the state says does not count where the destination has no rows."""
    load()
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        connection.execute(f"DELETE FROM stripe.{TABLE}")
    load()

    assert len(rows()) == 4


def test_an_ending_balance_is_asked_for_by_its_end(reports: Reports, load: Sync, rows: Rows) -> None:
    """Once for each month, as of its end."""
    type = "ending_balance_reconciliation.summary.1"
    reports.add_type(type, JULY, AUGUST + DAY)
    reports.csv = lambda type, form: f"currency,net\nusd,{form['interval_end']}\n".encode()
    load("report_ending_balance_reconciliation_summary_1")

    assert sorted(reports.created, key=str) == [
        (type, {"interval_end": AUGUST}), (type, {"interval_end": AUGUST + DAY}),
    ]
    assert rows("_interval_end, net", "report_ending_balance_reconciliation_summary_1") == [
        (utc(2026, 8, 1), Decimal(AUGUST)), (utc(2026, 8, 2), Decimal(AUGUST + DAY)),
    ]


# ---- payouts

def payout(id: str, created: int, status: str = "completed", automatic: bool = True) -> dict[str, Any]:
    return {"id": id, "object": "payout", "created": created, "automatic": automatic, "reconciliation_status": status}


def test_reports_by_payout_follow_the_payouts(reports: Reports, load: Sync, rows: Rows) -> None:
    """Each automatic one is read once, when Stripe has reconciled it, also one that is older than others by then."""
    type, table = "payout_reconciliation.by_id.summary.1", "report_payout_reconciliation_by_id_summary_1"
    reports.add_type(type, JULY, SEPTEMBER)
    reports.csv = lambda type, form: f"reporting_category,net\ncharge,{form['payout'].removeprefix('po_')}\n".encode()
    reports.payouts = [
        payout("po_0", JULY - 5), payout("po_1", JULY + 5), payout("po_2", JULY + 6, "in_progress"),
        payout("po_3", JULY + 7), payout("po_4", JULY + 8, "not_applicable", automatic=False),
    ]
    load(table, start="2026-07-01")
    reports.payouts[2]["reconciliation_status"] = "completed"
    reports.payouts.append(payout("po_5", JULY + 9))
    load(table, start="2026-07-01")
    load(table, start="2026-07-01")

    asked = [words["payout"] for _, words in reports.created]
    assert (sorted(asked[:2]), sorted(asked[2:])) == (["po_1", "po_3"], ["po_2", "po_5"])
    assert rows("_payout_id, net", table, "ORDER BY ALL") == [(f"po_{n}", Decimal(n)) for n in (1, 2, 3, 5)]
    load(table, start="2026-07-01", refresh=table)
    assert rows("_payout_id, net", table, "ORDER BY ALL") == [(f"po_{n}", Decimal(n)) for n in (1, 2, 3, 5)]


# ---- which reports

def test_a_type_that_the_release_does_not_know_is_loaded(
    reports: Reports, load: Sync, rows: Rows, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """By its name, with the types that its columns have elsewhere; `status` counts its rows."""
    reports.add_type("balance.summary.9", JULY, AUGUST)
    reports.csv = lambda type, form: b"net_amount,created_utc,novelty\n1.50,2026-07-01 00:00:00,new\n"
    result = load("report_balance_summary_9")

    assert result.tables["report_balance_summary_9"].status == "ok"
    assert rows("net_amount, created_utc, novelty", "report_balance_summary_9") == [
        (Decimal("1.5"), utc(2026, 7, 1), "new"),
    ]
    held = status(new_pipeline()).tables
    assert {name: table.rows for name, table in held.items()} == {"report_balance_summary_9": 1}


def test_all_types_load_with_their_columns(reports: Reports, load: Sync, tmp_path: Path) -> None:
    """With each column of the map; the run names what Stripe has besides."""
    for table in REPORT_TABLES:
        assert table.report
        reports.add_type(str(table.report.type), JULY, AUGUST)
    reports.add_type("news.summary.1", JULY, AUGUST)
    reports.payouts = [payout("po_1", JULY)]
    reports.csv = lambda type, form: b"currency,gross\nusd,1.25\n"
    result = load("report_%")

    assert list(result.tables) == [table.name for table in REPORT_TABLES]
    assert {(each.status, each.new) for each in result.tables.values()} == {("ok", 1)}
    assert ["news.summary.1" in note and "`report_news_summary_1`" in note for note in result.notes] == [True]
    assert reports.most_busy <= 4


def test_reports_are_loaded_beside_lists(reports: Reports, load: Sync, rows: Rows) -> None:
    """A run of tables and reports has both, and a later one goes on with both."""
    result = load(f"charges;{TABLE}")
    later = load(f"charges;{TABLE}")

    assert list(result.tables) == ["charges", TABLE]
    assert {each.status for each in (*result.tables.values(), *later.tables.values())} == {"ok"}
    assert (result.tables[TABLE].new, later.tables[TABLE].new, len(rows())) == (4, 0, 4)


def test_a_report_is_a_resource_of_the_source(
    reports: Reports, rows: Rows, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """A pipeline of one's own loads it, and goes on."""
    for _ in range(2):
        new_pipeline().run(stripe_source(tables=TABLE, api_key=KEY, api_base=reports.url))

    assert len(rows()) == 4
    assert len(reports.created) == 2


def test_names_and_patterns_of_reports() -> None:
    """`%` means none of them; a wrong name is no report of a newer release."""
    assert not any(table.report for table in (*select_tables("%"), *select_tables()))
    assert [table.name for table in select_tables("report_payouts_%", "report_payouts_itemized_%")] == [
        "report_payouts_summary_1",
    ]
    with pytest.raises(UnknownTable):
        select_tables("report_nonsense")


# ---- what goes wrong

def test_a_failed_run_says_why_and_others_go_on(reports: Reports, load: Sync, rows: Rows) -> None:
    """What was read before is loaded; the next run makes another report for what failed."""
    reports.add_type("payouts.summary.1", JULY, AUGUST)
    reports.fail = lambda run: (
        "Too much data." if run["report_type"] == SUMMARY and run["parameters"]["interval_start"] == AUGUST else None)
    result = load(f"{TABLE};report_payouts_summary_1")
    reports.fail = lambda run: None
    later = load(f"{TABLE};report_payouts_summary_1")

    assert result.tables[TABLE].status == "failed"
    assert "Too much data." in result.tables[TABLE].reason
    assert result.exit_code == 1
    assert [result.tables[name].new for name in (TABLE, "report_payouts_summary_1")] == [2, 2]
    assert later.tables[TABLE].status == "ok"
    assert len(rows()) == 4


def test_a_test_key_loads_no_report(reports: Reports, load: Sync) -> None:
    """That is no failure, and no run is asked for; nor is it one where Stripe says so of a key of unknown mode."""
    result = load(api_key=f"sk_test_{BODY}")
    refusal = {"error": {"message": "This report needs a live-mode key.", "type": "invalid_request_error"}}
    reports.refuse = lambda method, path: (400, refusal) if method == "POST" else None
    refused = load()

    for each in (result, refused):
        assert (each.tables[TABLE].status, each.tables[TABLE].reason, each.exit_code) == (
            "not loaded", "live mode only", 0)
    assert reports.created == []


def test_each_report_has_its_verdict(reports: Reports, load: Sync) -> None:
    """Also where all of them end at once, in a first run and in a later one."""
    for _ in range(2):
        result = load("report_payouts_%", api_key=f"sk_test_{BODY}")

        assert [each.status for each in result.tables.values()] == ["not loaded"] * 4


def test_a_run_that_never_ends_is_given_up(reports: Reports, load: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some hours; the next run makes another one."""
    reports.polls = 10**9
    with monkeypatch.context() as patch:
        patch.setattr("stripe_source.extract.reports.runs.LONGEST_RUN", -1)
        result = load(end="2026-08-01")
    reports.polls, reports.runs[0]["created"] = 1, NOW - 7 * 3600
    later = load(end="2026-08-01")

    assert result.tables[TABLE].status == "failed"
    assert "`frr_0001` is pending" in result.tables[TABLE].reason
    assert (later.tables[TABLE].status, len(reports.created)) == ("ok", 2)


def test_a_reader_that_breaks_leaves_nobody_waiting(
    reports: Reports, load: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables fail by name."""
    def broken(self: Any, *_: Any) -> None:
        raise OSError("no threads left")

    monkeypatch.setattr("stripe_source.extract.reports.reader._Reading.__post_init__", broken)
    result = load(f"{TABLE};report_payouts_summary_1")

    assert {(each.status, each.reason) for each in result.tables.values()} == {("failed", "OSError: no threads left")}


def test_a_key_without_the_permission(reports: Reports, load: Sync) -> None:
    """The table says so; with the permission the next run loads it."""
    reports.refuse = lambda method, path: (403, {"error": {
        "message": "The provided key does not have the required permissions. Having the "
                   "'rak_report_runs_and_report_types_read' permission would allow this request to continue."}},
    ) if "reporting" in path else None
    result = load()
    reports.refuse = lambda method, path: None

    assert result.tables[TABLE].status == "no permission"
    assert "rak_report_runs_and_report_types_read" in result.tables[TABLE].reason
    assert load().tables[TABLE].new == 4


def test_a_type_that_stripe_does_not_have(load: Sync) -> None:
    """It is not enabled, which is no failure."""
    result = load("report_activity_summary_1")

    assert (result.tables["report_activity_summary_1"].status, result.exit_code) == ("not enabled", 0)


# ---- killed

class Killed(BaseException):
    """What ends a process in the middle."""


def test_a_run_that_is_killed_makes_no_report_twice(
    reports: Reports, load: Sync, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two months by day, killed five times at other places: the rows are those of one reading, and each run is one."""
    from stripe_source.extract.reports.csv_rows import CsvRows

    monkeypatch.setattr("stripe_source.resources.reports.reading.ROWS_PER_LOAD", 10)
    tables, left = CsvRows.tables, [7]

    def interrupted(self: CsvRows) -> Iterator[Any]:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        yield from tables(self)

    monkeypatch.setattr(CsvRows, "tables", interrupted)
    options = {"reports": {"interval": "day"}}
    for number in (7, 8, 9, 11, 6):
        left[0] = number
        with pytest.raises(Killed):
            load(**options)
    left[0] = 0
    load(**options)

    days = [JULY + DAY * number for number in range(62)]
    assert sorted(words["interval_start"] for _, words in reports.created) == days
    found = rows("_interval_start, _row, net_amount")
    assert [(int(start.timestamp()), row, amount) for start, row, amount in found] == [
        pair for day in days
        for pair in ((day, 0, Decimal(day) + Decimal("0.25")), (day, 1, Decimal(day + DAY) + Decimal("0.5")))
    ]


# ---- options

@pytest.mark.parametrize(("options", "word"), [
    ({"reports": {"intervall": "day"}}, "intervall"), ({"reports": "interval=week"}, "week"),
    ({"reports": {"currency": "a b"}}, "a b"), ({"emit": "waevents"}, "waevents"),
    ({"exclude_columns": "description"}, "description"), ({"history": [TABLE]}, TABLE),
    ({"schema_contract": "freeze"}, "freeze"),
])
def test_options_that_a_report_does_not_have_are_refused(load: Sync, options: dict[str, Any], word: str) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidOption, match=word):
        load(**options)


# ---- check, tables

def test_check_says_what_reports_take(reports: Reports) -> None:
    """How many report runs, without making one; a type that Stripe does not have is named, and a test key."""
    def checked(key: str = KEY) -> Any:
        tables = f"{TABLE};report_activity_summary_1;report_payouts_summary_1"
        return check(tables=tables, start="2026-08-30", reports="interval=day", api_key=key, api_base=reports.url)

    reports.add_type("payouts.summary.1", JULY, AUGUST)
    result, test = checked(), checked(f"sk_test_{BODY}")

    assert [(each.status, each.cost) for each in result.tables.values()] == [
        ("not enabled", "one report run per month or day"), ("ok", "2 report runs"), ("ok", "0 report runs"),
    ]
    assert [note for note in result.notes if note.startswith("Reports take 2 report runs")] == result.notes
    assert {(each.status, each.reason) for each in test.tables.values()} == {("not loaded", "live mode only")}
    assert reports.created == []


def test_the_tables_of_reports_are_listed() -> None:
    """By a pattern, with what they are replaced by."""
    listed = {table["name"]: table["key"] for table in list_tables("report_%")}

    assert len(listed) == len(REPORT_TABLES) == 36
    assert listed[TABLE] == ["_account_id", "_interval_start"]
    assert listed["report_payout_reconciliation_by_id_summary_1"] == ["_account_id", "_payout_id"]


def test_a_table_may_be_made_before_it_is_loaded(
    reports: Reports, load: Sync, rows: Rows, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """With its columns, and without a key of rows, as reports have none."""
    schema_migrate(new_pipeline(), tables=TABLE)
    empty = rows()
    load()
    (ddl,) = schema_ddl("duckdb", tables=TABLE)

    assert (empty, len(rows())) == ([], 4)
    assert ddl["key"] == []
    assert "PRIMARY KEY" not in "".join(ddl["sql"])


def test_verify_leaves_reports_out_by_name(
    reports: Reports, load: Sync, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """The tables beside them are compared."""
    load(f"charges;{TABLE}")
    result = verify(new_pipeline(), tables=f"charges;{TABLE}", api_key=KEY, api_base=reports.url)

    assert list(result.tables) == ["charges"]
    assert [note for note in result.notes if TABLE in note] == [
        f"Reports are not compared, as Stripe makes each of them anew: {TABLE}"]


def test_the_command_loads_reports(
    reports: Reports, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a pattern, from a day on, as a person and a program read it; what the key was stays untold."""
    monkeypatch.setenv("STRIPE_API_KEY", KEY)
    words = ["run", "--tables", "report_balance_summary_%", "--exclude", "report_balance_summary_2", "--api-base",
             reports.url, "--start", "2026-08-30", "--reports", "interval=day;timezone=Asia/Tokyo"]
    codes = [main(["check", *words[1:]]), main(words), main([*words, "--json"])]
    out, err = capsys.readouterr()

    assert codes == [0, 0, 0]
    assert "Reports take 2 report runs" in out
    assert f"{TABLE}  4" in out and "4 rows in 1 table" in out
    assert '"status": "ok"' in out
    assert sorted(words["interval_start"] for _, words in reports.created) == [SEPTEMBER - 2 * DAY, SEPTEMBER - DAY]
    assert {words["timezone"] for _, words in reports.created} == {"Asia/Tokyo"}
    assert BODY not in out + err


# ---- destinations

@pytest.mark.parametrize("make", [destinations.postgres, destinations.sqlite], ids=["postgres", "sqlite"])
def test_other_destinations_hold_the_same(reports: Reports, tmp_path: Path, make: Any) -> None:
    """Rows that are read again take the place of others, and an interval that became empty is emptied."""
    folder = tmp_path / "there"
    folder.mkdir()
    with make(folder) as place:
        def load() -> Any:
            pipeline = dlt.pipeline(
                "reports", destination=place.make(), dataset_name=destinations.DATASET,
                pipelines_dir=str(tmp_path / "pipelines"))
            return sync(pipeline, tables=TABLE, api_key=KEY, api_base=reports.url, refresh=TABLE)

        load()
        reports.types[SUMMARY]["updated"] = NOW + 1
        reports.csv = lambda type, form: (
            HEADER if form["interval_start"] == JULY else HEADER + b'activity,"two\nlines",12.125,kwd\n')
        result = load()
        found = [(row["category"], row["description"], Decimal(str(row["net_amount"]))) for row in place.rows(TABLE)]

    assert (result.tables[TABLE].status, result.tables[TABLE].reason) == ("ok", "")
    assert found == [("activity", "two\nlines", Decimal("12.125"))]


def test_a_destination_of_plain_files_takes_no_report(reports: Reports, tmp_path: Path) -> None:
    """It would have rows twice: the table fails by name before Stripe is asked for a report."""
    with destinations.parquet(tmp_path / "there") as place:
        pipeline = dlt.pipeline("reports", destination=place.make(), dataset_name=destinations.DATASET,
                                pipelines_dir=str(tmp_path / "pipelines"))
        result = sync(pipeline, tables=TABLE, api_key=KEY, api_base=reports.url)

    assert result.tables[TABLE].status == "failed"
    assert "deletes and inserts" in result.tables[TABLE].reason
    assert reports.created == []
