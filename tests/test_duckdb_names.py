"""A DuckDB file and its dataset: two that have one name are refused before anything is read."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_source import load_waevents, sync
from stripe_source.errors import InvalidOption

UNREACHABLE = {"api_base": "http://127.0.0.1:9", "api_key": "sk_test_1234567890"}


@pytest.mark.parametrize("file", ["stripe.duckdb", "STRIPE.db", "stripe", "stripe.of.ours.duckdb"])
def test_a_file_that_is_called_like_its_dataset_is_refused(
    new_pipeline: Callable[..., Any], tmp_path: Path, file: str
) -> None:
    """DuckDB says itself that it cannot tell them apart; the refusal names both, and comes before Stripe is asked."""
    (tmp_path / "proof").mkdir()
    with duckdb.connect(str(tmp_path / "proof" / file)) as db:
        db.execute("CREATE SCHEMA stripe")
        with pytest.raises(duckdb.BinderException, match="Ambiguous reference"):
            db.execute("CREATE TABLE stripe.things (id INTEGER)")
    pipeline = new_pipeline(file=file)

    for call in (lambda: sync(pipeline, tables="customers", **UNREACHABLE), lambda: load_waevents(pipeline, [])):
        with pytest.raises(InvalidOption, match=f"`stripe`.*`{file}` has the same name.*name another dataset, or"):
            call()
    assert not (tmp_path / file).exists()


def test_a_file_of_another_name_is_taken(new_pipeline: Callable[..., Any], small: Any) -> None:
    """Also one that only begins alike."""
    result = sync(new_pipeline(file="stripe2.duckdb"), tables="customers", api_base=small.url, api_key=small.api_key)

    assert result.exit_code == 0
