"""The sandbox's reports: they add up to the minor unit with its balance transactions, which are summed here slowly."""
from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

import pytest
import stripe
import yaml

from stripe_source import sandbox

FACTS = Path(__file__).resolve().parent.parent.parent / "shared" / "reference" / "stripe_reports.json"
REPORTS = Path(__file__).resolve().parent.parent / "schema_maps" / "reports.yaml"
beside = pytest.mark.skipif(not FACTS.exists(), reason="Stripe's documents are not beside this checkout")
TYPES, RUNS = "/v1/reporting/report_types", "/v1/reporting/report_runs"
PLACES = {"usd": 2, "eur": 2, "gbp": 2, "jpy": 0, "kwd": 3}
HELD = ("usd", "eur", "jpy", "kwd")
PAYOUTS = ("payout", "payout_reversal")
DAY = 86_400
READ = "rak_report_runs_and_report_types_read"
Row = dict[str, str]
Data = dict[str, Any]


class Client:
    """Sends plain HTTP requests to a sandbox.

    Args:
        box: the sandbox.
        changing: whether its objects change; otherwise they are dumped once only.
    """

    def __init__(self, box: sandbox.Sandbox, changing: bool = True) -> None:
        self.box, self.world, self.changing = box, box.world, changing
        self._dump: dict[str, list[sandbox.Truth]] = {}

    def dump(self) -> dict[str, list[sandbox.Truth]]:
        """What the world says that there is."""
        if self.changing or not self._dump:
            self._dump = self.world.dump()
        return self._dump

    def send(
        self, url: str, form: Data | None = None, key: str | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer."""
        body = None if form is None else urlencode(form).encode()
        all_headers = {"Authorization": f"Bearer {key or self.box.api_key}",
                       **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = Request(url if url.startswith("http") else self.box.url + url, body, all_headers)
        try:
            with urlopen(request) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def get(self, url: str) -> Data:
        """The body of an answer that must be 200."""
        status, body, _ = self.send(url)
        assert status == 200, body
        found: Data = json.loads(body)
        return found

    def create(self, report_type: str, form: Data | None = None, **parameters: Any) -> Data:
        """A new run that must be accepted."""
        status, body, _ = self.send(RUNS, {**asked(report_type, **parameters), **(form or {})})
        assert status == 200, body
        found: Data = json.loads(body)
        return found

    def finished(self, run: Data) -> Data:
        """The run, when it is no longer pending."""
        while run["status"] == "pending":
            run = self.get(f"{RUNS}/{run['id']}")
        return run

    def text(self, report_type: str, **parameters: Any) -> str:
        """The file of a report."""
        run = self.finished(self.create(report_type, **parameters))
        status, body, _ = self.send(run["result"]["url"])
        assert (status, len(body)) == (200, run["result"]["size"])
        return body.decode()

    def rows(self, report_type: str, **parameters: Any) -> list[Row]:
        """The rows of a report."""
        return list(csv.DictReader(io.StringIO(self.text(report_type, **parameters), newline="")))

    def available(self) -> tuple[int, int]:
        """From when until when there are data."""
        found = self.get(f"{TYPES}/balance.summary.1")
        return found["data_available_start"], found["data_available_end"]


def asked(report_type: str, **parameters: Any) -> Data:
    """The form of a request for a run."""
    form: Data = {"report_type": report_type}
    for name, value in parameters.items():
        if isinstance(value, (list, tuple)):
            form.update({f"parameters[{name}][{at}]": each for at, each in enumerate(value)})
        else:
            form[f"parameters[{name}]"] = value
    return form


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A live business that holds four currencies; the tests that use it change nothing but the list of runs."""
    world = sandbox.World(scale=0.25, livemode=True, currencies=HELD)
    with sandbox.serve(world=world) as box:
        box.world.reports.polls = 0
        yield Client(box, changing=False)


@pytest.fixture
def fresh() -> Iterator[Client]:
    """A small live business of one's own."""
    with sandbox.serve(world=sandbox.World(scale=0.05, livemode=True)) as box:
        yield Client(box)


@pytest.fixture(scope="module")
def whole(client: Client) -> Data:
    """Parameters for all that there is."""
    start, end = client.available()
    return {"interval_start": start, "interval_end": end}


def major(amount: int, currency: str) -> Decimal:
    """An amount in major units."""
    return Decimal(amount).scaleb(-PLACES[currency])


def seconds(text: str, zone: str = "UTC") -> int:
    """The unix seconds of a time in a report."""
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone)).timestamp())


def truths(client: Client, start: int, end: int) -> list[Data]:
    """The balance transactions of an interval."""
    return [each.object for each in client.dump()["balance_transactions"]
            if start <= each.object["created"] < end]


def amounts(row: Row) -> tuple[Decimal, Decimal, Decimal]:
    """Gross, fee and net of a row."""
    return Decimal(row["gross"]), Decimal(row["fee"]), Decimal(row["net"])


def true_amounts(entry: Data) -> tuple[Decimal, Decimal, Decimal]:
    """Gross, fee and net of a balance transaction."""
    currency = entry["currency"]
    return major(entry["amount"], currency), major(entry["fee"], currency), major(entry["net"], currency)


def summed(rows: list[tuple[str, str, tuple[Decimal, Decimal, Decimal]]]) -> dict[tuple[str, str], list[Decimal]]:
    """Count, gross, fee and net by category and currency."""
    found: dict[tuple[str, str], list[Decimal]] = {}
    for category, currency, values in rows:
        sums = found.setdefault((category, currency), [Decimal(0)] * 4)
        for at, value in enumerate((Decimal(1), *values)):
            sums[at] += value
    return found


def summary(rows: list[Row]) -> dict[tuple[str, str], list[Decimal]]:
    """The same, of the rows of a summary report."""
    return {(row["reporting_category"], row["currency"]): [Decimal(row["count"]), *amounts(row)] for row in rows}


def of_rows(rows: list[Row]) -> dict[tuple[str, str], list[Decimal]]:
    """The same, of the rows of an itemized report."""
    return summed([(row["reporting_category"], row["currency"], amounts(row)) for row in rows])


def of_truths(entries: list[Data]) -> dict[tuple[str, str], list[Decimal]]:
    """The same, of balance transactions."""
    return summed([(each["reporting_category"], each["currency"], true_amounts(each)) for each in entries])


# --- report types


def test_there_are_as_many_report_types_as_stripe_has_for_one_account(client: Client) -> None:
    """All on one page, each of them also by its id."""
    found = client.get(TYPES)

    assert (len(found["data"]), found["has_more"]) == (36, False)
    assert client.get(f"{TYPES}/payouts.itemized.3") == next(
        each for each in found["data"] if each["id"] == "payouts.itemized.3")
    assert {each["version"] for each in found["data"] if each["id"].startswith("payout_reconciliation.itemized")} == {
        1, 2, 3, 4, 5, 6, 7}
    assert client.get(f"{TYPES}/balance.summary.1") == {
        "id": "balance.summary.1", "object": "reporting.report_type", "livemode": True, "version": 1,
        "default_columns": ["category", "description", "net_amount", "currency"],
        "name": "Balance: summary (version 1)", "data_available_start": 1730419200, "data_available_end": 1793534400,
        "updated": 1793534400}


def test_the_list_of_report_types_takes_no_parameters(client: Client) -> None:
    """Neither a limit nor a cursor; an unknown id is 404."""
    for parameter in ("limit=10", "starting_after=balance.summary.1"):
        status, body, _ = client.send(f"{TYPES}?{parameter}")
        assert (status, json.loads(body)["error"]["param"]) == (400, parameter.partition("=")[0])
    assert client.send(f"{TYPES}/balance.summary.9")[0] == 404


def test_columns_are_those_that_stripe_documents(client: Client, whole: Data) -> None:
    """Each report has the header of the schema map, which was written from Stripe's pages by itself, in its order."""
    documented = yaml.safe_load(REPORTS.read_text(encoding="utf-8"))["types"]
    payout = next(iter(client.world.books.payout_transactions))

    assert {each["id"] for each in client.get(TYPES)["data"]} == set(documented)
    for type, names in documented.items():
        only = ["payout"] if ".by_id." in type else ["interval_end"] if type.startswith("ending_") else [
            "interval_start", "interval_end"]
        needed = {name: {**whole, "payout": payout}[name] for name in only}
        if names:
            assert client.text(type, columns=names, **needed).split("\n", 1)[0] == ",".join(names), type


@beside
def test_the_schema_map_and_the_default_columns_are_those_of_the_pages() -> None:
    """Metadata are asked for by key, and in no default."""
    documented = {each["id"]: each for each in json.loads(FACTS.read_text(encoding="utf-8"))["report_types"]
                  if each["scope"] == "own account"}
    mapped = yaml.safe_load(REPORTS.read_text(encoding="utf-8"))["types"]

    assert mapped == {id: [column["name"] for column in each.get("columns") or ()] for id, each in documented.items()}
    with sandbox.serve(world=sandbox.World(seed=3, scale=0, livemode=True)) as box:
        listed = {each["id"]: each["default_columns"] for each in Client(box).get(TYPES)["data"]}
    for id, names in mapped.items():
        plain = [name for name in names if not name.endswith("[key]")]
        assert not names or listed[id] == documented[id].get("default_columns", plain), id


def test_unpublished_columns_are_those_of_the_version_before(client: Client) -> None:
    """Five report types are known by their id only."""
    listed = {each["id"]: each["default_columns"] for each in client.get(TYPES)["data"]}

    for number in (4, 5):
        name = "balance_change_from_activity.itemized."
        assert listed[f"{name}{number}"] == listed[f"{name}3"]
    assert listed["balance.summary.2"] == listed["balance.summary.1"]
    assert listed["payout_reconciliation.itemized.6"][:3] == [
        "automatic_payout_id", "automatic_payout_effective_at", "automatic_payout_effective_at_utc"]
    assert listed["failed_payouts.itemized.2"] == listed["payouts.itemized.3"]


def test_data_are_available_for_each_half_day() -> None:
    """Up to 00:00 and 12:00 UTC; with a lateness, so much later."""
    noon = 1_793_534_400
    world = sandbox.World(livemode=True, empty=True, now=noon)
    world.reports.lateness = 3600

    def end() -> tuple[int, int]:
        found = next(each.object for each in world.dump()["reporting_report_types"])
        return found["data_available_end"], found["updated"]

    assert end() == (noon - 43_200, noon - 39_600)
    world.advance(3599)
    assert end() == (noon - 43_200, noon - 39_600)
    world.advance(1)
    assert end() == (noon, noon + 3600)
    world.advance(10 * DAY)
    assert end() == (noon + 10 * DAY, noon + 10 * DAY + 3600)


def test_report_types_announce_themselves_when_asked_to(fresh: Client) -> None:
    """Stripe sends `reporting.report_type.updated` to those who ask for it: two for each report type and day."""
    world = fresh.world
    world.announce_report_types()
    world.advance(DAY)
    told = [each.object for each in world.dump()["events"] if each.object["type"] == "reporting.report_type.updated"]

    assert Counter((each["data"]["object"]["id"], each["created"]) for each in told) == Counter(
        (each["id"], 1_793_534_400 + half) for each in fresh.get(TYPES)["data"] for half in (43_200, DAY))
    assert all(each["data"]["object"]["data_available_end"] == each["created"] for each in told)


def test_lists_that_lag_show_report_types_at_once(fresh: Client) -> None:
    """They are no news; when their data go further, they say so at once."""
    fresh.world.faults.lag = sandbox.Lag(lists=3600)

    assert len(fresh.get(TYPES)["data"]) == 36
    fresh.world.advance(DAY)
    assert fresh.get(TYPES)["data"][0]["data_available_end"] == fresh.world.now


def test_made_up_report_types_take_the_place_of_the_others() -> None:
    """`populate` fills the table as it fills every other one."""
    world = sandbox.World(scale=0.01)
    before = sum(not each.deleted for each in world.dump()["reporting_report_types"])
    assert "reporting_report_types" not in world.counts()  # every account has them: they are not of the business
    made = world.populate("reporting_report_types", 3)

    living = [each.object for each in world.dump()["reporting_report_types"] if not each.deleted]
    assert (before, world.counts()["reporting_report_types"]) == (36, 3)
    assert sorted(each["id"] for each in living) == sorted(each["id"] for each in made)


# --- the balance family adds up


def test_the_business_has_something_of_everything(client: Client, whole: Data) -> None:
    """Otherwise the tests below would show little."""
    entries = truths(client, whole["interval_start"], whole["interval_end"])

    assert {each["currency"] for each in entries} == set(HELD)
    assert {each["reporting_category"] for each in entries} >= {
        "charge", "refund", "dispute", "dispute_reversal", "payout", "payout_reversal", "topup", "transfer",
        "transfer_reversal"}
    assert {each["currency"] for each in entries if each["type"] == "payout"} == set(HELD)


@pytest.mark.parametrize("version", [1, 2])
def test_balances_are_the_sums_of_the_transactions(client: Client, version: int) -> None:
    """Start, activity, payouts and end, for each currency, in an interval that begins in the middle."""
    _, end = client.available()
    start = end - 100 * DAY - 12_345
    rows = client.rows(f"balance.summary.{version}", interval_start=start, interval_end=end)
    found: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        found.setdefault(row["currency"], {})[row["category"]] = Decimal(row["net_amount"])

    expected: dict[str, dict[str, Decimal]] = {}
    for entry in truths(client, 0, end):
        sums = expected.setdefault(entry["currency"], dict.fromkeys(
            ("starting_balance", "activity", "payouts", "ending_balance"), Decimal(0)))
        net = major(entry["net"], entry["currency"])
        kind = "starting_balance" if entry["created"] < start else (
            "payouts" if entry["reporting_category"] in PAYOUTS else "activity")
        sums[kind] += net
        sums["ending_balance"] += net
    assert found == expected
    for sums in found.values():
        assert sums["starting_balance"] + sums["activity"] + sums["payouts"] == sums["ending_balance"]
    for name in ("starting_balance", "activity", "payouts"):
        assert any(sums[name] for sums in found.values()), name


def test_the_balance_at_the_end_is_that_of_the_account(client: Client, whole: Data) -> None:
    """What the balance object holds, available and pending, without what happened since."""
    funds = client.get("/v1/balance")
    expected: dict[str, int] = {}
    for part in ("available", "pending"):
        for each in funds[part]:
            expected[each["currency"]] = expected.get(each["currency"], 0) + each["amount"]
    for entry in truths(client, whole["interval_end"], 2**62):
        expected[entry["currency"]] -= entry["net"]
    rows = client.rows("balance.summary.1", **whole)

    assert {row["currency"]: Decimal(row["net_amount"]) for row in rows if row["category"] == "ending_balance"} == {
        currency: major(amount, currency) for currency, amount in expected.items()}


@pytest.mark.parametrize("version", range(1, 7))
def test_activity_is_everything_but_payouts(client: Client, whole: Data, version: int) -> None:
    """One row for each balance transaction, with its amounts, its category and its times."""
    rows = client.rows(f"balance_change_from_activity.itemized.{version}", **whole)

    assert Counter((row["balance_transaction_id"], row["currency"], row["reporting_category"], row["source_id"],
                    seconds(row["created_utc"]), seconds(row["available_on_utc"]), *amounts(row))
                   for row in rows) == Counter(
        (each["id"], each["currency"], each["reporting_category"], each["source"], each["created"],
         each["available_on"], *true_amounts(each))
        for each in truths(client, *whole.values()) if each["reporting_category"] not in PAYOUTS)


@pytest.mark.parametrize("version", range(1, 4))
def test_payouts_are_all_payouts(client: Client, whole: Data, version: int) -> None:
    """One row for each, and one for the money that came back where it failed."""
    rows = client.rows(f"payouts.itemized.{version}", **whole)
    payouts = {each.object["id"]: each.object for each in client.dump()["payouts"]}

    assert Counter((row["balance_transaction_id"], row["payout_id"], row["payout_status"], row["currency"],
                    row["reporting_category"], seconds(row["effective_at_utc"]),
                    seconds(row["payout_expected_arrival_date"]), *amounts(row)) for row in rows) == Counter(
        (each["id"], each["source"], payouts[each["source"]]["status"], each["currency"], each["reporting_category"],
         each["created"], payouts[each["source"]]["arrival_date"], *true_amounts(each))
        for each in truths(client, *whole.values()) if each["reporting_category"] in PAYOUTS)


def test_failed_payouts_are_those_whose_money_came_back(client: Client, whole: Data) -> None:
    """With the time when it did."""
    failed = {each.object["id"]: each.object for each in client.dump()["payouts"]
              if each.object["status"] == "failed"}
    rows = client.rows("failed_payouts.itemized.2", **whole)

    assert {row["payout_id"]: (row["balance_transaction_id"], row["payout_reversed_at_utc"]) for row in rows} == {
        id: (payout["failure_balance_transaction"], row_time(client, payout["failure_balance_transaction"]))
        for id, payout in failed.items()}
    assert failed


def row_time(client: Client, transaction: str) -> str:
    """When a balance transaction was created, as reports show it."""
    created = next(each.object["created"] for each in client.dump()["balance_transactions"]
                   if each.object["id"] == transaction)
    return datetime.fromtimestamp(created, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(("report", "itemized"), [
    ("balance_change_from_activity.summary.1", "balance_change_from_activity.itemized.6"),
    ("payouts.summary.1", "payouts.itemized.3"),
    ("payout_reconciliation.summary.1", "payout_reconciliation.itemized.7"),
    ("payout_reconciliation.summary.2", "payout_reconciliation.itemized.1"),
])
def test_summaries_are_the_sums_of_the_rows(client: Client, whole: Data, report: str, itemized: str) -> None:
    """Count, gross, fee and net, for each category and currency; Stripe shows categories with transactions only."""
    found = summary(client.rows(report, **whole))

    assert found == of_rows(client.rows(itemized, **whole))
    assert len(found) > 3


def test_summaries_are_the_sums_of_the_transactions(client: Client, whole: Data) -> None:
    """Without the help of another report."""
    entries = truths(client, *whole.values())
    of_activity, of_payouts = ([each for each in entries if (each["reporting_category"] in PAYOUTS) is wanted]
                               for wanted in (False, True))

    assert summary(client.rows("balance_change_from_activity.summary.1", **whole)) == of_truths(of_activity)
    assert summary(client.rows("activity.summary.1", **whole)) == of_truths(of_activity)
    assert summary(client.rows("payouts.summary.1", **whole)) == of_truths(of_payouts)


def test_days_add_up_to_the_month(client: Client) -> None:
    """Intervals begin with their first second and end before their last one: no row twice, and none lost."""
    first = int(datetime(2026, 10, 1, tzinfo=timezone.utc).timestamp())
    days = [(first + day * DAY, first + (day + 1) * DAY) for day in range(31)]
    month = {"interval_start": first, "interval_end": days[-1][1]}
    for report in ("balance_change_from_activity.itemized.6", "payouts.itemized.3", "payout_reconciliation.itemized.7"):
        daily = [row for start, end in days for row in client.rows(report, interval_start=start, interval_end=end)]
        rows = client.rows(report, **month)

        assert Counter(row["balance_transaction_id"] for row in daily) == Counter(
            row["balance_transaction_id"] for row in rows)
        assert of_rows(daily) == of_rows(rows) != {}
    ends: dict[str, Decimal] = {}
    for start, end in days:
        rows = client.rows("balance.summary.1", interval_start=start, interval_end=end)
        starts = {row["currency"]: Decimal(row["net_amount"]) for row in rows if row["category"] == "starting_balance"}
        assert ends in ({}, starts)
        ends = {row["currency"]: Decimal(row["net_amount"]) for row in rows if row["category"] == "ending_balance"}


def test_an_interval_holds_its_first_second_and_not_its_last(client: Client, whole: Data) -> None:
    """Seen at one transaction."""
    entry = next(each for each in truths(client, *whole.values()) if each["reporting_category"] == "charge")

    def ids(start: int, end: int) -> list[str]:
        rows = client.rows("balance_change_from_activity.itemized.2", interval_start=start, interval_end=end)
        return [row["balance_transaction_id"] for row in rows]

    assert entry["id"] in ids(entry["created"], entry["created"] + 1)
    assert entry["id"] not in ids(entry["created"] - 1, entry["created"])
    assert entry["id"] not in ids(entry["created"] + 1, entry["created"] + 2)


# --- payouts and what they consist of


def payout_members(client: Client) -> dict[str, list[Data]]:
    """The balance transactions of each automatic payout, without its own."""
    found: dict[str, list[Data]] = {}
    for each in client.dump()["payout_balance_transactions"]:
        assert each.parent_id is not None
        if each.object["source"] != each.parent_id or each.object["type"] != "payout":
            found.setdefault(each.parent_id, []).append(each.object)
    return found


@pytest.mark.parametrize("version", range(1, 8))
def test_payouts_consist_of_their_transactions(client: Client, version: int) -> None:
    """The transactions that automatic payouts of the interval settled."""
    _, end = client.available()
    start = end - 200 * DAY
    effective = {each["source"]: each["created"] for each in truths(client, start, end) if each["type"] == "payout"}
    columns = ["automatic_payout_id", "balance_transaction_id", "automatic_payout_effective_at", "gross", "fee", "net"]
    rows = client.rows(
        f"payout_reconciliation.itemized.{version}", interval_start=start, interval_end=end, columns=columns)

    assert Counter((row["automatic_payout_id"], row["balance_transaction_id"],
                    seconds(row["automatic_payout_effective_at"]), *amounts(row)) for row in rows) == Counter(
        (payout, each["id"], effective[payout], *true_amounts(each))
        for payout, members in payout_members(client).items() if payout in effective for each in members)
    assert rows


def test_one_payout_is_the_sum_of_its_transactions(client: Client) -> None:
    """For payouts in three currencies; every version has the same rows."""
    payouts = {each.object["id"]: each.object for each in client.dump()["payouts"]}
    members = payout_members(client)
    chosen = {payouts[id]["currency"]: id for id in members}

    assert set(chosen) == {"usd", "jpy", "kwd"}
    for currency, id in chosen.items():
        rows = client.rows("payout_reconciliation.by_id.summary.1", payout=id)
        assert sum(Decimal(row["net"]) for row in rows) == major(payouts[id]["amount"], currency)
        for version in range(1, 5):
            rows = client.rows(f"payout_reconciliation.by_id.itemized.{version}", payout=id)
            assert Counter((row["balance_transaction_id"], *amounts(row)) for row in rows) == Counter(
                (each["id"], *true_amounts(each)) for each in members[id])


@pytest.mark.parametrize("version", range(1, 5))
def test_the_balance_at_the_end_consists_of_what_was_not_paid_out(client: Client, version: int) -> None:
    """At a time in the past: later payouts change nothing."""
    end = client.available()[1] - 60 * DAY
    rows = client.rows(f"ending_balance_reconciliation.itemized.{version}", interval_end=end)
    balances: dict[str, Decimal] = {}
    for entry in truths(client, 0, end):
        balances[entry["currency"]] = balances.get(entry["currency"], Decimal(0)) + major(
            entry["net"], entry["currency"])
    settled: set[str] = set()
    members = payout_members(client)
    for payout in client.dump()["payouts"]:
        if payout.object["automatic"] and payout.object["created"] < end:
            settled.add(payout.object["balance_transaction"])
            settled |= {each["id"] for each in members.get(payout.object["id"], ())}

    found: dict[str, Decimal] = {}
    for row in rows:
        found[row["currency"]] = found.get(row["currency"], Decimal(0)) + Decimal(row["net"])
    assert {currency: amount for currency, amount in found.items() if amount} == {
        currency: amount for currency, amount in balances.items() if amount}
    assert {row["balance_transaction_id"] for row in rows} == {
        each["id"] for each in truths(client, 0, end) if each["id"] not in settled}
    assert summary(client.rows("ending_balance_reconciliation.summary.1", interval_end=end)) == of_rows(rows)


def test_components_add_up_to_the_net_amounts(client: Client, whole: Data) -> None:
    """Reports for interchange plus pricing split a transaction into its amount and its fee."""
    rows = client.rows("activity.itemized.2", **whole)
    found: dict[str, Decimal] = {}
    for row in rows:
        id = row["balance_transaction_id"]
        found[id] = found.get(id, Decimal(0)) + Decimal(row["amount"])
    keys = Counter((row["balance_transaction_id"], row["balance_transaction_component"], row["fee_id"],
                    row["activity_at"]) for row in rows)

    assert max(keys.values()) == 1
    assert found == {each["id"]: major(each["net"], each["currency"]) for each in truths(client, *whole.values())
                     if each["reporting_category"] not in PAYOUTS}


def test_tax_transactions_have_a_row_for_each_line(fresh: Client) -> None:
    """Lines of the tax transactions of the interval, in major units."""
    fresh.world.populate("tax_transaction_line_items", 4)
    fresh.world.advance(DAY)
    start, end = fresh.available()
    rows = fresh.rows("tax.transactions.itemized.2", interval_start=start, interval_end=end)
    lines = {each.object["id"]: each for each in fresh.dump()["tax_transaction_line_items"]}

    assert {row["line_item_id"]: (row["id"], Decimal(row["tax_amount"])) for row in rows} == {
        id: (each.parent_id, major(each.object["amount_tax"], "usd")) for id, each in lines.items()}
    assert len(lines) == 4


# --- parameters


def test_a_report_of_one_currency_or_category(client: Client, whole: Data) -> None:
    """Only these rows, in every report that takes the parameter."""
    name = "balance_change_from_activity.itemized.6"
    everything = client.rows(name, **whole)

    assert client.rows(name, **whole, currency="kwd") == [row for row in everything if row["currency"] == "kwd"] != []
    assert client.rows(name, **whole, reporting_category="refund", currency="usd") == [
        row for row in everything if (row["currency"], row["reporting_category"]) == ("usd", "refund")] != []
    assert {row["currency"] for row in client.rows("balance.summary.1", **whole, currency="JPY")} == {"jpy"}
    assert client.text(name, **whole, reporting_category="advance").count("\n") == 1


def test_amounts_have_the_decimals_of_their_currency(client: Client, whole: Data) -> None:
    """None in yen, three in dinars; the separator is a point unless asked otherwise."""
    name = "balance_change_from_activity.itemized.3"
    rows = client.rows(name, **whole)
    with_comma = client.rows(name, **whole, decimal_separator=",")

    for row in rows:
        for column in ("gross", "fee", "net"):
            whole_part, _, decimals = row[column].partition(".")
            assert len(decimals) == PLACES[row["currency"]] and whole_part.lstrip("-").isdigit(), row
    assert [row["net"].replace(",", ".") for row in with_comma] == [row["net"] for row in rows]
    assert not any("." in row[column] for row in with_comma for column in ("gross", "fee", "net"))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
def test_times_are_in_the_time_zone_that_was_asked_for(client: Client, whole: Data, zone: str) -> None:
    """Over changes to and from daylight saving; columns that end with `_utc`, and the interval, stay in UTC."""
    name = "balance_change_from_activity.itemized.3"
    plain, rows = client.rows(name, **whole), client.rows(name, **whole, timezone=zone)

    assert len(rows) == len(plain)
    shifts = set()
    for before, row in zip(plain, rows, strict=True):
        assert row["created_utc"] == before["created_utc"] == before["created"]
        local = datetime.fromtimestamp(seconds(row["created_utc"]), ZoneInfo(zone))
        assert row["created"] == local.strftime("%Y-%m-%d %H:%M:%S")
        shifts.add(local.utcoffset())
    assert len(shifts) == (1 if zone == "Asia/Kolkata" else 2)


def test_columns_come_in_the_order_that_was_asked_for(client: Client, whole: Data) -> None:
    """Only these columns; metadata by their key."""
    columns = ["net", "payment_metadata[order]", "balance_transaction_id", "refund_metadata[nothing]"]
    text = client.text("balance_change_from_activity.itemized.6", **whole, columns=columns)
    charges = {each.object["balance_transaction"]: each.object for each in client.dump()["charges"]}
    rows = list(csv.DictReader(io.StringIO(text, newline="")))

    assert text.split("\n", 1)[0] == ",".join(columns)
    for row in rows:
        charge = charges.get(row["balance_transaction_id"])
        if charge is not None:
            assert row["payment_metadata[order]"] == charge["metadata"].get("order", "")
    assert sum(bool(row["payment_metadata[order]"]) for row in rows) > 20


def test_rows_show_what_belongs_to_a_charge(client: Client, whole: Data) -> None:
    """Customer, addresses, card, invoice, subscription and payout, as the objects have them."""
    dump = client.dump()
    tables = {table: {each.object["id"]: each.object for each in dump[table]} for table in (
        "charges", "customers", "invoices", "payouts", "refunds")}
    invoices = {each.object["payment"]["payment_intent"]: each.object["invoice"] for each in dump["invoice_payments"]
                if each.object["payment"].get("payment_intent")}
    rows = [row for row in client.rows("balance_change_from_activity.itemized.3", **whole)
            if row["reporting_category"] == "charge"]

    def shown(value: Any) -> str:
        return "" if value is None else str(value)

    filled = Counter(name for row in rows for name, value in row.items() if value)
    for row in rows:
        charge = tables["charges"][row["source_id"]]
        customer = tables["customers"].get(charge["customer"], {})
        invoice = tables["invoices"].get(invoices.get(charge["payment_intent"], ""), {})
        parent = (invoice.get("parent") or {}).get("subscription_details") or {}
        payout = tables["payouts"].get(row["automatic_payout_id"], {})
        card = charge["payment_method_details"].get("card") or {}
        address, home = charge["billing_details"]["address"], customer.get("address") or {}
        delivery = (customer.get("shipping") or {}).get("address") or {}
        assert row | {name: shown(value) for name, value in {
            "charge_id": charge["id"], "payment_intent_id": charge["payment_intent"],
            "customer_id": charge["customer"], "customer_email": customer.get("email"),
            "customer_name": customer.get("name"), "customer_description": customer.get("description"),
            "customer_address_city": home.get("city"), "customer_address_postal_code": home.get("postal_code"),
            "customer_shipping_address_line1": delivery.get("line1"), "card_address_country": address["country"],
            "invoice_id": invoice.get("id"), "invoice_number": invoice.get("number"),
            "subscription_id": parent.get("subscription"), "description": charge["description"],
            "payment_method_type": charge["payment_method_details"]["type"], "is_link": "false",
            "card_brand": card.get("brand"), "card_funding": card.get("funding"), "card_country": card.get("country"),
            "statement_descriptor": charge["calculated_statement_descriptor"], "trace_id": (
                payout.get("trace_id") or {}).get("value"), "customer_facing_currency": charge["currency"],
            "customer_facing_amount": major(charge["amount_captured"], charge["currency"]),
            "connected_account_id": None,
        }.items()} == row
    for name in ("customer_name", "customer_description", "customer_shipping_address_line1", "invoice_number",
                 "subscription_id", "automatic_payout_id", "trace_id", "card_brand"):
        assert filled[name], name


def test_rows_show_what_belongs_to_refunds_disputes_and_transfers(client: Client, whole: Data) -> None:
    """The charge that was refunded or disputed, and the account that got a transfer."""
    dump = client.dump()
    refunds = {each.object["id"]: each.object for each in dump["refunds"]}
    disputes = {each.object["id"]: each.object for each in dump["disputes"]}
    transfers = {each.object["id"]: each.object for each in dump["transfers"]}
    reversals = {each.object["id"]: each.object for each in dump["transfer_reversals"]}
    counted: Counter[str] = Counter()
    for row in client.rows("balance_change_from_activity.itemized.3", **whole):
        source, category = row["source_id"], row["reporting_category"]
        if category == "refund":
            assert row["charge_id"] == refunds[source]["charge"]
            assert Decimal(row["customer_facing_amount"]) == -major(
                refunds[source]["amount"], refunds[source]["currency"])
        elif category in ("dispute", "dispute_reversal"):
            assert (row["charge_id"], row["dispute_reason"]) == (disputes[source]["charge"], "fraudulent")
            assert (Decimal(row["customer_facing_amount"]) < 0) is (category == "dispute")
        elif category in ("transfer", "transfer_reversal"):
            transfer = transfers[reversals[source]["transfer"] if category == "transfer_reversal" else source]
            assert row["connected_account_id"] == transfer["destination"]
            assert row["connected_account_country"] in ("US", "DE")
        counted[category] += 1
    assert min(counted[name] for name in ("refund", "dispute", "dispute_reversal", "transfer", "transfer_reversal"))


def test_text_with_quotes_and_line_breaks_survives(fresh: Client) -> None:
    """CSV as everybody reads it, in UTF-8."""
    text = 'Zoë said "two,\nthree" — 作業\r\n'
    fresh.world.create("charge", amount=500, currency="usd", description=text)
    fresh.world.advance(DAY)
    start, end = fresh.available()
    rows = fresh.rows("balance_change_from_activity.itemized.1", interval_start=end - DAY, interval_end=end)

    assert text in [row["description"] for row in rows]
    assert start < end


# --- what is refused

_NAME = "balance_change_from_activity.itemized.3"


@pytest.mark.parametrize(("change", "code", "param", "says"), [
    (lambda form: form.pop("report_type"), "parameter_missing", "report_type", "report_type"),
    (lambda form: form.update(report_type="balance.summary.7"), "resource_missing", "report_type", "balance.summary.7"),
    (lambda form: form.update(interval="day"), "parameter_unknown", "interval", "interval"),
    (lambda form: form.update({"parameters[payout]": "po_1"}), "parameter_unknown", "parameters[payout]", "payout"),
    (lambda form: form.update({"parameters[connected_account]": "acct_1"}), "parameter_unknown",
     "parameters[connected_account]", "connected_account"),
    (lambda form: form.pop("parameters[interval_start]"), "parameter_missing", "parameters[interval_start]", "start"),
    (lambda form: form.pop("parameters[interval_end]"), "parameter_missing", "parameters[interval_end]", "end"),
    (lambda form: form.update({"parameters[interval_end]": "soon"}), "parameter_invalid_integer",
     "parameters[interval_end]", "soon"),
    (lambda form: form.update({"parameters[interval_end]": 1793534401}), None, "parameters[interval_end]",
     "2026-11-01T12:00:00Z (1793534400)"),
    (lambda form: form.update({"parameters[interval_start]": 1730419199}), None, "parameters[interval_start]",
     "2024-11-01T00:00:00Z (1730419200)"),
    (lambda form: form.update({"parameters[interval_start]": 1793534400}), None, "parameters[interval_start]",
     "before"),
    (lambda form: form.update({"parameters[columns][0]": "gross", "parameters[columns][1]": "sum"}), None,
     "parameters[columns]", "sum"),
    (lambda form: form.update({"parameters[columns][0]": "payment_metadata[]"}), None, "parameters[columns]", "[]"),
    (lambda form: form.update({"parameters[columns][0]": "net", "parameters[columns][1]": "net"}), None,
     "parameters[columns]", "once"),
    (lambda form: form.update({"parameters[columns]": "net"}), "parameter_invalid_array", "parameters[columns]",
     "array"),
    (lambda form: form.update({"parameters[timezone]": "Mars/Olympus"}), None, "parameters[timezone]", "Mars/Olympus"),
    (lambda form: form.update({"parameters[timezone]": "../etc/passwd"}), None, "parameters[timezone]", "passwd"),
    (lambda form: form.update({"parameters[reporting_category]": "gift"}), None, "parameters[reporting_category]",
     "topup"),
    (lambda form: form.update({"parameters[currency]": "euro"}), None, "parameters[currency]", "euro"),
    (lambda form: form.update({"parameters[decimal_separator]": ";"}), None, "parameters[decimal_separator]", ","),
    (lambda form: form.update({"parameters": "none"}), "parameter_invalid_hash", "parameters", "hash"),
])
def test_wrong_requests_are_refused(
    client: Client, whole: Data, change: Callable[[Data], object], code: str | None, param: str, says: str
) -> None:
    """400 with the parameter; where the interval is too late, the message names the last time that there is."""
    form = asked(_NAME, **whole)
    change(form)
    if form.get("parameters") == "none":
        form = {"report_type": _NAME, "parameters": "none"}
    before = len(client.get(f"{RUNS}?limit=100")["data"])
    status, body, _ = client.send(RUNS, form)
    error = json.loads(body)["error"]

    assert (status, error["type"], error.get("code"), error["param"]) == (400, "invalid_request_error", code, param)
    assert says in error["message"]
    assert len(client.get(f"{RUNS}?limit=100")["data"]) == before


def test_reports_of_payouts_that_cannot_be_taken_apart(client: Client) -> None:
    """Unknown payouts, and those that somebody made: Stripe knows no transactions of them."""
    manual = next(each.object["id"] for each in client.dump()["payouts"] if not each.object["automatic"])
    for payout, code in (("po_gone", "resource_missing"), (manual, None)):
        status, body, _ = client.send(RUNS, asked("payout_reconciliation.by_id.summary.1", payout=payout))
        error = json.loads(body)["error"]
        assert (status, error.get("code"), error["param"]) == (400, code, "parameters[payout]")
        assert payout in error["message"]


def test_a_test_key_runs_no_reports() -> None:
    """It lists report types, and is told to use a live one."""
    with sandbox.serve(world=sandbox.World(scale=0.01)) as box:
        client = Client(box)
        start, end = client.available()
        status, body, _ = client.send(RUNS, asked("balance.summary.1", interval_start=start, interval_end=end))
        error = json.loads(body)["error"]

        assert len(client.get(TYPES)["data"]) == 36
        assert (status, error["type"]) == (400, "invalid_request_error") and "live mode" in error["message"]
        assert client.get(RUNS)["data"] == []


# --- runs


def test_a_run_is_pending_for_some_polls(fresh: Client) -> None:
    """Then it has a file, which lists of files show too, and events tell of both."""
    start, end = fresh.available()
    fresh.world.reports.polls = 3
    run = fresh.create("balance.summary.1", interval_start=start, interval_end=end, timezone="Etc/UTC")
    polls = [fresh.get(f"{RUNS}/{run['id']}") for _ in range(5)]
    told = [each.object for each in fresh.dump()["events"] if each.object["created"] == fresh.world.now][:2]

    assert run == {
        "id": run["id"], "object": "reporting.report_run", "created": fresh.world.now, "error": None, "livemode": True,
        "parameters": {"interval_start": start, "interval_end": end, "timezone": "Etc/UTC"},
        "report_type": "balance.summary.1", "result": None, "status": "pending", "succeeded_at": None}
    assert run["id"].startswith("frr_")
    assert [each["status"] for each in polls] == ["pending"] * 3 + ["succeeded"] * 2
    done = polls[-1]
    assert done == {**run, "status": "succeeded", "succeeded_at": fresh.world.now, "result": done["result"]}
    assert done["result"]["url"] == f"{fresh.box.url}/v1/files/{done['result']['id']}/contents"
    assert (done["result"]["type"], done["result"]["purpose"]) == ("csv", "finance_report_run")
    assert fresh.get(f"/v1/files/{done['result']['id']}") == done["result"]
    assert done["result"] in fresh.get("/v1/files?purpose=finance_report_run")["data"]
    assert [each["type"] for each in told] == ["reporting.report_run.succeeded", "file.created"]
    assert told[0]["data"]["object"] == done and told[1]["data"]["object"] == done["result"]


def test_a_run_is_done_when_time_has_passed(fresh: Client) -> None:
    """Without a poll; lists show it, newest first, by time of creation."""
    start, end = fresh.available()
    fresh.world.reports.seconds = 60
    run = fresh.create("balance.summary.1", interval_start=start, interval_end=end)
    fresh.world.advance(59)
    other = fresh.create("payouts.summary.1", interval_start=start, interval_end=end)

    assert [each["status"] for each in fresh.get(RUNS)["data"]] == ["pending", "pending"]
    fresh.world.advance(1)
    assert [(each["id"], each["status"], each["succeeded_at"]) for each in fresh.get(RUNS)["data"]] == [
        (other["id"], "pending", None), (run["id"], "succeeded", run["created"] + 60)]
    assert [each["id"] for each in fresh.get(f"{RUNS}?created[gt]={run['created']}")["data"]] == [other["id"]]
    assert [each.object["id"] for each in fresh.dump()["reporting_report_runs"]] == [other["id"], run["id"]]


def test_a_run_fails_when_a_test_wants_it_to(fresh: Client) -> None:
    """Once, or for one report type; with the reason, an event and no file."""
    start, end = fresh.available()
    fresh.world.reports.fail("The report is too large.", "payouts.summary.1")
    runs = [fresh.finished(fresh.create(name, interval_start=start, interval_end=end))
            for name in ("balance.summary.1", "payouts.summary.1", "payouts.summary.1")]
    failed = [each.object["data"]["object"] for each in fresh.dump()["events"]
              if each.object["type"] == "reporting.report_run.failed"]

    assert [(run["status"], run["error"]) for run in runs] == [
        ("succeeded", None), ("failed", "The report is too large."), ("succeeded", None)]
    assert failed == [runs[1]] and runs[1]["result"] is None and runs[1]["succeeded_at"] is None


def test_a_request_that_is_sent_again_makes_no_second_run(fresh: Client) -> None:
    """With an idempotency key; without one there are two runs."""
    start, end = fresh.available()
    form = asked("balance.summary.1", interval_start=start, interval_end=end)
    first, second = (json.loads(fresh.send(RUNS, form, Idempotency_Key="one")[1]) for _ in range(2))
    third = json.loads(fresh.send(RUNS, form)[1])

    assert first == second and third["id"] != first["id"]
    assert [each["id"] for each in fresh.get(RUNS)["data"]] == [third["id"], first["id"]]


def test_a_report_leaves_the_business_as_it_is() -> None:
    """The same things happen afterwards, with the same ids."""
    worlds = [sandbox.World(scale=0.05, livemode=True) for _ in range(2)]
    with sandbox.serve(world=worlds[0]) as box:
        client = Client(box)
        start, end = client.available()
        for name in ("balance.summary.1", "activity.itemized.2"):
            client.create(name, interval_start=start, interval_end=end)
    for world in worlds:
        world.reports.seconds = 10**9

    assert worlds[0].live(30) == worlds[1].live(30)
    for table in ("charges", "balance_transactions", "customers"):
        assert worlds[0].dump()[table] == worlds[1].dump()[table]


def test_the_default_business_is_the_same_as_with_more_currencies_in_part() -> None:
    """A world that holds two currencies converts the others; one cannot hold what the sandbox has no fees for."""
    plain, more = sandbox.World(scale=0.2), sandbox.World(scale=0.2, currencies=("usd", "eur", "jpy", "kwd"))

    def held(world: sandbox.World) -> set[str]:
        return {each.object["currency"] for each in world.dump()["balance_transactions"]}

    assert (held(plain), held(more)) == ({"usd", "eur"}, {"usd", "eur", "jpy", "kwd"})
    for wrong in (("usd", "xau"), ("eur", "jpy")):
        with pytest.raises(sandbox.InvalidSetting):
            sandbox.World(scale=0.01, currencies=wrong)


def test_stripes_own_client_runs_reports(fresh: Client) -> None:
    """With its way to send lists and times, and its objects."""
    reporting = stripe.StripeClient(fresh.box.api_key, base_addresses={"api": fresh.box.url}).v1.reporting
    types = {each.id: each for each in reporting.report_types.list().data}
    start = types["payouts.summary.1"].data_available_start
    end = reporting.report_types.retrieve("payouts.summary.1").data_available_end
    run = reporting.report_runs.create({"report_type": "payouts.summary.1", "parameters": {
        "interval_start": start, "interval_end": end, "columns": ["currency", "net"], "timezone": "Europe/Berlin"}})
    while run.status == "pending":
        run = reporting.report_runs.retrieve(run.id)

    assert run.result is not None and run.result.url is not None
    assert run.parameters.columns == ["currency", "net"]
    header, *lines = fresh.send(run.result.url)[1].decode().splitlines()
    sums = of_truths([each for each in truths(fresh, start, end) if each["reporting_category"] in PAYOUTS])
    assert header == "currency,net"
    assert Counter(lines) == Counter(f"{currency},{values[3]}" for (_, currency), values in sums.items())
    assert [each.id for each in reporting.report_runs.list().data] == [run.id]
    with pytest.raises(stripe.InvalidRequestError, match="available until"):
        reporting.report_runs.create({"report_type": "payouts.summary.1", "parameters": {
            "interval_start": start, "interval_end": end + 60}})


# --- files


@pytest.fixture
def file(fresh: Client) -> tuple[Data, bytes]:
    """A file that can be downloaded, and what is in it."""
    start, end = fresh.available()
    run = fresh.finished(fresh.create(_NAME, interval_start=start, interval_end=end))
    return run["result"], fresh.send(run["result"]["url"])[1]


def test_files_need_a_key_that_may_read_them(fresh: Client, file: tuple[Data, bytes]) -> None:
    """One permission suffices for types and runs, another one is needed for files."""
    start, end = fresh.available()
    reader, downloader = (fresh.world.restricted_key(each) for each in ([READ], ["rak_file_read"]))
    form = asked("balance.summary.1", interval_start=start, interval_end=end)

    assert fresh.send(RUNS, form, reader)[0] == fresh.send(TYPES, key=reader)[0] == 200
    assert fresh.send(RUNS, form, downloader)[0] == fresh.send(TYPES, key=downloader)[0] == 403
    assert fresh.send(file[0]["url"], key=reader)[0] == 403
    assert fresh.send(file[0]["url"], key=downloader)[0] == 200
    assert fresh.send(file[0]["url"], key="sk_live_wrong")[0] == 401


def test_files_expire(fresh: Client, file: tuple[Data, bytes]) -> None:
    """404 from the second on that the file names."""
    fresh.world.advance(file[0]["expires_at"] - fresh.world.now - 1)
    assert fresh.send(file[0]["url"])[:2] == (200, file[1])
    fresh.world.advance(1)
    status, body, _ = fresh.send(file[0]["url"])

    assert (status, json.loads(body)["error"]["code"]) == (404, "resource_missing")
    assert fresh.send("/v1/files/file_gone/contents")[0] == 404
    assert fresh.get(f"/v1/files/{file[0]['id']}") == file[0]


def test_files_can_be_read_in_parts(fresh: Client, file: tuple[Data, bytes]) -> None:
    """From a byte on, up to a byte, the last so many; 416 beyond the end."""
    data, content = file
    size = len(content)
    status, body, headers = fresh.send(data["url"], Range="bytes=100-")

    assert (status, body, headers["Content-Range"]) == (206, content[100:], f"bytes 100-{size - 1}/{size}")
    assert fresh.send(data["url"], Range="bytes=5-9")[:2] == (206, content[5:10])
    assert fresh.send(data["url"], Range="bytes=-7")[:2] == (206, content[-7:])
    assert fresh.send(data["url"], Range="bytes=0-999999999")[:2] == (206, content)
    assert fresh.send(data["url"], Range="bytes=5-9", If_Range='"other"')[:2] == (200, content)
    status, _, headers = fresh.send(data["url"], Range=f"bytes={size}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


def test_files_can_be_compressed(fresh: Client, file: tuple[Data, bytes]) -> None:
    """For those who accept gzip; others get plain text."""
    status, body, headers = fresh.send(file[0]["url"], Accept_Encoding="gzip")

    assert (status, headers["Content-Encoding"]) == (200, "gzip") and len(body) < len(file[1]) // 2
    assert gzip.decompress(body) == file[1]
    assert fresh.send(file[0]["url"])[2]["Content-Type"] == "text/csv; charset=utf-8"


def test_files_can_lie_at_another_address(fresh: Client) -> None:
    """As they do at Stripe, so that a client can be tested with a foreign one."""
    start, end = fresh.available()
    fresh.world.reports.files_base = "https://files.example.com"
    run = fresh.finished(fresh.create("balance.summary.1", interval_start=start, interval_end=end))

    assert run["result"]["url"] == f"https://files.example.com/v1/files/{run['result']['id']}/contents"


def test_a_connected_account_has_reports_of_its_own(fresh: Client) -> None:
    """Of its own transactions, with its own runs and files."""
    account = fresh.world.connected[0]
    form = {"report_type": "balance_change_from_activity.summary.1"}
    types = json.loads(fresh.send(TYPES, Stripe_Account=account)[1])["data"]
    form |= {"parameters[interval_start]": types[0]["data_available_start"],
             "parameters[interval_end]": types[0]["data_available_end"]}
    run = json.loads(fresh.send(RUNS, form, Stripe_Account=account)[1])
    while run["status"] == "pending":
        run = json.loads(fresh.send(f"{RUNS}/{run['id']}", Stripe_Account=account)[1])
    url = run["result"]["url"]
    rows = list(csv.DictReader(io.StringIO(fresh.send(url, Stripe_Account=account)[1].decode(), newline="")))
    entries = [each.object for each in fresh.world.dump(account)["balance_transactions"]
               if each.object["created"] < types[0]["data_available_end"]]

    assert summary(rows) == of_truths([each for each in entries if each["reporting_category"] not in PAYOUTS]) != {}
    assert fresh.send(url)[0] == 404
    assert fresh.get(RUNS)["data"] == []


# --- files that tests provide


def test_tests_can_say_what_a_report_answers(fresh: Client) -> None:
    """The given file, or the requested columns of it."""
    start, end = fresh.available()
    content = 'payout_id,net,new_column\npo_1,"1,5","a ""b""\nc"\n'
    fresh.world.reports.answer("payouts.itemized.3", content)

    assert fresh.text("payouts.itemized.3", interval_start=start, interval_end=end) == content
    assert fresh.text("payouts.itemized.3", interval_start=start, interval_end=end, columns=["net", "payout_id"]) == (
        'net,payout_id\n"1,5",po_1\n')


def test_tests_can_add_a_report_type(fresh: Client) -> None:
    """One that nobody knows yet: it is listed, and runs."""
    start, end = fresh.available()
    fresh.world.reports.answer("carbon.itemized.2", b"id,grams\nx,12\n")
    found = fresh.get(f"{TYPES}/carbon.itemized.2")

    assert (found["version"], found["default_columns"]) == (2, ["id", "grams"])
    assert len(fresh.get(TYPES)["data"]) == 37
    assert fresh.text("carbon.itemized.2", interval_start=start, interval_end=end) == "id,grams\nx,12\n"
    assert fresh.send(RUNS, asked("carbon.itemized.2", interval_start=start))[0] == 400
    with pytest.raises(ValueError):
        fresh.world.reports.answer("carbon", "id\n")
