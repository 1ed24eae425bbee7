"""The command: `python -m benchmarks`."""
from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import report
from benchmarks.catalogue import BENCHMARKS
from benchmarks.contenders import CONTENDERS
from benchmarks.peers import SETTINGS, of_peers
from benchmarks.sizes import FULL, QUICK, Sizes

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, writes after each benchmark, and answers 1 where one of this project's did not work."""
    parser = _parser()
    args = parser.parse_args(arguments)
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    for name in args.benchmark:
        if name not in known:
            parser.error(f"Unknown benchmark `{name}`. There are: {', '.join(known)}.")
    sizes, folder = _sizes(args), args.output or HERE / (".quick" if args.quick else "results")
    figures: report.Figures = {}
    failed = False
    for name in args.benchmark or known:
        print(f"== {name}", flush=True)
        run = known[name].run
        if name == "peers":
            run = partial(of_peers, contenders=args.contender, settings=args.setting)
        try:
            rows = run(sizes, partial(print, flush=True))
        except (OSError, RuntimeError) as trouble:
            rows = [{"case": name, "trouble": str(trouble)}]
        failed |= any("trouble" in row and row.get("name", "ours") == "ours" for row in rows)
        figures = report.remember(folder, name, rows)
        print(report.table(known[name].columns, rows), flush=True)
    report.chart(figures, folder / report.CHART)
    print(f"Written to {folder}")
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure this project and its peers on this machine.",
        epilog="Environments of the peers are made on demand, in benchmarks/.venvs. See benchmarks/README.md.",
    )
    parser.add_argument("benchmark", nargs="*", help=f"which: {names} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each, to see that it works; written "
                                                             "to benchmarks/.quick")
    parser.add_argument("--rows", type=_number, metavar="N", help="so many rows, for each benchmark and contender")
    parser.add_argument("--runs", type=_number, metavar="N", help="so many runs, of which the median counts (default: "
                                                                 f"{FULL.runs}, quick: {QUICK.runs})")
    parser.add_argument("--timeout", type=_number, metavar="S", help="seconds for a run, and for all runs of a "
                                                                    f"contender (default: {FULL.timeout:.0f})")
    parser.add_argument("--contender", action="append", default=[], choices=[c.name for c in CONTENDERS],
                        help="peers: only this one; may be given several times")
    parser.add_argument("--setting", action="append", default=[], choices=list(SETTINGS),
                        help="peers: only this setting")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (default: benchmarks/results)")
    return parser


def _sizes(args: argparse.Namespace) -> Sizes:
    sizes = QUICK if args.quick else FULL
    if args.rows:
        sizes = sizes.with_rows(args.rows)
    return replace(sizes, runs=args.runs or sizes.runs, timeout=args.timeout or sizes.timeout)


def _number(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"`{text}` is not a number above 0")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and children are ended, too
    sys.exit(main())
