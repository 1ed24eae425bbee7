"""`python -m stripe_source.codegen`: makes all that follows from the registry, the SDK and `curation.yaml`.

That is the schema map of each table, docs/tables.md, the number of tables in README.md, this release's version of the
maps, and the lists of the sandbox that it lacks.
"""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stripe_source.codegen.everything import differences, make_everything, unknown_left_out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code is 1 where something differs, or cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m stripe_source.codegen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what would change")
    parser.add_argument(
        "--sample", action="append", default=[], type=Path, metavar="FILE.json",
        help="an object that the installed SDK lacks, as Stripe sends it, or its schema from Stripe's OpenAPI document",
    )
    parser.add_argument(
        "--left-out", nargs="?", const="", metavar="OPENAPI.json",
        help="write nothing; name the fields that Stripe leaves out unless expanded and `schema_maps/left_out.yaml` "
        "lacks: by the installed SDK, and by Stripe's OpenAPI document",
    )
    given = parser.parse_args(arguments)
    try:
        if given.left_out is not None:
            lines = unknown_left_out(json.loads(Path(given.left_out).read_bytes()) if given.left_out else None)
            print("\n".join(lines) or "All fields that are left out are known.")
            return 1 if lines else 0
        if given.check:
            lines = differences()
            print("\n".join(lines) or "All that is generated is up to date.")
            return 1 if lines else 0
        samples: list[Mapping[str, Any]] = [json.loads(file.read_bytes()) for file in given.sample]
        print("\n".join(make_everything(samples)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
