"""Changes of rows, in whatever order they came, become the newest state of each row."""
from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.values import EPOCH
from stripe_source.arrow_rows.waevent import DELETE
from stripe_source.striim.changes import CONTENT_KEY, Change, content_print

SETTINGS = {"memory_limit": "200MB", "threads": 1}  # DuckDB writes what goes beyond it to disk
CHANGES_PER_INSERT = 5_000
ROWS_PER_FETCH = 1_000
Key = tuple[str, ...]


class Step(NamedTuple):
    """A change of one row, among those of its key."""

    time: int
    operation: str
    whole: bool
    values: bytes | str


class ChangeStore:
    """Keeps changes of rows, on disk where they are many. Use it in `with`: its folder is removed at the end."""

    def __init__(self) -> None:
        import duckdb

        self._folder = tempfile.TemporaryDirectory(prefix="stripe-source-", ignore_cleanup_errors=True)
        config: dict[str, Any] = {**SETTINGS, "temp_directory": self._folder.name}
        self._db = duckdb.connect(f"{self._folder.name}/changes.duckdb", config=config)
        self._db.execute('CREATE TABLE changes ("table" VARCHAR, account VARCHAR, key VARCHAR, time BIGINT, '
                         "number BIGINT, operation VARCHAR, whole BOOLEAN, content VARCHAR)")
        self._waiting: list[tuple[Any, ...]] = []
        self._number = 0

    def __enter__(self) -> ChangeStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, change: Change) -> None:
        """Keep a change; of those of the same time the later one counts."""
        name = change.table.shape.table.name
        if change.left is not None:
            self._put(name, change.account, change.left, change.time, DELETE, False, "{}")
        self._put(name, change.account, change.key, change.time, change.operation, change.whole, _text(change.values))

    def _put(self, table: str, account: str, key: Key, time: int, operation: str, whole: bool, content: str) -> None:
        self._number += 1
        self._waiting.append((table, account, dumps(key), time, self._number, operation, whole, content))
        if len(self._waiting) >= CHANGES_PER_INSERT:
            self._insert()

    def _insert(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        names = "table", "account", "key", "time", "number", "operation", "whole", "content"
        columns = [pa.array(cells) for cells in zip(*self._waiting, strict=True)]
        self._waiting = []
        self._db.register("incoming", pa.table(columns, names=list(names)))
        self._db.execute("INSERT INTO changes SELECT * FROM incoming")
        self._db.unregister("incoming")

    def accounts(self, table: str) -> list[str]:
        """The accounts of which there are changes of a table."""
        self._insert()
        found = self._db.execute('SELECT DISTINCT account FROM changes WHERE "table" = ? ORDER BY 1', [table])
        return [row[0] for row in found.fetchall()]

    def by_key(self, table: str, account: str) -> Iterator[tuple[Key, list[Step]]]:
        """The changes of each row of a table and account, in their order."""
        self._insert()
        cursor = self._db.cursor().execute(
            'SELECT key, time, operation, whole, content FROM changes WHERE "table" = ? AND account = ? '
            "ORDER BY key, time, number", [table, account])
        key: str | None = None
        steps: list[Step] = []
        while rows := cursor.fetchmany(ROWS_PER_FETCH):
            for row in rows:
                if row[0] != key:
                    if key is not None:
                        yield tuple(json.loads(key)), steps
                    key, steps = row[0], []
                steps.append(Step(*row[1:]))
        if key is not None:
            yield tuple(json.loads(key)), steps


def _text(values: Mapping[str, Any]) -> str:
    return dumps(values)


def iso_time(microseconds: int) -> str:
    """A time as text.

    >>> iso_time(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    moment: datetime = EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat().replace("+00:00", "Z")


def needs_stored(steps: Iterable[Step]) -> bool:
    """Whether the newest state of a row takes values that none of these changes has."""
    return not any(step.whole for step in steps)


def newest(steps: list[Step], stored: Mapping[str, Any] | None, held: int | None) -> tuple[dict[str, Any] | None, int]:
    """The newest state of a row.

    Args:
        steps: its changes in their order.
        stored: the row that the destination holds, where it is needed.
        held: unix second of the version that the destination holds: what is older changes nothing.

    Returns:
        The values by column; None where all changes are older. And how many are.
    """
    fresh = [step for step in steps if held is None or step.time // 1000 >= held]
    first = next((place for place in reversed(range(len(fresh))) if fresh[place].whole), 0)
    state: dict[str, Any] = dict(stored or {})
    for step in fresh[first:]:
        values: dict[str, Any] = orjson.loads(step.values)
        if step.whole:
            state = dict(values)
        else:
            state = {**state, **values}
            if "_dlt_id" not in values:
                state.pop("_dlt_id", None)
        moment = iso_time(step.time * 1000)
        deleted = step.operation == DELETE
        state["_changed_at"] = values.get("_changed_at") or moment
        state["_deleted"] = deleted
        state["_deleted_at"] = (values.get("_deleted_at") or moment) if deleted else None
    if not fresh:
        return None, len(steps)
    if not state.get(CONTENT_KEY):
        state[CONTENT_KEY] = content_print({
            name: value for name, value in state.items() if name not in ("_changed_at", "_deleted_at", CONTENT_KEY)})
    return state, len(steps) - len(fresh)


def in_portions(
    groups: Iterable[tuple[Key, list[Step]]], size: int
) -> Iterator[list[tuple[Key, list[Step]]]]:
    """Groups, so many at a time."""
    portion: list[tuple[Key, list[Step]]] = []
    for group in groups:
        portion.append(group)
        if len(portion) >= size:
            yield portion
            portion = []
    if portion:
        yield portion


