"""What a run asks for: which lists have to be read for the wanted tables, and what is taken out of their objects."""
from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from stripe_source.errors import PermissionDenied
from stripe_source.tables.placement import Placement, template_path
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

T = TypeVar("T")


@dataclass
class ListPlan:
    """One list to read, or a child list: which tables take from it, and what is found on its objects."""

    table: Table
    wanted: bool = False
    children: dict[Placement, list[ListPlan]] = field(default_factory=dict)

    def tables(self) -> Iterable[Table]:
        """All tables that take something from here."""
        if self.wanted:
            yield self.table
        for kinds in self.children.values():
            for kind in kinds:
                yield from kind.tables()


def plan_lists(tables: Sequence[Table]) -> list[ListPlan]:
    """The lists that have to be read for these tables, with what is to be taken out of their objects.

    A table that is found with others makes their lists be read too, although their rows may not be wanted. `spare`
    places are looked into only where the table they are on is loaded itself.
    """
    taken = {table.name for table in tables if not table.unsupported_reason}
    found_on: dict[str, list[tuple[Placement, Table]]] = {}
    for child in {**BY_NAME, **{own.name: own for own in tables}}.values():
        for found in child.placements:
            found_on.setdefault(found.parent, []).append((found, child))

    def look_inside(table: Table, trail: tuple[str, ...]) -> ListPlan | None:
        node = ListPlan(table, wanted=table.name in taken)
        for found, child in found_on.get(table.name, ()):
            if child.name in trail or (found.only_below and found.only_below not in trail):
                continue
            if found.fallback and not (node.wanted and child.name in taken):
                continue
            inner = ListPlan(child, True) if found.fallback else look_inside(child, (*trail, child.name))
            if inner:
                node.children.setdefault(found, []).append(inner)
        return node if node.wanted or node.children else None

    roots = {table.name: table for table in (*BY_NAME.values(), *tables) if table.path}
    return [node for table in roots.values() if (node := look_inside(table, (table.name,)))]


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
    paths = [prefix + name for name in node.table.expand] if node.wanted else []
    for found, kinds in node.children.items():
        if found.at is None:
            continue
        if found.expand:
            paths.append(prefix + found.at)
        for kind in () if found.fallback else kinds:
            paths += expansions(kind, f"{prefix}{found.at}.data.")
    return [path for path in dict.fromkeys(paths) if path.count(".") < 3]  # Stripe expands 4 levels, `data.` is one


def fields_needed(node: ListPlan) -> set[str]:
    """The members of a list's objects that have to be known to read it, and what is found on them."""
    paths = ["id", "created", "object", node.table.time or "created"]
    for found in node.children:
        paths += filter(None, (found.at, found.when, found.id))
        paths += [name for name, _ in found.where]
        paths += [match for value in found.params.values() if (match := template_path(value))]
    return {path.partition(".")[0] for path in paths}


def drop_forbidden_expansions(root: ListPlan, error: PermissionDenied) -> tuple[ListPlan, list[Table]]:
    """What is left of a list when a key may not read what is expanded on its objects, and the tables that lose a way.

    Raises:
        PermissionDenied: the error itself, because it is about the list.
    """
    if error.permission is None or error.permission != root.table.permission:
        for permission in (error.permission, None):
            left, lost = _without(root, permission)
            if lost:
                return left, lost
    raise error


async def read_with_allowed_expansions(
    plan: ListPlan, read: Callable[[ListPlan], Awaitable[T]], on_lost: Callable[[Table, PermissionDenied], None]
) -> T:
    """Read with all that a list's tables want expanded; when that is refused, with less, until it is allowed.

    Args:
        plan: of the list.
        read: sends the request; gets what is left of the plan.
        on_lost: told of each table that cannot be found there, with the refusal.

    Raises:
        PermissionDenied: the key may not read the list itself.
    """
    while True:
        try:
            return await read(plan)
        except PermissionDenied as error:
            plan, lost = drop_forbidden_expansions(plan, error)
            for table in lost:
                on_lost(table, error)


def _without(node: ListPlan, permission: str | None) -> tuple[ListPlan, list[Table]]:
    """A list with less to expand: no places of tables that need a permission; None: no places of any table."""
    kept, lost = ListPlan(node.table, node.wanted), list[Table]()
    for found, kinds in node.children.items():
        for kind in kinds:
            if found.expand and permission in (None, kind.table.permission):
                lost += kind.tables()
            else:
                inner, gone = _without(kind, permission)
                kept.children.setdefault(found, []).append(inner)
                lost += gone
    return kept, lost
