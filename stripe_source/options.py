"""What a user may ask for: names of tables, markers, bounds and durations, checked before anything is read."""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta, timezone
from typing import Any, Literal

from stripe_source.api.client import API_BASE, API_VERSION, Client
from stripe_source.api.credentials import ApiKey, Credentials, Secret, is_loopback
from stripe_source.api.oauth import OAuth
from stripe_source.api.rate_limits import Governor, governor
from stripe_source.arrow_rows.contract import ANYTHING, Contract, contract_of
from stripe_source.arrow_rows.masking.masks import NO_MASKS, Masks
from stripe_source.arrow_rows.masking.words import masks_of, notes_on
from stripe_source.errors import InvalidBounds, InvalidOption, MissingKey
from stripe_source.tables.markers import Marker, check_marker
from stripe_source.tables.schema_map import TableMap, table_map
from stripe_source.tables.selection import Tables, select_tables
from stripe_source.tables.table import Table

When = datetime | date | str | int | float | None
MODES = ("initial", "incremental", "auto")
DELETES = ("soft", "hard")
EMITS = ("rows", "waevents")
INTERVALS = ("month", "day")
DEFAULT_RATE = float("0.5")  # compared by identity: where nobody chose a rate, a loopback address gets none
_FIRST, _LAST = -62135596800, 253402300799  # unix seconds of the years 1 to 9999; milliseconds are far beyond
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def check_mode(mode: str) -> str:
    """The mode, if there is such a one.

    Raises:
        InvalidOption: there is none.
    """
    if mode not in MODES:
        raise InvalidOption("mode", mode, MODES)
    return mode


def unix_time(value: When, option: Literal["start", "end"]) -> int | None:
    """Unix seconds of a datetime, a date, ISO text or unix seconds. Without a time zone it is UTC.

    Raises:
        InvalidBounds: it is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{9,11}", value.strip()):
        value = int(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", value.strip()))
        except ValueError:
            raise InvalidBounds(f"`{option}` is no time", **{option: value}) from None
    seconds: float = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, datetime):
        seconds = (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    elif isinstance(value, date):
        seconds = datetime(value.year, value.month, value.day, tzinfo=timezone.utc).timestamp()
    if not _FIRST <= seconds <= _LAST:
        raise InvalidBounds(f"`{option}` is no time", **{option: value})
    return math.ceil(seconds)  # `created` is whole seconds: 12:00:00 is before 12:00:00.5, and 12:00:01 is after it


def bounds(start: When, end: When) -> tuple[int | None, int | None]:
    """The options `start` (inclusive) and `end` (exclusive) as unix seconds.

    Raises:
        InvalidBounds: one is no time, or `start` is not before `end`.
    """
    low, high = unix_time(start, "start"), unix_time(end, "end")
    if low is not None and high is not None and low >= high:
        raise InvalidBounds("`start` must be before `end`", start=start, end=end)
    return low, high


def duration(value: str | int | float | timedelta, option: str) -> int:
    """Seconds of a duration: `90`, `"90s"`, `"10m"`, `"2h"`, `"15d"`, `"1w"` or a timedelta.

    >>> duration("10m", "lookback")
    600
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, float) and math.isfinite(value):
        value = math.ceil(value)
    match = re.fullmatch(r"\s*(\d{1,9})\s*([smhdw]?)\s*", str(value))
    if not match:
        raise InvalidOption(option, value, reason="Write a number and a unit, like `30s`, `10m`, `2h`, `15d`.")
    return int(match[1]) * _UNITS[match[2] or "s"]


@dataclass(frozen=True)
class ReportOptions:
    """The option `reports`: what Stripe's financial reports are asked for.

    Args:
        interval: "month" or "day": what one report run is about.
        timezone: name of the zone of the times that are not UTC, as in the database of time zones; None: Stripe's
            default, UTC.
        columns: further columns beside Stripe's default ones, such as `payment_metadata[order_id]`; `all` among them
            stands for all that this release knows.
        currency: of the rows that are wanted.
        reporting_category: likewise.
        connected_account: likewise, in reports on connected accounts.
        payout: the one payout that reports by payout are about; None: all of them.
    """

    interval: str = "month"
    timezone: str | None = None
    columns: tuple[str, ...] = ()
    currency: str | None = None
    reporting_category: str | None = None
    connected_account: str | None = None
    payout: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | str | None) -> ReportOptions:
        """The options of a mapping, or of a text such as `interval=day;currency=eur;columns=gross,net`.

        Raises:
            InvalidOption: there is no such option, or it cannot have that value.
        """
        if isinstance(given, str):
            pairs = [part.partition("=") for part in given.split(";") if part.strip()]
            given = {name.strip(): value.strip() for name, _, value in pairs}
        known = [each.name for each in fields(cls)]
        values = dict(given or {})
        for name, value in values.items():
            if name not in known:
                raise InvalidOption("reports", name, known)
            if name == "columns":
                words = value.split(",") if isinstance(value, str) else value
                values[name] = tuple(dict.fromkeys(str(word).strip() for word in words or ()))
            elif value is not None and not (isinstance(value, str) and re.fullmatch(r"[\w/+-]+", value)):
                raise InvalidOption(f"reports[{name}]", value, reason="It is a name, an id or a code.")
        if values.get("interval", "month") not in INTERVALS:
            raise InvalidOption("reports[interval]", values["interval"], INTERVALS)
        return cls(**values)


@dataclass
class Options:
    """The options of `stripe_source`, resolved and checked.

    `tables` has no financial reports; these are `reports`, asked for as `report_options` says.
    """

    tables: list[Table]
    mode: str
    markers: dict[str, str | None]
    start: int | None
    end: int | None
    deletes: str
    lookback: int
    account_id: str | None
    credentials: Credentials
    api_base: str
    api_version: str
    governor: Governor
    refresh: frozenset[str] = frozenset()
    history: frozenset[str] = frozenset()
    contract: Contract = ANYTHING
    resync: int | None = None
    include_secrets: bool = False
    emit: str = "rows"
    masks: Masks = NO_MASKS
    notes: list[str] = field(default_factory=list)  # what a person should know of these options
    row_steps: Mapping[str, Sequence[Callable[[Any], Any]]] = field(default_factory=dict)
    # ^ by table: functions that a user has given to its resource
    reports: list[Table] = field(default_factory=list)
    report_options: ReportOptions = ReportOptions()

    def shape(self, table: Table) -> TableMap:
        """The map of a table as it is loaded: without what is left out, and with hashes as text."""
        return self.masks.of(table).shape if self.masks else table_map(table)

    def again(self, table: Table) -> bool:
        """Whether a table is read from the beginning, whatever its cursor."""
        return self.mode == "initial" or table.name in self.refresh

    def client(self) -> Client:
        """A client for these options. Open it with `async with`."""
        return Client(
            self.credentials, api_base=self.api_base, api_version=self.api_version, account=self.account_id,
            include_secrets=self.include_secrets, governor=self.governor,
        )


def credentials(
    api_key: str | Credentials | None,
    client_id: str | None,
    client_secret: str | None,
    refresh_token: str | None,
    api_base: str,
    oauth_file: str | None = None,
) -> Credentials:
    """The credentials that are given: a key, or a Stripe App's OAuth.

    Raises:
        MissingKey: there is neither, or a part of OAuth is missing.
        MalformedKey: what is given is no key.
        PublishableKey: the key cannot read.
        InvalidOption: nobody would keep the next refresh token.
    """
    if isinstance(api_key, (ApiKey, OAuth)):
        if isinstance(api_key, OAuth) and not api_key.keeps_tokens:
            raise InvalidOption("on_rotate", None, reason=_ONCE.format("`OAuth(..., on_rotate=save)` or `file=`"))
        return api_key
    if client_id and client_secret and (refresh_token or oauth_file) and not api_key:
        if not oauth_file:
            raise InvalidOption("oauth_file", None, reason=_ONCE.format(
                "a path as `oauth_file`, where it is kept with mode 0600, or in Python an object "
                "`stripe_source.api.oauth.OAuth(..., on_rotate=save)` as `api_key`"))
        url = f"{api_base.rstrip('/')}/v1/oauth/token"
        return OAuth(client_id, client_secret, refresh_token or "", url, file=oauth_file)
    if api_key is None:
        raise MissingKey()
    return ApiKey(api_key if isinstance(api_key, Secret) else str(api_key))


_ONCE = (
    "A Stripe App's refresh token works once: Stripe answers with a new one, which nobody would keep for the next run, "
    "and so the configured one was not spent. Give {}."
)


def resolve(
    *,
    tables: Tables = None,
    exclude: Tables = None,
    mode: str = "auto",
    marker: Marker = "auto",
    start: When = None,
    end: When = None,
    deletes: str = "soft",
    lookback: str | int | float | timedelta = "10m",
    schema_map: str = "stripe",
    emit: str = "rows",
    accounts: Any = None,
    rate: float | None = DEFAULT_RATE,
    api_key: str | Credentials | None = None,
    account_id: str | None = None,
    api_base: str = API_BASE,
    api_version: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    refresh_token: str | None = None,
    oauth_file: str | None = None,
    refresh: Tables = None,
    history: Tables = None,
    schema_contract: Any = None,
    resync: str | int | float | timedelta | None = "30d",
    include_secrets: bool = False,
    exclude_columns: Any = None,
    hash_columns: Any = None,
    hash_salt: str | None = None,
    reports: Mapping[str, Any] | str | None = None,
    check_columns: bool = True,
) -> Options:  # long: it has an option a line
    """Check all options of `stripe_source` before anything is read.

    With `check_columns` also that columns which are left out or hashed are columns of the selected tables.

    Raises:
        ConfigurationError: one of its kinds; it names the option, the value and what to do.
    """
    everything = select_tables(tables, exclude)
    selected, of_reports = [[each for each in everything if bool(each.report) is kind] for kind in (False, True)]
    low, high = bounds(start, end)
    for option, value, known in (
        ("deletes", deletes, DELETES), ("schema_map", schema_map, ("stripe",)), ("emit", emit, EMITS),
        ("accounts", accounts, (None,)), ("include_secrets", include_secrets, (False, True)),
    ):
        if value not in known:
            raise InvalidOption(option, value, known)
    if emit == "waevents" and (exclude_columns or hash_columns):
        raise InvalidOption("emit", emit, reason=(
            "WAEvents also show values as they were before, which `exclude_columns` and `hash_columns` do not reach. "
            "Load either without the other."))
    if of_reports:
        _refuse_for_reports(
            of_reports, history, emit=None if emit == "rows" else emit, exclude_columns=exclude_columns,
            hash_columns=hash_columns, schema_contract=None if schema_contract == "evolve" else schema_contract)
    masks = masks_of(exclude_columns, hash_columns, hash_salt, selected, check=check_columns)
    given_credentials = credentials(api_key, client_id, client_secret, refresh_token, api_base, oauth_file)
    if rate is DEFAULT_RATE and is_loopback(api_base):
        rate = None
    return Options(
        tables=selected, mode=check_mode(mode), markers=check_marker(marker, selected), start=low, end=high,
        deletes=deletes, lookback=duration(lookback, "lookback"), account_id=account_id, credentials=given_credentials,
        api_base=api_base, api_version=api_version or API_VERSION,
        governor=governor(rate, given_credentials.livemode, api_base, given_credentials.secrets),
        refresh=_names_among(everything, refresh), history=_names_among(selected, history),
        contract=contract_of(schema_contract), include_secrets=include_secrets, emit=emit,
        masks=masks, notes=notes_on(masks, selected) if check_columns else [],
        resync=None if resync in (None, "none", "never") else max(duration(resync, "resync"), 1),
        reports=of_reports, report_options=ReportOptions.of(reports),
    )


def _refuse_for_reports(reports: list[Table], history: Tables, **options: Any) -> None:
    """Refuse options that are about rows of objects, and that do nothing for the rows of reports.

    Raises:
        InvalidOption: there is one.
    """
    for option, value in options.items():
        if value:
            raise InvalidOption(option, value, reason=(
                f"It does not reach financial reports such as `{reports[0].name}`: load these in a run without it."))
    words = history.split(";") if isinstance(history, str) else history or ()
    if named := [word for word in words if isinstance(word, str) and any(word == each.name for each in reports)]:
        raise InvalidOption("history", named[0], reason="A report has no versions: a later reading replaces it.")


def _names_among(selected: list[Table], names: Tables) -> frozenset[str]:
    """The tables that an option names; all of them have to be selected."""
    return frozenset(table.name for table in select_tables(names, known=selected)) if names else frozenset()
