"""A world in bulk: an empty one, with tables of any size beside."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import orjson

from stripe_source.sandbox.bulk.figures import LAST, Figures
from stripe_source.sandbox.bulk.ids import tails
from stripe_source.sandbox.bulk.records import Below, BulkShelf
from stripe_source.sandbox.bulk.shapes import SHAPES, Donor, Shape, changed, donor
from stripe_source.sandbox.bulk.templates import PERIOD, Template, Templates, id_head, with_gaps
from stripe_source.sandbox.bulk.timelines import YEAR, Spread, timeline
from stripe_source.sandbox.endpoints import expand
from stripe_source.sandbox.errors import InvalidSetting
from stripe_source.sandbox.state.catalog import CHILDREN, EMBEDDED, LISTS
from stripe_source.sandbox.state.records import Data
from stripe_source.sandbox.state.requests import Request
from stripe_source.sandbox.world import World

# Tables that there can be in bulk: those of plain lists that take `created`.
TABLES: dict[str, str] = {
    entry["table"]: path for path, entry in sorted(LISTS.items())
    if path.startswith("/v1/") and "{" not in path and "created" in entry["params"]
    and entry["table"] not in CHILDREN and entry["table"] != "accounts"  # of which each has books of its own
}


class Bulk(World):
    """A Stripe with tables of any size, for benchmarks; what is not among them is as in an empty `World`.

    Objects are rendered from their number, 0 for the oldest, when they are asked for, and are the same each time.

    Args:
        tables: how many objects each table has.
        spread: when they were created: the name of a time line, see `SPREADS`; seconds; or a function of the number
            of objects and the first and the last second (exclusive).
        years: how far the time line goes back.
        seed: another seed, other ids.
        livemode: whether keys and objects are live ones.
        now: where the clock starts, unix seconds.
        latency: see `Faults`.
        limits: see `Faults`.
        ticking: the clock goes on with real time.
        pretty: lists are indented, as Stripe's are.

    >>> bulk = Bulk({"charges": 1_000_000})
    >>> bulk.object("charges", 999_999)["object"]
    'charge'
    """

    def __init__(
        self, tables: Mapping[str, int], *, spread: Spread = "even", years: float = 2.0, seed: int = 1,
        livemode: bool = False, now: int | None = None, latency: float = 0.0, limits: bool = False,
        ticking: bool = False, pretty: bool = False,
    ) -> None:
        for table, count in tables.items():
            if table not in TABLES:
                raise InvalidSetting("bulk", table, TABLES, "These are the tables whose list takes `created`.")
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise InvalidSetting("bulk", f"{table}={count}", reason="It is a number of objects, 0 or more.")
        if not 0 < years < math.inf:
            raise InvalidSetting("years", years, reason="It is more than 0.")
        super().__init__(seed, now=now, livemode=livemode, ticking=ticking, empty=True)
        self.pretty = pretty
        self.faults.latency, self.faults.limits = latency, limits
        self.requests = _Recent()
        self.counted = Figures()
        self.books.expanded = _Nothing()
        self._shelves: dict[str, BulkShelf] = {}
        self._gapped: dict[str, list[tuple[Data, Data]]] = {}
        self._expanding: dict[tuple[str, tuple[str, ...]], Callable[[int], bytes] | None] = {}
        end = self.clock
        start = end - round(years * YEAR)
        business = World(seed, 0.2, now, livemode=livemode)
        donors = {table: donor(business, table, _object(table)) for table in tables}
        for table, count in tables.items():
            times = timeline(spread, count, start, end)
            shelf = BulkShelf(_object(table), id_head(donors[table].data["id"]), times, tails(seed))
            self._shelves[table] = self.books.shelves[shelf.object] = shelf
        for table, shelf in self._shelves.items():
            self._furnish(table, shelf, donors[table], business)
        self.populated.update(tables)

    def _furnish(self, table: str, shelf: BulkShelf, made_of: Donor, business: World) -> None:
        """Gives a shelf its templates."""
        shape = SHAPES.get(table, Shape())

        def table_of(id: str) -> tuple[str, str] | None:
            for other, there in self._shelves.items():
                if len(there) and business.books.find(there.object, id) is not None:
                    return other, there.head
            return None

        def looks(of: Donor, changes: Mapping[str, Any], sums: bool) -> tuple[Data, Data]:
            data = changed(changed(of.data, shape.more), dict(changes))
            return with_gaps(data, of.also, sums, table_of)

        kinds = [(every, looks(made_of, changes, True)) for every, changes in shape.variants]
        if shape.other is not None:
            other = donor(business, table, shelf.object, shape.other)
            body = orjson.dumps(other.data).replace(other.data["id"].encode(), made_of.data["id"].encode())
            other = Donor(orjson.loads(body), other.also)
            kinds.append((4, looks(other, {}, False)))
        base = looks(made_of, {}, True)
        self._gapped[table] = [
            next((kind for every, kind in kinds if place % every == every - 1), base) for place in range(PERIOD)]
        shelf.render = self._templates(table, [data for data, _ in self._gapped[table]]).render
        if made_of.also:
            shelf.extras = self._templates(table, [also for _, also in self._gapped[table]])
        for field, (objects, _, wanted) in EMBEDDED.get(shelf.object, {}).items():
            if not wanted:
                for each in objects:
                    self.books.shelves[each] = Below(shelf, field, each)

    def _templates(self, table: str, of: list[Data]) -> Templates:
        sizes = {name: len(shelf) for name, shelf in self._shelves.items()}
        made: dict[int, Template] = {}  # many of them are one
        for data in of:
            if id(data) not in made:
                made[id(data)] = Template(data, tails(self.seed), sizes, table, self.pretty)
        return Templates([made[id(data)] for data in of], self._shelves[table].times)

    def expanding(self, shelf: BulkShelf, paths: tuple[str, ...]) -> Callable[[int], bytes] | None:
        """What renders objects with these paths expanded; None where that needs other objects than themselves."""
        table = next(name for name, each in self._shelves.items() if each is shelf)
        key = table, paths
        if key not in self._expanding:
            seen: dict[int, Data] = {}
            for data, also in self._gapped[table]:
                if id(data) not in seen:
                    copy = orjson.loads(orjson.dumps(data))
                    seen[id(data)] = expand.walked(self.books, shelf.object, copy, paths, also)
            render = self._templates(table, [seen[id(data)] for data, _ in self._gapped[table]]).render
            plain = (orjson.loads(expand.expanded(self.books, record, paths))
                     for record in shelf.order()[0][:PERIOD])
            same = all(orjson.loads(render(number)) == each for number, each in enumerate(plain))
            self._expanding[key] = render if same else None
        return self._expanding[key]

    # --- what there is

    def object(self, table: str, number: int) -> Data:
        """The object of that number, 0 for the oldest."""
        shelf = self._shelf(table)
        if not 0 <= number < len(shelf):
            raise IndexError(f"Table `{table}` has {len(shelf)} objects, 0 to {len(shelf) - 1}; there is no {number}.")
        return orjson.loads(shelf.render(number))  # type: ignore[no-any-return]  # an object

    def number(self, table: str, id: str) -> int | None:
        """The number of the object with that id; None if there is none."""
        return self._shelf(table).number(id)

    def truth(self, table: str) -> Iterator[tuple[str, int]]:
        """Id and `created` of every object of a table, oldest first."""
        shelf = self._shelf(table)
        return ((shelf.id(number), created) for number, created in enumerate(shelf.times))

    def counts(self, account: str | None = None) -> dict[str, int]:
        """How many objects each table has."""
        if account not in (None, self.books.account):
            return super().counts(account)
        return {table: len(shelf) for table, shelf in self._shelves.items()}

    def live(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing happens in bulk."""
        raise ValueError("Nothing happens in a world in bulk: its objects are rendered, not stored.")

    def _shelf(self, table: str) -> BulkShelf:
        if table not in self._shelves:
            raise KeyError(f"There is no table `{table}` in bulk. There are: {', '.join(self._shelves) or 'none'}.")
        return self._shelves[table]

    # --- what was asked

    def figures(self) -> dict[str, Any]:
        """What was answered: `requests`, `pages` (lists), `objects` in them, `empty` ones, `rate_limited` requests.

        `by_endpoint` has the requests of each path; `log` the last thousand, with seconds since the beginning.
        """
        with self.lock:
            return self.counted.asdict()

    def reset_figures(self) -> None:
        """Sets all figures back to zero."""
        with self.lock:
            self.counted.reset()


class _Recent(list[Request]):
    """The last requests: a benchmark has more of them than it is worth keeping."""

    def append(self, request: Request) -> None:
        super().append(request)
        if len(self) > 2 * LAST:
            del self[:-LAST]


class _Nothing(dict[Any, Any]):
    """Keeps nothing of what was expanded."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _object(table: str) -> str:
    return str(LISTS[TABLES[table]]["objects"][0])
