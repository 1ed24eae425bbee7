"""A run under the names of Striim's metrics: each figure is what the destination shows, by table and in all."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_source import sync
from stripe_source.cli.main import main

TABLES = "customers;charges;invoices;invoice_line_items;balance_transactions"


def iso(second: float | None) -> str | None:
    return None if second is None else datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def columns(file: Path) -> dict[str, set[str]]:
    """The tables and columns of the destination, as DuckDB knows them."""
    found: dict[str, set[str]] = {}
    if file.exists():
        with duckdb.connect(str(file)) as db:
            for table, column in db.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE "
                                            "schema_name = 'stripe' AND NOT internal").fetchall():
                found.setdefault(table, set()).add(column)
    return found


def test_each_figure_is_what_the_destination_shows(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """A first load, one with changes and a column that Stripe adds, and one in which nothing happened."""
    pipeline, file = new_pipeline(), tmp_path / "test.duckdb"
    held: set[tuple[str, str]] = set()
    for run in range(3):
        before = columns(file)
        result = sync(pipeline, tables=TABLES, marker={"charges": "created", "%": "auto"}, api_base=small.url,
                      api_key=small.api_key)
        after, metrics = columns(file), result.striim_metrics
        with duckdb.connect(str(file)) as db:
            db.execute("SET TimeZone = 'UTC'; USE stripe")
            loads = ", ".join(f"'{id}'" for id in result.load_ids) or "''"
            newest = []
            for name, said in metrics.tables.items():
                key = "invoice_id || id" if name == "invoice_line_items" else "id"
                written = db.execute(f"SELECT {key}, _deleted, epoch(_changed_at)::BIGINT FROM {name} "
                                     f"WHERE _dlt_load_id IN ({loads})").fetchall()
                inserts = sum((name, row[0]) not in held for row in written)
                deletes = sum(row[1] for row in written)
                latest = max((row[2] for row in written), default=None)
                newest.append(latest)
                ddls = len(after[name] - before[name]) if name in before else 1

                assert (said.number_of_inserts, said.number_of_updates, said.number_of_deletes) == (
                    inserts, len(written) - inserts - deletes, deletes)
                assert (said.number_of_ddls, said.latest_activity) == (ddls, iso(latest))
                assert said.read_timestamp == iso(small.world.clock)
                assert said.read_lag == (None if latest is None else small.world.clock - latest)
                assert said.source_rate == round(result.tables[name].read / result.seconds, 2)
                if name == "charges":  # by its cursor: up to the newest one
                    found = db.execute("SELECT max(epoch(created))::BIGINT FROM charges").fetchall()
                    assert said.last_event_position == iso(found[0][0])
                else:
                    assert said.last_event_position == iso(small.world.clock)
                held |= {(name, row[0]) for row in written}
        total, each = metrics.total, metrics.tables.values()

        for word in ("inserts", "updates", "deletes", "ddls"):
            assert getattr(total, f"number_of_{word}") == sum(getattr(one, f"number_of_{word}") for one in each)
        assert total.latest_activity == iso(max((one for one in newest if one is not None), default=None))
        assert (total.read_timestamp, total.last_event_position) == (iso(small.world.clock), iso(small.world.clock))
        assert total.number_of_ddls == (5 if run == 0 else 1 if run == 1 else 0)
        assert bool(total.number_of_inserts and (run == 0 or total.number_of_updates)) == (run < 2)
        if run == 0:
            small.world.create("customer", new_field="something new")
            small.world.advance(timedelta(days=2))
            small.world.live(60)


def test_the_result_as_json_has_them(
    small: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run --json`, under `striim_metrics`."""
    monkeypatch.setenv("STRIPE_API_KEY", small.api_key)
    assert main(["run", "--api-base", small.url, "--tables", "plans", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["striim_metrics"]

    assert said["total"] == {**said["tables"]["plans"], "source_rate": said["total"]["source_rate"]}
    assert said["total"]["number_of_ddls"] == 1 and said["total"]["number_of_inserts"] > 0
    from stripe_source.load.extras.striim_metrics import Metrics

    assert asdict(Metrics()).keys() == said["total"].keys()
