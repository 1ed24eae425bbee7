"""The benchmarks: the command, what it writes, and one small round of it. Nothing here depends on the time it takes."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FIGURES = {
    "setting": "code", "case": "ours", "name": "ours", "into": "DuckDB", "rows": 200_000, "seconds": 10.0,
    "per_second": 20_000.0, "megabytes": 300.4, "together": 400.2, "requests": 2_000, "refused": 0, "complete": "all",
    "runs": 5, "note": "",
}
TROUBLE = {"setting": "code", "case": "another", "name": "another", "into": "SQLite", "rows": 10,
           "trouble": "exit code 1: a | b", "note": "in Go"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The benchmarks are run from the checkout, and are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def quick(**changes: Any) -> Any:
    """The smallest sizes, with changes."""
    from dataclasses import replace

    from benchmarks.sizes import QUICK

    return replace(QUICK, **changes)


def test_a_table_tells_figures_and_troubles() -> None:
    """Trouble stands where the rows would be counted; what could not be measured is empty."""
    from benchmarks.catalogue import BENCHMARKS
    from benchmarks.report import table

    lines = table(BENCHMARKS[0].columns, [FIGURES, TROUBLE]).splitlines()

    assert "| code | ours | DuckDB | 200,000 | 10.00 | 20,000 | 300 | 400 | 2,000 | 0 | all | 5 |  |" == lines[2]
    assert "| code | another | SQLite | 10 |  |  |  |  |  |  | **exit code 1: a \\| b** |  | in Go |" == lines[3]


def test_figures_of_one_benchmark_leave_the_others_alone(tmp_path: Path) -> None:
    """A later run of one of them takes the place of its own figures only."""
    from benchmarks import report

    report.remember(tmp_path, "peers", [FIGURES])
    report.remember(tmp_path, "idle", [{"case": "default tables", "seconds": 3.0}])
    report.remember(tmp_path, "idle", [{"case": "default tables", "seconds": 2.0}])
    written = (tmp_path / report.TABLES).read_text()

    assert [FIGURES] == json.loads((tmp_path / report.FIGURES).read_text())["peers"]["rows"]
    assert "| code | ours |" in written and "| default tables | 2.00 |" in written and "3.00" not in written


def test_figures_of_one_program_leave_those_of_the_others_alone(tmp_path: Path) -> None:
    """Measured again, alone, it takes its own place; what another machine has measured goes."""
    from benchmarks import report

    user, better = {**FIGURES, "setting": "user"}, {**FIGURES, "per_second": 30_000.0}
    report.remember(tmp_path, "peers", [FIGURES, TROUBLE])
    report.remember(tmp_path, "peers", [user])
    both = report.remember(tmp_path, "peers", [better])["peers"]["rows"]
    file = tmp_path / report.FIGURES
    file.write_text(file.read_text().replace('"cores": ', '"cores": 1'))
    alone = report.remember(tmp_path, "peers", [user])["peers"]["rows"]

    assert both == [TROUBLE, better, user]
    assert alone == [user]


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    """With a contender that did not run; without any there is none."""
    from benchmarks import report

    figures = report.remember(tmp_path, "peers", [FIGURES, TROUBLE, {**FIGURES, "setting": "user"}])
    file = tmp_path / report.CHART

    assert report.chart(figures, file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert not report.chart({}, tmp_path / "none.png") and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(("arguments", "said"), [
    (["speed"], "Unknown benchmark `speed`. There are: peers, ours,"),
    (["ours", "--rows", "0"], "`0` is not a number above 0"),
    (["--runs", "many"], "`many` is not a number above 0"),
    (["peers", "--contender", "fivetran"], "invalid choice: 'fivetran'"),
])
def test_wrong_arguments_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the known ones, and before anything is measured."""
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert 2 == ended.value.code
    assert said in capsys.readouterr().err


def test_rows_are_the_same_for_all() -> None:
    """`--rows` goes to each benchmark, `--runs` and `--timeout` go beside it."""
    from benchmarks.__main__ import _sizes
    from benchmarks.sizes import Sizes

    args = argparse.Namespace(quick=True, rows=50, runs=3, timeout=None)

    assert Sizes(3, 120, 50, 50, (5, 50), 50, 5, 50, 50, 50, 50, 50, 0.05) == _sizes(args)


def test_a_comparison_says_what_is_wrong() -> None:
    """In words, for the table."""
    from benchmarks.compare import Comparison

    assert "all" == str(Comparison(10, 10, 0, 0))
    assert "2 missing, 1 too many, 3 twice" == str(Comparison(12, 9, 2, 1))


def test_ids_are_found_in_lines(tmp_path: Path) -> None:
    """Of records, whatever else is said in between."""
    from benchmarks.compare import Loaded, ids

    file = tmp_path / "out"
    file.write_text('INFO a log\n{"type": "RECORD", "record": {"data": {"id": "ch_1"}}}\n{"type": "STATE"}\n')

    assert [("ch_1",)] == list(ids(Loaded("lines", str(file), "record.data.id")))
    assert [] == list(ids(Loaded("lines", str(tmp_path / "none"), "record.data.id")))


def test_a_child_tells_how_it_ended(tmp_path: Path) -> None:
    """By itself, with an error, after its time, or because there was enough of it; pipes go from one to the next."""
    from benchmarks.child import run

    hello = [sys.executable, "-c", "print('hello')"]
    upper = [sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"]
    fails = [sys.executable, "-c", "import sys; sys.exit('no such table')"]
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]

    assert run([hello, upper], tmp_path, {}, 60).trouble is None
    assert "HELLO" == (tmp_path / "out").read_text().strip()
    assert "exit code 1: no such table" == run([fails], tmp_path, {}, 60).trouble
    assert "not done after 0 s" == run([sleeps], tmp_path, {}, 0.2).trouble
    assert "killed" == run([sleeps], tmp_path, {}, 60, lambda: True).stopped


@pytest.mark.soak
def test_a_small_round() -> None:
    """Ours and the baseline load the same rows, and all of them."""
    from benchmarks.measures import of_ours
    from benchmarks.peers import of_peers

    sizes, here = quick(peers=150, ours=150), {"baseline": Path(sys.executable).parent}
    rows = of_peers(sizes, str, ["ours", "baseline"], ["code"], here) + of_ours(sizes, str)

    assert [("all", 150)] * 3 == [(row.get("complete", row.get("trouble")), row["rows"]) for row in rows]
    assert all(row["requests"] >= 2 and row["megabytes"] > 0 for row in rows)
