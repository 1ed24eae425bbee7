"""Loads into Postgres in which an empty text stays one.

dlt 1.31 takes our rows there as CSV, in which a null is nothing and an empty text is `""`, and then tells Postgres to
take both for null. With the ADBC driver installed it takes Parquet, and fails on a table without rows.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt


def keep_empty_text(pipeline: dlt.Pipeline) -> None:
    """Let the loads of a pipeline of ours into Postgres go by CSV, and nothing else be null there than nulls."""
    destination = pipeline.destination
    if destination is None or destination.destination_type != "dlt.destinations.postgres":
        return
    destination.caps_params.setdefault("loader_file_format_selector", _csv)

    from dlt.destinations.impl.postgres.postgres import PostgresCsvCopyJob

    theirs = PostgresCsvCopyJob.run
    if getattr(theirs, "keeps_empty_text", False):
        return

    def run(self: Any) -> None:
        if self._job_client.schema.name != "stripe" or self._job_client.config.csv_format:
            theirs(self)
        else:
            _copy(self)

    run.keeps_empty_text = True  # type: ignore[attr-defined]
    PostgresCsvCopyJob.run = run  # type: ignore[method-assign]


def _csv(preferred: Any, supported: Sequence[Any], /, *, table_schema: Any) -> tuple[Any, Sequence[Any]]:
    return ("csv", ["csv"]) if not table_schema["name"].startswith("_dlt") else (preferred, supported)


def _copy(job: Any) -> None:
    """Copy the CSV that pyarrow wrote: names in the first line, texts in quotes, nulls without."""
    from dlt.common.storages.file_storage import FileStorage

    client = job._job_client.sql_client
    with FileStorage.open_zipsafe_ro(job._file_path, "rb") as file:
        names = [name.strip('"') for name in file.readline().decode().strip().split(",")]
        columns = ", ".join(client.escape_column_name(name) for name in names)
        table = client.make_qualified_table_name(job.load_table_name)
        with client.begin_transaction(), client.native_connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, ENCODING 'utf-8')", file)
