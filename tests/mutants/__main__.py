"""Applies each mutant to a copy of the tree and runs the tests that should notice it.

Exit code 0: all were found. 1: some were not, or could not be tried.
"""
from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from . import Mutant
from .known import ROOT, known, places, sources

PASSED, FAILED = 0, 1  # exit codes of pytest; any other says that the tests were not run
PATIENCE, PATIENCE_WITH_ALL = 180, 3_600  # seconds that tests may take
BESIDE = ".*", "__pycache__", "*.egg-info", "dist", "build", "*.duckdb"  # what no test needs


def main(argv: list[str] | None = None) -> int:
    """Try the mutants."""
    options = _options(argv)
    mutants = [mutant for mutant in known() if options.only in f"{mutant.old}\n{mutant.new}\n{mutant.found_by}"]
    texts = sources()
    lost = [mutant for mutant in mutants if len(places(mutant, texts)) != 1]
    for mutant in lost:
        print(f"not there once: {_named(mutant)}")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = _Trees(Path(folder), options.jobs)
        broken = _unchanged(trees, sorted({mutant.found_by for mutant in mutants}))
        fit = [mutant for mutant in mutants if mutant not in lost and mutant.found_by not in broken]
        with ThreadPoolExecutor(options.jobs) as pool:
            found = list(pool.map(lambda mutant: _tried(trees, mutant, options.whole), fit))
    print(f"found {sum(found)} of {len(mutants)}")
    return 0 if sum(found) == len(mutants) else 1


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants in which this text occurs")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried side by side")
    parser.add_argument("--whole", action="store_true", help="give what was not found to the whole quick suite")
    return parser.parse_args(argv)


class _Trees:
    """Copies of the tree, one for each mutant that is tried at a time."""

    def __init__(self, folder: Path, number: int) -> None:
        self.free: SimpleQueue[Path] = SimpleQueue()
        for place in range(number):
            tree = folder / str(place)
            shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*BESIDE))
            self.free.put(tree)

    @contextmanager
    def one(self) -> Iterator[Path]:
        """One that nobody else uses meanwhile."""
        tree = self.free.get()
        try:
            yield tree
        finally:
            self.free.put(tree)


def _unchanged(trees: _Trees, selections: list[str]) -> set[str]:
    """The selections that do not pass with the right lines, and so tell nothing."""

    def passes(selection: str) -> bool:
        with trees.one() as tree:
            code, took = _run(tree, selection, PATIENCE)
        said = "passes" if code == PASSED else f"DOES NOT PASS (pytest: {code})"
        print(f"unchanged: {said}  {took:5.1f} s  {selection}", flush=True)
        return code == PASSED

    with ThreadPoolExecutor(trees.free.qsize()) as pool:
        passing = list(pool.map(passes, selections))
    return {selection for selection, passed in zip(selections, passing, strict=True) if not passed}


def _tried(trees: _Trees, mutant: Mutant, whole: bool) -> bool:
    """Whether the tests of a mutant, or with `whole` any test, notice it."""
    with trees.one() as tree, _applied(tree, mutant) as place:
        code, took = _run(tree, mutant.found_by, PATIENCE)
        by = ""
        if whole and code == PASSED:
            code, took = _run(tree, "", PATIENCE_WITH_ALL)
            by = " by the whole suite"
    found = code in (FAILED, None)
    print(f"{_outcome(code)}{by}  {took:5.1f} s  {place}: {_named(mutant)}", flush=True)
    return found


@contextmanager
def _applied(tree: Path, mutant: Mutant) -> Iterator[Path]:
    """The tree with the wrong line; gives the file that it is in."""
    (file,) = places(mutant, sources(tree))
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        yield file.relative_to(tree)
    finally:
        file.write_text(right, encoding="utf-8")


def _run(tree: Path, selection: str, patience: float) -> tuple[int | None, float]:
    """Run tests in a tree: pytest's exit code, None where time ran out, and the seconds that it took."""
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path) != ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), *before]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(selection)]
    began = time.monotonic()
    try:
        code: int | None = subprocess.run(
            command, cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=patience,
        ).returncode
    except subprocess.TimeoutExpired:
        code = None
    return code, time.monotonic() - began


def _outcome(code: int | None) -> str:
    return {FAILED: "found", PASSED: "NOT FOUND", None: "found (time ran out)"}.get(code, f"NOT RUN (pytest: {code})")


def _named(mutant: Mutant) -> str:
    old, new = (" ".join(text.split()) for text in (mutant.old, mutant.new))
    return f"`{old}` -> `{new}`"


if __name__ == "__main__":
    sys.exit(main())
