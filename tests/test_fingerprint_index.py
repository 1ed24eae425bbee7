"""The index of a table's fingerprints says what a dictionary of them would say."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_source.arrow_rows.fingerprint import flagged_fingerprint
from stripe_source.destination import fingerprint_index
from stripe_source.destination.fingerprint_index import FingerprintIndex

KEYS = st.lists(st.text(max_size=3), min_size=1, max_size=2).map(tuple)
PRINTS = st.one_of(st.integers(0, 3).map(lambda number: flagged_fingerprint(str(number))),
                   st.sampled_from(["", "dlt's own", "+" * 20, "=" * 20, "ключ" * 5, "x" * 19 + "="]))
ROWS = st.lists(st.tuples(KEYS, PRINTS, st.booleans()), max_size=40)


@pytest.fixture(params=["few", "many"], autouse=True, scope="module")
def sorted_as(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few rows are sorted in another way than many."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many":
            patch.setattr(fingerprint_index, "_FEW", -1)
        yield


def index_of(rows: Sequence[tuple[tuple[str, ...], str, bool]]) -> FingerprintIndex:
    index = FingerprintIndex()
    for row in rows:
        index.add(*row)
    return index


@given(ROWS, st.lists(KEYS, max_size=20))
def test_it_holds_what_was_put_in(rows: list[tuple[tuple[str, ...], str, bool]], others: list[tuple[str, ...]]) -> None:
    """A fingerprint of ours as it was; a key that is there twice, or has another text, equals no row of Stripe's."""
    index = index_of(rows)

    for key in [*others, *(row[0] for row in rows)]:
        held = [row[1:] for row in rows if row[0] == key]
        found = index.see(key)
        if not held:
            assert found is None
            continue
        assert found is not None
        assert found.deleted == all(deleted for _, deleted in held)
        ours = len(held) == 1 and len(held[0][0]) == 20 and held[0][0].isascii() and "=" not in held[0][0]
        assert found.print == (held[0][0] if ours else "")


@given(ROWS, st.data())
def test_what_was_not_seen_is_told(rows: list[tuple[tuple[str, ...], str, bool]], data: st.DataObject) -> None:
    """Rows that are flagged as deleted already are none of them."""
    index, there = index_of(rows), [row[0] for row in rows]
    seen = set(data.draw(st.lists(st.sampled_from(there), max_size=20))) if there else set()
    for key in seen:
        index.see(key)

    alive = [key for key, _, deleted in rows if not deleted]
    assert index.counts() == (len(alive), sum(key not in seen for key in alive))
    assert {key for key in there if index.unseen(key)} == set(alive) - seen
