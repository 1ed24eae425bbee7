"""The report types of an account, as stored objects: they are made when somebody asks, and follow the clock."""
from __future__ import annotations

from stripe_source.sandbox.reports.catalog import REPORT_TYPES
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.events import emit
from stripe_source.sandbox.state.records import Data, Record

PATH = "/v1/reporting/report_types"
TABLE = "reporting_report_types"
OBJECT = "reporting.report_type"
HALF_DAY = 43_200  # data are prepared for cut-offs at 00:00 and 12:00 UTC (Stripe's page on reports, 2026-11-30)
_DAY = 86_400


def available_start(books: Books) -> int:
    """Return the first second that reports of an account cover: the day of its creation, in unix seconds."""
    first = int(books.profile["created"])
    times = [keys[0][0] for object in ("balance_transaction", "charge") if object in books.collections
             if len(keys := books.collection(object).order()[1])]
    return min([first, *times]) // _DAY * _DAY


def available_end(books: Books) -> int:
    """Return the newest cut-off whose data are available, in unix seconds."""
    ready = books.now - books.world.reports.lateness
    return max(ready - ready % HALF_DAY, available_start(books))


def refresh(books: Books) -> None:
    """Bring the report types of an account up to date with the clock; objects that `populate` has made stay."""
    collection = books.collection(OBJECT)
    start, end = available_start(books), available_end(books)
    fields: Data = {"data_available_start": start, "data_available_end": end,
              "updated": end + books.world.reports.lateness}
    for report in (*([] if len(collection) else REPORT_TYPES.values()), *books.world.reports.added.values()):
        if report.id not in collection.records:
            # not by `Books.add`: lists that lag behind changes show report types at once
            books.world.seq += 1
            books.world.revision += 1
            collection.put(Record(OBJECT, {
                "id": report.id, "object": OBJECT, "default_columns": list(report.default_columns),
                "livemode": books.world.livemode, "name": report.name, "version": report.version, **fields,
            }, books.now, books.world.seq, None))
    for record in _stored(books):
        if any(record.data[name] != value for name, value in fields.items()):
            record.data.update(fields)
            books.invalidate(record)


def remove_stored(books: Books) -> None:
    """Remove the report types of an account, before `populate` makes some up."""
    for record in _stored(books):
        books.remove(record)


def announce(books: Books) -> None:
    """Emit `reporting.report_type.updated` for every report type, and again at every cut-off from now on."""
    refresh(books)
    for record in _stored(books):
        emit(books, "reporting.report_type.updated", record, {})
    schedule_announcement(books)


def schedule_announcement(books: Books) -> None:
    """Put the announcement of the next cut-off on the calendar of the world."""
    late = books.world.reports.lateness
    ready = books.now - late
    books.world.call_at(ready - ready % HALF_DAY + HALF_DAY + late, announce, books)


def _stored(books: Books) -> list[Record]:
    """Return the report types that `populate` has not made up."""
    known = {**REPORT_TYPES, **books.world.reports.added}
    return [record for record in books.collection(OBJECT)
            if record.id in known and record.data.get("name") == known[record.id].name]
