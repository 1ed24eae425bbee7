"""The benchmarks: what each is called, what it measures, and the columns of its table. One entry for each."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import measures
from benchmarks.markers import of_markers
from benchmarks.peers import of_peers
from benchmarks.reports import of_reports
from benchmarks.sandbox import of_sandbox
from benchmarks.sizes import Sizes
from benchmarks.waevents import of_waevents


@dataclass(frozen=True)
class Column:
    """A column of a table: which figure, its heading, how it is written."""

    key: str
    title: str
    form: str = "{}"


RUNS = Column("runs", "runs")
ROWS = Column("rows", "rows", "{:,}")
SECONDS = Column("seconds", "seconds", "{:,.2f}")
PER_SECOND = Column("per_second", "rows/s", "{:,.0f}")
MEGABYTES = Column("megabytes", "peak memory, MB", "{:,.0f}")
TOGETHER = Column("together", "of all its processes, MB", "{:,.0f}")
REQUESTS = Column("requests", "requests", "{:,.0f}")
REFUSED = Column("share_refused", "refused with 429", "{:.2%}")
COMPLETE = Column("complete", "rows that are there")


@dataclass(frozen=True)
class Benchmark:
    """One measurement.

    Args:
        name: on the command line.
        title: over its table.
        about: what was measured, in a sentence or two.
        run: measures; answers with the rows of the table.
        columns: of the table.
    """

    name: str
    title: str
    about: str
    run: Callable[[Sizes, Callable[[str], None]], list[dict[str, Any]]]
    columns: tuple[Column, ...]


BENCHMARKS = (
    Benchmark(
        "peers", "Side by side", "The charges of one account. `code`: the server answers at once and has no limits. "
        "`user`: Stripe's limits for live keys, 100 requests a second and 25 of one endpoint, and 250 ms for every "
        "answer. Rows a second are rows that arrived by wall time of the whole process, its start included.",
        of_peers,
        (Column("setting", "setting"), Column("case", "program"), Column("into", "into"), ROWS, SECONDS, PER_SECOND,
         MEGABYTES, TOGETHER, REQUESTS, Column("refused", "429", "{:,.0f}"), COMPLETE, RUNS, Column("note", "note")),
    ),
    Benchmark(
        "ours", "First load, without limits", "`stripe-source run` into DuckDB, end to end.", measures.of_ours,
        (Column("case", "table"), ROWS, SECONDS, PER_SECOND, REQUESTS, COMPLETE, RUNS),
    ),
    Benchmark(
        "one-table", "First load of one table, with Stripe's limits and 250 ms", "The ceiling is 2,500 rows a second: "
        "25 requests a second of one endpoint, 100 objects each.", measures.of_one_table,
        (Column("case", "table"), ROWS, SECONDS, PER_SECOND, Column("ceiling", "of the ceiling", "{:.0%}"), REQUESTS,
         REFUSED, COMPLETE, RUNS),
    ),
    Benchmark(
        "eight-tables", "First load of eight tables, with Stripe's limits and 250 ms", "The ceiling is 10,000 rows a "
        "second: 100 requests a second of one account, 100 objects each.", measures.of_eight_tables,
        (Column("case", "tables"), ROWS, SECONDS, PER_SECOND, Column("ceiling", "of the ceiling", "{:.0%}"), REQUESTS,
         REFUSED, COMPLETE, RUNS),
    ),
    Benchmark(
        "memory", "Memory", "The most memory that the loading process had, as the system tells it at its end, and the "
        "sum with that of the process that makes rows.",
        measures.of_memory,
        (Column("case", "load"), MEGABYTES, TOGETHER, SECONDS, COMPLETE, RUNS),
    ),
    Benchmark(
        "held", "What is held, compared", "Charges that are held: a full pass (`run --marker none`), `verify`, and a "
        "run after one in ten has changed. Statements are those that were sent to the destination beside loads.",
        measures.of_held,
        (Column("case", "work"), ROWS, SECONDS, Column("cpu", "CPU seconds", "{:,.1f}"), MEGABYTES, TOGETHER,
         Column("statements", "statements", "{:,}"), RUNS),
    ),
    Benchmark(
        "markers", "By each marker", "Charges by each marker, with `stripe-source run` and with dlt's `pipeline.run` "
        "alone: a first load, and a run after one in a hundred was added. `code`: no limits, no latency. `user`: "
        "Stripe's limits and 250 ms. The share is how fast the first load is by that of the default.", of_markers,
        (Column("setting", "setting"), Column("case", "marker, by"), ROWS, SECONDS, PER_SECOND,
         Column("share", "of the default", "{:.0%}"), Column("cpu", "CPU seconds", "{:,.1f}"), MEGABYTES,
         Column("later_seconds", "seconds, one in a hundred added", "{:,.2f}"),
         Column("later_megabytes", "its memory, MB", "{:,.0f}"), COMPLETE, RUNS),
    ),
    Benchmark(
        "waevents", "WAEvents beside rows", "Charges loaded by `stripe-source run`, with `--emit waevents`, with "
        "`--out` to a file as well, and that file loaded by `stripe-source waevents load`. `code`: no limits, no "
        "latency. `user`: Stripe's limits and 250 ms. The share is how fast it is by the load of rows.", of_waevents,
        (Column("setting", "setting"), Column("case", "what"), ROWS, SECONDS, PER_SECOND,
         Column("share", "of rows", "{:.0%}"), Column("cpu", "CPU seconds", "{:,.1f}"), MEGABYTES, COMPLETE, RUNS),
    ),
    Benchmark(
        "reports", "A financial report", "The file of one report run, which the server has at once, by `stripe-source "
        "run` into DuckDB; types of 20 and of 66 columns.", of_reports,
        (Column("case", "type"), ROWS, SECONDS, PER_SECOND, Column("cpu", "CPU seconds", "{:,.1f}"), MEGABYTES,
         COMPLETE, RUNS),
    ),
    Benchmark(
        "kill", "Killed at half, and started again", "`kill -9` when the server had given half of the pages. Pages "
        "again are objects that were given more than once, by 100. No limits, no latency.", measures.of_kill,
        (Column("case", "table"), ROWS, Column("killed_pages", "pages until the kill", "{:,.0f}"),
         Column("resumed_pages", "pages after it", "{:,.0f}"), Column("pages_again", "pages again", "{:,.0f}"),
         Column("share_again", "share", "{:.1%}"), Column("killed_seconds", "seconds until the kill", "{:,.1f}"),
         Column("resumed_seconds", "seconds after it", "{:,.1f}"), COMPLETE, RUNS),
    ),
    Benchmark(
        "skew", "Skewed time lines, with Stripe's limits and 250 ms", "Charges of ten years that lie in time evenly, "
        "more and more, in one day, in one second, with gaps, in two places, in bursts.", measures.of_skew,
        (Column("case", "time line"), ROWS, SECONDS, Column("per_row", "ms a row", "{:.3f}"), REQUESTS,
         Column("empty", "empty pages", "{:,.0f}"), REFUSED, COMPLETE, RUNS),
    ),
    Benchmark(
        "idle", "A run where nothing has changed, in 250 ms", "All default tables of an ordinary business; the whole "
        "process, its start included.", measures.of_idle,
        (Column("case", "tables"), SECONDS, REQUESTS, MEGABYTES, RUNS),
    ),
    Benchmark(
        "sandbox", "The sandbox itself", "Tests and benchmarks of the loader must not wait for it.", of_sandbox,
        (Column("case", "work"), Column("rows", "objects", "{:,}"), SECONDS,
         Column("per_second", "objects/s", "{:,.0f}"), RUNS),
    ),
)
