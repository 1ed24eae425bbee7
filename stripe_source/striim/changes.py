"""What a WAEvent says of a row: its table, key, time, operation, and the values that it sets, by native column."""
from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from stripe_source.arrow_rows.json_text import clean, dumps
from stripe_source.errors import UnknownTable
from stripe_source.striim.names import EventTable, EventTables, inferred_hints
from stripe_source.tables.objects import unix_second
from stripe_source.waevent_forms.form import (
    BadWAEvent,
    StriimWAEvent,
    Values,
    all_present,
    milliseconds,
    named_values,
    type_uuid,
)
from stripe_source.waevent_forms.json_form import operation_of

OUR_UUIDS = "5"  # the version of the ids of types that this package makes
CONTENT_KEY = "_dlt_id"  # the key of tables that have none


class Change(NamedTuple):
    """What happened to one row.

    Args:
        table: its table.
        account: id of the account.
        key: its key within the account, as text.
        time: when, in milliseconds since 1970.
        operation: SELECT, INSERT, UPDATE or DELETE.
        whole: the values are all that the row has; otherwise columns that are not among them stay.
        values: by column of the destination, without what is null where they are whole.
        hints: dlt's hints of columns that no map declares.
        left: the key that the row had before, where it has another one now.
    """

    table: EventTable
    account: str
    key: tuple[str, ...]
    time: int
    operation: str
    whole: bool
    values: dict[str, Any]
    hints: Mapping[str, Mapping[str, Any]]
    left: tuple[str, ...] | None = None


class ChangeReader:
    """Reads WAEvents as changes of rows.

    Args:
        tables: finds tables by their names.
        account: whose rows they are, where WAEvents do not say it.
        now: milliseconds since 1970: the time of WAEvents that have none.
    """

    def __init__(self, tables: EventTables, account: str, now: int) -> None:
        self._tables, self._account, self._now = tables, account, now

    def read(self, event: StriimWAEvent) -> Change:
        """What a WAEvent says.

        Raises:
            BadWAEvent: it cannot be understood; the text says why.
        """
        operation = operation_of(event)
        try:
            table = self._tables.find(event.metadata.get("TableName"))
        except UnknownTable as error:
            raise BadWAEvent(str(error)) from None
        time = self._time(event.metadata)
        hints = inferred_hints(event.metadata)
        names = (*table.names, *(name for name in hints if name not in table.names)) if hints else table.names
        self._check_type(event, table, names)
        source = event.data if event.data or operation != "DELETE" else event.before
        if not source:
            raise BadWAEvent("it has no `data`")
        bits = event.data_presence if source is event.data else event.before_presence
        full = bits is not None and all_present(bits, len(names))
        set_values = source if full and isinstance(source, dict) else named_values(source, names, bits)
        whole = full or operation in ("SELECT", "INSERT") or self._is_whole(source, names, bits)
        values = self._by_column(table, set_values, keep_nulls=not whole)
        account = values.setdefault("_account_id", self._account)
        if not isinstance(account, str) or not account:
            raise BadWAEvent("`_account_id` is no text")
        key = self._key(table, values)
        left = None
        if event.before and str(event.metadata.get("PK_UPDATE")).lower() == "true":
            before = self._by_column(table, named_values(event.before, names, event.before_presence), keep_nulls=False)
            left = self._key(table, before)
        known = {table.column(name): hint for name, hint in hints.items()}
        types = {table.column(name): {"data_type": table.types[name]} for name in set_values if name in table.types
                 } if table.types else {}
        return Change(table, account, key, time, operation, whole, values, {**types, **known},
                      left if left != key else None)

    def _time(self, metadata: Mapping[str, Any]) -> int:
        said = metadata.get("TimeStamp")
        if said is None:
            return self._now
        time = milliseconds(said)
        if time is None or not -62_135_596_800_000 <= time < 253_402_300_800_000:
            raise BadWAEvent(f"its `TimeStamp` `{str(said)[:60]}` is no time")
        return time

    @staticmethod
    def _check_type(event: StriimWAEvent, table: EventTable, names: tuple[str, ...]) -> None:
        """Refuse values by position whose positions are those of other columns."""
        by_position = isinstance(event.data, list) or isinstance(event.before, list)
        ours = event.type_uuid is not None and event.type_uuid[14:15] == OUR_UUIDS
        if by_position and table.native and ours and event.type_uuid != type_uuid(table.shape.table.name, names):
            raise BadWAEvent("its `typeUUID` is of other columns than the table has in this release, so that nobody "
                             "knows which values its positions are; write it again with the values by name")

    @staticmethod
    def _is_whole(values: Values, names: tuple[str, ...], bits: bytes | None) -> bool:
        """Whether all columns of the table are set."""
        return bits is None and len(values) >= len(names) and (isinstance(values, list) or values.keys() >= set(names))

    @staticmethod
    def _by_column(table: EventTable, values: Mapping[str, Any], keep_nulls: bool) -> dict[str, Any]:
        if table.native and not table.given:
            return dict(values) if keep_nulls else {name: each for name, each in values.items() if each is not None}
        column = table.column
        if keep_nulls:
            return {column(name): value for name, value in values.items()}
        return {column(name): value for name, value in values.items() if value is not None}

    @staticmethod
    def _key(table: EventTable, values: dict[str, Any]) -> tuple[str, ...]:
        names = table.shape.table.key
        if names == (CONTENT_KEY,):
            return (values.setdefault(CONTENT_KEY, content_print(values)),)
        kinds = {column.name: column.data_type for column in table.shape.columns}
        parts = []
        for name in names:
            value = values.get(name)
            if value is None or isinstance(value, (dict, list)) or value == "":
                raise BadWAEvent(f"it has no value of `{name}`, which is in the key of table "
                                 f"`{table.shape.table.name}`")
            if kinds[name] == "timestamp":
                value = unix_second(int(value) if isinstance(value, str) and value.isdigit() else value)
            parts.append(clean(value) if isinstance(value, str) else str(value))
        return tuple(parts)


def content_print(values: Mapping[str, Any]) -> str:
    """What tells the content of a row from another one: 20 characters, as `_dlt_id` has."""
    text = dumps(sorted((name, value) for name, value in values.items() if value is not None))
    return b2a_base64(hashlib.blake2b(text.encode(), digest_size=15).digest(), newline=False).decode()
