"""Damaged programs: whatever is done to one, it is read, refused, or answered with a line and a column."""
from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stripe_source.errors import TqlSyntaxError
from stripe_source.striim.tql.convert import pipeline_script
from stripe_source.striim.tql.plan.planner import make_plan
from stripe_source.striim.tql.show import describe, diagram

PROGRAMS = [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "tql").glob("*.tql"))]
KEY = "sk_test_51FuzzedKeyThatNobodyMaySee"
PART = "KeyThatNobody"  # of a key that was damaged itself
PIECES = (
    "'", '"', "(", ")", ";", ",", ":", "/*", "*/", "--", "\n", "\r\n", "\x00", "\u2019", "\ufeff", "\\", "\\'", "$X",
    "%", "=", "==", "[", "]", "{", "}", ".", "CREATE ", "END ", "SELECT ", "WHERE ", "FROM ", "data[", "data[99999]",
    "META(", "CASE WHEN ", "((((((((", "NOT ", "-" * 9, "9" * 40, "é", "\U0001f600", " OR REPLACE ", "ColumnMap(",
    "KeyColumns(", "MAP (Table:", "Tables: '%'", "RECOVERY ", "LINK SOURCE EVENT", " ISTREAM ", "`", "~", "||", "&&",
)


def mutations(seed: int, number: int) -> Iterator[str]:
    """Programs with one to three damages: pieces put in, cut out, doubled, swapped, or taken from another program."""
    chance = random.Random(seed)
    for _ in range(number):
        text = chance.choice(PROGRAMS).replace("'****'", f"'{KEY}'")
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            begin = chance.randrange(len(text) + 1)
            end = min(len(text), begin + chance.choice((1, 1, 2, 5, 20, 80)))
            other = chance.choice(PROGRAMS)
            part = chance.randrange(len(other) + 1)
            text = chance.choice((
                text[:begin] + chance.choice(PIECES) + text[begin:],
                text[:begin] + text[end:],
                text[:end] + text[begin:],
                text[:begin] + text[begin:end].swapcase() + text[end:],
                text[:begin] + text[begin:end][::-1] + text[end:],
                text[:begin] + other[part:part + 40] + text[begin:],
                text[:begin] + chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))) + text[end:],
                text[:begin],
            ))
        yield text


def said_about(text: str) -> tuple[str, list[str]]:
    """How a program was taken, and all texts that a person may see of it."""
    lines = re.split(r"\r\n|\r|\n", text)
    try:
        plan = make_plan(text, "damaged.tql")
    except TqlSyntaxError as error:
        assert 1 <= error.line <= len(lines), (error, text)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1, (error, text)
        return "broken", [str(error), repr(error)]
    for problem in plan.problems.found:
        assert 1 <= problem.place.line <= len(lines), (problem, text)
        assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1, (problem, text)
    script = pipeline_script(plan.flow, "damaged.tql")
    compile(script, "damaged.py", "exec")
    return "refused" if plan.problems.unsupported else "taken", [
        *map(str, plan.problems.found), str(describe(plan)), diagram(plan), script, repr(plan.flow)]


def check(seed: int, number: int) -> None:
    counts = {"broken": 0, "refused": 0, "taken": 0}
    for text in mutations(seed, number):
        how, seen = said_about(text)
        counts[how] += 1
        assert not [each for each in seen if PART in each], text

    assert min(counts.values()) > number // 50, counts


def test_damaged_programs_are_answered_with_a_place() -> None:
    """None ends in another error, none shows the key, and those that are taken are Python that can be compiled."""
    check(seed=20261130, number=300)


@pytest.mark.parametrize("query", [
    "SELECT {}data[0]{} AS x FROM o s".format("(" * 1_000, ")" * 1_000),
    "SELECT {}data[0]{} AS x FROM o s".format("UPPER(" * 1_000, ")" * 1_000),
    "SELECT data[0] AS x FROM o s WHERE " + "NOT " * 1_000 + "data[0] == 1",
    "SELECT " + "- " * 1_000 + "data[0] AS x FROM o s",
    "SELECT * FROM " + "(SELECT * FROM " * 1_000 + "o" + ")" * 1_000,
])
def test_a_bottomless_query_is_answered_with_a_place(query: str) -> None:
    """Python's own limit is no error of the program."""
    reader = "CREATE SOURCE S USING StripeReader ( Tables: 'Charges' ) OUTPUT TO o;\n"
    how, seen = said_about(f"{reader}CREATE CQ Q INSERT INTO p {query};")

    assert how in ("broken", "refused")
    assert any("ine 2, column " in each for each in seen)


def test_many_conditions_are_no_depth() -> None:
    """500 of them, one after the other; and a hundred clauses where two are meant are answered at once."""
    reader = "CREATE SOURCE S USING StripeReader ( Tables: 'Charges' ) OUTPUT TO o;\n"
    where = " OR ".join(f"data[1] == {number}" for number in range(500))
    how, _ = said_about(f"{reader}CREATE CQ Q INSERT INTO p SELECT * FROM o WHERE {where};")
    clauses = "   KeyColumns()" * 100
    wrong, _ = said_about(f"{reader}CREATE TARGET T USING BigQueryWriter ( Tables: 'a,b{clauses}x' ) INPUT FROM o;")

    assert (how, wrong) == ("taken", "refused")


@pytest.mark.soak
def test_many_damaged_programs() -> None:
    """Likewise 5,000, with another seed each time that one is given."""
    check(seed=int(os.environ.get("SOAK_SEED", "1")), number=5_000)
