"""Changes of rows, in whatever order they came, become the newest state of each row."""
from __future__ import annotations

import json
import marshal
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.values import EPOCH
from stripe_source.arrow_rows.waevent import DELETE
from stripe_source.striim.changes import CONTENT_KEY, Change, content_print

BYTES_IN_MEMORY = 32_000_000  # of changes, beyond which they are sorted and written to a file
BYTES_PER_READ = 250_000  # that one file has in memory while all are read side by side
FILES_AT_ONCE = 64  # so many files become one: the system opens no more than some 1,000 at once
BYTES_PER_PORTION = 24_000_000  # of changes that become rows together: their values take four times as much
Key = tuple[str, ...]
_Record = tuple[str, int, int, str, bool, str]  # key as JSON, time, number, operation, whole, values as JSON


class Step(NamedTuple):
    """A change of one row, among those of its key."""

    time: int
    operation: str
    whole: bool
    values: bytes | str


class ChangeStore:
    """Keeps changes of rows, and gives them by key: in sorted files that are merged, where they are many.

    Use it in `with`: its folder is removed at the end.

    Args:
        bytes_in_memory: of changes, before some go to disk.
    """

    def __init__(self, bytes_in_memory: int = BYTES_IN_MEMORY) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="stripe-source-", ignore_cleanup_errors=True)
        self._most, self._size, self._number, self._files = bytes_in_memory, 0, 0, 0
        self._waiting: dict[tuple[str, str], list[_Record]] = defaultdict(list)  # by table and account
        self._sorted: dict[tuple[str, str], list[list[Path]]] = defaultdict(list)  # files; [1]: each made of several

    def __enter__(self) -> ChangeStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, change: Change) -> None:
        """Keep a change; of those of the same time the later one counts."""
        place = change.table.shape.table.name, change.account
        if change.left is not None:
            self._put(place, change.left, change.time, DELETE, False, "{}")
        self._put(place, change.key, change.time, change.operation, change.whole, dumps(change.values))

    def _put(self, place: tuple[str, str], key: Key, time: int, operation: str, whole: bool, content: str) -> None:
        self._number += 1
        self._waiting[place].append((dumps(key), time, self._number, operation, whole, content))
        self._size += len(content)
        if self._size >= self._most:
            for each, records in self._waiting.items():
                self._keep(each, 0, sorted(records))
            self._waiting.clear()
            self._size = 0

    def _keep(self, place: tuple[str, str], level: int, records: Iterable[_Record]) -> None:
        """Write sorted records to a file; many files of a level become one of the next."""
        self._files += 1
        path, levels = Path(self._folder.name, str(self._files)), self._sorted[place]
        _write(path, records)
        if level == len(levels):
            levels.append([])
        levels[level].append(path)
        if len(levels[level]) >= FILES_AT_ONCE:
            several, levels[level] = levels[level], []
            self._keep(place, level + 1, merge(*map(_read, several)))
            for each in several:
                each.unlink()

    def accounts(self, table: str) -> list[str]:
        """The accounts of which there are changes of a table."""
        return sorted({account for name, account in (*self._waiting, *self._sorted) if name == table})

    def by_key(self, table: str, account: str) -> Iterator[tuple[Key, list[Step]]]:
        """The changes of each row of a table and account, in their order, without values that a later one replaces."""
        place = table, account
        files = [path for level in self._sorted.get(place, ()) for path in level]
        records = merge(*map(_read, files), sorted(self._waiting.get(place, ())))
        for key, changes in groupby(records, itemgetter(0)):
            steps: list[Step] = []
            needed = 0  # from which step on values count
            for _, time, _, operation, whole, content in changes:
                if whole:
                    steps[needed:] = [step._replace(values="") for step in steps[needed:]]
                    needed = len(steps)
                steps.append(Step(time, operation, whole, content))
            yield tuple(json.loads(key)), steps


def _write(path: Path, records: Iterable[_Record]) -> None:
    """Write records, some at a time."""
    some, size = list[_Record](), 0
    with path.open("wb") as file:
        for record in records:
            some.append(record)
            size += len(record[-1])
            if size >= BYTES_PER_READ:
                marshal.dump(some, file)
                some, size = [], 0
        marshal.dump(some, file)


def _read(path: Path) -> Iterator[_Record]:
    """The records of a file."""
    with path.open("rb") as file:
        while True:
            try:
                yield from marshal.load(file)  # this process has written it, into a folder of its own
            except EOFError:
                return


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
    """Groups, so many at a time, or fewer where their values are long."""
    portion: list[tuple[Key, list[Step]]] = []
    length = 0
    for group in groups:
        portion.append(group)
        length += sum(len(step.values) for step in group[1])
        if len(portion) >= size or length >= BYTES_PER_PORTION:
            yield portion
            portion, length = [], 0
    if portion:
        yield portion
