"""From an object of the SDK to the columns of its table."""
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stripe_source.codegen.rules import (
    COMMON,
    DECIMAL,
    EMBEDDED,
    ENVELOPE,
    NAMED_OTHERWISE,
    NOT_RFC3339_DOC,
    NOT_UNIX,
    RFC3339_DOC,
    RFC3339_NAME,
    SECRET,
    UNIX_DOC,
    UNIX_NAME,
    WIDTH,
    column_name,
    curated,
    is_money,
    words_of,
)
from stripe_source.codegen.sdk import Class, Field, Sdk
from stripe_source.tables.table import Table


@dataclass
class Node:
    """A value of an object: a column, or an object that flattens (it has `members`)."""

    path: tuple[str, ...]
    words: dict[str, Any] = field(default_factory=dict)
    members: list[Node] | None = None
    kinds: bool = False
    list: bool = False  # an embedded list object whose items are rows of another table
    money: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path[-1]

    def leaves(self) -> Iterator[Node]:
        """The columns of this value."""
        if self.members is None:
            yield self
        for member in self.members or ():
            yield from member.leaves()

    def inner(self) -> Iterator[Node]:
        """This value and all below it that flatten."""
        if self.members is not None:
            yield self
            for member in self.members:
                yield from member.inner()

    def collapse(self) -> None:
        """Make this one JSON column."""
        self.members = None
        self.words = words_of("json", self.words.get("description", ""))


class Generator:
    """Builds schema maps from the SDK, curation and the registry of tables."""

    def __init__(self, sdk: Sdk, tables: Iterable[Table], curation: Mapping[str, Any]) -> None:
        self.sdk = sdk
        self.tables = tuple(tables)
        self.curation = curation

    @cached_property
    def references(self) -> Mapping[str, str]:
        """The table that an object's id leads to: the one with a list of its own, else the only one that has it."""
        own: dict[str, list[str]] = {}
        found: dict[str, list[str]] = {}
        for table in self.tables:
            if table.key[-1:] == ("id",):
                for name in table.object:
                    (own if table.path and not table.singleton else found).setdefault(name, []).append(table.name)
        only = {name: tables[0] for name, tables in found.items() if len(tables) == 1}
        return {**only, **{name: tables[0] for name, tables in own.items() if len(tables) == 1}}

    def map(self, table: Table) -> dict[str, Any]:
        """The schema map of a table, as it is written to its file."""
        trees = [self._tree(table, name) for name in table.object]
        root = Node((), members=_merge([tree.members or [] for tree in trees]), kinds=any(tree.kinds for tree in trees))
        self._fit(root)
        _note_not_loaded(root, table)
        names = _names(root)
        self._currencies(root, [], names)
        _order(root)
        columns: dict[str, dict[str, Any]] = {}
        for leaf in root.leaves():
            name = names[leaf.path]
            renamed = {} if name == "__".join(leaf.path) else {"path": ".".join(leaf.path)}
            columns[name] = {**leaf.words, **renamed}
            if leaf.path == ("id",):
                columns.update(self._extra(table, columns))
        for key in {"id", *table.key}:
            if key in columns:
                columns[key]["nullable"] = False
        kinds = sorted(".".join(node.path) for node in root.inner() if node.kinds)
        children = sorted(".".join(node.path) for node in root.inner() if node.list)
        return {
            "table": table.name,
            "object": table.object[0] if len(table.object) == 1 else list(table.object),
            "description": table.about,
            **({"json_kinds": kinds} if kinds else {}),
            **({"children": children} if children else {}),
            "columns": columns,
        }

    def _extra(self, table: Table, columns: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, path in table.extra.items():
            words = {**columns[path.replace(".", "__")], "path": path}
            other = self.references.get(table.object[0])
            if path == "id" and other != table.name:
                words["references"] = other
            yield name, words

    def _children(self, table: Table) -> set[str]:
        """Paths of the list objects on the table's objects whose items are rows of another table."""
        return {
            re.sub(r"\.data$", "", found.at)
            for other in self.tables
            for found in other.placements
            if found.parent == table.name and found.at
        }

    # the tree of an object

    def _tree(self, table: Table, name: str) -> Node:
        """The object as a tree: the part of it that is a row, with curation applied."""
        cls = self.sdk.objects[name]
        for part in filter(None, table.at.split(".")):
            of = next(field.type for field in self.sdk.fields(cls) if field.name == part)
            item = of.of[0] if of.of else of
            if item.cls is None:
                raise ValueError(f"Table `{table.name}`: `{part}` of `{name}` holds no objects.")
            cls = item.cls
        builder = _Builder(self, name, self._children(table), self.curation.get(name) or {})
        root = Node((), members=builder.members(cls, (), (cls,)), kinds=self.kinds(cls))
        builder.curate(root, f"`{name}` in curation.yaml")
        return root

    def kinds(self, cls: Class) -> bool:
        """Whether an object is keyed by kinds of payment methods."""
        objects = [field.name for field in self.sdk.fields(cls) if field.type.kind == "object"]
        known = sum(name in self.sdk.payment_method_types for name in objects)
        return known >= 3 and 2 * known >= len(objects)

    # what is done with the whole tree

    def _fit(self, root: Node) -> None:
        def excess() -> int:
            return sum(1 for _ in root.leaves()) - WIDTH

        for node in list(root.inner()):
            if excess() > 0 and node.kinds and node.path and node.name.endswith("_options"):
                for member in node.members or ():
                    if member.members is not None:
                        member.collapse()
        while excess() > 0:
            candidates = [node for node in root.inner() if node.path]
            if not candidates:
                raise ValueError(f"{WIDTH + excess()} columns, and nothing is nested. Curate: `omit` or `json`.")
            max(candidates, key=lambda node: (len(node.path), sum(1 for _ in node.leaves()), node.path)).collapse()

    def _currencies(self, node: Node, scopes: list[dict[str, Node]], names: Mapping[tuple[str, ...], str]) -> None:
        """Say of each amount which column has its currency: the nearest one up the tree."""
        members = node.members or []
        scopes = [*scopes, {member.name: member for member in members if member.words.get("data_type") == "text"}]
        for member in members:
            if member.members is not None:
                self._currencies(member, scopes, names)
            elif member.money:
                stem = re.sub(r"_amount$", "", member.name)
                wanted = (f"{member.name}_currency", f"{stem}_currency", "currency")
                near = next((scope[name] for scope in reversed(scopes) for name in wanted if name in scope), None)
                if near:
                    member.words["x-currency"] = names[near.path]


@dataclass
class _Builder:
    """Builds the tree of one object."""

    generator: Generator
    object: str
    children: set[str]
    curation: Mapping[str, Mapping[str, Any]]

    def members(self, cls: Class, path: tuple[str, ...], stack: tuple[Class, ...]) -> list[Node]:
        fields = self.generator.sdk.fields(cls)
        has_currency = any(field.name == "currency" for field in fields)
        nodes = [
            self._node(field, (*path, field.name), stack, has_currency and field.name == "value") for field in fields
        ]
        listed = ".".join(path) in self.curation.get("kinds", ())
        if listed or self.generator.kinds(cls):
            for node in nodes:
                rare = listed or (node.name in self.generator.sdk.payment_method_types and node.name not in COMMON)
                if rare and node.members is not None and ".".join(node.path) not in self.curation.get("flat", ()):
                    node.collapse()
        return nodes

    def _node(self, field: Field, path: tuple[str, ...], stack: tuple[Class, ...], value: bool) -> Node:
        kind, cls, dotted = field.type.kind, field.type.cls, ".".join(path)
        flat = dotted in self.curation.get("flat", ())
        if dotted in self.curation.get("json", ()):
            return Node(path, words_of("json", field.doc))
        if kind == "list_object" and dotted in self.children:
            return Node(path, words_of("json", field.doc), [
                Node((*path, name), words_of(word, doc)) for name, (word, doc) in ENVELOPE.items()
            ], list=True)
        if kind in ("object", "resource") and cls and cls not in stack and self.generator.sdk.fields(cls):
            keyed = dotted in self.curation.get("kinds", ()) or self.generator.kinds(cls)
            node = Node(path, words_of("json", field.doc), self.members(cls, path, (*stack, cls)), keyed)
            width = sum(1 for _ in node.leaves())
            if kind == "resource" and not flat and (len(path) > 1 or width > EMBEDDED):
                node.collapse()
            elif kind == "resource" and (table := self.generator.references.get(cls.object or "")):
                for member in node.members or ():
                    if member.name == "id":
                        member.words["references"] = table
            return node
        words, money = self._column(field, path, stack[-1], value)
        return Node(path, words, money=money)

    def _column(self, field: Field, path: tuple[str, ...], cls: Class, value: bool) -> tuple[dict[str, Any], bool]:
        kind, doc = field.type.kind, field.doc
        if kind == "expandable":
            words = words_of("text", doc)
            target = field.type.of[0].cls
            if target and (table := self.generator.references.get(target.object or "")):
                words["references"] = table
            return words, False
        if kind == "int":
            if UNIX_DOC.search(doc) or (UNIX_NAME.search(field.name) and not NOT_UNIX.search(field.name)):
                return words_of("timestamp", doc), False
            return words_of("bigint", doc), value or is_money(field.name, doc, path)
        if kind == "decimal":
            return {**DECIMAL, **words_of("decimal", doc)}, is_money(field.name, doc, path)
        if kind == "text":
            if re.search("epoch", doc, re.IGNORECASE) and UNIX_NAME.search(field.name):
                return words_of("timestamp", doc), False  # unix seconds that travel as text
            dated = RFC3339_DOC.search(doc) or (cls.module.startswith("stripe.v2.") and RFC3339_NAME.search(field.name))
            if dated and not field.type.values and not NOT_RFC3339_DOC.search(doc):
                return words_of("timestamp", doc), False
            words = words_of("text", doc)
            if SECRET.search(field.name):
                words["x-secret"] = True
            if not field.type.values and (table := self._named(field.name)):
                words["references"] = table
            return words, False
        return words_of({"bool": "bool", "float": "double"}.get(kind, "json"), doc), False

    def _named(self, name: str) -> str | None:
        """The table of the object that a field without a type of its own is named like, its own product's first."""
        product = self.object.rpartition(".")[0]
        references = self.generator.references
        return references.get(f"{product}.{name}") or references.get(NAMED_OTHERWISE.get(name, name))

    def curate(self, root: Node, where: str) -> None:
        """Apply `omit`, `change` and `add`; a path that is not there is an error: no entry outlives its reason."""
        for action in ("json", "flat", "kinds", "omit", "change"):
            for dotted in self.curation.get(action, ()):
                parent, node = _find(root, dotted)
                if parent is None or node is None:
                    raise ValueError(f"{where}: `{action}` names `{dotted}`, which is not there.")
                if action == "omit" and parent.members:
                    parent.members.remove(node)
                if action == "change":
                    node.words.update(curated(self.curation["change"][dotted]))
        for dotted, entry in (self.curation.get("add") or {}).items():
            parent, node = _find(root, dotted)
            if parent is None or parent.members is None or node is not None:
                raise ValueError(f"{where}: `add` names `{dotted}`, which is there already, or has no object to be in.")
            parent.members.append(Node(tuple(dotted.split(".")), curated(entry), money="x-currency" in entry))


def _names(root: Node) -> dict[tuple[str, ...], str]:
    """The name of each column; objects whose members have none of their own become JSON."""
    while True:
        names = {leaf.path: column_name(leaf.path) for leaf in root.leaves()}
        uses = Counter(names.values())
        nameless = {path[:-1] for path, name in names.items() if name is None or uses[name] > 1}
        if not nameless:
            return {path: name for path, name in names.items() if name}
        for node in list(root.inner()):
            if node.path in nameless and node.path:
                node.collapse()


def _find(root: Node, dotted: str) -> tuple[Node | None, Node | None]:
    """The node that a path is in, and the node at the path."""
    *above, last = dotted.split(".")
    parent: Node | None = root
    for part in above:
        parent = next((node for node in (parent.members if parent else None) or () if node.name == part), None)
    return parent, next((node for node in (parent.members if parent else None) or () if node.name == last), None)


def _merge(sides: list[list[Node]]) -> list[Node]:
    """The members of several objects of one table; where they disagree on a type, text or JSON takes both."""
    merged: dict[str, Node] = {}
    for node in (node for side in sides for node in side):
        known = merged.setdefault(node.name, node)
        if known is node:
            continue
        if known.members is not None and node.members is not None:
            known.members, known.kinds = _merge([known.members, node.members]), known.kinds or node.kinds
        elif known.members is not None or node.members is not None:
            known.collapse()
        elif known.words["data_type"] != node.words["data_type"]:
            both = {known.words["data_type"], node.words["data_type"]}
            known.words = words_of("json" if "json" in both else "text", known.words.get("description", ""))
        elif known.words.get("references") != node.words.get("references"):
            known.words.pop("references", None)
    return list(merged.values())


def _note_not_loaded(root: Node, table: Table) -> None:
    """Say in the descriptions of columns that they stay empty, and why."""
    for dotted, reason in table.not_loaded.items():
        path = tuple(dotted.split("."))
        leaves = [leaf for leaf in root.leaves() if leaf.path == path[:len(leaf.path)] or leaf.path[:len(path)] == path]
        if not leaves:
            raise ValueError(f"`not_loaded` names `{dotted}`, which is not there.")
        for leaf in leaves:
            if len(leaf.path) >= len(path):  # else it is a part of one JSON column
                said = leaf.words.get("description", "")
                leaf.words["description"] = f"Not loaded ({reason}). {said}".strip()


def _order(root: Node) -> None:
    """`id` first, then by name, at each level."""
    for node in list(root.inner()):
        (node.members or []).sort(key=lambda member: (member.name != "id", member.name))
