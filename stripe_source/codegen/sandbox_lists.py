"""Lists that the sandbox lacks, added to its description of Stripe's API from entries of the registry.

`sandbox/api.json` is what Stripe's documents say. A table that is newer than they are gets a list there that takes
what its entry sends; nothing that stands there is changed.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stripe_source.codegen.sdk import Sdk
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

API = Path(__file__).parents[1] / "sandbox" / "api.json"
_PAGING = {"ending_before": "str", "expand": "list", "limit": "int", "starting_after": "str"}


def missing_lists(tables: Iterable[Table], file: Path = API) -> dict[str, Table]:
    """The paths of lists that the sandbox does not know, with the table whose objects they show."""
    api = json.loads(file.read_bytes())
    known = {*api["lists"], *api["singletons"]}
    paths = (
        (path, table) for table in tables
        for path in ([table.path] if table.path else [placement.child_path for placement in table.placements])
    )
    return {path: table for path, table in paths if path and path not in known}


def add_lists(lists: dict[str, Table], sdk: Sdk, file: Path = API) -> None:
    """Add lists to the sandbox, and what is to be known of their objects.

    Raises:
        ValueError: one of them is a single object, which the sandbox makes by a function of its own.
    """
    api = json.loads(file.read_bytes())
    for path, table in lists.items():
        if table.singleton:
            raise ValueError(
                f"Table `{table.name}`: the sandbox does not serve `{path}`. Add it to `singletons` in `{file.name}`, "
                "and the function that makes it to `sandbox/business/singles.py`."
            )
        api["lists"][path] = _list(path, table)
        for name in table.object:
            if name not in api["objects"]:
                api["objects"][name] = _object(name, table, sdk)
    api["objects"] = dict(sorted(api["objects"].items()))
    file.write_text(_as_json(api), encoding="utf-8")


def _list(path: str, table: Table) -> dict[str, Any]:
    placement = next((each for each in table.placements if each.child_path == path), None)
    sent = {**table.params, **{name: value for each in table.variants for name, value in each.items()}}
    params = {"limit": "int"} if path.startswith("/v2/") else dict(_PAGING)
    if table.limit is None:
        del params["limit"]
    if table.created:
        params[table.range.low.split("[")[0]] = "span" if table.range.rfc3339 else "range"
    for name, value in {**sent, **(placement.params if placement else {})}.items():
        params[name.split("[")[0]] = "list" if isinstance(value, list) else "object" if "[" in name else "str"
    required = [placement.param] if placement and placement.param else []
    params.update(dict.fromkeys(required, "str"))
    entry: dict[str, Any] = {
        "table": table.name, "objects": list(table.object), "params": dict(sorted(params.items())),
        "required": required, "permission": table.permission,
        "retrieve": table.object_path or f"{path}/{{id}}", "area": None, "prefix": None,
    }
    if placement:
        entry["parent"] = placement.of or BY_NAME[placement.parent].object[0]
    return entry


def _object(name: str, table: Table, sdk: Sdk) -> dict[str, Any]:
    fields = sdk.fields(sdk.objects[name])
    types = {field.name: field.type.kind for field in fields if field.type.kind in ("int", "float", "bool")}
    happened = ("created", "updated", "deleted") if table.marker == "events" else ()
    return {"types": types, "events": [[f"{name}.{verb}"] for verb in happened] or [[], [], []]}


def _as_json(api: dict[str, Any]) -> str:
    """The description as the file has it: one line per list and object."""
    parts = [
        f"{json.dumps(section)}: {{\n"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()) + "\n}"
        for section, entries in api.items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"
