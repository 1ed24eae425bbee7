"""Makes the schema maps of the tables from the `stripe` SDK, `schema_maps/objects` and `schema_maps/curation.yaml`.

The rules, in this order:

1.  Scalars are columns, nested objects flatten with `__`. Lists, maps, unions of several resources, objects without
    declared fields and objects that contain themselves are one JSON column each.
2.  An embedded list object whose items are rows of another table (`Placement.at` of that table) leaves the columns of
    its envelope (`has_more`, `object`, `total_count`, `url`) and is named under `children`. Every other list object is
    JSON.
3.  An expandable field is the id in a text column, which `references` the table of the object; so does a text field
    that is named like an object (`invoice`). A resource that is always embedded in full flattens if it is a member of
    the table's own object and has at most `EMBEDDED` columns (`subscription_item.price`), else it is JSON:
    `payment_intent` in `last_payment_error` would bring itself along.
4.  An object keyed by kinds of payment methods (at least three of its objects, and half of them, are named like one) is
    named under `json_kinds`. Its kinds in `COMMON` flatten, every other kind is one JSON column.
5.  A table that is still wider than `WIDTH` is made to fit: first the kinds of objects named `*_options` become JSON
    one and all, then the deepest nested object becomes JSON, the one with the most columns first, until it fits.
6.  A name longer than Postgres takes (`NAME` bytes) loses its first parts, as few as will do, and its column says
    `path`. It depends on its own path only, so that a new field never renames an old column. Objects with members whose
    names would be the same become JSON.

Curation is by object and path, and comes with a reason: `json` (one JSON column), `flat` (flatten against rules 3 and
4), `kinds` (each object in it is one JSON column, as in rule 4 but without common kinds), `omit`, `add` (a column that
the SDK lacks) and `change` (other words for a column).
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stripe_source.codegen.added import add_objects, read_fields
from stripe_source.codegen.rules import scalar
from stripe_source.codegen.sdk import Sdk
from stripe_source.codegen.tree import Generator
from stripe_source.tables.registry import TABLES
from stripe_source.tables.table import Table

MAPS = Path(__file__).parents[2] / "schema_maps"
OBJECTS = MAPS / "objects"


@cache
def known_objects() -> Sdk:
    """The installed SDK, and the objects in `schema_maps/objects` that it lacks."""
    sdk = Sdk()
    add_objects(sdk, read_fields(OBJECTS))
    return sdk


def text(schema_map: Mapping[str, Any]) -> str:
    """A schema map as YAML, one line per column."""
    lines = []
    for key, value in schema_map.items():
        if key == "columns":
            lines.append("columns:")
            for name, words in value.items():
                order = sorted(words, key=lambda word: (word in ("description", "path"), word == "description"))
                inside = ", ".join(f"{word}: {scalar(words[word])}" for word in order)
                lines.append(f"  {scalar(name)}: {{{inside}}}")
        elif isinstance(value, list):
            lines.append(f"{key}: [{', '.join(map(scalar, value))}]")
        else:
            lines.append(f"{key}: {scalar(value)}")
    return "\n".join(lines) + "\n"


def maps(*, tables: Iterable[Table] = TABLES, sdk: Sdk | None = None) -> Iterator[dict[str, Any]]:
    """The schema map of each table, made anew."""
    tables = tuple(tables)
    with open(MAPS / "curation.yaml", encoding="utf-8") as file:
        curation = yaml.safe_load(file) or {}
    generator = Generator(sdk or known_objects(), tables, curation)
    if lacking := sorted({name for table in tables for name in table.object} - generator.sdk.objects.keys()):
        raise ValueError(
            f"The installed SDK has no object {', '.join(f'`{name}`' for name in lacking)}. Run `python -m "
            "stripe_source.codegen --sample FILE.json` with such an object as Stripe sends it, or with its schema from "
            "Stripe's OpenAPI document."
        )
    for table in tables:
        try:
            yield generator.map(table)
        except ValueError as error:
            raise ValueError(f"Table `{table.name}`: {error}") from error


def generate(out: Path = MAPS / "stripe", *, tables: Iterable[Table] = TABLES) -> list[Path]:
    """Write the schema map of each table to `out`, and remove the maps of tables that are no more."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for schema_map in maps(tables=tables):
        path = out / f"{schema_map['table']}.yaml"
        path.write_text(text(schema_map), encoding="utf-8")
        made.append(path)
    for path in set(out.glob("*.yaml")) - set(made):
        path.unlink()
    return made


def check(out: Path = MAPS / "stripe", *, tables: Iterable[Table] = TABLES) -> list[str]:
    """What `generate` would change in `out`, in words."""
    differences = []
    wanted = {f"{schema_map['table']}.yaml": schema_map for schema_map in maps(tables=tables)}
    present = {path.name: path.read_text(encoding="utf-8") for path in out.glob("*.yaml")}
    for name in sorted(wanted.keys() | present.keys()):
        if name not in present:
            differences.append(f"{name}: is missing")
        elif name not in wanted:
            differences.append(f"{name}: no table has this name")
        elif present[name] != text(wanted[name]):
            differences += [f"{name}: {line}" for line in _differences(yaml.safe_load(present[name]), wanted[name])]
    return differences


def _differences(is_: Mapping[str, Any], should: Mapping[str, Any]) -> list[str]:
    """Column by column; where the content is the same, the order or the layout is not."""
    found = [
        f"`{key}` is {is_.get(key)!r}, should be {should.get(key)!r}"
        for key in sorted((is_.keys() | should.keys()) - {"columns"})
        if is_.get(key) != should.get(key)
    ]
    before, after = is_.get("columns") or {}, should["columns"]
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(f"column `{name}` is missing")
        elif name not in after:
            found.append(f"column `{name}` should not be there")
        elif before[name] != after[name]:
            found.append(f"column `{name}` is {before[name]!r}, should be {after[name]!r}")
    return found or ["same content in another order or layout"]

