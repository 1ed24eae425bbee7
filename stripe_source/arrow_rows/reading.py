"""From objects to columns: the hot loop, and the readable version that a test compares it with."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter
from typing import Any

from stripe_source.arrow_rows.undeclared_values import Path
from stripe_source.tables.schema_map import Column, TableMap


@dataclass
class _Node:
    """An object, or one inside of it: which of its members are columns, and which are objects with columns inside."""

    columns: dict[str, list[int]] = field(default_factory=dict)
    nodes: dict[str, _Node] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)  # members that are rows of other tables

    @property
    def known(self) -> frozenset[str]:
        return frozenset((*self.columns, *self.nodes, *self.dropped))


def _tree(columns: Sequence[Column], children: Iterable[tuple[str, ...]] = ()) -> _Node:
    root = _Node()
    for index, column in enumerate(columns):
        assert column.path is not None
        node = root
        for step in column.path[:-1]:
            node = node.nodes.setdefault(step, _Node())
        node.columns.setdefault(column.path[-1], []).append(index)
    for path in children:
        node = root
        for step in path:
            node = node.nodes.setdefault(step, _Node())
        node.dropped.add("data")
    return root


def plain_values(data: Mapping[str, Any], columns: Sequence[Column]) -> tuple[Any, ...]:
    """The values of one object's columns, read in the readable way."""

    def value(path: tuple[str, ...]) -> Any:
        here: Any = data
        for step in path:
            here = here.get(step) if isinstance(here, dict) else None
        return here

    return tuple(value(column.path or ()) for column in columns)


def _child_rows(value: Any) -> bool:
    """Whether the data of an embedded list are objects, which child tables have as rows."""
    return value.__class__ is list and all(item.__class__ is dict for item in value)


_EMPTY: dict[str, Any] = {}
Cells = list["Sequence[Any] | None"]


def read_columns(
    node: _Node, objects: Sequence[Mapping[str, Any] | None], cells: Cells, on_undeclared: Callable[[int], None]
) -> None:
    """Read objects column by column: most kinds of inner objects are absent from a whole batch and cost nothing.

    Args:
        node: which of their members are read.
        objects: those at one path, one per row; None where a row has none. At least one row has one.
        cells: receives the values of each column; None stays where all are null.
        on_undeclared: called with the index of each object that has undeclared members.
    """
    found = _read_uniform(objects)
    if found is None:
        present = [thing or _EMPTY for thing in objects]
        known = node.known.issuperset
        for index in [index for index, thing in enumerate(present) if not known(thing)]:
            on_undeclared(index)
        found = {
            key: [thing.get(key) for thing in present] for key in (*node.columns, *node.nodes, *node.dropped)
        }
    elif not found.keys() <= node.known:
        for index, thing in enumerate(objects):
            if thing is not None:
                on_undeclared(index)
    for key, places in node.columns.items():
        if key in found:
            for place in places:
                cells[place] = found[key]
    for key in node.dropped & found.keys():
        for index, data in enumerate(found[key]):
            if data is not None and not _child_rows(data):
                on_undeclared(index)
    for key, inner in node.nodes.items():
        inside = found.get(key, ())
        kinds = set(map(type, inside))
        if kinds - _OBJECTS:
            inside = _objects_only(inside, on_undeclared)
        if dict in kinds:
            read_columns(inner, inside, cells, on_undeclared)


def _objects_only(values: Sequence[Any], on_undeclared: Callable[[int], None]) -> list[dict[str, Any] | None]:
    """Values where objects are declared, with None in place of all others, which are undeclared."""
    for index, value in enumerate(values):
        if type(value) not in _OBJECTS:
            on_undeclared(index)
    return [value if type(value) is dict else None for value in values]


def _read_uniform(objects: Sequence[Mapping[str, Any] | None]) -> dict[str, Sequence[Any]] | None:
    """Read the values of each member where all objects have the same members, as those of most of Stripe's lists have.

    It takes a third of the time of looking up each member in each object. The answer is None where members differ.
    """
    first = next((thing for thing in objects if thing is not None), None)
    if not first:
        return None
    get = itemgetter(*first) if len(first) > 1 else lambda thing: (thing[next(iter(first))],)
    absent = (None,) * len(first)
    try:
        rows = [absent if thing is None else get(thing) for thing in objects]
    except KeyError:
        return None
    sizes = {len(first) if thing is None else len(thing) for thing in objects}
    return None if len(sizes) > 1 else dict(zip(first, zip(*rows, strict=True), strict=True))


_OBJECTS = frozenset({dict, type(None)})


def undeclared_fields(data: Mapping[str, Any], node: _Node, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Members that no column reads, with their path: undeclared ones, and declared objects that are of another type."""
    for key, value in data.items():
        if key in node.nodes:
            if isinstance(value, dict):
                yield from undeclared_fields(value, node.nodes[key], (*path, key))
            elif value is not None and key not in node.columns:
                yield (*path, key), value
        elif value is not None and key not in node.columns and not (key in node.dropped and _child_rows(value)):
            yield (*path, key), value


@cache
def readable_columns(shape: TableMap) -> tuple[tuple[Column, ...], _Node]:
    """The columns that are read from objects, and the tree by which `read_columns` reads them."""
    read = tuple(column for column in shape.columns if column.path is not None)
    return read, _tree(read, shape.children)


def object_paths(node: _Node, path: Path = ()) -> Iterator[Path]:
    """The paths of the objects that have columns inside."""
    for key, inner in node.nodes.items():
        if inner.columns or inner.nodes:
            yield (*path, key)
        yield from object_paths(inner, (*path, key))
