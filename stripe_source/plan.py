"""What a run asks for: which lists have to be read for the wanted tables, and what is taken out of their objects."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stripe_source.errors import PermissionDenied
from stripe_source.listing import Object
from stripe_source.table import Found, Table
from stripe_source.tables import BY_NAME


@dataclass(frozen=True)
class Ask:
    """What a run wants of one table.

    Args:
        table: the table.
        since: objects created at or after this unix second; None: from the beginning.
        until: objects created before this unix second; None: to the end.
        after: the id of the object that the last run ended with (marker `id`).
        ordered: oldest first, because a cursor follows what is handed over.
        follows: it may go by the cursor of its parents.
        feeds: it goes by the change feed.
        position: the unix second up to which the feed has been applied; None: it has to be read whole.
        refused: the run before was not allowed to read it.
        whole_at: when it was last read whole, unix seconds.
        settled: what the run before had seen of the feed was applied to it; False after it was read whole.
        behind: the run before was without it.
        first: the destination holds nothing of it, or what a first load that was cut short brought.
        again: it is to be read from the beginning, whatever is known of it.
    """

    table: Table
    since: int | None = None
    until: int | None = None
    after: str | None = None
    ordered: bool = False
    follows: bool = False
    feeds: bool = False
    position: int | None = None
    refused: bool = False
    whole_at: int | None = None
    settled: bool = False
    behind: bool = False
    first: bool = False
    again: bool = False


@dataclass
class Wanted:
    """One list to read, or a child list: which tables take from it, and what is found on its objects."""

    table: Table
    taken: bool = False
    children: dict[Found, list[Wanted]] = field(default_factory=dict)

    def tables(self) -> Iterable[Table]:
        """All tables that take something from here."""
        if self.taken:
            yield self.table
        for kinds in self.children.values():
            for kind in kinds:
                yield from kind.tables()


def wanted(tables: Sequence[Table]) -> list[Wanted]:
    """The lists that have to be read for these tables, with what is to be taken out of their objects.

    A table that is found with others makes their lists be read too, although their rows may not be wanted. `spare`
    places are looked into only where the table they are on is loaded itself.
    """
    taken = {table.name for table in tables if not table.never}
    found_on: dict[str, list[tuple[Found, Table]]] = {}
    for child in {**BY_NAME, **{own.name: own for own in tables}}.values():
        for found in child.found:
            found_on.setdefault(found.parent, []).append((found, child))

    def look_inside(table: Table, trail: tuple[str, ...]) -> Wanted | None:
        node = Wanted(table, taken=table.name in taken)
        for found, child in found_on.get(table.name, ()):
            if child.name in trail or (found.under and found.under not in trail):
                continue
            if found.spare and not (node.taken and child.name in taken):
                continue
            inner = Wanted(child, True) if found.spare else look_inside(child, (*trail, child.name))
            if inner:
                node.children.setdefault(found, []).append(inner)
        return node if node.taken or node.children else None

    roots = {table.name: table for table in (*BY_NAME.values(), *tables) if table.path}
    return [node for table in roots.values() if (node := look_inside(table, (table.name,)))]


def ways(root: Wanted) -> Iterator[tuple[Table, Found | None]]:
    """The tables that take something from a list, each with the place where it is found; None: it is their own list."""
    def below(node: Wanted) -> Iterator[tuple[Table, Found | None]]:
        for found, kinds in node.children.items():
            for kind in kinds:
                if kind.taken:
                    yield kind.table, found
                yield from below(kind)

    if root.taken:
        yield root.table, None
    yield from below(root)


def expansions(node: Wanted, prefix: str = "") -> list[str]:
    """The `expand[]` paths that a list needs, relative to one of its objects.

    Args:
        node: the list.
        prefix: path of the list itself, where it is embedded.
    """
    paths = [prefix + name for name in node.table.expand] if node.taken else []
    for found, kinds in node.children.items():
        if found.at is None:
            continue
        if found.expand:
            paths.append(prefix + found.at)
        for kind in () if found.spare else kinds:
            paths += expansions(kind, f"{prefix}{found.at}.data.")
    return [path for path in dict.fromkeys(paths) if path.count(".") < 3]  # Stripe expands 4 levels, `data.` is one


def members(node: Wanted) -> set[str]:
    """The members of a list's objects that have to be known to read it, and what is found on them."""
    paths = ["id", "created", "object", node.table.time or "created"]
    for found in node.children:
        paths += filter(None, (found.at, found.when, found.id))
        paths += [name for name, _ in found.where]
        paths += [match for value in found.params.values() if (match := _template(value))]
    return {path.partition(".")[0] for path in paths}


def refused(root: Wanted, error: PermissionDenied) -> tuple[Wanted, list[Table]]:
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


def _without(node: Wanted, permission: str | None) -> tuple[Wanted, list[Table]]:
    """A list with less to expand: no places of tables that need a permission; None: no places of any table."""
    kept, lost = Wanted(node.table, node.taken), list[Table]()
    for found, kinds in node.children.items():
        for kind in kinds:
            if found.expand and permission in (None, kind.table.permission):
                lost += kind.tables()
            else:
                inner, gone = _without(kind, permission)
                kept.children.setdefault(found, []).append(inner)
                lost += gone
    return kept, lost


def at(thing: Any, path: str) -> Iterator[Any]:
    """The values at a dotted path; several where lists are on the way, none where nothing is there."""
    step, _, rest = path.partition(".")
    value = thing.get(step) if isinstance(thing, dict) else None
    if value is None:
        return
    if not rest:
        yield value
        return
    for inner in value if isinstance(value, list) else [value]:
        yield from at(inner, rest)


def there(thing: Object, path: str) -> bool:
    """Whether something is at a path: not null, and no empty text or list."""
    return any(value not in ("", [], {}) for value in at(thing, path))


def _template(value: Any) -> str | None:
    """The path that stands in a parameter in place of a value."""
    match = re.fullmatch(r"\{(.+)\}", value) if isinstance(value, str) else None
    return match[1] if match else None


def filled(params: Mapping[str, Any], thing: Object) -> dict[str, Any]:
    """Parameters with `{a.b}` replaced by the value at that path of an object."""
    def value(template: Any) -> Any:
        path = _template(template)
        return next(at(thing, path), None) if path else template

    return {name: value(template) for name, template in params.items()}


def asked(parent: Object, found: Found) -> bool:
    """Whether a parent may have objects of a table, as far as its own object tells."""
    if any(parent.get(name) != value for name, value in found.where):
        return False
    return found.when is None or there(parent, found.when)


def take(thing: Object, found: Found) -> tuple[list[Object], bool]:
    """Take the objects of a child table out of their parent's object.

    The parent is left as it would have come without our asking for expansion, so that its row does not depend on which
    other tables are loaded: an expanded list goes, expanded references become ids, and of a list that is always
    embedded only the wrapper stays. What counts as `spare` only is a copy of another object, and stays whole.

    Returns:
        The child objects, and whether there may be more than these.
    """
    if found.at is None:
        return [], True
    *way, last = found.at.split(".")
    here: Any = thing
    for step in way:
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict) or last not in here:
        return [], found.expand and found.rest is not None
    value = here[last]
    ids = found.expand and any(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))
    if found.spare:
        return [value] if isinstance(value, dict) else [{"id": value}] if isinstance(value, str) else [], False
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        if found.expand:
            del here[last]
        else:
            here[last] = {key: inner for key, inner in value.items() if key != "data"}
        return [item for item in value["data"] if isinstance(item, dict)], bool(value.get("has_more"))
    if isinstance(value, list):
        if found.expand:
            here[last] = [item.get("id") if isinstance(item, dict) else item for item in value]
        return [item for item in value if isinstance(item, dict)], ids
    if isinstance(value, dict):
        if found.expand:
            here[last] = value.get("id")
        return [value], False
    return [], ids


def days(low: int, high: int) -> tuple[int, int]:
    """The span of whole UTC days that holds [low, high), in unix seconds."""
    return low // 86_400 * 86_400, -(-high // 86_400) * 86_400
