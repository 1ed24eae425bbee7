"""`expand[]`: ids are replaced by objects, and fields are added that are absent otherwise."""
from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import orjson

from stripe_source.sandbox.dump import own
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import EMBEDDED, EXPAND_ONLY, LISTS, OBJECTS, list_path, stripe_name
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Refusal

DEEPEST = 4  # levels, `data` of a list included
_UNLISTED = {"discount": "rak_coupon_read"}  # permissions of objects without a list


@cache
def _known(object: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return what can be expanded in an object: path of the field -> (how, objects)."""
    object = stripe_name(object)
    spec = OBJECTS.get(object, {})
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for how in ("inline", "expand", "include"):
        for path, targets in spec.get(how, {}).items():
            found[path.replace("[]", "")] = (how, tuple(targets))
    for path in EXPAND_ONLY.get(object, ()):
        found[path] = ("include", ())
    for path, (_, targets) in spec.get("lists", {}).items():
        found[path] = ("list", tuple(targets))
    return found


def _next_step(object: str, segments: tuple[str, ...]) -> tuple[str, str, tuple[str, ...], tuple[str, ...]] | None:
    known = _known(object)
    for count in range(1, len(segments) + 1):
        path = ".".join(segments[:count])
        if path in known:
            how, targets = known[path]
            return path, how, targets, segments[count:]
    return None


@lru_cache(maxsize=4096)
def _allowed(objects: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    if not segments:
        return True
    for object in objects:
        step = _next_step(object, segments)
        if step is None:
            continue
        _, how, targets, rest = step
        if how == "list" and rest:
            if rest[0] != "data":
                continue
            rest = rest[1:]
        if _allowed(targets, rest):
            return True
    return False


def check(objects: tuple[str, ...], wanted: list[str], *, of_list: bool) -> tuple[str, ...]:
    """Return the paths to expand, below `data` for a list; refuse what cannot be expanded.

    Args:
        objects: types of the objects in the answer.
        wanted: values of `expand[]`.
        of_list: whether the answer is a list.
    """
    paths: list[str] = []
    for path in wanted:
        segments = tuple(path.split("."))
        if len(segments) > DEEPEST:
            raise Refusal(400, f"You cannot expand more than {DEEPEST} levels of a property. The property you tried to "
                               f"expand: {path}", param="expand")
        if of_list:
            if segments[0] != "data":
                raise Refusal(400, f"This property cannot be expanded ({path}). You may want to try expanding "
                                   f"'data.{path}' instead.", param="expand")
            segments = segments[1:]
            if not segments:
                continue
        if not _allowed(objects, segments):
            raise Refusal(400, f"This property cannot be expanded ({segments[-1]}).", param="expand")
        paths.append(".".join(segments))
    return tuple(sorted(set(paths)))


@lru_cache(maxsize=4096)
def permissions(objects: tuple[str, ...], path: str) -> tuple[frozenset[str], ...]:
    """Return the permissions that the expansion of a path needs: one of each set.

    Parts that an object always shows need no permission of their own.
    """
    segments = tuple(path.split("."))
    for object in objects:
        step = _next_step(object, segments) if _allowed((object,), segments) else None
        if step is None:
            continue
        field, how, targets, rest = step
        below = permissions(targets, ".".join(rest[how == "list":])) if rest else ()
        kinds, url, absent = EMBEDDED.get(object, {}).get(field, (targets, "", how == "expand"))
        if not absent:
            return below
        places = {url.partition("?")[0]} & LISTS.keys() or {list_path(kind) or kind for kind in kinds}
        known = [LISTS.get(place, {}).get("permission", _UNLISTED.get(place)) for place in places]
        names = {name for name in known if name}
        return (frozenset(names), *below) if names else below
    return ()


def expanded(books: Books, record: Record, paths: tuple[str, ...]) -> bytes:
    """Return the body of an object with these paths expanded; cached until anything changes in the world."""
    if not paths:
        return books.to_json(record)
    key = (record.object, record.id, paths)
    # where lists lag, the passing of time changes them as well
    cached = books.expansion_cache.get(key) if not books.stale_versions else None
    if cached is not None and cached[0] == books.world.revision:
        return cached[1]
    body = orjson.dumps(expand_in(books, record.object, books.to_dict(record), paths, record.expand_only))
    books.expansion_cache[key] = (books.world.revision, body)
    return body


def expand_in(books: Books, object: str, data: Data, paths: tuple[str, ...], expand_only: Data | None) -> Data:
    """Expand these paths in an object; return it.

    Args:
        books: the account of the other objects.
        object: Stripe's name of its type.
        data: the object.
        paths: the paths to expand.
        expand_only: its fields that only `expand[]` shows.
    """
    for path in paths:
        _walk(books, object, data, tuple(path.split(".")), expand_only)
    return data


def _walk(books: Books, object: str, node: Data, segments: tuple[str, ...], expand_only: Data | None = None) -> None:
    step = _next_step(object, segments) if segments else None
    if step is None:
        return
    path, how, targets, rest = step
    if how == "include":
        record = books.find(object, node.get("id")) if expand_only is None else None
        expand_only = record.expand_only if record is not None else expand_only
        if expand_only and path in expand_only:
            _put_at(node, path, expand_only[path])
    elif how == "list":
        whole = _value_at(node, path)
        if whole is None and node.get("id") and path in EMBEDDED.get(object, {}):
            kinds, url, _ = EMBEDDED[object][path]
            embedded = books.embedded_list(kinds, url, node["id"], listed=books.answering_list)
            whole = _put_at(node, path, orjson.loads(orjson.dumps(embedded)))
        for member in (whole or {}).get("data", ()):
            _walk(books, member["object"], member, rest[1:])
    else:
        _replace(books, node, path.split("."), targets, rest, look_up=how == "expand")


def _value_at(node: Any, path: str) -> Any:
    for part in path.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _put_at(node: Any, path: str, value: Any) -> Any:
    """Set the value at a dotted path and return it; None where the path leads through no object."""
    *above, last = path.split(".")
    for part in above:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return None
    node[last] = value
    return value


def _replace(
    books: Books, node: Any, path: list[str], targets: tuple[str, ...], rest: tuple[str, ...], *, look_up: bool
) -> None:
    if isinstance(node, list):
        for each in node:
            _replace(books, each, path, targets, rest, look_up=look_up)
        return
    if not isinstance(node, dict) or node.get(path[0]) is None:
        return
    if len(path) > 1:
        _replace(books, node[path[0]], path[1:], targets, rest, look_up=look_up)
        return
    value = node[path[0]]
    if look_up:
        node[path[0]] = value = (
            [_object(books, each, targets) for each in value] if isinstance(value, list)
            else _object(books, value, targets))
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, dict) and "object" in each:
            _walk(books, each["object"], each, rest)


def _object(books: Books, id: Any, targets: tuple[str, ...]) -> Any:
    if not isinstance(id, str):
        return id
    for target in targets:
        if target == "account" and id == books.account:
            return own(books)
        record = books.find(target, id)
        if record is None and target == "account":
            record = books.world.books.find(target, id)
        if record is not None:
            return books.to_dict(record)
        if target in books.collections and id in books.collection(target).deleted:
            return books.stub(target, id)
    return id
