"""The mutants of `python -m tests.mutants` can be tried: each is a line of the package, with tests that there are."""
from __future__ import annotations

import shlex

import pytest
from mutants import Mutant
from mutants.known import ROOT, known, places, sources

TEXTS = sources()
every_mutant = pytest.mark.parametrize("mutant", known(), ids=lambda mutant: " ".join(mutant.old.split())[:60])


@every_mutant
def test_a_mutant_changes_one_line_of_the_package(mutant: Mutant) -> None:
    """Its text is there once; a change of the package that takes it away has to say what becomes of the mutant."""
    assert len(places(mutant, TEXTS)) == 1
    assert mutant.new != mutant.old


@every_mutant
def test_a_mutant_names_tests_that_there_are(mutant: Mutant) -> None:
    """A file, and what to pick from it: words of the names of its tests."""
    file, *rest = shlex.split(mutant.found_by)
    flag, words, *marks = rest or ("-k", "")
    text = (ROOT / file.partition("::")[0]).read_text(encoding="utf-8")

    assert flag == "-k" and marks in ([], ["-m", "soak"])
    assert [word for word in words.split() if word not in ("and", "or", "not") and word.isidentifier()
            and word not in text] == []


def test_mutants_are_there_and_differ() -> None:
    """No wrong line is counted twice."""
    mutants = known()

    assert len(mutants) >= 40
    assert len({(mutant.old, mutant.new) for mutant in mutants}) == len(mutants)
