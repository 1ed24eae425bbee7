"""What is written: figures as JSON, tables as Markdown, the chart."""
from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.catalogue import BENCHMARKS, Benchmark, Column

Row = Mapping[str, Any]
Figures = dict[str, dict[str, Any]]  # of each benchmark: when, where, rows

FIGURES, TABLES, CHART = "results.json", "results.md", "peers.png"


def machine() -> dict[str, Any]:
    """What the figures were taken on, without its name."""
    return {
        "cores": os.cpu_count(), "processor": _processor(), "memory_gb": _memory(),
        "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        **{name: version(name) for name in ("dlt-source-stripe", "dlt", "duckdb", "pyarrow")},
    }


def remember(folder: Path, name: str, rows: Sequence[Row]) -> Figures:
    """Put the figures of a benchmark in the place of its old ones; those of the others stay.

    So do those of other programs and settings, if they are of this machine and these versions.
    """
    figures, here = read(folder), machine()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    old = figures.get(name, {})
    again = {(row.get("setting"), row.get("name")) for row in rows}
    kept = [
        row for row in old.get("rows", [])
        if old["machine"] == here and "setting" in row and (row["setting"], row["name"]) not in again
    ]
    together = sorted([*kept, *map(dict, rows)], key=lambda row: str(row.get("setting", "")))
    figures[name] = {"date": now, "machine": here, "rows": together}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (folder / TABLES).write_text(tables(figures))
    return figures


def read(folder: Path) -> Figures:
    """The figures of earlier runs."""
    file = folder / FIGURES
    found: Figures = json.loads(file.read_text()) if file.exists() else {}
    return found


def tables(figures: Figures) -> str:
    """All tables as Markdown."""
    parts = ["# Results\n\nWritten by `python -m benchmarks`; how to read it: [README](../README.md).\n"]
    for benchmark in BENCHMARKS:
        if benchmark.name in figures:
            parts.append(_section(benchmark, figures[benchmark.name]))
    return "\n".join(parts)


def table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """One table as Markdown. A row that has trouble tells it in place of its figures.

    >>> print(table([Column("case", "table"), Column("seconds", "seconds", "{:.1f}")], [{"case": "a", "seconds": 2}]))
    | table | seconds |
    |---|---|
    | a | 2.0 |
    """
    lines = ["| " + " | ".join(column.title for column in columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(column, row) for column in columns) + " |")
    return "\n".join(lines)


def chart(figures: Figures, file: Path) -> bool:
    """Rows a second of all contenders, a panel for each setting; answers whether there was something to draw."""
    rows = figures.get("peers", {}).get("rows", [])
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    if not settings:
        return False
    import matplotlib  # not before all is measured: a child's peak memory is at least what its parent has

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tallest = max(sum(row["setting"] == setting for row in rows) for setting in settings)
    drawing, axes = pyplot.subplots(
        1, len(settings), figsize=(6.2 * len(settings), 1.2 + 0.5 * tallest), squeeze=False, layout="constrained",
    )
    for axis, setting in zip(axes[0], settings, strict=True):
        _panel(axis, setting, [row for row in rows if row["setting"] == setting])
    drawing.savefig(file, dpi=110, metadata={"Software": None})
    pyplot.close(drawing)
    return True


def _panel(axis: Any, setting: str, rows: list[Row]) -> None:
    """Bars on a scale of powers of ten: the contenders are that far apart."""
    rows = list(reversed(rows))
    values = [row.get("per_second", 0) for row in rows]
    colours = ["#1f77b4" if row["name"] == "ours" else "#b0b7c3" for row in rows]
    axis.barh([row["name"] for row in rows], values, color=colours)
    axis.set_xscale("log")
    axis.set_xlim(1, max(10, *values) * 8)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        short = "" if row.get("complete") in (None, "all") else f" ({row['complete']})"
        label = f"{value:,.0f}{short}" if value else row.get("trouble", "").split(":")[0]
        axis.text(max(value, 1) * 1.1, place, label, va="center", fontsize=9)
    axis.set_title({"code": "No limits, no latency", "user": "Stripe's limits, 250 ms"}.get(setting, setting))
    axis.set_xlabel("rows a second")
    axis.spines[["top", "right"]].set_visible(False)


def _section(benchmark: Benchmark, taken: Mapping[str, Any]) -> str:
    where = taken["machine"]
    on = (f"{taken['date']} UTC; {where['cores']} cores of {where['processor']}, {where['memory_gb']} GB, Python "
          f"{where['python']}, dlt {where['dlt']}, DuckDB {where['duckdb']}")
    return f"## {benchmark.title}\n\n{benchmark.about}\n\n{table(benchmark.columns, taken['rows'])}\n\n{on}\n"


def _cell(column: Column, row: Row) -> str:
    if column.key == "complete" and "trouble" in row:
        text = f"**{row['trouble']}**"
    else:
        value = row.get(column.key)
        text = "" if value is None else column.form.format(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
