"""How many requests reading tables takes: of a first load, worked out from one page of each list."""
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
BURST = 5  # more than so many times the usual number of objects in a second is an import or a batch, and no pace


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


# ---- requests by endpoint, for numbers of objects


def requests_of_list(table: Table, objects: float) -> dict[str, float]:
    """The requests, by endpoint, to read a table's own list with so many objects, and its objects elsewhere."""
    requests: dict[str, float] = defaultdict(float)
    for path in table.extra_paths:
        requests[endpoint_of(path)] += 1
    requests[endpoint_of(table.path or "")] += pages_of(table, objects) + len(table.variants) - 1
    if table.include and table.object_path:
        requests[endpoint_of(fill(table.object_path, id="x"))] += math.ceil(objects)
    return requests


def requests_of_child_lists(found: Placement, parents: float, lists: float) -> dict[str, float]:
    """The requests, by endpoint, to read the lists of children of so many parents; of most lists one page is enough."""
    requests = {endpoint_of(fill(found.child_path or "", id="x")): lists}
    if found.via_path:
        requests[endpoint_of(found.via_path)] = parents
    return requests


def pages_of(table: Table, objects: float) -> int:
    """The pages of a list with so many objects."""
    return max(math.ceil(objects / (table.limit or 100)), 1)


# ---- numbers of objects, from one page


@dataclass(frozen=True)
class Sample:
    """The newest page of a list, and the first page of what its first parent has in lists of its own.

    Args:
        objects: with what the run expands on them.
        more: the list goes on.
        read_at: when, by Stripe's clock.
        below: pages of children's lists, by the place where the children are found.
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
        cut = size if burst == min(times) and size > few else 0  # the page ends within the burst: about half was seen
        return len(self.objects) + max(behind + cut, 1)

    def times(self, table: Table) -> list[int]:
        """When the objects were created, in unix seconds."""
        seconds = (unix_second(each.get(table.time or "")) for each in self.objects)
        return [second for second in seconds if second is not None]


# ---- requests of a first load


Place = tuple[object, ...]  # a list, followed by the placements that lead from it to what is found on its objects
Weighted = tuple[Object, float]  # an object of a sample, and the number of objects that it stands for


@dataclass
class _Cost:
    """Requests that are sent at one place, by endpoint: whether their number is known at all, and whether exactly."""

    requests: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    exact: bool = True
    known: bool = True

    def add(self, requests: Mapping[str, float]) -> None:
        for endpoint, number in requests.items():
            self.requests[endpoint] += number


class RequestEstimate:
    """The requests of a first load by the places where they are sent, so that what tables share is counted once.

    Args:
        roots: the lists that are read.
        samples: by table, for the lists of which a page was read.
        begin: the second in which the account was made, where it says so.
        start: the option of that name.
        known_objects: single objects that are known, by path.
    """

    def __init__(
        self, roots: Sequence[ListPlan], samples: Mapping[str, Sample], begin: int | None, start: int | None,
        known_objects: Mapping[str, Object],
    ) -> None:
        times_of_whole_lists = [
            second for root in roots if (sample := samples.get(root.table.name)) and not sample.more
            for second in ([] if root.table.retention else sample.times(root.table))
        ]
        self._samples, self._start = samples, start
        self._begin = begin or min(times_of_whole_lists, default=None)
        self._costs: dict[Place, _Cost] = {}
        self._places_of: dict[str, set[Place]] = defaultdict(set)
        for root in roots:
            self._add_list(root, known_objects)

    def of(self, table: str) -> Estimate:
        """The first load of one table alone."""
        costs = [self._costs[place] for place in self._places_of[table]]
        return _sum(costs) if all(cost.known for cost in costs) else Estimate()

    def total(self, governor: Governor, *, feed: bool) -> Estimate:
        """The first load of all tables, with one request for the account, and one for the change feed's position."""
        unknown = [name for name in self._places_of if self.of(name).requests is None]
        first = _Cost({"/v1/account": 1, **({table_with_role("change feed").path or "": 1} if feed else {})})
        return _sum([first, *self._costs.values()], governor, unknown)

    def _count(self, table: Table) -> float | None:
        sample = self._samples.get(table.name)
        if sample is None:
            return 0 if table.mode else None  # what test mode alone has is little
        begin = max(self._begin or 0, self._start) if self._start and table.created else self._begin
        return sample.count(table, begin)

    def _add_list(self, root: ListPlan, known_objects: Mapping[str, Object]) -> None:
        """Add the requests for a list, and for what is found on its objects."""
        table, sample = root.table, self._samples.get(root.table.name)
        path = endpoint_of(table.path or "")
        if table.singleton:
            self._costs["", path] = _Cost({path: 1})
            return self._add_children(root, [], ("", path), sample)
        count = self._count(table)
        exact = sample is not None and not sample.more
        cost = self._costs[table.name,] = _Cost(exact=exact, known=count is not None)
        objects: list[Weighted] = [(known_objects[each], 1.0) for each in table.extra_paths if each in known_objects]
        if count is None:
            for each in table.extra_paths:
                cost.requests[endpoint_of(each)] += 1
            cost.requests[path] += 1 if sample is None else 2  # at least
        else:
            cost.add(requests_of_list(table, count))
            sampled = sample.objects if sample else []
            objects += [(each, count / len(sampled)) for each in sampled]
        self._add_children(root, objects, (table.name,), sample)

    def _add_children(
        self, node: ListPlan, objects: Sequence[Weighted], place: Place, sample: Sample | None,
        places_above: tuple[Place, ...] = (),
    ) -> None:
        """Add the requests for what is found on objects."""
        places = (*places_above, place)
        if node.wanted:
            self._places_of[node.table.name].update(places)
        for found, child_plans in node.children.items():
            page = sample.below.get(found) if sample else None
            cost = self._costs[(*place, found)] = _Cost(exact=self._costs[place].exact)
            children: list[Weighted] = []
            for parent, weight in objects:
                if not may_have_children(parent, found):
                    continue
                embedded, more = extract_children(parent, found)
                if more and found.child_path:
                    self._add_child_lists(cost, found, parent, weight, page)
                    embedded = embedded or (page.objects if page else [])
                children += [(each, weight) for each in embedded]
            for plan in () if found.fallback else child_plans:  # those come with tables that are loaded themselves
                of_table = [(each, weight) for each, weight in children
                            if each.get("object", plan.table.object[0]) in plan.table.object]
                self._add_children(plan, of_table, (*place, found), None, places)

    def _add_child_lists(
        self, cost: _Cost, found: Placement, parent: Object, weight: float, page: Sample | None
    ) -> None:
        """Add the requests for the lists of children of one parent."""
        lists = weight * (1 if found.via_path else len(list(values_at(parent, found.id))))
        if page and page.more:
            lists, cost.exact = lists * 2, False  # at least
        if found.second_parent:
            second = BY_NAME[found.second_parent[0]]
            count = self._count(second)
            if count is None:
                cost.known = False
                return
            cost.requests[endpoint_of(second.path or "")] = pages_of(second, count)  # read for their ids, once
            cost.exact = cost.exact and not self._samples[second.name].more
            lists *= count
        cost.add(requests_of_child_lists(found, weight, lists))


def _sum(costs: Iterable[_Cost], governor: Governor | None = None, unknown: Sequence[str] = ()) -> Estimate:
    requests: dict[str, float] = defaultdict(float)
    estimated, seconds = False, None
    for cost in costs:
        estimated = estimated or (bool(cost.requests) and not cost.exact)
        for endpoint, number in cost.requests.items():
            requests[endpoint] += number
    total = math.ceil(sum(requests.values()))
    if governor and (whole_rate := governor.flow()):
        by_endpoint = (number / (governor.flow(None, path) or whole_rate) for path, number in requests.items())
        seconds = max(total / whole_rate, *by_endpoint)
    rounded = round(total, min(2 - len(str(total)), 0)) if estimated else total
    return Estimate(rounded, estimated, seconds and round(seconds, 1), list(unknown))
