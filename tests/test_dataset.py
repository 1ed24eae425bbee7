"""What was loaded, read by `pipeline.dataset()` as a notebook does: rows, frames, Arrow tables."""
from __future__ import annotations

import warnings
from collections.abc import Callable

import dlt
import pyarrow as pa

from stripe_source import sandbox
from stripe_source.source import stripe_source


def test_a_notebook_reads_what_was_loaded(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """After the load `.arrow()` as well; in a later session, which knows nothing of the source, frames and chunks."""
    loaded, later = new_pipeline(), new_pipeline()
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        loaded.run(stripe_source(tables="charges;coupons", api_base=stripe.url, api_key=stripe.api_key))
        there = {each.object["id"]: each.object["amount"] for each in stripe.world.dump()["charges"]}
    with warnings.catch_warnings():  # of pandas, about what dlt calls
        warnings.simplefilter("ignore")
        whole = loaded.dataset().charges.arrow()
        chosen = loaded.dataset().charges.select("id", "amount").where("amount", "gt", 5_000).arrow()
        parts = [pa.concat_tables(each.dataset().charges.iter_arrow(2_048)) for each in (loaded, later)]
        frames = [each.dataset().charges.df() for each in (loaded, later)]

    assert whole is not None
    for table in (whole, *parts):
        assert dict(zip(table["id"].to_pylist(), table["amount"].to_pylist(), strict=True)) == there
    for frame in frames:
        assert frame is not None and dict(zip(frame["id"], frame["amount"], strict=True)) == there
    assert {row["id"]: row["amount"] for row in chosen.to_pylist()} == {
        key: amount for key, amount in there.items() if amount > 5_000}
    assert dict(later.dataset().row_counts().fetchall()) == {"charges": len(there), "coupons": 4}
