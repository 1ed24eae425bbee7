"""What a first load would ask of Stripe, worked out from one page of each list: for each table, and for the run."""
from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from stripe_source.api.endpoints import endpoint_of
from stripe_source.api.query import fill
from stripe_source.api.rate_limits import Governor
from stripe_source.extract.plan import ListPlan
from stripe_source.tables.objects import Object, unix_second
from stripe_source.tables.placement import Placement, extract_children, may_have_children, values_at
from stripe_source.tables.registry import BY_NAME, table_with_role
from stripe_source.tables.table import Table

# Lists tell no totals. What lies behind the newest page is worked out from the pace on it: a business that never grew
# had it all the time, one that grew steadily from nothing had half of it on average. The mean is off by 1.4 at most.
GROWTH = math.sqrt(0.5)
BURST = 5  # what is beyond so many times the usual number in a second is an import or a batch, and no pace


@dataclass(frozen=True)
class Estimate:
    """How many requests something takes.

    Args:
        requests: all of them; None where one page of each list does not tell. Estimates are rounded to two digits.
        estimated: some list goes on behind its page, and how far is worked out.
        seconds: how long that takes at least at the chosen rate; None where there is no limit of ours.
        unknown: tables whose lists do not tell by one page how long they are; their least is counted.
    """

    requests: int | None = None
    estimated: bool = False
    seconds: float | None = None
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """The newest page of a list, and the first page of what its first parent has in lists of its own.

    Args:
        objects: with what the run expands on them.
        more: the list goes on.
        read_at: when, by Stripe's clock.
        below: by the place where it is found.
    """

    objects: list[Object]
    more: bool
    read_at: int
    below: Mapping[Placement, Sample] = field(default_factory=dict)

    def count(self, table: Table, begin: int | None) -> float | None:
        """How many objects the list has, with none older than the second `begin`; None where the page does not tell."""
        if not self.more:
            return len(self.objects)
        times = self.times(table)
        if table.retention:
            begin = max(begin or 0, self.read_at - int(table.retention.total_seconds()))
        elif begin is not None and times and begin > min(times):
            return None  # it is not the beginning
        if begin is None or len(set(times)) < 2:
            return None
        *others, (burst, size) = sorted(Counter(times).items(), key=lambda second: second[1])
        few = BURST * median(number for _, number in others)
        pace = sum(min(number, few) for _, number in others) / (max(times) - min(times))
        behind = pace * max(min(times) - begin, 0) * (1 if table.retention else GROWTH)
        cut = size if burst == min(times) and size > few else 0  # the page ends in it: about half of it was seen
        return len(self.objects) + max(behind + cut, 1)

    def times(self, table: Table) -> list[int]:
        """When the objects were created, in unix seconds."""
        seconds = (unix_second(thing.get(table.time or "")) for thing in self.objects)
        return [second for second in seconds if second is not None]


Place = tuple[object, ...]  # a list, or a way from one to what is found on its objects


@dataclass
class _Cost:
    """Requests that are sent at one place, by endpoint: whether their number is known at all, and whether exactly."""

    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    exact: bool = True
    known: bool = True


class RequestEstimate:
    """The requests of a first load by the places where they are sent, so that what tables share is counted once.

    Args:
        roots: the lists that are read.
        samples: by table, as far as lists were asked for.
        begin: the second in which the account was made, where it says so.
        start: the option of that name.
        own: single objects that are known, by path.
    """

    def __init__(
        self, roots: Sequence[ListPlan], samples: Mapping[str, Sample], begin: int | None, start: int | None,
        own: Mapping[str, Object],
    ) -> None:
        whole = [
            second for root in roots if (sample := samples.get(root.table.name)) and not sample.more
            for second in ([] if root.table.retention else sample.times(root.table))
        ]
        self._samples, self._start = samples, start
        self._begin = begin or min(whole, default=None)  # else the oldest object of all lists that are known whole
        self._costs: dict[Place, _Cost] = {}
        self._needs: dict[str, set[Place]] = defaultdict(set)
        for root in roots:
            self._list(root, own)

    def of(self, table: str) -> Estimate:
        """The first load of one table alone."""
        costs = [self._costs[place] for place in self._needs[table]]
        return _sum(costs) if all(cost.known for cost in costs) else Estimate()

    def total(self, governor: Governor, *, feed: bool) -> Estimate:
        """The first load of all tables, with the question whose key it is, and where the change feed stands."""
        unknown = [name for name in self._needs if self.of(name).requests is None]
        first = _Cost({"/v1/account": 1, **({table_with_role("change feed").path or "": 1} if feed else {})})
        return _sum([first, *self._costs.values()], governor, unknown)

    def _count(self, table: Table) -> float | None:
        sample = self._samples.get(table.name)
        if sample is None:
            return 0 if table.mode else None  # what test mode alone has is little
        begin = max(self._begin or 0, self._start) if self._start and table.created else self._begin
        return sample.count(table, begin)

    def _list(self, root: ListPlan, own: Mapping[str, Object]) -> None:
        """The requests for a list, and for what is found on its objects."""
        table, sample = root.table, self._samples.get(root.table.name)
        path = endpoint_of(table.path or "")
        if table.singleton:
            self._costs["", path] = _Cost({path: 1})
            return self._below(root, [], ("", path), sample)
        count = self._count(table)
        exact = sample is not None and not sample.more
        cost = self._costs[table.name,] = _Cost(exact=exact, known=count is not None)
        things = [(own[each], 1.0) for each in table.extra_paths if each in own]
        for each in table.extra_paths:
            cost.requests[endpoint_of(each)] += 1
        if count is None:
            cost.requests[path] += 1 if sample is None else 2  # at least
        else:
            cost.requests[path] += _pages(count) + len(table.variants) - 1
            if table.include and table.object_path:
                cost.requests[endpoint_of(fill(table.object_path, id="x"))] += math.ceil(count)
            objects = sample.objects if sample else []
            things += [(thing, count / len(objects)) for thing in objects]
        self._below(root, things, (table.name,), sample)

    def _below(
        self, node: ListPlan, things: Sequence[tuple[Object, float]], trail: Place, sample: Sample | None,
        above: tuple[Place, ...] = (),
    ) -> None:
        """The requests for what is found on objects, each of which stands for a number of them."""
        here = (*above, trail)
        if node.wanted:
            self._needs[node.table.name].update(here)
        for found, kinds in node.children.items():
            page = sample.below.get(found) if sample else None
            cost = self._costs[(*trail, found)] = _Cost(exact=self._costs[trail].exact)
            inside: list[tuple[Object, float]] = []
            for thing, weight in things:
                if not may_have_children(thing, found):
                    continue
                taken, more = extract_children(thing, found)
                if more and found.child_path:
                    self._rest(cost, found, thing, weight, page)
                    taken = taken or (page.objects if page else [])
                inside += [(each, weight) for each in taken]
            for kind in () if found.fallback else kinds:  # those come with tables that are loaded themselves
                mine = [(each, weight) for each, weight in inside
                        if each.get("object", kind.table.object[0]) in kind.table.object]
                self._below(kind, mine, (*trail, found), None, here)

    def _rest(self, cost: _Cost, found: Placement, thing: Object, weight: float, page: Sample | None) -> None:
        """The requests for what one object has in lists of its own."""
        number = weight * (1 if found.via_path else len(list(values_at(thing, found.id))))
        if page and page.more:
            number, cost.exact = number * 2, False  # at least
        if found.second_parent:
            table = BY_NAME[found.second_parent[0]]
            count = self._count(table)
            if count is None:
                cost.known = False
                return
            cost.requests[endpoint_of(table.path or "")] = _pages(count)  # read for their ids, once
            cost.exact = cost.exact and not self._samples[table.name].more
            number *= count
        cost.requests[endpoint_of(fill(found.child_path or "", id="x"))] += number
        if found.via_path:
            cost.requests[endpoint_of(found.via_path)] += weight


def _pages(count: float) -> int:
    return max(math.ceil(count / 100), 1)


def _sum(costs: Iterable[_Cost], governor: Governor | None = None, unknown: Sequence[str] = ()) -> Estimate:
    requests: dict[str, float] = defaultdict(float)
    estimated, seconds = False, None
    for cost in costs:
        estimated = estimated or (bool(cost.requests) and not cost.exact)
        for endpoint, sent in cost.requests.items():
            requests[endpoint] += sent
    number = math.ceil(sum(requests.values()))
    if governor and (whole := governor.flow()):
        seconds = max(number / whole, *(sent / (governor.flow(None, path) or whole) for path, sent in requests.items()))
    rounded = round(number, min(2 - len(str(number)), 0)) if estimated else number
    return Estimate(rounded, estimated, seconds and round(seconds, 1), list(unknown))
