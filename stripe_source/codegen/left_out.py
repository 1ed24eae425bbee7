"""Fields that Stripe leaves out of an object unless `expand[]` names them: where they are known from, what tables do.

They are kept in `schema_maps/left_out.yaml`, reviewed by hand: stripe-python 16.1.0 says of two fields only that they
are left out (checked 2026-11-29), and Stripe's OpenAPI document does not say it at all. What both show is found here,
so that a new SDK or document brings its new fields to somebody's attention.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stripe_source.codegen.sdk import Class, Sdk
from stripe_source.tables.table import Table

ALWAYS_THERE = "always there"
SOURCES = ("reference", "openapi", "sdk", "samples", ALWAYS_THERE)
_SAYS_SO = re.compile(
    r"not included by default|omitted unless|(unless|when|if) (it is |you )?(explicitly )?expand", re.IGNORECASE
)


def read_left_out(file: Path) -> dict[str, dict[str, str]]:
    """By object and dotted path: where it is known from that the field is left out, or that it is there in spite of it.

    Raises:
        ValueError: the file names a source that there is not.
    """
    found: dict[str, dict[str, str]] = yaml.safe_load(file.read_bytes())
    for name, fields in found.items():
        for path, source in fields.items():
            if source not in SOURCES:
                raise ValueError(f"`{file.name}`: the source of `{path}` of `{name}` is none of {', '.join(SOURCES)}.")
    return found


def found_in_sdk(sdk: Sdk, objects: Iterable[str]) -> set[tuple[str, str]]:
    """The fields of these objects whose docstrings say that they are left out."""
    return {
        (name, path) for name in objects if name in sdk.objects
        for path, doc in _fields(sdk, sdk.objects[name]) if _SAYS_SO.search(doc)
    }


def found_in_document(document: Mapping[str, Any], objects: Iterable[str]) -> set[tuple[str, str]]:
    """The fields of these objects that an OpenAPI document of Stripe's shows to be left out.

    They can be expanded, and are neither required nor null, nor an id; and they hold a list, a map, or a list object.
    Of single objects the document does not tell left out from absent.
    """
    schemas = document["components"]["schemas"]
    named = {schema.get("x-resourceId") or _object(schema): name for name, schema in schemas.items()}
    found = set()
    for object in objects:
        if object in named:
            for path, schema in _expandable(schemas, named[object], (named[object],)):
                if schema.get("type") in ("array", "object") and not schema.get("nullable"):
                    found.add((object, path))
    return found


def missing(known: Mapping[str, Mapping[str, str]], found: Iterable[tuple[str, str]]) -> list[str]:
    """The fields that were found and are not known, in words."""
    return [f"`{path}` of `{object}`" for object, path in sorted(found) if path not in known.get(object, ())]


def undecided(known: Mapping[str, Mapping[str, str]], tables: Iterable[Table], sdk: Sdk) -> list[str]:
    """What is left open: fields that a table neither expands nor says it does not load, and the other way round."""
    tables, said = tuple(tables), []
    for object, fields in known.items():
        there = {path for path, _ in _fields(sdk, sdk.objects[object])} if object in sdk.objects else set()
        said += [f"left_out.yaml: the SDK has no `{path}` in `{object}`" for path in sorted(fields.keys() - there)]
    for table in tables:
        expanded = {*table.expand, *(
            found.at for other in tables for found in other.placements
            if found.parent == table.name and found.at and found.expand
        )}
        left_out = {path for object in table.object for path, source in known.get(object, {}).items()
                    if source != ALWAYS_THERE and not table.at}
        said += [f"{table.name}: `{path}` is left out by Stripe unless expanded: name it in `expand` or in `not_loaded`"
                 for path in sorted(left_out - expanded - table.not_loaded.keys())]
        said += [f"{table.name}: `{path}` is not in left_out.yaml, so that it need not be expanded"
                 for path in sorted({*table.expand, *table.not_loaded} - left_out)]
        said += [f"{table.name}: `{path}` is expanded, and said not to be loaded"
                 for path in sorted(expanded & table.not_loaded.keys())]
    return said


def _fields(sdk: Sdk, cls: Class, path: str = "", within: tuple[Class, ...] = ()) -> Iterator[tuple[str, str]]:
    """The fields of a class and of the objects nested in it: dotted path, docstring."""
    for field in sdk.fields(cls):
        yield path + field.name, field.doc
        if field.type.kind == "object" and field.type.cls and field.type.cls not in within:
            yield from _fields(sdk, field.type.cls, f"{path}{field.name}.", (*within, cls))


def _object(schema: Mapping[str, Any]) -> str | None:
    enum = schema.get("properties", {}).get("object", {}).get("enum") or [None]
    return enum[0] if isinstance(enum[0], str) else None


def _expandable(
    schemas: Mapping[str, Any], name: str, within: tuple[str, ...], path: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The fields that can be expanded and are not always there: dotted path, schema."""
    schema = schemas[name]
    optional = set(schema.get("x-expandableFields", ())) - set(schema.get("required", ()))
    for field, words in schema.get("properties", {}).items():
        if "x-expansionResources" in words or any("x-expansionResources" in part for part in words.get("anyOf", ())):
            continue  # an id, or a list of ids
        if field in optional and "x-expansionResources" not in words.get("items", {}):
            yield path + field, words
        for part in (words, *words.get("anyOf", ())):
            inner = str(part.get("$ref", "")).rpartition("/")[2]
            if inner and inner not in within and _object(schemas[inner]) is None:
                yield from _expandable(schemas, inner, (*within, inner), f"{path}{field}.")
