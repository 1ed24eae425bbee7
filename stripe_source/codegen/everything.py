"""All that is generated, made in order: objects, schema maps, lists of the sandbox, pages, the version of the maps."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stripe_source.codegen import maps
from stripe_source.codegen.added import write_fields
from stripe_source.codegen.left_out import found_in_document, found_in_sdk, missing, read_left_out, undecided
from stripe_source.codegen.maps import MAPS, OBJECTS, known_objects
from stripe_source.codegen.release import write_version
from stripe_source.codegen.sandbox_lists import add_lists, missing_lists
from stripe_source.schema.versions.map_versions import map_versions, maps_hash
from stripe_source.tables.catalog import markdown
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map

ROOT = MAPS.parent
LEFT_OUT = MAPS / "left_out.yaml"
_COUNT = re.compile(r"all \d+ of Stripe's API")


def make_everything(samples: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Write all that is generated.

    Args:
        samples: objects that the installed SDK lacks, or their schemas.

    Returns:
        What was written, and what a person has to look at, in words.

    Raises:
        ValueError: something cannot be made; the message says what to do.
    """
    said = []
    for file, guesses in write_fields(OBJECTS, samples).items():
        said.append(f"{_name(file)}: fields of an object that the SDK lacks. Review it.")
        if guesses:
            said.append(f"  The sample does not show the types of {', '.join(guesses)}: correct them there.")
    known_objects.cache_clear()
    if left := undecided(read_left_out(LEFT_OUT), TABLES, known_objects()):
        raise ValueError("\n".join(left))
    written = maps.generate()
    table_map.cache_clear()
    said.append(f"schema_maps/stripe: {len(written)} schema maps.")
    if lists := missing_lists(TABLES):
        add_lists(lists, known_objects())
        said.append(f"sandbox/api.json: added {', '.join(lists)}. Compare its parameters with Stripe's documentation.")
    for file, text in _pages():
        if file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            said.append(f"{_name(file)}: {len(TABLES)} tables.")
    if map_versions()[-1:] == () or map_versions()[-1].hash != maps_hash():
        version = write_version()
        said.append(f"schema_maps/versions: version {version.version} of release {version.release}, "
                    f"{version.tables} tables, {version.columns} columns.")
    return [*said, "`git diff` shows what changed."]


def differences() -> list[str]:
    """What `make_everything` would change, in words."""
    found = [*undecided(read_left_out(LEFT_OUT), TABLES, known_objects()), *unknown_left_out(), *maps.check()]
    found += [f"sandbox/api.json: {path} is missing" for path in missing_lists(TABLES)]
    found += [f"{_name(file)}: is not what the registry says" for file, text in _pages()
              if file.read_text(encoding="utf-8") != text]
    if map_versions()[-1:] == () or map_versions()[-1].hash != maps_hash():
        found.append("schema_maps/versions: the last version is not that of the maps")
    return found


def unknown_left_out(document: Mapping[str, Any] | None = None) -> list[str]:
    """The fields of our objects that are left out unless expanded and `schema_maps/left_out.yaml` lacks, in words.

    Args:
        document: Stripe's OpenAPI document; None: only the installed SDK is gone through.
    """
    objects = sorted({name for table in TABLES for name in table.object})
    found = found_in_sdk(known_objects(), objects)
    found |= found_in_document(document, objects) if document else set()
    return [f"left_out.yaml lacks {field}" for field in missing(read_left_out(LEFT_OUT), found)]


def _pages() -> Iterator[tuple[Path, str]]:
    """The pages that the registry decides, or says something of, as they should be."""
    yield ROOT / "docs" / "tables.md", markdown()
    readme = ROOT / "README.md"
    yield readme, _COUNT.sub(f"all {len(TABLES)} of Stripe's API", readme.read_text(encoding="utf-8"))


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))
