"""What a user may ask for, and what is said to one who asks for something else."""

from __future__ import annotations

import doctest
import importlib
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import stripe_source
from stripe_source.api.client import API_BASE, API_VERSION, Client
from stripe_source.api.credentials import ApiKey
from stripe_source.api.oauth import OAuth
from stripe_source.errors import (
    ConfigurationError,
    InvalidBounds,
    InvalidOption,
    MissingKey,
    PublishableKey,
    UnknownMarker,
    UnknownTable,
)
from stripe_source.options import DEFAULT_RATE, Options, bounds, check_mode, duration, resolve, unix_time
from stripe_source.tables.markers import check_marker, marker_of
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.selection import match_tables, select_tables
from stripe_source.tables.table import Table

KEY = "sk_test_" + "4" * 24
OWN = Table("things", ("thing",), "Things.", path="/v1/things", created=True)
DEFAULT = [table.name for table in TABLES if table.default]


def names(tables: list[Table]) -> list[str]:
    return [table.name for table in tables]


def options(**given: Any) -> Options:
    return resolve(**{"api_key": KEY, **given})


# ---- tables


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("charges", ["charges"]),
        ("Charges", ["charges"]),
        ("CHARGES", ["charges"]),
        ("InvoiceLineItems", ["invoice_line_items"]),
        ("invoicelineitems", ["invoice_line_items"]),
        ("PaymentIntent", ["payment_intents"]),  # Striim's name is no plural
        ("CheckoutSession", ["checkout_sessions"]),
        ("customer_tax_ids", ["tax_ids"]),
        ("credit_note%", ["credit_note_line_items", "credit_notes"]),
        ("InvoiceLine%", ["discounts", "invoice_line_items"]),  # Striim's InvoiceLineItemDiscounts
        ("%note_line_items", ["credit_note_line_items"]),
        ("pay%ents", ["payment_intents"]),
        ("c%_cards", ["customer_cards"]),
        ("%", names(list(TABLES))),
        ("%%", names(list(TABLES))),
        ("charge", []),
        ("", []),
        ("invoice*", []),
    ],
)
def test_a_pattern_means_tables(pattern: str, expected: list[str]) -> None:
    """Case and underscores do not matter; `%` is any letters, of native names only if the pattern has no capitals."""

    assert names(match_tables(pattern)) == expected


def test_a_pattern_of_many_wildcards_is_no_trap() -> None:
    """`%%%%…x` in a configuration file must not take for ever."""

    assert match_tables("%" * 200 + "xyz") == []


@pytest.mark.parametrize("nothing", [None, "", [], " ", ";", " ; , "])
def test_the_default_selection(nothing: Any) -> None:
    """What an ordinary account uses; tables that ask once per customer are not in it."""

    assert names(select_tables(nothing)) == DEFAULT
    assert "customer_balance_transactions" not in DEFAULT


@pytest.mark.parametrize(
    "asked",
    [
        "invoices;charges",
        "invoices, charges",
        " Charges ;invoices; ",
        ["invoices", "charges"],
        ("Charges", "invoices", "charges"),
    ],
)
def test_tables_come_in_the_order_of_the_registry(asked: Any) -> None:
    """However they were asked for, and each once."""

    assert names(select_tables(asked)) == ["charges", "invoices"]


def test_exclude_takes_out() -> None:
    """By name, alias or pattern, of the default selection too."""

    assert names(select_tables("payout%;payment_intents", "Payouts;payment_methods")) == [
        "payment_intents", "payout_balance_transactions"
    ]
    assert names(select_tables(exclude="charges")) == [name for name in DEFAULT if name != "charges"]
    assert names(select_tables("charges;refunds", [BY_NAME["refunds"]])) == ["charges"]


def test_excluding_everything_is_refused() -> None:
    """A run of nothing is a mistake."""
    with pytest.raises(InvalidOption, match="It leaves no table") as caught:
        select_tables("charges", "%")

    assert (caught.value.option, caught.value.value) == ("exclude", "%")


@pytest.mark.parametrize(
    ("asked", "suggestion"),
    [
        ("charge", "charges"),
        ("invoiceitem", "invoice_items"),
        ("PaymentIntnet", "payment_intents"),
        ("Cradit_Notes", "credit_notes"),
    ],
)
@pytest.mark.parametrize("option", ["tables", "exclude"])
def test_an_unknown_table_is_refused_with_a_suggestion(option: str, asked: str, suggestion: str) -> None:
    """The whole registry is one command away."""
    with pytest.raises(UnknownTable) as caught:
        select_tables(**{option: ["charges", asked]})  # type: ignore[arg-type]  # either of two options

    assert caught.value.suggestion == suggestion
    assert str(caught.value) == (
        f"Unknown table `{asked}`. Did you mean `{suggestion}`? Run `stripe-source tables` to list all {len(TABLES)}."
    )


def test_an_unknown_pattern_is_refused() -> None:
    """Also where the rest of the list means something."""
    with pytest.raises(UnknownTable, match="`zebra%`"):
        select_tables("charges;zebra%")


def test_a_table_of_ones_own() -> None:
    """It comes last, counts for patterns, and takes the place of ours of the same name."""
    charges = Table("charges", ("charge",), "Charges with a twist.", path="/v1/charges")

    assert select_tables([OWN, "charges"]) == [BY_NAME["charges"], OWN]
    assert names(select_tables([OWN, "%"], "charges")) == [*(t.name for t in TABLES if t.name != "charges"), "things"]
    assert names(select_tables([OWN, "charges"], "thing%")) == ["charges"]
    assert select_tables([charges, "refunds"]) == [BY_NAME["refunds"], charges]
    assert select_tables([BY_NAME["charges"]]) == [BY_NAME["charges"]]


# ---- markers


@pytest.mark.parametrize(
    ("table", "marker", "expected"),
    [
        ("charges", "auto", BY_NAME["charges"].marker),
        ("balance_transactions", "auto", "events"),
        ("charges", "created", "created"),
        ("charges", "Created", "created"),
        ("charges", "id", "id"),
        ("charges", None, None),
        ("charges", "none", None),
        ("charges", "", None),
        ("payment_methods", "created", None),  # its list has no such filter
        ("balance_available", "id", None),
        ("invoice_line_items", "created", "parents"),
        ("invoice_line_items", "id", "parents"),
        ("invoice_line_items", None, None),
        ("charges", {}, BY_NAME["charges"].marker),
        ("charges", {"%": "created"}, "created"),
        ("charges", {"%": "created", "charges": None}, None),
        ("charges", {"charges": None, "%": "created"}, None),
        ("charges", {"c%": "id", "%": "created", "ch%": None}, None),
        ("charges", {"Charges": "id", "%": None}, "id"),
        ("charges", {"refunds": "id"}, BY_NAME["charges"].marker),
        ("payment_methods", {"pay%": "created"}, None),
        ("payment_methods", "events", "events"),
        ("webhook_endpoints", "events", None),
    ],
)
def test_the_marker_of_a_table(table: str, marker: Any, expected: str | None) -> None:
    """The most exact pattern wins; what a table cannot go by it is not asked to by a pattern."""

    assert marker_of(BY_NAME[table], marker) == expected


@pytest.mark.parametrize(
    ("table", "marker"),
    [
        ("payment_methods", "created"), ("balance_available", "id"), ("balance_pending", "created"),
        ("webhook_endpoints", "events"),
    ],
)
def test_a_marker_that_a_named_table_cannot_go_by_is_refused(table: str, marker: str) -> None:
    """Whoever writes the very name means it."""
    with pytest.raises(UnknownMarker, match=f"for table `{table}`") as caught:
        marker_of(BY_NAME[table], {table: marker, "%": None})

    assert f"`{marker}`" not in str(caught.value).split("Known:")[1]


@pytest.mark.parametrize("marker", ["updated", "createed", 5, {"charges": "updated"}, {"%": 1}])
def test_an_unknown_marker_is_refused(marker: Any) -> None:
    """For every table, with what there is."""
    with pytest.raises(UnknownMarker, match="Known: "):
        marker_of(BY_NAME["charges"], marker)


def test_markers_of_all_tables() -> None:
    """Private tables may be named in the mapping; names of nothing are mistakes."""
    tables = [BY_NAME["charges"], BY_NAME["customers"], OWN]

    assert check_marker({"customers": None, "things": "id", "%": "created"}, tables) == {
        "charges": "created",
        "customers": None,
        "things": "id",
    }
    assert check_marker({"refunds": "id"}, tables) == check_marker("auto", tables)
    with pytest.raises(UnknownTable, match="Did you mean `customers`"):
        check_marker({"customer": None}, tables)


# ---- times and durations


PARIS = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (0, 0),
        (1_700_000_000, 1_700_000_000),
        ("1700000000", 1_700_000_000),
        (" 1700000000\n", 1_700_000_000),
        (1_700_000_000.0, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_001),
        (-5, -5),
        (date(2024, 1, 1), 1_704_067_200),
        ("2024-01-01", 1_704_067_200),
        ("2024-01-01T00:00:00Z", 1_704_067_200),
        ("2024-01-01 00:00:00", 1_704_067_200),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200),
        (datetime(2024, 1, 1), 1_704_067_200),
        (datetime(2024, 1, 1, 2, tzinfo=PARIS), 1_704_067_200),
        (datetime(2024, 1, 1, 0, 0, 0, 1), 1_704_067_201),
    ],
)
def test_times_are_unix_seconds_and_utc(value: Any, expected: int | None) -> None:
    """`created` is whole seconds, so a bound between two is the later of them."""

    assert unix_time(value, "start") == expected
    assert unix_time(value, "end") == expected


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2024-13-01",
        "12:00",
        True,
        float("nan"),
        float("inf"),
        1_700_000_000_000,
        "1700000000000",
        [],
        b"2024",
    ],
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    """Milliseconds too, which would otherwise bound nothing."""
    with pytest.raises(InvalidBounds, match="`end` is no time") as caught:
        unix_time(value, "end")

    assert f"`end` is `{value}`" in str(caught.value)


def test_bounds() -> None:
    """`start` is in, `end` is out, so they must differ."""

    assert bounds("2024-01-01", date(2024, 1, 2)) == (1_704_067_200, 1_704_153_600)
    assert bounds(None, 5) == (None, 5)
    for start, end in (("2024-01-02", "2024-01-01"), (5, 5)):
        with pytest.raises(InvalidBounds, match="`start` must be before `end`"):
            bounds(start, end)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        (90, 90),
        (90.0, 90),
        (0.5, 1),
        ("90s", 90),
        ("10m", 600),
        (" 10 m ", 600),
        ("2h", 7200),
        ("15d", 1_296_000),
        ("1w", 604_800),
        ("0", 0),
        (timedelta(minutes=10), 600),
        (timedelta(milliseconds=1), 1),
    ],
)
def test_durations(value: Any, seconds: int) -> None:
    """A lookback is never shorter than what was asked for."""

    assert duration(value, "lookback") == seconds


@pytest.mark.parametrize(
    "value",
    ["", "ten minutes", "10M", "1.5h", "-5m", -5, "5y", True, timedelta(seconds=-1), float("inf"), "9999999999w"],
)
def test_what_is_no_duration_is_refused(value: Any) -> None:
    """With the way to write one."""
    with pytest.raises(InvalidOption, match="Write a number and a unit") as caught:
        duration(value, "lookback")

    assert caught.value.option == "lookback"


# ---- all together


def test_defaults() -> None:
    """Nothing but a key is needed."""
    found = options()

    assert names(found.tables) == DEFAULT
    assert found.markers == {table.name: table.marker for table in TABLES if table.default}
    assert (found.mode, found.start, found.end, found.deletes, found.lookback) == ("auto", None, None, "soft", 600)
    assert (found.account_id, found.api_base, found.api_version) == (None, API_BASE, API_VERSION)
    assert (found.governor.rate, found.refresh) == (0.5, frozenset())
    assert isinstance(found.client(), Client)


def test_an_option_that_is_given_is_kept() -> None:
    """Through the same checks as alone."""
    found = options(
        tables="charges;refunds",
        mode="initial",
        marker={"charges": "id"},
        start="2024-01-01",
        end="2024-02-01",
        deletes="hard",
        lookback="1h",
        account_id="acct_1",
        api_base="https://stripe.example",
        api_version="2024-06-20",
        rate=0.25,
        refresh="refund%",
    )

    assert found.markers == {"charges": "id", "refunds": BY_NAME["refunds"].marker}
    assert (found.start, found.end, found.lookback) == (1_704_067_200, 1_706_745_600, 3600)
    assert (found.mode, found.deletes, found.account_id, found.api_version) == (
        "initial",
        "hard",
        "acct_1",
        "2024-06-20",
    )
    assert (found.governor.rate, found.refresh) == (0.25, frozenset({"refunds"}))
    assert found.again(BY_NAME["charges"])


def test_refresh_reads_one_table_again() -> None:
    """The others go on; it must be one that is loaded."""
    found = options(tables="charges;refunds", refresh=["Charges"])

    assert [found.again(table) for table in found.tables] == [True, False]
    with pytest.raises(UnknownTable, match="`payouts`"):
        options(tables="charges;refunds", refresh="payouts")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "full"),
        ("mode", None),
        ("deletes", "none"),
        ("deletes", ["soft"]),
        ("schema_map", "no_such_map"),
        ("emit", "objects"),
        ("rate", 0),
        ("rate", 1.5),
        ("rate", -1),
        ("lookback", "soon"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused(option: str, value: Any) -> None:
    """By name, with the value."""
    with pytest.raises(InvalidOption) as caught:
        options(**{option: value})

    assert (caught.value.option, caught.value.value) == (option, str(value))


def test_modes() -> None:
    """There are three."""

    assert [check_mode(mode) for mode in ("initial", "incremental", "auto")] == ["initial", "incremental", "auto"]
    with pytest.raises(InvalidOption, match="Did you mean `incremental`"):
        check_mode("incremntal")


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:12111"])
def test_a_loopback_address_gets_no_limit_unless_one_is_asked_for(base: str) -> None:
    """A sandbox is as fast as it is; the same number as the default is a choice all the same."""

    assert options(api_base=base).governor.rate is None
    assert options(api_base=base, rate=0.5).governor.rate == 0.5
    assert options(api_base=base, rate=DEFAULT_RATE).governor.rate is None
    assert options(rate=None).governor.rate is None


def test_keys() -> None:
    """A key, an object that makes headers, or OAuth; the key is first."""
    ready = ApiKey(KEY)
    oauth = {"client_id": "ca_1", "client_secret": KEY, "refresh_token": "rt_" + "1" * 20, "oauth_file": "app"}

    assert options().credentials.livemode is False
    assert options(api_key=ready).credentials is ready
    assert options(api_key="rk_live_" + "5" * 24).credentials.livemode is True
    assert isinstance(options(**oauth).credentials, ApiKey)
    assert isinstance(resolve(**oauth).credentials, OAuth)  # type: ignore[arg-type]
    assert isinstance(resolve(**oauth, api_key="").credentials, OAuth)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{}, {"api_key": ""}, {"api_key": " "}, {"client_id": "ca_1", "refresh_token": "rt_1"}]
)
def test_without_a_key_nothing_is_asked(given: dict[str, str]) -> None:
    """Half an OAuth is none."""
    with pytest.raises(MissingKey):
        resolve(**given)  # type: ignore[arg-type]


def test_a_key_is_in_no_message() -> None:
    """Whatever else is wrong, and wherever it was put by mistake."""
    with pytest.raises(PublishableKey) as publishable:
        resolve(api_key="pk_test_" + "4" * 24)
    shown = [str(publishable.value), repr(options())]
    for option in (
        "tables",
        "exclude",
        "mode",
        "deletes",
        "marker",
        "start",
        "lookback",
        "schema_map",
        "emit",
        "accounts",
    ):
        with pytest.raises(ConfigurationError) as caught:
            options(**{option: KEY})
        shown.append(str(caught.value) + repr(caught.value))

    assert [text for text in shown if "4444" in text] == []


def modules_with_examples() -> list[str]:
    root = Path(stripe_source.__file__).parent
    return sorted(
        ".".join(file.relative_to(root.parent).with_suffix("").parts)
        for file in root.rglob("*.py") if ">>> " in file.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_in_docstrings_run(module: str) -> None:
    """They are documentation, so they are right."""
    results = doctest.testmod(importlib.import_module(module))

    assert results.failed == 0
    assert results.attempted > 0


def test_one_key_has_one_governor_in_a_process() -> None:
    """Two pipelines with one key do not go twice as fast; another key, mode or share is none of their business."""
    def governor(key: str, rate: float | None = 0.5) -> Any:
        return resolve(api_key=key, rate=rate).governor

    one = governor("sk_live_aaaaaaaaaaaaaaaaaaaaaaaa")

    assert governor("sk_live_aaaaaaaaaaaaaaaaaaaaaaaa") is one
    assert governor("sk_live_bbbbbbbbbbbbbbbbbbbbbbbb") is not one
    assert governor("sk_live_aaaaaaaaaaaaaaaaaaaaaaaa", 0.25) is not one
