"""The sandbox's events and lists may be late, behind, out of order and repeated, as Stripe's are."""
from __future__ import annotations

import json

import pytest
from sandbox_answers import Reader, ids

from stripe_source import sandbox

DAY = 86400


@pytest.fixture
def nothing() -> Reader:
    """Accounts without objects."""
    return Reader(sandbox.World(empty=True))


# --- late events (stripe_facts.md 10: "the events list is not immediately consistent")


def test_events_appear_late_and_out_of_order(nothing: Reader) -> None:
    """Each after a time of its own, in its old place; a single event can be read at once."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(events=60)
    made: list[str] = []
    seen: set[str] = set()
    overtaken = 0
    for _ in range(40):
        world.create("customer")
        made.append(world.dump()["events"][0].object["id"])
        world.advance(1)
        now = ids(nothing.read("/v1/events"))
        come = [made.index(id) for id in now if id not in seen]
        overtaken += any(made.index(id) > min(come) for id in seen) if come else 0
        seen |= set(now)

        assert now == [id for id in reversed(made) if id in now]
    assert 0 < len(seen) < 40
    assert overtaken > 0
    assert nothing.get(f"/v1/events/{next(id for id in made if id not in seen)}")["object"] == "event"
    world.advance(60)
    assert ids(nothing.read("/v1/events", limit=7)) == made[::-1]


def test_the_same_delays_in_the_same_world() -> None:
    """Whoever finds a bug can say how to make it come again."""

    def seen() -> list[list[str]]:
        reader = Reader(sandbox.World(empty=True, seed=4))
        reader.world.faults.lag = sandbox.Lag(events=20, lists=20)
        found = []
        for _ in range(10):
            reader.world.create("customer")
            reader.world.advance(2)
            found.append(ids(reader.read("/v1/events")) + ids(reader.read("/v1/customers")))
        return found

    assert seen() == seen()


def test_faults_change_what_is_seen_and_not_what_happens() -> None:
    """A world that lags and repeats itself holds the same objects as one that does not."""
    one, other = sandbox.World(scale=0.03), sandbox.World(scale=0.03)
    other.faults.lag, other.faults.duplicates = sandbox.Lag(events=60, lists=60), 0.5
    for world in (one, other):
        world.live(30)
        world.advance(DAY)
        world.live(30)
    dumps = [{table: truths for table, truths in world.dump().items() if table != "events"} for world in (one, other)]

    assert dumps[0] == dumps[1]


# --- lists that are behind (peers.md 4; stripe_facts.md 18: retrieving is read-your-writes)


def test_lists_are_behind_and_single_objects_are_not(nothing: Reader) -> None:
    """New ones come late, changed ones are as they were, deleted ones are still there; it never goes backwards."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=30)
    late = 0
    for _ in range(6):
        id = world.create("customer", name="1")["id"]
        states: list[str | None] = [None]
        for name in ("2", "3", None):
            for _ in range(20):
                shown = next((each["name"] for each in nothing.read("/v1/customers") if each["id"] == id), None)
                if shown != states[-1]:
                    states.append(shown)
                world.advance(1)
            if name is not None:
                assert world.update("customer", id, name=name) == nothing.get(f"/v1/customers/{id}")
            else:
                world.delete("customer", id)
                assert nothing.get(f"/v1/customers/{id}") == {"id": id, "object": "customer", "deleted": True}
                late += id in ids(nothing.read("/v1/customers"))
        world.advance(30)
        shown = [each for each in nothing.read("/v1/customers") if each["id"] == id]

        assert shown == []
        assert states[:1] == [None] and states[1:] == sorted(filter(None, states))  # no version comes back
        assert all(each.deleted for each in world.dump()["customers"] if each.object["id"] == id)
    assert late > 0


def test_an_embedded_list_is_as_old_as_its_parent(nothing: Reader) -> None:
    """Items of a subscription by its list, by their own list, and as lines expand: of one moment."""
    world = nothing.world
    made = world.create("subscription")
    path, own = f"/v1/subscriptions/{made['id']}", {"subscription": made["id"]}
    charge = world.create("charge", amount=5000)
    world.faults.lag = sandbox.Lag(lists=40)
    counts = set()
    for number in range(12):
        world.create("subscription_item", subscription=made["id"], price=world.create("price", recurring={
            "interval": "month"})["id"])
        world.create("refund", charge=charge["id"], amount=10)
        exact = nothing.get(path)["items"]
        assert exact["total_count"] == number + 2
        for _ in range(12):
            shown = next(each for each in nothing.read("/v1/subscriptions") if each["id"] == made["id"])["items"]
            alone = nothing.read("/v1/subscription_items", own)
            listed = nothing.get("/v1/charges", {"expand[]": "data.refunds"})["data"][0]["refunds"]
            known = nothing.read("/v1/refunds")

            assert ids(shown["data"]) == ids(alone)[:10] and shown["total_count"] == len(alone)
            assert ids(listed["data"]) == ids(known)[:10]
            counts.add(shown["total_count"] - exact["total_count"])
            world.advance(1)
    assert min(counts) < max(counts) <= 0
    world.advance(40)
    assert nothing.read("/v1/subscriptions") == [nothing.get(path)]


def test_filters_go_by_what_is_shown(nothing: Reader) -> None:
    """A canceled subscription stays among the active ones for a while, and looks it."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=3600)
    made = [world.create("subscription")["id"] for _ in range(8)]
    world.advance(3600)
    for id in made:
        world.delete("subscription", id)
    world.advance(600)
    active = nothing.read("/v1/subscriptions")
    ended = nothing.read("/v1/subscriptions", {"status": "canceled"})

    assert {each["status"] for each in active} == {"active"} and {each["status"] for each in ended} == {"canceled"}
    assert sorted(ids(active) + ids(ended)) == sorted(made)
    assert {nothing.get(f"/v1/subscriptions/{id}")["status"] for id in made} == {"canceled"}


def test_a_listed_one_may_be_no_cursor(nothing: Reader) -> None:
    """What is deleted and still listed cannot be paged from (stripe_facts.md 4)."""
    world = nothing.world
    made = [world.create("customer")["id"] for _ in range(3)]
    world.faults.lag = sandbox.Lag(lists=10**6)
    world.delete("customer", made[1])

    assert ids(nothing.read("/v1/customers")) == made[::-1]
    assert nothing.ask("/v1/customers", {"limit": 1, "starting_after": made[1]})[0] == 400


def test_all_is_well_again_when_faults_are_cleared(nothing: Reader) -> None:
    """Events and lists are up to date at once."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(events=10**6, lists=10**6)
    made = [world.create("customer")["id"] for _ in range(5)]

    assert nothing.read("/v1/customers") == nothing.read("/v1/events") == []
    world.faults.clear()
    assert ids(nothing.read("/v1/customers")) == made[::-1]
    assert len(nothing.read("/v1/events")) == 5
    with pytest.raises(ValueError, match="`-1` for `lists`"):
        sandbox.Lag(lists=-1)


def test_v2_lists_are_behind_too(nothing: Reader) -> None:
    """As the others."""
    world = nothing.world
    world.faults.lag = sandbox.Lag(lists=10**6)
    world.populate("v2_core_event_destinations", 1)

    assert nothing.get("/v2/core/event_destinations")["data"] == []
    world.advance(10**6)
    assert len(nothing.get("/v2/core/event_destinations")["data"]) == 1


def test_lists_of_a_world_that_lags_come_to_their_end() -> None:
    """They show each object once, and none that is not there."""
    reader = Reader(sandbox.World(scale=0.3))
    reader.world.faults.lag = sandbox.Lag(events=60, lists=60)
    reader.world.live(150)
    for path, table in (("/v1/customers", "customers"), ("/v1/charges", "charges"), ("/v1/events", "events")):
        ids = [each["id"] for each in reader.read(path)]

        assert len(ids) == len(set(ids)) > 100
        assert set(ids) <= {each.object["id"] for each in reader.world.dump()[table]}


# --- ties and repetitions (stripe_facts.md 10: "not ordered, may repeat")


def test_changes_of_one_second_share_it(nothing: Reader) -> None:
    """Several events of one object with one `created`; the list has the last of them first, unless told to shuffle."""
    world = nothing.world
    id = world.create("customer", name="0")["id"]
    for number in range(1, 30):
        world.update("customer", id, name=str(number))
    world.advance(1)
    world.update("customer", id, name="30")
    events = nothing.read("/v1/events")

    assert [each["data"]["object"]["name"] for each in events] == [str(number) for number in range(30, -1, -1)]
    assert len({each["created"] for each in events}) == 2
    world.faults.shuffle_ties = True
    shuffled = nothing.read("/v1/events", limit=7)
    assert shuffled[0]["data"]["object"]["name"] == "30"
    assert ids(shuffled) != ids(events) and sorted(ids(shuffled)) == sorted(ids(events))
    assert ids(nothing.read("/v1/events", limit=3)) == ids(shuffled)  # in an order that stays
    since = {"created[gte]": world.now - 1, "created[lt]": world.now}
    assert ids(nothing.read("/v1/events", since, limit=4)) == ids(shuffled)[1:]


def test_an_event_may_come_twice(nothing: Reader) -> None:
    """Two Event objects for one change: other ids, the same content."""
    world = nothing.world
    world.faults.duplicates = 0.5
    for _ in range(40):
        world.create("customer")
    events = nothing.read("/v1/events")
    contents = [json.dumps({**each, "id": None}) for each in events]

    assert len(set(ids(events))) == len(events)
    assert len(set(contents)) == 40 < len(contents) < 80
