"""Tables that are run one by one, as tasks of a scheduler do: each in a run of its own, with nothing but the state."""
from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import pytest
from account import Account

from stripe_source import stripe_source
from stripe_source.errors import NotPicklable
from stripe_source.extract.changes.seen import FeedMemory, FeedPass, NotedEvents, needed_passes

TABLES = "customers;products"
EACH_TASK = {"/v1/account", "/v1/events"}  # what a task asks for whatever its table is


class Tasks:
    """Runs each table of an account as a task of its own, which keeps nothing on the machine."""

    def __init__(self, account: Account) -> None:
        self.account, self.world = account, account.world

    def source(self, tables: str) -> Any:
        return stripe_source(tables=tables, api_base=self.account.stripe.url, api_key=self.account.stripe.api_key)

    def run(self, *names: str, tables: str = TABLES) -> Counter[str]:
        """Run some tables of a source, one by one, or all in one run; answers with how often each path was asked for.

        Args:
            names: of the tables; none: all in one run.
            tables: those of the source.
        """
        first = len(self.world.requests)
        for name in names or ("",):
            pipeline = self.account.new_pipeline().drop()
            source = self.source(tables)
            pipeline.run(source.with_resources(name) if name else source)
        return Counter(request.path for request in self.world.requests[first:])


@pytest.fixture
def tasks(account: Account) -> Tasks:
    return Tasks(account)


def without(asked: Counter[str]) -> dict[str, int]:
    """What was asked for beside what each task asks for."""
    return {path: number for path, number in asked.items() if path not in EACH_TASK}


def test_tables_one_by_one_are_right_in_any_order_and_cost_what_one_run_costs(tasks: Tasks) -> None:
    """All in one second of Stripe's: what one task has seen of the feed, the other one has not.

    Each task asks whose key it is, and reads the events since its own last run; objects are asked for by nobody.
    """
    customer, product = tasks.world.create("customer", name="1")["id"], tasks.world.create("product", name="1")["id"]
    tasks.run()
    tasks.world.update("customer", customer, name="2")
    tasks.world.update("product", product, name="2")
    changed = tasks.run("products", "customers")
    right = tasks.account.differences(TABLES)
    tasks.world.update("customer", customer, name="3")
    tasks.world.update("product", product, name="3")
    still = tasks.run("customers", "products")

    assert right == tasks.account.differences(TABLES) == []
    assert without(changed) == without(still) == {}
    assert (changed["/v1/account"], still["/v1/account"]) == (2, 2)
    assert changed["/v1/events"] == still["/v1/events"]


def test_a_task_that_failed_and_is_tried_again_finds_what_it_had_read(tasks: Tasks) -> None:
    """It ended before it loaded, and its folder is gone; another task has read the feed since."""
    id = tasks.world.create("customer", name="Before")["id"]
    tasks.run("customers", "products")
    tasks.world.update("customer", id, name="After")
    pipeline = tasks.account.new_pipeline().drop()
    pipeline.sync_destination()
    pipeline.extract(tasks.source(TABLES).with_resources("customers"))
    tasks.run("products", "customers")

    assert tasks.account.differences(TABLES) == []


def test_children_without_their_parents_find_what_has_no_events(tasks: Tasks) -> None:
    """Stripe has no event of a checkout session that was opened; its lines are found in the list of the open ones."""
    both = "checkout_sessions;checkout_session_line_items"
    tasks.run("checkout_session_line_items", tables=both)
    before = tasks.account.query("SELECT count(*) FROM stripe.checkout_session_line_items")
    opened = {each.id for each in tasks.world.books.all("checkout.session")}
    for _ in range(40):
        tasks.world.live(5)
        if opened != {each.id for each in tasks.world.books.all("checkout.session")}:
            break
    tasks.run("checkout_session_line_items", tables=both)

    assert tasks.account.differences("checkout_session_line_items") == []
    assert tasks.account.query("SELECT count(*) FROM stripe.checkout_session_line_items") > before


def test_the_change_feed_is_no_task_and_no_asset(tasks: Tasks) -> None:
    """Schedulers make one of each resource that is selected. Selected by itself it has no rows, and is no error."""
    source = tasks.source(TABLES)
    parts = [list(part.selected_resources) for part in source.decompose("scc")]
    asked = tasks.run("changes")

    assert sorted(parts) == [["customers"], ["products"]]
    assert list(source.resources) == ["customers", "products", "changes"]
    assert list(source.selected_resources) == ["customers", "products"]
    assert asked == {}


def test_a_source_is_not_pickled(tasks: Tasks) -> None:
    """Neither its key nor half of it: the error says what to pickle instead, and that works."""
    with pytest.raises(NotPicklable, match="a function of a module") as found:
        pickle.dumps(tasks.source(TABLES))
    made = pickle.loads(pickle.dumps(make))()

    assert tasks.account.stripe.api_key not in str(found.value)
    assert list(made.resources) == ["coupons", "changes"]


def make() -> Any:
    """A source, made where it runs."""
    return stripe_source(tables="coupons", api_key="sk_test_0123456789abcdef")


# ---- what is kept of the passes


def noted(memory: FeedMemory, events: list[tuple[str, int]]) -> str:
    notes = NotedEvents(0)
    notes.add([{"id": id, "created": second} for id, second in events])
    return notes.text(memory.seen())


@pytest.mark.parametrize("most", [2_000, 1])
def test_a_pass_notes_what_no_pass_before_had_seen(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one where there are few, else second by second. A table knows the passes up to its own."""
    monkeypatch.setattr("stripe_source.extract.changes.seen.MOST_EVENTS", most)
    first, second = [("evt_1", 1), ("evt_2", 2)], [("evt_1", 1), ("evt_2", 2), ("evt_3", 3), ("evt_4", 3)]
    one = FeedPass(1, 10, noted(FeedMemory(), first))
    two = FeedPass(2, 20, noted(FeedMemory(1, [one]), second))
    memory = FeedMemory(2, [one, two])
    events = [{"id": id, "created": at} for id, at in second]

    assert memory.seen(1).among(events) == {"evt_1", "evt_2"}
    assert memory.seen(2).among(events) == {"evt_1", "evt_2", "evt_3", "evt_4"}
    assert noted(memory, second) == ""
    assert len(two.seen) <= len(one.seen)


def test_only_passes_that_a_table_goes_by_are_kept_and_not_too_many() -> None:
    """Those within the lookback of a table's position, and of too much the newest."""
    passes = [FeedPass(number, number * 1_000, "e" + "A" * 100) for number in range(1, 11)]
    long = [FeedPass(number, 1_000 + number, "e" + "A" * 15_000) for number in range(1, 11)]

    assert [each.number for each in needed_passes(passes, [(3, 3_000), (9, 9_000)], 600)] == [3, 9]
    assert [each.number for each in needed_passes(passes, [(9, 9_000)], 1_500)] == [8, 9]
    assert needed_passes(passes, [], 600) == []
    assert [each.number for each in needed_passes(long, [(10, 1_010)], 600)] == [9, 10]


def test_a_state_of_one_position_for_all_tables_is_understood(tasks: Tasks) -> None:
    """As it was kept before passes had numbers: what was seen then is not asked for or applied again."""
    id = tasks.world.create("customer", name="Before")["id"]
    tasks.run()
    pipeline = tasks.account.new_pipeline()
    with pipeline.managed_state() as state:
        ours: Any = state["sources"]["stripe"]
        (last,) = ours["feed"].pop("passes")
        ours["feed"] = {"at": last["at"], "seen": last["seen"]}
        for name in TABLES.split(";"):
            assert ours["resources"][name].pop("feed_pass") == last["number"]
            ours["resources"][name].pop("read_whole", None)
    tasks.world.update("customer", id, name="After")
    first = len(tasks.world.requests)
    pipeline.run(tasks.source(TABLES))
    paths = [request.path for request in tasks.world.requests[first:]]
    kept: Any = pipeline.state["sources"]["stripe"]

    assert tasks.account.differences(TABLES) == []
    assert [path for path in paths if path not in EACH_TASK] == []
    assert [each["number"] for each in kept["feed"]["passes"]] == [0, 1]
