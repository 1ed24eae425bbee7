"""Objects that the installed SDK lacks: their fields, from samples, kept in `schema_maps/objects/`.

Each object has one YAML file, with one line per field: the dotted path, one of the words in `KINDS`, and a description
where Stripe gives one. The file is reviewed and corrected by hand like `curation.yaml`; a new sample only adds fields
to it. When an SDK with the object is installed, the file has to go: the SDK knows more.
"""
from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stripe_source.codegen.rules import UNIX_NAME, scalar, short
from stripe_source.codegen.sdk import Class, Field, Sdk, Type

KINDS = ("text", "int", "float", "bool", "decimal", "any", "map", "list", "list_object", "object")
_SCALARS = {str: "text", bool: "bool", int: "int", float: "float"}
_OPENAPI = {"integer": "int", "number": "float", "boolean": "bool", "array": "list"}
Fields = dict[str, dict[str, str]]  # by dotted path: `type`, and perhaps `description`


def read_fields(folder: Path) -> dict[str, Fields]:
    """The fields of each object in a folder of such files, by Stripe's name of the object.

    Raises:
        ValueError: a file says something else than it may.
    """
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        content = yaml.safe_load(file.read_bytes())
        name, fields = content["object"], content["fields"]
        wrong = [path for path, words in fields.items() if words.get("type") not in KINDS]
        if wrong or file.stem != name:
            raise ValueError(f"`{file}`: " + (
                f"the types of {', '.join(f'`{path}`' for path in wrong)} are none of {', '.join(KINDS)}."
                if wrong else f"rename it to `{name}.yaml`."
            ))
        found[name] = fields
    return found


def add_objects(sdk: Sdk, objects: Mapping[str, Fields], *, where: str = "schema_maps/objects") -> None:
    """Make an SDK know further objects.

    Raises:
        ValueError: the SDK knows one of them itself.
    """
    for name in objects:
        if name in sdk.objects:
            raise ValueError(f"The installed SDK has `{name}`: remove `{where}/{name}.yaml`.")
    for name, fields in objects.items():
        sdk.add(name, _class(name, name, fields, sdk))


def _class(object: str, title: str, fields: Fields, sdk: Sdk) -> Class:
    """A class as the SDK would have it: `object` is Stripe's name of the object that it is, or is nested in."""
    module = "stripe.v2.added" if object.startswith("v2.") else "stripe.added"
    constant = f"OBJECT_NAME = {object!r}" if object == title else "pass"
    node = ast.parse(f"class Added:\n    {constant}").body[0]
    assert isinstance(node, ast.ClassDef)
    cls = Class(module, title, node)
    members = []
    for name in dict.fromkeys(path.partition(".")[0] for path in fields):
        inside = {path.partition(".")[2]: words for path, words in fields.items() if path.startswith(f"{name}.")}
        words = fields.get(name, {})
        kind, doc = words.get("type", "object"), words.get("description", "")
        if inside:
            members.append(Field(name, Type("object", cls=_class(object, f"{title}.{name}", inside, sdk)), doc))
        else:
            of = (Type("any"),) if kind in ("map", "list", "list_object") else ()
            members.append(Field(name, Type("map" if kind == "object" else kind, of), doc))
    sdk.set_fields(cls, members)
    return cls


# Samples


def fields_of(sample: Mapping[str, Any]) -> tuple[str, Fields, list[str]]:
    """What a sample object, or the schema of one in an OpenAPI document, says of the fields.

    Returns:
        Stripe's name of the object, its fields, and the paths of those whose type the sample does not show.

    Raises:
        ValueError: it is neither.
    """
    unknown: list[str] = []
    if isinstance(sample.get("object"), str):
        return sample["object"], dict(_of_object(sample, "", unknown)), unknown
    properties = sample.get("properties")
    if isinstance(properties, Mapping):
        enum = properties.get("object", {}).get("enum") or [sample.get("x-resourceId")]
        if isinstance(enum[0], str):
            return enum[0], dict(_of_schema(properties, "", unknown)), unknown
    raise ValueError("A sample is one object with its `object`, or its schema with `properties`, as JSON.")


def _of_object(sample: Mapping[str, Any], within: str, unknown: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, value in sample.items():
        path = within + name
        if value is None:
            unknown.append(path)
            yield path, {"type": "int" if UNIX_NAME.search(name) else "text"}
        elif isinstance(value, Mapping) and value.get("object") == "list":
            yield path, {"type": "list_object"}
        elif isinstance(value, Mapping) and isinstance(value.get("id"), str) and isinstance(value.get("object"), str):
            yield path, {"type": "text"}  # expanded: it is an id where nobody asks for more
        elif isinstance(value, Mapping) and value and name != "metadata":
            yield from _of_object(value, f"{path}.", unknown)
        elif isinstance(value, (Mapping, list)):
            yield path, {"type": "list" if isinstance(value, list) else "map"}
        else:
            decimal = isinstance(value, str) and name.endswith("_decimal")
            yield path, {"type": "decimal" if decimal else _SCALARS[type(value)]}


def _of_schema(properties: Mapping[str, Any], within: str, unknown: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, schema in properties.items():
        path = within + name
        doc = {"description": short(schema["description"])} if schema.get("description") else {}
        kind, inside = schema.get("type"), schema.get("properties")
        options = schema.get("anyOf") or ()
        if inside and inside.get("object", {}).get("enum") == ["list"]:
            yield path, {"type": "list_object", **doc}
        elif inside:
            yield from _of_schema(inside, f"{path}.", unknown)
        elif kind == "string" or any(option.get("type") == "string" for option in options):
            yield path, {"type": "decimal" if schema.get("format") == "decimal" else "text", **doc}
        elif kind == "object" or kind in _OPENAPI:
            yield path, {"type": "map" if kind == "object" else _OPENAPI[kind], **doc}
        else:
            unknown.append(path)  # it refers to another part of the document
            yield path, {"type": "any", **doc}


def write_fields(folder: Path, samples: Iterable[Mapping[str, Any]]) -> dict[Path, list[str]]:
    """Write or complete the file of each sample's object.

    Fields that the file has stay as they are, so that corrections by hand survive.

    Returns:
        The files, each with the paths of new fields whose type is a guess, because no sample shows it.
    """
    objects = read_fields(folder)
    guesses: dict[str, set[str]] = {}
    for sample in samples:
        name, fields, unknown = fields_of(sample)
        _merge(objects.setdefault(name, {}), guesses.setdefault(name, set()), fields, unknown)
    folder.mkdir(parents=True, exist_ok=True)
    for name in guesses:
        (folder / f"{name}.yaml").write_text(_as_yaml(name, objects[name]), encoding="utf-8")
    return {folder / f"{name}.yaml": sorted(paths) for name, paths in guesses.items()}


def _merge(merged: Fields, guesses: set[str], fields: Fields, unknown: Collection[str]) -> None:
    """Add what one more sample says of an object; what a sample shows goes before what others leave open."""
    for path, words in fields.items():
        known = path in merged or any(other.startswith(f"{path}.") for other in merged)
        if not known or (path in guesses and path not in unknown):
            merged[path] = words
            (guesses.add if path in unknown else guesses.discard)(path)
    for path in [guess for guess in guesses if any(other.startswith(f"{guess}.") for other in merged)]:
        del merged[path]  # null in one sample, an object in another
        guesses.remove(path)


def _as_yaml(name: str, fields: Fields) -> str:
    lines = [
        "# Fields of an object that the installed SDK lacks. A sample added them by `python -m stripe_source.codegen`;",
        "# correct types and add descriptions by hand, and run it again.",
        f"object: {scalar(name)}", "fields:",
    ]
    for path, words in fields.items():
        inside = ", ".join(f"{word}: {scalar(value)}" for word, value in words.items())
        lines.append(f"  {scalar(path)}: {{{inside}}}")
    return "\n".join(lines) + "\n"
