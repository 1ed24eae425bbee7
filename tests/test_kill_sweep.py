"""Killed at any file operation, one after the other, and started again: every table equals Stripe, nothing is twice."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import killed_lives
import pytest
from truth import differences, snapshot, wrong_changes

from stripe_source import sandbox

TABLES = ("customers", "transfers", "transfer_reversals")  # the last one's rows are children of transfers
HALVES = 2  # each runs by itself, so that two cores share them


class Lives:
    """A sandbox, and a process that runs our pipeline on it in a folder, as often as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.copies = folder / "life", folder / "copies"
        self.world: Any = sandbox.World(seed=7, scale=0.02)
        self.stripe = sandbox.serve(world=self.world)
        self.process = subprocess.Popen(
            [sys.executable, killed_lives.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def run(self, **order: Any) -> dict[str, Any]:
        """One run to its end."""
        self.folder.mkdir(exist_ok=True)
        options = {"tables": list(TABLES), "api_base": self.stripe.url, "api_key": self.stripe.api_key}
        told = json.dumps({"folder": str(self.folder), "options": options, **order})
        assert self.process.stdin and self.process.stdout
        print(told, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def start_from(self, copy: Path) -> None:
        """The folder is as it is in a copy."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(copy, self.folder)

    def changes(self) -> None:
        """New, changed and deleted objects, and a child more."""
        self.world.advance(3_600)
        there = [each.object for each in self.world.dump()["customers"] if each.listed and not each.deleted]
        self.world.update("customer", there[0]["id"], name="Renamed")
        self.world.delete("customer", there[1]["id"])
        self.world.create("customer", name="New")
        transfer = self.world.create("transfer", amount=700)["id"]
        self.world.create("transfer_reversal", transfer=transfer, amount=200)
        self.world.advance(86_400)
        self.world.live(20)
        self.world.advance(3_600)

    def rows(self) -> dict[str, Any]:
        """All rows; a key that is there twice is an error."""
        with duckdb.connect(str(self.folder / "killed.duckdb"), read_only=True) as connection:
            return snapshot(connection, "stripe")

    def differences(self, dump: Any) -> list[str]:
        """Where the tables differ from Stripe."""
        with duckdb.connect(str(self.folder / "killed.duckdb"), read_only=True) as connection:
            return [line for name in TABLES
                    for line in differences(connection, "stripe", name, dump[name], self.world.books.account)]

    def sweep(self, half: int, **order: Any) -> int:
        """Run, and start again from what a kill would have left at each operation; how many operations there were.

        Where no name and no byte in the folder differs from how it was at the operation before (a transaction began,
        a folder was made that was there), what a kill leaves is the same, and so would be what comes of it.
        """
        dump, before = self.world.dump(), self.rows() if self.folder.exists() else {}
        whole = self.run(copies=str(self.copies), **order)
        operations = whole.pop("operations")
        states = [number for number, (_, differs) in enumerate(operations, 1) if differs]
        found = [f"the whole run: {whole}"] if whole.get("exit_code") != 0 or whole["pending"] else []
        found += [f"the whole run: {line}" for line in self.differences(dump)]
        for number in states[half::HALVES]:
            self.start_from(self.copies / str(number))
            try:
                again = self.run(**order)
                wrong = [] if again.get("exit_code") == 0 and not again["pending"] else [str(again)]
                wrong += self.differences(dump) + wrong_changes(before, self.rows())
            except (AssertionError, duckdb.Error) as error:
                wrong = [repr(error)]
            found += [f"killed before {number}, {operations[number - 1][0]}: {line}" for line in wrong[:3]]
        print(f"{len(operations)} operations, {len(states)} states of the folder, {len(states[half::HALVES])} lives")

        assert found == []
        return len(operations)


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """A sandbox and an empty folder."""
    made = Lives(tmp_path)
    yield made
    made.process.communicate()
    made.stripe.close()
    shutil.rmtree(tmp_path, ignore_errors=True)  # a gigabyte, of links for the most part


@pytest.mark.soak
@pytest.mark.parametrize("half", range(HALVES))
def test_a_first_load_killed_at_any_operation(lives: Lives, half: int) -> None:
    """What was read, extracted, normalized or loaded before the kill is neither lost nor there twice."""
    assert lives.sweep(half) > 300


@pytest.mark.soak
@pytest.mark.parametrize("half", range(HALVES))
def test_an_incremental_load_killed_at_any_operation(lives: Lives, half: int) -> None:
    """No change is lost: a position in the change feed never gets ahead of what was loaded."""
    lives.run()
    lives.changes()

    assert lives.sweep(half) > 150
