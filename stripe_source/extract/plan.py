"""What a run asks for: which lists have to be read for the wanted tables, and what is taken out of their objects."""
from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from stripe_source.errors import InvalidRequest, NotEnabled, PermissionDenied, StripeError
from stripe_source.tables.objects import Object
from stripe_source.tables.placement import Placement, template_path
from stripe_source.tables.registry import BY_NAME, embedded_tables
from stripe_source.tables.table import Table

T = TypeVar("T")
log = logging.getLogger("stripe_source")


@dataclass
class ListPlan:
    """One list to read, or a child list: which tables take from it, and what is found on its objects.

    Args:
        table: whose list it is.
        wanted: its own rows are wanted.
        children: what is found on its objects.
        named: kinds of objects that tables name which are found at the same place.
        other_kinds: what none of them names is a row of this one.
        expand: fields of its objects that are absent unless expanded.
        unknown: paths, relative to an object, that are not expanded: what answers cannot, or the key may not.
    """

    table: Table
    wanted: bool = False
    children: dict[Placement, list[ListPlan]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    other_kinds: bool = False
    expand: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()

    def tables(self) -> Iterable[Table]:
        """All tables that take something from here."""
        if self.wanted:
            yield self.table
        for kinds in self.children.values():
            for kind in kinds:
                yield from kind.tables()

    def takes(self, thing: Object) -> bool:
        """Whether an object that is found at its place is a row of the table: each is one of exactly one table."""
        kind = thing.get("object")
        return kind in self.table.object or (self.other_kinds and kind not in self.named)


def plan_lists(tables: Sequence[Table]) -> list[ListPlan]:
    """The lists that have to be read for these tables, with what is to be taken out of their objects.

    A table that is found with others makes their lists be read too, although their rows may not be wanted. `fallback`
    places are looked into only where the table they are on is loaded itself.
    """
    taken = {table.name for table in tables if not table.unsupported_reason}
    found_on: dict[str, list[tuple[Placement, Table]]] = {}
    for child in {**BY_NAME, **{own.name: own for own in tables}}.values():
        for found in child.placements:
            found_on.setdefault(found.parent, []).append((found, child))

    def look_inside(table: Table, trail: tuple[str, ...]) -> ListPlan | None:
        node = ListPlan(table, wanted=table.name in taken, expand=table.expand)
        for found, child in found_on.get(table.name, ()):
            if child.name in trail or (found.only_below and found.only_below not in trail):
                continue
            if found.fallback and not (node.wanted and child.name in taken):
                continue
            inner = ListPlan(child, True) if found.fallback else look_inside(child, (*trail, child.name))
            if inner:
                beside = [other for place, other in found_on[table.name] if place == found]
                inner.named = tuple(kind for other in beside for kind in other.object)
                first = next((other for other in beside if other.other_kinds), beside[0])
                inner.other_kinds = child is first and not found.fallback  # there are copies, of which none is lost
                node.children.setdefault(found, []).append(inner)
        return node if node.wanted or node.children else None

    roots = {table.name: table for table in (*BY_NAME.values(), *tables) if table.path}
    return [node for table in roots.values() if (node := look_inside(table, (table.name,)))]


def left_out_children(tables: Sequence[Table]) -> dict[str, list[str]]:
    """By table: the tables that take what Stripe always embeds in its objects, and that are not among these."""
    wanted = {table.name for table in tables}
    found = {name: [child for child in embedded_tables(name) if child not in wanted] for name in sorted(wanted)}
    return {name: children for name, children in found.items() if children}


def placements_of(root: ListPlan) -> Iterator[tuple[Table, Placement | None]]:
    """The tables that take something from a list, each with the place where it is found; None: it is their own list."""
    def below(node: ListPlan) -> Iterator[tuple[Table, Placement | None]]:
        for found, kinds in node.children.items():
            for kind in kinds:
                if kind.wanted:
                    yield kind.table, found
                yield from below(kind)

    if root.wanted:
        yield root.table, None
    yield from below(root)


def expansions(node: ListPlan, prefix: str = "") -> list[str]:
    """The `expand[]` paths that a list needs, relative to one of its objects.

    Args:
        node: the list.
        prefix: path of the list itself, where it is embedded.
    """
    paths = [prefix + name for name in node.expand] if node.wanted else []
    for found, kinds in node.children.items():
        if found.at is None:
            continue
        if found.expand:
            paths.append(prefix + found.at)
        for kind in () if found.fallback else kinds:
            paths += expansions(kind, f"{prefix}{found.at}.data.")
    # Stripe expands 4 levels, `data.` is one
    return [path for path in dict.fromkeys(paths) if path.count(".") < 3 and path not in node.unknown]


def _field_paths(node: ListPlan, prefix: str = "") -> Iterator[str]:
    """Those of the `expand[]` paths of a list that lead to fields of objects, not to other tables' objects."""
    yield from (prefix + name for name in node.expand if node.wanted)
    for found, kinds in node.children.items():
        for kind in kinds if found.at and not found.fallback else ():
            yield from _field_paths(kind, f"{prefix}{found.at}.data.")


def fields_needed(node: ListPlan) -> set[str]:
    """The members of a list's objects that have to be known to read it, and what is found on them."""
    paths = ["id", "created", "object", node.table.time or "created"]
    for found in node.children:
        paths += filter(None, (found.at, found.when, found.id))
        paths += [name for name, _ in found.where]
        paths += [match for value in found.params.values() if (match := template_path(value))]
    return {path.partition(".")[0] for path in paths}


async def read_with_allowed_expansions(
    plan: ListPlan, read: Callable[[ListPlan], Awaitable[T]], on_lost: Callable[[Table, StripeError], None],
    probe: Callable[[ListPlan], Awaitable[object]] | None = None,
    on_lost_fields: Callable[[Table, Iterable[str]], None] = lambda table, paths: None,
) -> T:
    """Read with all that a list's tables want expanded; when that is refused, with less, until it is allowed.

    Args:
        plan: of the list.
        read: sends the request; gets what is left of the plan.
        on_lost: told of each table that cannot be found there, with the refusal.
        probe: sends a request for little with what is left of a plan, to find out which expansions are refused where
            the refusal does not name a permission that we know; None: `read` does.
        on_lost_fields: told of the paths of fields that the key may not read, by the table of the list.

    Raises:
        PermissionDenied: the key may not read the list itself.
    """
    lost_fields: set[str] = set()
    while True:
        try:
            got = await read(plan)
        except PermissionDenied as error:
            left, lost = await _allowed(plan, error, probe or read)
            if not lost and left.unknown == plan.unknown:
                raise
            for table in lost:
                on_lost(table, error)
            lost_fields |= left.unknown - plan.unknown
            plan = left
        except InvalidRequest as error:
            left, lost = _without_unknown(plan, error)
            for table in lost:
                on_lost(table, NotEnabled(error.message, reason="what answers cannot expand it", status=error.status))
            plan = left
        else:
            if lost_fields:
                on_lost_fields(plan.table, lost_fields)
            return got


def _without_unknown(plan: ListPlan, error: InvalidRequest) -> tuple[ListPlan, list[Table]]:
    """What is left of a list when something cannot be expanded, and the tables that cannot be found there any more.

    Stripe's text: "This property cannot be expanded (foo)." Older servers, and other ones, know less of our version.

    Raises:
        InvalidRequest: the error itself, because it is about something else.
    """
    wanted = expansions(plan)
    if not wanted or "expand" not in f"{error.param} {error.message}".lower():
        raise error
    named = {path.removeprefix("data.") for path in re.findall(r"[a-z_][a-z0-9_.]*", error.message)}
    unknown = {path for path in wanted if path in named}
    unknown = unknown or {path for path in wanted if path.rpartition(".")[2] in named} or set(wanted)
    log.warning("%s: cannot be expanded there: %s", plan.table.name, ", ".join(sorted(unknown)))
    left, lost = _without(
        plan, lambda way: not way[-1][0].child_path and ".data.".join(found.at or "" for found, _ in way) in unknown
    )
    left.unknown = plan.unknown | unknown
    return left, lost


async def _allowed(
    plan: ListPlan, error: PermissionDenied, probe: Callable[[ListPlan], Awaitable[object]]
) -> tuple[ListPlan, list[Table]]:
    """What is left of a list after a refusal, and the tables that cannot be found there any more."""
    if error.permission is not None:
        if error.permission == plan.table.permission:
            return plan, []
        left, lost = _without(plan, lambda way: way[-1][1].permission == error.permission)
        if lost:
            return left, lost
    refused: list[Way] = []
    for way in _expanded(plan):
        only = _with_only(plan, way)
        if not await _is_allowed(replace(only, unknown=only.unknown.union(_field_paths(only))), probe):
            refused.append(way)
    left, lost = _without(plan, lambda way: way in refused)
    fields = set(_field_paths(left)).intersection(expansions(left))
    forbidden = {
        path for path in sorted(fields)
        if not await _is_allowed(replace(left, unknown=left.unknown | (fields - {path})), probe)
    }
    return replace(left, unknown=left.unknown | forbidden), lost


async def _is_allowed(plan: ListPlan, probe: Callable[[ListPlan], Awaitable[object]]) -> bool:
    """Whether a list may be read with all that a plan expands."""
    try:
        await probe(plan)
    except PermissionDenied:
        return False
    return True


Way = tuple[tuple[Placement, Table], ...]  # the places, one on the other, where a table is found


def _expanded(node: ListPlan, trail: Way = ()) -> Iterator[Way]:
    """The ways to all tables that are found where something is expanded."""
    for found, kinds in node.children.items():
        for kind in kinds:
            way = (*trail, (found, kind.table))
            if found.expand:
                yield way
            yield from _expanded(kind, way)


def _with_only(plan: ListPlan, way: Way) -> ListPlan:
    """A list with nothing expanded but what leads to one table."""
    return _without(plan, lambda other: other != way[:len(other)])[0]


def _without(
    node: ListPlan, is_forbidden: Callable[[Way], bool], trail: Way = ()
) -> tuple[ListPlan, list[Table]]:
    """A list with less to expand, and the tables that are not found there any more."""
    kept, lost = replace(node, children={}), list[Table]()
    for found, kinds in node.children.items():
        for kind in kinds:
            way = (*trail, (found, kind.table))
            if found.expand and is_forbidden(way):
                lost += kind.tables()
            else:
                inner, gone = _without(kind, is_forbidden, way)
                kept.children.setdefault(found, []).append(inner)
                lost += gone
    return kept, lost


def drop_named_expansions(plan: ListPlan, error: PermissionDenied) -> tuple[ListPlan, list[Table]]:
    """What is left of a list without what a refusal names; without all that is expanded where it names nothing of it.

    Raises:
        PermissionDenied: the error itself, because it is about the list.
    """
    if error.permission is None or error.permission != plan.table.permission:
        for is_forbidden in (lambda way: way[-1][1].permission == error.permission), (lambda way: True):
            left, lost = _without(plan, is_forbidden)
            if lost:
                return left, lost
    raise error

def with_lists(found: Placement, parents: Sequence[Object]) -> Sequence[Object]:
    """The parents that may be asked for their lists: objects of kinds that no table is for have none of these."""
    if found.at is not None or found.parent not in BY_NAME:
        return parents
    return [each for each in parents if each.get("object") in (None, *BY_NAME[found.parent].object)]
