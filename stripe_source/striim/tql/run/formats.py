"""Events as text: Striim's own form, JSON, and delimited values."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from stripe_source.striim.tql.model import DsvFormat, JsonFormat
from stripe_source.striim.tql.run.events import Event, RowEvent, TableEvent, presence_bitmap


def plain_value(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def dump(value: Any) -> str:
    """A value as JSON text; an integer may have any size."""
    try:
        return orjson.dumps(value, default=plain_value, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except TypeError:
        import json

        return json.dumps(value, default=plain_value, ensure_ascii=False, separators=(",", ":"))


def striim_text(event: Event) -> str:
    """An event as Striim's SysOut prints it."""
    if isinstance(event, RowEvent):
        fields = "".join(f"  {name}: {dump(plain_value(value))}\n" for name, value in event.fields.items())
        return f"{event.type_name}{{\n{fields}}};"
    columns = len(event.data)
    return (
        "WAEvent{\n"
        f"  data: {dump(list(event.data))}\n"
        f"  metadata: {dump(event.metadata)}\n"
        f"  userdata: {dump(event.userdata) if event.userdata else 'null'}\n"
        f"  before: {dump(None if event.before is None else list(event.before))}\n"
        f'  dataPresenceBitMap: "{presence_bitmap(event.data, columns)}"\n'
        f'  beforePresenceBitMap: "{presence_bitmap(event.before, columns)}"\n'
        "  typeUUID: null\n"
        "};"
    )


def json_members(event: Event) -> dict[str, Any]:
    """The members of an event as JSONFormatter writes it: data by the names of its columns."""
    if isinstance(event, RowEvent):
        return {name: plain_value(value) for name, value in event.fields.items()}
    return {
        "metadata": event.metadata, "data": event.named(event.data), "before": event.named(event.before),
        "userdata": event.userdata or None,
    }


def chosen(members: dict[str, Any], event: Event, names: Sequence[str]) -> dict[str, Any]:
    """Those members that a formatter is to write: of the event, or of its data."""
    if not names:
        return members
    inside = event.named(event.data) if isinstance(event, TableEvent) else None
    known = {name.lower(): (name, value) for source in (inside or {}, members) for name, value in source.items()}
    return dict(known.get(name.lower(), (name, None)) for name in names)


class JsonText:
    """JSONFormatter: what stands before the first event of a file, between two, and after the last."""

    def __init__(self, form: JsonFormat) -> None:
        self._form = form

    def begin(self, event: Event) -> str:
        """What a file begins with."""
        return "[" if self._form.array else ""

    def event(self, event: Event, first: bool) -> str:
        """An event, with what stands before it."""
        members = chosen(json_members(event), event, self._form.members)
        between = f",{self._form.member_delimiter} "
        inside = between.join(f"{dump(name)}:{dump(value)}" for name, value in members.items())
        edge = self._form.member_delimiter
        before = "" if first else ("," if self._form.array else "") + self._form.object_delimiter
        return f"{before}{{{edge} {inside}{edge}}}"

    def end(self) -> str:
        """What a file ends with."""
        return "]\n" if self._form.array else "\n"


class DsvText:
    """DSVFormatter: values with delimiters between them."""

    def __init__(self, form: DsvFormat) -> None:
        self._form = form
        self._header: tuple[str, ...] | None = None

    def begin(self, event: Event) -> str:
        """What a file begins with."""
        if not self._form.header:
            return ""
        return self._row(list(self._values(event)))

    def event(self, event: Event, first: bool) -> str:
        """An event."""
        return self._row(list(self._values(event).values()))

    def end(self) -> str:
        """What a file ends with."""
        return ""

    def _values(self, event: Event) -> dict[str, Any]:
        members = event.fields if isinstance(event, RowEvent) else event.named(event.data) or {}
        if isinstance(event, TableEvent) and self._form.members:
            members = {**event.metadata, **members}
        return chosen(members, event, self._form.members)

    def _row(self, values: list[Any]) -> str:
        return self._form.column_delimiter.join(self._value(value) for value in values) + self._form.row_delimiter

    def _value(self, value: Any) -> str:
        form = self._form
        if value is None:
            return form.null
        value = plain_value(value)
        text = value if isinstance(value, str) else dump(value)
        special = (form.column_delimiter, form.row_delimiter, form.quote, "\n", "\r")
        if form.use_quotes or text == form.null or any(sign and sign in text for sign in special):
            return f"{form.quote}{text.replace(form.quote, form.quote * 2)}{form.quote}"
        return text


Text = JsonText | DsvText
TEXTS: dict[type, Callable[[Any], Text]] = {JsonFormat: JsonText, DsvFormat: DsvText}
