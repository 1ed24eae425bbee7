"""A newer version goes on from what an earlier one left, and reads nothing twice.

The recordings are of version 0.1.0, whose state in dlt had no version number and consisted of these dicts and values.

State of the source, `sources.stripe`:

- `account_id` (str): what `_account_id` is; the account's id, or "self" where the key could not read it.
- `livemode` (bool): whether the data is live.
- `feed` ({at: int, seen: [str]}): the second of the last run that read the change feed, and the marks (11 characters of
  base64) of the events within the lookback that it saw.
- `backfill` (list -> {tables: [str], position: int, start: int | null, end: int | null, again: bool, until: int,
  gaps: {number of the pass as text: [[low, high]]}}): first loads that are under way; absent when there are none.
- `loaded` (str): id of the last load with rows, so that every load moves the state.

State of a resource, `sources.stripe.resources.<table>`:

- `position` (int), `whole` (bool), `whole_at` (int), `start` (int | null), `refused` (bool): of tables that go by the
  change feed: the second up to which it was applied, whether the last run read the table whole, when one did last, from
  which second on; and whether the key was refused.
- `id` (str), `id_created` (int): the object where marker "id" goes on.
- `loaded` (bool): of children that go by their parents' cursor: they were complete.
- `history` (bool): every row has a version in `<table>_history`.
- `incremental.<field>`: dlt's own, of marker "created".

Local state, `_local`, which stays on the machine:

- `stripe_loads` (int | null): how many loads the destination had when the pending one was begun.
- `stripe_demo_business` ([seed, scale, days]): of `stripe-source demo` only; not recorded.
"""
from __future__ import annotations

import json
import math
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import dlt
import duckdb
import pytest
from later import later
from recorded.worlds import (
    BOUNDED,
    CUT,
    DATASET,
    FED,
    FILES,
    LATE,
    OTHERS,
    PIPELINE,
    REFUSED,
    START,
    Crowd,
    Shop,
    fingerprint,
    options,
)
from truth import differences

from stripe_source import sandbox
from stripe_source.load.sync import sync

# What this version expands besides, so that their tables are read whole once
MAPPED_OTHERWISE = "/v1/checkout/sessions", "/v1/coupons", "/v1/credit_notes", "/v1/invoices"
LOOKBACK = 600  # seconds: the default of the option


class Left:
    """What an earlier version left of a pipeline, and the world that it was of."""

    def __init__(self, name: str, recording: Path, world: Any, folder: Path) -> None:
        self.name, self.world, self.folder = name, world, folder
        self.manifest = json.loads((recording / "manifest.json").read_text())
        self.file = folder / "account.duckdb"
        shutil.copy(recording / "account.duckdb", self.file)
        shutil.copytree(recording / "pipeline", folder / "first" / PIPELINE)
        world.faults.lag = None
        self.stripe = sandbox.serve(world=world)

    def run(self, machine: str = "first", **given: Any) -> Any:
        """A run on the machine where the working folder is, or on another one."""
        destination = dlt.destinations.duckdb(str(self.file))
        pipeline = dlt.pipeline(
            PIPELINE, pipelines_dir=str(self.folder / machine), destination=destination, dataset_name=DATASET
        )
        return sync(pipeline, **{**options(self.world, self.stripe.url, self.name), **given})

    def asked(self, machine: str = "first", **given: Any) -> list[Any]:
        """The requests of a run."""
        first = len(self.world.requests)
        self.run(machine, **given)
        return list(self.world.requests[first:])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def differences(self, *tables: str) -> list[str]:
        """Where the tables differ from the sandbox's dump."""
        dump = self.world.dump()
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return [
                line for name in tables
                for line in differences(connection, DATASET, name, dump.get(name, []), self.world.books.account)
                if not (name == "events" and (
                    "should not be there" in line  # Stripe forgets them, we do not
                    or " data__object: " in line))  # what 0.1.0 has loaded keeps the secrets that it holds
            ]


def shop() -> Shop:
    """The business as the last recorded run found it."""
    world = Shop()
    world.goes_on()
    return world


WORLDS: dict[str, Callable[[], Any]] = {"finished": shop, "cut": Crowd, "pending": shop}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks a recording, and makes its DuckDB file; the first test that needs it sees that its world is the same."""

    @cache
    def unpack(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        with tarfile.open(FILES / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        with duckdb.connect(str(folder / "account.duckdb")) as connection:
            for part in ("schema.sql", "load.sql"):
                text = (folder / "database" / part).read_text()
                connection.execute(text.replace("FOLDER", str(folder / "database")))
        recorded = json.loads((folder / "manifest.json").read_text())["world"]
        assert fingerprint(WORLDS[name]()) == recorded, "the sandbox makes another world of the recorded seed"
        return folder

    return unpack


@pytest.fixture
def left(unpacked: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[[str], Left]]:
    """What a recorded pipeline left, by the name of the recording."""
    with ExitStack() as stack:

        def found(name: str) -> Left:
            found = Left(name, unpacked(name), WORLDS[name](), tmp_path)
            stack.enter_context(found.stripe)
            return found

        yield found


@pytest.fixture
def finished(left: Callable[[str], Left]) -> Left:
    return left("finished")


@pytest.fixture
def cut(left: Callable[[str], Left]) -> Left:
    return left("cut")


@pytest.fixture
def pending(left: Callable[[str], Left]) -> Left:
    return left("pending")


def read_whole(requests: Sequence[Any]) -> list[str]:
    """The lists of which a first page was asked for without any bound or filter that narrows it."""
    narrow = {"created[gte]", "ending_before", "starting_after", "status", "pending"}
    return sorted(
        request.path for request in requests
        if re.fullmatch("/v1/[a-z_/]+", request.path) and parse_qs(request.query).get("limit") == ["100"]
        and not narrow & parse_qs(request.query).keys()
    )


def bounds(requests: Sequence[Any], path: str, name: str) -> list[str]:
    """The values of a parameter in the requests of a list."""
    return [value for each in requests if each.path == path for value in parse_qs(each.query).get(name, ["none"])]


def done(result: Any) -> dict[str, tuple[int, int, int]]:
    """What a run wrote, by table; without those to which it wrote nothing."""
    counts = {name: (table.new, table.changed, table.gone) for name, table in result.tables.items()}
    return {name: count for name, count in counts.items() if any(count)}


def test_where_nothing_has_changed_nothing_more_is_asked_for(finished: Left) -> None:
    """The change that its lists did not show yet arrives; so does, once, what this version maps otherwise.

    After that not one request more than the earlier version made, but for the object that a marker names.
    """
    result = finished.run()
    asked = Counter(request.path for request in finished.asked())

    more = asked - Counter(finished.manifest["quiet"])
    assert [path for path in more if not path.startswith(("/v1/topups/", "/v1/coupons/"))] == []  # events lack a field
    assert done(result)[LATE] == (0, 1, 0)
    assert done(finished.run()) == {}
    assert {name for name, table in result.tables.items() if table.status == "no permission"} == set(REFUSED)
    assert finished.differences(*FED, *OTHERS, LATE) == []


@pytest.mark.parametrize("machine", ["first", later("other")])
def test_changes_arrive_and_no_list_is_read_again(finished: Left, machine: str) -> None:
    """Every table goes on from where it was: by the feed, from its cursor, or by a full pass where it has no other way.

    So it does on a machine that has no working folder, from the state in the destination.
    """
    (topped,), = finished.query("SELECT max_by(id, created) FROM stripe.topups")
    then, product = finished.world.now, finished.world.oldest("products")
    finished.world.moves("Monday")
    asked = finished.asked(machine)

    refused = "/v1/payment_methods"  # each time
    assert read_whole(asked) == sorted([*MAPPED_OTHERWISE, refused, "/v1/tax_rates"])
    assert bounds(asked, "/v1/customers", "limit") == ["1"]  # only to see whether cards are still refused
    assert bounds(asked, "/v1/events", "created[gte]") == [str(then - LOOKBACK)]
    assert bounds(asked, "/v1/topups", "ending_before") == [topped]
    assert finished.differences(*FED, *OTHERS, LATE) == []
    assert [name for name, in finished.query(
        f"SELECT name FROM stripe.products_history WHERE id = '{product}' ORDER BY _valid_from"
    )][1:] == ["Renamed", "One of Monday", "Two of Monday"]
    assert finished.query("SELECT count(*) FROM stripe.products_history WHERE _valid_to IS NULL") == finished.query(
        "SELECT count(*) FROM stripe.products WHERE NOT _deleted"
    )


def test_what_the_feed_does_not_tell_all_of_is_read_whole_a_day_after_it_was(finished: Left) -> None:
    """The recording has when that was. A further run has nothing to do."""
    finished.world.advance(86_400)
    finished.world.moves("Tuesday")

    whole = read_whole(finished.asked(resync=None))
    assert whole == sorted([*MAPPED_OTHERWISE, "/v1/payment_methods", "/v1/tax_rates"])
    assert finished.differences(*FED, *OTHERS, LATE) == []
    assert done(finished.run()) == {}


def test_a_table_that_was_loaded_from_a_bound_on_is_read_whole_without_it(finished: Left) -> None:
    """With the same bound the feed is enough; without it the older rows are read."""
    bounded = finished.asked(tables=BOUNDED, start=START, marker="auto", history=None)
    finished.run(tables=BOUNDED, marker="auto", history=None)

    assert [request.path for request in bounded] == ["/v1/account", "/v1/events"]
    assert finished.differences(BOUNDED) == []


def test_other_data_is_refused(finished: Left) -> None:
    """The dataset remembers whose data it holds, and of which mode."""
    account, secret = finished.world.books.account, finished.world.keys.secret
    with pytest.raises(Exception, match=account):
        finished.run(account_id=finished.world.connected[0], api_key=secret)
    live = Shop(livemode=True)
    with sandbox.serve(world=live) as stripe, pytest.raises(Exception, match="live"):
        finished.run(api_base=stripe.url, api_key=live.restricted)


@pytest.mark.parametrize("machine", ["first", later("other")])
def test_a_first_load_that_was_cut_short_goes_on(cut: Left, machine: str) -> None:
    """Only the missing spans are read; what changed in the others meanwhile is in the feed from the first page on."""
    held = {id for id, in cut.query("SELECT id FROM stripe.customers")}
    there = {truth.object["id"] for truth in cut.world.dump()["customers"] if not truth.deleted}
    old = sorted(held)
    cut.world.update("customer", old[0], name="Changed between")
    cut.world.delete("customer", old[1])
    cut.world.create("customer", name="New between")
    cut.world.advance(6 * LOOKBACK)
    resumed = bounds(cut.asked(machine), "/v1/customers", "limit")
    missing = cut.differences("customer_cards")
    later = cut.asked(machine)

    assert held < there
    assert len(there) / 100 > 30 and len(held) / 100 > 15
    assert len([limit for limit in resumed if limit == "100"]) <= math.ceil(len(there - held) / 100) + 4
    assert missing == []
    assert bounds(later, "/v1/customers", "limit") == []
    assert cut.differences(*CUT) == []


def test_what_was_read_and_not_loaded_is_loaded_first(pending: Left) -> None:
    """Packages that an earlier version left in the working folder are taken as they are."""
    asked = pending.asked()

    assert read_whole(asked) == []
    assert pending.differences(*CUT) == []


def test_what_was_read_and_not_loaded_is_dropped_where_another_machine_has_loaded_since(pending: Left) -> None:
    """Else it would write old rows over newer ones."""
    customer, name = pending.world.oldest("customers"), "Newer than what waits"
    pending.world.advance(7 * 86_400)
    pending.world.update("customer", customer, name=name)
    pending.run("other")
    result = pending.run()

    assert [note for note in result.notes if "dropped" in note] == result.notes != []
    assert pending.differences(*CUT) == []
