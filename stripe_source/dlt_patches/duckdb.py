"""Parquet merged in one transaction."""
from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any


def patch_duckdb() -> None:
    from dlt.destinations.impl.duckdb.duck import DuckDbClient, DuckDbCopyJob

    theirs, follow = DuckDbClient.create_load_job, DuckDbClient.create_table_chain_completed_followup_jobs
    if theirs.__module__ == __name__:
        return

    merged: set[str] = set()  # jobs of this process: those of another one may have gone to the staging table
    one_by_one: dict[str, threading.Lock] = defaultdict(threading.Lock)

    class Merge(DuckDbCopyJob):
        def run(self) -> None:
            with one_by_one[self.load_table_name]:  # two files of a load that have one key would be in each other's way
                _merge_file(self._job_client, self._load_table, self._file_path)
            merged.add(self.job_file_info().job_id())

    def create_load_job(self: Any, table: Any, file_path: str, load_id: str, restore: bool = False) -> Any:
        job = theirs(self, table, file_path, load_id, restore)
        merges = table["write_disposition"] == "merge" and table.get("x-merge-strategy", "delete-insert") == (
            "delete-insert")
        ours = type(self) is DuckDbClient and self.schema.name == "stripe" and merges and _keys(table)
        return Merge(file_path) if ours and type(job) is DuckDbCopyJob and file_path.endswith(".parquet") else job

    def follow_up(self: Any, table_chain: Any, completed_table_chain_jobs: Any = None) -> Any:
        jobs = {job.job_file_info.job_id() for job in completed_table_chain_jobs or ()}
        done = bool(jobs) and jobs <= merged
        merged.difference_update(jobs)
        return [] if done else follow(self, table_chain, completed_table_chain_jobs)

    DuckDbClient.create_load_job = create_load_job  # type: ignore[method-assign]
    DuckDbClient.create_table_chain_completed_followup_jobs = follow_up  # type: ignore[method-assign]


def _keys(table: Any) -> list[str]:
    return [name for name, hint in table["columns"].items() if hint.get("primary_key")]


def _merge_file(job_client: Any, table: Any, file: str) -> None:
    """Put the rows of a Parquet file in the place of those with their keys, but for flagged ones that are to go.

    Of rows of one key in the file, one is taken.
    """
    client = job_client.sql_client
    escape = client.escape_column_name
    dataset, _ = job_client.create_dataset_names(job_client.schema, job_client.config)
    with client.with_alternative_dataset_name(dataset):  # dlt means to load into the staging dataset
        name = client.make_qualified_table_name(table["name"])
    rows = "read_parquet('" + file.replace("'", "''") + "')"
    keys = [escape(key) for key in _keys(table)]
    same = " AND ".join(f"gone.{key} = come.{key}" for key in keys)
    several = client.execute_sql(f"SELECT count(*) - count(DISTINCT ({', '.join(keys)},)) FROM {rows}")[0][0]
    flags = [escape(column) for column, hint in table["columns"].items() if hint.get("hard_delete")]
    alive = " AND ".join(f"{flag} IS NOT TRUE" for flag in flags) or "TRUE"
    once = f" QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)}) = 1" if several else ""
    with client.begin_transaction():
        client.execute_sql(f"DELETE FROM {name} AS gone WHERE EXISTS (SELECT 1 FROM {rows} AS come WHERE {same})")
        client.execute_sql(f"INSERT INTO {name} BY NAME SELECT * FROM (SELECT * FROM {rows}{once}) WHERE {alive}")
