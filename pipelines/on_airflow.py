"""A DAG of Airflow that keeps a copy of a Stripe account. Copy this file into the folder of your DAGs.

The key is in STRIPE_API_KEY, or in the secrets of dlt, where the workers run, and so are the credentials of the
destination.
"""
from __future__ import annotations

from datetime import datetime, timedelta

import dlt
from airflow.sdk import dag
from dlt.helpers.airflow_helper import PipelineTasksGroup

from stripe_source import stripe_source


@dag(dag_id="stripe", schedule="@hourly", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def stripe_dag() -> None:
    """One task loads all tables: one pass over Stripe's events serves them all.

    With `decompose="serialize"` each table has a task of its own, one after the other.
    """
    tasks = PipelineTasksGroup("stripe", use_data_folder=False, wipe_local_data=True)  # before the pipeline
    pipeline = dlt.pipeline("stripe", destination="duckdb", dataset_name="stripe_data")
    tasks.add_run(pipeline, stripe_source(), decompose="none", retries=2, retry_delay=timedelta(minutes=5))


made = stripe_dag()

if __name__ == "__main__":
    made.test()
