"""Where objects sit on other objects, and how they are taken out."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stripe_source.tables.objects import Object


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


def may_have_children(parent: Object, found: Placement) -> bool:
    """Whether a parent may have objects of a table, as far as its own object tells."""
    if any(parent.get(name) != value for name, value in found.where):
        return False
    return found.when is None or is_present(parent, found.when)


def extract_children(thing: Object, found: Placement) -> tuple[list[Object], bool]:
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
        return [], found.expand and found.child_path is not None
    value = here[last]
    ids = found.expand and any(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))
    if found.fallback:
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


def whole_days(low: int, high: int) -> tuple[int, int]:
    """The span of whole UTC days that holds [low, high), in unix seconds."""
    return low // 86_400 * 86_400, -(-high // 86_400) * 86_400


NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Placement:
    """A place where objects of a table come with, or under, the objects of another table.

    Args:
        parent: the table whose objects own these.
        at: dotted path on the parent's object that holds them: a Stripe list object, a JSON list, or one object.
            None when they are embedded nowhere.
        expand: whether `at` must be asked for with `expand[]` (ids or nothing are there otherwise).
        rest: path of the list of one parent's objects, with `{id}` for the parent's id. Asked only when the embedded
            list says `has_more`, or for every parent when `at` is None.
        param: name of the query parameter that carries the parent's id, where `rest` has no `{id}`.
        where: (field, value) pairs that a parent must have for `rest` to be asked.
        params: sent with `rest` besides; `{a.b}` stands for the value at that path of the parent's object.
        when: dotted path on the parent's object; where nothing is there, the parent has none of these.
        id: dotted path on the parent's object of the id that `rest` and `param` carry.
        of: Stripe's name of the object that owns these, where `id` leads to another object than the parent. The parent
            column is named after it.
        through: path of one object that is asked for first, with `param`; `id` is looked for in it, and in each member
            of the lists on the way.
        one: `rest` answers one object, not a list.
        pair: (table, name of a query parameter): `rest` is asked for each parent together with the id of each object of
            that table, which becomes one more column of the row.
        window: names of two query parameters for a span of time in whole UTC days, which `rest` cannot do without.
        under: only for parents that were found with this table themselves, so that their own list need not be read.
        spare: counts only for what the table's own list lacks; where only an id is found, the object is asked for by
            `Table.one`.
        may_refuse: a single parent's list may be refused (a reason, for people): that parent has none then, and is
            counted.
        told: (Stripe's name of an object, dotted path in it of the parent's id): an event about such an object says
            that this parent's objects changed. Without any, every event about the parent does.
        names: the column of these objects' rows that holds the parent's id, where there is no parent column.
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
    parent_id_column: str | None = None
