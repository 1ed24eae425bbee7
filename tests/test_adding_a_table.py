"""A contributor adds a table: one entry of the registry, one command, and it loads."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stripe_source.codegen.added import add_objects, fields_of, read_fields, write_fields
from stripe_source.codegen.sdk import Sdk

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = '''
    Table(
        "loyalty_points", ("loyalty_point",), "Points that customers have earned.",
        path="/v1/loyalty_points", created=True, marker="events",
    ),
    Table(
        "loyalty_point_uses", ("loyalty_point_use",), "What points were spent on.",
        placements=(Placement("loyalty_points", child_path="/v1/loyalty_points/{id}/uses"),),
        default=False, fan_out="one request per loyalty point",
    ),
'''
POINT = {
    "id": "lp_1", "object": "loyalty_point", "amount": 1200, "balance": {"available": 3, "expires_at": None},
    "created": 1790000000, "currency": "eur", "customer": "cus_1", "livemode": False, "metadata": {},
    "note": None, "rate_decimal": "1.25", "tiers": [{"name": "gold"}],
}
USE = {  # as Stripe's OpenAPI document has it
    "x-resourceId": "loyalty_point_use",
    "properties": {
        "id": {"type": "string", "description": "Unique identifier for the object."},
        "object": {"type": "string", "enum": ["loyalty_point_use"]},
        "points": {"type": "integer", "description": "How many points. More is said elsewhere."},
        "charge": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/charge"}]},
        "created": {"type": "integer", "description": "Time at which the object was created."},
        "detail": {"type": "object", "properties": {"share": {"type": "number"}, "open": {"type": "boolean"}}},
    },
}
# Loads both tables from the sandbox, and compares with its dump in the way of the other tests.
LOAD = """
import sys
import dlt, duckdb
sys.path.append("tests")
import truth
from stripe_source import sandbox, sync

truth.PARENTS["loyalty_point_uses"] = "loyalty_point_id"
world = sandbox.World(empty=True)
world.populate("loyalty_points", 3)
world.populate("loyalty_point_uses", 5)
with sandbox.serve(world=world) as stripe:
    pipeline = dlt.pipeline("added", destination=dlt.destinations.duckdb("added.duckdb"), dataset_name="stripe",
                            pipelines_dir="pipelines_dir")
    names = ["loyalty_points", "loyalty_point_uses"]
    result = sync(pipeline, tables=names, api_base=stripe.url, api_key=stripe.api_key)
    changed = world.dump()["loyalty_points"][0].object["id"]
    world.update("loyalty_point", changed, amount=7)
    second = sync(pipeline, tables=names, api_base=stripe.url, api_key=stripe.api_key)
    dump = world.dump()
account = dump["accounts"][0].object["id"]
with duckdb.connect("added.duckdb", read_only=True) as connection:
    wrong = [line for name in names for line in truth.differences(connection, "stripe", name, dump[name], account)]
print([result.tables[name].new for name in names], second.tables["loyalty_points"].changed, wrong)
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what a contributor works in, with two entries more."""
    for folder in ("stripe_source", "schema_maps", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("README.md", "tests/truth.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    file = tmp_path / "stripe_source" / "tables" / "entries" / "billing.py"
    head, start, rest = file.read_text(encoding="utf-8").partition("BILLING: tuple[Table, ...] = (")
    file.write_text(head + start + ENTRIES.rstrip() + rest, encoding="utf-8")
    for name, sample in (("loyalty_point", POINT), ("loyalty_point_use", USE)):
        (tmp_path / f"{name}.json").write_text(json.dumps(sample), encoding="utf-8")
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, with the copy's package."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )


def columns(folder: Path, table: str) -> dict[str, Any]:
    text = (folder / "schema_maps" / "stripe" / f"{table}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["columns"])


@pytest.mark.soak
def test_an_entry_and_one_command_make_a_table(copy: Path) -> None:
    """Objects that no SDK has yet, a list of its own and one below it: map, page, version, sandbox, and they load."""
    command = ("-m", "stripe_source.codegen")
    refused = python(copy, *command)
    samples = [f"--sample={name}.json" for name in ("loyalty_point", "loyalty_point_use")]
    made = python(copy, *command, *samples)
    checked = python(copy, *command, "--check")
    points, uses = columns(copy, "loyalty_points"), columns(copy, "loyalty_point_uses")
    loaded = python(copy, "-c", LOAD)

    assert refused.returncode == 1
    assert "has no object `loyalty_point`, `loyalty_point_use`. Run `python -m" in refused.stderr
    assert (made.returncode, made.stderr) == (0, "")
    assert "does not show the types of balance.expires_at, note" in made.stdout
    assert (checked.returncode, checked.stdout) == (0, "All that is generated is up to date.\n")
    assert {name: words["data_type"] for name, words in points.items()} == {
        "id": "text", "amount": "bigint", "balance__available": "bigint", "balance__expires_at": "timestamp",
        "created": "timestamp", "currency": "text", "customer": "text", "livemode": "bool", "metadata": "json",
        "note": "text", "object": "text", "rate_decimal": "decimal", "tiers": "json",
    }
    assert (points["customer"]["references"], points["amount"]["x-currency"]) == ("customers", "currency")
    assert uses["points"] == {"data_type": "bigint", "description": "How many points."}
    assert (uses["charge"]["references"], uses["detail__share"]["data_type"]) == ("charges", "double")
    assert "| `loyalty_points` |" in (copy / "docs" / "tables.md").read_text(encoding="utf-8")
    assert loaded.stdout.splitlines()[-1:] == ["[3, 5] 1 []"], loaded.stderr


def test_corrections_survive_a_new_sample(tmp_path: Path) -> None:
    """What a person has written stays; another sample adds what it has, and shows what the first left open."""
    file = tmp_path / "loyalty_point.yaml"
    first = write_fields(tmp_path, [POINT])
    file.write_text(file.read_text(encoding="utf-8").replace("note: {type: text}", "note: {type: map}"))
    second = write_fields(tmp_path, [{**POINT, "note": "…", "extra": None}, {**POINT, "extra": {"level": 1.5}}])
    fields = read_fields(tmp_path)["loyalty_point"]

    assert (first, second) == ({file: ["balance.expires_at", "note"]}, {file: []})
    assert (fields["note"], fields["extra.level"], fields.get("extra")) == ({"type": "map"}, {"type": "float"}, None)


def test_an_object_that_the_sdk_has_needs_no_file() -> None:
    """A newer SDK is told, so that no file outlives its reason."""
    with pytest.raises(ValueError, match=r"has `coupon`: remove `schema_maps/objects/coupon\.yaml`"):
        add_objects(Sdk(), {"coupon": {"id": {"type": "text"}}})


@pytest.mark.parametrize("sample", [{"id": "x"}, {"properties": {"id": {"type": "string"}}}, {"object": 1}])
def test_a_sample_says_what_it_is(sample: dict[str, Any]) -> None:
    """Neither an object of Stripe's nor the schema of one."""
    with pytest.raises(ValueError, match="one object with its `object`, or its schema"):
        fields_of(sample)


def test_a_type_that_is_none_is_refused(tmp_path: Path) -> None:
    """A slip of the pen in a file names the file, the field and the words that there are."""
    (tmp_path / "thing.yaml").write_text("object: thing\nfields:\n  id: {type: string}\n")

    with pytest.raises(ValueError, match=r"thing\.yaml`: the types of `id` are none of text, int, float"):
        read_fields(tmp_path)
