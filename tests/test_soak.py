"""A life of changes, runs, kills and delays, drawn by hypothesis; after each settled run the copy equals the dump.

`test_a_short_life` is part of the suite. `test_a_long_life` is the soak: the same machine, hundreds of lives. What it
found is kept as stories in test_feed_*.py.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import dlt
import duckdb
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from truth import ELSEWHERE, KEYS, differences, snapshot, wrong_changes

from stripe_source import sandbox
from stripe_source.extract.channel import Channel
from stripe_source.load.sync import sync
from stripe_source.sandbox.scenario import life
from stripe_source.sandbox.state.faults import Fault, Lag

GROUPS: dict[str, list[str]] = {
    "people": ["customers", "customer_cards", "customer_bank_accounts", "tax_ids", "payment_methods"],
    "catalogue": ["products", "prices", "plans", "coupons", "promotion_codes", "tax_rates"],
    "subscriptions": ["customers", "subscriptions", "subscription_items", "prices", "tax_rates"],
    "invoices": ["invoices", "invoice_line_items", "invoice_items", "invoice_payments", "credit_notes"],
    "discounts": [
        "customers", "subscriptions", "subscription_items", "invoices", "invoice_line_items", "invoice_items",
        "discounts",
    ],
    "money": ["charges", "refunds", "disputes", "balance_transactions", "payouts", "payout_balance_transactions"],
    "lists": ["webhook_endpoints", "radar_value_lists", "radar_value_list_items", "quotes", "shipping_rates"],
    "shop": ["checkout_sessions", "checkout_session_line_items", "setup_intents", "transfers", "transfer_reversals"],
}
UPDATES = {  # object -> a field that an update changes, by group
    "people": ("customer", "name"), "catalogue": ("product", "description"), "subscriptions": ("customer", "name"),
    "invoices": ("invoice", "description"), "discounts": ("customer", "name"), "money": ("charge", "description"),
    "lists": ("webhook_endpoint", "description"), "shop": ("transfer", "description"),
}
CREATES = {  # object that can be deleted again, by group
    "people": "customer", "catalogue": "product", "subscriptions": "customer", "invoices": "invoiceitem",
    "discounts": "customer", "lists": "webhook_endpoint",
}
PARENTS = {  # object that others belong to, and its list, by group
    "people": ("customer", "/v1/customers"), "subscriptions": ("subscription", "/v1/subscriptions"),
    "invoices": ("invoice", "/v1/invoices"), "discounts": ("invoice", "/v1/invoices"),
    "shop": ("checkout.session", "/v1/checkout/sessions"),
}
WRONG_ANSWERS: list[dict[str, Any]] = [
    {"wrong": "empty"}, {"wrong": "object"}, {"wrong": "list"}, {"wrong": "error"}, {"cut": 200}, {"status": 500},
    {"disconnect": True},
]
LONGEST_LAG = 300  # seconds; the overlap of two runs is twice that
# What Stripe never tells about old objects, the registry says so (`silent`); the first five are such changes.
SILENT = life.SILENT[5:]


class Killed(BaseException):
    """A process that ended in the middle."""


class Copy:
    """A sandbox, and a pipeline that copies some of its tables."""

    templates: dict[str, Path] = {}  # noqa: RUF012 - one first load per group serves all lives
    folder: Path

    def __init__(self, group: str, *, fresh: bool = False) -> None:
        self.group, self.tables = group, GROUPS[group]
        self.dir = Path(tempfile.mkdtemp(dir=self.folder))
        self.world = sandbox.World(seed=7, scale=0.02)
        self.stripe = sandbox.serve(world=self.world)
        self.stripe.__enter__()
        self.alive: dict[str, set[Any]] = {}
        self.bad: list[Fault] = []  # faults that stay: a run says what it could not read
        if not fresh:
            if group not in self.templates:
                first = self.dir / "first"
                self.at(first)
                self.run()
                self.templates[group] = first
            shutil.copytree(self.templates[group], self.dir / "copy")
        self.at(self.dir / "copy")

    def at(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / "copy.duckdb"
        self.pipelines = folder / "pipelines"

    def close(self) -> None:
        self.stripe.__exit__(None, None, None)
        if self.dir not in [template.parent for template in self.templates.values()]:
            shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, **options: Any) -> Any:
        pipeline = dlt.pipeline(
            "soak", destination=dlt.destinations.duckdb(str(self.file)), dataset_name="stripe",
            pipelines_dir=str(self.pipelines),
        )
        given: dict[str, Any] = {"tables": self.tables, **options}
        before = self.rows()
        with patch("stripe_source.api.client.FIRST_WAIT", 0.001):
            result = self._sync(pipeline, given)
        assert wrong_changes(before, self.rows()) == []
        if not self.bad:
            assert {name: (t.status, t.reason) for name, t in result.tables.items() if t.status != "ok"} == {}
        return result

    def _sync(self, pipeline: dlt.Pipeline, given: dict[str, Any]) -> Any:
        return sync(pipeline, api_base=self.stripe.url, api_key=self.stripe.api_key, **given)

    def rows(self) -> dict[str, Any]:
        """All rows that the copy has, by table and key."""
        if not self.file.exists():
            return {}
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return snapshot(connection, "stripe")

    def compare(self) -> None:
        """The copy against the dump: every row and value, and what was there once is flagged."""
        dump, account = self.world.dump(), self.world.books.account
        with duckdb.connect(str(self.file), read_only=True) as connection:
            found = []
            for name in self.tables:
                key = ", ".join(KEYS.get(name, ("id",)))
                rows = connection.execute(f"SELECT {key}, _deleted, _deleted_at FROM stripe.{name}").fetchall()
                now = {row[:-2] for row in rows if not row[-2]}
                flagged = {row[:-2] for row in rows if row[-2] and row[-1] is not None}
                truths = [  # what is in no list is found where it is shown, in tables that may not be among these
                    truth for truth in dump.get(name, [])
                    if truth.listed or name not in ELSEWHERE or (truth.object["id"],) in now
                ]
                found += differences(connection, "stripe", name, truths, account)
                found += [f"{name} {lost} went without a flag" for lost in self.alive.get(name, set()) - now - flagged]
                self.alive[name] = self.alive.get(name, set()) | now
        assert found == []


class Life(RuleBasedStateMachine):
    """What may happen to an account and to those who copy it."""

    def __init__(self) -> None:
        super().__init__()
        self.copy: Copy | None = None
        self.lost = False  # something has to be compared again to be found

    @initialize(group=st.sampled_from(sorted(GROUPS)), fresh=st.integers(0, 9))
    def begin(self, group: str, fresh: int) -> None:
        self.copy = Copy(group, fresh=fresh == 0)
        self.world, self.run = self.copy.world, self.copy.run

    def teardown(self) -> None:
        if self.copy:
            try:
                self.settled()
            finally:
                self.copy.close()

    @rule(steps=st.integers(1, 8), seed=st.integers(0, 99))
    def life(self, steps: int, seed: int) -> None:
        self.world.live(steps, rng=Random(seed))

    @rule(steps=st.integers(1, 5), seed=st.integers(0, 99))
    def silent_life(self, steps: int, seed: int) -> None:
        with patch.object(life, "SILENT", SILENT):
            self.world.live(steps, rng=Random(seed), silent="only")

    @rule(times=st.integers(1, 4), which=st.integers(0, 10**6))
    def updates_in_one_second(self, times: int, which: int) -> None:
        assert self.copy
        object_, name = UPDATES[self.copy.group]
        records = [each for each in self.world.books.all(object_) if not each.hidden]
        for number in range(times if records else 0):
            self.world.update(object_, records[which % len(records)].id, **{name: f"Version {number % 3}"})

    @rule(after=st.sampled_from([0, 0, 1, 90]))
    def comes_and_goes(self, after: int) -> None:
        assert self.copy
        if object_ := CREATES.get(self.copy.group):
            made = self.world.create(object_)
            self.world.advance(after)
            self.world.delete(object_, made["id"])

    @rule(seed=st.integers(0, 99))
    def comes_again(self, seed: int) -> None:
        """A product with an id of one's own is deleted and made again under it."""
        if self.world.books.find("product", "prod_again"):
            self.world.delete("product", "prod_again")
            if seed % 2:
                return
        self.world.create("product", id="prod_again", name=f"Again {seed}")

    @rule(seconds=st.sampled_from([1, 1, 61, 400, 3_600, 86_400, 5 * 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.copy is not None)
    @rule(often=st.integers(0, 5))
    def weeks_pass(self, often: int) -> None:
        if often == 0:
            self.world.advance(45 * 86_400)

    @rule(events=st.sampled_from([0, 30, LONGEST_LAG]), lists=st.sampled_from([0, 20, LONGEST_LAG]))
    def lists_are_behind(self, events: int, lists: int) -> None:
        self.world.faults.lag = Lag(events=events, lists=lists) if events or lists else None

    @rule(ties=st.booleans(), twice=st.sampled_from([0.0, 0.5]), stubs=st.booleans())
    def events_are_strange(self, ties: bool, twice: float, stubs: bool) -> None:
        self.world.faults.shuffle_ties, self.world.faults.duplicates = ties, twice
        self.world.faults.deleted_stubs = stubs

    @rule(
        path=st.sampled_from([r"/v1/(?!account).*", "/v1/events", "/v1/account"]), after=st.integers(0, 5),
        how=st.sampled_from(WRONG_ANSWERS),
    )
    def an_answer_is_wrong(self, path: str, after: int, how: dict[str, Any]) -> None:
        """Once: empty in the middle, about something else, cut, or none."""
        self.world.faults.add(path, times=1, after=after, **how)

    @rule(which=st.integers(0, 10**6), status=st.sampled_from([400, 500]))
    def one_parent_is_bad(self, which: int, status: int) -> None:
        """One object and what belongs to it cannot be read by its id, until somebody mends that."""
        assert self.copy
        if self.copy.group in PARENTS:
            object_, path = PARENTS[self.copy.group]
            records = [each for each in self.world.books.all(object_) if not each.hidden]
            if records:
                bad = f"{path}/{records[which % len(records)].id}(/.*)?"
                self.copy.bad.append(self.world.faults.add(bad, status=status, message="This object cannot be read."))

    @rule(steps=st.integers(1, 4), seed=st.integers(0, 99))
    def events_are_lost(self, steps: int, seed: int) -> None:
        """Customers and charges change, come and go, and no event tells of it."""
        assert self.copy
        object_, name = UPDATES[self.copy.group]
        records = [each for each in self.world.books.all(object_) if not each.hidden]
        self.world.books.events_suppressed = True
        for number in range(steps if records else 0):
            self.world.update(object_, records[(seed + number) % len(records)].id, **{name: f"Lost {seed} {number}"})
        self.world.books.events_suppressed = False
        self.lost = True

    @rule()
    def an_operator_changes_a_row(self) -> None:
        """A row is changed by hand where the copy is, and comes right within `resync`."""
        assert self.copy
        object_, name = UPDATES[self.copy.group]
        table = next(each for each in self.copy.tables if each.startswith(object_))
        if not self.copy.rows().get(table):
            return
        with duckdb.connect(str(self.copy.file)) as connection:
            connection.execute(
                f"UPDATE stripe.{table} SET {name} = 'By hand', _dlt_id = 'by hand ' || id WHERE id IN "
                f"(SELECT min(id) FROM stripe.{table} WHERE NOT _deleted)")
        self.lost = True

    @rule(place=st.integers(0, 9), how=st.sampled_from(["DELETE FROM", "DROP TABLE"]))
    def an_operator_empties_a_table(self, place: int, how: str) -> None:
        """Its rows are gone, or the whole table; what Stripe still shows is there after the next run."""
        assert self.copy
        table = self.copy.tables[place % len(self.copy.tables)]
        if table in self.copy.rows():
            with duckdb.connect(str(self.copy.file)) as connection:
                connection.execute(f"{how} stripe.{table}")
            self.copy.alive.pop(table, None)

    @rule(back=st.booleans())
    def an_operator_restores_a_backup(self, back: bool) -> None:
        """The file as it was some time ago, while dlt's folder is of today."""
        assert self.copy
        backup = self.copy.dir / "backup.duckdb"
        if not back and self.copy.file.exists():
            shutil.copy(self.copy.file, backup)
        elif back and backup.exists():
            self.copy.file.with_name("copy.duckdb.wal").unlink(missing_ok=True)
            shutil.copy(backup, self.copy.file)
            self.copy.alive.clear()

    @rule()
    def events_are_hours_late(self) -> None:
        """Later than two runs overlap: what they tell of is found by the resync."""
        self.world.faults.lag = Lag(events=7_200)
        self.lost = True

    @rule(version=st.sampled_from(["2024-06-20", sandbox.World(empty=True).event_version]))
    def the_version_changes(self, version: str) -> None:
        self.world.event_version = version

    @rule()
    def runs(self) -> None:
        self.run()

    @rule(every=st.integers(2, 6), seed=st.integers(0, 99))
    def runs_while_life_goes_on(self, every: int, seed: int) -> None:
        rng = Random(seed)

        def happen(number: int) -> None:
            if number % every == 0:
                self.world.live(1, rng=rng)

        self.world.on_request = happen
        try:
            self.run()
        finally:
            self.world.on_request = None

    @rule(when=st.integers(1, 40))
    def is_killed_while_reading(self, when: int) -> None:
        with killed_at_take(when), survives():
            self.run()

    @rule(phase=st.sampled_from(["normalize", "load"]))
    def is_killed_between_the_phases(self, phase: str) -> None:
        with patch.object(dlt.Pipeline, phase, side_effect=Killed), survives():
            self.run()

    @rule(after=st.booleans())
    def is_killed_while_loading(self, after: bool) -> None:
        """Before the package is complete, or right after."""
        from dlt.load.load import Load

        whole = Load.complete_package

        def ends(load: Any, *args: Any, **given: Any) -> None:
            if after:
                whole(load, *args, **given)
            raise Killed

        with patch.object(Load, "complete_package", ends), survives():
            self.run()

    @rule(place=st.integers(0, 9))
    def a_table_is_left_out(self, place: int) -> None:
        """A run without one of the tables: it comes late to the next."""
        assert self.copy
        tables = self.copy.tables
        self.run(tables=[name for number, name in enumerate(tables) if number != place % len(tables)])

    @rule(place=st.integers(0, 9))
    def a_table_is_refreshed(self, place: int) -> None:
        assert self.copy
        self.run(refresh=[self.copy.tables[place % len(self.copy.tables)]])

    @rule()
    def settled(self) -> None:
        assert self.copy
        self.world.advance(LONGEST_LAG)  # what was behind is up to date now
        while self.copy.bad:
            self.copy.bad.pop().remove()
        self.run()
        lag = self.world.faults.lag
        if self.lost or (lag and lag.events > LONGEST_LAG):
            self.world.advance(86_400)
            self.run(resync="1d")
            self.lost = False
        self.copy.compare()


@contextmanager
def survives() -> Iterator[None]:
    """The machine goes on after the process was killed."""
    with suppress(Killed):
        yield


@contextmanager
def killed_at_take(when: int) -> Iterator[None]:
    """The process ends when dlt asks the reader for the n-th time."""
    asked, ask = 0, Channel.next

    def next_(handover: Channel, table: str, patience: float = 0.05) -> Any:
        nonlocal asked
        asked += 1
        if asked == when:
            raise Killed
        return ask(handover, table, patience)

    with patch.object(Channel, "next", next_):
        yield


def live(examples: int, steps: int) -> None:
    chance = bool(os.environ.get("SOAK_RANDOM"))  # otherwise the same lives each time
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=not chance, database=None,
            suppress_health_check=list(HealthCheck), print_blob=True,
            phases=[Phase.generate, Phase.shrink] if os.environ.get("SOAK_SHRINK") else [Phase.generate],
        ),
    )


@pytest.fixture
def _folder(tmp_path: Path) -> Iterator[None]:
    Copy.folder, Copy.templates = tmp_path, {}
    yield


@pytest.mark.usefixtures("_folder")
def test_a_short_life() -> None:
    """A few lives, in every suite."""
    live(examples=2, steps=6)


@pytest.mark.soak
@pytest.mark.usefixtures("_folder")
def test_a_long_life() -> None:
    """Hundreds of lives."""
    live(examples=int(os.environ.get("SOAK_EXAMPLES", "500")), steps=6)
