"""The file of a report: where the key goes, what becomes of a cut or expired one, and that nothing of it stays."""
from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from report_server import AUGUST, BODY, JULY, KEY, NOW, Reports, serving

from stripe_source.api.client import API_BASE, Client
from stripe_source.api.credentials import ApiKey
from stripe_source.api.http.download import check_file_url
from stripe_source.api.query import encode
from stripe_source.errors import BrokenAnswer, Redirected, StripeError
from stripe_source.extract.reports.intervals import Cursor, Interval, floor, following, intervals, moved
from stripe_source.load.sync import sync

TABLE = "report_payouts_summary_1"
FILE = b"currency,net\n" + b"".join(b"usd,%d\n" % number for number in range(5_000))
DAY = 86_400


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch, hasty: None, tmp_path: Path) -> None:
    """Nobody waits, and temporary files have a folder of the test."""
    monkeypatch.setattr("stripe_source.extract.reports.runs.FIRST_POLL", 0.005)
    monkeypatch.setattr("stripe_source.api.http.download.FIRST_WAIT", 0.001)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def reports() -> Iterator[Reports]:
    """One month of one report."""
    made = Reports()
    made.add_type("payouts.summary.1", JULY, AUGUST)
    made.csv = lambda type, form: FILE
    with serving(made) as served:
        yield served


@pytest.fixture
def load(reports: Reports, new_pipeline: Callable[..., dlt.Pipeline]) -> Callable[[], Any]:
    """Loads it."""
    return lambda: sync(new_pipeline(), tables=TABLE, api_key=KEY, api_base=reports.url).tables[TABLE]


def stored(tmp_path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(tmp_path / "test.duckdb")) as connection:
        return connection.sql(f"SELECT count(*), sum(net)::BIGINT FROM stripe.{TABLE}").fetchall()


WHOLE = [(5_000, sum(range(5_000)))]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_file_is_read_to_its_end(
    reports: Reports, load: Callable[[], Any], tmp_path: Path, ranges: bool
) -> None:
    """The rest is asked for; where the server has no ranges, the whole of it again."""
    reports.cuts, reports.ranges = [10_000, 5], ranges
    result = load()
    asked = [headers.get("Range") for method, path, headers in reports.requests if "/files/" in path]

    assert (result.status, result.new) == ("ok", 5_000)
    assert stored(tmp_path) == WHOLE
    assert asked == ([None, "bytes=10000-", "bytes=10005-"] if ranges else [None, "bytes=10000-", "bytes=5-"])


def test_a_file_of_another_size_is_none(reports: Reports, load: Callable[[], Any]) -> None:
    """It is asked for some times, and the table fails by name."""
    reports.csv = lambda type, form: FILE if not reports.runs or reports.runs[0]["result"] is None else FILE[:-5]
    result = load()

    assert result.status == "failed"
    assert result.new == 0


def test_an_expired_file_is_made_anew(reports: Reports, load: Callable[[], Any], tmp_path: Path) -> None:
    """By another report run; where each file has expired, the table fails by name."""
    reports.expired = {"file_frr_0001"}
    result = load()

    assert (result.status, len(reports.created)) == ("ok", 2)
    assert stored(tmp_path) == WHOLE


def test_files_that_expire_each_time_are_a_failure(reports: Reports, load: Callable[[], Any]) -> None:
    """After a few of them."""
    reports.expired = {f"file_frr_{number:04}" for number in range(10)}
    result = load()

    assert (result.status, len(reports.created)) == ("failed", 3)
    assert "This file has expired" in result.reason


def test_the_key_goes_to_no_other_host(reports: Reports, load: Callable[[], Any]) -> None:
    """Neither to a URL that the report run names, nor to one that the file redirects to."""
    other = Reports()
    with serving(other):
        reports.file_url = lambda id: f"{other.url}/v1/files/{id}/contents"
        foreign = load()
        reports.file_url, reports.types["payouts.summary.1"]["updated"] = None, NOW + 1
        reports.file_status, reports.file_headers = 302, {"Location": f"{other.url}/elsewhere?{BODY}"}
        redirected = load()

    assert (foreign.status, redirected.status) == ("failed", "failed")
    assert "where the key does not go" in foreign.reason
    assert "redirects to `127.0.0.1`" in redirected.reason
    assert BODY not in foreign.reason + redirected.reason
    assert other.requests == []


@pytest.mark.parametrize("url", [
    "https://files.stripe.com/v1/files/file_1/contents", "https://files.stripe.com:443/v1/files/file_1/contents",
])
def test_stripe_has_its_files_at_one_host(url: str) -> None:
    """Which is another than that of its API."""
    check_file_url(API_BASE, url)


@pytest.mark.parametrize("url", [
    "http://files.stripe.com/x", "https://files.stripe.com.evil.example/x", "https://api.stripe.com/v1/files/x",
    "https://files.stripe.com:444/x", "https://user@files.stripe.com/x", "https://evil.example/files.stripe.com",
    "//files.stripe.com/x", "file:///etc/passwd", "", "https://[", "None",
])
def test_other_hosts_are_refused(url: str) -> None:
    """Whatever looks like it."""
    with pytest.raises(BrokenAnswer):
        check_file_url(API_BASE, url)


def test_nothing_of_a_file_stays(
    reports: Reports, load: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in a folder and a file that nobody else can read, and gone after the run, also after one that failed."""
    from stripe_source.extract.reports.csv_rows import CsvRows

    tables, seen = CsvRows.tables, []

    def noted(self: CsvRows) -> Iterator[Any]:
        seen.append([stat.S_IMODE(os.stat(path).st_mode) for path in (self.path.parent, self.path)])
        yield from tables(self)
        if len(seen) == 2:
            raise RuntimeError("in the middle")

    monkeypatch.setattr(CsvRows, "tables", noted)
    load()
    reports.types["payouts.summary.1"].update(data_available_end=AUGUST + DAY)
    with pytest.raises(Exception, match="in the middle"):
        load()

    assert seen == [[0o700, 0o600]] * 2
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_redirect_is_not_followed_by_the_client(reports: Reports, tmp_path: Path) -> None:
    """Nor is it asked again."""
    reports.file_status, reports.file_headers = 307, {"Location": reports.url}

    async def story() -> StripeError:
        async with Client(ApiKey(KEY), api_base=reports.url) as client:
            with pytest.raises(Redirected) as caught, open(tmp_path / "file", "w+b") as file:
                await client.download(f"{reports.url}/v1/files/file_1/contents", file, None)
            return caught.value

    assert "redirects" in asyncio.run(story()).message
    assert len(reports.requests) == 1


def test_a_run_is_made_once_for_a_key(reports: Reports) -> None:
    """A POST that is sent again has the same idempotency key, and the form that Stripe reads."""
    async def story() -> list[Any]:
        form = {"report_type": "payouts.summary.1", "parameters": {"interval_start": JULY, "columns": ["net", "fee"]}}
        async with Client(ApiKey(KEY), api_base=reports.url) as client:
            return [(await client.create("/v1/reporting/report_runs", form, "key-1")).body["id"] for _ in range(2)]

    assert asyncio.run(story()) == ["frr_0001", "frr_0001"]
    assert reports.created == [("payouts.summary.1", {"interval_start": JULY, "columns": ["net", "fee"]})]
    assert encode({"parameters": {"columns": ["net"]}}) == [("parameters[columns][]", "net")]


# ---- intervals, compared with a calendar

@pytest.mark.parametrize("unit", ["month", "day"])
def test_intervals_cover_what_there_is_without_gap_or_overlap(unit: str) -> None:
    """Read in any portions, whatever the end of the data was meanwhile, they are those of one reading."""
    first, last = JULY + 12_345, JULY + 100 * DAY + 77
    once = list(intervals(unit, (first, last), None, None))
    cursor, seen = None, dict[int, Interval]()
    for end in (JULY + 20_000, JULY + DAY, JULY + 31 * DAY, JULY + 31 * DAY + 1, JULY + 45 * DAY + 9, last, last):
        for interval in intervals(unit, (first, end), None, None, cursor):
            seen[interval.start] = interval
            cursor = moved(cursor, interval, unit)

    assert list(seen.values()) == once
    assert (once[0].low, once[-1].high) == (first, last)
    assert all(before.high == after.low for before, after in pairwise(once))
    assert list(intervals(unit, (first, last), None, None, cursor)) == []


def test_months_begin_where_the_calendar_says() -> None:
    """Also in a leap year."""
    assert floor(1_709_164_799, "month") == 1_706_745_600  # 2024-02-28 23:59:59 -> 2024-02-01
    assert following(1_706_745_600, "month") == 1_709_251_200  # -> 2024-03-01, after 29 days
    assert following(1_709_164_800, "day") == 1_709_251_200


def test_a_cursor_of_another_unit_does_not_count() -> None:
    """A table that was read by month is read by day from its beginning."""
    cursor = Cursor(JULY, AUGUST, AUGUST, "month")

    assert [each.start for each in intervals("day", (JULY, JULY + 2 * DAY), None, None, cursor)] == [JULY, JULY + DAY]
