"""What was loaded, read by `pipeline.dataset()` as a notebook does: rows, frames, Arrow tables, ibis."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import dlt
import duckdb
import pytest
from packaging.version import Version

from stripe_source import sandbox
from stripe_source.source import stripe_source

TOO_NEW = Version(duckdb.__version__) >= Version("2")
pytestmark = pytest.mark.skipif(TOO_NEW, reason="the package takes DuckDB below 2: dlt 1.31 has no .arrow() with it")


def test_a_notebook_reads_what_was_loaded(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """In the session of the load, and in a later one that knows nothing of the source; all ways give the same rows."""
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        new_pipeline().run(stripe_source(tables="charges;coupons", api_base=stripe.url, api_key=stripe.api_key))
        there = {each.object["id"]: each.object for each in stripe.world.dump()["charges"]}
    total = sum(charge["amount"] for charge in there.values())

    for _ in range(2):
        dataset = new_pipeline().dataset()
        with warnings.catch_warnings():  # of DuckDB, about what dlt calls, and of pandas
            warnings.simplefilter("ignore")
            arrow, frame = dataset.charges.arrow(), dataset.charges.df()
            chosen = dataset.charges.select("id", "amount").where("amount", "gt", 5_000).arrow()
        rows = dataset("SELECT count(*), sum(amount) FROM charges").fetchall()

        assert arrow is not None and frame is not None
        assert set(arrow["id"].to_pylist()) == set(frame["id"]) == there.keys()
        assert sum(arrow["amount"].to_pylist()) == frame["amount"].sum() == total
        assert rows == [(len(there), total)]
        assert {row["id"]: row["amount"] for row in chosen.to_pylist()} == {
            key: charge["amount"] for key, charge in there.items() if charge["amount"] > 5_000}
        assert dict(dataset.row_counts().fetchall()) == {"charges": len(there), "coupons": 4}


def test_ibis_reads_what_was_loaded(new_pipeline: Callable[..., dlt.Pipeline]) -> None:
    """Tables, their columns and sums, where ibis is installed."""
    pytest.importorskip("ibis", reason="ibis is not installed: pip install ibis-framework[duckdb]")
    with sandbox.serve(seed=7, scale=0.02) as stripe:
        new_pipeline().run(stripe_source(tables="charges", api_base=stripe.url, api_key=stripe.api_key))
        amounts = [each.object["amount"] for each in stripe.world.dump()["charges"]]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backend: Any = new_pipeline().dataset().ibis()
        table = backend.table("charges")
        assert "charges" in backend.list_tables()
        assert table.amount.sum().execute() == sum(amounts)
        assert table.to_pyarrow().num_rows == len(amounts)
