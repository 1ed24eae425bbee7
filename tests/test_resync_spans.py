"""Which objects a run compares again: whenever runs come, none waits for longer than `resync` and one run."""
from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from stripe_source.extract.changes.resync import _spans

OLDEST, DAY = 1_000_000, 86_400


@given(
    days=st.integers(1, 40), gaps=st.lists(st.integers(DAY, 20 * DAY), min_size=1, max_size=60),
    age=st.integers(1, 3_000 * DAY), places=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
)
@example(days=1, gaps=[DAY], age=400 * DAY, places=[0.0])
def test_everything_is_compared_within_resync(days: int, gaps: list[int], age: int, places: list[float]) -> None:
    """What was compared is compared again before `resync` is over; longer only as far as the account grew meanwhile.

    The first run goes on where one with another `resync` left off.
    """
    for created in (OLDEST, *(OLDEST + int(age * place) for place in places)):
        now = last = OLDEST + age
        following: int | None = OLDEST + age // 3
        for gap in gaps:
            now += gap
            spans, following = _spans(now, OLDEST, gap / (days * DAY), following)
            assert all(low < high <= now for low, high in spans)
            if any(low <= created < high for low, high in spans):
                last = now
            else:
                assert (now - last) * (last - OLDEST) < days * DAY * (now - OLDEST)
