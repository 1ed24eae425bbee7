"""All mutants, and where their text is."""
from __future__ import annotations

import importlib
import sys
from pathlib import Path

from . import Mutant

ROOT = Path(__file__).parents[2]


def known() -> list[Mutant]:
    """The mutants of all parts."""
    tests = str(ROOT / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)  # as pytest has it, so that parts are the same modules however this is started
    parts = sorted(file.stem for file in Path(__file__).parent.glob("part_*.py"))
    return [mutant for part in parts for mutant in importlib.import_module(f"mutants.{part}").MUTANTS]


def sources(root: Path = ROOT) -> dict[Path, str]:
    """The package's files and their text; the sandbox, which stands for Stripe, is left out."""
    files = sorted((root / "stripe_source").rglob("*.py"))
    return {file: file.read_text(encoding="utf-8") for file in files if "sandbox" not in file.parts}


def places(mutant: Mutant, texts: dict[Path, str]) -> list[Path]:
    """The files that hold the mutant's text, one entry for each time."""
    return [file for file, text in texts.items() for _ in range(text.count(mutant.old))]
