"""What was asked of the destination about the versions of a table's rows, kept as long as a run lasts."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

Key = tuple[str, ...]
DUPLICATE = ""  # the fingerprint of a key that is stored twice, after two loads at once: so it is written again
MOST_ASKED = 10_000  # keys of a table that a run asks for; with more it reads the versions of the whole table, once
ROWS_AT_ONCE = 10_000
KEYS_AT_ONCE = 500  # within what any SQLite takes


class StoredVersion(NamedTuple):
    """What is stored of a row: its fingerprint, whether it is flagged as deleted, and `_changed_at` in unix seconds."""

    print: str
    deleted: bool
    changed_at: int = 0


Versions = Iterable[tuple[Key, StoredVersion]]


class VersionCache:
    """The versions of one table that a run knows: each key is asked for once.

    A warehouse takes as long for a few keys as for a whole table. So where many are asked for, the versions of the
    whole table are read once, into a file of SQLite: 10 million of them would fill the memory.
    """

    def __init__(self) -> None:
        self._known: dict[Key, StoredVersion | None] = {}
        self._asked = 0
        self._all: _VersionFile | None = None

    def versions(
        self, keys: Iterable[Key], ask: Callable[[Sequence[Key]], Versions], ask_all: Callable[[], Versions]
    ) -> dict[Key, StoredVersion]:
        """What is stored of these keys.

        Args:
            keys: of rows.
            ask: reads the versions of some keys.
            ask_all: reads those of the whole table.
        """
        wanted = dict.fromkeys(keys)
        found = {key: self._known[key] for key in wanted if key in self._known}
        unknown = [key for key in wanted if key not in found]
        if unknown and self._all is None and self._asked + len(unknown) > MOST_ASKED:
            self._all = _VersionFile(ask_all())
        if unknown:
            self._asked += len(unknown)
            read: dict[Key, StoredVersion | None] = dict.fromkeys(unknown)
            for key, version in self._all.find(unknown) if self._all else ask(unknown):
                if key in read:  # some databases take `cus_A` for `cus_a`
                    read[key] = version if read[key] is None else version._replace(print=DUPLICATE)
            found.update(read)
            if self._all and len(self._known) > MOST_ASKED:
                self._known = {}  # the file has them
            self._known.update(read)
        return {key: version for key, version in found.items() if version is not None}

    def learn(self, versions: Mapping[Key, StoredVersion]) -> None:
        """Take versions that were asked for in another way."""
        self._known.update(versions)


class _VersionFile:
    """The versions of a whole table, in a temporary file that is gone when it is closed."""

    def __init__(self, versions: Versions) -> None:
        self._db = sqlite3.connect("", check_same_thread=False)  # "": a file of SQLite's own, removed with the object
        self._db.execute("CREATE TABLE versions (key TEXT, print TEXT, deleted INTEGER, changed_at INTEGER)")
        rows = ((json.dumps(key), *version) for key, version in versions)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            self._db.executemany("INSERT INTO versions VALUES (?, ?, ?, ?)", some)
        self._db.execute("CREATE INDEX by_key ON versions (key)")

    def find(self, keys: Sequence[Key]) -> Iterator[tuple[Key, StoredVersion]]:
        """The versions of some keys."""
        for first in range(0, len(keys), KEYS_AT_ONCE):
            some = [json.dumps(key) for key in keys[first:first + KEYS_AT_ONCE]]
            marks = ", ".join("?" * len(some))
            for key, print_, deleted, at in self._db.execute(f"SELECT * FROM versions WHERE key IN ({marks})", some):
                yield tuple(json.loads(key)), StoredVersion(print_, bool(deleted), at)
