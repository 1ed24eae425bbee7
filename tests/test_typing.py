"""Types and lint: the package and the calls of its users pass `mypy --strict`, and everything passes ruff."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _said(*command: str) -> str:
    """What a checker complained of; nothing if it was content."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.soak
def test_package_and_calls_of_users_are_typed() -> None:
    """One run, since reading dlt's types is what takes time."""
    assert _said("mypy", "--strict", "stripe_source", "tests/typing/api.py") == ""


def test_ruff_is_content() -> None:
    """With the rules of pyproject.toml; each exception has its reason there or beside the line."""
    assert _said("ruff", "check", "--no-cache", ".") == ""
