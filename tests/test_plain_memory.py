"""A plain run of dlt loads all rows of a table from one file, and DuckDB takes little memory for it."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from truth import differences

from stripe_source import sandbox, stripe_source
from stripe_source.dlt_patches import duckdb as merging

SETTINGS = "SELECT current_setting('memory_limit'), current_setting('threads')"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """DuckDB's settings while each file is merged; every file counts as large."""
    monkeypatch.setattr(merging, "LARGE_FILE", 0)
    merge, seen = merging._merge_file, list[tuple[Any, ...]]()

    def merge_and_look(client: Any, table: Any, file: str) -> None:
        seen.append(client.sql_client.execute_sql(SETTINGS)[0])
        merge(client, table, file)

    monkeypatch.setattr(merging, "_merge_file", merge_and_look)
    return seen


@pytest.fixture
def stripe() -> Iterator[Any]:
    with sandbox.serve(seed=2, scale=0.05) as served:
        yield served


def run(pipeline: dlt.Pipeline, stripe: Any) -> None:
    pipeline.run(stripe_source(tables="customers", api_base=stripe.url, api_key=stripe.api_key))


def is_right(pipeline: dlt.Pipeline, stripe: Any) -> bool:
    """Whether all customers of the sandbox are there."""
    dump = stripe.world.dump()
    with pipeline.sql_client() as client:
        return differences(client.native_connection, "stripe", "customers", dump["customers"],
                           stripe.world.books.account) == []


def test_a_large_file_is_merged_in_little_memory(
    seen: list[tuple[Any, ...]], stripe: Any, new_pipeline: Callable[..., dlt.Pipeline]
) -> None:
    """And what was set before holds again after it, for whoever uses the same database."""
    pipeline = new_pipeline()
    with dlt.pipeline("other", destination=pipeline.destination, dataset_name="stripe").sql_client() as client:
        before = client.execute_sql(SETTINGS)
        run(pipeline, stripe)
        after = client.execute_sql(SETTINGS)

    assert seen == [("143.0 MiB", 1)]
    assert after == before
    assert is_right(pipeline, stripe)


def test_what_somebody_has_chosen_stays(
    seen: list[tuple[Any, ...]], stripe: Any, new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path
) -> None:
    """In dlt's configuration of the destination."""
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    credentials = DuckDbCredentials(str(tmp_path / "test.duckdb"))
    credentials.global_config = {"memory_limit": "2GB"}
    pipeline = new_pipeline(destination=dlt.destinations.duckdb(credentials))
    run(pipeline, stripe)

    assert [limit for limit, _ in seen] == ["1.8 GiB"]
    assert is_right(pipeline, stripe)


def test_what_does_not_fit_gets_more(
    seen: list[tuple[Any, ...]], stripe: Any, new_pipeline: Callable[..., dlt.Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is merged again with what DuckDB had before, and every row is there once."""
    monkeypatch.setattr(merging, "LITTLE_MEMORY", {"memory_limit": "1MB", "threads": "1"})
    pipeline = new_pipeline()
    run(pipeline, stripe)

    assert len(seen) == 2
    assert seen[0] == ("976.5 KiB", 1) and seen[1] != seen[0]
    assert is_right(pipeline, stripe)


@pytest.mark.parametrize(("text", "megabytes"), [
    ("143.0 MiB", 143), ("19.5 GiB", 19_968), ("976.5 KiB", 976.5 / 1024), ("0 bytes", 0), ("a lot", 0)])
def test_sizes_are_read_as_duckdb_writes_them(text: str, megabytes: float) -> None:
    """What is no size counts as little, so that nothing is set."""
    assert merging._megabytes(text) == pytest.approx(megabytes)
