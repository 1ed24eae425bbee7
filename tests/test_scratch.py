"""Where a verification lays both sides beside each other: what is kept of them before they are compared."""
from __future__ import annotations

from datetime import datetime, timezone

import pyarrow as pa

from stripe_source.tables.schema_map import Column
from stripe_source.verification.compare.scratch_db import ScratchDatabase

COLUMNS = Column("id", "text", ("id",)), Column("name", "text", ("name",)), Column("created", "timestamp", ("created",))
FIRST = 1_760_000_000


def rows(*given: tuple[str, str, int | None]) -> pa.Table:
    """Rows of an id, a name, and seconds after the first one."""
    times = [None if at is None else datetime.fromtimestamp(FIRST + at, timezone.utc) for _, _, at in given]
    return pa.table({
        "id": [id for id, _, _ in given], "name": [name for _, name, _ in given],
        "created": pa.array(times, pa.timestamp("us", tz="UTC")),
    })


def test_of_an_object_that_came_twice_the_last_one_is_kept() -> None:
    """It changed while its list was walked: what was read first is out of date."""
    with ScratchDatabase() as scratch:
        table = scratch.create_table(COLUMNS)
        scratch.insert(table, rows(("a", "old", 0), ("b", "only", 1), ("c", "1", 2), ("c", "2", 2)))
        scratch.insert(table, rows(("a", "new", 0)))
        scratch.drop_duplicates(table, ["id"])

        assert scratch.keys(table, ["id", "name"]) == {("a", "new"), ("b", "only"), ("c", "2")}


def test_a_span_of_time_has_its_first_second_and_not_its_last() -> None:
    """Rows without a time belong to every span."""
    with ScratchDatabase() as scratch:
        table = scratch.create_table(COLUMNS)
        seconds = {"before": 9, "first": 10, "last": 19, "after": 20, "none": None}
        scratch.insert(table, rows(*((id, "", second) for id, second in seconds.items())))
        scratch.keep_span(table, "created", FIRST + 10, FIRST + 20)

        assert scratch.keys(table, ["id"]) == {("first",), ("last",), ("none",)}
