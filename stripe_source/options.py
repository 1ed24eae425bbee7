"""What a user may ask for: names of tables, markers, bounds and durations, checked before anything is read."""
from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Literal

from stripe_source.auth import ApiKey, Credentials, OAuth, is_loopback
from stripe_source.client import API_BASE, API_VERSION, Client
from stripe_source.contract import ANYTHING, Contract, contract_of
from stripe_source.errors import InvalidBounds, InvalidOption, MissingKey, UnknownMarker, UnknownTable
from stripe_source.limits import Governor, governor
from stripe_source.table import Table
from stripe_source.tables import TABLES

log = logging.getLogger("stripe_source")

Tables = str | Sequence[str | Table] | None
Marker = str | Mapping[str, str | None] | None
When = datetime | date | str | int | float | None

MODES = ("initial", "incremental", "auto")
MARKERS = ("auto", "events", "created", "id", None)
DELETES = ("soft", "hard")
DEFAULT_RATE = float("0.5")  # compared by identity: where nobody chose a rate, a loopback address gets none
_MARKER_NAMES = ("auto", "events", "created", "id", "none")
_FIRST, _LAST = -62135596800, 253402300799  # years 1 to 9999; milliseconds taken for seconds are far beyond
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _words(text: Tables) -> list[str | Table]:
    if text is None:
        return []
    parts: Iterable[str | Table] = re.split(r"[;,]", text) if isinstance(text, str) else text
    words = (part.strip() if isinstance(part, str) else part for part in parts)
    return [word for word in words if word]


def match_tables(pattern: str, tables: Sequence[Table] = TABLES) -> list[Table]:
    """The tables that a name or a pattern with `%` means, in the order of the registry; none if it means none.

    Names are native ones or aliases (Striim's); case and underscores do not matter. A pattern in lower case is meant
    for native names only, one with capitals for Striim's too.

    >>> [table.name for table in match_tables("credit_note%")]
    ['credit_note_line_items', 'credit_notes']
    """
    wanted = re.compile(".*".join(_plain(part) for part in re.split("%+", pattern)))
    native = "%" in pattern and pattern == pattern.lower()
    return [
        table for table in tables
        if any(wanted.fullmatch(_plain(name)) for name in (table.name, *(() if native else table.aliases)))
    ]


def select_tables(tables: Tables = None, exclude: Tables = None, known: Sequence[Table] = TABLES) -> list[Table]:
    """Resolve the options `tables` and `exclude`.

    Args:
        tables: a list of names, or text with names separated by `;` or `,`; `%` stands for any letters; None is the
            default selection. An entry may also be a `Table` of one's own.
        exclude: likewise, what to leave out.
        known: the registry.

    Returns:
        The tables in the order of the registry, private ones last.

    Raises:
        UnknownTable: a name means no table.
    """
    own = {word.name: word for word in _words(tables) if isinstance(word, Table) and word not in known}
    registry = [*(table for table in known if table.name not in own), *own.values()]

    def resolve(words: list[str | Table]) -> set[str]:
        names: set[str] = set()
        for word in words:
            found = [word] if isinstance(word, Table) else match_tables(word, registry)
            if not found:
                aliases = [alias for table in registry for alias in table.aliases]
                raise UnknownTable(str(word), [table.name for table in registry], aliases)
            names.update(table.name for table in found)
        return names

    chosen = resolve(_words(tables)) if _words(tables) else {table.name for table in known if table.default}
    chosen -= resolve(_words(exclude))
    if not chosen:
        raise InvalidOption("exclude", exclude, reason="It leaves no table; drop a name from it.")
    return [table for table in registry if table.name in chosen]


def marker_of(table: Table, marker: Marker = "auto") -> str | None:
    """The marker of a table: "events", "created", "id", "parents", or None (a full pass each time).

    A table whose objects are found with others goes by its parents' cursor ("parents") where they are asked to go by
    one: what belongs to the parents that are read is read.

    Args:
        table: the table.
        marker: "auto" (the registry's choice), "events", "created", "id", None, or a mapping of table patterns to
            these in which the most exact pattern wins, as in `{"customers": None, "%": "created"}`.

    Raises:
        UnknownMarker: the marker is none of these, or was asked of this very table, which cannot go by it.
    """
    named = False
    if isinstance(marker, Mapping):
        fitting = [pattern for pattern in marker if any(found is table for found in match_tables(pattern, [table]))]
        best = min(fitting, key=lambda pattern: (pattern.count("%"), -len(pattern)), default=None)
        marker, named = ("auto", False) if best is None else (marker[best], "%" not in best)
    if isinstance(marker, str):
        marker = marker.lower() or None
    if marker == "none":
        marker = None
    if marker not in MARKERS:
        raise UnknownMarker(marker, _MARKER_NAMES, table.name)
    if marker == "auto" or (marker == "events" and not named):
        return table.marker
    if marker in ("created", "id") and not table.path:
        return "parents"
    timed = table.created and table.time is not None
    able = {
        None: True, "events": table.marker == "events", "created": timed,
        "id": bool(table.path) and not table.singleton,
    }[marker]
    if not able and named:
        raise UnknownMarker(marker, [name for name in _MARKER_NAMES if name != marker], table.name)
    return marker if able else None


def check_marker(marker: Marker, tables: Sequence[Table], known: Sequence[Table] = TABLES) -> dict[str, str | None]:
    """Resolve `marker` for each of these tables. A mapping may only name tables that exist."""
    if isinstance(marker, Mapping):
        for pattern in marker:
            if not match_tables(pattern, [*known, *tables]):
                raise UnknownTable(pattern, [table.name for table in known])
    return {table.name: marker_of(table, marker) for table in tables}


def check_mode(mode: str) -> str:
    """The mode, if it is one."""
    if mode not in MODES:
        raise InvalidOption("mode", mode, MODES)
    return mode


def unix_time(value: When, option: Literal["start", "end"]) -> int | None:
    """Unix seconds of a datetime, a date, ISO text or unix seconds. Without a time zone UTC is meant."""
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
    """The options `start` (inclusive) and `end` (exclusive) as unix seconds."""
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


@dataclass
class Options:
    """The options of `stripe_source`, resolved and checked."""

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

    def again(self, table: Table) -> bool:
        """Whether a table is to be read from the beginning, whatever its cursor."""
        return self.mode == "initial" or table.name in self.refresh

    def client(self) -> Client:
        """A client for these options, to be opened with `async with`."""
        return Client(
            self.credentials, api_base=self.api_base, api_version=self.api_version, account=self.account_id,
            governor=self.governor,
        )


def credentials(
    api_key: str | Credentials | None,
    client_id: str | None,
    client_secret: str | None,
    refresh_token: str | None,
    api_base: str,
) -> Credentials:
    """A key, or a Stripe App's OAuth.

    Raises:
        MissingKey: neither is there, or OAuth is not whole.
        MalformedKey: what was given is no key.
        PublishableKey: the key cannot read.
    """
    if isinstance(api_key, (ApiKey, OAuth)):
        return api_key
    if client_id and client_secret and refresh_token and not api_key:
        return OAuth(client_id, client_secret, refresh_token, f"{api_base.rstrip('/')}/v1/oauth/token", _rotated)
    if api_key is None:
        raise MissingKey()
    return ApiKey(str(api_key))


def _rotated(refresh_token: str) -> None:
    log.warning(
        "Stripe exchanged the refresh token for a new one, and the configured one is spent. To keep the new one, pass "
        "`api_key=stripe_source.auth.OAuth(..., on_rotate=save)`."
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
    refresh: Tables = None,
    history: Tables = None,
    schema_contract: Any = None,
) -> Options:
    """Check all options of `stripe_source` before anything is read.

    Raises:
        ConfigurationError: one of its kinds, which names the option, the value and the way out.
    """
    chosen = select_tables(tables, exclude)
    low, high = bounds(start, end)
    for option, value, known in (
        ("deletes", deletes, DELETES), ("schema_map", schema_map, ("stripe",)), ("emit", emit, ("rows",)),
        ("accounts", accounts, (None,)),
    ):
        if value not in known:
            raise InvalidOption(option, value, known)
    who = credentials(api_key, client_id, client_secret, refresh_token, api_base)
    if rate is DEFAULT_RATE and is_loopback(api_base):
        rate = None
    return Options(
        tables=chosen, mode=check_mode(mode), markers=check_marker(marker, chosen), start=low, end=high,
        deletes=deletes, lookback=duration(lookback, "lookback"), account_id=account_id, credentials=who,
        api_base=api_base, api_version=api_version or API_VERSION,
        governor=governor(rate, who.livemode, api_base, who.secrets),
        refresh=frozenset(table.name for table in select_tables(refresh, known=chosen)) if refresh else frozenset(),
        history=frozenset(table.name for table in select_tables(history, known=chosen)) if history else frozenset(),
        contract=contract_of(schema_contract),
    )
