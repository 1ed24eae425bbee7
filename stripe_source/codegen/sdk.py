"""What the installed `stripe` SDK says about Stripe's objects: fields, types, docstrings, read from its sources.

Nothing is imported from the SDK. Its annotations are strings and names that exist under TYPE_CHECKING only, several
classes share a name (Account, Card, Session), and docstrings of fields are not there at run time at all; the syntax
tree has everything. Modules are parsed when something refers to them.
"""
from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

PRIMITIVES = {
    "str": "text", "int": "int", "float": "float", "bool": "bool", "Decimal": "decimal", "Any": "any", "object": "any",
    "UntypedStripeObject": "map", "Dict": "map", "dict": "map",
}
GENERICS = {
    "List": "list", "list": "list", "Sequence": "list", "Dict": "map", "dict": "map", "Mapping": "map",
    "UntypedStripeObject": "map", "ListObject": "list_object", "ExpandableField": "expandable",
}
NOT_OBJECTS = {"list", "search_result", "v2.search_result", "v2.deleted_object"}  # envelopes


@dataclass(frozen=True)
class Type:
    """The type of a field, without what does not matter to a column (optional, open or closed enum).

    Args:
        kind: text, int, float, bool, decimal, any, map, list, list_object (Stripe's `object: list`), object (nested),
            resource (an object of its own, in full), expandable (its id, or in full when asked for), or union.
        of: the item type of lists, maps and expandable fields, the members of unions.
        cls: the class of objects and resources.
        values: the known values of an enum.
    """

    kind: str
    of: tuple[Type, ...] = ()
    cls: Class | None = None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """A field of a class: its name on the wire, its type, what the SDK says about it."""

    name: str
    type: Type
    doc: str = ""


@dataclass(frozen=True, eq=False)
class Class:
    """A class of the SDK: a resource if `object` is set, else an object nested in one."""

    module: str
    name: str
    node: ast.ClassDef

    def constant(self, name: str) -> object:
        """The value of a class attribute that is a literal, else None."""
        for statement in self.node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else (
                [statement.target] if isinstance(statement, ast.AnnAssign) else [])
            value = getattr(statement, "value", None)
            if any(isinstance(target, ast.Name) and target.id == name for target in targets) and value is not None:
                return _literal(value)
        return None

    @cached_property
    def object(self) -> str | None:
        """Stripe's name of the object."""
        name = self.constant("OBJECT_NAME")
        return name if isinstance(name, str) and name not in NOT_OBJECTS else None

    @cached_property
    def inner(self) -> Mapping[str, Class]:
        """The classes that are defined in this one."""
        return {
            node.name: Class(self.module, f"{self.name}.{node.name}", node)
            for node in self.node.body
            if isinstance(node, ast.ClassDef)
        }

    def annotations(self) -> Iterator[tuple[str, ast.expr, str]]:
        """Name, annotation and docstring of each field in the order of the source."""
        body = self.node.body
        for statement, after in zip(body, [*body[1:], None], strict=True):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if ast.unparse(statement.annotation).startswith("ClassVar"):
                continue
            doc = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                doc = " ".join(str(after.value.value).split())
            yield statement.target.id, statement.annotation, doc


@dataclass(frozen=True, eq=False)
class Module:
    """A parsed module: its classes, and where its other names come from."""

    classes: Mapping[str, Class]
    imports: Mapping[str, tuple[str, str]]


class Sdk:
    """The SDK in `folder`, by default the installed one."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            spec = find_spec("stripe")  # does not import it
            if spec is None or spec.origin is None:
                raise ModuleNotFoundError("The `stripe` SDK is not installed. Run `pip install stripe`.")
            folder = Path(spec.origin).parent
        self.folder = folder
        self._modules: dict[str, Module] = {}
        self._fields: dict[Class, tuple[Field, ...]] = {}
        self._added: dict[str, Class] = {}

    @property
    def objects(self) -> Mapping[str, Class]:
        """Every resource by Stripe's name of it."""
        return ChainMap(self._added, self._own)

    @cached_property
    def _own(self) -> dict[str, Class]:
        """Every resource that the SDK has."""
        found: dict[str, Class] = {}
        for path in sorted(self.folder.rglob("*.py")):
            if "params" in path.parts or path.name.endswith("_service.py"):
                continue
            if "OBJECT_NAME" not in path.read_text(encoding="utf-8"):
                continue
            name = ".".join(("stripe", *path.relative_to(self.folder).with_suffix("").parts))
            for cls in self._module(name).classes.values():
                if cls.object:
                    found.setdefault(cls.object, cls)
        return found

    @cached_property
    def payment_method_types(self) -> frozenset[str]:
        """Every kind of payment method, those of old charges too."""
        names: set[str] = set()
        for member in self.fields(self.objects["payment_method"]):
            if member.name == "type":
                names.update(member.type.values)
        for member in self.fields(self.objects["charge"].inner["PaymentMethodDetails"]):
            if member.type.kind == "object":
                names.add(member.name)
        return frozenset(names)

    def add(self, name: str, cls: Class) -> None:
        """Make a further object known, which the SDK lacks."""
        self._added[name] = cls

    def set_fields(self, cls: Class, fields: Iterable[Field]) -> None:
        """Say the fields of a class that is none of the SDK's."""
        self._fields[cls] = tuple(fields)

    def fields(self, cls: Class) -> tuple[Field, ...]:
        """The fields of a class with their names on the wire."""
        if cls not in self._fields:
            renamed = cls.constant("_field_remappings")
            wire = renamed if isinstance(renamed, dict) else {}
            self._fields[cls] = tuple(
                Field(str(wire.get(name, name)), self._type(annotation, cls), doc)
                for name, annotation, doc in cls.annotations()
            )
        return self._fields[cls]

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            path = self.folder.joinpath(*name.split(".")[1:])
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            classes = {node.name: Class(name, node.name, node) for node in tree.body if isinstance(node, ast.ClassDef)}
            imports = {
                alias.asname or alias.name: (node.module, alias.name)
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stripe")
                for alias in node.names
            }
            self._modules[name] = Module(classes, imports)
        return self._modules[name]

    def _class(self, name: str, module: str) -> Class | None:
        known = self._module(module)
        if name in known.classes:
            return known.classes[name]
        return self._class(known.imports[name][1], known.imports[name][0]) if name in known.imports else None

    def _type(self, annotation: ast.expr, scope: Class) -> Type:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            return self._type(ast.parse(annotation.value, mode="eval").body, scope)
        if isinstance(annotation, ast.BinOp):
            return self._union([annotation.left, annotation.right], scope)
        if isinstance(annotation, ast.Subscript):
            head = ast.unparse(annotation.value).split(".")[-1]
            inside = annotation.slice
            arguments = list(inside.elts) if isinstance(inside, ast.Tuple) else [inside]
            if head == "Literal":
                values = [_literal(value) for value in arguments]
                if all(isinstance(value, bool) for value in values):
                    return Type("bool")
                return Type("text", values=tuple(str(value) for value in values))
            if head == "Optional":
                return self._type(inside, scope)
            if head == "Union":
                return self._union(arguments, scope)
            if head in GENERICS:
                return Type(GENERICS[head], (self._type(arguments[-1], scope),))
        elif isinstance(annotation, (ast.Name, ast.Attribute)):
            outer, *rest = ast.unparse(annotation).split(".")
            if not rest and outer not in scope.inner and outer in PRIMITIVES:
                return Type(PRIMITIVES[outer])
            cls = scope.inner.get(outer) or self._class(outer, scope.module)
            for name in rest:
                cls = cls.inner.get(name) if cls else None
            if cls:
                return Type("resource" if cls.object else "object", cls=cls)
        raise TypeError(f"`{scope.module}.{scope.name}` has an annotation of a new form: `{ast.unparse(annotation)}`.")

    def _union(self, members: list[ast.expr], scope: Class) -> Type:
        types = [
            self._type(member, scope)
            for member in members
            if not (isinstance(member, ast.Constant) and member.value is None)
        ]
        if all(member.kind == "text" for member in types):  # an open enum: its known values, or any other text
            return Type("text", values=tuple(value for member in types for value in member.values))
        return types[0] if len(types) == 1 else Type("union", tuple(types))


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
