"""How much is measured."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Rows of each benchmark, and how often it is run.

    Args:
        runs: how often; the median counts.
        timeout: seconds for one run; for a contender, for all of its runs together.
        peers: rows for each contender; None: its own numbers.
        memory: rows of each load whose memory is measured.
        held: rows that a full pass and a verification compare.
        changes: changed rows among them, of which the change feed tells.
        limited: rows that are loaded by each marker under Stripe's limits; without them as many as `ours`.
        eight_tables: rows of each of the eight.
        scale: size of the business that is idle.
    """

    runs: int = 5
    timeout: float = 900
    peers: int | None = None
    ours: int = 200_000
    memory: tuple[int, ...] = (200_000, 2_000_000)
    held: int = 2_000_000
    changes: int = 200_000
    kill: int = 1_000_000
    skew: int = 50_000
    one_table: int = 500_000
    limited: int = 150_000
    eight_tables: int = 200_000
    scale: float = 1.0

    def with_rows(self, rows: int) -> Sizes:
        """The same number of rows for all; of memory, a tenth of them as well."""
        return Sizes(self.runs, self.timeout, rows, rows, (max(rows // 10, 1), rows), rows,
                     max(rows // 10, 1), rows, rows, rows, rows, rows, self.scale)


FULL = Sizes()
QUICK = Sizes(runs=1, timeout=120, peers=300, ours=2_000, memory=(1_000, 5_000), held=5_000, changes=500, kill=20_000,
              skew=500, one_table=2_000, limited=500, eight_tables=500, scale=0.05)
