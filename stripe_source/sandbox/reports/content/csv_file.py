"""The CSV file of a report, as Stripe writes it: a header, UTF-8, empty values for null."""
from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from stripe_source.sandbox.reports.catalog import Parameters, column_type

_UTC = timezone.utc


def write(columns: Sequence[str], rows: Iterable[Sequence[Any]], parameters: Parameters) -> bytes:
    """Return the file of rows: times are text in the time zone of the parameters, `*_utc` columns in UTC."""
    zone = ZoneInfo(parameters["timezone"]) if "timezone" in parameters else _UTC
    show = [_formatter(name, zone, parameters.get("decimal_separator", ".")) for name in columns]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([form(value) if form else value for form, value in zip(show, row, strict=True)] for row in rows)
    return buffer.getvalue().encode()


def header(content: bytes) -> tuple[str, ...]:
    """Return the columns of a CSV file."""
    return tuple(next(csv.reader(_text(content))))


def pick(content: bytes, columns: Sequence[str]) -> bytes:
    """Return a CSV file with these columns of another one; columns that it does not have are empty."""
    if tuple(columns) == header(content):
        return content
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(name) for name in columns] for row in csv.DictReader(_text(content)))
    return buffer.getvalue().encode()


def _text(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")


@lru_cache(maxsize=8)
def _moments(zone: tzinfo, date_only: bool) -> Callable[[int | None], str | None]:
    """Return what shows a moment in a time zone; the columns of a row often have the same one."""
    form = "%Y-%m-%d" if date_only else "%Y-%m-%d %H:%M:%S"

    @lru_cache(maxsize=1024)
    def moment(value: int | None) -> str | None:
        return None if value is None else datetime.fromtimestamp(value, zone).strftime(form)

    return moment


def _formatter(name: str, zone: tzinfo, separator: str) -> Callable[[Any], Any] | None:
    """Return what turns a value into text; None where the value is written as it is."""
    kind = column_type(name)
    if kind in ("timestamp", "date"):
        return _moments(_UTC if name.endswith("_utc") else zone, kind == "date")
    if kind == "bool":
        return lambda value: None if value is None else "true" if value else "false"
    if kind == "decimal" and separator != ".":
        return lambda value: None if value is None else str(value).replace(".", separator)
    return None
