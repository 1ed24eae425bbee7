"""A world in bulk: an empty world, with tables of any size that are rendered from numbers."""
from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import orjson

from stripe_source.sandbox.bulk.changes import Changes, changes_of, events_of
from stripe_source.sandbox.bulk.figures import LOG_LENGTH, Figures
from stripe_source.sandbox.bulk.ids import id_suffixes
from stripe_source.sandbox.bulk.records import BulkCollection, EmbeddedCollection
from stripe_source.sandbox.bulk.shapes import SHAPES, Prototype, Shape, changed, prototype
from stripe_source.sandbox.bulk.templates import PERIOD, Template, Templates, id_head, with_gaps
from stripe_source.sandbox.bulk.timelines import YEAR, Spread, timeline
from stripe_source.sandbox.endpoints import expand
from stripe_source.sandbox.errors import InvalidSetting
from stripe_source.sandbox.state.catalog import CHILDREN, EMBEDDED, LISTS
from stripe_source.sandbox.state.records import Data
from stripe_source.sandbox.state.requests import Request
from stripe_source.sandbox.world import World

# Tables that can be in bulk: those of top-level lists that take `created`.
TABLES: dict[str, str] = {
    entry["table"]: path for path, entry in sorted(LISTS.items())
    if path.startswith("/v1/") and "{" not in path and "created" in entry["params"]
    and entry["table"] not in CHILDREN and entry["table"] != "accounts"  # each account has books of its own
}


class Bulk(World):
    """A simulated Stripe with tables of any size, for benchmarks; all other tables are those of an empty `World`.

    Objects are rendered from their number, 0 for the oldest, when they are read, and are the same each time.

    Args:
        tables: number of objects of each table.
        spread: when they were created: the name of a time line, see `SPREADS`; a list of seconds; or a function of
            the number of objects, the first second and the last one (exclusive) that returns seconds.
        years: how far the time line goes back.
        seed: worlds with another seed have other ids.
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
        self.requests = _RecentRequests()
        self.counted = Figures()
        self.books.expansion_cache = _NoCache()
        self._collections: dict[str, BulkCollection] = {}
        self._with_gaps: dict[str, list[tuple[Data, Data]]] = {}
        self._changes: dict[str, Changes] = {}
        self._added: Changes | None = None
        self._expanding: dict[tuple[str, tuple[str, ...]], Callable[[int], bytes] | None] = {}
        end = self.clock
        start = end - round(years * YEAR)
        business = World(seed, 0.2, now, livemode=livemode)
        prototypes = {table: prototype(business, table, _object(table)) for table in tables}
        for table, count in tables.items():
            times = timeline(spread, count, start, end)
            collection = BulkCollection(_object(table), id_head(prototypes[table].data["id"]), times, id_suffixes(seed))
            self._collections[table] = self.books.collections[collection.object] = collection
        for table, collection in self._collections.items():
            self._set_templates(table, collection, prototypes[table], business)
        self.populated.update(tables)

    def _set_templates(self, table: str, collection: BulkCollection, made_of: Prototype, business: World) -> None:
        """Set the templates of a collection."""
        shape = SHAPES.get(table, Shape())

        def table_of(id: str) -> tuple[str, str] | None:
            for other, there in self._collections.items():
                if len(there) and business.books.find(there.object, id) is not None:
                    return other, there.head
            return None

        def looks(of: Prototype, changes: Mapping[str, Any], sums: bool) -> tuple[Data, Data]:
            data = changed(changed(of.data, shape.added), dict(changes))
            return with_gaps(data, of.expand_only, sums, table_of)

        kinds = [(every, looks(made_of, changes, True)) for every, changes in shape.variants]
        if shape.other is not None:
            other = prototype(business, table, collection.object, shape.other)
            body = orjson.dumps(other.data).replace(other.data["id"].encode(), made_of.data["id"].encode())
            other = Prototype(orjson.loads(body), other.expand_only)
            kinds.append((4, looks(other, {}, False)))
        base = looks(made_of, {}, True)
        self._with_gaps[table] = [
            next((kind for every, kind in kinds if place % every == every - 1), base) for place in range(PERIOD)]
        collection.render = self._templates(table, [data for data, _ in self._with_gaps[table]]).render
        if made_of.expand_only:
            expand_only = [fields for _, fields in self._with_gaps[table]]
            collection.expand_only_templates = self._templates(table, expand_only)
        for field, (objects, _, wanted) in EMBEDDED.get(collection.object, {}).items():
            if not wanted:
                for each in objects:
                    self.books.collections[each] = EmbeddedCollection(collection, field, each)

    def _templates(self, table: str, of: list[Data]) -> Templates:
        sizes = {name: len(collection) for name, collection in self._collections.items()}
        made: dict[int, Template] = {}  # many places of the period share one template
        for data in of:
            if id(data) not in made:
                made[id(data)] = Template(data, id_suffixes(self.seed), sizes, table, self.pretty)
        return Templates([made[id(data)] for data in of], self._collections[table].times)

    def expanding(self, collection: BulkCollection, paths: tuple[str, ...]) -> Callable[[int], bytes] | None:
        """Return what renders objects with these paths expanded; None if the expansion needs other objects."""
        table = next(name for name, each in self._collections.items() if each is collection)
        key = table, paths
        if key not in self._expanding:
            seen: dict[int, Data] = {}
            for data, expand_only in self._with_gaps[table]:
                if id(data) not in seen:
                    copy = orjson.loads(orjson.dumps(data))
                    seen[id(data)] = expand.expand_in(self.books, collection.object, copy, paths, expand_only)
            render: Callable[[int], bytes] = self._templates(
                table, [seen[id(data)] for data, _ in self._with_gaps[table]]).render
            if table in self._changes:
                render = self._changes[table].rendering(render)
            plain = (orjson.loads(expand.expanded(self.books, record, paths))
                     for record in collection.order()[0][:PERIOD])
            same = all(orjson.loads(render(number)) == each for number, each in enumerate(plain))
            self._expanding[key] = render if same else None
        return self._expanding[key]

    # --- objects

    def object(self, table: str, number: int) -> Data:
        """Return the object of that number, 0 for the oldest."""
        collection = self._collection(table)
        if not 0 <= number < len(collection):
            count = len(collection)
            raise IndexError(f"Table `{table}` has {count} objects, 0 to {count - 1}; there is no {number}.")
        return orjson.loads(collection.render(number))  # type: ignore[no-any-return]  # an object

    def number(self, table: str, id: str) -> int | None:
        """Return the number of the object with that id; None if there is none."""
        return self._collection(table).number(id)

    def truth(self, table: str) -> Iterator[tuple[str, int]]:
        """Return id and `created` of every object of a table, oldest first."""
        collection = self._collection(table)
        return ((collection.id(number), created) for number, created in enumerate(collection.times))

    def counts(self, account: str | None = None) -> dict[str, int]:
        """Return the number of objects of each table."""
        if account not in (None, self.books.account):
            return super().counts(account)
        return {table: len(collection) for table, collection in self._collections.items()}

    def change(self, table: str, objects: int, seconds: int = 3600) -> list[str]:
        """Change so many objects of a table, with an event for each, while seconds go by; their ids.

        Raises:
            InvalidSetting: there are fewer objects, they have no metadata, or there was a change already.
        """
        with self.lock:
            self._refuse_twice("change", table)
            collection = self._collection(table)
            made = self._changes[table] = changes_of(collection, objects)
            self._expanding.clear()
            self._tell(made, self._seconds(objects, seconds))
            return [collection.id(number) for number in made.numbers]

    def add(self, table: str, objects: int, seconds: int = 3600) -> list[str]:
        """Add so many objects to a table, with an event for each, while seconds go by; their ids.

        Raises:
            InvalidSetting: the number is not above 0, or there was a change already.
        """
        with self.lock:
            self._refuse_twice("add", table)
            if objects <= 0:
                raise InvalidSetting("add", objects, reason="It is more than 0.")
            collection, times = self._collection(table), self._seconds(objects, seconds)
            numbers = range(len(collection), len(collection) + objects)
            collection.extend(times)
            self._added = Changes(collection, numbers, "created")
            self._tell(self._added, times)
            return [collection.id(number) for number in numbers]

    def _refuse_twice(self, what: str, table: str) -> None:
        if self._changes or self._added:
            raise InvalidSetting(what, table, reason="Objects in bulk change once.")

    def _seconds(self, objects: int, seconds: int) -> array[int]:
        """Let seconds go by, and return one of them for each object."""
        start = self.clock
        self.advance(seconds)
        return array("q", (start + seconds * place // objects for place in range(objects)))

    def _tell(self, made: Changes, times: array[int]) -> None:
        events = events_of(made, times, self.seed, self.event_version, self.livemode)
        self.books.collections[events.object] = events

    def live(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: objects in bulk do not change."""
        raise ValueError("Nothing happens in a world in bulk: its objects are rendered, not stored.")

    def _collection(self, table: str) -> BulkCollection:
        if table not in self._collections:
            raise KeyError(f"There is no table `{table}` in bulk. There are: {', '.join(self._collections) or 'none'}.")
        return self._collections[table]

    # --- counters

    def figures(self) -> dict[str, Any]:
        """Return counters: `requests`, `pages` (lists), `objects` in them, `empty` pages, `rate_limited` requests.

        `by_endpoint` has the number of requests of each path, `log` the last thousand with seconds since the start.
        """
        with self.lock:
            return self.counted.asdict()

    def reset_figures(self) -> None:
        """Set all figures back to zero."""
        with self.lock:
            self.counted.reset()


class _RecentRequests(list[Request]):
    """The last requests only, because a benchmark sends very many."""

    def append(self, request: Request) -> None:
        super().append(request)
        if len(self) > 2 * LOG_LENGTH:
            del self[:-LOG_LENGTH]


class _NoCache(dict[Any, Any]):
    """A cache that stores nothing: every object of a benchmark is different."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _object(table: str) -> str:
    return str(LISTS[TABLES[table]]["objects"][0])
