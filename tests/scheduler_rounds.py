"""Three rounds of a scheduler against the sandbox, in a process of its own: `scheduler_rounds.py airflow serialize`.

The scripts of `pipelines/` are run. Between the rounds something happens at Stripe; each round is run twice. What comes
out is JSON: of each run how many requests it took, beside those of one plain run of dlt, and what differs from the
sandbox's dump.
"""
from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLES = ["customers", "products", "invoices", "invoice_line_items"]
DATASET = "stripe_data"


def imported(file: Path) -> Any:
    """A script, imported anew."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


def airflow(decompose: str) -> Callable[[], None]:
    """Runs the DAG, with Airflow's own runner for tests."""
    folder = Path("airflow").absolute()
    (folder / "dags").mkdir(parents=True)
    os.environ |= {
        "AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }
    text = (ROOT / "pipelines" / "on_airflow.py").read_text()
    assert 'decompose="none"' in text and "retries=2" in text
    script = folder / "dags" / "on_airflow.py"
    script.write_text(text.replace('decompose="none"', f'decompose="{decompose}"').replace("retries=2", "retries=0"))

    from airflow import settings

    settings.initialize()
    from airflow.utils.db import initdb

    initdb()

    def run() -> None:
        made = imported(script).made.test()  # anew, as each process of Airflow does
        assert made.state == "success", made.state

    return run


def dagster(how: str) -> Callable[[], None]:
    """Materializes the assets: all together, or one by one, as a person does who selects them."""
    home = Path("dagster").absolute()
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    os.environ["DAGSTER_HOME"] = str(home)

    import dagster as dg
    from dagster_dlt import DagsterDltResource

    def materialize(names: list[str] | None) -> None:
        assets = imported(ROOT / "pipelines" / "on_dagster.py").stripe_assets  # anew, as each run of Dagster does
        assert sorted(key.to_user_string() for key in assets.keys) == sorted(f"dlt_stripe_{name}" for name in TABLES)
        chosen = names and [dg.AssetKey(f"dlt_stripe_{name}") for name in names]
        assert dg.materialize([assets], resources={"dlt": DagsterDltResource()}, selection=chosen).success

    def run() -> None:
        for names in [None] if how == "together" else [[name] for name in TABLES]:
            materialize(names)

    return run


def main(scheduler: str, how: str) -> None:
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR",
        "DLT_DATA_DIR": str(Path("dlt").absolute()), "SOURCES__STRIPE__TABLES": ";".join(TABLES),
    }
    import dlt
    import duckdb
    from truth import differences

    from stripe_source import sandbox, stripe_source

    files = {name: str(Path(f"{name}.duckdb").absolute()) for name in ("plain", "scheduled")}
    with sandbox.serve(seed=7, scale=0.05) as stripe:
        os.environ |= {"STRIPE_API_KEY": stripe.api_key, "SOURCES__STRIPE__API_BASE": stripe.url}
        plain = dlt.pipeline(
            "plain", destination=dlt.destinations.duckdb(files["plain"]), dataset_name=DATASET,
            pipelines_dir=str(Path("pipelines").absolute()),
        )
        os.environ["DESTINATION__DUCKDB__CREDENTIALS"] = f"duckdb:///{files['scheduled']}"
        scheduled = {"airflow": airflow, "dagster": dagster}[scheduler](how)

        def count(run: Callable[[], Any]) -> int:
            first = len(stripe.world.requests)
            run()
            return len(stripe.world.requests) - first

        runs = []
        for number in range(3):
            if number:
                stripe.world.advance(3_600 * (number - 1))
                stripe.world.live(30)
            for _ in range(2):
                taken = {"plain": count(lambda: plain.run(stripe_source())), "scheduled": count(scheduled)}
                dump = stripe.world.dump()
                with duckdb.connect(files["scheduled"], read_only=True) as connection:
                    wrong = [
                        each for name in TABLES
                        for each in differences(connection, DATASET, name, dump[name], stripe.world.books.account)
                    ]
                runs.append({**taken, "wrong": wrong})
    Path("rounds.json").write_text(json.dumps(runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
