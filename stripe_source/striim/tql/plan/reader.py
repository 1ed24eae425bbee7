"""`CREATE SOURCE … USING StripeReader`: its properties, one by one."""
from __future__ import annotations

import re
from typing import Any

from stripe_source.api.credentials import check_url
from stripe_source.errors import InvalidBounds, InvalidOption
from stripe_source.options import unix_time
from stripe_source.striim.tql.columns import StriimTable, match_striim, unavailable_tables
from stripe_source.striim.tql.model import StripeReader
from stripe_source.striim.tql.parse.syntax import SourceStatement
from stripe_source.striim.tql.plan.problems import Lookup, Problems
from stripe_source.striim.tql.plan.properties import Properties, plain

POLLING_INTERVAL = 300
_MODES = {"initialload": False, "incrementalload": True}
_LIMITS = "Requests are limited by Stripe's own limits, and by `--rate`, whatever it says."


def make_reader(
    statement: SourceStatement, streams: tuple[str, ...], problems: Problems, lookup: Lookup
) -> StripeReader:
    """The reader that a source makes; what cannot be carried over is a problem."""
    given = Properties(f"CREATE SOURCE {statement.name}", statement.reader, problems, lookup)
    tables = _tables(given)
    incremental = _mode(given)
    markers = _markers(given, tables) if incremental else {}
    start = _start(given, tables, markers)
    if not incremental:
        given.note("IncrementalLoadMarker", "An initial load needs no marker.")
        given.note("StartPosition", "An initial load begins with the earliest object.")
    elif not given.text("IncrementalLoadMarker") and tables:
        given.problems.add(given.statement, "IncrementalLoadMarker", "There is none: every poll reads all of every "
                           "table again, as in Striim.", given.place("IncrementalLoadMarker"), "note")
    migrate = given.flag("MigrateSchema")
    if migrate and incremental:
        given.note("MigrateSchema", "Striim makes tables in an initial load only; here they are made where they are "
                                    "missing.")
    polling = given.seconds("PollingInterval", default=POLLING_INTERVAL)
    for name in ("ThreadPoolCount", "ConnectionPoolSize"):
        given.note(name, _LIMITS)
    if statement.parser:
        problems.add(given.statement, "PARSE USING", "The reader needs no parser.", statement.parser.place)
    connection = _connection(given)
    given.refuse_rest()
    return StripeReader(
        name=statement.name, streams=streams, tables=tuple(table.name for table in tables), incremental=incremental,
        markers=markers, start=start, polling_interval=max(polling, 1), migrate_schema=migrate, **connection,
    )


def _mode(given: Properties) -> bool:
    """Whether the mode is the incremental one."""
    said = given.text("Mode")
    if not said or plain(said) in _MODES:
        return _MODES.get(plain(said), False)
    found = given.find("Mode")
    assert found
    given.refuse(found, "It is `InitialLoad` or `IncrementalLoad`; Striim's Stripe Reader has no other.")
    return False


def _words(text: str) -> list[str]:
    return [word.strip() for word in re.split(r"[;\n]", text) if word.strip()]


def _tables(given: Properties) -> list[StriimTable]:
    """The tables that `Tables` and `ExcludeTables` select, in the order in which they are named."""
    excluded: dict[str, StriimTable] = {}
    for word in _words(given.text("ExcludeTables")):
        found, missing = match_striim(word)
        excluded.update({table.name: table for table in found})
        excluded.update(dict.fromkeys(missing))  # type: ignore[arg-type]  # only their names are asked for
        if not found and not missing:
            given.refuse_named("ExcludeTables", f"There is no table `{word}`.")
    chosen: dict[str, StriimTable] = {}
    words = _words(given.text("Tables", "Objects"))
    for word in words:
        found, missing = match_striim(word)
        missing = [name for name in missing if name not in excluded]
        if "%" in word and missing:
            given.note("Tables", f"`{word}` also means {_named(missing)}, which cannot be read: "
                                 f"{'; '.join(dict.fromkeys(_reason(name) for name in missing))}.")
        elif missing:
            given.refuse_named("Tables", f"`{missing[0]}` cannot be read: {_reason(missing[0])}.")
        if not found and not missing:
            given.refuse_named("Tables", f"There is no table `{word}`; `stripe-source tables` lists Striim's names "
                                         "beside ours.")
        chosen.update({table.name: table for table in found if table.name not in excluded})
    if not words:
        given.problems.add(given.statement, "Tables", "It is missing: say which tables are read, such as "
                           "`Tables: 'Charges;Customers'`.", given.place("Tables"))
    elif not chosen and not given.problems.unsupported:
        given.refuse_named("Tables", "No table is left.")
    return list(chosen.values())


def _named(names: list[str]) -> str:
    return f"`{names[0]}`" if len(names) == 1 else f"{len(names)} tables such as `{names[0]}`"


def _reason(name: str) -> str:
    return unavailable_tables()[name]


def _pairs(given: Properties, property: str, text: str) -> dict[str, str]:
    """`Table=Value;%=Value` by table or pattern; one value alone is for all."""
    pairs = {}
    for word in _words(text):
        table, equals, value = word.partition("=")
        if not equals:
            table, value = "%", word
        if table.strip() in pairs:
            given.refuse_named(property, f"`{table.strip()}` is there twice.")
        pairs[table.strip()] = value.strip()
    return pairs


def _best(pairs: dict[str, str], name: str) -> str | None:
    """The value of the most exact pattern that means a table."""
    fitting = [
        pattern for pattern in pairs
        if re.fullmatch(".*".join(re.escape(part) for part in re.split("%+", pattern)), name, re.IGNORECASE)
    ]
    best = max(fitting, key=lambda pattern: (-pattern.count("%"), len(pattern)), default=None)
    return None if best is None else pairs[best]


def _check_names(given: Properties, property: str, pairs: dict[str, str]) -> None:
    for pattern in pairs:
        if pattern != "%" and match_striim(pattern) == ([], []):
            given.refuse_named(property, f"There is no table `{pattern}`.")


def _markers(given: Properties, tables: list[StriimTable]) -> dict[str, str | None]:
    """By table, whether it goes by `created` or is read whole each time."""
    pairs = _pairs(given, "IncrementalLoadMarker", given.text("IncrementalLoadMarker"))
    _check_names(given, "IncrementalLoadMarker", pairs)
    markers: dict[str, str | None] = {}
    whole, by_id = [], []
    for table in tables:
        column = _best(pairs, table.name)
        markers[table.name] = None
        if not column or plain(column) in ("none", "null"):
            continue
        position = table.position(column)
        paths = table.columns[position].paths if position is not None else ()
        if ("created",) in paths or plain(column) in ("created", "id"):
            markers[table.name] = "created" if table.table.created and table.table.path else None
            whole += [] if markers[table.name] else [table.name]
            by_id += [table.name] if plain(column) == "id" else []
        elif position is None:
            given.refuse_named("IncrementalLoadMarker", f"`{table.name}` has no column `{column}`.")
        else:
            given.refuse_named("IncrementalLoadMarker", f"Stripe cannot list `{table.name}` by `{column}`, only by the "
                                                        "time of creation.")
    if whole:
        given.note("IncrementalLoadMarker", f"Stripe cannot list {_named(whole)} by the time of creation: each poll "
                                            "reads all of it.")
    if by_id:
        given.note("IncrementalLoadMarker", "Ids are not in order of creation, so that rows could be missed: the time "
                                            "of creation is the marker.")
    return markers


def _start(given: Properties, tables: list[StriimTable], markers: dict[str, str | None]) -> dict[str, int]:
    """By table, the first `created` that is read; a table that is not there begins with the earliest object."""
    pairs = _pairs(given, "StartPosition", given.text("StartPosition"))
    _check_names(given, "StartPosition", pairs)
    start = {}
    for table in tables:
        value = _best(pairs, table.name)
        if value in (None, "", "-1") or not markers:
            continue
        assert value is not None
        try:
            seconds = int(value) if re.fullmatch(r"\d{1,11}", value) else unix_time(value, "start")
        except InvalidBounds:
            given.refuse_named("StartPosition", f"`{value}` is no time: write `-1`, unix seconds or a date.")
            continue
        if seconds and markers.get(table.name):
            start[table.name] = seconds
        elif seconds:
            given.note("StartPosition", f"`{table.name}` is read whole each time.")
    return start


def _connection(given: Properties) -> dict[str, Any]:
    """Key, account and address."""
    api_key = given.secret("ApiKey")
    secret, refresh = given.secret("ClientSecret"), given.secret("RefreshToken")
    client_id = given.text("ClientId")
    if set(client_id) == {"*"}:
        client_id = ""
    if given.flag("UseConnectionProfile"):
        given.note("UseConnectionProfile", "The credentials of a connection profile come from the configuration, "
                                           "`[sources.stripe]`.")
        api_key = None
    given.ignore("ConnectionProfileName")
    auth = plain(given.text("AuthMode"))
    if auth not in ("", "apikey", "oauth"):
        given.refuse_named("AuthMode", "It is `ApiKey` or `OAuth`.")
    account = given.text("AccountId")
    connected = given.flag("ConnectedAccount")
    if connected and (auth == "oauth" or (client_id and not api_key)):
        given.refuse_named("ConnectedAccount", "A connected account is read with a platform's key, not by OAuth.")
    if connected and not account:
        given.refuse_named("ConnectedAccount", "`AccountId` is missing, which says which account.")
    if account and not connected:
        given.note("AccountId", "It counts with `ConnectedAccount: true` only; the key's own account is read.")
    masked = set(account) == {"*"}
    return {
        "api_key": None if auth == "oauth" else api_key,
        "account_id": account if connected and not masked else None,
        "api_base": _address(given), "client_id": client_id or None,
        "client_secret": secret, "refresh_token": refresh,
    }


def _address(given: Properties) -> str | None:
    """`ApiBase`, which Striim does not have: where Stripe is."""
    text = given.text("ApiBase")
    if not text:
        return None
    try:
        return check_url("ApiBase", text)
    except InvalidOption as error:
        given.refuse_named("ApiBase", str(error))
        return None
