"""How far back a list goes."""
from __future__ import annotations

PROBES = 5  # requests side by side that look for the oldest object
OLDEST_WITHIN = 0.8  # share of the time line by which the oldest object may be missed: what is empty costs few requests
ORDERED_OLDEST_WITHIN = 0.25  # likewise, where spans are small because they wait in memory for their turn


def evenly_between(floor: int, there: int) -> list[int]:
    """Seconds that part the time between two evenly."""
    return [floor + (there - floor) * part // (PROBES + 1) for part in range(1, PROBES + 1)]
