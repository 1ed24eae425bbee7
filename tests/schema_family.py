"""What tests of the schema commands share: a command in this process, the tables, their last version."""
from __future__ import annotations

from collections.abc import Callable

import dlt
import pytest
from truth import MAPS

from stripe_source.cli.main import main
from stripe_source.schema.versions import map_versions

NAMES = sorted(file.stem for file in MAPS.glob("*.yaml"))
LAST = map_versions.map_versions()[-1]
Make = Callable[..., dlt.Pipeline]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """A command in this process: exit code, stdout, stderr."""
    code = main(argv)
    printed = capsys.readouterr()
    return code, printed.out, printed.err
