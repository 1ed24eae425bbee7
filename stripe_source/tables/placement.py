"""Where objects of a table are found on other objects, and how they are taken out."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stripe_source.tables.objects import Object

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Placement:
    """A place where objects of a table are found: embedded in the objects of another table, or in a list of each.

    Args:
        parent: the table whose objects own these.
        at: dotted path on the parent's object that holds them: a Stripe list object, a JSON list, or one object.
            None when they are embedded nowhere.
        expand: Stripe embeds them at `at` only when `expand[]` names it; without, ids or nothing are there.
        child_path: path of the list of one parent's objects, with `{id}` for the parent's id. The list is read where
            the embedded one says `has_more`, or for every parent when `at` is None.
        param: name of the query parameter that carries the parent's id, where `child_path` has no `{id}`.
        where: (field, value) pairs that a parent must have for `child_path` to be read.
        params: further query parameters of `child_path`; `{a.b}` stands for the value at that path of the parent's
            object.
        when: dotted path on the parent's object; where nothing is there, the parent has none of these.
        id: dotted path on the parent's object of the id that `child_path` and `param` carry.
        of: Stripe's name of the object that owns these, where `id` leads to another object than the parent. The parent
            column is named after it.
        via_path: path of one object that is read first, with `param`; `id` is looked up in it, and in each member of
            the lists on the way.
        single_object: `child_path` answers one object, not a list.
        second_parent: (table, name of a query parameter): `child_path` is read for each parent together with the id of
            each object of that table, which becomes one more column of the row.
        window: names of two query parameters for a span of time in whole UTC days, which `child_path` requires.
        only_below: a table; only parents that were found below an object of it have these objects here. Their list is
            then not read for other parents.
        fallback: only objects that the table's own list lacks are taken from here; where only an id is found, the
            object is read from `Table.object_path`.
        refusal_expected: why Stripe may refuse the list of a single parent (for people): that parent has none then,
            and the refusal is counted.
        event_sources: (Stripe's name of an object, dotted path in it of the parent's id): an event about such an object
            says that this parent's objects changed. Without any, every event about the parent does.
        more_event_sources: likewise, beside every event about the parent.
        event_types: (beginning of the types of events, dotted path in their object of the parent's id): such an event
            says it too, whatever kind of object it is about.
        parent_id_column: the column of these objects' rows that holds the parent's id, where there is no parent column.
    """

    parent: str
    at: str | None = None
    expand: bool = False
    child_path: str | None = None
    param: str | None = None
    where: tuple[tuple[str, Any], ...] = ()
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS, hash=False)
    when: str | None = None
    id: str = "id"
    of: str | None = None
    via_path: str | None = None
    single_object: bool = False
    second_parent: tuple[str, str] | None = None
    window: tuple[str, str] | None = None
    only_below: str | None = None
    fallback: bool = False
    refusal_expected: str | None = None
    event_sources: tuple[tuple[str, str], ...] = ()
    more_event_sources: tuple[tuple[str, str], ...] = ()
    event_types: tuple[tuple[str, str], ...] = ()
    parent_id_column: str | None = None



def values_at(thing: Any, path: str) -> Iterator[Any]:
    """The values at a dotted path; several where lists are on the way, none where nothing is there."""
    step, _, rest = path.partition(".")
    value = thing.get(step) if isinstance(thing, dict) else None
    if value is None:
        return
    if not rest:
        yield value
        return
    for inner in value if isinstance(value, list) else [value]:
        yield from values_at(inner, rest)


def is_present(thing: Object, path: str) -> bool:
    """Whether something is at a path: not null, and no empty text or list."""
    return any(value not in ("", [], {}) for value in values_at(thing, path))


def template_path(value: Any) -> str | None:
    """The path that stands in a parameter in place of a value."""
    match = re.fullmatch(r"\{(.+)\}", value) if isinstance(value, str) else None
    return match[1] if match else None


def fill_params(params: Mapping[str, Any], thing: Object) -> dict[str, Any]:
    """Parameters with `{a.b}` replaced by the value at that path of an object."""
    def value(template: Any) -> Any:
        path = template_path(template)
        return next(values_at(thing, path), None) if path else template

    return {name: value(template) for name, template in params.items()}


def may_have_children(parent: Object, placement: Placement) -> bool:
    """Whether a parent may have objects of a table, as far as its own object tells."""
    if any(parent.get(name) != value for name, value in placement.where):
        return False
    return placement.when is None or is_present(parent, placement.when)


def extract_children(thing: Object, placement: Placement) -> tuple[list[Object], bool]:
    """Take the objects of a child table out of their parent's object.

    The parent is left as Stripe sends it without expansion, so that its row does not depend on which other tables are
    loaded: an expanded list is removed, expanded references become ids, and of a list that is always embedded only the
    envelope stays, with those members that are no objects. At a `fallback` placement is a copy of another object; it
    stays whole.

    Returns:
        The child objects, and whether there may be more than these.
    """
    if placement.at is None:
        return [], True
    *steps, last = placement.at.split(".")
    here: Any = thing
    for step in steps:
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict) or last not in here:
        return [], placement.expand and placement.child_path is not None
    value = here[last]
    ids = placement.expand and any(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))
    if placement.fallback:
        return [value] if isinstance(value, dict) else [{"id": value}] if isinstance(value, str) else [], False
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        others = [item for item in value["data"] if not isinstance(item, dict)]
        if placement.expand and not others:
            del here[last]
        else:
            envelope = {key: inner for key, inner in value.items() if key != "data"}
            here[last] = {**envelope, "data": others} if others else envelope
        return [item for item in value["data"] if isinstance(item, dict)], bool(value.get("has_more"))
    if isinstance(value, list):
        if placement.expand:
            here[last] = [item.get("id") if isinstance(item, dict) else item for item in value]
        return [item for item in value if isinstance(item, dict)], ids
    if isinstance(value, dict):
        if placement.expand:
            here[last] = value.get("id")
        return [value], False
    return [], ids


def whole_days(low: int, high: int) -> tuple[int, int]:
    """The span of whole UTC days that holds [low, high), in unix seconds."""
    return low // 86_400 * 86_400, -(-high // 86_400) * 86_400
