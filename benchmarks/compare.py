"""Compares what was loaded with the truth, as a process of its own: its memory is not to be found in the figures.

`python -m benchmarks.compare '{"kind": "duckdb", ...}'` prints rows, distinct ids, missing and extra ones.
"""
from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import ROOT, Account


@dataclass(frozen=True)
class Loaded:
    """Where rows are.

    Args:
        kind: "duckdb", "sqlite", or "lines" of JSON.
        file: the file.
        what: a query for the ids, or the path to the id in a line, `record.id`.
    """

    kind: str
    file: str
    what: str


@dataclass(frozen=True)
class Comparison:
    """What a load has, against what it should have."""

    rows: int
    distinct: int
    missing: int
    extra: int

    @property
    def equal(self) -> bool:
        """Everything once, and nothing else."""
        return self.missing == self.extra == 0 and self.rows == self.distinct

    def __str__(self) -> str:
        if self.equal:
            return "all"
        parts = {"missing": self.missing, "too many": self.extra, "twice": self.rows - self.distinct}
        return ", ".join(f"{number:,} {name}" for name, number in parts.items() if number)


def compare(loaded: Loaded, account: Account, table: str) -> Comparison:
    """Compare in a process of its own."""
    question = {"loaded": asdict(loaded), "account": {**asdict(account), "rows": dict(account.rows)}, "table": table}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", json.dumps(question)], cwd=ROOT, capture_output=True, text=True,
    )
    if done.returncode:
        raise RuntimeError(f"What was loaded could not be read: {done.stderr.strip().splitlines()[-1]}")
    return Comparison(**json.loads(done.stdout))


def ids(loaded: Loaded) -> Iterator[tuple[Any, ...]]:
    """The id of each row, or its id and its `created`."""
    if not Path(loaded.file).exists():
        return
    if loaded.kind == "lines":
        yield from _of_lines(loaded)
    elif loaded.kind == "sqlite":
        with sqlite3.connect(loaded.file) as lite:
            yield from lite.execute(loaded.what)
    else:
        import duckdb

        with duckdb.connect(loaded.file, read_only=True) as duck:
            rows = duck.execute(loaded.what)
            while batch := rows.fetchmany(10_000):
                yield from batch


def _of_lines(loaded: Loaded) -> Iterator[tuple[Any, ...]]:
    first, second = loaded.what.split(".", 1)
    with Path(loaded.file).open() as lines:
        for line in lines:
            if f'"{first}"' not in line:
                continue
            value = json.loads(line).get(first)
            for name in second.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                yield (value,)


def truth(account: Account, table: str) -> Iterator[tuple[str, int]]:
    """The id and `created` of each row that the server has."""
    from stripe_source.sandbox.bulk.world import Bulk

    return iter(Bulk(account.rows, spread=account.spread, years=account.years, livemode=True).truth(table))


def main() -> None:
    """Answers the question in the first argument."""
    question = json.loads(sys.argv[1])
    rows, found = 0, set()
    for row in ids(Loaded(**question["loaded"])):
        rows += 1
        found.add(row)
    width = len(next(iter(found), ("",)))
    expected = {row[:width] for row in truth(Account(**question["account"]), question["table"])}
    answer = Comparison(rows, len(found), len(expected - found), len(found - expected))
    print(json.dumps(asdict(answer)))


if __name__ == "__main__":
    main()
